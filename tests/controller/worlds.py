"""Plain values for tests of deciding: workloads with a made-up history, nodes, a State. Nothing here reads a clock."""

from dataclasses import replace

import numpy as np

from controller.model import Blocks, Curve, NodeState, State, WorkloadState
from controller.policy import PolicySpec
from exporters.nodes import Allocation
from exporters.reading import Reading
from exporters.traits import CurveKind, Traits

NOW = 1_800_000_000.0
HOUR = 3600.0


def blocks(used, full, *, value=0.03, levels=None, span=HOUR, now=NOW, room_growth=None, usd=None, tokens=None):
    """One block per entry, oldest first, the last ending now: what was used in it, and whether that filled it."""
    used, full = np.asarray(used, float), np.asarray(full, bool)
    n = len(used)
    levels = np.unique(used) if levels is None else np.asarray(levels, float)
    hours = np.full(n, span / HOUR)
    at = np.searchsorted(levels, used)
    exact, censored = np.zeros((2, n, len(levels)), np.float32)
    exact[np.arange(n), at] = hours * ~full
    censored[np.arange(n), at] = hours * full
    return Blocks(
        start=now - span * np.arange(n, 0, -1),
        span=np.full(n, span),
        hours=hours,
        usd=used * hours * value if usd is None else np.asarray(usd, float),
        unit_hours=used * hours,
        rate_hours=hours,
        used=used,
        used_first=used,
        used_last=used,
        room_hours=hours * ~full,
        room_growth=np.zeros(n) if room_growth is None else np.asarray(room_growth, float),
        levels=levels,
        exact=exact,
        censored=censored,
        tokens=np.zeros(n) if tokens is None else np.asarray(tokens, float),
        token_usd=np.zeros(n) if tokens is None else np.asarray(usd, float),
    )


def always(used, *, hours=48, full=False, **more):
    return blocks([used] * hours, [full] * hours, **more)


def varying(mean, *, capacity, seed=0, hours=48, spread=0.5, value=0.03):
    """Demand that varies around a mean, seen through an allocation."""
    demand = np.maximum(0.0, mean * (1 + spread * np.random.default_rng(seed).standard_normal(hours)))
    quarter = capacity / 32
    seen = np.round(np.minimum(demand, capacity) / quarter) * quarter
    return blocks(seen, demand >= capacity, value=value)


DEMAND = Traits(curve=CurveKind.DEMAND, resource="cpu")
FILL = Traits(curve=CurveKind.FILL, resource="storage")
DILUTION = Traits(curve=CurveKind.DILUTION, resource="stake/DATA")


def allocation(resource="cpu", low=0, high=12, step=1, **more):
    return Allocation(resource=resource, min=low, max=high, step=step, **more)


def reading(key, allocated, *, resource="cpu", used=None, net=0.1, now=NOW, **more):
    node, name = key.split("/")
    values = {"healthy": True, "rate_usd_per_hour": net, "net_usd_per_hour": net, "allocated": {resource: allocated}}
    if used is not None:
        values["used"] = {resource: used}
    return Reading(node, name, more.pop("protocol", "mapped"), now - 10, **(values | more))


def workload(
    key="rack-1/golem", allocated=6.0, history=None, *, traits=DEMAND, bounds=None, protocol="mapped", read=None, **more
):
    bounds = allocation(traits.resource or "cpu") if bounds is None else bounds
    said = (
        reading(key, allocated, resource=bounds.resource, protocol=protocol, used=more.pop("used", allocated))
        if read is None
        else read
    )
    values = {
        "allocation": bounds,
        "reading": said,
        "last_good": said if said.up else None,
        "stale_after": 300.0,
        "blocks": history,
    }
    return WorkloadState(key=key, node=key.split("/")[0], protocol=protocol, traits=traits, **(values | more))


def node(name="rack-1", power=None, **capacity):
    return NodeState(
        name, {resource.replace("stake_", "stake/"): amount for resource, amount in capacity.items()}, power
    )


def state(workloads, nodes=None, *, spec=None, **more):
    return State(
        now=NOW,
        policy="default",
        spec=PolicySpec() if spec is None else spec,
        nodes=tuple([node(cpu=12)] if nodes is None else nodes),
        workloads=tuple(workloads),
        **more,
    )


def policy(**limits):
    """A policy in mode Auto with some limits changed; `mode` and `objective` are the policy's own."""
    top = {name: limits.pop(name) for name in ("mode", "objective", "constraints") if name in limits}
    return PolicySpec.model_validate({"mode": "Auto", "limits": limits} | top)


def competing(spec=None, **more):
    """Golem is always full on 6 of 12 cores, akash uses 2 of its 6: there is a better split."""
    return state(
        [
            workload("rack-1/golem", 6.0, always(6.0, full=True), protocol="golem"),
            workload("rack-1/akash", 6.0, always(2.0, levels=[0, 2, 6]), protocol="mapped", used=2.0),
        ],
        spec=spec,
        **more,
    )


def line(key, x, y, *, resource="cpu", horizon=2 * HOUR, exposure=48.0, replicates=None):
    x, y = np.asarray(x, float), np.asarray(y, float)
    return Curve(
        key,
        "demand",
        resource,
        x,
        y,
        y[None, :] if replicates is None else np.asarray(replicates, float),
        0.03,
        exposure,
        horizon,
        "made up",
    )


def changed(item, **fields):
    return replace(item, **fields)
