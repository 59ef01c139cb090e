"""What the past of every workload comes to whose demand is foreseen, kept while blocks close. Pure; History (history.py)
says when, and from which blocks.

    blocks that closed ──close──▶ parts of up to PART workloads ──of(keys)──▶ model.Memory
    the whole past ──estimate.recall.remember──▶ put ──▲

A part is never changed, only replaced: what was handed out stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.memory import CELLS, merged
from controller.estimate.recall import PLAYED, REACHES, Closed, cell_of, hours_of, joined, money_of, play, remember

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from controller.blocks import Block
    from controller.model import Blocks, Memory
    from controller.samples import Kept

DAY: Final = 86400.0
PART: Final = 512
"""Workloads whose sums are replaced together: a block that closes copies those of so many, 10 to 20 MB."""
MANY: Final = 1000
"""Workloads from which on history is COARSE."""


@dataclass(frozen=True, slots=True)
class Grain:
    """How finely the past is kept in memory."""

    fine: float
    """Seconds for which blocks stay as fine as they came; then there is one for each hour."""
    hours: float
    """Seconds for which blocks are kept at all; the store keeps them for the whole retention."""
    readings: float
    """Seconds of readings."""
    cells: int
    """Levels that demand is told apart by (estimate/memory.py)."""
    sums: type[np.floating]
    """What hours by slot of the day and kept forecasts are held in."""
    reaches: float
    """Seconds of the past that are read back from the store at the start."""
    played: float
    """Of these, how many are gone through again to score forecasts."""


FINE: Final = Grain(DAY, np.inf, DAY, CELLS, np.float32, np.inf, PLAYED)
"""Up to MANY workloads: all of the retention, 0.2 MB each."""
COARSE: Final = Grain(3 * 3600.0, 5 * DAY, 2 * 3600.0, 32, np.float16, REACHES / 2, 5 * DAY)
"""More than MANY: under 30 kB each. The kernels lose nothing by it but half of the levels; replicates draw from 5 days."""


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

    def of(self, keys: Collection[str]) -> Memory | None:
        """What is remembered of these workloads, and maybe of others; None: of at least one there is nothing."""
        if not keys or not all(key in self._places for key in keys):
            return None
        if len(self._parts) == 1:
            return next(iter(self._parts.values()))
        wanted: dict[int, list[int]] = {}
        for part, row in sorted(self._places[key] for key in keys):
            wanted.setdefault(part, []).append(row)
        return joined([_rows(self._parts[part], rows) for part, rows in wanted.items()])

    def recall(self, kept: Sequence[Kept], past: Sequence[Blocks | None], now: float) -> None:
        """Begin anew with these workloads, from all of their closed blocks."""
        grain = self.grain
        steps, largest = [one.step or 1.0 for one in kept], [one.max or 1.0 for one in kept]
        keys = [one.key for one in kept]
        self.put(remember(keys, steps, largest, past, now, cells=grain.cells, dtype=grain.sums, played=grain.played))

    def put(self, memory: Memory) -> None:
        """Remember this of these workloads, and nothing else."""
        self.forget(memory.keys)
        number = max(self._parts, default=0)
        last = self._parts.get(number)
        if last is not None and len(last.keys) + len(memory.keys) <= PART:
            memory = joined([last, memory])
        else:
            number += 1
        self._replace(number, memory)

    def forget(self, keys: Collection[str]) -> None:
        gone: dict[int, set[int]] = {}
        for key in keys:
            if key in self._places:
                part, row = self._places.pop(key)
                gone.setdefault(part, set()).add(row)
        for part, rows in gone.items():
            left = [row for row in range(len(self._parts[part].keys)) if row not in rows]
            self._replace(part, _rows(self._parts[part], left))

    def close(self, closed: Mapping[str, tuple[float, Sequence[Block]]]) -> None:
        """Count blocks that closed: key -> the quantum of their levels, and the blocks, oldest first."""
        by_part: dict[int, list[str]] = {}
        for key in closed:
            by_part.setdefault(self._places[key][0], []).append(key)
        for number, keys in by_part.items():
            rows = np.array([self._places[key][1] for key in keys])
            part = self._parts[number]
            some = part.rows(rows)
            blocks = [(row, closed[key][0], block) for row, key in enumerate(keys) for block in closed[key][1]]
            self._parts[number] = merged(part, rows, play(some, _closed(some, blocks, self.grain.cells)))

    def _replace(self, number: int, part: Memory) -> None:
        if not part.keys:
            self._parts.pop(number, None)
            return
        self._parts[number] = part
        self._places.update({key: (number, row) for row, key in enumerate(part.keys)})


def _rows(part: Memory, rows: list[int]) -> Memory:
    return part if len(rows) == len(part.keys) else part.rows(np.array(rows, dtype=np.intp))


def _closed(memory: Memory, blocks: Sequence[tuple[int, float, Block]], cells: int) -> Closed:
    """(row of the memory, quantum of the levels, block) as hours at its cells; only those in which anything was seen."""
    blocks = [each for each in blocks if each[2].hours > 0]
    span = np.array([float(block.span) for _, _, block in blocks])
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
        hours=hours_of(np.array([block.hours for _, _, block in blocks]), span).astype(np.float64),
        money=money_of(np.array(figures, dtype=np.float64).reshape(-1, 4)),
    )
