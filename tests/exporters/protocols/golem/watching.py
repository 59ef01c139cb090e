"""Looks at a Golem daemon of a test, each seeing what the last one kept, and what tests say of the readings."""

from __future__ import annotations

from exporters.collector import Payloads, Workload, load, look
from exporters.reading import Reading
from exporters.session import HttpSession
from tests.exporters.protocols.golem_daemon import NOW

CPU, DURATION = 6.944444444444445e-06, 1.388888888888889e-06
COST = 90.75 * CPU + 37.5 * DURATION
"""Of the recorded activity by the recorded offer, in GLM."""
BILLED = 0.000262
"""What the recorded debit note and invoice say."""


class Watcher:
    """Looks at a daemon, each seeing what the last one kept."""

    def __init__(self, session: HttpSession, workload: Workload) -> None:
        self.session, self.workload = session, workload
        self.now = NOW.timestamp()
        self.previous: Payloads | None = None

    async def look(self, after: float = 30.0) -> Reading:
        self.now += after
        reading, self.previous = await look(load("golem"), self.session, self.workload, self.now, self.previous)
        return reading


def rate(reading: Reading) -> float | None:
    return reading.native.gross_per_hour.get("GLM")


def balance(reading: Reading) -> dict[str, float]:
    """Only what is not zero."""
    return {kind: amounts["GLM"] for kind, amounts in reading.native.balance.items() if amounts["GLM"]}


def samples(reading: Reading, family: str) -> dict[tuple[str, ...], float]:
    return {tuple(labels.values()): value for labels, value in reading.extra[family]}
