"""A performance report as sentences and tables of words: what Markdown and the page have in common. Pure.

"?" is unknown, a dash that there is nothing of the kind. Times are UTC.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from controller.report.markup import money
from controller.report.programs import seconds
from controller.report.programs_tables import gain_words, how, realised
from controller.report.tables import amount, move_words
from exporters.quantity import format_duration

View = dict[str, Any]
MOST_ROWS: Final = 50
"""Of a table; -o json has everything."""
_CENT: Final = 0.00005
"""USD that no table shows."""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as words; the first column, and those of `text`, are words, the others figures."""

    heads: tuple[str, ...]
    rows: list[list[str]]
    text: tuple[int, ...] = ()
    more: str = ""
    """What is to be said under it."""


# --- numbers ------------------------------------------------------------------------------------------------------------


def percent(share: float | None) -> str:
    """0.9981 -> "99.8 %", 0.99996 -> "99.99 %": what is not all of it never reads 100."""
    if share is None:
        return "?"
    value = 100 * share
    if value < 100 and f"{value:.1f}" == "100.0":
        return f"{math.floor(100 * value) / 100:.2f} %"
    whole = value in {0.0, 100.0} or abs(value) >= 1000
    return f"{value:.{0 if whole else 1}f} %".replace("-", "−")


def lasting(length: float | None) -> str:
    return "?" if length is None else format_duration(length)


def when(moment: str | None) -> str:
    """22 Oct 2026, 22:52."""
    at = seconds(moment)
    if at is None:
        return "?"
    found = datetime.fromtimestamp(at, UTC)
    return f"{found.day} {found:%b %Y, %H:%M}"


def between(found: View | None, unit: str = " USD", *, signed: bool = False) -> str:
    """The expected value and from where to where it can be: 4.53 USD (3.96 to 5.39)."""
    if found is None:
        return "?"
    low, mid, high = (money(found[end], signed=signed) for end in ("low", "expected", "high"))
    return f"{mid}{unit}" if low == high else f"{mid}{unit} ({low} to {high})"


def count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


# --- sentences ----------------------------------------------------------------------------------------------------------


def period(view: View) -> str:
    ends = view["period"]
    return f"{when(ends['from'])} to {when(ends['to'])} UTC ({lasting(ends['seconds'])})"


def headline(view: View) -> list[str]:
    """What was earned, how much of it is known, and what doing nothing would have earned."""
    return [_earned(view), doing_nothing(view)]


def _earned(view: View) -> str:
    whole, number = view["totals"], count(len(view["workloads"]), "workload")
    if whole["net_usd"] is None:
        return f"What {number} earned is not known at any time of the period."
    less = [f"{money(whole['fees_usd'])} cuts and fees"] if abs(whole["fees_usd"]) > _CENT else []
    less += [f"{money(whole['energy_usd'])} energy"] if whole["energy_usd"] else []
    of = f": {money(whole['gross_usd'])} credited, less {' and '.join(less)}" if less else " credited"
    return (
        f"{money(whole['net_usd'])} USD in hand{of}. Earnings are known for {percent(whole['coverage'])} of the time of "
        f"{number}; the rest is in no sum."
    )


def doing_nothing(view: View) -> str:
    found = view["doing_nothing"]
    more, would, split = found["more_usd"], found["would_have_earned_usd"], f"the split of {when(found['split_at'])}"
    missed = found["unjudged_seconds"]
    left = f" {lasting(missed)} around changes cannot be compared." if missed else ""
    if found["unknown"]:
        why = next((each["why"] for each in found["workloads"] if each["more_usd"] is None and each["why"]), "")
        rest = f" Of the others, changes brought {between(more, signed=True)}." if more is not None else ""
        return f"What keeping {split} would have earned is not known: {why or ', '.join(found['unknown'])}.{rest}{left}"
    if not found["moved_seconds"]:
        return f"Nobody held anything else than at the begin, so keeping {split} would have earned the same.{left}"
    cost = found["moving_cost_usd"]
    paid = f" Moving was reckoned to cost {money(cost)} USD." if cost else ""
    kept = f"Keeping {split} would have earned {between(would)} on the same demand. " if would is not None else ""
    return f"{kept}What was changed brought {between(more, signed=True)} more.{paid}{left}"


# --- tables -------------------------------------------------------------------------------------------------------------


def kpis(view: View) -> list[tuple[str, str, str]]:
    """(key figure, value, what to know of it), in the order of features.md R4."""
    found, whole, changes = view["kpis"], view["totals"], view["changes"]
    prediction = found["prediction"]
    paid = f"{_share_of(changes['success_rate'], changes['judged'])} judged brought more than moving cost"
    if changes["waiting"]:
        paid += f"; {changes['waiting']} not judged yet"
    if changes["unknown"]:
        paid += f"; of {changes['unknown']} nobody can know"
    inside = (
        f"{_share_of(prediction['interval_coverage'], prediction['judged'])} inside the promised interval (meant: 80 %)"
    )
    error = prediction["forecast_error"]
    return [
        ("Total earnings", f"{money(found['total_earnings_usd'])} USD", "after cuts, fees and energy"),
        ("Allocation efficiency", *_efficiency(found["allocation_efficiency"])),
        ("Uptime", percent(found["uptime"]), _down(whole)),
        ("Reallocation frequency", f"{found['reallocations_per_day']:.2g} a day", _kinds(changes)),
        ("Success rate", percent(changes["success_rate"]), paid if changes["promised"] else "nothing was promised"),
        ("Cost effectiveness", percent(found["cost_effectiveness"]), "of what was credited stays in hand"),
        (
            "Prediction accuracy",
            "?" if error is None else f"off by {percent(error)}",
            inside if prediction["judged"] else "no promise was judged",
        ),
        ("Connection stability", *_stability(found["connection"])),
    ]


def _down(whole: View) -> str:
    if whole["uptime"] is None:
        return "nobody looked"
    down = whole["down_seconds"]
    return f"of the time looked at; {lasting(down)} down" if down else "of the time looked at"


def _share_of(share: float | None, of: int) -> str:
    return f"{round((share or 0.0) * of)} of {of}"


def _kinds(changes: View) -> str:
    parts = [f"{count(changes['count'], 'change')} in all"]
    parts += [f"{changes[name]} {words}" for name, words in _KINDS if changes[name]]
    return ", ".join(parts)


_KINDS: Final = (("by_hand", "by hand"), ("rolled_back", "rolled back"), ("blocked", "blocked"))


def _efficiency(found: Sequence[View]) -> tuple[str, str]:
    known = [each for each in found if each["ratio"] is not None]
    if not known:
        return "?", "no decision of the period is kept with what it was made from"
    worst = min(known, key=lambda each: float(each["ratio"]))
    of = f"policy {worst['policy']}, " if len(found) > 1 else ""
    return percent(worst["ratio"]), f"of what the best split is expected to earn; {of}{when(worst['at'])}"


def _stability(found: View) -> tuple[str, str]:
    number = count(found["reconnects"], "reconnect")
    value = f"at least {number}" if found["at_least"] and found["reconnects"] else number
    mean = found["mean_reconnect_seconds"]
    words = f"{lasting(mean)} each on average" if mean is not None else "never lost and back"
    return value, f"{words}; {count(found['lost_now'], 'workload')} lost at the end" if found["lost_now"] else words


def earnings(view: View, groups: str, name: str) -> Table:
    """Of "protocols", "nodes" or "workloads", whose first column is `name`, and all together where there are several."""
    heads = (name, "credited", "cuts, fees", "energy", "in hand, USD", "share", "known", "uptime")
    whole = view["totals"]
    shown = view[groups][:MOST_ROWS]
    rows = [[each[name], *_money(each, whole["net_usd"])] for each in shown]
    if len(view[groups]) > 1:
        rows.append(["all", *_money(whole, whole["net_usd"])])
    left = len(view[groups]) - len(shown)
    return Table(heads, rows, more=f"{left} more are in -o json." if left else "")


def _money(each: View, net: float | None) -> list[str]:
    share = each["net_usd"] / net if each["net_usd"] is not None and net and net > 0 else None
    figures = [money(each[name]) for name in ("gross_usd", "fees_usd")]
    figures += ["–" if each["energy_usd"] is None else money(each["energy_usd"]), money(each["net_usd"])]
    return [*figures, "–" if share is None else percent(share), percent(each["coverage"]), percent(each["uptime"])]


def changes(view: View) -> Table:
    """Every reallocation, the newest first."""
    entries = view["changes"]["entries"][::-1]
    shown = entries[:MOST_ROWS]
    rows = [
        [
            when(each["at"]),
            "; ".join(move_words(move, {}) for move in each["moves"]),
            f"{how(each)}, {each['approved_by']}" if each["approved_by"] else str(how(each)),
            gain_words(each["predicted_usd_per_hour"]),
            str(realised(each)).replace("\n", " "),
            "?" if each["realised_usd"] is None else money(each["realised_usd"], signed=True),
        ]
        for each in shown
    ]
    heads = ("when", "what", "how", "promised USD/h", "brought USD/h", "in all, USD")
    left = len(entries) - len(shown)
    return Table(heads, rows, (1, 2, 4), f"{left} older ones are in -o json." if left else "")


def reasons(view: View) -> list[tuple[str, str]]:
    """(which change, why it was made and what came of it), the newest first."""
    found = []
    for each in view["changes"]["entries"][::-1][:MOST_ROWS]:
        said = "; ".join(part.rstrip(".") for part in (each["sentence"], each["said"], each["outcome"]) if part)
        name = each["id"] if each["state"] else ", ".join(move["workload"] for move in each["moves"])
        if said:
            found.append((f"{when(each['at'])}, {name}", said))
    return found


def nothing_table(view: View) -> Table:
    """Against the split of the begin, by workload."""
    rows = [
        [
            each["workload"],
            amount(each["resource"], each["from"]),
            amount(each["resource"], each["to"]),
            lasting(each["moved_seconds"]),
            lasting(each["unjudged_seconds"]),
            between(each["more_usd"], "", signed=True),
            each["why"],
        ]
        for each in view["doing_nothing"]["workloads"][:MOST_ROWS]
    ]
    heads = (
        "workload",
        "at the begin",
        "at the end",
        "held another",
        "not compared",
        "brought more, USD",
        "not known because",
    )
    kept = range(len(heads)) if any(row[-1] for row in rows) else range(len(heads) - 1)
    return Table(tuple(heads[i] for i in kept), [[row[i] for i in kept] for row in rows], (6,))


def contact(view: View) -> Table:
    """Who was there, those first who were not for longest."""
    each_ = sorted(view["workloads"], key=lambda each: (-each["down_seconds"], each["workload"]))
    rows = [
        [
            each["workload"],
            percent(each["uptime"]),
            lasting(each["down_seconds"]),
            lasting(each["unobserved_seconds"]),
            _reconnects(each["connection"]),
            lasting(each["connection"]["mean_reconnect_seconds"]) if each["connection"]["reconnects"] else "–",
            f"lost since {when(each['connection']['lost_since'])}" if each["connection"]["lost_since"] else "there",
        ]
        for each in each_[:MOST_ROWS]
    ]
    heads = ("workload", "uptime", "down", "not looked at", "reconnects", "each", "at the end")
    return Table(heads, rows)


def _reconnects(found: View) -> str:
    return f"≥ {found['reconnects']}" if found["at_least"] and found["reconnects"] else str(found["reconnects"])


def balances(view: View) -> Table:
    """What stood where at the end."""
    found = view["balances"]
    kinds = sorted({kind for row in found["workloads"] for kind in row["end_usd"] or ()}, key=_kind)
    rows = [
        [row["workload"], *(_held(row["end_usd"], kind) for kind in kinds), when(row["end_at"])]
        for row in found["workloads"][:MOST_ROWS]
    ]
    if found["end_usd"] is not None and len(found["workloads"]) > 1:
        rows.append(["all", *(_held(found["end_usd"], kind) for kind in kinds), ""])
    return Table(("workload", *(f"{kind.replace('_', ' ')}, USD" for kind in kinds), "as of"), rows)


_ORDER: Final = ("accrued", "pending", "held", "at_risk", "paid")


def _kind(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER)), name


def _held(end: Mapping[str, float] | None, kind: str) -> str:
    if end is None:
        return "?"
    return money(end[kind]) if kind in end else "–"


def notes(view: View) -> Iterable[str]:
    for note in view["notes"]:
        yield f"{note[:1].upper()}{note[1:]}."
