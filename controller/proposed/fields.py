"""The fields of a manifest, one by one: what each means, to compare it, and how it was written, to show it. Pure.

    {spec: {limits: {hold: 1h}}}  ->  spec.limits.hold: 3600.0, shown as "1h"

Lists whose order means nothing are taken apart (a freeze window, a constraint), so that a new one is told and not the whole
list; others are one value. What nobody wrote is its default, and shown as such.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporters.quantity import format_duration

if TYPE_CHECKING:
    from exporters.nodes import Model

Path = tuple[str, ...]
HIDDEN: Final = "(not shown)"
"""In place of what may be a secret."""
LONGEST: Final = 200
"""Signs of a value that are shown."""
_UNORDERED: Final = ("freezeWindows", "reserve", "resources")
_SECONDS: Final = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?s")
_PASSWORD: Final = re.compile(r"(?<=://)([^/@\s:]*):[^/\s]*@")
_SECRET: Final = re.compile(r"(?i)(password|passwd|secret|token|api[_-]?key|authorization|cookie)$")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./$][A-Za-z0-9_./$+*=:()@ -]*")
_META: Final = ("apiVersion", "kind")


@dataclass(frozen=True, slots=True)
class Value:
    """One field."""

    meant: Any
    """In base units: what is compared."""
    shown: str
    """As it was written."""
    default: bool = False
    """Nobody wrote it."""

    def __str__(self) -> str:
        return f"{self.shown} (default)" if self.default else self.shown


def fields_of(model: Model, written: Any) -> dict[Path, Value]:
    """Every field that has a value. `written`: the document as plain data."""
    meant, plain = model.model_dump(by_alias=True), model.model_dump(by_alias=True, mode="json")
    found: dict[Path, Value] = {}
    for name in meant:
        if name not in _META:
            found.update(_flat((name,), meant[name], plain[name], _inside(written, name)))
    found.pop(("metadata", "name"), None)
    return found


def _flat(path: Path, meant: Any, plain: Any, written: Any) -> Iterator[tuple[Path, Value]]:
    if meant is None:
        return
    if isinstance(meant, Mapping):
        if path[-1] == "actuator":
            driver = next((name for name, value in meant.items() if value is not None), "none")
            yield path, Value(driver, driver)
        for key, value in meant.items():
            yield from _flat((*path, str(key)), value, plain[key], _inside(written, key))
    elif isinstance(meant, list | tuple):
        yield from _listed(path, meant, plain, written)
    else:
        yield path, _value(path, meant, plain, written)


_NAMED: Final = {"constraints": "protocol", "limits": "name"}
"""Lists whose entries are told apart by one of their fields, where that is different in each."""


def _listed(path: Path, meant: Sequence[Any], plain: Any, written: Any) -> Iterator[tuple[Path, Value]]:
    whole = [_inside(written, i) for i in range(len(meant))]
    by = _NAMED.get(path[-1])
    if by is not None and len({each[by] for each in meant}) == len(meant):
        for i, each in enumerate(meant):
            rest = {name: value for name, value in each.items() if name != by}
            yield from _flat((*path, f"[{each[by]}]"), rest, plain[i], whole[i])
    elif path[-1] in {*_UNORDERED, *_NAMED}:
        for i, each in enumerate(meant):
            shown = flow(plain[i] if whole[i] is None else whole[i])
            yield (*path, f"[{_frozen(each)}]"), Value(_frozen(each), shown)
    elif meant or written is not None:
        yield path, _value(path, _frozen(meant), plain, written)


def _frozen(value: Any) -> Any:
    """To be compared whatever the order of keys."""
    return json.dumps(value, sort_keys=True, default=str)


def _inside(written: Any, key: Any) -> Any:
    """What stands under a key, None where nobody wrote it."""
    if isinstance(written, Mapping):
        return written.get(key)
    return written[key] if isinstance(written, list) and isinstance(key, int) and key < len(written) else None


def _value(path: Path, meant: Any, plain: Any, written: Any) -> Value:
    shown = flow(plain if written is None else written, path[-1])
    if written is None and _SECONDS.fullmatch(shown):
        shown = format_duration(float(shown[:-1]))
    return Value(meant, shown, default=written is None)


def flow(value: Any, name: str = "") -> str:
    """A value on one line as YAML has it; without what may be a secret, and cut short. `name`: of its field."""
    text = _flow(value, name)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _flow(value: Any, name: str = "") -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(inner, str(key))}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        return _words(value, name)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, default=str)


def _words(text: str, name: str) -> str:
    if _SECRET.search(name) and not text.startswith("$"):  # "$" begins a path into an answer, which is no secret
        return HIDDEN
    text = _PASSWORD.sub(r"\1:***@", text)
    return text if _PLAIN.fullmatch(text) and not text.endswith((" ", ":")) and ": " not in text else _quoted(text)


def _quoted(text: str) -> str:
    """In quotes, with everything spelled out that a reader would not see, or would see elsewhere than it is."""
    signs = json.dumps(text, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else _escaped(ord(sign)) for sign in signs)


def _escaped(number: int) -> str:
    return f"\\u{number:04x}" if number < 2**16 else f"\\U{number:08x}"


def dotted(path: Path) -> str:
    """spec.workloads.golem.allocation.max, spec.constraints[golem].maxShare, spec.limits.freezeWindows[]."""
    parts = ("[]" if part.startswith(("[{", '["')) else part for part in path)
    return "".join(part if part.startswith("[") else f".{part}" for part in parts).removeprefix(".")
