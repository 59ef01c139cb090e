"""The past that this controller did not see itself, from what Prometheus kept of it: for the `prometheus` source.

    range queries ──▶ Readings ──▶ Past (one chunk, one workload) ──▶ blocks ──▶ History.fill ──▶ the store, at the next flush

Only stretches of which nothing is known are asked for, newest first, in chunks of bounded size, with a rest after each:
the loop goes on meanwhile. What a chunk brought is written with the next turn, so a restart asks only for what is left.
A reading is seen every STEP seconds, older ones every OLD_STEP; each holds until the next, for one step and a half at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from controller.observe.prometheus.hearing import OF_THE_PAST, Voice, judged, selector, voices
from controller.past import DAY, Past
from controller.samples import Kept
from exporters.errors import Malformed, PollError
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from controller.blocks import Block
    from controller.history import History
    from controller.observe.prometheus import FromPrometheus
    from controller.observe.prometheus.answers import Line
    from exporters.clock import Clock
    from exporters.collector import Workload

HOUR: Final = 3600.0
STEP: Final = 60.0
"""Seconds between two readings of the last day, of which blocks of 5 min are made."""
OLD_STEP: Final = 300.0
"""Of older ones, of which blocks of an hour are made."""
POINTS: Final = 100_000
"""Of one answer: 10 MB of JSON at the most."""
SERIES: Final = 10
"""Of one workload, about."""
TOGETHER: Final = 100
"""Workloads that one question is about."""
REST: Final = 0.2
"""Seconds after each question, at least; else as long as it took, so that half of the time is everybody else's."""
FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0
"""Seconds until a question that failed is put again, doubled each time."""
EVERY: Final = HOUR
"""Seconds after which the last day is looked through for stretches that Prometheus could not be asked about."""

log = structlog.get_logger("orcha.history")


class Backfill:
    """Of one controller. `run` until cancelled."""

    def __init__(self, source: FromPrometheus, history: History, clock: Clock) -> None:
        self._source, self._history, self._clock = source, history, clock

    async def run(self) -> None:
        """All that history keeps in memory once, then the last day every hour. Never raises but when cancelled."""
        reach = self._history.reach
        while True:
            try:
                count = await self.fill(reach)
                if count:
                    log.info("history was completed from Prometheus", hours=round(count))
            except Exception:
                log.exception("history could not be completed from Prometheus; please report this as a bug")
            reach = min(DAY, reach)
            await self._clock.sleep(EVERY)

    async def fill(self, reach: float) -> float:
        """Fill what is not known of the last `reach` seconds, as far as Prometheus does know it. Gives the hours that were
        filled, of all workloads together.
        """
        now, hours = self._clock.time(), 0.0
        for start, end, step in chunks(now, reach, len(self._source.workloads), self._history.fine):
            for batch in _lots(self._source.workloads):
                lacking = [each for each in batch if self._history.lacks(each.key, start, end)]
                if lacking:
                    hours += await self._one(lacking, start, end, step, whole_hours=now - end >= DAY)
        return hours

    async def _one(
        self, workloads: Sequence[Workload], start: float, end: float, step: float, *, whole_hours: bool
    ) -> float:
        began, now = self._clock.monotonic(), self._clock.time()
        kept = [Kept.of(each) for each in workloads]
        until = end + max(1.5 * step, *(each.stale_after for each in kept))  # what ends that which holds at the end
        lines = await self._asked(sorted({each.node for each in workloads}), start - step, min(until, now), step)
        found = await asyncio.to_thread(blocks_of, workloads, lines, start, end, step, self._history.fine, whole_hours)
        filled = 0
        for one in kept:
            filled += await self._history.fill(one, found.get(one.key, ()))
        await self._clock.sleep(max(REST, self._clock.monotonic() - began))
        return filled / HOUR

    async def _asked(self, nodes: Sequence[str], start: float, end: float, step: float) -> list[Line]:
        """What Prometheus knows of that time, asked until it answers; nothing where it will not answer this."""
        query, wait = selector(OF_THE_PAST, nodes, self._source.matchers), FIRST_WAIT
        while True:
            try:
                return await self._source.asking.past(query, start, end, step)
            except Malformed as exc:
                log.warning(
                    "a stretch of history is left out", seconds_ago=round(self._clock.time() - end), why=str(exc)
                )
                return []
            except PollError as exc:
                again = format_duration(wait)
                log.warning("history cannot be completed from Prometheus now", why=str(exc), tried_again_in=again)
            await self._clock.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)


def chunks(now: float, reach: float, workloads: int, fine: float) -> Iterator[tuple[float, float, float]]:
    """(start, end, step) of every question, newest first. Each starts on an hour and is small enough for POINTS."""
    end = now // fine * fine
    while end > now - reach:
        step = STEP if now - end < DAY else OLD_STEP
        hours = POINTS * step / (HOUR * SERIES * max(1, min(workloads, TOGETHER)))
        length = min(24.0, max(1.0, hours // 1)) * HOUR
        oldest = now - min(DAY, reach) if step == STEP else now - reach
        start = max((end - length) // HOUR * HOUR, oldest // HOUR * HOUR)
        yield start, end, step
        end = start


def _lots(workloads: Sequence[Workload]) -> Iterator[Sequence[Workload]]:
    for i in range(0, len(workloads), TOGETHER):
        yield workloads[i : i + TOGETHER]


def blocks_of(
    workloads: Iterable[Workload], lines: Iterable[Line], start: float, end: float, step: float, fine: int,
    whole_hours: bool,
) -> dict[str, list[Block]]:  # fmt: skip
    """Workload's key -> the blocks from `start` to `end` that its readings come to, in hours where that is wanted."""
    said = _over_time(lines)
    found = {}
    for workload in workloads:
        kept = Kept.of(workload)
        past = Past(replace(kept, stale_after=max(kept.stale_after, 1.5 * step)), fine)
        for at, spoke in said.get(workload.key, {}).items():
            heard = judged(workload, spoke, at, whole=False)
            for reading in (heard.good, heard.look):
                if reading is not None:
                    past.add(reading)
        if whole_hours:
            past.series.roll(end)
        within = past.series.since(int(start) // 60)
        found[workload.key] = [block for block in within if block.start * 60 + block.span <= end]
    return found


def _over_time(lines: Iterable[Line]) -> dict[str, dict[float, list[Voice]]]:
    """Workload's key -> moment -> who said what of it then, in the order of time; without those moments at which nobody had
    looked since the one before.
    """
    moments: dict[float, list[tuple[Mapping[str, str], float]]] = {}
    for labels, values in lines:
        for at, value in values:
            moments.setdefault(at, []).append((labels, value))
    found: dict[str, dict[float, list[Voice]]] = {}
    before: dict[str, object] = {}
    for at in sorted(moments):
        for key, spoke in voices(moments[at]).items():
            looks = [(v.process, [v.samples.get(name) for name in _LOOKS]) for v in spoke]
            if before.get(key) != looks:
                before[key] = looks
                found.setdefault(key, {})[at] = spoke
    return found


_LOOKS: Final = tuple(
    f"orcha_protocol_{name}" for name in ("up", "last_reading_timestamp_seconds", "last_poll_timestamp_seconds")
)
"""What changes with every look."""
