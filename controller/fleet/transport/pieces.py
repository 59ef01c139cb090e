"""Messages that are larger than a server takes at once: cut into pieces, and put together again. Pure; times are arguments.

The pieces of a message come one after the other, each once the one before was taken: what comes out of turn belongs to a
message that was given up. A neighbour has one message under way at a time, so what is kept is bounded by MOST_BYTES each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from controller.fleet.wire import MOST_BYTES

PIECE: Final = 256 * 1024
"""Bytes: small enough for heartbeats to pass in between on a slow line."""
STALE: Final = 60.0
"""Seconds without a further piece, after which the rest is not waited for."""
ID: Final = "Orcha-Id"
PLACE: Final = "Orcha-Piece"
TOTAL: Final = "Orcha-Bytes"


class OutOfTurn(ValueError):
    """A piece that does not go on with what came before; `str()` says how. What came before is dropped."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One of them, with what must be known of the whole."""

    id: str
    """Of the message."""
    place: int
    """From 0 on, in bytes: where it begins."""
    total: int
    """Bytes of the whole."""
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return {ID: self.id, PLACE: str(self.place), TOTAL: str(self.total)}

    @classmethod
    def read(cls, headers: Mapping[str, str], body: bytes) -> Piece:
        """Raises OutOfTurn where the headers are not those of a piece."""
        try:
            found = cls(headers[ID], int(headers[PLACE]), int(headers[TOTAL]), body)
        except (KeyError, ValueError):
            raise OutOfTurn(f"a piece needs the headers {ID}, {PLACE} and {TOTAL}, the last two as numbers") from None
        if not 0 < found.total <= MOST_BYTES or not body or not 0 <= found.place <= found.total - len(body):
            said = f"{len(body)} bytes at {found.place} of {found.total}"
            raise OutOfTurn(f"there is no such piece: {said}; a message has at most {MOST_BYTES}")
        return found


def cut(name: str, body: bytes, size: int = PIECE) -> list[Piece]:
    """A message's pieces, in the order in which they are to be sent."""
    return [Piece(name, place, len(body), body[place : place + size]) for place in range(0, len(body), size)]


@dataclass(slots=True)
class Joining:
    """What came of one neighbour's message."""

    id: str = ""
    """Of the message; empty: none is under way."""
    total: int = 0
    have: int = 0
    """Bytes."""
    touched: float = 0.0
    """When the last piece came: seconds of any clock."""
    _parts: list[bytes] = field(default_factory=list)

    def take(self, piece: Piece, now: float) -> bytes | None:
        """The whole message once this was its last piece. A first piece begins anew. Raises OutOfTurn."""
        if piece.place == 0:
            self.drop()
            self.id, self.total = piece.id, piece.total
        elif (piece.id, piece.total, piece.place) != (self.id, self.total, self.have):
            expected = f"{self.have} of {self.total} of {self.id}" if self.id else "the first piece of a message"
            self.drop()
            raise OutOfTurn(f"piece {piece.place} of {piece.total} of {piece.id} came instead of {expected}")
        self._parts.append(piece.body)
        self.have += len(piece.body)
        self.touched = now
        if self.have < self.total:
            return None
        whole = b"".join(self._parts)
        self.drop()
        return whole

    def drop(self) -> None:
        """Forget what came."""
        self.id, self.total, self.have = "", 0, 0
        self._parts.clear()

    def drop_stale(self, now: float) -> None:
        if self.id and now - self.touched > STALE:
            self.drop()
