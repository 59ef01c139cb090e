"""Which past counts, and the survival curve that each way of weighing it gives."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from controller.estimate import demand
from controller.estimate.kernels import (
    ALONE,
    AROUND,
    COUNT,
    DAY,
    HALF_LIVES,
    HOUR,
    RECENT,
    SLOT_HALF_LIFE,
    SLOTS,
    coming,
    histograms,
    slot_of,
    survivals,
)


def at(day, hour=0.0):
    """A day of January 2026 (the 5th is a Monday), UTC."""
    return datetime(2026, 1, day, tzinfo=UTC).timestamp() + hour * HOUR


def found(exact, censored, tail=8.0):
    """Of one workload and one kernel: hours at cells -> (inside, seen, most, last)."""
    both = (np.asarray(hours, float)[None, None] for hours in (exact, censored))
    made = survivals(*both, np.array([tail]))
    return made.inside[0, 0], made.seen[0, 0], made.most[0, 0], int(made.last[0, 0])


def hours_at(cells, **levels):
    """hours_at(9, _2=1, _4=1): an hour at cell 2 and one at cell 4."""
    hours = np.zeros(cells)
    for name, value in levels.items():
        hours[int(name[1:])] = value
    return hours


# --- hours of the day


@pytest.mark.parametrize(
    ("time", "kind", "hour"),
    [
        (at(5), 0, 0),
        (at(5, 12.5), 0, 12),
        (at(9, 23.999), 0, 23),
        (at(10), 1, 0),
        (at(11, 23.999), 1, 23),
        (at(12), 0, 0),
        (0.0, 0, 0),
        (-1.0, 0, 23),
    ],
    ids=["monday", "noon", "late friday", "saturday", "late sunday", "monday again", "1970, a thursday", "before 1970"],
)
def test_the_slot_of_a_time_is_its_kind_of_day_and_its_hour(time, kind, hour):
    kinds, hours = slot_of(np.array([time]))
    assert (int(kinds[0]), int(hours[0])) == (kind, hour)


@pytest.mark.parametrize("time", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_no_time_has_the_slot_of_1970(time):
    kinds, hours = slot_of(np.array([time, at(10, 5)]))
    assert (kinds.tolist(), hours.tolist()) == ([0, 1], [0, 5])


def slots_of(now, hours):
    ahead = coming(now, hours)
    return {(int(kind), int(slot)): pytest.approx(float(ahead[kind, slot])) for kind, slot in np.argwhere(ahead > 0)}


def test_the_coming_two_hours_of_a_monday_noon():
    assert slots_of(at(5, 12), 2.0) == {(0, 11): 0.5, (0, 12): 1.0, (0, 13): 1.0, (0, 14): 0.5}


def test_the_coming_hours_go_on_over_midnight():
    assert slots_of(at(5, 23.25), 1.0) == {(0, 22): 0.25, (0, 23): 1.0, (0, 0): 0.75}


def test_the_coming_hours_of_a_friday_night_are_those_of_a_saturday_too():
    assert slots_of(at(9, 23), 2.0) == {(0, 22): 0.5, (0, 23): 1.0, (1, 0): 1.0, (1, 1): 0.5}


def test_the_coming_hours_of_a_sunday_night_are_those_of_a_monday_too():
    assert slots_of(at(11, 23.5), 0.5) == {(1, 23): 1.0, (0, 0): 0.5}


def test_of_a_horizon_longer_than_a_day_a_day_counts():
    assert coming(at(5, 12), 72.0).tolist() == coming(at(5, 12), 24.0).tolist()
    assert coming(at(5, 12), 72.0).sum() == pytest.approx(SLOTS + 2 * AROUND)


@given(st.floats(at(1), at(28)), st.floats(0, 24))
def test_what_is_coming_adds_up_to_its_hours(now, hours):
    assert coming(now, hours).sum() == pytest.approx(hours + 2 * AROUND, abs=1e-6)


# --- hours at levels, as kernels weigh them


def empty(cells=4):
    return np.zeros((1, 2, RECENT, cells)), np.zeros((1, 2, 2, SLOTS, cells)), np.zeros((1, 2, SLOTS))


def test_recent_kernels_say_what_they_hold():
    recent, slots, written = empty()
    recent[0, 0, :, 1] = np.arange(RECENT)
    held = histograms(recent, slots, written, coming(at(5, 12), 2.0), at(5, 12))
    assert held.shape == (1, 2, COUNT, 4)
    assert held[0, 0, :RECENT, 1].tolist() == list(range(RECENT))
    assert not held[0, :, RECENT:].any()


def test_the_same_hours_of_earlier_days_count_half_after_four():
    recent, slots, written = empty()
    now = at(9, 12)
    slots[0, 0, 0, 12, 3], slots[0, 1, 0, 14, 2], slots[0, 0, 0, 3, 1] = 2.0, 1.0, 9.0
    written[0, 0, 12], written[0, 0, 14], written[0, 0, 3] = now - SLOT_HALF_LIFE, now, now
    held = histograms(recent, slots, written, coming(now, 2.0), now)
    for kernel in (RECENT, RECENT + 1):
        assert held[0, 0, kernel].tolist() == pytest.approx([0, 0, 0, 1.0])  # 2 h four days ago
        assert held[0, 1, kernel].tolist() == pytest.approx([0, 0, 0.5, 0])  # half of the slot of 14 h is ahead


def test_the_hours_of_like_days_leave_the_other_kind_out():
    recent, slots, written = empty()
    now = at(10, 12)  # a Saturday
    slots[0, 0, 0, 12, 1], slots[0, 0, 1, 12, 2] = 4.0, 1.0
    written[0, :, 12] = now
    held = histograms(recent, slots, written, coming(now, 1.0), now)
    assert held[0, 0, RECENT].tolist() == [0, 4.0, 1.0, 0]
    assert held[0, 0, RECENT + 1].tolist() == [0, 0, 1.0, 0]


def test_slots_written_ahead_of_now_count_as_new():
    recent, slots, written = empty()
    slots[0, 0, 0, 12, 1], written[0, 0, 12] = 4.0, at(20)
    held = histograms(recent, slots, written, coming(at(5, 12), 1.0), at(5, 12))
    assert held[0, 0, RECENT, 1] == 4.0


# --- survival


def test_the_worked_curve_of_the_economics():
    # used 2, 8, 8, 4 of 8: S = 1 below 2, 3/4 on [2, 4), 1/2 on [4, 8)
    inside, seen, most, last = found(hours_at(12, _2=1, _4=1), hours_at(12, _8=2))
    assert inside[:8].tolist() == [1, 1, 0.75, 0.75, 0.5, 0.5, 0.5, 0.5]
    assert last == 8
    used = 0.03 * np.concatenate([[0], np.cumsum(inside)])
    assert used[[2, 4, 8]].tolist() == pytest.approx([0.060, 0.105, 0.165])
    assert not seen[8:].any()
    assert most[8:].tolist() == [0.5] * 4


def test_the_slope_above_the_worked_curve_begins_at_a_half_and_falls_within_two_steps():
    fine = 100  # cells of a hundredth of a core, of which a step is 100
    at_fine = {"_200": 1, "_400": 1}
    inside, *_ = found(hours_at(1400, **at_fine), hours_at(1400, _800=2), tail=2.0 * fine)
    assert 0.03 * inside[800] == pytest.approx(0.015, rel=0.01)
    # tau = max(8 / 4, 2 steps) = 2 cores
    assert inside[1000] == pytest.approx(0.5 * np.exp(-1), rel=0.01)


def test_the_tail_is_a_quarter_of_the_highest_level_where_that_is_more_than_two_steps():
    inside, *_ = found(hours_at(65), hours_at(65, _40=1), tail=8.0)
    assert inside[40] == pytest.approx(10 * -np.expm1(-0.1))
    assert inside[60] / inside[50] == pytest.approx(np.exp(-1))


def test_each_cell_of_the_tail_holds_its_mean():
    coarse, *_ = found(hours_at(13), hours_at(13, _4=1), tail=2.0)
    fine, *_ = found(hours_at(1300), hours_at(1300, _400=1), tail=200.0)
    assert coarse == pytest.approx(fine.reshape(13, 100).mean(axis=1), rel=1e-4)


def test_what_was_never_full_has_no_tail():
    inside, seen, most, last = found(hours_at(9, _2=1, _5=3), hours_at(9))
    assert inside.tolist() == seen.tolist() == most.tolist() == [1, 1, 0.75, 0.75, 0.75, 0, 0, 0, 0]
    assert last == 5


def test_what_is_always_full_is_wanted_up_to_there_and_supposed_to_be_above():
    inside, seen, most, last = found(hours_at(9), hours_at(9, _4=3))
    assert inside[:4].tolist() == [1] * 4
    assert (np.diff(inside[3:]) < 0).all()
    assert seen.tolist() == [1] * 4 + [0] * 5
    assert most.tolist() == [1] * 9
    assert last == 4


def test_what_was_given_nothing_and_was_full_of_it_is_tried_with_a_little():
    inside, _, most, last = found(hours_at(9), hours_at(9, _0=3), tail=8.0)
    assert last == 0
    assert inside[0] == pytest.approx(8 * -np.expm1(-1 / 8))
    assert most.tolist() == [1] * 9


def test_what_was_never_seen_is_nothing():
    inside, seen, most, last = found(np.zeros(5), np.zeros(5))
    assert last == -1
    assert not inside.any()
    assert not seen.any()
    assert not most.any()


def test_what_is_nearly_forgotten_is_not_the_highest_level():
    _, _, most, last = found(hours_at(9, _7=1e-7), hours_at(9, _4=1))
    assert last == 4
    assert most[8] == 1.0


def test_a_tail_of_no_length_is_none():
    # a disk in steps of a byte: two steps are no part of a cell
    inside, *_ = found(hours_at(5), hours_at(5, _0=1), tail=1e-11)
    assert inside.tolist() == pytest.approx([0] * 5, abs=1e-9)


histories = arrays.arrays(
    np.float64, (2, 3, 4, 9), elements=st.one_of(st.just(0.0), st.floats(1e-6, 1e3)), fill=st.just(0.0)
)


@given(histories, st.floats(0.5, 16))
def test_survival_begins_at_one_at_most_and_never_rises(history, tail):
    made = survivals(history[0], history[1], np.full(3, tail))
    for curve in (made.inside, made.seen, made.most):
        assert ((curve >= 0) & (curve <= 1)).all()
        assert (np.diff(curve, axis=-1) <= 1e-12).all()
    assert (made.seen <= made.inside).all()
    assert (made.inside <= made.most).all()


@given(histories, st.floats(1e-3, 1e3))
def test_survival_does_not_depend_on_how_much_was_seen(history, times):
    tail = np.full(3, 8.0)
    once, often = survivals(history[0], history[1], tail), survivals(history[0] * times, history[1] * times, tail)
    assert often.inside == pytest.approx(once.inside, abs=1e-9)


@given(histories)
def test_survival_is_that_of_one_workload_after_another(history):
    levels = np.arange(9.0)
    made = survivals(history[0], history[1], np.full(3, 2.0))
    for workload, kernel in np.ndindex(3, 4):
        exact, censored = history[:, workload, kernel][:, None]
        alone = demand.survival(np.ones((1, 1)), levels, exact, censored, 1.0)
        last = int(made.last[workload, kernel])
        if alone is None or last < float(alone.levels[-1]):  # nearly forgotten above
            continue
        used = np.concatenate([[0], np.cumsum(made.inside[workload, kernel])])
        assert used[:9] == pytest.approx(alone.integral(levels)[0], rel=1e-6, abs=1e-4)


def test_the_half_lives_rise_and_the_one_that_is_believed_alone_is_of_12_hours():
    assert (np.diff(HALF_LIVES) > 0).all()
    assert HALF_LIVES[ALONE] == 12.0
    assert SLOT_HALF_LIFE == 4 * DAY
