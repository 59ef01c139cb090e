"""What a changed decision costs to keep: kilobytes of its inputs, and the time to make and to replay them.

The ratios are against keeping all that it was made from (every replicate of every curve), deflated the same, and against
making the decision itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._lived import fleet, lived
from benchmarks._report import Report, arguments, finish
from controller.decide import decide
from controller.replay import _packed, inputs_of, replay


def main() -> None:
    options = arguments(__doc__).parse_args()
    report = Report("what a changed decision takes to be kept")
    states = {name: lived(name, 5) for name in ("daily-rhythm", "slow-fill", "twelve-on-three")}
    if not options.quick:
        states["100 nodes alike (their size says nothing)"] = fleet(states["daily-rhythm"], 100)
    for name, state in states.items():
        decided, decision = timed(lambda state=state: decide(state))
        made, data = timed(lambda decision=decision: inputs_of(decision))
        again, _ = timed(lambda data=data: replay(data))
        number, full = len(state.workloads), len(_packed(decision, None))
        detail = (
            f"{len(data) / 1000:.1f} kB, {len(data) / 1000 / number:.1f} each of {number}; everything {full / 1000:.1f}"
        )
        report.add(f"{name}: bytes, against everything", len(data) / full, detail=detail)
        report.add(
            f"{name}: making it, against deciding", made / decided,
            detail=f"{made * 1e3:.0f} ms in a thread, {again * 1e3:.0f} to replay, {decided * 1e3:.0f} to decide",
        )  # fmt: skip
        report.figures[name] = {
            "workloads": number, "bytes": len(data), "bytes_everything": full, "moves": len(decision.plan.moves),
            "opportunities": len(decision.plan.opportunities), "seconds_to_make": made, "seconds_to_replay": again,
        }  # fmt: skip
    finish(report, options)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """(the best of three, in seconds; what came of it)."""
    took, found = [], None
    for _ in range(3):
        began = time.perf_counter()
        found = work()
        took.append(time.perf_counter() - began)
    return min(took), found


if __name__ == "__main__":
    main()
