#!/usr/bin/env python3
"""NATS, the server, from Debian's package, unpacked into a cache without installing it.

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

PACKAGE = "nats-server"
RECIPE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orcha-tools" / f"nats-{RECIPE}"


def main() -> int:
    if found := shutil.which("nats-server"):
        print(Path(found).parent)
        return 0
    if not (CACHE / "usr/sbin/nats-server").exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            print("nats: not installed, and this is no Debian machine to take its package from", file=sys.stderr)
            return 3
        try:
            unpack()
        except (subprocess.CalledProcessError, OSError, StopIteration) as exc:
            print(f"nats: its Debian package could not be had ({exc})", file=sys.stderr)
            return 3
    print(CACHE / "usr/sbin")
    return 0


def unpack() -> None:
    """Download the package and lay it out; the cache appears whole or not at all."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder:
        here = Path(folder)
        here.chmod(0o755)
        download = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "download", PACKAGE]
        if subprocess.run(download, cwd=here, capture_output=True, check=False).returncode:
            subprocess.run(["apt-get", "update"], capture_output=True, check=True)
            subprocess.run(download, cwd=here, capture_output=True, check=True)
        root = here / "root"
        subprocess.run(["dpkg", "-x", str(next(here.glob("*.deb"))), str(root)], check=True)
        root.chmod(0o755)
        if not CACHE.exists():
            root.rename(CACHE)


if __name__ == "__main__":
    sys.exit(main())
