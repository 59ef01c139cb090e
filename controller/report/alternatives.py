"""Other plans than the one that is proposed, best first: what `orcha plan --plans N` shows. Pure.

A Decision whose plan has no alternatives ──with_alternatives──▶ the same with them (plan/propose.py says which there are)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from controller.model import Decision, Reason
from controller.plan.propose import propose
from controller.plan.standing import mode_of

if TYPE_CHECKING:
    from controller.estimate.readings import Why

_ACTING = ("Approve", "Auto")


def with_alternatives(decision: Decision, most: int) -> Decision:
    """With at most so many further plans; none where nothing could be planned on."""
    if most < 1 or not decision.curves:
        return decision
    found = propose(decision.state, decision.curves, pins_of(decision), alternatives=most, brief=True).plan
    return replace(decision, plan=replace(decision.plan, alternatives=found.alternatives))


def pins_of(decision: Decision) -> dict[str, Why]:
    """Key -> why it keeps what it has, as decide.judge has them: who may not move, and who would only be shown beside
    others that act.
    """
    state, curves = decision.state, decision.curves
    pins = {key: why for key, why in decision.not_considered.items() if key in curves}
    free = [workload for workload in state.workloads if workload.key in curves and workload.key not in pins]
    acting = {w.node for w in free if mode_of(state, w) in _ACTING}
    shown = {w.key for w in free if w.node in acting and mode_of(state, w) not in _ACTING}
    return pins | dict.fromkeys(sorted(shown), (Reason.MODE_SUGGEST, "it is in mode Suggest"))
