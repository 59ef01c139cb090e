from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from exporters.energy import energy_usd_per_hour, mean_tariff, tariff
from exporters.nodes import Power, Watts

WATTS = Watts(per_step=12)


def power(*windows: dict, usd_per_kwh: float = 0.31) -> Power:
    return Power.model_validate({"usdPerKwh": usd_per_kwh, "windows": list(windows)})


def night(usd: float, cron: str = "0 22 * * *", duration: str = "8h", timezone: str = "UTC") -> dict:
    return {"cron": cron, "duration": duration, "timezone": timezone, "usdPerKwh": usd}


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_the_tariff_is_the_flat_one_where_no_window_is_open():
    assert tariff(power(night(0.2)), utc("2026-03-02T12:00")) == 0.31


def test_an_open_window_overrides_the_flat_tariff():
    assert tariff(power(night(0.2)), utc("2026-03-02T23:00")) == 0.2


def test_of_several_open_windows_the_first_written_holds():
    both = power(night(0.1, duration="1h"), night(0.2))
    assert tariff(both, utc("2026-03-02T22:30")) == 0.1
    assert tariff(both, utc("2026-03-02T23:30")) == 0.2


def test_a_tariff_of_zero_is_a_tariff():
    assert tariff(power(night(0.0)), utc("2026-03-02T23:00")) == 0.0


def test_energy_is_steps_times_watts_at_the_tariff_of_the_hour():
    # 8 x 12 / 1000 x 0.31
    assert energy_usd_per_hour(power(), WATTS, 8, utc("2026-03-02T12:00")) == pytest.approx(0.02976)
    assert energy_usd_per_hour(power(night(0.2)), WATTS, 8, utc("2026-03-02T23:00")) == pytest.approx(0.0192)


def test_energy_is_nothing_where_the_owner_declared_none():
    assert energy_usd_per_hour(None, WATTS, 8, 0) == 0.0
    assert energy_usd_per_hour(power(), None, 8, 0) == 0.0
    assert energy_usd_per_hour(power(), None, None, 0) == 0.0
    assert energy_usd_per_hour(power(), Watts(per_step=0), None, 0) == 0.0


@pytest.mark.parametrize("steps", [None, float("nan"), float("inf")])
def test_energy_of_unknown_steps_is_unknown_and_not_zero(steps):
    assert energy_usd_per_hour(power(), WATTS, steps, 0) is None


def test_the_mean_tariff_weighs_each_stretch_by_its_length():
    assert mean_tariff(power(night(0.20), usd_per_kwh=0.30), utc("2026-03-02T21:00"), 4) == pytest.approx(0.225)


def test_the_mean_tariff_over_two_nights_and_two_days():
    assert mean_tariff(power(night(0.20), usd_per_kwh=0.30), utc("2026-03-02T12:00"), 48) == pytest.approx(
        (16 * 0.2 + 32 * 0.3) / 48
    )


def test_the_mean_tariff_across_the_spring_change_counts_elapsed_hours():
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 3, 29, tzinfo=berlin).timestamp()  # a day of 23 hours; 22:00 to 24:00 is cheap at its end
    cheap = power(night(0.20, timezone="Europe/Berlin"), usd_per_kwh=0.30)
    # the window of the 28th opened at 22:00 and ends 8 elapsed hours later: 6 hours into the 29th
    assert mean_tariff(cheap, start, 23) == pytest.approx((6 * 0.2 + 15 * 0.3 + 2 * 0.2) / 23)


def test_the_mean_tariff_without_windows_or_hours_is_the_tariff_of_the_moment():
    assert mean_tariff(power(), 0, 24) == 0.31
    assert mean_tariff(power(night(0.2)), utc("2026-03-02T23:00"), 0) == 0.2


def test_the_mean_tariff_of_two_windows_that_change_inside_each_other():
    two = power(night(0.1, cron="0 23 * * *", duration="1h"), night(0.2), usd_per_kwh=0.3)
    # 21-22 flat, 22-23 at 0.2, 23-24 at 0.1, 0-1 at 0.2
    assert mean_tariff(two, utc("2026-03-02T21:00"), 4) == pytest.approx((0.3 + 0.2 + 0.1 + 0.2) / 4)
