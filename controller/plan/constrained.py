"""What must hold over nodes, as rows, and as choices that some workloads do not have: the policy's constraints, and how many
moves that cannot be taken back may begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from controller.estimate.readings import known_allocation
from controller.plan.choices import Choice, Count, Row
from controller.plan.feasible import above_minimum, allocations, tallies
from controller.plan.limits import SIGNED, SLACK, is_lasting
from controller.plan.standing import mode_of

if TYPE_CHECKING:
    from controller.model import F64, State, WorkloadState
    from controller.policy import Constraint


def constrain(
    state: State, workloads: list[WorkloadState], choices: list[Choice]
) -> tuple[list[Choice], list[Row], list[Count]]:
    """The policy's constraints as rows. One that is broken now may get no worse: undoing it is not earning."""
    rows, counts = [], []
    for number, constraint in enumerate(state.spec.constraints):
        bound = sorted({c.resource for c in choices if constraint.counts(c.protocol, c.resource)})
        for resource in bound:
            those = [w for w in workloads if w.allocation is not None and w.allocation.resource == resource]
            held = {w.key: known_allocation(w) for w in those}
            if constraint.throughout and constraint.max_share is None:
                choices, found = _throughout(state, number, resource, choices)
                rows += found
                continue
            if any(amount is None for amount in held.values()):
                choices = [_pin(c) if c.resource == resource else c for c in choices]
                continue
            if count := _count(
                f"{constraint.protocol} maxCount of {resource} #{number}", constraint, those, held, choices
            ):
                counts.append(count)
                choices = [_pin(c) if i in count.kept_out else c for i, c in enumerate(choices)]
            rows += _constraint_rows(number, constraint, resource, those, held, choices)
    return choices, rows, counts


def _throughout(state: State, number: int, resource: str, choices: list[Choice]) -> tuple[list[Choice], list[Row]]:
    """Choices that by themselves break a constraint at no moment: what others give up meanwhile is not there yet. What several
    do together half way is the guard's to judge, who leaves those that earn most.
    """
    constraint = state.spec.constraints[number]
    counted = tallies(state, allocations(state.workloads))[number, resource]
    index = [i for i, c in enumerate(choices) if c.resource == resource and constraint.counts(c.protocol, resource)]
    room = spare = np.inf
    rows = []
    if constraint.max_total is not None:
        room = max(0.0, constraint.max_total - counted.mine)
        rows.append(_net(f"{constraint.protocol} maxTotal of {resource} #{number}", choices, index, 1.0, room))
    if constraint.min_total is not None:
        spare = max(0.0, counted.mine - counted.grown - constraint.min_total)
        rows.append(_net(f"{constraint.protocol} minTotal of {resource} #{number}", choices, index, -1.0, spare))
    within = {i: _within(choices[i], choices[i].current - spare, choices[i].current + room) for i in index}
    choices = [within.get(i, choice) for i, choice in enumerate(choices)]
    if constraint.max_count is not None:
        places = max(0, constraint.max_count - counted.running)
        choices = _with_places(state, choices, index, places)
    return choices, rows


def _net(name: str, choices: list[Choice], index: list[int], sign: float, room: float) -> Row:
    """Together they change by no more than there is room for, one way."""
    now = sign * sum(choices[i].current for i in index)
    return Row(name, np.array(index, dtype=np.intp), np.full(len(index), sign), now + room)


def _with_places(state: State, choices: list[Choice], index: list[int], places: int) -> list[Choice]:
    """Only so many of those at their minimum may leave it: those whose first step earns most."""
    those = {w.key: w for w in state.workloads}
    idle = [i for i in index if not above_minimum(those[choices[i].key], choices[i].current)]
    idle.sort(key=lambda i: (-_first_step(choices[i]), choices[i].key))
    return [_pin(choice) if i in idle[places:] else choice for i, choice in enumerate(choices)]


def _within(choice: Choice, low: float, high: float) -> Choice:
    """The choice without what lies outside; what it has now always stays."""
    slack = SLACK * max(1.0, abs(choice.current))
    kept = (choice.x >= low - slack) & (choice.x <= high + slack)
    kept[choice.at] = True
    return replace(choice, x=choice.x[kept], y=choice.y[kept], at=int(kept[: choice.at].sum()))


def permit(state: State, workloads: list[WorkloadState], choices: list[Choice]) -> list[Choice]:
    """Of what cannot be taken back only so many may begin now: those that might gain most; the others do without, so that
    the plan finds what else their room is good for.
    """
    if state.permits is None:
        return choices
    those = {w.key: w for w in workloads}
    lasting = [c for c in choices if not c.pinned and len(c.x) > 1 and is_lasting(those[c.key], grows=True)]
    lasting = [c for c in lasting if mode_of(state, those[c.key]) != "Suggest"]
    lasting.sort(key=lambda c: (float(c.y[c.at] - c.y.max()), c.key))
    refused = {c.key for c in lasting[state.permits :]}
    return [_without_permit(c, those[c.key]) if c.key in refused else c for c in choices]


def _without_permit(choice: Choice, workload: WorkloadState) -> Choice:
    return _pin(choice) if workload.driver in SIGNED else _within(choice, -np.inf, choice.current)


def _pin(choice: Choice) -> Choice:
    return replace(choice, pinned=True)


def _count(
    name: str, constraint: Constraint, those: list[WorkloadState],
    held: Mapping[str, float | None], choices: list[Choice],
) -> Count | None:  # fmt: skip
    """maxCount: with so many of the protocol above their minimum, those at it stay there. None: there is room for all."""
    if constraint.max_count is None:
        return None
    mine = {w.key: w for w in those if w.protocol == constraint.protocol}
    runs = {key: above_minimum(w, held[key] or 0.0) for key, w in mine.items()}
    index = [i for i, choice in enumerate(choices) if choice.key in mine]
    # the places that are left go to those whose first step earns most, so that no plan fills more than there are
    idle = sorted(
        (i for i in index if not runs[choices[i].key]), key=lambda i: (-_first_step(choices[i]), choices[i].key)
    )
    kept_out = [i for i in idle[max(0, constraint.max_count - sum(runs.values())) :] if not choices[i].pinned]
    if not kept_out:
        return None
    running = sum(runs[choices[i].key] for i in index)
    least = [it.min * (1 + SLACK) if (it := mine[choices[i].key].allocation) else 0.0 for i in index]
    limit = max(running, constraint.max_count - (sum(runs.values()) - running))
    return Count(name, np.array(index, dtype=np.intp), np.array(least), limit, tuple(sorted(kept_out)))


def _first_step(choice: Choice) -> float:
    """USD per hour of the next step up; of those that rest or cannot grow, none."""
    if choice.pinned or choice.at + 1 == len(choice.x):
        return -np.inf
    return float(choice.y[choice.at + 1] - choice.y[choice.at])


def _constraint_rows(
    number: int, constraint: Constraint, resource: str,
    those: list[WorkloadState], held: Mapping[str, float | None], choices: list[Choice],
) -> list[Row]:  # fmt: skip
    index = np.array([i for i, c in enumerate(choices) if c.resource == resource], dtype=np.intp)
    own = np.array([choices[i].protocol == constraint.protocol for i in index])
    current = np.array([choices[i].current for i in index])
    planned = {choices[i].key for i in index}
    fixed = [(w.protocol == constraint.protocol, held[w.key] or 0.0) for w in those if w.key not in planned]
    fixed_own, fixed_all = sum(a for mine, a in fixed if mine), sum(a for _, a in fixed)
    forms: list[tuple[str, F64, float]] = []
    if (share := constraint.max_share) is not None:
        forms.append(("maxShare", own - share, share * fixed_all - fixed_own))
    if constraint.max_total is not None:
        forms.append(("maxTotal", own.astype(float), constraint.max_total - fixed_own))
    if constraint.min_total is not None:
        forms.append(("minTotal", -own.astype(float), fixed_own - constraint.min_total))
    return [
        Row(
            f"{constraint.protocol} {form} of {resource} #{number}",
            index,
            coefficient,
            max(limit, float(coefficient @ current)),
        )
        for form, coefficient, limit in forms
    ]
