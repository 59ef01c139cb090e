"""Small cases for tests of the backtest: one node unless told otherwise, plain numbers in."""

import numpy as np
from hypothesis import strategies as st

from controller.backtest.case import Case, Truth
from controller.model import NodeState, WorkloadState
from controller.policy import PolicySpec
from exporters.nodes import Allocation, Watts
from exporters.traits import CurveKind, Traits

START = 1_767_571_200.0
"""Monday, 5 January 2026, 00:00 UTC."""
NAN = float("nan")


def traits(kind="demand", **more):
    return Traits(curve=CurveKind(kind), resource="storage" if kind == "fill" else "cpu", **more)


def one(
    name="golem", demand=(4,), value=0.03, *, initial=4.0, low=0, high=8, step=1, kind="demand", up=True, node="rack-1",
    watts=None, mode=None, with_=None, freeze=None, protect_until=None, **more,
):  # fmt: skip
    """One workload and what is outside of it; `value` and `up` one for all ticks, or one for each."""
    had = traits(kind, **more)
    fields = {"resource": had.resource, "min": low, "max": high, "step": step, "freeze": freeze}
    fields |= {"with": with_ or {}, "protectUntil": protect_until}
    demand = np.asarray(demand, float)
    workload = WorkloadState(
        key=f"{node}/{name}", node=node, protocol="mapped", traits=had, allocation=Allocation.model_validate(fields),
        reading=None, last_good=None, stale_after=210.0, mode=mode,
        watts=None if watts is None else Watts(per_step=watts),
    )  # fmt: skip
    return workload, demand, np.broadcast_to(value, demand.shape), np.broadcast_to(up, demand.shape), initial


def case(*ones, capacity=None, tick=60.0, tariff=None, power=None, name="small", nodes=None, mode="Auto", **limits):
    ones = sorted(ones, key=lambda it: it[0].key)
    capacity = {"cpu": 8.0, "storage": 8.0} if capacity is None else capacity
    given = {NodeState(each, capacity, power) for each in {it[0].node for it in ones}} if nodes is None else nodes
    return Case(
        name=name, nodes=tuple(sorted(given, key=lambda node: node.name)), workloads=tuple(it[0] for it in ones),
        spec=PolicySpec.model_validate({"mode": mode, "limits": limits}),
        truth=Truth(
            START, tick, *(np.stack([it[k] for it in ones], axis=1).astype(float) for k in (1, 2)),
            np.stack([it[3] for it in ones], axis=1).astype(bool), None if tariff is None else np.asarray(tariff, float),
        ),
        initial=np.array([it[4] for it in ones], float),
    )  # fmt: skip


def path(case, *columns):
    """(T, W) from one list for each workload."""
    return np.stack([np.asarray(column, float) for column in columns], axis=1)


amounts = st.one_of(st.floats(0, 9), st.integers(0, 9).map(float))


@st.composite
def cases(draw, *, ticks=(1, 14), kinds=("demand", "fill"), sizes=(1, 3), unknown=True):
    """Small cases of every kind: down and unknown at times, with energy, fees and minutes offline."""
    n = draw(st.integers(*ticks))
    demand = st.lists(st.one_of(amounts, st.just(NAN)) if unknown else amounts, min_size=n, max_size=n)
    money = st.lists(st.floats(0, 0.1), min_size=n, max_size=n)
    flags = st.lists(st.booleans(), min_size=n, max_size=n) if unknown else st.just(True)
    found = [
        one(
            f"w{i}", draw(demand), draw(money), up=draw(flags), kind=draw(st.sampled_from(kinds)),
            initial=float(draw(st.integers(0, 2))), high=draw(st.integers(2, 4)),
            watts=draw(st.sampled_from([None, 50.0])), fees_usd=draw(st.sampled_from([0.0, 0.01])),
            offline_minutes=draw(st.sampled_from([0.0, 0.5, 1.0, 2.5, 7.0])),
        )
        for i in range(draw(st.integers(*sizes)))
    ]  # fmt: skip
    tariff = draw(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=1), min_size=n, max_size=n))
    return case(
        *found, capacity={"cpu": 6.0, "storage": 6.0}, tariff=tariff, hold=draw(st.sampled_from(["0s", "1m", "3m", "20m", "44m"])),
        maxStepPercent=draw(st.sampled_from([10, 34, 100])), maxProgramsPerHour=100,
    )  # fmt: skip
