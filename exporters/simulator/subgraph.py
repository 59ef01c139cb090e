"""The subgraph of a simulated Streamr operator: GraphQL over POST (reference: streamr 1.2.3).

Traps served: errors with HTTP 200; BigInt as strings, Int as numbers; ids in lower case only; a lag behind the chain.
"""

from __future__ import annotations

import re
from typing import Any, Final

from exporters.simulator import abi
from exporters.simulator.chain import MIN_STAKE, Chain, Sponsorship
from exporters.simulator.response import Request, Response, as_json

_LAG: Final = 30.0
"""Seconds behind the chain."""


class Subgraph:
    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def answer(self, request: Request, now: float) -> Response:
        asked = request.json()
        query = asked.get("query") if request.method == "POST" and isinstance(asked, dict) else None
        if not isinstance(query, str):
            return as_json({"errors": [{"message": "bad query: no query"}]})
        variables = asked.get("variables") or {}
        operator, where = _entity_id(query, "operator", variables), _entity_id(query, "sponsorship", variables)
        one = self._chain.sponsorships.get(where or "")
        number, at = self._chain.block(now - _LAG)
        whole = {
            "_meta": {"block": {"number": number, "timestamp": int(at)}, "hasIndexingErrors": False},
            "operator": self._operator_entity(now) if operator == self._chain.operator.address.lower() else None,
            "sponsorship": self._sponsorship_entity(one) if one else None,
        }
        try:
            return as_json({"data": project(whole, selection(query))})
        except (IndexError, ValueError):
            return as_json({"errors": [{"message": "bad query: it does not parse"}]})

    def _operator_entity(self, now: float) -> dict[str, Any]:
        chain, operator = self._chain, self._chain.operator
        return {
            "id": operator.address.lower(),
            "valueWithoutEarnings": str(abi.to_wei(chain.value)),
            "dataTokenBalanceWei": str(abi.to_wei(operator.free)),
            "totalStakeInSponsorshipsWei": str(abi.to_wei(chain.staked)),
            "operatorTokenTotalSupplyWei": str(abi.to_wei(operator.all_tokens)),
            "cumulativeEarningsWei": str(abi.to_wei(operator.collected)),
            "cumulativeOperatorsCutWei": str(abi.to_wei(operator.cut_collected)),
            "cumulativeProfitsWei": str(abi.to_wei(operator.collected - operator.cut_collected)),
            "operatorsCutFraction": str(abi.to_wei(operator.cut)),
            "latestHeartbeatTimestamp": str(int(now // 86400 * 86400)) if chain.node_online else None,
            "valueUpdateTimestamp": str(int(now // 3600 * 3600)),
            "slashingsCount": 0,
            "delegatorCount": 3,
            "metadataJsonString": '{"name":"orcha-sim","redundancyFactor":1}',
            "owner": operator.owner.lower(),
            "nodes": [operator.node.lower()],
            "controllers": [operator.agent.lower()],
            "queueEntries": [
                {"amount": str(abi.to_wei(amount)), "date": str(int(since)), "delegator": {"id": who}}
                for who, amount, since in operator.queue
            ],
            "stakes": [self._stake_entity(one, now) for one in chain.sponsorships.values() if one.stake > 0],
        }

    def _stake_entity(self, one: Sponsorship, now: float) -> dict[str, Any]:
        return {
            "amountWei": str(abi.to_wei(one.stake)),
            "lockedWei": "0",
            "minimumStakeWei": str(abi.to_wei(MIN_STAKE)),
            "earningsWei": "0",
            "updateTimestamp": int(now // 86400 * 86400),
            "joinTimestamp": int(one.joined_at),
            "sponsorship": self._sponsorship_entity(one),
        }

    def _sponsorship_entity(self, one: Sponsorship) -> dict[str, Any]:
        total = one.stake + one.others(self._chain.ticked())
        return {
            "id": one.address.lower(),
            "stream": {"id": one.stream_id},
            "totalPayoutWeiPerSec": str(abi.to_wei(one.pool.payout)),
            "totalStakedWei": str(abi.to_wei(total)),
            "operatorCount": one.operators,
            "minOperators": one.min_operators,
            "maxOperators": None,
            "isRunning": one.is_running(),
            "remainingWei": str(abi.to_wei(max(0.0, one.funded_until - self._chain.origin) * one.pool.payout)),
            "projectedInsolvency": str(int(one.funded_until)),
            "minimumStakingPeriodSeconds": str(int(one.min_staking_seconds)),
            "spotAPY": str(one.pool.payout * 31536000 / (total + MIN_STAKE)),
        }


def _entity_id(query: str, entity: str, variables: dict[str, Any]) -> str | None:
    """The id that a query asks an entity of. Ids are lower case in the subgraph: another spelling finds nothing."""
    named = re.search(entity + r"\s*\(\s*id\s*:\s*(?:\$(\w+)|\"([^\"]+)\")", query)
    if named is None:
        return None
    return str(variables.get(named[1], "")) if named[1] else named[2]


_WORDS: Final = re.compile(r'\([^)]*\)|"[^"]*"|[{}]|[_A-Za-z]\w*')


def selection(query: str) -> dict[str, Any]:
    """The fields that a GraphQL query selects, as nested dicts. Arguments are dropped, fragments are not known here."""
    body = query[query.index("{") :] if "{" in query else "{}"
    stack: list[dict[str, Any]] = [{}]
    last = ""
    for word in _WORDS.findall(body):
        if word[0] in '("':
            continue
        if word == "{":
            stack.append(stack[-1].setdefault(last, {}) if last or len(stack) > 1 else stack[0])
        elif word == "}":
            stack.pop()
        else:
            last = word
            stack[-1][word] = {}
    return stack[0]


def project(value: Any, wanted: dict[str, Any]) -> Any:
    """Only what was selected, as a GraphQL server answers."""
    if isinstance(value, list):
        return [project(item, wanted) for item in value]
    if not isinstance(value, dict) or not wanted:
        return value
    return {name: project(value.get(name), inner) for name, inner in wanted.items()}
