"""The `orcha` command: the only place that builds objects and wires them together."""

from __future__ import annotations

import asyncio
import codecs
import io
import json
import logging
import os
import sys
from collections.abc import Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console

from controller.commands.backtest import backtest
from controller.commands.explain import explain
from controller.commands.whatif import whatif
from controller.manifests import KINDS, Manifests, load, schema
from exporters import __version__
from exporters.collector import discover
from exporters.documents import CannotRead
from exporters.logs import configure

app = typer.Typer(
    name="orcha",
    help="Watches what each protocol really earns, works out a better split, and says why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
T = TypeVar("T")
DONE, NO, COULD_NOT = 0, 1, 2
"""Exit codes: done; no, or invalid; could not."""
DEFAULT_MANIFESTS = Path("manifests")
WIDE = 160
PLAIN = {
    "→": "->",
    "≥": ">=",
    "≤": "<=",
    "–": "-",
    "−": "-",
    "…": "...",
    "↑": "+",
    "↓": "-",
    "×": "x",
    "·": "*",
    "Σ": "sum",
}
"""What is shown where the terminal's encoding has no such sign; "?" would say unknown."""


class LogFormat(StrEnum):
    auto = "auto"
    console = "console"
    json = "json"


ManifestPaths = Annotated[
    list[Path], typer.Option("--manifests", "-m", help="File or directory of manifests; may be given several times.")
]
Output = Annotated[str, typer.Option("--output", "-o", help="table or json.")]
StateUrl = Annotated[str | None, typer.Option("--state", help="Where history is: sqlite:///PATH or postgresql://...")]


def out() -> Console:
    """A person's terminal as it is; a file or a pipe has no width, and gets the whole table."""
    return Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=WIDE)


def fail(sentence: str, code: int = COULD_NOT) -> NoReturn:
    """One sentence on stderr, and the exit code."""
    Console(stderr=True, soft_wrap=True).print(f"orcha: {sentence}", markup=False, highlight=False)
    raise typer.Exit(code)


def manifests_of(paths: list[Path]) -> Manifests:
    """The manifests, valid; else every problem is told and the program ends."""
    try:
        found = load(paths, discover())
    except CannotRead as exc:
        fail(str(exc))
    if found.problems:
        tell_problems(found)
        raise typer.Exit(NO)
    return found


def tell_problems(found: Manifests) -> None:
    console = Console(stderr=True, soft_wrap=True)
    for problem in found.problems:
        console.print(str(problem), markup=False, highlight=False)


def show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"orcha {__version__}\n")
        raise typer.Exit(DONE)


@app.callback()
def top(
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Watches what each protocol really earns, works out a better split, and says why."""


@app.command()
def validate(paths: Annotated[list[Path], typer.Argument(help="Files or directories of manifests.")]) -> None:
    """Check manifests: exit 0 valid, 1 invalid, 2 cannot read."""
    found = manifests_of(paths)
    console = Console(stderr=True, soft_wrap=True)
    for warning in found.warnings:
        console.print(f"warning: {warning}", markup=False, highlight=False)
    workloads = sum(len(node.spec.workloads) for node in found.nodes)
    out().print(
        f"valid: {len(found.nodes)} node(s), {workloads} workload(s), {len(found.policies)} policy(ies)",
        highlight=False,
    )


@app.command(name="schema")
def print_schema(kind: Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}.")]) -> None:
    """Print the JSON Schema of a kind of manifest, for editors."""
    if kind not in KINDS:
        fail(f"there is no kind {kind!r}; there are {', '.join(KINDS)}")
    sys.stdout.write(json.dumps(schema(kind), indent=2) + "\n")


@app.command()
def run(
    manifests: ManifestPaths = [DEFAULT_MANIFESTS],  # noqa: B006 typer reads the default, nobody writes to it
    listen: Annotated[str | None, typer.Option(help="HOST:PORT to serve on; default 127.0.0.1:9872.")] = None,
    state: StateUrl = None,
    log_format: Annotated[LogFormat | None, typer.Option(help="For whom the log is.")] = None,
) -> None:
    """Watch the nodes, plan, and show; changes nothing on any node."""
    from controller.serve import Options, serve

    found = manifests_of(manifests)
    finish(serve(found, Options(tuple(manifests), listen, state, log_format.value if log_format else None), discover()))


@app.command()
def plan(
    manifests: ManifestPaths = [DEFAULT_MANIFESTS],  # noqa: B006 as above
    state: StateUrl = None,
    output: Output = "table",
) -> None:
    """Look at every node once, with the history of the state if there is one, and show what would change and why."""
    from controller.once import plan_once
    from controller.report.tables import plan_table

    wants(output)
    found = manifests_of(manifests)
    show(finish(plan_once(found, state, discover(), version=__version__)), output, plan_table)


@app.command()
def status(
    api: Annotated[str, typer.Option(help="Address of a running controller.")] = "http://127.0.0.1:9872",
    token_file: Annotated[Path | None, typer.Option(help="File that holds the API's token.")] = None,
    state: StateUrl = None,
    output: Output = "table",
) -> None:
    """Show what a running controller sees; with --state, what it last wrote."""
    from controller.once import status_from_api, status_from_state
    from controller.report.tables import status_table

    wants(output)
    view = finish(status_from_state(state) if state else status_from_api(api, token_file))
    show(view, output, status_table)


app.command()(backtest)
app.command()(explain)
app.command()(whatif)


def wants(output: str) -> None:
    if output not in {"table", "json"}:
        fail(f"--output {output!r} is not known; write table or json")


def show(view: dict[str, Any], output: str, table: Any) -> None:
    if output == "json":
        sys.stdout.write(json.dumps(view, indent=2, sort_keys=True, allow_nan=False) + "\n")
    else:
        out().print(table(view, out().width))


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; what the operator can mend is one sentence, anything else a bug with its traceback."""
    from controller.once import CouldNot

    try:
        return asyncio.run(work)
    except CouldNot as exc:
        fail(str(exc))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def spelled_out(exc: UnicodeError) -> tuple[str, int]:
    """The codec error handler for PLAIN."""
    if not isinstance(exc, UnicodeEncodeError):
        raise exc
    return "".join(PLAIN.get(sign, "#") for sign in exc.object[exc.start : exc.end]), exc.end


def main() -> None:
    codecs.register_error("spelled_out", spelled_out)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="spelled_out")
    configure(level=logging.WARNING)  # stdout belongs to what was asked for; `run` chooses anew
    app()


if __name__ == "__main__":
    main()
