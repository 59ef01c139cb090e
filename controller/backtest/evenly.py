"""The even split: whole steps to whoever has the smallest share of its resource, while they fit. Pure."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

from controller.plan.limits import SLACK, needs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controller.model import NodeState, WorkloadState

MOST_STEPS: Final = 4096
"""Steps that one workload is given one by one; of more, several are given at once."""


def evenly(
    nodes: Sequence[NodeState], workloads: Sequence[WorkloadState],
    least: Mapping[int, float], most: Mapping[int, float],
) -> dict[int, float] | None:  # fmt: skip
    """Index -> base units, from `least` up to `most` of each, in its steps. None where not even the least fits.

    16 cores among four that may have up to 8 each: 4 each. Where one may have no more than 2, the others get 5, 5 and 4.
    """
    left = {(node.name, resource): has for node in nodes for resource, has in node.capacity.items()}
    whole = dict(left)
    per_unit = {i: needs(a) for i in least if (a := workloads[i].allocation)}
    wanted = dict.fromkeys(per_unit, 0.0)

    def give(i: int, amount: float) -> bool:
        places = {(workloads[i].node, resource): each * amount for resource, each in per_unit[i].items()}
        if any(place in left and takes > left[place] + SLACK * whole[place] for place, takes in places.items()):
            return False
        left.update({place: left[place] - takes for place, takes in places.items() if place in left})
        wanted[i] += amount
        return True

    if not all(give(i, least[i]) for i in wanted):
        return None
    heap = [(_share(workloads[i], wanted[i], whole), i) for i in wanted]
    heapify(heap)
    while heap:
        _, i = heappop(heap)
        allocation = workloads[i].allocation
        if allocation is None:
            continue
        step = max(1, round((most[i] - least[i]) / allocation.step / MOST_STEPS)) * allocation.step
        if wanted[i] + step <= most[i] * (1 + SLACK) and give(i, step):
            heappush(heap, (_share(workloads[i], wanted[i], whole), i))
    return wanted


def _share(workload: WorkloadState, has: float, whole: Mapping[tuple[str, str], float]) -> float:
    resource = workload.allocation.resource if workload.allocation else ""
    return has / (whole.get((workload.node, resource)) or 1.0)
