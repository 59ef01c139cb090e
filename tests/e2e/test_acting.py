"""orcha acts: real processes, the real command line, simulated nodes that are really changed, and the truth looked at all the time."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import time
from contextlib import closing, contextmanager

import pytest

from tests.e2e.acting import FIRST, IDLE, LIVED, Eye, Owner, Scene, live, post, serve, with_past
from tests.e2e.programs import until


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    where, now = tmp_path_factory.mktemp("acting"), time.time()
    simulator, addresses = serve(where, now - LIVED, now - IDLE)
    try:
        made = Scene(where, simulator, addresses, where / "past.db")
        asyncio.run(live(made, now - LIVED, now - IDLE))
        yield made
    finally:
        simulator.stop()


@pytest.fixture
def owner(scene, start, tmp_path, free_port):
    """Somebody with nodes as they were before orcha. `run()` starts it; the truth is looked at until the end."""
    scene.begin_anew()
    made = Owner(scene, tmp_path, f"http://127.0.0.1:{free_port()}")
    with_past(scene, made)
    eye = Eye(scene)
    eye.start()
    programs = []

    def run(**chosen):
        for name, value in chosen.items():
            setattr(made, name, value)
        made.write()
        program = start(
            "-m", "controller", "run", "--manifests", str(made.manifests), "--state", made.state,
            "--listen", made.address.removeprefix("http://"), "--log-format", "json", name="orcha",
        )  # fmt: skip
        programs.append(program)
        return program

    made.run, made.eye = run, eye
    yield made
    eye.close()
    assert eye.looks
    assert eye.too_much == []
    for program in programs:
        assert "Traceback" not in program.said()
        assert "Warning" not in program.said()


def ended(owner, id_, state):
    """The program with its records, once it is so."""
    return until(lambda: (found := owner.program(id_)) and found["state"] == state and found, f"{id_} to be {state}")


def first(owner, *states):
    """The newest program of such a state, once there is one."""
    return until(lambda: next(iter(owner.programs(*states)), None), f"a program that is {' or '.join(states)}")


def phase(owner, key):
    """How far the newest program has come with a workload."""
    return next(
        (move["phase"] for each in owner.programs()[:1] for move in each["moves"] if move["workload"] == key), ""
    )


def reason(owner, wanted):
    return until(lambda: (said := owner.decision()).get("reason") == wanted and said, f"a decision because of {wanted}")


def plans(owner, rounds):
    """Let it plan so many times more."""
    for _ in range(rounds):
        last = until(lambda: planned_at(owner), "a plan")
        until(lambda last=last: planned_at(owner) > last, "another plan")


def planned_at(owner):
    return owner.decision().get("plan", {}).get("at", 0.0)


def whats(program):
    return [record["what"] for record in program["records"]]


# --- it shows, it asks ----------------------------------------------------------------------------------------------------


def test_a_fresh_install_shows_what_it_would_do_and_never_does_it(owner):
    owner.run(mode=None)
    said = reason(owner, "ModeSuggest")["sentence"]
    assert "rack-2/crowded 4 → 6 cpu" in said
    code, answer = post(f"{owner.address}/api/v1/pause", {}, Origin="http://elsewhere.example")
    assert (code, answer["error"]["what"]) == (403, "a page of another origin asks for this")
    plans(owner, 3)
    assert "no program is open" in owner.does("programs")
    code, _, err = owner.types("programs", "approve", "p-00000000")
    assert (code, "there is no program 'p-00000000'" in err) == (1, True)
    assert owner.metric("orcha_paused") == 0, "nor does a page of another origin pause it"
    assert owner.eye.seen() == {"rack-1": [(8, 4)], "rack-2": [(8, 4)]}


def test_what_a_person_approves_is_done_and_told(owner):
    owner.run(mode="Approve", limits={"hold": "1h"})
    id_ = first(owner, "pending")["id"]
    assert f"waiting for your word, this one: orcha programs approve {id_}" in owner.does("programs")
    assert owner.metric('orcha_programs_open{policy="default",state="pending"}') == 1
    plans(owner, 1)
    assert [each["id"] for each in owner.programs()] == [id_], "nobody is asked the same thing twice"
    assert owner.eye.seen() == {"rack-1": [(8, 4)], "rack-2": [(8, 4)]}

    out = owner.does("programs", "approve", id_, "--by", "anna", "--why", "looks right")
    assert out.startswith(f"{id_} is approved: rack-1/golem 8 cores → 6 cores, rack-1/akash 4 cores → 6 cores, ")
    made = ended(owner, id_, "applied")
    assert owner.eye.seen() == {node: [(8, 4), (6, 4), (6, 6)] for node in ("rack-1", "rack-2")}, "shrinks first"
    steps = [f"{what} {key}" for key in FIRST for what in ("issued", "done")]
    assert whats(made) == ["pending", "approved", "running", *steps, "applied"]
    assert (made["records"][1]["by"], made["records"][1]["sentence"]) == ("anna (this machine)", "looks right")
    out = owner.does("programs", "show", id_)
    assert out.count("the node reports it") == 2 * len(FIRST), "of each step, and in each record"
    assert "anna (this machine)" in out
    assert "looks right" in out
    out = owner.does("history")
    assert f"{id_}: " in out
    assert "approved by anna (this machine)" in out
    assert owner.metric('orcha_programs_total{policy="default",result="applied"}') == 1
    assert owner.metric('orcha_steps_total{direction="forward",driver="command",result="done"}') == len(FIRST)
    code, _, err = owner.types("programs", "approve", id_)
    assert (code, "only a pending one can be approved" in err) == (1, True)
    assert not manual_changes(owner)


def test_a_release_gives_everything_back_and_pauses_for_good(owner):
    program = owner.run(mode="Auto", nodes=("rack-2",), limits={"hold": "1h"})
    first(owner, "applied")
    assert owner.eye.seen()["rack-2"] == [(8, 4), (6, 4), (6, 6)]
    code, _, err = owner.types("release")
    assert (code, "say --yes" in err) == (2, True)
    out = owner.does("release", "--yes", "--by", "anna")
    assert "the policies concerned are paused: `orcha resume` lets orcha act again" in out
    ended(owner, owner.programs()[0]["id"], "applied")
    assert owner.eye.seen()["rack-2"] == [(8, 4), (6, 4), (6, 6), (6, 4), (8, 4)]
    assert program.stop() == 0
    owner.run()
    until(lambda: owner.metric("orcha_paused") == 1, "the pause to be there after a restart")
    assert "there is nothing to give back" in owner.does("release", "--yes")
    plans(owner, 1)
    assert not owner.programs("pending", "approved", "running")
    assert owner.scene.cores(*FIRST) == FIRST
    assert not manual_changes(owner)


def manual_changes(owner):
    return [each["sentence"] for each in owner.asks("events")["events"] if each["kind"] == "ManualChange"]


def test_who_approves_in_git_writes_the_program_into_the_policy(owner):
    owner.run(mode="Approve", nodes=("rack-2",), limits={"hold": "1h"})
    id_ = first(owner, "pending")["id"]
    owner.annotations = {"orcha.dev/approve": id_}
    owner.write()
    made = ended(owner, id_, "applied")
    said = [each["by"] for each in made["records"] if each["what"] == "approved"]
    assert said == ["manifests (annotation orcha.dev/approve of policy default)"]
    assert owner.eye.seen()["rack-2"] == [(8, 4), (6, 4), (6, 6)]


# --- it acts by itself, and is killed -------------------------------------------------------------------------------------


def when(key, *phases, after=0.0):
    """As soon as a step has come so far, and so many seconds later."""

    def met(owner):
        if phase(owner, key) not in phases:
            return False
        time.sleep(after)
        return True

    return met


MOMENTS = [
    lambda owner: bool(owner.programs()),
    when("rack-2/spare", "issued", "done"),
    when("rack-2/spare", "issued", "done", after=0.5),
    when("rack-2/crowded", "issued", "done"),
    when("rack-2/crowded", "issued", "done", after=0.8),
    lambda owner: bool(owner.programs("applied")),
]
"""Some of them while a command runs, which then ends without orcha."""


def test_killed_at_any_moment_it_goes_on_and_comes_to_an_end(owner):
    slow = {key: owner.command(key, late=0.7) for key in ("rack-2/spare", "rack-2/crowded")}
    chosen = {"mode": "Auto", "nodes": ("rack-2",), "limits": {"hold": "1h"}, "actuators": slow}
    for moment in MOMENTS:
        program = owner.run(**chosen)
        until(lambda moment=moment: moment(owner), "the moment")
        program.stop(signal.SIGKILL)
    owner.run(**chosen)
    id_ = first(owner, "applied")["id"]
    plans(owner, 2)
    made = owner.program(id_)
    assert [each["id"] for each in owner.programs()] == [id_]
    assert owner.eye.seen()["rack-2"] == [(8, 4), (6, 4), (6, 6)]
    steps = [f"{what} {key}" for key in slow for what in ("issued", "done")]
    assert whats(made) == ["approved", "running", *steps, "applied"], "every intent once, and every outcome once"
    assert not manual_changes(owner)


@pytest.mark.parametrize(
    ("argv", "why", "killed"),
    [
        pytest.param(
            [sys.executable, "-c", "import sys; sys.exit('no quota for {cpu} cores' if {cpu} > 4 else 0)"],
            "no quota for 6 cores",
            True,
            id="says no",
        ),
        pytest.param(
            [sys.executable, "-c", "import nothing", "{cpu}"], "No module named 'nothing'", False, id="is broken"
        ),
        pytest.param(["true", "{cpu}"], "reports 4 cpu", False, id="does nothing"),
    ],
)
def test_what_a_command_does_not_bring_about_is_taken_back_and_left_alone(owner, argv, why, killed):
    slow = owner.command("rack-2/spare", late=0.5 * killed)
    actuators = {"rack-2/crowded": {"command": {"argv": argv}}, "rack-2/spare": slow}
    chosen = {"mode": "Auto", "nodes": ("rack-2",), "actuators": actuators, "verify_timeout": "4s"}
    program = owner.run(**chosen)
    if killed:
        until(lambda: phase(owner, "rack-2/spare") in {"returning", "returned"}, "the way back")
        program.stop(signal.SIGKILL)
        owner.run(**chosen)
    made = ended(owner, first(owner, "rolled_back")["id"], "rolled_back")
    assert why in made["said"]
    assert {move["workload"]: move["phase"] for move in made["moves"]} == {
        "rack-2/spare": "returned", "rack-2/crowded": "returned",
    }  # fmt: skip
    assert owner.eye.seen()["rack-2"] == [(8, 4), (6, 4), (8, 4)]
    plans(owner, 2)
    left = owner.row("rack-2/crowded")["left_out"]
    assert left["reason"] == "Infeasible"
    assert why in left["sentence"]
    assert "it is tried again after" in left["sentence"]
    assert [each["id"] for each in owner.programs()] == [made["id"]]
    assert owner.scene.cores("rack-2/spare", "rack-2/crowded") == {"rack-2/spare": 8, "rack-2/crowded": 4}


def test_a_node_that_goes_away_half_way_is_waited_for(owner):
    actuators = {"rack-2/crowded": owner.command("rack-2/crowded", late=1.0)}
    owner.run(mode="Auto", nodes=("rack-2",), actuators=actuators, verify_timeout="4s", limits={"hold": "1h"})
    until(lambda: phase(owner, "rack-2/crowded") == "issued", "the second step")
    owner.scene.break_site("rack-2/crowded", "die")
    made = first(owner, "blocked")
    assert made["said"] == "rack-2/crowded cannot be read (unreachable); it is waited for"
    assert "tried again in" in owner.does("programs")
    assert made["said"] in " ".join(owner.does("programs", "show", made["id"]).split())
    assert "6 cores count as taken" in owner.does("status")
    assert owner.metric('orcha_programs_open{policy="default",state="blocked"}') == 1
    owner.scene.break_site("rack-2/crowded", None)
    made = ended(owner, made["id"], "applied")
    assert whats(made)[-4:] == ["blocked", "running", "done rack-2/crowded", "applied"]
    assert owner.eye.seen()["rack-2"] == [(8, 4), (6, 4), (6, 6)]


@contextmanager
def held(state):
    """Another program holds the state's lock: nothing can be written."""
    with closing(sqlite3.connect(state, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_what_cannot_be_written_down_is_not_begun(owner):
    slow = {"rack-2/spare": owner.command("rack-2/spare", late=2.0)}
    program = owner.run(mode="Approve", nodes=("rack-2",), actuators=slow, limits={"hold": "1h"})
    id_ = first(owner, "pending")["id"]
    with held(owner.where / "orcha.db"):
        code, _, err = owner.types("programs", "approve", id_)
        assert (code, "is locked by another program; close what has it open" in err) == (2, True)
        assert owner.program(id_)["state"] == "pending", "an approval that cannot be written was not given"
    assert post(f"{owner.address}/api/v1/programs/{id_}/approve", {})[0] == 200
    until(lambda: phase(owner, "rack-2/spare") == "issued", "the first step")
    with held(owner.where / "orcha.db"):
        until(lambda: "nothing further is done until it can" in program.said(), "the lock to be said")
        plans(owner, 1)
        assert phase(owner, "rack-2/crowded") == "waiting"
        assert owner.eye.seen()["rack-2"] == [(8, 4), (6, 4)]
    ended(owner, id_, "applied")
    assert owner.eye.seen()["rack-2"] == [(8, 4), (6, 4), (6, 6)]


# --- people ---------------------------------------------------------------------------------------------------------------


def left_out(owner, key):
    """Why orcha does not even consider a workload."""
    return (owner.row(key).get("left_out") or {}).get("reason")


def test_what_a_person_changed_by_hand_is_theirs_until_they_say_otherwise(owner):
    owner.run(mode="Approve", nodes=("rack-2",))
    pending = first(owner, "pending")["id"]
    owner.scene.by_hand("rack-2/crowded", cpu=3)
    until(lambda: left_out(owner, "rack-2/crowded") == "ManualChange", "the change by hand to be seen")
    said = until(lambda: manual_changes(owner), "the event of it")
    assert "→ 3 cpu by hand, which was not suggested; orcha leaves it as it is until it is released" in said[0]
    if owner.program(pending)["state"] == "pending":  # whoever approves what they saw before finds it void
        owner.does("programs", "approve", pending)
    assert ended(owner, pending, "superseded")["began_at"] is None
    owner.mode = "Auto"
    owner.write()
    plans(owner, 3)
    assert left_out(owner, "rack-2/crowded") == "ManualChange"
    assert len(manual_changes(owner)) == 1
    assert "`orcha resume rack-2/crowded` lets orcha move it again" in owner.does("status")
    assert owner.eye.seen()["rack-2"] == [(8, 4), (8, 3)]
    assert owner.does("resume", "rack-2/crowded").startswith("orcha may move rack-2/crowded again")
    until(lambda: owner.eye.seen()["rack-2"][-1][1] > 3, "orcha to move it again")


def test_a_pause_holds_what_is_under_way_and_a_person_may_still_turn_it_back(owner):
    slow = {"rack-2/spare": owner.command("rack-2/spare", late=2.0)}
    owner.run(mode="Auto", nodes=("rack-2",), actuators=slow)
    until(lambda: phase(owner, "rack-2/spare") == "issued", "the first step")
    assert post(f"{owner.address}/api/v1/pause", {"by": "anna", "why": "the disk is being changed"})[0] == 200
    assert "all policies are paused" in owner.does("pause"), "twice is the same as once"
    until(lambda: phase(owner, "rack-2/spare") == "done", "the end of the step that was under way")
    plans(owner, 2)
    assert phase(owner, "rack-2/crowded") == "waiting"
    id_ = owner.programs("running")[0]["id"]
    owner.does("programs", "rollback", id_, "--by", "anna")
    made = ended(owner, id_, "rolled_back")
    assert made["said"] == "anna (this machine) asked for it"
    assert owner.eye.seen()["rack-2"] == [(8, 4), (6, 4), (8, 4)]
    plans(owner, 1)
    assert owner.metric("orcha_paused") == 1, "it is paused all the same"
    assert "all policies go on" in owner.does("resume")
    until(lambda: owner.metric("orcha_paused") == 0, "the end of the pause")


def test_a_dry_run_pretends_all_the_way_and_changes_nothing(owner):
    actuators = {"rack-2/spare": {"dryRun": {}}, "rack-2/crowded": {"dryRun": {}}}
    program = owner.run(mode="Auto", nodes=("rack-2",), actuators=actuators)
    until(lambda: len(owner.programs("applied")) == 2, "two programs, one upon the other")
    before = owner.programs()
    assert [[(move["from"], move["to"]) for move in each["moves"]] for each in reversed(before)] == [
        [(8, 6), (4, 6)],
        [(6, 4), (6, 8)],
    ]
    assert program.stop() == 0
    owner.run()
    reason(owner, "AlreadyBest")
    plans(owner, 2)
    assert "rack-2/crowded: 4 cores in force; 8 cores are what its dry run pretends" in owner.does("status")
    assert [each["id"] for each in owner.programs()] == [each["id"] for each in before]
    assert not manual_changes(owner)
    assert owner.eye.seen()["rack-2"] == [(8, 4)]
