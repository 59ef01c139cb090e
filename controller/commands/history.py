"""`orcha history`: every reallocation of a period: when, what, why, on whose word, its cost, and its effect as predicted
and as it came. Wiring; the view is report/programs.py's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from controller.commands.histories import moment
from controller.commands.names import policy_names
from controller.commands.options import Output, StateUrl, View, show, wants
from controller.commands.remote import Api, Remote, TokenFile, fetched, settle
from controller.commands.terminal import fail

if TYPE_CHECKING:
    from controller.store import Store

ALWAYS = 1e12


def history(
    since: Annotated[
        str, typer.Option(help="From when on: how long ago (7d), 2026-10-01T00:00:00Z, or Unix seconds.")
    ] = "7d",
    until: Annotated[str, typer.Option(help="Before when; written the same way.")] = "now",
    policy: Annotated[str | None, typer.Option(help="Of one policy.", autocompletion=policy_names)] = None,
    api: Api = None,
    token_file: TokenFile = None,
    state: StateUrl = None,
    output: Output = "table",
) -> None:
    """Show every change of an allocation: what, when, why, who approved it, what it cost, what it promised and what it brought."""
    from controller.report.programs_tables import history_table

    wants(output)
    now = time.time()
    period = _moment("--since", since, now), _moment("--until", until, now)
    if period[0] >= period[1]:
        fail(f"--since {since} is not before --until {until}")

    async def ask(remote: Remote) -> View:
        return await history_from(remote, period, now, policy)

    async def read(store: Store) -> View:
        return await history_of(store, period, now, policy)

    show({**settle(fetched(api, token_file, state, ask, read)), "policy": policy}, output, history_table)


def _moment(name: str, text: str, now: float) -> float:
    try:
        return moment(text, now)
    except ValueError as exc:
        fail(f"{name} {exc}")


async def history_of(store: Store, period: tuple[float, float], now: float, policy: str | None = None) -> View:
    """From the journal and the trials of a state. Raises StoreError."""
    from controller.journal import Journal
    from controller.report.programs import change_view, history_view, program_view

    journal = Journal(store)
    made = [each for each in await journal.programs(period[0], policy=policy) if each.began is not None]
    programs = [program_view(each, await journal.records(each.id)) for each in made]
    trials = await store.trials(period[0], ALWAYS, policy)
    return history_view(programs, map(change_view, trials), period, now)


async def history_from(remote: Remote, period: tuple[float, float], now: float, policy: str | None = None) -> View:
    """From what a running controller tells: its programs with their records, and the changes. Raises No, NotTold."""
    from controller.report.programs import history_view, seconds

    of_policy = {"policy": policy} if policy else {}
    wanted = {**of_policy, "since": f"{period[0]:.3f}"}
    changes = [
        {**entry["change"], "policy": entry["policy"]}
        for entry in await remote.pages("history", "entries", wanted)
        if entry["kind"] == "change"
    ]
    programs = [
        await remote.get(f"programs/{each['id']}")
        if period[0] <= (seconds(each["began_at"]) or 0.0) < period[1]
        else each
        for each in await remote.pages("programs", "programs", of_policy)
    ]
    return history_view(programs, changes, period, now)
