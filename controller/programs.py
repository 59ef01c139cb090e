"""Programs: what orcha does, or wants to do, to nodes, and how far it has come. Pure values; the journal keeps them.

    Verdicts ──sequence──▶ Program of Steps ──approvals──▶ approved ──actuate──▶ applied | rolled_back | blocked

    proposed ─▶ pending ─▶ approved ─▶ running ─▶ applied | rolled_back | blocked ─▶ (running again)
                   └─▶ rejected, expired, superseded

A Program is made of Steps, one for each workload that it changes, in an order that is safe at every prefix
(sequence.py). What came of one afterwards, whether it paid, is a Trial (promises.py). Times are Unix seconds, amounts
base units, absolute, companions included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from pydantic import ConfigDict

from controller.promises import Promise, Trial

_STRICT: Final = ConfigDict(extra="forbid", allow_inf_nan=False)
"""What is read back from a store is refused where it is not what was written."""

Amounts = Mapping[str, float]
"""resource -> base units."""


class ProgramState(StrEnum):
    PENDING = "pending"
    """Waits for somebody's word."""
    APPROVED = "approved"
    """May begin as soon as the guard, asked again, lets it."""
    RUNNING = "running"
    APPLIED = "applied"
    """Every node reports what it was given."""
    ROLLED_BACK = "rolled_back"
    """At least one node did not; every move on such a node was taken back, and each node reports so."""
    BLOCKED = "blocked"
    """Neither forward nor back is possible now; what is in flight is held at the larger value, and it is tried again."""
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    """Void: a newer plan, or the world as it was when it was to begin, took its place."""

    @property
    def words(self) -> str:
        return self.value.replace("_", " ")


WAITING: Final = frozenset({ProgramState.PENDING, ProgramState.APPROVED})
"""Nothing was done yet."""
IN_FLIGHT: Final = frozenset({ProgramState.RUNNING, ProgramState.BLOCKED})
"""Something may have been done, and it is not over."""
OPEN: Final = WAITING | IN_FLIGHT
OVER: Final = frozenset(ProgramState) - OPEN


class Cause(StrEnum):
    """What a program is for."""

    PLAN = "plan"
    """A decision's moves."""
    STAGE = "stage"
    """The next part of moves that go in stages."""
    ROLLBACK = "rollback"
    """Back to what stood before an earlier program."""
    RELEASE = "release"
    """Back to what stood before orcha."""


class Phase(StrEnum):
    """How far a step has come."""

    WAITING = "waiting"
    ISSUED = "issued"
    """The intent is durable; the effect may or may not have happened."""
    DONE = "done"
    """The node itself reports the new value."""
    RETURNING = "returning"
    """The intent to undo it is durable."""
    RETURNED = "returned"
    """The node itself reports the old value again."""


@dataclass(frozen=True, slots=True)
class Step:
    """One workload from what it has to what it is to have."""

    __pydantic_config__ = _STRICT
    key: str
    node: str
    resource: str
    """The allocation's own; `before` and `after` have it, and the companions that a driver sets."""
    before: Amounts
    after: Amounts
    phase: Phase = Phase.WAITING
    stood: Mapping[str, Any] | None = None
    """What the driver read before it changed anything, for an undo to the letter; None: not begun."""
    failure: str = ""
    """Why it goes back; "": it does not."""
    note: str = ""
    """What it waits for now."""
    since: float | None = None
    """When its phase began."""

    @property
    def grows(self) -> bool:
        return self.after[self.resource] > self.before[self.resource]

    @property
    def target(self) -> Amounts:
        """What the workload is being brought to: the old amounts where it goes back."""
        return self.before if self.phase in {Phase.RETURNING, Phase.RETURNED} else self.after

    @property
    def unsettled(self) -> bool:
        """Whether nobody can be sure which of the two amounts is in force."""
        return self.phase in {Phase.ISSUED, Phase.RETURNING}

    @property
    def held(self) -> float:
        """The most of its own resource that it may hold."""
        before, after = self.before[self.resource], self.after[self.resource]
        match self.phase:
            case Phase.WAITING | Phase.RETURNED:
                return before
            case Phase.DONE:
                return after
        return max(before, after)


@dataclass(frozen=True, slots=True)
class Stage:
    """Which part of a change that goes in stages."""

    __pydantic_config__ = _STRICT
    number: int
    """1 is the first."""
    shares: tuple[float, ...]
    """Of the whole change, rising to 1."""
    first: Mapping[str, float]
    """key -> what it had before the first stage, of its own resource."""
    last: Mapping[str, float]
    """key -> what it is to have after the last."""

    @property
    def is_last(self) -> bool:
        return self.number >= len(self.shares)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of what happened to a program, never changed."""

    __pydantic_config__ = _STRICT
    at: float
    what: str
    """A ProgramState, or a Phase with the key of its step: "issued rack-1/golem"."""
    by: str
    """Who: "orcha", "operate token (anna)", "git (annotation of policy default)"."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Program:
    """Changes of one or more allocations, safe at every prefix."""

    __pydantic_config__ = _STRICT
    id: str
    """Short and unique: p-1f2e3d4c."""
    policy: str
    cause: Cause
    at: float
    """When it was proposed."""
    steps: tuple[Step, ...]
    """Of each node in the order in which they are done; nodes do not depend on one another."""
    state: ProgramState
    sentence: str
    """Why it was proposed, with the numbers."""
    changed: float
    """When its state last changed."""
    by: str = "orcha"
    """Who decided on it last."""
    said: str = ""
    """What its state is about, for people: why it is blocked, void, rolled back."""
    trial: Trial | None = None
    """What it is to bring, as its plan said, to be judged once it is applied; None: nothing was promised."""
    expires: float | None = None
    """When nobody's word counts any more; None: it does not wait for one."""
    began: float | None = None
    """When it first ran."""
    retry_at: float | None = None
    """blocked: when it is tried again."""
    tries: int = 0
    """blocked: how often it was."""
    stage: Stage | None = None
    of: str = ""
    """The program that it undoes, or goes on from."""
    back: bool = False
    """Whether a person asked for its way back: then neither a pause nor rollback.automatic stands in the way."""

    @property
    def promise(self) -> Promise | None:
        return self.trial.promise if self.trial else None

    @property
    def horizon(self) -> float:
        """Seconds over which its gain was reckoned; 0: none was."""
        return max((part.horizon for part in self.trial.parts), default=0.0) if self.trial else 0.0

    @property
    def wanted(self) -> bool:
        """Whether a person wants it done, pause or not."""
        return self.back or self.cause in {Cause.ROLLBACK, Cause.RELEASE}

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step.node for step in self.steps))

    def lane(self, node: str) -> tuple[Step, ...]:
        """The steps of one node, in their order."""
        return tuple(step for step in self.steps if step.node == node)

    def step(self, key: str) -> Step:
        return next(step for step in self.steps if step.key == key)

    def with_step(self, changed: Step) -> Program:
        return replace(self, steps=tuple(changed if step.key == changed.key else step for step in self.steps))

    def turned(self, state: ProgramState, at: float, by: str = "orcha", said: str = "") -> Program:
        """The same in another state."""
        return replace(self, state=state, changed=at, by=by, said=said)

    @property
    def moved(self) -> tuple[Step, ...]:
        """What is in force of it."""
        return tuple(step for step in self.steps if step.phase is Phase.DONE)


@dataclass(frozen=True, slots=True)
class Order:
    """What a driver is told to bring about: absolute amounts, so that twice is the same as once."""

    key: str
    """The workload: "rack-1/golem"."""
    amounts: Amounts
    """Of what the driver sets: the allocation's own resource and the companions that are not reserved."""
    token: str
    """Of this effect, the same however often it is issued: "p-1f2e3d4c/rack-1/golem/forward"."""
    sentence: str = ""
    """Why, for whoever reads the node's own log or events."""
    previous: Amounts = field(default_factory=dict)
    """What it has now, as far as that is known."""


@dataclass(frozen=True, slots=True)
class Original:
    """What a workload had before orcha first changed it: what `orcha release` gives back."""

    __pydantic_config__ = _STRICT
    key: str
    at: float
    policy: str
    resource: str
    amounts: Amounts
    stood: Mapping[str, Any]
    """What its driver read."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A policy that is paused."""

    __pydantic_config__ = _STRICT
    at: float
    by: str
    why: str = ""
