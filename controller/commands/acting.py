"""`orcha pause`, `resume` and `release`: what orcha may do at all. Told to the API, which records who said it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from controller.commands.names import place_names, policy_names, policy_or_workload_names
from controller.commands.options import Output, View, wants
from controller.commands.programs import tell_or_put
from controller.commands.remote import DEFAULT_API, Api, By, NotTold, Remote, TokenFile, Why, body_of, settle
from controller.commands.terminal import NO, fail


def pause(
    policy: Annotated[
        str | None, typer.Argument(help="A policy; without: all of them.", autocompletion=policy_names)
    ] = None,
    why: Why = "",
    by: By = None,
    api: Api = None,
    token_file: TokenFile = None,
    output: Output = "table",
) -> None:
    """Begin nothing more, of one policy or of all, until `orcha resume`; what is under way waits before its next step."""
    wants(output)
    _not_empty(policy)
    whose = f"policy {policy} is" if policy else "all policies are"
    then = f"orcha resume {policy}" if policy else "orcha resume"
    told = _tell("pause", body_of(by, why, policy=policy), Remote(api or DEFAULT_API, token_file))
    said = f"{whose} paused: nothing more begins, and what is under way waits before its next step, until `{then}`"
    tell_or_put(told, output, lambda _: said)


def resume(
    target: Annotated[
        str | None,
        typer.Argument(
            help="A policy, or NODE/WORKLOAD that was changed by hand; without: all policies.",
            autocompletion=policy_or_workload_names,
        ),
    ] = None,
    why: Why = "",
    by: By = None,
    api: Api = None,
    token_file: TokenFile = None,
    output: Output = "table",
) -> None:
    """End a pause, and a policy's fall-back to Suggest; of NODE/WORKLOAD, let orcha move what a person changed by hand."""
    wants(output)
    _not_empty(target)
    if target and "/" in target:
        body, said = body_of(by, why, workload=target), f"orcha may move {target} again, within its policy's limits"
    else:
        whose = f"policy {target} goes" if target else "all policies go"
        body, said = body_of(by, why, policy=target), f"{whose} on, in the mode of the manifest"
    tell_or_put(_tell("resume", body, Remote(api or DEFAULT_API, token_file)), output, lambda _: said)


def release(
    target: Annotated[
        str | None, typer.Argument(help="A node, or NODE/WORKLOAD; without: everything.", autocompletion=place_names)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    why: Why = "",
    by: By = None,
    api: Api = None,
    token_file: TokenFile = None,
    output: Output = "table",
) -> None:
    """Give workloads back the allocations that they had before orcha, and pause their policies: for a clean uninstall."""
    from controller.report.programs_tables import done_words

    wants(output)
    _not_empty(target)
    if not yes:
        _ask(target)
    place = {"workload" if "/" in target else "node": target} if target else {}
    told = _tell("release", body_of(by, why, **place), Remote(api or DEFAULT_API, token_file))
    lines = [done_words(each) for each in told.get("programs", [])]
    lines = lines or [f"{target or 'everything'} has what it had before orcha; there is nothing to give back"]
    lines.append("the policies concerned are paused: `orcha resume` lets orcha act again")
    tell_or_put(told, output, lambda _: "\n".join(lines))


def _not_empty(target: str | None) -> None:
    """A name that came out empty (a variable of a script that is not set) is not everything."""
    if target is not None and not target.strip():
        fail("the name is empty; write one, or leave it out to mean everything")


def _ask(target: str | None) -> None:
    """A word is needed for this: on a terminal it is asked for, elsewhere --yes is."""
    does = (
        f"gives {target or 'every workload'} back what it had before orcha first changed it, "
        "and pauses the policies concerned"
    )
    if not sys.stdin.isatty():
        fail(f"this {does}; say --yes where nobody can be asked")
    if not typer.confirm(f"This {does}. Go on?", err=True):
        fail("nothing was changed", NO)


def _tell(word: str, body: dict[str, str], remote: Remote) -> View:
    """The answer as a view."""

    async def work() -> View:
        told: Any = await remote.post(word, body)
        if not isinstance(told, dict) or not all(
            isinstance(each, dict) and {"id", "moves"} <= each.keys() for each in told.get("programs", [])
        ):
            raise NotTold(f"{remote.api} answered something that is not known here; is this an orcha controller?")
        return told

    return settle(work())
