"""Made-up histories to replay: name, seed, days -> Case. Pure; the same for the same three arguments, for ever.

Each scenario is one kind of trouble that a splitter can get into. Levels, prices, peaks and the operator's first split
vary with the seed; every figure is a hash of (seed, place), not a draw from a sequence (exporters/simulator/demand.py).
Unless it says otherwise: one node of 16 cores, four workloads that together are asked for a little more than that, paid
0.01 to 0.06 USD per core-hour, each another price, the default limits, mode Auto, a tick of a minute.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from controller.backtest.case import TICK, Case, Truth
from controller.model import NodeState, WorkloadState
from controller.policy import PolicySpec
from exporters.nodes import Allocation, Power, TariffWindow, Watts
from exporters.simulator.demand import Bursts, Demand, Fill, Noise, Regimes, Rhythm, pick, uniform, wandering
from exporters.traits import CurveKind, Traits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64

_T = TypeVar("_T")
START: Final = 1_767_571_200.0
"""Monday, 5 January 2026, 00:00 UTC."""
MOST_DAYS: Final = 3660.0
_HOUR: Final = 3600.0
_GIB: Final = 2.0**30
_TB: Final = 1e12
_PRICES: Final = (0.012, 0.020, 0.034, 0.055)
"""USD per core-hour; the seed shuffles and bends them."""


@dataclass(slots=True)
class _Dice:
    """Numbers that depend on the scenario, the seed, and how many were asked for before."""

    key: int
    count: int = 0

    def between(self, low: float, high: float) -> float:
        self.count += 1
        return low + (high - low) * pick(self.key, 1, self.count)

    def below(self, n: int) -> int:
        return min(int(self.between(0, n)), n - 1)

    def seed(self) -> int:
        return int(self.between(0, 2**50))

    def shuffled(self, items: Sequence[_T]) -> list[_T]:
        """In another order."""
        return [item for _, item in sorted(((self.between(0, 1), i), item) for i, item in enumerate(items))]


@dataclass(slots=True)
class _Market:
    """One workload and what is outside of it, while a scenario is put together."""

    name: str
    demand: F64
    """(T,)."""
    value: F64
    """(T,)."""
    up: NDArray[np.bool_]
    low: float
    high: float
    traits: Traits
    node: str = "rack-1"
    step: float = 1.0
    watts: Watts | None = None
    with_: Mapping[str, float] | None = None
    initial: float = 0.0


@dataclass(frozen=True, slots=True)
class _Setting:
    """What a scenario is made from."""

    dice: _Dice
    times: F64
    """(T,) Unix seconds."""

    @property
    def ticks(self) -> int:
        return len(self.times)

    def after(self, share: float) -> NDArray[np.bool_]:
        """(T,) the part of the time that comes after a share of it."""
        return np.arange(self.ticks) >= share * self.ticks


def scenario(name: str, *, seed: int = 0, days: float = 30) -> Case:
    """The case of that name. ValueError for a name that there is none of, or days that make no sense."""
    if name not in _MAKERS:
        raise ValueError(f"there is no scenario {name!r}; there are {', '.join(NAMES)}")
    if not (math.isfinite(days) and TICK <= days * 86400 <= MOST_DAYS * 86400):
        raise ValueError(f"{days} days: write a number from 1 minute (0.0007) to {MOST_DAYS:g}")
    times = START + TICK * np.arange(round(days * 86400 / TICK), dtype=np.float64)
    setting = _Setting(_Dice((seed * 0x9E3779B1 + zlib.crc32(name.encode())) & (2**63 - 1)), times)
    nodes, markets = _MAKERS[name](setting)
    return _case(name, seed, times, nodes, markets)


def _case(name: str, seed: int, times: F64, nodes: Sequence[NodeState], markets: Sequence[_Market]) -> Case:
    markets = sorted(markets, key=lambda market: (market.node, market.name))
    return Case(
        name=name, nodes=tuple(sorted(nodes, key=lambda node: node.name)), workloads=tuple(map(_workload, markets)),
        spec=PolicySpec(mode="Auto"),
        truth=Truth(
            start=float(times[0]), tick=TICK, demand=np.stack([m.demand for m in markets], axis=1),
            value=np.stack([m.value for m in markets], axis=1), up=np.stack([m.up for m in markets], axis=1),
        ),
        initial=np.array([m.initial for m in markets]), seed=seed,
    )  # fmt: skip


def _workload(market: _Market) -> WorkloadState:
    resource = market.traits.resource or "cpu"
    return WorkloadState(
        key=f"{market.node}/{market.name}", node=market.node, protocol=_PROTOCOL[market.traits.curve],
        traits=market.traits,
        allocation=Allocation.model_validate(
            {"resource": resource, "min": market.low, "max": market.high, "step": market.step}
            | ({"with": market.with_, "reserve": sorted(market.with_)} if market.with_ else {})
        ),
        reading=None, last_good=None, stale_after=market.traits.stale_seconds(), watts=market.watts,
    )  # fmt: skip


_PROTOCOL: Final = {CurveKind.DEMAND: "mapped", CurveKind.FILL: "storj"}

# --- what most of them are made of --------------------------------------------------------------------------------

Shape = Callable[[_Dice, float, int], Demand]
"""(dice, mean level, seed) -> the demand of one workload."""


def _node(name: str = "rack-1", cpu: float = 16.0, power: Power | None = None, **more: float) -> NodeState:
    return NodeState(name, {"cpu": cpu, **more}, power)


def _traits(minutes: float) -> Traits:
    return Traits(curve=CurveKind.DEMAND, resource="cpu", offline_minutes=minutes)


def _cpu(
    setting: _Setting, shape: Shape, *, node: str = "rack-1", cpu: float = 16.0, load: float | None = None
) -> list[_Market]:
    """Four workloads that want cores of one node, of which there are `load` times as few as are asked for on average."""
    dice = setting.dice
    load = dice.between(1.05, 1.45) if load is None else load
    shares = [dice.between(0.5, 1.5) for _ in range(4)]
    prices = dice.shuffled([price * dice.between(0.85, 1.18) for price in _PRICES])
    minutes = dice.shuffled([0.0, 0.0, 1.0, 2.0])
    found = []
    for name, share, price, away in zip(("akash", "flux", "golem", "mysterium"), shares, prices, minutes, strict=True):
        demand = shape(dice, load * cpu * share / sum(shares), dice.seed())
        most = cpu * (0.5, 0.625, 0.75, 1.0)[dice.below(4)]
        found.append(
            _Market(
                name,
                np.asarray(demand.at(setting.times)),
                _worth(setting, price),
                np.ones(setting.ticks, bool),
                low=float(dice.below(2)),
                high=float(math.floor(most)),
                traits=_traits(away),
                node=node,
            )
        )
    _split(dice, found, cpu)
    return found


def _worth(setting: _Setting, price: float) -> F64:
    """(T,) USD per unit-hour: a price that drifts by some per cent, as tokens do."""
    return np.asarray(wandering(price, setting.dice.seed(), spread=0.04).at(setting.times))


def _split(dice: _Dice, markets: Sequence[_Market], total: float) -> None:
    """What an operator set up once: about equal, a step here or there, everything given out or nearly so."""
    each = math.floor(total / len(markets))
    for market in markets:
        market.initial = min(max(each, market.low), market.high)
    for _ in range(len(markets) // 2):
        giver, taker = markets[dice.below(len(markets))], markets[dice.below(len(markets))]
        if giver.initial - 1 >= giver.low and taker.initial + 1 <= taker.high and giver is not taker:
            giver.initial, taker.initial = giver.initial - 1, taker.initial + 1


_Made = tuple[list[NodeState], list[_Market]]


def _still(dice: _Dice, mean: float, seed: int) -> Demand:
    return Demand(mean, seed, rhythm=None, bursts=None, regimes=None, noise=Noise(dice.between(0.02, 0.06), 0.18))


def _mild(dice: _Dice, mean: float, seed: int) -> Demand:
    rhythm = Rhythm(dice.between(0.1, 0.3), dice.between(0, 1))
    return Demand(mean, seed, rhythm=rhythm, bursts=None, regimes=None, noise=Noise(0.04, 0.18))


def _rhythmic(dice: _Dice, mean: float, seed: int) -> Demand:
    rhythm = Rhythm(dice.between(0.5, 0.85), dice.between(0, 1), weekend=dice.between(0.6, 1.1))
    return Demand(mean, seed, rhythm=rhythm, bursts=None, regimes=None, noise=Noise(0.04, 0.15))


def _bursting(dice: _Dice, mean: float, seed: int) -> Demand:
    bursts = Bursts(dice.between(3.0, 8.0), dice.between(0.04, 0.12), dice.between(2.0, 4.0))
    rhythm = Rhythm(0.2, dice.between(0, 1))
    return Demand(mean / (1 + bursts.mean), seed, rhythm=rhythm, bursts=bursts, regimes=None)


def _regimes(dice: _Dice, mean: float, seed: int) -> Demand:
    regimes, rhythm = Regimes(dice.between(2.5, 6.0), dice.between(0.5, 0.8)), Rhythm(0.2, dice.between(0, 1))
    return Demand(mean, seed, rhythm=rhythm, bursts=None, regimes=regimes)


def _nervous(_: _Dice, mean: float, seed: int) -> Demand:
    return Demand(mean, seed, rhythm=None, bursts=None, regimes=None, noise=Noise(0.006, 0.5))


def _mixed(dice: _Dice, mean: float, seed: int) -> Demand:
    return (_still, _rhythmic, _bursting, _regimes)[dice.below(4)](dice, mean, seed)


# --- the scenarios ------------------------------------------------------------------------------------------------


def _steady(setting: _Setting) -> _Made:
    return [_node()], _cpu(setting, _still)


def _daily_rhythm(setting: _Setting) -> _Made:
    """By day a kilowatt-hour costs more, most of all in the evening."""
    markets = _cpu(setting, _rhythmic)
    for market in markets:
        market.watts = Watts(per_step=setting.dice.between(5.0, 12.0))
    windows = [
        _tariff("0 17 * * *", "4h", 0.42),
        _tariff("0 23 * * *", "7h", 0.16),
    ]
    return [_node(power=Power(usd_per_kwh=0.29, idle_watts=60, windows=windows))], markets


def _tariff(cron: str, duration: str, price: float) -> TariffWindow:
    return TariffWindow.model_validate(
        {"cron": cron, "duration": duration, "timezone": "Europe/Berlin", "usdPerKwh": price}
    )


def _bursts(setting: _Setting) -> _Made:
    return [_node()], _cpu(setting, _bursting)


def _regime_change(setting: _Setting) -> _Made:
    return [_node()], _cpu(setting, _regimes)


def _dead_protocol(setting: _Setting) -> _Made:
    """In one case of three it goes down at once; else its customers leave within hours, and a day later it goes down."""
    dice, markets = setting.dice, _cpu(setting, _mild)
    dead = _by_worth(markets)[dice.below(2)]
    ends = dice.between(0.3, 0.6) * setting.ticks * TICK
    age = setting.times - setting.times[0] - ends
    lasts, grace = (0.0, 0.0) if dice.between(0, 3) < 1 else (dice.between(2, 8) * _HOUR, 86400.0)
    if lasts:
        dead.demand = dead.demand * np.clip(1 - age / lasts, 0.0, 1.0)
    dead.up = dead.up & (age < lasts + grace)
    return [_node()], markets


def _slow_fill(setting: _Setting) -> _Made:
    """Of two storage nodes on one disk the older one is nearly full, of which nothing is held back any more; of the
    younger one's payouts a part is. Two workloads share the few cores beside them.
    """
    dice, times = setting.dice, setting.times
    disk = 24 * _TB
    older = disk / 2 + (dice.below(5) - 2) * 0.5 * _TB
    markets = sorted(_cpu(setting, _still, cpu=8.0), key=lambda market: float(market.value[0]))[:2]
    _split(dice, markets, 4.0)
    price = 1.5 / _TB / 730 * dice.between(0.85, 1.15)
    for name, room, full, hourly, share in (
        ("storj-old", older, dice.between(0.85, 0.99), dice.between(6.0, 16.0), 1.0),
        ("storj-young", disk - older, dice.between(0.1, 0.4), dice.between(1.0, 5.0), dice.between(0.5, 0.75)),
    ):
        ingress = Demand(hourly * 1e9, dice.seed(), rhythm=Rhythm(0.3, 0.75), regimes=Regimes(5.0, 0.3), bursts=None)
        stored = Fill(ingress, deleted_per_hour=dice.between(1e-5, 7e-5)).unlimited(full * room, times)
        up = np.ones(len(times), bool)
        worth, step = np.full(len(times), price * share), 0.5 * _TB
        markets.append(_Market(name, stored, worth, up, step, 20 * _TB, _STORAGE, step=step, initial=room))
    return [_node(cpu=4.0, storage=disk)], markets


_STORAGE: Final = Traits(
    curve=CurveKind.FILL, resource="storage", poll_interval=600.0, timeout=90.0, offline_minutes=5.0,
    min_allocation=0.5 * _TB, irreversible=True, singleton=True, horizon=168 * _HOUR,
)  # fmt: skip
"""As exporters/protocols/storj declares it."""


def _price_crash(setting: _Setting) -> _Made:
    """In every other case the price comes back, within some days."""
    dice, markets = setting.dice, _cpu(setting, _mild)
    fallen = _by_worth(markets)[dice.below(2)]
    factor = np.where(setting.after(dice.between(0.35, 0.55)), 0.2, 1.0)
    if dice.below(2):
        back, whole = sorted((dice.between(0.6, 0.8), dice.between(0.8, 0.95)))
        place = np.arange(setting.ticks) / setting.ticks
        factor = np.maximum(factor, np.clip((place - back) / (whole - back), 0.0, 1.0) * (place >= back))
    fallen.value = fallen.value * factor
    return [_node()], markets


def _flapping(setting: _Setting) -> _Made:
    """The demand of two comes and goes every 20 to 90 minutes; a third is down for minutes, several times a day."""
    dice, markets = setting.dice, _cpu(setting, _mild)
    for market in dice.shuffled(markets)[:3]:
        market.demand = market.demand * np.where(_switching(dice, setting, (20, 90), (20, 90)), 1.8, 0.05)
    shaky = markets[dice.below(4)]
    shaky.up = _switching(dice, setting, (60, 600), (3, 30))
    return [_node()], markets


def _switching(dice: _Dice, setting: _Setting, on: tuple[float, float], off: tuple[float, float]) -> NDArray[np.bool_]:
    """(T,) on and off in turn, each for some minutes between two bounds."""
    pairs = math.ceil(setting.ticks * TICK / 60 / (on[0] + off[0])) + 1
    seed, index = dice.seed(), np.arange(pairs)
    lasts = np.stack([low + (high - low) * uniform(seed, i, index) for i, (low, high) in enumerate((on, off))], axis=1)
    ends = np.cumsum(lasts.ravel())
    passed = np.searchsorted(ends, np.arange(setting.ticks) * TICK / 60, side="right")
    return np.asarray(passed % 2 == 0)


def _noisy_but_equal(setting: _Setting) -> _Made:
    """All four alike in mean, worth and noise, and split equally."""
    dice, price = setting.dice, setting.dice.between(0.02, 0.04)
    markets = _cpu(setting, _nervous)
    mean = dice.between(3.4, 4.4)
    worth = _worth(setting, price)
    for market in markets:
        market.demand, market.value = np.asarray(_nervous(dice, mean, dice.seed()).at(setting.times)), worth
        market.low, market.high, market.initial, market.traits = 0.0, 16.0, 4.0, _traits(1.0)
    return [_node()], markets


def _twelve_on_three(setting: _Setting) -> _Made:
    """A small, a middling and a large node; on the large one memory goes along with the cores and may run out first."""
    sizes = {"rack-1": 12.0, "rack-2": 16.0, "rack-3": 32.0}
    memory = {"rack-3": {"memory": 96 * _GIB}}
    nodes = [_node(name, cpu, None, **memory.get(name, {})) for name, cpu in sizes.items()]
    markets = [market for name, cpu in sizes.items() for market in _cpu(setting, _mixed, node=name, cpu=cpu)]
    for market, gib in zip(
        (m for m in markets if m.node == "rack-3"), setting.dice.shuffled([1, 2, 3, 4]), strict=True
    ):
        market.with_ = {"memory": gib * _GIB}
    return nodes, markets


def _by_worth(markets: Sequence[_Market]) -> list[_Market]:
    """The one that earns most first, were it given all that it is asked for."""
    return sorted(markets, key=lambda m: -float((m.demand * m.value).mean()))


_MAKERS: Final[Mapping[str, Callable[[_Setting], _Made]]] = {
    "steady": _steady,
    "daily-rhythm": _daily_rhythm,
    "bursts": _bursts,
    "regime-change": _regime_change,
    "dead-protocol": _dead_protocol,
    "slow-fill": _slow_fill,
    "price-crash": _price_crash,
    "flapping": _flapping,
    "noisy-but-equal": _noisy_but_equal,
    "twelve-on-three": _twelve_on_three,
}
NAMES: Final = tuple(_MAKERS)
WHAT: Final[Mapping[str, str]] = {
    "steady": "Demand only wavers: whether the better split is found at all, and then left alone.",
    "daily-rhythm": "Peaks at different hours and tariffs by the hour: whether the split follows the day.",
    "bursts": "Jobs out of the blue that last an hour or two: whether chasing them pays or is left alone.",
    "regime-change": "Every few days the market is another: whether the old one is forgotten soon enough.",
    "dead-protocol": "One of the best stops being asked for, and then for good: whether its share is taken back.",
    "slow-fill": "Two storage nodes compete for one disk: whether room goes where it fills, months ahead of its worth.",
    "price-crash": "What earned most is paid a fifth from one day on: whether worth counts, not use.",
    "flapping": "Demand that switches on and off, and a node that comes and goes: whether the controller stays calm.",
    "noisy-but-equal": "All the same but for noise: doing nothing is right, and every move a mistake.",
    "twelve-on-three": "Twelve workloads of every kind on three nodes, one short of memory: whether it scales.",
}
"""What each is for."""
