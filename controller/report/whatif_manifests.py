"""`--set PATH=VALUE` on manifests: node.NAME.FIELD, policy.NAME.FIELD, settings.FIELD, as a person would edit the YAML. Pure.

    Manifests, sets ──edited──▶ documents of all manifests, for manifests.load to check like any other

A path goes through `spec`, which need not be written; names that hold dots are found as they are. What a path cannot
mean is CannotSet, and says what exists there; what a value cannot be is for the models to say.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from controller.manifests import KINDS
from exporters.documents import keys_at, read_text

if TYPE_CHECKING:
    from controller.manifests import Manifests

EXAMPLES: Final = "node.rack-1.capacity.cpu=16 or policy.default.limits.hold=30m"
_KINDS: Final = {"node": "Node", "policy": "AllocationPolicy", "settings": "Settings"}
_LOOKED_AT: Final = {
    "node": (("capacity",), ("power",), ("labels",)),
    "policy": (("mode",), ("selector",), ("objective",), ("limits",), ("constraints",)),
    "settings": (),
}
"""Fields that a decision is made from."""
_OF_WORKLOAD: Final = ("allocation", "watts", "mode", "pollInterval", "timeout")
Data = dict[str, Any]


class CannotSet(Exception):
    """A `--set` that means nothing; `str()` says what would be right."""


def edited(found: Manifests, sets: Iterable[str]) -> dict[str, Data]:
    """Every manifest as data, by node.NAME, policy.NAME, settings, with the sets made. Raises CannotSet."""
    documents = {
        **{f"node.{node.name}": _data(node) for node in found.nodes},
        **{f"policy.{policy.name}": _data(policy) for policy in found.policies},
        "settings": _data(found.settings),
    }
    for text in sets:
        owner, parts, value = _meant(text, documents)
        _put(documents[owner], parts, value, text, owner)
    return documents


def without_effect(found: Manifests, sets: Iterable[str]) -> list[str]:
    """A sentence for each set of a field that no decision looks at."""
    documents = dict.fromkeys(
        [*(f"node.{n.name}" for n in found.nodes), *(f"policy.{p.name}" for p in found.policies)], Data()
    )
    told = []
    for text in sets:
        owner, parts, _ = _meant(text, {**documents, "settings": {}})
        kind = owner.partition(".")[0]
        inside = parts[1:]
        if kind == "node" and inside[:1] == ["workloads"]:
            looked_at = any(part in _OF_WORKLOAD for part in inside[2:])
        else:
            looked_at = any(tuple(inside[: len(path)]) == path for path in _LOOKED_AT[kind])
        if kind == "settings" and inside[:1] == ["prices"]:
            told.append(f"{text}: a decision is made at the prices that were read; write --price TOKEN=USD")
        elif not looked_at:
            told.append(f"{text}: no decision looks at this; what was read of the nodes stays as it is")
    return told


def _data(model: Any) -> Data:
    """As its owner wrote it, or would have."""
    head = {"apiVersion": model.api_version, "kind": model.kind}
    return {**head, **model.model_dump(mode="json", by_alias=True, exclude_unset=True)}


def _meant(text: str, documents: Mapping[str, Data]) -> tuple[str, list[str], Any]:
    """(which manifest, path in it, value)."""
    path, equals, written = text.partition("=")
    if not equals or not path.strip():
        raise CannotSet(f"--set {text!r} has no value; write PATH=VALUE, such as {EXAMPLES}")
    kind, _, rest = path.strip().partition(".")
    if kind not in _KINDS:
        raise CannotSet(
            f"--set {text!r} begins with {kind!r}; write node.NAME.FIELD, policy.NAME.FIELD or settings.FIELD"
        )
    if kind == "settings":
        return "settings", _through_spec(rest, text, "settings"), _value(written, text)
    names = [owner.partition(".")[2] for owner in documents if owner.startswith(f"{kind}.")]
    name = max((name for name in names if rest == name or rest.startswith(f"{name}.")), key=len, default=None)
    if name is None:
        given = rest.partition(".")[0]
        near = difflib.get_close_matches(given, names, n=len(names), cutoff=0.0)
        known = f"there {'is' if len(near) == 1 else 'are'} {', '.join(near)}" if near else "there is none"
        raise CannotSet(f"--set {text!r}: there is no {kind} {given!r}; {known}")
    owner = f"{kind}.{name}"
    return owner, _through_spec(rest[len(name) + 1 :], text, owner), _value(written, text)


def _through_spec(rest: str, text: str, owner: str) -> list[str]:
    """The path inside a manifest: capacity.cpu is spec.capacity.cpu, labels.site is metadata.labels.site."""
    parts = [part for part in rest.replace("[", ".").replace("]", "").split(".") if part]
    if not parts or parts in (["spec"], ["metadata"]):
        kind = KINDS[_KINDS[owner.partition(".")[0]]]
        raise CannotSet(f"--set {text!r} names no field; {owner} has {', '.join(keys_at(kind, ('spec',)))}")
    if parts[0] == "labels":
        return ["metadata", *parts]
    if parts[0] == "metadata":
        if parts[1] != "labels":
            raise CannotSet(f"--set {text!r}: of metadata only labels can be otherwise")
        return parts
    return parts if parts[0] == "spec" else ["spec", *parts]


def _value(written: str, text: str) -> Any:
    """As YAML reads it: 16, 30m, true, [a, b], {percent: 5}; nothing is null, the field's default."""
    documents, problems = read_text(f"value: {written}\n", "--set")
    if (
        problems
        or len(documents) != 1
        or not isinstance(documents[0].data, dict)
        or set(documents[0].data) != {"value"}
    ):
        raise CannotSet(
            f"--set {text!r}: {written!r} is not a value; write it as in YAML, in quotes where it holds ': '"
        )
    return documents[0].data["value"]


def _put(data: Data, parts: list[str], value: Any, text: str, owner: str) -> None:
    """Set the field, making the mappings that lead to it."""
    here: Any = data
    key: Any
    path: list[str | int] = []
    while True:
        key, parts = _next(here, parts, path, text)
        path.append(key)
        if len(path) == 3 and path[:2] == ["spec", "workloads"] and key not in here:
            raise CannotSet(
                f"--set {text!r}: there is no workload {key!r} on {owner}; there are {', '.join(sorted(here))}"
            )
        if not parts:
            break
        inner = here[key] if isinstance(here, list) else here.get(key)
        if not isinstance(inner, dict | list):  # what may hold nothing further, its model says
            inner = here[key] = {}
        here = inner
    if value is None and isinstance(here, dict):
        here.pop(key, None)
    else:
        here[key] = value


def _next(here: Any, parts: list[str], path: list[str | int], text: str) -> tuple[str | int, list[str]]:
    """The next key of a path, and what is left: the longest that exists, since names may hold dots."""
    if isinstance(here, list):
        if not parts[0].isdecimal() or int(parts[0]) >= len(here):
            has = f"{len(here)} entries, from 0 on" if here else "no entry"
            raise CannotSet(
                f"--set {text!r}: {'.'.join(map(str, path[1:]))} is a list of {has}; {parts[0]!r} is none of them"
            )
        return int(parts[0]), parts[1:]
    for n in range(len(parts), 0, -1):
        if ".".join(parts[:n]) in here:
            return ".".join(parts[:n]), parts[n:]
    if path in (["spec", "capacity"], ["metadata", "labels"]):  # any name may be new here, with its dots
        return ".".join(parts), []
    return parts[0], parts[1:]
