"""Past earnings at today's price: what is known in tokens is not judged by what a token was worth yesterday."""

import numpy as np
import pytest

from controller.decide import decide
from controller.estimate.prices import at_todays_price
from exporters.reading import Native
from tests.controller import worlds
from tests.controller.worlds import always, blocks, policy, reading, state, workload

GOLEM, AKASH = "rack-1/golem", "rack-1/akash"


def paid_in_glm(net, glm, **more):
    return reading(GOLEM, 6.0, used=6.0, net=net, native=Native({"GLM": glm} if glm is not None else {}), **more)


def test_two_hours_at_two_prices_count_at_the_third():
    past = blocks([1.0, 1.0], [False, False], usd=[0.10, 0.10], tokens=[1.0, 2.0])
    assert at_todays_price(past, paid_in_glm(0.05, 1.0)).usd == pytest.approx([0.05, 0.10])


def test_what_was_not_paid_in_that_token_stays():
    past = worlds.changed(
        blocks([1.0, 1.0], [False, False], usd=[0.10, 0.10], tokens=[1.0, 0.0]), token_usd=np.array([0.06, 0.0])
    )
    assert at_todays_price(past, paid_in_glm(0.05, 1.0)).usd == pytest.approx([0.09, 0.10])


def test_who_earns_nothing_now_is_judged_at_the_newest_price_that_it_was_paid_at():
    past = blocks([1.0, 1.0, 0.0], [False] * 3, usd=[0.10, 0.10, 0.0], tokens=[1.0, 2.0, 0.0])
    assert at_todays_price(past, paid_in_glm(0.0, 0.0)).usd == pytest.approx([0.05, 0.10, 0.0])


def test_a_published_price_in_tokens_tells_todays_price_too():
    said = paid_in_glm(0.0, None, price_usd_per_unit_hour={"cpu": 0.05})
    said = worlds.changed(said, native=Native({}, price_per_unit_hour={"cpu": {"GLM": 0.5}}))
    assert said.usd_per_token == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("net", "native"),
    [
        (0.1, Native({"USD": 0.1})),
        (0.1, Native({"GLM": 1.0, "AKT": 2.0})),
        (None, Native({"GLM": 1.0})),
        (0.0, Native({"GLM": 0.0})),
        (float("nan"), Native({"GLM": 1.0})),
        (-1.0, Native({"GLM": 1.0})),
        (1e308, Native({"GLM": 1e-308})),
    ],
    ids=["dollars", "two tokens", "no price", "nothing earned", "nan", "negative", "absurd"],
)
def test_without_one_price_the_past_stays_as_it_was_paid(net, native):
    said = worlds.changed(paid_in_glm(net, 1.0), native=native)
    assert said.usd_per_token is None
    past = blocks([1.0, 1.0], [False, False], usd=[0.1, 0.1])
    assert at_todays_price(past, said) is past


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_sums_that_cannot_be_are_left_as_they_were_paid(bad):
    past = blocks([1.0, 1.0], [False, False], usd=[0.1, 0.1], tokens=[bad, 1.0])
    assert at_todays_price(past, paid_in_glm(0.05, 1.0)).usd == pytest.approx([0.1, 0.05])


def test_a_price_that_halved_is_no_idle_workload():
    """Golem is full all the time; its token halves after a day. At today's price akash pays a third more for a core, but
    what a core beyond those that it has would earn is only supposed: moving cores there loses money.
    """
    usd = [0.18] * 24 + [0.09] * 24
    golem = workload(
        GOLEM, read=paid_in_glm(0.09, 1.0), history=blocks([6.0] * 48, [True] * 48, usd=usd, tokens=[1.0] * 48)
    )
    akash = workload(AKASH, 6.0, always(6.0, full=True, value=0.02))
    found = decide(state([golem, akash], spec=policy()))
    assert found.curves[GOLEM].value_per_unit_hour == pytest.approx(0.015)
    assert found.curves[GOLEM].at(4.0) == pytest.approx(0.06)
    assert sum(move.to - move.from_ for move in found.plan.moves) <= 0
    held = {GOLEM: 6.0, AKASH: 6.0} | {move.key: move.to for move in found.plan.moves}
    assert held[GOLEM] >= 5.0
