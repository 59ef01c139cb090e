"""A month as a controller would have kept it: four workloads, two programs, an outage, hours without readings. For benchmarks."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from controller.decide import decide
from controller.history import History
from controller.journal import Journal
from controller.model import Interval, NodeState, State, WorkloadState
from controller.policy import PolicySpec
from controller.programs import Cause, Phase, Program, ProgramState, Record, Step
from controller.promises import Kind, Outcome, Part, Promise, Trial
from controller.report.views import recorded
from controller.samples import Kept
from controller.store import Store
from exporters.nodes import Allocation, Power, Watts
from exporters.reading import Reading
from exporters.traits import CurveKind, Traits

if TYPE_CHECKING:
    from controller.model import Decision

HOUR, DAY = 3600.0, 86400.0
TIB, GIB = 2.0**40, 2.0**30
EVERY = 300.0
MOVES = {10.3: {"golem": 6.0, "akash": 6.0}, 17.6: {"golem": 4.0, "akash": 8.0}}
"""Day -> what orcha gave then."""
POWER, WATTS = Power(usd_per_kwh=0.31), Watts(per_step=2.0)
KINDS = {
    "golem": ("golem", Traits(curve=CurveKind.DEMAND, resource="cpu"), Allocation(resource="cpu", min=2, max=10, step=1)),
    "akash": ("mapped", Traits(curve=CurveKind.DEMAND, resource="cpu"), Allocation(resource="cpu", min=0, max=8, step=1)),
    "storj": (
        "storj",
        Traits(curve=CurveKind.FILL, resource="storage", irreversible=True),
        Allocation(resource="storage", min=TIB, max=12 * TIB, step=128 * GIB),
    ),
    "streamr": (
        "streamr",
        Traits(curve=CurveKind.DILUTION, resource="stake/DATA"),
        Allocation(resource="stake/DATA", min=0, max=200_000, step=1000),
    ),
}  # fmt: skip


async def lived(path: Path, now: float, days: float = 30.0, racks: int = 1, seed: int = 1) -> str:
    """Write it into a new state; gives its URL. `racks`: nodes, each with the same four workloads."""
    url = f"sqlite:///{path}"
    start = now - days * DAY
    store = await Store.open(url)
    history = History([_kept(rack, name) for rack in range(racks) for name in KINDS])
    try:
        for rack in range(racks):
            for name in KINDS:
                for reading in _readings(rack, name, start, now, seed):
                    history.add(reading)
        await history.flush(store, now)
        store.note_decision(recorded(_decision(history, racks, now)))
        if racks == 1:
            await _changes(store, start)
        await store.write()
    finally:
        await store.close()
    return url


def _kept(rack: int, name: str) -> Kept:
    _, traits, bounds = KINDS[name]
    watts = WATTS if traits.resource == "cpu" else None
    return Kept(
        f"rack-{rack + 1}/{name}", bounds.resource, 3 * EVERY + 60, bounds.step, bounds.max, POWER, watts,
        staked=traits.curve is CurveKind.DILUTION,
    )  # fmt: skip


def _readings(rack: int, name: str, start: float, now: float, seed: int) -> Iterator[Reading]:
    chance, at, stored = random.Random(f"{seed} {rack} {name}"), start, 4 * TIB
    wander = 1.0
    while at < now:
        day = (at - start) / DAY
        wander = 1 + 0.98 * (wander - 1) + 0.02 * chance.gauss(0, 1)
        stored += 1.2e9 * EVERY / HOUR * chance.uniform(0, 2)
        lost = (name == "golem" and 5.2 < day < 5.36) or chance.random() < 0.0005
        if not 12.1 < day < 12.4:
            yield _reading(f"rack-{rack + 1}", name, at, day, wander, stored, up=not lost)
        at += EVERY


def _held(name: str, day: float) -> float:
    held = {"golem": 8.0, "akash": 4.0, "storj": 8 * TIB, "streamr": 60_000.0}[name]
    for since, moved in MOVES.items():
        held = moved.get(name, held) if day >= since else held
    return held


def _reading(rack: str, name: str, at: float, day: float, wander: float, stored: float, *, up: bool) -> Reading:
    protocol, _, bounds = KINDS[name]
    if not up:
        return Reading(rack, name, protocol, at, up=False, failure="unreachable", failure_message="no answer")
    held, rhythm = _held(name, day), 1 + 0.35 * math.sin(2 * math.pi * day)
    wanted = {"golem": 3.2 * rhythm * wander, "akash": 7.0 * rhythm * wander, "storj": stored, "streamr": held}[name]
    used = max(0.0, min(held, wanted))
    rate = used * {"golem": 0.0045, "akash": 0.0052, "storj": 2.4e-15, "streamr": 2.2e-7}[name]
    rate *= 0.8 if name == "streamr" and day > 20 else 1.0
    energy = 2.0 * held / 1000 * 0.31 if bounds.resource == "cpu" else 0.0
    return Reading(
        rack, name, protocol, at, healthy=True, allocated={bounds.resource: held}, used={bounds.resource: used},
        rate_usd_per_hour=rate, net_usd_per_hour=rate * {"golem": 0.98, "streamr": 0.85}.get(name, 1.0) - energy,
        balance_usd={"accrued": 3.1, "paid": 41.0},
    )  # fmt: skip


def _decision(history: History, racks: int, now: float) -> Decision:
    """What the controller thinks at the end."""
    nodes, workloads = [], []
    for rack in (f"rack-{i + 1}" for i in range(racks)):
        nodes.append(NodeState(rack, {"cpu": 12.0, "storage": 14 * TIB, "stake/DATA": 200_000.0}, POWER))
        for name, (protocol, traits, bounds) in sorted(KINDS.items()):
            newest, good = history.newest(f"{rack}/{name}")
            workloads.append(
                WorkloadState(
                    f"{rack}/{name}",
                    rack,
                    protocol,
                    traits,
                    bounds,
                    newest,
                    good,
                    3 * EVERY + 60,
                    history.blocks(f"{rack}/{name}", now),
                    WATTS if traits.resource == "cpu" else None,
                )
            )
    return decide(State(now, "default", PolicySpec(), tuple(nodes), tuple(workloads)))


async def _changes(store: Store, start: float) -> None:
    """The two programs, the second of which is still being judged."""
    before = {"golem": 8.0, "akash": 4.0}
    for number, (day, moved) in enumerate(MOVES.items(), 1):
        at = start + day * DAY
        gain = Interval(0.0021, 0.0064, 0.0102)
        parts = tuple(
            Part(f"rack-1/{name}", KINDS[name][0], "cpu", before[name], to, at, 2 * HOUR, promised=gain.expected / 2)
            for name, to in sorted(moved.items())
        )
        realised = Interval(0.0049, 0.0058, 0.0061)
        said = "it brought +0.0058 USD/h where +0.0064 (0.0021 to 0.0102) was promised"
        outcome = Outcome(at + 2 * HOUR, realised, 0.0106, True, True, -0.09, said) if number == 1 else None
        program_id = f"p-00c0ffe{number}"
        trial = Trial(program_id, "default", Kind.APPLIED, at, parts, Promise(gain, 0.93, 0.001), outcome)
        steps = tuple(
            Step(f"rack-1/{name}", "rack-1", "cpu", {"cpu": before[name]}, {"cpu": to}, Phase.DONE)
            for name, to in sorted(moved.items())
        )
        sentence = "akash is full most of the time, golem is not: +0.0064 USD/h"
        program = Program(
            program_id, "default", Cause.PLAN, at - 60, steps, ProgramState.APPLIED, sentence, at + 60, trial=trial,
            began=at,
        )  # fmt: skip
        said_yes = Record(at - 30, "approved", "anna (this machine)", "looks right")
        await Journal(store).save(program, Record(at - 60, "pending", "orcha", sentence), said_yes)
        store.note_trial(trial)
        before |= moved
