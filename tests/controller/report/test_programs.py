"""Programs, their history and drift as people are shown them: that the words are true, and that nothing is left out."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.commands.terminal import plain
from controller.programs import Cause, Phase, ProgramState
from controller.promises import Kind
from controller.report import programs as views
from controller.report.programs import (
    NoSuchProgram,
    Seen,
    change_view,
    chosen,
    drift,
    history_view,
    listed,
    program_view,
    rfc3339,
    with_drift,
)
from controller.report.programs_tables import done_words, history_table, program_table, programs_table
from controller.rows import Change
from tests.controller.report.programs import (
    AKASH,
    GOLEM,
    HOUR,
    NOW,
    STORJ,
    applied,
    program,
    record,
    records_of,
    staged,
    step,
    trial,
)

FIELDS = {
    "id", "policy", "cause", "state", "sentence", "said", "by", "at", "changed", "expires_at", "began_at", "retry_at",
    "stage", "of", "gain_usd_per_hour", "confidence", "cost_usd", "horizon_seconds", "moves",
}  # fmt: skip
STATES = sorted(ProgramState)


# --- a program as JSON --------------------------------------------------------------------------------------------


def test_a_program_has_the_fields_that_were_agreed_on():
    view = program_view(program(stage=staged(2)))
    assert view.keys() == FIELDS
    assert view["stage"] == {"number": 2, "of": 3}
    assert view["gain_usd_per_hour"] == {"low": -0.001, "expected": 0.0123, "high": 0.02}
    assert view["moves"][1] == {
        "workload": GOLEM, "node": "rack-1", "resource": "cpu", "from": 6.0, "to": 8.0, "phase": "waiting",
        "note": "", "failure": "",
    }  # fmt: skip
    json.dumps(view, allow_nan=False)


def test_what_nobody_promised_is_null_and_not_zero():
    view = program_view(replace(program(cause=Cause.RELEASE), trial=None))
    assert [view[name] for name in ("gain_usd_per_hour", "confidence", "cost_usd", "stage", "of")] == [None] * 5


def test_records_are_shown_only_where_they_were_asked_for():
    assert "records" not in program_view(program())
    shown = program_view(applied(), records_of(applied()))["records"]
    assert shown[1] == {
        "at": rfc3339(applied().at + 30),
        "what": "approved",
        "by": "anna (this machine)",
        "sentence": "looks right",
    }


@pytest.mark.parametrize(
    "text", ["2027-01-15T08:00:00Z", "2027-01-15T09:00:00+01:00", "2027-01-15T08:00:00", NOW], ids=str
)
def test_times_are_understood_as_seconds_and_as_rfc_3339(text):
    assert views.seconds(text) == NOW


# --- which are listed ---------------------------------------------------------------------------------------------


def seen(*made):
    return [program_view(each) for each in made]


def test_open_ones_come_first_and_then_the_newest():
    found = seen(
        applied("p-1", ago=HOUR), program("p-2", ago=30 * HOUR), program("p-3", ProgramState.BLOCKED, ago=3 * HOUR),
        program("p-4", ProgramState.REJECTED, ago=2 * HOUR),
    )  # fmt: skip
    assert [each["id"] for each in listed(found, NOW)] == ["p-3", "p-2", "p-1", "p-4"]


def test_what_was_over_a_day_ago_is_listed_only_on_request():
    found = seen(applied("p-old", ago=30 * HOUR), applied("p-new", ago=HOUR))
    assert [each["id"] for each in listed(found, NOW)] == ["p-new"]
    assert [each["id"] for each in listed(found, NOW, everything=True)] == ["p-new", "p-old"]
    assert [each["id"] for each in listed(found, NOW, states=["applied"])] == ["p-new", "p-old"]


def test_a_state_and_a_policy_narrow_the_list():
    found = seen(program("p-1"), program("p-2", policy="attic"), applied("p-3", ago=HOUR))
    assert [each["id"] for each in listed(found, NOW, states=["pending"])] == ["p-1", "p-2"]
    assert [each["id"] for each in listed(found, NOW, policy="attic")] == ["p-2"]


@given(st.lists(st.sampled_from(STATES), max_size=12))
def test_no_open_program_is_ever_hidden(states):
    found = seen(*(program(f"p-{i}", state, ago=90 * 24 * HOUR) for i, state in enumerate(states)))
    shown = {each["id"] for each in listed(found, NOW)}
    assert {each["id"] for each in found if each["state"] in {"pending", "approved", "running", "blocked"}} <= shown


# --- which one is meant -------------------------------------------------------------------------------------------

IDS = ["p-1f2e3d4c", "p-1f2e9999", "p-77aa0000"]


@pytest.mark.parametrize("given_", ["p-77aa0000", "p-7", "77aa", " P-77AA "])
def test_an_id_may_be_shortened_as_long_as_only_one_begins_so(given_):
    assert chosen(given_, IDS) == "p-77aa0000"


@pytest.mark.parametrize(
    ("given_", "sentence"),
    [
        ("p-1f2e", "'p-1f2e' may be p-1f2e3d4c or p-1f2e9999; write more of it"),
        ("p-77ab0000", "there is no program 'p-77ab0000'; is p-77aa0000 meant? `orcha programs --all` lists them"),
        ("zzz", "there is no program 'zzz'; `orcha programs --all` lists them"),
        ("", "there is no program ''; `orcha programs --all` lists them"),
    ],
)
def test_an_id_that_is_none_is_answered_with_what_would_be_one(given_, sentence):
    with pytest.raises(NoSuchProgram) as refused:
        chosen(given_, IDS)
    assert str(refused.value) == sentence


def test_a_whole_id_is_itself_though_a_longer_one_begins_so():
    assert chosen("p-1f", ["p-1f", "p-1f2e"]) == "p-1f"


# --- history ------------------------------------------------------------------------------------------------------

PERIOD = NOW - 24 * HOUR, NOW


def history(programs=(), trials=(), records=None, period=PERIOD):
    made = [program_view(each, (records or {}).get(each.id, ())) for each in programs]
    return history_view(made, map(change_view, trials), period, NOW)


def entries_of(*given_, **more):
    return history(*given_, **more)["entries"]


def test_a_reallocation_is_one_entry_of_its_program_and_of_what_came_of_it():
    (entry,) = entries_of([applied()], [trial()], {applied().id: records_of(applied())})
    assert entry["approved_by"] == "anna (this machine)"
    assert (entry["state"], entry["cost_usd"], entry["success"], entry["within"]) == ("applied", 0.001, True, True)
    assert entry["predicted_usd_per_hour"]["expected"] == 0.0123
    assert entry["realised_usd_per_hour"]["expected"] == 0.01
    assert [(m["workload"], m["from"], m["to"], m["at"]) for m in entry["moves"]] == [
        (AKASH, 6.0, 4.0, rfc3339(NOW - 5 * HOUR + 60)), (GOLEM, 6.0, 8.0, rfc3339(NOW - 5 * HOUR + 90)),
    ]  # fmt: skip


def test_a_reallocation_that_is_not_judged_yet_says_from_when_on_it_is():
    (entry,) = entries_of([applied()], [trial(judged=False)])
    assert (entry["judged_at"], entry["realised_usd"], entry["success"]) == (None, None, None)
    assert entry["due_at"] == rfc3339(NOW - 3 * HOUR + 90)


def test_one_without_a_trial_does_not_say_when_anything_will_be_known():
    (entry,) = entries_of([applied()])
    assert (entry["due_at"], entry["moves"][0]["at"], entry["outcome"]) == (None, None, "")


@pytest.mark.parametrize(
    "state", [ProgramState.PENDING, ProgramState.REJECTED, ProgramState.EXPIRED, ProgramState.SUPERSEDED]
)
def test_what_never_began_is_no_reallocation(state):
    assert entries_of([program(state=state)]) == []


@pytest.mark.parametrize("state", [ProgramState.ROLLED_BACK, ProgramState.BLOCKED, ProgramState.RUNNING])
def test_what_began_is_one_even_if_it_came_to_nothing(state):
    assert [each["state"] for each in entries_of([applied(state=state)])] == [state]


def test_what_people_changed_is_history_too():
    by_hand = trial("default 5 rack-1/golem", kind=Kind.MANUAL, promised=False)
    followed = trial("default 6 rack-1/golem", kind=Kind.FOLLOWED, ago=2 * HOUR)
    entries = entries_of([applied()], [trial(), by_hand, followed])
    assert [each["kind"] for each in entries] == ["followed", "manual", "applied"]
    assert next(e for e in entries if e["kind"] == "manual")["predicted_usd_per_hour"] is None


@pytest.mark.parametrize(("ago", "counted"), [(24 * HOUR, True), (24 * HOUR + 1, False), (0, False), (1, True)])
def test_a_period_has_what_began_in_it_its_first_moment_included(ago, counted):
    assert len(entries_of([applied(ago=ago)])) == counted
    assert len(entries_of([], [trial(ago=ago, kind=Kind.MANUAL)])) == counted


def test_a_rollback_was_approved_by_who_asked_for_it():
    back = applied("p-2", cause=Cause.ROLLBACK, of="p-1")
    (entry,) = entries_of([back], records={"p-2": [record(NOW, "running", "operate token (anna)")]})
    assert entry["approved_by"] == "operate token (anna)"


# --- drift --------------------------------------------------------------------------------------------------------


def there(wanted=8.0, configured=None, effective=8.0, **more):
    return Seen(GOLEM, "cpu", more.pop("step", 1.0), wanted, configured, effective, **more)


@pytest.mark.parametrize(
    "agreed",
    [
        there(),
        there(configured=8.0),
        there(None, None, None),
        there(None, None, 5.0),
        there(8.0, None, None),
        there(8.0, 8.0, 7.8),
    ],
    ids=["all the same", "configured too", "nothing known", "never set", "not read", "as nodes round"],
)
def test_where_nothing_differs_as_far_as_is_known_there_is_no_drift(agreed):
    assert drift(agreed) is None


@pytest.mark.parametrize(
    ("apart", "short", "words"),
    [
        (
            there(8.0, 8.0, 6.0),
            "8 cores configured",
            (
                "rack-1/golem: 8 cores configured, 6 cores in force: the node clamps to what its machine has, or takes it up once "
                "running work has drained"
            ),
        ),
        (
            there(6.0, 6.0, 8.0),
            "6 cores configured",
            (
                "rack-1/golem: 6 cores configured, 8 cores in force: running work still drains, or the node takes it up only when "
                "it starts again"
            ),
        ),
        (
            there(8.0, None, 6.0),
            "8 cores expected",
            (
                "rack-1/golem: 8 cores were set or seen last, 6 cores are in force now: somebody changed it, or the node did not "
                "keep it; it counts as a change once two readings agree on it"
            ),
        ),
        (
            there(6.0, 6.0, 6.0, manual_change_at=NOW - HOUR),
            "by hand",
            (
                "rack-1/golem was changed by hand to 6 cores at 2027-01-15 07:00 UTC; `orcha resume rack-1/golem` lets orcha move "
                "it again"
            ),
        ),
    ],
    ids=["clamped", "drains", "changed behind its back", "by hand"],
)
def test_what_differs_is_explained_in_one_sentence(apart, short, words):
    found = drift(apart)
    assert (found["short"], found["sentence"]) == (short, words)
    assert (found["wanted"], found["configured"], found["effective"]) == (
        apart.wanted,
        apart.configured,
        apart.effective,
    )


@pytest.mark.parametrize(
    ("phase", "note", "words"),
    [
        (Phase.ISSUED, "waits for the roll-out",
         "rack-1/golem is being changed from 6 cores to 8 cores by p-1f2e3d4c (step 2 of 2: waits for the roll-out)"),
        (Phase.WAITING, "",
         "rack-1/golem is to go from 6 cores to 8 cores by p-1f2e3d4c (step 2 of 2: waits for its turn)"),
        (Phase.RETURNING, "",
         "rack-1/golem is being taken back to 6 cores by p-1f2e3d4c (step 2 of 2: waits until the node reports it)"),
    ],
)  # fmt: skip
def test_what_is_under_way_is_said_before_anything_else(phase, note, words):
    running = program(
        state=ProgramState.RUNNING, steps=[step(STORJ), step(AKASH, 6, 4), step(GOLEM, 6, 8, phase, note=note)]
    )
    found = drift(there(effective=6.0, manual_change_at=NOW), [program("p-other"), running])
    assert found["sentence"] == words
    assert found["program"] == "p-1f2e3d4c"


def test_a_blocked_one_says_why_when_it_is_tried_again_and_what_it_holds():
    stuck = program(
        state=ProgramState.BLOCKED,
        steps=[step(phase=Phase.RETURNING)],
        said="rack-1 does not answer",
        retry_at=NOW + 60,
    )
    assert drift(there(effective=None), [stuck])["sentence"] == (
        "rack-1/golem: p-1f2e3d4c is blocked: rack-1 does not answer; tried again at 2027-01-15 08:01 UTC; until then 8 cores "
        "count as taken"
    )


@pytest.mark.parametrize("phase", [Phase.DONE, Phase.RETURNED])
def test_a_step_that_is_over_is_no_drift_of_its_workload(phase):
    running = program(state=ProgramState.RUNNING, steps=[step(phase=phase), step(AKASH, 6, 4)])
    assert drift(there(), [running]) is None


ROW = {"key": GOLEM, "driver": "command", "resource": "cpu", "step": 1.0, "allocated": 6.0, "configured": 8.0}


def test_the_status_view_gets_a_drift_in_every_workload():
    rows = [ROW, {**ROW, "key": AKASH, "configured": None}, {**ROW, "key": "rack-1/grass", "resource": None}]
    status = {"at": NOW, "workloads": rows, "policies": []}
    found = with_drift(status, {GOLEM: Change(expected=8.0, resource="cpu"), AKASH: Change(expected=6.0)})
    assert [each["drift"] and each["drift"]["short"] for each in found["workloads"]] == [
        "8 cores configured",
        None,
        None,
    ]
    assert "drift" not in status["workloads"][0], "the view that was handed in stays as it was"


def test_what_was_set_of_another_resource_says_nothing_about_this_one():
    status = {"workloads": [{**ROW, "configured": None}]}
    assert with_drift(status, {GOLEM: Change(expected=2e12, resource="storage")})["workloads"][0]["drift"] is None


def test_a_dry_run_is_said_to_pretend_and_an_unknown_driver_is_not_accused():
    words = "rack-1/golem: 6 cores in force; 8 cores are what its dry run pretends"
    for driver, said in (("dry_run", words), (None, None)):
        status = {"workloads": [{**ROW, "configured": None, "driver": driver}]}
        found = with_drift(status, {GOLEM: Change(expected=8.0)})["workloads"][0]["drift"]
        assert (found and found["sentence"]) == said


@pytest.mark.parametrize("phase", [Phase.DONE, Phase.RETURNED])
def test_what_a_program_brought_about_is_wanted_before_its_end_is_told(phase):
    now = {Phase.DONE: 8.0, Phase.RETURNED: 6.0}[phase]
    running = program(state=ProgramState.RUNNING, steps=[step(AKASH, 6, 4), step(phase=phase)])
    status = {"workloads": [{**ROW, "configured": None, "allocated": now}]}
    before = Change(last_moved=running.changed - HOUR, expected=7.0)
    assert with_drift(status, {GOLEM: before}, [running])["workloads"][0]["drift"] is None
    after = replace(before, last_moved=running.changed + 1)
    assert with_drift(status, {GOLEM: after}, [running])["workloads"][0]["drift"]["wanted"] == 7.0


@given(*[st.none() | st.floats(0, 16) for _ in range(3)], st.sampled_from([None, 1.0, 0.5]))
def test_drift_is_always_one_sentence_about_its_workload_or_none(wanted, configured, effective, grid):
    found = drift(there(wanted, configured, effective, step=grid))
    if found is not None:
        assert found["sentence"].startswith("rack-1/golem")
        assert "?" not in found["sentence"], "nothing is claimed about what is not known"


# --- in a terminal ------------------------------------------------------------------------------------------------


def test_the_list_says_what_waits_for_a_word_and_how_long():
    view = views.programs_view([program(by="orcha"), applied()], NOW)
    text = plain(programs_table(view))
    assert "23h left" in text
    assert "orcha programs approve p-1f2e3d4c" in text
    assert "rack-1/golem 6 cores → 8 cores" in text
    assert "+0.012 (-0.001 to 0.02)" in text


def test_a_narrow_terminal_has_the_reasons_below():
    view = views.programs_view([program()], NOW)
    assert "p-1f2e3d4c: golem is full, akash is not" in plain(programs_table(view, 80))


def test_no_programs_are_said_to_be_none():
    assert "no program is open" in plain(programs_table(views.programs_view([], NOW)))


def test_one_program_shows_how_far_each_step_has_come_and_who_said_what():
    stuck = program(
        state=ProgramState.BLOCKED, said="rack-1 does not answer", retry_at=NOW + 90, stage=staged(),
        steps=[step(AKASH, 6, 4, Phase.DONE), step(phase=Phase.ISSUED, note="asked 3 times", failure="nothing answers")],
    )  # fmt: skip
    text = plain(program_table(program_view(stuck, records_of(stuck)), 160, NOW))
    for words in (
        "blocked, stage 1 of 3", "tried again in 1m30s", "rack-1 does not answer", "the node reports it",
        "was told to the node; asked 3 times; nothing answers", "anna (this machine)", "looks right", "93% sure",
        "orcha programs rollback p-1f2e3d4c takes back what was done",
    ):  # fmt: skip
        assert words in text


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("width", [60, 160])
def test_every_state_can_be_shown_in_every_width(state, width):
    made = program(state=state, trial=None, expires=None)
    assert made.id in plain(program_table(program_view(made, records_of(made)), width, NOW))
    assert made.id in plain(programs_table(views.programs_view([made], NOW), width))


def test_the_history_shows_what_was_predicted_and_what_came():
    view = history([applied()], [trial()], {applied().id: records_of(applied())})
    text = plain(history_table(view))
    for words in (
        "anna (this machine)",
        "+0.012 (-0.001 to 0.02)",
        "+0.01 (0.009 to 0.011)",
        "it brought 0.01 USD/h",
        "1 of 1 judged so far paid and brought +0.019 USD",
    ):
        assert words in text


def test_a_period_without_changes_is_said_to_have_none():
    assert "nothing was changed from 2027-01-14 08:00 UTC" in plain(history_table(history()))


def test_what_came_of_a_word_is_one_sentence():
    assert done_words(program_view(program(state=ProgramState.APPROVED))) == (
        "p-1f2e3d4c is approved: rack-1/akash 6 cores → 4 cores, rack-1/golem 6 cores → 8 cores"
    )
    back = program("p-2", ProgramState.RUNNING, cause=Cause.ROLLBACK, of="p-1", steps=[step(before=8, after=6)])
    assert done_words(program_view(back)) == "p-2, which takes p-1 back, is running: rack-1/golem 8 cores → 6 cores"
