"""Tells when the files of the manifests changed, however they did: written in place, renamed over, swapped by a symlink
(as Kubernetes does with ConfigMaps, and git-sync), made unreadable, deleted together with their directory and put back.

It looks at the files twice a second. The kernel's events would be earlier by half of that, but end with the directory or
file that they were asked for, and never come over NFS or through many a container's mount.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar

from exporters.clock import Clock
from exporters.documents import CannotRead, files_of

EVERY: Final = 0.5
"""Seconds between two looks. Some hundred files take a millisecond."""
MOST_LOOKS: Final = 5
"""Looks in a row that may find something new until what is there counts, even if it still changes."""

MOST_READS: Final = 5
"""Times that a set is read where each time it changed under the reader; a swap takes a millisecond, so one more is enough."""

T = TypeVar("T")
Print = tuple[tuple[str, int, int, int, int, int], ...] | str
"""(path, device, inode, size, time of content, time of content or rights) of each file; or why there is none."""


def fingerprint(paths: Iterable[str | Path]) -> Print:
    """What changes whenever a file does. Never raises: what cannot be looked at is a state as well."""
    try:
        seen = [(str(path), path.stat()) for path in files_of(paths)]
    except CannotRead as exc:
        return str(exc)
    except OSError as exc:
        return f"{exc.filename} cannot be looked at ({exc.strerror})"
    return tuple((name, at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for name, at in seen)


def at_rest(paths: Iterable[str | Path], look: Callable[[], T]) -> tuple[T, Print]:
    """What `look` reads of the files, all of it of one time, and what the files were then: where something changed while
    it read, it reads again, so that nobody gets half of an old set and half of a new one. Raises what `look` raises, and
    CannotRead where the files change all the time.
    """
    paths = list(paths)
    if _can_be_read_once(paths):
        return look(), fingerprint(paths)
    for _ in range(MOST_READS):
        before = fingerprint(paths)
        try:
            found = look()
        except CannotRead:  # a file that a swap took away
            if fingerprint(paths) == before:
                raise
            continue
        if fingerprint(paths) == before:
            return found, before
    names = ", ".join(map(str, paths))
    raise CannotRead(f"{names}: the files change while they are read, time and again; put a new set there in one go")


def _can_be_read_once(paths: Iterable[str | Path]) -> bool:
    """Whether one of them is a pipe: kustomize build | orcha validate /dev/stdin."""
    try:
        return any(not stat.S_ISREG(path.stat().st_mode) for path in files_of(paths))
    except (CannotRead, OSError):
        return False


async def changes(paths: Iterable[str | Path], known: Print, clock: Clock) -> AsyncIterator[None]:
    """Yields, for ever, once after each change since `known`, when the files have come to rest: whoever reads then does
    not read half of what is being written.
    """
    paths = list(paths)
    before, moved = known, 0
    while True:
        await clock.sleep(EVERY)
        now = await asyncio.to_thread(fingerprint, paths)  # a file system that hangs must hang nothing else
        moved = moved + 1 if now != before else 0
        before = now
        if now != known and (not moved or moved >= MOST_LOOKS):
            known, moved = now, 0
            yield
