"""A JSON-RPC endpoint on loopback that replays what the real contracts answered, with the bad habits of public ones."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from exporters import collector
from exporters.collector import Workload
from exporters.nodes import Credentials, WorkloadSpec
from exporters.protocols import streamr
from exporters.protocols.streamr.abi import encode
from exporters.protocols.streamr.contracts import SELECTORS, payout_slots
from exporters.session import HttpSession

FIXTURES = Path(__file__).parents[2] / "fixtures" / "streamr"
INFO = json.loads((FIXTURES / "info.json").read_text())
RECORDED = json.loads((FIXTURES / "eth_call.json").read_text())
CALLS = {name: pair for name, pair in RECORDED["calls"].items() if "request" in pair}
ADDRESS = {name: address.lower() for name, address in RECORDED["addresses"].items()}
OPERATOR, SPONSORSHIP = ADDRESS["operator"], ADDRESS["S1"]
WEI = 10**18
NOW = 1_795_200_000
"""Of the newest block, and of the looks."""
ROLE = int("7b765e0e932d348852a6f810bfa1ab891e259123f02db8cdcde614c570223357", 16)
P = WEI // 20
"""0.05 DATA/s, as the recording's note says of S1."""
SOLVENT = int(CALLS["S1.solventUntilTimestamp"]["response"]["result"], 16)


def uint(value: int) -> str:
    return f"0x{value:064x}"


def data(amount: float) -> str:
    return uint(int(amount * 10**6) * 10**12)


class Rpc:
    """Answers by (contract, call data). Addresses without any answer have no code: `0x`."""

    def __init__(self) -> None:
        self.results: dict[tuple[str, str], Any] = {}
        self.storage: dict[tuple[str, str], str] = {}
        self.chain_id = "0x7a69"
        self.block: Any = {"timestamp": hex(NOW)}
        self.batches = True
        self.whole: web.Response | None = None
        """Instead of any answer."""
        self.error: dict[str, Any] | str | None = None
        """For every question, with HTTP 200."""
        self.posts = 0
        self.asked: list[dict[str, Any]] = []
        for pair in (pair for name, pair in CALLS.items() if "(" not in name and "result" in pair["response"]):
            call = pair["request"]["params"][0]
            if "from" not in call:
                self.results[call["to"].lower(), call["data"]] = pair["response"]["result"]
        self._add_what_was_not_recorded()

    def _add_what_was_not_recorded(self) -> None:
        """Getters whose answers follow from the recording's own note and addresses."""
        self.set(OPERATOR, "slashedIn(address)", uint(0), SPONSORSHIP)
        self.set(OPERATOR, "undelegationQueue()", CALLS["undelegationQueue(empty)"]["response"]["result"])
        self.set(OPERATOR, "owner()", "0x" + encode("", ADDRESS["owner"]))
        self.set(OPERATOR, "token()", "0x" + encode("", ADDRESS["token"]))
        self.set(OPERATOR, "streamrConfig()", "0x" + encode("", ADDRESS["config"]))
        self.set(OPERATOR, "hasRole(bytes32,address)", uint(0), ROLE, ADDRESS["node"])
        self.set(OPERATOR, "balanceOf(address)", CALLS["balanceOf(owner)"]["response"]["result"], ADDRESS["owner"])
        self.set(ADDRESS["config"], "protocolFeeFraction()", data(0.05))
        self.set(SPONSORSHIP, "streamId()", CALLS["streamId(S1)"]["response"]["result"])
        self.set(SPONSORSHIP, "operatorCount()", uint(2))
        self.set(SPONSORSHIP, "minOperatorCount()", uint(1))
        self.set(SPONSORSHIP, "getLeavePenalty(address)", uint(0), OPERATOR)
        self.set(SPONSORSHIP, "getFlag(address)", "0x" + encode("", 0, 64, 0), OPERATOR)

    def set(self, contract: str, signature: str, result: Any, *arguments: str | int) -> None:
        self.results[contract, encode(SELECTORS[signature], *arguments)] = result

    def tell_payout(self, wei_per_second: int, updated: int, left: int) -> None:
        """What the sponsorship's storage holds (StakeWeightedAllocationPolicy.sol: LocalStorage)."""
        values = {"payout": wei_per_second, "updated": updated, "left": left}
        self.storage |= {(SPONSORSHIP, slot): uint(values[name]) for name, slot in payout_slots(SPONSORSHIP).items()}

    async def handle(self, request: web.Request) -> web.Response:
        self.posts += 1
        if self.whole is not None:
            return self.whole
        asked = json.loads(await request.read())
        if isinstance(asked, list) and not self.batches:
            return web.json_response(
                {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Batch not allowed"}}
            )
        if isinstance(asked, list):  # in any order, as the specification allows
            return web.json_response([self._answer(one) for one in reversed(asked)])
        return web.json_response(self._answer(asked))

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        head = {"jsonrpc": "2.0", "id": asked["id"]}
        if self.error is not None:
            return {**head, "error": self.error}
        method, params = asked["method"], asked["params"]
        if method == "eth_chainId":
            return {**head, "result": self.chain_id}
        if method == "eth_getBlockByNumber":
            return {**head, "result": self.block}
        if method == "eth_getStorageAt":
            return {**head, "result": self.storage.get((params[0], params[1]), uint(0))}
        if method == "eth_getBalance":
            return {**head, "result": hex(WEI)}
        return head | self._call(params[0]["to"].lower(), params[0]["data"])

    def _call(self, contract: str, calldata: str) -> dict[str, Any]:
        if (contract, calldata) in self.results:
            result = self.results[contract, calldata]
            return {"error": result} if isinstance(result, dict) else {"result": result}
        if any(there == contract for there, _ in self.results):
            return {"error": {"code": 3, "message": "execution reverted", "data": "0x"}}
        return {"result": "0x"}


def an_hour_in() -> Rpc:
    """S1 of the recording, an hour after 50 000 of its 2 000 000 DATA were staked; its storage tells P."""
    rpc = Rpc()
    rpc.tell_payout(P, NOW - 3600, (SOLVENT - NOW + 3600) * P)
    return rpc


@asynccontextmanager
async def served(rpc, *, node=None, subgraph=None, credentials=None, limit="30s", **options):
    """Servers for a chain, and optionally for a node and a subgraph; a Workload that asks them, and a Session."""
    app = web.Application()
    app.router.add_post("/rpc/{key}", rpc.handle)
    if node is not None:
        app.router.add_get("/info", node)
    if subgraph is not None:
        app.router.add_post("/subgraph", subgraph)
    async with TestServer(app) as server, aiohttp.ClientSession() as client:
        url = str(server.make_url("/"))
        options = {"operator": OPERATOR, "sponsorship": SPONSORSHIP, "chainId": 31337, **options}
        options |= {"node": url} if node is not None else {}
        options |= {"subgraph": f"{url}subgraph"} if subgraph is not None else {}
        keys = Credentials(**(credentials or {}))
        spec = WorkloadSpec(
            protocol="streamr", endpoint=f"{url}rpc/key", options=options, credentials=keys, timeout=limit
        )
        yield Workload("treasury", "weather", spec, streamr.TRAITS), HttpSession(client)


async def look(rpc, *, now=NOW + 2, **how):
    """One look at a chain; its Reading."""
    async with served(rpc, **how) as (workload, session):
        reading, _ = await collector.look(streamr, session, workload, now)
    return reading


def extra(reading, name):
    samples = reading.extra.get(f"orcha_streamr_{name}")
    return samples and samples[0][1]


def said(reading, words):
    return any(words in note for note in reading.notes)


def answering(body, **how):
    """A handler that always says the same."""

    async def handle(_):
        return web.json_response(body, **how)

    return handle


def subgraph(**operator):
    """Constructed from the schema: numbers come as text, some as numbers."""
    return {
        "data": {
            "_meta": {"block": {"timestamp": NOW - 10}, "hasIndexingErrors": False},
            "operator": {
                "cumulativeEarningsWei": "812345678901234567890",
                "cumulativeOperatorsCutWei": "81234567890123456789",
            }
            | {"latestHeartbeatTimestamp": str(NOW - 3600), "slashingsCount": 0, **operator},
            "sponsorship": {"totalPayoutWeiPerSec": "50000000000000000"},
        }
    }


async def two_looks(rpc, between):
    """A look, a change of the chain, and a look five minutes later: both Readings."""
    async with served(rpc) as (workload, session):
        first, kept = await collector.look(streamr, session, workload, NOW)
        rpc.block = {"timestamp": hex(NOW + 300)}
        between()
        second, _ = await collector.look(streamr, session, workload, NOW + 300, kept)
    return first, second
