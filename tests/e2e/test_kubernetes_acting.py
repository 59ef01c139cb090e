"""orcha as a whole on a real Kubernetes: it changes a Golem provider and a storagenode, is killed, goes back, meets others.

Real: `orcha run` as a process with the rights that the pages document, the control plane, the nodes' own APIs. Played:
that a node's process ends and begins with its Pod (kubelet.py).
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from controller.programs import ProgramState
from exporters.simulator.demo import GIB, TIB
from tests.e2e import kube_nodes, postgres
from tests.e2e.kube_acting import Past, Scene, owned
from tests.e2e.kubelet import Kubelet, Nodes
from tests.e2e.programs import get, until

pytestmark = [pytest.mark.tool("kubernetes"), pytest.mark.timeout(240), pytest.mark.xdist_group("kubernetes")]

CONTAINER = "spec.template.spec.containers[node]"
STORAGE = "STORJ_STORAGE_ALLOCATED_DISK_SPACE"
AFTER = 5.875 * TIB
"""What the storagenode gets."""
LEASE = 6.0
"""Seconds; its holder is sure of it for 4."""


@pytest.fixture(scope="module")
def past(tmp_path_factory) -> Past:
    """Twelve hours of the world, lived once for all tests."""
    folder, now = tmp_path_factory.mktemp("past"), time.time()
    origin = (now - kube_nodes.PAST) // 3600 * 3600
    asyncio.run(kube_nodes.remember(origin, now, folder, f"sqlite:///{folder}/orcha.db"))
    return Past(origin, folder / "orcha.db")


@pytest.fixture
def scene(cluster, past, start, free_port, tmp_path) -> Iterator[Scene]:
    """Nodes as they are after that past, a namespace, and a state that knows it. At the end: nobody ever held too much."""
    program = start(
        "-m", "tests.e2e.kube_nodes", "--origin", str(past.origin), "--folder", str(tmp_path / "nodes"), name="nodes"
    )
    first = until(lambda: program.said().partition("\n")[0] if "\n" in program.said() else "", "the simulated nodes")
    nodes = Nodes.at(first)
    with cluster.namespace("acting") as name:
        kubelet = Kubelet(cluster.api(), name, nodes)
        yield Scene(cluster, name, tmp_path, start, free_port, nodes, kubelet, past.copied(tmp_path))
        kubelet.stop()
    assert kubelet.most["cpu"] <= 12
    assert kubelet.most["memory"] <= kube_nodes.MEMORY


def moves(program: dict[str, Any]) -> dict[str, tuple[float, float, str]]:
    return {each["workload"].partition("/")[2]: (each["from"], each["to"], each["phase"]) for each in program["moves"]}


def told(program: dict[str, Any]) -> list[str]:
    """What its records say happened, in order, without the waits for people."""
    return [each["what"] for each in program["records"]]


def test_it_shrinks_one_and_grows_the_other_through_their_statefulsets(scene):
    scene.make("golem", "storj")
    scene.declare("golem", "storj")
    account = scene.account()
    orcha = scene.orcha(account)
    program = orcha.ended("applied")

    assert moves(program)["golem"] == (8, 7, "done")
    assert moves(program)["storj"] == (5 * TIB, AFTER, "done")
    steps = ["issued rack-1/golem", "done rack-1/golem", "issued rack-1/storj", "done rack-1/storj"]
    assert [each for each in told(program) if each in steps] == steps
    assert told(program)[-1] == "applied"

    golem, storj = (scene.nodes.truth()[f"rack-1/{name}"]["allocated"] for name in ("golem", "storj"))
    assert (golem["cpu"], golem["memory"], storj["storage"]) == (7, 10.5 * GIB, AFTER)
    assert scene.env("golem") == {"GOLEM_CPU_THREADS": "7", "GOLEM_MEM_GIB": "10.5"}
    assert scene.env("storj") == {STORAGE: f"{AFTER:.0f}B"}

    annotation = "metadata.annotations.orcha.dev/sets"
    variables = [f"{CONTAINER}.env[{name}]" for name in ("GOLEM_CPU_THREADS", "GOLEM_MEM_GIB", STORAGE)]
    assert declared(scene, "golem") == {annotation, *(f"{name}.value" for name in variables[:2])}
    assert declared(scene, "storj") == {annotation, f"{variables[2]}.value"}
    for name, words in (("golem", "rack-1/golem: cpu 8 → 7"), ("storj", "rack-1/storj: storage 5Ti → 5.875Ti")):
        (event,) = scene.events(name)
        assert event.startswith(f"AllocationChanged: {words}")
        assert scene.thing(name)["metadata"]["generation"] == 2

    def shown() -> dict[str, float]:
        return {row["key"]: row["allocated"] for row in orcha.ask("status")["workloads"]}

    until(lambda: shown() == {"rack-1/golem": 7, "rack-1/storj": AFTER}, "the new allocations in the status")
    assert orcha.program.stop() == 0
    assert account.token not in orcha.program.said()


def declared(scene: Scene, name: str) -> set[str]:
    """What orcha owns of an object, apart from the keys by which lists are merged."""
    return {path for path in owned(scene.thing(name), "orcha") if not path.endswith(".name")}


def test_killed_again_and_again_half_way_it_goes_on_and_nobody_ever_holds_too_much(scene):
    scene.make("golem", "storj")
    scene.kubelet.slow = {"golem": 1.5, "storj": 3.0}
    scene.declare("golem", "storj")
    account = scene.account()
    moments = {
        "while the one shrinks": lambda orcha: orcha.phase("golem") == "issued" and "golem" not in scene.kubelet.running,
        "once it has shrunk": lambda orcha: orcha.phase("golem") == "done",
        "while the other grows": lambda orcha: orcha.phase("storj") in {"issued", "done"},
    }  # fmt: skip
    for what, is_now in moments.items():
        orcha = scene.orcha(account)
        until(lambda orcha=orcha, is_now=is_now: is_now(orcha), what)
        orcha.program.stop(signal.SIGKILL)
        assert scene.journal()[0].state in {ProgramState.RUNNING, ProgramState.APPLIED}, what
    program = scene.orcha(account).ended("applied", "rolled_back")
    assert program["state"] == "applied"
    assert told(program).count("applied") == 1
    for name in ("golem", "storj"):
        assert [told(program).count(f"{phase} rack-1/{name}") for phase in ("issued", "done")] == [1, 1]
        assert scene.thing(name)["metadata"]["generation"] == 2, "a change that is there already is not made again"
        assert len(scene.events(name)) <= 1, "killed between a change and its Event, nobody tells it twice"
    assert scene.nodes.truth()["rack-1/storj"]["allocated"] == {"storage": AFTER}
    assert program["id"] == scene.journal()[0].id


def test_a_step_that_cannot_succeed_is_taken_back_in_reverse_and_to_the_letter(scene):
    scene.make("golem", "akash", akash={"orcha.test/delay": "1500ms"})
    scene.declare("golem", "akash")
    scene.kubelet.fails["akash"] = 4  # as if its probe failed with more
    program = scene.orcha(scene.account()).ended("rolled_back")

    assert moves(program) == {"golem": (8, 7, "returned"), "akash": (4, 5, "returned")}
    assert "0 of 1 pods are ready" in program["said"]
    back = ["akash", "golem"]
    words = [f"{phase} rack-1/{name}" for name in back for phase in ("returning", "returned")]
    assert told(program)[-6:] == ["failed rack-1/akash", *words, "rolled_back"]
    for name in back:
        assert scene.thing(name)["spec"] == scene.before[name]["spec"]
        assert [each.partition(":")[0] for each in scene.events(name)].count("AllocationRestored") == 1
    truth = scene.nodes.truth()
    assert truth["rack-1/akash"]["allocated"] == {"cpu": 4}
    assert truth["rack-1/golem"]["allocated"]["cpu"] == 8
    assert truth["rack-1/golem"]["allocated"]["memory"] == 12 * GIB


def test_a_field_of_somebody_else_is_left_alone_and_the_program_says_whose_it_is(scene):
    scene.make("golem", "storj")
    scene.declare("golem", "storj", take=False)
    program = scene.orcha(scene.account()).ended("rolled_back")
    assert moves(program)["golem"][2] == moves(program)["storj"][2] == "waiting"
    whose = f"env GOLEM_CPU_THREADS of container node of StatefulSet {scene.namespace}/golem is set by helm"
    assert whose in program["said"]
    assert "takeOwnership: true" in program["said"]
    assert unchanged(scene, "golem", "storj")


def unchanged(scene: Scene, *names: str) -> bool:
    """Whether nobody wrote to the objects since they were made, their controller apart."""
    return all(
        scene.thing(name)["metadata"]["generation"] == 1 and not owned(scene.thing(name), "orcha") for name in names
    )


def test_what_a_person_changes_later_stays_and_is_reported_until_orcha_may_again(scene):
    scene.make("golem", "akash")
    scene.declare("golem", "akash", hold="10s")
    orcha = scene.orcha(scene.account())
    program = orcha.ended("applied")
    assert moves(program)["akash"] == (4, 5, "done")
    size = {"requests": {"cpu": "2"}, "limits": {"cpu": "4"}}
    container = {"name": "node", "resources": size}
    scene.api.patch(scene.path("akash"), {"spec": {"template": {"spec": {"containers": [container]}}}}, "kubectl-edit")

    def reported() -> dict[str, Any] | None:
        found = orcha.ask("events")["events"]
        return next(
            (each for each in found if (each["kind"], each["subject"]) == ("ManualChange", "rack-1/akash")), None
        )

    assert "5 → 4 cpu by hand" in until(reported, "the report")["sentence"]

    def respected() -> bool:
        out = orcha.ask("status")["policies"][0]["left_out"]
        return bool(out.get("rack-1/akash", {}).get("reason") == "ManualChange")

    until(respected, "a plan without it")
    assert scene.nodes.truth()["rack-1/akash"]["allocated"] == {"cpu": 4}
    assert orcha.newest()["id"] == program["id"]

    orcha.tell("resume", workload="rack-1/akash")
    until(lambda: orcha.newest()["id"] != program["id"], "another program")
    assert moves(orcha.ended("applied"))["akash"] == (4, 5, "done")
    assert scene.nodes.truth()["rack-1/akash"]["allocated"] == {"cpu": 5}
    assert f"{CONTAINER}.resources.limits.cpu" in declared(scene, "akash")


@pytest.mark.parametrize("lacking", ["golem", "storagenode"])
def test_a_right_that_is_missing_for_either_is_said_before_anything_moves(scene, lacking):
    scene.make("golem", "storj")
    scene.declare("golem", "storj")
    program = scene.orcha(scene.account(unwritable=lacking)).ended("rolled_back")
    right = f'orcha may not patch statefulsets.apps "{lacking}" in namespace {scene.namespace}; add to its Role there: '
    assert f'{right}{{apiGroups: ["apps"], resources: [statefulsets], verbs: [patch]}}' in program["said"]
    assert moves(program)["golem"][2] == moves(program)["storj"][2] == "waiting"
    assert unchanged(scene, "golem", "storj")


@pytest.mark.parametrize("how", ["its right is taken away", "the API server is gone"])
def test_without_its_lease_it_stops_before_the_next_step(scene, how):
    scene.make("golem", "storj")
    scene.kubelet.slow["golem"] = 2 * LEASE
    scene.declare("golem", "storj", lease=LEASE)
    account = scene.account()
    right = scene.may_lead(account)
    orcha = scene.orcha(account)
    until(lambda: orcha.phase("golem") == "issued" and "golem" not in scene.kubelet.running, "the first step")
    if how == "its right is taken away":
        scene.api.delete(right)
    else:
        scene.cluster.kill("kube-apiserver")
    try:
        code = orcha.program.process.wait(30)
    finally:
        if how == "the API server is gone":
            scene.cluster.run("kube-apiserver")
            until(scene.cluster.serves, "the API server's return")
    assert code == 2
    assert "was not renewed within 4 s" in orcha.program.said()
    program, records = scene.journal()
    assert program.state is ProgramState.RUNNING
    assert [each.what for each in records][-1] == "issued rack-1/golem"
    assert scene.thing("storj")["metadata"]["generation"] == 1


@pytest.mark.tool("postgresql")
def test_a_frozen_leader_is_replaced_and_does_nothing_more_when_it_wakes(scene, past, tmp_path):
    scene.make("golem", "storj")
    scene.kubelet.slow["golem"] = 2 * LEASE
    scene.declare("golem", "storj", lease=LEASE)
    account = scene.account()
    scene.may_lead(account)
    (tmp_path / "again").mkdir()
    with postgres.serving() as scene.state:
        asyncio.run(kube_nodes.remember(past.origin, time.time(), tmp_path / "again", scene.state))
        first = scene.orcha(account, "first")
        until(lambda: first.ask("status"), "the first to lead")
        second = scene.orcha(account, "second")
        until(lambda: get(f"{second.address}/healthz")[1].startswith("stands by: "), "the second to stand by")
        until(lambda: first.phase("golem") == "issued" and "golem" not in scene.kubelet.running, "the first step")
        first.program.process.send_signal(signal.SIGSTOP)
        until(lambda: second.ask("status"), "the second to lead")
        first.program.process.send_signal(signal.SIGCONT)
        assert first.program.process.wait(20) == 2
        assert "another controller acts now, and this one ends" in first.program.said()
        assert scene.thing("storj")["metadata"]["generation"] == 1
        program = second.ended("applied", seconds=100)
        for name in ("golem", "storj"):
            assert [told(program).count(f"{phase} rack-1/{name}") for phase in ("issued", "done")] == [1, 1]
            assert scene.thing(name)["metadata"]["generation"] == 2
        assert second.program.stop() == 0
