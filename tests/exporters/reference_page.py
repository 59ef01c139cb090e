"""The same samples through prometheus_client: what an Exposition's page must equal, byte for byte."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from exporters.collector import Family
from exporters.errors import REASONS
from exporters.metrics import BOUNDS
from exporters.reading import Connection, Quality, Reading

OWN = {
    "orcha_test_scores": Family('Scores, with \\ and\na line and a "quote".', labels=("satellite",)),
    "orcha_test_events_total": Family("Events since the node started.", "counter", ("event",)),
}
PLACE = ["node", "protocol", "workload"]
UNITS = {
    "cpu": ("cpu_cores", "CPU cores", 1),
    "memory": ("memory_bytes", "Memory in bytes", 1),
    "storage": ("storage_bytes", "Storage in bytes", 1),
    "bandwidth": ("bandwidth_bytes_per_second", "Bandwidth in bytes per second", 8),
}
SENSES = {
    "allocated": "in effect as the node reports it",
    "configured": "that its configuration asks for, where that can differ",
    "used": "used now",
    "irreversible": "used that cannot be taken back",
}


def of(one: Reading, *more: str) -> list[str]:
    return [one.node, one.protocol, one.workload, *more]


def optional(value):
    return [] if value is None else [((), value)]


def rated(one, value):
    return [] if value is None else [(((one.quality or Quality.ESTIMATED).value,), value)]


def keyed(mapping):
    return [((key,), value) for key, value in mapping.items()]


def net_native(one):
    native = one.native
    return keyed(native.gross_per_hour if native.net_per_hour is None else native.net_per_hour)


def native_prices(one):
    return [
        ((resource, token), value)
        for resource, by in one.native.price_per_unit_hour.items()
        for token, value in by.items()
    ]


def states(one):
    words = dict.fromkeys((*one.states, one.state))
    return [] if one.state is None else [((word,), word == one.state) for word in words]


def facts(one):
    known = one.version is not None or one.node_id is not None
    return [((one.version or "", one.node_id or ""), 1)] if known else []


def extra(one, name, label):
    return [((labels[label],), value) for labels, value in one.extra.get(name, ())]


@dataclass(eq=False)
class Reference:
    """A collector, as prometheus_client wants one; the families in the order of metrics.md."""

    readings: list[Reading]
    polls: dict[str, list[tuple[float, str | None]]]
    """key -> [(seconds, why it failed)]"""
    prices: dict[str, tuple[float, float, str]]
    """token -> (USD, time, source)"""

    def collect(self) -> Iterator[Metric]:
        own = (
            self._state(),
            self._money(),
            self._amounts(),
            self._pools(),
            self._times(),
            self._counts(),
            self._extra(),
            self._tokens(),
        )
        return (family for family in chain(*own) if family.samples)

    def _gauge(self, name, text, get, *label):
        family = GaugeMetricFamily(f"orcha_{name}", text, labels=[*PLACE, *label])
        for one in self.readings:
            for labels, value in get(one):
                if math.isfinite(value):
                    family.add_metric(of(one, *labels), value)
        return family

    def _state(self):
        yield self._gauge("protocol_up", "1 the last poll gave a reading, 0 it did not.", lambda one: [((), one.up)])
        text = "1 the node says that it is well and earning is possible."
        yield self._gauge("protocol_healthy", text, lambda one: optional(one.healthy))
        yield self._gauge("protocol_state", "The protocol's own state, one-hot.", states, "state")
        yield self._gauge("protocol_info", "Static facts.", facts, "version", "node_id")

    def _money(self):
        text = (
            "What is earned, gross, in USD per hour. Of the newest reading, which may be up to its poll interval old."
        )
        yield self._gauge(
            "protocol_earnings_usd_per_hour", text, lambda one: rated(one, one.rate_usd_per_hour), "quality"
        )
        text = "What is earned after fees and energy, in USD per hour."
        yield self._gauge(
            "protocol_net_earnings_usd_per_hour", text, lambda one: rated(one, one.net_usd_per_hour), "quality"
        )
        text = "What is earned, gross, in tokens per hour."
        yield self._gauge(
            "protocol_earnings_native_per_hour", text, lambda one: keyed(one.native.gross_per_hour), "token"
        )
        text = "What of it reaches the owner, in tokens per hour, before energy."
        yield self._gauge("protocol_net_earnings_native_per_hour", text, net_native, "token")
        text = "Money by where it stands, in USD. paid is lifetime."
        yield self._gauge("protocol_balance_usd", text, lambda one: keyed(one.balance_usd), "kind")
        text = "The published price of one used unit."
        get = lambda one: keyed(one.price_usd_per_unit_hour)  # noqa: E731
        yield self._gauge("protocol_price_usd_per_unit_hour", text, get, "resource")
        text = "The same in the tokens in which it is published."
        yield self._gauge("protocol_price_native_per_unit_hour", text, native_prices, "resource", "token")

    def _amounts(self):
        for sense, words in SENSES.items():
            for resource, (unit, text, divisor) in UNITS.items():

                def one_of(one, sense=sense, resource=resource, divisor=divisor):
                    found = getattr(one, sense)
                    return [((), found[resource] / divisor)] if resource in found else []

                yield self._gauge(f"protocol_{sense}_{unit}", f"{text} {words}.", one_of)

            def others(one, sense=sense):
                return [((name,), value) for name, value in getattr(one, sense).items() if "/" in name]

            yield self._gauge(f"protocol_{sense}_units", f"Units of an extended resource {words}.", others, "resource")

    def _pools(self):
        text = "Base units (bandwidth: bit/s) that arrive per hour, or would with room."
        yield self._gauge("protocol_growth_units_per_hour", text, lambda one: optional(one.growth_per_hour))
        text = "What a pool shared by stake pays to all together, in tokens."
        get = lambda one: keyed(one.pool.payout_native_per_hour) if one.pool else []  # noqa: E731
        yield self._gauge("protocol_pool_payout_native_per_hour", text, get, "token")
        get = lambda one: [((), one.pool.others)] if one.pool else []  # noqa: E731
        yield self._gauge("protocol_pool_others_units", "Stake of all others in that pool.", get)
        get = lambda one: optional(one.pool.net_share) if one.pool else []  # noqa: E731
        yield self._gauge("protocol_pool_net_share_ratio", "What of a token paid out reaches the owner.", get)
        text = "Net payout of the whole pool at today's price, in USD."
        yield self._gauge("protocol_pool_payout_usd_per_hour", text, lambda one: optional(one.pool_payout_usd_per_hour))
        text = "1 another controller sets the allocation by itself, 0 none was seen."
        yield self._gauge("protocol_other_controller", text, lambda one: [((), one.autonomous is not None)])

    def _times(self):
        text = "1 healthy, yet nothing accrued for several usual intervals."
        yield self._gauge("protocol_earning_stalled", text, lambda one: optional(one.earning_stalled))
        text = "What must be accrued before a payout, in USD."
        yield self._gauge("protocol_payout_threshold_usd", text, lambda one: optional(one.payout_threshold_usd))
        text = "When the payout threshold is or was reached."
        yield self._gauge(
            "protocol_payout_expected_timestamp_seconds", text, lambda one: optional(one.payout_expected_at)
        )
        text = "When the reading served was taken; it is cached between polls."
        yield self._gauge("protocol_last_reading_timestamp_seconds", text, lambda one: [((), one.at)])
        get = lambda one: [((state.value,), state is one.connection) for state in Connection]  # noqa: E731
        yield self._gauge("protocol_connection_state", "The connection, one-hot.", get, "state")
        text = "When it was last asked, well or not."
        yield self._gauge("protocol_last_poll_timestamp_seconds", text, lambda one: [((), one.at)])
        text = "1 the last poll failed, for this reason."
        yield self._gauge(
            "protocol_failing", text, lambda one: [] if one.up else [((one.failure or "unreachable",), 1)], "reason"
        )

    def _counts(self):
        took = HistogramMetricFamily("orcha_protocol_poll_duration_seconds", "How long polls took.", labels=PLACE)
        lost = CounterMetricFamily("orcha_protocol_poll_failures", "Polls that failed.", labels=[*PLACE, "reason"])
        for one in self.readings:
            seconds, why = [[poll[i] for poll in self.polls[one.key]] for i in (0, 1)]
            buckets = [
                (floatToGoString(bound), sum(each <= bound for each in seconds)) for bound in (*BOUNDS, math.inf)
            ]
            total = 0.0
            for each in seconds:  # in turn, as it is counted: `sum` rounds otherwise from Python 3.12 on
                total += each
            took.add_metric(of(one), buckets, total)
            for reason in REASONS:
                lost.add_metric(of(one, reason), why.count(reason))
        yield from (took, lost)

    def _extra(self):
        name = "orcha_test_events_total"
        events = CounterMetricFamily(name.removesuffix("_total"), OWN[name].help, labels=[*PLACE, "event"])
        for one in self.readings:
            for labels, value in extra(one, name, "event"):
                events.add_metric(of(one, *labels), value)
        yield events
        name = "orcha_test_scores"
        yield self._gauge("test_scores", OWN[name].help, lambda one: extra(one, name, "satellite"), "satellite")

    def _tokens(self):
        for name, text, column in (
            ("price_usd", "What one token costs.", 0),
            ("price_timestamp_seconds", "Time of that price.", 1),
        ):
            family = GaugeMetricFamily(f"orcha_token_{name}", text, labels=["token", "source"])
            for token, price in self.prices.items():
                family.add_metric([token, price[2]], price[column])
            yield family
