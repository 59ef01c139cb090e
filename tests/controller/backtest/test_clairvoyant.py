"""The bound: worked by hand, against every path there is on small cases, and against everybody else on all scenarios."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.backtest.baselines import equal, greedy, static, winner_takes_all
from controller.backtest.clairvoyant import clairvoyant
from controller.backtest.lagrangian import best_path, path_of
from controller.backtest.parts import bounds, grid, parts
from controller.backtest.scenarios import NAMES, scenario
from controller.backtest.violations import violations
from controller.backtest.world import World, play, terms
from tests.controller.backtest.cases import NAN, case, cases, one

TOLERANCE = 1e-7
"""Relative: HiGHS promises 1e-9 of its scaled problem."""


def is_under(run, bound):
    return run.total <= bound + TOLERANCE * max(1.0, abs(bound))


def test_with_room_for_all_it_earns_all_that_is_asked_for():
    it = case(one("a", [1, 2, 3], 0.06, initial=4), one("b", [4, 4, 4], 0.03, initial=4))
    assert clairvoyant(it).total == pytest.approx((6 * 0.06 + 12 * 0.03) / 60, rel=1e-9)


def test_it_moves_what_the_step_limit_allows_and_no_more():
    # 8 cores, 2 at once, hold 1 h, 3 h: a is asked for 8 at 0.06, b for 8 at 0.03; from 4 to 6, 8, 8
    n = 180
    it = case(one("a", [8] * n, 0.06), one("b", [8] * n, 0.03), maxStepPercent=25)
    assert clairvoyant(it).total == pytest.approx(6 * 0.06 + 2 * 0.03 + 2 * 8 * 0.06, rel=1e-9)


def test_what_cannot_move_earns_what_it_does():
    it = case(one("a", [8] * 60, 0.06, mode="Off"), one("b", [8] * 60, 0.03, freeze="grow"))
    assert clairvoyant(it).total == pytest.approx(4 * 0.09, rel=1e-9)


def test_minutes_offline_and_fees_make_it_stay_where_moving_does_not_pay():
    # one more core for an hour is 0.06 - 0.01, but a move of both costs 30 of 60 minutes
    ones = [one(name, [8] * 60, value, offline_minutes=30) for name, value in (("a", 0.06), ("b", 0.01))]
    it = case(*ones, maxStepPercent=12.5)
    assert clairvoyant(it).total == pytest.approx(4 * 0.07, rel=1e-3)
    assert clairvoyant(it, tighten=False).total == pytest.approx(5 * 0.06 + 3 * 0.01, rel=1e-9)


def test_outages_that_overlap_are_not_charged_twice():
    # two moves within the seven minutes that each is away for: 52 of 60 ticks with both cores
    it = case(one(demand=[2] * 60, value=0.6, initial=0.0, high=2, offline_minutes=7), hold="1m", maxStepPercent=1)
    run = play(it, "x", np.array([[1.0]] + [[2.0]] * 59))
    assert run.total == pytest.approx(52 * 2 * 0.01)
    assert is_under(run, clairvoyant(it).total)


def test_energy_is_charged_so_that_what_costs_more_than_it_earns_is_given_up():
    it = case(one("a", [0] * 60, 0.06, initial=1, watts=100.0), tariff=[[0.5]] * 60)
    assert clairvoyant(it).total == pytest.approx(0, abs=1e-9)


def test_room_goes_to_the_slow_fill_that_will_need_it():
    # 4 TB stored of 4, growing by one an hour; the other is empty and stays so
    hours = np.repeat(np.arange(6.0), 60)
    it = case(one("a", 4 + hours, 0.06, kind="fill", initial=4), one("b", 0 * hours, 0.06, kind="fill", initial=4))
    stay = 6 * 4 * 0.06
    bound = clairvoyant(it).total
    # growth in steps of 1.6 an hour keeps up; no more than 8 fit
    assert bound == pytest.approx((4 + 5 + 6 + 7 + 8 + 8) * 0.06, rel=0.01)
    assert bound > stay


def test_what_is_stored_cannot_be_thrown_away_for_something_better():
    it = case(
        one("a", [4] * 120, 0.01, kind="fill", initial=4),
        one("b", [8] * 120, 0.09, kind="fill", initial=4),
        maxStepPercent=100,
    )
    assert clairvoyant(it).total == pytest.approx(2 * (4 * 0.01 + 4 * 0.09), rel=1e-9)


def test_workloads_that_share_nothing_are_parts_and_companions_tie_them_together():
    apart = [one("a", [1]), one("b", [1], node="rack-2"), one("c", [1], kind="fill", initial=1)]
    assert sorted(part.members for part in parts(case(*apart))) == [(0,), (1,), (2,)]
    tied = [one("a", [1], initial=1, with_={"storage": 1}), one("b", [1], kind="fill", initial=1)]
    assert [part.members for part in parts(case(*tied))] == [(0, 1)]


def test_what_nobody_knows_earns_nothing():
    it = case(one("a", [NAN, NAN], NAN))
    assert clairvoyant(it).total == 0


def test_its_figures_by_tick_sum_to_its_total_and_its_allocation_fits():
    it = scenario("twelve-on-three", seed=5, days=2)
    run = clairvoyant(it)
    assert run.earned.shape == run.allocation.shape == it.truth.demand.shape
    assert np.isfinite(run.earned).all()
    assert (run.used <= run.allocation + 1e-9).all()
    assert violations(it, run.allocation)[0] == 0


@pytest.mark.parametrize("name", NAMES)
def test_nobody_earns_more_on_any_scenario(name):
    it = scenario(name, seed=4, days=3)
    on = terms(it)
    bound, loose = clairvoyant(it, on).total, clairvoyant(it, on, tighten=False).total
    assert bound <= loose
    for baseline in (static, equal, greedy, winner_takes_all):
        assert is_under(baseline(it, on), bound), baseline.__name__


@settings(max_examples=60)
@given(cases(ticks=(1, 40)))
def test_nobody_earns_more_on_small_cases_of_every_kind(it):
    bound, loose = clairvoyant(it).total, clairvoyant(it, tighten=False).total
    for baseline in (static, equal, greedy, winner_takes_all):
        assert is_under(baseline(it), bound)
        assert is_under(baseline(it), loose)


@settings(max_examples=60)
@given(cases(ticks=(1, 60)), st.integers(0, 2**32 - 1))
def test_no_random_path_within_the_limits_earns_more(it, seed):
    bounded = [clairvoyant(it).total, clairvoyant(it, tighten=False).total]
    dice = np.random.default_rng(seed)
    for _ in range(5):
        run = play(it, "random", wandering(it, dice))
        assert violations(it, run.allocation) == (0, 0)
        assert all(is_under(run, bound) for bound in bounded)


def wandering(it, dice):
    """A path of random moves that keeps to every limit."""
    limits = [bounds(it, i) for i in range(len(it.workloads))]
    world, taken, moved = World(it), [], np.full(len(limits), -np.inf)
    while not world.over:
        for i, limit in enumerate(limits):
            near = [to for to in grid(it, i) if abs(to - world.allocation[i]) <= limit.limit * (1 + 1e-9)]
            to = float(dice.choice([to for to in near if to >= world.stored[i]] or [world.allocation[i]]))
            others = sum(world.allocation[k] for k in range(len(limits)) if k != i and same(it, i, k))
            room = it.nodes[0].capacity[it.workloads[i].traits.resource] - others
            if to <= room and world.tick - moved[i] >= limit.hold and to != world.allocation[i] and dice.random() < 0.5:
                world.move(i, to)
                moved[i] = world.tick
        taken.append(world.allocation.copy())
        world.step()
    return np.array(taken)


def same(it, i, k):
    return it.workloads[i].traits.resource == it.workloads[k].traits.resource


@settings(max_examples=30)
@given(cases(ticks=(1, 5), kinds=("demand",), sizes=(2, 2)))
def test_the_best_of_all_paths_there_are_earns_no_more(it):
    on = terms(it)
    first, second = ([(had, alone(it, on, i, had)) for had in every(it, i)] for i in (0, 1))
    best = max(one + other for (a, one), (b, other) in itertools.product(first, second) if fits(it, a, b))
    assert best <= clairvoyant(it, on).total + TOLERANCE
    assert best <= clairvoyant(it, on, tighten=False).total + TOLERANCE


def alone(it, on, i, had):
    """What one workload earns on a path, the others staying as they are."""
    allocation = np.repeat(it.initial[None], it.truth.ticks, axis=0)
    allocation[:, i] = had
    return float(play(it, "x", allocation, on).earned[:, i].sum())


def fits(it, a, b):
    return all(x + y <= it.nodes[0].capacity["cpu"] * (1 + 1e-9) for x, y in zip(a, b, strict=True))


def every(it, i):
    """All paths of one workload within its own limits."""
    limit, values, ticks = bounds(it, i), grid(it, i).tolist(), it.truth.ticks

    def onwards(has, free):
        if len(has) == ticks:
            yield has
            return
        now = has[-1] if has else limit.initial
        yield from onwards([*has, now], max(free - 1, 0))
        if not free:
            for to in values:
                if to != now and abs(to - now) <= limit.limit * (1 + 1e-9):
                    yield from onwards([*has, to], limit.hold - 1)

    return list(onwards([], 0))


@settings(max_examples=40)
@given(cases(ticks=(1, 6), kinds=("demand",), sizes=(1, 1)), st.lists(st.floats(0, 0.01), min_size=6, max_size=6))
def test_the_best_path_of_one_workload_at_prices_is_the_best_of_all(it, prices):
    on, price = terms(it), np.array(prices[: it.truth.ticks])
    found, taken = best_path(path_of(it, on, 0), price)

    def had(path):
        return play(it, "x", np.array(path)[:, None], on).total - float(price @ np.array(path))

    best = max(had(each) for each in every(it, 0))
    assert found >= best - 1e-12
    if it.workloads[0].traits.offline_minutes <= bounds(it, 0).hold:  # else outages overlap, which it may leave out
        assert found == pytest.approx(best, abs=1e-12)
        assert had(taken) == pytest.approx(best, abs=1e-12)
