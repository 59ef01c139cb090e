"""What a set of moves is worth: interval, confidence, cost, net benefit."""

import numpy as np
import pytest

from controller.model import Interval, Move
from controller.plan.worth import weigh, widening
from tests.controller.worlds import HOUR, line


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
