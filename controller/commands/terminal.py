"""How commands speak: one sentence on stderr and an exit code, a table as wide as its place, progress for who waits."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console, RenderableType

if TYPE_CHECKING:
    from rich.progress import Progress

NO, COULD_NOT, INTERRUPTED = 1, 2, 130
"""Exit codes: no, or invalid; could not; ended by Ctrl-C."""
WIDE = 160
Share = Callable[[float], None]
"""Told what share of a stage is done."""


def fail(sentence: str, code: int = COULD_NOT) -> NoReturn:
    """One sentence on stderr, and the exit code."""
    tell(f"orcha: {sentence}")
    raise typer.Exit(code)


def tell(sentence: str) -> None:
    """One sentence on stderr."""
    Console(stderr=True, soft_wrap=True).print(sentence, markup=False, highlight=False)


def out() -> Console:
    """A person's terminal as it is; a file or a pipe has no width, and gets the whole table."""
    return Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=WIDE)


def say(shown: RenderableType) -> None:
    """On stdout, as its place shows it."""
    with _written():
        out().print(shown, highlight=False)


def put(text: str) -> None:
    """On stdout, as it is."""
    with _written():
        sys.stdout.write(text)


@contextmanager
def _written() -> Iterator[None]:
    """Where stdout cannot be written that is said; a reader who has enough (`| head`) just ends the program."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # typer's to end quietly
    except OSError as exc:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or what is left would fail again at the end
        fail(f"what was asked for cannot be written to stdout ({exc.strerror})")


def plain(shown: RenderableType) -> str:
    """As text for a file."""
    console = Console(width=WIDE, file=io.StringIO(), color_system=None)
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


@contextmanager
def stages() -> Iterator[Callable[[str], Stage]]:
    """Progress on stderr: a bar for each stage on a terminal, which goes when all is done; else a line after each."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda name: Stage(name, None)
        return
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield lambda name: Stage(name, bars)


class Stage:
    """`with stage("orcha") as share: ... share(0.5)`."""

    def __init__(self, name: str, bars: Progress | None) -> None:
        self.name, self.bars = name, bars

    def __enter__(self) -> Share:
        self.began = time.monotonic()
        if self.bars is None:
            return lambda _share: None
        bars, task = self.bars, self.bars.add_task(self.name, total=None)
        self.task = task
        return lambda share: bars.update(task, total=1.0, completed=share)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        if self.bars is not None:
            self.bars.update(self.task, total=1.0, completed=1.0)
        else:
            tell(f"{self.name}: {time.monotonic() - self.began:.1f} s")


# --- where a report goes --------------------------------------------------------------------------------------------------


def wrong_place(output: str, file: Path | None, outputs: Sequence[str], name: str) -> str | None:
    """What is wrong with --output and --output-file, and what would be right; None: nothing. `name`: of a file, as an example."""
    if output not in outputs:
        return f"--output {output!r} is not known; write {', '.join(outputs[:-1])} or {outputs[-1]}"
    if file is None:
        if output == "html" and sys.stdout.isatty():
            return f"a page of HTML is not for a terminal; write it to a file: --output-file {name}"
        return None
    try:
        if file.is_dir():
            return f"--output-file {file} is a directory; name a file in it"
        if not file.parent.is_dir():
            return f"--output-file {file}: there is no directory {file.parent}"
    except OSError as exc:  # no file can have such a name
        return f"--output-file {file} cannot be written ({exc.strerror})"
    return None


def deliver(text: str, file: Path | None) -> None:
    """To the file, and say so, or to stdout."""
    if file is None:
        put(text)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as exc:
        fail(f"--output-file {file} cannot be written ({exc.strerror})")
    tell(f"orcha: written to {file}")
