"""One module per dashboard, each with a BOARD; the four protocols of their own share what is in workloads.py."""

from __future__ import annotations

from grafana.board import Board
from grafana.boards import (
    allocation,
    controller,
    fleet,
    golem,
    grass,
    overview,
    programs,
    protocol,
    report,
    storj,
    streamr,
)

BOARDS: tuple[Board, ...] = tuple(
    module.BOARD
    for module in (overview, protocol, storj, golem, streamr, grass, allocation, programs, fleet, report, controller)
)
