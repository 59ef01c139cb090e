"""What agents share, and how two copies become one: a join semilattice, so that order, repetition and loss do not matter. Pure.

    terms         a set that only grows      id -> operator, parameters, children
    equalities    a set that only grows      pairs of ids
    counters      the greater of two         (agent, name) -> a number that its agent alone raises
    registers     the later of two           (kind, name) -> a value, its stamp; a later epoch before a later stamp
    floor         the greater of two         what belongs to an epoch up to it is over, and gone

Every item carries the dot of the write that brought it: (writer, number). A replica's version says of each writer how many
of its writes are in it; what another lacks is what lies above that other's version. A writer is an agent with the number of
its start, so that one that lost its memory never uses a number twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from controller.fleet.clocks import Stamp, Version, joined
from controller.fleet.terms import Canon, Term, id_of

T = TypeVar("T")


class Dot(NamedTuple):
    """One write."""

    writer: str
    number: int
    """From 1 on."""


class Item(NamedTuple, Generic[T]):
    """What was written."""

    value: T
    dot: Dot
    epoch: int
    """What belongs to an epoch that is over is dropped; of two writes of one item the later epoch holds."""


class Written(NamedTuple):
    """What a register holds."""

    stamp: Stamp
    value: str
    """JSON, as its reader made it."""


Pair = tuple[str, str]
"""Ids, the lesser first."""
Named = tuple[str, str]
NEVER = 2**62
"""The epoch of what is never over."""


_TERM, _EQUALITY, _COUNTER, _REGISTER = range(4)


class Gap(ValueError):
    """What came lies above what is known; what is between must come first."""


@dataclass(slots=True)
class Replica:
    """One agent's copy. `absorb` joins another's into it."""

    terms: dict[str, Item[Canon]] = field(default_factory=dict)
    equalities: dict[Pair, Item[None]] = field(default_factory=dict)
    counters: dict[Named, Item[float]] = field(default_factory=dict)
    registers: dict[Named, Item[Written]] = field(default_factory=dict)
    floor: int = 0
    version: dict[str, int] = field(default_factory=dict)
    _digest: int = 0
    _places: dict[Dot, tuple[int, Any]] | None = field(default=None, repr=False, compare=False)
    """Where what each write brought stands, as long as it does: the number of its set, and the key in it. None: nobody asked
    yet.
    """
    _doubtful: bool = field(default=False, repr=False, compare=False)
    """Whether somebody numbered two writes alike, so that places do not tell of all."""

    # --- writing ------------------------------------------------------------------------------------------------------

    def add(self, term: Term, writer: str, epoch: int) -> None:
        """A term, and all that it is made of."""
        for part in term.walk():
            known = self.terms.get(part.id)
            if known is None or known.epoch < epoch:
                self._term(part.id, Item(part.alone, self._dot(writer), epoch))

    def equate(self, one: Term, other: Term, writer: str, epoch: int) -> None:
        """Say that two terms are equal."""
        pair = (min(one.id, other.id), max(one.id, other.id))
        known = self.equalities.get(pair)
        if pair[0] != pair[1] and (known is None or known.epoch < epoch):
            self._equality(pair, Item(None, self._dot(writer), epoch))

    def count(self, agent: str, name: str, value: float, writer: str) -> None:
        """Raise one of the agent's own counters. Raises ValueError where it would fall."""
        known = self.counters.get((agent, name))
        if known is not None and value < known.value:
            raise ValueError(f"counter {name!r} of {agent} stands at {known.value:g} and may not fall to {value:g}")
        if known is None or value > known.value:
            # 1 and 1.0 are one value, and must have one digest
            self._counter((agent, name), Item(float(value), self._dot(writer), NEVER))

    def write(self, kind: str, name: str, value: Any, stamp: Stamp, writer: str, epoch: int = NEVER) -> None:
        """Write a register: what JSON can hold. An earlier epoch than that of what stands changes nothing. What stands is known to
        whoever writes, so what is written is later: where a clock was ahead that wrote it, and is right by now, nobody could write
        there else before its time has come.
        """
        known = self.registers.get((kind, name))
        if known is not None and known.value.stamp >= stamp:
            stamp = known.value.stamp.after(stamp.agent)
        written = Written(stamp, json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False))
        if known is None or (epoch, written) > (known.epoch, known.value):
            self._register((kind, name), Item(written, self._dot(writer), epoch))

    def close(self, epoch: int) -> None:
        """What belongs to this epoch or an earlier one is over."""
        self.absorb(Delta({}, dict(self.version), floor=epoch))

    def _dot(self, writer: str) -> Dot:
        self.version[writer] = self.version.get(writer, 0) + 1
        return Dot(writer, self.version[writer])

    # --- reading ------------------------------------------------------------------------------------------------------

    @property
    def digest(self) -> str:
        """Equal where the same is known, whoever wrote it; kept up with every change, so that asking costs nothing."""
        return f"{self._digest ^ _mixed(('floor', self.floor)):032x}"

    def read(self, kind: str) -> Iterator[tuple[str, Any, Stamp]]:
        """The registers of a kind by name: name, value, stamp."""
        for name, item in sorted((name, item) for (of, name), item in self.registers.items() if of == kind):
            yield name, json.loads(item.value.value), item.value.stamp

    def counted(self, agent: str, name: str) -> float:
        """0 where it was never raised."""
        item = self.counters.get((agent, name))
        return 0.0 if item is None else item.value

    def __len__(self) -> int:
        return len(self.terms) + len(self.equalities) + len(self.counters) + len(self.registers)

    # --- joining ------------------------------------------------------------------------------------------------------

    def delta(self, since: Version) -> Delta:
        """What somebody lacks who knows that version. Of few writes each is looked up, of many all items are gone through."""
        writes = sum(max(0, until - since.get(writer, 0)) for writer, until in self.version.items())
        found = self._looked_up(since) if 2 * writes < len(self) else None
        return Delta(dict(since), dict(self.version), self.floor, *(found or self._gone_through(since)))

    def _looked_up(self, since: Version) -> tuple[dict[Any, Any], ...] | None:
        """None where not all can be found so."""
        sets = self._sets
        if self._places is None:
            self._places = {item.dot: (of, key) for of, each in enumerate(sets) for key, item in each.items()}
            self._doubtful = len(self._places) < len(self)
        if self._doubtful:
            return None
        found: tuple[dict[Any, Any], ...] = ({}, {}, {}, {})
        for writer, until in self.version.items():
            for number in range(since.get(writer, 0) + 1, until + 1):
                if (place := self._places.get(Dot(writer, number))) is not None:
                    of, key = place
                    found[of][key] = sets[of][key]
        return found

    def _gone_through(self, since: Version) -> tuple[dict[Any, Any], ...]:
        return tuple(
            {key: item for key, item in each.items() if item.dot.number > since.get(item.dot.writer, 0)}
            for each in self._sets
        )

    @property
    def _sets(self) -> tuple[dict[Any, Any], ...]:
        return self.terms, self.equalities, self.counters, self.registers

    def copy(self) -> Replica:
        """As it is now; items are never changed in place. A millisecond for 100 000 terms."""
        terms, equalities, counters, registers = map(dict, self._sets)
        return Replica(terms, equalities, counters, registers, self.floor, dict(self.version), self._digest)

    def absorb(self, delta: Delta) -> bool:
        """Join what another knows; whether anything was new. Raises Gap, with nothing joined, where `delta` begins above what
        is known here.
        """
        for writer, until in delta.until.items():
            have, since = self.version.get(writer, 0), delta.since.get(writer, 0)
            if until > have and since > have:
                raise Gap(f"writes {have + 1} to {since} of {writer} are not known yet")
        before = self._digest, self.floor
        if delta.floor > self.floor:
            self._raise_floor(delta.floor)
        for name, term in delta.terms.items():
            self._term(name, term)
        for pair, equality in delta.equalities.items():
            self._equality(pair, equality)
        for key, counter in delta.counters.items():
            self._counter(key, counter)
        for key, register in delta.registers.items():
            self._register(key, register)
        self.version = joined(self.version, delta.until)
        return before != (self._digest, self.floor)

    def _term(self, name: str, item: Item[Canon]) -> None:
        known = self.terms.get(name)
        if item.epoch > self.floor and (known is None or _holds(item, known)):
            self.terms[name] = item
            self._stands(_TERM, name, item, known)
            self._digest ^= _term_mixed(name, item) ^ (_term_mixed(name, known) if known is not None else 0)

    def _equality(self, pair: Pair, item: Item[None]) -> None:
        known = self.equalities.get(pair)
        if item.epoch > self.floor and (known is None or _holds(item, known)):
            self.equalities[pair] = item
            self._stands(_EQUALITY, pair, item, known)
            self._digest ^= _mixed((pair, item.epoch)) ^ (_mixed((pair, known.epoch)) if known is not None else 0)

    def _counter(self, key: Named, item: Item[float]) -> None:
        known = self.counters.get(key)
        if known is None or item.value > known.value or (item.value == known.value and item.dot < known.dot):
            self.counters[key] = item
            self._stands(_COUNTER, key, item, known)
            self._digest ^= _mixed((key, item.value)) ^ (_mixed((key, known.value)) if known is not None else 0)

    def _register(self, key: Named, item: Item[Written]) -> None:
        known = self.registers.get(key)
        if item.epoch > self.floor and (known is None or _later(item, known)):
            self.registers[key] = item
            self._stands(_REGISTER, key, item, known)
            self._digest ^= _mixed((key, item.value, item.epoch))
            self._digest ^= _mixed((key, known.value, known.epoch)) if known is not None else 0

    def _stands(self, of: int, key: Any, item: Item[Any], before: Item[Any] | None) -> None:
        """Note where an item stands now, in the place of what stood there before."""
        if self._places is None:
            return
        if before is not None:
            self._places.pop(before.dot, None)
        self._doubtful |= item.dot in self._places
        self._places[item.dot] = of, key

    def _raise_floor(self, floor: int) -> None:
        self.floor = floor
        self.terms = {key: item for key, item in self.terms.items() if item.epoch > floor}
        self.equalities = {key: item for key, item in self.equalities.items() if item.epoch > floor}
        self.registers = {key: item for key, item in self.registers.items() if item.epoch > floor}
        self._places = None
        self._digest = 0
        for name, term in self.terms.items():
            self._digest ^= _term_mixed(name, term)
        for pair, equality in self.equalities.items():
            self._digest ^= _mixed((pair, equality.epoch))
        for key, counter in self.counters.items():
            self._digest ^= _mixed((key, counter.value))
        for key, register in self.registers.items():
            self._digest ^= _mixed((key, register.value, register.epoch))


@dataclass(frozen=True, slots=True)
class Delta:
    """What was written above one version, up to another."""

    since: Mapping[str, int]
    until: Mapping[str, int]
    floor: int = 0
    terms: Mapping[str, Item[Canon]] = field(default_factory=dict)
    equalities: Mapping[Pair, Item[None]] = field(default_factory=dict)
    counters: Mapping[Named, Item[float]] = field(default_factory=dict)
    registers: Mapping[Named, Item[Written]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.terms) + len(self.equalities) + len(self.counters) + len(self.registers)

    def lies(self) -> Iterator[str]:
        """Terms whose content has another id than they say."""
        return (name for name, item in self.terms.items() if id_of(item.value) != name)


def _holds(item: Item[Any], known: Item[Any]) -> bool:
    """Of two writes of one thing: the later epoch, then the lesser dot. Any rule does that is the same everywhere."""
    return item.epoch > known.epoch or (item.epoch == known.epoch and item.dot < known.dot)


def _later(item: Item[Written], known: Item[Written]) -> bool:
    """Of two writes of one register. The epoch comes first: else a later write of an epoch that is over would hide, or not
    hide, an earlier one that is not over, depending on which of the three things was heard first.
    """
    ours, theirs = (item.epoch, item.value), (known.epoch, known.value)
    return ours > theirs or (ours == theirs and item.dot < known.dot)


def _term_mixed(name: str, item: Item[Canon]) -> int:
    """As `_mixed`; the id is a hash already."""
    return int(name[:32], 16) * (2 * item.epoch + 1) % 2**128


def _mixed(value: Any) -> int:
    """128 bits that tell one item from another."""
    return int.from_bytes(hashlib.blake2b(repr(value).encode(), digest_size=16).digest(), "big")
