"""The metric families of acting (metrics.md): programs, approvals, steps, pause, leader. They live in the loop's registry."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from controller.programs import OVER, ProgramState

if TYPE_CHECKING:
    from controller.leader import Leader
    from controller.programs import Program, Record

RESULTS: Final = ("applied", "rolled_back", "rejected", "expired", "superseded")
STATES: Final = ("pending", "approved", "running", "blocked")
DRIVERS: Final = ("dry_run", "kubernetes", "command", "webhook", "handout", "none")
"""none: the actuator was taken out of the manifest while a program was on its way."""
_OUTCOMES: Final = {
    "forward": ("done", "failed", "refused"),
    "backward": ("done", "failed"),
    "verify": ("done", "failed"),
}
_DURATIONS: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1200.0, 3600.0, 14400.0, 86400.0)


class _LeaseTransitions(Collector):
    """The Lease's own counter: each holder shows it as it found it, and it only grows from one holder to the next."""

    leader: Leader | None = None

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "orcha_lease_transitions", "How often the Lease went from one controller to another."
        )
        count = self.leader.transitions if self.leader else None
        if count is not None:
            family.add_metric([], count)
        yield family


class ActingMetrics:
    """Of one controller, in its registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._over = Counter(
            "orcha_programs", "Programs that are over, by how they ended.", ["policy", "result"], registry=registry
        )
        self._open = Gauge(
            "orcha_programs_open", "Programs that are not over, by state.", ["policy", "state"], registry=registry
        )
        self._oldest = Gauge(
            "orcha_approvals_oldest_timestamp_seconds",
            "When the oldest program was proposed that waits for approval.",
            ["policy"],
            registry=registry,
        )
        self._next = Gauge(
            "orcha_next_change_timestamp_seconds",
            "The earliest time at which orcha may begin a program.",
            ["policy"],
            registry=registry,
        )
        self._steps = Counter(
            "orcha_steps",
            "Steps of programs, by what came of them.",
            ["driver", "direction", "result"],
            registry=registry,
        )
        self._duration = Histogram(
            "orcha_program_duration_seconds", "From the begin of a program to its end.", ["policy"],
            registry=registry, buckets=_DURATIONS,
        )  # fmt: skip
        self._wait = Histogram(
            "orcha_approval_wait_seconds", "How long programs waited for a person's word.", ["policy"],
            registry=registry, buckets=_DURATIONS,
        )  # fmt: skip
        self._known: set[str] = set()
        self.leader = Gauge("orcha_leader", "1 this controller is the one that may act.", registry=registry)
        self.leader.set(0)
        self._lease = _LeaseTransitions()
        registry.register(self._lease)
        for driver in DRIVERS:
            for direction, outcomes in _OUTCOMES.items():
                for outcome in outcomes:
                    self._steps.labels(driver, direction, outcome)

    def leads(self, leader: Leader) -> None:
        """From now on this process acts, by that right."""
        self.leader.set(1)
        self._lease.leader = leader

    def policies(self, names: Iterable[str]) -> None:
        """Every result and state of every policy is there from the start; policies that are gone are gone."""
        self._known = wanted = set(names)
        for family in (self._over, self._open, self._oldest, self._next, self._duration, self._wait):
            for labels in list(family._metrics):  # noqa: SLF001 the library offers no list of its children
                if labels[0] not in wanted:
                    family.remove(*labels)
        for name in wanted:
            for result in RESULTS:
                self._over.labels(name, result)
            for state in STATES:
                self._open.labels(name, state)
            self._duration.labels(name)
            self._wait.labels(name)

    def counted(self, driver: str, direction: str, result: str) -> None:
        self._steps.labels(driver, direction, result).inc()

    def announce(self, program: Program, record: Record) -> None:
        """A program's change."""
        if record.what != program.state.value or program.policy not in self._known:
            return
        if program.state in OVER:
            self._over.labels(program.policy, program.state.value).inc()
            if program.began is not None:
                self._duration.labels(program.policy).observe(max(0.0, record.at - program.began))
        if _decided_by_a_person(program, record):
            self._wait.labels(program.policy).observe(max(0.0, record.at - program.at))

    def show(self, policies: Iterable[str], programs: Iterable[Program], next_change: dict[str, float | None]) -> None:
        """What stands now."""
        known = list(programs)
        policies = [name for name in policies if name in self._known]
        count = Tally((each.policy, each.state.value) for each in known)
        for name in policies:
            for state in STATES:
                self._open.labels(name, state).set(count[name, state])
            pending = [each.at for each in known if each.policy == name and each.state is ProgramState.PENDING]
            _set(self._oldest, name, min(pending, default=None))
            _set(self._next, name, next_change.get(name))


def _decided_by_a_person(program: Program, record: Record) -> bool:
    """Whether somebody said yes or no to what was proposed: not what orcha approves by itself, what a person asked for, nor
    the end of one that was blocked.
    """
    decided = program.state in {ProgramState.APPROVED, ProgramState.REJECTED} and program.began is None
    return decided and not program.wanted and not record.by.startswith("orcha")


def _set(family: Gauge, policy: str, value: float | None) -> None:
    """Unknown is an absent series."""
    if value is not None:
        family.labels(policy).set(value)
    elif (policy,) in family._metrics:  # noqa: SLF001 the library does not tell whether a child is there
        family.remove(policy)
