"""Programs of six steps over nodes that are one file, and what is wrong with what is left of them after a kill."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controller.model import Move
from controller.plan.limits import needs
from controller.programs import Cause, Program, ProgramState
from controller.sequence import Holdings, sequence
from exporters.nodes import Allocation
from tests.controller.actuate.world import T0

OF = Allocation(resource="cpu", min=0, max=8, step=1, with_={"memory": 2.0})
WAY = "orcha.db"
WORLD = "world.log"
ID = "p-doomed"


@dataclass(frozen=True)
class Plot:
    """A program of six steps, and what becomes of it when nobody is killed."""

    moves: Mapping[str, tuple[float, float]]
    refuses: str = ""
    """The workload whose driver refuses, half way through."""

    @property
    def nodes(self) -> list[str]:
        return sorted({key.partition("/")[0] for key in self.moves})

    @property
    def capacity(self) -> dict[str, dict[str, float]]:
        """As little as that takes."""
        found = {}
        for node in self.nodes:
            here = [move for key, move in self.moves.items() if key.startswith(f"{node}/")]
            cpu = max(sum(move[0] for move in here), sum(move[1] for move in here))
            found[node] = {"cpu": cpu, "memory": 2.0 * cpu}
        return found

    @property
    def ends(self) -> dict[str, float]:
        """What each has in the end."""
        node = self.refuses.partition("/")[0]
        return {key: move[0] if key.partition("/")[0] == node else move[1] for key, move in self.moves.items()}

    def program(self) -> Program:
        moves = [Move(key, key.partition("/")[0], "cpu", was, to, 1.0, 0.0) for key, (was, to) in self.moves.items()]
        at = Holdings(dict.fromkeys(self.moves, OF), {key: move[0] for key, move in self.moves.items()}, self.capacity)
        made = sequence(moves, at, policy="default", at=T0, cause=Cause.PLAN, sentence="more is earned so")
        return replace(made.turned(ProgramState.APPROVED, T0, "anna"), id=ID)


PLOTS = {
    "forward": Plot(
        {"a/s1": (6, 4), "a/s2": (5, 3), "a/g1": (1, 3), "a/g2": (2, 4), "b/s3": (4, 2), "b/g3": (1, 3)},
    ),
    "back": Plot(
        {"a/s1": (6, 4), "a/s2": (5, 3), "a/s3": (4, 2), "a/g1": (1, 3), "a/g2": (2, 4), "a/g3": (1, 3)}, refuses="a/g3"
    ),
}  # fmt: skip


def lines_of(where: Path) -> list[dict[str, Any]]:
    path = where / WORLD
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def begins(plot: Plot) -> dict[str, dict[str, float]]:
    return {key: {r: per_unit * was for r, per_unit in needs(OF).items()} for key, (was, _) in plot.moves.items()}


def phases_of(where: Path) -> tuple[str, dict[str, str]]:
    with closing(sqlite3.connect(where / WAY)) as connection:
        return phases_in(connection)


def phases_in(connection: sqlite3.Connection) -> tuple[str, dict[str, str]]:
    """The program's state and its steps' phases, as anybody else can read them now."""
    [[body]] = connection.execute("SELECT body FROM journal").fetchall()
    found = json.loads(body)
    return found["state"], {step["key"]: step["phase"] for step in found["steps"]}


def wrong_in_the_world(plot: Plot, lines: list[dict[str, Any]]) -> Iterator[str]:
    has, tokens = begins(plot), {key: list[str]() for key in plot.moves}
    for i, line in enumerate(lines):
        key, token = line["key"], line["token"]
        has[key].update(line["amounts"])
        way = token.rpartition("/")[2]
        was, to = plot.moves[key]
        cpu = to if way == "forward" else was
        if token != f"{ID}/{key}/{way}" or line["target"] != {"cpu": cpu, "memory": 2.0 * cpu}:
            yield f"line {i}: {line} is no effect of the program's"
        if (line["state"], line["phase"]) != ("running", "issued" if way == "forward" else "returning"):
            yield f"line {i}: {line} has no durable intent"
        if way == "forward" and tokens[key] and tokens[key][-1] == "backward":
            yield f"line {i}: {key} went forward after it had gone back"
        tokens[key].append(way)
        for node, capacity in plot.capacity.items():
            for resource, most in capacity.items():
                held = sum(each[resource] for other, each in has.items() if other.startswith(f"{node}/"))
                if held > most:
                    yield f"line {i}: {held} of {most} {resource} held on {node}"


def wrong_in_the_journal(where: Path, plot: Plot) -> Iterator[str]:
    """Whether it tells the truth, at whatever moment it is read."""
    state, phases = phases_of(where)
    has, touched = begins(plot), set()
    for line in lines_of(where):
        has[line["key"]].update(line["amounts"])
        touched.add(line["key"])
    for key, phase in phases.items():
        was, to = plot.moves[key]
        exact = {"waiting": was, "done": to, "returned": was}.get(phase)
        if exact is not None and has[key] != {"cpu": exact, "memory": 2.0 * exact}:
            yield f"{key} is {phase} and has {has[key]} ({state})"
        if phase == "waiting" and key in touched:
            yield f"{key} is waiting, and something was done to it"


def wrong_in_the_records(where: Path, plot: Plot) -> Iterator[str]:
    with closing(sqlite3.connect(where / WAY)) as connection:
        whats = [row[0] for row in connection.execute("SELECT what FROM records ORDER BY id")]
    _, phases = phases_of(where)
    for key in plot.moves:
        mine = [what.removesuffix(f" {key}") for what in whats if what.endswith(f" {key}")]
        went = [what for what in mine if what != "failed"]
        full = (
            ["issued", "returning", "returned"] if key == plot.refuses else ["issued", "done", "returning", "returned"]
        )
        if went != full[: len(went)] or (went[-1] if went else "waiting") != phases[key]:
            yield f"{key} is {phases[key]}, and its records are {mine}"
    kept, began = originals_of(where), begins(plot)
    needed = {key for key, phase in phases.items() if phase not in {"waiting", "returned"}}
    if not needed <= kept.keys() or any(phases[key] == "waiting" or kept[key] != began[key] for key in kept):
        yield f"the originals are {kept}"


def originals_of(where: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(where / WAY)) as connection:
        return {key: json.loads(body)["amounts"] for key, body in connection.execute("SELECT key, body FROM originals")}


def wrong_in_the_end(where: Path, plot: Plot) -> Iterator[str]:
    state, _ = phases_of(where)
    lines = lines_of(where)
    has = begins(plot)
    for line in lines:
        has[line["key"]].update(line["amounts"])
    if state == "superseded" and not lines:
        return  # it had not begun, and its plan is not of today
    wanted = "rolled_back" if plot.refuses else "applied"
    if state != wanted:
        yield f"it is {state}, not {wanted}"
    for key, cpu in plot.ends.items():
        if has[key] != {"cpu": cpu, "memory": 2.0 * cpu}:
            yield f"{key} has {has[key]} in the end, not {cpu} cpu"
