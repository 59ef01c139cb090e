"""Fill curves: room earns once it is filled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.estimate import fill
from controller.estimate.weights import draw
from tests.controller import worlds

TB = 1.0


def slope(x, *, used=5 * TB, growth=0.01, value=0.00208, hours=720, h=1e-4):
    y = fill.earning(np.array([x, x + h]), used, np.array([growth]), np.array([value]), hours)[0]
    return (y[1] - y[0]) / h


@pytest.mark.parametrize(
    ("x", "expected"), [(5.0, 0.00208), (8.6, 0.00104), (12.2, 0.0)], ids=["just above", "half way", "never reached"]
)
def test_the_worked_slopes_of_the_economics(x, expected):
    assert slope(x) == pytest.approx(expected, abs=1e-7)


def test_at_what_is_stored_it_earns_what_is_stored():
    assert fill.earning(np.array([5.0]), 5.0, np.array([0.01]), np.array([0.002]), 720)[0, 0] == pytest.approx(0.01)


def test_the_curve_is_the_integral_that_it_says_it_is():
    t = np.linspace(0, 720, 200_001)
    for x in (5.5, 7.0, 11.0, 20.0):
        expected = 0.002 * np.minimum(x, 5 + 0.01 * t).mean()
        assert fill.earning(np.array([x]), 5.0, np.array([0.01]), np.array([0.002]), 720)[0, 0] == pytest.approx(
            expected, rel=1e-4
        )


@pytest.mark.parametrize("growth", [-0.01, 0.0])
def test_what_does_not_grow_earns_nothing_from_more_room(growth):
    y = fill.earning(np.array([5.0, 6.0, 50.0]), 5.0, np.array([growth]), np.array([0.002]), 720)[0]
    assert y[0] == y[1] == y[2]


def test_what_shrinks_to_nothing_stops_at_nothing():
    # 5 TB falling 1 TB/h is gone after 5 h: 12.5 TB-hours in 10 h
    assert fill.earning(np.array([5.0]), 5.0, np.array([-1.0]), np.array([1.0]), 10)[0, 0] == pytest.approx(1.25)


@given(growth=st.floats(-0.1, 1), used=st.floats(0, 50), hours=st.floats(1, 1000))
def test_the_curve_is_concave_and_never_falls(growth, used, hours):
    x = used + np.linspace(0, 60, 80)
    y = fill.earning(x, used, np.array([growth]), np.array([0.01]), hours)[0]
    assert (np.diff(y) >= -1e-12).all()
    assert (np.diff(y, 2) <= 1e-12).all()


def grown(blocks, **more):
    return fill.growth_seen(blocks, draw([blocks], worlds.NOW, 0))


def test_growth_is_what_use_rose_by_while_there_was_room():
    seen = worlds.blocks([5.0] * 20, [False] * 10 + [True] * 10, room_growth=[0.02] * 10 + [0.0] * 10)
    assert grown(seen)[0] == pytest.approx(0.02)


def test_a_node_that_was_always_full_has_no_growth_to_tell():
    assert grown(worlds.always(5.0, full=True)) is None


def test_growth_is_remembered_for_two_weeks_and_longer_where_there_was_little_room():
    day = 24
    room_long_ago = [False] * day + [True] * 20 * day
    seen = worlds.blocks([5.0] * len(room_long_ago), room_long_ago, room_growth=[0.03] * day + [0.0] * 20 * day)
    assert grown(seen)[0] == pytest.approx(0.03)


def test_growth_of_ten_days_ago_counts_beside_that_of_today():
    room = [False] * 24 + [True] * 9 * 24 + [False] * 8
    seen = worlds.blocks([5.0] * len(room), room, room_growth=[0.04] * 24 + [0.0] * (9 * 24 + 8))
    assert grown(seen)[0] == pytest.approx(0.04 * 24 / 32)


def test_old_growth_does_not_count_where_there_was_room_since():
    days = 20 * 24
    growth = [0.5] * 5 * 24 + [0.01] * (days - 5 * 24)
    assert grown(worlds.blocks([5.0] * days, [False] * days, room_growth=growth))[0] == pytest.approx(0.01)


@pytest.mark.parametrize("figure", ["room_hours", "room_growth", "start", "span"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_growth_or_time_that_cannot_be_true_is_left_out(figure, bad):
    seen = worlds.blocks([5.0] * 60, [False] * 60, room_growth=[0.5] * 20 + [0.02] * 40)
    broken = getattr(seen, figure).copy()
    broken[:20] = bad
    assert grown(worlds.changed(seen, **{figure: broken}))[0] == pytest.approx(0.02)


def test_one_wrong_look_at_an_empty_disk_that_is_full_is_no_growth():
    seen = worlds.blocks([5.0] * 48, [True] * 48)
    room, growth = seen.room_hours.copy(), seen.room_growth.copy()
    room[20], growth[20] = 1 / 60, 5.0  # for a minute it said that nothing is stored
    assert grown(worlds.changed(seen, room_hours=room, room_growth=growth)) is None
    assert grown(worlds.changed(seen, room_hours=60 * room, room_growth=growth))[0] == pytest.approx(5.0)


def test_growth_of_which_nothing_can_be_true_is_unknown_and_not_zero():
    seen = worlds.blocks([5.0] * 20, [False] * 20, room_growth=[np.nan] * 20)
    assert grown(seen) is None


def test_unknown_growth_is_an_interval_with_a_small_slope_and_never_zero():
    unknown = fill.growth_unknown(201, step=1.0, hours=72.0)
    assert (unknown > 0).all()
    assert unknown[0] == pytest.approx(0.25 / 72)
    assert unknown[1:].mean() == pytest.approx(0.25 / 72, rel=0.02)
    assert unknown[1:].max() > 4 * unknown[0]


def test_the_smallest_concave_function_bridges_a_bend_the_wrong_way():
    x = np.array([4.0, 5.0, 6.0, 7.0])
    assert fill.concave_from(x, np.array([1.0, 1.0, 3.0, 3.5])).tolist() == [1.0, 2.0, 3.0, 3.5]
