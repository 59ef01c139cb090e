"""What a change of one allocation earned, by hand-worked examples and as properties. Times are hours before worlds.NOW."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from controller.counterfactual import HIDDEN, Change, gained
from controller.model import Blocks, Interval
from exporters.nodes import Power, Watts
from exporters.reading import Native, Pool
from exporters.traits import CurveKind, Traits
from tests.controller.worlds import DILUTION, FILL, HOUR, NOW, allocation, blocks, node, reading, workload

STAKE = allocation("stake/DATA", low=0, high=1e6, step=1000)
DISK = allocation("storage", low=0, high=20, step=0.5)
POSITIVE = st.floats(0.01, 100, allow_nan=False)


def over(hours: float, from_: float, to: float, **more) -> Change:
    return Change(from_, to, NOW - hours * HOUR, NOW, **more)


def judged(history: Blocks | None, change: Change, *, power=None, **more) -> Interval | str:
    return gained(workload("rack-1/golem", change.to, history, **more), node(power=power), change)


def near(found: Interval | str, low: float, expected: float, high: float) -> bool:
    assert isinstance(found, Interval), found
    return (found.low, found.expected, found.high) == pytest.approx((low, expected, high), rel=1e-6, abs=1e-12)


class TestDemand:
    def test_a_grown_one_gains_what_it_used_above_the_old_allocation(self):
        """6 → 8 cores, used 2, 8, 8, 4: 0, 2, 2, 0 more, at 0.03 USD each: 0.03 USD/h."""
        history = blocks([2, 8, 8, 4], [False, True, True, False])
        assert near(judged(history, over(4, 6, 8)), 0.03, 0.03, 0.03)

    def test_a_shrunk_one_loses_what_its_full_hours_may_have_hidden(self):
        """8 → 6, used 2, 6, 6, 4: two full hours hide 0 to 2 cores each, of which 0.6 are expected: 0.03 · 4 · 0.6 / 4."""
        history = blocks([2, 6, 6, 4], [False, True, True, False])
        assert near(judged(history, over(4, 8, 6)), -0.03, -0.03 * HIDDEN, 0.0)

    def test_a_shrunk_one_with_room_left_loses_nothing(self):
        assert near(judged(blocks([2, 3], [False, False]), over(2, 8, 6)), 0.0, 0.0, 0.0)

    def test_a_grown_one_that_nobody_needed_gains_nothing(self):
        assert near(judged(blocks([2, 3], [False, False]), over(2, 6, 8)), 0.0, 0.0, 0.0)

    def test_only_the_hours_of_its_horizon_count(self):
        history = blocks([8] * 10 + [2, 2], [True] * 10 + [False] * 2)
        assert near(judged(history, over(2, 6, 8)), 0.0, 0.0, 0.0)
        assert near(judged(history, Change(6, 8, NOW - 6 * HOUR, NOW - 2 * HOUR)), 0.06, 0.06, 0.06)

    def test_the_energy_of_the_new_allocation_is_charged_at_the_tariff_of_those_hours(self):
        """2 more cores of 12 W each at 0.31 USD/kWh: 0.00744 USD/h."""
        found = judged(
            blocks([2, 2], [False, False]), over(2, 6, 8), power=Power(usd_per_kwh=0.31), watts=Watts(per_step=12)
        )
        assert near(found, -0.00744, -0.00744, -0.00744)

    def test_an_allocation_off_the_grid_of_levels_counts_as_what_it_is(self):
        """6.1 cores are kept as 6 or 6.25 quarter steps; full, it used 6.1."""
        history = blocks([6.0, 6.0], [True, True], levels=[0, 6.0])
        assert near(judged(history, over(2, 5, 6.1)), 1.1 * 0.03, 1.1 * 0.03, 1.1 * 0.03)

    def test_a_price_that_moved_is_not_counted_as_skill(self):
        """All earned in a token that is worth twice as much now: at the price of the promise it is 0.03 a core-hour."""
        history = blocks([8, 8], [True, True], usd=[0.48, 0.48], tokens=[1.0, 1.0])
        assert near(judged(history, over(2, 6, 8, price=0.24)), 0.06, 0.06, 0.06)

    def test_a_workload_that_only_says_that_it_is_full_is_believed_by_its_earnings(self):
        """Given 6 it earned 0.18, given 8 it says 8 and still earns 0.18: nobody needed the two."""
        history = blocks([6] * 48 + [8] * 24, [True] * 72, usd=[0.18] * 72)
        found = judged(history, over(12, 6, 8))
        assert isinstance(found, Interval)
        assert found.expected < 0.2 * 0.06

    def test_one_that_is_always_full_and_earns_on_it_gains_in_full(self):
        history = blocks([6] * 48 + [8] * 12, [True] * 60)
        assert near(judged(history, over(12, 6, 8)), 0.06, 0.06, 0.06)

    def test_a_unit_that_was_never_used_has_no_value(self):
        assert judged(blocks([0, 0], [True, True], levels=[0.0]), over(2, 4, 0)) == (
            "nothing says what a used unit of rack-1/golem earns"
        )


class TestUnknown:
    @pytest.mark.parametrize(
        ("history", "words"),
        [
            (None, "nothing is known of the hours of rack-1/golem"),
            (blocks([], []), "nothing is known of the hours of rack-1/golem"),
            (blocks([5], [False], now=NOW - 50 * HOUR), "the use of rack-1/golem was seen for 0s of 6h"),
            (blocks([5], [False]), "the use of rack-1/golem was seen for 1h of 6h"),
        ],
        ids=["no blocks", "empty blocks", "only old blocks", "an hour of six"],
    )
    def test_missing_hours_are_unknown_never_zero(self, history, words):
        found = judged(history, over(6, 6, 8))
        assert isinstance(found, str)
        assert found.startswith(words)

    def test_use_that_was_never_told_is_unknown(self):
        history = blocks([5] * 6, [False] * 6)
        nothing = np.zeros_like(history.exact)
        assert isinstance(judged(replace(history, exact=nothing, censored=nothing), over(6, 6, 8)), str)

    def test_without_levels_nothing_is_known(self):
        history = blocks([5] * 6, [False] * 6)
        none = np.zeros((6, 0), np.float32)
        assert isinstance(judged(replace(history, exact=none, censored=none, levels=np.zeros(0)), over(6, 6, 8)), str)

    @pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf])
    def test_earnings_that_cannot_be_true_are_left_out(self, figure):
        history = blocks([8, 8, 8], [True] * 3, usd=[0.24, figure, 0.24])
        found = judged(history, over(3, 6, 8))
        assert isinstance(found, Interval)
        assert math.isfinite(found.expected)

    def test_a_curve_that_nobody_knows_is_not_judged(self):
        found = judged(blocks([8], [True]), over(1, 6, 8), traits=Traits(curve=CurveKind.NONE, resource="cpu"))
        assert isinstance(found, str)


@given(
    st.lists(st.tuples(st.floats(0, 12), st.booleans()), min_size=1, max_size=24),
    st.floats(0, 12), st.floats(0, 12), POSITIVE,
)  # fmt: skip
def test_without_energy_growing_never_loses_shrinking_never_gains_and_bounds_are_in_order(seen, from_, to, value):
    used = [min(use, to) if not full else to for use, full in seen]
    assume(sum(used) > 0.1)
    history = blocks(used, [full for _, full in seen], value=value)
    found = judged(history, over(len(seen), from_, to))
    assert isinstance(found, Interval)
    slack = 1e-9 * value * 12
    assert found.low - slack <= found.expected <= found.high + slack
    if to >= from_:
        assert found.low >= -slack
        assert found.high - found.low <= slack, "what the old allocation would have used is known"
    else:
        assert found.high <= slack


@given(st.lists(st.floats(0, 12), min_size=1, max_size=24), st.floats(0, 12))
def test_a_move_to_where_it_was_realises_nothing(used, held):
    history = blocks(used, [False] * len(used))
    assert judged(history, over(len(used), held, held)) == Interval(0.0, 0.0, 0.0)


@given(st.lists(st.floats(0.1, 8), min_size=1, max_size=24), POSITIVE)
def test_twice_the_price_is_twice_the_dollars(used, value):
    once, twice = (
        judged(blocks(used, [False] * len(used), value=v), over(len(used), 6, 8)) for v in (value, 2 * value)
    )
    assert near(twice, 2 * once.low, 2 * once.expected, 2 * once.high)


class TestFill:
    """v = 0.00208 USD/TB-h, growth 0.01 TB/h, F = 720 h (economics.md 2), as 720 hourly blocks."""

    def history(self, stored, full=None, **more):
        full = [False] * len(stored) if full is None else full
        levels = np.unique(np.append(np.asarray(stored, float), 0.0))
        return blocks(stored, full, value=0.00208, levels=levels, **more)

    def judged(self, history, change):
        return judged(history, change, traits=FILL, bounds=DISK, used=5.0)

    def test_room_earns_by_what_was_stored_in_it(self):
        """5 → 8.6 TB: after 360 h it is full. v (0.01 · 360² / 2 + 3.6 · 360) / 720 = 2.7 v = 0.005616 USD/h."""
        stored = np.minimum(5 + 0.01 * (np.arange(720) + 0.5), 8.6)
        history = replace(self.history(stored, stored >= 8.6), used_first=np.minimum(5 + 0.01 * np.arange(720), 8.6))
        found = self.judged(history, over(720, 5, 8.6))
        assert near(found, 2.7 * 0.00208, 2.7 * 0.00208, 2.7 * 0.00208)

    def test_where_nothing_came_more_room_earns_nothing(self):
        assert near(self.judged(self.history([5.0] * 10), over(10, 6, 8)), 0.0, 0.0, 0.0)

    def test_what_would_have_left_and_come_back_in_the_old_room_too_is_no_gain(self):
        """Old room 6; stored 5, 7, 5, 7: in the old room 5, 6, 4, 6, so 0, 1, 1, 1 more."""
        found = self.judged(self.history([5.0, 7.0, 5.0, 7.0]), over(4, 6, 8))
        assert near(found, 0.75 * 0.00208, 0.75 * 0.00208, 0.75 * 0.00208)

    def test_room_that_was_given_up_and_filled_costs_the_growth_it_hid(self):
        """8 → 6: it grew by 0.5 an hour while it had room, then stood full for 2 h: 0.5 and 1 TB were missed, 0 to twice."""
        history = self.history([5.0, 5.5, 6.0, 6.0], [False, False, True, True], room_growth=[0.5, 0.5, 0, 0])
        found = self.judged(history, over(4, 8, 6))
        assert near(found, -(1 + 2) / 4 * 0.00208, -(0.5 + 1) / 4 * 0.00208, 0.0)

    def test_where_growth_was_never_seen_all_of_the_room_may_have_been_missed(self):
        found = self.judged(self.history([6.0] * 4, [True] * 4), over(4, 8, 6))
        assert near(found, -2 * 0.00208, -2 * HIDDEN * 0.00208, 0.0)

    def test_stored_amounts_that_nobody_told_are_unknown(self):
        history = replace(self.history([5.0] * 4), used=np.full(4, math.nan))
        assert self.judged(history, over(4, 5, 8)) == "how much rack-1/golem had stored was not seen"


class TestDilution:
    """P = 0.05 USD/h for all stake, O = 1.95 M others: 50 000 earn 0.00125, 100 000 earn 0.05 · 100 / 2050."""

    def judged(self, staked, change, pool=1.95e6, payout=0.05, **more):
        said = reading(
            "rack-1/golem", staked, resource="stake/DATA", pool=None if pool is None else Pool({"DATA": 1.0}, pool),
            pool_payout_usd_per_hour=payout, native=Native({"DATA": 1.0}),
        )  # fmt: skip
        value = 0.05 / (1.95e6 + staked) if staked else 0.0
        history = blocks([staked] * 4, [True] * 4, value=value, levels=[staked])
        return judged(history, change, traits=DILUTION, bounds=STAKE, read=said, **more)

    def test_more_stake_gains_less_than_in_proportion(self):
        gain = 0.05 * 1e5 / 2.05e6 - 0.05 * 5e4 / 2e6
        assert near(self.judged(1e5, over(4, 5e4, 1e5, others=1.95e6)), gain, gain, gain)

    def test_who_left_the_pool_lost_what_the_pool_says_it_pays(self):
        lost = -0.05 * 5e4 / 2e6
        assert near(self.judged(0.0, over(4, 5e4, 0.0, others=1.95e6)), lost, lost, lost)

    def test_others_that_came_meanwhile_make_an_interval(self):
        found = self.judged(1e5, over(4, 5e4, 1e5, others=1e6))
        assert isinstance(found, Interval)
        assert found.low < found.expected < found.high

    def test_without_the_stake_of_the_others_it_is_unknown(self):
        found = self.judged(1e5, over(4, 5e4, 1e5), pool=None)
        assert found == "the stake of the others in the pool of rack-1/golem is not known"

    def test_without_earnings_and_payout_it_is_unknown(self):
        found = self.judged(0.0, over(4, 5e4, 0.0, others=1.95e6), payout=None)
        assert found == "what the pool of rack-1/golem pays is not known"
