"""`orcha programs` as its operator meets it: what is shown, what is told, and what is said where it cannot be."""

from __future__ import annotations

import json

import pytest

from controller.commands.programs import STATES
from controller.programs import ProgramState
from tests.controller.commands.desk import orcha
from tests.controller.report.programs import applied


def ids(result):
    assert result.exit_code == 0, result.output
    return [each["id"] for each in json.loads(result.stdout)["programs"]]


def test_the_states_that_can_be_asked_for_are_those_that_there_are():
    assert set(STATES) == {state.value for state in ProgramState}


@pytest.mark.parametrize("words", [("programs",), ("programs", "list")])
def test_programs_are_listed_with_open_ones_first(api, words):
    assert ids(orcha(*words, "--api", api, "--all", "-o", "json")) == ["p-1f2e3d4c", "p-1f999999", "p-0a0b0c0d"]


def test_the_table_says_what_who_why_and_what_to_type(api):
    result = orcha("programs", "--api", api, "--all")
    assert result.exit_code == 0
    for words in ("p-1f2e3d4c", "pending", "rack-1/golem 6 cores → 8 cores", "golem is full", "orcha programs approve"):
        assert words in result.stdout


def test_a_list_can_be_narrowed_to_states_and_a_policy(api):
    assert ids(orcha("programs", "--api", api, "--only", "applied,blocked", "-o", "json")) == ["p-0a0b0c0d"]
    assert ids(orcha("programs", "--api", api, "--all", "--policy", "attic", "-o", "json")) == []


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--only", "waiting"], "--only 'waiting' is not a state; there are pending, approved"),
        (["--state", "pending"], "write --only pending for programs in that state"),
        (["-o", "yaml"], "--output 'yaml' is not known"),
    ],
)
def test_what_cannot_be_asked_for_is_said_with_what_can(argv, sentence):
    result = orcha("programs", *argv)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())


def test_without_a_controller_the_list_is_read_from_the_state(state):
    assert ids(orcha("programs", "--state", state, "--all", "-o", "json")) == ["p-1f2e3d4c", "p-1f999999", "p-0a0b0c0d"]


def test_one_program_is_the_same_from_the_api_and_from_the_state(api, state):
    both = [
        json.loads(orcha("programs", "show", "0a0b", *where, "-o", "json").stdout)
        for where in (("--api", api), ("--state", state))
    ]
    assert both[0] == both[1]
    assert [each["what"] for each in both[0]["records"]][:2] == ["pending", "approved"]


def test_one_program_is_shown_with_its_steps_and_its_records(api):
    result = orcha("programs", "show", "p-0a", "--api", api)
    assert result.exit_code == 0
    for words in ("the node reports it", "anna (this machine)", "orcha programs rollback p-0a0b0c0d"):
        assert words in result.stdout


@pytest.mark.parametrize(
    ("word", "meant", "said"),
    [
        ("approve", "p-1f2e", "p-1f2e3d4c is approved: rack-1/akash 6 cores → 4 cores"),
        ("reject", "1f2e3d4c", "p-1f2e3d4c is rejected"),
        ("rollback", "p-0a0b0c0d", "p-99999999, which takes p-0a0b0c0d back, is running"),
    ],
)
def test_a_word_is_told_with_who_and_why_and_what_came_of_it_is_said(api, desk, word, meant, said):
    result = orcha("programs", word, meant, "--by", "anna", "--why", "looks right", "--api", api)
    assert (result.exit_code, result.stderr) == (0, "")
    assert said in " ".join(result.stdout.split())
    ((told, whom, by, why),) = desk.told
    assert told == word
    assert meant.removeprefix("p-") in whom
    assert (by, why) == ("anna (this machine)", "looks right")


def test_who_is_the_login_name_where_nobody_says_otherwise(api, desk, monkeypatch):
    monkeypatch.setenv("LOGNAME", "boris")
    assert orcha("programs", "approve", "p-1f2e", "--api", api).exit_code == 0
    assert desk.told == [("approve", "p-1f2e3d4c", "boris (this machine)", "")]


def test_what_came_of_a_word_can_be_had_as_json(api):
    result = orcha("programs", "approve", "p-1f2e", "--api", api, "--by", "anna", "-o", "json")
    assert json.loads(result.stdout)["state"] == "approved"


@pytest.mark.parametrize(
    ("word", "meant", "sentence"),
    [
        ("approve", "p-0a0b", "p-0a0b0c0d is applied and cannot be approved"),
        ("approve", "p-1f", "'p-1f' may be p-1f2e3d4c or p-1f999999; write more of it"),
        ("show", "p-1f2e3d4d", "there is no program 'p-1f2e3d4d'; is p-1f2e3d4c"),
        ("rollback", "zzz", "there is no program 'zzz'; `orcha programs --all` lists them"),
    ],
)
def test_a_no_is_one_sentence_and_exit_1(api, desk, word, meant, sentence):
    result = orcha("programs", word, meant, "--api", api)
    assert (result.exit_code, result.stdout) == (1, "")
    assert sentence in " ".join(result.stderr.split())
    assert desk.told == [], "nothing was changed"


def test_an_id_that_is_not_in_the_state_is_answered_like_one_that_the_controller_does_not_know(state):
    result = orcha("programs", "show", "p-1f2e3d4d", "--state", state)
    assert result.exit_code == 1
    assert "is p-1f2e3d4c" in result.stderr


def test_all_pages_of_a_long_list_are_shown(api, desk):
    desk.known[:] = [applied(f"p-{i:08x}", ago=i + 1) for i in range(1234)]
    assert len(ids(orcha("programs", "--all", "--api", api, "-o", "json"))) == 1234
