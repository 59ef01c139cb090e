"""What is still missing of a change, read from objects as their controllers and kubelets write them."""

from __future__ import annotations

from typing import Any

import pytest

from controller.actuate.driver import Refused
from controller.actuate.kubernetes.rollout import left_alone, missing, outdated, stuck, unresized

THROUGH = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "currentRevision": "b", "updateRevision": "b"}  # fmt: skip
HALF = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}
ONE = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}


def controller(kind: str = "StatefulSet", replicas: int = 1, strategy: Any = None, **status: Any) -> dict[str, Any]:
    spec = {"replicas": replicas, **({"updateStrategy": strategy} if strategy else {})}
    return {
        "kind": kind,
        "metadata": {"name": "n", "uid": "u", "generation": 2},
        "spec": spec,
        "status": THROUGH | status,
    }


def pod(name: str = "n-0", revision: str = "b", *, ready: bool = True, ending: bool = False, resources: Any = HALF, runs: Any = None, **status: Any) -> dict[str, Any]:  # fmt: skip
    conditions = [{"type": "Ready", "status": str(ready)}, *status.pop("conditions", ())]
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"controller-revision-hash": revision},
            "ownerReferences": [{"uid": "u", "controller": True}],
            **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if ending else {}),
        },
        "spec": {"containers": [{"name": "node", "resources": resources}]},
        "status": {
            "conditions": conditions,
            "containerStatuses": [{"name": "node", "resources": runs or resources, **status}],
        },
    }


@pytest.mark.parametrize(
    ("thing", "pods", "said"),
    [
        pytest.param(controller(), [pod()], None, id="through"),
        pytest.param(controller(observedGeneration=1), [pod()], "its controller has not seen the change yet", id="unseen"),
        pytest.param(controller(updatedReplicas=0), [pod()], "0 of 1 pods are updated", id="not begun"),
        pytest.param(controller(replicas=3, updatedReplicas=2), [pod("n-2", ready=False, state={"waiting": {"reason": "ImagePullBackOff", "message": "no such\nimage"}})], "2 of 3 pods are updated; pod n-2: ImagePullBackOff (no such image)", id="cannot pull"),
        pytest.param(controller(readyReplicas=0), [pod(ready=False, state={"waiting": {"reason": "ContainerCreating"}})], "0 of 1 pods are ready", id="being made"),
        pytest.param(controller(readyReplicas=0), [pod(ready=False, conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}])], "0 of 1 pods are ready; pod n-0: Unschedulable (0/2 nodes)", id="fits nowhere"),
        pytest.param(controller(currentRevision="a"), [pod()], "the roll-out is not through", id="old revision"),
        pytest.param(controller("Deployment", replicas=1, currentRevision="a"), [pod()], None, id="a deployment has no revisions"),
        pytest.param(controller("Deployment") | {"status": THROUGH | {"replicas": 2}}, [pod()], "1 pods too many are still there", id="an old one"),
        pytest.param(controller("Deployment"), [pod(ending=True)], "pod n-0 is still ending", id="ending"),
        pytest.param(controller(replicas=0, updatedReplicas=0, readyReplicas=0) | {"status": {"observedGeneration": 2}}, [], None, id="none wanted"),
        pytest.param(controller(strategy={"type": "OnDelete"}, updatedReplicas=0, currentRevision="a"), [pod()], None, id="none is replaced"),
        pytest.param(controller(replicas=2, strategy={"rollingUpdate": {"partition": 1}}, currentRevision="a") | {"status": THROUGH | {"currentRevision": "a", "replicas": 2, "readyReplicas": 2}}, [pod("n-0", "a"), pod("n-1")], None, id="above the partition"),
    ],
)  # fmt: skip
def test_a_roll_out_is_through_when_every_pod_is_new_and_ready_and_no_old_one_is_left(thing, pods, said):
    assert missing(thing, pods) == said


@pytest.mark.parametrize(
    ("thing", "alone"),
    [
        (controller(), []),
        (controller("Deployment"), []),
        (controller(strategy={"type": "OnDelete"}), ["n-0", "n-1"]),
        (controller(strategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}), ["n-0"]),
        (controller(strategy={"type": "RollingUpdate", "rollingUpdate": None}), []),
    ],
    ids=["rolling", "deployment", "on delete", "partition", "null"],
)
def test_which_pods_a_new_template_does_not_replace(thing, alone):
    found = left_alone(thing, [pod("n-0"), pod("n-1")])
    assert [each["metadata"]["name"] for each in found] == alone


def test_a_pod_that_waits_to_be_deleted_is_named():
    thing = controller(strategy={"type": "OnDelete"})
    said = "pod n-0 keeps the old template until somebody deletes it (updateStrategy)"
    assert outdated(thing, [pod(revision="a")]) == said
    assert outdated(thing, [pod()]) is None


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        pytest.param(pod(resources=ONE), None, id="done"),
        pytest.param(pod(), "pod n-0 was not resized", id="never asked"),
        pytest.param(pod(resources=ONE, runs=HALF), "pod n-0 does not have its new resources yet", id="not yet"),
        pytest.param(pod(resources=ONE, runs={"requests": {"cpu": "1"}, "limits": {"cpu": "2001m"}}), None, id="as a kernel counts"),
        pytest.param(pod(resources=ONE, conditions=[{"type": "PodResizePending", "reason": "Deferred", "message": "later"}]), "the node of pod n-0 resizes it later: Deferred (later)", id="deferred"),
        pytest.param(pod(resources=ONE, conditions=[{"type": "PodResizeInProgress"}]), "pod n-0 is being resized: no reason given", id="in progress"),
        pytest.param(pod(resources=ONE, ending=True), "pod n-0: is ending", id="ending"),
    ],
)  # fmt: skip
def test_a_resize_is_done_when_the_kubelet_says_so(seen, said):
    assert unresized(seen, "node", ONE) == said


def test_a_node_that_cannot_resize_is_a_refusal_in_its_words():
    seen = pod(resources=ONE, conditions=[{"type": "PodResizePending", "reason": "Infeasible", "message": "too big"}])
    with pytest.raises(Refused, match=r"the node of pod n-0 cannot resize it: Infeasible \(too big\)"):
        unresized(seen, "node", ONE)


@pytest.mark.parametrize(
    ("thing", "seen", "is_stuck"),
    [
        pytest.param(controller(), pod(revision="a", ready=False), True, id="broken and old"),
        pytest.param(controller(), pod(revision="a"), False, id="old and ready"),
        pytest.param(controller(), pod(ready=False), False, id="broken and new"),
        pytest.param(controller(observedGeneration=1), pod(revision="a", ready=False), False, id="its controller has not looked"),
        pytest.param(controller(), pod(revision="a", ready=False, ending=True), False, id="ending already"),
        pytest.param(controller(strategy={"type": "OnDelete"}), pod(revision="a", ready=False), False, id="nobody replaces it"),
        pytest.param(controller("Deployment"), pod(revision="a", ready=False), False, id="a deployment helps itself"),
        pytest.param(controller() | {"metadata": {"uid": "v", "generation": 2}}, pod(revision="a", ready=False), False, id="somebody else's"),
    ],
)  # fmt: skip
def test_only_a_broken_pod_with_an_old_template_is_stuck(thing, seen, is_stuck):
    assert bool(stuck(thing, [seen])) is is_stuck
