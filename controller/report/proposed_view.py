"""What a change of the manifests would do as plain JSON: what `orcha plan --diff -o json` shows. Pure.

{"base", "head": name,
 "changed": bool,                  # whether anything means something else
 "risks": int,                     # how many changes are marked as risky
 "hands": [{"before", "after": gone | watched | shown | pretended | handed | asked | acts, "policy", "workloads": [key],
            "sentence", "risky"}],                      # on what orcha may act otherwise than before
 "items": [{"kind", "name", "what": added | removed | changed, "about", "risky",
            "fields": [{"path", "before", "after", "effect": looser | tighter | "", "risky", "meaning"}]}],
 "notes": [sentence],
 "warnings": [problem],            # new ones of HEAD, by which nothing is refused
 "plan": as report/whatif_view.py has it | null,        # what would be planned, before and after
 "no_plan": why there is none | null}
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from controller.report.views import View

if TYPE_CHECKING:
    from controller.proposed.changes import Item, Proposed


def proposed_view(
    proposed: Proposed, *, base: str, head: str, notes: Iterable[str], warnings: Iterable[str], plan: View | str
) -> View:
    """`plan`: the view of what would be planned, or why there is none."""
    return {
        "base": base,
        "head": head,
        "changed": bool(proposed.items),
        "risks": proposed.risks,
        "hands": [
            {
                "before": grip.before.name.lower(),
                "after": grip.after.name.lower(),
                "policy": grip.policy,
                "workloads": list(grip.keys),
                "sentence": grip.sentence,
                "risky": grip.risky,
            }
            for grip in proposed.grips
        ],
        "items": [_item(item) for item in proposed.items],
        "notes": [*notes, *proposed.notes],
        "warnings": list(warnings),
        "plan": None if isinstance(plan, str) else plan,
        "no_plan": plan if isinstance(plan, str) else None,
    }


def _item(item: Item) -> View:
    return {
        "kind": item.kind,
        "name": item.name,
        "what": str(item.what),
        "about": item.about,
        "risky": item.risky,
        "fields": [
            {
                "path": change.path,
                "before": change.before,
                "after": change.after,
                "effect": str(change.meaning.effect),
                "risky": change.meaning.risky,
                "meaning": change.meaning.sentence,
            }
            for change in item.changes
        ],
    }


def summary(view: View) -> str:
    """One sentence: what there is, and how much of it is risky."""
    if not view["changed"]:
        return "Nothing changes in what the manifests mean."
    numbers = {what: sum(item["what"] == what for item in view["items"]) for what in ("added", "removed", "changed")}
    counts = [f"{number} {what}" for what, number in numbers.items() if number]
    risks = view["risks"]
    marked = f"{risks} risky change{'' if risks == 1 else 's'}" if risks else "nothing risky"
    return f"{', '.join(counts)}; {marked}."
