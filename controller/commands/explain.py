"""`orcha explain`: why a decision is what it is, and why nothing else was done. Wiring; what is said is report/explain.py's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.commands.histories import LATEST
from controller.commands.names import workload_names
from controller.commands.options import (
    DEFAULT_MANIFESTS,
    ManifestPaths,
    Output,
    StateUrl,
    View,
    finish,
    manifests_of,
    nowhere,
    show,
    wants,
)
from controller.commands.terminal import NO, fail
from exporters.quantity import parse_duration

if TYPE_CHECKING:
    from controller.model import Decision
    from controller.rows import RecordedDecision
    from controller.store import Store


def explain(
    workload: Annotated[
        str | None,
        typer.Argument(
            help="NODE/WORKLOAD, or its name alone; without: the policy, the plan and every candidate.",
            autocompletion=workload_names,
        ),
    ] = None,
    manifests: ManifestPaths = [DEFAULT_MANIFESTS],  # noqa: B006 typer reads the default, nobody writes to it
    state: StateUrl = None,
    at: Annotated[
        str | None,
        typer.Option("--at", help="What held then: 2026-07-01T12:00:00Z, Unix seconds, or how long ago, such as 2h."),
    ] = None,
    look: Annotated[
        bool, typer.Option("--look", help="Look at the nodes now, even where a decision is recorded.")
    ] = False,
    output: Output = "table",
) -> None:
    """Say why a workload is (not) moved: its curve, what the next step is worth and how sure, every candidate with its reason.

    Shows the newest decision that `orcha run` recorded in the state, replayed from what it was made from; no node is
    asked. Where none is recorded, or with --look, every node is looked at once, as `orcha plan` does. With --state the
    manifests are only read for such a look.
    """
    wants(output)
    if look and at is not None:
        fail("--look looks at the nodes now, and --at asks for a time that has passed; keep one")
    from controller.report.explain_tables import explain_table

    now = time.time()
    asked = None if at is None else moment_of(at, now)
    found = finish(_gather(manifests, state, asked, look=look))
    show(_view(found, workload, asked, now), output, explain_table)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """One policy's decision."""

    decision: Decision | None
    """None: it cannot be replayed."""
    record: RecordedDecision | None = None
    """None: it was made just now."""
    same_until: float | None = None
    trouble: str | None = None
    """What replay has to say."""


def moment_of(text: str, now: float) -> float:
    """A time as people write it, in Unix seconds: RFC 3339 (UTC where no zone is given), Unix seconds, or "2h" ago."""
    try:
        return max(0.0, now - parse_duration(text))
    except ValueError:
        pass
    try:
        at = float(text)
        return at if 0 < at < LATEST else _no_moment(text)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return _no_moment(text)
    return min(max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()), LATEST)


def _no_moment(text: str) -> float:
    return fail(f"--at {text!r} is not a time; write 2026-07-01T12:00:00Z, Unix seconds, or how long ago, such as 2h")


async def _gather(manifests: list[Path], state: str | None, asked: float | None, *, look: bool) -> list[_Found]:
    """The decisions that are recorded, else those of a look."""
    from controller.once import is_there, state_url

    names, url = None, state
    if url is None:
        written = manifests_of(manifests)
        url, names = state_url(written, None), [policy.name for policy in written.policies]
    found = [] if look or not (state or is_there(url)) else await _recorded(url, asked, names)
    if not found and asked is not None:
        fail(
            f"no decision of {_said(asked)} or before is recorded in {url}; name the state that `orcha run` writes with --state"
        )
    if not found and state is not None and not look and nowhere(manifests):
        fail(
            f"no decision is recorded in {url} yet; wait for the first, or name the manifests with --manifests DIR to look now"
        )
    return found or await _looked(manifests, state)


async def _recorded(url: str, asked: float | None, names: Iterable[str] | None) -> list[_Found]:
    """The decision of each policy that held at the time, or the newest. Raises CouldNot."""
    from controller.address import StoreError
    from controller.once import CouldNot
    from controller.store import Store

    try:
        store = await Store.open(url, write=False)
        try:
            newest = await store.last_decisions()
            chosen = [name for name in sorted(newest) if names is None or name in names]
            found = [await _of_policy(store, newest[name], asked) for name in chosen]
            first = [at for name in chosen if (at := await store.decided_since(name)) is not None]
        finally:
            await store.close()
    except StoreError as exc:
        raise CouldNot(str(exc)) from exc
    known = [each for each in found if each is not None]
    if asked is not None and first and not known:
        fail(f"no decision of {_said(asked)} or before is recorded in {url}; the first is of {_said(min(first))}")
    return known


async def _of_policy(store: Store, newest: RecordedDecision, asked: float | None) -> _Found | None:
    record = await store.decided(newest.policy, newest.at if asked is None else asked)
    if record is None and (asked is None or newest.at <= asked):
        record = newest  # it has come to the same for longer than the retention: how it was made is forgotten
    if record is None:
        return None
    same = record.fingerprint == newest.fingerprint and (asked is None or newest.at <= asked)
    return await asyncio.to_thread(_replayed, record, newest.at if same else None)


def _replayed(record: RecordedDecision, same_until: float | None) -> _Found:
    from controller.replay import CannotReplay, replay
    from controller.report.views import recorded

    if record.inputs is None:
        why = (
            "what it was made from is not kept (too many workloads, or too long ago); what it said then is all there is"
        )
        return _Found(None, record, same_until, why)
    try:
        decision = replay(record.inputs)
    except CannotReplay as exc:
        return _Found(None, record, same_until, f"it cannot be replayed: {exc}")
    if recorded(decision, before=record.fingerprint).fingerprint == record.fingerprint:
        return _Found(decision, record, same_until)
    return _Found(
        decision, record, same_until, f"this version of orcha decides otherwise; what was said then: {record.sentence}"
    )


async def _looked(manifests: list[Path], state: str | None) -> list[_Found]:
    from controller.decide import decide
    from controller.once import look
    from exporters.collector import discover

    seen = await look(manifests_of(manifests), state, discover(), remembered=True)
    return [_Found(await asyncio.to_thread(decide, each)) for each in seen.states]


# --- what is shown ------------------------------------------------------------------------------------------------


def _view(found: list[_Found], wanted: str | None, asked: float | None, now: float) -> View:
    """Shape: controller/report/explain.py."""
    from controller.report.explain import NoSuchWorkload, chosen_key

    keys = {key for each in found for key in _keys(each)}
    try:
        key = None if wanted is None else chosen_key(wanted, keys)
    except NoSuchWorkload as exc:
        fail(str(exc), NO)
    return {
        "source": "look" if all(each.record is None for each in found) else "state",
        "at": now,
        "asked_for": asked,
        "workload": key,
        "policies": [_policy(each, key) for each in found if key is None or key in _keys(each)],
    }


def _keys(found: _Found) -> set[str]:
    """The workloads of one policy."""
    if found.decision is not None:
        return {workload.key for workload in found.decision.state.workloads}
    said = _said_then(found)
    return {*said["plan"]["current"], *said["left_out"]}


def _policy(found: _Found, key: str | None) -> View:
    from controller.report.explain import explained

    if found.decision is not None:
        view = explained(found.decision, None if key is None else [key])
    else:
        said = _said_then(found)
        weighed = [o for o in said["plan"]["opportunities"] if key is None or key in {o["source"], o["target"]}]
        candidates = [{**each, "in_plan": _in_plan(said["plan"], each)} for each in weighed]
        view = {**said, "at": said["plan"]["at"], "candidates": candidates, "workloads": []}
    return {**view, "same_until": found.same_until, "replay": found.trouble}


def _in_plan(plan: View, candidate: View) -> bool:
    moved = {key: plan["targets"].get(key, has) - has for key, has in plan["current"].items()}
    source = candidate["source"]
    return moved.get(candidate["target"], 0.0) > 0 and (source is None or moved.get(source, 0.0) < 0)


def _said_then(found: _Found) -> View:
    said: View = json.loads(found.record.body) if found.record else {}
    return said


def _said(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
