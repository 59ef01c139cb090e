"""Made-up planning problems: choices with concave curves, rows of capacity."""

import numpy as np
from hypothesis import strategies as st

from controller.plan.problem import Choice, Problem, Row


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
