"""Proposals: the programs that sites have open, as terms that all sites know. Program -> term -> what is shared -> term. Pure.

A proposal is a register ID@AGENT that its agent alone writes, and a term with all that it is made of, both under the epoch
that the agent is in (epochs.py). What another agent wrote is built anew here, and checked like anything else that comes from
outside: what is no program, or too large to be one, is no proposal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from controller.fleet.clocks import Stamp
from controller.fleet.colours import touching
from controller.fleet.crdt import Item, Replica, Written
from controller.fleet.terms import Canon, IllFormed, Operator, Term, built, checkpoint, move, seq, together, verify
from controller.programs import OPEN, WAITING, Program, Step

PROPOSAL: Final = "proposal"
"""Registers by ID@AGENT: what an agent proposes; null once it is over."""
MOST_PARTS: Final = 10_000
"""Operators in the text of one term: a thousand moves take about two thousand."""
MOST_DEEP: Final = 100
"""Levels of one term: those that orcha makes have no more than twice as many as moves have binary digits."""
MOST_TEXT: Final = 1000
"""Characters of one parameter, such as a workload's name."""


class Said(BaseModel):
    """What a register holds of a proposal."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: Annotated[str, Field(min_length=1, max_length=200)]
    at: Annotated[float, Field(allow_inf_nan=False)]
    began: bool
    term: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Its id."""


_OPERATORS: Final = frozenset(operator.value for operator in Operator)


@dataclass(frozen=True, slots=True)
class Proposal:
    """One open program of one agent."""

    id: str
    agent: str
    at: float
    """When it was proposed, by its agent's clock."""
    began: bool
    """Whether any of it may have happened."""
    term: Term


# --- from programs ----------------------------------------------------------------------------------------------------


def term_of(program: Program) -> Term:
    """What it changes, in its own order: on each node what frees before what takes, which waits until that was read back; nodes
    side by side. It is the same however far the program has come. Raises IllFormed for amounts that are no numbers.
    """
    return together(_lane(program.lane(node)) for node in program.nodes)


def open_proposals(programs: Iterable[Program], me: str) -> tuple[Proposal, ...]:
    """Those that wait, are approved or are under way, sorted. One whose amounts are no amounts cannot be told to others."""
    found = []
    for program in programs:
        if program.state in OPEN:
            with suppress(IllFormed):
                term = term_of(program)
                found.append(Proposal(program.id, me, program.at, program.state not in WAITING, term))
    return tuple(sorted(found, key=precedence))


def precedence(proposal: Proposal) -> tuple[bool, float, str, str, str]:
    """What comes first: what has begun, then what was proposed earlier. No two are equal."""
    return not proposal.began, proposal.at, proposal.id, proposal.agent, proposal.term.id


def _lane(steps: Iterable[Step]) -> Term:
    """The steps of one node."""
    parts = [_in_turn([_term(step) for step in part]) for _, part in groupby(steps, key=lambda step: step.grows)]
    whole = parts[-1]
    for part in reversed(parts[:-1]):
        whole = checkpoint(part, whole)
    return whole


def _in_turn(steps: Sequence[Term]) -> Term:
    """One after the other, in halves, so that the term is not deep."""
    if len(steps) == 1:
        return steps[0]
    half = len(steps) // 2
    return seq(_in_turn(steps[:half]), _in_turn(steps[half:]))


def _term(step: Step) -> Term:
    before, after = step.before[step.resource], step.after[step.resource]
    if before == after:  # only a companion changes: the workload is touched, and read back
        return verify(step.key)
    others = sorted((step.before.keys() | step.after.keys()) - {step.resource})
    return move(step.key, "+".join([step.resource, *others]), before, after)


# --- what is shared -------------------------------------------------------------------------------------------------------


def tell(
    replica: Replica, me: str, mine: Sequence[Proposal], stamp: Callable[[], Stamp], writer: str, epoch: int
) -> None:
    """Write what is new of one's own, and what is gone although it is open; take back what is over. Writes nothing where nothing
    changed. `mine`: all that one has open.
    """
    for proposal in mine:
        replica.add(proposal.term, writer, epoch)
        name = f"{proposal.id}@{me}"
        said = Said(id=proposal.id, at=float(proposal.at), began=proposal.began, term=proposal.term.id)
        value = said.model_dump()
        known = replica.registers.get((PROPOSAL, name))
        if known is None or known.epoch < epoch or json.loads(known.value.value) != value:
            replica.write(PROPOSAL, name, value, stamp(), writer, epoch)
    wanted = {f"{proposal.id}@{me}" for proposal in mine}
    for name, item in registered(replica, me):
        if name not in wanted:
            replica.write(PROPOSAL, name, None, stamp(), writer, max(epoch, item.epoch))


def registered(replica: Replica, me: str) -> list[tuple[str, Item[Written]]]:
    """Names of the proposals that one has in what is shared, and that were not taken back, with their registers; sorted."""
    return sorted(
        (name, item)
        for (kind, name), item in replica.registers.items()
        if kind == PROPOSAL and name.rpartition("@")[2] == me and item.value.value != "null"
    )


def proposed(replica: Replica) -> tuple[Proposal, ...]:
    """What all agents propose, sorted. What is malformed, or whose term is not known yet, is left out."""
    found = []
    for name, value, _ in replica.read(PROPOSAL):
        said = read_proposal(name, value)
        if said is not None and (term := rebuilt(replica, said.term)) is not None:
            found.append(Proposal(said.id, name.rpartition("@")[2], said.at, said.began, term))
    return tuple(sorted(found, key=precedence))


def read_proposal(name: str, value: Any) -> Said | None:
    """What a register holds; None: no proposal."""
    try:
        said = Said.model_validate(value)
    except ValidationError:
        return None
    return said if said.id == name.rpartition("@")[0] else None


# --- terms, built anew ------------------------------------------------------------------------------------------------------


def rebuilt(replica: Replica, name: str) -> Term | None:
    """The term of that id as agents exchanged it; None where a part of it is not known, or it is no term that may exist, or
    it is larger than programs are. Without recursion, since what comes from outside may be nested at will.
    """
    made: dict[str, Term] = {}
    sizes: dict[str, int] = {}
    stack = [name]
    opened: set[str] = set()
    while stack:
        at = stack[-1]
        item = replica.terms.get(at)
        if item is None or len(opened) + len(item.value[2]) > MOST_PARTS:
            return None
        missing = [child for child in item.value[2] if child not in made]
        if at in made:
            stack.pop()
        elif not missing:
            stack.pop()
            sizes[at] = 1 + sum(sizes[child] for child in item.value[2])
            term = _checked(at, item.value, tuple(made[child] for child in item.value[2]))
            if term is None or sizes[at] > MOST_PARTS or term.depth > MOST_DEEP:
                return None
            made[at] = term
        elif at in opened:  # it waits for its parts, and stands among them
            return None
        else:
            opened.add(at)
            stack.extend(reversed(missing))
    return made[name]


def _checked(name: str, alone: Canon, children: tuple[Term, ...]) -> Term | None:
    """One term of its parts, if it may exist, and has that id."""
    operator, parameters, _ = alone
    if operator not in _OPERATORS or any(isinstance(each, str) and len(each) > MOST_TEXT for each in parameters):
        return None
    if operator == Operator.SEQ and len(children) == 2 and touching(children[0].exit, children[1].entry):
        return None
    try:
        term = built(Operator(operator), parameters, children)
    except (IllFormed, OverflowError):  # an amount of a thousand digits is a number in JSON, and none here
        return None
    return term if term.id == name else None
