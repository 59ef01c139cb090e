#!/usr/bin/env python3
"""systemd-analyze: as installed, else from Debian's packages, unpacked into a cache without installing them. A test tool.

Prints the folder that holds the program. Exit 3 with one line where it cannot be had. Idempotent.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = ("systemd", "libsystemd-shared")
WRAPPER = """#!/bin/sh
here=$(dirname "$0")
LD_LIBRARY_PATH=$(echo "$here"/unpacked/usr/lib/*/systemd):$(echo "$here"/unpacked/usr/lib/*-linux-gnu) \\
exec "$here/unpacked/usr/bin/systemd-analyze" "$@"
"""
"""Its library lies beside it and not where the loader looks."""
RECIPE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orcha-tools" / f"systemd-{RECIPE}"


def main() -> int:
    found = shutil.which("systemd-analyze")
    if found:
        print(Path(found).parent)
        return 0
    if (CACHE / "systemd-analyze").exists():
        print(CACHE)
        return 0
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        print("systemd: not installed, and this is no Debian machine to take its packages from", file=sys.stderr)
        return 3
    try:
        unpack()
    except (subprocess.CalledProcessError, OSError) as exc:
        print(f"systemd: its Debian packages could not be had ({exc})", file=sys.stderr)
        return 3
    print(CACHE)
    return 0


def unpack() -> None:
    """Download the packages and lay them out beside each other; the cache appears whole or not at all."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder:
        here = Path(folder)
        here.chmod(0o755)
        download = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "download", *PACKAGES]
        if subprocess.run(download, cwd=here, capture_output=True, check=False).returncode:
            subprocess.run(["apt-get", "update"], capture_output=True, check=True)
            subprocess.run(download, cwd=here, capture_output=True, check=True)
        whole = here / "whole"
        whole.mkdir(mode=0o755)
        for package in here.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(whole / "unpacked")], check=True)
        wrapper = whole / "systemd-analyze"
        wrapper.write_text(WRAPPER)
        wrapper.chmod(0o755)
        subprocess.run([wrapper, "--version"], capture_output=True, check=True)
        if not CACHE.exists():
            whole.rename(CACHE)


if __name__ == "__main__":
    sys.exit(main())
