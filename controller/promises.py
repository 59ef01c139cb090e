"""Trials: changes of allocations, what they promised, and what came of them. payoff.py judges them, the store keeps them.

A Trial is one change of one or more allocations: a suggestion that a person followed, a change by hand that nobody
suggested (no promise: it is judged and teaches nothing), or one that orcha made itself (programs.py). Times are Unix
seconds. Pure values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pydantic import ConfigDict

from controller.estimate.readings import finite
from controller.model import Interval

if TYPE_CHECKING:
    from controller.model import Decision, Move

HOUR: Final = 3600.0
_STRICT: Final = ConfigDict(extra="forbid", allow_inf_nan=False)
"""What is read back from a store is refused where it is not what was written."""


class Kind(StrEnum):
    """Whose program it was."""

    FOLLOWED = "followed"
    """orcha suggested it, and a person did it."""
    MANUAL = "manual"
    """A person did what was not suggested."""
    APPLIED = "applied"
    """orcha did it."""


@dataclass(frozen=True, slots=True)
class Part:
    """One workload of a program."""

    __pydantic_config__ = _STRICT
    key: str
    protocol: str
    resource: str
    from_: float
    to: float
    at: float
    """When the new allocation was there."""
    horizon: float
    """Seconds over which it is judged."""
    settle: float = 0.0
    """Seconds until a change of it shows in what it earns."""
    promised: float | None = None
    """USD per hour that its own rate was expected to change by; None: nobody promised anything."""
    price: float | None = None
    """USD per token then: its earnings are counted at this price."""
    others: float | None = None
    """dilution: the stake of the others then."""
    until: float | None = None
    """When another change of the same workload ended it; None: none did."""
    realised: Interval | None = None
    """USD per hour against the old allocation; low and high where demand was hidden. None: not judged, or unknown."""
    unknown: str = ""
    """Why nobody can know what came of it."""

    @property
    def ends(self) -> float:
        """When it can be judged."""
        planned = self.at + self.horizon
        return planned if self.until is None else min(planned, max(self.until, self.at))

    @property
    def share(self) -> float:
        """What part of its horizon it lasted."""
        return (self.ends - self.at) / self.horizon if self.horizon > 0 else 0.0

    @property
    def open(self) -> bool:
        return self.realised is None and not self.unknown

    @property
    def usd(self) -> float:
        """What it brought over the time that was judged."""
        return self.realised.expected * (self.ends - self.at) / HOUR if self.realised else 0.0


@dataclass(frozen=True, slots=True)
class Promise:
    """What a program was to bring."""

    __pydantic_config__ = _STRICT
    gain: Interval
    """USD per hour: 10 %, expected, 90 %."""
    confidence: float | None
    """None: only a part of what was proposed was done, and for that nobody reckoned it."""
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a program, once every part of it was judged."""

    __pydantic_config__ = _STRICT
    at: float
    """When the last of its parts ended."""
    realised: Interval | None
    """USD per hour over each workload's own horizon, before the cost of moving; None: unknown."""
    usd: float | None
    """What it brought in all over the time judged, less what moving cost."""
    within: bool | None
    """Whether the realised gain lay in the promised interval; None: unknown, or nothing was promised."""
    success: bool | None
    """Whether it brought more than it cost."""
    error: float | None
    """(realised - promised) / |promised|; None also where 0 was promised."""
    sentence: str

    @property
    def status(self) -> str:
        return "judged" if self.realised is not None else "unknown"


@dataclass(frozen=True, slots=True)
class Trial:
    """One change of one or more allocations, its promise and its outcome."""

    __pydantic_config__ = _STRICT
    id: str
    """The same for the same program, however often it is told."""
    policy: str
    kind: Kind
    at: float
    """When its first part was there."""
    parts: tuple[Part, ...]
    promise: Promise | None = None
    outcome: Outcome | None = None

    @property
    def counts(self) -> bool:
        """Whether its outcome teaches the policy anything: it was its own proposal, and it is known what came of it."""
        return self.promise is not None and self.outcome is not None and self.outcome.realised is not None


def trial(
    decision: Decision, moves: Iterable[Move], kind: Kind, at: float | Mapping[str, float] | None = None
) -> Trial:
    """The program of some moves of a decision's plan, with the plan's promise. `at`: when they were made, or each by its
    key; None: when it was decided. Raises ValueError where there are no moves, or a move is not in the plan.

    Of a plan that was followed in part, the expected gain is that of the moves that were made (of a move made half way,
    half), and the interval is as wide as the plan's: what was left out is not known to have been the uncertain part.
    """
    plan, made = decision.plan, sorted(moves, key=lambda move: move.key)
    planned = {move.key: move for move in plan.moves}
    if not made or plan.gain is None or any(move.key not in planned for move in made):
        raise ValueError(f"these are no moves of the plan of policy {plan.policy}; give some of plan.moves")
    times = {m.key: at[m.key] if isinstance(at, Mapping) else plan.at if at is None else at for m in made}
    parts = tuple(_part(decision, planned[move.key], move, times[move.key]) for move in made)
    expected = sum(part.promised or 0.0 for part in parts)
    whole = len(parts) == len(planned) and all(_share(planned[m.key], m) == 1.0 for m in made)
    shift = 0.0 if whole else expected - plan.gain.expected
    gain = Interval(plan.gain.low + shift, plan.gain.expected + shift, plan.gain.high + shift)
    promise = Promise(gain, plan.confidence if whole else None, sum(planned[move.key].cost_usd for move in made))
    first = min(times.values())
    return Trial(f"{plan.policy} {first:.3f} {parts[0].key}", plan.policy, kind, first, parts, promise)


def _share(planned: Move, made: Move) -> float:
    """How much of the way was gone; a step beyond promises no more."""
    way = planned.to - planned.from_
    return min(1.0, max(0.0, (made.to - made.from_) / way)) if way else 1.0


def _part(decision: Decision, planned: Move, made: Move, at: float) -> Part:
    workload = next(w for w in decision.state.workloads if w.key == made.key)
    reading, curve = workload.last_good, decision.curves.get(made.key)
    return Part(
        key=made.key, protocol=workload.protocol, resource=made.resource, from_=made.from_, to=made.to, at=at,
        horizon=curve.horizon if curve else decision.plan.horizon, settle=workload.traits.settle,
        promised=planned.gain_usd_per_hour * _share(planned, made),
        price=reading.usd_per_token if reading else None,
        others=finite(reading.pool.others) if reading and reading.pool else None,
    )  # fmt: skip
