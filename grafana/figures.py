"""How a number is shown: its unit, decimals, thresholds, words for values, and colours.

Rates of earnings have four decimals: a node that earns 0.0196 USD an hour is not one that earns 0.02.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from grafana.sdk import dashboard

PROTOCOLS: Final[Mapping[str, str]] = {
    "storj": "#5794F2",
    "golem": "#F2CC0C",
    "streamr": "#B877D9",
    "grass": "#73BF69",
    "mapped": "#FF9830",
}
"""One colour per protocol, on every panel of every dashboard; they differ in lightness too."""
NEUTRAL: Final = "text"
GOOD, WARN, BAD = "green", "orange", "red"
LOW, MIDDLE, HIGH = "#8AB8FF", "#5794F2", "#1F60C4"


Steps = tuple[tuple[float | None, str], ...]
"""(from this value on, colour); the first has no value."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    unit: str
    decimals: int | None = None
    least: float | None = None
    most: float | None = None
    steps: Steps = ((None, NEUTRAL),)
    words: tuple[tuple[str, str, str], ...] = ()
    """(value, or nan or null; what is shown instead; colour)."""
    none: str = "unknown"
    """Shown where there is nothing: absence is normal, and is said in words."""

    def but(self, **changes: Any) -> Figure:
        return replace(self, **changes)

    def thresholds(self) -> dashboard.ThresholdsConfig:
        steps = [dashboard.Threshold(value=value, color=colour) for value, colour in self.steps]
        return dashboard.ThresholdsConfig(mode=dashboard.ThresholdsMode.ABSOLUTE, steps=steps)

    def mappings(self) -> list[dashboard.ValueMapping]:
        """Words for values; what is unknown is in no colour of a threshold."""
        found: list[dashboard.ValueMapping] = []
        unknown = (("null", self.none, NEUTRAL),) if self.steps[0][1] != NEUTRAL else ()
        for index, (value, words, colour) in enumerate((*self.words, *unknown)):
            result = dashboard.ValueMappingResult(text=words, color=colour, index=index)
            if value in {"nan", "null"}:
                special = dashboard.SpecialValueMatch(value)
                options = dashboard.DashboardSpecialValueMapOptions(match=special, result=result)
                found.append(dashboard.SpecialValueMap(options=options))
            else:
                found.append(dashboard.ValueMap(options={value: result}))
        return found


USD_PER_HOUR: Final = Figure(unit="currencyUSD", decimals=4)
USD: Final = Figure(unit="currencyUSD", decimals=2)
USD_PRECISE: Final = Figure(unit="currencyUSD", decimals=4)
NET: Final = USD_PER_HOUR.but(steps=((None, BAD), (0.0, GOOD)))
"""What is left after fees and energy: below 0 it costs more than it earns."""
SHARE: Final = Figure(unit="percentunit", decimals=1, least=0.0, most=1.0)
UP: Final = SHARE.but(steps=((None, BAD), (0.9, WARN), (0.99, GOOD)))
COUNT: Final = Figure(unit="locale", decimals=0)
BYTES: Final = Figure(unit="bytes", decimals=1)
BYTES_PER_SECOND: Final = Figure(unit="Bps", decimals=1)
CORES: Final = Figure(unit="suffix:cores", decimals=1)
SECONDS: Final = Figure(unit="s", decimals=1)
FROM_NOW: Final = Figure(unit="dateTimeFromNow")
"""Milliseconds since 1970, as Grafana wants them."""
PER_HOUR: Final = Figure(unit="suffix:/h")
TOKENS: Final = Figure(unit="short", decimals=2)
YES: Final = Figure(unit="none", words=(("0", "no", BAD), ("1", "yes", GOOD)))
"""A 1 that is good."""
ALARM: Final = Figure(unit="none", words=(("0", "no", GOOD), ("1", "yes", BAD)))
"""A 1 that is bad."""
EMPTY: Final = (("nan", "none", NEUTRAL),)
"""A quantile of nothing is no number."""
