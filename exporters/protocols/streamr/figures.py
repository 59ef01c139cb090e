"""From what was seen of one stake to its Reading: rates, state, health, and what is worth saying. Pure.

Model (checked against the real contracts, reference: streamr-grass-prices 1.4): R = P x / (O + x) while enough operators
have joined and money is left; the owner has (1 - fee) R (c + (1 - c) f) of it in hand, c his cut, f his share of the
operator tokens. Worked: P = 0.05 DATA/s, x = 50 000, O = 1 950 000 credit 4.5 DATA in an hour; with a fee of 5 %,
c = 0.1 and f = 0.4 the owner has 1.9665 of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from exporters.protocols.streamr.contracts import NEVER, WEI, Mark, Stake
from exporters.protocols.streamr.sources import Failed, Fleet, NodeInfo
from exporters.quantity import format_duration
from exporters.reading import Native, Pool, Quality, Reading

TOKEN: Final = "DATA"  # noqa: S105 a token that is money, no secret
RESOURCE: Final = "stake/DATA"
STATES: Final = ("running", "not_running", "unfunded", "flagged", "not_staked")
STALE_BLOCK: Final = 180.0
"""Seconds: blocks come every 2; an endpoint further behind tells the past."""
STALE_HEARTBEAT: Final = 26 * 3600.0
"""Seconds: the fleet's leader writes one to the chain at least every 24 h, and looks every 10 min whether it is due."""
STALE_INDEX: Final = 1800.0
DEFAULT_FEE: Final = 0.05
"""The protocol's part of earnings, where its configuration contract could not be asked (SIP-20)."""
LOW_GAS: Final = 0.1
"""Tokens of the chain (POL) in a node wallet: some ten transactions."""
SHORTEST: Final = 30.0
"""Seconds between two looks from which on a difference tells a rate: blocks are 2 s apart."""
SAME_POOL: Final = 0.02
"""Change of the whole stake between two looks up to which they are compared."""
AGREES: Final = 0.02
DISAGREES: Final = 0.05


class Told(StrEnum):
    """Who told the payout P, best first."""

    CHAIN = "the sponsorship's own storage"
    SUBGRAPH = "the subgraph"
    OPTIONS = "options.payoutPerSecond"
    LOOKS = "what was credited between two looks"


@dataclass(frozen=True, slots=True)
class Seen:
    stake: Stake
    node: NodeInfo | Failed | None
    """None: there is none to ask."""
    fleet: Fleet | Failed | None
    before: Mark | None
    """Of the last look that gave a Reading."""
    given_payout: float | None
    """DATA/s, as the owner wrote it."""
    autostaker: bool | None
    """As the owner wrote it."""


def data(wei: int) -> float:
    return wei / WEI


def credited_per_hour(now: Stake, before: Mark | None) -> float | None:
    """DATA per hour between two looks; None where they cannot be compared: another stake, another pool (others move
    theirs all the time, a little), not earning at both, too close together, or fewer uncollected earnings than before.
    That was a withdrawal (hourly, by the node itself), no loss.
    """
    if before is None or not (now.earning and before.earning) or now.stake != before.stake:
        return None
    if abs(now.total - before.total) > SAME_POOL * now.total:
        return None
    if now.at - before.at < SHORTEST or now.uncollected < before.uncollected:
        return None
    return data(now.uncollected - before.uncollected) / (now.at - before.at) * 3600


def payout(seen: Seen) -> tuple[float, Told] | None:
    """P in DATA/s for the whole sponsorship, fixed for its life, and who told it; None: nobody has yet."""
    stake, fleet = seen.stake, seen.fleet
    if stake.payout:
        return data(stake.payout), Told.CHAIN
    if isinstance(fleet, Fleet) and fleet.payout:
        return data(fleet.payout), Told.SUBGRAPH
    if seen.given_payout:
        return seen.given_payout, Told.OPTIONS
    credited = credited_per_hour(stake, seen.before)
    if not credited or not stake.stake or seen.before is None:
        return None
    mean_total = (stake.total + seen.before.total) / 2
    return credited / 3600 * mean_total / stake.stake, Told.LOOKS


def gross_per_hour(stake: Stake, payout_per_second: float | None) -> float | None:
    """DATA per hour, before the protocol's fee; None: P is not known."""
    if not stake.earning or not stake.stake:
        return 0.0
    return None if payout_per_second is None else payout_per_second * stake.stake / (stake.others + stake.stake) * 3600


def owner_part(stake: Stake) -> float | None:
    """What of the gross rate the owner has in hand, 0..1; None where the cut or his share is not known, or cannot be."""
    share = owner_share(stake)
    if stake.cut is None or share is None:
        return None
    cut, fee = data(stake.cut), DEFAULT_FEE if stake.fee is None else data(stake.fee)
    if max(cut, fee, share) > 1:
        return None
    return (1 - fee) * (cut + (1 - cut) * share)


def owner_share(stake: Stake) -> float | None:
    """His fraction of the operator tokens."""
    return stake.owner_tokens / stake.supply if stake.supply and stake.owner_tokens is not None else None


def runs_with_us(stake: Stake) -> bool:
    """It pays, or would as soon as we join."""
    if stake.stake or stake.running:
        return stake.earning
    return (
        stake.funded
        and None not in {stake.operators, stake.min_operators}
        and (stake.operators or 0) + 1 >= (stake.min_operators or 0)
    )


def state(stake: Stake) -> str:
    if stake.flagged:
        return "flagged"
    if not stake.stake:
        return "not_staked"
    if not stake.running:
        return "not_running"
    return "running" if stake.funded else "unfunded"


def reading(seen: Seen, node: str, workload: str, now: float) -> Reading:
    """`now`: Unix seconds, ours."""
    stake, told = seen.stake, payout(seen)
    gross = gross_per_hour(stake, told and told[0])
    troubles = tuple(_troubles(seen, now))
    unsure = isinstance(seen.node, Failed) or isinstance(seen.fleet, Failed)
    return Reading(
        node,
        workload,
        "streamr",
        now,
        state=state(stake),
        states=STATES,
        healthy=False if troubles else None if unsure else True,
        version=None if stake.contract_version is None else f"operator contract {stake.contract_version}",
        node_id=seen.node.node_id if isinstance(seen.node, NodeInfo) else None,
        quality=_quality(seen, gross, told),
        native=_native(seen, gross),
        allocated={RESOURCE: data(stake.stake)},
        irreversible=_irreversible(stake),
        pool=_pool(stake, told),
        autonomous=_autonomous(seen),
        notes=(*troubles, *_remarks(seen, told, gross, now)),
        extra=_extra(seen, told),
    )


def _quality(seen: Seen, gross: float | None, told: tuple[float, Told] | None) -> Quality | None:
    if gross is None:
        return None
    credited = credited_per_hour(seen.stake, seen.before)
    if credited is not None and abs(credited - gross) <= AGREES * gross:
        return Quality.MEASURED
    return Quality.ASSUMED if gross and told and told[1] is Told.OPTIONS else Quality.ESTIMATED


def _native(seen: Seen, gross: float | None) -> Native:
    stake, part = seen.stake, owner_part(seen.stake)
    balance = {"accrued": {TOKEN: data(stake.uncollected)}}
    if stake.locked is not None and stake.penalty is not None:
        balance["at_risk"] = {TOKEN: data(min(stake.stake, stake.locked + stake.penalty))}
    # Lifetime figures are the operator's: with several stakes each workload would count them again.
    if isinstance(seen.fleet, Fleet) and seen.fleet.collected is not None and stake.stake and stake.sponsorships == 1:
        balance["paid"] = {TOKEN: data(seen.fleet.collected)}
    net = 0.0 if gross == 0 else None if gross is None or part is None else gross * part
    return Native(
        {} if gross is None else {TOKEN: gross},
        {} if net is None else {TOKEN: net},  # None would say: the same as gross
        balance,
    )


def _pool(stake: Stake, told: tuple[float, Told] | None) -> Pool | None:
    if not runs_with_us(stake):
        return Pool({TOKEN: 0.0}, data(stake.others), owner_part(stake))
    return None if told is None else Pool({TOKEN: told[0] * 3600}, data(stake.others), owner_part(stake))


def _irreversible(stake: Stake) -> dict[str, float]:
    """What no move may go below: staying in needs the minimum, which flags raise to what they lock."""
    if not stake.stake:
        return {RESOURCE: 0.0}
    floors = [floor for floor in (stake.minimum, stake.locked) if floor is not None]
    return {RESOURCE: data(min(stake.stake, max(floors)))} if floors else {}


def _autonomous(seen: Seen) -> str | None:
    """Streamr's autostaker changes stakes back within the hour. Only the fleet's heartbeats say whether it is on, and
    those are in a stream; but it cannot work unless a node's wallet may stake, which the contract tells.
    """
    if seen.autostaker:
        return "options.autostaker says that Streamr's autostaker runs on the fleet; it changes stakes every hour"
    if seen.autostaker is None and seen.stake.agents:
        return (
            f"{seen.stake.agents} node wallet(s) may stake, so Streamr's autostaker may be on; "
            "switch it off and write options.autostaker: false"
        )
    return None


def _troubles(seen: Seen, now: float) -> Iterator[str]:
    """Why it is not well, or cannot earn."""
    age = now - seen.stake.at
    if abs(age) > STALE_BLOCK:
        words = f"{format_duration(abs(age))} {'old' if age > 0 else 'ahead of our clock'}"
        yield f"the endpoint's newest block is {words}; its figures are not of now: use another endpoint, or check the clock"
    yield from _stake_troubles(seen.stake)
    yield from _fleet_troubles(seen, now)


def _stake_troubles(stake: Stake) -> Iterator[str]:
    if stake.flagged:
        yield "another operator flagged this stake: be reachable for the review, or 1 % of the stake is lost"
    if stake.funded and not stake.running and not runs_with_us(stake):
        joined, needed = _number(stake.operators), _number(stake.min_operators)
        yield f"the sponsorship does not run: {joined} of {needed} operators that it needs have joined"
    if not stake.funded:
        yield f"the sponsorship's money ended{_since(stake)}: nothing is earned until somebody adds some"


def _fleet_troubles(seen: Seen, now: float) -> Iterator[str]:
    node, fleet = seen.node, seen.fleet
    if isinstance(node, Failed) and node.reason in {"unreachable", "timeout"}:
        yield f"the node does not answer /info: {node.message}"
    if isinstance(node, NodeInfo) and not node.reachable:
        yield "the node accepts no incoming connections: open its websocket port (32200), or a flag will cost 1 % of the stake"
    if isinstance(node, NodeInfo) and 0 in {node.connections, node.neighbors}:
        yield "the node is isolated: it has no neighbours"
    if isinstance(fleet, Fleet) and fleet.heartbeat_at is not None and now - fleet.heartbeat_at > STALE_HEARTBEAT:
        yield f"the fleet's last heartbeat on the chain is {format_duration(now - fleet.heartbeat_at)} old: no node of it seems to run"


def _remarks(seen: Seen, told: tuple[float, Told] | None, gross: float | None, now: float) -> Iterator[str]:
    """What is odd, but does not say that it is unwell."""
    stake = seen.stake
    yield from _payout_remarks(seen, told, gross)
    if stake.queue_empty is False:
        yield "delegators wait to be paid out: the contract refuses to stake more, and freed stake goes to them first"
    share = owner_share(stake)
    if share is not None and stake.least_share is not None and share <= data(stake.least_share):
        least = f"{data(stake.least_share):.0%}"
        yield f"the owner holds {share:.1%} of the operator tokens: not above {least}, so the contract refuses to stake more"
    if stake.gas is not None and data(stake.gas) < LOW_GAS:
        yield f"a node wallet has {data(stake.gas):.3g} POL left: heartbeats, votes and withdrawals end with it; send it some"
    if stake.uncollected_all > stake.earnings_limit:
        yield "uncollected earnings exceed the limit: anyone may withdraw them now and keep a quarter; withdraw them"
    for name, source in (("/info", seen.node), ("the subgraph", seen.fleet)):
        if isinstance(source, Failed) and not (source is seen.node and source.reason in {"unreachable", "timeout"}):
            yield f"{name} gave nothing: {source.message}"
    if isinstance(seen.fleet, Fleet) and seen.fleet.broken:
        yield "the subgraph reports indexing errors: its lifetime figures may be wrong"
    if isinstance(seen.fleet, Fleet) and seen.fleet.block_at is not None and now - seen.fleet.block_at > STALE_INDEX:
        yield f"the subgraph is {format_duration(now - seen.fleet.block_at)} behind"
    if (
        isinstance(seen.node, NodeInfo)
        and stake.nodes == 1
        and stake.stake
        and stake.stream
        and not seen.node.serves(stake.stream)
    ):
        yield "the only node of the fleet does not serve the sponsorship's stream: others may flag it"


def _payout_remarks(seen: Seen, told: tuple[float, Told] | None, gross: float | None) -> Iterator[str]:
    if told is None:
        yield (
            "the sponsorship's payout is not known yet: it takes two looks without a withdrawal or a change of stake between, "
            "a subgraph, or options.payoutPerSecond"
        )
        return
    value, who = told
    if who is Told.LOOKS:
        yield f"the sponsorship's payout follows from two looks: {value:.6g} DATA/s; write options.payoutPerSecond to keep it"
    if who is not Told.OPTIONS and seen.given_payout and abs(seen.given_payout - value) > AGREES * value:
        yield f"options.payoutPerSecond is {seen.given_payout:g}, but {who} says {value:.6g}, which is used"
    credited = credited_per_hour(seen.stake, seen.before)
    if credited is not None and gross and abs(credited - gross) > DISAGREES * gross:
        yield f"{credited:.4g} DATA/h were credited since the last look where the formula gives {gross:.4g}"


def _since(stake: Stake) -> str:
    ended = stake.solvent_until
    return f" {format_duration(stake.at - ended)} ago" if ended is not None and 0 < ended < stake.at else ""


def _number(count: int | None) -> str:
    return "?" if count is None else str(count)


Samples = tuple[tuple[Mapping[str, str], float], ...]


def _extra(seen: Seen, told: tuple[float, Told] | None) -> dict[str, Samples]:
    figures: dict[str, float | None] = {**_stake_figures(seen.stake), "payout_data_per_second": told and told[0]}
    if isinstance(seen.node, NodeInfo):
        figures |= _node_figures(seen.node, seen.stake.stream)
    if isinstance(seen.fleet, Fleet):
        figures |= _fleet_figures(seen.fleet)
    extra: dict[str, Samples] = {
        f"orcha_streamr_{name}": (({}, float(x)),) for name, x in figures.items() if x is not None
    }
    sources = {name: source for name, source in (("node", seen.node), ("subgraph", seen.fleet)) if source is not None}
    failed = {name: source for name, source in sources.items() if isinstance(source, Failed)}
    if sources:
        extra["orcha_streamr_source_up"] = tuple(({"source": name}, float(name not in failed)) for name in sources)
    if failed:
        extra["orcha_streamr_source_failed"] = tuple(
            ({"source": name, "reason": why.reason}, 1.0) for name, why in failed.items()
        )
    return extra


def _stake_figures(stake: Stake) -> dict[str, float | None]:
    amounts = {
        "stake_data": stake.stake,
        "others_stake_data": stake.others,
        "minimum_stake_data": stake.minimum,
        "new_stake_minimum_data": stake.new_minimum,
        "locked_stake_data": stake.locked,
        "leave_penalty_data": stake.penalty,
        "uncollected_data": stake.uncollected,
        "operator_uncollected_data": stake.uncollected_all,
        "earnings_limit_data": stake.earnings_limit,
        "earnings_headroom_data": stake.earnings_limit - stake.uncollected_all,
        "operator_value_data": stake.value,
        "free_data": stake.free,
        "queue_data": stake.queue,
        "least_node_gas_tokens": stake.gas,
        "operator_cut_ratio": stake.cut,
        "protocol_fee_ratio": stake.fee,
    }
    return {name: None if wei is None else data(wei) for name, wei in amounts.items()} | {
        "running": stake.running,
        "funded": stake.funded,
        "flagged": stake.flagged,
        "operators": stake.operators,
        "operators_required": stake.min_operators,
        "solvent_until_timestamp_seconds": None if (stake.solvent_until or NEVER) >= NEVER else stake.solvent_until,
        "queue_empty": stake.queue_empty,
        "owner_share_ratio": owner_share(stake),
        "fleet_nodes": stake.nodes,
        "agent_nodes": stake.agents,
        "block_timestamp_seconds": stake.at,
    }


def _node_figures(node: NodeInfo, stream: str | None) -> dict[str, float | None]:
    return {
        "node_reachable": node.reachable,
        "node_connections": node.connections,
        "node_neighbors": node.neighbors,
        "node_stream_parts": len(node.parts),
        "node_stream_parts_of_sponsorship": None if stream is None else node.serves(stream),
        "node_thin_stream_parts": node.thin,
    }


def _fleet_figures(fleet: Fleet) -> dict[str, float | None]:
    return {
        "heartbeat_timestamp_seconds": fleet.heartbeat_at,
        "collected_data": None if fleet.collected is None else data(fleet.collected),
        "collected_cut_data": None if fleet.collected_cut is None else data(fleet.collected_cut),
        "slashings": fleet.slashings,
        "subgraph_block_timestamp_seconds": fleet.block_at,
    }
