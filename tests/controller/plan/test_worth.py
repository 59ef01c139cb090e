"""What a set of moves is worth: interval, confidence, cost, net benefit."""

from dataclasses import replace
from math import inf, isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model import Interval, Learned, Move
from controller.plan.worth import UNTAUGHT, Trust, surest, trust, weigh, weigh_each, widening
from tests.controller.worlds import HOUR, competing, line


def move(key="rack-1/a", from_=0.0, to=1.0, cost=0.0):
    return Move(key, "rack-1", "cpu", from_, to, 0.0, cost)


def spread(key="rack-1/a", gains=(0.0, 1.0), **more):
    """A curve whose first unit earns each of these in one replicate."""
    rows = np.array([[0.0, gain] for gain in gains])
    return line(key, [0, 1], [0.0, float(np.mean(gains))], replicates=rows, **more)


def test_no_moves_are_worth_nothing():
    assert weigh([], {}).gain == Interval(0.0, 0.0, 0.0)


def test_the_gain_counts_over_each_workloads_own_horizon():
    curves = {
        "rack-1/a": line("rack-1/a", [0, 1], [0, 0.1]),
        "rack-1/b": line("rack-1/b", [0, 1], [0, 0.01], horizon=72 * HOUR),
    }
    worth = weigh([move(cost=0.05), move("rack-1/b", cost=0.02)], curves)
    assert worth.gain.expected == pytest.approx(0.11)
    assert worth.cost_usd == pytest.approx(0.07)
    assert worth.net_usd == pytest.approx(0.1 * 2 + 0.01 * 72 - 0.07)


def test_the_expected_gain_is_that_of_the_curve_between_its_breakpoints():
    assert weigh([move(to=0.25)], {"rack-1/a": line("rack-1/a", [0, 1], [0, 0.1])}).gain.expected == pytest.approx(
        0.025
    )


def test_confidence_is_the_share_of_replicates_in_which_it_pays():
    # over 2 h: 0, 0.2, 0.4 ... 2.0 USD; more than 0.5 in 8 of 11
    curve = spread(gains=np.arange(11) / 10)
    assert weigh([move(cost=0.5)], {"rack-1/a": curve}).confidence == pytest.approx(8 / 11)


def test_a_gain_of_exactly_nothing_does_not_count_as_one():
    assert weigh([move()], {"rack-1/a": spread(gains=(0.0, 0.0))}).confidence == 0.0


def test_what_falls_when_another_rises_narrows_the_interval_of_both():
    up, down = spread(gains=np.arange(11) / 10), spread("rack-1/b", gains=1 - np.arange(11) / 10)
    alone = weigh([move()], {"rack-1/a": up}).gain
    both = weigh([move(), move("rack-1/b")], {"rack-1/a": up, "rack-1/b": down}).gain
    assert both.high - both.low == pytest.approx(0.0, abs=1e-12)
    assert alone.high - alone.low > 0.8


def test_the_interval_is_widened_for_what_the_future_itself_may_do():
    curve = spread(gains=np.arange(11) / 10, exposure=72.0)
    gain = weigh([move()], {"rack-1/a": curve}).gain
    assert gain.high - gain.expected == pytest.approx(0.4 * widening(curve))


@pytest.mark.parametrize(
    ("exposure", "horizon", "factor"),
    [(72.0, 2.0, 4.2), (0.0, 2.0, 1.0), (2.0, 2.0, 1.414), (72.0, 72.0, 1.21)],
    ids=["three days, two hours", "nothing seen", "as long as what is to come", "a fill horizon"],
)
def test_the_widening(exposure, horizon, factor):
    assert widening(line("rack-1/a", [0, 1], [0, 1], exposure=exposure, horizon=horizon * HOUR)) == pytest.approx(
        factor, abs=0.02
    )


def test_curves_that_nothing_is_uncertain_about_go_with_those_that_are():
    curves = {"rack-1/a": spread(gains=(0.5, 1.5)), "rack-1/b": line("rack-1/b", [0, 1], [0.0, 1.0])}
    assert weigh([move(), move("rack-1/b")], curves).gain.expected == pytest.approx(2.0)


def test_a_move_without_a_curve_cannot_be_weighed():
    with pytest.raises(KeyError):
        weigh([move()], {})


def test_the_widening_goes_by_the_hours_that_the_estimate_says_it_rests_on():
    curve = line("rack-1/a", [0, 1], [0, 1], exposure=72.0, horizon=2 * HOUR)
    assert widening(replace(curve, effective=6.0)) == pytest.approx(2.0)
    assert widening(replace(curve, effective=float("nan"))) == widening(curve)


# --- many sets at once


@st.composite
def sets_of_moves(draw):
    """Curves of all kinds of certainty, and sets of moves on them, some empty and some from or to off the curve."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    curves = {}
    for number in range(draw(st.integers(1, 6))):
        size = draw(st.integers(1, 6))
        x = np.cumsum(rng.random(size)) * draw(st.sampled_from([1.0, 1e12]))
        y = np.cumsum(rng.random(size))
        rows = y + rng.standard_normal((draw(st.sampled_from([1, 5])), size)) * 0.1
        key = f"rack-1/w{number}"
        curves[key] = replace(
            line(key, x, y, replicates=rows if len(rows) > 1 else None, horizon=draw(st.sampled_from([2, 72])) * HOUR),
            unseen=draw(st.sampled_from([None, np.stack([y * 0.5, y * 1.5])])), supposes=f"{key} does",
            influence=draw(st.sampled_from([None, rng.standard_normal((3, size))])), columns=rng.permutation(5)[:3],
        )  # fmt: skip

    def one(key):
        low, high = sorted(rng.uniform(curves[key].x[0] - 1, curves[key].x[-1] + 1, 2).tolist())
        return Move(key, "rack-1", "cpu", *draw(st.permutations([low, high])), 0.0, draw(st.sampled_from([0.0, 0.3])))

    members = st.lists(st.sampled_from(sorted(curves)), max_size=3, unique=True)
    return curves, [[one(key) for key in draw(members)] for _ in range(draw(st.integers(0, 5)))]


@given(sets_of_moves())
def test_sets_that_are_weighed_together_are_worth_what_each_is_alone(made):
    curves, sets = made
    for moves, worth in zip(sets, weigh_each(sets, curves), strict=True):
        alone = weigh(moves, curves)
        assert worth.gain.expected == pytest.approx(alone.gain.expected, abs=1e-12)
        assert (worth.gain.low, worth.gain.high) == pytest.approx((alone.gain.low, alone.gain.high), abs=1e-12)
        assert (worth.net_usd, worth.confidence) == pytest.approx((alone.net_usd, alone.confidence), abs=1e-12)
        assert worth.supposes == alone.supposes


@given(sets_of_moves())
def test_the_expected_gain_is_the_difference_on_the_curves_and_lies_within_its_interval(made):
    curves, sets = made
    for moves in sets:
        worth = weigh(moves, curves)
        each = [curves[m.key].at(m.to) - curves[m.key].at(m.from_) for m in moves]
        assert worth.gain.expected == pytest.approx(sum(each), abs=1e-9)
        assert worth.gain.low <= worth.gain.expected + 1e-12
        assert worth.gain.high >= worth.gain.expected - 1e-12
        assert 0 <= worth.confidence <= surest(48.0)


def test_thousands_of_moves_are_weighed_in_pieces_and_no_piece_is_lost():
    curves = {f"rack-1/w{i}": line(f"rack-1/w{i}", [0, 1], [0.0, i]) for i in range(2500)}
    sets = [[move(key)] for key in curves]
    assert [worth.gain.expected for worth in weigh_each(sets, curves)] == list(range(2500))
    assert weigh([one for each in sets for one in each], curves).gain.expected == sum(range(2500))


# --- the closed form


def by_hour(key="rack-1/a", hours=(0.1,), columns=None, gain=1.0, **more):
    """A curve whose first unit earns `gain`, give or take these of the hours."""
    told = np.array([[0.0, each] for each in hours])
    numbers = np.arange(len(told)) if columns is None else np.array(columns)
    return replace(line(key, [0, 1], [0.0, gain], **more), influence=told, columns=numbers)


def test_the_interval_of_a_closed_form_is_normal_and_widened_for_the_future():
    curve = by_hour(hours=(0.3, 0.4), exposure=72.0)  # deviation 0.5
    gain = weigh([move()], {"rack-1/a": curve}).gain
    assert gain.high - gain.expected == pytest.approx(1.2816 * 0.5 * widening(curve), rel=1e-4)
    assert gain.expected - gain.low == pytest.approx(gain.high - gain.expected)


@pytest.mark.parametrize(
    ("cost", "sure"), [(0.0, 0.9772), (1.0, 0.8413), (2.0, 0.5), (3.0, 0.1587)], ids=["free", "half", "all", "more"]
)
def test_the_confidence_of_a_closed_form_is_how_likely_the_gain_is_above_the_cost(cost, sure):
    # 1 USD/h for 2 h, give or take 0.5 USD/h
    assert weigh([move(cost=cost)], {"rack-1/a": by_hour(hours=(0.5,))}).confidence == pytest.approx(sure, abs=1e-4)


def test_hours_that_two_workloads_share_cancel_or_add_up_and_others_do_not():
    moves = [move(), move("rack-1/b")]

    def width(columns, sign):
        curves = {"rack-1/a": by_hour(hours=(0.3,)), "rack-1/b": by_hour("rack-1/b", (sign * 0.3,), columns)}
        gain = weigh(moves, curves).gain
        return (gain.high - gain.low) / (2 * 1.2816 * widening(curves["rack-1/a"]))

    assert width([0], 1) == pytest.approx(0.6, rel=1e-4)
    assert width([0], -1) == pytest.approx(0.0, abs=1e-9)
    assert width([7], 1) == pytest.approx(0.3 * 2**0.5, rel=1e-4)
    assert width([10**12], 1) == pytest.approx(0.3 * 2**0.5, rel=1e-4)


def test_the_closed_form_is_what_very_many_replicates_come_to():
    rng = np.random.default_rng(0)
    told = rng.standard_normal((50, 2)) * [0.0, 0.05]
    weights = rng.standard_exponential((40_000, 50)) - 1
    curve = line("rack-1/a", [0, 1], [0.0, 0.5], replicates=[0.0, 0.5] + weights @ told)
    drawn = weigh([move(cost=0.5)], {"rack-1/a": curve})
    closed = weigh([move(cost=0.5)], {"rack-1/a": by_hour(hours=told[:, 1], gain=0.5)})
    assert closed.gain.low == pytest.approx(drawn.gain.low, abs=0.05)
    assert closed.gain.high == pytest.approx(drawn.gain.high, abs=0.05)
    assert closed.confidence == pytest.approx(drawn.confidence, abs=0.02)


def test_a_closed_form_beside_replicates_counts_as_apart_from_them():
    curves = {"rack-1/a": spread(gains=1 + 0.4 * np.array([-1.0, 1.0])), "rack-1/b": by_hour("rack-1/b", (0.3,))}
    gain = weigh([move(), move("rack-1/b")], curves).gain
    assert gain.expected == pytest.approx(2.0)
    assert gain.high - gain.expected == pytest.approx(1.2816 * 0.5 * widening(curves["rack-1/a"]), rel=1e-4)


def test_with_neither_there_is_no_width_and_nobody_is_surer_than_the_hours_seen():
    worth = weigh([move()], {"rack-1/a": line("rack-1/a", [0, 1], [0, 1.0], exposure=2.0)})
    assert worth.gain == Interval(1.0, 1.0, 1.0)
    assert worth.confidence == surest(2.0)


# --- what was learned


def test_a_policy_that_learned_nothing_believes_its_curves():
    assert (trust(competing()).spread, trust(competing()).credit) == (UNTAUGHT.spread, UNTAUGHT.credit)


@pytest.mark.parametrize(
    ("learned", "spread_by", "credit"),
    [
        (Learned(spread=2.0), 2.0, {}),
        (Learned(spread=float("nan")), 1.0, {}),
        (Learned(spread=inf), 1.0, {}),
        (Learned(spread=0.0), 1.0, {}),
        (Learned(penalty={"golem": 0.4}), 1.0, {"rack-1/golem": 0.4}),
        (Learned(penalty={"golem": 1.7, "mapped": float("nan")}), 1.0, {"rack-1/golem": 0.0, "rack-1/akash": 0.0}),
        (Learned(penalty={"storj": 0.4}), 1.0, {}),
    ],
    ids=["wider", "no number", "endless", "nothing", "one protocol", "no shares", "a protocol that is not here"],
)
def test_what_was_learned_by_workload(learned, spread_by, credit):
    found = trust(competing(learned=learned))
    assert (found.spread, dict(found.credit)) == (spread_by, credit)


@pytest.mark.parametrize(
    "curve", [spread(gains=np.arange(11) / 10), by_hour(hours=(0.3,))], ids=["drawn", "closed form"]
)
def test_an_interval_that_missed_too_often_is_wider_and_nothing_else_changes(curve):
    plain, wide = (weigh([move()], {"rack-1/a": curve}, Trust(spread=s)) for s in (1.0, 3.0))
    assert wide.gain.high - wide.gain.expected == pytest.approx(3 * (plain.gain.high - plain.gain.expected))
    assert (wide.gain.expected, wide.net_usd, wide.confidence) == (plain.gain.expected, plain.net_usd, plain.confidence)


@pytest.mark.parametrize("curve", [spread(gains=(0.8, 1.2)), by_hour(hours=(0.1,))], ids=["drawn", "closed form"])
def test_of_a_promise_whose_like_was_not_kept_less_counts_and_the_promise_stays_what_it_is(curve):
    worth = weigh([move(cost=1.5)], {"rack-1/a": curve}, Trust(credit={"rack-1/a": 0.5}))
    assert worth.gain.expected == pytest.approx(1.0)
    assert worth.net_usd == pytest.approx(2.0 - 1.5)
    assert (worth.counted, worth.counted_usd) == pytest.approx((0.5, 1.0))
    assert worth.confidence < 0.01  # 1 USD is never 1.5


def test_what_a_workload_loses_counts_in_full():
    curves = {"rack-1/a": line("rack-1/a", [0, 1], [0, 1.0]), "rack-1/b": line("rack-1/b", [0, 1], [0, 0.4])}
    moves = [move(), move("rack-1/b", 1.0, 0.0)]
    worth = weigh(moves, curves, Trust(credit={"rack-1/a": 0.5, "rack-1/b": 0.5}))
    assert worth.counted == pytest.approx(0.5 - 0.4)


# --- figures that are none


@pytest.mark.parametrize("bad", [inf, -inf, float("nan")])
def test_a_replicate_that_is_no_number_leaves_an_interval_without_bounds(bad):
    worth = weigh([move()], {"rack-1/a": replace(spread(), replicates=np.array([[0, bad]] * 2))})
    assert (worth.gain.low, worth.gain.expected, worth.gain.high) == (-inf, 0.5, inf)


@pytest.mark.parametrize("bad", [inf, float("nan")])
def test_nobody_is_sure_of_a_closed_form_that_is_no_number(bad):
    worth = weigh([move()], {"rack-1/a": by_hour(hours=(bad,))})
    assert (worth.gain.low, worth.gain.high, worth.confidence) == (-inf, inf, 0.0)


def test_a_price_that_is_no_number_is_no_gain_and_spoils_no_other_set():
    curves = {"rack-1/a": line("rack-1/a", [0, 1], [0, float("nan")]), "rack-1/b": line("rack-1/b", [0, 1], [0, 1.0])}
    bad, good = weigh_each([[move()], [move("rack-1/b")]], curves)
    assert isnan(bad.gain.expected)
    assert bad.confidence == 0.0
    assert good == weigh([move("rack-1/b")], curves)


def test_influence_without_columns_is_its_own_first_second_third_hour():
    told = replace(by_hour(hours=(0.3, 0.4)), columns=None)
    assert weigh([move()], {"rack-1/a": told}) == weigh([move()], {"rack-1/a": by_hour(hours=(0.3, 0.4))})


def lately(key="rack-1/a", *, gain=1.0, differs, **more):
    """A curve whose first unit earns `gain`, by so much more or less in each window of the past."""
    windows = np.stack([np.zeros(len(differs)), np.asarray(differs, float)], axis=1)
    return replace(line(key, [0, 1], [0.0, gain], **more), windows=windows)


def test_windows_of_the_past_say_how_far_a_horizon_may_differ():
    uniform = lately(differs=np.resize(np.linspace(-1, 1, 8), 72))
    found = weigh([move()], {"rack-1/a": uniform})
    assert found.gain.low == pytest.approx(1.0 - 0.86, abs=0.15)
    assert found.gain.high == pytest.approx(1.0 + 0.86, abs=0.15)


def test_a_gain_that_comes_seldom_has_more_room_above_than_below():
    bursts = np.where(np.arange(72) % 6 == 0, 5.0, -1.0)
    gain = weigh([move()], {"rack-1/a": lately(differs=bursts)}).gain
    assert gain.high - gain.expected > 4 * (gain.expected - gain.low)


def test_what_two_workloads_lose_and_win_in_the_same_window_cancels():
    noise = np.random.default_rng(0).standard_normal(72)
    curves = {"rack-1/a": lately(differs=noise), "rack-1/b": lately("rack-1/b", differs=-noise)}
    gain = weigh([move(), move("rack-1/b")], curves).gain
    assert (gain.low, gain.high) == (pytest.approx(2.0), pytest.approx(2.0))


def test_the_spread_of_windows_and_of_the_mean_are_apart_so_their_squares_add():
    means, windows = np.linspace(0.7, 1.3, 201), np.resize(np.linspace(-0.4, 0.4, 9), 72)
    rows = np.stack([np.zeros(201), means], axis=1)
    alone = weigh([move()], {"rack-1/a": lately(differs=windows)}).gain
    both = weigh([move()], {"rack-1/a": lately(differs=windows, replicates=rows)}).gain
    assert both.high - 1.0 == pytest.approx(np.hypot(0.24, alone.high - 1.0))


def test_what_earlier_intervals_missed_by_widens_windows_too():
    curves = {"rack-1/a": lately(differs=np.resize([-1.0, 1.0], 72))}
    once, twice = (weigh([move()], curves, Trust(spread=s)).gain for s in (1.0, 2.0))
    assert twice.high - 1.0 == pytest.approx(2 * (once.high - 1.0))


@pytest.mark.parametrize("seen", [0, 5])
def test_too_few_windows_say_nothing(seen):
    differs = np.where(np.arange(72) < seen, 3.0 * (-1.0) ** np.arange(72), np.nan)
    gain = weigh([move()], {"rack-1/a": lately(differs=differs)}).gain
    assert (gain.low, gain.high) == (1.0, 1.0)


def test_one_workload_without_windows_leaves_the_set_to_its_replicates():
    rows = np.array([[0.0, 0.5], [0.0, 1.5]])
    curves = {
        "rack-1/a": lately(differs=np.resize([-9.0, 9.0], 72)),
        "rack-1/b": line("rack-1/b", [0, 1], [0, 1], replicates=rows),
    }
    mixed = weigh([move(), move("rack-1/b")], curves).gain
    without = weigh([move(), move("rack-1/b")], curves | {"rack-1/a": line("rack-1/a", [0, 1], [0, 1])}).gain
    assert mixed == without
