"""`orcha report`: of a state that a controller wrote, as Markdown, a page and JSON, and what it says where it cannot."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from controller.__main__ import app
from controller.decide import decide
from controller.history import History
from controller.model import Interval
from controller.promises import Kind, Outcome, Part, Promise, Trial
from controller.report.views import recorded
from controller.samples import Kept
from controller.store import Store
from exporters.reading import Reading
from tests.controller import worlds

HOUR, DAY = 3600.0, 86400.0
BEGAN = 1_735_689_600.0
"""2025-01-01T00:00:00Z."""
KEY = "rack-1/golem"
TWO_DAYS = "--from", "2025-01-01T00:00:00Z", "--to", "2025-01-03T00:00:00Z"


def orcha(*argv):
    return CliRunner().invoke(app, ["report", *map(str, argv)], env={"COLUMNS": "160"})


def said(result):
    return " ".join(result.stderr.split())


def readings(began, until, *, down=()):
    """0.3 USD/h every 5 minutes; down from .. to in hours since `began`."""
    for i in range(int((until - began) // 300) + 1):
        hour = i * 300 / HOUR
        if any(a <= hour < b for a, b in down):
            yield Reading("rack-1", "golem", "golem", began + i * 300.0, up=False, failure="unreachable")
        else:
            yield Reading(
                "rack-1", "golem", "golem", began + i * 300.0, allocated={"cpu": 6.0}, used={"cpu": 4.0},
                rate_usd_per_hour=0.3, net_usd_per_hour=0.3, balance_usd={"accrued": 3.0},
            )  # fmt: skip


def changed():
    """6 to 8 cores at noon of the first day, by a person who followed a suggestion."""
    at = BEGAN + 12 * HOUR
    part = Part(KEY, "golem", "cpu", 6.0, 8.0, at, 2 * HOUR, promised=0.02)
    gained = Interval(0.01, 0.01, 0.01)
    outcome = Outcome(at + 2 * HOUR, gained, 0.02, True, True, -0.5, "it brought +0.01 USD/h")
    return Trial(
        "default 1", "default", Kind.FOLLOWED, at, (part,), Promise(Interval(0.0, 0.02, 0.04), 0.9, 0.001), outcome
    )


async def wrote(url, began=BEGAN, until=BEGAN + 2 * DAY, **more):
    history = History([Kept(KEY, "cpu", 1000.0, 1.0, 12.0)])
    for reading in readings(began, until, **more):
        history.add(reading)
    store = await Store.open(url)
    try:
        await history.flush(store, until)
        store.note_trial(changed())
        await store.write()
    finally:
        await store.close()
    return url


@pytest.fixture
def state(tmp_path):
    """Two days of one workload, with a change."""
    return asyncio.run(wrote(f"sqlite:///{tmp_path}/orcha.db"))


def told(*argv):
    result = orcha(*argv, "-o", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


class TestTelling:
    def test_two_days_of_a_constant_rate_are_rate_times_time(self, state):
        view = told("--state", state, *TWO_DAYS)
        assert view["totals"]["net_usd"] == pytest.approx(0.3 * 48, rel=1e-6)
        assert view["totals"]["coverage"] == pytest.approx(1.0, rel=1e-6)
        assert view["period"] == {
            "from": "2025-01-01T00:00:00.000Z",
            "to": "2025-01-03T00:00:00.000Z",
            "seconds": 2 * DAY,
        }

    def test_two_reports_that_meet_add_up_to_one(self, state):
        noon = "2025-01-02T11:37:00Z"
        parts = [
            told("--state", state, "--from", "2025-01-01T00:00:00Z", "--to", noon),
            told("--state", state, "--from", noon, "--to", "2025-01-03T00:00:00Z"),
        ]
        whole = told("--state", state, *TWO_DAYS)
        for figure in ("gross_usd", "net_usd", "known_seconds"):
            assert sum(each["totals"][figure] for each in parts) == pytest.approx(whole["totals"][figure], rel=1e-9)
        assert sum(each["changes"]["count"] for each in parts) == whole["changes"]["count"] == 1

    def test_changes_come_with_promise_and_effect(self, state):
        found = told("--state", state, *TWO_DAYS)["changes"]
        assert (found["count"], found["judged"], found["success_rate"]) == (1, 1, 1.0)
        assert found["forecast_error"] == pytest.approx(0.5)
        (entry,) = found["entries"]
        assert (entry["kind"], entry["at"]) == ("followed", "2025-01-01T12:00:00.000Z")

    def test_of_two_policies_that_knew_a_workload_the_one_that_decided_last_counts(self, state):
        """ "default" was called "zoo" until the first noon, and zoo's first decision is all that differed."""

        async def write():
            store = await Store.open(state)
            try:
                for policy, hour, cores in (("zoo", 1, 6), ("default", 13, 12), ("default", 47, 12)):
                    made = decide(
                        replace(
                            worlds.state([worlds.workload(KEY, 6.0, protocol="golem")], [worlds.node(cpu=cores)]),
                            policy=policy,
                            now=BEGAN + hour * HOUR,
                        )
                    )
                    store.note_decision(recorded(made))
                    await store.write()
            finally:
                await store.close()

        asyncio.run(write())
        view = told("--state", state, *TWO_DAYS)
        assert [each["policy"] for each in view["kpis"]["allocation_efficiency"]] == ["default"]
        assert [each["capacity"] for each in view["allocations"]] == [12]

    def test_markdown_is_the_default_and_has_all_of_it(self, state):
        result = orcha("--state", state, *TWO_DAYS)
        assert result.exit_code == 0
        for words in (
            "# Performance report",
            "14.40 USD in hand",
            "rack-1/golem",
            "6 cores → 8 cores",
            "Connection stability",
        ):
            assert words in result.stdout

    @pytest.mark.parametrize(
        ("output", "begins"),
        [("md", "# Performance report"), ("html", "<!doctype html>"), ("json", "{")],
        ids=["md", "html", "json"],
    )
    def test_a_file_has_what_stdout_would_have_had(self, state, tmp_path, output, begins):
        file = tmp_path / "report"
        result = orcha("--state", state, *TWO_DAYS, "-o", output, "--output-file", file)
        assert result.exit_code == 0
        assert (result.stdout, said(result)) == ("", f"orcha: written to {file}")
        assert file.read_text(encoding="utf-8").startswith(begins)

    def test_a_controller_may_write_meanwhile(self, state):
        async def both():
            store = await Store.open(state)
            try:
                return await asyncio.to_thread(orcha, "--state", state, *TWO_DAYS)
            finally:
                await store.close()

        assert asyncio.run(both()).exit_code == 0

    def test_it_changes_nothing(self, state, tmp_path):
        before = (tmp_path / "orcha.db").read_bytes()
        assert orcha("--state", state, *TWO_DAYS).exit_code == 0
        assert (tmp_path / "orcha.db").read_bytes() == before

    def test_an_outage_of_the_last_day_is_told_from_its_single_looks(self, tmp_path):
        """10 hours ago, for 50 minutes; a block would not say whether it was one outage or two."""
        now = time.time()
        url = asyncio.run(wrote(f"sqlite:///{tmp_path}/now.db", now - 20 * HOUR, now, down=((10, 10.4), (10.5, 10.8))))
        found = told("--state", url, "--from", "19h")["kpis"]["connection"]
        assert (found["reconnects"], found["at_least"]) == (2, False)
        assert found["mean_reconnect_seconds"] == pytest.approx((25 * 60 + 20 * 60) / 2)

    def test_a_balance_of_now_is_that_of_the_end(self, tmp_path):
        now = time.time()
        url = asyncio.run(wrote(f"sqlite:///{tmp_path}/now.db", now - 4 * HOUR, now))
        assert told("--state", url, "--from", "3h")["balances"]["end_usd"] == {"accrued": 3.0}

    def test_a_period_that_reaches_into_the_future_ends_now(self, state):
        view = told("--state", state, "--from", "2025-01-01T00:00:00Z", "--to", "2999-01-01T00:00:00Z")
        assert view["period"]["to"] == view["at"]

    @pytest.mark.parametrize(
        "since", ["800000d", "9999999999999999999999d", "0001-01-01T00:00:00+14:00", "1900-01-01T00:00:00Z"]
    )
    def test_a_period_that_begins_before_every_calendar_has_all_that_is_kept(self, state, since):
        view = told("--state", state, "--from", since, "--to", "9999-12-31T23:59:59-14:00")
        assert view["totals"]["net_usd"] == pytest.approx(0.3 * 48, rel=1e-6)
        assert view["period"]["from"] == "1970-01-01T00:00:00.000Z"

    def test_a_period_that_begins_before_the_first_reading_says_so(self, state):
        result = orcha("--state", state, "--from", "2024-12-25T00:00:00Z", "--to", "2025-01-03T00:00:00Z")
        assert result.exit_code == 0
        assert "Nothing is known of before 2025-01-01T00:00:00.000Z" in result.stdout


class TestRefusals:
    @pytest.mark.parametrize(
        ("argv", "sentence"),
        [
            (["--from", "yesterday"], "--from 'yesterday' is not a time; write it with its zone"),
            (["--to", "noon"], "--to 'noon' is not a time; write it with its zone"),
            (["--from", "1d", "--to", "2d"], "--from 1d is not before --to 2d; write the earlier one first"),
            (["--from", "2998-01-01T00:00:00Z", "--to", "2999-01-01T00:00:00Z"], "lies ahead; a report tells what was"),
            (["-o", "pdf"], "--output 'pdf' is not known; write md, html or json"),
            (["--output-file", "no/such/place/report.md"], "there is no directory no/such/place"),
            (["--output-file", "/"], "--output-file / is a directory; name a file in it"),
            (["--state", "mysql://u:hunter2@h/db"], "sqlite:///"),
        ],
        ids=["from", "to", "order", "ahead", "output", "place", "directory", "url"],
    )
    def test_what_cannot_be_asked_is_one_sentence_with_what_would_be_right(self, argv, sentence):
        result = orcha(*argv)
        assert result.exit_code == 2
        assert sentence in said(result)
        assert "hunter2" not in result.output

    def test_a_state_that_is_not_there_is_said(self, tmp_path):
        result = orcha("--state", f"sqlite:///{tmp_path}/none.db")
        assert result.exit_code == 2
        assert "none.db" in said(result)

    def test_where_nobody_named_a_state_and_none_is_here_it_says_how_to(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        result = orcha()
        assert result.exit_code == 2
        assert "there is no state sqlite:///orcha.db here; name the one that `orcha run` writes with --state" in said(
            result
        )

    def test_a_period_before_everything_that_is_kept_says_what_is(self, state):
        result = orcha("--state", state, "--from", "2024-01-01T00:00:00Z", "--to", "2024-02-01T00:00:00Z")
        assert result.exit_code == 2
        for words in ("is older than what is kept", "2025-01-01T00:00:00.000Z to 2025-01-03T00:0", "spec.retention"):
            assert words in said(result)

    def test_a_period_after_everything_that_is_kept_says_what_is(self, state):
        result = orcha("--state", state, "--from", "2025-02-01T00:00:00Z", "--to", "2025-03-01T00:00:00Z")
        assert result.exit_code == 2
        assert "holds nothing; the state" in said(result)

    def test_a_state_without_any_history_says_so(self, tmp_path):
        async def empty(url):
            await (await Store.open(url)).close()
            return url

        result = orcha("--state", asyncio.run(empty(f"sqlite:///{tmp_path}/orcha.db")), *TWO_DAYS)
        assert result.exit_code == 2
        assert "holds no history yet" in said(result)

    def test_a_file_that_cannot_be_written_is_said(self, state, tmp_path):
        file = tmp_path / ("x" * 300)
        result = orcha("--state", state, *TWO_DAYS, "--output-file", file)
        assert result.exit_code == 2
        assert "cannot be written" in said(result)


def test_a_change_belongs_to_the_period_in_which_it_began(state):
    until = "--to", "2025-01-03T00:00:00Z"
    counts = [
        told("--state", state, "--from", f"2025-01-01T12:00:0{second}Z", *until)["changes"]["count"]
        for second in (0, 1)
    ]
    assert counts == [1, 0]
