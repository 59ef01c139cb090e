"""`orcha fleet demo`: a fleet of agents in this one process, alive on the terminal, with a key for everything that may happen to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from controller.commands.options import Output, finish, wants
from controller.commands.terminal import NO, fail, put
from exporters.logs import configure

if TYPE_CHECKING:
    from rich.console import Console

    from controller.fleet.demo import Moment
    from controller.fleet.playground import Playground

PICTURES: Final = 4.0
"""A second; more than one can read costs only CPU."""
LINES: Final = 1.0
SECONDS: Final = 20.0
"""Of a demo that nobody watches."""
CUT_AT, MENDED_AT = 0.3, 0.6
"""Of its time."""
MANY: Final = 100
"""Agents; more in one process are not a picture."""
SPEEDS: Final = (0.1, 5.0)
TOPOLOGIES: Final = ("auto", "sierpinski9", "sierpinski", "grid", "ring", "full")


@dataclass(frozen=True)
class Asked:
    """What was asked for."""

    agents: int
    topology: str
    seed: int
    speed: float
    seconds: float | None
    output: str
    plain: bool

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"site-{at:0{len(str(self.agents - 1))}}" for at in range(self.agents))

    @property
    def live(self) -> bool:
        """Whether somebody sits there, with keys."""
        here = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") not in {None, "", "dumb"}
        return here and not self.plain and self.output == "table"


def demo(
    agents: Annotated[int, typer.Option(help="How many sites.")] = 9,
    topology: Annotated[str, typer.Option(help="auto, sierpinski9, sierpinski, grid, ring or full.")] = "auto",
    seed: Annotated[int, typer.Option(help="Another one, another story.")] = 1,
    speed: Annotated[float, typer.Option(help="2: everything happens twice as fast.")] = 1.0,
    seconds: Annotated[float | None, typer.Option(help="End by itself after so long; 20 where nobody watches.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="A line a second in place of the picture.")] = False,
    output: Output = "table",
) -> None:
    """Show a fleet of agents in one process: no leader, a limit that holds while links are cut. Nothing real is touched."""
    wants(output)
    if topology not in TOPOLOGIES:
        fail(f"--topology {topology!r} is not known; write {', '.join(TOPOLOGIES[:-1])} or {TOPOLOGIES[-1]}")
    if not 1 <= agents <= MANY:
        fail(f"--agents {agents}: write a number from 1 to {MANY}")
    if not SPEEDS[0] <= speed <= SPEEDS[1]:
        fail(f"--speed {speed:g}: write a number from {SPEEDS[0]:g} to {SPEEDS[1]:g}")
    if seconds is not None and not 0 < seconds < float("inf"):
        fail(f"--seconds {seconds:g}: write a number above 0")
    configure(level=logging.CRITICAL)  # that neighbours cannot be reached is what is shown
    broken = finish(_shown(Asked(agents, topology, seed, speed, seconds, output, plain)))
    if broken:
        fail(f"the limit was not kept: {broken}; that is a fault of orcha's", NO)


async def _shown(asked: Asked) -> str:
    """Until it is over; the moment in which the limit did not hold, if there was one."""
    from controller.fleet.playground import Playground
    from controller.fleet.topology import NoTopology
    from controller.once import CouldNot
    from exporters.clock import SystemClock

    try:
        async with Playground.opened(asked.names, asked.topology, asked.seed, asked.speed, SystemClock()) as ground:
            await (_watched(ground, asked) if asked.live else _told(ground, asked))
            return ground.broken
    except NoTopology as exc:
        raise CouldNot(str(exc)) from exc


# --- for nobody, or a file --------------------------------------------------------------------------------------------


async def _told(ground: Playground, asked: Asked) -> None:
    """A line a second; links are cut and mended on the way, since nobody presses a key."""
    from controller.report.fleet_demo import happened, line

    whole = asked.seconds or SECONDS
    due: list[tuple[float, Callable[[], None]]] = [(CUT_AT * whole, ground.partition), (MENDED_AT * whole, ground.heal)]
    told = -1.0
    async for moment in _moments(ground, LINES, asyncio.Event(), whole):
        if asked.output == "json":
            put(json.dumps(moment.as_dict(), sort_keys=True, allow_nan=False) + "\n")
        else:
            put("".join(f"{each}\n" for each in (*happened(moment, told), line(moment))))
        told = moment.events[-1][0] if moment.events else told
        while due and moment.seconds >= due[0][0]:
            due.pop(0)[1]()


async def _moments(
    ground: Playground, period: float, over: asyncio.Event, seconds: float | None, woken: asyncio.Event | None = None
) -> AsyncIterator[Moment]:
    """One each period, and one when `woken`; none after `seconds`, or when it is `over`."""
    woken = woken or over
    while not over.is_set():
        woken.clear()
        moment = ground.look()
        yield moment
        if seconds is not None and moment.seconds >= seconds:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(period):
                await woken.wait()


# --- for somebody -----------------------------------------------------------------------------------------------------


async def _watched(ground: Playground, asked: Asked) -> None:
    """The picture, until q, Ctrl-C or --seconds; a key is seen at once."""
    from rich.console import Console
    from rich.live import Live

    from controller.report.fleet_demo import screen

    console, over, woken = Console(highlight=False), asyncio.Event(), asyncio.Event()
    pressed: asyncio.Queue[str] = asyncio.Queue(maxsize=16)
    plain = not _has_signs(console)
    with (
        _keys(pressed),
        _ended_by(signal.SIGTERM, over, woken),
        Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live,
    ):
        pressing = asyncio.create_task(_obeyed(ground, pressed, over, woken))
        try:
            async for moment in _moments(ground, 1 / PICTURES, over, asked.seconds, woken):
                live.update(screen(moment, console.width, console.height, plain=plain), refresh=True)
                if pressing.done():
                    pressing.result()
        finally:
            pressing.cancel()
            await asyncio.wait([pressing])


def _has_signs(console: Console) -> bool:
    """Whether the terminal can show braille, which the links are drawn in."""
    try:
        "\u28ff".encode(console.encoding)
    except UnicodeEncodeError:
        return False
    return True


async def _obeyed(ground: Playground, pressed: asyncio.Queue[str], over: asyncio.Event, woken: asyncio.Event) -> None:
    """Do what the keys say, one after another."""
    while True:
        key = (await pressed.get()).lower()
        if key == "q":
            over.set()
        elif (act := _acts(ground).get(key)) is not None:
            waiting = act()
            if waiting is not None:
                await waiting
        woken.set()


def _acts(ground: Playground) -> dict[str, Callable[[], Awaitable[None] | None]]:
    return {
        "p": ground.partition,
        "h": ground.heal,
        "k": ground.kill_or_start,
        "l": ground.lose,
        "w": ground.reword,
        " ": ground.pause,
    }


@contextlib.contextmanager
def _keys(pressed: asyncio.Queue[str]) -> Iterator[None]:
    """Each key as it is pressed, without an echo; the terminal is as it was when this is left, however that is. Ctrl-C stays
    what it is.
    """
    import termios
    import tty

    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)
    loop = asyncio.get_running_loop()

    def read() -> None:
        found = os.read(stdin, 64)
        if not found:  # the terminal is gone
            loop.remove_reader(stdin)
            found = b"q"
        for key in found.decode(errors="replace"):
            with contextlib.suppress(asyncio.QueueFull):
                pressed.put_nowait(key)

    try:
        tty.setcbreak(stdin)
        loop.add_reader(stdin, read)
        yield
    finally:
        loop.remove_reader(stdin)
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _ended_by(number: signal.Signals, over: asyncio.Event, woken: asyncio.Event) -> Iterator[None]:
    """A signal ends it in good order, so that the terminal is left as it was."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        over.set()
        woken.set()

    loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        loop.remove_signal_handler(number)
