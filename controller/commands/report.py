"""`orcha report`: how a period went, from the state: earnings, changes and their effect, uptime, and what doing nothing would
have earned. Wiring; what is in it is controller/report/performance.py's.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.commands.histories import moment
from controller.commands.options import finish
from controller.commands.terminal import deliver, fail, wrong_place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controller.report.performance import Told, View
    from controller.report.performance_past import Past
    from controller.rows import RecordedDecision
    from controller.store import Store
    from exporters.reading import Reading

OUTPUTS = ("md", "html", "json")
REMEMBERED = 14 * 86400.0
"""Seconds before the period that are read as well: what a unit earned and how fast storage filled is remembered so long."""
LOOKS = 25 * 3600.0
"""Seconds for which single looks are kept, about."""


def report(
    since: Annotated[
        str, typer.Option("--from", help="How long ago (7d), 2026-10-01T00:00:00Z, or Unix seconds.")
    ] = "7d",
    until: Annotated[str, typer.Option("--to", help="Before when; written the same way.")] = "now",
    state: Annotated[
        str | None, typer.Option("--state", help="Where history is: sqlite:///PATH or postgresql://...")
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="md, html or json.")] = "md",
    output_file: Annotated[
        Path | None, typer.Option(help="Write it to this file; html on a terminal needs one.")
    ] = None,
) -> None:
    """Tell how a period went: what was earned, by whom, what was changed and whether it paid, who was there."""
    if problem := wrong_place(output, output_file, OUTPUTS, "report.html"):
        fail(problem)
    now = time.time()
    period = period_of(since, until, now)
    view = finish(told(state, period, now))
    write(view, output, output_file)


# --- what is asked for --------------------------------------------------------------------------------------------------


def period_of(since: str, until: str, now: float) -> tuple[float, float]:
    """In Unix seconds, up to now at most."""
    times = []
    for name, text in (("--from", since), ("--to", until)):
        try:
            times.append(moment(text, now))
        except ValueError as exc:
            fail(f"{name} {exc}")
    begin, end = times
    if begin >= end:
        fail(f"--from {since} is not before --to {until}; write the earlier one first")
    if begin >= now:
        fail(f"--from {since} lies ahead; a report tells what was, so name a time before now")
    return begin, min(end, now)


# --- what the state knows -----------------------------------------------------------------------------------------------


async def told(url: str | None, period: tuple[float, float], now: float) -> View:
    """The report of a state. Raises CouldNot."""
    from controller.address import StoreError
    from controller.once import DEFAULT_STATE, CouldNot, is_there
    from controller.report.performance import performance
    from controller.store import Store

    if url is None and not is_there(DEFAULT_STATE):
        raise CouldNot(
            f"there is no state {DEFAULT_STATE} here; name the one that `orcha run` writes with --state sqlite:///PATH"
        )
    try:
        store = await Store.open(url or DEFAULT_STATE, write=False)
        try:
            return performance(await read(store, period, now))
        finally:
            await store.close()
    except StoreError as exc:
        raise CouldNot(str(exc)) from exc


async def read(store: Store, period: tuple[float, float], now: float) -> Told:
    """All that the state knows of the period. Raises StoreError, and CouldNot where that is nothing."""
    from controller.commands.history import history_of
    from controller.report.performance import Told

    since, until = period
    newest = await store.newest()
    pasts = [await _past(store, key, *newest[key], period, now) for key in sorted(newest)]
    there = tuple(past for past in pasts if past is not None)
    if not there:
        await _nothing_there(store, newest, period)
    decided = await _decided(store, until)
    return Told(store.name, since, until, now, there, await history_of(store, period, now), decided)


async def _past(
    store: Store, key: str, newest: Reading | None, last_good: Reading | None, period: tuple[float, float], now: float
) -> Past | None:
    """None where nothing is known of it in the period."""
    from controller.report.performance_past import Past

    since, until = period
    blocks = await store.blocks(key, since - REMEMBERED, until)
    inside = [stored.block for stored in blocks if stored.block.start * 60 + stored.block.span > since]
    if not any(block.hours or block.down_hours for block in inside):
        return None
    failed = newest is not None and not newest.up
    if failed or any(block.down_hours for block in inside if block.start * 60 > now - LOOKS):
        looks = [(at, up) for at, up, *_ in await store.readings(key, since, until)]
    else:
        looks = []
    return Past(key, newest.protocol if newest is not None else "?", blocks, newest, last_good, looks)


async def _decided(store: Store, until: float) -> list[RecordedDecision]:
    """Of each policy the newest decision of before `until`, with what it was made from. Who decided last comes last: of a
    workload that a policy knew which is gone, another one knows more.
    """
    last = {policy: each.at for policy, each in (await store.last_decisions()).items()}
    found = [await store.decided(policy, until) for policy in sorted(last, key=lambda name: (last[name], name))]
    return [each for each in found if each is not None]


async def _nothing_there(store: Store, keys: Iterable[str], period: tuple[float, float]) -> None:
    """Say where there is something. Raises CouldNot."""
    from controller.once import CouldNot
    from controller.report.programs import rfc3339

    known = [stored.block for key in keys for stored in await store.blocks(key, 0.0, 1e11)]
    asked = f"{rfc3339(period[0])} to {rfc3339(period[1])}"
    if not known:
        raise CouldNot(f"the state {store.name} holds no history yet; let `orcha run --state` write some first")
    first = min(block.start * 60.0 for block in known)
    last = max(block.start * 60.0 + block.span for block in known)
    before = "is older than what is kept" if period[1] <= first else "holds nothing"
    raise CouldNot(
        f"the period {asked} {before}; the state {store.name} knows {rfc3339(first)} to {rfc3339(last)}: "
        "ask for a time in there (Settings spec.retention says how long it keeps)"
    )


# --- telling it ---------------------------------------------------------------------------------------------------------


def write(view: View, output: str, file: Path | None) -> None:
    """To the file or to stdout."""
    from controller.report.performance_page import page
    from controller.report.performance_text import markdown

    match output:
        case "json":
            text = json.dumps(view, indent=2, allow_nan=False) + "\n"
        case "html":
            text = page(view)
        case _:
            text = markdown(view)
    deliver(text, file)
