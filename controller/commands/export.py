"""`orcha export`: readings, decisions and programs of a period as CSV, JSON Lines or Parquet, from the state alone.

Wiring. The rows are controller/export's; docs/export.md tells every column.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.commands.histories import moment
from controller.commands.options import DEFAULT_MANIFESTS, ManifestPaths, StateUrl, finish, manifests_of
from controller.commands.terminal import fail, stages, tell

if TYPE_CHECKING:
    from controller.export.file import Part, Piped
    from controller.export.formats import Writer
    from controller.store import Store

STDOUT = Path("-")


class What(StrEnum):
    readings = "readings"
    decisions = "decisions"
    programs = "programs"


class Format(StrEnum):
    csv = "csv"
    json = "json"
    parquet = "parquet"


def export(  # noqa: PLR0913, PLR0917 an option each
    what: Annotated[What, typer.Option(help="readings: looks at nodes, and the spans that sum them up.")],
    format_: Annotated[Format, typer.Option("--format", help="json: an object a line.")] = Format.csv,
    since: Annotated[
        str | None,
        typer.Option("--from", help="RFC 3339, Unix seconds, or how long ago, such as 14d; without: all there is."),
    ] = None,
    until: Annotated[str, typer.Option("--to", help="Before when; written the same way.")] = "now",
    output: Annotated[Path, typer.Option("--output", "-o", help="A file; - is stdout.")] = STDOUT,
    state: StateUrl = None,
    manifests: ManifestPaths = [DEFAULT_MANIFESTS],  # noqa: B006 typer reads the default, nobody writes to it
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the same export where it stopped; else begin it.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file, or what is left of an export that stopped.")
    ] = False,
) -> None:
    """Write what the state keeps of a period, oldest first; docs/export.md tells every column.

    Rows lie wholly within the period. A controller may go on writing the same state meanwhile.
    """
    if problem := wrong(output, format_, resume=resume, force=force):
        fail(problem)
    asked = Asked(what.value, format_.value, since, until, output, resume, force)
    asked.period(time.time())  # what is wrong with it is told before anything is opened
    url = state or _state_of(manifests)
    finish(written(asked, url))


@dataclass(frozen=True, slots=True)
class Asked:
    """The options that say what is exported."""

    what: str
    format: str
    since: str | None
    until: str
    output: Path
    resume: bool = False
    force: bool = False

    def period(self, now: float) -> tuple[float, float]:
        """In Unix seconds; no later than now. Ends the program where that is none."""
        found = [0.0 if self.since is None else _moment("--from", self.since, now), _moment("--to", self.until, now)]
        if found[0] >= found[1]:
            fail(f"--from {self.since} is not before --to {self.until}")
        return found[0], min(found[1], now)

    def same(self, state: str) -> dict[str, Any]:
        """What a command that goes on has to ask for again. No secret: `state` is a Store's name."""
        from controller.export.columns import COLUMNS

        return {
            "what": self.what, "format": self.format, "state": state, "from": self.since, "to": self.until,
            "columns": [column.name for column in COLUMNS[self.what]],
        }  # fmt: skip


def wrong(output: Path, format_: Format, *, resume: bool, force: bool) -> str | None:
    """What is wrong with the options, and what would be right."""
    if resume and force:
        return "--resume goes on with what is there, and --force begins anew; keep one"
    if output != STDOUT:
        return None
    if resume or force:
        return f"--{'resume' if resume else 'force'} goes with a file; name it with --output FILE"
    if format_ is Format.parquet and sys.stdout.isatty():
        return "Parquet is not for a terminal; write it to a file: --output FILE"
    return None


def _moment(name: str, text: str, now: float) -> float:
    try:
        return moment(text, now)
    except ValueError as exc:
        fail(f"{name} {exc}")


def _state_of(manifests: list[Path]) -> str:
    from controller.once import CouldNot, state_url

    try:
        return state_url(manifests_of(manifests), None)
    except CouldNot as exc:
        fail(str(exc))


async def written(asked: Asked, url: str) -> None:
    """Raises CouldNot."""
    from controller.address import StoreError
    from controller.export.columns import COLUMNS
    from controller.export.file import Refused
    from controller.export.formats import NotInstalled, writer_of
    from controller.once import CouldNot
    from controller.store import Store

    try:
        writer = writer_of(asked.format, COLUMNS[asked.what])
        store = await Store.open(url, write=False)
        try:
            await (_to_stdout if asked.output == STDOUT else _to_file)(asked, store, writer)
        finally:
            await store.close()
    except (StoreError, Refused, NotInstalled) as exc:
        raise CouldNot(str(exc)) from exc


async def _to_stdout(asked: Asked, store: Store, writer: Writer) -> None:
    from controller.export.file import OUT, Note, Piped, explained

    period = asked.period(time.time())
    with explained(OUT), Piped(sys.stdout.buffer, writer, Note({}, *period, (period[0], None))) as pipe:
        await _all_rows(asked.what, store, pipe)


async def _to_file(asked: Asked, store: Store, writer: Writer) -> None:
    from controller.export.file import Note, Part, check_place, explained, noted

    path, same = asked.output, asked.same(store.name)
    check_place(path, store.path)
    with explained(str(path)):
        left = noted(path, same) if asked.resume else None
        if asked.resume and left is None and path.exists():  # as after a kill just when it was done
            tell(
                f"orcha: {path} is there, and no export to it stopped early: it is left as it is; --force makes it anew"
            )
            return
        if left is not None:
            part = Part.go_on(path, writer, left)
        else:
            period = asked.period(time.time())
            part = Part.begin(path, writer, Note(same, *period, (period[0], None), replaces=asked.force))
        with part:
            try:
                if part.open:
                    await _all_rows(asked.what, store, part)
            except asyncio.CancelledError:
                tell(f"orcha: ended early, {part.note.rows} rows are sure; go on with --resume")
                raise
            part.finish()
    tell(f"orcha: {part.rows} {'row' if part.rows == 1 else 'rows'} in {path}")


async def _all_rows(what: str, store: Store, sink: Part | Piped) -> None:
    from controller.export.pages import SOURCES, Period

    period = Period(sink.note.since, sink.note.until)
    with stages() as stage, stage(what) as share:
        async with aclosing(SOURCES[what](store, period, sink.note.resume)) as chunks:
            first = None
            async for chunk in chunks:
                first = chunk.at if first is None else first
                sink.take(chunk.rows)
                if chunk.resume is not None:
                    sink.sure(chunk.resume)
                share((chunk.at - first) / max(period.until - first, 1.0))
