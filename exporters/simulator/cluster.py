"""The true state of a compute market's provider: many small leases at once, paid by the core-hour.

Leases follow demand up to the cap that the owner set. After the cap was lowered, running leases keep their cores until
they end; so use falls at the pace at which leases end. Cores; prices in USD per core-hour, paid in the market's token.
"""

from __future__ import annotations

import math
from typing import Final

from exporters.simulator.demand import Demand
from exporters.simulator.model import Ticks, Truth

LEASE_SECONDS: Final = 900.0
"""Mean life of a lease: what is left over a lowered cap decays at this pace."""


class Cluster:
    """Advances in ticks of `tick` seconds."""

    def __init__(
        self, demand: Demand, cores: float, origin: float, *, token: str, price: float, tick: float = 30.0
    ) -> None:
        self.seed = demand.seed
        self.cap = cores
        self.token = token
        self.price = price
        """Token per core-hour."""
        self.origin = origin
        self.at = origin
        self.tick = tick
        self.online = True
        self.online_since = origin - 40 * 86400.0
        self.lifetime = 20_000.0 * price
        """Token earned in its life: a counter that goes on over a restart."""
        self._earned = 0.0
        self._over = 0.0
        """Cores that running leases hold above what new ones could get."""
        self._demand = Ticks(demand, tick)

    def set_cap(self, cores: float, at: float) -> None:
        self.advance(at)
        used = self.used()
        self.cap = max(0.0, cores)
        self._over = max(0.0, used - self.cap)

    def stop(self, at: float) -> None:
        self.advance(at)
        self.online, self._over = False, 0.0

    def start(self, at: float) -> None:
        self.advance(at)
        self.online, self.online_since = True, at

    def demand(self) -> float:
        return self._demand.at(math.floor(self.at / self.tick))

    def used(self) -> float:
        if not self.online:
            return 0.0
        return min(self.demand(), self.cap) + self._over

    def leases(self) -> int:
        return math.ceil(self.used() / 1.5)

    def advance(self, to: float) -> None:
        while self.at < to:
            stop = min(to, (math.floor(self.at / self.tick) + 1) * self.tick)
            seconds = stop - self.at
            earned = self.used() * self.price * seconds / 3600.0
            self._earned += earned
            self.lifetime += earned
            self._over *= math.exp(-seconds / LEASE_SECONDS)
            if self._over < 0.05:
                self._over = 0.0
            self.at = stop

    def truth(self) -> Truth:
        used = self.used()
        return Truth(
            self.at,
            self.online,
            allocated={"cpu": self.cap},
            configured={"cpu": self.cap},
            used={"cpu": used},
            demand=self.demand(),
            native_per_hour={self.token: used * self.price},
            earned={self.token: self._earned},
        )
