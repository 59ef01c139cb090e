"""When a plan is worth doing: the gates, falls that count at once, and rises that must last."""

from dataclasses import replace
from math import inf, nan

import pytest

from controller.model import Interval, Learned, Move, Reason, Verdict
from controller.plan.strategy import is_fall, rises_after, strategy_of, too_soon, unworthy
from controller.plan.worth import Worth, trust, weigh
from controller.policy import Objective
from tests.controller.worlds import HOUR, NOW, competing, line, policy

GOLEM, AKASH = "rack-1/golem", "rack-1/akash"
CURVES = {
    GOLEM: line(GOLEM, [0, 6, 12], [0.0, 0.2, 0.4]),
    AKASH: line(AKASH, [0, 2, 12], [0.0, 0.06, 0.06]),
}


def move(key, from_, to, cost=0.0):
    return Move(key, "rack-1", "cpu", from_, to, 0.0, cost)


TRANSFER = [move(AKASH, 6.0, 4.0), move(GOLEM, 6.0, 8.0)]


def why(moves=TRANSFER, curves=CURVES, earns=0.26, **world):
    state = competing(spec=world.pop("spec", policy()), **world)
    return unworthy(state, moves, curves, weigh(moves, curves, trust(state)), earns)


def worth(counted=0.1, counted_usd=0.2, cost=0.0, confidence=0.9):
    return Worth(Interval(0.0, 0.1, 0.2), cost, 0.2 - cost, confidence, counted, counted_usd)


# --- the gates


def test_what_gains_enough_pays_and_is_sure_is_worth_doing():
    assert why() is None


@pytest.mark.parametrize(
    ("found", "spec", "reason"),
    [
        (worth(), policy(), None),
        (worth(counted=0.0), policy(minImprovement={"percent": 0}), Reason.LOW_GAIN),
        (worth(counted=-0.1), policy(minImprovement={"percent": 0}), Reason.LOW_GAIN),
        (worth(counted=nan), policy(), Reason.LOW_GAIN),
        (worth(counted=inf), policy(), Reason.LOW_GAIN),
        (worth(counted=0.0099), policy(), Reason.LOW_GAIN),
        (worth(counted=0.01), policy(), None),
        (worth(counted=0.2), policy(minImprovement={"usdPerHour": 0.25}), Reason.LOW_GAIN),
        (worth(counted_usd=0.109, cost=0.1), policy(), Reason.NO_PAYBACK),
        (worth(counted_usd=0.111, cost=0.1), policy(), None),
        (worth(counted_usd=nan, cost=0.1), policy(), Reason.NO_PAYBACK),
        (worth(counted_usd=-0.1), policy(), Reason.NO_PAYBACK),
        (worth(confidence=0.69), policy(), Reason.LOW_CONFIDENCE),
        (worth(confidence=0.7), policy(), None),
        (worth(confidence=nan), policy(minConfidence=0), Reason.LOW_CONFIDENCE),
        (worth(confidence=0.0), policy(minConfidence=0), None),
    ],
    ids=[
        "good", "no gain", "a loss", "a gain that is no number", "an endless gain", "less than 1 %", "just 1 %", "less than the least sum",
        "less than 1.1 times its cost", "more than 1.1 times its cost", "money that is no number",
        "what loses money is not paid for by moving for nothing", "not sure", "just sure", "a confidence that is no number",
        "nobody asks how sure",
    ],
)  # fmt: skip
def test_the_gates_of_threshold(found, spec, reason):
    refused = unworthy(competing(spec=spec), TRANSFER, CURVES, found, 1.0)
    assert (refused[0] if refused else None) is reason


@pytest.mark.parametrize("strategy", ["Threshold", "Interval", "Predictive", "RiskAware"])
def test_the_gates_are_the_same_for_every_strategy(strategy):
    spec = policy(objective={"strategy": strategy}, minImprovement={"percent": 50})
    assert why(spec=policy(objective={"strategy": strategy})) is None
    assert why(spec=spec)[0] is Reason.LOW_GAIN


def test_a_node_that_earns_below_nothing_asks_for_any_gain_at_all():
    assert why(earns=-1.0) is None


# --- what was learned


def test_of_a_protocol_that_paid_little_of_what_it_promised_as_little_counts():
    reason, sentence = why(learned=Learned(penalty={"golem": 0.03}))
    assert reason is Reason.LOW_GAIN
    assert sentence.startswith("+0.06667 USD/h, of which 0.002 counts after what earlier promises paid, is less than")


def test_a_discounted_promise_must_still_pay_for_the_move():
    dear = [move(AKASH, 6.0, 4.0), move(GOLEM, 6.0, 8.0, cost=0.1)]
    assert why(dear) is None
    reason, sentence = why(dear, learned=Learned(penalty={"golem": 0.5}))
    assert reason is Reason.NO_PAYBACK
    assert "would earn 0.06667 USD within 2h after what earlier promises paid and cost 0.1" in sentence


def test_a_protocol_that_paid_all_or_another_one_changes_nothing():
    assert why(learned=Learned(penalty={"golem": 1.0, "storj": 0.0})) is None


def test_a_wider_interval_does_not_make_it_less_sure():
    assert why(learned=Learned(spread=5.0)) is None


# --- Interval, RiskAware


@pytest.mark.parametrize(
    ("last", "soon"),
    [(None, False), (NOW - HOUR, True), (NOW - 24 * HOUR, False), (NOW + HOUR, True), (nan, True)],
    ids=["never", "an hour ago", "a day ago", "ahead of now", "no time"],
)
def test_interval_waits_until_every_has_passed(last, soon):
    state = competing(spec=policy(objective={"strategy": "Interval"}), last_program_at=last)
    assert bool(too_soon(state)) is soon
    assert too_soon(replace(state, spec=policy())) is None


@pytest.mark.parametrize(
    ("objective", "name", "said"),
    [
        ({"strategy": "Threshold", "riskTolerance": 0.1}, "Threshold", ""),
        ({"strategy": "RiskAware", "riskTolerance": 0.1}, "RiskAware", ""),
        ({"strategy": "RiskAware", "riskTolerance": 0.0}, "RiskAware", ""),
        ({"strategy": "RiskAware"}, "Threshold", "strategy RiskAware without a riskTolerance is Threshold"),
        ({"strategy": "Predictive"}, "Predictive", ""),
    ],
)
def test_the_strategy_that_is_followed(objective, name, said):
    assert strategy_of(Objective.model_validate(objective)) == (name, said)


# --- rises and falls


STILL_EARNS = CURVES | {AKASH: line(AKASH, [0, 12], [0.0, 0.12])}
PATIENT = policy(objective={"riseAnalyses": 3})


@pytest.mark.parametrize(
    ("moves", "curves", "fall"),
    [
        (TRANSFER, CURVES, True),
        (TRANSFER, STILL_EARNS, False),
        ([move(GOLEM, 6.0, 8.0)], CURVES, False),
        ([move(GOLEM, 6.0, 5.0)], {GOLEM: line(GOLEM, [0, 6, 12], [0.3, 0.2, 0.1])}, True),
        ([move(GOLEM, 6.0, 5.0)], CURVES, False),
        ([], CURVES, False),
        (TRANSFER, {AKASH: CURVES[AKASH], GOLEM: line(GOLEM, [0, 6, 12], [0.0, nan, nan])}, False),
    ],
    ids=[
        "what is given up earns nothing", "what is given up still earns", "into free capacity", "it costs more than it earns",
        "a loss", "nothing", "no number",
    ],
)  # fmt: skip
def test_a_fall_gives_up_what_earns_nothing_any_more(moves, curves, fall):
    assert is_fall(moves, curves) is fall


@pytest.mark.parametrize(
    ("rises", "refused"),
    [(0, "1 of 3"), (1, "2 of 3"), (2, None), (9, None), (-5, "1 of 3")],
    ids=["first", "second", "third", "long since", "absurd"],
)
def test_a_rise_must_show_in_so_many_analyses_in_a_row(rises, refused):
    found = why(curves=STILL_EARNS, spec=PATIENT, rises=rises)
    assert (found is None) == (refused is None)
    if refused:
        assert found[0] is Reason.RISE_PENDING
        assert found[1].endswith(f"and a rise must last: it shows in {refused} analyses in a row")


def test_a_fall_counts_at_once():
    assert why(spec=PATIENT) is None


def test_by_default_a_rise_counts_at_once_too():
    assert why(curves=STILL_EARNS) is None


def test_what_is_not_worth_doing_is_refused_for_that_and_not_for_being_new():
    spec = policy(objective={"riseAnalyses": 3}, minImprovement={"percent": 90})
    assert why(curves=STILL_EARNS, spec=spec)[0] is Reason.LOW_GAIN


@pytest.mark.parametrize(
    ("reasons", "after"),
    [
        ([], 0),
        ([Reason.RISE_PENDING], 5),
        ([Reason.LOW_GAIN, Reason.MODE_SUGGEST], 5),
        ([Reason.ALLOWED], 5),
        ([Reason.LOW_GAIN], 0),
        ([Reason.RATE_LIMIT, Reason.COMPANION_REFUSED], 0),
    ],
)
def test_analyses_in_a_row_that_wanted_to_move_are_counted(reasons, after):
    verdicts = [Verdict(move(GOLEM, 6.0, 8.0), reason is Reason.ALLOWED, reason, "") for reason in reasons]
    assert rises_after(4, verdicts) == after
