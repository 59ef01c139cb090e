"""What commands that look share: their options, the manifests that they name, how a view is shown and how work ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import RenderableType

from controller.commands.terminal import INTERRUPTED, NO, fail, out, put, say, tell
from controller.manifests import Manifests, load
from exporters.collector import discover
from exporters.documents import CannotRead

T = TypeVar("T")
View = dict[str, Any]
DEFAULT_MANIFESTS = Path("manifests")

ManifestPaths = Annotated[
    list[Path], typer.Option("--manifests", "-m", help="File or directory of manifests; may be given several times.")
]
Output = Annotated[str, typer.Option("--output", "-o", help="table or json.")]


class SourceName(StrEnum):
    embedded = "embedded"
    prometheus = "prometheus"


Source = Annotated[
    SourceName | None,
    typer.Option("--source", help="Who polls the nodes; default Settings' source. prometheus: orcha-exporter does."),
]
StateUrl = Annotated[str | None, typer.Option("--state", help="Where history is: sqlite:///PATH or postgresql://...")]


def manifests_of(paths: list[Path]) -> Manifests:
    """The manifests, valid; else every problem is told and the program ends."""
    if nowhere(paths):
        fail(
            f"there is no directory {DEFAULT_MANIFESTS} here; name yours with --manifests DIR, or write the first ones with `orcha init`"
        )
    try:
        found = load(paths, discover())
    except CannotRead as exc:
        fail(str(exc))
    for problem in found.problems:
        tell(str(problem))
    if found.problems:
        raise typer.Exit(NO)
    return found


def nowhere(paths: list[Path]) -> bool:
    """Whether nobody named any, and there are none where they would be."""
    return paths == [DEFAULT_MANIFESTS] and not DEFAULT_MANIFESTS.exists()


def wants(output: str) -> None:
    if output not in {"table", "json"}:
        fail(f"--output {output!r} is not known; write table or json")


def show(view: View, output: str, table: Callable[[View, int], RenderableType]) -> None:
    if output == "json":
        put(json.dumps(view, indent=2, sort_keys=True, allow_nan=False) + "\n")
    else:
        say(table(view, out().width))


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; what the operator can mend is one sentence, anything else a bug with its traceback."""
    from controller.once import CouldNot

    try:
        return asyncio.run(work)
    except CouldNot as exc:
        fail(str(exc))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
