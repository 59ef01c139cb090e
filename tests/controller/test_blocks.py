"""Block statistics: what is summed, which level it stands at, how it is packed, rolled up and unpacked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.blocks import (
    FIGURES,
    MOST_LEVELS,
    Block,
    Sample,
    Series,
    code_of,
    hold,
    is_full,
    quantum_of,
    rebinned,
    unpack,
)

TI, GI = 2.0**40, 2.0**30


def block(start: int, span: int = 300, levels: dict[int, float] | None = None, **figures: float) -> Block:
    return Block(start, span, {} if levels is None else levels, **figures)


@pytest.mark.parametrize(
    ("step", "largest", "quantum"),
    [
        pytest.param(1.0, 10.0, 0.25, id="ten cores"),
        pytest.param(128 * GI, 12 * TI, 32 * GI, id="a Storj node of 12 TiB: 384 levels"),
        pytest.param(1.0, 128.0, 0.25, id="512 levels exactly"),
        pytest.param(1.0, 1000.0, 2.0, id="too many quarter steps: doubled until it fits"),
        pytest.param(None, None, 0.0, id="watched only"),
        pytest.param(0.0, 10.0, 0.0, id="no step"),
        pytest.param(1.0, math.inf, 0.25, id="no end"),
    ],
)
def test_levels_are_quarter_steps_or_coarser(step, largest, quantum):
    assert quantum_of(step, largest) == quantum


@pytest.mark.parametrize(
    ("used", "allocated", "step", "full"),
    [
        pytest.param(8.0, 8.0, 1.0, True, id="all of it"),
        pytest.param(7.84, 8.0, 1.0, True, id="within 2 %"),
        pytest.param(7.83, 8.0, 1.0, False, id="just more than 2 % free"),
        pytest.param(7.0, 8.0, 1.0, False, id="one core free: another job fits"),
        pytest.param(999.0, 1000.0, 1.0, True, id="one step free of a thousand"),
        pytest.param(985.0, 1000.0, 1.0, False, id="within 2 %, but 15 steps free"),
        pytest.param(0.0, 1.0, 1.0, False, id="one step allotted, and idle"),
        pytest.param(0.0, 0.0, 1.0, True, id="nothing allotted: nothing can be learnt"),
        pytest.param(9.0, 8.0, 1.0, True, id="more than allotted"),
        pytest.param(math.nan, 8.0, 1.0, False, id="unknown use"),
        pytest.param(8.0, math.nan, 1.0, False, id="unknown allocation"),
        pytest.param(7.9, 8.0, None, True, id="no step"),
    ],
)
def test_full_is_within_two_per_cent_or_one_step_whichever_is_closer(used, allocated, step, full):
    assert is_full(used, allocated, step) is full


@pytest.mark.parametrize(
    ("used", "allocated", "code"),
    [
        pytest.param(2.0, 8.0, 2 * 8, id="exact"),
        pytest.param(2.13, 8.0, 2 * 9, id="exact, at the nearest level"),
        pytest.param(7.9, 8.0, 2 * 32 + 1, id="censored, at the allocation"),
        pytest.param(9.0, 8.0, 2 * 36 + 1, id="censored, at what is still in use"),
        pytest.param(500.0, 1000.0, 2 * MOST_LEVELS + 1, id="above the highest level: at least that"),
        pytest.param(math.nan, 8.0, None, id="unknown use"),
        pytest.param(2.0, math.nan, None, id="unknown allocation"),
    ],
)
def test_a_sample_stands_at_one_level_exact_or_censored(used, allocated, code):
    assert code_of(Sample(0.0, True, allocated, used), 0.25, 1.0) == code


def test_the_worked_example_of_the_economics_page():
    # allocation 8 for four equal periods, used 2, 8, 8, 4: exact at 2 and 4, censored at 8
    series, one = Series(), Block(0, 300)
    for used in (2.0, 8.0, 8.0, 4.0):
        sample = Sample(0.0, True, 8.0, used, net=0.03 * used)
        hold(one, sample, 0.02, code_of(sample, 0.25, 1.0), math.nan)
    found = unpack(series, one, 0.25, 0.0, 1e9)
    assert found.levels.tolist() == [2.0, 4.0, 8.0]
    assert found.exact[0].tolist() == pytest.approx([0.02, 0.02, 0.0])
    assert found.censored[0].tolist() == pytest.approx([0.0, 0.0, 0.04])
    assert found.usd[0] / found.unit_hours[0] == pytest.approx(0.03)
    assert found.used[0] == pytest.approx(5.5)
    assert (found.used_first[0], found.used_last[0]) == (2.0, 4.0)
    assert found.exposure == pytest.approx(0.08)


def test_what_is_unknown_adds_nothing_and_what_is_known_does():
    one = Block(0, 300)
    hold(one, Sample(0.0, True, 8.0, math.nan, net=0.5, gross=0.6, energy=0.1), 0.05, None, math.nan)
    hold(one, Sample(0.0, True, math.nan, 4.0), 0.01, None, math.nan)
    hold(one, Sample(0.0, up=False), 0.02, None, math.nan)
    known = {name: value for name, value in zip(FIGURES, one.figures, strict=True) if value and not math.isnan(value)}
    assert known == pytest.approx(
        {
            "hours": 0.06, "used_unit_hours": 0.04, "used_hours": 0.01, "used_first": 4.0, "used_last": 4.0, "net_usd": 0.025,
            "net_hours": 0.05, "gross_usd": 0.03, "energy_usd": 0.005, "down_hours": 0.02,
            "allocated_unit_hours": 0.4, "allocated_hours": 0.05,
        }
    )  # fmt: skip


def test_levels_nobody_saw_have_no_column_and_use_nobody_knew_is_nan():
    series = Series()
    series.append(block(0, levels={2: 0.08}, hours=0.08))
    series.append(block(5))
    found = unpack(series, block(10, levels={801: 0.02}), 0.25, 0.0, 1e9)
    assert found.levels.tolist() == [0.25, 100.0]
    assert found.exact.tolist() == pytest.approx(np.array([[0.08, 0], [0, 0], [0, 0]], dtype=np.float32))
    assert found.censored[2].tolist() == pytest.approx([0, 0.02])
    assert np.isnan(found.used).all()
    assert found.start.tolist() == [0.0, 300.0, 600.0]
    assert found.exact.dtype == np.float32


def test_only_the_blocks_of_the_period_are_unpacked():
    series = Series()
    for start in (0, 5, 10, 15):
        series.append(block(start, levels={start: 0.01}, hours=0.01))
    found = unpack(series, None, 1.0, since=300.0, until=600.0)
    assert found.start.tolist() == [300.0, 600.0]
    assert found.levels.tolist() == [2.0, 5.0]  # 5 is code 2 x 2 + 1, 10 is 2 x 5
    assert found.censored[:, 0].tolist() == pytest.approx([0.01, 0])
    assert unpack(series, None, 1.0, since=1e6, until=1e9) is None
    assert unpack(Series(), None, 1.0, 0.0, 1e9) is None


def test_an_hour_is_the_sum_of_its_blocks():
    series = Series()
    for i in range(12):
        series.append(
            block(
                60 + 5 * i, levels={2: 0.05, 2 * i + 5: 0.03}, hours=0.08, used_first=i, used_last=i + 1, room_growth=2
            )
        )
    series.append(block(120, hours=0.01))
    assert series.roll(before=7200.0) == [60]
    assert (list(series.starts), list(series.spans)) == ([60, 120], [3600, 300])
    hour = series[0]
    assert hour.hours == pytest.approx(0.96)
    assert (hour.used_first, hour.used_last, hour.room_growth) == (0.0, 12.0, 24.0)
    assert hour.levels == pytest.approx({2: 0.6, **{2 * i + 5: 0.03 for i in range(12)}})
    assert series[1].start == 120


def test_a_straggler_joins_its_hour():
    series = Series()
    series.append(block(60, hours=0.05))
    assert series.roll(7200.0) == [60]
    series.append(block(70, hours=0.03))
    assert series.roll(7200.0) == [60]
    assert len(series) == 1
    assert series[0].hours == pytest.approx(0.08)


def test_an_hour_that_is_not_over_is_not_rolled_up():
    series = Series()
    series.append(block(60))
    assert series.roll(before=7199.0) == []


def test_what_is_older_or_lies_ahead_is_dropped_with_its_levels():
    series = Series()
    for start in (0, 5, 10):
        series.append(block(start, levels={2 * start: 0.01}))
    series.drop_before(300.0)
    assert [series[i].levels for i in range(2)] == [pytest.approx({10: 0.01}), pytest.approx({20: 0.01})]
    series.drop_from(600.0)
    assert list(series.starts) == [5]
    series.drop_before(1e9)
    assert len(series) == 0


def test_levels_are_kept_when_the_step_changes_and_gone_without_one():
    assert rebinned({2 * 8: 0.1, 2 * 9: 0.2, 2 * 32 + 1: 0.3}, 0.25, 0.5) == pytest.approx(
        {2 * 4: 0.1, 2 * 5: 0.2, 2 * 16 + 1: 0.3}
    )
    assert rebinned({2 * 3: 0.1, 2 * 4: 0.2}, 0.25, 1.0) == pytest.approx({2 * 1: 0.1 + 0.2})
    assert rebinned({2 * 500: 0.1}, 1.0, 0.25) == {2 * MOST_LEVELS + 1: 0.1}
    assert rebinned({2: 0.1}, 0.25, 0.0) == {}
    assert rebinned({}, 0.0, 0.25) == {}


blocks_ = st.builds(
    Block,
    st.just(0),
    st.just(300),
    st.dictionaries(st.integers(0, 2 * MOST_LEVELS + 1), st.floats(0, 1, width=32), max_size=5),
    *(st.floats(-1e9, 1e9, width=32) for _ in FIGURES),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(blocks_, max_size=8), st.data())
def test_packing_keeps_every_block_whatever_is_replaced_around_it(found, data):
    series = Series()
    for i, one in enumerate(found):
        one.start = 5 * i
        series.append(one)
    i = data.draw(st.integers(0, len(found)))
    j = data.draw(st.integers(i, len(found)))
    new = data.draw(st.lists(blocks_, max_size=3))
    series.put(i, j, new)
    expected = found[:i] + new + found[j:]
    assert [series[at] for at in range(len(series))] == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(blocks_, min_size=1, max_size=8), st.floats(0.5, 100))
def test_unpacked_hours_at_levels_are_those_that_were_packed(found, quantum):
    series = Series()
    for i, one in enumerate(found):
        one.start = 5 * i
        series.append(one)
    dense = unpack(series, None, quantum, 0.0, 1e9)
    for i, one in enumerate(found):
        seen = {}
        for kind, hours in enumerate((dense.exact, dense.censored)):
            for column in np.flatnonzero(hours[i]):
                seen[2 * round(dense.levels[column] / quantum) + kind] = float(hours[i, column])
        assert seen == {code: hours for code, hours in one.levels.items() if hours}


@settings(max_examples=40, deadline=None)
@given(st.lists(blocks_, min_size=2, max_size=6))
def test_adding_blocks_up_in_any_grouping_gives_the_same_sums(found):
    def total(parts):
        one = Block(0, 3600)
        for part in parts:
            one.absorb(part)
        return one

    middle = len(found) // 2
    one, two = total(found), total([total(found[:middle]), total(found[middle:])])
    assert two.figures == pytest.approx(one.figures, rel=1e-9, abs=1e-3)
    assert two.levels == pytest.approx(one.levels)
