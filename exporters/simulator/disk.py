"""The true state of one storagenode: what is stored, what moved each day, and how it restarts.

Data arrives while there is room and the node is online, is deleted at a rate that follows what is stored, and lies in
the trash for a week (reference: storj-golem 1.3, 1.6). The allocation is read from the configuration at a start and at
no other time; under 500 GB the node refuses to start. Bytes; egress in bytes per hour and stored byte.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from exporters.simulator.demand import DAY, Demand, Fill
from exporters.simulator.model import Ticks, Truth

TICK: Final = 300.0
TALLY: Final = 12 * 3600.0
"""Seconds between storage tallies."""
FLOOR: Final = 500e9
"""`storage2.monitor.minimum-disk-space`: with less the node does not start."""
TRASH_DAYS: Final = 7.0
DISK_USD_PER_BYTE_HOUR: Final = 0.00208e-12
"""$0.00208 per TB-hour (storj forum topic 26062); the API shows it as 149 cents per TB-month."""
EGRESS_USD_PER_BYTE: Final = 2e-12
TB: Final = 1e12
_UNITS: Final = {
    "": 1.0, "B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15,
    "KIB": 2.0**10, "MIB": 2.0**20, "GIB": 2.0**30, "TIB": 2.0**40, "PIB": 2.0**50,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]*\.?[0-9]+)\s*([A-Za-z]*)")
_KEY = re.compile(r"^\s*storage\.allocated-disk-space:\s*(.+?)\s*(?:#.*)?$", re.MULTILINE)


class RefusedToStart(ValueError):
    """What the node would say in its log before it ends."""


def read_size(words: str) -> float:
    """Bytes of a size as storagenode accepts it: 2TB, 1.5TB, 900GB, 1TiB. Raises RefusedToStart for anything else."""
    found = _SIZE.fullmatch(words.strip().strip("\"'"))
    if found is None or found[2].upper() not in _UNITS:
        raise RefusedToStart(f"Error: invalid configuration: storage.allocated-disk-space: {words!r} is not a size")
    return float(found[1]) * _UNITS[found[2].upper()]


def configured_size(config: str, env: str | None = None) -> float:
    """The allocation that a start would take: the environment wins over the file, 1 TB where neither says anything."""
    if env is not None:
        return read_size(env)
    found = _KEY.search(config)
    return read_size(found[1]) if found else 1e12


def enough(allocated: float) -> float:
    """The allocation, if the node starts with it. Raises RefusedToStart under 500 GB."""
    if allocated < FLOOR:
        raise RefusedToStart(f"Error: disk space requirement not met: {allocated:.0f} B < {FLOOR:.0f} B")
    return allocated


@dataclass(slots=True)
class Day:
    """What moved on one UTC day, all satellites together."""

    byte_hours: float = 0.0
    egress: float = 0.0
    repair: float = 0.0
    audit: float = 0.0
    ingress: float = 0.0
    ingress_repair: float = 0.0

    def add(self, flow: Flow, hours: float, stored: float) -> None:
        self.byte_hours += stored * hours
        self.egress += flow.egress * hours
        self.repair += flow.repair * hours
        self.audit += flow.audit * hours
        self.ingress += 0.92 * flow.arriving * hours
        self.ingress_repair += 0.08 * flow.arriving * hours


@dataclass(frozen=True, slots=True)
class Flow:
    """Bytes per hour, constant during a tick; so that what was asked in the middle of one changes nothing."""

    arriving: float
    deleted: float
    emptied: float
    """Leaves the trash."""
    egress: float
    repair: float
    audit: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """Egress per stored byte and hour. 5 % of what is stored a month is customers' egress on an ordinary node."""

    egress: float = 0.05 / 720
    repair: float = 0.006 / 720
    audit: float = 1e-7 / 720


@dataclass(slots=True)
class Phase:
    """Where a restart stands: refused until `hangs_from`, then silent until `serves_from`."""

    started_at: float
    hangs_from: float
    serves_from: float
    refused: str | None = None
    """Why it did not start: no further try until the owner restarts it."""


class Disk:
    """Advances in ticks of `tick` seconds."""

    def __init__(
        self,
        ingress: Demand,
        stored: float,
        allocated: float,
        origin: float,
        *,
        disk_size: float = 16e12,
        deleted_per_hour: float = 0.02 / 720,
        traffic: Traffic | None = None,
        restart_seconds: tuple[float, float] = (20.0, 100.0),
    ) -> None:
        self.fill = Fill(ingress, deleted_per_hour)
        self.seed = ingress.seed
        self.disk_size = disk_size
        self.stored = stored
        self.trash = stored * deleted_per_hour * TRASH_DAYS * 24
        self.reclaimable = stored * 0.002
        self.config = f"storage.allocated-disk-space: {allocated:.0f} B\n"
        self.env: str | None = None
        self.allocated = allocated
        """Effective: configured, capped to what the disk can hold."""
        self.configured = allocated
        self.origin = origin
        self.at = origin
        self.phase = Phase(origin - 9 * DAY, origin - 9 * DAY, origin - 9 * DAY)
        self.online = True
        self.days: dict[int, Day] = {}
        self.joined = origin - 400 * DAY
        self._traffic = traffic or Traffic()
        self._ingress = Ticks(ingress, TICK)
        self._egress = Ticks(Demand(1.0, ingress.seed + 1, ingress.day, bursts=None), TICK)
        self._restart_seconds = restart_seconds
        self._earned = 0.0
        self._flow: Flow | None = None
        self.flushed: dict[int, Day] = {}
        """Day -> what its bandwidth was at the last full hour."""
        self.tallied: dict[int, float] = {}
        """Day -> its byte-hours at the last tally."""
        self._backfill(origin)

    # What the owner can do

    def restart(self, at: float, *, config: str | None = None, env: str | None = None) -> str | None:
        """Stop and start with the configuration as it now is. Gives the reason where the node refuses to start."""
        self.advance(at)
        self._flow = None
        if config is not None:
            self.config = config
        self.env = env
        refused, hangs = self._restart_seconds
        self.phase = Phase(at, at + refused, at + refused + hangs)
        try:
            wanted = enough(configured_size(self.config, self.env))
        except RefusedToStart as exc:
            self.phase.refused = str(exc)
            return str(exc)
        self.configured = wanted
        free = self.disk_size - self.used
        self.allocated = min(wanted, free + self.used)
        return None

    def stop(self, at: float) -> None:
        self.advance(at)
        self._flow = None
        self.online = False

    def start(self, at: float) -> None:
        self.advance(at)
        self.online = True
        self.restart(at, env=self.env)

    # What is so

    @property
    def used(self) -> float:
        return self.stored + self.trash + self.reclaimable

    @property
    def room(self) -> float:
        return max(0.0, self.allocated - self.used)

    def serves(self, at: float) -> bool:
        return self.online and self.phase.refused is None and at >= self.phase.serves_from

    def listens(self, at: float) -> bool:
        return self.online and self.phase.refused is None and at >= self.phase.hangs_from

    def egress_rates(self) -> tuple[float, float, float]:
        """Bytes per hour now: customers', repair, audit."""
        if not self.serves(self.at):
            return 0.0, 0.0, 0.0
        wave = self._egress.at(math.floor(self.at / TICK))
        return (
            self.stored * self._traffic.egress * wave,
            self.stored * self._traffic.repair * wave,
            self.stored * self._traffic.audit,
        )

    def usd_per_hour(self) -> float:
        """Gross, before held amounts."""
        return self.stored * DISK_USD_PER_BYTE_HOUR + _paid(self._flow or self._flowing())

    def advance(self, to: float) -> None:
        while self.at < to:
            number = int(self.at // DAY)
            edge = (math.floor(self.at / TICK) + 1) * TICK
            if self.at < self.phase.serves_from < edge:
                edge = self.phase.serves_from
            stop = min(to, edge)
            self._live(stop - self.at)
            self.at = stop
            if stop == edge:
                self._flow = None
                self._snapshot(number)

    def truth(self) -> Truth:
        up = self.serves(self.at)
        return Truth(
            self.at,
            up,
            allocated={"storage": self.allocated},
            configured={"storage": self.configured},
            used={"storage": self.used},
            demand=None,
            native_per_hour={"USD": self.usd_per_hour()},
            earned={"USD": self._earned},
        )

    def growth_per_hour(self) -> float:
        """Bytes per hour that would arrive with room, less what is deleted."""
        return self._ingress.at(math.floor(self.at / TICK)) - self.stored * self.fill.deleted_per_hour

    # Living

    def _live(self, seconds: float) -> None:
        hours = seconds / 3600.0
        flow = self._flow or self._flowing()
        self._flow = flow
        day = self.days.setdefault(int(self.at // DAY), Day())
        change = (flow.arriving - flow.deleted) * hours
        day.add(flow, hours, self.stored + change / 2.0)
        self._earned += ((self.stored + change / 2.0) * DISK_USD_PER_BYTE_HOUR + _paid(flow)) * hours
        self.stored += change
        self.trash += (flow.deleted - flow.emptied) * hours
        self.at += seconds

    def _flowing(self) -> Flow:
        """What moves from now on: never more arrives than there is room for until the tick ends."""
        room = self.room
        emptied = self.trash / (24 * TRASH_DAYS)
        serves = self.serves(self.at)
        wanted = self._ingress.at(math.floor(self.at / TICK)) if serves else 0.0
        most = room * 3600.0 / TICK + (emptied if room > 0 else 0.0)
        return Flow(min(wanted, most), self.stored * self.fill.deleted_per_hour, emptied, *self.egress_rates())

    def _snapshot(self, number: int) -> None:
        """The node's own databases follow by the hour (bandwidth) and by the half day (storage)."""
        day = self.days[number]
        if self.at % 3600.0 == 0.0:
            self.flushed[number] = replace(day)
        if self.at % TALLY == 0.0:
            self.tallied[number] = day.byte_hours

    def _backfill(self, origin: float) -> None:
        """Days from the beginning of last month to the origin, as a node of this size would have had them."""
        first = (datetime.fromtimestamp(origin, UTC).replace(day=1) - timedelta(days=1)).replace(day=1)
        began = first.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        for number in range(int(began // DAY), int(origin // DAY) + 1):
            seconds = min(DAY, origin - number * DAY)
            age = (origin - number * DAY) / DAY
            held = self.stored * max(0.5, 1.0 - 0.002 * age)
            hours = seconds / 3600.0
            self.days[number] = Day(
                byte_hours=held * hours,
                egress=held * self._traffic.egress * hours,
                repair=held * self._traffic.repair * hours,
                audit=held * self._traffic.audit * hours,
                ingress=held * 0.0022 * hours / 24,
                ingress_repair=held * 0.0002 * hours / 24,
            )
            self.flushed[number] = replace(self.days[number])
            counted = min(DAY, origin // TALLY * TALLY - number * DAY)  # a tally knows nothing of the hours since
            self.tallied[number] = held * max(0.0, counted) / 3600.0


def _paid(flow: Flow) -> float:
    """USD per hour for egress."""
    return (flow.egress + flow.repair + flow.audit) * EGRESS_USD_PER_BYTE
