"""Made-up planning problems: choices with concave curves, rows of capacity."""

from dataclasses import replace
from itertools import product

import numpy as np
from hypothesis import strategies as st

from controller.plan.payback import objective
from controller.plan.problem import Choice, Problem, Row
from tests.controller.worlds import allocation, line, node, policy, state, workload


def choice(key, x, y, at=0, *, needs=None, cost=0.0, horizon=7200.0, pinned=False, protocol="mapped"):
    return Choice(
        key=key,
        node=key.split("/")[0],
        protocol=protocol,
        resource="cpu",
        x=np.asarray(x, float),
        y=np.asarray(y, float),
        at=at,
        needs={"cpu": 1.0} if needs is None else needs,
        cost=cost,
        horizon=horizon,
        pinned=pinned,
    )


def problem(choices, capacity):
    """One node; its resources are those of `capacity`."""
    choices = sorted(choices, key=lambda it: it.key)
    rows = []
    for resource, limit in sorted(capacity.items()):
        index = [i for i, it in enumerate(choices) if it.needs.get(resource)]
        coefficient = np.array([choices[i].needs[resource] for i in index])
        rows.append(
            Row(f"rack-1 {resource}", np.array(index, dtype=np.intp), coefficient, float(limit), ("rack-1", resource))
        )
    return Problem(tuple(choices), tuple(rows))


def concave(slopes, step=1.0, start=0.0, low=0.0):
    """x and y of a curve with these falling slopes, one for each step."""
    slopes = np.sort(np.asarray(slopes, float))[::-1]
    return low + step * np.arange(len(slopes) + 1), start + np.concatenate([[0.0], np.cumsum(slopes * step)])


slopes = st.lists(st.floats(-0.05, 1.0).map(lambda v: round(v, 4)), min_size=1, max_size=8)


@st.composite
def problems(draw, resources=("cpu",), most=6):
    """A node with up to `most` workloads whose present allocations fit; some pinned, steps of different sizes."""
    unit = draw(st.sampled_from([1.0, 1e-6, 1e12]))
    choices = []
    for number in range(draw(st.integers(1, most))):
        step = unit * draw(st.sampled_from([0.5, 1.0, 2.0, 3.0]))
        x, y = concave(draw(slopes), 1.0)
        x = unit * draw(st.sampled_from([0.0, 1.0])) + x * step
        needs = {r: 1.0 if r == "cpu" else draw(st.sampled_from([0.0, 0.3, 2.0])) for r in resources}
        at = draw(st.integers(0, len(x) - 1))
        cost = draw(st.sampled_from([0.0, 0.0, 0.1]))
        choices.append(
            choice(f"rack-1/w{number}", x, y, at, needs=needs, cost=cost, pinned=draw(st.integers(0, 9)) == 0)
        )
    capacity = {}
    for resource in resources:
        held = sum(it.current * it.needs[resource] for it in choices)
        capacity[resource] = held + unit * draw(st.sampled_from([0.0, 0.0, 0.7, 3.0, 50.0]))
    return problem(choices, capacity)


@st.composite
def shapes(draw, most=8):
    """Values of a curve of any shape at 1 to `most` allowed allocations, with gaps between them."""
    gaps = draw(st.lists(st.sampled_from([1.0, 1.0, 2.0, 5.0]), max_size=most - 1))
    x = draw(st.sampled_from([0.0, 0.0, 2.0])) + np.concatenate([[0.0], np.cumsum(gaps)])
    y = draw(st.lists(st.floats(0, 1).map(lambda v: round(v, 3)), min_size=len(x), max_size=len(x)))
    return x, np.array(y)


@st.composite
def fleets(draw, *, bent=False, most=3, nodes=3, values=5):
    """Up to `nodes` nodes with cores and bytes, single values, no room, companions, pins, costs, and constraints over
    them (a share, a total at most and at least), all of which what there is now keeps; money from 1e-9 to 1e6 USD."""
    choices, capacity = [], {}
    bytes_, money = draw(st.sampled_from([2.0**33, 1e12])), draw(st.sampled_from([1.0, 1.0, 1e-9, 1e6]))
    for number in range(draw(st.integers(1, nodes))):
        where = f"n{number}"
        for name in range(draw(st.integers(1, most))):
            x, y = draw(shapes(values)) if bent else concave(draw(slopes)[: values - 1])
            size = draw(st.sampled_from([1.0, bytes_]))  # cores, or bytes
            needs = {"cpu" if size == 1.0 else "storage": 1.0, "memory": draw(st.sampled_from([0.0, 0.5, 1.0])) / size}
            at = draw(st.integers(0, len(x) - 1))
            costs = draw(st.sampled_from([0.0, 0.0, 0.3]))
            protocol = draw(st.sampled_from(["golem", "storj"]))
            one = choice(
                f"{where}/w{name}", x * size, y * money, at, needs=needs, cost=costs * money, protocol=protocol
            )
            choices.append(replace(one, resource=next(iter(needs)), pinned=draw(st.integers(0, 9)) == 0))
        for resource in ("cpu", "memory", "storage"):
            held = sum(it.current * it.needs.get(resource, 0.0) for it in choices if it.node == where)
            more = draw(st.sampled_from([0.0, 0.0, 1.0, 2.5, 50.0])) * (bytes_ if resource == "storage" else 1.0)
            capacity[where, resource] = held + more
    return Problem(tuple(choices), (*_capacities(choices, capacity), *draw(_constraints(choices))))


def _capacities(choices, capacity):
    rows = []
    for (where, resource), limit in sorted(capacity.items()):
        index = [i for i, it in enumerate(choices) if it.node == where and it.needs.get(resource)]
        if index:
            per_unit = np.array([choices[i].needs[resource] for i in index])
            rows.append(Row(f"{where} {resource}", np.array(index, dtype=np.intp), per_unit, limit, (where, resource)))
    return rows


@st.composite
def _constraints(draw, choices):
    index = [i for i, it in enumerate(choices) if it.resource == "cpu"]
    own = np.array([choices[i].protocol == "golem" for i in index], dtype=float)
    now = np.array([choices[i].current for i in index])
    share = draw(st.sampled_from([0.5, 0.3, 1 / 3]))
    kinds = {"maxShare": own - share, "maxTotal": own, "minTotal": -own}
    rows = []
    for name in sorted(draw(st.sets(st.sampled_from(sorted(kinds)), max_size=2))) if index else ():
        limit = float(kinds[name] @ now) + draw(st.sampled_from([0.0, 1.0, 4.0]))
        rows.append(Row(f"golem {name} of cpu #0", np.array(index, dtype=np.intp), kinds[name], limit))
    return rows


CONSTRAINTS = [
    {"maxShare": 0.3},
    {"maxShare": 1 / 3},
    {"maxTotal": 7},
    {"minTotal": 3},
    {"maxCount": 1},
    {"maxCount": 2},
]


@st.composite
def policies(draw):
    """A State of up to three nodes under a policy with constraints, kept now or not, and the curves of its workloads."""
    chosen = draw(st.lists(st.sampled_from(CONSTRAINTS), max_size=3, unique_by=str))
    percent = draw(st.sampled_from([20, 50, 100]))
    spec = policy(maxStepPercent=percent, constraints=[{"protocol": "golem"} | each for each in chosen])
    nodes, workloads, curves = [], [], {}
    for number in range(draw(st.integers(1, 3))):
        held = {"cpu": 0.0, "memory": 0.0}
        for name in range(draw(st.integers(1, 3))):
            key, amount, along = (
                f"n{number}/w{name}",
                float(draw(st.integers(0, 4))),
                draw(st.sampled_from([0, 0, 2.5])),
            )
            bounds = allocation(high=draw(st.sampled_from([4, 9])), **({"with": {"memory": along}} if along else {}))
            protocol = draw(st.sampled_from(["golem", "mapped"]))
            workloads.append(workload(key, amount, bounds=bounds, protocol=protocol))
            gains = draw(st.lists(st.floats(-0.05, 1).map(lambda v: round(v, 3)), min_size=9, max_size=9))
            gains = gains if draw(st.booleans()) else sorted(gains, reverse=True)
            curves[key] = line(key, np.arange(10.0), np.append(0.0, np.cumsum(gains)))
            held = {"cpu": held["cpu"] + amount, "memory": held["memory"] + along * amount}
        nodes.append(
            node(f"n{number}", **{name: most + draw(st.sampled_from([0, 1, 4])) for name, most in held.items()})
        )
    return state(workloads, nodes, spec=spec), curves


def brute(of):
    """The most that any combination of allowed values is worth, one by one."""
    best = -np.inf
    for index in product(*[[it.at] if it.pinned else range(len(it.x)) for it in of.choices]):
        if of.holds(np.array([it.x[i] for it, i in zip(of.choices, index, strict=True)])):
            best = max(best, objective(of, list(index)))
    return best
