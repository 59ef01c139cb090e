"""The step grid exactly: a dynamic programme over states, and HiGHS up to a stated gap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.plan import dynamic, milp
from controller.plan.highs import Unsolved
from controller.plan.items import items
from controller.plan.payback import objective
from controller.plan.problem import build
from controller.plan.solve import solve
from tests.controller import worlds
from tests.controller.plan.problems import brute, choice, concave, fleets, problem
from tests.controller.worlds import always, line, policy, state, workload

small = st.one_of(fleets(nodes=2, most=2), fleets(bent=True, nodes=2, most=2))


def stay(them):
    return them.at


@settings(max_examples=40)
@given(small)
def test_highs_and_the_dynamic_programme_both_find_the_best_of_all_combinations(of):
    them = items(of)
    scale = float(np.abs(them.worth).sum()) + 1e-300
    known, (prices, bound) = stay(them), milp.prices(them)
    best = brute(of)
    assert them.total(dynamic.best(them, known, prices)) == pytest.approx(best, abs=1e-8 * scale)
    assert them.total(milp.maximise(them, known).taken) == pytest.approx(best, abs=(milp.GAP + 1e-8) * scale)
    assert bound >= best - 1e-8 * scale


@settings(max_examples=40)
@given(small, st.lists(st.floats(0, 10), min_size=20, max_size=20))
def test_the_dynamic_programme_is_exact_whatever_the_prices(of, prices):
    them = items(of)
    found = dynamic.best(them, stay(them), np.array(prices[: len(them.limit)]))
    assert them.fits(found)
    assert them.total(found) == pytest.approx(brute(of), abs=1e-8 * float(np.abs(them.worth).sum() + 1e-300))


def test_what_is_known_comes_back_where_the_bound_of_a_worse_one_looks_as_good():
    # a core that is left at its price of 0.0001 makes the bound of 2 and 3 what 3 and 3 are worth
    of = problem(
        [choice("rack-1/a", *concave((1, 1, 0.0001))), choice("rack-1/b", *concave((1, 1, 1, 0.0001)))], {"cpu": 6}
    )
    them = items(of)
    known = them.of([3, 3])
    assert dynamic.best(them, known, np.array([0.0001]) * them.scale).tolist() == known.tolist()
    assert objective(of, list(solve(of, "MILP").target)) == pytest.approx(5.0001)


def test_too_many_states_are_said_to_be_too_many():
    of = problem(
        [choice(f"rack-1/w{i}", *concave((1, 0.9, 0.8)), needs={"cpu": 1.0 + 0.1 * i}) for i in range(6)], {"cpu": 5}
    )
    them = items(of)
    assert dynamic.best(them, stay(them), np.zeros(1), most=5) is None
    assert milp.best(them, stay(them)).gap == 0.0


def test_what_the_node_limit_leaves_open_is_stated():
    rng = np.random.default_rng(0)
    choices = [
        choice(
            f"rack-1/w{i:02d}", np.arange(6.0), np.append(0, rng.random(5).cumsum()), cost=float(rng.random()),
            needs={"cpu": float(rng.uniform(1, 2)), "memory": float(rng.uniform(1, 2))},
        ) for i in range(25)
    ]  # fmt: skip
    them = items(problem(choices, {"cpu": 40.3, "memory": 41.7}))
    found = milp.maximise(them, stay(them), nodes=1)
    better = milp.maximise(them, stay(them))
    assert them.fits(found.taken)
    assert found.gap > 0
    assert them.total(better.taken) <= them.total(found.taken) * (1 + found.gap) / (1 - found.gap) + 1e-6


def test_a_pin_that_is_over_the_limit_leaves_nothing_to_solve():
    of = problem([choice("rack-1/a", [0, 5], [0, 1], 1, pinned=True)], {"cpu": 1.0})
    with pytest.raises(Unsolved):
        milp.prices(items(of))
    assert solve(of, "MILP").target == (1,)


# --- counts


def counted(most, **has):
    names = {"a": 2.0, "b": 0.0, "c": 0.0} | has
    spec = policy(maxStepPercent=100, constraints=[{"protocol": "golem", "maxCount": most}])
    world = state(
        [workload(f"rack-1/{name}", amount, always(1.0), protocol="golem") for name, amount in names.items()],
        [worlds.node(cpu=12)], spec=spec,
    )  # fmt: skip
    earns = {"a": 0.1, "b": 0.5, "c": 0.3}
    curves = {
        f"rack-1/{name}": line(f"rack-1/{name}", [0, 2, 12], [0, 2 * earns[name], 2 * earns[name]]) for name in names
    }
    return build(world, curves, {}).problem


@pytest.mark.parametrize(
    ("most", "target"),
    [(1, (0, 2, 0)), (2, (0, 2, 2)), (3, (2, 2, 2))],
    ids=["one place", "two places", "room for all"],
)
def test_a_place_of_a_count_goes_to_who_earns_most_even_if_another_has_to_leave(most, target):
    of = counted(most)
    found = solve(of)
    assert tuple(it.x[i] for it, i in zip(of.choices, found.target, strict=True)) == target


def test_who_is_kept_out_for_a_count_alone_is_pinned_for_solvers_that_read_no_counts():
    of = counted(1)
    assert [it.pinned for it in of.choices] == [False, True, True]
    assert of.counts[0].kept_out == (1, 2)
    assert [it.pinned for it in of.released().choices] == [False, False, False]
    assert solve(of, "WaterFilling").target[1:] == (of.choices[1].at, of.choices[2].at)


@pytest.mark.parametrize("solver", ["Auto", "MILP", "Genetic", "Annealing", "Greedy", "Decomposition", "LinearProgram"])
def test_no_solver_breaks_a_count(solver):
    of = counted(1)
    found = solve(of, solver)
    assert of.holds(np.array([it.x[i] for it, i in zip(of.choices, found.target, strict=True)]))
