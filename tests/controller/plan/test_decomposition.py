"""Many nodes under few constraints: feasible, within the gap that is stated, and near the best in whole steps."""

from dataclasses import replace

import numpy as np
import pytest

from controller.plan import decomposition, linear
from controller.plan.flat import flat
from controller.plan.payback import objective
from controller.plan.problem import Problem, Row
from controller.plan.solve import solve
from tests.controller.plan.problems import choice, concave

STEPS = 3


def fleet(nodes, *, seed=0, memory=False, cost=0.0, constraints=2, uneven=False):
    """Nodes of three workloads of three protocols; cpu binds on all, memory too where it is asked for."""
    rng = np.random.default_rng(seed)
    choices, rows = [], []
    for number in range(nodes):
        name = f"n{number:05d}"
        index = np.arange(3 * number, 3 * number + 3)
        for k in range(3):
            step = 1.0 + 0.5 * (uneven and k == 2)
            needs = {"cpu": 1.0} | ({"memory": 0.5 + 0.5 * k} if memory else {})
            x, y = concave(rng.gamma(1.0, 1.0, STEPS), step=step)
            choices.append(choice(f"{name}/w{k}", x, y, 1, needs=needs, cost=cost * k, protocol=f"p{k}"))
        for resource, limit in (("cpu", 4.5), *((("memory", 4.25),) if memory else ())):
            per_unit = np.array([choices[i].needs[resource] for i in index])
            held = sum(choices[i].needs[resource] * choices[i].current for i in index)
            rows.append(Row(f"{name} {resource}", index, per_unit, max(limit, held), (name, resource)))
    own = [np.array([c.protocol == f"p{k}" for c in choices], dtype=float) for k in range(2)]
    now = np.array([c.current for c in choices])
    everybody = np.arange(len(choices))
    forms = [("p0 maxShare of cpu #0", own[0] - 0.3), ("p1 maxTotal of cpu #1", own[1])][:constraints]
    over = [Row(name, everybody, per_unit, float(per_unit @ now) + 0.01 * nodes) for name, per_unit in forms]
    return Problem(tuple(choices), tuple(sorted((*rows, *over), key=lambda row: row.name)))


@pytest.mark.parametrize(
    "of",
    [
        fleet(60), fleet(60, constraints=1), fleet(60, constraints=0), fleet(60, memory=True), fleet(60, uneven=True),
        fleet(2100), fleet(60, memory=True, uneven=True),
    ],
    ids=["two", "one", "none", "memory too", "uneven steps", "with a sample", "memory and uneven"],
)  # fmt: skip
def test_the_split_is_feasible_and_within_its_gap_of_the_linear_program(of):
    whole = flat(of)
    found = decomposition.maximise(whole.problem)
    assert found.prices.any() == bool(len(whole.problem.limit))
    x = np.zeros(len(of.choices))
    x[whole.order] = whole.base + whole.problem.amounts(found.taken)
    assert of.holds(x)
    assert found.gap <= decomposition.GAP
    least = sum(float(c.y[0]) for c in of.choices)
    best = of.earns(linear.maximise(of)) - least
    # answers that are mixed may leave gaps in a curve's segments, which the curve itself never does
    assert found.value * (1 - 1e-9) <= of.earns(x) - least <= found.bound * (1 + 1e-9)
    assert found.bound >= best * (1 - 1e-9)
    assert best - found.value <= found.gap * best + 1e-8 * best


def test_a_tighter_gap_is_reached_where_it_is_asked_for():
    assert decomposition.maximise(flat(fleet(60)).problem, gap=1e-7).gap <= 1e-7


@pytest.mark.parametrize("cost", [0.0, 0.05], ids=["free", "moving costs"])
@pytest.mark.parametrize(
    "more", [{}, {"memory": True}, {"uneven": True}], ids=["even steps", "two resources", "uneven steps"]
)
def test_whole_steps_are_feasible_and_near_what_prices_say_is_the_most(more, cost):
    of = fleet(300, cost=cost, **more)
    found = solve(of, "Decomposition")
    assert of.holds(np.array([c.x[i] for c, i in zip(of.choices, found.target, strict=True)]))
    worth = objective(of, list(found.target))
    assert worth == pytest.approx(most(of), rel=2e-3)
    assert worth <= most(of) * (1 + 1e-9)


def most(of):
    """A bound on whole steps less the cost of moving: each node's best at the prices of the relaxation."""
    prices = decomposition.maximise(flat(of).problem).best
    over = [row for row in of.rows if row.place is None]
    charge = sum(
        (p * np.bincount(r.index, r.coefficient, len(of.choices)) for p, r in zip(prices, over, strict=True)), 0.0
    )
    charged = tuple(replace(c, y=c.y - paid * c.x) for c, paid in zip(of.choices, charge, strict=True))
    alone = Problem(charged, tuple(row for row in of.rows if row.place is not None))
    best = objective(alone, list(solve(alone, "MILP").target))
    return best + float(sum(p * row.limit for p, row in zip(prices, over, strict=True)))


def test_auto_takes_many_nodes_at_once_and_says_so():
    found = solve(fleet(100))
    assert found.solver == "Decomposition"
    assert found.why.startswith(
        "Decomposition (exact but for whole steps): 100 nodes under 2 constraints, at most 0.00"
    )
    assert found.gap <= decomposition.GAP


def test_many_nodes_without_constraints_over_them_are_as_good_as_one_by_one():
    of = fleet(100, constraints=0, cost=0.02)
    at_once = solve(of)
    one_by_one = [
        solve(Problem(of.choices[i : i + 3], (replace(of.rows[i // 3], index=np.arange(3)),))) for i in range(0, 300, 3)
    ]
    assert at_once.solver == "WaterFilling"
    assert at_once.target == tuple(i for found in one_by_one for i in found.target)


def test_a_share_that_only_sums_of_large_terms_seem_to_break_is_kept():
    # both hold what they must: 0.95 · a - 0.05 · b is the limit but for a hair that float64 loses
    a, b = (choice(f"n0/{n}", [x], [0.1], protocol=n) for n, x in (("a", 11166914969.6), ("b", 30064771072.0)))
    share = np.array([0.95, -0.05])
    over = Row("a maxShare of cpu #0", np.arange(2), share, float((share * [a.current, b.current]).sum()) * (1 - 1e-15))
    found = solve(Problem((a, b), (over,)), "Decomposition")
    assert (found.solver, found.target) == ("Decomposition", (0, 0))


def test_a_curve_that_is_not_concave_has_no_flat_form():
    with pytest.raises(ValueError, match="concave"):
        flat(Problem((choice("n/a", [0, 1, 2], [0, 0, 1]),), ()))
