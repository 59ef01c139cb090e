#!/usr/bin/env python3
"""systemd-analyze: as installed, else from Debian's packages, unpacked into a cache without installing them. A test tool.

Prints the folder that holds the program. Exit 3 with one line where it cannot be had. Idempotent.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import _debian

PACKAGES = ("systemd", "libsystemd-shared")
WRAPPER = """#!/bin/sh
here=$(dirname "$0")
LD_LIBRARY_PATH=$(echo "$here"/usr/lib/*/systemd):$(echo "$here"/usr/lib/*-linux-gnu) \\
exec "$here/usr/bin/systemd-analyze" "$@"
"""
"""Its library lies beside it and not where the loader looks."""


def wrap(root: Path) -> None:
    """The wrapper, tried out."""
    program = root / "systemd-analyze"
    program.write_text(WRAPPER)
    program.chmod(0o755)
    subprocess.run([program, "--version"], capture_output=True, check=True)


if __name__ == "__main__":
    sys.exit(_debian.fetch(Path(__file__), ["systemd-analyze"], PACKAGES, ".", wrap))
