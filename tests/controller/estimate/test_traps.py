"""The traps that economics.md names, each from what nodes said to the curve that money is moved by."""

from dataclasses import replace

import numpy as np
import pytest

from controller.estimate.ahead import foresee
from controller.estimate.curves import curve, curves
from controller.estimate.recall import remember
from controller.estimate.weights import draw
from controller.history import History
from controller.model import Curve, Reason
from controller.samples import Kept
from exporters.nodes import Power, TariffWindow, Watts
from exporters.reading import Native, Pool, Reading
from tests.controller import worlds
from tests.controller.estimate.pasts import HOUR, START

KEY = "rack-1/golem"
PRICE = 0.03


def look(minute, used, *, held=8.0, net=None, up=True, **more):
    if not up:
        return Reading("rack-1", "golem", "golem", START + 60.0 * minute, up=False, failure="timeout")
    net = PRICE * used if net is None else net
    figures = {"allocated": {"cpu": held}, "used": {"cpu": used}, "rate_usd_per_hour": net, "net_usd_per_hour": net}
    return Reading("rack-1", "golem", "golem", START + 60.0 * minute, **(figures | {"healthy": True} | more))


def looks(minutes, used, **more):
    return [look(minute, used, **more) for minute in minutes]


def curve_of(readings, *, node=None, watts=None, now=None, step=1.0, most=16.0):
    """What the workload would earn over the coming two hours, from all that was ever read of it."""
    node = worlds.node(cpu=16) if node is None else node
    history = History([Kept(KEY, "cpu", 210.0, step, most, node.power, watts)])
    for reading in readings:
        history.add(reading)
    last = readings[-1]
    now = last.at + 1 if now is None else now
    workload = replace(
        worlds.workload(KEY, bounds=worlds.allocation(high=most, step=step), read=last, watts=watts),
        blocks=history.blocks(KEY, now),
    )
    found = curve(workload, node, worlds.policy(), now, draw([workload.blocks], now, 1, 20))
    assert isinstance(found, Curve), found
    return found


# --- per unit used, not per unit allotted


def test_a_high_rate_per_allotted_unit_says_nothing_about_the_next_one():
    # 0.80 USD/h on 8 cores of which 2 are used, against 0.16 on 8 that are all used
    dear, cheap = curve_of(looks(range(600), 2.0, net=0.8)), curve_of(looks(range(600), 8.0, net=0.16))
    assert dear.at(8.0) > 4 * cheap.at(8.0)
    assert dear.slope(8.0, step=1) == pytest.approx(0.0, abs=1e-9)
    assert cheap.slope(8.0, step=1) > 0.01


def test_what_a_unit_earns_is_all_money_by_all_use_not_the_mean_of_its_rates():
    # in turns 8 cores at 0.03 and half a core at 0.60: 0.54 for 8.5 core-hours
    told = [look(m, *((8.0,) if m // 5 % 2 else (0.5,)), net=0.24 if m // 5 % 2 else 0.30) for m in range(600)]
    assert curve_of(told).value_per_unit_hour == pytest.approx(0.54 / 8.5, rel=0.02)


# --- censoring


def test_full_is_at_least_so_much_and_not_just_so_much():
    # four cores, full half of the time and half used the other half
    told = [look(m, 4.0 if m // 5 % 2 else 2.0, held=4.0) for m in range(600)]
    found = curve_of(told)
    assert found.at(4.0) == pytest.approx(PRICE * 3.0, rel=0.02)
    assert found.slope(4.0, step=1) == pytest.approx(PRICE * 0.5 * 2 * -np.expm1(-0.5), rel=0.03)
    room = curve_of([replace(it, allocated={"cpu": 5.0}) for it in told])
    assert room.slope(4.0, step=1) == pytest.approx(0.0, abs=1e-9)


def test_what_was_seen_through_a_small_allocation_says_nothing_about_a_larger_one():
    # a day full at 2; then a day of room for 8 of which 6 are used: nobody ever saw demand below 6
    told = looks(range(1440), 2.0, held=2.0) + looks(range(1440, 2880), 6.0)
    assert curve_of(told).at(6.0) == pytest.approx(PRICE * 6.0, rel=0.02)


def test_a_small_allocation_that_is_always_full_is_tried_with_two_steps_more():
    """τ = max(0.25 of it, two steps): by the quarter alone one core would expect 0.23 of a second one."""
    one = curve_of(looks(range(600), 1.0, held=1.0))
    assert one.slope(1.0, step=1) == pytest.approx(PRICE * 2 * -np.expm1(-1 / 2), rel=1e-3)
    twelve = curve_of(looks(range(600), 12.0, held=12.0))
    assert twelve.slope(12.0, step=1) == pytest.approx(PRICE * 3 * -np.expm1(-1 / 3), rel=1e-3)


# --- gaps, failures, clocks, counters


def quiet(kind, hours=12):
    """8 cores for four hours, silence, then 2 cores for an hour: what was in use in the silence nobody knows."""
    before, away = looks(range(240), 8.0, held=12.0), range(240, 240 + 60 * hours)
    silence = [] if kind == "gap" else looks(away, 0.0, up=False)
    return before + silence + looks(range(away.stop, away.stop + 60), 2.0, held=12.0)


@pytest.mark.parametrize("kind", ["gap", "failed looks"])
def test_a_gap_is_neither_zero_nor_held(kind):
    found = curve_of(quiet(kind))
    assert found.at(2.0) == pytest.approx(2 * PRICE)  # it was never seen to use less
    assert found.exposure == pytest.approx(5.0, abs=0.1)
    # as the 12 h kernel, alone so far, weighs 4 h of 8 and 1 h of 2: the 12 h between are none of theirs
    old, new = 2 ** (-np.array([15.0, 0.5]) / 12) * [4, 1]
    assert found.at(12.0) == pytest.approx(PRICE * (8 * old + 2 * new) / (old + new), rel=0.03)


def test_a_failed_look_and_a_gap_come_to_the_same():
    gap, failed = curve_of(quiet("gap")), curve_of(quiet("failed looks"))
    assert failed.y == pytest.approx(gap.y, rel=5e-3)


def test_the_first_look_after_a_counter_began_again_is_no_use_and_no_price():
    """What is paid is counted by the exporters from what counters gained; of a look without a rate only use is known."""
    steady = looks(range(300), 4.0)
    reset = replace(look(300, 4.0), rate_usd_per_hour=None, net_usd_per_hour=None)
    after = looks(range(301, 360), 4.0)
    broken, whole = curve_of([*steady, reset, *after]), curve_of([*steady, look(300, 4.0), *after])
    assert broken.value_per_unit_hour == pytest.approx(PRICE)
    assert broken.y == pytest.approx(whole.y, rel=1e-3)


def test_a_clock_that_was_set_back_by_hours_gives_the_curve_of_what_was_seen_since_and_before():
    early = looks(range(600), 4.0)
    back = looks(range(300, 480), 4.0)
    now = START + 60.0 * 480
    assert curve_of(early + back, now=now).y == pytest.approx(curve_of(looks(range(480), 4.0)).y, rel=1e-3)


def test_a_clock_that_jumped_a_year_ahead_for_a_minute_changes_nothing():
    ahead = replace(look(0, 8.0), at=START + 365 * 86400.0)
    told = looks(range(300), 4.0)
    jumped = curve_of([*told, ahead, *looks(range(301, 420), 4.0)], now=START + 60.0 * 420)
    assert jumped.at(8.0) == pytest.approx(4 * PRICE, rel=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, 1e300])
@pytest.mark.parametrize("figure", ["used", "held", "net"])
def test_a_figure_that_cannot_be_true_is_one_that_is_not_known(figure, bad):
    told = looks(range(300), 4.0)
    if figure == "used":
        told[150:200] = [replace(it, used={"cpu": bad}) for it in told[150:200]]
    elif figure == "held":
        told[150:200] = [replace(it, allocated={"cpu": bad}) for it in told[150:200]]
    elif bad != -1.0:  # a net below nothing is a loss, and is believed
        told[150:200] = [replace(it, net_usd_per_hour=bad) for it in told[150:200]]
    assert curve_of(told).at(8.0) == pytest.approx(4 * PRICE, rel=1e-3)


# --- money


def in_tokens(minutes, used, price):
    """Four GLM an hour for each core, whatever they are worth."""
    return [look(m, used, net=4 * used * price, native=Native({"GLM": 4 * used})) for m in minutes]


def test_a_token_that_crashed_is_believed_at_once_and_one_that_rose_too():
    steady = in_tokens(range(2880), 4.0, 0.01)
    for price in (0.001, 0.05):
        found = curve_of([*steady, *in_tokens([2880], 4.0, price)])
        assert found.value_per_unit_hour == pytest.approx(4 * price)
        assert found.at(8.0) == pytest.approx(4 * 4 * price, rel=1e-3)


def test_energy_that_was_paid_at_another_tariff_is_not_in_what_a_unit_earns():
    """0.10 USD/h a core before energy; a core draws 100 W, at 0.50 USD/kWh until an hour ago and at 0.10 from now on."""
    cheap = TariffWindow(cron="0 9 * * *", duration="8h", usd_per_kwh=0.1)
    node, watts = worlds.node(power=Power(usd_per_kwh=0.5, windows=[cheap]), cpu=16), Watts(per_step=100)
    # 8 cores are held, which draw 0.8 kW; the window opens at 09:00
    told = [look(m, 4.0, net=0.4 - 0.8 * (0.1 if m >= 540 else 0.5)) for m in range(600)]
    found = curve_of(told, node=node, watts=watts)
    assert found.value_per_unit_hour == pytest.approx(0.1, rel=1e-3)
    assert found.at(4.0) == pytest.approx(0.4 - 4 * 0.01, rel=1e-3)
    assert found.slope(8.0, step=1) == pytest.approx(-0.01, rel=1e-3)


def test_what_the_machine_draws_idle_is_in_no_curve():
    told, watts = looks(range(300), 4.0), Watts(per_step=20)
    plain, base_load = (
        curve_of(told, node=worlds.node(power=Power(usd_per_kwh=0.3, idle_watts=idle), cpu=16), watts=watts)
        for idle in (0, 400)
    )
    assert base_load.y.tolist() == plain.y.tolist()


def test_points_that_nobody_priced_are_in_no_curve():
    told = looks(range(300), 4.0)
    points = [replace(it, net_usd_per_hour=None, rate_usd_per_hour=None, native=Native({"points": 9.0})) for it in told]
    history = History([Kept(KEY, "cpu", 210.0, 1.0, 16.0)])
    for reading in points:
        history.add(reading)
    now = points[-1].at + 1
    workload = replace(worlds.workload(KEY, read=points[-1]), blocks=history.blocks(KEY, now))
    found = curve(workload, worlds.node(cpu=16), worlds.policy(), now, draw([workload.blocks], now, 1, 0))
    assert isinstance(found, tuple)
    assert found[0] is Reason.UNPRICED


# --- rhythm


def test_the_evening_is_foreseen_from_earlier_evenings_and_not_from_the_last_hours():
    # 2 cores by day, 6 from 18:00 to 22:00; asked at 17:30 of the sixth day
    told = [look(m, 6.0 if 18 <= m // 60 % 24 < 22 else 2.0) for m in range(0, 5 * 1440 + 1050, 2)]
    assert curve_of(told).at(8.0) > 1.6 * 2 * PRICE


# --- fill


def stored(blocks, *, holds=8.0, used=5.0, horizon_spec=None, **said):
    read = worlds.reading("rack-1/storj", holds, resource="storage", used=used, protocol="storj", **said)
    workload = worlds.workload(
        "rack-1/storj", traits=worlds.FILL, history=blocks, bounds=worlds.allocation("storage", 1, 16, 1), read=read
    )
    spec = horizon_spec or worlds.policy()
    found = curve(workload, worlds.node(storage=20), spec, worlds.NOW, draw([blocks], worlds.NOW, 1, 20))
    assert isinstance(found, Curve), found
    return found


def test_a_disk_that_is_full_for_three_weeks_still_knows_how_it_grew():
    weeks = 21 * 24
    filled_up = worlds.blocks(
        [4.0] * 48 + [5.0] * weeks, [False] * 48 + [True] * weeks, value=0.002, room_growth=[0.05] * 48 + [0.0] * weeks
    )
    assert stored(filled_up, holds=5.0).slope(5.0, step=1) == pytest.approx(0.002 * (1 - 0.5 / 8.4), rel=1e-2)


def test_time_without_room_is_not_time_without_growth():
    # half of the time full: it grew by 0.05 an hour while it had room, not by 0.025
    turns = worlds.blocks([5.0] * 96, [False, True] * 48, value=0.002, room_growth=[0.05, 0.0] * 48)
    room = worlds.blocks([5.0] * 96, [False] * 96, value=0.002, room_growth=[0.05] * 96)
    assert stored(turns).y == pytest.approx(stored(room).y)


def test_a_disk_has_no_allocation_below_what_it_stores():
    found = stored(worlds.blocks([5.4] * 96, [False] * 96, value=0.002, room_growth=[0.01] * 96), used=5.4)
    assert found.x[0] == 5.4


def test_a_fill_workload_looks_a_week_ahead_whatever_the_policys_horizon():
    room = worlds.blocks([5.0] * 96, [False] * 96, value=0.002, room_growth=[0.05] * 96)
    short = stored(room, horizon_spec=worlds.policy(objective={"horizon": "1h"}))
    assert short.horizon == 168 * HOUR
    assert short.y.tolist() == stored(room).y.tolist()
    assert short.slope(5.0, step=1) > 0  # within an hour not one of its steps would fill


@pytest.mark.parametrize("figure", ["room_hours", "room_growth", "span", "usd", "used_last"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_no_figure_of_a_block_breaks_a_fill_curve(figure, bad):
    room = worlds.blocks([5.0] * 96, [False] * 96, value=0.002, room_growth=[0.05] * 96)
    broken = getattr(room, figure).copy()
    broken[[0, 40, 95]] = bad
    assert stored(replace(room, **{figure: broken})).y == pytest.approx(stored(room).y, rel=1e-6)


# --- dilution


def test_a_stake_dilutes_itself():
    """0.05 USD/h for all stake, 19 000 of others and 1 000 of its own: the next token earns P O / (O + x)², not P / (O + x)."""
    read = worlds.reading(
        "chain/sponsor", 1000.0, resource="stake/DATA", protocol="streamr", pool=Pool({"DATA": 1.0}, 19_000.0),
        pool_payout_usd_per_hour=0.05,
    )  # fmt: skip
    workload = worlds.workload(
        "chain/sponsor", traits=worlds.DILUTION, history=worlds.always(1000.0),
        bounds=worlds.allocation("stake/DATA", 0, 200_000, 100), read=read,
    )  # fmt: skip
    found = curve(
        workload, worlds.node("chain", stake_DATA=200_000), worlds.policy(), worlds.NOW,
        draw([workload.blocks], worlds.NOW, 1, 0),
    )  # fmt: skip
    assert found.at(1000.0) == pytest.approx(0.05 * 1000 / 20_000)
    assert found.slope(1000.0, step=100) == pytest.approx(0.05 * 19_000 / 20_000 / 20_100 * 100)
    assert found.at(200_000.0) == pytest.approx(0.05 * 200 / 219)


# --- nonsense

FIGURES = [name for name in worlds.always(1.0).__slots__ if name not in {"tokens", "token_usd"}]


def with_nonsense(blocks, name, bad, where):
    broken = getattr(blocks, name).copy()
    with np.errstate(over="ignore"):
        broken[where] = bad
    return replace(blocks, **{name: broken})


def is_sound(found):
    """No curve, or one of numbers that is concave."""
    if not isinstance(found, Curve):
        return True
    slopes = np.diff(found.y) / np.diff(found.x)
    numbers = all(np.isfinite(part).all() for part in (found.x, found.y, found.replicates))
    return numbers and bool((np.diff(slopes) <= 1e-9 * max(1.0, float(np.abs(slopes).max()))).all())


@pytest.mark.parametrize("name", [*FIGURES, "tokens", "token_usd"])
@pytest.mark.parametrize("strategy", ["Threshold", "Predictive"])
def test_no_figure_of_a_block_makes_a_curve_of_demand_that_is_none(name, strategy):
    past = worlds.varying(5, capacity=8, hours=12)
    past = replace(past, tokens=0.1 * past.unit_hours, token_usd=past.usd)
    spec = worlds.policy(objective={"strategy": strategy})
    for bad in (np.nan, np.inf, -np.inf, 1e300, -1.0):
        for where in ([0], [-1], slice(None)):
            blocks = with_nonsense(past, name, bad, where)
            workload = worlds.workload(allocated=8.0, history=blocks)
            memory = remember([KEY], [1.0], [12.0], [blocks], worlds.NOW)
            expected = foresee(memory, worlds.NOW, 2.0, {KEY: blocks} if strategy == "Predictive" else None)
            weights = draw([blocks], worlds.NOW, 1, 5)
            found = curves([(workload, worlds.node(cpu=12))], spec, worlds.NOW, weights, {2 * HOUR: expected})
            assert is_sound(found[KEY]), (bad, where)


@pytest.mark.parametrize("name", FIGURES)
def test_no_figure_of_a_block_makes_a_curve_of_what_fills_that_is_none(name):
    past = worlds.blocks([5.0] * 30, [False] * 30, value=0.002, room_growth=[0.05] * 30)
    read = worlds.reading("rack-1/storj", 8.0, resource="storage", used=5.0, protocol="storj")
    bounds = worlds.allocation("storage", 1, 16, 1)
    for bad in (np.nan, np.inf, -np.inf, 1e300, -1.0):
        for where in ([0], [-1], slice(None)):
            blocks = with_nonsense(past, name, bad, where)
            workload = worlds.workload("rack-1/storj", traits=worlds.FILL, history=blocks, bounds=bounds, read=read)
            weights = draw([blocks], worlds.NOW, 1, 10)
            assert is_sound(curve(workload, worlds.node(storage=20), worlds.policy(), worlds.NOW, weights)), (
                bad,
                where,
            )
