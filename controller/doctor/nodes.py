"""The nodes: the look that the controller takes, once, with its time and the node's clock; then what is said of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from controller.doctor.files import named_in, not_asked
from controller.doctor.finding import Finding, Mark, fail, ok, split, unknown, warn
from exporters.collector import look, workloads_of

if TYPE_CHECKING:
    from exporters.clock import Clock
    from exporters.collector import Collector, Workload
    from exporters.nodes import Node
    from exporters.reading import Reading
    from exporters.session import Answer, Session

AREA: Final = "nodes"
AT_ONCE: Final = 64
"""Looks at a time: a doctor must not be the load that it finds."""
SKEW: Final = 30.0
"""Seconds from which on bills, offers and tokens are judged wrongly. A Date header has whole seconds, and may be cached."""
_TODO: Final[Mapping[str, str]] = {
    "unreachable": "start the node, or correct `endpoint` in its manifest",
    "timeout": "see whether the node hangs, and whether a firewall drops what is sent to it",
    "unauthorized": "put a credential that is valid into the file that its manifest names",
    "rate_limited": "wait, and ask less often (pollInterval)",
    "malformed": "check that `endpoint` is the address of this protocol's node, and which version runs there",
}


@dataclass
class Noticing:
    """A Session that notes by how much the other side's clock is ahead of ours."""

    session: Session
    clock: Clock
    ahead: list[float] = field(default_factory=list)
    """Seconds, one for each answer with a Date."""

    async def request(
        self, method: str, url: str, *,
        headers: Mapping[str, str] | None = None, json: Any = None, ok: tuple[int, ...] = (200,),
    ) -> Answer:  # fmt: skip
        answer = await self.session.request(method, url, headers=headers, json=json, ok=ok)
        with contextlib.suppress(ValueError):  # no date, or none that can be read
            self.ahead.append(parsedate_to_datetime(answer.headers.get("date", "")).timestamp() - self.clock.time())
        return answer


@dataclass(frozen=True, slots=True)
class Looked:
    """One look at one workload, as the doctor saw it."""

    workload: Workload
    reading: Reading | None
    """None: it was not asked."""
    seconds: float = 0.0
    ahead: float | None = None
    """Seconds by which its clock is ahead of ours; None: it did not say."""
    cut: bool = False
    """Whether the controller would have waited longer."""


async def look_at_all(
    nodes: Iterable[Node], collectors: Mapping[str, Collector], session: Session, clock: Clock, patience: float,
    unusable: frozenset[str] = frozenset(),
) -> list[Looked]:  # fmt: skip
    """Every workload once, each for at most `patience` seconds; those whose files are `unusable` are not asked."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(workload: Workload) -> Looked:
        if unusable & named_in(workload.spec):
            return Looked(workload, None)
        async with gate:
            return await _look(workload, collectors[workload.protocol], Noticing(session, clock), patience)

    return list(await asyncio.gather(*(one(workload) for workload in workloads_of(nodes, collectors))))


async def _look(workload: Workload, collector: Collector, session: Noticing, patience: float) -> Looked:
    cut = workload.timeout > patience
    hurried = replace(workload, spec=workload.spec.model_copy(update={"timeout": patience})) if cut else workload
    began = session.clock.monotonic()
    reading, _ = await look(collector, session, hurried, session.clock.time())
    ahead = min(session.ahead, key=abs, default=None)
    return Looked(workload, reading, session.clock.monotonic() - began, ahead, cut)


def judged(looked: Looked) -> Finding:
    """What one look says."""
    workload, reading = looked.workload, looked.reading
    if reading is None:
        return not_asked(AREA, workload.key)
    if reading.up:
        return _answers(looked, reading)
    why = reading.failure or "unreachable"
    said = reading.failure_message or f"{workload.endpoint} gave no reading"
    if why == "timeout" and looked.cut:
        patient = (
            f"orcha itself waits {workload.timeout:.0f} s; a node that is starting or has a slow disk may need that"
        )
        return unknown(AREA, workload.key, said, f"{patient}: try again with a larger --patience")
    return split(AREA, workload.key, said, Mark.WARN if why == "rate_limited" else Mark.FAIL, _TODO[why])


def _answers(looked: Looked, reading: Reading) -> Finding:
    named = " ".join(part for part in (reading.protocol, reading.version) if part)
    state = f", {reading.state}" if reading.state else ""
    said = f"answers in {looked.seconds:.2f} s: {named}{state}"
    if reading.healthy is False:
        note = reading.notes[0] if reading.notes else f"docs/protocols/{reading.protocol}.md explains its states"
        return warn(AREA, looked.workload.key, f"{said}; it earns nothing, or less than it could", note)
    allocation = looked.workload.allocation
    if allocation is not None and reading.allocated.get(allocation.resource, allocation.initial) is None:
        todo = "it may be told later (an offer that is not out yet); else write allocation.initial"
        return warn(AREA, looked.workload.key, f"{said}; how much {allocation.resource} it has is not told", todo)
    return ok(AREA, looked.workload.key, said)


def clocks(all_looked: Sequence[Looked]) -> list[Finding]:
    """One line where all clocks agree; else one for each that does not."""
    told = [(each, each.ahead) for each in all_looked if each.ahead is not None]
    wrong = [(each, ahead) for each, ahead in told if abs(ahead) > SKEW]
    if told and not wrong:
        most = max(abs(ahead) for _, ahead in told)
        return [
            ok(
                AREA,
                "clocks",
                f"this machine's clock agrees with {len(told)} of {len(all_looked)} endpoint(s), within {max(most, 1.0):.0f} s",
            )
        ]
    todo = "set both clocks by NTP (timedatectl set-ntp true): bills and offers are judged by their time"
    return [
        warn(
            AREA,
            f"clock of {each.workload.key}",
            f"is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's",
            todo,
        )
        for each, ahead in wrong
    ]


def read_by_others(found: Mapping[str, Reading | None]) -> list[Finding]:
    """Where Prometheus is the source: what it knows of each workload, which orcha-exporter asked."""
    findings = []
    for key, reading in found.items():
        if reading is None:
            todo = "see that orcha-exporter runs with these manifests, and that Prometheus scrapes it"
            findings.append(fail(AREA, key, "Prometheus has no reading of it", todo))
        elif not reading.up:
            why = reading.failure or "unreachable"
            said = reading.failure_message or f"orcha-exporter gets no reading of it ({why})"
            findings.append(split(AREA, key, said, otherwise=_TODO.get(why, _TODO["unreachable"])))
        else:
            findings.append(ok(AREA, key, "Prometheus has a reading of it"))
    return findings
