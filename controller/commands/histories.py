"""What `orcha backtest` replays: which of three histories the options name, what is wrong with them, and the cases of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.commands.options import DEFAULT_MANIFESTS, finish, manifests_of
from controller.commands.terminal import NO, Stage, fail, tell
from exporters.collector import discover
from exporters.documents import CannotRead
from exporters.quantity import parse_duration

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from controller.backtest.case import Case
    from controller.backtest.recorded import Recorded
    from controller.manifests import Manifests
    from controller.model import NodeState
    from controller.observe import Watched
    from controller.policy import AllocationPolicy, Mode, PolicySpec

DAYS = 30.0
"""Of a scenario."""
LATEST = 1e11
"""Unix seconds, in the year 5138: no period ends later."""
SUCH_AS = {"--from": "14d", "--to": "now"}
WHICH = "--scenario NAME, or --manifests DIR --trace FILE.csv, or --state URL --from TIME --to TIME"


@dataclass(frozen=True, slots=True)
class Asked:
    """The options that say what is replayed."""

    manifests: tuple[Path, ...]
    policy: str | None
    trace: Path | None
    scenario: str | None
    state: str | None
    since: str | None
    until: str | None
    days: float | None
    seed: int | None


@dataclass(frozen=True, slots=True)
class Histories:
    """One case; of recorded history two, with the least and with the most that demand can have been."""

    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()


# --- what is wrong with the options ---------------------------------------------------------------------------------------


def wrong(asked: Asked) -> str | None:
    """What is wrong with them, and what would be right; None: nothing."""
    given = [name for name in ("trace", "scenario", "state") if getattr(asked, name) is not None]
    if len(given) != 1:
        said = " and ".join(f"--{name}" for name in given) or "nothing"
        return f"{said} {'were' if len(given) > 1 else 'was'} named to replay; name exactly one: {WHICH}"
    if asked.trace is not None and not asked.manifests:
        return "--trace says what was asked for, not on which nodes; name those too: --manifests DIR --trace FILE.csv"
    if asked.scenario is not None and (asked.manifests or asked.policy is not None):
        return "--scenario brings its own nodes and policy; leave --manifests and --policy out"
    return _wrong_times(asked) or _wrong_numbers(asked)


def _wrong_times(asked: Asked) -> str | None:
    ends = (("--from", asked.since), ("--to", asked.until))
    missing = [name for name, text in ends if text is None]
    if asked.state is None:
        return (
            None
            if len(missing) == len(ends)
            else "--from and --to go with --state URL; of others, --days says how much"
        )
    if missing:
        return f"--state needs {' and '.join(missing)} as well, such as {' '.join(f'{name} {SUCH_AS[name]}' for name in missing)}"
    if asked.days is not None:
        return "--from and --to say how much of a --state is replayed; leave --days out"
    times: list[float] = []
    for name, text in ends:
        try:
            times.append(moment(text or ""))
        except ValueError as exc:
            return f"{name} {exc}"
    return None if times[0] < times[1] else f"--from {asked.since} is not before --to {asked.until}"


def _wrong_numbers(asked: Asked) -> str | None:
    if asked.days is not None and not 0 < asked.days < float("inf"):
        return f"--days {asked.days:g} is not a length of time; write a number of days above 0, such as 30"
    if asked.seed is not None and asked.seed < 0:
        return f"--seed {asked.seed} is below 0; write 0 or more"
    return None


def moment(text: str, now: float | None = None) -> float:
    """Unix seconds of a time: "2026-10-01T00:00:00Z", "1790812800", or how long before now, such as "14d". What lies before
    1970 is taken for its begin, and what lies too far ahead for LATEST: not every such time has a date that can be shown.
    ValueError, with what would be right.
    """
    refusal = (
        f"{text[:40]!r} is not a time; write it with its zone, such as 2026-10-01T00:00:00Z, as Unix seconds, or how long "
        "ago, such as 14d"
    )
    if (ago := _ago(text)) is not None:
        return max(0.0, (time.time() if now is None else now) - ago)
    try:
        found = float(text)
    except ValueError:
        try:
            at = datetime.fromisoformat(text.strip())
        except ValueError:
            raise ValueError(refusal) from None
        if at.tzinfo is None:
            raise ValueError(refusal) from None
        return min(max(0.0, at.timestamp()), LATEST)
    if not 0 <= found < LATEST:
        raise ValueError(refusal)
    return found


def _ago(text: str) -> float | None:
    """Seconds of "14d"; "now" is none ago. None: that is no duration."""
    try:
        return 0.0 if text == "now" else parse_duration(text)
    except ValueError:
        return None


# --- the cases ------------------------------------------------------------------------------------------------------------


def histories(asked: Asked, stage: Callable[[str], Stage]) -> Histories:
    """What is replayed; where there is nothing to be had, that is said and the program ends."""
    if asked.scenario is not None:
        return _made_up(asked, asked.scenario)
    world = _world(asked, manifests_of(list(asked.manifests) or [DEFAULT_MANIFESTS]))
    return _recorded(asked, world) if asked.trace is None else _traced(asked, asked.trace, world, stage)


def _made_up(asked: Asked, name: str) -> Histories:
    from controller.backtest.scenarios import NAMES, WHAT, scenario

    if name not in NAMES:
        width = max(map(len, NAMES))
        known = "\n".join(f"  {each:{width}}  {WHAT[each]}" for each in NAMES)
        fail(f"there is no scenario {name[:60]!r}; there are\n{known}")
    try:
        return Histories((scenario(name, seed=asked.seed or 0, days=DAYS if asked.days is None else asked.days),))
    except ValueError as exc:
        fail(f"--scenario {name}: {exc}")


@dataclass(frozen=True, slots=True)
class _World:
    """One policy of the manifests, and what it is for."""

    nodes: tuple[NodeState, ...]
    watched: Mapping[str, Watched]
    spec: PolicySpec
    notes: tuple[str, ...]


def _world(asked: Asked, found: Manifests) -> _World:
    from controller.observe.roster import watched_of
    from controller.policy import PolicySpec
    from controller.state import node_state
    from exporters.collector import workloads_of

    policy = _policy(asked, found.policies)
    spec, nodes = (policy.spec, found.nodes_of(policy)) if policy else (PolicySpec(), found.nodes)
    watched, names = watched_of(workloads_of(found.nodes, discover())), {node.name for node in nodes}
    notes = _notes(policy, [item for item in watched.values() if item.node in names])
    return _World(
        tuple(map(node_state, nodes)), {key: replace(item, mode=acting(item.mode)) for key, item in watched.items()},
        spec.model_copy(update={"mode": acting(spec.mode)}), tuple(notes),
    )  # fmt: skip


def _policy(asked: Asked, policies: Sequence[AllocationPolicy]) -> AllocationPolicy | None:
    """The one that is named, or the only one; None where there is none."""
    names = [policy.name for policy in policies]
    if asked.policy is None and len(policies) <= 1:
        return policies[0] if policies else None
    known = f"there are {', '.join(names)}" if names else "there is none"
    if asked.policy is None:
        fail(f"one policy is replayed at a time, and {known}; name it with --policy {names[0]}")
    if asked.policy not in names:
        fail(f"there is no policy {asked.policy!r}; {known}")
    return policies[names.index(asked.policy)]


def acting(mode: Mode | None) -> Mode | None:
    """What only suggests or asks is replayed as if it were let act: that is what is to be shown. Off stays Off."""
    return "Auto" if mode in {"Suggest", "Approve"} else mode


def _notes(policy: AllocationPolicy | None, watched: Collection[Watched]) -> Iterator[str]:
    from controller.backtest.trace import untraceable

    if policy is None:
        yield "the manifests have no policy; the default one is replayed on every node"
        return
    careful = {mode for mode in (policy.spec.mode, *(item.mode for item in watched)) if mode in {"Suggest", "Approve"}}
    if careful:
        yield f"mode {' and '.join(sorted(careful))} is replayed as Auto: what would come of it if it acted"
    if still := sorted(item.key for item in watched if item.allocation and untraceable(item)):
        what = "is left out, with what it holds" if len(still) == 1 else "are left out, with what they hold"
        yield f"only demand and fill can be replayed; {', '.join(still)} {what}"
    if policy.spec.limits.block_while:
        yield "limits.blockWhile is not asked: what Prometheus would have said then is not known"


def _traced(asked: Asked, path: Path, world: _World, stage: Callable[[str], Stage]) -> Histories:
    from controller.backtest.rows import BadTrace
    from controller.backtest.trace import load

    try:
        with stage("reading the trace") as share:
            found = load(
                path, world.nodes, world.watched, world.spec, days=asked.days, seed=asked.seed or 0, progress=share
            )
    except BadTrace as exc:
        for problem in exc.problems:
            tell(str(problem))
        raise typer.Exit(NO) from None
    except CannotRead as exc:
        fail(str(exc))
    return Histories((found.case,), (*world.notes, *found.notes))


def _recorded(asked: Asked, world: _World) -> Histories:
    between = moment(asked.since or ""), moment(asked.until or "")
    found = finish(_from_store(asked.state or "", world, between, asked.seed or 0))
    return Histories((found.low, found.high), (*world.notes, *found.notes))


async def _from_store(url: str, world: _World, between: tuple[float, float], seed: int) -> Recorded:
    from controller.address import StoreError
    from controller.backtest.recorded import NothingRecorded, recorded
    from controller.once import CouldNot
    from controller.store import Store

    try:
        store = await Store.open(url, write=False)
        try:
            return await recorded(store, world.nodes, world.watched, world.spec, *between, seed=seed)
        finally:
            await store.close()
    except (StoreError, NothingRecorded) as exc:
        raise CouldNot(str(exc)) from exc
