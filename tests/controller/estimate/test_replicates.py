"""How far a curve of demand is open: re-weightings of the past (`ahead.replicated`) and their closed form (greenwood.py)."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.estimate.ahead import foresee, replicated
from controller.estimate.greenwood import columns, influences
from controller.estimate.kernels import ALONE, COUNT
from controller.estimate.weights import draw
from tests.controller import worlds
from tests.controller.estimate.pasts import HOUR, end_of, memory_of, seen

KEY = "rack-1/golem"
X = np.arange(1.0, 13.0)
ONLY_12_H = np.eye(COUNT)[ALONE]


def by_the_hour(seed, hours, *, mean=4.0, spread=1.5):
    """A demand that stays for an hour and then is another: as much of it is known as there are hours."""
    return np.maximum(0.0, mean + spread * np.random.default_rng(seed).standard_normal(hours)).repeat(60)


def by_the_minute(seed, hours, *, mean=4.0, spread=1.5):
    return np.maximum(0.0, mean + spread * np.random.default_rng(seed).standard_normal(60 * hours))


def outlook_of(blocks, **more):
    return foresee(memory_of(blocks, **more), more.get("now") or end_of(blocks), 2.0)


def moved(blocks, *, seed=1, x=X, now=None, believed=None, worth=None, others=(), replicates=80):
    """(B, k) USD per hour."""
    now = end_of(blocks) if now is None else now
    ahead = outlook_of(blocks, now=now)[KEY]
    ahead = ahead if believed is None else replace(ahead, trust=believed)
    worth = (ahead.value(None) or 0.0) if worth is None else worth
    return replicated(ahead, blocks, draw([blocks, *others], now, seed, replicates), worth, x, 1.0)


def width(blocks, **more):
    return moved(blocks, **more).std(axis=0)


def closed_width(blocks, *, x=X):
    """(k,) the same by the closed form."""
    outlook = outlook_of(blocks)
    points = np.concatenate([[0.0], x])  # as curves have them: from 0 on
    found = influences(outlook, np.array([0]), points[None], np.array([outlook[KEY].value(None)]))[0]
    return np.sqrt((found**2).sum(axis=0))[1:]


# --- replicates


def test_replicates_lie_around_the_point_estimate():
    found = [moved(seen(by_the_hour(seed, 48), 5.0, span=900.0), replicates=200) for seed in range(6)]
    off, spread = np.array([each.mean(axis=0) for each in found]), np.array([each.std(axis=0) for each in found])
    assert (np.abs(off) < 0.4 * spread + 1e-12).all()
    assert np.abs(off.mean(axis=0)).max() < 0.15 * spread.mean(axis=0).max()


def test_there_are_as_many_as_were_drawn_and_each_is_of_all_allocations():
    blocks = seen(by_the_hour(0, 24), 5.0)
    ahead = outlook_of(blocks)[KEY]
    for replicates in (0, 1, 50):
        drawn = draw([blocks], end_of(blocks), 1, replicates)
        assert replicated(ahead, blocks, drawn, 0.03, X, 1.0).shape == (replicates, len(X))


def test_less_history_is_wider():
    def mean_width(hours):
        pasts = [seen(by_the_hour(seed, hours), 9.0, span=HOUR) for seed in range(16)]
        return np.mean([width(blocks, believed=ONLY_12_H, x=X[-1:], replicates=200) for blocks in pasts])

    six, day, three_days = mean_width(6), mean_width(24), mean_width(72)
    # (Σw)² / Σw² of weights that halve in 12 h: 5.9, 20.8 and 33.5 hours that count
    assert six / day == pytest.approx(np.sqrt(20.8 / 5.9), rel=0.25)
    assert day / three_days == pytest.approx(np.sqrt(33.5 / 20.8), rel=0.15)


def test_where_nothing_varies_there_is_no_width():
    for full in (False, True):
        assert width(worlds.always(4.0, full=full), now=worlds.NOW) == pytest.approx(np.zeros(12), abs=1e-12)


def test_what_is_always_used_is_sure_and_what_is_sometimes_used_is_open():
    found = width(seen(by_the_hour(3, 48, mean=6.0, spread=1.0), 12.0))
    assert found[:2] == pytest.approx([0, 0], abs=1e-9)
    assert (found[6:] > 0.001).all()
    assert (np.diff(found) >= -1e-12).all()


def test_what_a_unit_earns_opens_the_curve_in_proportion_to_what_is_used():
    pay = 0.12 * (1 + 0.5 * np.random.default_rng(2).standard_normal(48))
    found = width(worlds.blocks([4.0] * 48, [False] * 48, usd=pay), now=worlds.NOW, believed=ONLY_12_H)
    assert found[3] > 0.003
    assert found[:4] == pytest.approx(found[3] * X[:4] / 4)
    assert found[4:] == pytest.approx(np.full(8, found[3]))


def test_a_pay_that_falls_below_nothing_gives_no_curve_that_rises_when_it_should_fall():
    pay = 0.12 * (0.2 + np.random.default_rng(2).standard_normal(48))
    found = moved(worlds.blocks([4.0] * 48, [False] * 48, usd=pay), now=worlds.NOW, worth=0.006)
    assert (0.006 * 4 + found[:, 3:] >= -1e-12).all()


def test_the_same_seed_draws_the_same_and_another_seed_another_of_the_same_width():
    blocks = seen(by_the_hour(0, 48), 5.0)
    once, again, other = moved(blocks, seed=7), moved(blocks, seed=7), moved(blocks, seed=8)
    assert (once == again).all()
    assert (once != other).any()
    assert other.std(axis=0)[4:] == pytest.approx(once.std(axis=0)[4:], rel=0.25)


def test_a_busy_hour_is_busy_for_all():
    """Two that are used together are as open together as twice one of them; two that take turns cancel out."""
    high = np.random.default_rng(1).random(48) < 0.5
    together = seen(np.where(high, 6.0, 2.0).repeat(60), 9.0)
    turns = seen(np.where(high, 2.0, 6.0).repeat(60), 9.0)
    one, same, other = (
        moved(blocks, x=X, others=[turns, together], believed=ONLY_12_H) for blocks in (together, together, turns)
    )
    assert (one + same).std(axis=0) == pytest.approx(2 * one.std(axis=0))
    assert (one + other)[:, 5].std() < 0.05 * one[:, 5].std()


@given(st.integers(0, 1000), st.sampled_from([2.0**-10, 0.5, 2.0**30]), st.floats(0.1, 1000))
@settings(max_examples=15)
def test_the_units_of_demand_and_money_change_nothing(seed, unit, usd):
    demand = by_the_hour(seed, 24)
    plain, sized = (
        seen(demand, 5.0, span=900.0),
        seen(demand * unit, 5.0 * unit, step=unit, value=0.03 / unit * usd, span=900.0),
    )
    ahead = outlook_of(sized, step=unit, most=16 * unit)[KEY]
    found = replicated(ahead, sized, draw([sized], end_of(sized), 1, 80), ahead.value(None), X * unit, unit)
    assert found == pytest.approx(usd * moved(plain), rel=1e-6, abs=1e-9 * usd)


@given(st.integers(0, 10_000), st.integers(1, 30), st.sampled_from([np.nan, np.inf, -1.0, 1e300]))
@settings(max_examples=20)
def test_no_hole_in_the_past_makes_a_replicate_that_is_no_number(seed, hours, bad):
    blocks = seen(by_the_hour(seed, hours), 5.0, span=HOUR)
    rng = np.random.default_rng(seed)
    broken = {}
    for name in ("usd", "unit_hours", "hours", "exact", "censored"):
        broken[name] = getattr(blocks, name).copy()
        with np.errstate(over="ignore"):
            broken[name][rng.random(hours) < 0.2] = bad
    found = moved(replace(blocks, **broken), worth=0.03)
    assert np.isfinite(found).all()


def test_of_nobody_seen_nothing_is_open():
    ahead = outlook_of(seen(by_the_hour(0, 24), 5.0))[KEY]
    blocks = worlds.always(4.0)
    blind = worlds.changed(blocks, exact=blocks.exact * 0)
    assert not replicated(ahead, blind, draw([blind], worlds.NOW, 1), 0.03, X, 1.0).any()


# --- in closed form


@pytest.mark.parametrize("allocation", [3.0, 5.0, 9.0])
def test_the_closed_form_is_one_to_two_and_a_half_times_as_wide_as_replicates_where_demand_stays_for_an_hour(
    allocation,
):
    pasts = [seen(by_the_hour(seed, hours), allocation, span=900.0) for seed in range(4) for hours in (24, 60)]
    drawn, closed = (np.array([of(blocks) for blocks in pasts]) for of in (width, closed_width))
    told = drawn > 2e-3  # of about 0.1 USD/h: below that hardly anything is open
    ratio = closed[told] / drawn[told]
    assert len(ratio) >= 50
    assert 1.0 < np.median(ratio) < 2.5
    assert 0.7 < ratio.min() <= ratio.max() < 12


def test_the_closed_form_is_never_narrower_than_replicates_where_demand_varies_by_the_minute():
    """It counts an hour as one look; where it holds sixty that differ, replicates are surer, by up to √60 and more."""
    for seed in range(4):
        blocks = seen(by_the_minute(seed, 48), 9.0, span=900.0)
        ratio = closed_width(blocks)[3:] / width(blocks)[3:]
        assert (ratio > 2).all()
        assert (ratio < 40).all()


def test_in_closed_form_too_less_history_is_wider():
    six, day, three_days = (
        np.mean([closed_width(seen(by_the_hour(s, hours), 9.0, span=900.0))[4] for s in range(6)])
        for hours in (6, 24, 72)
    )
    assert six > day > three_days > 0


@pytest.mark.parametrize("full", [False, True])
def test_in_closed_form_too_where_nothing_varies_nothing_is_open_up_to_what_was_seen(full):
    outlook = foresee(memory_of(worlds.always(4.0, full=full), now=worlds.NOW), worlds.NOW, 2.0)
    found = influences(outlook, np.array([0]), X[None], np.array([0.03]))[0]
    assert np.abs(found[:-1, :4]).max() < 1e-12  # not by its levels
    assert np.abs(found[-1]).max() < 1e-4  # nor by what a unit earns


def test_in_closed_form_what_a_unit_earns_moves_all_of_the_curve():
    pay = 0.12 * (1 + 0.5 * np.random.default_rng(2).standard_normal(48))
    outlook = foresee(memory_of(worlds.blocks([4.0] * 48, [False] * 48, usd=pay), now=worlds.NOW), worlds.NOW, 2.0)
    by_worth = influences(outlook, np.array([0]), X[None], np.array([0.03]))[0, -1]
    assert by_worth[3] > 0.003
    assert by_worth[:4] == pytest.approx(by_worth[3] * X[:4] / 4)
    assert by_worth[4:] == pytest.approx(np.full(8, by_worth[3]))


@given(st.integers(0, 1000), st.integers(2, 40), st.floats(0.5, 12))
@settings(max_examples=20)
def test_no_past_makes_a_closed_form_that_is_no_number(seed, hours, allocation):
    blocks = seen(by_the_hour(seed, hours), allocation, span=HOUR)
    outlook = outlook_of(blocks)
    found = influences(outlook, np.array([0]), np.array([[0.0, 0.1, 5.0, 16.0, 1e6]]), np.array([0.03]))
    assert np.isfinite(found).all()
    assert not found[0, :, 0].any()  # of nothing nothing is earned, whatever comes


def test_each_workload_has_causes_of_its_own():
    assert columns(3, 7)[0].tolist() == list(range(7))
    assert columns(3, 7)[2].tolist() == list(range(14, 21))
