"""What to know of a performance report: what is not known, or not as one would think, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from controller.report.performance_past import HOUR, Columns, Past, Sums, at_the_ends, ends, reach
from controller.report.programs import rfc3339
from exporters.energy import mean_tariff

if TYPE_CHECKING:
    from controller.model import NodeState

Each = Sequence[tuple[Past, Columns, Sums]]
NOTABLE: Final = 900.0
"""Seconds at either end of a period without any reading that are worth a sentence."""
_CENT, _MUCH = 0.005, 0.01
"""USD, and the share of what was earned, by which the ends of a period may be off without a sentence."""


def notes(each: Each, since: float, until: float, nodes: Mapping[str, NodeState]) -> Iterable[str]:
    """Of the period, of money, of energy."""
    first, last = reach([found for _, found, _ in each], since, until)
    yield from _of_time(each, since, until, (until if first is None else first, since if last is None else last))
    never = [past.key for past, _, sums in each if sums.known == 0]
    if never:
        yield f"what {_some(never)} earned is not known at any time of the period, and is in no sum"
    yield from _of_energy({past.key.partition("/")[0] for past, _, _ in each}, nodes, first, last)
    if any(past.last_good is not None and past.last_good.balance_usd for past, _, _ in each):
        yield (
            "a state keeps balances of the newest look only: what they were at the begin is not known here (Prometheus has "
            "orcha_protocol_balance_usd)"
        )


def _of_time(each: Each, since: float, until: float, reached: tuple[float, float]) -> Iterable[str]:
    first, last = reached
    if first - since > NOTABLE:
        older = any(len(found.start) and found.start[0] < since for _, found, _ in each)
        why = "no reading came" if older else "the period begins before the first reading that is kept"
        yield f"nothing is known of before {rfc3339(first)}: {why}"
    if until - last > NOTABLE:
        yield f"nothing is known of after {rfc3339(last)}: no reading came"
    begins = [(past.key, ends(found, since, until)[0]) for past, found, _ in each]
    late = [key for key, at in begins if at is not None and at - first > NOTABLE]
    if late:
        yield f"{_some(late)} came later than the others; the time before counts as not known"
    off = sum(at_the_ends(found, since, until) for _, found, _ in each)
    if off > max(_CENT, _MUCH * abs(sum(sums.net for _, _, sums in each))):
        yield (
            f"the period begins or ends within a block of an hour or of 5 minutes, of which each side gets its share of the "
            f"time: up to {off:.2f} USD may belong to the other side"
        )


def _of_energy(
    names: Iterable[str], nodes: Mapping[str, NodeState], first: float | None, last: float | None
) -> Iterable[str]:
    """Where it is not charged. What a machine draws whatever runs on it is no workload's, but it is on the bill."""
    powers = {name: nodes[name].power for name in sorted(names) if name in nodes}
    free = [name for name, power in powers.items() if power is None]
    if free:
        yield f"no power is declared for {_some(free)}, so no energy is charged there"
    idle = {name: power for name, power in powers.items() if power is not None and power.idle_watts > 0}
    if idle and first is not None and last is not None:
        hours = max(0.0, last - first) / HOUR
        usd = sum(power.idle_watts / 1000 * mean_tariff(power, first, hours) * hours for power in idle.values())
        yield (
            f"what {_some(list(idle))} drew with nothing running (idleWatts) is in no sum, for it is no workload's: about "
            f"{usd:.2f} USD in the time that is known, if it was on all along"
        )


def _some(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
