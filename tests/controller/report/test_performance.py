"""A performance report: totals by protocol, node and workload, key figures, and what of it is not known."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.decide import decide
from controller.model import Interval
from controller.promises import Kind, Outcome, Part, Promise, Trial
from controller.report.performance_series import edges_of, step_of
from controller.report.programs import change_view, history_view, program_view
from controller.report.views import recorded
from exporters.nodes import Power, Watts
from tests.controller.report import programs
from tests.controller.report.periods import DAY, HOUR, START, every, kept, look, past, report
from tests.controller.worlds import always, node, state, workload

DOCS = Path(__file__).resolve().parents[3] / "docs" / "report.md"


def golem(**more):
    return past(every(300.0, DAY, **more))


def akash(rate=lambda _at: 0.1, **more):
    return past(every(300.0, DAY, rate, key="rack-2/akash", protocol="mapped", **more), kept("rack-2/akash"))


def grass():
    """Points that nobody prices."""
    return past(every(300.0, DAY, lambda _at: None, key="rack-1/grass", protocol="grass"), kept("rack-1/grass", None))


def entry(*, at=6 * HOUR, kind=Kind.APPLIED, promised=0.02, realised: float | None = 0.01, **more):
    """A change, as orcha history has it."""
    promise = None if promised is None else Promise(Interval(0.0, promised, 2 * promised), 0.9, 0.001)
    found = None if realised is None else Interval(realised, realised, realised)
    values = {"usd": realised, "within": realised is not None and realised >= 0, "success": (realised or 0) > 0} | more
    outcome = Outcome(
        START + at + 2 * HOUR, found, values["usd"], values["within"], values["success"], None, "it brought it"
    )
    parts = (Part("rack-1/golem", "golem", "cpu", 6.0, 8.0, START + at, 2 * HOUR),)
    trial = Trial(
        f"default {at} {kind}", "default", kind, START + at, parts, promise, None if more.get("waits") else outcome
    )
    return history_view((), [change_view(trial)], (START, START + DAY), START + DAY)["entries"][0]


class TestTotals:
    def test_what_is_credited_while_nobody_knows_the_cuts_is_not_taken_for_cuts(self):
        """As of a stake whose owner's share is not known: 1 USD/h credited, and what of it is in hand is unknown."""
        readings = [replace(each, net_usd_per_hour=None) for each in every(300.0, DAY, lambda _at: 1.0, key="rack-1/x")]
        view = report(golem(), past(readings, kept("rack-1/x")))
        (alone,) = (each for each in view["workloads"] if each["workload"] == "rack-1/golem")
        for figure in ("gross_usd", "fees_usd", "net_usd"):
            assert view["totals"][figure] == pytest.approx(alone[figure], rel=1e-6)
        assert view["totals"]["coverage"] == pytest.approx(0.5, rel=1e-6)
        assert view["series"]["gross_usd_per_hour"]["golem"] == pytest.approx([0.3] * 24, rel=1e-5)

    def test_protocols_nodes_and_workloads_each_add_up_to_the_whole(self):
        view = report(golem(), akash(), past(every(300.0, DAY, key="rack-1/x", protocol="golem"), kept("rack-1/x")))
        for groups in ("protocols", "nodes", "workloads"):
            for figure in ("gross_usd", "net_usd", "known_seconds", "up_seconds", "unobserved_seconds"):
                assert sum(each[figure] for each in view[groups]) == pytest.approx(view["totals"][figure], abs=1e-6)
        assert view["totals"]["net_usd"] == pytest.approx(24 * (0.3 + 0.1 + 0.3), rel=1e-6)
        assert view["totals"]["coverage"] == pytest.approx(1.0, rel=1e-6)

    @settings(max_examples=20, deadline=None)
    @given(st.floats(0.5, 23.5))
    def test_the_report_of_a_day_is_that_of_its_two_parts(self, hours):
        each = golem(), akash(lambda at: 0.1 + at / DAY)
        first, second = report(*each, until=hours * HOUR), report(*each, since=hours * HOUR)
        whole = report(*each)
        for figure in ("gross_usd", "net_usd", "known_seconds"):
            parts = first["totals"][figure] + second["totals"][figure]
            assert parts == pytest.approx(whole["totals"][figure], rel=1e-9)

    def test_what_has_no_price_is_null_in_every_sum_and_named(self):
        view = report(golem(), grass())
        points = next(each for each in view["protocols"] if each["protocol"] == "grass")
        assert (points["gross_usd"], points["net_usd"], points["coverage"]) == (None, None, 0.0)
        assert view["totals"]["net_usd"] == pytest.approx(7.2, rel=1e-6)
        assert "what rack-1/grass earned is not known at any time of the period, and is in no sum" in view["notes"]

    def test_where_nothing_is_priced_the_total_is_null_and_not_zero(self):
        view = report(grass())
        assert (view["totals"]["net_usd"], view["kpis"]["total_earnings_usd"]) == (None, None)
        assert view["kpis"]["cost_effectiveness"] is None

    def test_energy_is_deducted_once_from_what_is_in_hand(self):
        """12 W a step, 6 steps, 0.3 USD/kWh: 0.0216 USD/h; the node's own net has it deducted already."""
        one = kept(power=Power(usd_per_kwh=0.3), watts=Watts(per_step=12))
        view = report(past(every(300.0, DAY, net=0.27 - 0.0216), one))
        whole = view["totals"]
        assert whole["gross_usd"] == pytest.approx(7.2, rel=1e-6)
        assert whole["fees_usd"] == pytest.approx(0.72, rel=1e-5)
        assert whole["energy_usd"] == pytest.approx(0.5184, rel=1e-5)
        assert whole["net_usd"] == pytest.approx(7.2 - 0.72 - 0.5184, rel=1e-6)
        assert view["kpis"]["cost_effectiveness"] == pytest.approx((7.2 - 0.72 - 0.5184) / 7.2, rel=1e-6)

    def test_energy_that_nobody_declared_is_null(self):
        assert report(golem())["totals"]["energy_usd"] is None


class TestTime:
    def test_a_period_that_begins_before_the_first_reading_says_so_and_counts_that_as_unknown(self):
        view = report(golem(), since=-DAY)
        assert view["totals"]["coverage"] == pytest.approx(0.5, rel=1e-6)
        assert view["known"]["from"] == "2027-01-15T00:00:00.000Z"
        assert view["notes"][0].startswith("nothing is known of before 2027-01-15T00:00:00.000Z")

    def test_where_there_are_older_readings_the_begin_is_a_hole_and_not_the_first_that_is_kept(self):
        two = past([*every(300.0, HOUR), *every(300.0, DAY, since=12 * HOUR)])
        (said, *_) = report(two, since=6 * HOUR)["notes"]
        assert said == "nothing is known of before 2027-01-15T12:00:00.000Z: no reading came"

    def test_what_machines_draw_with_nothing_running_is_said_and_in_no_sum(self):
        """40 W for a day at 0.25 USD/kWh."""
        made = decide(state([workload("rack-1/golem", 6.0, protocol="golem")], [
            node(cpu=12, power=Power(usd_per_kwh=0.25, idle_watts=40)),
        ]))  # fmt: skip
        view = report(golem(), until=2 * DAY, decided=[recorded(made)])
        (said,) = (note for note in view["notes"] if "idleWatts" in note)
        assert said.startswith("what rack-1 drew with nothing running (idleWatts) is in no sum")
        assert "about 0.24 USD in the time that is known" in said
        assert (view["totals"]["net_usd"], view["totals"]["energy_usd"]) == (pytest.approx(7.2, rel=1e-3), None)

    def test_a_period_that_goes_on_after_the_last_reading_says_so(self):
        view = report(golem(), until=2 * DAY)
        assert any(note.startswith("nothing is known of after 2027-01-16T00:00:00.000Z") for note in view["notes"])

    def test_a_period_that_cuts_much_of_what_it_counts_says_by_how_much(self):
        """7 minutes of blocks of 5: 3 of them are 0.6 of a block that earned 0.025 USD."""
        view = report(golem(), since=HOUR, until=HOUR + 7 * 60)
        assert view["known"]["at_the_ends_usd"] == pytest.approx(0.025 * 0.6, rel=1e-5)
        assert any("up to 0.02 USD may belong to the other side" in note for note in view["notes"])
        assert not any("other side" in note for note in report(golem())["notes"])

    def test_who_came_later_is_named(self):
        late = past(every(300.0, DAY, since=12 * HOUR, key="rack-2/akash"), kept("rack-2/akash"))
        view = report(golem(), late)
        assert "rack-2/akash came later than the others; the time before counts as not known" in view["notes"]
        assert view["workloads"][1]["coverage"] == pytest.approx(0.5, rel=1e-6)

    def test_up_down_and_unobserved_fill_the_period(self):
        readings = every(300.0, 6 * HOUR - 300) + every(300.0, 8 * HOUR - 300, since=6 * HOUR, up=False)
        view = report(past(readings + every(300.0, DAY, since=14 * HOUR)))
        whole = view["totals"]
        assert whole["up_seconds"] + whole["down_seconds"] + whole["unobserved_seconds"] == pytest.approx(DAY, rel=1e-6)
        assert whole["uptime"] == pytest.approx(whole["up_seconds"] / (whole["up_seconds"] + whole["down_seconds"]))

    @pytest.mark.parametrize(
        ("days", "step"),
        [(0.2, 300), (0.5, 900), (2, 3600), (7, 10800), (14, 21600), (30, 86400), (365, 604800)],
        ids=str,
    )
    def test_a_chart_has_steps_of_the_calendar(self, days, step):
        assert step_of(days * DAY) == step
        edges = edges_of(START + 1234.0, START + 1234.0 + days * DAY)
        assert (edges[0], edges[-1]) == (START + 1234.0, START + 1234.0 + days * DAY)
        monday = 4 * DAY if step == 604800 else 0
        assert all((edge - monday) % step == 0 for edge in edges[1:-1])
        assert len(edges) <= 64

    def test_the_series_adds_up_to_the_totals(self):
        view = report(golem(), akash())
        assert sum(sum(values) for values in view["series"]["gross_usd"].values()) == pytest.approx(
            view["totals"]["gross_usd"], rel=1e-9
        )
        assert sum(view["series"]["net_usd"]) == pytest.approx(view["totals"]["net_usd"], rel=1e-9)
        assert view["series"]["gross_usd_per_hour"]["golem"] == pytest.approx([0.3] * 24, rel=1e-6)

    def test_steps_of_which_nothing_is_known_are_null(self):
        view = report(past(every(300.0, 6 * HOUR) + every(300.0, DAY, since=12 * HOUR)))
        assert view["series"]["net_usd"][8:12] == [None] * 4
        assert view["series"]["coverage"][8:12] == [0.0] * 4


class TestBalances:
    def test_those_of_the_end_are_those_of_the_newest_look_and_those_of_the_begin_are_not_known(self):
        readings = [*every(300.0, DAY - 300), look(DAY, balance_usd={"accrued": 3.0, "paid": 40.0})]
        view = report(past(readings))
        (row,) = view["balances"]["workloads"]
        assert (row["begin_usd"], row["end_usd"]) == (None, {"accrued": 3.0, "paid": 40.0})
        assert row["end_at"] == "2027-01-16T00:00:00.000Z"
        assert any("balances of the newest look only" in note for note in view["notes"])

    def test_of_a_period_that_is_over_nobody_knows_them(self):
        readings = [*every(300.0, DAY - 300), look(DAY, balance_usd={"accrued": 3.0})]
        view = report(past(readings), until=12 * HOUR, now=DAY)
        assert view["balances"]["end_usd"] is None
        assert view["balances"]["workloads"][0]["end_usd"] is None


class TestChanges:
    def test_promise_and_effect_of_those_judged_are_added_up(self):
        """Promised 0.02 and 0.04, brought 0.01 and −0.01: off by 0.06 of 0.06; one of two paid, one of two inside."""
        entries = [entry(), entry(at=12 * HOUR, promised=0.04, realised=-0.01)]
        found = report(golem(), entries=entries)["changes"]
        assert (found["count"], found["judged"]) == (2, 2)
        assert found["promised_usd_per_hour"] == pytest.approx(0.06)
        assert found["realised_usd_per_hour"] == pytest.approx(0.0, abs=1e-12)
        assert found["forecast_error"] == pytest.approx(1.0)
        assert (found["success_rate"], found["interval_coverage"]) == (0.5, 0.5)
        assert found["moving_cost_usd"] == pytest.approx(0.002)

    def test_what_waits_or_cannot_be_known_is_in_no_ratio(self):
        entries = [entry(), entry(at=8 * HOUR, realised=None), entry(at=22 * HOUR, waits=True)]
        found = report(golem(), entries=entries)["changes"]
        assert (found["count"], found["judged"], found["unknown"], found["waiting"]) == (3, 1, 1, 1)
        assert found["success_rate"] == 1.0

    def test_a_change_by_hand_is_not_waited_for(self):
        entries = [entry(), entry(at=22 * HOUR, kind=Kind.MANUAL, promised=None, waits=True)]
        assert report(golem(), entries=entries)["changes"]["waiting"] == 0

    def test_changes_by_hand_promised_nothing_and_are_counted_apart(self):
        view = report(golem(), entries=[entry(kind=Kind.MANUAL, promised=None)])
        found = view["changes"]
        assert (found["count"], found["promised"], found["by_hand"], found["success_rate"]) == (1, 0, 1, None)
        assert view["kpis"]["reallocations_per_day"] == 1.0

    def test_without_changes_nothing_is_promised_and_nothing_was_missed(self):
        view = report(golem())
        assert (view["changes"]["count"], view["changes"]["success_rate"]) == (0, None)
        assert view["doing_nothing"]["more_usd"] == {"low": 0.0, "expected": 0.0, "high": 0.0}
        would, net = view["doing_nothing"]["would_have_earned_usd"], view["totals"]["net_usd"]
        assert would == {"low": net, "expected": net, "high": net}

    def test_a_program_that_was_rolled_back_is_counted(self):
        each = programs.applied()
        made = history_view([program_view(each, ())], (), (programs.NOW - DAY, programs.NOW), programs.NOW)["entries"][
            0
        ]
        found = report(golem(), entries=[{**made, "state": "rolled_back", "at": "2027-01-15T06:00:00.000Z"}])
        assert found["changes"]["rolled_back"] == 1


class TestDoingNothing:
    def moved(self):
        """6 cores, 8 from noon on, always full: at 0.05 a core."""
        return past([look(i * 300.0, 0.05 * h, held=h) for i in range(289) for h in [6.0 if i < 144 else 8.0]])

    def decided(self):
        """A decision of that day's end, kept with what it was made from."""
        made = decide(state([workload("rack-1/golem", 8.0, always(8.0, full=True), protocol="golem")], [node(cpu=12)]))
        return [recorded(made)]

    def test_what_it_would_have_earned_is_what_was_earned_less_what_was_brought(self):
        view = report(self.moved(), decided=self.decided())
        found = view["doing_nothing"]
        assert found["more_usd"]["expected"] == pytest.approx(0.05 * 2 * 12, rel=1e-5)
        assert found["would_have_earned_usd"]["expected"] == pytest.approx(0.3 * 24, rel=1e-5)
        assert (found["unknown"], found["moved_seconds"]) == ([], pytest.approx(12 * HOUR, rel=1e-6))

    def test_where_demand_was_hidden_it_lies_between_what_was_brought_at_most_and_at_least(self):
        """8 cores, 6 from noon on, full: nothing or up to 2 cores for 12 h at 0.05 were missed."""
        shrunk = past(
            [look(i * 300.0, 0.05 * h, held=h, used=h) for i in range(289) for h in [8.0 if i < 144 else 6.0]]
        )
        view = report(shrunk, decided=self.decided())
        found, net = view["doing_nothing"]["would_have_earned_usd"], view["totals"]["net_usd"]
        assert (found["low"], found["high"]) == pytest.approx((net, net + 1.2), rel=1e-4)

    def test_without_a_decision_it_is_null_and_the_workload_is_named(self):
        found = report(self.moved())["doing_nothing"]
        assert (found["more_usd"], found["would_have_earned_usd"]) == (None, None)
        assert found["unknown"] == ["rack-1/golem"]

    def test_the_newest_decision_says_how_good_the_split_is(self):
        (found,) = report(self.moved(), decided=self.decided())["kpis"]["allocation_efficiency"]
        assert found["policy"] == "default"
        assert 0.0 <= found["ratio"] <= 1.0

    def test_a_policy_whose_every_workload_another_decided_on_later_is_not_there_twice(self):
        """As after it was renamed, and the capacity of its node was written anew."""
        (old,) = self.decided()
        made = decide(replace(state([workload("rack-1/golem", 8.0, protocol="golem")], [node(cpu=24)]), policy="attic"))
        view = report(self.moved(), decided=[old, recorded(made)])
        assert [each["policy"] for each in view["kpis"]["allocation_efficiency"]] == ["attic"]
        assert [each["capacity"] for each in view["allocations"]] == [24]

    def test_a_policy_with_a_workload_of_its_own_is_kept(self):
        both = [workload("rack-1/golem", 6.0, protocol="golem"), workload("rack-1/akash", 6.0)]
        old, new = (decide(replace(state(each), policy=name)) for name, each in (("old", both), ("new", both[:1])))
        view = report(self.moved(), decided=[recorded(old), recorded(new)])
        assert [each["policy"] for each in view["kpis"]["allocation_efficiency"]] == ["old", "new"]

    def test_a_decision_that_this_version_cannot_read_is_said(self):
        (one,) = self.decided()
        view = report(self.moved(), decided=[type(one)(**{**_fields(one), "inputs": b"nonsense"})])
        assert any("another version" in note for note in view["notes"])
        assert view["kpis"]["allocation_efficiency"] == []

    def test_a_decision_without_what_it_was_made_from_is_said(self):
        (one,) = self.decided()
        view = report(self.moved(), decided=[type(one)(**{**_fields(one), "inputs": None})])
        assert "what the decisions of policy default were made from is not kept" in view["notes"]


def _fields(one):
    return {name: getattr(one, name) for name in one.__dataclass_fields__}


class TestJson:
    def view(self):
        readings = [*every(300.0, DAY - 300), look(DAY, balance_usd={"accrued": 3.0})]
        return report(past(readings), akash(), entries=[entry()], decided=TestDoingNothing().decided())

    def test_it_is_plain_json_without_infinities(self):
        view = self.view()
        assert json.loads(json.dumps(view, allow_nan=False)) == view

    def test_every_key_is_documented(self):
        told = set(re.findall(r"`([a-z_]+)`", DOCS.read_text(encoding="utf-8")))
        names = set()

        def walk(found):
            if isinstance(found, dict):
                names.update(found)
                for value in found.values():
                    walk(value)
            elif isinstance(found, list):
                for value in found:
                    walk(value)

        view = self.view()
        view["series"]["gross_usd"] = view["series"]["gross_usd_per_hour"] = {}  # keyed by protocol
        view["changes"]["entries"] = []  # as orcha history has them
        walk(view)
        assert sorted(names - told - {"accrued"}) == []


def test_an_allocation_is_told_from_each_change_on_and_as_unknown_where_nobody_looked():
    readings = [look(i * 300.0, held=6.0 if i < 72 else 8.0) for i in range(145)] + every(
        300.0, DAY, since=18 * HOUR, held=8.0
    )
    (group,) = report(past(readings))["allocations"]
    steps = [(each["at"][11:16], each["allocated"]) for each in group["workloads"][0]["steps"]]
    assert steps[:2] == [("00:00", 6.0), ("06:00", 8.0)]
    assert [value for _, value in steps[2:]] == [None, 8.0]
