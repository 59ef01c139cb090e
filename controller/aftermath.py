"""What is left of a program once it is over, for whoever judges it (outcomes.py), and what orcha last brought workloads to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from controller.programs import IN_FLIGHT, OVER, Cause, Phase, Program, ProgramState
from controller.promises import Outcome
from controller.sequence import amounts_of

if TYPE_CHECKING:
    from controller.outcomes import Outcomes
    from controller.payoff import Ledger
    from controller.programs import Amounts, Original
    from exporters.nodes import Allocation


def changed_something(program: Program) -> bool:
    """Whether it is over, and nodes may not be as they were: also one that a person gave up half way."""
    return program.state in OVER and any(step.phase is not Phase.WAITING for step in program.steps)


def tell(program: Program, outcomes: Outcomes, last_known: Callable[[str], float | None]) -> None:
    """What a program brought about, what it gave back, and what it left as it was found."""
    for step in program.steps:
        if step.phase is Phase.WAITING:
            continue
        settled = step.phase in {Phase.DONE, Phase.RETURNED}
        has = step.target[step.resource] if settled else last_known(step.key)
        if has is not None:
            outcomes.settle(step.key, step.resource, has, program.changed)
    moved, trial = {step.key for step in program.moved}, program.trial
    if trial is not None and moved:
        parts = tuple(replace(part, at=program.changed) for part in trial.parts if part.key in moved)
        whole = len(parts) == len(trial.parts)
        outcomes.begin(replace(trial, at=program.changed, parts=parts, promise=trial.promise if whole else None))


def untold(programs: Iterable[Program], outcomes: Outcomes) -> list[Program]:
    """Those that came to their end and were not told before the last stop, oldest first."""
    known = {trial.id for ledger in outcomes.ledgers.values() for trial in ledger.programs}
    found = [p for p in programs if changed_something(p) and p.id not in known and _settles_later(p, outcomes)]
    return sorted(found, key=lambda each: (each.changed, each.id))


def _settles_later(program: Program, outcomes: Outcomes) -> bool:
    """Whether it ended after what is known of its workloads' changes was written."""
    changes = outcomes.changes
    return any(
        (known := changes.get(step.key)) is None or known.last_moved is None or known.last_moved < program.changed - 1.0
        for step in program.steps
        if step.phase is not Phase.WAITING
    )


def brought_to(
    key: str, programs: Iterable[Program], allocation: Allocation | None, outcomes: Outcomes
) -> Amounts | None:
    """What orcha last brought a workload to, its companions with it; None: it never did."""
    for program in programs:
        if program.state in IN_FLIGHT:
            for step in program.steps:
                if step.key == key and step.phase in {Phase.DONE, Phase.RETURNING}:
                    return step.after
    known = outcomes.changes.get(key)
    if allocation is None or known is None or known.expected is None or known.last_moved is None:
        return None
    return amounts_of(allocation, known.expected) if known.resource in {None, allocation.resource} else None


def outcome_of(program: Program, ledger: Ledger | None, untold: Iterable[Program], now: float) -> Outcome | None:
    """What came of a stage; None: nobody knows yet."""
    trial = next((each for each in ledger.programs if each.id == program.id), None) if ledger else None
    if trial is not None:
        return trial.outcome
    if any(each.id == program.id for each in untold):
        return None
    return Outcome(now, None, None, None, None, None, "what it promised was not kept")


def given_back(program: Program, originals: Mapping[str, Original]) -> set[str]:
    """The workloads that have again what they had before orcha: given by a release, whatever became of its other nodes, or
    returned by the very program that first changed them.
    """
    if program.state not in {ProgramState.APPLIED, ProgramState.ROLLED_BACK} or program.began is None:
        return set()
    released = {step.key for step in program.moved} if program.cause is Cause.RELEASE else set()
    back = {step.key for step in program.steps if step.phase is Phase.RETURNED} & originals.keys()
    return released | {key for key in back if originals[key].at >= program.began}


def outlived(originals: Mapping[str, Original], programs: Iterable[Program]) -> set[str]:
    """Keys of what was given back, and could not be forgotten before the last stop."""
    back = [(key, program.changed) for program in programs for key in given_back(program, originals)]
    return {key for key, at in back if key in originals and originals[key].at <= at}


def only_pretended(original: Original) -> bool:
    """Whether what changed it was a dry run (what DryRun.read gives): the node itself never was changed."""
    return set(original.stood) == {"told"}
