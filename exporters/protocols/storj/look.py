"""One look at a storagenode, read: which parts there were, and a sentence for each that there was not. Pure.

Only /api/sno/ must be readable. Anything else may be missing without spoiling the rest: one satellite's page, the
estimates, the pay stubs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from exporters.answers import shaped, shaped_list
from exporters.errors import Malformed
from exporters.protocols.storj.shapes import Detail, Estimate, Listed, Stub, Summary, Usage

MAX_SATELLITES: Final = 64
"""There are four, and were six. A node that lists more than this lies."""
_ID: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{40,60}")
_HOST: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9.-]{0,60})(?::\d{1,5})?")
_PERIOD: Final = re.compile(r"20\d\d-(0[1-9]|1[0-2])")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failed:
    """Why one of the pages could not be had."""

    reason: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Satellite:
    listed: Listed
    name: str
    """Its host, "us1.storj.io"; its id where that is none, or not its alone."""
    detail: Detail | None
    """None: its page could not be had."""
    estimate: Estimate | None

    @property
    def pays(self) -> bool:
        """A disqualification is for good; what is stored for that satellite is not paid any more."""
        return not self.listed.disqualified


@dataclass(frozen=True, slots=True)
class Look:
    summary: Summary
    satellites: tuple[Satellite, ...]
    usage: Usage | None
    """Over all satellites."""
    estimate: Estimate | None
    """Over all satellites that pay."""
    stubs: tuple[Stub, ...] | None
    """None: they could not be had; (): there are none."""
    notes: tuple[str, ...]

    @property
    def paying(self) -> tuple[Satellite, ...]:
        return tuple(satellite for satellite in self.satellites if satellite.pays)


@dataclass(slots=True)
class _Reader:
    notes: list[str] = field(default_factory=list)

    def take(self, body: Any, what: str, read: Callable[[Any, str], T]) -> T | None:
        """`body` read, or None and a note where it failed or is of another shape."""
        if isinstance(body, Failed):
            self.notes.append(f"{what} could not be had: {body.sentence}")
            return None
        try:
            return read(body, what)
        except Malformed as exc:
            self.notes.append(f"{exc}; taken as unknown")
            return None


def read_summary(body: Any) -> Summary:
    """/api/sno/. Raises Malformed."""
    summary = shaped(Summary, body, "/api/sno/")
    if len(summary.satellites) > MAX_SATELLITES:
        raise Malformed(f"/api/sno/ lists {len(summary.satellites)} satellites, which cannot be")
    return summary


def is_satellite_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def address_of(listed: Listed) -> str:
    """Host and port; empty where it is another text, which must not become a label."""
    return listed.url if listed.url is not None and _HOST.fullmatch(listed.url) else ""


def range_of(periods: Any) -> tuple[str, str] | None:
    """The first and last month with pay stubs, from /api/heldamount/periods; None where there are none."""
    known = (
        sorted(one for one in periods if isinstance(one, str) and _PERIOD.fullmatch(one))
        if isinstance(periods, list)
        else []
    )
    return (known[0], known[-1]) if known else None


def read_look(bodies: Mapping[str, Any]) -> Look:
    """All pages of one look, as protocols/storj.fetch named them. Raises Malformed where /api/sno/ is none."""
    summary, reader = read_summary(bodies["node"]), _Reader()
    names = _names(summary.satellites)
    details, estimates = bodies["details"], bodies["estimates"]
    satellites = tuple(
        Satellite(
            listed,
            names[listed.id],
            reader.take(details.get(listed.id), f"satellite {names[listed.id]}", _detail_of(listed.id)),
            None
            if listed.disqualified
            else reader.take(estimates.get(listed.id), f"the estimate for {names[listed.id]}", _estimate),
        )
        for listed in summary.satellites
    )
    return Look(
        summary,
        satellites,
        reader.take(bodies["usage"], "the usage over all satellites", lambda body, what: shaped(Usage, body, what)),
        reader.take(bodies["estimate"], "the estimate over all satellites", _estimate),
        reader.take(bodies["stubs"], "the pay stubs", lambda body, what: shaped_list(Stub, body, what)),
        tuple(reader.notes),
    )


def _detail_of(asked: str) -> Callable[[Any, str], Detail]:
    def read(body: Any, what: str) -> Detail:
        detail = shaped(Detail, body, what)
        if detail.id != asked:
            raise Malformed(f"{what} answers for another satellite")
        return detail

    return read


def _estimate(body: Any, what: str) -> Estimate:
    return shaped(Estimate, body, what)


def _names(listed: tuple[Listed, ...]) -> dict[str, str]:
    hosts = {one.id: found[1] for one in listed if (found := _HOST.fullmatch(one.url or ""))}
    shared = Counter(hosts.values())
    return {one.id: hosts[one.id] if shared[hosts.get(one.id, "")] == 1 else one.id[:60] for one in listed}
