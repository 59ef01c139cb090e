"""What the driver asks before any move: whether its formats can be filled, its rights, and whether Pods can be resized."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from controller.actuate.driver import Refused
from controller.actuate.kubernetes.asks import Ask, NotOffered, ask_of
from controller.actuate.kubernetes.barriers import object_words
from controller.actuate.kubernetes.fields import Object
from controller.actuate.kubernetes.rollout import left_alone
from controller.actuate.kubernetes.wanted import flags, only_resizes
from exporters.nodes import Kubernetes
from exporters.placeholders import CannotFill, placeholders

if TYPE_CHECKING:
    from controller.actuate.kubernetes.api import Api


def unfillable(spec: Kubernetes, key: str, resources: Collection[str]) -> Iterator[str]:
    """Formats that will have no amount, before there is one."""
    forms = [*spec.env.values(), *flags(spec.args).values(), *([spec.replicas] if spec.replicas is not None else [])]
    have = ", ".join(sorted(resources)) or "nothing"
    for form in [*forms, *(f"{{{name}}}" for name in spec.resources)]:
        try:
            named = placeholders(form)
        except CannotFill as exc:
            yield str(exc)
            continue
        for name, _ in named:
            if name not in resources:
                yield f"{form} needs an amount of {name}, and {key} is allocated {have}; write one of these"


async def lacking(api: Api, spec: Kubernetes) -> list[str]:
    """The rights that are missing, each with the line of a Role that grants it. Events are no condition of a change."""
    asks = [ask_of(verb, spec.kind, spec.namespace, spec.name) for verb in ("get", "patch")]
    if spec.kind == "Pod":
        asks.append(Ask("patch", "", "pods", spec.namespace, spec.name, "resize"))
    else:
        asks.append(Ask("list", "", "pods", spec.namespace))
    granted = await asyncio.gather(*map(api.allowed, asks))
    return [ask.lacking for ask, may in zip(asks, granted, strict=True) if not may]


async def unevictable(api: Api, spec: Kubernetes, thing: Object, pods: Sequence[Object]) -> list[str]:
    """The right without which a change that failed could not be taken back (rollout.stuck)."""
    if spec.kind != "StatefulSet":
        return []
    alone = {pod["metadata"]["name"] for pod in left_alone(thing, pods)}
    names = sorted({pod["metadata"]["name"] for pod in pods} - alone)
    asks = [Ask("create", "", "pods", spec.namespace, name, "eviction") for name in names]
    granted = await asyncio.gather(*map(api.allowed, asks))
    return [ask.lacking for ask, may in zip(asks, granted, strict=True) if not may]


async def unresizable(api: Api, spec: Kubernetes, thing: Object, pods: Sequence[Object]) -> list[str]:
    """Why Pods that a new template leaves alone could not be resized either: told by a resize that changes nothing."""
    alone = [thing] if spec.kind == "Pod" else left_alone(thing, pods)
    if not alone or not only_resizes(spec):
        return []
    name = alone[0]["metadata"]["name"]
    try:
        await api.resize(spec.namespace, name, {}, dry_run=True)
    except NotOffered:
        return [_not_offered(spec, name)]
    except Refused as exc:
        return [str(exc)]
    return []


def _not_offered(spec: Kubernetes, pod: str) -> str:
    return (
        f"this cluster cannot resize a running pod (Kubernetes 1.33 can), and pod {pod} is not replaced when "
        f"{object_words(spec)} changes; name a Deployment, or a StatefulSet with updateStrategy RollingUpdate"
    )
