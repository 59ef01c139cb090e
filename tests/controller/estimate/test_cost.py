"""What running and moving cost: energy at the tariff of the hours ahead, time offline, fees."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.estimate.cost import energy_per_unit_hour, moving
from exporters.nodes import Power, TariffWindow, Watts
from exporters.traits import CurveKind, Traits

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()
HOUR = 3600.0


def power(*windows, usd_per_kwh=0.31, **more):
    return Power(usd_per_kwh=usd_per_kwh, windows=list(windows), **more)


def window(cron, duration, usd_per_kwh, timezone="UTC"):
    return TariffWindow(cron=cron, duration=duration, usd_per_kwh=usd_per_kwh, timezone=timezone)


def test_the_worked_energy_of_a_step_of_two_cores():
    assert energy_per_unit_hour(power(), Watts(per_step=24), 2.0, NOON, 2.0) == pytest.approx(0.00372)


@pytest.mark.parametrize(
    ("of", "watts"), [(None, Watts(per_step=24)), (power(), None), (power(), Watts(per_step=0))], ids=str
)
def test_nothing_is_charged_where_the_owner_declared_nothing(of, watts):
    assert energy_per_unit_hour(of, watts, 1.0, NOON, 2.0) == 0.0


def test_what_the_machine_draws_idle_is_not_charged_to_any_split():
    idle = energy_per_unit_hour(power(idle_watts=500), Watts(per_step=24), 2.0, NOON, 2.0)
    assert idle == energy_per_unit_hour(power(), Watts(per_step=24), 2.0, NOON, 2.0)


# --- the tariff ahead

WATTS = Watts(per_step=1000)
"""So that the energy of a unit-hour is the tariff."""


@pytest.mark.parametrize(
    ("hours", "expected"), [(2.0, 0.4), (6.0, 0.4), (8.0, (6 * 0.4 + 2 * 0.1) / 8), (24.0, (16 * 0.4 + 8 * 0.1) / 24)]
)
def test_a_tariff_that_changes_within_the_horizon_is_looked_through(hours, expected):
    night = window("0 18 * * *", "8h", 0.1)
    assert energy_per_unit_hour(power(night, usd_per_kwh=0.4), WATTS, 1.0, NOON, hours) == pytest.approx(expected)


def test_an_hour_of_the_day_is_one_of_the_owners_clock_not_of_utc():
    # 18:00 in Berlin is 17:00 UTC in winter and 16:00 in summer
    evening = power(window("0 18 * * *", "1h", 1.0, "Europe/Berlin"), usd_per_kwh=0.0)
    for month, opens in ((1, 17), (7, 16)):
        at = datetime(2026, month, 5, opens, tzinfo=UTC).timestamp()
        assert energy_per_unit_hour(evening, WATTS, 1.0, at, 1.0) == pytest.approx(1.0)
        assert energy_per_unit_hour(evening, WATTS, 1.0, at - HOUR, 1.0) == 0.0
        assert energy_per_unit_hour(evening, WATTS, 1.0, at - HOUR / 2, 1.0) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("day", "opens_after"),
    [((2026, 3, 29), 5), ((2026, 10, 25), 7), ((2026, 6, 1), 6)],
    ids=["the night that is an hour shorter", "the night that is an hour longer", "any night"],
)
def test_the_cheap_morning_after_a_change_of_the_clock_begins_when_the_clock_says_so(day, opens_after):
    berlin = ZoneInfo("Europe/Berlin")
    midnight = datetime(*day, tzinfo=berlin).timestamp()
    cheap = power(window("0 6 * * *", "2h", 0.1, "Europe/Berlin"), usd_per_kwh=0.3)
    before = energy_per_unit_hour(cheap, WATTS, 1.0, midnight, float(opens_after))
    assert before == pytest.approx(0.3)
    assert energy_per_unit_hour(cheap, WATTS, 1.0, midnight + opens_after * HOUR, 2.0) == pytest.approx(0.1)
    # 72 h ahead: three such mornings
    assert energy_per_unit_hour(cheap, WATTS, 1.0, midnight, 72.0) == pytest.approx((66 * 0.3 + 6 * 0.1) / 72)


@given(st.one_of(st.just(0.0), st.floats(1e-3, 200)), st.floats(0, 40 * 24), st.floats(0, 1), st.floats(0, 1))
def test_what_is_charged_lies_between_the_tariffs(hours, later, cheap, dear):
    found = energy_per_unit_hour(
        power(window("30 21 * * *", "7h30m", cheap), usd_per_kwh=dear), WATTS, 1.0, NOON + later * HOUR, hours
    )
    assert min(cheap, dear) - 1e-12 <= found <= max(cheap, dear) + 1e-12


# --- moving


@pytest.mark.parametrize(
    ("minutes", "fees", "rate", "usd"),
    [(20, 0, 0.03, 0.01), (0, 0.5, 0.03, 0.5), (20, 0.5, 0.03, 0.51), (20, 0, -0.03, 0), (0, 0, 5.0, 0)],
    ids=["twenty minutes at 3 ct/h", "a fee", "both", "a rate below nothing", "free"],
)
def test_a_move_costs_the_rate_for_the_minutes_offline_and_the_fees(minutes, fees, rate, usd):
    traits = Traits(curve=CurveKind.DEMAND, resource="cpu", offline_minutes=float(minutes), fees_usd=float(fees))
    assert moving(traits, rate) == pytest.approx(usd)
