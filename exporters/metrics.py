"""Readings -> /metrics, by the contract of metrics.md. Lines are rendered when a Reading changes; a scrape joins bytes.

Comes in: each Reading (`update`), each look's duration (`observe_poll`), the prices. Goes out: a page in either text
format, in pieces. Unknown is an absent series, never 0; a workload that is gone has none. A look that fails shows at once
(`up`, the failure counter, the connection) while the figures of the last good Reading stay until they are stale.

Which families those are, and their units, figures.py says.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from exporters import collector as collecting
from exporters.errors import REASONS
from exporters.figures import ALL_BUT_TIME, FIGURES, Samples
from exporters.lines import Histogram, Lines, escape, number
from exporters.reading import Connection, Reading

if TYPE_CHECKING:
    from exporters.collector import Collector, Family, Workload

MAX_SERIES: Final = 1000
"""Series of one family that one workload may have. A node that reports more devices than that lies; its family is left
out rather than cut, since half of a sum looks like a loss."""
BOUNDS: Final = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: loopback, a LAN, a slow API, its timeouts."""


class Priced(Protocol):
    """What a token costs, from where and when (prices.Price)."""

    @property
    def usd(self) -> float: ...
    @property
    def at(self) -> float: ...
    @property
    def source(self) -> str: ...


class Book(Protocol):
    """What is known of prices (prices.PriceBook)."""

    def all(self, now: float) -> Mapping[str, Priced]: ...


@dataclass(slots=True, eq=False)
class _Shown:
    """What the page says of one workload."""

    slot: int
    place: tuple[str, str, str]
    """Label values, escaped."""
    up: bool | None = None
    connection: Connection | None = None
    failure: str | None = None
    reading: Reading | None = None
    """Whose figures are shown; None: none are."""
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    """Looks by duration, cumulative."""
    seconds: float = 0.0
    failures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    totals: dict[tuple[str, tuple[str, ...]], float] = field(default_factory=dict)
    """(family, label values) -> what a counter showed last."""


def families_of(collectors: Mapping[str, Collector]) -> dict[str, Family]:
    """The families that the protocols' modules declare, by name."""
    return {name: family for each in collectors.values() for name, family in each.FAMILIES.items()}


class Exposition:
    """Everything that /metrics says of workloads and prices."""

    def __init__(self, families: Mapping[str, Family] | None = None) -> None:
        """`families`: those of what only one protocol has; None: of every protocol there is. Raises ValueError for a
        family that metrics.md forbids.
        """
        own = families_of(collecting.discover()) if families is None else families
        self._up = Lines("orcha_protocol_up", "gauge", "1 the last poll gave a reading, 0 it did not.")
        self._connection = Lines("orcha_protocol_connection_state", "gauge", "The connection, one-hot.", ("state",))
        self._asked = Lines(
            "orcha_protocol_last_poll_timestamp_seconds", "gauge", "When it was last asked, well or not."
        )
        self._failing = Lines(
            "orcha_protocol_failing", "gauge", "1 the last poll failed, for this reason.", ("reason",)
        )
        self._lasts = Lines(
            "orcha_protocol_stale_after_seconds",
            "gauge",
            "The age at which a reading is stale; its figures vanish then.",
        )
        self._duration = Histogram("orcha_protocol_poll_duration_seconds", "How long polls took.", BOUNDS)
        self._failures = Lines("orcha_protocol_poll_failures_total", "counter", "Polls that failed.", ("reason",))
        self._figures = [(row, Lines(row.name, "gauge", row.text, row.labels)) for row in FIGURES]
        self._extra = {name: Lines(name, own[name].kind, own[name].help, own[name].labels) for name in sorted(own)}
        prices = ("token", "source")
        self._price = Lines("orcha_token_price_usd", "gauge", "What one token costs.", prices, place=())
        self._price_at = Lines("orcha_token_price_timestamp_seconds", "gauge", "Time of that price.", prices, place=())
        self._price.slots.append(b"")
        self._price_at.slots.append(b"")
        self._shown: dict[str, _Shown] = {}
        self._free: list[int] = []

    @property
    def _of_workloads(self) -> Iterator[Lines]:
        yield self._up
        yield from (lines for _, lines in self._figures)
        yield from (self._connection, self._asked, self._failing)
        yield self._lasts
        yield self._duration
        yield self._failures
        yield from self._extra.values()

    @property
    def families(self) -> tuple[Lines, ...]:
        """Every family that can be served, in the order of the page."""
        return (*self._of_workloads, self._price, self._price_at)

    def render(self, openmetrics: bool = False) -> Iterable[bytes]:
        """The page as it is now, in pieces of at most some 100 kB, without the end mark that OpenMetrics asks for.

        Each piece is joined when it is taken, so that whoever sends it can let others run in between; what changes
        meanwhile is not in it.
        """
        return itertools.chain.from_iterable([lines.pieces(openmetrics=openmetrics) for lines in self.families])

    def expect(self, workload: Workload) -> None:
        """A workload is configured, perhaps anew: `up` 0 and every counter at 0, until it was asked."""
        shown = self._shown.get(workload.key) or self._add(workload.node, workload.protocol, workload.name)
        self._lasts.put(shown.slot, _rendered(self._lasts, shown.place, [((), workload.stale_after)]))

    def update(self, reading: Reading) -> None:
        """Show a Reading. One that failed shows that it did, and leaves the figures until the connection is `failed`."""
        shown = self._shown.get(reading.key) or self._add(reading.node, reading.protocol, reading.workload)
        self._set_up(shown, reading.up)
        self._set_connection(shown, reading.connection)
        self._asked.put(shown.slot, _rendered(self._asked, shown.place, [((), reading.at)]))
        self._set_failing(shown, None if reading.up else _reason(reading.failure))
        if reading.up:
            self._show(shown, reading)
        elif reading.connection is Connection.FAILED:
            self._blank(shown)

    def observe_poll(self, workload: Workload, seconds: float, failure: str | None) -> None:
        """Count one look, with its duration and, if it failed, why (errors.REASONS)."""
        shown = self._shown.get(workload.key) or self._add(workload.node, workload.protocol, workload.name)
        shown.seconds += max(0.0, seconds)
        for i, bound in enumerate(self._duration.bounds):
            shown.counts[i] += seconds <= bound
        self._set_duration(shown)
        if failure is not None:
            shown.failures[_reason(failure)] += 1
            self._set_failures(shown)

    def expire(self, key: str) -> None:
        """The figures are too old to be served: they are unknown from now on."""
        if key in self._shown:
            self._blank(self._shown[key])

    def remove(self, key: str) -> None:
        """The workload is gone, and with it every series of it."""
        shown = self._shown.pop(key, None)
        if shown is None:
            return
        for lines in self._of_workloads:
            lines.put(shown.slot, "")
        self._free.append(shown.slot)

    def prices(self, book: Book, now: float) -> None:
        """Show what tokens cost now; one without a price has no series."""
        found = book.all(now).items()
        for lines, attribute in ((self._price, "usd"), (self._price_at, "at")):
            samples: Samples = [((token, price.source), getattr(price, attribute)) for token, price in found]
            lines.put(0, _rendered(lines, (), _escaped(samples)))

    def _add(self, node: str, protocol: str, workload: str) -> _Shown:
        slot = self._free.pop() if self._free else len(self._up.slots)
        if slot == len(self._up.slots):
            for lines in self._of_workloads:
                lines.slots.append(b"")
        shown = _Shown(slot, (escape(node), escape(protocol), escape(workload)))
        self._shown[f"{node}/{workload}"] = shown
        self._set_up(shown, False)
        self._set_connection(shown, Connection.DISCONNECTED)
        self._set_duration(shown)
        self._set_failures(shown)
        return shown

    def _set_up(self, shown: _Shown, up: bool) -> None:
        if shown.up is not up:
            shown.up = up
            self._up.put(shown.slot, _rendered(self._up, shown.place, [((), up)]))

    def _set_connection(self, shown: _Shown, connection: Connection) -> None:
        if shown.connection is not connection:
            shown.connection = connection
            samples: Samples = [((each.value,), each is connection) for each in Connection]
            self._connection.put(shown.slot, _rendered(self._connection, shown.place, samples))

    def _set_failing(self, shown: _Shown, reason: str | None) -> None:
        if shown.failure != reason:
            shown.failure = reason
            samples: Samples = [] if reason is None else [((reason,), 1.0)]
            self._failing.put(shown.slot, _rendered(self._failing, shown.place, samples))

    def _set_duration(self, shown: _Shown) -> None:
        counts = [f"{count}.0" if count < 1_000_000 else number(count) for count in shown.counts]
        lines = self._duration.format(*shown.place, *counts, number(shown.seconds))
        self._duration.put(shown.slot, lines)

    def _set_failures(self, shown: _Shown) -> None:
        samples: Samples = [((reason,), count) for reason, count in shown.failures.items()]
        self._failures.put(shown.slot, _rendered(self._failures, shown.place, samples))

    def _show(self, shown: _Shown, reading: Reading) -> None:
        before, shown.reading = shown.reading, reading
        still = before is not None and ALL_BUT_TIME(before) == ALL_BUT_TIME(reading)
        for row, lines in self._figures[-1:] if still else self._figures:
            if before is None or row.depends(before) != row.depends(reading):
                lines.put(shown.slot, _rendered(lines, shown.place, _escaped(row.samples(reading))))
        old = before.extra if before is not None else {}
        if old == reading.extra:
            return
        for name in (*reading.extra, *(gone for gone in old if gone not in reading.extra)):
            if name in self._extra and old.get(name) != reading.extra.get(name):
                self._show_extra(shown, self._extra[name], reading.extra.get(name, ()))

    def _show_extra(self, shown: _Shown, lines: Lines, given: tuple[tuple[Mapping[str, str], float], ...]) -> None:
        values = {tuple(escape(str(labels.get(name, ""))) for name in lines.labels): value for labels, value in given}
        if lines.kind == "counter":
            values = {labels: _uncorrected(shown, lines.name, labels, value) for labels, value in values.items()}
        samples = list(values.items()) if len(values) <= MAX_SERIES else []
        lines.put(shown.slot, _rendered(lines, shown.place, samples))

    def _blank(self, shown: _Shown) -> None:
        if shown.reading is None:
            return
        for _, lines in self._figures:
            lines.put(shown.slot, "")
        for name in shown.reading.extra:
            if name in self._extra:
                self._extra[name].put(shown.slot, "")
        shown.reading = None


def _reason(failure: str | None) -> str:
    return failure if failure in REASONS else "unreachable"


def _rendered(lines: Lines, place: tuple[str, ...], samples: Samples) -> str:
    """Their lines, label values escaped already; a number that is none is unknown, and so has no line."""
    made = [lines.format(*place, *labels, number(value)) for labels, value in samples if math.isfinite(value)]
    return made[0] if len(made) == 1 else "".join(made)


def _escaped(samples: Samples) -> Samples:
    return [(tuple(map(escape, labels)) if labels else labels, value) for labels, value in samples]


def _uncorrected(shown: _Shown, name: str, labels: tuple[str, ...], value: float) -> float:
    """A counter as it may be shown. One that fell by more than half was reset, which Prometheus understands and which
    stays visible; a smaller fall is a correction, which it would take for a reset and count twice, so that the old value
    stays until it is passed.
    """
    last = shown.totals.get((name, labels), 0.0)
    if last / 2 < value < last:
        return last
    shown.totals[name, labels] = value
    return value
