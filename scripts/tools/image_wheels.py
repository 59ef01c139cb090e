#!/usr/bin/env python3
"""The wheels of requirements/image.lock and build.lock, so that tests can build the image's content (scripts/image.py) offline.

Prints the folder that holds them. Exit 3 with one line where they cannot be had, or where the content could not be built with
them: that takes Linux and root. Idempotent; pip checks every wheel against its hash in the lock.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent.parent / "requirements"
LOCKS = [REQUIREMENTS / name for name in ("image.lock", "build.lock")]
MACHINE = f"{sys.version_info.major}.{sys.version_info.minor} {os.uname().machine}"
RECIPE = hashlib.sha256(
    b"".join([Path(__file__).read_bytes(), MACHINE.encode(), *(path.read_bytes() for path in LOCKS)])
).hexdigest()[:16]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orcha-tools" / f"image-wheels-{RECIPE}"
LIMIT = 600.0
"""Seconds for the download."""


def main() -> int:
    if sys.platform != "linux" or os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("setpriv")):
        print("image-wheels: the image's content is built with mounts, which takes Linux and root", file=sys.stderr)
        return 3
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        print(
            "image-wheels: the image's content is built with mounts, which this machine does not allow", file=sys.stderr
        )
        return 3
    if CACHE.exists():
        print(CACHE)
        return 0
    try:
        download()
    except (subprocess.SubprocessError, OSError) as exc:
        said = str(getattr(exc, "stderr", None) or "").strip().splitlines() or [type(exc).__name__]
        print(f"image-wheels: they could not be downloaded ({said[-1][:200]})", file=sys.stderr)
        return 3
    print(CACHE)
    return 0


def download() -> None:
    """The cache appears whole or not at all."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder:
        wheels = Path(folder) / "wheels"
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        argv += ["--only-binary", ":all:", "--require-hashes", "--dest", str(wheels)]
        for lock in LOCKS:
            argv += ["--requirement", str(lock)]
        subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=True)
        if not CACHE.exists():
            wheels.rename(CACHE)


if __name__ == "__main__":
    sys.exit(main())
