#!/usr/bin/env python3
"""NATS, the server, from Debian's package, unpacked into a cache without installing it.

Prints the folder that holds the program. Exit 3 with one line where it cannot be had. Idempotent.
"""

from __future__ import annotations

import sys
from pathlib import Path

import _debian

if __name__ == "__main__":
    sys.exit(_debian.fetch(Path(__file__), ["nats-server"], ["nats-server"], "usr/sbin"))
