"""Chains of moves end: while the truth stays what it is, moving again and again comes to rest, and never in a circle."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.decide import decide
from controller.plan.strategy import rises_after
from tests.controller import worlds
from tests.controller.worlds import NOW, allocation, competing, policy, reading, state, varying, workload

TURNS = 80
"""More than the steps that all workloads together can go, one at a time."""


def moved(world, verdicts):
    """The world after the allowed moves, and after every hold is over; all else is as it was."""
    to = {v.move.key: (v.move.resource, v.move.to) for v in verdicts if v.allowed}

    def after(w):
        read = w.reading
        if w.key in to:
            read = replace(read, allocated=dict([to[w.key]]))
        return replace(w, reading=read, last_good=read, last_moved=None)

    rises = 0 if to else rises_after(world.rises, verdicts)
    return replace(world, workloads=tuple(after(w) for w in world.workloads), rises=rises)


def split(world):
    return tuple(sorted((w.key, *w.reading.allocated.values()) for w in world.workloads))


def chain(world):
    """The splits that it goes through until nothing moves any more."""
    splits = [split(world)]
    patience = world.spec.objective.rise_analyses
    still = 0
    while still < patience:
        world = moved(world, decide(world).verdicts)
        still = still + 1 if split(world) == splits[-1] else 0
        if not still:
            assert split(world) not in splits, "it moves in a circle"
            splits.append(split(world))
        assert len(splits) <= TURNS, "it never comes to rest"
    return splits


@st.composite
def worlds_of_chance(draw):
    """A few workloads on a node or two, with costs of moving, energy, and whatever strategy."""
    workloads, held = [], {}
    for number in range(draw(st.integers(2, 5))):
        node = draw(st.sampled_from(["rack-1", "rack-1", "rack-2"]))
        step = draw(st.sampled_from([0.5, 1.0, 2.0]))
        has = step * draw(st.integers(0, 6)) + draw(st.sampled_from([0.0, 0.0, 0.25]))
        key = f"{node}/w{number}"
        history = varying(
            draw(st.floats(0, 10)), capacity=max(has, 1.0), seed=number, spread=draw(st.sampled_from([0.1, 0.5, 2.0])),
            hours=draw(st.sampled_from([6, 48])), value=draw(st.sampled_from([0.001, 0.03, 0.03])),
        )  # fmt: skip
        traits = replace(
            worlds.DEMAND, offline_minutes=draw(st.sampled_from([0.0, 0.0, 10.0])),
            fees_usd=draw(st.sampled_from([0.0, 0.0, 0.02])),
        )  # fmt: skip
        bounds = allocation("cpu", 0, 8 * step, step, **{"with": {"memory": draw(st.sampled_from([0.0, 1.0]))}})
        read = reading(key, has, used=min(has, 1.0))
        workloads.append(workload(key, has, history, read=read, bounds=bounds, traits=traits, protocol=f"p{number}"))
        for resource, amount in (("cpu", has), ("memory", has / step * bounds.with_["memory"])):
            held[node, resource] = held.get((node, resource), 0.0) + amount
    spare = draw(st.sampled_from([0.0, 1.0, 20.0]))
    nodes = [
        worlds.node(name, cpu=held.get((name, "cpu"), 0) + spare, memory=held.get((name, "memory"), 0) + spare)
        for name in ("rack-1", "rack-2")
    ]
    objective = draw(
        st.sampled_from(
            [
                {},
                {},
                {"riseAnalyses": 3},
                {"strategy": "Interval"},
                {"strategy": "Predictive"},
                {"strategy": "RiskAware", "riskTolerance": 0.002},
                {"strategy": "RiskAware", "riskTolerance": 0.01},
            ]
        )
    )
    constraints = draw(
        st.sampled_from([[], [], [{"protocol": "p0", "maxShare": 0.5}], [{"protocol": "p1", "maxCount": 0}]])
    )
    spec = policy(
        objective=objective, constraints=constraints, maxStepPercent=draw(st.sampled_from([10, 20, 100])),
        minConfidence=draw(st.sampled_from([0, 0.7])), minImprovement={"percent": draw(st.sampled_from([0, 1]))},
    )  # fmt: skip
    return state(workloads, nodes, spec=spec, seed=draw(st.integers(0, 3)), last_program_at=NOW - 2 * 86400)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(worlds_of_chance())
def test_on_unchanged_truth_every_chain_of_moves_ends_and_never_comes_back_to_a_split(world):
    chain(world)


@pytest.mark.parametrize(
    "objective",
    [
        {},
        {"riseAnalyses": 4},
        {"strategy": "Interval"},
        {"strategy": "Predictive"},
        {"strategy": "RiskAware"},
        {"strategy": "RiskAware", "riskTolerance": 0.05},
    ],
    ids=["Threshold", "rises must last", "Interval", "Predictive", "no tolerance", "RiskAware"],
)
def test_whatever_the_strategy_idle_room_ends_with_who_is_always_full(objective):
    world = competing(spec=policy(objective=objective), last_program_at=NOW - 2 * 86400)
    assert dict(chain(world)[-1]) == {"rack-1/golem": 10.0, "rack-1/akash": 2.0}


def test_a_split_that_is_at_rest_is_left_by_nothing():
    ends = chain(competing(spec=policy()))[-1]
    world = competing(spec=policy())
    for key, amount in ends:
        read = reading(key, amount, used=amount)
        world = replace(
            world,
            workloads=tuple(replace(w, reading=read, last_good=read) if w.key == key else w for w in world.workloads),
        )
    assert chain(world) == [ends]
