"""Periods made up for tests of performance reports: readings as a history would have kept them. Plain values, no store."""

from __future__ import annotations

from types import SimpleNamespace

from controller.history import History
from controller.report.performance import Told, performance
from controller.report.performance_past import Past
from controller.report.programs import history_view
from controller.rows import Batch, block_from
from controller.samples import Kept
from exporters.reading import Reading

HOUR, DAY = 3600.0, 86400.0
START = 1_800_000_000.0 // DAY * DAY
STALE = 1000.0


def kept(key="rack-1/golem", resource="cpu", stale=STALE, step=1.0, most=12.0, **more):
    return Kept(key, resource, stale, step, most, **more)


def look(at, rate=0.3, *, key="rack-1/golem", held=6.0, used=None, up=True, net=None, protocol="golem", **more):
    """One reading `at` seconds after START."""
    node, name = key.split("/", 1)
    if not up:
        return Reading(node, name, protocol, START + at, up=False, failure="unreachable")
    return Reading(
        node, name, protocol, START + at, allocated={"cpu": held}, used={"cpu": held if used is None else used},
        rate_usd_per_hour=rate, net_usd_per_hour=rate if net is None else net, **more,
    )  # fmt: skip


def every(seconds, until, rate=lambda _at: 0.3, since=0.0, **more):
    """A reading every so many seconds; `rate` of the seconds since START."""
    count = int((until - since) // seconds) + 1
    return [look(since + i * seconds, rate(since + i * seconds), **more) for i in range(count)]


def past(readings, one=None, looks=()):
    """What a state has of them: as `History` sums them up and the store keeps them."""
    one = one or kept(readings[0].key)
    history = History([one])
    for reading in readings:
        assert history.add(reading)
    batch = Batch()
    history._past[one.key].collect(batch)
    rows = {(row["start"], row["span"]): row for row in batch.blocks}
    blocks = [block_from(SimpleNamespace(**rows[place])) for place in sorted(rows)]
    good = next((reading for reading in reversed(readings) if reading.up), None)
    return Past(one.key, readings[-1].protocol, blocks, readings[-1], good, looks)


def told(*pasts, since=0.0, until=DAY, now=None, entries=(), decided=()):
    """Seconds since START."""
    period = START + since, START + until
    history = history_view((), (), period, period[1])
    history["entries"] = list(entries)
    now = period[1] if now is None else START + now
    return Told("orcha.db", *period, now, tuple(sorted(pasts, key=lambda each: each.key)), history, decided)


def report(*pasts, **more):
    return performance(told(*pasts, **more))
