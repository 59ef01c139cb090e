"""Hand-made results of backtests: earnings that are known by heart."""

from __future__ import annotations

import numpy as np

from controller.backtest.case import Case, Truth
from controller.backtest.result import NAMES, ORCHA, Promise, Result, Run
from controller.policy import PolicySpec
from tests.controller import worlds

DAY = 86400.0
START = 1_767_571_200.0
"""Monday, 5 January 2026, 00:00 UTC."""
RATES = {
    "static": 1.0,
    "equal": 0.9,
    "greedy": 1.1,
    "winner_takes_all": 0.8,
    "orcha": 1.4,
    "clairvoyant": 1.5,
}
"""USD that each earns in a tick, all workloads together."""


def case(keys=("rack-1/akash", "rack-1/golem"), ticks=10, tick=DAY, *, capacity=12.0, name="made-up", seed=7):
    count = len(keys)
    truth = Truth(
        START, tick, np.full((ticks, count), 4.0), np.full((ticks, count), 0.03), np.ones((ticks, count), bool)
    )
    nodes = sorted({key.split("/")[0] for key in keys})
    return Case(
        name=name,
        nodes=tuple(worlds.node(node, cpu=capacity) for node in nodes),
        workloads=tuple(worlds.workload(key) for key in keys),
        spec=PolicySpec(mode="Auto"),
        truth=truth,
        initial=np.full(count, capacity / max(1, count)),
        seed=seed,
    )


def run(of, name, earned, **more):
    """`earned`: USD in each tick, the first workload's; the others earn nothing."""
    shape = of.truth.demand.shape
    money = np.zeros(shape)
    if shape[1]:
        money[:, 0] = earned
    held = np.repeat(of.initial[None, :], len(money), axis=0)
    return Run(
        name, more.pop("allocation", held), np.minimum(held, 4.0), money, seconds=more.pop("seconds", 2.0), **more
    )


def result(of=None, *, names=NAMES, rates=None, exact=True, **orcha):
    of = case() if of is None else of
    rates = RATES | (rates or {})
    orcha = {"programs": 3, "moves": 5, "decisions": 100} | orcha
    return Result(of, {name: run(of, name, rates[name], **(orcha if name == ORCHA else {})) for name in names}, exact)


def promise(day=1.0, realised=0.05, *, low=0.0, expected=0.05, high=0.1, keys=("rack-1/akash", "rack-1/golem")):
    count = len(keys)
    return Promise(
        START + day * DAY,
        tuple(keys),
        (6.0,) * count,
        (4.0,) * count,
        low,
        expected,
        high,
        0.85,
        7200.0,
        realised,
        "why",
    )
