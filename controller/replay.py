"""What a decision was made from <-> bytes, and back to the Decision: `orcha explain` looks at it again, long after. Pure.

    Decision ──inputs_of──▶ bytes (store.py keeps them) ──replay──▶ the same Moves, Verdicts and Opportunities

Kept is what decide.judge was given: the State with every scalar, the spec and the readings, and the curves. Of the past
no block is kept: judge asks of it only for how long each workload was observed, and `_observed` makes two blocks that say
that and nothing else. Of the replicates, nine tenths of it all, only those breakpoints are kept where a move, an
opportunity or a workload's next step looks them up; the others come back as NaN, so that nobody takes them for known.
Whether that was enough is tried at once: `inputs_of` replays what it made, and keeps all where that says anything else.

The bytes: "orcha", the version of this format, then deflated: the length of the JSON (uint32), the JSON (a line for the
State, each node, each workload, each curve), and every array, one after the other as float64, their bytes sorted by
significance, which deflates better. All of it is read back by the annotations of controller/model.py: a field that this
version does not know, or misses, is CannotReplay, never a guess.
"""

from __future__ import annotations

import json
import struct
import typing
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, replace
from typing import Any, Final

import numpy as np
from pydantic import TypeAdapter, ValidationError

from controller.decide import decide, judge
from controller.estimate.readings import exposure_seconds
from controller.model import Blocks, Curve, Decision, NodeState, Plan, Reason, State, WorkloadState
from controller.plan.limits import SLACK
from controller.policy import Mode, PolicySpec
from exporters.nodes import Allocation, Power, Watts
from exporters.reading import Native, Reading, changed
from exporters.traits import Traits

VERSION: Final = 1
_MAGIC: Final = b"orcha" + bytes([VERSION])
_LENGTH: Final = struct.Struct("<I")
MOST_WORKLOADS: Final = 5000
"""A decision over more of them is kept without what it was made from: its record would have some 10 MB."""
_MOST_BYTES: Final = 2**29
"""Inflated. Nothing that `inputs_of` makes is larger."""
_FEW: Final = 64
"""Workloads of a decision up to which everybody's next step can be explained, and not only that of those who might move."""
_ALL: Final = None


class CannotReplay(Exception):
    """What a decision was made from cannot be read by this version; `str()` says what, and what to do."""


def inputs_of(decision: Decision, most: int = MOST_WORKLOADS) -> bytes | None:
    """Everything that `replay` needs; None where there are more workloads than `most`."""
    if len(decision.state.workloads) > most:
        return None
    small = _packed(decision, _looked_up(decision))
    return small if _said(replay(small)) == _said(decision) else _packed(decision, _ALL)


def replay(data: bytes) -> Decision:
    """The Decision once more, made by decide.judge of now from what it was made from then. Raises CannotReplay."""
    try:
        lines, figures = _unpacked(data)
        about, *rest = [json.loads(line) for line in lines]
        made = _Lines(rest, about["counts"])
        state = _state(about["state"], made.take(0), made.take(1))
        curves = {found.key: found for found in _curves(made.take(2), figures)}
        unknown = {key: (Reason(reason), str(why)) for key, (reason, why) in about["unknown"].items()}
        judged = bool(about["judged"])
    except CannotReplay:
        raise
    except (KeyError, TypeError, ValueError, IndexError, zlib.error, struct.error) as exc:
        raise CannotReplay(_unreadable(str(exc))) from exc
    # where nothing could move, nothing was fitted, and `decide` ends before it would
    return judge(state, curves, unknown) if judged else decide(state)


def _unreadable(what: str) -> str:
    about = " ".join(what.split())[:200]
    return f"it was recorded by another version of orcha, or the record is damaged ({about}); what it said then is all there is"


def _said(decision: Decision) -> str:
    """What must come out again."""
    plan = decision.plan
    return repr((decision.reason, decision.sentence, plan.moves, plan.gain, decision.verdicts, plan.opportunities))


# --- Decision -> bytes --------------------------------------------------------------------------------------------


def _packed(decision: Decision, looked_up: Mapping[str, set[float]] | None) -> bytes:
    state, arrays = decision.state, list[Any]()
    nodes = [_plain(node) for node in state.nodes]
    workloads = [_workload(state, workload) for workload in state.workloads]
    curves = [
        _curve(curve, None if looked_up is None else looked_up.get(curve.key, set()), arrays)
        for curve in decision.curves.values()
    ]
    about = {
        "state": _plain(state),
        "counts": [len(nodes), len(workloads), len(curves)],
        # what has no curve keeps its reason; of what has one, judge finds the reasons again
        "unknown": {key: why for key, why in decision.not_considered.items() if key not in decision.curves},
        "judged": decision.plan.solver != "none",
    }
    text = "\n".join(json.dumps(part) for part in (about, *nodes, *workloads, *curves)).encode()
    figures = np.concatenate([np.zeros(0), *(array.ravel() for array in arrays)])
    shuffled = np.ascontiguousarray(figures.astype("<f8").view(np.uint8).reshape(-1, 8).T).tobytes()
    return _MAGIC + zlib.compress(_LENGTH.pack(len(text)) + text + shuffled)


def _looked_up(decision: Decision) -> dict[str, set[float]]:
    """Key -> the allocations at which its replicates are asked for."""
    asked: dict[str, set[float]] = {}
    for key, values in _asked(decision.plan):
        asked.setdefault(key, set()).update(values)
    if len(decision.curves) <= _FEW:
        for workload in decision.state.workloads:
            has, allocation = decision.plan.current.get(workload.key), workload.allocation
            if has is not None and allocation is not None:
                around = {has - allocation.step, has, has + allocation.step}
                asked.setdefault(workload.key, set()).update(around)
    return asked


def _asked(plan: Plan) -> Iterable[tuple[str, tuple[float, float]]]:
    for move in plan.moves:
        yield move.key, (move.from_, move.to)
    for found in plan.opportunities:
        for key, by in ((found.target, found.amount), (found.source, -found.source_amount)):
            if key is not None and key in plan.current:
                yield key, (plan.current[key], plan.current[key] + by)
    for other in plan.alternatives:
        yield from _asked(other)


def _workload(state: State, workload: WorkloadState) -> dict[str, Any]:
    """Without its past but for how long it was observed, and without what of its readings nobody decides by."""
    slim = replace(
        workload,
        traits=replace(workload.traits, credentials=None, options=None),
        reading=_slim(workload.reading),
        last_good=_slim(workload.last_good),
    )
    blocks = workload.blocks
    if blocks is None:
        return {**_plain(slim), "observed": None}
    lately = _hours(exposure_seconds(workload, state.now, state.spec.limits))
    return {**_plain(slim), "observed": [blocks.exposure - lately, lately]}


def _hours(seconds: float) -> float:
    """The hours that are exactly so many seconds: a limit of 2 h must be met then as it was."""
    hours = seconds / 3600
    around = (hours, float(np.nextafter(hours, 0.0)), float(np.nextafter(hours, np.inf)))
    return next((found for found in around if found * 3600 == seconds), hours)


def _slim(reading: Reading | None) -> Reading | None:
    if reading is None:
        return None
    native = reading.native
    money = Native(native.gross_per_hour, native.net_per_hour, {}, native.price_per_unit_hour)
    return changed(reading, native=money, extra={}, states=(), notes=(), balance_usd={}, node_id=None)


def _curve(curve: Curve, values: set[float] | None, arrays: list[Any]) -> dict[str, Any]:
    """Its scalars, and how its arrays lie; the arrays themselves are added to `arrays`."""
    plain = _plain(curve)
    columns = np.arange(len(curve.x)) if values is None or len(curve.replicates) == 1 else _around(curve, values)
    lie = {}
    for name in _ARRAYS:
        array = getattr(curve, name)
        if array is None:
            continue
        kept = array[:, columns] if name in _SAMPLED else array
        lie[name] = [list(kept.shape), str(array.dtype)]
        arrays.append(np.asarray(kept, np.float64))
    return {**plain, "columns_kept": columns.tolist(), "arrays": lie}


def _around(curve: Curve, values: Iterable[float]) -> Any:
    """(j,) the two breakpoints between which each value is looked up, and each that is one but for rounding."""
    x, asked = curve.x, np.array(sorted(values))
    nearest = x[np.abs(x[:, None] - asked[None, :]).argmin(axis=0)] if len(asked) else asked
    same = np.abs(nearest - asked) <= SLACK * np.maximum(np.abs(asked), np.abs(nearest))
    right = np.clip(np.searchsorted(x, np.concatenate([asked, nearest[same]])), 1, max(1, len(x) - 1))
    return np.unique(np.concatenate([right - 1, np.minimum(right, len(x) - 1)])).astype(np.intp)


# --- bytes -> what judge is given ---------------------------------------------------------------------------------


def _unpacked(data: bytes) -> tuple[list[bytes], Any]:
    """(lines of JSON, all figures)."""
    if data[:5] != _MAGIC[:5]:
        raise CannotReplay(_unreadable("it does not begin as one"))
    if data[5:6] != _MAGIC[5:]:
        raise CannotReplay(_unreadable(f"format {data[5:6].hex() or 'none'}, this one knows {VERSION}"))
    inflating = zlib.decompressobj()
    raw = inflating.decompress(data[6:], _MOST_BYTES)
    if not inflating.eof:
        raise CannotReplay(_unreadable("it has no end"))
    (size,) = _LENGTH.unpack_from(raw)
    text, shuffled = raw[_LENGTH.size : _LENGTH.size + size], raw[_LENGTH.size + size :]
    by_byte = np.frombuffer(shuffled, np.uint8).reshape(8, -1)
    return text.split(b"\n"), np.ascontiguousarray(by_byte.T).view("<f8").ravel()


class _Lines:
    """The lines of one kind after the other."""

    def __init__(self, lines: list[Any], counts: list[int]) -> None:
        if sum(counts) != len(lines):
            raise ValueError(f"{len(lines)} parts where {sum(counts)} were written")
        self._lines, self._counts = lines, counts

    def take(self, kind: int) -> list[Any]:
        first = sum(self._counts[:kind])
        return self._lines[first : first + self._counts[kind]]


def _state(about: dict[str, Any], nodes: list[Any], workloads: list[Any]) -> State:
    return State(
        **_again(
            State,
            about,
            nodes=tuple(NodeState(**_again(NodeState, node)) for node in nodes),
            workloads=tuple(_workload_again(workload, float(about["now"])) for workload in workloads),
        )
    )


def _workload_again(plain: dict[str, Any], now: float) -> WorkloadState:
    observed = plain.pop("observed")
    blocks = None if observed is None else _observed(float(observed[0]), float(observed[1]), now)
    return WorkloadState(**_again(WorkloadState, plain, blocks=blocks))


def _observed(before: float, lately: float, now: float) -> Blocks:
    """Two blocks, one of long ago and one of now, that say for how many hours a workload was observed, and nothing else."""
    nothing, none = np.zeros(2), np.zeros((2, 0), np.float32)
    unknown = np.full(2, np.nan)
    return Blocks(
        start=np.array([-np.inf, now]), span=np.array([0.0, 1.0]), hours=np.array([before, lately]),
        usd=nothing, unit_hours=nothing, rate_hours=nothing, used=unknown, used_first=unknown, used_last=unknown,
        room_hours=nothing, room_growth=nothing, levels=np.zeros(0), exact=none, censored=none,
    )  # fmt: skip


def _curves(lines: list[Any], figures: Any) -> Iterable[Curve]:
    at = 0
    for plain in lines:
        columns, lie = np.array(plain.pop("columns_kept"), np.intp), plain.pop("arrays")
        arrays: dict[str, Any] = dict.fromkeys(_ARRAYS)
        for name, (shape, dtype) in lie.items():
            size = int(np.prod(shape))
            arrays[name] = figures[at : at + size].reshape(shape).astype(dtype)
            at += size
        for name in _SAMPLED:
            if arrays[name] is not None:
                spread = np.full((len(arrays[name]), len(arrays["x"])), np.nan)
                spread[:, columns] = arrays[name]
                arrays[name] = spread
        yield Curve(**_again(Curve, plain, **arrays))
    if at != len(figures):
        raise ValueError(f"{len(figures)} figures where {at} were written")


# --- by the annotations of the model ------------------------------------------------------------------------------

_ARRAYS: Final = ("x", "y", "replicates", "unseen", "influence", "windows", "columns")
"""The fields of a Curve that are arrays."""
_SAMPLED: Final = ("replicates", "influence", "windows")
"""Those with a row for each resampled or each observed hour or window, and a column for each breakpoint."""
_PAST: Final = ("blocks", "memory")
"""What curves are made from, which are there already."""
_WORDS: Final[dict[str, Any]] = {
    "Mode": Mode, "PolicySpec": PolicySpec, "Allocation": Allocation, "Power": Power, "Watts": Watts,
    "Reading": Reading, "Traits": Traits, "F64": Any, "NDArray": list,
}  # fmt: skip
"""What model.py only names for type checkers."""


def _adapters(of: type, *without: str) -> dict[str, TypeAdapter[Any]]:
    hints = typing.get_type_hints(of, localns=_WORDS)
    return {name: TypeAdapter(hint) for name, hint in hints.items() if name not in without}


_FIELDS: Final[dict[type, dict[str, TypeAdapter[Any]]]] = {
    State: _adapters(State, "nodes", "workloads", *_PAST),
    NodeState: _adapters(NodeState),
    WorkloadState: _adapters(WorkloadState, *_PAST),
    Curve: _adapters(Curve, *_ARRAYS),
}


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass as JSON has it. Specs and traits are written in full, lest a default of tomorrow change yesterday."""
    adapters = _FIELDS[type(value)]
    return {
        name: adapter.dump_python(
            getattr(value, name), mode="json", by_alias=True, exclude_defaults=name in {"reading", "last_good"}
        )
        for name, adapter in adapters.items()
    }


def _again(of: type, plain: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """The fields of a dataclass, each read by its annotation, and those that are given. Raises CannotReplay."""
    adapters, known = _FIELDS[of], dict[str, Any](given)
    if unknown := sorted(plain.keys() - adapters.keys()):
        raise CannotReplay(_unreadable(f"{of.__name__} had {', '.join(unknown)}, which this version does not know"))
    for field in fields(of):
        if field.name in known or (field.name not in adapters and not _has_no_default(field)):
            continue
        if field.name in plain:
            known[field.name] = _read(adapters[field.name], plain[field.name], f"{of.__name__}.{field.name}")
        elif _has_no_default(field):
            raise CannotReplay(_unreadable(f"{of.__name__} had no {field.name} then"))
    return known


def _has_no_default(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _read(adapter: TypeAdapter[Any], plain: Any, where: str) -> Any:
    try:
        return adapter.validate_python(plain)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        path = ".".join(map(str, (where, *first["loc"])))
        raise CannotReplay(_unreadable(f"{path}: {first['msg']}")) from exc
