"""What a workload's amounts mean for the fields that its manifest names. Pure.

Of requests and limits those follow that the container has, so that the Pod keeps its quality of service:

    has both            limit = the amount; the request keeps its ratio to the limit
    has only a limit    limit = the amount
    has only a request  request = the amount
    has neither         both = the amount: it is reserved, and not exceeded
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from controller.actuate.kubernetes.fields import Field, Object, container, flag_values, same
from exporters.nodes import Kubernetes
from exporters.placeholders import CannotFill, fill
from exporters.quantity import parse_quantity

_BINARY: Final = ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)


def fields_of(spec: Kubernetes) -> list[Field]:
    """Every field that the manifest names, requests and limits both."""
    parts = ("requests", "limits")
    return [
        *(Field("env", spec.container, name) for name in spec.env),
        *(Field("args", spec.container, flag) for flag in flags(spec.args)),
        *(Field(part, spec.container, name) for name in spec.resources for part in parts),
        *([Field("replicas")] if spec.replicas is not None else []),
    ]


def only_resizes(spec: Kubernetes) -> bool:
    """Whether a change needs no restart: nothing but resources is set in the container."""
    return bool(spec.resources) and not spec.env and not spec.args


def flags(args: list[str]) -> dict[str, str]:
    """The format of each flag, of "--flag=FORMAT" and of "--flag", "FORMAT"."""
    found, given = {}, list(args)
    while given:
        flag, joined, form = given.pop(0).partition("=")
        found[flag] = form if joined else given.pop(0)
    return found


def written_apart(args: list[str]) -> frozenset[str]:
    """The flags that the manifest writes as two arguments."""
    return frozenset(text for text in flags(args) if text in args)


def wanted(spec: Kubernetes, amounts: Mapping[str, float], thing: Object) -> dict[Field, Any]:
    """Field -> value for these amounts, in an object as it is now. Raises CannotFill."""
    found = container(thing, spec.container) or {}
    made: dict[Field, Any] = {}
    for name, form in spec.env.items():
        made[Field("env", spec.container, name)] = fill(form, amounts)
    for flag, form in flags(spec.args).items():
        times = len(flag_values(found.get("args") or (), flag) or ("",))
        made[Field("args", spec.container, flag)] = [fill(form, amounts)] * times
    for name in spec.resources:
        for part, text in sized(name, _amount(amounts, name), found.get("resources", {})).items():
            made[Field(part, spec.container, name)] = text
    if spec.replicas is not None:
        made[Field("replicas")] = _count(fill(spec.replicas, amounts))
    return made


def sized(name: str, amount: float, resources: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The requests and limits of one resource for an amount, given those that the container has. Raises CannotFill."""
    text = quantity(name, amount)
    if parse_quantity(text) == 0:
        raise CannotFill(
            f"no {name} at all cannot be written: to Kubernetes 0 is no limit; set a min above 0, or replicas"
        )
    has = {part: resources[part][name] for part in ("requests", "limits") if name in resources.get(part, {})}
    if not has:
        return {"requests": text, "limits": text}
    if len(has) == 1:
        return dict.fromkeys(has, text)
    limit, request = parse_quantity(has["limits"]), parse_quantity(has["requests"])
    if request == limit:
        return {"requests": text, "limits": text}
    if limit == parse_quantity(text):
        return has
    smaller = quantity(name, amount * request / limit) if limit else text
    return {"requests": smaller, "limits": text}


def pod_resources(template: Mapping[str, Mapping[str, str]], names: list[str]) -> dict[str, dict[str, str]]:
    """What a Pod's container has by its template: a limit stands for a request that is left out, as the API server has it."""
    limits = {name: template.get("limits", {}).get(name) for name in names}
    requests = {name: template.get("requests", {}).get(name, limits[name]) for name in names}
    both = {"requests": requests, "limits": limits}
    return {part: {name: text for name, text in of.items() if text is not None} for part, of in both.items()}


def quantity(name: str, amount: float) -> str:
    """A quantity as Kubernetes itself would write it: 1.5 cores -> 1500m, 1610612736 bytes -> 1536Mi. Not under 1 m."""
    if name == "cpu":
        cores = max(1, round(amount * 1000)) if amount > 0 else 0
        return f"{cores // 1000}" if cores % 1000 == 0 else f"{cores}m"
    size = math.floor(amount + 0.5)
    return next((f"{size // unit}{suffix}" for suffix, unit in _BINARY if size and size % unit == 0), f"{size}")


def agrees(has: Mapping[str, Any], wants: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a container's requests and limits are those wanted."""
    return all(
        same(Field(part, "", name), (has.get(part) or {}).get(name), text)
        for part, of in wants.items()
        for name, text in of.items()
    )


def _amount(amounts: Mapping[str, float], name: str) -> float:
    if name not in amounts:
        have = ", ".join(sorted(amounts)) or "nothing"
        raise CannotFill(
            f"resources names {name}, and this workload is allocated {have}; leave it out, or add it to `with`"
        )
    return amounts[name]


def _count(text: str) -> int:
    if not text.isdecimal():
        raise CannotFill(f"replicas would be {text}; write a format that gives a whole number, such as {{cpu}}")
    return int(text)
