"""Block statistics of one workload: how use and earnings over time are summed up, packed, and unpacked again. Pure.

    samples ──hold──▶ Block (open) ──append──▶ Series (packed) ──unpack──▶ model.Blocks (dense, for the estimators)

A Block sums what was seen in 5 minutes; when it is a day old, the blocks of one hour become one (`Series.roll`; memories.py
says what is made of those of thousands of workloads). All
figures but the first and last use are sums over time, so that rolling up is adding. The use of a block is kept as hours
at levels: quarter steps of the allocation, exact where there was room left, censored where there was none (economics.md 2).
Only levels that occur are kept, and a Series holds them in 4-byte columns: a block takes 90 to 140 bytes.

Units: minutes since 1970 for the start of a block, seconds for its span, hours, base units of the resource, USD.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from controller.model import Blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

NAN: Final = math.nan
HOUR: Final = 3600
FULL_WITHIN: Final = 0.02
"""The epsilon of economics.md 2."""
MOST_LEVELS: Final = 512
"""Levels that one workload can have. With more quarter steps than that up to its maximum, levels are coarser."""

FIGURES: Final = (
    "hours", "usd", "unit_hours", "rate_hours", "used_unit_hours", "used_hours", "used_first", "used_last",
    "room_hours", "room_growth", "net_usd", "net_hours", "gross_usd", "energy_usd", "down_hours",
    "allocated_unit_hours", "allocated_hours", "tokens", "token_usd",
)  # fmt: skip
"""The figures of a Block, in the order of a packed row and of the columns in the store."""
_WIDTH: Final = len(FIGURES)
_SUMS: Final = tuple(name for name in FIGURES if name not in {"used_first", "used_last"})
_figures: Final[Callable[[Block], tuple[float, ...]]] = attrgetter(*FIGURES)


@dataclass(slots=True)
class Sample:
    """What one look said, as far as history keeps it. NaN = unknown. Not to be changed."""

    at: float
    up: bool
    allocated: float = NAN
    used: float = NAN
    net: float = NAN
    """USD per hour in hand, before energy."""
    gross: float = NAN
    energy: float = NAN
    """USD per hour at the tariff of that moment."""
    price: float = NAN
    """USD per token, where it is paid in one."""

    @property
    def figures(self) -> list[float | None]:
        """For JSON, with all digits; None = unknown."""
        values = (self.allocated, self.used, self.net, self.gross, self.energy, self.price)
        return [self.at, self.up, *(None if math.isnan(value) else value for value in values)]

    @classmethod
    def of_figures(cls, figures: Sequence[Any]) -> Self:
        at, up, *values = figures
        return cls(at, bool(up), *(NAN if value is None else value for value in values))


@dataclass(slots=True)
class Block:
    """The sums of one block of time, while it is open or being worked on."""

    start: int
    span: int
    levels: dict[int, float] = field(default_factory=dict)
    """2 x level, + 1 where censored -> hours."""
    hours: float = 0.0
    """Observed: up, and fresh."""
    usd: float = 0.0
    """Net, before energy, while both rate and use were known."""
    unit_hours: float = 0.0
    rate_hours: float = 0.0
    used_unit_hours: float = 0.0
    """While use was known, whether the rate was or not."""
    used_hours: float = 0.0
    used_first: float = NAN
    used_last: float = NAN
    room_hours: float = 0.0
    """With room left, and use known at both ends."""
    room_growth: float = 0.0
    net_usd: float = 0.0
    """Net, before energy, while the rate was known, whether use was or not: what reports add up."""
    net_hours: float = 0.0
    gross_usd: float = 0.0
    energy_usd: float = 0.0
    down_hours: float = 0.0
    """Looked at, and failing."""
    allocated_unit_hours: float = 0.0
    allocated_hours: float = 0.0
    tokens: float = 0.0
    """What of `usd` was in the one token that it is paid in."""
    token_usd: float = 0.0
    """That part of `usd`: the two tell at which price it was."""

    @property
    def figures(self) -> tuple[float, ...]:
        """In the order of FIGURES."""
        return _figures(self)

    def absorb(self, later: Block) -> None:
        """Add what a later block saw. Start and span stay."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(later, name))
        if math.isnan(self.used_first):
            self.used_first = later.used_first
        if not math.isnan(later.used_last):
            self.used_last = later.used_last
        for code, hours in later.levels.items():
            self.levels[code] = self.levels.get(code, 0.0) + hours


def quantum_of(step: float | None, largest: float | None) -> float:
    """The distance of two levels: a quarter step, doubled until the maximum is within MOST_LEVELS; 0 = no levels.

    A step of 128 GiB up to 12 TiB: 32 GiB (384 levels). A step of 1 core up to 1000: 2 cores (500 levels).
    """
    if not step or step <= 0 or not math.isfinite(step):
        return 0.0
    quantum = step / 4
    if largest and math.isfinite(largest) and largest > quantum * MOST_LEVELS:
        quantum *= 2.0 ** math.ceil(math.log2(largest / (quantum * MOST_LEVELS)))
    return quantum


def is_full(used: float, allocated: float, step: float | None) -> bool:
    """Whether nothing was left: then demand may have been larger than what was used. False where either is unknown.

    Within 2 % of the allocation or within one step of it, whichever is *closer* (economics.md 2: "epsilon = 0.02, or one
    step"). The wider of the two would call an idle workload of one step full, and never learn that nobody wants it.
    8 cores, step 1: full from 7.84; 1000 cores, step 1: full from 999.
    """
    return used >= allocated - min(FULL_WITHIN * allocated, step or math.inf)


def code_of(sample: Sample, quantum: float, step: float | None) -> int | None:
    """The level of a sample and whether it is censored, as `Block.levels` counts it; None where it cannot be told.

    Exact: demand was what was used. Censored: it was at least the allocation (or more, where more is still in use).
    Above the highest level every demand is known only to be at least that.
    """
    if not quantum or math.isnan(sample.used) or math.isnan(sample.allocated):
        return None
    full = is_full(sample.used, sample.allocated, step)
    level = (max(sample.allocated, sample.used) if full else sample.used) / quantum + 0.5
    if level >= MOST_LEVELS:
        return 2 * MOST_LEVELS + 1
    return 2 * int(level) + full


def hold(block: Block, sample: Sample, hours: float, code: int | None, growth: float) -> None:
    """Add to a block that a sample held for `hours` of it. `growth`: units per hour by which use rose meanwhile, NaN
    where that is not known or there was no room.
    """
    if not sample.up:
        block.down_hours += hours
        return
    block.hours += hours
    used, net = sample.used, sample.net
    if used == used:  # noqa: PLR0124 a NaN is not equal to itself; this runs for every reading
        block.used_unit_hours += used * hours
        block.used_hours += hours
        if block.used_first != block.used_first:
            block.used_first = used
        block.used_last = used
        if net == net:  # noqa: PLR0124 same
            block.usd += net * hours
            block.unit_hours += used * hours
            block.rate_hours += hours
            if sample.price > 0:
                block.tokens += net / sample.price * hours
                block.token_usd += net * hours
    if code is not None:
        block.levels[code] = block.levels.get(code, 0.0) + hours
    if growth == growth:  # noqa: PLR0124 same
        block.room_hours += hours
        block.room_growth += growth * hours
    _hold_for_reports(block, sample, hours)


def _hold_for_reports(block: Block, sample: Sample, hours: float) -> None:
    net, gross, energy, allocated = sample.net, sample.gross, sample.energy, sample.allocated
    if net == net:  # noqa: PLR0124 same as above
        block.net_usd += net * hours
        block.net_hours += hours
    if gross == gross:  # noqa: PLR0124 same
        block.gross_usd += gross * hours
    if energy == energy:  # noqa: PLR0124 same
        block.energy_usd += energy * hours
    if allocated == allocated:  # noqa: PLR0124 same
        block.allocated_unit_hours += allocated * hours
        block.allocated_hours += hours


def rebinned(levels: dict[int, float], old: float, new: float) -> dict[int, float]:
    """Hours at levels of one quantum as hours at those of another. Without a quantum on either side nothing is left."""
    if old == new:
        return levels
    found: dict[int, float] = {}
    for code, hours in levels.items() if old and new else ():
        level = int((code >> 1) * old / new + 0.5)
        moved = 2 * MOST_LEVELS + 1 if level >= MOST_LEVELS else 2 * level + (code & 1)
        found[moved] = found.get(moved, 0.0) + hours
    return found


class Series:
    """Closed blocks, oldest first, packed. The longer ones come first, finer blocks after them."""

    __slots__ = ("_codes", "_counts", "_figures", "_held", "spans", "starts")

    def __init__(self) -> None:
        self.starts = array("I")
        """Minutes since 1970."""
        self.spans = array("H")
        """Seconds."""
        self._figures = array("f")
        self._counts = array("H")
        self._codes = array("H")
        self._held = array("f")

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, i: int) -> Block:
        return self._block(i, sum(self._counts[:i]))

    def _block(self, i: int, first: int) -> Block:
        last = first + self._counts[i]
        levels = dict(zip(self._codes[first:last], self._held[first:last], strict=True))
        return Block(self.starts[i], self.spans[i], levels, *self._figures[i * _WIDTH : (i + 1) * _WIDTH])

    @property
    def end(self) -> int:
        """Minutes since 1970; 0: there are none."""
        return self.starts[-1] + self.spans[-1] // 60 if self.starts else 0

    def since(self, start: int) -> list[Block]:
        """The blocks that begin at `start` (minutes) or later."""
        return self._range(bisect_left(self.starts, start), len(self))

    def hours_at(self, starts: list[int]) -> list[Block]:
        """The rolled hours that begin then, those that were forgotten since left out."""
        found = ((start, bisect_left(self.starts, start)) for start in starts)
        return [self[i] for start, i in found if i < len(self) and self.starts[i] == start and self.spans[i] == HOUR]

    def _range(self, i: int, j: int) -> list[Block]:
        first, found = sum(self._counts[:i]), []
        for at in range(i, j):
            found.append(self._block(at, first))
            first += self._counts[at]
        return found

    def append(self, block: Block) -> None:
        """Close a block that begins after all the others."""
        self.put(len(self), len(self), [block])

    def put(self, i: int, j: int, blocks: list[Block]) -> None:
        """Replace the blocks i..j-1."""
        first = sum(self._counts[:i])
        last = first + sum(self._counts[i:j])
        self.starts[i:j] = array("I", [block.start for block in blocks])
        self.spans[i:j] = array("H", [block.span for block in blocks])
        self._figures[i * _WIDTH : j * _WIDTH] = array("f", [x for block in blocks for x in _figures(block)])
        self._counts[i:j] = array("H", [len(block.levels) for block in blocks])
        self._codes[first:last] = array("H", [code for block in blocks for code in block.levels])
        self._held[first:last] = array("f", [hours for block in blocks for hours in block.levels.values()])

    def drop_before(self, at: float) -> None:
        """Forget the blocks that ended at or before Unix second `at`."""
        kept = next((i for i in range(len(self)) if self.starts[i] * 60 + self.spans[i] > at), len(self))
        if kept:
            self.put(0, kept, [])

    def drop_from(self, at: float) -> None:
        """Forget the blocks that end after Unix second `at`."""
        kept = next((i for i in range(len(self)) if self.starts[i] * 60 + self.spans[i] > at), len(self))
        self.put(kept, len(self), [])

    def roll(self, before: float, span: int = HOUR) -> list[int]:
        """Make one block of each hour (of each `span` seconds) that ended at or before Unix second `before`. Gives the starts
        of those hours.
        """
        rolled: list[int] = []
        minutes = span // 60
        i = next((i for i in range(len(self)) if self.spans[i] < span), len(self))
        while i < len(self) and (self.starts[i] // minutes + 1) * span <= before:
            start = self.starts[i] // minutes * minutes
            if i and self.starts[i - 1] == start:  # a straggler: its hour was rolled before it was closed
                i -= 1
            j = bisect_left(self.starts, start + minutes)
            hour = Block(start, span)
            for block in self._range(i, j):
                hour.absorb(block)
            self.put(i, j, [hour])
            rolled.append(start)
            i += 1
        return rolled

    def rebin(self, old: float, new: float) -> None:
        blocks = self._range(0, len(self))
        for block in blocks:
            block.levels = rebinned(block.levels, old, new)
        self.put(0, len(self), blocks)

    def columns(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Copies: figures (n, FIGURES); and for each level kept its block's index (k,), its code (k,), its hours (k,)."""
        rows = np.repeat(np.arange(len(self)), np.array(self._counts, dtype=np.int64))
        figures = np.array(self._figures, dtype=np.float64).reshape(-1, _WIDTH)
        return figures, rows, np.array(self._codes, dtype=np.int64), np.array(self._held, dtype=np.float32)


def unpack(series: Series, open_block: Block | None, quantum: float, since: float, until: float) -> Blocks | None:
    """The dense arrays of the blocks that end after `since` and begin at or before `until`; None where there are none.

    Levels at which nothing was ever seen have no column.
    """
    if open_block is not None:
        tail = Series()
        tail.append(open_block)
        parts = [series, tail]
    else:
        parts = [series]
    start = np.concatenate([np.array(part.starts, dtype=np.float64) for part in parts]) * 60
    span = np.concatenate([np.array(part.spans, dtype=np.float64) for part in parts])
    wanted = (start + span > since) & (start <= until)
    if not wanted.any():
        return None
    columns = [part.columns() for part in parts]
    figures = np.concatenate([column[0] for column in columns])[wanted]
    rows = np.concatenate([column[1] + (len(series) if i else 0) for i, column in enumerate(columns)])
    codes, held = np.concatenate([column[2] for column in columns]), np.concatenate([column[3] for column in columns])
    position = np.cumsum(wanted) - 1
    chosen = wanted[rows]
    exact, censored, levels = _dense(len(figures), position[rows[chosen]], codes[chosen], held[chosen])
    named = dict(zip(FIGURES, np.ascontiguousarray(figures.T), strict=True))
    used = np.full(len(figures), NAN)
    np.divide(named["used_unit_hours"], named["used_hours"], out=used, where=named["used_hours"] > 0)
    return Blocks(
        start=start[wanted], span=span[wanted], hours=named["hours"], usd=named["usd"], unit_hours=named["unit_hours"],
        rate_hours=named["rate_hours"], used=used, used_first=named["used_first"], used_last=named["used_last"],
        room_hours=named["room_hours"], room_growth=named["room_growth"],
        levels=levels * quantum, exact=exact, censored=censored, tokens=named["tokens"], token_usd=named["token_usd"],
    )  # fmt: skip


def _dense(
    n: int, rows: NDArray[np.int64], codes: NDArray[np.int64], held: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    levels, column = np.unique(codes >> 1, return_inverse=True)
    both = np.zeros((2, n, len(levels)), dtype=np.float32)
    both[codes & 1, rows, column] = held
    return both[0], both[1], levels.astype(np.float64)
