"""What else could be done: definitions of interfaces.md, worked by hand, and the limits that all of them keep to."""

import pytest
from hypothesis import given

from controller.backtest.baselines import equal, greedy, static, winner_takes_all
from controller.backtest.scenarios import NAMES, scenario
from tests.controller.backtest.cases import case, cases, one

ALL = (static, equal, greedy, winner_takes_all)


def held(run, *ticks):
    return [run.allocation[tick].tolist() for tick in ticks]


def test_static_never_moves():
    run = static(case(one("a", [1] * 200, initial=6.0), one("b", [9] * 200, initial=2.0)))
    assert (run.programs, run.moves) == (0, 0)
    assert held(run, 0, 199) == [[6, 2], [6, 2]]


def test_equal_goes_to_the_even_split_as_fast_as_the_limits_let_it_and_stays():
    n = 300
    it = case(one("a", [1] * n, initial=8.0), one("b", [1] * n, initial=0.0), maxStepPercent=25)
    run = equal(it)
    assert held(run, 0, 59, 60, 299) == [[6, 2], [6, 2], [4, 4], [4, 4]]
    assert (run.programs, run.moves, run.limit_violations) == (2, 4, 0)


def test_equal_keeps_to_bounds_and_gives_what_one_may_not_have_to_the_others():
    ones = [
        one(name, [1] * 400, initial=initial, high=high)
        for name, initial, high in (("a", 1, 2), ("b", 1, 8), ("c", 1, 8))
    ]
    run = equal(case(*ones, capacity={"cpu": 9.0}, maxStepPercent=100))
    assert held(run, 399) == [[2, 4, 3]]


def test_equal_leaves_room_for_companions():
    ones = [one("a", [1] * 200, initial=1, with_={"memory": 2}), one("b", [1] * 200, initial=1)]
    run = equal(case(*ones, capacity={"cpu": 8.0, "memory": 5.0}, maxStepPercent=100))
    assert held(run, 199) == [[2, 6]]
    assert run.overallocations == 0


def test_equal_does_not_shrink_below_what_is_stored():
    ones = [one("a", [6] * 200, kind="fill", initial=7), one("b", [1] * 200, kind="fill", initial=1)]
    assert held(equal(case(*ones, maxStepPercent=100)), 199) == [[6, 2]]


def test_greedy_moves_hourly_from_the_worst_to_the_best_by_a_tenth_and_at_least_one_step():
    # a earns 4 x 0.06 on 4 cores, b 1 x 0.03 on 4: 0.06 against 0.0075 a core
    n = 250
    it = case(one("a", [8] * n, 0.06), one("b", [1] * n, 0.03))
    run = greedy(it)
    assert held(run, 59, 60, 119, 120, 180, 240) == [[4, 4], [5, 3], [5, 3], [6, 2], [7, 1], [8, 0]]
    assert run.limit_violations == 0


def test_greedy_moves_a_tenth_of_the_worsts_allocation_where_that_is_more_than_a_step():
    it = case(
        one("a", [99] * 70, 0.06, initial=50, high=100),
        one("b", [1] * 70, 0.03, initial=50, high=100),
        capacity={"cpu": 100},
    )
    assert held(greedy(it), 60) == [[55, 45]]


def test_greedy_stays_where_the_transfer_promises_less_than_five_per_cent():
    # one core of 16: 0.06 - 0.03 on (8 x 0.06 + 8 x 0.03) is 4.2 %
    ones = [one("a", [16] * 70, 0.06, initial=8, high=16), one("b", [16] * 70, 0.03, initial=8, high=16)]
    assert greedy(case(*ones, capacity={"cpu": 16.0})).moves == 0
    ones = [one("a", [16] * 70, 0.06, initial=8, high=16), one("b", [16] * 70, 0.02, initial=8, high=16)]
    assert greedy(case(*ones, capacity={"cpu": 16.0})).moves == 2


def test_the_winner_takes_what_step_limit_and_hold_allow():
    n = 140
    it = case(one("a", [8] * n, 0.06), one("b", [1] * n, 0.03), maxStepPercent=25)
    run = winner_takes_all(it)
    assert held(run, 14, 15, 74, 75, 139) == [[4, 4], [6, 2], [6, 2], [8, 0], [8, 0]]
    assert (run.programs, run.limit_violations) == (2, 0)


def test_the_winner_changes_only_when_another_is_better_by_two_per_cent():
    n = 100
    first = [0.06] * 20 + [0.03] * 80
    close = case(one("a", [8] * n, first), one("b", [8] * n, 0.0303), maxStepPercent=12.5)
    assert held(winner_takes_all(close), 99) == [[6, 2]]
    better = case(one("a", [8] * n, first), one("b", [8] * n, 0.0315), maxStepPercent=12.5)
    assert held(winner_takes_all(better), 99) == [[4, 4]]


@pytest.mark.parametrize("baseline", [greedy, winner_takes_all])
def test_who_does_not_answer_is_left_as_it_is(baseline):
    n = 300
    it = case(one("a", [8] * n, 0.06), one("b", [4] * n, 0.03, up=False))
    assert baseline(it).moves == 0


@pytest.mark.parametrize("baseline", ALL)
def test_a_mode_that_is_off_is_left_alone(baseline):
    it = case(one("a", [8] * 200, 0.06, initial=2, mode="Off"), one("b", [1] * 200, 0.01, initial=6))
    assert (baseline(it).allocation[:, 0] == 2).all()


@pytest.mark.parametrize("baseline", ALL)
@given(it=cases(ticks=(1, 40)))
def test_no_baseline_ever_gives_out_more_than_there_is_or_breaks_a_limit(baseline, it):
    run = baseline(it)
    assert (run.overallocations, run.limit_violations) == (0, 0)
    assert run.allocation.shape == it.truth.demand.shape


@pytest.mark.parametrize("name", NAMES)
def test_nor_on_any_scenario(name):
    it = scenario(name, seed=3, days=3)
    for baseline in ALL:
        run = baseline(it)
        assert (run.overallocations, run.limit_violations) == (0, 0), baseline.__name__
