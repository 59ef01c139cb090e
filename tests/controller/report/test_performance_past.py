"""Sums over a period: closed forms, gaps, edges, and the same total however often a node was asked."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.blocks import FIGURES, Block
from controller.report.performance_past import Contact, Past, Sums, at_the_ends, columns, contact, summed
from controller.rows import StoredBlock
from exporters.nodes import Power, Watts
from tests.controller.report.periods import DAY, HOUR, STALE, START, every, kept, look, past


def whole(readings, since=0.0, until=DAY, one=None):
    found = past(readings, one)
    (sums,) = summed(columns(found), (START + since, START + until))
    return sums


class TestClosedForms:
    def test_a_constant_rate_is_rate_times_time(self):
        sums = whole(every(60.0, DAY))
        assert sums.net == pytest.approx(0.3 * 24, rel=1e-6)
        assert sums.known == sums.up == pytest.approx(24.0, rel=1e-6)

    @pytest.mark.parametrize("interval", [15.0, 300.0], ids=["15s", "300s"])
    def test_a_ramp_is_half_its_rectangle_but_for_half_an_interval(self, interval):
        """0.01 USD/h more each hour over 24 h: 2.88 USD. A reading holds until the next, so half an interval's rise is missed."""
        sums = whole(every(interval, DAY, lambda at: 0.01 * at / HOUR))
        missed = 0.01 * (interval / HOUR) / 2 * 24
        assert sums.net == pytest.approx(2.88 - missed, rel=1e-5)

    def test_a_price_that_falls_counts_from_the_reading_on_that_said_so(self):
        sums = whole(every(300.0, DAY, lambda at: 0.4 if at < 10 * HOUR else 0.1))
        assert sums.net == pytest.approx(0.4 * 10 + 0.1 * 14, rel=1e-6)

    def test_fees_and_energy_are_told_apart(self):
        """12 W a step, 6 steps, 0.3 USD/kWh: 0.0216 USD/h; the node's net has it deducted, cuts are a tenth of 0.3."""
        one = kept(power=Power(usd_per_kwh=0.3), watts=Watts(per_step=12))
        sums = whole(every(300.0, DAY, net=0.27 - 0.0216), one=one)
        assert sums.gross == pytest.approx(0.3 * 24, rel=1e-6)
        assert sums.net == pytest.approx(0.27 * 24, rel=1e-6)
        assert sums.energy == pytest.approx(0.0216 * 24, rel=1e-6)


class TestPolling:
    @pytest.mark.parametrize("seed", range(5))
    def test_irregular_polling_of_a_constant_rate_gives_the_same_total(self, seed):
        chance, at, readings = random.Random(seed), 0.0, []
        while at < DAY:
            readings.append(look(at))
            at += chance.uniform(5.0, STALE)
        readings.append(look(DAY))
        assert whole(readings).net == pytest.approx(0.3 * 24, rel=1e-6)

    @settings(max_examples=12, deadline=None)
    @given(st.lists(st.floats(0.0, 1.0), min_size=24, max_size=24))
    def test_60_and_300_seconds_give_the_same_total_within_one_interval_of_every_jump(self, rates):
        """A rate that jumps every hour, 7 minutes past it: each reading may be late by as much as an interval."""

        def rate(at):
            return rates[min(23, int(max(0.0, at - 420) // HOUR))]

        often, seldom = (whole(every(interval, DAY, rate)).net for interval in (60.0, 300.0))
        jumps = float(np.abs(np.diff(rates)).sum())
        assert abs(often - seldom) <= jumps * 300 / HOUR + 1e-5

    def test_a_rate_that_holds_between_the_looks_of_both_gives_the_same_to_a_millionth(self):
        often, seldom = (
            whole(every(interval, DAY, lambda at: 0.1 + 0.05 * (at // HOUR % 7))).net for interval in (15.0, 300.0)
        )
        assert often == pytest.approx(seldom, rel=1e-6)


class TestGaps:
    def test_time_without_readings_is_in_no_sum_beyond_what_a_reading_holds(self):
        readings = every(300.0, 6 * HOUR) + every(300.0, DAY, since=12 * HOUR)
        sums = whole(readings)
        assert sums.known == pytest.approx(18.0 + STALE / HOUR, rel=1e-6)
        assert sums.net == pytest.approx(0.3 * sums.known, rel=1e-6)

    def test_time_in_which_it_did_not_answer_is_down_and_earns_nothing_that_is_known(self):
        readings = every(300.0, 6 * HOUR - 300) + every(300.0, 8 * HOUR - 300, since=6 * HOUR, up=False)
        sums = whole(readings + every(300.0, DAY, since=8 * HOUR))
        assert sums.down == pytest.approx(2.0, rel=1e-6)
        assert sums.net == pytest.approx(0.3 * 22, rel=1e-6)

    def test_a_rate_that_is_not_known_leaves_the_time_unknown_though_it_is_up(self):
        sums = whole(every(300.0, DAY, lambda at: None if at < 12 * HOUR else 0.3))
        assert (sums.known, sums.up) == pytest.approx((12.0, 24.0), rel=1e-6)
        assert sums.net == pytest.approx(0.3 * 12, rel=1e-6)


FIGURE = st.floats(-100, 100)


@st.composite
def blocks(draw):
    """Hours, then 5 minutes, with holes."""
    found, at = [], int(START // 60)
    for span in [*[3600] * draw(st.integers(0, 8)), *[300] * draw(st.integers(1, 8))]:
        if draw(st.booleans()):
            block = Block(at, span)
            for name in FIGURES:
                setattr(block, name, abs(draw(FIGURE)) if "hours" in name else draw(FIGURE))
            found.append(StoredBlock("cpu", 0.25, block))
        at += span // 60
    return found


class TestPeriods:
    @given(blocks(), st.lists(st.floats(-2 * HOUR, 12 * HOUR), min_size=3, max_size=3))
    def test_two_periods_that_meet_add_up_to_the_whole(self, stored, cuts):
        a, b, c = sorted(START + cut for cut in cuts)
        found = columns(Past("rack-1/golem", "golem", stored, None, None))
        first, second = summed(found, (a, b, c))
        (both,) = summed(found, (a, c))
        assert tuple(first.plus(second)) == pytest.approx(tuple(both), rel=1e-9, abs=1e-9)

    @given(blocks())
    def test_a_period_around_everything_has_everything_and_one_beside_it_nothing(self, stored):
        found = columns(Past("rack-1/golem", "golem", stored, None, None))
        all_, none = summed(found, (START - DAY, START + DAY, START + 2 * DAY))
        assert all_.net == pytest.approx(sum(each.block.net_usd for each in stored), abs=1e-9)
        assert none == Sums()

    def test_a_block_that_is_not_over_is_whole_in_a_period_that_ends_now(self):
        """The newest look came 2 minutes into a block of 5."""
        sums = whole(every(60.0, 12 * HOUR + 120), until=12 * HOUR + 120)
        assert sums.net == pytest.approx(0.3 * (12 + 120 / HOUR), rel=1e-6)

    def test_an_edge_within_a_block_is_off_by_no_more_than_it_says(self):
        """An hour that earned all of its 1 USD in its first minute, cut at a quarter."""
        block = Block(int(START // 60), 3600, net_usd=1.0, net_hours=1.0, hours=1.0)
        found = columns(Past("rack-1/golem", "golem", [StoredBlock("cpu", 0.25, block)], None, None))
        (sums,) = summed(found, (START, START + 900))
        assert sums.net == 0.25
        assert abs(1.0 - sums.net) <= at_the_ends(found, START, START + 900) == 0.75
        assert at_the_ends(found, START, START + HOUR) == 0.0


class TestContact:
    def seen(self, readings, since=0.0, until=DAY, *, single=True):
        looks = [(each.at, each.up) for each in readings if since <= each.at - START < until] if single else ()
        found = past(readings, looks=looks)
        return contact(found, columns(found), START + since, START + until)

    def lost(self, *outages):
        """Asked every 5 minutes for a day; down from .. to .. in hours."""
        return [
            look(i * 300.0, up=not any(a <= i * 300 / HOUR < b for a, b in outages)) for i in range(int(DAY // 300) + 1)
        ]

    def test_who_always_answered_was_never_lost(self):
        assert self.seen(self.lost()) == Contact(0, 0.0, at_least=False)

    @pytest.mark.parametrize("single", [True, False], ids=["from-looks", "from-blocks"])
    def test_each_outage_is_one_reconnect_as_long_as_it_took(self, single):
        found = self.seen(self.lost((2, 3), (10, 10.5)), single=single)
        assert found.reconnects == 2
        assert found.seconds == pytest.approx(1.5 * HOUR, rel=1e-6)
        assert found.lost_at is None
        assert found.at_least is not single

    def test_who_does_not_answer_at_the_end_is_lost_since_its_first_failed_look(self):
        found = self.seen(self.lost((2, 3), (20, 30)))
        assert (found.reconnects, found.lost_at) == (1, START + 20 * HOUR)

    def test_outages_of_before_single_looks_are_kept_are_told_from_blocks(self):
        readings = self.lost((2, 3), (20, 21))
        looks = [(each.at, each.up) for each in readings if each.at >= START + 12 * HOUR]
        found = past(readings, looks=looks)
        both = contact(found, columns(found), START, START + DAY)
        assert (both.reconnects, both.at_least) == (2, True)
        assert both.seconds == pytest.approx(2 * HOUR, rel=1e-6)
