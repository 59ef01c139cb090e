"""RiskAware: the total rate's standard deviation stays within the tolerance, and as much as possible is earned."""

from dataclasses import replace
from itertools import product
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from controller.model import Move
from controller.plan.payback import objective
from controller.plan.problem import Count, Problem, Row
from controller.plan.risk import MOST_SPLITS, _given_back, _Search, risk_of, within
from controller.plan.solve import solve
from tests.controller.plan.problems import choice, concave, problem
from tests.controller.worlds import line

SURE, WILD = "rack-1/sure", "rack-1/wild"


def sways(by):
    """Two replicates of a factor: 1 - by and 1 + by."""
    return np.array([[1 - by], [1 + by]])


def two(sure=(0.5,) * 4, wild=(1.0,) * 4, by=0.5, at=(0, 0), capacity=4.0, **more):
    """One earns little and surely, the other much and by a factor that sways."""
    choices = [choice(SURE, *concave(sure), at[0], **more), choice(WILD, *concave(wild), at[1], **more)]
    of = problem(choices, {"cpu": capacity})
    curves = {it.key: line(it.key, it.x, it.y) for it in of.choices}
    curves[WILD] = replace(curves[WILD], replicates=curves[WILD].y * sways(by))
    return of, curves


def kept_to(tolerance, of, curves):
    """(allocations, sentence) under a tolerance."""
    risk = risk_of(curves, {it.key: it.current for it in of.choices}, tolerance)
    found, said = within(of, solve(of).target, risk)
    return {it.key: float(it.x[i]) for it, i in zip(of.choices, found, strict=True)}, said


# --- the deviation


def test_the_deviation_is_that_of_the_sum_and_what_hedges_cancels():
    curves = {key: line(key, [0, 1], [0, 1], replicates=[0, 1] * sways(0.3)) for key in (SURE, WILD)}
    assert risk_of(curves, {SURE: 1.0, WILD: 1.0}, 1.0).present == pytest.approx(0.6)
    hedged = curves | {WILD: line(WILD, [0, 1], [0, 1], replicates=[0, 1] * sways(-0.3))}
    assert risk_of(hedged, {SURE: 1.0, WILD: 1.0}, 1.0).present == pytest.approx(0.0)


def test_the_deviation_after_moves_is_read_between_breakpoints():
    curves = {WILD: line(WILD, [0, 4], [0, 4], replicates=[0, 4] * sways(0.5))}
    risk = risk_of(curves, {WILD: 1.0}, 1.0)
    assert risk.present == pytest.approx(0.5)
    assert risk.after([Move(WILD, "rack-1", "cpu", 1.0, 3.0, 2.0, 0.0)]) == pytest.approx(1.5)
    assert risk.after([]) == risk.present


def by_hour(key, sway, columns):
    return replace(line(key, [0, 1], [0, 1]), influence=np.array([[0.0, s] for s in sway]), columns=np.array(columns))


@pytest.mark.parametrize(
    ("columns", "deviation"),
    [(([0, 1], [0, 1]), 0.6), (([0, 1], [5, 6]), sqrt(0.18)), (([100, 101], [101, 100]), 0.6)],
    ids=["the same hours", "other hours", "the same in another order"],
)
def test_closed_forms_add_up_by_the_hours_that_they_share(columns, deviation):
    sway = (sqrt(0.045),) * 2
    curves = {SURE: by_hour(SURE, sway, columns[0]), WILD: by_hour(WILD, sway, columns[1])}
    assert risk_of(curves, {SURE: 1.0, WILD: 1.0}, 1.0).present == pytest.approx(deviation)


def test_closed_forms_and_replicates_are_apart():
    curves = {SURE: by_hour(SURE, (0.3,), [0]), WILD: line(WILD, [0, 1], [0, 1], replicates=[0, 1] * sways(0.4))}
    assert risk_of(curves, {SURE: 1.0, WILD: 1.0}, 1.0).present == pytest.approx(0.5)


def test_where_no_curve_says_how_far_it_is_open_nobody_can_keep_to_a_tolerance():
    assert risk_of({SURE: line(SURE, [0, 1], [0, 1])}, {SURE: 1.0}, 1.0) is None
    assert risk_of({}, {}, 1.0) is None


@pytest.mark.parametrize("bad", [inf, float("nan")])
def test_a_deviation_that_is_no_number_is_allowed_by_no_tolerance(bad):
    curves = {WILD: line(WILD, [0, 1], [0, 1], replicates=[[0, bad], [0, 1]])}
    risk = risk_of(curves, {WILD: 1.0}, 1e9)
    assert risk.present == inf
    assert not risk.bears(risk.present)


# --- what is planned


def test_a_tolerance_that_the_best_plan_keeps_to_changes_nothing():
    of, curves = two()
    assert kept_to(2.0, of, curves) == ({SURE: 0.0, WILD: 4.0}, "a standard deviation of 2 USD/h, of 2 allowed")


def test_a_narrower_tolerance_gives_to_the_sure_one_what_the_wild_one_may_not_have():
    of, curves = two()
    found, said = kept_to(1.0, of, curves)
    assert found == {SURE: 2.0, WILD: 2.0}
    assert said == "a standard deviation of 1 USD/h, of 1 allowed; Threshold would have 2"


def test_between_two_steps_the_lower_one_is_taken():
    assert kept_to(1.4, *two())[0] == {SURE: 2.0, WILD: 2.0}


def test_without_any_tolerance_only_what_is_certain_moves():
    assert kept_to(0.0, *two())[0] == {SURE: 4.0, WILD: 0.0}


def test_a_hedge_is_added_though_it_adds_to_the_deviation_alone():
    of, curves = two(sure=(0.5,) * 2, wild=(1.0,) * 4, capacity=9.0)
    hedge = curves | {SURE: replace(curves[SURE], replicates=curves[SURE].y * sways(-1.0))}
    # 4 of the wild one sway by 2, 2 of the hedge by -1
    assert kept_to(1.0, of, hedge)[0] == {SURE: 2.0, WILD: 4.0}


def test_what_is_pinned_counts_and_stays():
    of, curves = two(at=(0, 2))
    pinned = Problem(tuple(replace(it, pinned=it.key == WILD) for it in of.choices), of.rows)
    assert kept_to(1.0, pinned, curves)[0] == {SURE: 2.0, WILD: 2.0}


def test_a_split_above_the_tolerance_is_left_for_what_is_within_and_earns_more():
    of, curves = two(sure=(1.1,) * 4, at=(0, 4))
    found, said = kept_to(1.0, of, curves)
    assert found[WILD] <= 2.0
    assert said.endswith("; the present split has 2")


def test_no_certainty_is_bought():
    of, curves = two(at=(0, 4))  # whatever is surer earns less
    assert kept_to(1.0, of, curves)[0] == {SURE: 0.0, WILD: 4.0}


def test_where_nothing_is_within_the_surest_that_earns_more_is_taken():
    choices = [choice(SURE, *concave((0.3,)), 1), choice(WILD, *concave((0.5, 0.4)), 0)]
    of = problem(choices, {"cpu": 3.0})
    curves = {it.key: line(it.key, it.x, it.y) for it in of.choices}
    curves[SURE] = replace(curves[SURE], replicates=curves[SURE].y * sways(5.0))  # sways by 1.5 now
    curves[WILD] = replace(curves[WILD], replicates=curves[WILD].y * sways(-0.4))  # each step takes off 0.2, then 0.16
    assert kept_to(0.1, Problem(tuple(replace(c, pinned=c.key == SURE) for c in of.choices), of.rows), curves)[0] == {
        SURE: 1.0,
        WILD: 2.0,
    }


def test_what_costs_more_than_it_earns_is_not_moved():
    of, curves = two(sure=(0.5,), wild=(1.0,), cost=1.5)  # 1 USD/h for 2 h pays, 0.5 does not
    assert kept_to(10.0, of, curves)[0] == {SURE: 0.0, WILD: 1.0}
    assert kept_to(0.1, of, curves)[0] == {SURE: 0.0, WILD: 0.0}


def test_a_count_is_kept_as_well():
    of, curves = two(capacity=4.0)
    count = Count("wild maxCount of cpu #0", np.array([0, 1]), np.zeros(2), 1, kept_out=(0,))
    counted = Problem(tuple(replace(c, pinned=c.key == SURE) for c in of.choices), of.rows, (count,))
    assert kept_to(1.0, counted, curves)[0] == {SURE: 0.0, WILD: 2.0}


# --- properties


@st.composite
def swaying(draw, most=3):
    """A problem whose curves all sway, each in its own way and with what all have in common, and a tolerance."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    choices, curves = [], {}
    for number in range(draw(st.integers(1, most))):
        x, y = concave(rng.random(draw(st.integers(1, 4))))
        key = f"rack-1/w{number}"
        cost = draw(st.sampled_from([0.0, 0.0, 0.05]))
        choices.append(
            choice(key, x, y, draw(st.integers(0, len(x) - 1)), cost=cost, pinned=draw(st.integers(0, 7)) == 0)
        )
        rows = y * (1 + rng.standard_normal((30, 1)) * rng.random()) + 0.1 * x * rng.standard_normal((30, 1))
        curves[key] = line(key, x, y, replicates=rows)
        if draw(st.booleans()):
            told = rng.standard_normal((4, 1)) * 0.2 * x
            curves[key] = replace(line(key, x, y), influence=told, columns=rng.permutation(6)[:4])
    spare = draw(st.sampled_from([0.0, 1.0, 2.5]))
    return problem(choices, {"cpu": sum(c.current for c in choices) + spare}), curves, draw(st.floats(0, 1.5))


def searched(of, curves, tolerance):
    risk = risk_of(curves, {it.key: it.current for it in of.choices}, tolerance)
    assume(risk is not None)
    return risk, _Search(of, risk)


def may(search, found):
    """Whether a split fits and keeps what is pinned."""
    x = np.array([c.x[i] for c, i in zip(search.problem.choices, found, strict=True)])
    kept = all(i == c.at for c, i in zip(search.problem.choices, found, strict=True) if c.pinned)
    return kept and search.problem.holds(x)


@given(swaying())
def test_the_plan_fits_and_is_never_above_the_tolerance_unless_it_was_and_gets_surer(made):
    risk, search = searched(*made)
    for found in (within(made[0], solve(made[0]).target, risk)[0], _given_back(search, list(solve(made[0]).target))):
        assert may(search, found)
        assert risk.bears(search.deviation(found)) or found == search.present
        assert objective(made[0], found) >= search.now - search.noise


@given(swaying(), st.floats(0.05, 0.95))
def test_of_few_splits_none_that_is_within_earns_more(made, part):
    of, curves, _ = made
    wanted = list(solve(of).target)
    _, search = searched(of, curves, inf)
    risk = replace(search.risk, tolerance=part * search.deviation(wanted))
    free = [[c.at] if c.pinned else range(len(c.x)) for c in of.choices]
    good = [s for s in product(*free) if may(search, s) and search.deviation(s) <= risk.tolerance]
    best = max((objective(of, list(s)) for s in good), default=-inf)
    found, _ = within(of, wanted, risk)
    assert objective(of, found) >= (best if best > search.now + search.noise else search.now) - search.noise


@settings(max_examples=60)
@given(swaying())
def test_a_wider_tolerance_never_earns_less(made):
    of, curves, tolerance = made
    risk, _ = searched(of, curves, tolerance)
    assume(risk.holds(risk.present))
    earned = [
        objective(of, within(of, solve(of).target, replace(risk, tolerance=tolerance * wider))[0])
        for wider in (1, 1.5, 4)
    ]
    assert earned == sorted(earned) or earned == pytest.approx(sorted(earned), abs=1e-9)


def test_many_workloads_are_searched_through_and_nearly_as_good_as_all_splits():
    rng = np.random.default_rng(1)
    reached = []
    for _ in range(40):
        choices, curves = [], {}
        for number in range(4):
            x, y = concave(rng.random(4))
            key = f"rack-1/w{number}"
            choices.append(choice(key, x, y, int(rng.integers(0, 5))))
            curves[key] = line(key, x, y, replicates=y * (1 + rng.standard_normal((30, 1)) * rng.random()))
        of = problem(choices, {"cpu": sum(c.current for c in choices) + 2.0})
        wanted = list(solve(of).target)
        wide = risk_of(curves, {c.key: c.current for c in of.choices}, inf)
        tolerance = (wide.present + _Search(of, wide).deviation(wanted)) / 2
        search = _Search(of, replace(wide, tolerance=tolerance))
        exact, local = search.best(wanted), _given_back(search, wanted)
        if (most := objective(of, exact) - search.now) > 1e-9:
            reached.append((objective(of, local) - search.now) / most)
    assert max(reached) <= 1 + 1e-9
    assert np.median(reached) == pytest.approx(1.0)
    assert np.mean(reached) > 0.95


def test_a_fleet_is_kept_to_its_tolerance():
    """64 nodes of two: far more splits than can be looked at."""
    choices, curves, rows = [], {}, []
    for n in range(64):
        for name, slope, by in (("a", 0.5, 0.0), ("b", 1.0, 0.5 * (-1) ** n)):
            key = f"n{n:02d}/{name}"
            x, y = concave((slope,) * 4)
            choices.append(replace(choice(key, x, y), node=f"n{n:02d}"))
            curves[key] = line(key, x, y, replicates=y * sways(by) if by else None)
        rows.append(Row(f"n{n:02d} cpu", np.array([2 * n, 2 * n + 1]), np.ones(2), 4.0, (f"n{n:02d}", "cpu")))
    # every third only, so that the two directions do not cancel
    choices = [replace(c, pinned=i % 6 == 1) for i, c in enumerate(choices)]
    of = Problem(tuple(choices), tuple(rows))
    assert 5.0 ** sum(not c.pinned for c in choices) > MOST_SPLITS
    risk = risk_of(curves, {c.key: c.current for c in choices}, 3.0)
    found, _ = within(of, solve(of).target, risk)
    search = _Search(of, risk)
    assert may(search, found)
    assert risk.holds(search.deviation(found))
    assert objective(of, found) > 0.9 * objective(of, list(solve(of).target))
