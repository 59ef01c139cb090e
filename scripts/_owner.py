"""The owner of the nodes that scripts/_week.py lives with: what they wrote, their tools, and what goes wrong in their week."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from controller.actuate.driver import Refused
from controller.programs import Order
from exporters.simulator import apply as owner
from exporters.simulator import manifests
from exporters.simulator.demo import Demo, addresses
from exporters.simulator.faults import Fault
from exporters.simulator.inprocess import FastClock
from exporters.simulator.world import World

LOOKS: Final = "4m"
"""How often the quick protocols are asked: as seldom as still shows everything."""


# --- what the owner writes ----------------------------------------------------------------------------------------


def write_manifests(made: Demo, directory: Path) -> tuple[Path, Path]:
    """The demonstration's manifests with actuators that act and a policy for each rack; for the controller, the exporter."""
    where = addresses(made)
    mine, others = directory / "manifests", directory / "exporter"
    documents = manifests.documents(made, where, mine / "secrets")
    for name in ("rack-1", "rack-2"):
        documents[name]["metadata"]["labels"]["rack"] = name
        for workload in documents[name]["spec"]["workloads"].values():
            if workload["protocol"] in {"golem", "mapped"}:
                workload["pollInterval"] = LOOKS
            if workload["protocol"] == "grass":
                workload["valuation"] = {"usdPerPoint": 5e-5}
            if "allocation" in workload:
                resources = (workload["allocation"]["resource"], *_companions(workload["allocation"]))
                workload["actuator"] = {"command": {"argv": ["owners-tool", *(f"{{{each}}}" for each in resources)]}}
    figures = documents["rack-1"]["spec"]["workloads"]["akash"]["mapping"]["figures"]
    owed = {"request": "status", "path": "$.earnings.lifetime", "scale": 1e-6, "token": "AKT"}
    figures |= {"balances": {"accrued": owed}, "payout_threshold_usd": 100}
    pace = {"observe": "60s", "estimate": "15m", "plan": "15m", "jitter": 0}
    limits = {"minImprovement": {"percent": 0.1}}
    compute = _policy("compute", "rack-1", {"mode": "Auto", "limits": limits, "reconcile": pace})
    storage = {
        "mode": "Approve",
        "limits": limits | {"maxStepPercent": 5},
        "reconcile": pace,
        "approval": {"ttl": "2d"},
    }
    documents["policy"] = compute
    manifests.write(mine, documents, made.secrets)
    manifests.write(mine, {"policy": _policy("storage", "rack-2", storage)}, {})
    (mine / "policy.yaml").rename(mine / "policy-storage.yaml")
    manifests.write(mine, {"policy": compute}, {})
    settings = {"settings": documents["settings"]}
    manifests.write(others, manifests.garage(where) | settings, {})
    return mine, others


def _companions(allocation: Mapping[str, Any]) -> list[str]:
    return [name for name in allocation.get("with", {}) if name not in allocation.get("reserve", ())]


def _policy(name: str, rack: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "orcha.dev/v1alpha1", "kind": "AllocationPolicy", "metadata": {"name": name},
        "spec": {**spec, "selector": {"matchLabels": {"rack": rack}}},
    }  # fmt: skip


# --- what moves the nodes -----------------------------------------------------------------------------------------


class Hand:
    """A driver that does at once what the owner's command would."""

    name, conclusive, reversible = "command", False, True

    def __init__(self, key: str, world: World, clock: FastClock, script: Script) -> None:
        self._key, self._world, self._clock, self._script = key, world, clock, script

    async def check(self) -> tuple[str, ...]:
        return ()

    async def read(self) -> Mapping[str, Any]:
        return {}

    async def apply(self, order: Order) -> None:
        if self._script.refuses(self._key, order):
            raise Refused(f"the owner's tool for {self._key} ended with 1: the market's control does not answer")
        await self.undo(order, {})

    async def verify(self, order: Order) -> str | None:  # noqa: ARG002 every driver is asked so; this one looks at nothing
        return None

    async def undo(self, order: Order, stood: Mapping[str, Any]) -> None:  # noqa: ARG002 every driver is asked so; this one kept nothing
        now = self._clock.time()
        self._world.advance(now)
        wish = {("memoryGiB" if name == "memory" else name): amount for name, amount in order.amounts.items()}
        if "memoryGiB" in wish:
            wish["memoryGiB"] /= 2**30
        try:
            owner.apply(self._world.models[self._key], wish, now)
        except owner.Refused as exc:
            raise Refused(str(exc)) from exc

    async def close(self) -> None:
        """There is no connection."""


class Hands:
    """Stands where the wiring's Equipment stands (controller/equipping.py)."""

    def __init__(self, world: World, clock: FastClock, script: Script) -> None:
        self._world, self._clock, self._script = world, clock, script

    def driver(self, key: str, _brought: object) -> Hand:
        return Hand(key, self._world, self._clock, self._script)


# --- what happens -------------------------------------------------------------------------------------------------

FAULTS: Final = (
    ("rack-1-golem", Fault.DIE, 0.45, 3 * 3600.0),
    ("rack-2-storj-2", Fault.HANG, 0.60, 40 * 60.0),
    ("rack-1-grass", Fault.DENY, 0.66, 2 * 3600.0),
    ("prices", Fault.ERROR, 0.70, 90 * 60.0),
    ("garage-storj", Fault.CUT, 0.30, 50 * 60.0),
    ("rack-1-storj", Fault.HANG, 1.0, 1800.0),
)
"""(site, what is wrong, when, for how long); the last one begins half an hour before the end and lasts."""
RESTART: Final = 0.80
REFUSED: Final = 0.85
PAUSED: Final = 0.92
"""Shares of the span at which the controller is started anew, a manifest is refused, a policy is paused."""


@dataclass
class Script:
    """What goes wrong in these days, and what the person does. Times are shares of the span; durations are real ones."""

    start: float
    span: float
    refused: int = 0
    seen: set[str] = field(default_factory=set)
    asked: int = 0

    def at(self, share: float) -> float:
        return self.start + share * self.span

    def faults(self, world: World, now: float) -> None:
        for site, fault, share, lasts in FAULTS:
            began = self.at(share) - (lasts if share == 1.0 else 0.0)
            over = share < 1.0 and now >= began + lasts
            world.break_site(site, fault if began <= now and not over else None)

    def once(self, what: str, share: float, now: float, *, after: float = 0.0) -> bool:
        """Whether this is the first step at or after a moment."""
        if now < self.at(share) + after or what in self.seen:
            return False
        self.seen.add(what)
        return True

    def refuses(self, key: str, order: Order) -> bool:
        """Twice the compute market's control does not answer when it is to get more: then all is taken back."""
        if (
            key != "rack-1/akash"
            or self.refused >= 2
            or order.amounts.get("cpu", 0.0) <= order.previous.get("cpu", 99.0)
        ):
            return False
        self.refused += 1
        return True
