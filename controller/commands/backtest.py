"""`orcha backtest`: what orcha would have earned over a made-up, a traced or a recorded time, beside what else there is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.commands.histories import Asked, histories, wrong
from controller.commands.names import policy_names
from controller.commands.terminal import (
    INTERRUPTED,
    Share,
    Stage,
    deliver,
    fail,
    out,
    plain,
    say,
    stages,
    tell,
    wrong_place,
)

if TYPE_CHECKING:
    from controller.backtest.case import Case
    from controller.backtest.result import Result, Run

Runners = Mapping[str, Callable[[Share], "Run"]]
"""Name -> what plays it, telling what share is done."""
OUTPUTS = ("table", "json", "html")


def backtest(  # noqa: PLR0913, PLR0917 an option each
    manifests: Annotated[
        list[Path] | None,
        typer.Option(
            "--manifests",
            "-m",
            help="With --trace or --state: file or directory of manifests; may be given several times.",
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="Of the manifests' policies the one that is replayed, where there are several.",
            autocompletion=policy_names,
        ),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(help="CSV of demand and prices: time, node, workload, demand, usd_per_unit_hour.")
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(help="A made-up history; an unknown name tells which there are.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="What a controller recorded: sqlite:///PATH or postgresql://...")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="With --state: RFC 3339, Unix seconds, or how long ago, such as 14d.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="With --state: the same, or now.")] = None,
    days: Annotated[float | None, typer.Option(help="How many days of it; a scenario has 30, a trace all.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of a scenario and of the bootstrap; default 0.")] = None,
    replicates: Annotated[
        bool, typer.Option(help="Ask the bootstrap how sure each plan is; without, it is quicker.")
    ] = True,
    only: Annotated[
        str | None, typer.Option(help="Only these splits, such as static,orcha; the others are unknown.")
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="table, json or html.")] = "table",
    output_file: Annotated[
        Path | None, typer.Option(help="Write it to this file; html on a terminal needs one.")
    ] = None,
) -> None:
    """Replay a history and compare: doing nothing, simple rules, orcha, and what was possible at most."""
    from controller.backtest.result import Result

    asked = Asked(tuple(manifests or ()), policy, trace, scenario, state, since, until, days, seed)
    if problem := wrong(asked) or wrong_place(output, output_file, OUTPUTS, "backtest.html"):
        fail(problem)
    names = chosen(only)
    try:
        with stages() as stage:
            found = histories(asked, stage)
            for note in found.notes:
                tell(f"note: {note}")
            ways = [runners(case, replicates=replicates) for case in found.cases]
            runs, complete = compare(ways, names, stage)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    if runs:
        made = Result(found.cases[0], runs, len(found.cases) == 1)
        write(made, output, output_file, complete=complete, notes=found.notes)
    if not complete:
        tell("orcha: ended early")
        raise typer.Exit(INTERRUPTED)


# --- what is asked for --------------------------------------------------------------------------------------------------


def chosen(only: str | None) -> tuple[str, ...]:
    """The splits that are run, in the order in which they are."""
    from controller.backtest.result import NAMES

    if only is None:
        return NAMES
    wanted = {name.strip() for name in only.split(",")}
    if unknown := sorted(wanted - set(NAMES)):
        fail(f"--only {', '.join(unknown)}: there is no such split; there are {', '.join(NAMES)}")
    return tuple(name for name in NAMES if name in wanted)


# --- replaying and showing ----------------------------------------------------------------------------------------------


def compare(
    ways: Sequence[Runners], names: Sequence[str], stage: Callable[[str], Stage]
) -> tuple[dict[str, Run], bool]:
    """All of them, one after the other; with Ctrl-C those that were done until then, and False.

    Of two ways (on the least and on the most that demand can have been) both are played, and what is known lies between.
    """
    runs: dict[str, Run] = {}
    try:
        for name in names:
            with stage(name) as share:
                runs[name] = between([timed(way[name], share, i, len(ways)) for i, way in enumerate(ways)])
    except KeyboardInterrupt:
        return runs, False
    return runs, True


def timed(play: Callable[[Share], Run], share: Share, part: int, parts: int) -> Run:
    """One of so many parts of a stage; a run that does not say how long it took is timed."""
    began = time.perf_counter()
    run = play(lambda done: share((part + done) / parts))
    return replace(run, seconds=run.seconds or time.perf_counter() - began)


def between(runs: Sequence[Run]) -> Run:
    """One run of those of each case. What a program brought is not known where demand is not."""
    from controller.backtest.recorded import bracket

    if len(runs) == 1:
        return runs[0]
    low, high = runs
    promises = tuple(replace(promise, realised=None) for promise in low.promises)
    return replace(
        bracket(low, high),
        seconds=low.seconds + high.seconds,
        promises=promises,
        decisions=low.decisions + high.decisions,
    )


def runners(case: Case, *, replicates: bool) -> Runners:
    """How each split is played, in the order of NAMES."""
    from controller.backtest import baselines
    from controller.backtest.clairvoyant import clairvoyant
    from controller.backtest.run import orcha
    from controller.backtest.world import terms
    from controller.estimate.weights import REPLICATES

    on = terms(case)
    return {
        "static": lambda _: baselines.static(case, on),
        "equal": lambda _: baselines.equal(case, on),
        "greedy": lambda _: baselines.greedy(case, on),
        "winner_takes_all": lambda _: baselines.winner_takes_all(case, on),
        "orcha": lambda share: orcha(case, replicates=REPLICATES if replicates else 0, progress=share, on=on),
        "clairvoyant": lambda share: clairvoyant(case, on, progress=share),
    }


def write(result: Result, output: str, file: Path | None, *, complete: bool, notes: Sequence[str] = ()) -> None:
    """To the file or to stdout."""
    from controller.backtest.comparison import table
    from controller.backtest.page import page
    from controller.backtest.report import figures

    view = figures(result, complete=complete, notes=notes)
    if output == "table" and file is None:
        say(table(view, out().width))
        return
    if output == "table":
        text = plain(table(view))
    elif output == "json":
        text = json.dumps(view, indent=2, allow_nan=False) + "\n"
    else:
        text = page(result, complete=complete, notes=notes)
    deliver(text, file)
