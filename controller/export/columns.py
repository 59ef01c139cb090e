"""What is exported: the columns of each sort of row, in their order, with their meaning. Pure; docs/export.md shows them.

A row is a tuple in the order of its columns. Unknown is None, never 0. Times are Unix seconds here; formats.py writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

Row = tuple[Any, ...]


class Kind(StrEnum):
    """What a value is; the word is that of the documentation."""

    TIME = "time"
    TEXT = "text"
    NUMBER = "number"
    WHOLE = "whole number"
    TRUTH = "true or false"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind
    about: str


_TIME, _TEXT, _NUMBER, _WHOLE, _TRUTH, _LIST = Kind

READINGS: Final = (
    Column("at", _TIME, "when the node was looked at; of a span: when it begins"),
    Column("span_seconds", _WHOLE, "0: one look; else the row sums up so many seconds from `at` on"),
    Column("node", _TEXT, ""),
    Column("workload", _TEXT, "NODE/WORKLOAD"),
    Column("protocol", _TEXT, "of its newest reading"),
    Column("resource", _TEXT, "what `allocated` and `used` count; empty of a look that no span covers yet"),
    Column("up", _TRUTH, "of a look: whether it gave a reading; empty of a span"),
    Column("allocated", _NUMBER, "in base units; of a span: the mean over `allocated_hours`"),
    Column("used", _NUMBER, "in base units; of a span: the mean over `used_hours`"),
    Column(
        "net_usd_per_hour", _NUMBER, "after fees and cuts, before energy; of a span: the mean over `net_hours`"
    ),
    Column("observed_hours", _NUMBER, "of a span: for how long it was up, and its readings fresh"),
    Column("down_hours", _NUMBER, "of a span: for how long looks failed; nobody knows of the rest"),
    Column("allocated_hours", _NUMBER, "of a span: for how long `allocated` was known"),
    Column("used_hours", _NUMBER, "of a span: for how long `used` was known"),
    Column("net_hours", _NUMBER, "of a span: for how long the net rate was known"),
    Column("net_usd", _NUMBER, "of a span: earned in that time after fees and cuts, before energy"),
    Column("gross_usd", _NUMBER, "of a span: earned before fees, cuts and energy"),
    Column("energy_usd", _NUMBER, "of a span: what its energy cost; 0 where the manifest tells of none"),
    Column("tokens", _NUMBER, "of a span: tokens earned after fees, while use and price were known; empty: not paid in one"),
    Column("token_usd", _NUMBER, "of a span: what those tokens were worth then"),
)  # fmt: skip

DECISIONS: Final = (
    Column("at", _TIME, "when it was decided"),
    Column("policy", _TEXT, ""),
    Column("mode", _TEXT, "of the policy then"),
    Column("reason", _TEXT, "why something is done, or nothing; CamelCase, as in the metrics"),
    Column("sentence", _TEXT, "the same for people, with the numbers"),
    Column("strategy", _TEXT, ""),
    Column("solver", _TEXT, ""),
    Column("rate_now_usd_per_hour", _NUMBER, "what the split of then was expected to earn"),
    Column("gain_low_usd_per_hour", _NUMBER, "of the plan; 1 of 10 outcomes lies below"),
    Column("gain_expected_usd_per_hour", _NUMBER, ""),
    Column("gain_high_usd_per_hour", _NUMBER, "1 of 10 outcomes lies above"),
    Column("cost_usd", _NUMBER, "of moving"),
    Column("net_benefit_usd", _NUMBER, "gain over each workload's horizon, less the cost"),
    Column("confidence", _NUMBER, "0 to 1"),
    Column("horizon_seconds", _NUMBER, ""),
    Column("circuit_open", _TRUTH, "whether too many nodes were unhealthy or unread"),
    Column("ready_at", _TIME, "when there will be enough history; empty: there was, or nobody knew"),
    Column(
        "moves", _LIST,
        "workload, resource, from, to, gain_usd_per_hour, cost_usd, allowed, reason, sentence: of each move what the guard said",
    ),
    Column("left_out", _LIST, "workload, reason, sentence: who stays out of the plan, and why"),
)  # fmt: skip

PROGRAMS: Final = (
    Column("at", _TIME, "when it was proposed; of what people changed: when it was there"),
    Column("id", _TEXT, ""),
    Column("policy", _TEXT, ""),
    Column(
        "kind", _TEXT,
        "applied: orcha's own; followed: a suggestion that somebody followed; manual: by hand; empty: it never began",
    ),
    Column("cause", _TEXT, "plan, stage, rollback or release; empty of what people changed, as the rest up to `changed_at`"),
    Column("state", _TEXT, "pending, approved, running, applied, rolled_back, blocked, rejected, expired, superseded"),
    Column("sentence", _TEXT, "why it was proposed, with the numbers"),
    Column("said", _TEXT, "what its state is about"),
    Column("by", _TEXT, "who decided on it last"),
    Column("approved_by", _TEXT, "whose word let it begin"),
    Column("began_at", _TIME, "when it first ran"),
    Column("changed_at", _TIME, "when its state last changed"),
    Column("moves", _LIST, "workload, node, resource, from, to, phase (of orcha's own: how far the step has come)"),
    Column("gain_low_usd_per_hour", _NUMBER, "promised; 1 of 10 outcomes lies below"),
    Column("gain_expected_usd_per_hour", _NUMBER, ""),
    Column("gain_high_usd_per_hour", _NUMBER, "1 of 10 outcomes lies above"),
    Column("confidence", _NUMBER, "0 to 1"),
    Column("cost_usd", _NUMBER, "of moving, as promised"),
    Column("horizon_seconds", _NUMBER, "for how long the gain was promised"),
    Column("due_at", _TIME, "when it can be judged"),
    Column("judged_at", _TIME, "when it was"),
    Column("realised_low_usd_per_hour", _NUMBER, "what it brought; low and high where demand was hidden"),
    Column("realised_expected_usd_per_hour", _NUMBER, ""),
    Column("realised_high_usd_per_hour", _NUMBER, ""),
    Column("realised_usd", _NUMBER, "in all over the time judged, less what moving cost"),
    Column("within", _TRUTH, "whether that lay in what was promised"),
    Column("success", _TRUTH, "whether it brought more than it cost"),
    Column("outcome", _TEXT, "the same for people"),
)  # fmt: skip

COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = {
    "readings": READINGS,
    "decisions": DECISIONS,
    "programs": PROGRAMS,
}
