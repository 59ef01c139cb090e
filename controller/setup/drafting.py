"""The first manifests as text, as a person would have written them: a comment says where each bound comes from. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from controller.setup import sizing
from controller.setup.found import Found
from controller.setup.sizing import Disk, Machine, Sized
from controller.setup.wish import Wish, host_of, is_here, node_name
from exporters.nodes import API_VERSION
from exporters.quantity import format_quantity

_POLICY: Final = f"""\
# What orcha is allowed to do. Suggest: it looks, works out and shows, and changes nothing. Later: Approve asks you for
# each change, Auto acts within the limits. Every field and its default: docs/manifests.md
apiVersion: {API_VERSION}
kind: AllocationPolicy
metadata:
  name: default
spec:
  mode: Suggest
  # No selector: this policy is for every node.
  limits:
    minHistory: 2h        # nothing is planned before a workload was watched for this long
    hold: 1h              # no second move of a workload within it
    maxStepPercent: 20    # of the capacity, at most, in one move
"""
_SETTINGS: Final = f"""\
# What belongs to no node and no policy. Everything has a default; this is the place to change one.
apiVersion: {API_VERSION}
kind: Settings
metadata:
  name: settings
spec:
  listen: 127.0.0.1:9872    # the page, the API and /metrics; only this machine can reach it
  # state: sqlite:////var/lib/orcha/orcha.db    # without it: orcha.db in the folder where orcha is started
"""
_NO_ACTUATOR: Final = (
    "# No actuator: orcha shows what it would change, and cannot change it. To let it: docs/drivers.md"
)
_MAPPED: Final = (
    "# Watched only: what its metrics mean orcha cannot know. What it uses and earns is added under figures,",
    "# and what may be moved under traits: docs/protocols/mapped.md",
)
_BASE: Final[Mapping[str, str]] = {"mapped": "metrics"}
"""Protocol -> what its workloads are called, where that is not its own name."""


@dataclass(frozen=True, slots=True)
class Draft:
    files: Mapping[str, str]
    """Name in the directory -> text."""
    workloads: Mapping[str, Sized]
    """NODE/WORKLOAD -> its bounds."""


def draft(wish: Wish, found: Sequence[Found], machine: Machine | None, disk: Disk | None) -> Draft:
    """A file for each node, one for the policy, one for Settings."""
    files: dict[str, str] = {}
    workloads: dict[str, Sized] = {}
    for node, members in _nodes(wish, found).items():
        here = node == wish.node
        names = _names(members)
        sized = _sized(members, machine if here else None, disk if here else None)
        files[f"{node}.yaml"] = "\n".join(_node(node, names, sized, machine if here else None)) + "\n"
        workloads |= {f"{node}/{name}": each for name, each in zip(names, sized, strict=True)}
    files["policy.yaml"] = _POLICY
    files["settings.yaml"] = _SETTINGS + _prices(wish)
    return Draft(files, workloads)


def _nodes(wish: Wish, found: Sequence[Found]) -> dict[str, list[Found]]:
    """Node -> what is on it. Accounts, which are nowhere, go with this machine."""
    nodes: dict[str, list[Found]] = {}
    for each in found:
        of_host = each.protocol not in {"grass", "streamr"} and not is_here(each.endpoint)
        name = node_name(host_of(each.endpoint)) if of_host else wish.node
        while name in {"policy", "settings"} or (of_host and name == wish.node):
            name = f"{name}-node"
        nodes.setdefault(name, []).append(each)
    return nodes


def _names(members: Sequence[Found]) -> dict[str, Found]:
    """storj, or storj-1 and storj-2 where there are two."""
    bases = [_BASE.get(each.protocol, each.protocol) for each in members]
    numbers: dict[str, int] = {}
    named = {}
    for base, each in zip(bases, members, strict=True):
        numbers[base] = numbers.get(base, 0) + 1
        named[base if bases.count(base) == 1 else f"{base}-{numbers[base]}"] = each
    return named


def _sized(members: Sequence[Found], machine: Machine | None, disk: Disk | None) -> list[Sized]:
    """The bounds of each, in the same order."""
    by_protocol: dict[str, Iterator[Sized]] = {
        "storj": iter(sizing.storage([each.reading for each in members if each.protocol == "storj"], disk)),
        "streamr": iter(sizing.stakes([each.reading for each in members if each.protocol == "streamr"])),
        "golem": iter([sizing.cores(each.reading, machine) for each in members if each.protocol == "golem"]),
    }
    plain = sizing.watched("")
    return [next(by_protocol[each.protocol]) if each.protocol in by_protocol else plain for each in members]


def _node(name: str, members: Mapping[str, Found], sized: Sequence[Sized], machine: Machine | None) -> Iterator[str]:
    capacity = sizing.capacity(sized, machine)
    yield "# Written by `orcha init` from what answered. Change what you like; `orcha validate` says whether it is right."
    yield from (f"apiVersion: {API_VERSION}", "kind: Node", "metadata:", f"  name: {name}", "spec:")
    if capacity:
        yield "  # What orcha may hand out here, all workloads together."
        yield "  capacity:"
        yield from (f"    {resource}: {_quoted(amount, resource)}" for resource, amount in sorted(capacity.items()))
    yield "  workloads:"
    for (workload, found), bounds in zip(members.items(), sized, strict=True):
        yield f"    {workload}:"
        yield from (f"      {line}" for line in _workload(found, bounds))


def _workload(found: Found, sized: Sized) -> Iterator[str]:
    yield f"# {_told(found)}"
    yield f"protocol: {found.protocol}"
    yield f"endpoint: {_text(found.endpoint)}"
    for key, part in (("credentials", found.credentials), ("options", found.options)):
        if part:
            yield f"{key}:"
            yield from (f"  {name}: {_text(value)}" for name, value in part.items())
    if found.protocol == "streamr":
        yield "# Streamr's autostaker must be off before orcha moves stake; say so with options: autostaker: false"
    if found.protocol == "grass":
        yield "# valuation: {usdPerPoint: 0.00001}    # what you think a point is worth; without it points have no price"
    if found.mapping is not None:
        yield from _MAPPED
        yield f"# Its metrics: {', '.join(found.metrics)} ..."
        yield "mapping:"
        yield from (
            f"  {line}" for line in yaml.safe_dump(dict(found.mapping), sort_keys=False, width=110).splitlines()
        )
    if sized.resource:
        yield from _allocation(sized)
    elif sized.why.get(""):
        yield f"# No allocation, so it is watched and never moved: {sized.why['']}."


def _allocation(sized: Sized) -> Iterator[str]:
    yield f"# It has {_shown(sized.now, sized.resource)} now; orcha may move it between min and max, by step."
    yield "allocation:"
    yield f"  resource: {sized.resource}"
    for key, amount in (("min", sized.least), ("max", sized.most), ("step", sized.step)):
        about = (
            ""
            if key == "step" or _shown(amount, sized.resource) == sizing.exact(amount, sized.resource)
            else f"{_shown(amount, sized.resource)}: "
        )
        yield f"  {key}: {_quoted(amount, sized.resource)}    # {about}{sized.why[key]}"
    if sized.along:
        yield "  with:    # goes along with each step"
        yield from (f"    {name}: {_quoted(amount, name)}" for name, amount in sized.along.items())
    yield _NO_ACTUATOR


def _told(found: Found) -> str:
    """Who answered, in one line of plain words."""
    reading = found.reading
    parts = [part for part in (reading.version, reading.state) if part]
    if found.protocol == "storj" and reading.node_id:
        parts.append(f"id {reading.node_id[:12]}...")
    for resource, used in reading.used.items():
        have = reading.allocated.get(resource)
        if have is not None:
            parts.append(f"{_shown(used, resource)} of {_shown(have, resource)} {resource} used")
    line = f"{found.protocol} {', '.join(parts)}" if parts else found.protocol
    return " ".join(line.split())


def _shown(amount: float, resource: str) -> str:
    return format_quantity(amount, binary=resource in {"storage", "memory"})


def _quoted(amount: int, resource: str) -> str:
    return json.dumps(sizing.exact(amount, resource))


def _text(value: Any) -> str:
    """As YAML reads it back, whatever it holds; an address of a contract must not be read as a number."""
    return json.dumps(value, ensure_ascii=False)


def _prices(wish: Wish) -> str:
    lines = []
    if wish.offline or wish.prices:
        lines.append("  prices:")
    if wish.offline:
        lines.append("    sources: []    # nobody is asked for prices")
    if wish.prices:
        lines.append("    static:        # token: USD, where no source tells its price")
        lines += [f"      {_text(token)}: {usd:.12g}" for token, usd in sorted(wish.prices.items())]
    return "".join(f"{line}\n" for line in lines)
