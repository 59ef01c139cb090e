"""Key figures by hand-worked examples; what nobody knows is absent."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.decide import decide
from controller.report.kpi import (
    EVERY,
    WEEK,
    Contact,
    Scores,
    allocation_efficiency,
    cost_effectiveness,
    efficiency,
    families,
    looked,
    remembered,
)
from controller.samples import Readings
from tests.controller.worlds import NOW, always, competing, line, node, policy, reading, state, workload

GOLEM, AKASH = "rack-1/golem", "rack-1/akash"


def decided(curves, *, golem=6.0, akash=6.0, capacity=12, spec=None):
    """A decision on made-up curves."""
    made = state(
        [workload(GOLEM, golem, always(golem)), workload(AKASH, akash, always(2.0))], [node(cpu=capacity)], spec=spec
    )
    return replace(decide(made), curves=curves)


def golem_only(worth=0.01):
    """Golem earns on every core, akash on none."""
    return {GOLEM: line(GOLEM, [0, 12], [0, 12 * worth]), AKASH: line(AKASH, [0, 12], [0, 0])}


class TestAllocationEfficiency:
    def test_it_is_what_the_split_earns_of_what_the_best_would(self):
        assert allocation_efficiency(decided(golem_only())) == pytest.approx(0.5)

    def test_the_best_split_is_worth_one(self):
        assert allocation_efficiency(decided(golem_only(), golem=12.0, akash=0.0)) == pytest.approx(1.0)

    def test_the_limits_of_one_program_do_not_make_a_bad_split_look_good(self):
        tight = policy(mode="Suggest", maxStepPercent=1, minImprovement={"percent": 99})
        assert allocation_efficiency(decided(golem_only(), spec=tight)) == pytest.approx(0.5)

    def test_capacity_and_bounds_do(self):
        assert allocation_efficiency(decided(golem_only(), capacity=12)) == pytest.approx(0.5)
        twelve = {**golem_only(), GOLEM: line(GOLEM, [0, 6, 12], [0, 0.06, 0.06])}
        assert allocation_efficiency(decided(twelve)) == pytest.approx(1.0)

    @pytest.mark.parametrize(
        "curves", [{}, golem_only(0.0), golem_only(-0.01)], ids=["no curve", "nothing earns", "all of it costs"]
    )
    def test_without_anything_to_earn_there_is_no_measure(self, curves):
        assert allocation_efficiency(decided(curves)) is None

    def test_a_split_that_costs_where_another_would_earn_is_worth_nothing(self):
        curves = {GOLEM: line(GOLEM, [0, 2, 12], [0, 0.02, -0.2]), AKASH: line(AKASH, [0, 12], [0, 0])}
        assert allocation_efficiency(decided(curves)) == 0.0

    @given(st.floats(0.001, 1000))
    def test_it_knows_no_currency(self, factor):
        assert allocation_efficiency(decided(golem_only(factor))) == pytest.approx(0.5)


class TestCostEffectiveness:
    def effective(self, *figures):
        made = [
            workload(f"rack-1/w{i}", 1.0, None, read=reading(f"rack-1/w{i}", 1.0, net=net, rate_usd_per_hour=gross))
            for i, (net, gross) in enumerate(figures)
        ]
        return cost_effectiveness(state(made))

    def test_it_is_net_over_gross(self):
        assert self.effective((0.06, 0.10), (0.03, 0.05)) == pytest.approx(0.6)

    def test_below_zero_it_costs_more_than_it_earns(self):
        assert self.effective((-0.01, 0.10)) == pytest.approx(-0.1)

    def test_who_tells_only_one_of_both_is_left_out(self):
        assert self.effective((0.06, 0.10), (None, 5.0), (5.0, None)) == pytest.approx(0.6)

    @pytest.mark.parametrize("figures", [[], [(None, None)], [(0.0, 0.0)], [(-0.01, 0.0)]])
    def test_without_earnings_there_is_no_measure(self, figures):
        assert self.effective(*figures) is None


def looks(*ups, every=60.0, stale_after=300.0):
    contact = None
    for i, up in enumerate(ups):
        contact = looked(contact, NOW + every * i, up=up, stale_after=stale_after)
    return contact


class TestContact:
    def test_time_counts_not_looks(self):
        contact = looks(True, True, False, True)
        assert (contact.up_seconds, contact.seen_seconds) == (120.0, 180.0)

    def test_a_gap_is_neither_up_nor_down(self):
        assert looks(True, True, every=3600.0).seen_seconds == 300.0

    def test_it_reconnects_from_the_first_failed_look_to_the_first_that_works(self):
        contact = looks(True, False, False, True)
        assert contact.reconnect_seconds == 120.0
        assert looks(True, False, False).reconnect_seconds is None
        assert looks(True, True).reconnect_seconds is None

    def test_the_newest_failing_stretch_counts(self):
        assert looks(False, True, True, False, True).reconnect_seconds == 60.0

    def test_an_earlier_look_changes_nothing(self):
        contact = looks(True, False)
        assert looked(contact, NOW, up=True, stale_after=300.0) is contact

    def test_older_weeks_fade(self):
        contact = Contact(NOW, up=True, up_seconds=0.0, seen_seconds=WEEK)
        contact = looked(contact, NOW + 60, up=True, stale_after=300.0)
        assert contact.seen_seconds == pytest.approx(WEEK / 2, rel=1e-3)


@given(st.lists(st.tuples(st.floats(1, 1000), st.booleans()), max_size=12))
def test_a_day_of_looks_at_once_comes_to_what_they_come_to_one_by_one(seen):
    times = NOW + np.cumsum([seconds for seconds, _ in seen])
    ups = np.array([up for _, up in seen], dtype=bool)
    one_by_one = None
    for at, up in zip(times.tolist(), ups.tolist(), strict=True):
        one_by_one = looked(one_by_one, at, up=up, stale_after=300.0)
    at_once = remembered(Readings(times, ups, *(np.zeros(len(seen), np.float32) for _ in range(3))), 300.0)
    assert (at_once is None) == (one_by_one is None)
    assert at_once is None or at_once == pytest.approx(one_by_one)


def told(scores, records=()):
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in families(scores, records)
    }


class TestScores:
    def test_a_restart_begins_with_the_day_that_is_remembered(self):
        past = Readings(
            np.array([NOW, NOW + 60]), np.array([True, False]), *(np.zeros(2, np.float32) for _ in range(3))
        )
        scores = Scores()
        scores.look(reading(GOLEM, 6.0, now=NOW + 130), 300.0, past)
        scores.decided(decide(competing()))
        assert told(scores)["orcha_kpi_uptime_ratio"] == {("default",): 0.5}
        assert told(scores)["orcha_kpi_reconnect_seconds"] == {("rack-1", "golem", "mapped"): 60.0}

    def test_nothing_known_is_nothing_shown(self):
        assert all(samples == {} for samples in told(Scores()).values())
        scores = Scores()
        scores.decided(decide(state([])))
        assert all(samples == {} for samples in told(scores).values())

    def test_a_decision_is_measured_and_forgotten_with_its_policy(self):
        scores = Scores()
        decision = decide(competing())
        scores.decided(decision)
        scores.look(reading(GOLEM, 6.0), 300.0)
        shown = told(scores)["orcha_kpi_allocation_efficiency_ratio"]
        assert shown == {("default",): pytest.approx(efficiency(decision).allocation)}
        assert 0 < shown["default",] < 1
        other = replace(decision, curves={}, plan=replace(decision.plan, at=NOW + EVERY - 1))
        scores.decided(other)
        assert told(scores)["orcha_kpi_allocation_efficiency_ratio"] == shown, "not at every decision"
        scores.decided(replace(other, plan=replace(other.plan, at=NOW + EVERY)))
        assert told(scores)["orcha_kpi_allocation_efficiency_ratio"] == {}
        scores.keep([], [])
        assert all(samples == {} for samples in told(scores).values())
        assert scores.contacts == {}


def test_figures_are_finite_or_absent():
    for hours in (0, 3, 48):
        found = efficiency(decide(state([workload(GOLEM, 6.0, always(6.0, hours=hours, full=True))])))
        assert all(value is None or math.isfinite(value) for value in (found.allocation, found.cost))
