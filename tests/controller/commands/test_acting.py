"""`orcha pause`, `resume`, `release`: what is told to the controller, and that nothing is released by accident."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.controller.commands.desk import orcha

ROOT = Path(__file__).resolve().parents[3]
BY = ("--by", "anna")


@pytest.mark.parametrize(
    ("argv", "told", "said"),
    [
        (["pause"], ("pause", None, ""), "all policies are paused: nothing more begins, and what is under way waits"),
        (["pause", "attic", "--why", "moving house"], ("pause", "attic", "moving house"), "`orcha resume attic`"),
        (["resume"], ("resume", None, ""), "all policies go on"),
        (["resume", "attic"], ("resume", "attic", ""), "policy attic goes on"),
        (["resume", "rack-1/golem"], ("resume", "rack-1/golem", ""), "orcha may move rack-1/golem again"),
        (["release", "--yes"], ("release", None, ""), "the policies concerned are paused"),
        (["release", "rack-1", "--yes"], ("release", "rack-1", ""), "p-1f2e3d4c is pending"),
        (["release", "rack-1/golem", "--yes"], ("release", "rack-1/golem", ""), "orcha resume"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_is_typed_is_told_and_what_follows_is_said(api, desk, argv, told, said):
    result = orcha(*argv, *BY, "--api", api)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    word, target, why = told
    assert desk.told == [(word, target, "anna (this machine)", why)]
    assert said in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["pause", "none"], "there is no policy none; there is default"),
        (["pause", "default", "--why", "x" * 501], "(body why); GET /api/v1/openapi.json says what may stand here"),
    ],
)
def test_what_the_controller_refuses_is_one_sentence_and_exit_1(api, desk, argv, sentence):
    result = orcha(*argv, *BY, "--api", api)
    assert (result.exit_code, result.stdout, desk.told) == (1, "", [])
    assert sentence in " ".join(result.stderr.split())


@pytest.mark.parametrize("word", ["pause", "resume", "release"])
def test_an_empty_name_never_means_everything(api, desk, word):
    result = orcha(word, "", *BY, "--api", api, *(["--yes"] if word == "release" else []))
    assert (result.exit_code, desk.told) == (2, [])
    assert "the name is empty; write one, or leave it out to mean everything" in " ".join(result.stderr.split())


def test_releasing_what_was_never_changed_is_said_to_need_nothing(api, desk):
    desk.known.clear()
    result = orcha("release", "rack-1", "--yes", "--api", api)
    assert "rack-1 has what it had before orcha; there is nothing to give back" in " ".join(result.stdout.split())


def test_what_was_told_can_be_had_as_json(api):
    result = orcha("release", "--yes", "--api", api, "-o", "json")
    assert next(each["id"] for each in json.loads(result.stdout)["programs"]) == "p-1f2e3d4c"


def test_release_refuses_where_nobody_can_be_asked(api, desk):
    result = orcha("release", "--api", api)
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert (
        "gives every workload back what it had before orcha first changed it, and pauses the policies concerned" in said
    )
    assert "say --yes where nobody can be asked" in said
    assert desk.told == []


@pytest.mark.parametrize(
    ("answer", "code", "told"), [("y", 0, 1), ("n", 1, 0), ("", 1, 0)], ids=["yes", "no", "just enter"]
)
def test_release_asks_on_a_terminal(api, desk, answer, code, told):
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        program = "from tests.controller.commands.desk import app; app()"
        ended = subprocess.run(
            [sys.executable, "-c", program, "release", "rack-1", "--api", api],
            cwd=ROOT, stdin=theirs, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert ended.returncode == code, ended.stderr
    assert "pauses the policies concerned. Go on?" in ended.stderr
    assert len(desk.told) == told
