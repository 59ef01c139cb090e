"""What agents say to each other: messages as JSON, and what is refused of those that come in. Pure.

A message that breaks a promise of crdt.py is refused whole: content under another id, a number of a write that was not
announced, somebody else's counter or register. So one agent with a fault cannot spoil what the others know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from controller.fleet.clocks import Stamp
from controller.fleet.crdt import NEVER, Delta, Dot, Item, Named, Pair, Written
from controller.fleet.escrow import ADOPTED, HOLDING
from controller.fleet.proposals import PROPOSAL
from controller.fleet.terms import Canon

MOST_BYTES: Final = 64 * 2**20
"""Of one message; 100 000 terms take about 20 MiB."""
WORDED: Final = "worded"
"""Registers by LIMIT@SITE: what a site last said of a limit (site.py)."""
OWN: Final = (ADOPTED, HOLDING, PROPOSAL, WORDED)
"""Kinds of registers that belong to the agent behind the @ of their name."""

Name = Annotated[str, Field(min_length=1, max_length=200)]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**62)]
Number = Annotated[int, Field(ge=1, lt=2**62)]
Epoch = Annotated[int, Field(ge=0, le=2**62)]
Seconds = Annotated[float, Field(allow_inf_nan=False, ge=0)]
Value = Annotated[float, Field(allow_inf_nan=False)]
Versions = dict[Name, Count]
Written_ = tuple[Count, Count, Name, Annotated[str, Field(max_length=1_000_000)]]
Parameters = tuple[str | Value, ...]


class Malformed(ValueError):
    """Not a message; `str()` says in what."""


class Kind(StrEnum):
    HEARTBEAT = "heartbeat"
    """That one lives; goes to all."""
    SYNC = "sync"
    """What one knows, so that a neighbour sends what one lacks."""
    STATE = "state"
    """What a neighbour lacks."""
    ACK = "ack"
    """What one knows now, and has on its disk."""


class Said(BaseModel):
    """What comes from outside: nothing more than what is known, nothing bent into shape."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Changes(Said):
    """A Delta."""

    since: Versions
    until: Versions
    floor: Count
    terms: dict[Id, tuple[str, Parameters, tuple[Id, ...], Name, Number, Epoch]] = {}
    equalities: tuple[tuple[Id, Id, Name, Number, Epoch], ...] = ()
    counters: tuple[tuple[Name, Name, Value, Name, Number], ...] = ()
    registers: tuple[tuple[Name, Name, Written_, Name, Number, Epoch], ...] = ()


class Heartbeat(Said):
    kind: Literal["heartbeat"] = "heartbeat"
    beat: Number
    """Of those since the agent's start, from 1 on."""
    digest: str
    """Of what it knows."""


class Sync(Said):
    kind: Literal["sync"] = "sync"
    version: Versions
    digest: str


class State(Said):
    kind: Literal["state"] = "state"
    changes: Changes


class Ack(Said):
    kind: Literal["ack"] = "ack"
    version: Versions
    digest: str
    of: Name
    """Id of the message that brought it."""


class Message(Said):
    """One message on one edge."""

    id: Name
    """Of all messages ever: WRITER-NUMBER."""
    origin: Name
    """Who said it first."""
    start: Count
    """Of the origin: how often it had started before."""
    via: Name
    """Who sent it over this edge."""
    to: Name
    """Who is on the other end of the edge."""
    hops: Count
    sent: Seconds
    """Unix seconds, by the clock of whoever sent it over this edge."""
    stamp: tuple[Count, Count, Name]
    body: Annotated[Heartbeat | Sync | State | Ack, Field(discriminator="kind")]

    @property
    def kind(self) -> Kind:
        return Kind(self.body.kind)


_MESSAGE: Final = TypeAdapter(Message)


def encoded(message: Message) -> bytes:
    return _MESSAGE.dump_json(message)


def decoded(body: bytes) -> Message:
    """Raises Malformed."""
    if len(body) > MOST_BYTES:
        raise Malformed(f"a message of {len(body)} bytes; at most {MOST_BYTES} are read")
    try:
        return _MESSAGE.validate_json(body)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Malformed(f"{place or 'the message'}: {first['msg']}") from None


def packed(delta: Delta) -> Changes:
    return Changes.model_construct(
        since=dict(delta.since),
        until=dict(delta.until),
        floor=delta.floor,
        terms={name: (*item.value, *item.dot, item.epoch) for name, item in delta.terms.items()},
        equalities=tuple((*pair, *item.dot, item.epoch) for pair, item in delta.equalities.items()),
        counters=tuple((*key, item.value, *item.dot) for key, item in delta.counters.items()),
        registers=tuple(
            (*key, (*item.value.stamp, item.value.value), *item.dot, item.epoch)
            for key, item in delta.registers.items()
        ),
    )


def unpacked(changes: Changes) -> Delta:
    """Raises Malformed where the changes break a promise."""
    delta = Delta(
        since=changes.since,
        until=changes.until,
        floor=changes.floor,
        terms=dict(_terms(changes.terms)),
        equalities=dict(_equalities(changes.equalities)),
        counters=dict(_counters(changes.counters)),
        registers=dict(_registers(changes.registers)),
    )
    for items in (delta.terms, delta.equalities, delta.counters, delta.registers):
        _announced(changes, items.values())
    if lie := next(delta.lies(), None):
        raise Malformed(f"the content of term {lie[:12]} has another id")
    return delta


def agent_of(writer: str) -> str:
    """A writer is AGENT.START."""
    return writer.rpartition(".")[0]


def _announced(changes: Changes, items: Iterable[Item[Any]]) -> None:
    for item in items:
        if not changes.since.get(item.dot.writer, 0) < item.dot.number <= changes.until.get(item.dot.writer, 0):
            raise Malformed(f"write {item.dot.number} of {item.dot.writer} lies outside of what was announced")


def _terms(
    found: Mapping[str, tuple[str, Parameters, tuple[str, ...], str, int, int]],
) -> Iterable[tuple[str, Item[Canon]]]:
    for name, (operator, parameters, children, writer, number, epoch) in found.items():
        yield name, Item((operator, parameters, children), Dot(writer, number), epoch)


def _equalities(found: Iterable[tuple[str, str, str, int, int]]) -> Iterable[tuple[Pair, Item[None]]]:
    for one, other, writer, number, epoch in found:
        if one >= other:
            raise Malformed(f"an equality of {one[:12]} and {other[:12]} is the wrong way round")
        yield (one, other), Item(None, Dot(writer, number), epoch)


def _counters(found: Iterable[tuple[str, str, float, str, int]]) -> Iterable[tuple[Named, Item[float]]]:
    for agent, name, value, writer, number in found:
        if agent_of(writer) != agent:
            raise Malformed(f"counter {name!r} of {agent} was raised by {writer}")
        yield (agent, name), Item(value, Dot(writer, number), NEVER)


def _registers(
    found: Iterable[tuple[str, str, tuple[int, int, str, str], str, int, int]],
) -> Iterable[tuple[Named, Item[Written]]]:
    for kind, name, (milliseconds, turn, agent, value), writer, number, epoch in found:
        owner = name.rpartition("@")[2] if kind in OWN else agent
        if agent_of(writer) != agent or owner != agent:
            raise Malformed(f"register {name!r} was written by {writer} in the name of {owner}")
        yield (kind, name), Item(Written(Stamp(milliseconds, turn, agent), value), Dot(writer, number), epoch)
