"""The `orcha` command: the only place that builds objects and wires them together."""

from __future__ import annotations

import codecs
import io
import json
import logging
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from controller.commands.acting import pause, release, resume
from controller.commands.backtest import backtest
from controller.commands.completion import completion, prepare
from controller.commands.doctor import doctor
from controller.commands.explain import explain
from controller.commands.export import export
from controller.commands.fleet import fleet
from controller.commands.history import history
from controller.commands.init import init
from controller.commands.options import (
    DEFAULT_MANIFESTS,
    ManifestPaths,
    Output,
    Source,
    StateUrl,
    finish,
    manifests_of,
    show,
    wants,
)
from controller.commands.plan import plan
from controller.commands.programs import programs
from controller.commands.report import report
from controller.commands.terminal import fail, put, say, tell
from controller.commands.whatif import whatif
from controller.manifests import KINDS, schema
from exporters import __version__
from exporters.collector import discover
from exporters.logs import configure

app = typer.Typer(
    name="orcha",
    help="Watches what each protocol really earns, works out a better split, and says why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
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


def show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"orcha {__version__}\n")
        raise typer.Exit


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
    for warning in found.warnings:
        tell(f"warning: {warning}")
    workloads = sum(len(node.spec.workloads) for node in found.nodes)
    say(f"valid: {len(found.nodes)} node(s), {workloads} workload(s), {len(found.policies)} policy(ies)")


@app.command(name="schema")
def print_schema(kind: Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}.")]) -> None:
    """Print the JSON Schema of a kind of manifest, for editors."""
    if kind not in KINDS:
        fail(f"there is no kind {kind!r}; there are {', '.join(KINDS)}")
    put(json.dumps(schema(kind), indent=2) + "\n")


@app.command()
def run(
    manifests: ManifestPaths = [DEFAULT_MANIFESTS],  # noqa: B006 typer reads the default, nobody writes to it
    listen: Annotated[str | None, typer.Option(help="HOST:PORT to serve on; default 127.0.0.1:9872.")] = None,
    state: StateUrl = None,
    log_format: Annotated[LogFormat | None, typer.Option(help="For whom the log is.")] = None,
    source: Source = None,
    site: Annotated[str | None, typer.Option(help="Which site of the Fleet this is; default: ORCHA_SITE.")] = None,
) -> None:
    """Watch the nodes, plan, and do what the policies allow: show (Suggest), ask (Approve), or act (Auto)."""
    from controller.serve import Options, serve

    found = manifests_of(manifests)
    named = None if source is None else source.value
    options = Options(tuple(manifests), listen, state, log_format.value if log_format else None, named, site)
    finish(serve(found, options, discover()))


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


app.command()(plan)
app.command()(backtest)
app.command()(explain)
app.command()(whatif)
app.add_typer(programs, name="programs")
app.add_typer(fleet, name="fleet")
app.command()(pause)
app.command()(resume)
app.command()(release)
app.command()(history)
app.command()(report)
app.command()(export)
app.command()(init)
app.command()(doctor)
app.command()(completion)


def spelled_out(exc: UnicodeError) -> tuple[str, int]:
    """The codec error handler for PLAIN."""
    if not isinstance(exc, UnicodeEncodeError):
        raise exc
    return "".join(PLAIN.get(sign, "#") for sign in exc.object[exc.start : exc.end]), exc.end


def main() -> None:
    codecs.register_error("spelled_out", spelled_out)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # a daemon may be started without either
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 for as long as it runs
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="spelled_out")
    prepare()
    configure(level=logging.WARNING)  # stdout belongs to what was asked for; `run` chooses anew
    app()


if __name__ == "__main__":
    main()
