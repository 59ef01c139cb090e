"""One protocol, whichever: what every workload has. Protocols with figures of their own have a dashboard of their own."""

from __future__ import annotations

from typing import Final

from grafana.board import Board, Row
from grafana.boards.workloads import ANY, polled, shared, used

BOARD: Final = Board(
    uid="orcha-protocol",
    title="orcha / Protocol",
    link="Protocol",
    words="One protocol and its workloads. Storj, Golem, Streamr and Grass have more on dashboards of their own.",
    variables=("node", "protocol", "workload"),
    rows=(shared(ANY), Row("What they have and use", used(ANY)), polled(ANY)),
)
