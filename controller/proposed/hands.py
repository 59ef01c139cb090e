"""On what orcha would lay its hands: what it may do to each workload before and after, and the sentence about it. Pure.

The stricter of the policy's mode and the workload's own holds; without an allocation, a policy or an actuator nothing is ever
changed, whatever the mode says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from controller.policy import MODES

if TYPE_CHECKING:
    from controller.policy import AllocationPolicy
    from controller.proposed.sides import Side
    from exporters.nodes import WorkloadSpec

MOST_NAMED = 10
"""Workloads that a sentence lists."""


class Hand(IntEnum):
    """What orcha may do to a workload, from the least on."""

    GONE = 0
    """It is not in the manifests."""
    WATCHED = 1
    SHOWN = 2
    """It only shows what would be better."""
    PRETENDED = 3
    """dryRun."""
    HANDED = 4
    """handout: a person does it."""
    ASKED = 5
    ACTS = 6


_WILL = {
    Hand.GONE: "{} not in the manifests any more",
    Hand.WATCHED: "orcha only watches {}",
    Hand.SHOWN: "orcha only shows what would be better for {}",
    Hand.PRETENDED: "orcha pretends to change {} (dryRun), and touches nothing",
    Hand.HANDED: "orcha writes down what a person must do for {}, and waits until it is done",
    Hand.ASKED: "orcha asks before it changes {}, and makes the changes that somebody approves",
    Hand.ACTS: "orcha will act by itself on {}",
}
_TOUCHES = (Hand.ASKED, Hand.ACTS)


@dataclass(frozen=True, slots=True)
class Grip:
    """Workloads to which the same happens."""

    before: Hand
    after: Hand
    policy: str | None
    """The one that holds afterwards, or held before."""
    keys: tuple[str, ...]
    sentence: str
    risky: bool


def hand_on(spec: WorkloadSpec | None, policy: AllocationPolicy | None) -> Hand:
    """What orcha may do to a workload under its policy; None: there is none."""
    if spec is None:
        return Hand.GONE
    if spec.allocation is None or policy is None:
        return Hand.WATCHED
    mode = min(policy.spec.mode, spec.mode or policy.spec.mode, key=MODES.index)
    if mode == "Off":
        return Hand.WATCHED
    driver = spec.actuator
    if mode == "Suggest" or driver is None or not driver.model_dump(exclude_none=True):
        return Hand.SHOWN
    if driver.dry_run is not None:
        return Hand.PRETENDED
    if driver.handout is not None:
        return Hand.HANDED
    return Hand.ACTS if mode == "Auto" else Hand.ASKED


def hands_of(side: Side) -> Mapping[str, tuple[Hand, str | None]]:
    """Key -> what orcha may do to it, and the policy that says so."""
    return {
        f"{node.name}/{name}": (
            hand_on(spec, side.policy(side.policy_of.get(node.name))),
            side.policy_of.get(node.name),
        )
        for node in side.nodes
        for name, spec in node.spec.workloads.items()
    }


def grips(before: Side, after: Side) -> tuple[Grip, ...]:
    """What orcha may do otherwise than before, the most first. New workloads that are only watched or shown are no news."""
    was, is_ = hands_of(before), hands_of(after)
    groups: dict[tuple[Hand, Hand, str | None], list[str]] = defaultdict(list)
    for key in sorted(was.keys() | is_.keys()):
        (old, old_policy), (new, new_policy) = was.get(key, _NOWHERE), is_.get(key, _NOWHERE)
        if old is not new and not (old is Hand.GONE and new <= Hand.SHOWN):
            groups[old, new, new_policy or old_policy].append(key)
    ordered = sorted(groups.items(), key=lambda item: (-item[0][1], -item[0][0], item[0][2] or ""))
    return tuple(_grip(*what, keys) for what, keys in ordered)


_NOWHERE: tuple[Hand, str | None] = (Hand.GONE, None)


def _grip(old: Hand, new: Hand, policy: str | None, keys: list[str]) -> Grip:
    by = f"policy {policy}: " if policy else ""
    is_gone = "is" if len(keys) == 1 else "are"
    will = _WILL[new].format(f"{_named(keys)}{f' {is_gone}' if new is Hand.GONE else ''}")
    return Grip(old, new, policy, tuple(keys), f"{by}{will}{_left(old, new)}", new is Hand.ACTS)


def _left(old: Hand, new: Hand) -> str:
    """What becomes of what orcha did so far."""
    if old not in _TOUCHES or new in _TOUCHES:
        return ""
    if new is Hand.GONE:
        return "; what orcha has set there stays as it is, and nobody looks after it"
    return "; what orcha has set stays as it is"


def _named(keys: list[str]) -> str:
    listed = ", ".join(keys[:MOST_NAMED])
    more = f" and {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
    return f"{len(keys)} workload{'' if len(keys) == 1 else 's'} ({listed}{more})"


def renamed(before: Side, after: Side) -> Iterator[str]:
    """A sentence for each workload that seems to have another name only."""
    was, is_ = dict(_addresses(before)), dict(_addresses(after))
    gone = {where: key for key, where in was.items() if key not in is_}
    for key, where in is_.items():
        if key not in was and where in gone:
            yield (
                f"{key} reads what {gone[where]} read: history goes by the name, so under the new one it begins anew"
            )


def _addresses(side: Side) -> Iterator[tuple[str, tuple[str, str, str]]]:
    for node in side.nodes:
        for name, spec in node.spec.workloads.items():
            yield f"{node.name}/{name}", (spec.protocol, spec.endpoint.rstrip("/"), repr(sorted(spec.options.items())))
