#!/usr/bin/env python3
"""PostgreSQL's server programs: those of the machine, else Debian's package, which only root can install.

They are not unpacked into a cache like the others: the server refuses to run as root, and nobody else may read root's
cache. Prints the folder that holds initdb. Exit 3 with one line where it cannot be had.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def found() -> Path | None:
    program = shutil.which("initdb") or next((str(p) for p in Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    return Path(program).parent if program else None


def main() -> int:
    if found() is None:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            print(
                "postgresql: not installed, and only root on a Debian machine can install its package", file=sys.stderr
            )
            return 3
        argv = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends", "postgresql"]
        quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "capture_output": True}
        if subprocess.run(argv, check=False, **quiet).returncode:
            subprocess.run(["apt-get", "update"], check=False, **quiet)
            subprocess.run(argv, check=False, **quiet)
    where = found()
    if where is None:
        print("postgresql: its Debian package could not be installed", file=sys.stderr)
        return 3
    print(where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
