"""`orcha whatif`: what would be decided if something were otherwise. Wiring; the answer is report/whatif.py's."""

from __future__ import annotations

import asyncio
import json
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.commands.options import (
    DEFAULT_MANIFESTS,
    ManifestPaths,
    Output,
    StateUrl,
    View,
    finish,
    manifests_of,
    show,
    wants,
)
from controller.commands.terminal import NO, fail, tell
from exporters.quantity import parse_quantity

if TYPE_CHECKING:
    from controller.manifests import Manifests
    from controller.model import State
    from controller.once import Look
    from controller.report.whatif import Outcome
    from exporters.documents import Problem


@dataclass(frozen=True, slots=True)
class Asked:
    """The changes, as far as they can be read without looking at anything."""

    sets: tuple[str, ...]
    prices: Mapping[str, float]
    forced: Mapping[str, float]
    """Workload as written -> allocation in base units."""


def whatif(
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Any field of a manifest: node.rack-1.capacity.cpu=16, policy.default.limits.hold=30m, ..."
        ),
    ] = None,
    price: Annotated[list[str] | None, typer.Option("--price", help="A token's price in USD: GLM=0.3.")] = None,
    force: Annotated[
        list[str] | None, typer.Option("--force", help="A workload's allocation, whatever is best: rack-1/golem=8.")
    ] = None,
    manifests: ManifestPaths = [DEFAULT_MANIFESTS],  # noqa: B006 typer reads the default, nobody writes to it
    state: StateUrl = None,
    output: Output = "table",
) -> None:
    """Show what would be decided with another capacity, limit, price or forced move: before and after, side by side.

    Looks at every node once, with the history of the state, as `orcha plan` does; changes nothing. --set, --price and
    --force may each be given several times. Readings and history stay those of now; earnings in a token are counted
    again at its --price; beside a --force the rest is planned anew within limits.
    """
    from controller.report.whatif_tables import whatif_table

    wants(output)
    asked = Asked(tuple(sets or ()), _prices(price or ()), _forced(force or ()))
    if not (asked.sets or asked.prices or asked.forced):
        fail("nothing is changed; write --set node.NAME.capacity.cpu=16, --price GLM=0.3 or --force NODE/WORKLOAD=8")
    found = manifests_of(manifests)
    changed = _changed(found, asked.sets)
    view = finish(_answer(found, changed, state, asked))
    show(view, output, whatif_table)


def _prices(given: Iterable[str]) -> dict[str, float]:
    prices = {}
    for text in given:
        token, equals, written = text.partition("=")
        try:
            usd = float(written)
        except ValueError:
            usd = math.nan
        if not (token and equals and 0 <= usd < math.inf):
            fail(f"--price {text!r} is not a price; write TOKEN=USD, such as GLM=0.3")
        if token in prices:
            fail(f"--price gives {token} twice; keep one")
        prices[token] = usd
    return prices


def _forced(given: Iterable[str]) -> dict[str, float]:
    forced: dict[str, float] = {}
    for text in given:
        key, equals, written = text.rpartition("=")
        if not (key and equals):
            fail(f"--force {text!r} is not a move; write NODE/WORKLOAD=AMOUNT, such as rack-1/golem=8")
        if key in forced:
            fail(f"--force moves {key} twice; keep one")
        try:
            forced[key] = parse_quantity(written)
        except ValueError as exc:
            fail(f"--force {text!r}: {exc}")
    return forced


def _changed(found: Manifests, sets: Sequence[str]) -> Manifests:
    """The manifests with the sets made, checked as if they had been written so; else what is wrong is told."""
    from controller.manifests import load
    from controller.report.whatif_manifests import CannotSet, edited
    from exporters.collector import discover

    if not sets:
        return found
    try:
        documents = edited(found, sets)
    except CannotSet as exc:
        fail(str(exc), NO)
    with tempfile.TemporaryDirectory() as where:
        files = {}
        for number, (owner, data) in enumerate(documents.items()):
            file = Path(where) / f"{number}.yaml"
            file.write_text(
                json.dumps(data), encoding="utf-8"
            )  # JSON is YAML, and leaves no word to be taken for a number
            files[str(file)] = owner
        changed = load([where], discover())
    if changed.problems:
        for place, sentence in _own(((_place(problem, files), problem.sentence) for problem in changed.problems), sets):
            tell(f"--set: {place}: {sentence}")
        raise typer.Exit(NO)
    return changed


def _place(problem: Problem, files: Mapping[str, str]) -> str:
    """Where it is, in the words of --set: node.rack-1.capacity.cpu."""
    return f"{files.get(problem.file, problem.file)}.{problem.path.removeprefix('spec.')}".rstrip(".")


def _own(problems: Iterable[tuple[str, str]], sets: Iterable[str]) -> list[tuple[str, str]]:
    """Those of what was set; all of them, where those lie elsewhere. The others but follow from it."""
    every = list(problems)
    paths = [text.partition("=")[0].strip().replace(".spec.", ".") for text in sets]
    own = [
        each
        for each in every
        if any(f"{each[0]}.".startswith(f"{path}.") or path.startswith(each[0]) for path in paths)
    ]
    return own or every


async def _answer(found: Manifests, changed: Manifests, state: str | None, asked: Asked) -> View:
    from controller.once import look
    from controller.report.whatif_manifests import without_effect
    from controller.report.whatif_view import outcomes_view
    from exporters.collector import discover

    seen = await look(found, state, discover())
    then = {each.policy: each for each in states_by(changed, seen)}
    pairs = [(each, then[each.policy]) for each in seen.states if each.policy in then]
    forced = _keys(asked.forced, [after for _, after in pairs])
    _paid_somewhere(asked.prices, [after for _, after in pairs])
    outcomes = [await asyncio.to_thread(_outcome, now, after, asked.prices, forced) for now, after in pairs]
    return outcomes_view(
        outcomes, at=seen.observation.at, sets=asked.sets, prices=asked.prices, forced=forced,
        notes=without_effect(found, asked.sets),
    )  # fmt: skip


def states_by(changed: Manifests, seen: Look) -> list[State]:
    """What each policy would decide from, by other manifests and the same look."""
    from controller.observe.roster import watched_of
    from controller.once import states_of
    from exporters.collector import discover, workloads_of

    watched = watched_of(workloads_of(changed.nodes, discover()))
    return states_of(changed, seen.observation, watched, seen.past, seen.blocked)


def _outcome(now: State, after: State, prices: Mapping[str, float], forced: Mapping[str, float]) -> Outcome:
    from controller.report.whatif import Impossible, whatif

    mine = {workload.key for workload in after.workloads}
    try:
        return whatif(now, after, prices, {key: value for key, value in forced.items() if key in mine})
    except Impossible as exc:
        fail(f"--force: {exc}", NO)


def _keys(forced: Mapping[str, float], states: Iterable[State]) -> dict[str, float]:
    """With the workloads' whole keys."""
    from controller.report.explain import NoSuchWorkload, chosen_key

    keys = [workload.key for state in states for workload in state.workloads]
    found: dict[str, float] = {}
    for wanted, value in forced.items():
        try:
            key = chosen_key(wanted, keys)
        except NoSuchWorkload as exc:
            fail(f"--force: {exc}", NO)
        if key in found:
            fail(f"--force moves {key} twice; keep one")
        found[key] = value
    return found


def _paid_somewhere(prices: Iterable[str], states: Iterable[State]) -> None:
    from controller.report.whatif_prices import tokens_of

    read = [reading for state in states for w in state.workloads for reading in (w.reading, w.last_good)]
    known = frozenset().union(*map(tokens_of, read))
    for token in prices:
        if token not in known:
            there = f"there are {', '.join(sorted(known))}" if known else "no reading says in what it is paid"
            fail(f"--price: no workload is paid in {token}; {there}", NO)
