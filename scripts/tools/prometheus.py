#!/usr/bin/env python3
"""Prometheus, promtool, Alertmanager and amtool from Debian's packages, unpacked into a cache without installing them.

Prints the folder that holds the programs. Exit 3 with one line where they cannot be had. Idempotent.
"""

from __future__ import annotations

import sys
from pathlib import Path

import _debian

PACKAGES = ("prometheus", "prometheus-alertmanager")
PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")

if __name__ == "__main__":
    sys.exit(_debian.fetch(Path(__file__), PROGRAMS, PACKAGES, "usr/bin"))
