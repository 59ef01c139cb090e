"""Rows of Prometheus -> what they say of each workload: Readings, or why nothing of it can be believed. Pure.

The inverse of exporters/figures.py and of what exporters/metrics.py adds: tests/controller/observe proves that a Reading
comes back as it was, up to what metrics do not carry (docs/prometheus-source.md lists it; none of it is decided on).

Several processes may show one workload (two exporters, one that is being replaced). Each is heard on its own, never a
figure of one with a figure of another, and never their sum: of those that agree which node it is, the newest look counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from exporters.collector import possible
from exporters.errors import REASONS, Malformed, PollError, Unreachable
from exporters.figures import BITS, FIGURES, RESOURCES
from exporters.quantity import format_duration
from exporters.reading import Connection, Native, Pool, Quality, Reading

if TYPE_CHECKING:
    from controller.observe.prometheus.answers import Labels, Row
    from exporters.collector import Workload

CLOCKS: Final = 5.0
"""Seconds by which the clocks of an exporter and of this machine may differ (NTP keeps them within milliseconds). A look
counts as newer than a request only beyond that, and one that is dated further ahead is not believed."""

_P: Final = "orcha_protocol_"
FURTHER: Final[Mapping[str, tuple[str, ...]]] = {
    **{row.name: row.labels for row in FIGURES},
    f"{_P}up": (), f"{_P}last_poll_timestamp_seconds": (), f"{_P}connection_state": ("state",), f"{_P}failing": ("reason",),
}  # fmt: skip
"""Every family that is asked for -> its labels beyond node, workload and protocol."""
OF_THE_PAST: Final = tuple(
    name
    for name in FURTHER
    if name.startswith((f"{_P}allocated_", f"{_P}used_", f"{_P}earnings_", f"{_P}net_earnings_usd", f"{_P}price_"))
    or name in {f"{_P}up", f"{_P}last_reading_timestamp_seconds", f"{_P}last_poll_timestamp_seconds"}
)
"""What history is made of (controller/samples.py)."""
_OTHER: Final = f"{_P}other_controller"


def selector(families: Iterable[str], nodes: Iterable[str], matchers: str = "") -> str:
    """The PromQL that asks for these families of these nodes.

    Where a scrape gives its targets a label `node` of their own, Prometheus calls ours `exported_node` (unless
    honor_labels is set); both are asked for.
    """
    names = "|".join(family.removeprefix(_P) for family in families)
    chosen = "|".join(re.escape(node).replace("\\", "\\\\") for node in nodes)
    more = f", {matchers}" if matchers else ""
    of = f'__name__=~"{_P}({names})"'
    return f'{{{of}, node=~"{chosen}"{more}}} or {{{of}, exported_node=~"{chosen}"{more}}}'


Samples = dict[str, list[tuple[Mapping[str, str], float]]]
"""Family -> [(further labels, number)]."""


@dataclass(slots=True, eq=False)
class Voice:
    """What one process shows of one workload."""

    process: tuple[tuple[str, str], ...]
    """The labels that are not ours: whose page it was on."""
    protocol: str
    samples: Samples = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known of one workload from one answer."""

    look: Reading | None = None
    """The newest look, well or not."""
    good: Reading | None = None
    """The newest that gave figures."""
    problem: PollError | None = None
    """Why there is nothing to believe."""


def voices(rows: Iterable[Row]) -> dict[str, list[Voice]]:
    """Workload's key -> each process that shows it. Rows of families that are not ours are left out."""
    found: dict[tuple[str, str, tuple[tuple[str, str], ...]], Voice] = {}
    for labels, value in rows:
        name = labels.get("__name__", "")
        if name not in FURTHER:
            continue
        mine, process = _apart(labels, FURTHER[name])
        key = f"{mine['node']}/{mine['workload']}"
        voice = found.setdefault((key, mine["protocol"], process), Voice(process, mine["protocol"]))
        voice.samples.setdefault(name, []).append((mine, value))
    by_key: dict[str, list[Voice]] = {}
    for (key, _, _), voice in found.items():
        by_key.setdefault(key, []).append(voice)
    return by_key


def _apart(labels: Labels, further: Iterable[str]) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    """Our labels, and those of the scrape. Ours are `exported_` where the scrape has one of the same name."""
    mine, taken = {}, {"__name__"}
    for name in ("node", "workload", "protocol", *further):
        moved = f"exported_{name}"
        used = moved if moved in labels else name
        mine[name] = labels.get(used, "")
        taken.add(used)
    return mine, tuple(sorted((name, value) for name, value in labels.items() if name not in taken))


def hear(workloads: Iterable[Workload], rows: Iterable[Row], now: float) -> dict[str, Heard]:
    """What the rows say of each of these workloads, whether they say anything or not."""
    said = voices(rows)
    return {each.key: judged(each, said.get(each.key, ()), now) for each in workloads}


def judged(workload: Workload, said: Collection[Voice], now: float, *, whole: bool = True) -> Heard:
    """What counts of what several processes say of one workload. `whole`: what decisions need must be there, which history
    does without.
    """
    key = workload.key
    ours = [voice for voice in said if voice.protocol == workload.protocol and f"{_P}up" in voice.samples]
    if not ours:
        return Heard(problem=_silence(workload, said))
    try:
        heard = [_read(workload, voice, now, whole=whole) for voice in ours]
    except PollError as exc:
        return Heard(problem=exc)
    looks = [each.look for each in heard if each.look is not None]
    goods = [each.good for each in heard if each.good is not None]
    if not looks:
        return Heard(problem=Unreachable(f"{key} was not asked yet by the exporter that shows it"))
    ahead = max(each.at for each in (*looks, *goods)) - now
    if ahead > CLOCKS:
        return Heard(problem=Malformed(
            f"the newest look at {key} is dated {format_duration(ahead)} ahead of this machine's clock; "
            "set the clocks of both machines (NTP)"
        ))  # fmt: skip
    if (names := _identities(goods, now, workload.stale_after)) is not None:
        return Heard(problem=Malformed(
            f"two processes show {key}, and each another node ({names}): which one is meant cannot be told; "
            "give every node a name of its own, or choose the exporter with Settings spec.prometheus.matchers"
        ))  # fmt: skip
    return Heard(max(looks, key=_at), max(goods, key=_at, default=None))


def _at(reading: Reading) -> tuple[float, bool]:
    return reading.at, not reading.up


def _silence(workload: Workload, said: Collection[Voice]) -> PollError:
    key = workload.key
    others = sorted({voice.protocol for voice in said} - {workload.protocol})
    if others:
        return Malformed(
            f"{key} is shown as protocol {others[0]}, and is {workload.protocol} here; give both the same manifests"
        )
    return Unreachable(
        f"Prometheus shows nothing of {key}: is there an orcha-exporter with the same manifests, does Prometheus scrape it, "
        "and do spec.prometheus.matchers choose it?"
    )


def _identities(goods: Iterable[Reading], now: float, stale_after: float) -> str | None:
    """The ids, where processes whose figures are fresh disagree on which node it is."""
    found = {each.node_id for each in goods if each.node_id is not None and now - each.at <= stale_after}
    return ", ".join(sorted(found)[:2]) if len(found) > 1 else None


def _read(workload: Workload, voice: Voice, now: float, *, whole: bool) -> Heard:
    """What one process says. Raises Malformed where it leaves out what a decision needs."""
    up, at = _one(voice, "up"), _one(voice, "last_reading_timestamp_seconds")
    good = None if at is None else _figures(workload, voice, at)
    if whole and good is not None and _OTHER not in voice.samples:
        raise Malformed(
            f"{workload.key} is shown without {_OTHER}: its exporter is of an older orcha, or a rule of the scrape drops it"
        )
    if up == 1:
        return Heard(good, good)
    asked = _one(voice, "last_poll_timestamp_seconds")
    if asked is None and not whole:
        asked = now
    if up != 0 or asked is None:
        return Heard(None, good)
    return Heard(_failed(workload, voice, asked), good)


def _failed(workload: Workload, voice: Voice, at: float) -> Reading:
    said = [labels["reason"] for labels, value in voice.samples.get(f"{_P}failing", ()) if value == 1]
    reason = said[0] if said and said[0] in REASONS else "unreachable"
    return Reading(
        workload.node, workload.name, workload.protocol, at, up=False, failure=reason,
        failure_message=f"its exporter could not read it ({reason}); the exporter's log and landing page say more",
        connection=_connection(voice) or Connection.RECONNECTING,
    )  # fmt: skip


def _figures(workload: Workload, voice: Voice, at: float) -> Reading:
    """The Reading whose figures the process shows; what cannot be true is unknown, as in every look."""
    state, states = _state(voice)
    version, node_id = _facts(voice)
    rate, net = _rated(voice, "earnings_usd_per_hour"), _rated(voice, "net_earnings_usd_per_hour")
    up = _one(voice, "up") == 1
    return possible(Reading(
        workload.node, workload.name, workload.protocol, at,
        state=state, states=states, healthy=_flag(voice, "healthy"), version=version, node_id=node_id,
        quality=rate[1] or net[1], native=_native(voice), rate_usd_per_hour=rate[0], net_usd_per_hour=net[0],
        balance_usd=_by(voice, "balance_usd", "kind"),
        price_usd_per_unit_hour=_by(voice, "price_usd_per_unit_hour", "resource"),
        allocated=_amounts(voice, "allocated"), configured=_amounts(voice, "configured"), used=_amounts(voice, "used"),
        irreversible=_amounts(voice, "irreversible"), growth_per_hour=_one(voice, "growth_units_per_hour"),
        pool=_pool(voice), pool_payout_usd_per_hour=_one(voice, "pool_payout_usd_per_hour"),
        connection=(_connection(voice) if up else None) or Connection.CONNECTED,
        earning_stalled=_flag(voice, "earning_stalled"), payout_threshold_usd=_one(voice, "payout_threshold_usd"),
        payout_expected_at=_one(voice, "payout_expected_timestamp_seconds"), autonomous=_autonomous(voice),
    ))  # fmt: skip


def _all(voice: Voice, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
    """The samples that are numbers: another one is unknown."""
    return ((labels, value) for labels, value in voice.samples.get(_P + name, ()) if math.isfinite(value))


def _one(voice: Voice, name: str) -> float | None:
    return next((value for _, value in _all(voice, name)), None)


def _flag(voice: Voice, name: str) -> bool | None:
    value = _one(voice, name)
    return None if value is None else {1.0: True, 0.0: False}.get(value)


def _by(voice: Voice, name: str, label: str) -> dict[str, float]:
    return {labels[label]: value for labels, value in _all(voice, name)}


def _state(voice: Voice) -> tuple[str | None, tuple[str, ...]]:
    words = _by(voice, "state", "state")
    return next((word for word, value in words.items() if value == 1), None), tuple(sorted(words))


def _facts(voice: Voice) -> tuple[str | None, str | None]:
    labels = next((labels for labels, value in _all(voice, "info") if value == 1), {})
    return labels.get("version") or None, labels.get("node_id") or None


def _rated(voice: Voice, name: str) -> tuple[float | None, Quality | None]:
    for labels, value in _all(voice, name):
        known = labels["quality"] in {each.value for each in Quality}
        return value, Quality(labels["quality"]) if known else Quality.ESTIMATED
    return None, None


def _native(voice: Voice) -> Native:
    prices: dict[str, dict[str, float]] = {}
    for labels, value in _all(voice, "price_native_per_unit_hour"):
        prices.setdefault(labels["resource"], {})[labels["token"]] = value
    gross, net = (_by(voice, f"{name}_native_per_hour", "token") for name in ("earnings", "net_earnings"))
    return Native(gross, net, {}, prices)


def _amounts(voice: Voice, sense: str) -> dict[str, float]:
    """Resource -> base units."""
    found = _by(voice, f"{sense}_units", "resource")
    for resource, (unit, _) in RESOURCES.items():
        value = _one(voice, f"{sense}_{unit}")
        if value is not None:
            found[resource] = value * BITS if resource == "bandwidth" else value
    return found


def _pool(voice: Voice) -> Pool | None:
    others = _one(voice, "pool_others_units")
    if others is None:
        return None
    return Pool(_by(voice, "pool_payout_native_per_hour", "token"), others, _one(voice, "pool_net_share_ratio"))


def _autonomous(voice: Voice) -> str | None:
    if _one(voice, "other_controller") == 0:
        return None
    return "its exporter says so (orcha_protocol_other_controller); its landing page says which one"


def _connection(voice: Voice) -> Connection | None:
    words = [labels["state"] for labels, value in _all(voice, "connection_state") if value == 1]
    return next((each for each in Connection if words == [each.value]), None)
