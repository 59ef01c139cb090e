"""The fields that orcha sets in an object of Kubernetes: what they are now, who owns them, and what is to be applied. Pure.

Ownership is that of server-side apply: `metadata.managedFields` names a manager for every field. What orcha once set is
also listed in the annotation `orcha.dev/sets`, for a field that somebody changes by hand leaves no trace of orcha in
managedFields: listed and no longer owned means changed by hand.

Arguments are one field for Kubernetes, the whole list; orcha changes its flags in the list and leaves the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from exporters.quantity import parse_quantity

MANAGER: Final = "orcha"
ANNOTATION: Final = "orcha.dev/sets"
RESIZE: Final = "resize"
"""The subresource through which a Pod's resources change: ownership is kept for each subresource."""
Object = Mapping[str, Any]


class Field(NamedTuple):
    """One thing that orcha may set."""

    part: str
    """env | args | requests | limits | replicas."""
    container: str = ""
    name: str = ""
    """Of the variable, of the flag with its dashes, or of the resource; args without a name: the whole list."""

    @property
    def key(self) -> str:
        """For JSON: node/env/STORJ_STORAGE_ALLOCATED_DISK_SPACE, node/limits/cpu, replicas."""
        return "/".join(part for part in (self.container, self.part, self.name) if part)

    @property
    def claim(self) -> Field:
        """What Kubernetes takes for one field: the whole list in place of one flag."""
        return self._replace(name="") if self.part == "args" else self

    def __str__(self) -> str:
        match self.part:
            case "replicas":
                return "replicas"
            case "args":
                return f"{f'argument {self.name}' if self.name else 'args'} of container {self.container}"
            case "env":
                return f"env {self.name} of container {self.container}"
        return f"{self.part}.{self.name} of container {self.container}"


Values = Mapping[Field, Any]
"""Field -> what stands there: text; a number of replicas; of a flag the text of each time it stands there; of a variable
that comes from elsewhere {"valueFrom": ...}. None: it is absent."""


def field_of(key: str) -> Field:
    """The field of a key. Raises ValueError."""
    if key == "replicas":
        return Field("replicas")
    container, part, *name = key.split("/", 2)
    return Field(part, container, name[0] if name else "")


def pod_spec(thing: Object) -> dict[str, Any]:
    """Of a Pod its own, else that of the template."""
    spec = thing["spec"] if thing["kind"] == "Pod" else thing["spec"]["template"]["spec"]
    return dict(spec)


def container(thing: Object, name: str) -> dict[str, Any] | None:
    """The container of that name; None: there is none."""
    return next((dict(found) for found in pod_spec(thing).get("containers", ()) if found["name"] == name), None)


# what stands there


def values(thing: Object, fields: Iterable[Field]) -> dict[Field, Any]:
    """What the fields hold now."""
    return {field: _value(thing, field) for field in fields}


def _value(thing: Object, field: Field) -> Any:
    if field.part == "replicas":
        return thing["spec"].get("replicas")
    found = container(thing, field.container) or {}
    if field.part == "args":
        return flag_values(found.get("args") or (), field.name) if field.name else found.get("args")
    if field.part == "env":
        entry = next((each for each in found.get("env", ()) if each["name"] == field.name), None)
        if entry is None or "valueFrom" not in entry:
            return None if entry is None else entry.get("value", "")
        return {"valueFrom": entry["valueFrom"]}
    return found.get("resources", {}).get(field.part, {}).get(field.name)


def same(field: Field, one: Any, other: Any) -> bool:
    """Whether two values of a field say the same: "1" and "1000m" of cpu do."""
    if field.part in {"requests", "limits"} and one is not None and other is not None:
        return parse_quantity(one) == parse_quantity(other)
    return bool(one == other)


def differing(thing: Object, target: Values) -> list[Field]:
    """The fields that do not hold what the target says."""
    now = values(thing, target)
    return [field for field, value in target.items() if not same(field, now[field], value)]


def flag_values(args: Iterable[str], flag: str) -> list[str | None] | None:
    """The text of the flag each time it stands there, "--flag=TEXT" or "--flag TEXT", None where it has none; None: it
    stands nowhere.
    """
    given, found = list(args), list[str | None]()
    for at, text in enumerate(given):
        if text.startswith(f"{flag}="):
            found.append(text.partition("=")[2])
        elif text == flag:
            follows = given[at + 1 : at + 2]
            found.append(follows[0] if follows and not follows[0].startswith("-") else None)
    return found or None


def with_flag(args: Iterable[str], flag: str, texts: list[str | None] | None, *, apart: bool = False) -> list[str]:
    """The arguments with the flag set where it stands, once at the end where it stood nowhere, and taken out for None.
    `apart`: at the end it is two arguments, not one with '='.
    """
    given, made, seen = list(args), list[str](), 0
    while given:
        text = given.pop(0)
        if text != flag and not text.startswith(f"{flag}="):
            made.append(text)
            continue
        two = text == flag and bool(given) and not given[0].startswith("-")
        if two:
            given.pop(0)
        if texts is not None:
            made += _flag(flag, texts[min(seen, len(texts) - 1)], apart=two)
        seen += 1
    return made if seen or texts is None else made + _flag(flag, texts[0], apart=apart)


def _flag(flag: str, text: str | None, *, apart: bool) -> list[str]:
    if text is None:
        return [flag]
    return [flag, text] if apart else [f"{flag}={text}"]


# who owns it


def owners(thing: Object) -> dict[Field, tuple[str, ...]]:
    """Who sets which field, by the names that managers give themselves."""
    found: dict[Field, list[str]] = {}
    for entry in thing["metadata"].get("managedFields", ()):
        for field in _claimed(entry.get("fieldsV1") or {}):
            found.setdefault(field, []).append(entry.get("manager", "somebody"))
    return {field: tuple(dict.fromkeys(names)) for field, names in found.items()}


def ours(thing: Object) -> set[Field]:
    """What orcha owns."""
    subresource = RESIZE if thing["kind"] == "Pod" else ""
    return {
        field
        for entry in thing["metadata"].get("managedFields", ())
        if (entry.get("manager"), entry.get("operation"), entry.get("subresource", ""))
        == (MANAGER, "Apply", subresource)
        for field in _claimed(entry.get("fieldsV1") or {})
    }


def listed(thing: Object) -> set[Field]:
    """What orcha once set, by its annotation."""
    text = (thing["metadata"].get("annotations") or {}).get(ANNOTATION, "")
    return {field_of(key) for key in text.split() if "/" in key or key == "replicas"}


def changed_by_hand(thing: Object, fields: Iterable[Field]) -> list[Field]:
    """Those of the fields that orcha set, and that somebody changed since then."""
    own, once = ours(thing), listed(thing)
    return [field for field in fields if field in once and field.claim not in own]


def others(thing: Object, field: Field) -> tuple[str, ...]:
    """Who else sets the field."""
    return tuple(name for name in owners(thing).get(field.claim, ()) if name != MANAGER)


def _claimed(entry: Mapping[str, Any]) -> Iterator[Field]:
    """The fields of orcha's kind in one `fieldsV1`."""
    spec = entry.get("f:spec", {})
    if "f:replicas" in spec:
        yield Field("replicas")
    pod = spec.get("f:template", {}).get("f:spec", {}) if "f:template" in spec else spec
    for name, box in _named(pod.get("f:containers", {})):
        if "f:args" in box:
            yield Field("args", name)
        for variable, parts in _named(box.get("f:env", {})):
            if "f:value" in parts or "f:valueFrom" in parts:
                yield Field("env", name, variable)
        for part in ("requests", "limits"):
            for resource in box.get("f:resources", {}).get(f"f:{part}", {}):
                if resource.startswith("f:"):
                    yield Field(part, name, resource[2:])


def _named(entries: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Members of a list that is kept by names: 'k:{"name":"node"}' -> node."""
    for key, parts in entries.items():
        if key.startswith("k:"):
            name = json.loads(key[2:]).get("name")
            if isinstance(name, str):
                yield name, parts


# what is applied


def applied(thing: Object, target: Values, apart: AbstractSet[str] = frozenset()) -> dict[Field, Any]:
    """Everything that orcha sets once the target holds: what it owns already stays as it is, for a field left out of an
    apply is given up; of the target only what differs, or is owned, so that nobody's field is taken without need.
    """
    own, differs = ours(thing), set(differing(thing, target))
    made = values(thing, own)
    for field, value in target.items():
        if field not in differs and field.claim not in own:
            continue
        if field.part == "args":
            args = made.get(field.claim) or (container(thing, field.container) or {}).get("args") or ()
            made[field.claim] = with_flag(args, field.name, value, apart=field.name in apart) or None
        else:
            made[field] = value
    return {field: value for field, value in made.items() if value is not None}


def annotated(thing: Object, target: Values, applies: Values) -> str:
    """The annotation after an apply: what was listed before, with what is set now and without what is taken out."""
    sets = {field for field, value in target.items() if value is not None and field.claim in applies}
    gone = {field for field, value in target.items() if value is None}
    return " ".join(sorted(field.key for field in (listed(thing) | sets) - gone))


def body(thing: Object, applies: Values, annotation: str = "") -> dict[str, Any]:
    """What is sent: the fields, the annotation, and which version of the object they were reckoned from."""
    made: dict[str, Any] = {"apiVersion": thing["apiVersion"], "kind": thing["kind"], "metadata": identity(thing)}
    if annotation:
        made["metadata"]["annotations"] = {ANNOTATION: annotation}
    boxes: dict[str, dict[str, Any]] = {}
    for field, value in sorted(applies.items()):
        if field.part == "replicas":
            made.setdefault("spec", {})["replicas"] = value
            continue
        box = boxes.setdefault(field.container, {"name": field.container})
        if field.part == "args":
            box["args"] = value
        elif field.part == "env":
            box.setdefault("env", []).append({"name": field.name, **_entry(value)})
        else:
            box.setdefault("resources", {}).setdefault(field.part, {})[field.name] = value
    if boxes:
        inner = {"containers": [boxes[name] for name in sorted(boxes)]}
        made.setdefault("spec", {}).update(inner if thing["kind"] == "Pod" else {"template": {"spec": inner}})
    return made


def identity(thing: Object) -> dict[str, Any]:
    """Name, and what makes a write fail where the object is another one by now, or was changed meanwhile."""
    found = thing["metadata"]
    return {name: found[name] for name in ("name", "namespace", "uid", "resourceVersion") if name in found}


def _entry(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"value": value}
