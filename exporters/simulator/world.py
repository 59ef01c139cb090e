"""The simulated world: workloads with their true state, the sites that speak for them, and one time for all.

Everything is a function of (seed, origin, what was done to it): two worlds with the same three agree at every later
time, however often either was asked on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from exporters.simulator.faults import Fault, Faulty
from exporters.simulator.model import Model, Truth
from exporters.simulator.prices import Market, Sources
from exporters.simulator.response import Request, Response, Site

PRICES = "prices"
"""The site of all price sources."""


@dataclass
class World:
    """What there is. `models` by workload key ("rack-1/golem"); `sites` by their own names, as several may share one."""

    seed: int
    origin: float
    """Unix seconds at which it begins."""
    market: Market
    day: float = 86400.0
    """Seconds that a day's rhythm takes."""
    models: dict[str, Model] = field(default_factory=dict)
    sites: dict[str, Faulty] = field(default_factory=dict)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.now = self.origin
        self.add_site(PRICES, Sources(self.market))

    def add_site(self, name: str, site: Site) -> None:
        self.sites[name] = Faulty(site)

    def advance(self, to: float) -> None:
        """Live until `to`; a time that is already past changes nothing."""
        if to <= self.now:
            return
        for model in self.models.values():
            model.advance(to)
        self.now = to

    def answer(self, site: str, request: Request, now: float) -> Response:
        """What a site answers at a time. Raises KeyError for a site that does not exist."""
        self.advance(now)
        return self.sites[site].answer(request, self.now)

    def listening(self, site: str, now: float) -> bool:
        self.advance(now)
        return self.sites[site].listening(self.now)

    def break_site(self, site: str, fault: Fault | None) -> None:
        """Tell a site what to do wrong, None to be well again. Raises KeyError for a site that does not exist."""
        self.sites[site].fault = fault

    def truth(self, key: str) -> Truth:
        """What is really so with one workload now. Raises KeyError."""
        return self.models[key].truth()

    def truths(self) -> Mapping[str, Truth]:
        return {key: model.truth() for key, model in self.models.items()}

    def usd_per_hour(self, key: str) -> float | None:
        """What it really earns now, gross, at today's prices; None for points."""
        rates = self.truth(key).native_per_hour
        if "points" in rates:
            return None
        return sum(amount * self.market.usd(token, self.now) for token, amount in rates.items())
