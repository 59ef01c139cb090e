"""The driver `handout`: writes down what a person must sign or do, and waits until it has happened. It changes nothing.

What to sign is the protocol's to know: the wiring hands in `instruct` (exporters/instructions.py), which asks the world
anew at each call. From the outside in: an Order comes in; in `folder` there is at most one paper for each workload,
NODE/WORKLOAD/TOKEN.txt to read beside TOKEN.json for wallets and tools, and `pending` is what it says. A paper is taken
away as soon as what it asks for is in force, or something else is wanted, so that nobody signs it twice or too late.

Nothing here is reversible by itself: to undo is to withdraw a paper that nobody signed, or else to write one that leads
back. Without `instruct` the paper is one sentence for people, and only the read-back can tell that it was followed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from controller.actuate.driver import NotNow, Refused
from controller.programs import Amounts, Order
from exporters.errors import Malformed, PollError, Unauthorized
from exporters.instructions import Instructions, plain

Instruct = Callable[[Amounts], Awaitable[Instructions]]
"""What leads to these amounts; none at all asks what would hinder any change. Raises exporters.errors.PollError."""

EVERY: Final = 30.0
"""Seconds between two looks while somebody's signature is waited for: public endpoints count questions, and people are
slower than that."""
_LONGEST: Final = 80
"""Letters of a file's name that are taken from a token."""
_SUFFIXES: Final = (".txt", ".json")


class Handout:
    """One workload's papers."""

    name = "handout"
    reversible = False

    def __init__(
        self,
        key: str,
        folder: Path,
        instruct: Instruct | None = None,
        *,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.conclusive = instruct is not None
        self._key = key
        self._folder = folder.joinpath(*(_safe(part) for part in key.split("/")))
        self._instruct = instruct
        self._every = every
        self._clock = clock
        self._pending: Instructions | None = None
        self._token = ""
        self._looked = 0.0

    @property
    def pending(self) -> Instructions | None:
        """What waits for a person; None: nothing that this process knows of."""
        return self._pending

    @property
    def paper(self) -> Path | None:
        """Where it is written."""
        return self._path(self._token, ".txt") if self._pending else None

    async def check(self) -> tuple[str, ...]:
        found = _why_not_writable(self._folder)
        try:
            made = await self._made({})
        except PollError as exc:
            return (*found, str(exc))
        return (*found, *made.refusals, *made.delays)

    async def read(self) -> Mapping[str, Any]:
        """What is in force, resource -> base units; nothing where nobody can say."""
        try:
            made = await self._made({})
        except PollError as exc:
            raise _translated(exc) from exc
        return dict(made.stands or {})

    async def apply(self, order: Order) -> None:
        """Hand out the paper, in place of any older one. Raises Refused or NotNow, without any paper, where the change
        would not be let through: a signature would be in vain, and would cost fees.
        """
        try:
            made = await self._made(order.amounts)
        except PollError as exc:
            raise _translated(exc) from exc
        if made.done:
            self.withdraw()
            return
        if hindered := made.refusals or made.delays:
            self.withdraw()
            raise (Refused if made.refusals else NotNow)(f"{made.title}: {'; '.join(hindered)}")
        self._hand_out(order, made)

    async def verify(self, order: Order) -> str | None:
        """None once what was wanted is in force. Looks anew every `every` seconds, and writes the paper anew where what
        is to be signed has changed, or where a restart or somebody's hand has lost it. Raises Refused where it became
        impossible.
        """
        fresh = self._token == order.token and self._clock() - self._looked < self._every
        if self.conclusive and self._pending and fresh:
            return self._clause(self._pending)
        try:
            made = await self._made(order.amounts)
        except PollError as exc:
            raise NotNow(f"cannot tell whether it was done: {exc}") from exc
        if made.done:
            self.withdraw()
            return None
        if made.refusals:
            self.withdraw()
            raise Refused(f"{made.title}: {'; '.join(made.refusals)}")
        self._hand_out(order, made)
        return self._clause(made) if self.conclusive else None

    async def undo(self, order: Order, stood: Mapping[str, Any]) -> None:  # noqa: ARG002 part of what every driver does
        """Withdraw the paper, before anything else is asked; where it was followed already, hand out one that leads back to
        the old amounts, which a person signs or does not. What `stood` says is not used: the world is asked.
        """
        if self._token != order.token:
            self.withdraw()
        await self.apply(order)

    def withdraw(self) -> None:
        """Take the paper away, because the program is given up. Raises NotNow where the file cannot be removed."""
        self._pending, self._token = None, ""
        try:
            self._clear()
        except OSError as exc:
            raise NotNow(
                f"cannot remove what is not to be signed any more from {self._folder} "
                f"({exc.strerror or type(exc).__name__}); remove it, and do not sign it"
            ) from exc

    async def close(self) -> None:
        """Papers stay: people sign while orcha restarts."""

    async def _made(self, amounts: Amounts) -> Instructions:
        return plain(self._key, amounts) if self._instruct is None else await self._instruct(amounts)

    def _clause(self, made: Instructions) -> str:
        waits = f"waits for a person: {made.title}, see {self.paper}"
        return f"{waits}; it would fail now: {'; '.join(made.delays)}" if made.delays else waits

    def _hand_out(self, order: Order, made: Instructions) -> None:
        text, document = _written(order, made)
        here = {suffix: self._path(order.token, suffix) for suffix in _SUFFIXES}
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if made != self._pending or order.token != self._token or not all(path.exists() for path in here.values()):
                self._pending, self._token = None, ""
                self._clear(keep=frozenset(here.values()))
                _write(here[".json"], document)
                _write(here[".txt"], text)
        except OSError as exc:
            raise _not_written(here[".txt"], exc) from exc
        self._pending, self._token, self._looked = made, order.token, self._clock()

    def _clear(self, keep: frozenset[Path] = frozenset()) -> None:
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            if path not in keep and (path.suffix in _SUFFIXES or path.name.startswith(_HALF)):
                path.unlink(missing_ok=True)

    def _path(self, token: str, suffix: str) -> Path:
        digest = hashlib.sha256(token.encode()).hexdigest()[:8]  # what is made safe may be the same for two tokens
        return self._folder / f"{_safe(token)[:_LONGEST]}-{digest}{suffix}"


def _written(order: Order, made: Instructions) -> tuple[str, str]:
    """(the page to read, the JSON)."""
    why = f"\nWhy: {order.sentence}\n" if order.sentence else ""
    stays = (
        "\nThis file is taken away once it is done or void. Follow it as it stands now, never an older copy.\n"
        f"orcha's name for it: {order.token}\n"
    )
    document = {"token": order.token, "why": order.sentence, "amounts": dict(order.amounts), **made.document()}
    return made.text() + why + stays, json.dumps(document, indent=2, ensure_ascii=False) + "\n"


_HALF: Final = ".half-"
"""How a file begins that is not written to its end: a kill leaves it, the next paper clears it away."""


def _write(path: Path, text: str) -> None:
    """Whole or not at all, readable by its owner alone."""
    number, half = tempfile.mkstemp(prefix=_HALF, dir=path.parent)  # mode 0600
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(half).replace(path)
    except BaseException:
        Path(half).unlink(missing_ok=True)
        raise


def _safe(name: str) -> str:
    """One part of a path, whatever stands in a name: no separators, no way up, nothing hidden."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip(".") or "-"


def _why_not_writable(folder: Path) -> tuple[str, ...]:
    """() where papers could be written. Looks only."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return ()
    return (f"{there} is no directory that orcha may write to; handouts would be written to {folder}",)


def _not_written(path: Path, error: OSError) -> Refused | NotNow:
    """A full disk may get room; a right that is missing is given by somebody."""
    wrong = f"cannot write {path} ({error.strerror or type(error).__name__})"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return Refused(f"{wrong}; let the user that orcha runs as write there")
    return NotNow(wrong)


def _translated(error: PollError) -> Refused | NotNow:
    """Waiting does not help against a wrong address, chain or key."""
    return Refused(str(error)) if isinstance(error, Malformed | Unauthorized) else NotNow(str(error))
