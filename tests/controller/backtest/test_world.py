"""The nodes themselves: what an allocation uses and earns."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.backtest.violations import violations
from controller.backtest.world import World, play, terms
from exporters.nodes import Power
from tests.controller.backtest.cases import NAN, case, cases, one, path


def usd(*figures):
    return pytest.approx(list(figures), rel=1e-12, abs=1e-15)


def test_what_is_used_is_the_smaller_of_allocation_and_demand_and_earns_its_value():
    it = case(one(demand=[2, 8, 5], value=0.06, initial=4.0))
    run = play(it, "static", path(it, [4, 4, 4]))
    assert run.used[:, 0].tolist() == [2, 4, 4]
    assert run.earned[:, 0] == usd(2 * 0.06 / 60, 4 * 0.06 / 60, 4 * 0.06 / 60)
    assert run.total == pytest.approx(0.01)


def test_energy_is_charged_on_what_is_allotted_at_the_tariff_of_the_tick():
    # 2 cores of 12 W at 0.30, then at 0.60 USD/kWh: 0.0072 and 0.0144 USD/h, whatever is used
    it = case(one(demand=[0, 0], initial=2.0, watts=12.0), tariff=[[0.3], [0.6]])
    assert play(it, "static", path(it, [2, 2])).earned[:, 0] == usd(-0.0072 / 60, -0.0144 / 60)


def test_without_a_tariff_of_the_trace_the_nodes_own_windows_hold_from_the_very_tick_at_which_they_open():
    power = Power.model_validate(
        {"usdPerKwh": 0.3, "windows": [{"cron": "2 0 * * *", "duration": "2m", "usdPerKwh": 0.1}]}
    )
    it = case(one(demand=[0] * 6, initial=1.0, watts=1000.0), power=power)
    assert terms(it).energy[:, 0] * 60 == usd(0.3, 0.3, 0.1, 0.1, 0.3, 0.3)


def test_a_fill_workload_takes_what_arrives_while_it_has_room_and_loses_what_is_deleted():
    # unlimited: 3, 5, 4, 9; with room for 4: +2 is cut to 1, -1, +5 is cut to 1
    it = case(one(demand=[3, 5, 4, 9], kind="fill", initial=4.0))
    assert play(it, "static", path(it, [4] * 4)).used[:, 0].tolist() == [3, 4, 3, 4]


def test_what_could_not_arrive_is_lost_and_more_room_later_does_not_bring_it_back():
    it = case(one(demand=[4, 6, 6, 7], kind="fill", initial=4.0))
    assert play(it, "static", path(it, [4, 4, 8, 8])).used[:, 0].tolist() == [4, 4, 4, 5]


def test_nothing_shrinks_below_what_is_stored():
    it = case(one(demand=[4, 4], kind="fill", initial=4.0))
    world = World(it)
    with pytest.raises(ValueError, match=r"rack-1/golem to 3.*4.0 stored"):
        world.move(0, 3.0)
    with pytest.raises(ValueError, match=r"at tick 1: it has 4\.0 stored"):
        play(it, "x", path(it, [4, 3]))


def test_a_move_costs_its_minutes_and_its_fees_once():
    it = case(one(demand=[4] * 5, value=0.06, initial=4.0, offline_minutes=1.5, fees_usd=0.5))
    world = World(it)
    assert world.step()[1].tolist() == usd(0.004)
    world.move(0, 2.0)
    used, earned, answering = world.advance(4)
    assert used[:, 0].tolist() == [0, 1, 2, 2]  # away for a tick and a half
    assert earned[:, 0] == usd(-0.5, 0.001, 0.002, 0.002)
    assert answering[:, 0].tolist() == [False, False, True, True]


def test_the_allocation_it_has_already_is_no_move():
    it = case(one(demand=[4] * 2, initial=4.0, fees_usd=1.0, offline_minutes=5.0))
    world = World(it)
    world.move(0, 4.0)
    assert world.step()[1][0] > 0


def test_who_is_down_or_of_whom_nobody_knows_earns_nothing_draws_nothing_and_gives_no_answer():
    it = case(one(demand=[4, NAN, 4], up=[False, True, True], watts=100.0), tariff=[[0.1]] * 3)
    used, earned, answering = World(it).advance(3)
    assert answering[:, 0].tolist() == [False, False, True]
    assert used[:2, 0].tolist() == [0, 0]
    assert earned[:2, 0].tolist() == [0, 0]


def test_what_arrives_for_a_fill_workload_that_is_down_goes_elsewhere_and_what_is_deleted_is_deleted():
    it = case(one(demand=[2, 3, 2.5, 3.5], kind="fill", initial=8.0, up=[True, False, False, True]))
    world = World(it)
    world.advance(3)
    assert world.stored.tolist() == [1.5]
    assert world.step()[0].tolist() == [2.5]


@pytest.mark.parametrize("to", [NAN, float("inf"), -1.0])
def test_an_impossible_allocation_is_refused_by_both(to):
    it = case(one(demand=[1]))
    with pytest.raises(ValueError, match="finite number"):
        World(it).move(0, to)
    with pytest.raises(ValueError, match="finite numbers"):
        play(it, "x", path(it, [to]))


def test_after_the_last_tick_there_is_none_to_advance():
    world = World(case(one(demand=[1, 2])))
    assert len(world.advance(5)[0]) == 2
    assert world.over
    with pytest.raises(ValueError, match="from tick 2 of 2"):
        world.step()
    with pytest.raises(ValueError, match="0 ticks"):
        World(case(one())).advance(0)


@given(cases(), st.data())
def test_stepping_through_a_path_and_playing_it_whole_give_the_same(it, data):
    world, taken, seen = World(it), [], []
    while not world.over:
        for i, workload in enumerate(it.workloads):
            if data.draw(st.booleans()):
                to = float(data.draw(st.integers(0, int(workload.allocation.max))))
                world.move(i, max(to, np.ceil(world.stored[i])))
        n = data.draw(st.integers(1, 3))
        allocation = world.allocation.copy()
        seen.append(world.advance(n))
        taken += [allocation] * len(seen[-1][0])
    used, earned, _ = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    run = play(it, "same", np.array(taken))
    np.testing.assert_allclose(run.used, used, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(run.earned, earned, rtol=1e-12, atol=1e-12)


@given(cases())
def test_used_is_never_more_than_allotted_nor_negative(it):
    run = play(it, "static", np.repeat(it.initial[None], it.truth.ticks, axis=0))
    assert (run.used >= 0).all()
    assert (run.used <= run.allocation + 1e-12).all()


# --- violations -------------------------------------------------------------------------------------------------------


def two(**limits):
    n = 130
    return case(one("a", [4] * n), one("b", [4] * n), capacity={"cpu": 8.0}, **{"maxStepPercent": 25, **limits})


def steps(it, *moves):
    """A path on which (tick, index, to) happens."""
    allocation = np.repeat(it.initial[None], it.truth.ticks, axis=0)
    for tick, index, to in moves:
        allocation[tick:, index] = to
    return allocation


@pytest.mark.parametrize(
    ("moves", "over", "broken"),
    [
        ([], 0, 0),
        ([(10, 0, 2), (10, 1, 6)], 0, 0),
        ([(120, 0, 5), (129, 0, 4)], 9, 1),
        ([(10, 0, 2), (69, 0, 1)], 0, 1),
        ([(10, 0, 2), (70, 0, 1)], 0, 0),
        ([(10, 0, 1)], 0, 1),
        ([(10, 0, 2.5)], 0, 1),
        ([(0, 0, 2), (60, 0, 0), (60, 1, 6), (120, 1, 8)], 0, 0),
        ([(0, 0, 2), (60, 0, 0), (60, 1, 6), (120, 1, 9)], 10, 1),
    ],
    ids=[
        "nothing", "one program", "more than there is, and back within the hold", "within the hold", "after the hold",
        "more than 2 at once", "off the grid", "to both ends", "above its maximum",
    ],
)  # fmt: skip
def test_rules_that_a_path_breaks_are_counted(moves, over, broken):
    it = two()
    assert violations(it, steps(it, *moves)) == (over, broken)


def test_more_programs_an_hour_than_allowed_are_counted():
    it = two(maxProgramsPerHour=1)
    assert violations(it, steps(it, (0, 0, 3), (59, 1, 3))) == (0, 1)
    assert violations(it, steps(it, (0, 0, 3), (60, 1, 3))) == (0, 0)
    none = two(maxProgramsPerHour=0)
    assert violations(none, steps(none, (5, 0, 3))) == (0, 1)


def test_companions_count_as_held():
    it = case(
        one("a", [1], initial=4.0, with_={"memory": 2}), one("b", [1], initial=4.0), capacity={"cpu": 8, "memory": 7}
    )
    assert violations(it, steps(it)) == (1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "Off"},
        {"freeze": "shrink"},
        {"protect_until": "2026-01-06T00:00:00Z"},
        {"min_allocation": 4.0},
        {"irreversible": True},
    ],
    ids=str,
)
def test_what_the_owner_or_the_protocol_forbids_is_counted(wrong):
    it = case(one(demand=[4] * 3, initial=4.0, **wrong))
    assert violations(it, steps(it, (1, 0, 3))) == (0, 1)


def test_a_move_in_a_freeze_window_is_counted():
    it = case(one(demand=[4] * 3), freezeWindows=[{"cron": "1 0 * * *", "duration": "1m"}])
    assert violations(it, steps(it, (1, 0, 3))) == (0, 1)
    assert violations(it, steps(it, (2, 0, 3))) == (0, 0)


def test_a_shrink_below_what_is_stored_is_counted_where_what_arrived_during_a_move_went_elsewhere():
    it = case(
        one(demand=[2, 2, 5, 5, 5], kind="fill", initial=3.0, high=8, offline_minutes=2.0),
        hold="0s",
        maxStepPercent=100,
    )
    allocation = path(it, [3, 8, 8, 8, 3])  # away while 3 arrived: 2 are stored still
    assert violations(it, allocation) == (0, 0)
    assert play(it, "x", allocation).used[-1, 0] == 0  # away again
    stayed = replace(
        it, workloads=(replace(it.workloads[0], traits=replace(it.workloads[0].traits, offline_minutes=0)),)
    )
    assert violations(stayed, allocation) == (0, 1)


def test_the_first_split_may_be_off_the_grid_and_stay():
    it = case(one(demand=[4] * 3, initial=3.7))
    assert violations(it, steps(it)) == (0, 0)
