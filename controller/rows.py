"""What the store holds, as values, and how they become rows and come back. Pure; store.py does the I/O."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import TypeAdapter, ValidationError

from controller.blocks import FIGURES, NAN, Block
from controller.promises import Trial
from exporters.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Row = dict[str, Any]

RESET: Final = "reset of "
"""In `meta`, before the name of a policy whose owner took its fallback off: when."""
_LEVEL: Final = struct.Struct("<Hd")
_READING: Final = TypeAdapter(Reading)
_TRIAL: Final = TypeAdapter(Trial)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for people: `orcha history`, `orcha status`."""

    at: float
    kind: str
    """CamelCase, such as ManualChange."""
    subject: str
    """A workload's key, a policy, a file."""
    sentence: str


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """A Decision as it is kept."""

    policy: str
    at: float
    fingerprint: str
    """Of what it comes to: one that equals that of the decision before replaces it, another one is history."""
    reason: str
    sentence: str
    body: str
    """JSON."""
    inputs: bytes | None = None
    """What it was made from (controller/replay.py); kept where it differs from the decision before. None: not kept."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is known of the changes of one allocation."""

    last_moved: float | None = None
    """When it was last changed: by orcha, by a person who followed it, or, where orcha only suggests, by hand."""
    manual_change_at: float | None = None
    """When a person last changed it against orcha, where orcha may act."""
    expected: float | None = None
    """The allocation that orcha set, or saw last; another one that appears is a manual change."""
    resource: str | None = None
    """What `expected` counts."""


class StoredBlock(NamedTuple):
    resource: str | None
    quantum: float
    block: Block


@dataclass(slots=True)
class Stored:
    """What the store knows of one workload's past."""

    reading: Reading | None = None
    last_good: Reading | None = None
    resource: str | None = None
    sample: Sequence[Any] | None = None
    readings: list[tuple[float, bool, float, float, float]] = field(default_factory=list)
    """(at, up, allocated, used, net), NaN where unknown."""
    blocks: list[StoredBlock] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """What history wants written, as rows with a "key" instead of the workload's number."""

    newest: list[Row] = field(default_factory=list)
    readings: list[Row] = field(default_factory=list)
    blocks: list[Row] = field(default_factory=list)
    rolled: list[Row] = field(default_factory=list)
    """{key, start}: hours whose finer blocks go."""
    time: float | None = None
    """The time that is believed (past.BelievedTime)."""

    def __bool__(self) -> bool:
        return bool(self.newest or self.readings or self.blocks or self.rolled)


def newest_row(
    key: str,
    reading: Reading,
    last_good: Reading | None,
    resource: str | None,
    sample: Sequence[Any],
) -> Row:
    good = None if last_good is None or last_good is reading else _READING.dump_json(last_good).decode()
    said = _READING.dump_json(reading).decode()
    return {
        "key": key, "at": reading.at, "reading": said, "last_good": good,
        "resource": resource, "sample": json.dumps(sample),
    }  # fmt: skip


def reading_row(key: str, at: float, up: bool, allocated: float, used: float, net: float) -> Row:
    return {
        "key": key,
        "at": at,
        "up": up,
        "allocated": _known(allocated),
        "used": _known(used),
        "net_usd_per_hour": _known(net),
    }


def block_row(key: str, stored: StoredBlock) -> Row:
    resource, quantum, block = stored
    row: Row = {"key": key, "start": block.start, "span": block.span, "resource": resource, "quantum": quantum}
    row.update(zip(FIGURES, map(_known, block.figures), strict=True))
    row["levels"] = b"".join(_LEVEL.pack(code, hours) for code, hours in block.levels.items())
    return row


def _known(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124 NaN is not equal to itself


def _figure(value: float | None) -> float:
    return NAN if value is None else value


def block_from(row: Any) -> StoredBlock:
    levels = dict(_LEVEL.iter_unpack(row.levels))
    figures = (_figure(getattr(row, name)) for name in FIGURES)
    block = Block(row.start, row.span, levels, *figures)
    if row.tokens is None:  # from a file that was written before tokens were counted
        block.tokens = block.token_usd = 0.0
    return StoredBlock(row.resource, row.quantum, block)


def reading_from(text: str | None) -> Reading | None:
    """None also for what a later version wrote and this one cannot read: then the next look fills it."""
    try:
        return None if text is None else _READING.validate_python(json.loads(text, object_hook=_without_nulls))
    except (ValidationError, ValueError):
        return None


def _without_nulls(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


def both_from(row: Any) -> tuple[Reading | None, Reading | None]:
    """The newest reading of a row of `newest`, and the newest with `up`."""
    reading, last_good = reading_from(row.reading), reading_from(row.last_good)
    return reading, last_good or (reading if reading is not None and reading.up else None)


def stored_from(row: Any) -> Stored:
    reading, last_good = both_from(row)
    sample = json.loads(row.sample) if row.sample else None
    return Stored(reading, last_good, row.resource, sample)


def columns_from(row: Any) -> tuple[float, bool, float, float, float]:
    return row.at, row.up, _figure(row.allocated), _figure(row.used), _figure(row.net_usd_per_hour)


def decision_row(decision: RecordedDecision) -> Row:
    """Without its inputs, which have a table of their own."""
    row = asdict(decision)
    del row["inputs"]
    return row


def inputs_row(decision: RecordedDecision) -> Row:
    return {"policy": decision.policy, "at": decision.at, "inputs": decision.inputs}


def decision_from(row: Any) -> RecordedDecision:
    made_from = getattr(row, "inputs", None)  # only where they were asked for
    return RecordedDecision(row.policy, row.at, row.fingerprint, row.reason, row.sentence, row.body, made_from)


def trial_row(program: Trial) -> Row:
    ended = None if program.outcome is None else program.outcome.at
    body = _TRIAL.dump_json(program).decode()
    return {"id": program.id, "policy": program.policy, "at": program.at, "ended": ended, "body": body}


def trials_from(rows: Sequence[Any]) -> Iterator[Trial]:
    """Without those that another version wrote and this one cannot read: they teach nothing then."""
    for row in rows:
        with suppress(ValidationError):
            yield _TRIAL.validate_json(row.body)


def change_from(row: Any) -> Change:
    return Change(row.last_moved, row.manual_change_at, row.expected, row.resource)


def reset_row(policy: str, at: float) -> Row:
    return {"name": f"{RESET}{policy}", "value": repr(at)}


def resets_from(rows: Sequence[Any]) -> dict[str, float]:
    return {row.name.removeprefix(RESET): float(row.value) for row in rows if row.name.startswith(RESET)}
