"""What this machine has: cores, memory, and the disk under a folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from controller.setup.sizing import Disk, Machine


def machine() -> Machine:
    """As this process may use it: fewer cores than the machine has where it is pinned to some."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(cores, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def disk(folder: Path) -> Disk:
    """The disk under a folder. Raises OSError."""
    found = shutil.disk_usage(folder)
    return Disk(found.total, found.free)
