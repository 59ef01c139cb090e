"""The manifests in force as JSON, without what may be secret. Pure.

They hold names of files instead of secrets, but people write passwords into addresses, headers and environments all the
same: those parts are left out, and so is what stands under a name that sounds like a secret where anything may stand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from controller.manifests import Manifests

HIDDEN: Final = "(not shown)"
_SECRET: Final = re.compile(
    r"(password|passphrase|secret|token|credential|authorization|cookie|api.?key|app.?key|private)", re.IGNORECASE
)
_PLACEHOLDER: Final = re.compile(r"\{[^{}]+\}")
_LONG: Final = re.compile(r"[A-Za-z0-9+/_=-]{24,}")


def in_force(manifests: Manifests) -> dict[str, Any]:
    """As models.Manifests."""
    return {
        "sha256": manifests.sha256,
        "nodes": [_node(_dumped(node)) for node in manifests.nodes],
        "policies": [_dumped(policy) for policy in manifests.policies],
        "settings": _settings(_dumped(manifests.settings)),
        "fleet": _fleet(_dumped(manifests.fleet)) if manifests.fleet is not None else None,
    }


def _dumped(model: Any) -> dict[str, Any]:
    found: dict[str, Any] = model.model_dump(mode="json", by_alias=True)
    found["metadata"] = {**found["metadata"], "annotations": dict.fromkeys(found["metadata"]["annotations"], HIDDEN)}
    return found


def _node(node: dict[str, Any]) -> dict[str, Any]:
    for workload in node["spec"]["workloads"].values():
        workload["endpoint"] = address(workload["endpoint"])
        workload["credentials"] = {
            name: value if name.endswith(("File", "_file")) else HIDDEN
            for name, value in workload["credentials"].items()
        }
        workload["options"] = without_secrets(workload["options"])
        if workload["mapping"] is not None:
            workload["mapping"] = _mapping(workload["mapping"])
        if workload["actuator"] is not None:
            workload["actuator"] = _actuator(workload["actuator"])
    return node


def _mapping(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Of its requests, headers and bodies only by name."""
    found = dict(mapping)
    requests = found.get("requests")
    if isinstance(requests, dict):
        found["requests"] = {name: _request(each) for name, each in requests.items()}
    return found


def _request(request: Any) -> Any:
    if not isinstance(request, dict):
        return HIDDEN
    found = dict(request)
    for part in ("headers", "body", "query", "params"):
        if part in found:
            held = found[part]
            found[part] = dict.fromkeys(held, HIDDEN) if isinstance(held, dict) else HIDDEN
    if isinstance(found.get("url"), str):
        found["url"] = address(found["url"])
    return found


def _actuator(actuator: dict[str, Any]) -> dict[str, Any]:
    """An environment's value without a placeholder is not orcha's to fill, so nobody knows what it is; a webhook's path
    is often its password.
    """
    found = dict(actuator)
    if found.get("kubernetes"):
        env = found["kubernetes"]["env"]
        shown = {name: value if _PLACEHOLDER.search(value) else HIDDEN for name, value in env.items()}
        found["kubernetes"] = {**found["kubernetes"], "env": shown, "args": _words(found["kubernetes"]["args"])}
    if found.get("command"):
        command = found["command"]
        verify = command["verify"] and {"argv": _words(command["verify"]["argv"])}
        found["command"] = {**command, "argv": _words(command["argv"]), "verify": verify}
    if found.get("webhook"):
        found["webhook"] = {**found["webhook"], "url": address(found["webhook"]["url"], path=False)}
    return found


def _words(words: list[str]) -> list[str]:
    """A command line without what follows a --token or looks like one."""
    shown: list[str] = []
    hide = False
    for word in words:
        name, equals, value = word.partition("=")
        named = _SECRET.search(name) is not None and not name.endswith(("file", "File"))
        if hide or (_LONG.fullmatch(word) and not _PLACEHOLDER.search(word)):
            shown.append(HIDDEN)
        elif named and equals:
            shown.append(f"{name}={value if _PLACEHOLDER.fullmatch(value) else HIDDEN}")
        else:
            shown.append(word)
        hide = named and not equals and word.startswith("-")
    return shown


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    spec = settings["spec"]
    for name in ("state", "prometheusUrl", "alertmanagerUrl", "grafanaUrl"):
        if spec[name] is not None:
            spec[name] = address(spec[name])
    spec["prices"]["endpoints"] = {name: address(url) for name, url in spec["prices"]["endpoints"].items()}
    return settings


def _fleet(fleet: dict[str, Any]) -> dict[str, Any]:
    nats = fleet["spec"]["nats"]
    if nats is not None:
        nats["servers"] = [address(each, path=False) for each in nats["servers"]]
    return fleet


def address(text: str, *, path: bool = True) -> str:
    """An address without user, password and query, and without parts of its path that look like a key; with `path` False,
    only where it leads to. "{endpoint}/PATH" is one too.
    """
    place, *asked = re.split(r"[?#]", text, maxsplit=1)
    head, slashes, rest = place.rpartition("://")
    host, slash, way = rest.partition("/")
    host = host.rpartition("@")[2]
    way = "/".join(HIDDEN if "@" in part or _LONG.fullmatch(part) else part for part in way.split("/"))
    if not path:
        way = HIDDEN if way else ""
    return f"{head}{slashes}{host}{slash}{way}{f'?{HIDDEN}' if asked else ''}"


def without_secrets(value: Any) -> Any:
    """Free-form data without what stands under a name that sounds like a secret, names of files apart."""
    if isinstance(value, dict):
        return {
            name: HIDDEN
            if _SECRET.search(str(name)) and not str(name).endswith(("File", "_file"))
            else without_secrets(each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(each) for each in value]
    return address(value) if isinstance(value, str) and "://" in value else value
