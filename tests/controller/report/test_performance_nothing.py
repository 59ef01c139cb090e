"""What keeping the split of the begin would have earned: worked by hand, and where it cannot be known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.counterfactual import HIDDEN
from controller.model import Interval
from controller.report.performance_nothing import against_nothing
from controller.report.performance_past import columns
from exporters.nodes import Power, Watts
from exporters.reading import Pool, Reading
from tests.controller.report.periods import DAY, HOUR, START, every, kept, look, past
from tests.controller.worlds import DILUTION, FILL, allocation, node, workload

KEY = "rack-1/golem"
EACH = 0.05
"""USD that a used core earns an hour."""
GOLEM = {KEY: (workload(KEY, 6.0), node())}


def lived(held, demand, *, every=300.0, until=DAY, key=KEY, each=EACH):
    """`held` and `demand` of the hour since START."""
    readings, at = [], 0.0
    while at <= until:
        has = held(at / HOUR)
        used = min(has, demand(at / HOUR))
        readings.append(look(at, each * used, key=key, held=has, used=used))
        at += every
    return past(readings, kept(key))


def against(found, known=None, since=0.0, until=DAY):
    return against_nothing(found, columns(found), GOLEM if known is None else known, START + since, START + until)


def near(found: Interval | None, low, expected, high):
    assert found is not None
    return (found.low, found.expected, found.high) == pytest.approx((low, expected, high), rel=1e-5, abs=1e-9)


class TestDemand:
    def test_what_never_moved_would_have_earned_the_same(self):
        found = against(lived(lambda _: 6.0, lambda _: 9.0))
        assert found.more == Interval(0.0, 0.0, 0.0)
        assert (found.began, found.ended, found.moved_hours, found.unjudged_hours) == (6.0, 6.0, 0.0, 0.0)

    def test_grown_to_where_all_demand_fits_it_brought_what_did_not_fit_before(self):
        """6 cores, 8 from noon on, demand 7: one more core for 12 h at 0.05."""
        found = against(lived(lambda hour: 6.0 if hour < 12 else 8.0, lambda _: 7.0))
        assert near(found.more, 0.6, 0.6, 0.6)
        assert (found.began, found.ended) == (6.0, 8.0)
        assert found.moved_hours == pytest.approx(12.0, rel=1e-6)

    def test_grown_and_never_needed_it_brought_nothing(self):
        assert near(against(lived(lambda hour: 6.0 if hour < 12 else 8.0, lambda _: 3.0)).more, 0.0, 0.0, 0.0)

    def test_shrunk_and_full_it_may_have_lost_all_that_was_given_up_and_is_expected_to_have_lost_a_part(self):
        """8 cores, 6 from noon on, demand at least 6: up to 2 cores for 12 h at 0.05 are missed."""
        found = against(lived(lambda hour: 8.0 if hour < 12 else 6.0, lambda hour: 5.0 if hour < 12 else 7.0))
        assert near(found.more, -1.2, -1.2 * HIDDEN, 0.0)

    def test_back_and_forth_each_stretch_counts_and_the_way_back_does_not(self):
        """Two more cores for 6 h, and three (demand 9, of the 10) for another 6: 30 core-hours at 0.05."""
        held = {0: 6.0, 1: 8.0, 2: 6.0, 3: 10.0}
        found = against(lived(lambda hour: held[min(3, int(hour // 6))], lambda _: 9.0))
        assert near(found.more, 1.5, 1.5, 1.5)
        assert found.moved_hours == pytest.approx(12.0, rel=1e-6)

    def test_the_energy_of_what_was_given_more_is_charged(self):
        """2 more cores of 10 W for 12 h at 0.5 USD/kWh: 0.12 USD, for demand that was not there."""
        known = {KEY: (workload(KEY, 6.0, watts=Watts(per_step=10)), node(power=Power(usd_per_kwh=0.5)))}
        found = against(lived(lambda hour: 6.0 if hour < 12 else 8.0, lambda _: 3.0), known)
        assert near(found.more, -0.12, -0.12, -0.12)

    def test_the_price_of_each_day_counts_for_that_day(self):
        """One more core from the first noon on, half a one on the second day: 12 h at 0.05, then 24 h of a half at 0.2."""
        readings, at = [], 0.0
        while at <= 2 * DAY:
            held, demand, value = (6.0 if at < 12 * HOUR else 8.0), *((7.0, 0.05) if at < DAY else (6.5, 0.2))
            readings.append(look(at, value * min(held, demand), held=held, used=min(held, demand)))
            at += 300.0
        found = against(past(readings), until=2 * DAY)
        assert near(found.more, 3.0, 3.0, 3.0)


class TestTime:
    def test_the_block_in_which_it_changed_is_not_compared(self):
        """Changed 150 s into a block of 5 minutes."""
        found = against(lived(lambda hour: 6.0 if hour * HOUR < 12 * HOUR + 150 else 8.0, lambda _: 7.0, every=30.0))
        assert found.unjudged_hours == pytest.approx(300 / HOUR, rel=1e-6)
        assert near(found.more, *[EACH * (12 - 300 / HOUR)] * 3)

    def test_a_block_that_the_period_cuts_is_not_compared_where_something_else_was_held(self):
        """The period ends 150 s after a block of 5 minutes with 8 cores began."""
        found = against(lived(lambda hour: 6.0 if hour < 12 else 8.0, lambda _: 7.0), until=12 * HOUR + 150)
        assert found.unjudged_hours == pytest.approx(150 / HOUR, rel=1e-6)
        assert found.moved_hours == 0.0

    def test_time_that_nobody_observed_is_not_extrapolated_over(self):
        """Half of the time with 8 cores has no readings."""
        whole = lived(lambda hour: 6.0 if hour < 12 else 8.0, lambda _: 7.0)
        part = [each for each in whole.blocks if each.block.start * 60 < START + 18 * HOUR]
        found = against(past_of(whole, part))
        assert near(found.more, 0.3, 0.3, 0.3)

    def test_of_blocks_with_outages_only_what_was_observed_counts(self):
        """Answered for 3 of every 5 minutes with 8 cores: 0.6 of the 12 h."""
        readings = every(60.0, 12 * HOUR - 60)
        for i in range(12 * 60 + 1):
            readings.append(look(12 * HOUR + i * 60.0, EACH * 7, held=8.0, used=7.0, up=i % 5 < 3))
        assert near(against(past(readings)).more, *[EACH * 12 * 0.6] * 3)

    def test_of_what_was_held_before_the_period_the_last_counts(self):
        """8 cores from 11:30 on, looked at from 12:30 on: nothing was changed in that time."""
        found = against(lived(lambda hour: 6.0 if hour < 11.5 else 8.0, lambda _: 7.0), since=12.5 * HOUR)
        assert (found.began, found.moved_hours) == (8.0, 0.0)

    def test_what_was_held_just_before_the_period_is_what_it_began_with(self):
        """It changed in the very block with which the period begins."""
        found = against(
            lived(lambda hour: 6.0 if hour * HOUR < 12 * HOUR + 30 else 8.0, lambda _: 7.0, every=30.0), since=12 * HOUR
        )
        assert found.began == 6.0
        assert near(found.more, *[EACH * (12 - 300 / HOUR)] * 3)


def past_of(whole, blocks):
    return type(whole)(whole.key, whole.protocol, blocks, whole.newest, whole.last_good)


class TestOthers:
    def test_a_slow_fill_that_had_more_room_is_credited_with_what_would_not_have_fitted(self):
        """10 of 10 stored at noon, 12 from then on, 1/12 arrives each hour: the mean of 0 .. 1 more, for 12 h, at 0.05."""
        key = "rack-1/storj"
        room = {
            key: (workload(key, 12.0, traits=FILL, bounds=allocation("storage", 0, 20, 1), protocol="storj"), node())
        }
        found = against(
            stored(key, lambda hour: 10.0 if hour < 12 else 12.0, lambda h: 10 + max(0.0, h - 12) / 12), room
        )
        assert found.more is not None
        assert found.more.low == found.more.high == pytest.approx(0.3, rel=0.01)

    def test_a_fill_that_was_given_less_and_then_more_is_judged_for_each_stretch_from_what_it_had_then(self):
        """10 of room, 8 → 9 stored in 8 h. Then 9 of room, full for 8 h: growth of 1/8 an hour finds no room, 1/2 on average:
        −0.2 USD, from none to twice of it (but no more than the 1 that was given up). Then 12, and 9 → 11 in 8 h: what is
        above 10 is 1/4 on average: +0.1 USD.
        """
        key = "rack-1/storj"
        held = {0: 10.0, 1: 9.0, 2: 12.0}
        has = lambda hour: 8 + hour / 8 if hour < 8 else 9.0 if hour < 16 else 9 + (hour - 16) / 4  # noqa: E731 a table
        room = {
            key: (workload(key, 12.0, traits=FILL, bounds=allocation("storage", 0, 20, 1), protocol="storj"), node())
        }
        found = against(stored(key, lambda hour: held[min(2, int(hour // 8))], has), room)
        assert found.more is not None
        assert found.more.expected == pytest.approx(-0.1, abs=0.01)
        assert found.more.low == pytest.approx(-0.2, abs=0.01)
        assert found.more.high == pytest.approx(0.1, abs=0.01)

    def test_a_stake_is_compared_at_the_payout_that_the_pool_had(self):
        """3 of 12 staked earn 0.15 USD/h, so the pool pays 0.6; 1 of 10 would have earned 0.06: 12 h of 0.09 more."""
        said = replace(look(0.0, held=3.0), pool=Pool({"DATA": 1.0}, 9.0))
        bounds = allocation("cpu", 0, 12, 1)
        known = {KEY: (workload(KEY, 3.0, traits=DILUTION, bounds=bounds, read=said), node())}
        found = against(lived(lambda hour: 1.0 if hour < 12 else 3.0, lambda _: 9.0, each=0.05), known)
        assert near(found.more, *[12 * (0.15 - 0.06)] * 3)


def stored(key, held, has):
    node_name, name = key.split("/")

    def one(at):
        room, amount = {"storage": held(at / HOUR)}, has(at / HOUR)
        rate = 0.05 * amount
        return Reading(
            node_name, name, "storj", START + at, allocated=room, used={"storage": amount},
            rate_usd_per_hour=rate, net_usd_per_hour=rate,
        )  # fmt: skip

    return past([one(i * 300.0) for i in range(int(DAY // 300) + 1)], kept(key, "storage", most=20.0))


class TestUnknown:
    def test_without_a_decision_that_says_what_it_is_worth_it_is_not_known_and_says_why(self):
        found = against(lived(lambda hour: 6.0 if hour < 12 else 8.0, lambda _: 7.0), {})
        assert found.more is None
        assert "no decision that is kept says" in found.why

    def test_without_a_decision_what_never_moved_is_known_all_the_same(self):
        assert against(lived(lambda _: 6.0, lambda _: 7.0), {}).more == Interval(0.0, 0.0, 0.0)

    def test_what_has_no_allocation_cannot_have_been_moved(self):
        readings = [look(at * 300.0) for at in range(289)]
        bare = past(
            [Reading(r.node, r.workload, r.protocol, r.at, rate_usd_per_hour=0.1) for r in readings],
            kept(resource=None),
        )
        found = against(bare, {})
        assert (found.more, found.began) == (Interval(0.0, 0.0, 0.0), None)

    def test_an_allocation_that_never_lasted_is_not_known(self):
        wandering = lived(lambda hour: 4.0 + int(hour * 12) % 3, lambda _: 9.0)
        found = against(wandering)
        assert found.more is None
        assert "never seen to last" in found.why
