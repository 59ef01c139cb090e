"""Room in this process for many nodes: what every program that polls asks for once, at its start."""

from __future__ import annotations

import contextlib
import gc
import resource


def allow_many() -> None:
    """Room for a connection to each of many nodes, and rarer collections: Readings hold no cycles."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.set_threshold(50_000, 20, 20)
