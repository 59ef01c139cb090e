"""Where the state is: URL -> address, the checks before it is opened, the one-writer lock, and what went wrong in words.

    StoreError
    ├── StoreLocked    wait, or stop the other program that uses it; the next flush tries again
    ├── StoreFull      make room; nothing is lost meanwhile
    ├── StoreDamaged   the owner: put it aside or restore a copy; orcha never changes or deletes such a file
    ├── StoreFenced    another controller took over: this one must stop
    └── StoreRefused   the owner: another path, permission, version, driver or server is needed

Foreign exceptions are translated here, once, and chained. No message holds a password.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from controller.extras import how_to_get

if TYPE_CHECKING:
    from collections.abc import Iterator


class StoreError(Exception):
    """Base of all; `str()` is the sentence for the operator."""


class StoreLocked(StoreError):
    pass


class StoreFull(StoreError):
    pass


class StoreDamaged(StoreError):
    pass


class StoreFenced(StoreError):
    pass


class StoreRefused(StoreError):
    pass


_EXAMPLES: Final = "write sqlite:///PATH or postgresql://USER@HOST/NAME"


@dataclass(frozen=True, slots=True)
class Address:
    """A place for the state, with the driver that reaches it."""

    name: str
    """For messages: the path, or the URL without its password."""
    url: URL
    path: Path | None
    """Of SQLite; None: PostgreSQL."""


def address_of(url: str, *, write: bool) -> Address:
    """Read `sqlite:///PATH` or `postgresql://...`; the driver is implied. Raises StoreRefused."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as exc:
        raise StoreRefused(f"the state's address cannot be read; {_EXAMPLES}") from exc
    kind = parsed.drivername.partition("+")[0]
    if kind == "sqlite":
        return _sqlite(parsed, write=write)
    if kind not in {"postgresql", "postgres"}:
        raise StoreRefused(f"orcha keeps no state in {kind!r}; {_EXAMPLES}")
    if find_spec("asyncpg") is None:
        raise StoreRefused(f"state in PostgreSQL needs the library asyncpg; {how_to_get('asyncpg')}")
    return Address(parsed.render_as_string(hide_password=True), parsed.set(drivername="postgresql+asyncpg"), None)


def _sqlite(url: URL, *, write: bool) -> Address:
    if not url.database or url.database == ":memory:":
        raise StoreRefused(
            "the state must be a file that survives a restart; write sqlite:///PATH (four slashes for an absolute path)"
        )
    path = Path(url.database)
    _check(path, write=write)
    if write:
        return Address(str(path), URL.create("sqlite+aiosqlite", database=str(path)), path)
    query = {"uri": "true", "mode": "ro"}
    if not _can_share(path):
        query["immutable"] = "1"
    return Address(str(path), URL.create("sqlite+aiosqlite", database=f"file:{quote(str(path))}", query=query), path)


def _check(path: Path, *, write: bool) -> None:
    """What can be said better before SQLite tries."""
    try:
        if not path.parent.is_dir():
            raise StoreRefused(
                f"the directory {path.parent} of the state does not exist; create it, or name another with --state"
            )
        if path.is_dir():
            raise StoreRefused(f"the state {path} is a directory; name a file in it, such as sqlite:///{path}/orcha.db")
        if write or path.exists():
            return
    except OSError as exc:  # such as a folder of somebody else
        raise StoreRefused(
            f"the state {path} cannot be reached ({exc.strerror}); run this as who owns it, or name another with --state"
        ) from exc
    raise StoreRefused(f"there is no state at {path} yet; start `orcha run` first, or name another with --state")


def _can_share(path: Path) -> bool:
    """Whether a reader can take part in the write-ahead log: it has to be there, or the directory be writable for it.
    Where neither holds, nobody writes, and the file is read as it is.
    """
    return Path(f"{path}-wal").exists() or os.access(path.parent, os.W_OK, effective_ids=True)


def inode_of(path: Path | None) -> int:
    """Which file stands at the path; 0 for none. SQLite goes on writing into one that was deleted, where nobody finds it."""
    try:
        return path.stat().st_ino if path else 0
    except OSError:
        return 0


class WriterLock:
    """At most one writer per file: an flock on PATH.lock, which ends with the process however it ends.

    The lock is beside the file, not on it: closing any descriptor of an SQLite file would drop SQLite's own locks
    (sqlite.org/howtocorrupt.html, 2.2). The empty lock file stays; removing it would open a race.
    """

    def __init__(self, path: Path) -> None:
        self._file = Path(f"{path}.lock").open("a", encoding="utf-8")  # noqa: SIM115 held for as long as the store is open
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            self._file.close()
            if exc.errno in {errno.EAGAIN, errno.EACCES}:
                raise StoreLocked(
                    f"another orcha already writes to {path}; stop it, or give this one its own --state"
                ) from exc
            raise

    def release(self) -> None:
        self._file.close()


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Everything that a database or the file system raises, as a StoreError about the state `name`."""
    try:
        yield
    except DBAPIError as exc:
        raise _of_database(name, exc.orig) from exc
    except sqlite3.Error as exc:
        raise _of_database(name, exc) from exc
    except SQLAlchemyError as exc:
        raise StoreRefused(f"the state {name} cannot be used ({type(exc).__name__})") from exc
    except OSError as exc:
        raise _of_system(name, exc) from exc


def _of_database(name: str, exc: BaseException | None) -> StoreError:
    code = getattr(exc, "sqlite_errorcode", None)
    if code is None:
        return StoreRefused(f"the database {name} refused: {_short(exc)}")
    match code & 0xFF:
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return damaged(name, _short(exc))
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreLocked(
                f"the state {name} is locked by another program; close what has it open (it is tried again)"
            )
        case sqlite3.SQLITE_FULL:
            return _full(name)
        case sqlite3.SQLITE_READONLY:
            return _read_only(name)
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return StoreRefused(
                f"the state {name} cannot be opened; check that orcha's user may read and write it and its directory"
            )
        case sqlite3.SQLITE_IOERR:
            return StoreRefused(f"the disk under the state {name} reports errors ({_short(exc)}); check the disk")
    return StoreRefused(f"the state {name} cannot be used ({_short(exc)})")


def _of_system(name: str, exc: OSError) -> StoreError:
    if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _full(name)
    if exc.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return _read_only(name)
    return StoreRefused(
        f"the state {name} cannot be reached ({type(exc).__name__}: {exc.strerror or 'no answer'}); check its address"
    )


def damaged(name: str, found: str) -> StoreDamaged:
    return StoreDamaged(
        f"the state {name} is damaged or no state of orcha's ({found}); "
        "it was left as it is: move it aside, restore a copy, or name another with --state"
    )


def _full(name: str) -> StoreFull:
    return StoreFull(f"no room left for the state {name}; make room on its disk (nothing is lost, it is tried again)")


def _read_only(name: str) -> StoreRefused:
    return StoreRefused(
        f"the state {name} is read-only for orcha; let its user write the file and its directory, or name another with --state"
    )


def _short(exc: BaseException | None) -> str:
    words = " ".join(str(exc).split())
    return words if len(words) <= 120 else words[:119] + "…"
