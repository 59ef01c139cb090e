#!/usr/bin/env python3
"""What a release is made of, in one folder: scripts/release.py [--output dist] [--wheels FOLDER], or scripts/release.py --check.

--check compares every place that names the version with exporters/__init__.py, and reads CHANGELOG.md. Without it, from a clean
tree whose changelog has a section for the version and nothing unreleased: the wheel and the sdist (the same bytes for the
same commit), the chart, the SBOM of what an image of it holds, and SHA256SUMS. Nothing is uploaded or tagged. Exit 1 with
one line for each thing that is wrong, 2 where something could not be run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import _changelog

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "exporters/__init__.py"
PLACES = {
    "Dockerfile": r"(?m)^ARG VERSION=(\S+)$",
    "deploy/compose/compose.yaml": r"\$\{ORCHA_IMAGE:-orcha:([^}\s]+)\}",
    "helm/orcha/Chart.yaml": r"(?m)^(?:appVersion: \"?|version: |\s+image: ghcr\.io/orcha-dev/orcha:)([^\s\"]+)\"?$",
}
"""File -> what stands before and after the version in it; every place of a file is looked at."""


class CannotError(Exception):
    """What could not be run; `str()` is the sentence."""


def version() -> str:
    found = re.search(r'(?m)^__version__ = "([^"]+)"$', (ROOT / SOURCE).read_text())
    if found is None:
        raise CannotError(f'{SOURCE} has no line __version__ = "1.2.3"')
    return found[1]


def disagreements(wanted: str) -> Iterator[str]:
    """Places that name another version, or none."""
    for name, pattern in PLACES.items():
        path = ROOT / name
        found = re.findall(pattern, path.read_text()) if path.exists() else []
        if not found:
            yield f"{name} names no version; {SOURCE} says {wanted}"
        for said in sorted(set(found) - {wanted}):
            yield f"{name} says {said}, {SOURCE} says {wanted}; write {wanted}"


def problems() -> list[str]:
    """What --check finds."""
    changelog = _changelog.read((ROOT / "CHANGELOG.md").read_text())
    return [*disagreements(version()), *(f"CHANGELOG.md: {each}" for each in changelog.problems)]


def not_ready(wanted: str) -> Iterator[str]:
    """What keeps this tree from being released."""
    changelog = _changelog.read((ROOT / "CHANGELOG.md").read_text())
    unreleased = changelog.section(_changelog.UNRELEASED)
    if changelog.section(wanted) is None:
        yield f"CHANGELOG.md has no section `## [{wanted}] - DAY`"
    if unreleased is not None and not unreleased.empty:
        yield f"CHANGELOG.md still has changes under [Unreleased]; they belong to [{wanted}]"
    changed = told("git", "status", "--porcelain").splitlines()
    if changed:
        yield f"the tree is not clean: {len(changed)} file(s) differ from the commit, such as {changed[0][3:]}"


def told(*argv: str | Path, environment: dict[str, str] | None = None) -> str:
    """What a program said. Raises CannotError."""
    try:
        done = subprocess.run(
            [str(each) for each in argv], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    except OSError as exc:
        raise CannotError(f"{argv[0]} cannot be started ({exc.strerror})") from exc
    if done.returncode:
        raise CannotError(f"{argv[0]} failed: {(done.stderr.strip() or done.stdout.strip())[-400:]}")
    return done.stdout


def packages(output: Path, epoch: str) -> Path:
    """The sdist, and the wheel as pip makes it from the sdist: what is not in the one is not in the other. Gives the wheel."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": epoch}
    hatchling = [sys.executable, "-m", "hatchling", "build", "-d", str(output)]
    told(*hatchling, "-t", "sdist", environment=environment)
    [sdist] = output.glob("orcha-*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder)  # noqa: S202 it was made two lines above; Python before 3.11.4 knows no filter
        [tree] = Path(folder).iterdir()
        done = subprocess.run(
            [*hatchling, "-t", "wheel"], cwd=tree, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CannotError(f"the sdist does not build: {done.stderr.strip()[-400:]}")
    [wheel] = output.glob("orcha-*.whl")
    return wheel


def chart(output: Path) -> None:
    where = told(sys.executable, ROOT / "scripts/tools/helm.py").strip()
    told(Path(where) / "helm4", "package", ROOT / "helm/orcha", "--destination", output)


def bill(output: Path, wheel: Path, wheels: Path | None, wanted: str) -> None:
    """The SBOM of an environment as the image has it."""
    found = ["--no-index", "--find-links", str(wheels.resolve())] if wheels else []
    with tempfile.TemporaryDirectory() as folder:
        uv = [sys.executable, "-m", "uv"]
        told(*uv, "venv", "--quiet", "--python", sys.executable, folder)
        install = [*uv, "pip", "install", "--quiet", "--python", f"{folder}/bin/python"]
        told(*install, *found, "--require-hashes", "-r", ROOT / "requirements/image.lock")
        told(*install, "--no-deps", "--no-index", wheel)
        told(sys.executable, ROOT / "scripts/sbom.py", folder, "--output", output / f"orcha-{wanted}.cdx.json")


def sums(output: Path) -> str:
    """As sha256sum writes and checks it."""
    files = sorted(path for path in output.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def release(output: Path, wheels: Path | None) -> None:
    wanted, output = version(), output.resolve()
    if output.exists() and any(output.iterdir()):
        raise CannotError(f"{output} is not empty; name another folder with --output, or empty it")
    output.mkdir(parents=True, exist_ok=True)
    wheel = packages(output, told("git", "log", "-1", "--format=%ct").strip())
    (output / ".gitignore").unlink(missing_ok=True)  # hatchling leaves one
    chart(output)
    bill(output, wheel, wheels, wanted)
    (output / "SHA256SUMS").write_text(sums(output))
    print((output / "SHA256SUMS").read_text(), end="")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare versions and read the changelog")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder that is made (default: dist)")
    parser.add_argument("--wheels", type=Path, help="folder of wheels for the SBOM; without it uv asks its index")
    options = parser.parse_args()
    try:
        found = problems()
        if not options.check:
            found += not_ready(version())
        if found:
            print("\n".join(found), file=sys.stderr)
            return 1
        if not options.check:
            release(options.output, options.wheels)
    except CannotError as exc:
        print(f"release: {exc}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
