"""What running costs: watts and tariffs -> USD per hour. Pure.

A tariff window overrides `usdPerKwh` while it is open; of several open at once the one that is written first holds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from exporters.windows import closes_at, is_open, opens_next

if TYPE_CHECKING:
    from exporters.nodes import Power, Watts

_HOUR = 3600.0


def tariff(power: Power, at: float) -> float:
    """USD per kWh at Unix second `at`."""
    return next((window.usd_per_kwh for window in power.windows if is_open(window, at)), power.usd_per_kwh)


def energy_usd_per_hour(power: Power | None, watts: Watts | None, steps: float | None, at: float) -> float | None:
    """What `steps` steps of a workload's allocation cost per hour at the tariff of `at`.

    8 steps of 12 W at 0.31 USD/kWh: 8 x 12 / 1000 x 0.31 = 0.02976. 0.0 where the owner declared no watts or no power
    (nothing is charged); None where they did and the number of steps is unknown.
    """
    if power is None or watts is None or watts.per_step == 0:
        return 0.0
    if steps is None or not math.isfinite(steps):
        return None
    return watts.per_step * steps / 1000 * tariff(power, at)


def mean_tariff(power: Power, start: float, hours: float) -> float:
    """USD per kWh, the mean over `hours` from `start`: exact, however many windows open or close meanwhile.

    0.30 by day and 0.20 from 22:00 on, asked at 21:00 for 4 h: (1 x 0.30 + 3 x 0.20) / 4 = 0.225.
    """
    if not power.windows or hours <= 0:
        return tariff(power, start)
    at, end, total = start, start + hours * _HOUR, 0.0
    while at < end:
        until = min(end, _changes_next(power, at))
        total += tariff(power, at) * (until - at)
        at = until
    return total / (end - start)


def _changes_next(power: Power, at: float) -> float:
    """The first moment after `at` at which a window opens or closes."""
    moments = (closes_at(window, at) or opens_next(window, at) for window in power.windows)
    return min(moments, default=math.inf)
