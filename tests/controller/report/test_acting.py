"""The families of acting: valid in both formats, there from the start, and each thing counted once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from controller.leader import Sole
from controller.programs import OVER, Cause, ProgramState, Record
from controller.report.acting import DRIVERS, RESULTS, STATES
from controller.report.metrics import ControllerMetrics
from tests.controller.report.programs import HOUR, NOW, applied, program

FAMILIES = {
    "orcha_programs", "orcha_programs_open", "orcha_approvals_oldest_timestamp_seconds",
    "orcha_next_change_timestamp_seconds", "orcha_steps", "orcha_program_duration_seconds",
    "orcha_approval_wait_seconds", "orcha_leader", "orcha_paused",
}  # fmt: skip


@pytest.fixture
def metrics():
    made = ControllerMetrics("0.1.0", "test")
    made.policies(["default"])
    return made


def samples(metrics, name):
    page = b"".join(metrics.render(openmetrics=False)).decode()
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in text(page)
        for sample in family.samples
        if sample.name == name
    }


def said(metrics, one, *, what=None, by="orcha", at=NOW):
    metrics.acting.announce(one, Record(at, what or one.state.value, by, ""))


def test_the_page_is_valid_in_both_formats_and_every_family_is_described(metrics):
    metrics.acting.show(["default"], [program(), applied()], {"default": NOW})
    assert list(text(b"".join(metrics.render(openmetrics=False)).decode()))
    page = b"".join(metrics.render(openmetrics=True)) + b"# EOF\n"
    families = {family.name: family for family in openmetrics(page.decode())}
    assert families.keys() >= FAMILIES
    assert all(len(families[name].documentation) > 20 for name in FAMILIES)


class Holder:
    """As much of a Leader as is shown."""

    def __init__(self, transitions):
        self.transitions = transitions


def test_the_lease_s_own_count_is_shown_by_whoever_holds_it(metrics):
    name = "orcha_lease_transitions_total"
    assert samples(metrics, name) == {}
    holder = Holder(3)
    metrics.acting.leads(holder)
    assert samples(metrics, name) == {(): 3.0}
    assert samples(metrics, "orcha_leader") == {(): 1.0}
    holder.transitions = 4
    assert samples(metrics, name) == {(): 4.0}


def test_one_that_runs_alone_has_no_lease_to_count(metrics):
    metrics.acting.leads(Sole())
    assert samples(metrics, "orcha_lease_transitions_total") == {}
    assert samples(metrics, "orcha_leader") == {(): 1.0}


def test_every_label_is_there_from_the_start(metrics):
    results = {dict(labels)["result"] for labels in samples(metrics, "orcha_programs_total")}
    assert results == set(RESULTS) == {state.value for state in OVER}
    assert {dict(labels)["state"] for labels in samples(metrics, "orcha_programs_open")} == set(STATES)
    steps = [dict(labels) for labels in samples(metrics, "orcha_steps_total")]
    assert {each["driver"] for each in steps} == set(DRIVERS)
    assert {each["direction"] for each in steps} == {"forward", "verify", "backward"}
    assert set(samples(metrics, "orcha_program_duration_seconds_count").values()) == {0.0}
    assert set(samples(metrics, "orcha_approval_wait_seconds_count").values()) == {0.0}


def test_unknown_times_are_absent_and_come_and_go(metrics):
    for name in ("orcha_approvals_oldest_timestamp_seconds", "orcha_next_change_timestamp_seconds"):
        assert samples(metrics, name) == {}
    both = [program("p-1", ago=60.0), program("p-2", ago=HOUR), program("p-3", ProgramState.APPROVED, ago=DAYS)]
    metrics.acting.show(["default"], both, {"default": NOW + 60})
    assert list(samples(metrics, "orcha_approvals_oldest_timestamp_seconds").values()) == [NOW - HOUR]
    assert list(samples(metrics, "orcha_next_change_timestamp_seconds").values()) == [NOW + 60]
    metrics.acting.show(["default"], [], {"default": None})
    for name in ("orcha_approvals_oldest_timestamp_seconds", "orcha_next_change_timestamp_seconds"):
        assert samples(metrics, name) == {}


DAYS = 5 * 24 * HOUR


def test_what_is_open_now_by_state(metrics):
    metrics.acting.show(["default"], [program("p-1"), program("p-2"), applied()], {})
    found = {dict(labels)["state"]: value for labels, value in samples(metrics, "orcha_programs_open").items()}
    assert found == {"pending": 2.0, "approved": 0.0, "running": 0.0, "blocked": 0.0}


def over(metrics):
    return {dict(labels)["result"]: n for labels, n in samples(metrics, "orcha_programs_total").items() if n}


def test_an_end_is_counted_once_whatever_is_said_of_it_later(metrics):
    one = applied()
    said(metrics, one)
    said(metrics, one, what="stage")
    said(metrics, one, what="waits")
    assert over(metrics) == {"applied": 1.0}
    assert samples(metrics, "orcha_program_duration_seconds_count") == {(("policy", "default"),): 1.0}
    assert samples(metrics, "orcha_program_duration_seconds_sum") == {(("policy", "default"),): NOW - one.began}


@pytest.mark.parametrize("state", sorted(OVER))
def test_every_end_has_its_result(metrics, state):
    said(metrics, program(state=state))
    assert over(metrics) == {state.value: 1.0}


@pytest.mark.parametrize(
    ("one", "by", "waited"),
    [
        (program(state=ProgramState.APPROVED, ago=600.0), "anna (operate token)", True),
        (program(state=ProgramState.REJECTED, ago=600.0), "manifests (annotation orcha.dev/reject of policy default)", True),
        (program(state=ProgramState.APPROVED, ago=600.0), "orcha (policy default is in mode Auto)", False),
        (program(state=ProgramState.APPROVED, ago=600.0, cause=Cause.ROLLBACK), "anna", False),
        (program(state=ProgramState.APPROVED, ago=600.0, cause=Cause.RELEASE), "anna", False),
        (replace(applied(), state=ProgramState.REJECTED), "anna", False),
        (program(state=ProgramState.EXPIRED, ago=600.0), "orcha", False),
    ],
    ids=["approved", "rejected in Git", "Auto", "a rollback", "a release", "a blocked one given up", "expired"],
)  # fmt: skip
def test_only_a_persons_word_on_a_proposal_was_waited_for(metrics, one, by, waited):
    said(metrics, one, by=by)
    [count] = samples(metrics, "orcha_approval_wait_seconds_count").values()
    assert count == float(waited)
    if waited:
        assert list(samples(metrics, "orcha_approval_wait_seconds_sum").values()) == [600.0]


def test_a_policy_that_is_gone_is_gone_and_does_not_come_back_by_its_last_program(metrics):
    said(metrics, applied())
    metrics.policies(["other"])
    said(metrics, applied())
    metrics.acting.show(["default", "other"], [program()], {"default": NOW, "other": None})
    metrics.acting.counted("dry_run", "forward", "done")
    page = b"".join(metrics.render(openmetrics=False)).decode()
    assert 'policy="default"' not in page
    assert 'orcha_programs_total{policy="other",result="applied"} 0.0' in page


def test_a_clock_that_was_set_back_gives_no_negative_time(metrics):
    said(metrics, applied(), at=NOW - DAYS)
    assert list(samples(metrics, "orcha_program_duration_seconds_sum").values()) == [0.0]
