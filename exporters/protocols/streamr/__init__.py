"""Streamr: one workload is one operator's stake in one sponsorship. What it earns is read from the chain.

`endpoint` is an Ethereum JSON-RPC URL. A node's `/info` (health, reachability) and the subgraph (lifetime figures,
heartbeat) are asked too where `options` name them; what they fail to say is absent and noted, and spoils nothing else.
Facts, formulas and traps: docs/protocols/streamr.md; reference: streamr-grass-prices 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Self, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from exporters.collector import Family, Payloads, Workload, read_key, read_secret
from exporters.documents import Path_
from exporters.errors import Malformed, PollError, TimedOut
from exporters.instructions import Instructions
from exporters.nodes import Model, WorkloadSpec
from exporters.protocols.streamr import instructing
from exporters.protocols.streamr.abi import checksummed
from exporters.protocols.streamr.contracts import first_questions, further_questions, read_stake
from exporters.protocols.streamr.figures import RESOURCE, Seen, reading
from exporters.protocols.streamr.jsonrpc import Discreet, ask
from exporters.protocols.streamr.sources import SUBGRAPH_QUERY, Failed, Fleet, NodeInfo, read_fleet, read_info
from exporters.reading import Reading
from exporters.session import Session
from exporters.traits import CurveKind, Traits

_Source = TypeVar("_Source")


def _address(text: str) -> str:
    """Lower case. A mixed-case address carries a checksum: one wrong letter is found before any money is looked for."""
    if text not in {text.lower(), "0x" + text[2:].upper()} and text != checksummed(text):
        raise ValueError(f"{text} has a wrong checksum: a letter was mistyped; copy the address again")
    return text.lower()


Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$"), AfterValidator(_address)]
_ADDRESS: Final = TypeAdapter[str](Address)


class StreamrOptions(Model):
    operator: Address
    """The Operator contract."""
    sponsorship: Address
    """The Sponsorship contract that is staked into, or may be."""
    owner: Address | None = None
    """Whose part of the earnings counts as net; default: the operator's owner, asked of the contract."""
    node: str | None = None
    """Address of a node of the fleet, with its `info` plugin on: http://HOST:7171"""
    subgraph: str | None = None
    """https://gateway.thegraph.com/api/subgraphs/id/ID"""
    chain_id: int = Field(default=137, gt=0)
    payout_per_second: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """DATA/s that the whole sponsorship pays; needed only where the chain does not tell it."""
    autostaker: bool | None = None
    """Whether Streamr's autostaker runs on the fleet; None: unknown, and a node wallet that may stake counts as yes."""
    batch: bool = True
    """One POST for all questions; an endpoint that refuses is asked one by one anyhow, after one POST in vain."""

    @model_validator(mode="after")
    def _two_contracts(self) -> Self:
        if self.operator == self.sponsorship:
            raise ValueError("operator and sponsorship are the same address; they are two contracts")
        return self


class StreamrCredentials(Model):
    rpc_url_file: str | None = None
    """Holds the whole JSON-RPC URL where it has a key in it; it is then asked in place of `endpoint`."""
    api_key_file: str | None = None
    """Of the node's HTTP interface."""
    graph_api_key_file: str | None = None


TRAITS = Traits(
    curve=CurveKind.DILUTION,
    resource=RESOURCE,
    poll_interval=300.0,
    timeout=30.0,
    verify_timeout=86400.0,  # a person signs
    settle=600.0,  # earnings follow in the same block; this is until two looks have seen them
    fees_usd=0.05,  # 0.3-0.6 M gas at 30-150 gwei are 0.01-0.09 POL
    min_allocation=5000.0,
    irreversible=True,
    singleton=True,
    horizon=72 * 3600.0,  # a stake has no daily rhythm, and a person signs: a move pays over days, until others react
    credentials=StreamrCredentials,
    options=StreamrOptions,
    keeps=("mark",),
)

_LABELS: Final[Mapping[str, tuple[str, ...]]] = {"source_up": ("source",), "source_failed": ("source", "reason")}
_HELP: Final[Mapping[str, str]] = {
    "stake_data": "Own stake that earns: staked minus slashed.",
    "others_stake_data": "Stake of all other operators in the sponsorship.",
    "payout_data_per_second": "What the sponsorship pays to all operators together while it runs and is funded.",
    "running": "1 enough operators have joined; stays 1 when the money is gone.",
    "funded": "1 the sponsorship has money left.",
    "flagged": "1 another operator flagged this stake.",
    "operators": "Operators that have joined the sponsorship.",
    "operators_required": "Operators that it needs to run.",
    "solvent_until_timestamp_seconds": "When the sponsorship's money ends.",
    "minimum_stake_data": "What this stake cannot be reduced below without leaving.",
    "new_stake_minimum_data": "What a new stake must be at least.",
    "locked_stake_data": "Stake that is locked by flags.",
    "leave_penalty_data": "What leaving now would cost.",
    "uncollected_data": "Earned in this sponsorship since the last withdrawal, before the protocol's fee.",
    "operator_uncollected_data": "The same in all sponsorships of the operator.",
    "earnings_limit_data": "Uncollected earnings above which anyone may withdraw them and keep a quarter.",
    "earnings_headroom_data": "What is left up to that limit; negative when it is exceeded.",
    "operator_value_data": "The operator's stake and free tokens, without uncollected earnings.",
    "free_data": "Tokens of the operator that are staked nowhere.",
    "queue_empty": "0 delegators wait to be paid out: staking is refused, freed stake goes to them first.",
    "queue_data": "What they wait for.",
    "operator_cut_ratio": "The owner's cut of what is left after the protocol's fee.",
    "owner_share_ratio": "The owner's share of the operator tokens.",
    "protocol_fee_ratio": "The protocol's part of earnings.",
    "fleet_nodes": "Nodes that the operator contract names.",
    "agent_nodes": "Those whose wallet may stake, which Streamr's autostaker needs.",
    "least_node_gas_tokens": "The least that a node wallet has of the chain's own token (POL), which its transactions cost.",
    "block_timestamp_seconds": "Time of the newest block that the endpoint knows.",
    "source_up": "1 the node's /info or the subgraph gave its answer, 0 it did not.",
    "source_failed": "1 it gave none, for this reason.",
    "node_reachable": "1 the node accepts incoming connections.",
    "node_connections": "Open peer-to-peer connections of the node.",
    "node_neighbors": "Neighbours of the node in the control layer.",
    "node_stream_parts": "Stream partitions that the node serves.",
    "node_stream_parts_of_sponsorship": "Those of the sponsorship's own stream.",
    "node_thin_stream_parts": "Those with fewer than four neighbours.",
    "heartbeat_timestamp_seconds": "When the fleet's leader last wrote a heartbeat to the chain.",
    "collected_data": "Withdrawn by the operator in its life, all sponsorships, net of the protocol's fee.",
    "collected_cut_data": "The owner's cut of that, paid in operator tokens.",
    "slashings": "How often the operator was slashed.",
    "subgraph_block_timestamp_seconds": "Time of the newest block that the subgraph knows.",
}
FAMILIES: dict[str, Family] = {
    f"orcha_streamr_{name}": Family(text, labels=_LABELS.get(name, ())) for name, text in _HELP.items()
}


async def fetch(session: Session, workload: Workload) -> Payloads:
    """Two rounds of questions to the chain, then the node and the subgraph where there are any. Raises PollError for the
    chain only: the money stands there.
    """
    options, keys = options_of(workload), _credentials(workload)
    quiet = Discreet(session)
    url = read_secret(keys.rpc_url_file) if keys.rpc_url_file else workload.endpoint
    answers = await ask(quiet, url, first_questions(options.operator, options.sponsorship), batch=options.batch)
    more = further_questions(options.operator, answers, options.owner)
    answers |= await ask(quiet, url, more, batch=options.batch)
    stake = read_stake(answers, options.operator, options.sponsorship, options.chain_id)
    patience = workload.timeout / 3
    node, fleet = await asyncio.gather(
        _unless_failed(_info(quiet, options, keys), patience), _unless_failed(_fleet(quiet, options, keys), patience)
    )
    return Payloads({"stake": stake, "mark": stake.mark, "node": node, "fleet": fleet}, at=0.0)


def parse(payloads: Payloads, workload: Workload, now: float) -> Reading:
    """One stake as a Reading, money in DATA. Where nothing tells the payout P yet, the rate is unknown, not 0."""
    options = options_of(workload)
    before = payloads.previous.get("mark") if payloads.previous else None
    seen = Seen(
        payloads["stake"],
        payloads.get("node"),
        payloads.get("fleet"),
        before,
        options.payout_per_second,
        options.autostaker,
    )
    return reading(seen, workload.node, workload.name, now)


async def instruct(session: Session, workload: Workload, amounts: Mapping[str, float], now: float) -> Instructions:
    """What to sign so that the stake becomes `amounts`, tried out on the chain (`instructing`). Raises PollError."""
    place = _place(workload)
    try:
        async with asyncio.timeout(workload.timeout):
            return await instructing.instruct(Discreet(session), place, amounts, now)
    except TimeoutError as exc:
        raise TimedOut(f"the chain did not answer for {workload.key} within {workload.timeout:.0f} s") from exc


def _place(workload: Workload) -> instructing.Place:
    options, keys, allocation = options_of(workload), _credentials(workload), workload.allocation
    try:
        signer = _signer(workload.spec)
    except ValidationError as exc:
        raise Malformed(f"actuator.handout.signer of {workload.key} is no address of a wallet") from exc
    return instructing.Place(
        workload.key,
        read_secret(keys.rpc_url_file) if keys.rpc_url_file else workload.endpoint,
        options.operator,
        options.sponsorship,
        options.chain_id,
        options.owner,
        signer,
        options.autostaker,
        allocation is not None and allocation.min == 0,
        options.batch,
    )


def check(spec: WorkloadSpec) -> Iterator[tuple[Path_, str]]:
    """What is wrong with a workload of this protocol beyond its options: (path below the workload, sentence)."""
    try:
        _signer(spec)
    except ValidationError as exc:
        said = exc.errors()[0]["msg"].removeprefix("Value error, ")
        yield ("actuator", "handout", "signer"), f"{said}; write the address of a wallet, in quotes"


def _signer(spec: WorkloadSpec) -> str | None:
    """In lower case. Raises ValidationError for what is no address."""
    handout = spec.actuator and spec.actuator.handout
    return None if not handout or handout.signer is None else _ADDRESS.validate_python(handout.signer)


def options_of(workload: Workload) -> StreamrOptions:
    """Raises Malformed for options that the manifests' own check would have refused."""
    try:
        return _options(tuple(sorted(workload.spec.options.items())))
    except (ValidationError, TypeError) as exc:
        raise Malformed(f"the options of {workload.key} are not those of a streamr workload: {_first(exc)}") from exc


@lru_cache(maxsize=16384)
def _options(items: tuple[tuple[str, Any], ...]) -> StreamrOptions:
    return StreamrOptions.model_validate(dict(items))


def _first(exc: ValidationError | TypeError) -> str:
    if isinstance(exc, TypeError):
        return "every value is one word or number"
    error = exc.errors()[0]
    return f"{'.'.join(str(part) for part in error['loc']) or 'options'}: {error['msg']}"


def _credentials(workload: Workload) -> StreamrCredentials:
    try:
        return StreamrCredentials.model_validate(workload.spec.credentials.model_extra or {})
    except ValidationError as exc:
        raise Malformed(
            f"the credentials of {workload.key} are not those of a streamr workload: {_first(exc)}"
        ) from exc


async def _info(session: Session, options: StreamrOptions, keys: StreamrCredentials) -> NodeInfo | None:
    if options.node is None:
        return None
    headers = {"Authorization": f"bearer {read_key(keys.api_key_file)}"} if keys.api_key_file else {}
    answer = await session.request("GET", f"{options.node.rstrip('/').removesuffix('/info')}/info", headers=headers)
    return read_info(answer.json())


async def _fleet(session: Session, options: StreamrOptions, keys: StreamrCredentials) -> Fleet | None:
    if options.subgraph is None:
        return None
    headers = {"Authorization": f"Bearer {read_key(keys.graph_api_key_file)}"} if keys.graph_api_key_file else {}
    query = {"query": SUBGRAPH_QUERY, "variables": {"operator": options.operator, "sponsorship": options.sponsorship}}
    return read_fleet((await session.request("POST", options.subgraph, headers=headers, json=query)).json())


async def _unless_failed(source: Coroutine[Any, Any, _Source], patience: float) -> _Source | Failed:
    """What a source beside the chain gave, or why it gave nothing: it must not take the chain's figures with it."""
    try:
        async with asyncio.timeout(patience):
            return await source
    except PollError as exc:
        return Failed(exc.reason, str(exc))
    except TimeoutError:
        return Failed("timeout", f"no answer within {patience:.0f} s")
