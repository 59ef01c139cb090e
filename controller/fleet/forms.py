"""One form for every program: two that differ only in the order of independent steps are one term. Pure.

The form is Foata's normal form of a trace (Cartier and Foata, Problèmes combinatoires de commutation et réarrangements, 1969):
layers of mutually independent steps, each step as early as those before it allow. Between two layers stands a checkpoint
where a step of the later one uses what a step of the earlier one freed, or where the program's author asked for one; else
nothing. Moves of one workload with nothing between them are one move, or none where they cancel.

So commuting need not be a rule of the e-graph, where it would make a program of n steps n! terms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from controller.fleet.colours import touching
from controller.fleet.terms import MOVES, Operator, Term, checkpoint, identity, move, par, seq


@dataclass(slots=True)
class _Trace:
    """Steps in some order that the program allows; sets of earlier steps are bit masks over that order."""

    steps: list[Term] = field(default_factory=list)
    after: list[int] = field(default_factory=list)
    """Of each step those before it that it depends on."""
    verified: list[int] = field(default_factory=list)
    """Of each step those before it that a checkpoint stands after, by the author's wish."""

    def add(self, step: Term, verified: int) -> None:
        earlier = 0
        for i, other in enumerate(self.steps):
            if not other.touches.isdisjoint(step.touches):
                earlier |= 1 << i
        self.steps.append(step)
        self.after.append(earlier)
        self.verified.append(verified & earlier)


def form_of(*programs: Term) -> Term:
    """The form of these programs, one after the other. It is a program that may stand for them: the same moves, or fewer, in
    an order that each of them allows.
    """
    trace = _Trace()
    for program in programs:
        _lay(program, trace, 0)
    while _fuse(trace):
        pass
    return _joined(trace)


def independent(one: Term, other: Term) -> bool:
    """Whether their order means nothing."""
    return one.touches.isdisjoint(other.touches)


def _lay(term: Term, trace: _Trace, verified: int) -> None:
    """Append the steps of a term. `verified`: those before it that a checkpoint parts from it."""
    match term.operator:
        case Operator.IDENTITY:
            return
        case Operator.SEQ | Operator.PAR:
            for child in term.children:
                _lay(child, trace, verified)
        case Operator.CHECKPOINT:
            first, second = term.children
            begin = len(trace.steps)
            _lay(first, trace, verified)
            freed = (1 << len(trace.steps)) - (1 << begin)
            _lay(second, trace, verified | freed)
        case _:
            trace.add(term, verified)


def _fuse(trace: _Trace) -> bool:
    """Make one step of the first two of one workload with nothing between them; whether there were such."""
    reach = _reach(trace.after)
    for later, step in enumerate(trace.steps):
        for earlier in _bits(trace.after[later] & ~trace.verified[later]):
            between = trace.after[later] & ~(1 << earlier)
            if any(reach[k] >> earlier & 1 for k in _bits(between)):
                continue
            if (fused := _one_for(trace.steps[earlier], step)) is not None:
                _replace(trace, earlier, later, fused)
                return True
    return False


def _reach(after: Sequence[int]) -> list[int]:
    """Of each step all those that must come before it."""
    reach: list[int] = []
    for mask in after:
        whole = mask
        for k in _bits(mask):
            whole |= reach[k]
        reach.append(whole)
    return reach


def _one_for(first: Term, second: Term) -> Term | None:
    """The one step that does what these two do, None where there is none."""
    if first.operator is Operator.VERIFY and first == second:
        return first
    if first.operator not in MOVES or second.operator not in MOVES:
        return None
    (workload, resources, before, between), (other, taken, again, after) = first.parameters, second.parameters
    if (workload, resources, between) != (other, taken, again):
        return None
    return move(str(workload), str(resources), float(before), float(after))


def _replace(trace: _Trace, earlier: int, later: int, fused: Term) -> None:
    """Put one step in the place of two. What lay between them in the order is independent of one of them at least, so the
    whole is laid anew in an order that both allow: all that the later one needed, then the fused step.
    """
    steps, verified = trace.steps, trace.verified
    reach = _reach(trace.after)
    needed = (reach[earlier] | reach[later]) & ~(1 << earlier)
    order = [
        *_bits(needed),
        earlier,
        *(k for k in range(len(steps)) if k not in {earlier, later} and not needed >> k & 1),
    ]
    place = {k: i for i, k in enumerate(order)}
    place[later] = place[earlier]
    made = _Trace()
    for k in order:
        if k == earlier and fused.operator is Operator.IDENTITY:
            place = {key: at - (at > place[earlier]) for key, at in place.items() if key not in {earlier, later}}
            continue
        parted = verified[earlier] | verified[later] if k == earlier else verified[k]
        made.add(
            fused if k == earlier else steps[k],
            sum(1 << at for at in {place[i] for i in _bits(parted) if i in place and place[i] < len(made.steps)}),
        )
    trace.steps, trace.after, trace.verified = made.steps, made.after, made.verified


def _joined(trace: _Trace) -> Term:
    """The layers as a term, joined from the last to the first."""
    level: list[int] = []
    for mask in trace.after:
        level.append(1 + max((level[k] for k in _bits(mask)), default=-1))
    layers = [
        _layer(trace.steps[i] for i, at in enumerate(level) if at == n) for n in range(max(level, default=-1) + 1)
    ]
    if not layers:
        return identity()
    parted = _parted(trace, level, layers)
    whole = layers[-1]
    for n in range(len(layers) - 2, -1, -1):
        whole = (checkpoint if n + 1 in parted else seq)(layers[n], whole)
    return whole


def _layer(steps: Iterable[Term]) -> Term:
    members = list(steps)
    return members[0] if len(members) == 1 else par(members)


def _parted(trace: _Trace, level: Sequence[int], layers: Sequence[Term]) -> set[int]:
    """The layers that a checkpoint stands before: where colours would touch, and once for each pair that the author parted."""
    parted = {n + 1 for n in range(len(layers) - 1) if touching(layers[n].exit, layers[n + 1].entry)}
    for n in range(1, len(layers)):
        wished = (level[k] for i, at in enumerate(level) if at == n for k in _bits(trace.verified[i]))
        if any(not parted.intersection(range(begin + 1, n + 1)) for begin in wished):
            parted.add(n)
    return parted


def _bits(mask: int) -> list[int]:
    """The places of its ones, the lowest first."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found
