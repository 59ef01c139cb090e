"""What came of a promise, on the true demand: use with the new split less use with the old one, over its horizon."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.backtest.kept import realised
from controller.backtest.result import Promise
from controller.backtest.world import World, play, terms
from tests.controller.backtest.cases import NAN, START, case, cases, one


def promise(*moves, at=0, ticks=4, tick=60.0, **more):
    """Moves (key, from, to) at a tick, over a horizon of so many."""
    keys, from_, to = zip(*moves, strict=True)
    return Promise(START + at * tick, keys, from_, to, 0.0, 0.1, 0.2, 0.8, ticks * tick, **more)


def came_of(it, *promises, used=None):
    """USD per hour of each."""
    used = play(it, "static", np.repeat(it.initial[None], it.truth.ticks, axis=0)).used if used is None else used
    return [each.realised for each in realised(it, terms(it), used, promises)]


GOLEM, AKASH = "rack-1/golem", "rack-1/akash"


def test_what_was_gained_is_the_use_of_the_new_split_less_that_of_the_old():
    # golem 4 -> 6 at 0.06 for demands 8, 5, 3, 8: 2 + 1 + 0 + 2 more in use; akash 4 -> 2 at 0.02 for 1, 3, 4, 4: 0, 1, 2, 2 less
    it = case(one("golem", [8, 5, 3, 8], 0.06), one("akash", [1, 3, 4, 4], 0.02))
    [found] = came_of(it, promise((AKASH, 4.0, 2.0), (GOLEM, 4.0, 6.0)))
    assert found == pytest.approx((5 * 0.06 - 5 * 0.02) / 4)


def test_only_its_own_horizon_counts_from_the_tick_on_at_which_it_was_made():
    it = case(one(demand=[8, 8, 5, 5, 8, 8], value=0.06))
    assert came_of(it, promise((GOLEM, 4.0, 6.0), at=2, ticks=2)) == pytest.approx([0.06])
    assert came_of(it, promise((GOLEM, 4.0, 6.0), at=0, ticks=2)) == pytest.approx([0.12])


def test_a_promise_that_the_trace_ends_before_stays_open():
    it = case(one(demand=[8] * 4))
    whole, too_long, late = came_of(
        it, promise((GOLEM, 4.0, 6.0)), promise((GOLEM, 4.0, 6.0), ticks=5), promise((GOLEM, 4.0, 6.0), at=3, ticks=2)
    )
    assert whole is not None
    assert (too_long, late) == (None, None)


def test_each_tick_counts_at_what_a_unit_earned_in_it():
    it = case(one(demand=[8] * 4, value=[0.06, 0.03, 0.0, 0.03]))
    assert came_of(it, promise((GOLEM, 4.0, 5.0))) == pytest.approx([0.03])


def test_the_energy_of_what_is_allotted_more_is_charged_at_the_tariff_of_each_tick():
    # a step of 1 core draws 100 W: at 0.2, 0.4, 0.4 and 0.2 USD/kWh 0.03 USD/h for one more
    it = case(one(demand=[8] * 4, value=0.06, watts=100.0), tariff=[[0.2], [0.4], [0.4], [0.2]])
    assert came_of(it, promise((GOLEM, 4.0, 5.0))) == pytest.approx([0.03])
    assert came_of(it, promise((GOLEM, 5.0, 4.0))) == pytest.approx([-0.03])


def test_while_it_is_away_a_workload_gains_and_draws_nothing():
    it = case(one(demand=[8, 8, NAN, 8], value=0.06, up=[True, False, True, True], watts=100.0), tariff=[[0.2]] * 4)
    assert came_of(it, promise((GOLEM, 4.0, 5.0))) == pytest.approx([(0.06 - 0.02) / 2])


def test_the_cost_of_moving_is_not_in_it_as_it_was_not_in_what_was_promised():
    free, dear = (case(one(demand=[8] * 4, offline_minutes=m, fees_usd=m)) for m in (0.0, 3.0))
    assert came_of(free, promise((GOLEM, 4.0, 5.0))) == came_of(dear, promise((GOLEM, 4.0, 5.0)))


def test_to_the_same_amount_is_nothing_gained():
    assert came_of(case(one(demand=[8] * 4, watts=100.0)), promise((GOLEM, 4.0, 4.0))) == [0.0]


# --- fill


def filling(demand, *, initial=4.0, **more):
    return case(one("storj", demand, 0.06, kind="fill", initial=initial, high=16, **more), capacity={"storage": 16})


STORJ = "rack-1/storj"


def test_room_is_gained_only_as_far_as_it_fills():
    # 4 stored of 4; 1 arrives a tick. With room for 6: 4, 5, 6, 6 (the first tick is the first known level) against 4 for ever
    it = filling([4, 5, 6, 7])
    assert came_of(it, promise((STORJ, 4.0, 6.0))) == pytest.approx([0.06 * (0 + 1 + 2 + 2) / 4])


def test_what_was_stored_when_it_was_promised_is_what_the_run_had_then():
    it = filling([4, 5, 6, 7, 8, 9])
    world = World(it)
    first = world.advance(3)[0]
    world.move(0, 8.0)
    used = np.concatenate([first, world.advance(3)[0]])
    assert used[:, 0].tolist() == [4, 4, 4, 5, 6, 7]
    assert came_of(it, promise((STORJ, 4.0, 8.0), at=3, ticks=3), used=used) == pytest.approx([0.06 * (1 + 2 + 3) / 3])


def test_what_is_stored_while_it_does_not_say_so_is_there_all_the_same():
    """Down for two ticks it uses nothing; what it stored is still stored, less what was deleted meanwhile."""
    it = filling([4, 4, 3, 5, 6], up=[True, False, False, True, True])
    used = play(it, "static", np.repeat(it.initial[None], 5, axis=0)).used
    assert used[:, 0].tolist() == [4, 0, 0, 4, 4]
    # 3 stored at the third tick; then 2 and 1 arrive: 5 and 6 of 6, or 4 and 4 of 4
    assert came_of(it, promise((STORJ, 4.0, 6.0), at=3, ticks=2)) == pytest.approx([0.06 * (1 + 2) / 2])
    assert came_of(it, promise((STORJ, 4.0, 6.0), at=2, ticks=3)) == pytest.approx([0.06 * (0 + 1 + 2) / 3])


def test_what_is_deleted_is_lost_with_and_without_the_move():
    it = filling([4, 2, 2, 2])
    assert came_of(it, promise((STORJ, 4.0, 8.0))) == [0.0]


# --- any promise


def test_promises_keep_all_else_that_they_say():
    it = case(one(demand=[8] * 4))
    made = promise((GOLEM, 4.0, 5.0), sentence="why", realised=None)
    [kept] = realised(it, terms(it), np.full((4, 1), 4.0), [made])
    for name in made.__slots__:
        assert name == "realised" or getattr(kept, name) == getattr(made, name)
    assert realised(it, terms(it), np.full((4, 1), 4.0), []) == ()


@given(cases(ticks=(2, 12), sizes=(1, 1)), st.integers(0, 4), st.data())
@settings(max_examples=60)
def test_of_one_move_it_is_what_two_runs_of_the_world_differ_by(it, to, data):
    """Played on from the same tick on with the one and the other allocation, without what the move itself costs."""
    [workload], ticks = it.workloads, it.truth.ticks
    free = replace(workload.traits, offline_minutes=0.0, fees_usd=0.0)
    it = replace(it, workloads=(replace(workload, traits=free),))
    at = data.draw(st.integers(0, ticks - 1))
    key, before = it.workloads[0].key, float(it.initial[0])
    runs = []
    for amount in (before, float(to)):
        world = World(it)
        used = [world.advance(at)[0]] if at else []
        if amount < world.stored[0]:
            return
        world.move(0, amount)
        after_used, earned, _ = world.advance(ticks - at)
        runs.append((np.concatenate([*used, after_used]), earned.sum()))
    (had, stayed), (_, moved) = runs
    made = promise((key, before, float(to)), at=at, ticks=ticks - at)
    [found] = came_of(it, made, used=had)
    assert found == pytest.approx((moved - stayed) / ((ticks - at) / 60), rel=1e-6, abs=1e-9)
