"""Where an export goes: a file that appears when it is whole, or stdout.

    FILE.part        what was written so far
    FILE.part.json   a Note: what was asked for, how far of FILE.part is sure to be on the disk, and where the rows go on

The note is written anew, after its part is on the disk, about four times a second; so after a kill or a power cut FILE.part
is cut back to what the note says, and it goes on from there. FILE itself is only ever put in place as a whole.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from controller.export.columns import Row
    from controller.export.formats import Writer
    from controller.export.pages import Place

EVERY: Final = 0.25
"""Seconds between two notes, at least."""
OUT: Final = "stdout"
_AGAIN: Final = "begin anew with --force"


class Refused(Exception):
    """`str()` says what is wrong and what would be right."""


@dataclass(frozen=True, slots=True)
class Note:
    asked: Mapping[str, Any]
    """What the same command asks for again."""
    since: float
    until: float
    """Of the period, in Unix seconds: "now" is the now of the first time."""
    resume: Place
    size: int = 0
    """Bytes of FILE.part that are sure."""
    rows: int = 0
    replaces: bool = False
    """Whether FILE may be replaced."""
    done: bool = False
    """All rows are there: FILE is to be made of them."""


class Part:
    """One export that goes to a file. Make it with `begin` or `go_on`, then `take` rows, then `finish`."""

    def __init__(self, path: Path, writer: Writer, note: Note, file: IO[bytes] | None, every: float) -> None:
        self.path, self.note, self._writer, self._file, self._every = path, note, writer, file, every
        self.rows = note.rows
        self._noted = time.monotonic()

    @classmethod
    def begin(cls, path: Path, writer: Writer, note: Note, every: float = EVERY) -> Self:
        """Raises Refused, OSError."""
        if path.exists() and not note.replaces:
            raise Refused(f"{path} is there already; name another file with --output, or replace it with --force")
        if note_path(path).exists() and not note.replaces:
            raise Refused(f"an export to {path} stopped early; go on with --resume, or {_AGAIN}")
        file = _locked(path)
        note_path(path).unlink(missing_ok=True)
        _cut(file, 0)
        note = replace(note, size=file.write(writer.head()))
        file.flush()
        _write_note(path, note)
        return cls(path, writer, note, file, every)

    @classmethod
    def go_on(cls, path: Path, writer: Writer, note: Note, every: float = EVERY) -> Self:
        """From what `noted` found. Raises Refused, OSError."""
        if note.done and path.exists() and not part_path(path).exists():  # it was put in place, and killed just then
            return cls(path, writer, note, None, every)
        file = _locked(path)
        if (size := part_path(path).stat().st_size) < note.size:
            file.close()
            raise Refused(f"{part_path(path)} has {size} bytes, and had {note.size} before; {_AGAIN}")
        _cut(file, note.size)
        return cls(path, writer, note, file, every)

    @property
    def open(self) -> bool:
        """Whether rows are wanted; False: they are all there."""
        return self._file is not None and not self.note.done

    def take(self, rows: Sequence[Row]) -> None:
        if self._file is None:
            raise ValueError("the export is over")
        self._file.write(self._writer.rows(rows))
        self.rows += len(rows)

    def sure(self, resume: Place) -> None:
        """Note what was taken so far, and where to go on, if the last note is some time ago."""
        if time.monotonic() - self._noted >= self._every:
            self._note(resume=resume)

    def _note(self, **changed: Any) -> None:
        if self._file is None:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self.note = replace(self.note, size=self._file.tell(), rows=self.rows, **changed)
        _write_note(self.path, self.note)
        self._noted = time.monotonic()

    def finish(self) -> None:
        """All rows were taken: put FILE in place, the part itself or what the writer makes of it. May be done again."""
        if self.open:
            self._note(done=True)
        part = part_path(self.path)
        if part.exists():
            made = part
            if not self._writer.in_place:
                made = Path(f"{self.path}.new")
                with part.open("rb") as pieces, made.open("wb") as file:
                    self._writer.finish(pieces, file)
                    file.flush()
                    os.fsync(file.fileno())
            made.replace(self.path)
            _sync_folder(self.path)
            part.unlink(missing_ok=True)
        note_path(self.path).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


class Piped:
    """An export that goes to stdout: nothing of it can be gone on with."""

    def __init__(self, out: IO[bytes], writer: Writer, note: Note) -> None:
        self.note, self._out, self._writer = note, out, writer
        self._pieces: IO[bytes] = out if writer.in_place else tempfile.TemporaryFile()  # noqa: SIM115 closed by __exit__
        self._pieces.write(writer.head())

    def take(self, rows: Sequence[Row]) -> None:
        self._pieces.write(self._writer.rows(rows))

    def sure(self, _resume: Place) -> None:
        """Whoever reads wants what there is."""
        self._pieces.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._writer.in_place:
            with self._pieces:
                self._pieces.seek(0)
                if kind is None:
                    self._writer.finish(self._pieces, self._out)
        if kind is None:
            self._out.flush()


def part_path(path: Path) -> Path:
    return Path(f"{path}.part")


def note_path(path: Path) -> Path:
    return Path(f"{path}.part.json")


def noted(path: Path, asked: Mapping[str, Any]) -> Note | None:
    """Of an export that stopped early; None: there is none. Raises Refused where that one asked for something else."""
    try:
        found = json.loads(note_path(path).read_text(encoding="utf-8"))
        note = _note_of(found)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, LookupError) as exc:
        raise Refused(f"{note_path(path)} is not what orcha export wrote; {_AGAIN}") from exc
    for name, value in asked.items():
        if note.asked.get(name) != value:
            said = (
                f": --{name} was {note.asked.get(name)}" if name != "columns" else ": it was another version of orcha"
            )
            raise Refused(f"the export to {path} that stopped early is not this one{said}; run that one, or {_AGAIN}")
    return note


def _note_of(found: Any) -> Note:
    """As it was written. Raises ValueError, TypeError, LookupError where it was not."""
    at, id_ = found["resume"]
    note = Note(**{**found, "resume": (float(at), id_), "since": float(found["since"]), "until": float(found["until"])})
    if not (isinstance(note.asked, dict) and isinstance(note.size, int) and isinstance(note.rows, int)):
        raise TypeError("a note of something else")
    return note


def check_place(path: Path, state: Path | None) -> None:
    """Raises Refused where no file can be, or something else is that must stay. `state`: that of SQLite."""
    if path.is_dir():
        raise Refused(f"--output {path} is a directory; name a file in it")
    if not path.parent.is_dir():
        raise Refused(f"--output {path}: there is no directory {path.parent}")
    if path.exists() and not path.is_file():
        raise Refused(f"--output {path} is no file; for stdout write -")
    if state is not None and path.resolve() in {
        Path(f"{state.resolve()}{end}") for end in ("", "-wal", "-shm", ".lock")
    }:
        raise Refused(f"--output {path} is the state itself; name another file")


@contextmanager
def explained(name: str) -> Iterator[None]:
    """What the file system refuses, as Refused."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            again = (
                "export to a file with --output, which can be gone on with" if name == OUT else "go on with --resume"
            )
            raise Refused(f"no room left for {name}; make room on its disk, and {again}") from exc
        raise Refused(f"{name} cannot be written ({exc.strerror})") from exc


def _locked(path: Path) -> IO[bytes]:
    """One export at a time; the lock ends with the process however it ends."""
    file = part_path(path).open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        file.close()
        raise Refused(f"another export writes to {path} now; wait until it is done, or name another file") from exc
    return file


def _cut(file: IO[bytes], size: int) -> None:
    file.truncate(size)
    file.seek(0, os.SEEK_END)  # or it would still tell where the end was


def _write_note(path: Path, note: Note) -> None:
    made = Path(f"{note_path(path)}.new")
    with made.open("w", encoding="utf-8") as file:
        json.dump(asdict(note), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    made.replace(note_path(path))
    _sync_folder(path)


def _sync_folder(path: Path) -> None:
    """So that a new name survives a power cut; not every file system can."""
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
