"""Every solver: feasible always, no better than possible, the same whatever the order, and what each of them promises."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.plan import linear
from controller.plan.feasible import allocations, breaches, shortfalls
from controller.plan.grid import whole_steps
from controller.plan.payback import objective, paying
from controller.plan.problem import Problem, build
from controller.plan.solve import solve
from tests.controller.plan.problems import brute, choice, concave, fleets, policies, problem, problems

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
@settings(max_examples=12)
@given(policies())
def test_no_solver_breaks_what_the_policy_asks_for_or_takes_more_than_a_node_has(solver, made_up):
    world, curves = made_up
    of = build(world, curves, {}).problem
    had = allocations(world.workloads)
    has = had | {it.key: float(it.x[i]) for it, i in zip(of.choices, solve(of, solver).target, strict=True)}
    before = breaches(world, had)
    assert all(by <= before.get(place, 0.0) * (1 + 1e-9) for place, by in breaches(world, has).items())
    assert not any(shortfalls(it, [w for w in world.workloads if w.node == it.name], has) for it in world.nodes)


def line_of(*slopes, step=1.0, at=0, key="a", money=1.0, **more):
    x, y = concave(slopes, step)
    return choice(f"rack-1/{key}", x, y / step * money, at, **more)


EXTREMES = {
    "terabytes beside cores": problem(
        [line_of(3, 2, 1, step=1e13, needs={"storage": 1.0, "cpu": 1e-13}), line_of(2.5, 2, key="b")],
        {"storage": 3e13, "cpu": 3.0},
    ),
    "billionths of a dollar": problem([line_of(3, 1, money=1e-9), line_of(2, 0.5, key="b", money=1e-9)], {"cpu": 2}),
    "millions of dollars": problem([line_of(3, 1, money=1e6), line_of(2, 0.5, key="b", money=1e6)], {"cpu": 2}),
    "steps of a millionth": problem([line_of(3, 1, step=1e-6), line_of(2, 0.5, step=1e-6, key="b")], {"cpu": 2e-6}),
    "no capacity": problem([line_of(3, 1), line_of(2, key="b")], {"cpu": 0}),
    "one value": problem([choice("rack-1/a", [3.0], [0.2]), line_of(2, key="b")], {"cpu": 4}),
    "no rows": Problem((line_of(3, -1, at=2), line_of(2, key="b")), ()),
    "exactly full": problem(
        [line_of(3, 1, step=0.1, at=2), line_of(2, 0.5, step=0.1, key="b", at=1)], {"cpu": 0.1 * 3}
    ),
    "flat but for rounding": problem(
        [choice("rack-1/a", np.arange(4.0), [0.3, 0.3, 0.3 + 2**-54, 0.3], 3)], {"cpu": 3}
    ),
    "dear to move": problem([line_of(3, 1, cost=1e9), line_of(2, key="b", cost=1e-9)], {"cpu": 2}),
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("of", EXTREMES.values(), ids=EXTREMES)
def test_extreme_figures_are_figures_like_others(solver, of):
    found = solve(of, solver)
    assert of.holds(x(found, of))
    assert now(of) <= worth(found, of) <= brute(of) + 1e-9 * scale(of)
    if solver in EXACT:
        assert worth(found, of) == pytest.approx(brute(of), abs=1e-9 * scale(of))


def test_a_curve_that_is_flat_but_for_rounding_is_concave():
    assert solve(EXTREMES["flat but for rounding"], "Decomposition").solver == "Decomposition"


@pytest.mark.parametrize("solver", SOLVERS)
def test_where_what_is_pinned_takes_too_much_already_nobody_takes_more(solver):
    of = problem([line_of(5, at=1, key="stuck", pinned=True), line_of(1, 1, key="b", at=1)], {"cpu": 1.0})
    assert x(solve(of, solver), of).sum() <= 2.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_curve_that_is_not_a_number_is_refused_by_name(solver, bad):
    of = problem([choice("rack-1/a", [0, 1], [0, 1]), choice("rack-1/b", [0, 1], [0, bad])], {"cpu": 1.0})
    with pytest.raises(ValueError, match="the curve of rack-1/b must be finite"):
        solve(of, solver)


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
    assert (first.relaxed == second.relaxed).all()


# --- exact ones


@pytest.mark.parametrize("solver", EXACT)
@settings(max_examples=40)
@given(of=st.one_of(fleets(nodes=2, most=2), fleets(bent=True, nodes=2, most=2)))
def test_the_best_of_all_combinations_is_found(solver, of):
    found = solve(of, solver)
    assert found.gap <= 1e-6
    assert worth(found, of) == pytest.approx(brute(of), abs=1e-8 * scale(of))


@settings(max_examples=12)
@given(st.one_of(fleets(), fleets(bent=True)))
def test_no_solver_finds_more_on_the_step_grid_than_milp_and_milp_no_more_than_the_relaxation(of):
    best = worth(solve(of, "MILP"), of)
    assert all(worth(solve(of, solver), of) <= best + 1e-8 * scale(of) for solver in SOLVERS)
    hull = of.hull()
    assert best <= hull.earns(linear.maximise(hull)) + 1e-8 * scale(of)
    rounded = paying(of, whole_steps(of, linear.maximise(hull)))
    assert best >= objective(of, rounded) - 1e-8 * scale(of)


@settings(max_examples=50)
@given(problems(resources=("cpu", "memory")))
def test_with_the_exact_finisher_the_step_grid_costs_no_more_than_it_must(of):
    free = replace(of, choices=tuple(replace(it, cost=0.0) for it in of.choices))
    found = solve(free)
    assert found.rounding_loss == pytest.approx(max(0.0, free.earns(found.relaxed) - worth(found, free)), abs=1e-9)
    assert worth(found, free) >= objective(free, whole_steps(free, found.relaxed)) - 1e-9 * scale(of)


@settings(max_examples=50)
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


@settings(max_examples=40)
@given(fleets())
def test_the_decomposition_is_within_its_stated_gap_of_the_linear_program(of):
    found = solve(of, "Decomposition")
    best, least = of.earns(linear.maximise(of)), sum(float(it.y[it.at if it.pinned else 0]) for it in of.choices)
    assert found.solver == "Decomposition"
    assert best - of.earns(found.relaxed) <= found.gap * abs(best - least) + 1e-8 * scale(of)
    assert found.gap <= 1e-4


@settings(max_examples=40)
@given(fleets(nodes=4))
def test_without_constraints_over_nodes_the_decomposition_finds_the_best_whole_steps(of):
    alone = Problem(of.choices, tuple(row for row in of.rows if row.place is not None))
    assert worth(solve(alone, "Decomposition"), alone) == pytest.approx(
        worth(solve(alone, "MILP"), alone), abs=1e-8 * scale(of)
    )


# --- more of everything


@pytest.mark.parametrize("solver", ["Auto", "MILP"])
@settings(max_examples=40)
@given(of=fleets(bent=True), more=st.floats(0.0, 3.0))
def test_more_capacity_never_earns_less(solver, of, more):
    rows = tuple(replace(row, limit=row.limit * (1 + more)) if row.place else row for row in of.rows)
    wider, as_it_is, hull = solve(replace(of, rows=rows), solver), solve(of, solver), of.hull()
    assert worth(wider, of) >= worth(as_it_is, of) - 1e-8 * scale(of)
    assert hull.earns(wider.relaxed) >= hull.earns(as_it_is.relaxed) - 1e-8 * scale(of)


# --- searches


@pytest.mark.parametrize("solver", ["Genetic", "Annealing"])
@settings(max_examples=15)
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
