"""The demonstration's manifests, as a person would have written them: nodes, a policy, settings, and secret files.

`documents(...)` is pure; `write(...)` puts the files where they belong. Secrets are readable by their owner alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from exporters.nodes import API_VERSION
from exporters.simulator.demo import Demo, price_settings

_STORJ: Final = {
    "resource": "storage",
    "min": "1Ti",
    "max": "12Ti",
    "step": "128Gi",
    "with": {"bandwidth": "2M"},
    "reserve": ["bandwidth"],
}
_STAKE: Final = {"resource": "stake/DATA", "min": "5000", "max": "495k", "step": "5000"}
_DRY_RUN: Final[dict[str, Any]] = {"dryRun": {}}

_POLICY: Final[dict[str, Any]] = {
    "mode": "Suggest",
    "selector": {"matchLabels": {"site": "demo"}},
    "limits": {"minImprovement": {"percent": 0.1}},
}
_HEADERS: Final = {
    "rack-1": "Twelve cores, shared by Golem and a compute market; one storagenode; one Grass account.",
    "rack-2": "One disk pool, shared by two storagenodes; one operator's DATA, staked in two sponsorships.",
    "garage": "A small node that the stand-alone exporter watches; no controller is needed for it.",
    "policy": "What orcha may do: look, work out and say, but change nothing. A tenth of the usual 1 % counts as an improvement,\n"
    "# so that what rack-2's disks could gain shows beside its large stake.",
    "settings": "Prices come from the simulator; static ones are the last resort.",
}


class _Plain(yaml.SafeDumper):
    """Without anchors: people read these files."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 the library's signature
        return True


def documents(made: Demo, where: Mapping[str, str], secrets: Path) -> dict[str, dict[str, Any]]:
    """File name without suffix -> document. `where`: site -> base URL."""
    return {
        "rack-1": _rack_1(where, secrets),
        "rack-2": _rack_2(made, where),
        "policy": _document("AllocationPolicy", "default", _POLICY),
        "settings": _document("Settings", "settings", {"prices": price_settings(made, where)}),
    }


def garage(where: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What the stand-alone exporter gets."""
    storj = {
        "protocol": "storj",
        "endpoint": where["garage-storj"],
        "allocation": _STORJ | {"min": "500G", "max": "3Ti"},
    }
    return {
        "garage": _document(
            "Node", "garage", {"capacity": {"storage": "3Ti", "bandwidth": "100M"}, "workloads": {"storj": storj}}
        )
    }


def write(directory: Path, found: Mapping[str, Mapping[str, Any]], secrets: Mapping[str, str]) -> list[Path]:
    """Write every document to DIRECTORY/NAME.yaml and every secret to DIRECTORY/secrets/NAME (0600)."""
    hidden = directory / "secrets"
    hidden.mkdir(parents=True, exist_ok=True)
    hidden.chmod(0o700)
    for name, content in secrets.items():
        _write(hidden / name, content + "\n", 0o600)
    paths = []
    for name, document in found.items():
        path = directory / f"{name}.yaml"
        _write(path, f"# {_HEADERS[name]}\n{yaml.dump(document, Dumper=_Plain, sort_keys=False, width=120)}", 0o644)
        paths.append(path)
    return paths


def _write(path: Path, content: str, mode: int) -> None:
    """By rename: a controller that watches the directory never reads half a file."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(content)
    part.replace(path)


def _document(kind: str, name: str, spec: dict[str, Any], **labels: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name} | ({"labels": labels} if labels else {})
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _rack_1(where: Mapping[str, str], secrets: Path) -> dict[str, Any]:
    workloads = {
        "golem": {
            "protocol": "golem",
            "endpoint": where["rack-1-golem"],
            "credentials": {"appKeyFile": str(secrets / "yagna-app-key")},
            "watts": {"perStep": 1.5},
            "allocation": {"resource": "cpu", "min": "2", "max": "10", "step": "1", "with": {"memory": "1536Mi"}},
            "actuator": _DRY_RUN,
        },
        "akash": {
            "protocol": "mapped",
            "endpoint": where["rack-1-akash"],
            "mapping": _akash(secrets),
            "watts": {"perStep": 1.5},
            "allocation": {"resource": "cpu", "min": "0", "max": "8", "step": "1", "with": {"memory": "2Gi"}},
            "actuator": _DRY_RUN,
        },
        "storj": {"protocol": "storj", "endpoint": where["rack-1-storj"], "allocation": _STORJ, "actuator": _DRY_RUN},
        "grass": {
            "protocol": "grass",
            "endpoint": where["rack-1-grass"],
            "credentials": {"accessTokenFile": str(secrets / "grass-token")},
        },
    }
    capacity = {"cpu": "12", "memory": "48Gi", "storage": "8Ti", "bandwidth": "400M"}
    spec = {"capacity": capacity, "power": {"usdPerKwh": 0.28, "idleWatts": 40}, "workloads": workloads}
    return _document("Node", "rack-1", spec, site="demo")


def _akash(secrets: Path) -> dict[str, Any]:
    login = {
        "url": "{endpoint}/v1/auth/login",
        "method": "POST",
        "body": {"username": "provider", "passwordFile": str(secrets / "akash-password")},
        "take": {"token": "$.token"},
    }
    status = {"url": "{endpoint}/v1/status", "headers": {"Authorization": "Bearer {token}"}, "format": "json"}
    inventory = "$.cluster.inventory"
    return {
        "traits": {"curve": "demand", "resource": "cpu", "pollInterval": "60s", "freesWhen": "drained"},
        "requests": {"login": login, "status": status, "version": {"url": "{endpoint}/version"}},
        "expect": [{"request": "status", "path": inventory, "is": "object"}],
        "figures": {
            "allocated": {"request": "status", "path": f"{inventory}.allocatable.cpu", "scale": 0.001},
            "used": {"request": "status", "path": f"{inventory}.active.cpu", "scale": 0.001},
            "lifetime_native": {
                "request": "status", "path": "$.earnings.lifetime", "scale": 1e-6, "token": "AKT", "counter": True,
            },
            "price": {"request": "status", "path": "$.pricing.cpu_hour", "scale": 1e-6, "token": "AKT", "per": "1h"},
            "healthy": {"request": "status", "path": "$.status", "equals": "ok"},
            "version": {"request": "version", "path": "$.akash.version"},
        },
    }  # fmt: skip


def _rack_2(made: Demo, where: Mapping[str, str]) -> dict[str, Any]:
    workloads: dict[str, Any] = {
        name: {"protocol": "storj", "endpoint": where[f"rack-2-{name}"], "allocation": _STORJ, "actuator": _DRY_RUN}
        for name in ("storj-1", "storj-2")
    }
    for name, sponsorship in zip(("streamr-traffic", "streamr-weather"), made.sponsorships, strict=True):
        options = {"operator": made.operator, "sponsorship": sponsorship, "owner": made.owner, "autostaker": False}
        options |= {
            "node": where["rack-2-node"],
            "subgraph": f"{where['rack-2-rpc']}/subgraphs/name/streamr-dev/network-subgraphs",
        }
        workloads[name] = {
            "protocol": "streamr", "endpoint": where["rack-2-rpc"], "options": options, "allocation": _STAKE, "actuator": _DRY_RUN,
        }  # fmt: skip
    capacity = {"storage": "13Ti", "bandwidth": "400M", "stake/DATA": "500k"}
    return _document("Node", "rack-2", {"capacity": capacity, "workloads": workloads}, site="demo")
