"""What running costs (energy, at the tariff of the coming horizon) and what moving costs. Money in USD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporters.energy import mean_tariff

if TYPE_CHECKING:
    from exporters.nodes import Power, Watts
    from exporters.traits import Traits


def energy_per_unit_hour(power: Power | None, watts: Watts | None, step: float, now: float, hours: float) -> float:
    """USD per hour that one more base unit of allocation costs in energy, over the coming `hours`.

    A step of 2 cores that draws 24 W at 0.31 USD/kWh: 24 / 1000 x 0.31 / 2 = 0.00372 per core. 0 where the owner
    declared no power or no watts. What the machine draws idle does not depend on the split and is in no curve.
    """
    if power is None or watts is None or watts.per_step == 0:
        return 0.0
    return watts.per_step / 1000 * mean_tariff(power, now, hours) / step


def moving(traits: Traits, rate: float) -> float:
    """USD that one move of a workload costs: minutes offline at its current rate (USD/h), and fees.

    20 minutes at 0.03 USD/h and no fee: 0.01. A rate below zero costs nothing to interrupt, and earns nothing either.
    """
    return traits.offline_minutes / 60 * max(rate, 0.0) + traits.fees_usd
