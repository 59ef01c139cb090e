"""Terms: programs that sites propose, as trees with content ids and colours. Pure values.

    grow(workload, resources, before, after)    RED     takes capacity
    shrink(workload, resources, before, after)  BLUE    frees capacity
    verify(workload), identity                  GREEN   reads back; does nothing
    seq(p, q)                                   first p, then q
    par{p, q, ...}                              no order between them
    checkpoint(p, q)                            first p, verify what p touched, then q

The id of a term is the SHA-256 of its canonical form, so that it is the same on every agent. RED and BLUE never touch:
what one step freed, no other takes before it was read back. A `checkpoint` joins them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controller.fleet.colours import Colour, colour_of, touching


class Operator(StrEnum):
    GROW = "grow"
    SHRINK = "shrink"
    VERIFY = "verify"
    IDENTITY = "identity"
    SEQ = "seq"
    PAR = "par"
    CHECKPOINT = "checkpoint"


MOVES: Final = frozenset({Operator.GROW, Operator.SHRINK})
Parameter = str | float
Canon = tuple[str, tuple[Parameter, ...], tuple[str, ...]]
"""A term alone, as agents exchange it: operator, parameters, ids of its children."""


class IllFormed(ValueError):
    """No such term may exist; `str()` says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """Made by the functions below only: they check it, and work out what is known of it."""

    operator: Operator
    parameters: tuple[Parameter, ...]
    children: tuple[Term, ...]
    id: str
    """64 hexadecimal digits."""
    colour: Colour
    holds: frozenset[Colour]
    """Colours of the steps in it."""
    entry: frozenset[Colour]
    """Colours of what it may begin with; none for `identity`, which is transparent."""
    exit: frozenset[Colour]
    """Colours of what it may end with."""
    touches: frozenset[str]
    """Workloads, and the resources of nodes: terms that share none of these are independent."""
    steps: int
    """Grows and shrinks in it."""
    depth: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Term) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __lt__(self, other: Term) -> bool:
        return self.id < other.id

    def __str__(self) -> str:
        inner = [*(_shown(value) for value in self.parameters), *map(str, self.children)]
        return f"{self.operator.value}({', '.join(inner)})" if inner else self.operator.value

    @property
    def alone(self) -> Canon:
        """As agents exchange it."""
        return self.operator.value, self.parameters, tuple(child.id for child in self.children)

    def walk(self) -> Iterator[Term]:
        """Every term in it once, children before parents."""
        seen: set[str] = set()
        stack: list[tuple[Term, bool]] = [(self, False)]
        while stack:
            term, ready = stack.pop()
            if ready:
                yield term
            elif term.id not in seen:
                seen.add(term.id)
                stack.append((term, True))
                stack.extend((child, False) for child in reversed(term.children))


def _shown(value: Parameter) -> str:
    return value if isinstance(value, str) else f"{value:g}"


# --- making them -------------------------------------------------------------------------------------------------------


def grow(workload: str, resources: str, before: float, after: float) -> Term:
    """Takes capacity. `resources`: the allocation's own first, then its companions, such as "cpu" or "cpu+memory"; amounts in
    base units of the first. Raises IllFormed.
    """
    return _move(Operator.GROW, workload, resources, before, after)


def shrink(workload: str, resources: str, before: float, after: float) -> Term:
    """Frees capacity; as `grow`. Raises IllFormed."""
    return _move(Operator.SHRINK, workload, resources, before, after)


def move(workload: str, resources: str, before: float, after: float) -> Term:
    """A grow, a shrink, or `identity` where nothing changes. Raises IllFormed."""
    if before == after:
        return identity()
    return (grow if after > before else shrink)(workload, resources, before, after)


def verify(workload: str) -> Term:
    """Reads one workload back. Raises IllFormed."""
    _node(workload)
    return _made(Operator.VERIFY, (workload,), (), frozenset({workload}))


def identity() -> Term:
    """Does nothing."""
    return _IDENTITY


def seq(first: Term, second: Term) -> Term:
    """First one, then the other. Raises IllFormed where RED and BLUE would touch: what is freed must be verified first."""
    if clash := touching(first.exit, second.entry):
        raise IllFormed(
            f"{first} ends {clash[0].value} and {second} begins {clash[1].value}; a checkpoint must join them"
        )
    return _made(Operator.SEQ, (), (first, second), first.touches | second.touches)


def par(members: Iterable[Term]) -> Term:
    """No order between them: they share no workload and no resource of a node. Raises IllFormed."""
    ordered = tuple(sorted(members))
    if len(ordered) < 2:
        raise IllFormed(f"par needs two members or more, it has {len(ordered)}")
    touched: set[str] = set()
    for member in ordered:
        if member.operator in {Operator.PAR, Operator.IDENTITY}:
            raise IllFormed(f"a member of par may not be {member.operator.value}; leave that level out")
        if common := sorted(touched & member.touches):
            raise IllFormed(f"two members of par touch {common[0]}; they need an order")
        touched |= member.touches
    return _made(Operator.PAR, (), ordered, frozenset(touched))


def together(members: Iterable[Term]) -> Term:
    """As `par`, of any members: `identity` is left out, the members of a `par` are members. Raises IllFormed."""
    found: list[Term] = []
    for member in members:
        found.extend(member.children if member.operator is Operator.PAR else [member])
    found = [member for member in found if member.operator is not Operator.IDENTITY]
    return par(found) if len(found) > 1 else (found[0] if found else identity())


def checkpoint(first: Term, second: Term) -> Term:
    """First one, then everything that it touched is verified, then the other."""
    return _made(Operator.CHECKPOINT, (), (first, second), first.touches | second.touches)


def built(operator: Operator, parameters: tuple[Parameter, ...], children: tuple[Term, ...]) -> Term:
    """A term from its parts, checked as the functions above do. Raises IllFormed."""
    match operator, parameters, children:
        case Operator.GROW | Operator.SHRINK, (str(workload), str(resources), before, after), ():
            return _move(operator, workload, resources, before, after)
        case Operator.VERIFY, (str(workload),), ():
            return verify(workload)
        case Operator.IDENTITY, (), ():
            return identity()
        case Operator.SEQ, (), (first, second):
            return seq(first, second)
        case Operator.CHECKPOINT, (), (first, second):
            return checkpoint(first, second)
        case Operator.PAR, (), members:
            return par(members)
    raise IllFormed(f"{operator.value} takes not {len(parameters)} parameters and {len(children)} children")


def canonical(operator: str, parameters: tuple[Parameter, ...], children: Iterable[str]) -> bytes:
    """What is hashed: JSON without spaces, floats by their shortest digits."""
    return json.dumps([operator, list(parameters), list(children)], separators=(",", ":"), allow_nan=False).encode()


def id_of(alone: Canon) -> str:
    """The content id. Raises ValueError for amounts that are no numbers."""
    return hashlib.sha256(canonical(*alone)).hexdigest()


def _move(operator: Operator, workload: str, resources: str, before: Parameter, after: Parameter) -> Term:
    node = _node(workload)
    amounts = _amount(before, workload), _amount(after, workload)
    if (operator is Operator.GROW) != (amounts[1] > amounts[0]) or amounts[0] == amounts[1]:
        raise IllFormed(f"{operator.value} of {workload} from {amounts[0]:g} to {amounts[1]:g} goes the wrong way")
    names = resources.split("+")
    if not all(names) or len(set(names)) != len(names):
        raise IllFormed(f"{resources!r} names no resources; write such as cpu, or cpu+memory")
    touched = frozenset({workload, *(f"{node}:{name}" for name in names)})
    return _made(operator, (workload, resources, *amounts), (), touched)


def _node(workload: str) -> str:
    node, slash, name = workload.partition("/")
    if not (node and slash and name) or "/" in name:
        raise IllFormed(f"{workload!r} is no workload; write NODE/WORKLOAD, such as rack-1/golem")
    return node


def _amount(value: Parameter, workload: str) -> float:
    if isinstance(value, str | bool) or not math.isfinite(value) or value < 0:
        raise IllFormed(f"{value!r} is no amount of {workload}; amounts are numbers from 0 on")
    return float(value) + 0.0  # -0.0 and 0.0 are one amount, and must have one id


def _made(
    operator: Operator, parameters: tuple[Parameter, ...], children: tuple[Term, ...], touches: frozenset[str]
) -> Term:
    entry, leaving = _ends(operator, children)
    holds = _OWN[operator] if operator in _OWN else frozenset[Colour]().union(*(child.holds for child in children))
    return Term(
        operator=operator,
        parameters=parameters,
        children=children,
        id=id_of((operator.value, parameters, tuple(child.id for child in children))),
        colour=colour_of(operator.value, holds),
        holds=holds,
        entry=entry,
        exit=leaving,
        touches=touches,
        steps=sum(child.steps for child in children) + (operator in MOVES),
        depth=1 + max((child.depth for child in children), default=0),
    )


_OWN: Final = {
    Operator.GROW: frozenset({Colour.RED}),
    Operator.SHRINK: frozenset({Colour.BLUE}),
    Operator.VERIFY: frozenset({Colour.GREEN}),
    Operator.IDENTITY: frozenset[Colour](),
}


def _ends(operator: Operator, children: tuple[Term, ...]) -> tuple[frozenset[Colour], frozenset[Colour]]:
    """What it begins and ends with. A transparent end lets its neighbour show."""
    if operator in _OWN:
        return _OWN[operator], _OWN[operator]
    if operator is Operator.PAR:
        return frozenset().union(*(c.entry for c in children)), frozenset().union(*(c.exit for c in children))
    first, second = children
    return first.entry or second.entry, second.exit or first.exit


_IDENTITY: Final = _made(Operator.IDENTITY, (), (), frozenset())
