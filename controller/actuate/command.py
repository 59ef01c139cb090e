"""The driver `command`: runs a program of the owner's with the amounts among its arguments. Never through a shell.

What it runs must set the amounts that it is given, absolutely, and must be the same twice as once: after a crash of orcha
the next start issues it again, also while the first one may still run. Exit code 0 is success, 75 (EX_TEMPFAIL of
sysexits.h) asks to try again, anything else refuses. That it returned says nothing of the node: this is read back.

A program gets PATH, HOME and LANG and no other variable, the directory /, no input, and a session of its own; it is ended
with everything it started (TERM, then KILL) when its time is over, and when orcha stops meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pwd
import re
import shutil
import signal
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from typing import Any, Final

import structlog

from controller.actuate.driver import NotNow, Refused
from controller.programs import Order
from exporters.nodes import Command as Spec
from exporters.placeholders import CannotFill, fill, placeholders
from exporters.quantity import format_duration

log = structlog.get_logger("orcha.actuate")

KEPT: Final = 4096
"""Bytes kept of each of its two outputs: the last ones, for a program says at its end why it fails."""
SHOWN: Final = 300
"""Characters of the line that goes into a message."""
GRACE: Final = 5.0
"""Seconds from TERM to KILL, and from KILL to giving up."""
LEFT_OPEN: Final = 1.0
"""Seconds to wait for the rest of its output once it ended: what it left in the background may keep that open for ever."""
TRY_AGAIN: Final = 75
_FOR_NOW: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY})
_ESCAPE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


@dataclass(frozen=True, slots=True)
class Ran:
    """How one run ended."""

    program: str
    code: int
    """As subprocess gives it: below zero, the signal that ended it."""
    output: str
    errors: str

    @property
    def sentence(self) -> str:
        """How it ended, with its last line."""
        lines = [line.strip() for line in (self.errors if self.errors.strip() else self.output).splitlines()]
        said = next((line for line in reversed(lines) if line), "")
        how = f"ended with exit code {self.code}" if self.code >= 0 else f"was ended by {_signal_name(-self.code)}"
        said = said if len(said) <= SHOWN else said[: SHOWN - 1] + "…"
        return f"{self.program} {how}: {said}" if said else f"{self.program} {how} and said nothing"


class Command:
    """Runs the command of one workload. `resources`: what its orders have amounts of; `grace`: seconds from TERM to KILL."""

    name = "command"
    reversible = True

    def __init__(self, key: str, spec: Spec, resources: Collection[str], grace: float = GRACE) -> None:
        self.conclusive = spec.verify is not None
        self._key, self._spec, self._resources, self._grace = key, spec, frozenset(resources), grace
        self.last: Ran | None = None
        """What ran last, with its output."""

    async def check(self) -> tuple[str, ...]:
        lines = [self._spec.argv, *([self._spec.verify.argv] if self._spec.verify else [])]
        return tuple(dict.fromkeys(wrong for argv in lines for wrong in self._wrong_with(argv)))

    async def read(self) -> Mapping[str, Any]:
        """Nothing: a command can set, not tell. An undo sets the old amounts."""
        return {}

    async def apply(self, order: Order) -> None:
        ran = await self._run(self._spec.argv, order.amounts)
        if ran.code == TRY_AGAIN:
            raise NotNow(ran.sentence)
        if ran.code:
            raise Refused(ran.sentence)

    async def verify(self, order: Order) -> str | None:
        """What the owner's own look finds missing; None where it finds nothing, or there is none."""
        if self._spec.verify is None:
            return None
        ran = await self._run(self._spec.verify.argv, order.amounts)
        return ran.sentence if ran.code else None

    async def undo(self, order: Order, stood: Mapping[str, Any]) -> None:  # noqa: ARG002 a command keeps nothing of what stood
        await self.apply(order)

    async def close(self) -> None:
        """Nothing stays open between runs."""

    def _wrong_with(self, argv: Sequence[str]) -> Iterator[str]:
        for word in argv:
            try:
                missing = sorted({resource for resource, _ in placeholders(word)} - self._resources)
            except CannotFill as exc:
                yield str(exc)
            else:
                if missing:
                    yield f"{word!r} asks for {', '.join(missing)}, which this workload is not told; take it out"
        if problem := _not_runnable(argv[0]):
            yield problem

    async def _run(self, argv: Sequence[str], amounts: Mapping[str, float]) -> Ran:
        """Run it to its end. Raises Refused where it cannot be started, NotNow where it takes too long."""
        try:
            filled = [fill(word, amounts) for word in argv]
        except CannotFill as exc:
            raise Refused(str(exc)) from exc
        output, errors = _Tail(), _Tail()
        async with _piped(output) as out, _piped(errors) as err:
            process = await _started(filled, out, err)
            out.close()
            err.close()
            code = await self._ended(process, filled[0])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEFT_OPEN):
                    await asyncio.gather(output.over.wait(), errors.over.wait())
        self.last = Ran(filled[0], code, output.text(), errors.text())
        log.debug("command", workload=self._key, code=code, output=self.last.output, errors=self.last.errors)
        return self.last

    async def _ended(self, process: asyncio.subprocess.Process, program: str) -> int:
        limit = self._spec.timeout
        try:
            async with asyncio.timeout(limit):
                return await process.wait()
        except TimeoutError:
            gone = await _end(process, self._grace)
        except BaseException:
            await _end(process, self._grace)
            raise
        said = "ended" if gone else "told to end, but it runs as another user and cannot be"
        raise NotNow(
            f"{program} ran for more than {format_duration(limit)} and was {said};"
            " let it return sooner, or raise the command's timeout"
        )


class _Tail(asyncio.Protocol):
    """Keeps the last KEPT bytes of what comes."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self._bytes = bytearray()

    def data_received(self, data: bytes) -> None:
        self._bytes += data[-KEPT:]
        del self._bytes[:-KEPT]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 a broken pipe is an end like another
        self.over.set()

    def text(self) -> str:
        """As text for a terminal that it cannot command."""
        plain = _ESCAPE.sub("", self._bytes.decode("utf-8", errors="replace"))
        return "\n".join("".join(c if c.isprintable() else " " for c in line).rstrip() for line in plain.splitlines())


@contextlib.asynccontextmanager
async def _piped(tail: _Tail) -> AsyncIterator[FileIO]:
    """The end of a pipe for a child to write into; what it writes goes to `tail`.

    A pipe of our own rather than the subprocess module's, so that the end of the process is seen while something that it
    left in the background still holds the pipe.
    """
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", 0) as end:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: tail, os.fdopen(reading, "rb", 0))
        try:
            yield end
        finally:
            transport.close()


def environment() -> dict[str, str]:
    """All that a command gets of orcha's own: nothing of what may hold a secret or change what a program does."""
    path = [part for part in os.environ.get("PATH", "").split(":") if part.startswith("/")]
    return {
        "PATH": ":".join(path) or os.defpath,
        "HOME": os.environ.get("HOME", "/"),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }


async def _started(argv: Sequence[str], out: FileIO, err: FileIO) -> asyncio.subprocess.Process:
    """Raises Refused for a program that cannot be run, NotNow where this machine has no room for it now."""
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd="/",
            env=environment(),
            start_new_session=True,
        )
    except ValueError as exc:
        raise Refused(f"{argv[0]!r} cannot be started: its arguments hold a zero byte; take it out") from exc
    except OSError as exc:
        said = f"{argv[0]} cannot be started: {exc.strerror or type(exc).__name__}"
        if exc.errno in _FOR_NOW:
            raise NotNow(said) from exc
        advice = "if it is a script, look at the #! of its first line"
        raise Refused(_not_runnable(argv[0]) or f"{said}; {advice}") from exc


async def _end(process: asyncio.subprocess.Process, grace: float) -> bool:
    """TERM, and after `grace` seconds KILL, to everything in its session's group; False where it could not be ended."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            _signal(process.pid, sign)
            async with asyncio.timeout(grace):
                await process.wait()
        except TimeoutError:
            continue
        except BaseException:
            _signal(process.pid, signal.SIGKILL)
            raise
        break
    _signal(process.pid, signal.SIGKILL)  # whoever of the group outlived its first one
    return process.returncode is not None


def _signal(group: int, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, sign)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _not_runnable(program: str) -> str | None:
    """Why this process cannot run it, and what would help; None: it can."""
    path, user = environment()["PATH"], _user()
    if shutil.which(program, path=path):
        return None
    if "/" not in program:
        return f"{program} is not on the PATH of {user} ({path}); install it, or write its full path"
    if not os.access(program, os.F_OK):
        return f"{program} is not there, or {user} cannot see it; install it, or correct the path"
    return f"{program} is no program that {user} may run; make it executable for them (chmod +x)"


def _user() -> str:
    try:
        return f"user {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        return f"user {os.geteuid()}"
