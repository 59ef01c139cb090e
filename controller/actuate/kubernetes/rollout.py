"""How far a change has come: what is still missing in an object and its Pods, as a clause for people. Pure.

A changed template replaces Pods one by one, except those that their controller leaves alone: of a StatefulSet with
updateStrategy OnDelete all, with a partition those below it. These are resized in place, or wait until somebody deletes them.
Types and words of conditions: k8s.io/api/core/v1/types.go (PodResizePending, PodResizeInProgress).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from controller.actuate.driver import Refused
from controller.actuate.kubernetes.fields import Field, Object, same
from controller.actuate.kubernetes.wanted import agrees
from exporters.quantity import parse_quantity

_COMING: Final = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons to wait that tell nothing."""
_NAMED: Final = 3
"""Pods that a clause names at the most."""
_SHOWN: Final = 200
_GRAIN: Final = {"cpu": 0.0015, "memory": 4096.0}
"""What a kubelet may report otherwise than it was told: a kernel counts memory in pages, and cores in parts of a period."""


def left_alone(thing: Object, pods: Sequence[Object]) -> list[Object]:
    """The Pods that a change of the template does not replace."""
    if thing["kind"] != "StatefulSet":
        return []
    strategy = thing["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return list(pods)
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    return [pod for pod in pods if _ordinal(pod) < partition]


def is_seen(thing: Object) -> bool:
    """Whether the status is about the object as it is now."""
    return bool((thing.get("status") or {}).get("observedGeneration", 0) >= thing["metadata"].get("generation", 0))


def missing(thing: Object, pods: Sequence[Object]) -> str | None:
    """What is missing until every Pod that its controller replaces is a new one and ready, and no old one is left."""
    status = thing.get("status") or {}
    if not is_seen(thing):
        return "its controller has not seen the change yet"
    count = thing["spec"].get("replicas", 1)
    alone = len(left_alone(thing, pods))
    due = max(0, count - alone)
    updated = status.get("updatedReplicas", 0)
    if updated < due:
        return f"{updated} of {due} pods are updated{_because(pods)}"
    if status.get("replicas", 0) > count:
        return f"{status['replicas'] - count} pods too many are still there{_because(pods)}"
    ready = status.get("readyReplicas", 0)
    if ready < count:
        return f"{ready} of {count} pods are ready{_because(pods)}"
    if thing["kind"] == "StatefulSet" and not alone and status.get("currentRevision") != status.get("updateRevision"):
        return f"the roll-out is not through{_because(pods)}"
    return next((f"pod {_name(pod)} is still ending" for pod in pods if _is_ending(pod)), None)


def outdated(thing: Object, pods: Sequence[Object]) -> str | None:
    """The first Pod that is left alone and still has the old template."""
    newest = (thing.get("status") or {}).get("updateRevision")
    old = [pod for pod in left_alone(thing, pods) if _revision(pod) != newest]
    if not old:
        return None
    return f"pod {_name(old[0])} keeps the old template until somebody deletes it (updateStrategy)"


def unready(thing: Object, pods: Sequence[Object]) -> list[Object]:
    """The Pods that are to be replaced and are not ready."""
    alone = {_name(pod) for pod in left_alone(thing, pods)}
    return [pod for pod in pods if _name(pod) not in alone and not _is_ending(pod) and not _is_ready(pod)]


def stuck(thing: Object, pods: Sequence[Object]) -> list[Object]:
    """The Pods that their StatefulSet would never replace: it waits for one that is not ready, whatever its template says
    now (kubernetes.io, StatefulSets, "Forced rollback"). None as long as it has not seen its template.
    """
    if thing["kind"] != "StatefulSet" or not is_seen(thing):
        return []
    newest, uid = (thing.get("status") or {}).get("updateRevision"), thing["metadata"].get("uid")
    return [pod for pod in unready(thing, pods) if _revision(pod) != newest and _owner(pod) == uid]


def unresized(pod: Object, container: str, wants: Mapping[str, Mapping[str, str]]) -> str | None:
    """What is missing until the container runs with these requests and limits. Raises Refused where its node cannot."""
    box: Mapping[str, Any] = next((each for each in pod["spec"]["containers"] if each["name"] == container), {})
    if not agrees(box.get("resources") or {}, wants):
        return f"pod {_name(pod)} was not resized"
    conditions = {each["type"]: each for each in (pod.get("status") or {}).get("conditions") or ()}
    pending, doing = conditions.get("PodResizePending"), conditions.get("PodResizeInProgress")
    if pending and pending.get("reason") == "Infeasible":
        raise Refused(f"the node of pod {_name(pod)} cannot resize it: {_words(pending)}")
    if pending:
        return f"the node of pod {_name(pod)} resizes it later: {_words(pending)}"
    if doing:
        return f"pod {_name(pod)} is being resized: {_words(doing)}"
    if why := _why(pod):
        return f"pod {_name(pod)}: {why}"
    return None if _has(pod, container, wants) else f"pod {_name(pod)} does not have its new resources yet"


def _has(pod: Object, container: str, wants: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether the container runs with them, as the kubelet says."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    has = next((each.get("resources") for each in statuses if each["name"] == container), None) or {}
    return all(
        _close(name, (has.get(part) or {}).get(name), text) for part, of in wants.items() for name, text in of.items()
    )


def _close(name: str, has: str | None, wants: str) -> bool:
    if has is None:
        return False
    return same(Field("limits", "", name), has, wants) or abs(
        parse_quantity(has) - parse_quantity(wants)
    ) <= _GRAIN.get(name, 0.0)


def _because(pods: Sequence[Object]) -> str:
    """'; pod x: ImagePullBackOff' of those that say what keeps them."""
    said = [f"pod {_name(pod)}: {why}" for pod in pods if (why := _why(pod))]
    return "".join(f"; {each}" for each in said[:_NAMED])


def _why(pod: Object) -> str:
    return next(_reasons(pod), "")


def _reasons(pod: Object) -> Iterator[str]:
    """What keeps a Pod from being ready, the most telling first."""
    status = pod.get("status") or {}
    for each in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (each.get("state") or {}).get("waiting") or {}
        if waiting.get("reason", "") not in {"", *_COMING}:
            yield _words(waiting)
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("status") == "False":
            yield _words(condition)
    if status.get("phase") in {"Failed", "Succeeded"}:
        yield f"has ended ({status['phase']})"
    if _is_ending(pod):
        yield "is ending"


def _words(said: Mapping[str, Any]) -> str:
    """'Infeasible (Node didn't have enough capacity)'."""
    reason, message = said.get("reason") or "no reason given", " ".join((said.get("message") or "").split())
    message = message if len(message) <= _SHOWN else message[: _SHOWN - 1] + "…"
    return f"{reason} ({message})" if message else f"{reason}"


def _is_ending(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each.get("status") == "True" for each in conditions)


def _owner(pod: Object) -> str | None:
    return next((each["uid"] for each in pod["metadata"].get("ownerReferences") or () if each.get("controller")), None)


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _revision(pod: Object) -> str | None:
    return (pod["metadata"].get("labels") or {}).get("controller-revision-hash")


def _ordinal(pod: Object) -> int:
    """Of a StatefulSet's Pod: node-2 -> 2."""
    end = _name(pod).rpartition("-")[2]
    return int(end) if end.isdecimal() else 0
