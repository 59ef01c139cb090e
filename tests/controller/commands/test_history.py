"""`orcha history`: the reallocations of a period, from the API and from the state."""

from __future__ import annotations

import json

import pytest

from controller.promises import Kind
from tests.controller.commands.desk import orcha
from tests.controller.report.programs import HOUR, NOW, trial

SINCE, UNTIL = f"{NOW - 24 * HOUR:.0f}", f"{NOW:.0f}"


def entries(*argv):
    result = orcha("history", *argv, "-o", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["entries"]


def test_the_api_and_the_state_tell_the_same_history(api, state):
    """When, what, why, who approved, the cost, the effect as predicted and as it came (A5)."""
    names = (
        "id", "at", "moves", "sentence", "state", "approved_by", "cost_usd", "predicted_usd_per_hour",
        "realised_usd_per_hour", "within", "success", "outcome", "due_at", "judged_at",
    )  # fmt: skip
    places = (("--api", api), ("--state", state))
    both = [[{n: e[n] for n in names} for e in entries("--since", SINCE, "--until", UNTIL, *where)] for where in places]
    assert both[0] == both[1]
    (entry,) = both[1]
    assert (entry["id"], entry["approved_by"], entry["success"]) == ("p-0a0b0c0d", "anna (this machine)", True)


@pytest.mark.parametrize("where", ["api", "state"])
def test_a_period_and_a_policy_bound_what_is_told(request, where):
    place = f"--{where}", request.getfixturevalue(where)
    assert entries("--since", SINCE, "--until", f"{NOW - 6 * HOUR:.0f}", *place) == []
    assert entries("--since", f"{NOW - 4 * HOUR:.0f}", "--until", UNTIL, *place) == []
    assert entries("--since", SINCE, "--until", UNTIL, "--policy", "attic", *place) == []
    assert len(entries("--since", SINCE, "--until", UNTIL, "--policy", "default", *place)) == 1


def test_where_a_policy_did_nothing_its_name_is_said_for_it_may_be_mistyped(state):
    result = orcha("history", "--since", SINCE, "--until", UNTIL, "--state", state, "--policy", "defualt")
    assert result.stdout.startswith("nothing of policy defualt was changed from ")


@pytest.mark.parametrize("where", ["api", "state"])
@pytest.mark.parametrize(
    ("since", "until"),
    [("800000d", UNTIL), ("0001-01-01T00:00:00+14:00", UNTIL), (SINCE, "9999-12-31T23:59:59-14:00")],
    ids=["long-ago", "before-the-year-1", "after-the-year-9999"],
)
def test_a_time_that_has_no_date_is_as_far_away_as_one_can_be(request, where, since, until):
    place = f"--{where}", request.getfixturevalue(where)
    assert len(entries("--since", since, "--until", until, *place)) == 1


def test_what_people_changed_is_told_from_both_as_well(api, state, desk):
    desk.past.append(trial("default 5 rack-1/golem", kind=Kind.MANUAL, ago=HOUR, promised=False))
    found = entries("--since", SINCE, "--until", UNTIL, "--api", api)
    assert [(each["kind"], each["approved_by"]) for each in found] == [
        ("manual", None),
        ("applied", "anna (this machine)"),
    ]


def test_the_table_has_cost_promise_and_effect(state):
    result = orcha("history", "--since", SINCE, "--until", UNTIL, "--state", state)
    assert result.exit_code == 0
    for words in (
        "rack-1/golem 6 cores → 8 cores",
        "anna (this machine)",
        "0.001",
        "+0.012",
        "+0.01 ",
        "1 of 1 judged so far paid and brought +0.019 USD",
    ):
        assert words in result.stdout


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--since", "yesterday"], "--since 'yesterday' is not a time; write it with its zone"),
        (["--since", "1d", "--until", "2d"], "--since 1d is not before --until 2d"),
    ],
)
def test_a_period_that_is_none_is_refused(argv, sentence):
    result = orcha("history", *argv)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())


def test_a_state_that_is_not_there_is_said(tmp_path):
    result = orcha("history", "--state", f"sqlite:///{tmp_path}/none.db")
    assert result.exit_code == 2
    assert "none.db" in result.stderr
