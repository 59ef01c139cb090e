"""The driver kubernetes against a server that keeps objects, versions and owners of fields, over real HTTP."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
from aiohttp import web

from controller.actuate.driver import NotNow, Refused
from controller.actuate.kubernetes import Kubernetes, shared_connection
from controller.programs import Order
from exporters.nodes import Kubernetes as Spec
from tests.controller.actuate.kubernetes_api import serving, status

ENV = "STORJ_STORAGE_ALLOCATED_DISK_SPACE"
TB = 1e12
PLACE = {"namespace": "depin", "name": "node", "container": "node"}


def stateful(
    kind: str = "StatefulSet", replicas: int = 1, resources: Any = None, strategy: Any = None, **box: Any
) -> dict[str, Any]:
    container = {"name": "node", "image": "node:1", **({"resources": resources} if resources else {}), **box}
    spec: dict[str, Any] = {"replicas": replicas, "selector": {"matchLabels": {"app": "node"}}}
    if strategy:
        spec["updateStrategy" if kind == "StatefulSet" else "strategy"] = strategy
    spec["template"] = {"spec": {"containers": [container, {"name": "log", "image": "log:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "node", "namespace": "depin"},
        "spec": spec,
        "status": {"observedGeneration": 99, "updatedReplicas": 1, "readyReplicas": 1, "replicas": 1},
    }


def pod(resources: Any, **status_: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "node-0", "namespace": "depin", "labels": {"app": "node"}},
        "spec": {"containers": [{"name": "node", "image": "node:1", "resources": resources}]},
        "status": {"containerStatuses": [{"name": "node", "resources": copy.deepcopy(resources)}], **status_},
    }


BOTH = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}


@pytest.fixture
async def fake():
    async with serving() as started:
        yield started


@pytest.fixture
async def driver(fake):
    """Makes drivers, and closes them."""
    made: list[Kubernetes] = []

    def make(*, singleton: bool = False, patience: float = 5.0, kind: str = "StatefulSet", **spec: Any) -> Kubernetes:
        wanted = Spec.model_validate({"kind": kind, **PLACE, **spec})
        api = fake.api(patience)
        made.append(
            Kubernetes("rack-1/node", wanted, ["cpu", "memory", "storage"], singleton=singleton, connect=api.share)
        )
        return made[-1]

    yield make
    for each in made:
        await each.close()


def order(direction: str = "forward", **amounts: float) -> Order:
    return Order("rack-1/node", amounts, f"p-1/rack-1/node/{direction}", "because it pays", {"storage": 8 * TB})


def box(stored: Any) -> dict[str, Any]:
    thing = stored.thing
    spec = thing["spec"] if thing["kind"] == "Pod" else thing["spec"]["template"]["spec"]
    return spec["containers"][0]


def env(stored: Any) -> dict[str, str]:
    return {each["name"]: each.get("value") for each in box(stored).get("env", ())}


STORAGE = {"env": {ENV: "{storage:B}B"}}


# there


async def test_only_the_declared_fields_are_sent_with_the_version_they_were_reckoned_from(fake, driver):
    fake.store(stateful(env=[{"name": "OTHER", "value": "x"}]))
    await driver(**STORAGE).apply(order(storage=9 * TB))
    assert fake.bodies == [
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {
                "name": "node",
                "namespace": "depin",
                "uid": "uid-node",
                "resourceVersion": "1",
                "annotations": {"orcha.dev/sets": f"node/env/{ENV}"},
            },
            "spec": {
                "template": {
                    "spec": {"containers": [{"name": "node", "env": [{"name": ENV, "value": "9000000000000B"}]}]}
                }
            },
        }
    ]


async def test_the_same_order_twice_writes_once(fake, driver):
    stored = fake.store(stateful(env=[{"name": "OTHER", "value": "x"}]))
    hands = driver(**STORAGE)
    await hands.apply(order(storage=9 * TB))
    version = stored.thing["metadata"]["resourceVersion"]
    await hands.apply(order(storage=9 * TB))
    assert env(stored) == {"OTHER": "x", ENV: "9000000000000B"}
    assert (stored.thing["metadata"]["resourceVersion"], len(fake.bodies), len(fake.events)) == (version, 1, 1)


async def test_what_already_holds_is_nobodys_to_take(fake, driver):
    fake.store(stateful(env=[{"name": ENV, "value": "9000000000000B"}]))
    await driver(**STORAGE).apply(order(storage=9 * TB))
    assert fake.bodies == []
    assert fake.events == {}


async def test_an_event_tells_the_numbers_on_the_object(fake, driver):
    fake.store(stateful())
    await driver(**STORAGE).apply(order(storage=9 * TB))
    (event,) = fake.events.values()
    assert event["reason"] == "AllocationChanged"
    assert event["regarding"]["uid"] == "uid-node"
    assert event["reportingController"] == "orcha.dev/orcha"
    assert event["note"] == "rack-1/node: storage 7.276Ti → 8.185Ti. because it pays"


async def test_an_event_that_cannot_be_written_fails_nothing(fake, driver):
    stored = fake.store(stateful())
    fake.denied.add(("create", "events"))
    await driver(**STORAGE).apply(order(storage=9 * TB))
    assert env(stored) == {ENV: "9000000000000B"}


async def test_two_workloads_of_one_object_do_not_take_each_others_fields_away(fake, driver):
    stored = fake.store(stateful(resources=BOTH))
    await driver(**STORAGE).apply(order(storage=9 * TB))
    await driver(resources=["cpu"], takeOwnership=True).apply(order(cpu=3))
    await driver(**STORAGE).apply(order(storage=7 * TB))
    assert env(stored) == {ENV: "7000000000000B"}
    assert box(stored)["resources"]["limits"] == {"cpu": "3", "memory": "2Gi"}


@pytest.mark.parametrize(
    ("has", "wants"),
    [
        pytest.param(BOTH, {"requests": {"cpu": "1500m", "memory": "2Gi"}, "limits": {"cpu": "3", "memory": "2Gi"}}, id="both keep their ratio"),
        pytest.param({"limits": {"cpu": "2"}}, {"limits": {"cpu": "3"}}, id="only a limit"),
        pytest.param({"requests": {"cpu": "2"}}, {"requests": {"cpu": "3"}}, id="only a request"),
        pytest.param(None, {"requests": {"cpu": "3"}, "limits": {"cpu": "3"}}, id="neither"),
    ],
)  # fmt: skip
async def test_of_requests_and_limits_those_follow_that_are_there(fake, driver, has, wants):
    stored = fake.store(stateful(resources=has))
    await driver(resources=["cpu"], takeOwnership=True).apply(order(cpu=3))
    assert box(stored)["resources"] == wants


async def test_flags_change_where_they_stand_and_other_arguments_stay(fake, driver):
    stored = fake.store(stateful(args=["run", "--cpu=2", "--name", "x", "--mem", "4"]))
    hands = driver(args=["--cpu={cpu}", "--mem", "{memory:GiB}", "--new={cpu:m}"], takeOwnership=True)
    await hands.apply(order(cpu=3, memory=6 * 2**30))
    assert box(stored)["args"] == ["run", "--cpu=3", "--name", "x", "--mem", "6", "--new=3000"]


async def test_replicas_are_a_whole_number(fake, driver):
    stored = fake.store(stateful())
    hands = driver(replicas="{cpu}", takeOwnership=True)
    await hands.apply(order(cpu=3))
    assert stored.thing["spec"]["replicas"] == 3
    with pytest.raises(Refused, match=r"replicas would be 2\.5; write a format that gives a whole number"):
        await hands.apply(order(cpu=2.5))


async def test_nothing_at_all_is_never_written_as_a_limit_because_that_is_none(fake, driver):
    fake.store(stateful(resources=BOTH))
    with pytest.raises(Refused, match="to Kubernetes 0 is no limit"):
        await driver(resources=["cpu"]).apply(order(cpu=0))


# whose field it is


async def test_a_field_of_another_manager_is_not_taken_without_being_told(fake, driver):
    stored = fake.store(stateful(env=[{"name": ENV, "value": "8TB"}]))
    with pytest.raises(Refused, match=rf'{ENV}.*is set by "helm"; take it out .*takeOwnership: true'):
        await driver(**STORAGE).apply(order(storage=9 * TB))
    assert env(stored) == {ENV: "8TB"}
    assert [each["reason"] for each in fake.events.values()] == ["AllocationRefused"]


async def test_take_ownership_takes_exactly_what_changes(fake, driver):
    stored = fake.store(stateful(env=[{"name": ENV, "value": "8TB"}, {"name": "OTHER", "value": "x"}]))
    await driver(**STORAGE, takeOwnership=True).apply(order(storage=9 * TB))
    mine = stored.owned["orcha", "Apply", ""]
    assert env(stored) == {ENV: "9000000000000B", "OTHER": "x"}
    assert not any("OTHER" in part for path in mine for part in path)


@pytest.mark.parametrize("take", [True, False])
async def test_a_manual_change_is_respected_and_reported(fake, driver, take):
    stored = fake.store(stateful())
    hands = driver(**STORAGE, takeOwnership=take)
    await hands.apply(order(storage=9 * TB))
    fake.edit(
        stored,
        "kubectl-edit",
        lambda thing: thing["spec"]["template"]["spec"]["containers"][0]["env"][0].update(value="3TB"),
    )
    said = (
        rf"env {ENV} of container node of StatefulSet depin/node was changed \(by kubectl-edit\) after orcha had set it"
    )
    with pytest.raises(Refused, match=said):
        await hands.apply(order(storage=10 * TB))
    with pytest.raises(Refused, match=said):
        await hands.verify(order(storage=9 * TB))
    assert "was changed (by kubectl-edit)" in (await hands.check())[0]
    assert env(stored) == {ENV: "3TB"}


async def test_a_variable_that_a_person_took_out_stays_out(fake, driver):
    stored = fake.store(stateful())
    hands = driver(**STORAGE)
    await hands.apply(order(storage=9 * TB))
    fake.edit(stored, "kubectl-edit", lambda thing: thing["spec"]["template"]["spec"]["containers"][0].pop("env"))
    with pytest.raises(Refused, match="was changed after orcha had set it"):
        await hands.apply(order(storage=10 * TB))


async def test_what_was_changed_by_hand_is_set_again_when_somebody_says_so(fake, driver):
    stored = fake.store(stateful())
    hands = driver(**STORAGE)
    await hands.apply(order(storage=9 * TB))
    fake.edit(
        stored,
        "kubectl-edit",
        lambda thing: thing["spec"]["template"]["spec"]["containers"][0]["env"][0].update(value="3TB"),
    )
    hands.reclaim()
    assert await hands.check() == ()
    await hands.apply(order(storage=10 * TB))
    assert env(stored) == {ENV: "10000000000000B"}


async def test_without_the_annotation_it_is_a_first_time_again(fake, driver):
    stored = fake.store(stateful())
    hands = driver(**STORAGE, takeOwnership=True)
    await hands.apply(order(storage=9 * TB))
    fake.edit(stored, "kubectl-edit", lambda thing: (
        thing["spec"]["template"]["spec"]["containers"][0]["env"][0].update(value="3TB"), thing["metadata"].pop("annotations")
    ))  # fmt: skip
    await hands.apply(order(storage=10 * TB))
    assert env(stored) == {ENV: "10000000000000B"}


async def test_a_write_from_a_stale_look_is_not_repeated(fake, driver):
    stored = fake.store(stateful())

    def meddle(request: web.Request) -> None:
        if request.method == "PATCH" and not fake.bodies:
            stored.bump()

    fake.fault = meddle
    hands = driver(**STORAGE)
    with pytest.raises(
        NotNow, match=r'statefulsets\.apps "node" in namespace depin was changed by somebody else meanwhile'
    ):
        await hands.apply(order(storage=9 * TB))
    assert len(fake.bodies) == 1
    await hands.apply(order(storage=9 * TB))
    assert env(stored) == {ENV: "9000000000000B"}


# singletons


@pytest.mark.parametrize(
    ("thing", "spec", "said"),
    [
        pytest.param(stateful(replicas=2), STORAGE, "has 2 replicas: scale it to 1", id="two replicas"),
        pytest.param(stateful(), {"replicas": "{cpu}"}, "take replicas out of the actuator", id="a replicas format"),
        pytest.param(stateful("Deployment"), {**STORAGE, "kind": "Deployment"}, "set strategy.type to Recreate", id="rolling deployment"),
    ],
)  # fmt: skip
async def test_a_singleton_is_never_started_twice(fake, driver, thing, spec, said):
    fake.store(thing)
    hands = driver(singleton=True, **spec)
    assert any(said in sentence for sentence in await hands.check())
    with pytest.raises(Refused, match=said):
        await hands.apply(order(storage=9 * TB, cpu=2))
    assert fake.bodies == []


async def test_a_singleton_in_a_deployment_that_recreates_is_fine(fake, driver):
    stored = fake.store(stateful("Deployment", strategy={"type": "Recreate"}))
    hands = driver(singleton=True, kind="Deployment", **STORAGE)
    assert await hands.check() == ()
    await hands.apply(order(storage=9 * TB))
    assert env(stored) == {ENV: "9000000000000B"}


# back


@pytest.mark.parametrize(
    ("thing", "spec", "amounts"),
    [
        pytest.param(stateful(env=[{"name": ENV, "value": "8TB"}]), STORAGE, {"storage": 9 * TB}, id="other text"),
        pytest.param(stateful(), STORAGE, {"storage": 9 * TB}, id="absent"),
        pytest.param(stateful(resources=BOTH), {"resources": ["cpu", "memory"]}, {"cpu": 3, "memory": 2**32}, id="resources"),
        pytest.param(stateful(resources={"limits": {"cpu": "2000m"}}), {"resources": ["cpu"]}, {"cpu": 3}, id="only a limit"),
        pytest.param(stateful(), {"resources": ["cpu"]}, {"cpu": 3}, id="no resources"),
        pytest.param(stateful(args=["--a=1", "--cpu", "2"]), {"args": ["--cpu={cpu}"]}, {"cpu": 3}, id="a flag"),
        pytest.param(stateful(args=["--a=1"]), {"args": ["--cpu={cpu}"]}, {"cpu": 3}, id="a flag that was not there"),
        pytest.param(stateful(), {"args": ["--cpu={cpu}"]}, {"cpu": 3}, id="no arguments"),
        pytest.param(stateful(replicas=2), {"replicas": "{cpu}"}, {"cpu": 3}, id="replicas"),
    ],
)  # fmt: skip
async def test_an_undo_restores_what_stood_there_to_the_letter(fake, driver, thing, spec, amounts):
    stored = fake.store(thing)
    spec_before = str(thing["spec"])
    hands = driver(**spec, takeOwnership=True)
    stood = await hands.read()
    await hands.apply(order(**amounts))
    assert str(stored.thing["spec"]) != spec_before
    for _ in range(2):
        await hands.undo(order("backward", cpu=1, memory=1, storage=1), stood)
        assert stored.thing["spec"] == thing["spec"]
    assert sorted(event["reason"] for event in fake.events.values()) == ["AllocationChanged", "AllocationRestored"]


async def test_what_an_undo_put_back_is_what_is_verified(fake, driver):
    fake.store(stateful(env=[{"name": ENV, "value": "8TB"}]))
    hands = driver(**STORAGE, takeOwnership=True)
    stood = await hands.read()
    await hands.apply(order(storage=9 * TB))
    await hands.undo(order("backward", storage=8 * TB), stood)
    assert await hands.verify(order("backward", storage=8 * TB)) is None


async def test_an_undo_leaves_alone_what_orcha_never_took(fake, driver):
    stored = fake.store(stateful(env=[{"name": ENV, "value": "8TB"}]))
    hands = driver(**STORAGE)
    stood = await hands.read()
    fake.edit(
        stored,
        "kubectl-edit",
        lambda thing: thing["spec"]["template"]["spec"]["containers"][0]["env"][0].update(value="3TB"),
    )
    await hands.undo(order("backward", storage=8 * TB), stood)
    assert env(stored) == {ENV: "3TB"}


async def test_an_undo_puts_back_the_rest_and_reports_what_a_person_changed(fake, driver):
    stored = fake.store(stateful(resources=BOTH))
    hands = driver(**STORAGE, resources=["cpu"], takeOwnership=True)
    stood = await hands.read()
    await hands.apply(order(storage=9 * TB, cpu=3))
    fake.edit(
        stored,
        "kubectl-edit",
        lambda thing: thing["spec"]["template"]["spec"]["containers"][0]["env"][0].update(value="3TB"),
    )
    with pytest.raises(Refused, match="was changed"):
        await hands.undo(order("backward", storage=8 * TB, cpu=2), stood)
    assert env(stored) == {ENV: "3TB"}
    assert box(stored)["resources"] == BOTH


async def test_what_stood_there_says_what_is_absent_and_who_owns_what_and_no_other_argument(fake, driver):
    fake.store(stateful(args=["--secret=abc", "--cpu=2"], resources={"limits": {"cpu": "2"}}))
    hands = driver(**STORAGE, args=["--cpu={cpu}"], resources=["cpu"])
    assert await hands.read() == {
        "uid": "uid-node",
        "fields": {
            f"node/env/{ENV}": None,
            "node/args/--cpu": ["2"],
            "node/requests/cpu": None,
            "node/limits/cpu": "2",
        },
        "owners": {
            f"node/env/{ENV}": [],
            "node/args/--cpu": ["helm"],
            "node/requests/cpu": [],
            "node/limits/cpu": ["helm"],
        },
    }


def broken(fake: Any, stored: Any) -> Any:
    """A Pod of the StatefulSet that never became ready with what it was given."""
    running = fake.store(pod(BOTH, conditions=[{"type": "Ready", "status": "False"}]))
    running.thing["metadata"] |= {
        "labels": {"app": "node", "controller-revision-hash": "new"},
        "ownerReferences": [{"kind": "StatefulSet", "uid": stored.thing["metadata"]["uid"], "controller": True}],
    }
    return running


async def test_an_undo_evicts_the_pod_that_its_stateful_set_would_wait_for_for_ever(fake, driver):
    stored = fake.store(stateful())
    hands, back = driver(**STORAGE), order("backward", storage=8 * TB)
    stood = await hands.read()
    await hands.apply(order(storage=9 * TB))
    broken(fake, stored)
    with pytest.raises(NotNow, match="the template is back; pod node-0 is not ready and may have to be evicted"):
        await hands.undo(back, stood)
    stored.thing["status"] |= {"observedGeneration": 2, "updateRevision": "old"}
    with pytest.raises(NotNow, match="the template is back"):
        await hands.undo(back, stood)
    assert "/api/v1/namespaces/depin/pods/node-0" in fake.objects
    stored.thing["status"]["observedGeneration"] = 99
    await hands.undo(back, stood)
    assert "/api/v1/namespaces/depin/pods/node-0" not in fake.objects


async def test_a_pod_that_changed_since_it_was_seen_is_not_evicted(fake, driver):
    stored = fake.store(stateful())
    hands = driver(**STORAGE)
    running = broken(fake, stored)
    stored.thing["status"] |= {"updateRevision": "old"}

    def becomes_ready(request: web.Request) -> None:
        if request.path.endswith("/eviction"):
            running.bump()

    fake.fault = becomes_ready
    with pytest.raises(NotNow, match="was changed by somebody else meanwhile"):
        await hands.undo(order("backward", storage=8 * TB), await hands.read())
    assert "/api/v1/namespaces/depin/pods/node-0" in fake.objects


# in place


async def test_pods_that_no_roll_out_replaces_are_resized_and_put_back(fake, driver):
    fake.store(stateful(resources=BOTH, strategy={"type": "OnDelete"}))
    running = fake.store(pod(BOTH))
    hands = driver(resources=["cpu"], takeOwnership=True)
    assert await hands.check() == ()
    stood = await hands.read()
    await hands.apply(order(cpu=3))
    assert box(running)["resources"] == {
        "requests": {"cpu": "1500m", "memory": "2Gi"},
        "limits": {"cpu": "3", "memory": "2Gi"},
    }
    assert await hands.verify(order(cpu=3)) == "pod node-0 does not have its new resources yet"
    running.thing["status"]["containerStatuses"][0]["resources"] = box(running)["resources"]
    assert await hands.verify(order(cpu=3)) is None
    await hands.undo(order("backward", cpu=2), stood)
    assert box(running)["resources"] == BOTH


async def test_a_template_that_was_changed_before_a_crash_does_not_keep_its_pods_from_being_resized(fake, driver):
    grown = {"requests": {"cpu": "1500m", "memory": "2Gi"}, "limits": {"cpu": "3", "memory": "2Gi"}}
    fake.store(stateful(resources=grown, strategy={"type": "OnDelete"}))
    running = fake.store(pod(BOTH))
    await driver(resources=["cpu"]).apply(order(cpu=3))
    assert box(running)["resources"] == grown


async def test_a_pod_is_resized_through_its_subresource_and_remembers_by_whom(fake, driver):
    stored = fake.store(pod(BOTH))
    fake.objects = {"/api/v1/namespaces/depin/pods/node": stored}
    stored.thing["metadata"]["name"] = "node"
    hands = driver(kind="Pod", resources=["cpu"], takeOwnership=True)
    assert await hands.check() == ()
    stood = await hands.read()
    await hands.apply(order(cpu=3))
    assert [path for method, path in fake.asked if method == "PATCH"][1:] == [
        "/api/v1/namespaces/depin/pods/node/resize",
        "/api/v1/namespaces/depin/pods/node",
    ]
    assert box(stored)["resources"]["limits"]["cpu"] == "3"
    assert stored.thing["metadata"]["annotations"] == {"orcha.dev/sets": "node/limits/cpu node/requests/cpu"}
    await hands.undo(order("backward", cpu=2), stood)
    assert box(stored)["resources"] == BOTH


async def test_a_cluster_that_cannot_resize_says_so_before_any_move(fake, driver):
    fake.store(stateful(resources=BOTH, strategy={"type": "OnDelete"}))
    fake.store(pod(BOTH))
    fake.resizes = False
    (said,) = await driver(resources=["cpu"], takeOwnership=True).check()
    assert said.startswith(
        "this cluster cannot resize a running pod (Kubernetes 1.33 can), and pod node-0 is not replaced"
    )


# before any move


@pytest.mark.parametrize(
    ("right", "spec", "said"),
    [
        (("get", "statefulsets"), STORAGE, '{apiGroups: ["apps"], resources: [statefulsets], verbs: [get]}'),
        (("patch", "statefulsets"), STORAGE, '{apiGroups: ["apps"], resources: [statefulsets], verbs: [patch]}'),
        (("list", "pods"), STORAGE, '{apiGroups: [""], resources: [pods], verbs: [list]}'),
        (("create", "pods/eviction"), {**STORAGE, "takeOwnership": True}, '{apiGroups: [""], resources: [pods/eviction], verbs: [create]}'),
        (("patch", "pods/resize"), {"kind": "Pod", "resources": ["cpu"]}, '{apiGroups: [""], resources: [pods/resize], verbs: [patch]}'),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, tuple) else "",
)  # fmt: skip
async def test_a_missing_right_is_told_with_the_rule_that_grants_it(fake, driver, right, spec, said):
    fake.store(stateful())
    fake.store(pod(BOTH))
    fake.denied.add(right)
    (sentence,) = await driver(**spec).check()
    assert sentence.startswith(f"orcha may not {right[0]} {right[1]}")
    assert said in sentence


@pytest.mark.parametrize(
    ("thing", "spec", "said"),
    [
        pytest.param(stateful(env=[{"name": "STORAGE", "value": "2TB"}]), STORAGE, f"the variable STORAGE of container node wins over {ENV}", id="a variable that wins"),
        pytest.param(stateful(args=["--storage.allocated-disk-space=2TB"]), STORAGE, f"the argument --storage.allocated-disk-space of container node wins over the variable {ENV}", id="a flag that wins"),
        pytest.param(stateful(command=["node", "--storage.allocated-disk-space", "2TB"]), STORAGE, "the argument --storage.allocated-disk-space", id="a flag in the command"),
        pytest.param(stateful(env=[{"name": ENV, "value": "2TB"}]), STORAGE, f"env {ENV} of container node of StatefulSet depin/node is set by helm", id="another's field"),
        pytest.param(stateful(env=[{"name": ENV, "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}}]), STORAGE, "comes from elsewhere (valueFrom)", id="a reference"),
        pytest.param(stateful(), {**STORAGE, "container": "other"}, "has no container 'other'; it has node, log", id="no container"),
        pytest.param(stateful(strategy={"type": "OnDelete"}), STORAGE, "leaves pod node-0 as it is when its template changes", id="nobody deletes the pod"),
        pytest.param(stateful("Deployment") | {"spec": stateful("Deployment")["spec"] | {"paused": True}}, {**STORAGE, "kind": "Deployment"}, "is paused", id="paused"),
        pytest.param(stateful(), {"env": {ENV: "{stake/DATA:wei}"}}, "{stake/DATA:wei} needs an amount of stake/DATA", id="no amount"),
        pytest.param(stateful(), {**STORAGE, "name": "nope"}, 'there is no statefulsets.apps "nope" in namespace depin', id="no object"),
    ],
)  # fmt: skip
async def test_what_would_not_work_or_not_hold_is_told_before_any_move(fake, driver, thing, spec, said):
    fake.store(thing)
    fake.store(pod(BOTH))
    sentences = await driver(**spec).check()
    assert len(sentences) == 1
    assert said in sentences[0]
    assert fake.bodies == []


async def test_nothing_is_said_where_nothing_is_wrong(fake, driver):
    fake.store(stateful(env=[{"name": ENV, "value": "2TB"}], args=["--other=1"]))
    fake.store(pod(BOTH))
    assert await driver(**STORAGE, takeOwnership=True).check() == ()


async def test_autoscalers_of_the_same_object_are_told(fake, driver):
    fake.store(stateful(resources=BOTH))
    target = {"kind": "StatefulSet", "name": "node"}
    for version, kind, spec in (
        ("autoscaling/v2", "HorizontalPodAutoscaler", {"scaleTargetRef": target}),
        ("autoscaling.k8s.io/v1", "VerticalPodAutoscaler", {"targetRef": target}),
    ):
        scaler = {"apiVersion": version, "kind": kind, "metadata": {"name": "auto", "namespace": "depin"}, "spec": spec}
        fake.store(scaler)
    found = await driver(resources=["cpu"], replicas="{cpu}", takeOwnership=True).check()
    assert [sentence.split(" of ")[0] for sentence in found] == [
        "HorizontalPodAutoscaler auto sets replicas",
        "VerticalPodAutoscaler auto sets resources",
    ]


# what goes wrong


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (lambda: status(401, "Unauthorized"), Refused, "does not know orcha (401)"),
        (lambda: status(403, 'x is forbidden: User "y" cannot get resource "statefulsets"'), Refused, "orcha may not get statefulsets.apps"),
        (lambda: status(403, "exceeded quota: compute"), Refused, "(403): exceeded quota: compute"),
        (lambda: status(422, "is invalid: " + "x" * 900), Refused, "(422): is invalid: xxx"),
        (lambda: status(429, "slow down"), NotNow, "answered 429"),
        (lambda: status(500, "etcdserver: leader changed"), NotNow, "answered 500 (etcdserver: leader changed)"),
        (lambda: web.Response(status=503, text="<html>", content_type="text/html"), NotNow, "answered 503"),
        (lambda: web.Response(text="<html>", content_type="text/html"), NotNow, "what answered is no Kubernetes API"),
        (lambda: web.Response(status=302, headers={"Location": "/login"}), NotNow, "what answered is no Kubernetes API"),
    ],
    ids=["401", "403", "quota", "422", "429", "500", "a proxy's 503", "a page", "a redirect"],
)  # fmt: skip
async def test_an_error_says_who_must_act(fake, driver, answer, error, said):
    fake.store(stateful())
    fake.fault = lambda _request: answer()
    with pytest.raises(error) as raised:
        await driver(**STORAGE).read()
    assert said in str(raised.value)
    assert len(str(raised.value)) < 500


async def test_a_server_that_never_answers_is_given_up_on(fake, driver):
    hands = driver(**STORAGE, patience=0.1)
    fake.hangs = True
    with pytest.raises(NotNow, match=r"did not answer within 0\.1 s"):
        await hands.read()


async def test_nobody_listening_is_told_as_such(fake, driver, free_port):
    fake.url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NotNow, match="the Kubernetes API cannot be reached"):
        await driver(**STORAGE).read()


async def test_without_a_way_to_a_cluster_it_says_what_would_be_one(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    hands = Kubernetes("rack-1/node", Spec.model_validate({"kind": "StatefulSet", **PLACE, **STORAGE}), ["storage"])
    (said,) = await hands.check()
    assert said.startswith("there is no way to a cluster (Configuration file ")
    assert said.endswith("run orcha in it with a ServiceAccount, or set KUBECONFIG")
    await hands.close()


def test_without_the_extra_it_names_the_extra():
    code = (
        "import asyncio, sys; sys.modules['lightkube'] = None\n"
        "from controller.actuate.kubernetes import Kubernetes; from exporters.nodes import Kubernetes as Spec\n"
        f"spec = Spec.model_validate({ {'kind': 'StatefulSet', **PLACE, **STORAGE}!r})\n"
        "print(asyncio.run(Kubernetes('rack-1/node', spec, ['storage']).check())[0])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.startswith(
        "the driver kubernetes needs the library lightkube; install it where orcha is: pip install lightkube"
    )


def test_drivers_share_one_connection():
    connect = shared_connection()
    assert connect() is connect()
