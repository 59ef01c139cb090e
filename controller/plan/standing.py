"""Who may move at all now, whatever the plan: what pins workloads for the planner, and the guard's first checks.

In this order; the first that holds is the reason:

    everything    Paused, ModeOff, CircuitOpen, Blocked, FreezeWindow, RateLimit
    a workload    ModeOff, ProgramRunning, Disconnected, Stale, Unhealthy, UnknownAllocation, Unpriced, NoHistory, OtherController,
                  ManualChange, Protected, Hold, Infeasible
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from controller.estimate.readings import Why, counting, unfit
from controller.model import Reason
from controller.plan.feasible import allocations, tallies, unknown_places
from controller.plan.strategy import too_soon
from controller.plan.worth import trust
from controller.policy import MODES
from exporters.quantity import format_duration
from exporters.windows import closes_at, is_open

if TYPE_CHECKING:
    from controller.model import NodeState, State, WorkloadState
    from controller.plan.feasible import Tallies
    from controller.plan.worth import Trust
    from controller.policy import Mode
    from exporters.nodes import Window


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What holds whatever the plan: made once per State."""

    overall: Why | None
    """Why nothing at all may move."""
    workload: Mapping[str, Why]
    """key -> why this workload may not move."""
    circuit_open: bool
    nodes: Mapping[str, NodeState]
    workloads: Mapping[str, WorkloadState]
    on_node: Mapping[str, Sequence[WorkloadState]]
    """Those of each node, by name."""
    unknown: Mapping[tuple[str, str], str]
    """(node, resource) -> the workload that does not say how much of it it holds."""
    held: Mapping[str, float | None]
    """key -> what it holds now."""
    counted: Tallies
    """What the policy's constraints count now."""
    trust: Trust
    """How far the curves are believed."""


def stand(state: State) -> Standing:
    """Who may move at all, now."""
    circuit = _circuit(state)
    workloads = sorted(state.workloads, key=lambda workload: workload.key)
    on_node: dict[str, list[WorkloadState]] = {}
    for workload in workloads:
        on_node.setdefault(workload.node, []).append(workload)
    held = allocations(workloads)
    return Standing(
        overall=_overall(state, circuit),
        workload={w.key: why for w in workloads if (why := _of_workload(state, w))},
        circuit_open=circuit is not None,
        nodes={node.name: node for node in state.nodes},
        workloads={w.key: w for w in workloads},
        on_node=on_node,
        unknown=unknown_places(workloads),
        held=held,
        counted=tallies(state, held),
        trust=trust(state),
    )


def mode_of(state: State, workload: WorkloadState) -> Mode:
    """The stricter of the policy's and the workload's own; none acts while what the policy did has not paid, or where no
    actuator is declared.
    """
    if workload.mode is None and state.learned.fallback is None and workload.driver != "none":
        return state.spec.mode
    modes = [state.spec.mode, workload.mode or state.spec.mode]
    if state.learned.fallback is not None or workload.driver == "none":
        modes.append("Suggest")
    return min(modes, key=MODES.index)


# --- everything ---------------------------------------------------------------------------------------------------


def _overall(state: State, circuit: Why | None) -> Why | None:
    limits, name = state.spec.limits, state.policy
    if state.paused:
        return Reason.PAUSED, f"policy {name} is paused; `orcha resume` ends it"
    if state.spec.mode == "Off":
        return Reason.MODE_OFF, f"policy {name} is in mode Off"
    if circuit:
        return circuit
    if state.blocked is not None:
        return Reason.BLOCKED, f"blockWhile of policy {name} holds: {state.blocked}"
    for window in limits.freeze_windows:
        if is_open(window, state.now):
            return (
                Reason.FREEZE_WINDOW,
                f"a freeze window ({window.cron}) is open until {clock(closes_at(window, state.now))}",
            )
    return _rate(state)


def _rate(state: State) -> Why | None:
    limits = state.spec.limits
    if state.programs_last_hour >= limits.max_programs_per_hour:
        return (
            Reason.RATE_LIMIT,
            f"{state.programs_last_hour} programs ran in the last hour, of {limits.max_programs_per_hour} allowed",
        )
    return too_soon(state)


def _circuit(state: State) -> Why | None:
    """With more than a set share of workloads unhealthy or unread, something larger is wrong (G6)."""
    bad = [w.key for w in state.workloads if _unsound(w, state)]
    share = len(bad) / len(state.workloads) if state.workloads else 0.0
    allowed = state.spec.limits.max_unhealthy_share
    if share <= allowed:
        return None
    return (
        Reason.CIRCUIT_OPEN,
        f"{len(bad)} of {len(state.workloads)} workloads are unhealthy or unread, more than {allowed:.0%}; the first is {min(bad)}",
    )


def _unsound(workload: WorkloadState, state: State) -> bool:
    reading = counting(workload, state.now, state.spec.limits)
    if reading is None or reading.healthy is False:
        return True
    return reading is workload.reading and not abs(state.now - reading.at) <= workload.stale_after


# --- one workload -------------------------------------------------------------------------------------------------


def _of_workload(state: State, workload: WorkloadState) -> Why | None:
    if mode_of(state, workload) == "Off":
        return Reason.MODE_OFF, f"{workload.key} is in mode Off"
    if workload.in_flight is not None:
        return Reason.PROGRAM_RUNNING, f"{workload.key} {workload.program}"
    return unfit(workload, state.now, state.spec.limits) or _foreign_hand(workload) or _resting(state, workload)


def _foreign_hand(workload: WorkloadState) -> Why | None:
    reading = workload.reading
    if reading is not None and reading.autonomous:
        return Reason.OTHER_CONTROLLER, f"{workload.key} is changed by another controller: {reading.autonomous}"
    if workload.manual_change_at is not None:
        when = clock(workload.manual_change_at)
        return (
            Reason.MANUAL_CHANGE,
            f"{workload.key} was changed by hand at {when}; `orcha resume {workload.key}` lets orcha move it again",
        )
    return None


def _resting(state: State, workload: WorkloadState) -> Why | None:
    allocation = workload.allocation
    if allocation is not None and allocation.protect_until is not None:
        until = allocation.protect_until.timestamp()
        if state.now < until:
            return Reason.PROTECTED, f"{workload.key} is protected until {clock(until)}"
    if workload.last_moved is not None:
        since, hold = state.now - workload.last_moved, state.spec.limits.hold
        if not since >= hold:
            moved = format_duration(max(0.0, since)) if math.isfinite(since) else "an unknown time"
            return Reason.HOLD, f"{workload.key} was moved {moved} ago; it is held for {format_duration(hold)}"
    if workload.infeasible:
        return Reason.INFEASIBLE, workload.infeasible
    return None


def next_change(state: State, begun: Sequence[float] = ()) -> float | None:
    """The earliest time at which a program may begin, as far as holds, protections, windows and the rate tell; None: not
    before somebody changes something. `begun`: when programs that count began.
    """
    limits, objective = state.spec.limits, state.spec.objective
    if state.paused or state.spec.mode in _STILL or state.learned.fallback is not None:
        return None
    times = [_free_at(state, w) for w in state.workloads if w.allocation is not None]
    known = [at for at in times if at is not None]
    if not known or limits.max_programs_per_hour < 1:
        return None
    at = max(state.now, min(known))
    lately = sorted(time for time in begun if time > at - 3600.0)
    if len(lately) >= limits.max_programs_per_hour:
        at = max(at, lately[-limits.max_programs_per_hour] + 3600.0)
    if objective.strategy == "Interval" and state.last_program_at is not None:
        at = max(at, state.last_program_at + objective.every)
    return _after_windows(limits.freeze_windows, at)


def _after_windows(windows: Sequence[Window], at: float) -> float | None:
    """When none of them is open any more; None: that never comes."""
    for _ in range(_WINDOWS):
        closes = [closes_at(window, at) for window in windows if is_open(window, at)]
        if not closes:
            return at
        at = max(max(at, close) for close in closes if close is not None)
        if not math.isfinite(at):
            return None
    return None


_WINDOWS: Final = 1000
"""Windows that may follow one upon another before that counts as for ever."""


def _free_at(state: State, workload: WorkloadState) -> float | None:
    """When nothing that passes by itself keeps one workload any more."""
    if workload.manual_change_at is not None or workload.in_flight is not None or mode_of(state, workload) in _STILL:
        return None
    at = state.now
    if workload.allocation is not None and workload.allocation.protect_until is not None:
        at = max(at, workload.allocation.protect_until.timestamp())
    if workload.last_moved is not None:
        at = max(at, workload.last_moved + state.spec.limits.hold)
    return at


_STILL = ("Off", "Suggest")


def last_rate(workload: WorkloadState) -> float:
    """USD per hour that it earned when it was last read; 0 where nobody knows."""
    reading = workload.last_good
    if reading is None or reading.net_usd_per_hour is None or not math.isfinite(reading.net_usd_per_hour):
        return 0.0
    return reading.net_usd_per_hour


def clock(at: float | None) -> str:
    if at is None or not math.isfinite(at):
        return "an unknown time"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
