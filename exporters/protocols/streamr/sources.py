"""What Streamr says beside the chain: a node's `/info` and the subgraph. Decoding and errors; pure.

Sources: streamr-dev/network packages/node (plugins/info, httpServer.ts) and the SDK's getDiagnosticInfo();
streamr-dev/network-contracts packages/network-subgraphs/schema.graphql; edgeandnode/gateway src/errors.rs. Every leaf
of `/info` is optional (older nodes lack some); numbers of the subgraph come as text or as numbers, by schema version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from exporters.errors import Malformed, PollError, RateLimited, Unauthorized, Unreachable
from exporters.session import quote

THIN: Final = 4
"""Neighbours that a node wants in each stream partition (DEFAULT_NEIGHBOR_TARGET_COUNT)."""

SUBGRAPH_QUERY: Final = """query($operator: ID!, $sponsorship: ID!) {
  _meta { block { timestamp } hasIndexingErrors }
  operator(id: $operator) { cumulativeEarningsWei cumulativeOperatorsCutWei latestHeartbeatTimestamp slashingsCount }
  sponsorship(id: $sponsorship) { totalPayoutWeiPerSec }
}"""


@dataclass(frozen=True, slots=True)
class Failed:
    """A source beside the chain that gave nothing."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """One node's own view of the peer-to-peer network. It knows neither earnings nor stake nor its version."""

    node_id: str | None
    reachable: bool
    """It accepts incoming websockets."""
    connections: int | None
    neighbors: int | None
    parts: tuple[tuple[str, int | None], ...]
    """(stream partition, its neighbours), `<stream id>#<partition>`."""

    @property
    def thin(self) -> int:
        return sum(1 for _, neighbors in self.parts if neighbors is not None and neighbors < THIN)

    def serves(self, stream: str) -> int:
        """How many partitions of a stream."""
        return sum(1 for part, _ in self.parts if part.rpartition("#")[0] == stream)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the subgraph knows of the operator over time. Wei, Unix seconds; None = it does not say."""

    block_at: int | None
    broken: bool
    """Indexing failed somewhere: its figures may be wrong."""
    payout: int | None
    """P of the sponsorship, wei per second."""
    collected: int | None
    collected_cut: int | None
    heartbeat_at: int | None
    slashings: int | None


def read_info(body: Any) -> NodeInfo:
    layer = _dict(body).get("controlLayer")
    if not isinstance(layer, dict):
        raise Malformed(
            f"/info gave no controlLayer ({quote(str(body))}); is this a Streamr node with the info plugin?"
        )
    own = _dict(layer.get("localPeerDescriptor"))
    parts = _dict(_dict(body).get("contentLayer")).get("streamParts")
    return NodeInfo(
        _node_id(_dict(own.get("nodeId")).get("data")),
        isinstance(own.get("websocket"), dict),
        whole(_dict(layer.get("transport")).get("connectionCount")),
        whole(layer.get("neighborCount")),
        tuple(_part(part) for part in parts if isinstance(part, dict)) if isinstance(parts, list) else (),
    )


def read_fleet(body: Any) -> Fleet:
    """The subgraph's answer. Its gateway says what is wrong with HTTP 200."""
    body = _dict(body)
    if body.get("errors"):
        raise subgraph_error(body["errors"])
    data = body.get("data")
    if not isinstance(data, dict):
        raise Malformed(f"the subgraph gave no data ({quote(str(body))}); check options.subgraph")
    if not isinstance(data.get("operator"), dict):
        raise Malformed(
            "the subgraph does not know this operator; check options.operator and that the subgraph is of the same chain"
        )
    meta, operator = _dict(data.get("_meta")), data["operator"]
    return Fleet(
        whole(_dict(meta.get("block")).get("timestamp")),
        meta.get("hasIndexingErrors") is True,
        whole(_dict(data.get("sponsorship")).get("totalPayoutWeiPerSec")),
        whole(operator.get("cumulativeEarningsWei")),
        whole(operator.get("cumulativeOperatorsCutWei")),
        whole(operator.get("latestHeartbeatTimestamp")),
        whole(operator.get("slashingsCount")),
    )


def subgraph_error(errors: Any) -> PollError:
    """What the gateway's words stand for, by who must act."""
    first = errors[0] if isinstance(errors, list) and errors else errors
    words = str(_dict(first).get("message", first))
    said = f"the subgraph refused: {quote(words)}"
    if re.search(r"auth error|api key|payment required|unauthori[sz]ed", words, re.IGNORECASE):
        return Unauthorized(f"{said}; check the key in graphApiKeyFile")
    if re.search(r"rate.?limit|too many requests", words, re.IGNORECASE):
        return RateLimited(said)
    if re.search(r"indexers|internal error|timeout|unavailable", words, re.IGNORECASE):
        return Unreachable(said)
    return Malformed(f"{said}; check options.subgraph")


def whole(value: Any) -> int | None:
    """A whole number that came as 1 or as "1"; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,78}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _node_id(data: Any) -> str | None:
    """{"type": "Buffer", "data": [20 numbers]} -> 40 hexadecimal digits."""
    if not isinstance(data, list) or len(data) > 32 or not all(isinstance(b, int) and 0 <= b < 256 for b in data):
        return None
    return bytes(data).hex() or None


def _part(part: Mapping[str, Any]) -> tuple[str, int | None]:
    info = _dict(part.get("info"))
    listed = info.get("neighbors")  # of a proxied part
    return str(part.get("id", ""))[:300], len(listed) if isinstance(listed, list) else whole(info.get("neighborCount"))
