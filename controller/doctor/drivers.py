"""What would change the nodes: each driver's own check, which changes nothing and tells what is in its way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from controller.actuate.driver import DriverError
from controller.actuate.kubernetes import shared_connection
from controller.actuate.kubernetes.asks import Ask
from controller.doctor.finding import Finding, Mark, ok, split, unknown
from controller.equipping import HANDOUTS, Equipment
from controller.policy import MODES
from exporters.collector import failed
from exporters.errors import Unreachable

if TYPE_CHECKING:
    from controller.manifests import Manifests
    from controller.policy import Mode
    from exporters.clock import Clock
    from exporters.collector import Collector, Workload
    from exporters.reading import Reading
    from exporters.session import Session
    from exporters.settings import Lease

AREA: Final = "drivers"
_ACTS: Final = frozenset({"Approve", "Auto"})


def modes(found: Manifests) -> dict[str, Mode]:
    """Workload -> the mode that holds for it: the stricter of its own and its policy's; without a policy, Off."""
    held: dict[str, Mode] = {}
    for node in found.nodes:
        policy = next((each for each in found.policies if node in found.nodes_of(each)), None)
        for name, spec in node.spec.workloads.items():
            both = [policy.spec.mode if policy else "Off", spec.mode or "Auto"]
            held[f"{node.name}/{name}"] = min(both, key=MODES.index)
    return held


async def drivers(
    found: Manifests, workloads: Mapping[str, Workload], readings: Mapping[str, Reading],
    collectors: Mapping[str, Collector], session: Session, clock: Clock, folder: Path, patience: float,
) -> list[Finding]:  # fmt: skip
    """One line or more for each workload that has a driver. `folder`: of the state."""

    async def read_back(key: str) -> Reading:
        known = readings.get(key)
        return known if known is not None else failed(workloads[key], clock.time(), Unreachable("it was not read"))

    equipment = Equipment(lambda: workloads, collectors, session, clock, folder / HANDOUTS, read_back, lambda: False)
    held = modes(found)
    checks = [_of(key, equipment, held[key] in _ACTS, patience) for key in workloads]
    return [finding for some in await asyncio.gather(*checks) for finding in some]


async def _of(key: str, equipment: Equipment, acts: bool, patience: float) -> list[Finding]:
    """Where the mode lets nobody act, what is in the way is a warning: it would be once somebody may."""
    mark = Mark.FAIL if acts else Mark.WARN
    try:
        driver = equipment.driver(key, None)
    except DriverError as exc:
        return [split(AREA, key, str(exc), mark, "see docs/drivers.md")]
    if driver is None:
        return []
    try:
        async with asyncio.timeout(patience):
            problems = await driver.check()
    except TimeoutError:
        return [
            unknown(
                AREA,
                key,
                f"the check of its driver {driver.name} took longer than {patience:.0f} s",
                "try again with a larger --patience",
            )
        ]
    finally:
        await driver.close()
    if problems:
        return [split(AREA, key, f"{driver.name}: {problem}", mark, "see docs/drivers.md") for problem in problems]
    said = (
        "dry_run: changes nothing, and remembers what it was told"
        if driver.name == "dry_run"
        else f"{driver.name}: could change it"
    )
    return [ok(AREA, key, said if acts else f"{said}; its mode lets nobody act now")]


async def lease(wanted: Lease, patience: float) -> list[Finding]:
    """The rights on the Lease that elects the one controller which may act."""
    what = f"Lease {wanted.namespace}/{wanted.name}"
    asks = [
        Ask(verb, "coordination.k8s.io", "leases", wanted.namespace, "" if verb == "create" else wanted.name)
        for verb in ("get", "update", "create")
    ]
    try:
        api = shared_connection()()
        try:
            async with asyncio.timeout(patience):
                granted = await asyncio.gather(*map(api.allowed, asks))
        finally:
            await api.close()
    except TimeoutError:
        return [
            unknown(
                AREA,
                what,
                f"the API server did not answer within {patience:.0f} s",
                "see whether it can be reached from here",
            )
        ]
    except DriverError as exc:
        return [split(AREA, what, str(exc), otherwise="see docs/high-availability.md")]
    missing = [
        ask.lacking.replace("kubernetes.md", "high-availability.md")
        for ask, may in zip(asks, granted, strict=True)
        if not may
    ]
    return [split(AREA, what, each) for each in missing] or [ok(AREA, what, "may be read, made and renewed")]
