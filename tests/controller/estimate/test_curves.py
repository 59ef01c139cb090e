"""From a workload's history and newest reading to its curve, or to the reason why there is none."""

import numpy as np
import pytest

from controller.estimate.breakpoints import MAX_POINTS, grid
from controller.estimate.curves import curve
from controller.estimate.weights import draw
from controller.model import Curve, Reason
from controller.policy import PolicySpec
from exporters.nodes import Power, TariffWindow, Watts
from exporters.reading import Native, Pool
from exporters.traits import CurveKind, Traits
from tests.controller import worlds
from tests.controller.worlds import HOUR, NOW


def made(workload, *, node=None, spec=None):
    return curve(workload, node or worlds.node(cpu=12), spec or PolicySpec(), NOW, draw([workload.blocks], NOW, 1))


def curve_of(workload, **more):
    found = made(workload, **more)
    assert isinstance(found, Curve), found
    return found


def reason_of(workload, **more):
    found = made(workload, **more)
    assert isinstance(found, tuple), found
    return found


# --- demand


def test_the_worked_demand_curve_of_the_economics():
    # one kernel weight for all four: they lie within one hour
    history = worlds.blocks([2, 8, 8, 4], [False, True, True, False], span=60.0, value=0.03)
    spec = worlds.policy(minHistory="0s")
    found = curve_of(worlds.workload(allocated=8.0, history=history), spec=spec)
    assert [found.at(x) for x in (2, 4, 8)] == pytest.approx([0.060, 0.105, 0.165], rel=1e-3)
    assert found.value_per_unit_hour == pytest.approx(0.03)


def test_a_curve_has_its_breakpoints_where_allocations_may_be():
    found = curve_of(worlds.workload(allocated=5.5, history=worlds.always(3.0)))
    assert found.x.tolist() == [0, 1, 2, 3, 4, 5, 5.5, 6, 7, 8, 9, 10, 11, 12]


def test_idle_room_earns_nothing():
    found = curve_of(worlds.workload(history=worlds.always(2.0)))
    assert found.at(2) == pytest.approx(0.06)
    assert found.slope(6, step=1) == pytest.approx(0.0, abs=1e-12)


def test_what_is_always_full_is_tried_with_more():
    found = curve_of(worlds.workload(history=worlds.always(6.0, full=True)))
    assert 0.6 * 0.03 < found.slope(6, step=1) < 0.03


def test_replicates_spread_around_the_point_estimate():
    found = curve_of(worlds.workload(history=worlds.varying(5, capacity=6)))
    assert found.replicates.shape == (200, len(found.x))
    low, high = np.quantile(found.replicates[:, 6], [0.1, 0.9])
    assert low < found.y[6] < high


def test_a_published_price_stands_in_where_nothing_was_used_yet():
    idle = worlds.blocks([4.0] * 10, [False] * 10)
    unpaid = worlds.changed(idle, usd=np.zeros(10), unit_hours=np.zeros(10))
    read = worlds.reading("rack-1/golem", 6.0, used=4.0, price_usd_per_unit_hour={"cpu": 0.05})
    assert curve_of(worlds.workload(history=unpaid, read=read)).value_per_unit_hour == 0.05


def test_a_published_price_is_taken_net_in_the_proportion_of_the_rates_before_energy():
    idle = worlds.blocks([4.0] * 10, [False] * 10)
    unpaid = worlds.changed(idle, usd=np.zeros(10), unit_hours=np.zeros(10))
    read = worlds.reading(
        "rack-1/golem",
        6.0,
        used=4.0,
        price_usd_per_unit_hour={"cpu": 0.05},
        rate_usd_per_hour=0.2,
        net_usd_per_hour=0.05,  # after 0.05 of energy, which is charged elsewhere
        native=Native({"GLM": 2.0}, {"GLM": 1.0}),
    )
    assert curve_of(worlds.workload(history=unpaid, read=read)).value_per_unit_hour == 0.025


def test_who_was_given_nothing_for_days_is_worth_what_it_earned_before_and_is_tried_again():
    history = worlds.blocks([4.0] * 20 + [0.0] * 80, [False] * 20 + [True] * 80, value=0.04)
    found = curve_of(worlds.workload(allocated=0.0, history=history, used=0.0))
    assert found.value_per_unit_hour == pytest.approx(0.04)
    assert found.slope(0, step=1) > 0.5 * 0.04


def test_what_nobody_wants_earns_nothing_whatever_a_unit_might_be_worth():
    found = curve_of(worlds.workload(history=worlds.always(0.0), used=0.0))
    assert (found.y == 0).all()
    assert found.value_per_unit_hour is None


def test_use_without_any_worth_is_unpriced():
    used = worlds.blocks([4.0] * 10, [False] * 10)
    unpaid = worlds.changed(used, usd=np.zeros(10), unit_hours=np.zeros(10), rate_hours=np.zeros(10))
    assert reason_of(worlds.workload(history=unpaid))[0] is Reason.UNPRICED


def test_use_that_was_never_seen_is_no_history():
    seen = worlds.always(4.0)
    blind = worlds.changed(seen, exact=seen.exact * 0, censored=seen.censored * 0)
    assert reason_of(worlds.workload(history=blind))[0] is Reason.NO_HISTORY


# --- use against earnings


def lying(rates):
    """Says that it is full at every look; what it earns follows another story."""
    hours = len(rates)
    return worlds.blocks([8.0] * hours, [True] * hours, usd=[8 * rate for rate in rates])


def test_a_workload_that_is_always_full_but_earns_on_less_is_believed_by_its_earnings():
    # 12 h at 0.03 a core-hour, 12 h at 0.01, three times: most of the time a third of it is wanted
    history = lying(([0.01] * 18 + [0.03] * 6) * 3)
    found = curve_of(worlds.workload(allocated=8.0, history=history))
    assert "believed by its earnings" in found.why
    assert found.slope(7, step=1) < 0.5 * found.slope(1, step=1)
    assert found.at(8) == pytest.approx(float(np.mean([0.08] * 18 + [0.24] * 6)), rel=0.25)


def test_a_workload_that_earns_as_it_is_used_is_believed_by_its_use():
    assert "believed" not in curve_of(worlds.workload(allocated=8.0, history=lying([0.03] * 72))).why


def test_lumps_of_credit_within_six_hours_are_no_disagreement():
    assert "believed" not in curve_of(worlds.workload(allocated=8.0, history=lying(([0.0] * 5 + [0.18]) * 12))).why


# --- fill


def storing(used, allocated, *, history=None, growth=0.0, hours=200, **said):
    history = (
        worlds.blocks([used] * hours, [False] * hours, value=0.002, room_growth=[growth] * hours)
        if history is None
        else history
    )
    read = worlds.reading("rack-1/storj", allocated, resource="storage", used=used, protocol="storj", **said)
    bounds = worlds.allocation("storage", 1, 12, 1)
    return worlds.workload("rack-1/storj", traits=worlds.FILL, history=history, bounds=bounds, read=read)


DISK = worlds.node(storage=20)


def test_a_fill_curve_begins_at_what_is_stored():
    found = curve_of(storing(5.2, 8.0, growth=0.01), node=DISK)
    assert found.x[0] == 5.2
    assert found.horizon == 168 * HOUR
    # what is stored earns, and over 168 h it grows by 1.68
    assert found.y[0] == pytest.approx(0.002 * 5.2)
    assert found.at(8.0) == pytest.approx(0.002 * (5.2 + 0.84), rel=1e-6)


def test_growth_that_was_never_seen_is_taken_from_what_the_node_tells():
    full = worlds.always(5.0, full=True, value=0.002)
    found = curve_of(storing(5.0, 5.0, history=full, growth_per_hour=0.1), node=DISK)
    assert "the node tells" in found.why
    assert found.slope(5.0, step=1) > 0.8 * 0.002


@pytest.mark.parametrize("told", [None, 0.0, float("nan")], ids=["unknown", "none while full", "not a number"])
def test_a_node_that_is_full_for_ever_keeps_a_small_slope(told):
    full = worlds.always(5.0, full=True, value=0.002)
    found = curve_of(storing(5.0, 5.0, history=full, growth_per_hour=told), node=DISK)
    assert "nobody knows" in found.why
    assert 0 < found.slope(5.0, step=1) < 0.5 * 0.002
    assert np.ptp(found.replicates[:, -1]) > 0


def test_more_stored_than_allowed_keeps_the_curve_concave():
    found = curve_of(storing(6.4, 5.0, growth=0.05), node=DISK)
    assert found.x[0] == 5.0
    slopes = np.diff(found.y) / np.diff(found.x)
    assert (np.diff(slopes) <= 1e-12).all()


def test_unknown_storage_is_no_history():
    blind = worlds.changed(worlds.always(5.0, value=0.002), used_last=np.full(48, np.nan))
    assert reason_of(storing(None, 8.0, history=blind), node=DISK)[0] is Reason.NO_HISTORY


def test_the_last_known_use_stands_in_for_one_that_is_not_told():
    assert curve_of(storing(None, 8.0, history=worlds.always(5.0, value=0.002)), node=DISK).x[0] == 5.0


# --- dilution


def staked(payout, others, stake=1000.0, **said):
    read = worlds.reading(
        "chain/sponsor",
        stake,
        resource="stake/DATA",
        protocol="streamr",
        pool=Pool({"DATA": 1.0}, others),
        pool_payout_usd_per_hour=payout,
        **said,
    )
    bounds = worlds.allocation("stake/DATA", 0, 10_000, 500)
    return worlds.workload(
        "chain/sponsor", traits=worlds.DILUTION, history=worlds.always(stake), bounds=bounds, read=read
    )


def test_a_dilution_curve_shares_the_net_payout_by_stake():
    found = curve_of(staked(0.05, 19_000.0), node=worlds.node("chain", stake_DATA=10_000))
    assert found.at(1000.0) == pytest.approx(0.05 / 20)
    assert found.replicates == pytest.approx(np.tile(found.y, (200, 1)))  # its payout never wandered


@pytest.mark.parametrize(("payout", "others"), [(None, 1.0), (0.05, float("nan")), (float("nan"), 1.0), (0.05, -1.0)])
def test_a_pool_of_which_a_figure_is_unknown_is_unpriced(payout, others):
    assert reason_of(staked(payout, others))[0] is Reason.UNPRICED


def test_a_pool_that_does_not_run_earns_nothing():
    assert (curve_of(staked(0.0, 19_000.0)).y == 0).all()


# --- running cost


def test_energy_is_subtracted_as_a_line():
    plain = worlds.workload(history=worlds.always(2.0))
    costly = curve_of(
        worlds.changed(plain, watts=Watts(per_step=10)), node=worlds.node(power=Power(usd_per_kwh=0.3), cpu=12)
    )
    assert costly.y == pytest.approx(curve_of(plain).y - 0.003 * costly.x)
    assert "energy 0.003 USD/h a step" in costly.why


def test_energy_is_charged_at_the_tariff_of_the_coming_horizon():
    # NOW is 08:00 UTC; the tariff falls to 0 at 09:00, half of the 2 h horizon
    night = TariffWindow(cron="0 9 * * *", duration="12h", usd_per_kwh=0.0)
    workload = worlds.changed(worlds.workload(history=worlds.always(2.0)), watts=Watts(per_step=10))
    found = curve_of(workload, node=worlds.node(power=Power(usd_per_kwh=0.3, windows=[night]), cpu=12))
    assert found.slope(8, step=1) == pytest.approx(-0.0015)


# --- the frame


def test_the_horizon_is_the_protocols_own_or_the_policys():
    own = Traits(curve=CurveKind.DEMAND, resource="cpu", horizon=5 * HOUR)
    assert curve_of(worlds.workload(history=worlds.always(2.0), traits=own)).horizon == 5 * HOUR
    assert curve_of(worlds.workload(history=worlds.always(2.0))).horizon == 2 * HOUR


def test_a_fine_grid_is_thinned_out_but_for_its_ends_and_around_the_current_value():
    bounds = worlds.allocation("cpu", 0, 5000, 1)
    found = curve_of(worlds.workload(allocated=777.0, history=worlds.always(500.0), bounds=bounds))
    assert len(found.x) <= MAX_POINTS + 10
    assert {0.0, *(777.0 + np.arange(-32, 33)), 5000.0} <= set(found.x.tolist())


@pytest.mark.parametrize(
    ("bounds", "least", "expected"),
    [
        ((0, 3, 1), 0, [0, 1, 2, 3]),
        ((1, 3.5, 1), 0, [1, 2, 3]),
        ((0, 3, 1), 1.5, [2, 3]),
        ((0, 0.3, 0.1), 0, [0, 0.1, 0.2, 0.3]),
        ((2, 2, 1), 0, [2]),
        ((0, 3, 1), 9, []),
    ],
    ids=["whole", "max off the grid", "the protocol's minimum", "tenths", "one value", "nothing allowed"],
)
def test_the_step_grid(bounds, least, expected):
    assert grid(worlds.allocation("cpu", *bounds), least) == pytest.approx(expected)


def test_money_that_cannot_be_true_is_not_believed():
    seen = worlds.always(4.0)
    assert reason_of(worlds.workload(history=worlds.changed(seen, usd=np.full(48, 1e308))))[0] is Reason.UNPRICED


def test_a_tariff_that_cannot_be_true_gives_no_curve():
    workload = worlds.changed(worlds.workload(history=worlds.always(2.0)), watts=Watts(per_step=10))
    reason, sentence = reason_of(
        workload, node=worlds.node(power=Power.model_construct(usd_per_kwh=float("inf"), windows=[]), cpu=12)
    )
    assert reason is Reason.NO_HISTORY
    assert "cannot be true" in sentence


def test_a_hole_in_the_history_is_a_hole_and_nothing_more():
    seen = worlds.always(4.0)
    usd = seen.usd.copy()
    usd[3] = np.nan
    exact = seen.exact.copy()
    exact[5] = np.nan
    assert curve_of(worlds.workload(history=worlds.changed(seen, usd=usd, exact=exact))).at(4) > 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"allocation": None}, "declares no allocation"), ({"traits": Traits()}, "curve none")],
    ids=["no allocation", "no curve"],
)
def test_what_is_only_watched_has_no_curve(changes, words):
    reason, sentence = reason_of(worlds.changed(worlds.workload(history=worlds.always(2.0)), **changes))
    assert reason is Reason.BOUNDS
    assert words in sentence
