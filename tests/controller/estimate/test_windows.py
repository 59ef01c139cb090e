"""How windows of the past differed: what a coming horizon may bring beside what is expected of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.estimate.windows import REACH, differing, recent
from tests.controller import worlds
from tests.controller.estimate.pasts import HOUR, START, end_of, seen

QUANTUM = 0.25
EDGES = QUANTUM * np.arange(65)


def windows(demand, allocation=16.0, *, hours=2.0, x=(0.0, 4.0, 8.0), used=None, now=None, **more):
    blocks = seen(np.repeat(demand, 60), allocation, **more)
    used = np.minimum(EDGES, 4.0) if used is None else used
    return differing(blocks, end_of(blocks) if now is None else now, hours, used, QUANTUM, np.asarray(x))


def test_where_nothing_ever_changes_no_window_differs():
    found = windows(np.full(24, 6.0))
    assert found.shape == (REACH, 3)
    assert np.nanmax(np.abs(found)) == pytest.approx(0.0, abs=1e-9)


def test_a_window_is_as_long_as_the_horizon_and_newest_first():
    # the last hour 8, all before 4: the newest window of two hours holds one of each
    found = windows([4.0] * 23 + [8.0], x=[8.0])[:, 0]
    assert found[0] - found[1] == pytest.approx(2.0)
    assert found[1:23] == pytest.approx(np.full(22, found[1]))


def test_their_weighted_mean_is_nothing():
    found = windows(np.random.default_rng(1).uniform(0, 8, 60))
    weight = np.where(np.isfinite(found[:, :1]), recent(REACH)[:, None], 0.0)
    assert (weight * np.nan_to_num(found)).sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)


def test_hours_that_hang_together_differ_more_over_a_window_than_hours_that_do_not():
    days = np.tile([0.0] * 6 + [8.0] * 6, 6)
    mixed = np.tile([0.0, 8.0], 36)
    one, other = (windows(demand, hours=4.0, x=[8.0])[:60].std() for demand in (days, mixed))
    assert one > 3.0
    assert other == pytest.approx(0.0, abs=1e-9)


def test_what_a_full_window_would_have_used_of_more_is_what_the_curve_expects_beyond():
    # always full at 4; of 8 the curve expects that half of the next 4 units are used, so 6, as in the windows that saw 6
    used = np.interp(EDGES, [0, 4, 8, 16], [0, 4, 6, 6])
    survives = np.interp(4.0, EDGES[:-1], np.diff(used) / QUANTUM)
    full = np.full(24, 4.0)
    full[12:] = 16.0
    found = windows(np.full(24, 6.0), np.repeat(full, 12), used=used, x=[8.0])[:, 0]
    assert survives == pytest.approx(0.5)
    assert found[0] - found[20] == pytest.approx(6.0 - (4.0 + 2.0 / 0.5))


def test_never_more_than_there_is():
    sure = np.interp(EDGES, [0, 4, 16], [0, 0.01, 6])  # hardly anything is expected below 4, much above
    found = windows([9.0] * 12 + [2.0] * 12, 4.0, used=sure, x=[6.0])[:, 0]
    assert np.nanmax(found) - np.nanmin(found) <= 6.0


def test_a_window_that_was_hardly_seen_is_not_known():
    blocks = seen(np.full(24 * 60, 6.0), 16.0)
    away = (blocks.start >= START + 10 * HOUR) & (blocks.start < START + 14 * HOUR)
    gone = replace(
        blocks, exact=np.where(away[:, None], 0, blocks.exact), censored=np.where(away[:, None], 0, blocks.censored)
    )
    found = differing(gone, end_of(blocks), 2.0, np.minimum(EDGES, 4.0), QUANTUM, np.array([8.0]))[:, 0]
    assert np.isnan(found[[10, 11]]).all()
    assert np.isfinite(found[[8, 13]]).all()
    assert np.isnan(found[24:]).all()


def test_nothing_seen_is_nothing_known():
    assert np.isnan(windows([6.0], now=START + 90 * 24 * HOUR)).all()


@given(st.floats(0, 20, width=32), st.integers(1, 80), st.floats(0.1, 90), st.sampled_from([0.25, 1.0, 1e11]))
def test_whatever_the_past_windows_differ_by_no_more_than_the_allocation(level, hours, horizon, step):
    blocks = worlds.always(2.0, hours=hours)
    blocks = replace(blocks, levels=step * blocks.levels)
    quantum, x = step / 4, step * np.array([0.0, 1.0, 7.5])
    used = np.minimum(quantum * np.arange(65), level * step)
    found = differing(blocks, end_of(blocks), horizon, used, quantum, x)
    assert (np.nan_to_num(np.abs(found)) <= x + 1e-9 * step).all()
