"""What the past of every workload comes to whose demand is foreseen, kept while blocks close. Pure; History (history.py)
says when, and from which blocks.

    blocks that closed ──close──▶ parts of up to PART workloads ──of(keys)──▶ model.Memory
    the whole past ──recalled──▶ put ──▲

A block counts when it closes, once, and as it then was: what becomes of blocks later (an hour of twelve, forgotten after
days) changes nothing. A part is never changed, only replaced: what was handed out stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.memory import CELLS, merged
from controller.estimate.recall import PLAYED, Closed, cell_of, hours_of, joined, money_of, play, remember
from controller.model import Memory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from controller.blocks import Block
    from controller.model import Blocks
    from controller.samples import Kept

DAY: Final = 86400.0
PART: Final = 512
"""Workloads whose sums are replaced together: a block that closes copies those of so many, 6 (COARSE) to 19 MB (FINE)."""
MANY: Final = 1000
"""Workloads from which on history is COARSE."""


@dataclass(frozen=True, slots=True)
class Grain:
    """How finely the past is kept in memory. The store keeps readings for a day and blocks for the retention either way."""

    fine: float
    """Seconds for which blocks stay as fine as they came; then there is one for each hour, in the store too."""
    hours: float
    """Seconds for which hours are kept; where no demand is foreseen there is then one block for each six (past.LONG)."""
    readings: float
    """Seconds for which readings are."""
    cells: int
    """Levels that demand is told apart by (estimate/memory.py)."""
    sums: type[np.floating]
    """What hours by slot of the day and kept forecasts are held in."""
    played: float
    """Seconds of blocks that are gone through again to score forecasts, where the past is counted anew."""


FINE: Final = Grain(DAY, np.inf, DAY, CELLS, np.float32, PLAYED)
"""Up to MANY workloads: all of the retention, 0.2 MB each."""
COARSE: Final = Grain(2 * 3600.0, 3.5 * DAY, 3600.0, 32, np.float16, 3.5 * DAY)
"""More than MANY: under 30 kB each. The kernels lose nothing by it but half of the levels, until a step or maximum changes;
replicates and strategy Predictive draw from 3.5 days.
"""


def grain_of(count: int) -> Grain:
    """How finely the past of so many workloads is kept: MANY are the last that are kept FINE."""
    return COARSE if count > MANY else FINE


class Memories:
    """The Memory of many workloads, in parts."""

    def __init__(self, grain: Grain) -> None:
        self.grain = grain
        self._parts: dict[int, Memory] = {}
        self._places: dict[str, tuple[int, int]] = {}
        """key -> its part and its row there."""

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def of(self, keys: Sequence[str]) -> Memory | None:
        """What is remembered of these workloads, and maybe of others; None: of at least one there is nothing."""
        if not keys or not all(key in self._places for key in keys):
            return None
        if len(self._parts) == 1:
            return next(iter(self._parts.values()))
        return _gathered(keys, [self._places[key] for key in keys], self._parts)

    def put(self, memory: Memory) -> None:
        """Remember this of these workloads (PART of them at most), and nothing else."""
        self.forget(memory.keys)
        count = len(memory.keys)
        room = (number for number, part in self._parts.items() if len(part.keys) + count <= PART)
        number = next(room, max(self._parts, default=0) + 1)
        before = self._parts.get(number)
        self._replace(number, memory if before is None else joined([before, memory]))

    def forget(self, keys: Collection[str]) -> None:
        """Remember nothing of these workloads, where anything was."""
        gone: dict[int, set[int]] = {}
        for key in keys:
            if key in self._places:
                part, row = self._places.pop(key)
                gone.setdefault(part, set()).add(row)
        for part, rows in gone.items():
            left = [row for row in range(len(self._parts[part].keys)) if row not in rows]
            self._replace(part, self._parts[part].rows(np.array(left, dtype=np.intp)))

    def ahead_of(self, at: float) -> set[str]:
        """Of whom a block that ends after Unix second `at` is counted."""
        return {part.keys[row] for part in self._parts.values() for row in np.flatnonzero(part.until > at)}

    def pieces(self, keys: Iterable[str]) -> list[list[str]]:
        """These workloads, those together whose blocks are best counted together."""
        found: dict[int, list[str]] = {}
        for key in keys:
            found.setdefault(self._places[key][0], []).append(key)
        return list(found.values())

    def close(self, closed: Mapping[str, tuple[float, Sequence[Block]]]) -> None:
        """Count blocks that closed: key -> the quantum of their levels, and the blocks, oldest first."""
        self.take(self.counted(closed))

    def counted(self, closed: Mapping[str, tuple[float, Sequence[Block]]]) -> dict[int, Memory]:
        """What `close` makes of the parts, for `take`. It changes nothing: for a thread."""
        found = {}
        for piece in self.pieces(closed):
            number, keys = self._places[piece[0]][0], sorted(piece, key=self._places.__getitem__)
            rows = np.array([self._places[key][1] for key in keys])
            part = self._parts[number]
            some = part.rows(rows)
            blocks = [(row, closed[key][0], block) for row, key in enumerate(keys) for block in closed[key][1]]
            found[number] = merged(part, rows, play(some, _closed(some, blocks, self.grain.cells)))
        return found

    def take(self, counted: Mapping[int, Memory]) -> None:
        """Put these parts in force."""
        self._parts.update(counted)

    def _replace(self, number: int, part: Memory) -> None:
        if not part.keys:
            self._parts.pop(number, None)
            return
        self._parts[number] = part
        self._places.update({key: (number, row) for row, key in enumerate(part.keys)})


def recalled(grain: Grain, kept: Sequence[Kept], past: Sequence[Blocks | None], now: float) -> Memory:
    """What the past of these workloads comes to, from all of their closed blocks."""
    steps, largest = [one.step or 1.0 for one in kept], [one.max or 1.0 for one in kept]
    keys = [one.key for one in kept]
    return remember(keys, steps, largest, past, now, cells=grain.cells, dtype=grain.sums, played=grain.played)


def _gathered(keys: Sequence[str], places: Sequence[tuple[int, int]], parts: Mapping[int, Memory]) -> Memory:
    """Rows (part, row) of several parts as one, in the order of their keys."""
    part_of, row_of = np.array(places, dtype=np.intp).T
    chosen = [(part, np.flatnonzero(part_of == number)) for number, part in parts.items()]
    arrays = []
    for name in Memory.ARRAYS:
        like = getattr(chosen[0][0], name)
        whole = np.empty((len(keys), *like.shape[1:]), dtype=like.dtype)
        for part, which in chosen:
            whole[which] = getattr(part, name)[row_of[which]]
        arrays.append(whole)
    return Memory(tuple(keys), *arrays)


def _closed(memory: Memory, blocks: Sequence[tuple[int, float, Block]], cells: int) -> Closed:
    """(row of the memory, quantum of the levels, block) as hours at its cells; only those in which anything was seen."""
    span = np.array([float(block.span) for _, _, block in blocks])
    hours = hours_of(np.array([block.hours for _, _, block in blocks]), span).astype(np.float64)
    blocks = [each for each, counts in zip(blocks, hours > 0, strict=True) if counts]
    span, hours = span[hours > 0], hours[hours > 0]
    who = np.array([row for row, _, _ in blocks], dtype=np.intp)
    both = np.zeros((2, len(blocks), cells + 1), dtype=np.float32)
    seen = [
        (i, quantum, code, held) for i, (_, quantum, block) in enumerate(blocks) for code, held in block.levels.items()
    ]
    if seen:
        place, quantum, code, held = (np.array(column) for column in zip(*seen, strict=True))
        cell = cell_of((code >> 1) * quantum, memory.quantum[who[place]], cells)
        np.add.at(both, (code & 1, place, cell), hours_of(held, span[place]))
    figures = [(block.usd, block.unit_hours, block.tokens, block.token_usd) for _, _, block in blocks]
    return Closed(
        who=who,
        start=np.array([block.start * 60.0 for _, _, block in blocks]),
        span=span,
        exact=both[0],
        censored=both[1],
        hours=hours,
        money=money_of(np.array(figures, dtype=np.float64).reshape(-1, 4)),
    )
