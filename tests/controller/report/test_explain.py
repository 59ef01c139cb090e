"""Why a decision is what it is: everything there is to say of it is said, and nothing that is not known."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import time
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given, settings
from rich.console import Console
from typer.testing import CliRunner

from controller.__main__ import app
from controller.commands.explain import moment_of
from controller.decide import decide
from controller.replay import inputs_of, replay
from controller.report import views
from controller.report.explain import NoSuchWorkload, chosen_key, explained
from controller.report.explain_tables import explain_table
from controller.store import Store
from tests.controller.test_replay import many, worlds
from tests.controller.worlds import (
    DEMAND,
    FILL,
    NOW,
    allocation,
    always,
    blocks,
    competing,
    node,
    policy,
    state,
    varying,
    workload,
)

TIB = 2.0**40


def of(view, key):
    return next(row for row in view["workloads"] if row["key"] == key)


def whole(view, **more):
    return {"source": "state", "at": NOW + 60, "asked_for": None, "workload": None, "policies": [view]} | more


def shown(view, width=160):
    console = Console(width=width, record=True, file=io.StringIO(), color_system=None)
    console.print(explain_table(view, width))
    return console.export_text()


# --- what is said -------------------------------------------------------------------------------------------------


def test_the_next_steps_are_weighed_alone_and_say_why_not():
    row = of(explained(decide(competing())), "rack-1/golem")
    up, down = row["next_up"], row["next_down"]
    assert (up["to"], down["to"]) == (7, 5)
    assert up["gain_usd_per_hour"]["expected"] > 0
    assert up["reason"] == "Capacity", "alone nobody makes room for it"
    assert "13 of 12 cpu would be held" in up["sentence"]
    assert down["gain_usd_per_hour"]["expected"] < 0
    assert down["reason"] == "LowGain"
    assert up["supposes"] == ["rack-1/golem uses more than 6 cpu (never seen so far)"]
    assert 0 < up["confidence"] < 1


def test_where_there_is_no_step_the_reason_stands_there():
    fixed = workload("rack-1/a", 4.0, always(4.0), bounds=allocation(low=4, high=4))
    frozen = workload("rack-1/b", 2.0, always(2.0), bounds=allocation(freeze="grow"))
    full = workload(
        "rack-1/s", 5 * TIB, blocks([5 * TIB] * 48, [True] * 48, value=1e-15, levels=[5 * TIB]),
        traits=FILL, bounds=allocation("storage", TIB, 8 * TIB, TIB), used=4.6 * TIB,
    )  # fmt: skip
    view = explained(decide(state([fixed, frozen, full], [node(cpu=12, storage=8 * TIB)])))
    a, b, s = (of(view, f"rack-1/{name}") for name in "abs")
    assert (a["next_up"]["to"], a["next_up"]["reason"]) == (None, "Bounds")
    assert "owner allows at most 4 cpu" in a["next_up"]["sentence"]
    assert "4 is the least that is allowed" in a["next_down"]["sentence"]
    assert b["next_up"]["reason"] == "DirectionFrozen"
    assert b["next_down"]["to"] == 1
    assert s["next_down"]["reason"] == "Irreversible"
    assert "cannot be taken back" in s["next_down"]["sentence"]


def test_every_pair_that_shares_a_resource_is_a_candidate_or_says_why_it_is_none():
    made = [workload(f"rack-1/{name}", 4.0, always(2.0 + i, levels=[0, 4])) for i, name in enumerate("abc")]
    made[2] = replace(made[2], allocation=allocation(low=4, high=4))
    view = explained(decide(state(made)))
    for row in view["workloads"]:
        key = row["key"]
        others = {f"rack-1/{name}" for name in "abc"} - {key}
        wanted = {(None, key), *((other, key) for other in others), *((key, other) for other in others)}
        found = [(each["source"], each["target"]) for each in (*row["candidates"], *row["impossible"])]
        assert sorted(found, key=str) == sorted(wanted, key=str), "each once"
        assert all(each["sentence"] and each["reason"] for each in row["impossible"])


def test_a_workload_without_a_curve_says_why():
    view = explained(
        decide(state([workload("rack-1/golem", 6.0), workload("rack-1/w", 1.0, always(1.0))], spec=policy()))
    )
    row = of(view, "rack-1/golem")
    assert row["curve"] is None
    assert row["rate_now_usd_per_hour"] is None, "unknown is not zero"
    assert row["left_out"]["reason"] == "NoHistory"
    assert row["next_up"]["reason"] == "NoHistory"


def test_a_workload_that_is_only_watched_says_so():
    watched = replace(workload("rack-1/grass", 0.0), allocation=None)
    row = of(explained(decide(state([watched, workload("rack-1/w", 1.0, always(1.0))]))), "rack-1/grass")
    assert row["left_out"]["sentence"] == "rack-1/grass declares no allocation: it is watched, never moved"
    assert row["candidates"] == row["impossible"] == []


def test_the_curve_is_said_in_words():
    words = of(explained(decide(competing())), "rack-1/golem")["curve"]["words"]
    assert words[0].startswith("with its 6 cpu it is expected to earn 0.18 USD/h over the next 2h")
    assert "it would earn the most" in words[1]
    assert "48 h of history" in words[2]
    assert "a used step of 1 cpu earns 0.03 USD/h" in words[2]
    assert words[3] == "what more would earn supposes that rack-1/golem uses more than 6 cpu (never seen so far)"


def test_what_the_plan_has_is_told_from_what_it_has_not():
    view = explained(decide(competing()))
    assert [each["in_plan"] for each in view["candidates"]] == [True, False]
    assert [each["target"] for each in view["candidates"]] == ["rack-1/golem", "rack-1/akash"]


def test_one_workload_is_explained_with_its_own_candidates_only():
    view = explained(decide(many(4)), ["rack-1/w1"])
    assert [row["key"] for row in view["workloads"]] == ["rack-1/w1"]
    assert all("rack-1/w1" in {each["source"], each["target"]} for each in view["candidates"])


def test_a_replayed_decision_explains_the_same_but_for_the_band():
    decision = decide(many(3))
    first, again = explained(decision), explained(replay(inputs_of(decision)))
    for view in (first, again):
        for row in view["workloads"]:
            row["curve"].pop("low"), row["curve"].pop("high")
    assert again == first


@settings(max_examples=25)
@given(worlds())
def test_any_decision_can_be_explained_in_json_and_at_any_width(world):
    view = explained(decide(world))
    json.dumps(view, allow_nan=False)
    for width in (40, 80, 160):
        assert shown(whole(view), width)
        for row in view["workloads"]:
            one = whole({**view, "workloads": [row]}, workload=row["key"])
            assert row["key"] in shown(one, width).replace("\n", "")


def test_no_line_is_wider_than_the_terminal():
    view = explained(decide(many(4)))
    for width in (60, 80, 120, 160):
        for part in (whole(view), whole({**view, "workloads": view["workloads"][:1]}, workload="rack-1/w0")):
            assert max(map(len, shown(part, width).splitlines())) <= width


def test_the_terminal_shows_the_curve_the_steps_and_every_candidate():
    view = explained(decide(competing()), ["rack-1/golem"])
    text = " ".join(shown(whole(view, workload="rack-1/golem"), 80).split())
    for words in (
        "policy default, mode Suggest", "recorded 2027-01-15 08:00:00 UTC, 1m before now", "Planned: 6 cores → 8 cores",
        "now 6 cores", "target 8 cores", "N now, T target", "One step up, to 7 cores: +0.0", "Capacity: 13 of 12 cpu",
        "One step down, to 5 cores: -0.0", "rack-1/akash → rack-1/golem 2 cores", "the plan has it",
        "free capacity → rack-1/golem: Capacity: rack-1 has no room for one more step: 12 of 12 cpu are held",
    ):  # fmt: skip
        assert words in text, words


# --- names and times ----------------------------------------------------------------------------------------------


def test_a_workload_may_be_named_by_its_last_part_where_that_is_one():
    keys = ["rack-1/golem", "rack-1/storj", "rack-2/storj"]
    assert chosen_key("rack-2/storj", keys) == "rack-2/storj"
    assert chosen_key("golem", keys) == "rack-1/golem"
    with pytest.raises(NoSuchWorkload, match="several workloads; write one of rack-1/storj, rack-2/storj"):
        chosen_key("storj", keys)


def test_an_unknown_name_lists_those_that_exist_the_nearest_first():
    keys = ["rack-1/akash", "rack-1/golem", "rack-1/storj"]
    with pytest.raises(NoSuchWorkload, match="there is no workload 'rack-1/gollem'; there are rack-1/golem, "):
        chosen_key("rack-1/gollem", keys)
    with pytest.raises(NoSuchWorkload, match="and 88 more"):
        chosen_key("x", [f"n/{i}" for i in range(100)])
    with pytest.raises(NoSuchWorkload, match="no policy has any"):
        chosen_key("x", [])


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2027-01-15T08:00:00Z", NOW),
        ("2027-01-15T09:00:00+01:00", NOW),
        ("2027-01-15 08:00", NOW),
        ("1800000000", NOW),
        ("2h", NOW + 60 - 7200),
        ("1h30m", NOW + 60 - 5400),
    ],
)
def test_times_are_read_as_people_write_them(text, at):
    assert moment_of(text, NOW + 60) == at


# --- the command --------------------------------------------------------------------------------------------------


def orcha(*argv):
    return CliRunner().invoke(app, [*map(str, argv)], env={"COLUMNS": "100"})


def recorded(path, *decisions):
    """A state in which these were recorded."""

    async def write():
        store = await Store.open(f"sqlite:///{path}")
        for decision in decisions:
            store.note_decision(views.recorded(decision) if not isinstance(decision, tuple) else decision[0])
        await store.write()
        await store.close()

    asyncio.run(write())
    return f"sqlite:///{path}"


def at(decision_state, seconds):
    return replace(
        decision_state,
        now=decision_state.now + seconds,
        workloads=tuple(
            replace(w, reading=replace(w.reading, at=w.reading.at + seconds), last_good=w.reading)
            for w in decision_state.workloads
        ),
    )


@pytest.fixture
def two(tmp_path):
    """A state with a decision to move, and a later one that is paused."""
    first, later = decide(competing()), decide(replace(at(competing(), 3600.0), paused=True))
    return recorded(tmp_path / "orcha.db", first, later)


def test_the_newest_recorded_decision_is_shown_without_any_manifest(two, tmp_path):
    done = orcha("explain", "--state", two, "-m", tmp_path / "none")
    assert done.exit_code == 0, done.output
    assert "policy default is paused" in done.stdout


def test_a_decision_of_then_is_replayed(two):
    done = orcha("explain", "golem", "--state", two, "--at", "2027-01-15T08:30:00Z", "-o", "json")
    assert done.exit_code == 0, done.output
    view = json.loads(done.stdout)
    assert (view["source"], view["workload"], view["asked_for"]) == ("state", "rack-1/golem", NOW + 1800)
    [found] = view["policies"]
    assert (found["at"], found["reason"], found["replay"]) == (NOW, "ModeSuggest", None)
    [row] = found["workloads"]
    assert row["verdict"]["to"] == 8


def test_before_the_first_decision_the_first_is_named(two):
    done = orcha("explain", "--state", two, "--at", "2027-01-15T07:00:00Z")
    assert done.exit_code == 2
    assert "no decision of 2027-01-15 07:00:00 UTC or before" in done.stderr
    assert "the first is of 2027-01-15 08:00:00 UTC" in done.stderr


def test_where_nothing_is_recorded_yet_and_no_manifests_are_named_both_ways_out_are_said(tmp_path, monkeypatch):
    url = recorded(tmp_path / "orcha.db")
    monkeypatch.chdir(tmp_path)
    done = orcha("explain", "--state", url)
    assert done.exit_code == 2
    assert f"no decision is recorded in {url} yet; wait for the first, or name the manifests" in done.stderr
    done = orcha("explain")
    assert done.exit_code == 2
    assert "there is no directory manifests here; name yours with --manifests DIR" in done.stderr


def test_a_record_of_another_version_is_shown_as_it_was_said_with_one_sentence(tmp_path):
    record = replace(views.recorded(decide(competing())), inputs=b"orcha\x09whatever")
    url = recorded(tmp_path / "orcha.db", (record,))
    done = orcha("explain", "--state", url)
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    assert "it cannot be replayed: it was recorded by another version of orcha" in said
    assert "suggest: rack-1/golem 6 → 8 cpu" in said
    assert "rack-1/akash → rack-1/golem 2" in orcha("explain", "rack-1/golem", "--state", url).stdout
    view = json.loads(orcha("explain", "rack-1/golem", "--state", url, "-o", "json").stdout)
    assert view["policies"][0]["workloads"] == []
    assert view["policies"][0]["candidates"]


def test_a_record_without_inputs_says_so(tmp_path):
    record = replace(views.recorded(decide(competing())), inputs=None)
    done = orcha("explain", "golem", "--state", recorded(tmp_path / "orcha.db", (record,)))
    assert done.exit_code == 0, done.output
    assert "is not kept" in done.stdout


def test_of_a_decision_that_has_held_for_longer_than_anything_is_kept_what_was_said_is_shown(two):
    """The newest is kept for ever, the history of decisions for the retention."""
    with closing(sqlite3.connect(two.removeprefix("sqlite:///"))) as connection:
        connection.executescript("DELETE FROM decisions; DELETE FROM inputs")
    done = orcha("explain", "golem", "--state", two)
    assert done.exit_code == 0, done.output
    assert "is not kept" in done.stdout
    assert "policy default is paused" in " ".join(done.stdout.split())
    assert orcha("explain", "--state", two, "--at", "2027-01-15T07:00:00Z").exit_code == 2


def test_an_outcome_that_this_version_would_not_come_to_is_told(tmp_path):
    record = replace(views.recorded(decide(competing())), fingerprint="another", sentence="stay: what was said then")
    done = orcha("explain", "--state", recorded(tmp_path / "orcha.db", (record,)))
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    assert "this version of orcha decides otherwise; what was said then: stay: what was said then" in said


def test_analyses_that_came_to_the_same_are_counted_in(tmp_path):
    later = at(competing(), 60.0)
    url = recorded(tmp_path / "orcha.db", decide(competing()), decide(later))
    view = json.loads(orcha("explain", "--state", url, "-o", "json").stdout)
    assert (view["policies"][0]["at"], view["policies"][0]["same_until"]) == (NOW, NOW + 60)


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["gollem"], 1, "there are rack-1/golem, rack-1/akash"),
        (["--at", "yesterday"], 2, "is not a time; write 2026-07-01T12:00:00Z"),
        (["--at", "nan"], 2, "is not a time"),
        (["--at", "1e400"], 2, "is not a time"),
        (["--look", "--at", "1h"], 2, "keep one"),
        (["-o", "xml"], 2, "write table or json"),
        (["--state", "sqlite:////nowhere/orcha.db"], 2, "/nowhere"),
        (["--state", "mysql://x"], 2, "sqlite:///"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_one_sentence(two, argv, code, said):
    given_state = [] if "--state" in argv else ["--state", two]
    done = orcha("explain", *argv, *given_state)
    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_of_now_nothing_is_explained_faster_than_it_was_decided(two):
    """--at in the future is the newest there is."""
    view = json.loads(orcha("explain", "--state", two, "--at", time.time() + 1e9, "-o", "json").stdout)
    assert view["policies"][0]["reason"] == "Paused"


def test_a_curve_of_varying_demand_has_a_band():
    made = workload("rack-1/w", 4.0, varying(4, capacity=4.0, hours=72), traits=DEMAND, bounds=allocation(high=8))
    curve = of(explained(decide(state([made]))), "rack-1/w")["curve"]
    assert all(low <= high for low, high in zip(curve["low"], curve["high"], strict=True))
    assert curve["high"][-1] > curve["low"][-1]
