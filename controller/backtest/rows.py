"""The rows of a trace: CSV -> columns of numbers for each workload (interfaces.md, Traces). Nothing that is odd is let pass.

CSV as in RFC 4180: fields may be quoted, lines may end in CRLF; UTF-8, with or without a byte order mark; no comments.
Read as a stream: a year of minutes of twelve workloads (6.3 million rows) takes 24 bytes a row.
"""

from __future__ import annotations

import csv
import math
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NoReturn

from exporters.documents import Problem

REQUIRED: Final = ("time", "node", "workload", "demand", "usd_per_unit_hour")
OPTIONAL: Final = ("up", "tariff_usd_per_kwh", "allocated")
MOST_PROBLEMS: Final = 20
"""Named at once; a file of another kind has as many as it has lines."""
MOST: Final = 1e18
"""A larger figure is none (exporters/collector.py)."""
LATEST: Final = 1e11
"""Unix seconds (the year 5138): what lies beyond is in milliseconds."""
_EVERY: Final = 100_000
"""Rows between two words of progress."""
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_TRUTHS: Final = {"true": True, "1": True, "": True, "false": False, "0": False}


class BadTrace(Exception):
    """A trace that cannot be replayed; `problems` are what is wrong, by line, `str()` all of them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class _Wrong(ValueError):
    """What is wrong with one row."""


@dataclass(slots=True)
class Column:
    """What a trace says of one workload, by row."""

    time: array[float] = field(default_factory=lambda: array("d"))
    demand: array[float] = field(default_factory=lambda: array("d"))
    """NaN: nobody knows."""
    value: array[float] = field(default_factory=lambda: array("d"))
    down: list[int] = field(default_factory=list)
    """Rows in which it was not up."""
    line: int = 0
    """Of its first row."""
    allocated: float | None = None
    """At the first row; None: not said."""


@dataclass(slots=True)
class Rows:
    columns: dict[str, Column] = field(default_factory=dict)
    """By key, in the order of their first rows."""
    tariff: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Node -> (time, USD per kWh from then on), where that changed."""
    skipped: set[str] = field(default_factory=set)
    """Keys of known workloads that are not asked for."""


def rows(
    lines: Iterable[bytes], file: str, wanted: Mapping[str, str | None], *,
    progress: Callable[[int], None] = lambda _: None,
) -> Rows:  # fmt: skip
    """Read all of it. `wanted`: every known key -> None, or why no trace can speak of it ("" = leave it out silently).

    `progress` is told how many bytes were read. Raises BadTrace with up to MOST_PROBLEMS problems.
    """
    reader = _Reader(file, wanted)
    text = _Text(lines, file)
    try:
        for number, row in enumerate(csv.reader(text, strict=True)):
            if not number % _EVERY:
                progress(text.bytes)
            if row or not number:
                reader.take(row, text.line)
    except csv.Error as exc:
        reader.wrong(text.line, f"is no CSV ({exc}); write fields between commas, quoted in full or not at all")
    except UnicodeDecodeError:
        reader.wrong(text.line, "is not UTF-8; save the file as UTF-8")
    return reader.done()


class _Text:
    """Bytes -> lines of text, counted."""

    def __init__(self, lines: Iterable[bytes], file: str) -> None:
        self._lines, self.file, self.line, self.bytes = iter(lines), file, 0, 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.line += 1
            self.bytes += len(line)
            yield line.decode("utf-8-sig" if self.line == 1 else "utf-8")


class _Reader:
    """Takes one row after the other."""

    def __init__(self, file: str, wanted: Mapping[str, str | None]) -> None:
        self.file, self.wanted, self.found = file, wanted, Rows()
        self.problems: list[Problem] = []
        self._place: dict[str, int] = {}
        self._width = 0
        self._time_text, self._time = "", -math.inf
        self._tariff_at: dict[str, tuple[float, float]] = {}

    def wrong(self, line: int, sentence: str) -> None:
        self.problems.append(Problem(self.file, line, "", sentence))
        if len(self.problems) >= MOST_PROBLEMS:
            self._give_up(f"and perhaps more: reading ended after {MOST_PROBLEMS} problems")

    def _give_up(self, sentence: str | None = None) -> NoReturn:
        more = [] if sentence is None else [Problem(self.file, 0, "", sentence)]
        raise BadTrace([*self.problems, *more])

    def done(self) -> Rows:
        if not self._place and not self.problems:
            self.wrong(0, f"is empty; its first line is {','.join(REQUIRED)}")
        if not self.problems and not self.found.columns:
            self.wrong(0, "has no row that can be replayed; write at least one for each workload")
        if self.problems:
            self._give_up()
        return self.found

    def take(self, row: list[str], line: int) -> None:
        if not self._place:
            self._header(row, line)
            return
        try:
            self._row(row, line)
        except _Wrong as exc:
            self.wrong(line, str(exc))

    def _header(self, row: list[str], line: int) -> None:
        names, known = [name.strip() for name in row], (*REQUIRED, *OPTIONAL)
        for name in sorted(set(names) - set(known)):
            self.wrong(line, f"there is no column {name[:40]!r}; there are {', '.join(known)}")
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.wrong(line, f"column {name[:40]!r} is there twice")
        if missing := [name for name in REQUIRED if name not in names]:
            self.wrong(
                line, f"column{'s' if len(missing) > 1 else ''} {', '.join(missing)} missing from the first line"
            )
        if self.problems:
            self._give_up()
        self._place, self._width = {name: names.index(name) for name in names}, len(names)

    def _row(self, row: list[str], line: int) -> None:
        if len(row) != self._width:
            if row[0].lstrip().startswith("#"):
                raise _Wrong("a trace has no comments; remove the line")
            raise _Wrong(f"has {len(row)} fields where the first line has {self._width}")
        place = self._place
        self._tell_time(row[place["time"]])
        node, key = row[place["node"]], f"{row[place['node']]}/{row[place['workload']]}"
        column = self.found.columns.get(key)
        if column is None and (column := self._begin(key, line)) is None:
            return
        if column.time and column.time[-1] == self._time:
            raise _Wrong(f"{key} has two rows of one time; keep one")
        demand, value = _demand(row[place["demand"]], row[place["usd_per_unit_hour"]])
        up = True if "up" not in place else _truth(row[place["up"]])
        tariff = self._optional(row, "tariff_usd_per_kwh")
        if not column.time:
            column.allocated = self._optional(row, "allocated")
        if not up:
            column.down.append(len(column.time))
        column.time.append(self._time)
        column.demand.append(demand)
        column.value.append(value)
        if tariff is not None:
            self._charge(node, tariff)

    def _optional(self, row: list[str], name: str) -> float | None:
        """A figure of a column that may be left out, or empty."""
        if name not in self._place or not row[self._place[name]].strip():
            return None
        return _figure(row[self._place[name]], name)

    def _tell_time(self, text: str) -> None:
        if text == self._time_text:
            return
        at = _time(text)
        if at < self._time:
            raise _Wrong(f"time {text.strip()[:40]} is before that of the row above; sort the rows by time")
        self._time_text, self._time = text, at

    def _begin(self, key: str, line: int) -> Column | None:
        """The column of a workload that is seen for the first time; None where it is to be left out."""
        if key not in self.wanted:
            known = [each for each in sorted(self.wanted) if self.wanted[each] is None]
            raise _Wrong(f"the manifests have no workload {key[:80]!r}; there are {', '.join(known[:10]) or 'none'}")
        if why := self.wanted[key]:
            raise _Wrong(f"{key} {why}; leave its rows out")
        if self.wanted[key] is not None:
            self.found.skipped.add(key)
            return None
        return self.found.columns.setdefault(key, Column(line=line))

    def _charge(self, node: str, tariff: float) -> None:
        at, before = self._tariff_at.get(node, (-math.inf, math.nan))
        if at == self._time and before != tariff:
            raise _Wrong(f"{node} had another tariff, {before:g}, at this very time; a node has one")
        self._tariff_at[node] = self._time, tariff
        if before != tariff:
            self.found.tariff.setdefault(node, []).append((self._time, tariff))


def _time(text: str) -> float:
    """Unix seconds of an RFC 3339 time, or of a number of them."""
    text = text.strip()
    right = "write it as 2026-01-05T00:00:00Z, or as Unix seconds"
    if _RFC3339.fullmatch(text):
        try:
            at = datetime.fromisoformat(text.upper()).timestamp()
        except ValueError as exc:
            raise _Wrong(f"time {text[:40]!r} does not exist ({exc}); {right}") from None
    else:
        try:
            at = _plain(text)
        except ValueError:
            raise _Wrong(f"time {text[:40]!r} is not a time with its zone; {right}") from None
    if at > LATEST:
        raise _Wrong(f"time {text[:40]} looks like milliseconds; write seconds")
    if at < 0:
        raise _Wrong(f"time {text[:40]!r} is before 1970; {right}")
    return at


def _plain(text: str) -> float:
    """A finite number as people write it. ValueError for what only Python reads, such as 1_000, nan and inf."""
    found = float(text)
    if not math.isfinite(found) or "_" in text or not text.isascii():
        raise ValueError(text)
    return found


def _figure(text: str, name: str) -> float:
    text = text.strip()
    try:
        found = _plain(text)
    except ValueError:
        raise _Wrong(f"{name} {text[:40]!r} is not a number; write one, such as 2.5, or nothing if unknown") from None
    if found < 0:
        raise _Wrong(f"{name} {text[:40]} is below 0")
    if found > MOST:
        raise _Wrong(f"{name} {text[:40]} is more than anything has; write it in base units")
    return found


def _demand(demand: str, value: str) -> tuple[float, float]:
    """Both figures of a row; NaN where nobody knows the demand."""
    priced = value.strip() != ""
    worth = _figure(value, "usd_per_unit_hour") if priced else math.nan
    if not demand.strip():
        return math.nan, math.nan
    wanted = _figure(demand, "demand")
    if not priced:
        raise _Wrong("usd_per_unit_hour is empty where demand is known; write what a used unit earned an hour, or 0")
    return wanted, worth


def _truth(text: str) -> bool:
    found = _TRUTHS.get(text.strip().lower())
    if found is None:
        raise _Wrong(f"up {text[:40]!r} is neither true nor false; write one of them, or 1 or 0")
    return found
