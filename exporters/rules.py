"""What must hold between the fields of one Node. Pure: each rule yields (path, sentence with what would be right)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from exporters.actuator_rules import actuator_rules, no_pretence_beside_acts
from exporters.documents import Path_, tell
from exporters.nodes import Allocation, Node, WorkloadSpec
from exporters.quantity import format_quantity
from exporters.traits import CurveKind, Traits

Told = Iterator[tuple[Path_, str]]
BINARY = ("memory", "storage")


class Declares(Protocol):
    """What a rule needs to know of a protocol's module."""

    TRAITS: Traits


def shown(resource: str, value: float) -> str:
    """A figure as its writer would write it."""
    return format_quantity(value, binary=resource in BINARY)


def node_rules(protocols: Mapping[str, Declares]) -> Any:
    """Every rule of a Node, given the protocols that exist."""

    def rules(node: Node) -> Told:
        for name, spec in node.spec.workloads.items():
            here: Path_ = ("spec", "workloads", name)
            yield from workload_rules(here, spec, protocols)
            yield from actuator_rules(here, spec)
            if spec.allocation:
                yield from allocation_rules((*here, "allocation"), spec, node)
        yield from minima_fit(node)
        yield from no_pretence_beside_acts(node)

    return rules


def workload_rules(here: Path_, spec: WorkloadSpec, protocols: Mapping[str, Declares]) -> Told:
    url = urlsplit(spec.endpoint)
    if url.scheme not in {"http", "https"} or not url.hostname:
        yield (*here, "endpoint"), f"{spec.endpoint!r} is not an address; write http://HOST:PORT"
    elif url.username or url.password:
        yield (*here, "endpoint"), "holds a user or password; put secrets into files and name them under credentials"
    elif url.query or url.fragment:
        yield (
            (*here, "endpoint"),
            "holds a ? or #; write http://HOST:PORT, and put a key into a file named under credentials",
        )
    if spec.protocol not in protocols:
        yield (*here, "protocol"), f"there is no protocol {spec.protocol!r}; there are {', '.join(sorted(protocols))}"
        return
    if (spec.protocol == "mapped") != (spec.mapping is not None):
        yield (*here, "mapping"), "belongs to protocol mapped, and mapped needs one (docs/protocols/mapped.md)"
        return
    yield from module_rules(here, spec, protocols[spec.protocol])


def module_rules(here: Path_, spec: WorkloadSpec, module: Declares) -> Told:
    """What the protocol's own models say of credentials, options and mapping."""
    check = getattr(module, "check", None)
    if check is not None:
        yield from (((*here, *path), sentence) for path, sentence in check(spec))
        if spec.protocol == "mapped":
            return
    yield from part_rules((*here, "credentials"), spec.credentials.model_extra or {}, module.TRAITS.credentials)
    yield from part_rules((*here, "options"), spec.options, module.TRAITS.options)
    if spec.allocation is None:
        return
    traits = module.TRAITS
    if traits.curve is CurveKind.NONE:
        yield (
            (*here, "allocation"),
            f"{spec.protocol} has nothing to allocate: it is watched, never moved; leave this out",
        )
    elif traits.resource and spec.allocation.resource != traits.resource:
        yield (
            (*here, "allocation", "resource"),
            f"{spec.protocol} is allocated in {traits.resource}, not {spec.allocation.resource}",
        )
    elif spec.allocation.min < traits.min_allocation:
        least = shown(spec.allocation.resource, traits.min_allocation)
        yield (*here, "allocation", "min"), f"{spec.protocol} refuses to start below {least}; write at least that"


def part_rules(here: Path_, given: Mapping[str, Any], model: type[BaseModel] | None) -> Told:
    if model is None:
        if given:
            yield here, "this protocol knows none; leave it out"
        return
    try:
        model.model_validate(given, by_name=False)
    except ValidationError as exc:
        yield from tell(exc, model, here)


def allocation_rules(here: Path_, spec: WorkloadSpec, node: Node) -> Told:
    allocation, capacity = spec.allocation, node.spec.capacity
    if allocation is None:
        return
    resource = allocation.resource
    low, high = shown(resource, allocation.min), shown(resource, allocation.max)
    if allocation.step <= 0:
        yield (*here, "step"), "0 is no step; write by how much the allocation may change at the least"
    if allocation.min > allocation.max:
        yield (*here, "min"), f"{low} is more than max {high}; make min at most max"
    if allocation.initial is not None and not allocation.min <= allocation.initial <= allocation.max:
        yield (*here, "initial"), f"{shown(resource, allocation.initial)} is not between min {low} and max {high}"
    for path, name in (((*here, "resource"), resource), *(((*here, "with", name), name) for name in allocation.with_)):
        if name not in capacity:
            yield (
                path,
                f"the node declares no {name}; add it to spec.capacity, which has {', '.join(sorted(capacity)) or 'nothing'}",
            )
    if resource in allocation.with_:
        yield (*here, "with", resource), f"{resource} is the allocation's own resource; leave it out of with"
    for i, name in enumerate(allocation.reserve):
        if name not in allocation.with_:
            yield (*here, "reserve", i), f"{name} is not in with; list only resources that go along"


def minima_fit(node: Node) -> Told:
    """Σ min <= capacity, per resource, with what goes along."""
    needed: dict[str, float] = {}
    for spec in node.spec.workloads.values():
        for resource, amount in at_minimum(spec.allocation).items():
            needed[resource] = needed.get(resource, 0.0) + amount
    for resource, amount in sorted(needed.items()):
        room = node.spec.capacity.get(resource)
        if room is not None and amount > room * (1 + 1e-9):
            need, have = shown(resource, amount), shown(resource, room)
            sentence = f"the minima of the workloads need {need} of {resource}, the node has {have}; lower a min or raise the capacity"
            yield ("spec", "capacity", resource), sentence


def at_minimum(allocation: Allocation | None) -> dict[str, float]:
    """What the smallest allocation takes of each resource."""
    if allocation is None or allocation.step <= 0:
        return {}
    steps = allocation.min / allocation.step
    return {
        allocation.resource: allocation.min,
        **{name: steps * per_step for name, per_step in allocation.with_.items()},
    }
