"""Every solver: feasible always, no better than possible, the same whatever the order, and what each of them promises."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.plan import linear, waterfilling
from controller.plan.grid import whole_steps
from controller.plan.payback import objective, paying
from controller.plan.problem import Problem
from controller.plan.solve import solve
from tests.controller.plan.problems import brute, choice, concave, fleets, problem, problems

SOLVERS = ("Auto", "WaterFilling", "LinearProgram", "MILP", "Decomposition", "Greedy", "Genetic", "Annealing")
EXACT = ("Auto", "MILP")


def worth(found, of):
    return objective(of, list(found.target))


def x(found, of):
    return np.array([float(it.x[i]) for it, i in zip(of.choices, found.target, strict=True)])


def now(of):
    return objective(of, [it.at for it in of.choices])


def scale(of):
    return sum(float(np.abs(it.y).max()) for it in of.choices) + 1e-300


# --- all of them


@pytest.mark.parametrize("solver", SOLVERS)
@settings(max_examples=20)
@given(of=st.one_of(fleets(), fleets(bent=True)))
def test_every_target_fits_is_allowed_and_is_worth_no_less_than_staying(solver, of):
    found = solve(of, solver)
    assert of.holds(x(found, of))
    assert all(it.at == i for it, i in zip(of.choices, found.target, strict=True) if it.pinned)
    assert worth(found, of) >= now(of) - 1e-12 * scale(of)
    assert of.holds(found.relaxed)


@pytest.mark.parametrize("solver", SOLVERS)
@settings(max_examples=8)
@given(of=st.one_of(fleets(), fleets(bent=True)), chance=st.randoms(use_true_random=False))
def test_the_order_of_choices_and_rows_does_not_matter(solver, of, chance):
    order = list(range(len(of.choices)))
    chance.shuffle(order)
    place = {i: new for new, i in enumerate(order)}
    rows = []
    for row in of.rows:
        index = np.array([place[i] for i in row.index])
        rank = index.argsort()
        rows.append(replace(row, index=index[rank], coefficient=row.coefficient[rank]))
    chance.shuffle(rows)
    shuffled = Problem(tuple(of.choices[i] for i in order), tuple(rows))
    found = solve(shuffled, solver)
    assert {it.key: i for it, i in zip(shuffled.choices, found.target, strict=True)} == {
        it.key: i for it, i in zip(of.choices, solve(of, solver).target, strict=True)
    }


@pytest.mark.parametrize("solver", SOLVERS)
@settings(max_examples=8)
@given(of=st.one_of(fleets(), fleets(bent=True)), unit=st.sampled_from([2.0**-20, 4.0, 2.0**30]))
def test_counting_money_in_another_unit_changes_no_move(solver, of, unit):
    scaled = replace(of, choices=tuple(replace(it, y=it.y * unit, cost=it.cost * unit) for it in of.choices))
    assert solve(scaled, solver).target == solve(of, solver).target


@pytest.mark.parametrize("solver", SOLVERS)
def test_nothing_to_choose_is_no_trouble(solver):
    assert solve(Problem((), ()), solver).target == ()
    still = problem([choice("rack-1/a", [3.0], [0.2])], {"cpu": 3.0})
    assert solve(still, solver).target == (0,)
    assert solve(problem([choice("rack-1/a", *concave((1, 1)))], {"cpu": 0.0}), solver).target == (0,)


@pytest.mark.parametrize("solver", SOLVERS)
@settings(max_examples=8)
@given(of=fleets(bent=True))
def test_the_same_problem_has_the_same_answer_every_time(solver, of):
    first, second = solve(of, solver), solve(of, solver)
    assert (first.target, first.why, first.gap) == (second.target, second.why, second.gap)


# --- exact ones


@pytest.mark.parametrize("solver", EXACT)
@settings(max_examples=60)
@given(of=st.one_of(fleets(nodes=2, most=2), fleets(bent=True, nodes=2, most=2)))
def test_the_best_of_all_combinations_is_found(solver, of):
    found = solve(of, solver)
    assert found.gap <= 1e-6
    assert worth(found, of) == pytest.approx(brute(of), abs=1e-8 * scale(of))


@settings(max_examples=20)
@given(st.one_of(fleets(), fleets(bent=True)))
def test_no_solver_finds_more_on_the_step_grid_than_milp_and_milp_no_more_than_the_relaxation(of):
    best = worth(solve(of, "MILP"), of)
    assert all(worth(solve(of, solver), of) <= best + 1e-8 * scale(of) for solver in SOLVERS)
    hull = of.hull()
    assert best <= hull.earns(linear.maximise(hull)) + 1e-8 * scale(of)
    rounded = paying(of, whole_steps(of, linear.maximise(hull)))
    assert best >= objective(of, rounded) - 1e-8 * scale(of)


@given(problems(resources=("cpu", "memory")))
def test_with_the_exact_finisher_the_step_grid_costs_no_more_than_it_must(of):
    free = replace(of, choices=tuple(replace(it, cost=0.0) for it in of.choices))
    found = solve(free)
    assert found.rounding_loss == pytest.approx(max(0.0, free.earns(found.relaxed) - worth(found, free)), abs=1e-9)
    assert worth(found, free) >= objective(free, whole_steps(free, found.relaxed)) - 1e-9 * scale(of)


@given(problems(), st.sampled_from([1.0, 1e12]), st.integers(0, 7))
def test_where_all_steps_need_the_same_of_one_row_water_filling_in_whole_steps_is_exact(of, unit, more):
    one = [replace(it, x=unit * np.arange(len(it.x)), cost=0.0) for it in of.choices]
    of = problem(one, {"cpu": sum(it.current for it in one) + unit * more / 2})
    found = solve(of)
    assert (found.solver, "(exact)" in found.why) == ("WaterFilling", True)
    assert worth(found, of) == pytest.approx(worth(solve(of, "MILP"), of), abs=1e-9 * scale(of))


def test_a_second_resource_no_longer_costs_most_of_a_small_gain():
    # the continuous optimum takes 1.5 of each, which rounds to 1 and 1; the best is 2 of one
    a = choice("rack-1/a", *concave((1.0, 1.0)), needs={"cpu": 2.0, "memory": 1.0})
    b = choice("rack-1/b", *concave((0.9, 0.9)), needs={"cpu": 1.0, "memory": 2.0})
    of = problem([a, b], {"cpu": 4.5, "memory": 4.5})
    found = solve(of)
    assert worth(found, of) == pytest.approx(brute(of))


def test_a_minimum_stake_is_taken_whole_or_not_at_all():
    stake = choice("rack-1/stake", [0, 500, 600], [0, 0.9, 1.0])
    other = choice("rack-1/other", 100.0 * np.arange(6), 0.15 * np.arange(6))
    found = solve(problem([stake, other], {"cpu": 400.0}))
    assert found.target == (4, 0)
    assert solve(problem([stake, other], {"cpu": 500.0})).target == (0, 1)


def test_a_fixed_cost_is_paid_once_however_far_a_workload_moves():
    # one step of each earns 0.3 + 0.25, two of a 0.55 and one cost of 0.2 USD less over the 2 h
    a, b = (choice(f"rack-1/{n}", *concave(s), cost=0.2) for n, s in (("a", (0.3, 0.25)), ("b", (0.26, 0.0))))
    assert solve(problem([a, b], {"cpu": 2.0})).target == (2, 0)


# --- decomposition


@settings(max_examples=60)
@given(fleets())
def test_the_decomposition_is_within_its_stated_gap_of_the_linear_program(of):
    found = solve(of, "Decomposition")
    best = of.earns(linear.maximise(of))
    assert found.solver == "Decomposition"
    assert best - of.earns(found.relaxed) <= found.gap * scale(of) + 1e-8 * scale(of)
    assert found.gap <= 1e-4


@settings(max_examples=60)
@given(fleets(nodes=4))
def test_without_constraints_over_nodes_the_decomposition_finds_the_best_whole_steps(of):
    alone = Problem(of.choices, tuple(row for row in of.rows if row.place is not None))
    assert worth(solve(alone, "Decomposition"), alone) == pytest.approx(
        worth(solve(alone, "MILP"), alone), abs=1e-8 * scale(of)
    )


@given(problems())
def test_water_filling_is_the_linear_program(of):
    poured, solved = waterfilling.fill(of, of.rows[0]), linear.maximise(of)
    assert abs(of.earns(poured) - of.earns(solved)) <= 1e-9 * scale(of)


# --- more of everything


@pytest.mark.parametrize("solver", ["Auto", "MILP"])
@settings(max_examples=40)
@given(of=fleets(bent=True), more=st.floats(0.0, 3.0))
def test_more_capacity_never_earns_less(solver, of, more):
    rows = tuple(replace(row, limit=row.limit * (1 + more)) if row.place else row for row in of.rows)
    assert worth(solve(replace(of, rows=rows), solver), of) >= worth(solve(of, solver), of) - 1e-8 * scale(of)


# --- searches


@pytest.mark.parametrize("solver", ["Genetic", "Annealing"])
@settings(max_examples=25)
@given(of=fleets(values=6, most=4))
def test_a_search_is_within_a_hundredth_of_the_best_on_concave_problems(solver, of):
    best = worth(solve(of, "MILP"), of)
    assert worth(solve(of, solver), of) >= best - 0.01 * max(abs(best), abs(now(of)))


@pytest.mark.parametrize("solver", ["Genetic", "Annealing"])
def test_a_search_crosses_a_valley(solver):
    # nothing earns until five of eight are given
    steep = choice("rack-1/steep", np.arange(9.0), [0, 0, 0, 0, 0, 2.0, 2.0, 2.0, 2.0])
    of = problem([steep, choice("rack-1/flat", *concave((0.2,) * 8), 8)], {"cpu": 8.0})
    assert worth(solve(of, solver), of) == pytest.approx(2.6)


def test_greedy_moves_a_tenth_from_the_worst_to_the_best_per_unit():
    worst, best = choice("rack-1/worst", *concave((0.01,) * 40), 20), choice("rack-1/best", *concave((0.1,) * 40), 20)
    assert solve(problem([worst, best], {"cpu": 40.0}), "Greedy").target == (22, 18)


def test_greedy_leaves_what_is_less_than_a_twentieth_apart():
    worst, best = choice("rack-1/a", *concave((0.1,) * 40), 20), choice("rack-1/b", *concave((0.104,) * 40), 20)
    assert solve(problem([worst, best], {"cpu": 40.0}), "Greedy").target == (20, 20)
