"""`orcha programs`: what waits for a word, what is under way and what was done, and the words that move it on.

Wiring. What reads asks the API, else the state (remote.py); what changes anything asks the API alone, which records who.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import RenderableType
from typer.core import TyperGroup

from controller.commands.names import policy_names, program_ids
from controller.commands.options import Output, StateUrl, View, show, wants
from controller.commands.remote import (
    DEFAULT_API,
    Api,
    By,
    No,
    NotTold,
    Remote,
    TokenFile,
    Why,
    body_of,
    fetched,
    settle,
)
from controller.commands.terminal import fail, put, say

if TYPE_CHECKING:
    from controller.store import Store

WHOLE: Final = re.compile(r"p-[0-9a-z]+")
Id = Annotated[
    str,
    typer.Argument(
        help="The program: p-1f2e3d4c, or as much of it as only one begins with.", autocompletion=program_ids
    ),
]
STATES: Final = (
    "pending", "approved", "running", "applied", "rolled_back", "blocked", "rejected", "expired", "superseded",
)  # fmt: skip
"""Of ProgramState (controller/programs.py), which is not loaded for the help of every command."""


class ListByDefault(TyperGroup):
    """`orcha programs --all` is `orcha programs list --all`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing and (not args or (args[0].startswith("-") and args[0] != "--help")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


programs = typer.Typer(
    cls=ListByDefault,
    help="Show the programs, newest and open ones first; approve, reject or roll one back.",
    add_completion=False,
    rich_markup_mode=None,
)


@programs.command(name="list")
def list_programs(
    everything: Annotated[bool, typer.Option("--all", help="Also those that were over more than a day ago.")] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", help=f"Those of a state: {', '.join(STATES)}; may be repeated.")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Those of one policy.", autocompletion=policy_names)] = None,
    api: Api = None,
    token_file: TokenFile = None,
    state: StateUrl = None,
    output: Output = "table",
) -> None:
    """List them (the default): state, age, who, what, gain and why. Without --all, what is open or was a day ago."""
    from controller.report.programs import listed
    from controller.report.programs_tables import programs_table

    wants(output)
    wanted = _states(only or ())
    if state in STATES:
        fail(
            f"--state is where the journal is, such as sqlite:///orcha.db; write --only {state} for programs in that state"
        )
    found = settle(fetched(api, token_file, state, _all_of, _all_in))
    rows = listed(found["programs"], time.time(), everything=everything, states=wanted, policy=policy)
    show({**found, "programs": rows}, output, programs_table)


@programs.command(name="show")
def show_program(
    program: Id, api: Api = None, token_file: TokenFile = None, state: StateUrl = None, output: Output = "table"
) -> None:
    """Show one: its steps and how far each has come, what it promised, and who said what when."""
    from controller.report.programs_tables import program_table

    async def ask(remote: Remote) -> View:
        return await _one(remote, await _meant(remote, program))

    async def read(store: Store) -> View:
        return await _one_in(store, program)

    wants(output)
    view = settle(fetched(api, token_file, state, ask, read))
    now = time.time()
    show(view, output, lambda found, width: program_table(found, width, now))


@programs.command()
def approve(
    program: Id, why: Why = "", by: By = None, api: Api = None, token_file: TokenFile = None, output: Output = "table"
) -> None:
    """Let a pending one begin. It still begins only if the guard, asked again with fresh readings, lets it."""
    _say(program, "approve", body_of(by, why), Remote(api or DEFAULT_API, token_file), output)


@programs.command()
def reject(
    program: Id, why: Why = "", by: By = None, api: Api = None, token_file: TokenFile = None, output: Output = "table"
) -> None:
    """Turn down one that has not begun, or give up a blocked one."""
    _say(program, "reject", body_of(by, why), Remote(api or DEFAULT_API, token_file), output)


@programs.command()
def rollback(
    program: Id, why: Why = "", by: By = None, api: Api = None, token_file: TokenFile = None, output: Output = "table"
) -> None:
    """Turn back one that is under way; of one that is over, bring back what stood before it, by a new program."""
    _say(program, "rollback", body_of(by, why), Remote(api or DEFAULT_API, token_file), output)


def _say(program: str, word: str, body: dict[str, str], remote: Remote, output: str) -> None:
    """Give the controller somebody's word, and tell what came of it."""
    from controller.report.programs_tables import done_words

    async def work() -> View:
        meant = await _meant(remote, program)
        return _program(await remote.post(f"programs/{meant}/{word}", body), remote)

    wants(output)
    tell_or_put(settle(work()), output, done_words)


def tell_or_put(view: View, output: str, words: Callable[[View], str | RenderableType]) -> None:
    """What came of a word: a sentence, or the view."""
    if output == "json":
        put(json.dumps(view, indent=2, sort_keys=True, allow_nan=False) + "\n")
    else:
        say(words(view))


def _states(only: tuple[str, ...] | list[str]) -> list[str]:
    """As written, or several with commas between; ends where one is not known."""
    wanted = [word.strip().lower().replace("-", "_") for text in only for word in text.split(",")]
    for word in wanted:
        if word not in STATES:
            fail(f"--only {word!r} is not a state; there are {', '.join(STATES)}")
    return wanted


# --- from the API -------------------------------------------------------------------------------------------------


async def _all_of(remote: Remote) -> View:
    """Raises NotTold."""
    from controller.report.programs import rfc3339

    rows = await remote.pages("programs", "programs")
    return {"at": rfc3339(time.time()), "programs": [_program(row, remote) for row in rows]}


def _program(found: Any, remote: Remote) -> View:
    if not isinstance(found, dict) or not {"id", "state", "moves"} <= found.keys():
        raise NotTold(f"{remote.api} answered something else than a program; is this an orcha controller?")
    return found


def _chosen(given: str, ids: list[str]) -> str:
    """Raises No."""
    from controller.report.programs import NoSuchProgram, chosen

    try:
        return chosen(given, ids)
    except NoSuchProgram as exc:
        raise No(str(exc)) from exc


async def _meant(remote: Remote, given: str) -> str:
    """The id that is meant. One that is no longer listed may still be known by its whole name. Raises No, NotTold."""
    try:
        return _chosen(given, [each["id"] for each in (await _all_of(remote))["programs"]])
    except No:
        if not WHOLE.fullmatch(given):
            raise
        with suppress(No):
            return str(_program(await remote.get(f"programs/{given}"), remote)["id"])
        raise


async def _one(remote: Remote, id_: str) -> View:
    return _program(await remote.get(f"programs/{id_}"), remote)


# --- from the state -----------------------------------------------------------------------------------------------


async def _all_in(store: Store) -> View:
    from controller.journal import Journal
    from controller.report.programs import programs_view

    return programs_view(await Journal(store).programs(0.0), time.time())


async def _one_in(store: Store, given: str) -> View:
    """Raises No."""
    from controller.journal import Journal
    from controller.report.programs import program_view

    journal = Journal(store)
    known = {each.id: each for each in await journal.programs(0.0)}
    found = known[_chosen(given, list(known))]
    return program_view(found, await journal.records(found.id))
