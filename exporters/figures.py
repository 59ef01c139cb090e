"""Which metric families a Reading has, and its samples of each. Pure; metrics.py renders them, and a source over PromQL
(controller/observe/prometheus) makes Readings of them again, so that what is shown and what is decided on is the same.

Bandwidth is bits per second in Readings and bytes per second in metrics: it is divided by 8 here and nowhere else on
this side of the wall.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from exporters.reading import Pool, Quality, Reading

BITS: Final = 8.0
CACHED: Final = "Of the newest reading, which may be up to its poll interval old."

RESOURCES: Final = {
    "cpu": ("cpu_cores", "CPU cores"),
    "memory": ("memory_bytes", "Memory in bytes"),
    "storage": ("storage_bytes", "Storage in bytes"),
    "bandwidth": ("bandwidth_bytes_per_second", "Bandwidth in bytes per second"),
}
_SENSES: Final = {
    "allocated": "in effect as the node reports it",
    "configured": "that its configuration asks for, where that can differ",
    "used": "used now",
    "irreversible": "used that cannot be taken back",
}

Samples = list[tuple[tuple[str, ...], float]]
"""[(label values, number)]."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One family that is rendered from some fields of a Reading."""

    name: str
    text: str
    depends: Callable[[Reading], Any]
    """The fields; the lines are rendered again when they change."""
    samples: Callable[[Reading], Samples]
    labels: tuple[str, ...] = ()


def _scalar(name: str, attribute: str, text: str) -> Figure:
    get = attrgetter(attribute)

    def samples(reading: Reading) -> Samples:
        value = get(reading)
        return [] if value is None else [((), value)]

    return Figure(f"orcha_protocol_{name}", text, get, samples)


def _rate(name: str, attribute: str, text: str) -> Figure:
    get = attrgetter(attribute)

    def samples(reading: Reading) -> Samples:
        value = get(reading)
        return [] if value is None else [(((reading.quality or Quality.ESTIMATED).value,), value)]

    return Figure(f"orcha_protocol_{name}", text, attrgetter(attribute, "quality"), samples, ("quality",))


def _mapping(name: str, attribute: str, label: str, text: str) -> Figure:
    get = attrgetter(attribute)

    def samples(reading: Reading) -> Samples:
        return [((key,), value) for key, value in get(reading).items()]

    return Figure(f"orcha_protocol_{name}", text, get, samples, (label,))


def _resource(sense: str, resource: str) -> Figure:
    get = attrgetter(sense)
    unit, words = RESOURCES[resource]
    divisor = BITS if resource == "bandwidth" else 1.0

    def samples(reading: Reading) -> Samples:
        value = get(reading).get(resource)
        return [] if value is None else [((), value / divisor)]

    return Figure(f"orcha_protocol_{sense}_{unit}", f"{words} {_SENSES[sense]}.", get, samples)


def _units(sense: str) -> Figure:
    get = attrgetter(sense)

    def samples(reading: Reading) -> Samples:
        return [((name,), value) for name, value in get(reading).items() if name not in RESOURCES]

    text = f"Units of an extended resource {_SENSES[sense]}."
    return Figure(f"orcha_protocol_{sense}_units", text, get, samples, ("resource",))


def _net_native(reading: Reading) -> Samples:
    """The same as gross where nothing is held back or cut; nothing where that is not known."""
    gross, net = reading.native.gross_per_hour, reading.native.net_per_hour
    return [((token,), value) for token, value in (gross if net is None else net).items()]


def _native_prices(reading: Reading) -> Samples:
    prices = reading.native.price_per_unit_hour.items()
    return [((resource, token), value) for resource, by in prices for token, value in by.items()]


def _pool(part: Callable[[Pool], Samples]) -> Callable[[Reading], Samples]:
    return lambda reading: [] if reading.pool is None else part(reading.pool)


def _states(reading: Reading) -> Samples:
    if reading.state is None:
        return []
    words = dict.fromkeys((*reading.states, reading.state))
    return [((word,), word == reading.state) for word in words]


def _info(reading: Reading) -> Samples:
    if reading.version is None and reading.node_id is None:
        return []
    return [((reading.version or "", reading.node_id or ""), 1.0)]


FIGURES: Final[tuple[Figure, ...]] = (
    _scalar("healthy", "healthy", "1 the node says that it is well and earning is possible."),
    Figure("orcha_protocol_state", "The protocol's own state, one-hot.", attrgetter("state", "states"), _states, ("state",)),
    Figure("orcha_protocol_info", "Static facts.", attrgetter("version", "node_id"), _info, ("version", "node_id")),
    _rate("earnings_usd_per_hour", "rate_usd_per_hour", f"What is earned, gross, in USD per hour. {CACHED}"),
    _rate("net_earnings_usd_per_hour", "net_usd_per_hour", "What is earned after fees and energy, in USD per hour."),
    _mapping("earnings_native_per_hour", "native.gross_per_hour", "token", "What is earned, gross, in tokens per hour."),
    Figure("orcha_protocol_net_earnings_native_per_hour", "What of it reaches the owner, in tokens per hour, before energy.",
            attrgetter("native"), _net_native, ("token",)),
    _mapping("balance_usd", "balance_usd", "kind", "Money by where it stands, in USD. paid is lifetime."),
    _mapping("price_usd_per_unit_hour", "price_usd_per_unit_hour", "resource", "The published price of one used unit."),
    Figure("orcha_protocol_price_native_per_unit_hour", "The same in the tokens in which it is published.",
            attrgetter("native.price_per_unit_hour"), _native_prices, ("resource", "token")),
    *(figure for sense in _SENSES for figure in (*(_resource(sense, name) for name in RESOURCES), _units(sense))),
    _scalar("growth_units_per_hour", "growth_per_hour", "Base units (bandwidth: bit/s) that arrive per hour, or would with room."),
    Figure("orcha_protocol_pool_payout_native_per_hour", "What a pool shared by stake pays to all together, in tokens.",
            attrgetter("pool"), _pool(lambda pool: [((t,), x) for t, x in pool.payout_native_per_hour.items()]), ("token",)),
    Figure("orcha_protocol_pool_others_units", "Stake of all others in that pool.", attrgetter("pool"),
            _pool(lambda pool: [((), pool.others)])),
    Figure("orcha_protocol_pool_net_share_ratio", "What of a token paid out reaches the owner.", attrgetter("pool"),
            _pool(lambda pool: [] if pool.net_share is None else [((), pool.net_share)])),
    _scalar("pool_payout_usd_per_hour", "pool_payout_usd_per_hour", "Net payout of the whole pool at today's price, in USD."),
    Figure("orcha_protocol_other_controller", "1 another controller sets the allocation by itself, 0 none was seen.",
            attrgetter("autonomous"), lambda reading: [((), reading.autonomous is not None)]),
    _scalar("earning_stalled", "earning_stalled", "1 healthy, yet nothing accrued for several usual intervals."),
    _scalar("payout_threshold_usd", "payout_threshold_usd", "What must be accrued before a payout, in USD."),
    _scalar("payout_expected_timestamp_seconds", "payout_expected_at", "When the payout threshold is or was reached."),
    _scalar("last_reading_timestamp_seconds", "at", "When the reading served was taken; it is cached between polls."),
)  # fmt: skip


ALL_BUT_TIME: Final = attrgetter(
    "healthy", "state", "states", "version", "node_id", "quality", "rate_usd_per_hour", "net_usd_per_hour", "native",
    "balance_usd", "price_usd_per_unit_hour", "allocated", "configured", "used", "irreversible", "growth_per_hour", "pool",
    "pool_payout_usd_per_hour", "autonomous", "earning_stalled", "payout_threshold_usd", "payout_expected_at",
)  # fmt: skip
"""What every row depends on but the last, which is the time of the reading: a look that found nothing new is the usual
case, and is told from this alone."""
