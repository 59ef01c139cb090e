"""What keeps a change of an object from working or from holding, as sentences that say what would be right. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from controller.actuate.kubernetes.fields import (
    Object,
    changed_by_hand,
    container,
    listed,
    others,
    ours,
    pod_spec,
    values,
)
from controller.actuate.kubernetes.rollout import left_alone
from controller.actuate.kubernetes.wanted import fields_of
from exporters.nodes import Kubernetes

_BEATEN_BY: Final[Mapping[str, tuple[str, ...]]] = {"STORJ_STORAGE_ALLOCATED_DISK_SPACE": ("STORAGE",)}
"""Variable -> others that win over it. The entrypoint of Storj's image turns STORAGE into a flag, and a flag wins over a
variable (reference/storj-golem.md 1.3)."""


def object_words(spec: Kubernetes) -> str:
    return f"{spec.kind} {spec.namespace}/{spec.name}"


def forbidding(spec: Kubernetes, thing: Object, *, singleton: bool) -> Iterator[str]:
    """Why nothing may be written at all."""
    what = object_words(spec)
    found = container(thing, spec.container)
    if found is None:
        names = ", ".join(each["name"] for each in pod_spec(thing).get("containers", ()))
        yield f"{what} has no container {spec.container!r}; it has {names}"
        return
    for field, value in values(thing, fields_of(spec)).items():
        if isinstance(value, dict):
            yield f"{field} of {what} comes from elsewhere (valueFrom), which cannot stand beside a value; take it out there"
    if singleton:
        yield from _twice(spec, thing)


def _twice(spec: Kubernetes, thing: Object) -> Iterator[str]:
    """How two processes of one identity could come to run."""
    what, once = object_words(spec), "two processes of one identity must never run"
    count = thing["spec"].get("replicas", 1) if spec.kind != "Pod" else 1
    if spec.replicas is not None:
        yield f"{once}: take replicas out of the actuator of {what}"
    if count > 1:
        yield f"{once}, and {what} has {count} replicas: scale it to 1"
    strategy = (thing["spec"].get("strategy") or {}).get("type", "RollingUpdate")
    if spec.kind == "Deployment" and strategy != "Recreate":
        yield f"{once}, and {what} starts the new pod beside the old one ({strategy}): set strategy.type to Recreate"


def hindering(spec: Kubernetes, thing: Object, pods: Sequence[Object], *, reclaims: bool) -> Iterator[str]:
    """What would make a change fail, have no effect, or be lost. `reclaims`: orcha may take what others set."""
    if not reclaims:
        yield from _taken(spec, thing)
    yield from _beaten(spec, thing)
    what = object_words(spec)
    if thing["spec"].get("paused"):
        yield f"{what} is paused: a change would have no effect; kubectl rollout resume"
    alone = left_alone(thing, pods)
    if alone and (spec.env or spec.args):
        yield (
            f"{what} leaves pod {alone[0]['metadata']['name']} as it is when its template changes (updateStrategy), so a "
            "change would wait until somebody deletes it; set RollingUpdate without a partition"
        )
    owner = next((each for each in thing["metadata"].get("ownerReferences", ()) if each.get("controller")), None)
    if owner:
        owned = f"{owner['kind']} {owner['name']}"
        yield f"{what} is made by {owned}, which would undo a change; name what stands at the top in the actuator"


def _taken(spec: Kubernetes, thing: Object) -> Iterator[str]:
    """Fields that are somebody else's."""
    what, fields = object_words(spec), fields_of(spec)
    by_hand = changed_by_hand(thing, fields)
    for field in by_hand:
        yield hand_words(spec, thing, [field])
    own, once = ours(thing), listed(thing)
    for field in fields:
        managers = others(thing, field)
        if not managers or field in by_hand or (spec.take_ownership and field not in once):
            continue
        also = "also " if field.claim in own else ""
        yield f"{field} of {what} is {also}set by {' and '.join(managers)}; {what_helps(spec)}"


def what_helps(spec: Kubernetes) -> str:
    """Against a field that another manager sets."""
    out = "take it out of what that applies (chart, manifest; Argo CD: ignoreDifferences)"
    return (
        f"{out} (docs/kubernetes.md)"
        if spec.take_ownership
        else f"{out} and set takeOwnership: true (docs/kubernetes.md)"
    )


def hand_words(spec: Kubernetes, thing: Object, fields: Iterable[object]) -> str:
    """That a person's change is respected."""
    names = ", ".join(str(field) for field in fields)
    managers = sorted({name for field in changed_by_hand(thing, fields_of(spec)) for name in others(thing, field)})
    by = f" (by {' and '.join(managers)})" if managers else ""
    return (
        f"{names} of {object_words(spec)} was changed{by} after orcha had set it, which is respected; "
        "`orcha resume` with this workload lets orcha set it again"
    )


def _beaten(spec: Kubernetes, thing: Object) -> Iterator[str]:
    """What silently wins over a variable that orcha would write."""
    found = container(thing, spec.container) or {}
    given = [*(found.get("command") or ()), *(found.get("args") or ())]
    flags = {text.partition("=")[0] for text in given if text.startswith("-")}
    present = {each["name"] for each in found.get("env") or ()}
    for name in spec.env:
        for flag in sorted(flags):
            if _says_the_same(flag, name):
                yield (
                    f"the argument {flag} of container {spec.container} wins over the variable {name}; take it out, or "
                    f"name it under args in place of env"
                )
        for stronger in _BEATEN_BY.get(name, ()):
            if stronger in present and stronger not in spec.env:
                yield (
                    f"the variable {stronger} of container {spec.container} wins over {name}; take it out, or name "
                    f"{stronger} in place of {name}"
                )


def _says_the_same(flag: str, variable: str) -> bool:
    """Whether a flag and a variable mean one setting, as programs commonly name them: --storage.allocated-disk-space and
    STORJ_STORAGE_ALLOCATED_DISK_SPACE. One word alone is no sign behind a prefix.
    """
    words = re.sub(r"[^A-Z0-9]+", "_", flag.strip("-").upper()).strip("_")
    return words == variable.upper() or ("_" in words and variable.upper().endswith(f"_{words}"))


def scaled(spec: Kubernetes, scalers: Iterable[Object], *, singleton: bool) -> Iterator[str]:
    """Autoscalers that would set the same fields, or start a second process."""
    for scaler in scalers:
        kind, name = scaler["kind"], scaler["metadata"]["name"]
        target = scaler["spec"].get("scaleTargetRef") or scaler["spec"].get("targetRef") or {}
        if (target.get("kind"), target.get("name")) != (spec.kind, spec.name):
            continue
        if kind == "HorizontalPodAutoscaler" and (spec.replicas is not None or singleton):
            yield f"{kind} {name} sets replicas of {object_words(spec)} too; delete one of the two"
        mode = (scaler["spec"].get("updatePolicy") or {}).get("updateMode", "Auto")
        if kind == "VerticalPodAutoscaler" and spec.resources and mode != "Off":
            yield f"{kind} {name} sets resources of {object_words(spec)} too; set its updateMode to Off, or leave them out here"
