"""The solvers: exact, feasible on the step grid, the same whatever the order, and never moving for nothing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.estimate import dilution
from controller.plan import linear, waterfilling
from controller.plan.problem import Problem, Row
from controller.plan.solve import parts, solve
from tests.controller.plan.problems import choice, concave, problem, problems


def target(found, of):
    return {it.key: float(it.x[i]) for it, i in zip(of.choices, found.target, strict=True)}


def earned(found, of):
    return sum(float(it.y[i]) for it, i in zip(of.choices, found.target, strict=True))


def two(capacity=12.0, a=(1, 1, 1, 0.5), b=(0.8, 0.2), at=(0, 0), **more):
    return problem(
        [choice("rack-1/a", *concave(a), at[0], **more), choice("rack-1/b", *concave(b), at[1], **more)],
        {"cpu": capacity},
    )


# --- exact


@settings(max_examples=50)
@given(problems())
def test_water_filling_reaches_the_objective_of_the_linear_program(of):
    row = of.rows[0]
    poured, solved = waterfilling.fill(of, row), linear.maximise(of)
    scale = max(abs(of.earns(of.current)), sum(float(np.ptp(it.y)) for it in of.choices), 1e-12)
    assert abs(of.earns(poured) - of.earns(solved)) <= 1e-9 * scale
    assert row.holds(poured)


@settings(max_examples=50)
@given(problems(resources=("cpu", "memory", "bandwidth")))
def test_the_linear_program_never_earns_less_than_what_there_is_and_always_fits(of):
    x = linear.maximise(of)
    assert of.holds(x)
    assert of.earns(x) >= of.earns(of.current) - 1e-9


@settings(max_examples=50)
@given(problems(resources=("cpu", "memory")), st.floats(0.0, 10.0))
def test_more_capacity_never_earns_less(of, more):
    wider = Problem(of.choices, tuple(replace(row, limit=row.limit * (1 + more)) for row in of.rows))
    scale = sum(float(np.ptp(it.y)) for it in of.choices) + 1e-12
    assert wider.earns(solve(wider).relaxed) >= of.earns(solve(of).relaxed) - 1e-9 * scale


@settings(max_examples=50)
@given(problems(resources=("cpu", "memory")))
def test_auto_is_as_good_as_the_linear_program(of):
    scale = sum(float(np.ptp(it.y)) for it in of.choices) + 1e-12
    assert of.earns(solve(of).relaxed) == pytest.approx(of.earns(linear.maximise(of)), abs=1e-9 * scale)


def test_the_best_next_units_are_taken_first():
    assert target(solve(two(capacity=4)), two()) == {"rack-1/a": 3.0, "rack-1/b": 1.0}


def test_on_a_fine_grid_water_filling_finds_the_closed_form_of_dilution():
    pools, budget = [(0.05, 1.95e6), (0.02, 0.3e6), (0.10, 8e6)], 200_000.0
    x = np.arange(0, budget + 1, 100.0)
    of = problem(
        [choice(f"rack-1/p{i}", x, dilution.earning(x, p, o)) for i, (p, o) in enumerate(pools)], {"cpu": budget}
    )
    stakes = list(target(solve(of), of).values())
    assert stakes == pytest.approx([13_032, 186_968, 0], abs=100)


# --- on the step grid


@settings(max_examples=50)
@given(problems(resources=("cpu", "memory")))
def test_the_target_always_fits_and_every_value_is_an_allowed_one(of):
    found = solve(of)
    assert of.holds(np.array(list(target(found, of).values())))
    assert all(it.at == i for it, i in zip(of.choices, found.target, strict=True) if it.pinned)


@settings(max_examples=50)
@given(problems(resources=("cpu", "memory")))
def test_the_target_earns_more_than_what_there_is_or_is_what_there_is(of):
    found = solve(of)
    moved = any(it.at != i for it, i in zip(of.choices, found.target, strict=True))
    now = sum(float(it.y[it.at]) for it in of.choices)
    assert earned(found, of) > now if moved else earned(found, of) == now


@settings(max_examples=50)
@given(problems(resources=("cpu", "memory")))
def test_nothing_shrinks_for_nothing(of):
    # a workload that shrank could not go back one step at no loss without breaking a row
    found = solve(of)
    x = np.array(list(target(found, of).values()))
    for i, it in enumerate(of.choices):
        if found.target[i] < it.at and it.y[found.target[i] + 1] >= it.y[found.target[i]]:
            back = x.copy()
            back[i] = it.x[found.target[i] + 1]
            assert not of.holds(back)


@settings(max_examples=50)
@given(problems(resources=("cpu", "memory")))
def test_after_moving_again_and_again_there_is_nothing_left_to_move(of):
    for _ in range(50):
        found = solve(of)
        if all(it.at == i for it, i in zip(of.choices, found.target, strict=True)):
            return
        of = Problem(tuple(replace(it, at=i) for it, i in zip(of.choices, found.target, strict=True)), of.rows)
    pytest.fail("it still moves after fifty turns")


@settings(max_examples=50)
@given(problems(resources=("cpu", "memory")), st.sampled_from([2.0**-20, 0.25, 4.0, 2.0**30]))
def test_counting_money_in_another_unit_changes_no_move(of, unit):
    scaled = Problem(tuple(replace(it, y=it.y * unit, cost=it.cost * unit) for it in of.choices), of.rows)
    assert solve(scaled).target == solve(of).target


@settings(max_examples=50)
@given(problems(resources=("cpu", "memory")), st.randoms(use_true_random=False))
def test_the_rows_may_come_in_any_order(of, chance):
    rows = list(of.rows)
    chance.shuffle(rows)
    assert solve(Problem(of.choices, tuple(rows))).relaxed == pytest.approx(solve(of).relaxed, rel=1e-6, abs=1e-6)


def test_a_step_that_does_not_fit_makes_way_for_a_smaller_one():
    big = choice("rack-1/big", [0, 3], [0, 3.0])
    small = choice("rack-1/small", [0, 1, 2], [0, 0.5, 1.0])
    of = problem([big, small], {"cpu": 2.0})
    found = solve(of)
    assert target(found, of) == {"rack-1/big": 0.0, "rack-1/small": 2.0}
    assert found.rounding_loss == pytest.approx(1.0)


def test_equal_workloads_are_left_as_they_are():
    of = two(capacity=4, a=(1, 1, 1, 1), b=(1, 1, 1, 1), at=(3, 1))
    assert target(solve(of), of) == {"rack-1/a": 3.0, "rack-1/b": 1.0}


def test_a_value_off_the_grid_may_stay():
    odd = choice("rack-1/odd", [0, 1, 1.7, 2, 3], [0, 1, 1.7, 1.7, 1.7], 2)
    of = problem([odd], {"cpu": 12.0})
    assert target(solve(of), of) == {"rack-1/odd": 1.7}


def test_a_pinned_workload_keeps_what_it_has_whatever_it_might_gain():
    of = problem([choice("rack-1/a", *concave((1, 1, 1)), 1, pinned=True)], {"cpu": 12.0})
    assert target(solve(of), of) == {"rack-1/a": 1.0}


def test_what_costs_more_energy_than_it_earns_shrinks_although_nobody_else_gains():
    of = problem([choice("rack-1/a", *concave((0.5, -0.1, -0.1)), 3)], {"cpu": 12.0})
    assert target(solve(of), of) == {"rack-1/a": 1.0}


# --- moves must pay


def test_a_move_that_costs_more_than_it_earns_within_its_horizon_is_not_made():
    # 1 USD/h for 2 h against 3 USD
    assert target(solve(two(a=(1,), b=(0,), cost=3.0)), two(a=(1,), b=(0,))) == {"rack-1/a": 0.0, "rack-1/b": 0.0}
    assert target(solve(two(a=(1,), b=(0,), cost=1.9)), two(a=(1,), b=(0,))) == {"rack-1/a": 1.0, "rack-1/b": 0.0}


def test_a_small_move_that_does_not_pay_is_dropped_from_a_plan_that_does():
    dear = choice("rack-1/dear", *concave((0.01,)), cost=1.0)
    good = choice("rack-1/good", *concave((1.0,)))
    of = problem([dear, good], {"cpu": 12.0})
    assert target(solve(of), of) == {"rack-1/dear": 0.0, "rack-1/good": 1.0}


def test_when_a_grow_is_dropped_the_shrink_that_made_room_for_it_is_too():
    gives = choice("rack-1/gives", *concave((0.5, 0.0)), 2)
    takes = choice("rack-1/takes", *concave((0.4,)), cost=1.0)
    of = problem([gives, takes], {"cpu": 2.0})
    assert target(solve(of), of) == {"rack-1/gives": 2.0, "rack-1/takes": 0.0}


def test_the_costs_of_both_sides_of_a_transfer_count():
    gives = choice("rack-1/gives", *concave((0.5, 0.0)), 2, cost=0.5)
    takes = choice("rack-1/takes", *concave((0.4,)), cost=0.5)
    of = problem([gives, takes], {"cpu": 2.0})
    assert target(solve(of), of)["rack-1/takes"] == 0.0


# --- which solver, and why


def crossed():
    """cpu and memory bind at once, for different workloads."""
    a = choice("rack-1/a", *concave((1.0,) * 8), needs={"cpu": 1.0, "memory": 3.0})
    b = choice("rack-1/b", *concave((1.0,) * 8), needs={"cpu": 3.0, "memory": 1.0})
    return problem([a, b], {"cpu": 12.0, "memory": 12.0})


def uneven():
    big, small = choice("rack-1/big", [0, 3], [0, 3.0]), choice("rack-1/small", [0, 2], [0, 1.9])
    return problem([big, small], {"cpu": 2.5})


def bent():
    """Nothing but all of it earns."""
    return problem(
        [choice("rack-1/a", [0, 1, 2, 3], [0, 0, 0, 1.0]), choice("rack-1/b", *concave((0.3, 0.3)))], {"cpu": 2.0}
    )


@pytest.mark.parametrize(
    ("of", "wanted", "solver", "why"),
    [
        (two(capacity=50), "Auto", "WaterFilling", "WaterFilling (exact): nothing binds"),
        (two(capacity=2), "Auto", "WaterFilling", "WaterFilling (exact): rack-1 cpu alone binds"),
        (
            crossed(),
            "Auto",
            "LinearProgram",
            "LinearProgram (exact): rack-1 cpu and rack-1 memory bind together",
        ),
        (two(capacity=2), "LinearProgram", "LinearProgram", "the policy asks for it"),
        (crossed(), "WaterFilling", "LinearProgram", "WaterFilling is not exact here, so Auto chose LinearProgram"),
        (two(capacity=2), "MILP", "MILP", "MILP (exact): the policy asks for it"),
        (two(capacity=2, cost=0.1), "Auto", "MILP", "MILP (exact): moving costs money"),
        (uneven(), "Auto", "MILP", "MILP (exact): rack-1 cpu alone binds and steps differ in what they need"),
        (two(capacity=2), "Decomposition", "Decomposition", "1 node at once"),
        (bent(), "Auto", "MILP", "MILP (exact): a curve is not concave"),
        (bent(), "Decomposition", "MILP", "Decomposition needs concave curves"),
        (
            two(capacity=2),
            "Greedy",
            "Greedy",
            "Greedy (heuristic): the policy asks for it, at most 100 % under the best",
        ),
        (two(capacity=2), "Genetic", "Genetic", "Genetic (exact): the policy asks for it"),
        (two(capacity=2), "Annealing", "Annealing", "Annealing (exact): the policy asks for it"),
        (Problem((), ()), "Auto", "WaterFilling", "there is nothing to choose"),
    ],
    ids=[
        "room for all",
        "one binds",
        "two bind",
        "asked for LP",
        "water cannot",
        "asked for MILP",
        "costs",
        "steps that differ",
        "asked for Decomposition",
        "not concave",
        "Decomposition cannot",
        "asked for Greedy",
        "asked for Genetic",
        "asked for Annealing",
        "nothing",
    ],
)
def test_the_solver_is_the_cheapest_exact_one_and_says_why(of, wanted, solver, why):
    found = solve(of, wanted)
    assert found.solver == solver
    assert why in found.why


def test_a_solver_that_is_exact_for_one_node_only_is_said_not_to_be_for_the_other():
    one, other = crossed(), two(capacity=2)
    moved = tuple(replace(it, key=it.key.replace("rack-1", "rack-2")) for it in other.choices)
    row = replace(other.rows[0], name="rack-2 cpu", index=np.array([2, 3]))
    found = solve(Problem((*one.choices, *moved), (*one.rows, row)), "WaterFilling")
    assert found.why == (
        "WaterFilling is not exact here, so Auto chose LinearProgram (exact): rack-1 cpu and rack-1 memory bind together; "
        "WaterFilling (exact): rack-2 cpu alone binds"
    )


@pytest.mark.parametrize("wanted", ["MILP", "Genetic", "Annealing", "Decomposition"])
def test_what_a_solver_needs_and_has_not_is_said(wanted):
    stuck = choice("rack-1/stuck", [0, 5], [0, 1], 1, pinned=True)
    found = solve(problem([stuck, choice("rack-1/b", *concave((1, 1)), 1)], {"cpu": 4.0}), wanted)
    assert f"{wanted} needs what there is now within the limits, so Auto chose" in found.why


def test_a_search_among_thousands_that_share_a_row_is_refused_with_the_number():
    of = problem([choice(f"rack-1/w{i:04d}", [0.0, 1.0], [0, 1 / (1 + i)]) for i in range(2001)], {"cpu": 10.0})
    found = solve(of, "Genetic")
    assert found.why.startswith(
        "Genetic is for at most 2,000 workloads that share capacity or a constraint, so Auto chose"
    )


def test_what_shares_nothing_is_solved_apart():
    cpu = [choice(f"rack-1/c{i}", *concave((1, 1))) for i in range(2)]
    disk = [choice(f"rack-1/d{i}", *concave((1, 1)), needs={"storage": 1.0}) for i in range(2)]
    of = problem(cpu + disk, {"cpu": 2.0, "storage": 2.0})
    assert [part.index for part in parts(of)] == [(0, 1), (2, 3)]


def test_two_resources_of_which_one_binds_need_no_linear_program():
    a = choice("rack-1/a", *concave((1.0,) * 8), needs={"cpu": 1.0, "memory": 2.0})
    b = choice("rack-1/b", *concave((0.5,) * 8), needs={"cpu": 1.0, "memory": 2.0})
    found = solve(problem([a, b], {"cpu": 8.0, "memory": 64.0}))
    assert (found.solver, "rack-1 cpu alone binds" in found.why) == ("WaterFilling", True)


def test_a_share_of_a_total_is_kept_by_the_linear_program():
    own, other = choice("rack-1/own", *concave((1.0,) * 8)), choice("rack-1/other", *concave((0.5,) * 8))
    base = problem([own, other], {"cpu": 10.0})
    share = Row("own maxShare of cpu #0", np.array([0, 1]), np.array([-0.6, 0.4]), 0.0)  # other, own
    of = Problem(base.choices, (*base.rows, share))
    found = solve(of)
    assert found.solver == "LinearProgram"
    assert target(found, of) == {"rack-1/other": 4.0, "rack-1/own": 6.0}


def test_an_indivisible_share_falls_back_to_what_there_is_rather_than_break_it():
    own, other = choice("rack-1/own", [0, 1, 2], [0, 1, 2.0], 0), choice("rack-1/other", [0, 5], [0, 0.1], 0)
    base = problem([own, other], {"cpu": 4.0})
    share = Row("own maxShare of cpu #0", np.array([0, 1]), np.array([-0.6, 0.4]), 0.0)
    of = Problem(base.choices, (*base.rows, share))
    assert target(solve(of), of) == {"rack-1/other": 0.0, "rack-1/own": 0.0}


def test_where_highs_finds_no_optimum_it_starts_from_what_there_is_and_says_so():
    # what is pinned takes more than there is, which no State that is planned on can hold
    stuck = choice("rack-1/stuck", [0, 5], [0, 1], 1, pinned=True)
    of = problem([stuck, choice("rack-1/other", *concave((1, 1)))], {"cpu": 1.0})
    found = solve(of, "LinearProgram")
    assert target(found, of) == {"rack-1/other": 0.0, "rack-1/stuck": 5.0}
    assert found.why.startswith("LinearProgram (heuristic): the policy asks for it, but HiGHS ended with Infeasible")
