"""`orcha plan`: what would change now, or, with --diff, what a change of the manifests would do. Wiring."""

from __future__ import annotations

from typing import Annotated

import typer

from controller.commands.options import (
    DEFAULT_MANIFESTS,
    ManifestPaths,
    StateUrl,
    finish,
    manifests_of,
    show,
    wants,
)
from controller.commands.terminal import fail, put
from exporters import __version__
from exporters.collector import discover


def plan(
    manifests: ManifestPaths = [DEFAULT_MANIFESTS],  # noqa: B006 typer reads the default, nobody writes to it
    state: StateUrl = None,
    plans: Annotated[int, typer.Option(min=1, max=20, help="How many plans to show of each policy, best first.")] = 1,
    diff: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--diff",
            metavar="BASE HEAD",
            help="What HEAD would do against BASE: files, directories, or Git revisions of --manifests.",
        ),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="table or json; with --diff also md.")] = "table",
) -> None:
    """Look at every node once, with the history of the state if there is one, and show what would change and why.

    With --diff no node is asked: shown is what a change of the manifests means, and with --state what would be planned by
    the history there. Exit code 1: HEAD is not valid.
    """
    from controller.once import plan_once
    from controller.report.tables import plan_table

    if diff is not None:
        _differ(diff, manifests, state, output)
        return
    if output == "md":
        fail("--output md is for --diff BASE HEAD; write table or json")
    wants(output)
    found = manifests_of(manifests)
    show(finish(plan_once(found, state, discover(), version=__version__, others=plans - 1)), output, plan_table)


def _differ(diff: tuple[str, str], manifests: ManifestPaths, state: str | None, output: str) -> None:
    from controller.commands.proposal import proposal
    from controller.report.proposed_markdown import proposed_markdown
    from controller.report.proposed_table import proposed_table

    if output not in {"table", "json", "md"}:
        fail(f"--output {output!r} is not known; write table, json or md")
    view = proposal(*diff, manifests, state)
    if output == "md":
        put(proposed_markdown(view))
    else:
        show(view, output, proposed_table)
