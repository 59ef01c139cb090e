"""Two sets of manifests -> everything that differs in what they mean, each with what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from controller.proposed.fields import Path, Value, dotted, fields_of, flow
from controller.proposed.hands import Grip, Hand, grips, hand_on, renamed
from controller.proposed.meaning import Effect, Meaning, meaning_of
from exporters.settings import needing_a_restart

if TYPE_CHECKING:
    from controller.fleet.manifest import Fleet
    from controller.policy import AllocationPolicy
    from controller.proposed.sides import Id, Side
    from exporters.nodes import WorkloadSpec

_MAY_TOUCH: Final = (Hand.ASKED, Hand.ACTS)


class What(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """One field."""

    path: str
    before: str | None
    """As it was written; None: it was not there."""
    after: str | None
    meaning: Meaning


@dataclass(frozen=True, slots=True)
class Item:
    """One node, workload, policy, or the Settings."""

    kind: str
    """Node, Workload, AllocationPolicy, Fleet or Settings."""
    name: str
    what: What
    about: str
    """One sentence of something that came or went; "" of what only changed."""
    changes: tuple[Change, ...] = ()

    @property
    def risky(self) -> bool:
        return any(change.meaning.risky for change in self.changes)


@dataclass(frozen=True, slots=True)
class Proposed:
    """What a change of the manifests comes to."""

    items: tuple[Item, ...]
    grips: tuple[Grip, ...]
    notes: tuple[str, ...]

    @property
    def risks(self) -> int:
        changes = [change for item in self.items for change in item.changes]
        return sum(change.meaning.risky for change in changes) + sum(grip.risky for grip in self.grips)


def compare(before: Side, after: Side) -> Proposed:
    """Everything that differs in meaning, in the order Node, Workload, AllocationPolicy, Fleet, Settings, and by name."""
    was, is_ = _parts(before), _parts(after)
    items = [_item(key, was.get(key), is_.get(key), before, after) for key in _ordered({*was, *is_})]
    later = needing_a_restart(before.settings.spec, after.settings.spec)
    notes = [*renamed(before, after), *_left_alone(before, after)]
    if later:
        notes.append(
            f"of Settings, {', '.join(later)} take{'s' if len(later) == 1 else ''} effect at the next start only"
        )
    return Proposed(tuple(item for item in items if item is not None), grips(before, after), tuple(notes))


_ORDER: Final = ("Node", "Workload", "AllocationPolicy", "Fleet", "Settings")
Fields = Mapping[Path, Value]


def _ordered(ids: set[Id]) -> list[Id]:
    return sorted(ids, key=lambda key: (_ORDER.index(key[0]), key[1]))


def _parts(side: Side) -> dict[Id, Fields]:
    """The fields of everything that has a name of its own: those of a workload are not its node's."""
    found: dict[Id, Fields] = {}
    for key, model in side.models():
        fields = fields_of(model, side.written.get(key))
        if key[0] != "Node":
            found[key] = fields
            continue
        found[key] = {path: value for path, value in fields.items() if path[:2] != ("spec", "workloads")}
        for name in _workloads(side, key[1]):
            inside = ("spec", "workloads", name)
            found["Workload", f"{key[1]}/{name}"] = {
                path[3:]: value for path, value in fields.items() if path[:3] == inside
            }
    return found


def _workloads(side: Side, node: str) -> Mapping[str, WorkloadSpec]:
    """By name, of one node."""
    return next((each.spec.workloads for each in side.nodes if each.name == node), {})


def _item(key: Id, was: Fields | None, is_: Fields | None, before: Side, after: Side) -> Item | None:
    kind, name = key
    acts = _acts(key, after)
    if is_ is None:
        return Item(kind, name, What.REMOVED, _farewell(key, before))
    if was is None:
        about = _about(key, after)
        told = (_change(kind, path, None, value, acts=acts) for path, value in is_.items())
        return Item(kind, name, What.ADDED, about, tuple(change for change in told if change.meaning.risky))
    changes = tuple(
        _change(kind, path, was.get(path), is_.get(path), acts=acts)
        for path in sorted({*was, *is_})
        if _differ(was.get(path), is_.get(path))
    )
    return Item(kind, name, What.CHANGED, "", changes) if changes else None


def _differ(was: Value | None, is_: Value | None) -> bool:
    """A default that comes or goes with what holds it is no news."""
    if was is None or is_ is None:
        other = is_ if was is None else was
        return other is not None and not other.default
    return bool(was.meant != is_.meant)


def _change(kind: str, path: Path, was: Value | None, is_: Value | None, *, acts: bool) -> Change:
    whole = ("spec", "workloads", "*", *path) if kind == "Workload" else path
    meaning = meaning_of("Node" if kind == "Workload" else kind, whole, was, is_, acts=acts)
    if was is None and is_ is not None and meaning.effect is not Effect.LOOSER and not meaning.risky:
        meaning = Meaning(meaning.effect)  # what is new is not "another" one
    before, after = (None if value is None else str(value) for value in (was, is_))
    return Change(dotted(path).removeprefix("spec."), before, after, meaning)


def _acts(key: Id, side: Side) -> bool:
    """Whether orcha acts, or asks to, on something of this."""
    kind, name = key
    if kind in {"Settings", "Fleet"}:
        return True
    node, _, workload = name.partition("/") if kind == "Workload" else (name, "", "")
    of = [
        (spec, each.name)
        for each in side.nodes
        for own, spec in each.spec.workloads.items()
        if (kind == "AllocationPolicy" and side.policy_of.get(each.name) == name)
        or (kind != "AllocationPolicy" and each.name == node and workload in {"", own})
    ]
    return any(hand_on(spec, side.policy(side.policy_of.get(where))) in _MAY_TOUCH for spec, where in of)


# --- sentences about what came and went -----------------------------------------------------------------------------------


def _about(key: Id, side: Side) -> str:
    kind, name = key
    if kind == "AllocationPolicy":
        return _about_policy(side, side.policy(name))
    if kind == "Node":
        node = next(each for each in side.nodes if each.name == name)
        chosen = side.policy_of.get(name)
        by = f"policy {chosen} selects it" if chosen else "no policy selects it: it is only watched"
        return f"{_count(len(node.spec.workloads), 'workload')}; {by}"
    if kind == "Fleet":
        return _about_fleet(side.fleet)
    where, _, own = name.partition("/")
    return _about_workload(_workloads(side, where)[own], side.written.get(("Node", where)), own)


def _about_policy(side: Side, policy: AllocationPolicy | None) -> str:
    if policy is None:
        return ""
    nodes = [node for node, chosen in side.policy_of.items() if chosen == policy.name]
    return f"mode {policy.spec.mode}, for {_count(len(nodes), 'node')}"


def _about_fleet(fleet: Fleet | None) -> str:
    if fleet is None:
        return ""
    return f"{_count(len(fleet.spec.sites), 'site')}, {_count(len(fleet.spec.limits), 'limit')} over all of them"


def _about_workload(spec: WorkloadSpec, document: Any, name: str) -> str:
    if spec.allocation is None:
        return f"{spec.protocol}, without an allocation: it is only watched"
    written = document["spec"]["workloads"][name]["allocation"]
    low, high, step = (flow(written[part]) for part in ("min", "max", "step"))
    by = next(iter(spec.actuator.model_dump(exclude_none=True, by_alias=True)), None) if spec.actuator else None
    hand = f"changed by {by}" if by else "without an actuator: changes are only shown"
    return f"{spec.protocol}, {low} to {high} {spec.allocation.resource} in steps of {step}, {hand}"


def _farewell(key: Id, side: Side) -> str:
    kind, name = key
    if kind == "AllocationPolicy":
        return "nothing is planned by it any more; its nodes are only watched where no other policy selects them"
    if kind == "Fleet":
        return "each site stands alone: no limit holds over all of them any more"
    if kind == "Workload":
        return "it is not asked any more; what is known of it is kept until it is older than the retention"
    return f"{_count(len(_workloads(side, name)), 'workload')} on it; it keeps running, and nobody watches it"


def _left_alone(before: Side, after: Side) -> Iterator[str]:
    """Nodes that lost their policy."""
    names = {node.name for node in after.nodes}
    for node in sorted(names & before.policy_of.keys()):
        if node not in after.policy_of:
            yield f"no policy selects {node} any more: it is only watched"
        elif after.policy_of[node] != before.policy_of[node]:
            yield f"{node} is under policy {after.policy_of[node]} now, no longer under {before.policy_of[node]}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
