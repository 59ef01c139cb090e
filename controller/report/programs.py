"""Programs and their history as plain JSON, and how what is wanted, configured and in force drift apart. Pure.

What `orcha programs` and `orcha history` print, the same from the state as from the API (api/models.py). Like in views.py
unknown is null, amounts are base units, money is USD or USD per hour; times are RFC 3339, but for those of `drift`, which
is part of the status: there they are Unix seconds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from controller.programs import IN_FLIGHT, OPEN, Cause, Phase, Program, ProgramState, Record, Step
from controller.promises import Kind, Trial
from controller.report import views
from controller.report.tables import amount, minute
from controller.report.views import interval, number
from controller.rows import Change

View = dict[str, Any]
SHOWN: Final = 24 * 3600.0
"""Seconds for which a program that is over is still listed without being asked for."""
NOTICED: Final = 0.25
"""Share of a step from which a difference counts, as in outcomes.py; less is how a node rounds."""
_SETTLED: Final = frozenset({Phase.DONE, Phase.RETURNED})
_OPEN: Final = frozenset(state.value for state in OPEN)
_ROUNDING: Final = 1e-6
"""The same, relative, where the step is not known."""


class NoSuchProgram(Exception):
    """`str()` lists the near ones, or says what lists them all."""


# --- programs -----------------------------------------------------------------------------------------------------


def program_view(each: Program, records: Iterable[Record] | None = None) -> View:
    """One program; with its records where they are given."""
    promise, stage = each.promise, each.stage
    view: View = {
        "id": each.id,
        "policy": each.policy,
        "cause": str(each.cause),
        "state": str(each.state),
        "sentence": each.sentence,
        "said": each.said,
        "by": each.by,
        "at": rfc3339(each.at),
        "changed": rfc3339(each.changed),
        "expires_at": rfc3339(each.expires),
        "began_at": rfc3339(each.began),
        "retry_at": rfc3339(each.retry_at),
        "stage": {"number": stage.number, "of": len(stage.shares)} if stage else None,
        "of": each.of or None,
        "gain_usd_per_hour": interval(promise.gain if promise else None),
        "confidence": number(promise.confidence) if promise else None,
        "cost_usd": number(promise.cost_usd) if promise else None,
        "horizon_seconds": number(each.horizon),
        "moves": [move_view(step) for step in each.steps],
    }
    if records is not None:
        view["records"] = [{"at": rfc3339(r.at), "what": r.what, "by": r.by, "sentence": r.sentence} for r in records]
    return view


def move_view(step: Step) -> View:
    return {
        "workload": step.key,
        "node": step.node,
        "resource": step.resource,
        "from": number(step.before[step.resource]),
        "to": number(step.after[step.resource]),
        "phase": str(step.phase),
        "note": step.note,
        "failure": step.failure,
    }


def programs_view(programs: Iterable[Program], now: float) -> View:
    """All that is known, open ones first, each the newest first."""
    return {"at": rfc3339(now), "programs": ordered(program_view(each) for each in programs)}


def ordered(programs: Iterable[View]) -> list[View]:
    """Views with those first that are not over, then the newest first."""
    return sorted(programs, key=lambda p: (p["state"] not in _OPEN, -(seconds(p["at"]) or 0.0), p["id"]))


def rfc3339(at: float | None) -> str | None:
    """1_800_000_000.0 -> "2027-01-15T08:00:00.000Z"."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def seconds(moment: float | str | None) -> float | None:
    """A time of a view in Unix seconds, whichever way it is written."""
    if isinstance(moment, str):
        when = datetime.fromisoformat(moment)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return moment


def listed(
    programs: Iterable[View],
    now: float,
    *,
    everything: bool = False,
    states: Iterable[str] = (),
    policy: str | None = None,
) -> list[View]:
    """What `orcha programs` shows: of one policy or state where that is asked for; without, what is not over, or was not
    a day ago.
    """
    wanted = set(states)
    return [
        each
        for each in ordered(programs)
        if policy in {None, each["policy"]}
        and (each["state"] in wanted if wanted else everything or each["state"] in _OPEN or _recent(each, now))
    ]


def _recent(each: View, now: float) -> bool:
    return (seconds(each["changed"]) or 0.0) > now - SHOWN


def chosen(given: str, ids: Sequence[str]) -> str:
    """The id that is meant: it may be abbreviated, with or without "p-", as long as only one begins so. Raises
    NoSuchProgram.
    """
    wanted = given.strip().lower()
    found = [
        one for one in dict.fromkeys(ids) if wanted and one.removeprefix("p-").startswith(wanted.removeprefix("p-"))
    ]
    if wanted in found:
        return wanted
    if len(found) == 1:
        return found[0]
    if found:
        raise NoSuchProgram(f"{given!r} may be {_or(found)}; write more of it")
    near = difflib.get_close_matches(wanted, ids, n=3)
    meant = f"is {_or(near)} meant? " if near else ""
    raise NoSuchProgram(f"there is no program {given!r}; {meant}`orcha programs --all` lists them")


def _or(names: Sequence[str], most: int = 5) -> str:
    shown = [*names[:most], f"one of {len(names) - most} more"] if len(names) > most else list(names)
    return " or ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


# --- history ------------------------------------------------------------------------------------------------------


def history_view(programs: Iterable[View], changes: Iterable[View], period: tuple[float, float], now: float) -> View:
    """Every reallocation that began in the period, newest first: what orcha did (a program_view, with its records where
    they are known, and the change of the same id that says what came of it) and what people did (a change alone).
    `changes`: change_view, or as the API gives them.
    """
    judged = {each["id"]: each for each in changes}
    own = [each for each in programs if each["began_at"] is not None]
    entries = [_of_program(each, judged.get(each["id"])) for each in own]
    entries += [_of_change(judged[name]) for name in judged.keys() - {each["id"] for each in own}]
    entries = [each for each in entries if period[0] <= (seconds(each["at"]) or 0.0) < period[1]]
    entries.sort(key=lambda entry: (-(seconds(entry["at"]) or 0.0), entry["id"]))
    return {"at": rfc3339(now), "since": rfc3339(period[0]), "until": rfc3339(period[1]), "entries": entries}


def change_view(each: Trial) -> View:
    """As `did it pay` has it, with its policy, what it cost and what it brought in all."""
    outcome, promise = each.outcome, each.promise
    return {
        **views.program(each),
        "policy": each.policy,
        "cost_usd": number(promise.cost_usd) if promise else None,
        "realised_usd": number(outcome.usd) if outcome else None,
    }


def _of_program(each: View, change: View | None) -> View:
    at = {part["workload"]: part["at"] for part in change["moves"]} if change else {}
    names = ("id", "policy", "cause", "state", "sentence", "said")
    return {
        **{name: each[name] for name in names},
        "kind": Kind.APPLIED.value,
        "at": each["began_at"],
        "approved_by": approved_by(each),
        "moves": [_move(part, at.get(part["workload"])) for part in each["moves"]],
        "predicted_usd_per_hour": each["gain_usd_per_hour"],
        **_effect(change),
        "cost_usd": each["cost_usd"],
    }


def _of_change(each: View) -> View:
    return {
        "id": each["id"],
        "policy": each.get("policy"),
        "cause": None,
        "state": None,
        "sentence": _WHY.get(each["kind"], ""),
        "said": "",
        "kind": each["kind"],
        "at": rfc3339(seconds(each["at"])),
        "approved_by": None,
        "moves": [_move(part, part["at"]) for part in each["moves"]],
        "predicted_usd_per_hour": each["promised_usd_per_hour"],
        **_effect(each),
        "cost_usd": each.get("cost_usd"),
    }


_WHY: Final[Mapping[str, str]] = {
    Kind.FOLLOWED: "a suggestion that somebody followed",
    Kind.MANUAL: "changed by hand, which was not suggested",
    Kind.APPLIED: "done by orcha; its program is not kept any more",
}


def _move(part: View, at: float | str | None) -> View:
    node = part["workload"].partition("/")[0]
    kept = {name: part[name] for name in ("workload", "resource", "from", "to")}
    return {**kept, "node": node, "at": rfc3339(seconds(at))}


def _effect(change: View | None) -> View:
    """What came of it, or when that will be known."""
    found = change or {}
    return {
        "due_at": rfc3339(seconds(found.get("due_at"))),
        "judged_at": rfc3339(seconds(found.get("judged_at"))),
        "realised_usd_per_hour": found.get("realised_usd_per_hour"),
        "realised_usd": found.get("realised_usd"),
        "within": found.get("within"),
        "success": found.get("success"),
        "outcome": found.get("sentence", ""),
    }


def approved_by(each: View) -> str | None:
    """Whose word let it begin; of a rollback or a release, who asked for it. None: no record of it is known."""
    records = each.get("records") or []
    said = [record["by"] for record in records if record["what"] == ProgramState.APPROVED.value]
    if said:
        return str(said[-1])
    return str(records[0]["by"]) if records and each["cause"] in {Cause.ROLLBACK.value, Cause.RELEASE.value} else None


# --- drift --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is of one workload's allocation, in one place."""

    key: str
    resource: str
    step: float | None
    wanted: float | None
    """What orcha set or saw last."""
    configured: float | None
    """What the node's configuration asks for, where it says so."""
    effective: float | None
    """What the node reports as in force."""
    manual_change_at: float | None = None
    """When a person changed it against orcha; None: nobody did, or it was released."""
    pretends: bool | None = False
    """Whether its driver only pretends (dry_run); None: not known, so what was set says nothing about what is."""

    def differ(self, one: float | None, other: float | None) -> bool:
        """Whether two known amounts are apart by more than how nodes round."""
        if one is None or other is None:
            return False
        return abs(one - other) > (NOTICED * self.step if self.step else _ROUNDING * max(abs(one), abs(other)))

    def words(self, value: float | None) -> str:
        return amount(self.resource, value, self.step)


def drift(seen: Seen, programs: Iterable[Program] = ()) -> View | None:
    """How far apart wanted, configured and effective are, why that is in one sentence, and in a few words for a table;
    None: they agree as far as is known, and nobody is about to change them.
    """
    program, step = next(_in_flight(seen.key, programs), (None, None))
    said = _under_way(seen, program, step) if program and step else _apart(seen)
    if said is None:
        return None
    short, sentence = said
    return {
        "wanted": number(step.target[step.resource] if step else seen.wanted),
        "configured": number(seen.configured),
        "effective": number(seen.effective),
        "program": program.id if program else None,
        "manual_change_at": seen.manual_change_at,
        "short": short,
        "sentence": sentence,
    }


def _in_flight(key: str, programs: Iterable[Program]) -> Iterator[tuple[Program, Step]]:
    """The program that may change it now, and its step there."""
    for program in programs:
        if program.state in IN_FLIGHT:
            yield from ((program, step) for step in program.steps if step.key == key and step.phase not in _SETTLED)


def _under_way(seen: Seen, program: Program, step: Step) -> tuple[str, str]:
    lane = [each.key for each in program.lane(step.node)]
    before, after = seen.words(step.before[step.resource]), seen.words(step.after[step.resource])
    if program.state is ProgramState.BLOCKED:
        again = f"; tried again at {minute(program.retry_at)}" if program.retry_at is not None else ""
        said = f": {program.said}" if program.said else ""
        held = seen.words(step.held)
        return (
            f"blocked, {program.id}",
            f"{seen.key}: {program.id} is blocked{said}{again}; until then {held} count as taken",
        )
    doing, waits = {
        Phase.WAITING: (f"is to go from {before} to {after} by", "waits for its turn"),
        Phase.RETURNING: (f"is being taken back to {before} by", "waits until the node reports it"),
    }.get(step.phase, (f"is being changed from {before} to {after} by", "waits until the node reports it"))
    failed = f"; {step.failure}" if step.failure else ""
    where = f"step {lane.index(step.key) + 1} of {len(lane)}: {step.note or waits}"
    return f"→ {seen.words(step.target[step.resource])}", f"{seen.key} {doing} {program.id} ({where}){failed}"


def _apart(seen: Seen) -> tuple[str, str] | None:
    """Of a workload that nobody changes now."""
    wanted, configured, effective = (seen.words(x) for x in (seen.wanted, seen.configured, seen.effective))
    if seen.manual_change_at is not None:
        to = "" if seen.effective is None else f" to {effective}"
        when = minute(seen.manual_change_at)
        return (
            "by hand",
            f"{seen.key} was changed by hand{to} at {when}; `orcha resume {seen.key}` lets orcha move it again",
        )
    if seen.differ(seen.configured, seen.effective):
        said = f"{seen.key}: {configured} configured, {effective} in force: {_why_not_in_force(seen)}"
        return f"{configured} configured", said
    if seen.pretends is None or not seen.differ(seen.wanted, seen.effective):
        return None
    if seen.pretends:
        return f"{wanted} pretended", f"{seen.key}: {effective} in force; {wanted} are what its dry run pretends"
    return f"{wanted} expected", (
        f"{seen.key}: {wanted} were set or seen last, {effective} are in force now: somebody changed it, or the node did "
        "not keep it; it counts as a change once two readings agree on it"
    )


def _why_not_in_force(seen: Seen) -> str:
    if (seen.configured or 0.0) > (seen.effective or 0.0):
        return "the node clamps to what its machine has, or takes it up once running work has drained"
    return "running work still drains, or the node takes it up only when it starts again"


def with_drift(view: View, changes: Mapping[str, Change], programs: Iterable[Program] = ()) -> View:
    """The status view (views.py) with a `drift` in every workload; null where there is none. `changes`: what is known of
    each workload's changes (Outcomes.changes, Store.changes).
    """
    touching: dict[str, list[Program]] = {}
    for program in programs:
        for step in program.steps:
            touching.setdefault(step.key, []).append(program)
    rows = [
        {**row, "drift": _drift_of(row, changes.get(row["key"]) or Change(), touching.get(row["key"], ()))}
        for row in view["workloads"]
    ]
    return {**view, "workloads": rows}


def _drift_of(row: View, change: Change, programs: Sequence[Program]) -> View | None:
    key, resource = row["key"], row["resource"]
    if resource is None:
        return None
    wanted = change.expected if change.resource in {None, resource} else None
    known = change.last_moved or 0.0, change.manual_change_at or 0.0
    for program in sorted(programs, key=lambda each: each.changed):  # what it brought about is told when it is over
        step = program.step(key)
        if step.phase in _SETTLED and step.resource == resource and program.changed > max(known):
            wanted = step.target[resource]
    pretends = row["driver"] == "dry_run" if row.get("driver") is not None else None
    seen = Seen(
        key, resource, row["step"], wanted, row.get("configured"), row["allocated"], change.manual_change_at, pretends
    )
    return drift(seen, programs)
