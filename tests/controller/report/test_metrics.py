"""The families of outcomes and key figures: valid, described, absent where unknown, and through the loop."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families as text

from controller.learning import newest
from controller.model import Interval
from controller.outcomes import ledgers_of
from controller.payoff import ledger_of
from controller.promises import Kind, Outcome, Part, Promise, Trial
from controller.report.kpi import Scores, families, outcome_families
from controller.report.metrics import render
from controller.report.tables import MOST_TOLD, paid_lines, program_lines
from controller.report.views import as_json, did_it_pay
from tests.controller.test_loop import Rig
from tests.controller.worlds import NOW

FAMILIES = (
    "orcha_realized_gain_usd_per_hour", "orcha_forecast_error_ratio", "orcha_program_success_ratio",
    "orcha_interval_coverage_ratio", "orcha_kpi_allocation_efficiency_ratio", "orcha_kpi_cost_effectiveness_ratio",
    "orcha_kpi_uptime_ratio", "orcha_kpi_reconnect_seconds",
)  # fmt: skip


def ended(name, realised, promised=0.05, *, within=True, at=NOW, policy="default"):
    gain = Interval(realised, realised, realised)
    part = Part("rack-1/golem", "golem", "cpu", 6.0, 8.0, at - 7200, 7200.0, promised=promised, realised=gain)
    outcome = Outcome(at, gain, 2 * realised, within, realised > 0, realised / promised - 1, "it brought something")
    promise = Promise(Interval(promised - 0.01, promised, promised + 0.01), 0.9, 0.0)
    return Trial(name, policy, Kind.FOLLOWED, part.at, (part,), promise, outcome)


def unknown(name):
    outcome = Outcome(NOW, None, None, None, None, None, "what came of it is not known: nobody looked")
    return replace(ended(name, 0.0), outcome=outcome)


TWO = ledger_of("default", [ended("a", 0.06), ended("b", -0.02, within=False)])


def samples(page, family):
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for found in text(page.decode())
        for sample in found.samples
        if sample.name == family
    }


def test_every_family_is_described_and_measures_in_base_units():
    found = {family.name: family.documentation for family in families(Scores(), [])}
    assert set(found) == set(FAMILIES)
    assert all(words.endswith(".") and len(words) > 20 for words in found.values())


def test_did_it_pay_in_numbers():
    page = render([], [], outcome_families(newest({"default": TWO}, NOW))).text
    label = (("policy", "default"),)
    assert samples(page, "orcha_realized_gain_usd_per_hour") == {label: pytest.approx(0.02)}
    assert samples(page, "orcha_forecast_error_ratio") == {label: pytest.approx((0.01 + 0.07) / 0.10)}
    assert samples(page, "orcha_program_success_ratio") == {label: 0.5}
    assert samples(page, "orcha_interval_coverage_ratio") == {label: 0.5}


@pytest.mark.parametrize(
    "programs", [[], [unknown("u")], [ended("old", 0.05), ended("older", 0.05)]], ids=["none", "unknown", "long ago"]
)
def test_without_a_judged_program_of_the_week_they_are_absent_not_zero(programs):
    record = newest(ledgers_of({"default": ledger_of("default", programs)}, ["default"]), NOW + 8 * 86400)
    page = render([], [], outcome_families(record)).text
    assert all(samples(page, family) == {} for family in FAMILIES)


def test_a_policy_that_is_gone_is_gone():
    assert set(ledgers_of({"default": TWO, "old": TWO}, ["default", "new"])) == {"default", "new"}


class TestShown:
    def test_the_view_says_what_came_of_each_and_what_it_taught(self):
        view = did_it_pay(TWO, NOW)
        assert (view["outcomes"]["judged"], view["outcomes"]["success_ratio"]) == (2, 0.5)
        assert view["outcomes"]["programs"][0]["moves"][0]["workload"] == "rack-1/golem"
        assert view["learned"]["spread"] == pytest.approx(TWO.spread)
        assert as_json(view)

    @pytest.mark.parametrize("ledger", [None, ledger_of("default", [])])
    def test_where_there_never_was_a_program_it_says_nothing(self, ledger):
        assert did_it_pay(ledger, NOW) == {}
        assert list(paid_lines({})) == []

    def test_the_table_says_it_in_a_line(self):
        lines = [line.plain for line in paid_lines(did_it_pay(TWO, NOW))]
        assert lines == [
            "  did it pay: 1 of 2 programs of 7 days did, +0.0200 USD/h each where +0.0500 was promised; 1 of 2 within the interval"
        ]

    def test_each_change_is_told_with_what_it_promised_and_brought(self):
        running = replace(ended("c", 0.0, at=NOW + 3600), outcome=None)
        by_hand = replace(unknown("u"), kind=Kind.MANUAL, promise=None)
        view = did_it_pay(ledger_of("default", [ended("a", 0.06), running, by_hand]), NOW)
        lines = [line.plain for line in program_lines(view, {"rack-1/golem": 1.0})]
        assert lines == [
            (
                "  2027-01-15 07:00 UTC rack-1/golem 6 cores → 8 cores: +0.05 USD/h (0.04 to 0.06) promised; "
                "what came of it is known from 2027-01-15 09:00 UTC on"
            ),
            "  2027-01-15 06:00 UTC rack-1/golem 6 cores → 8 cores: it brought something",
            "  2027-01-15 06:00 UTC rack-1/golem 6 cores → 8 cores, by hand: what came of it is not known: nobody looked",
        ]

    def test_of_many_changes_the_newest_are_told(self):
        view = did_it_pay(ledger_of("default", [ended(str(i), 0.06, at=NOW + i) for i in range(9)]), NOW)
        *told, last = [line.plain for line in program_lines(view, {})]
        assert len(told) == MOST_TOLD
        assert "earlier ones are in -o json" in last
        assert list(program_lines({}, {})) == []

    def test_what_nobody_can_say_is_said(self):
        (line,) = paid_lines(did_it_pay(ledger_of("default", [unknown("u")]), NOW))
        assert line.plain == "  1 more could not be judged"

    def test_a_fallback_is_told(self):
        lost = ledger_of("default", [ended(str(i), -0.02, at=NOW + i) for i in range(5)])
        assert any("only suggests for 7 days" in line.plain for line in paid_lines(did_it_pay(lost, NOW + 5)))


class TestLoop:
    async def followed(self):
        """Busy is full on 4 of 8 cores, idle uses 1; after 6 h somebody does what is suggested, and 2 h pass."""
        rig = Rig()
        await rig.hours(6, busy=4.0, idle=1.0)
        wanted = {v.move.key.partition("/")[2]: v.move.to for v in rig.loop.decisions["default"].verdicts}
        for hours in (1 / 60, 1 / 60, 2.1):
            await self.pass_(rig, hours, wanted)
        return rig

    async def pass_(self, rig, hours, wanted):
        from tests.controller.test_loop import reading

        for _ in range(round(hours * 60)):
            rig.clock.advance(rig.clock.time() + 60)
            rig.source.say(*(
                reading(name, rig.clock.time(), min(has, 9.0 if name == "busy" else 1.0), has) for name, has in wanted.items()
            ))  # fmt: skip
        await rig.loop.turn()

    async def test_a_suggestion_that_was_followed_and_paid_is_seen_everywhere(self):
        rig = await self.followed()
        label = (("policy", "default"),)
        assert rig.samples("orcha_realized_gain_usd_per_hour")[label] == pytest.approx(0.01, rel=0.05), (
            "a core more in use"
        )
        assert rig.samples("orcha_program_success_ratio") == {label: 1.0}
        assert rig.samples("orcha_kpi_uptime_ratio") == {label: 1.0}
        assert rig.samples("orcha_kpi_cost_effectiveness_ratio") == {label: pytest.approx(1.0)}
        assert 0 < rig.samples("orcha_kpi_allocation_efficiency_ratio")[label] <= 1
        assert rig.samples("orcha_kpi_reconnect_seconds") == {}
        (policy,) = rig.view()["policies"]
        assert policy["outcomes"]["judged"] == 1

    async def test_before_that_nothing_is_claimed(self):
        rig = Rig()
        await rig.hours(6, busy=4.0, idle=1.0)
        assert all(rig.samples(family) == {} for family in FAMILIES[:4])
        assert "outcomes" not in rig.view()["policies"][0]
