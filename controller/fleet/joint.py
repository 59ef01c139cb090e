"""What all sites propose, as one program: who goes first, who waits, who comes to nothing. Pure, and the same wherever the same is
known, in whatever order it came.

Proposals stand in one order: what has begun, then what was proposed earlier. A move that begins where the moves of its
workload before it end follows them; one that begins elsewhere is in conflict, and comes behind all that follow. Who comes
later waits for whoever comes before and stands in the way, so nobody waits for one who waits for him. The e-graph has the
whole as it was proposed, and the form that it comes to once moves are cancelled; the cheapest equal program shows what is
left. What may go follows from the order alone, never from equalities that somebody told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from controller.fleet.colours import touching
from controller.fleet.extract import extract
from controller.fleet.forms import form_of
from controller.fleet.matching import Ready
from controller.fleet.proposals import PROPOSAL, Proposal, precedence, proposed, tell
from controller.fleet.rules import built_in
from controller.fleet.saturate import Ended, Limits, Saturated, compiled, saturate
from controller.fleet.terms import MOVES, IllFormed, Operator, Term, checkpoint, seq, together

__all__ = ["LIMITS", "PROPOSAL", "Fate", "Joint", "Proposal", "Ruling", "joint", "price", "proposed", "tell"]

LIMITS: Final = Limits(iterations=30, nodes=10_000)
"""The same on every site. Up to 24 moves that all depend on one another are searched to the end."""
MOST_STEPS: Final = 40
"""Of proposals that depend on one another: more are not put together, since saturation would end at its limit."""


class Fate(StrEnum):
    GOES = "goes"
    """Nothing is in its way."""
    WAITS = "waits"
    """Until another one is over, that comes before it."""
    CANCELLED = "cancelled"
    """It and another one come to nothing: both are void."""


@dataclass(frozen=True, slots=True)
class Ruling:
    fate: Fate
    of: str
    """Id of the other proposal; "": there is none."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Joint:
    """All proposals together."""

    order: tuple[str, ...]
    """Their ids."""
    rulings: Mapping[str, Ruling]
    """By id."""
    layers: tuple[tuple[str, ...], ...]
    """Ids of those that are not cancelled: those of one layer share no workload and no resource of a node, and each shares one
    with a proposal of the layer before.
    """
    program: Term | None
    """The cheapest that equals all of them, one after the other; None where a limit ended the search, and then on every site."""
    cost: tuple[float, float, int] | None
    """Of that program: restarts, minutes offline, moves."""
    equalities: tuple[tuple[Term, Term], ...]
    """As they were proposed, and what they come to: of each group of proposals that depend on one another, where that differs."""
    ended_by: Ended
    """Which limit ended the search, or that it came to its end."""
    saturated: Saturated
    """The e-graph, to be looked at only."""


def price(operator: Operator, _workload: str) -> tuple[float, float]:
    """Of a move one restart; how long it takes only its own site knows."""
    return (1.0 if operator in MOVES else 0.0), 0.0


def joint(proposals: Iterable[Proposal], equalities: Iterable[tuple[Term, Term]] = ()) -> Joint:
    """All proposals together. `equalities`: what was told to be equal beside what rules find; it changes nobody's ruling. What
    was asked last is remembered.
    """
    pairs = frozenset((min(pair), max(pair)) for pair in equalities)
    return _joint(tuple(sorted(set(proposals), key=precedence)), pairs)


@lru_cache(maxsize=4)
def _joint(proposals: tuple[Proposal, ...], told: frozenset[tuple[Term, Term]]) -> Joint:
    line = _arranged([_Entry(proposal) for proposal in proposals])
    _cancel(line)
    groups = _groups(line)
    wanted = [(_written(group), _comes_to(group)) for group in groups if _moves(group) <= MOST_STEPS]
    differing = tuple((written, left) for written, left in wanted if written != left)
    terms = [term for pair in wanted for term in pair]
    # what cancels is not said to be equal here: p = checkpoint(p, q) where q comes to nothing would never come to an end
    saturated = saturate(terms, told, _rules(), LIMITS)
    ended = saturated.ended if len(wanted) == len(groups) else Ended.NODES
    program = _cheapest(saturated, wanted) if ended is Ended.FIXPOINT else None
    return Joint(
        order=tuple(entry.id for entry in line),
        rulings=_rulings(line),
        layers=_layers(line),
        program=program,
        cost=None if program is None else _cost(program),
        equalities=differing,
        ended_by=ended,
        saturated=saturated,
    )


# --- the order ------------------------------------------------------------------------------------------------------------


class _Entry:
    """A proposal with what it does."""

    def __init__(self, proposal: Proposal) -> None:
        self.proposal, self.id, self.term = proposal, proposal.id, proposal.term
        self.cancels: _Entry | None = None
        """With which it comes to nothing."""
        self.first: dict[str, tuple[str, float]] = {}
        """Workload -> the resources that are moved, and the amount that the moves begin at."""
        self.last: dict[str, tuple[str, float]] = {}
        """The same of where they end."""
        self.steps = tuple(_steps(proposal.term))
        self.workloads = {str(step.parameters[0]) for step in self.steps}
        self.takes: set[str] = set()
        """Resources of nodes, as NODE:RESOURCE."""
        self.sound = True
        """Whether the moves of each workload go on from one another, and nothing is to be read back for its own sake."""
        for step in self.steps:
            self._note(step)

    def _note(self, step: Term) -> None:
        if step.operator not in MOVES:
            self.sound = False
            return
        workload, resources, before, after = step.parameters
        has = str(resources), float(before)
        self.sound &= self.last.get(str(workload), has) == has
        self.first.setdefault(str(workload), has)
        self.last[str(workload)] = str(resources), float(after)
        if step.operator is Operator.GROW:
            self.takes |= step.touches - {str(workload)}

    def follows(self, ends: Mapping[str, tuple[str, float]]) -> bool:
        """Whether each of its moves begins where the moves before it end."""
        return all(ends.get(workload, has) == has for workload, has in self.first.items())

    def undoes(self, other: _Entry) -> bool:
        """Whether both together come to nothing."""
        return self.sound and other.sound and other.last == self.first and other.first == self.last


def _steps(term: Term) -> Iterator[Term]:
    """Moves and readings back, in an order that the term allows."""
    stack = [term]
    while stack:
        at = stack.pop()
        if at.children:
            stack.extend(reversed(at.children))
        elif at.operator is not Operator.IDENTITY:
            yield at


def _arranged(entries: Sequence[_Entry]) -> list[_Entry]:
    """In the order in which they go: what has begun first, and of both kinds who is in conflict behind who is not."""
    line: list[_Entry] = []
    ends: dict[str, tuple[str, float]] = {}
    for began in (True, False):
        behind = []
        for entry in entries:
            if entry.proposal.began is not began:
                continue
            if entry.follows(ends):
                line.append(entry)
                ends |= entry.last
            else:
                behind.append(entry)
        for entry in behind:
            line.append(entry)
            ends |= entry.last
    return line


def _cancel(line: Sequence[_Entry]) -> None:
    """Mark those that come to nothing with another agent's: neither has begun, and nothing between them has to do with them."""
    for i, entry in enumerate(line):
        before = next(
            (o for o in reversed(line[:i]) if not o.cancels and not o.term.touches.isdisjoint(entry.term.touches)), None
        )
        if before is None or before.proposal.began or entry.proposal.began:
            continue
        if before.proposal.agent != entry.proposal.agent and entry.undoes(before):
            entry.cancels, before.cancels = before, entry


# --- the rulings ----------------------------------------------------------------------------------------------------------


def _rulings(line: Sequence[_Entry]) -> dict[str, Ruling]:
    """Of two proposals of one id, which no two programs have, the first stands."""
    found: dict[str, Ruling] = {}
    for i, entry in enumerate(line):
        found.setdefault(entry.id, _ruling(entry, line[:i]))
    return found


def _ruling(entry: _Entry, before: Sequence[_Entry]) -> Ruling:
    if (other := entry.cancels) is not None:
        said = f"comes to nothing together with {other.id} of {other.proposal.agent}, so neither is done"
        return Ruling(Fate.CANCELLED, other.id, said)
    if entry.proposal.began:
        return Ruling(Fate.GOES, "", "has begun")
    for other in before:
        if other.cancels or other.proposal.agent == entry.proposal.agent:
            continue
        if why := _in_the_way(entry, other):
            return Ruling(
                Fate.WAITS, other.id, f"waits until {other.id} of {other.proposal.agent} is over, which {why}"
            )
    return Ruling(Fate.GOES, "", "nothing that another site proposes is in its way")


def _in_the_way(entry: _Entry, other: _Entry) -> str:
    """What an earlier one does that this one needs to be over, as a clause; "": nothing."""
    if common := sorted(entry.workloads & other.workloads):
        return f"comes first and changes {common[0]}"
    if common := sorted(entry.takes & other.takes):
        node, _, resource = common[0].partition(":")
        return f"comes first and takes {resource} of {node}"
    return ""


def _layers(line: Sequence[_Entry]) -> tuple[tuple[str, ...], ...]:
    level: dict[str, int] = {}
    """What is touched -> the last layer that does."""
    layers: list[list[str]] = []
    for entry in line:
        if entry.cancels:
            continue
        at = 1 + max((level.get(name, -1) for name in entry.term.touches), default=-1)
        level |= dict.fromkeys(entry.term.touches, at)
        layers.extend([] for _ in range(at + 1 - len(layers)))
        layers[at].append(entry.id)
    return tuple(tuple(layer) for layer in layers)


# --- the program ----------------------------------------------------------------------------------------------------------


def _groups(line: Sequence[_Entry]) -> list[list[_Entry]]:
    """Proposals that depend on one another, directly or by others, each group in its order."""
    groups: list[tuple[set[str], list[_Entry]]] = []
    for entry in line:
        mine = [group for group in groups if not group[0].isdisjoint(entry.term.touches)]
        groups = [group for group in groups if group not in mine]
        touched = set(entry.term.touches).union(*(group[0] for group in mine))
        groups.append((touched, [member for group in mine for member in group[1]] + [entry]))
    place = {id(entry): i for i, entry in enumerate(line)}
    return [sorted(members, key=lambda entry: place[id(entry)]) for _, members in groups]


def _moves(group: Sequence[_Entry]) -> int:
    return sum(len(entry.steps) for entry in group)


def _written(group: Sequence[_Entry]) -> Term:
    """One after the other, as they were proposed."""
    whole = group[-1].term
    for entry in reversed(group[:-1]):
        whole = (checkpoint if touching(entry.term.exit, whole.entry) else seq)(entry.term, whole)
    return whole


def _comes_to(group: Sequence[_Entry]) -> Term:
    """In one form, with what fuses and cancels, without those that come to nothing."""
    return form_of(*(entry.term for entry in group if not entry.cancels))


def _cheapest(saturated: Saturated, wanted: Sequence[tuple[Term, Term]]) -> Term:
    """Of each group the cheapest, side by side."""
    try:
        return together(extract(saturated, left, price) for _, left in wanted)
    except IllFormed:  # somebody said that programs are equal which touch different things
        return together(left for _, left in wanted)


def _cost(program: Term) -> tuple[float, float, int]:
    prices = [price(step.operator, str(step.parameters[0])) for step in _steps(program)]
    return sum(each[0] for each in prices), sum(each[1] for each in prices), program.steps


@lru_cache(maxsize=1)
def _rules() -> tuple[Ready, ...]:
    return compiled(built_in())
