"""Rows as bytes: CSV, JSON Lines, Parquet. Each writer makes pieces that may be put one after the other, and be cut off
between two of them; what is made of them at the end is `finish`'s to say. The same rows give the same bytes, however
they are cut into pieces (of Parquet the same rows).
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from controller.export.columns import Column, Kind, Row
from controller.extras import how_to_get

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS: Final = ("csv", "json", "parquet")
GROUP: Final = 50_000
"""Rows of one row group of Parquet."""
GROUP_BYTES: Final = 16 * 2**20
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "'")
"""What a spreadsheet takes for a formula where a text begins with it; and the sign that tells it not to."""
_SPECIAL: Final = frozenset(',"\r\n')
_LENGTH: Final = struct.Struct("<Q")
_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class NotInstalled(Exception):
    """`str()` says what to install."""


class Writer(Protocol):
    """One format."""

    in_place: bool
    """Whether its pieces are what others read; else `finish` makes that of them."""

    def head(self) -> bytes:
        """What comes before all rows."""

    def rows(self, rows: Sequence[Row]) -> bytes: ...

    def finish(self, pieces: IO[bytes], file: IO[bytes]) -> None:
        """Write what is to be read by others, from all the pieces."""


def writer_of(format_: str, columns: Sequence[Column]) -> Writer:
    """Raises NotInstalled."""
    if format_ == "csv":
        return Csv(columns)
    return JsonLines(columns) if format_ == "json" else Parquet(columns)


# --- values -------------------------------------------------------------------------------------------------------


def micros(at: float) -> int:
    """Microseconds since 1970: as fine as a time is kept."""
    return round(at * 1e6)


def rfc3339(at: float) -> str:
    """1_800_000_000.25 -> "2027-01-15T08:00:00.250000Z"."""
    second, rest = divmod(micros(at), 1_000_000)
    return f"{_second(second)}.{rest:06d}Z"


@lru_cache(maxsize=1024)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat()


def plain(text: str) -> str:
    """Without halves of signs, which no file can hold: a node's own words may have anything in them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def guarded(text: str) -> str:
    """A text as a cell that no spreadsheet runs: one that begins like a formula has ' before it. So has one that begins
    with ', so that taking one ' off whatever begins with it gives the text back.
    """
    text = plain(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _as_json(value: Any) -> str:
    return plain(_encode(value))


def _converted(rows: Sequence[Row], how: Sequence[tuple[int, Callable[[Any], Any]]]) -> Iterator[list[Any]]:
    """With some of the values as something else, the unknown ones left as they are."""
    for row in rows:
        values = list(row)
        for i, change in how:
            if values[i] is not None:
                values[i] = change(values[i])
        yield values


# --- formats ------------------------------------------------------------------------------------------------------


class Csv:
    """RFC 4180 but for the end of a line, which is a line feed alone; the first line names the columns. Unknown and "" are
    empty.
    """

    in_place = True

    def __init__(self, columns: Sequence[Column]) -> None:
        self._names = [column.name for column in columns]
        self._how = [_CELLS[column.kind] for column in columns]

    def head(self) -> bytes:
        return (",".join(self._names) + "\n").encode()

    def rows(self, rows: Sequence[Row]) -> bytes:
        columns = _columns(rows, self._how, unknown="")
        return "".join([f"{','.join(cells)}\n" for cells in zip(*columns, strict=True)]).encode()

    def finish(self, pieces: IO[bytes], file: IO[bytes]) -> None:
        shutil.copyfileobj(pieces, file)


class JsonLines:
    """An object a line, with every column in its order; unknown is null."""

    in_place = True

    def __init__(self, columns: Sequence[Column]) -> None:
        self._line = "{" + ",".join(f"{_encode(column.name)}:%s" for column in columns) + "}\n"
        self._how = [_VALUES[column.kind] for column in columns]

    def head(self) -> bytes:
        return b""

    def rows(self, rows: Sequence[Row]) -> bytes:
        line, columns = self._line, _columns(rows, self._how, unknown="null")
        return "".join([line % values for values in zip(*columns, strict=True)]).encode()

    def finish(self, pieces: IO[bytes], file: IO[bytes]) -> None:
        shutil.copyfileobj(pieces, file)


def _columns(rows: Sequence[Row], how: Sequence[Callable[[Any], str]], *, unknown: str) -> list[list[str]]:
    """Column by column, each value as text."""
    return [
        [unknown if value is None else change(value) for value in values]
        for change, values in zip(how, zip(*rows, strict=True), strict=bool(rows))
    ]


@lru_cache(maxsize=4096)
def _cell(text: str) -> str:
    """Quoted where it has to be; csv.writer leaves a lone carriage return alone."""
    if _SPECIAL.isdisjoint(text):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


@lru_cache(maxsize=4096)
def _json_text(text: str) -> str:
    return _as_json(text)


def _truth(value: bool) -> str:
    return "true" if value else "false"


_CELLS: Final[Mapping[Kind, Callable[[Any], str]]] = {
    Kind.TIME: rfc3339,
    Kind.TEXT: lambda text: _cell(guarded(text)),
    Kind.NUMBER: repr,
    Kind.WHOLE: str,
    Kind.TRUTH: _truth,
    Kind.LIST: lambda value: _cell(_as_json(value)),
}
_VALUES: Final[Mapping[Kind, Callable[[Any], str]]] = {
    Kind.TIME: lambda at: f'"{rfc3339(at)}"',
    Kind.TEXT: _json_text,
    Kind.NUMBER: _encode,
    Kind.WHOLE: str,
    Kind.TRUTH: _truth,
    Kind.LIST: _as_json,
}


class Parquet:
    """A piece is an Arrow record batch with its length before it, for a Parquet file cannot be gone on with: its end tells
    what is in it. `finish` makes one of all pieces, a row group at a time.
    """

    in_place = False

    def __init__(self, columns: Sequence[Column]) -> None:
        try:
            import pyarrow as pa
        except ImportError as exc:
            raise NotInstalled(f"Parquet needs the library pyarrow; {how_to_get('pyarrow')}") from exc
        types = {
            Kind.TIME: pa.timestamp("us", tz="UTC"), Kind.NUMBER: pa.float64(), Kind.WHOLE: pa.int64(),
            Kind.TRUTH: pa.bool_(),
        }  # fmt: skip
        self._pa = pa
        self.schema = pa.schema([(column.name, types.get(column.kind, pa.string())) for column in columns])
        how: dict[Kind, Callable[[Any], Any]] = {Kind.TIME: micros, Kind.TEXT: plain, Kind.LIST: _as_json}
        self._how = [(i, how[column.kind]) for i, column in enumerate(columns) if column.kind in how]

    def head(self) -> bytes:
        return b""

    def rows(self, rows: Sequence[Row]) -> bytes:
        if not rows:
            return b""
        columns = zip(*_converted(rows, self._how), strict=True)
        arrays = [self._pa.array(values, type=field.type) for values, field in zip(columns, self.schema, strict=True)]
        batch: bytes = self._pa.RecordBatch.from_arrays(arrays, schema=self.schema).serialize().to_pybytes()
        return _LENGTH.pack(len(batch)) + batch

    def finish(self, pieces: IO[bytes], file: IO[bytes]) -> None:
        import pyarrow.parquet as pq

        with pq.ParquetWriter(file, self.schema, compression="zstd") as out:
            for group in self._groups(pieces):
                out.write_table(group, row_group_size=max(len(group), 1))

    def _groups(self, pieces: IO[bytes]) -> Iterator[pa.Table]:
        """Tables of about GROUP rows, or of GROUP_BYTES."""
        waiting: list[pa.RecordBatch] = []
        for batch in self._batches(pieces):
            waiting.append(batch)
            if sum(map(len, waiting)) >= GROUP or sum(each.nbytes for each in waiting) >= GROUP_BYTES:
                yield self._pa.Table.from_batches(waiting)
                waiting = []
        if waiting:
            yield self._pa.Table.from_batches(waiting)

    def _batches(self, pieces: IO[bytes]) -> Iterator[pa.RecordBatch]:
        while head := pieces.read(_LENGTH.size):
            (size,) = _LENGTH.unpack(head)
            yield self._pa.ipc.read_record_batch(self._pa.py_buffer(pieces.read(size)), self.schema)
