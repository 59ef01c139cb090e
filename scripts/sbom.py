#!/usr/bin/env python3
"""What is installed in an environment, as a CycloneDX SBOM: scripts/sbom.py ENVIRONMENT --output FILE.

cyclonedx-bom lists the distributions with their versions, licences and who needs whom. Added here: the version of orcha itself,
which pyproject.toml leaves to the code, and the Python that runs it all. The same environment gives the same bytes. Exit 2 with
one sentence where there is no such environment, or orcha is not in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parent.parent
VERSION = "import platform; from exporters import __version__; print(__version__, platform.python_version())"
"""Asked of the environment's own Python."""


class NoSBOMError(Exception):
    """Why there is none; `str()` is the sentence."""


def listed(python: Path) -> dict[str, Any]:
    """What cyclonedx-bom finds in the environment of this interpreter, with orcha as the root."""
    argv = ["-m", "cyclonedx_py", "environment", "--output-reproducible", "--no-validate", "--sv", "1.6"]
    argv += ["--pyproject", str(ROOT / "pyproject.toml"), "--output-file", "-", str(python)]
    done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoSBOMError(f"cyclonedx-bom could not list {python}: {done.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def completed(bom: dict[str, Any], version: str, python: str) -> dict[str, Any]:
    """With the version of the root, the interpreter, and without orcha as a part of itself."""
    root = bom["metadata"]["component"]
    reference, root["version"] = root["bom-ref"], version
    root["purl"] = f"pkg:pypi/orcha@{version}"
    runtime = {"bom-ref": f"cpython=={python}", "type": "platform", "name": "cpython", "version": python}
    runtime["purl"] = f"pkg:generic/python@{python}"
    itself = {part["bom-ref"] for part in bom["components"] if part["name"] == "orcha"}
    bom["components"] = [part for part in bom["components"] if part["bom-ref"] not in itself] + [runtime]
    needs = [each for each in bom["dependencies"] if each["ref"] not in itself]
    for each in needs:
        if each["ref"] == reference:
            each["dependsOn"] = sorted({*each.get("dependsOn", ()), runtime["bom-ref"]} - itself)
    bom["dependencies"] = [*needs, {"ref": runtime["bom-ref"]}]
    return bom


def sbom(environment: Path) -> str:
    """The SBOM as JSON. Raises NoSBOMError."""
    python = environment / "bin" / "python"
    if not python.exists():
        raise NoSBOMError(f"{environment} is no environment: there is no {python}")
    asked = subprocess.run([python, "-I", "-c", VERSION], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise NoSBOMError(f"orcha is not installed in {environment}")
    version, of_python = asked.stdout.split()
    text = json.dumps(completed(listed(python), version, of_python), indent=1) + "\n"
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        raise NoSBOMError(f"what was made is no CycloneDX 1.6: {str(wrong)[:300]}")
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", type=Path, help="folder of a virtual environment that orcha is installed in")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    options = parser.parse_args()
    try:
        options.output.write_text(sbom(options.environment))
    except NoSBOMError as exc:
        print(f"sbom: {exc}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
