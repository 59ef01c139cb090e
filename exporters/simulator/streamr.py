"""The two addresses of a Streamr operator: a JSON-RPC endpoint of its chain, and the node's /info (reference: streamr 1.1, 1.2).

Traps served: `0x` and no error for an address without code; errors inside HTTP 200; custom errors of the contracts for a
move that would be refused; `isRunning` true while there is no money; a stale `remainingWei`; earnings that fall to zero
at each withdrawal; payout rates that only the subgraph knows; BigInt as strings there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from exporters.simulator import abi
from exporters.simulator.chain import Chain, Revert, Sponsorship
from exporters.simulator.contracts import contracts_of
from exporters.simulator.provider import hex_id
from exporters.simulator.response import Request, Response, as_json, as_text
from exporters.simulator.subgraph import Subgraph

CHAIN_ID: Final = "0x89"


class Rpc:
    """The chain's JSON-RPC endpoint: one request or a batch; and its subgraph at /subgraphs/..."""

    def __init__(self, chain: Chain, *, stale: float = 0.0) -> None:
        self.chain = chain
        self.stale = stale
        """Seconds by which its newest block lags: a lagging RPC is a known nuisance."""
        self._contracts = contracts_of(chain)
        self._graph = Subgraph(chain)
        self._methods: dict[str, Callable[[list[Any], float], Any]] = {
            "eth_chainId": lambda _params, _now: CHAIN_ID,
            "net_version": lambda _params, _now: str(int(CHAIN_ID, 16)),
            "eth_blockNumber": lambda _params, now: hex(self.chain.block(now - self.stale)[0]),
            "eth_getBlockByNumber": self._block,
            "eth_call": self._call,
            "eth_sendTransaction": self._send,
        }

    def listening(self, _now: float) -> bool:
        return True

    def answer(self, request: Request, now: float) -> Response:
        if request.path.startswith("/subgraphs/"):
            return self._graph.answer(request, now)
        if request.method != "POST":
            return as_text("405 Method Not Allowed", 405)
        asked = request.json()
        if isinstance(asked, list):
            if not asked:
                return as_json(_failure(None, -32600, "empty batch"))
            return as_json([self._one(item, now) for item in asked])
        return as_json(self._one(asked, now))

    def _one(self, asked: Any, now: float) -> dict[str, Any]:
        if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
            return _failure(None, -32700, "parse error")
        number = asked.get("id")
        method = self._methods.get(asked["method"])
        if method is None:
            return _failure(number, -32601, f"the method {asked['method']} does not exist/is not available")
        try:
            return {"jsonrpc": "2.0", "id": number, "result": method(asked.get("params") or [], now)}
        except Revert as revert:
            return _failure(number, 3, "execution reverted", revert.data)
        except (IndexError, KeyError, TypeError, ValueError):
            return _failure(number, -32602, "invalid argument")

    # Methods

    def _block(self, _params: list[Any], now: float) -> dict[str, Any]:
        number, at = self.chain.block(now - self.stale)
        block = {"number": hex(number), "timestamp": hex(int(at)), "hash": "0x" + hex_id("block", number)}
        return block | {"parentHash": "0x" + hex_id("block", number - 1), "gasUsed": "0xe4e1c0", "transactions": []}

    def _call(self, params: list[Any], _now: float) -> str:
        data = str(params[0].get("data") or params[0].get("input") or "0x").lower()
        contract = self._contracts.get(str(params[0]["to"]).lower())
        if contract is None:
            return "0x"
        function = contract.get(data[:10])
        if function is None:
            raise Revert("0x")
        return "0x" + function(data, params[0].get("from"))

    def _send(self, params: list[Any], now: float) -> str:
        """As a development chain does for its unlocked accounts; a public RPC would want it signed."""
        self._call(params, now)
        chain, data, sender = self.chain, str(params[0]["data"]).lower(), params[0].get("from")
        chain.allow(sender)
        match data[:10]:
            case "0xadc9772e":
                chain.stake(abi.address_argument(data, 0), abi.argument(data, 1) / abi.WEI)
            case "0xd1b68611":
                chain.reduce(abi.address_argument(data, 0), abi.argument(data, 1) / abi.WEI)
            case "0xf2888dbb":
                chain.unstake(abi.address_argument(data, 0))
            case "0xe8e658b4":
                chain.withdraw()
            case _:
                raise Revert("0x")
        return "0x" + hex_id("transaction", sender, data, now)


class Node:
    """The node's HTTP server with the `info` plugin."""

    def __init__(self, chain: Chain, *, api_key: str | None = None, name: str = "rack-2") -> None:
        self.chain = chain
        self.api_key = api_key
        self._id = list(bytes.fromhex(hex_id("node", name, length=40)))
        self._peers = [list(bytes.fromhex(hex_id("peer", name, k, length=40))) for k in range(6)]

    def listening(self, _now: float) -> bool:
        return self.chain.node_online

    def answer(self, request: Request, now: float) -> Response:
        if self.api_key is not None:
            said = request.headers.get("authorization", "")
            if not said.lower().startswith("bearer "):
                return as_text("Unauthorized", 401)
            if said[7:] != self.api_key:
                return as_text("Forbidden", 403)
        if request.path != "/info" or request.method != "GET":
            page = f"<pre>Cannot {request.method} {request.path}</pre>"
            return as_text(page, 404, "text/html; charset=utf-8")
        return as_json(self._info(now))

    def _info(self, now: float) -> dict[str, Any]:
        own = {"nodeId": {"type": "Buffer", "data": self._id}, "type": 0}
        own |= {"websocket": {"host": "203.0.113.7", "port": 32200, "tls": True}}
        staked = [one for one in self.chain.sponsorships.values() if one.stake > 0]
        return {
            "controlLayer": {
                "localPeerDescriptor": own,
                "transport": {
                    "connections": [self._connection(k, now) for k in range(len(self._peers))],
                    "connectionCount": len(self._peers),
                },
                "router": {"messagesRouted": int(now % 1e6), "messagesSent": int(now % 1e6 * 0.7)},
                "neighborCount": len(self._peers),
                "nearbyContactCount": len(self._peers),
                "randomContactCount": 4,
            },
            "contentLayer": {"streamParts": [self._stream_part(one, now) for one in staked]},
        }

    def _connection(self, k: int, now: float) -> dict[str, Any]:
        """Counters live with their connection: every hour or so one is new and counts from 0."""
        lives = 3600.0 * (1 + k)
        opened = now // lives * lives
        peer = {"nodeId": {"type": "Buffer", "data": self._peers[k]}, "type": 0}
        peer |= {"websocket": {"host": f"198.51.100.{10 + k}", "port": 32200, "tls": True}}
        age = now - opened
        return {
            "remotePeerDescriptor": peer,
            "lastUsedTimestamp": int(now * 1000) - 1500,
            "replacedAsDuplicate": False,
            "stopped": False,
            "openedAt": int(opened * 1000),
            "bytesSent": int(age * 2100 * (k + 1)),
            "bytesReceived": int(age * 2300 * (k + 1)),
            "messagesSent": int(age * 4),
            "messagesReceived": int(age * 4),
        }

    def _stream_part(self, one: Sponsorship, now: float) -> dict[str, Any]:
        info = {"neighborCount": 4, "nearbyNodeViewCount": 10, "randomNodeViewCount": 12, "leftNodeViewCount": 4}
        info |= {"rightNodeViewCount": 4, "messagesPropagated": int(now - self.chain.origin) * 3}
        return {"id": f"{one.stream_id}#0", "info": info}


def _failure(number: Any, code: int, message: str, data: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": number, "error": error}
