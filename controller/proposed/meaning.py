"""What a changed field means where that matters: whether orcha may do more than before, in a sentence. Pure.

Looser is what lets more happen: a smaller threshold, a longer reach, a window less. That is marked as risky where orcha acts
or asks to; where it only shows, nothing happens. What runs a program, or opens a door, is risky wherever it stands.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from controller.policy import MODES
from controller.proposed.fields import Path, Value
from exporters.settings import read_listen


class Effect(StrEnum):
    LOOSER = "looser"
    TIGHTER = "tighter"
    NONE = ""


class More(StrEnum):
    """What letting more happen is."""

    HIGHER = "higher"
    LOWER = "lower"
    ABSENT = "absent"
    """The field gone, or the entry of a list."""
    NEITHER = "neither"


class Risk(StrEnum):
    """When a rule's change is marked."""

    ACTS = "acts"
    """Where orcha acts, or asks to."""
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Rule:
    looser: More
    sentence: str = ""
    """Of what lets more happen; of a rule without direction: of every change."""
    risk: Risk = Risk.ACTS
    absence: Effect = Effect.LOOSER
    """What it is that the field is gone, or not written."""


@dataclass(frozen=True, slots=True)
class Meaning:
    effect: Effect = Effect.NONE
    risky: bool = False
    sentence: str = ""


_MODE: Final = "orcha may do more by itself: see what it may do"
_LIMITS: Final = {
    "minImprovement.percent": Rule(More.LOWER, "a smaller gain is enough for a change"),
    "minImprovement.usdPerHour": Rule(More.LOWER, "a smaller gain is enough for a change"),
    "minConfidence": Rule(More.LOWER, "orcha need not be as sure that a change pays"),
    "minHistory": Rule(More.LOWER, "orcha plans after less time of watching"),
    "maxStepPercent": Rule(More.HIGHER, "one program may move more at once"),
    "hold": Rule(More.LOWER, "a workload may be changed again sooner"),
    "maxProgramsPerHour": Rule(More.HIGHER, "more programs may begin in an hour"),
    "parallelNodes": Rule(More.HIGHER, "more nodes may change at the same time"),
    "freezeWindows.*": Rule(More.ABSENT, "orcha may act in a time in which it might not"),
    "blockWhile": Rule(More.ABSENT, "no query of Prometheus holds orcha back any more"),
    "maxUnhealthyShare": Rule(More.HIGHER, "orcha goes on with more of the workloads unhealthy or unread"),
    "onSourceFailure.lastGood": Rule(
        More.HIGHER, "orcha goes on for longer with what it read last", absence=Effect.TIGHTER
    ),
}
_POLICY: Final = {
    "spec.mode": Rule(More.HIGHER, _MODE),
    **{f"spec.limits.{path}": rule for path, rule in _LIMITS.items()},
    "spec.constraints.*.maxShare": Rule(More.HIGHER, "one protocol may have more of the whole"),
    "spec.constraints.*.maxTotal": Rule(More.HIGHER, "one protocol may have more of the whole"),
    "spec.constraints.*.maxCount": Rule(More.HIGHER, "more workloads may have more than their minimum"),
    "spec.constraints.*.minTotal": Rule(More.LOWER, "less is kept for one protocol"),
    "spec.constraints.*.resource": Rule(More.NEITHER, "it asks for that of another resource"),
    "spec.constraints.*.throughout": Rule(More.LOWER, "it may be broken while a change is half way"),
    "spec.constraints.*": Rule(More.ABSENT, "what it asked for need not hold any more"),
    "spec.objective.riskTolerance": Rule(More.HIGHER, "plans may be less certain"),
    "spec.objective.every": Rule(More.LOWER, "programs may follow each other sooner"),
    "spec.objective.riseAnalyses": Rule(More.LOWER, "a rise need not last as long before it counts"),
    "spec.objective.horizon": Rule(More.HIGHER, "what a move costs is spread over a longer time"),
    "spec.rollback.automatic": Rule(More.LOWER, "a change whose steps fail is not undone"),
    "spec.rollback.regressionConfidence": Rule(
        More.HIGHER, "a stage that earns less is undone only when that is surer"
    ),
    "spec.approval.ttl": Rule(More.HIGHER, "a proposal may be approved for longer"),
    "metadata.annotations.orcha.dev/approve": Rule(
        More.NEITHER, "the programs that are named are approved, and begin as soon as the guard lets them", Risk.ALWAYS
    ),
    "metadata.annotations.orcha.dev/reject": Rule(More.NEITHER, "the programs that are named are rejected", Risk.NEVER),
}
_WORKLOAD: Final = {
    "mode": Rule(More.HIGHER, _MODE),
    "protocol": Rule(
        More.NEITHER, "it is read, and earns, in another way: check its allocation and its actuator", Risk.NEVER
    ),
    "endpoint": Rule(More.NEITHER, "another address is asked; the history goes on under the same name", Risk.NEVER),
    "credentials.*": Rule(More.NEITHER, "the secret is read from another file: it must be there first", Risk.NEVER),
    "allocation.min": Rule(More.LOWER, "it may be shrunk further", absence=Effect.NONE),
    "allocation.max": Rule(More.HIGHER, "it may grow further", absence=Effect.NONE),
    "allocation.freeze": Rule(More.ABSENT, "a direction is allowed that was not"),
    "allocation.protectUntil": Rule(More.LOWER, "it may be moved sooner"),
    "allocation.resource": Rule(More.NEITHER, "another resource is handed out: its history begins anew", Risk.NEVER),
    "actuator.kubernetes.takeOwnership": Rule(More.HIGHER, "the first change may take the fields from who owns them"),
    "actuator.command.argv": Rule(More.NEITHER, "this is run on orcha's machine, with orcha's rights", Risk.ALWAYS),
    "actuator.command.verify.argv": Rule(
        More.NEITHER, "this is run to see whether a change took effect, with orcha's rights", Risk.ALWAYS
    ),
    "actuator.webhook.url": Rule(More.NEITHER, "changes are posted to this address"),
    "actuator.kubernetes.*": Rule(More.NEITHER, "this is what is set in the cluster"),
    "actuator": Rule(More.NEITHER, "changes are made another way", Risk.NEVER),
}
_NODE: Final = {
    "spec.capacity.*": Rule(
        More.HIGHER, "orcha may hand out more: the machine must really have it", absence=Effect.TIGHTER
    ),
    **{f"spec.workloads.*.{path}": rule for path, rule in _WORKLOAD.items()},
}
_SETTINGS: Final = {
    "spec.api.tokenFiles.*": Rule(More.ABSENT, "a door of the API has no token of its own any more", Risk.ALWAYS),
    "spec.state": Rule(
        More.NEITHER,
        "history, journal and what waits for approval are looked for there; they do not move along",
        Risk.ALWAYS,
    ),
    "spec.stateFile": Rule(
        More.NEITHER,
        "history, journal and what waits for approval are looked for there; they do not move along",
        Risk.ALWAYS,
    ),
    "spec.retention": Rule(More.NEITHER, "what is older is forgotten", Risk.NEVER),
    "spec.lease.name": Rule(More.ABSENT, "nothing keeps a second controller from acting beside the first", Risk.ALWAYS),
    "spec.source": Rule(More.NEITHER, "readings come another way; nodes must not be polled by two", Risk.NEVER),
    "spec.prices.*": Rule(More.NEITHER, "what tokens are worth decides what is planned", Risk.NEVER),
}
_FLEET: Final = {
    "spec.sites": Rule(
        More.NEITHER,
        "each limit is shared out anew; a site that is taken out keeps what it holds, and counts for nobody",
        Risk.ALWAYS,
    ),
    "spec.relays": Rule(More.NEITHER, "who talks with whom changes at the next start of every agent", Risk.NEVER),
    "spec.limits.*.maxShare": Rule(More.HIGHER, "one protocol may have more of the whole, over all sites"),
    "spec.limits.*.maxTotal": Rule(More.HIGHER, "one protocol may have more of the whole, over all sites"),
    "spec.limits.*.maxCount": Rule(More.HIGHER, "more workloads may have more than their minimum, over all sites"),
    "spec.limits.*.minTotal": Rule(More.LOWER, "less is kept for one protocol, over all sites"),
    "spec.limits.*": Rule(More.ABSENT, "what it asked of all sites together need not hold any more"),
    "spec.irreversibleAtOnce": Rule(More.HIGHER, "more moves that cannot be taken back may be under way at a time"),
}
_RULES: Final = {"AllocationPolicy": _POLICY, "Node": _NODE, "Settings": _SETTINGS, "Fleet": _FLEET}


def meaning_of(kind: str, path: Path, before: Value | None, after: Value | None, *, acts: bool) -> Meaning:
    """What a change of one field means. `acts`: whether orcha acts, or asks to, where this holds afterwards."""
    if kind == "Settings" and path == ("spec", "listen"):
        return _doors(after)
    if path[-1] == "onSourceFailure":  # "stay"; what stands in its place is told by itself
        return Meaning()
    if path == ("spec", "rollback", "stages"):
        return _stages(before, after, acts=acts)
    rule = _rule(kind, path)
    if rule is None:
        return Meaning()
    if "actuator" in path and after is None:
        gone = path[-1] == "actuator"
        return Meaning(sentence="changes are only shown from now on; what orcha has set stays as it is" if gone else "")
    effect = _effect(rule, before, after)
    told = rule.looser is More.NEITHER or effect is Effect.LOOSER
    risky = told and (rule.risk is Risk.ALWAYS or (rule.risk is Risk.ACTS and acts))
    return Meaning(effect, risky, rule.sentence if told else "")


def _rule(kind: str, path: Path) -> Rule | None:
    """The first whose pattern fits: the rest of a path where it ends in *, and any one part elsewhere."""
    return next((rule for pattern, rule in _RULES[kind].items() if _fits(pattern, path)), None)


def _fits(pattern: str, path: Path) -> bool:
    if pattern.startswith("metadata.annotations."):
        return path == ("metadata", "annotations", pattern.removeprefix("metadata.annotations."))
    parts = pattern.split(".")
    if parts[-1] == "*" and len(path) > len(parts):
        path = (*path[: len(parts) - 1], "*")
    return len(parts) == len(path) and all(part in {"*", here} for part, here in zip(parts, path, strict=True))


def _effect(rule: Rule, before: Value | None, after: Value | None) -> Effect:
    if rule.looser is More.NEITHER:
        return Effect.NONE
    if after is None:
        return rule.absence
    if before is None:
        return _OPPOSITE[rule.absence]
    if rule.looser is More.ABSENT:
        return Effect.NONE
    was, is_ = _rank(before.meant), _rank(after.meant)
    if was is None or is_ is None or was == is_:
        return Effect.NONE
    return Effect.LOOSER if (is_ > was) is (rule.looser is More.HIGHER) else Effect.TIGHTER


_OPPOSITE: Final = {Effect.LOOSER: Effect.TIGHTER, Effect.TIGHTER: Effect.LOOSER, Effect.NONE: Effect.NONE}


def _rank(meant: Any) -> float | None:
    if isinstance(meant, str) and meant in MODES:
        return float(MODES.index(meant))
    if hasattr(meant, "timestamp"):
        return float(meant.timestamp())
    return float(meant) if isinstance(meant, int | float) else None


def _stages(before: Value | None, after: Value | None, *, acts: bool) -> Meaning:
    """More of a change at once is looser."""
    first = [float(str(value.meant).strip("[]").split(",")[0]) for value in (before, after) if value is not None]
    if len(first) < 2 or first[0] == first[1]:
        return Meaning()
    if first[1] < first[0]:
        return Meaning(Effect.TIGHTER)
    return Meaning(Effect.LOOSER, acts, "more of a change is made at once, before anybody sees what comes of it")


def _doors(after: Value | None) -> Meaning:
    host = read_listen(str(after.meant))[0] if after is not None else "127.0.0.1"
    try:
        own = ipaddress.ip_address(host or "0.0.0.0").is_loopback  # noqa: S104 what no host means
    except ValueError:
        own = host == "localhost"
    if own:
        return Meaning(Effect.TIGHTER)
    return Meaning(Effect.LOOSER, risky=True, sentence="other machines may reach the API: tokens say who may do what")


def patterns() -> Mapping[str, tuple[str, ...]]:
    """Kind -> every path that has a rule, for who checks that they name fields that exist."""
    return {kind: tuple(rules) for kind, rules in _RULES.items()}
