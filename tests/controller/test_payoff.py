"""Promises, how they are judged, and what a ledger of them teaches, by hand-worked examples and as properties."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.decide import decide
from controller.learning import (
    FEWEST,
    LEAST,
    NARROWEST,
    WEEK,
    WIDEST,
    below_zero,
    record_of,
    student,
)
from controller.model import Interval
from controller.payoff import Ledger, ledger_of
from controller.promises import Kind, Outcome, Part, Promise, Trial, trial
from tests.controller.worlds import HOUR, NOW, always, blocks, competing, state, workload

H2 = 2 * HOUR


def part(key="rack-1/golem", from_=6.0, to=8.0, at=NOW - H2, horizon=H2, promised=0.05, **more) -> Part:
    return Part(key, "golem", "cpu", from_, to, at, horizon, settle=900.0, promised=promised, **more)


def promised(*parts, low=0.03, expected=0.05, high=0.07, cost=0.0, name="p1", **more) -> Trial:
    parts = parts or (part(),)
    promise = Promise(Interval(low, expected, high), 0.9, cost)
    return Trial(name, "default", Kind.FOLLOWED, min(p.at for p in parts), parts, promise, **more)


def world(history=None, now=NOW, **more):
    """Golem on 8 cores, always full unless told otherwise, at 0.03 USD a core-hour."""
    history = always(8.0, full=True, hours=12) if history is None else history
    return replace(state([workload("rack-1/golem", 8.0, history, **more)]), now=now)


def judged(made: Trial, seen=None) -> Trial:
    _, ended = ledger_of("default", [made]).judge(seen or world())
    (found,) = ended
    return found


def ended(at=NOW, realised=0.05, promise=0.05, *, within=True, name=None, usd=None, protocol="golem", to=8.0) -> Trial:
    """A program that was judged."""
    one = part(at=at - H2, promised=promise, to=to, realised=Interval(realised, realised, realised))
    one = replace(one, protocol=protocol)
    usd = 2 * realised if usd is None else usd
    outcome = Outcome(at, Interval(realised, realised, realised), usd, within, usd > 0, 0.0, "")
    name = f"{at} {realised} {protocol}" if name is None else name
    return promised(one, expected=promise, name=name, outcome=outcome)


# --- a promise ----------------------------------------------------------------------------------------------------


class TestProgram:
    decision = decide(competing())

    def test_a_plan_that_was_followed_whole_promises_what_the_plan_did(self):
        plan = self.decision.plan
        made = trial(self.decision, plan.moves, Kind.APPLIED)
        assert made.promise == Promise(plan.gain, plan.confidence, plan.cost_usd)
        assert [(p.key, p.from_, p.to) for p in made.parts] == [(m.key, m.from_, m.to) for m in plan.moves]
        assert {p.at for p in made.parts} == {plan.at} == {made.at}
        assert {p.horizon for p in made.parts} == {7200.0}

    def test_half_a_move_promises_half_and_nobody_is_sure_of_it(self):
        grows = next(m for m in self.decision.plan.moves if m.grows)
        half = replace(grows, to=(grows.from_ + grows.to) / 2)
        made = trial(self.decision, [half], Kind.FOLLOWED, NOW + 60)
        gain, plan = made.promise.gain, self.decision.plan.gain
        assert gain.expected == pytest.approx(grows.gain_usd_per_hour / 2)
        assert made.promise.confidence is None
        assert (gain.expected - gain.low, gain.high - gain.expected) == pytest.approx(
            (plan.expected - plan.low, plan.high - plan.expected)
        )
        assert made.at == NOW + 60

    @pytest.mark.parametrize("wrong", ["none", "another's"])
    def test_moves_that_are_not_the_plans_are_refused(self, wrong):
        moves = [] if wrong == "none" else [replace(self.decision.plan.moves[0], key="rack-1/stranger")]
        with pytest.raises(ValueError, match=r"no moves of the plan of policy default; give some of plan\.moves"):
            trial(self.decision, moves, Kind.APPLIED)

    def test_the_same_program_has_the_same_id(self):
        one, other = (
            trial(self.decision, moves, Kind.APPLIED).id
            for moves in (self.decision.plan.moves, self.decision.plan.moves[::-1])
        )
        assert one == other


# --- judging ------------------------------------------------------------------------------------------------------


class TestJudge:
    def test_a_promise_that_was_kept_succeeds(self):
        """Two more cores, always full: 0.06 USD/h where 0.05 (0.03 to 0.07) was promised; over 2 h 0.12 USD less 0.01."""
        outcome = judged(promised(cost=0.01)).outcome
        assert outcome.status == "judged"
        assert outcome.realised.expected == pytest.approx(0.06)
        assert outcome.usd == pytest.approx(0.11)
        assert (outcome.within, outcome.success) == (True, True)
        assert outcome.error == pytest.approx(0.2)
        assert outcome.at == NOW
        assert outcome.sentence == (
            "it brought +0.06 USD/h where +0.05 (0.03 to 0.07) was promised, and cost 0.01 USD to move"
        )

    def test_a_move_with_no_effect_realises_nothing_and_is_no_success(self):
        outcome = judged(promised(), world(always(4.0, hours=12))).outcome
        assert outcome.realised == Interval(0.0, 0.0, 0.0)
        assert (outcome.within, outcome.success, outcome.usd) == (False, False, 0.0)
        assert outcome.error == -1.0

    def test_what_moving_cost_can_be_more_than_it_brought(self):
        assert judged(promised(cost=0.2)).outcome.success is False

    def test_before_its_horizon_has_passed_nothing_is_judged(self):
        ledger = ledger_of("default", [promised()])
        assert ledger.due == NOW
        assert ledger.judge(world(now=NOW - 1)) == (ledger, ())

    def test_each_workload_is_judged_over_its_own_horizon(self):
        made = promised(part(), part("rack-1/akash", 6.0, 4.0, horizon=6 * HOUR, promised=-0.01))
        seen = replace(
            state([
                workload("rack-1/golem", 8.0, always(8.0, full=True)),
                workload("rack-1/akash", 4.0, always(2.0, levels=[0, 2, 4])),
            ]),
        )  # fmt: skip
        ledger, done = ledger_of("default", [made]).judge(seen)
        assert done == ()
        assert [p.open for p in ledger.running[0].parts] == [False, True]
        assert ledger.due == NOW + 4 * HOUR
        later = replace(seen, now=NOW + 4 * HOUR, workloads=tuple(
            replace(w, blocks=always(2.0, levels=[0, 2, 4], now=NOW + 4 * HOUR)) for w in seen.workloads
        ))  # fmt: skip
        _, (found,) = ledger.judge(later)
        assert found.outcome.realised.expected == pytest.approx(0.06), (
            "golem's two hours were judged when they were over"
        )
        assert found.outcome.usd == pytest.approx(0.12)
        assert found.outcome.at == NOW + 4 * HOUR

    def test_a_change_by_hand_is_judged_and_promised_nothing(self):
        made = replace(promised(part(promised=None)), promise=None, kind=Kind.MANUAL)
        outcome = judged(made).outcome
        assert (outcome.within, outcome.error, outcome.success) == (None, None, True)
        assert outcome.sentence == "+0.06 USD/h against the allocation before"

    def test_missing_hours_are_unknown_with_their_reason(self):
        outcome = judged(promised(), world(blocks([8], [True], now=NOW - 5 * HOUR))).outcome
        assert (outcome.status, outcome.realised, outcome.usd, outcome.success) == ("unknown", None, None, None)
        assert "was seen for 0s of 2h" in outcome.sentence

    @pytest.mark.parametrize(
        ("seen", "words"),
        [
            (state([]), "rack-1/golem is not watched under this policy any more"),
            (replace(world(), nodes=()), "rack-1/golem is not watched under this policy any more"),
            (state([workload("rack-1/golem", 8.0, None)]), "nothing is known of the hours of rack-1/golem"),
        ],
        ids=["gone", "its node is gone", "no history"],
    )
    def test_who_is_gone_is_unknown(self, seen, words):
        assert words in judged(promised(), seen).outcome.sentence

    def test_another_resource_is_not_compared_with_the_one_before(self):
        made = promised(replace(part(), resource="memory"))
        assert "no longer has an allocation of memory" in judged(made).outcome.sentence

    def test_a_change_that_another_one_ended_is_judged_until_then(self):
        """Promised at NOW - 2 h and ended an hour later: an hour of 0.06."""
        ledger = ledger_of("default", [promised()]).promise(
            promised(part(at=NOW - HOUR, from_=8.0, to=10.0), name="p2")
        )
        _, (found,) = ledger.judge(replace(world(), now=NOW - HOUR))
        assert found.id == "p1"
        assert found.outcome.usd == pytest.approx(0.06)
        assert found.outcome.at == NOW - HOUR

    def test_one_that_was_ended_at_once_is_unknown(self):
        ledger = ledger_of("default", [promised()]).promise(promised(part(at=NOW - H2 + 600, from_=8.0), name="p2"))
        _, (found,) = ledger.judge(replace(world(), now=NOW - HOUR))
        assert (
            "rack-1/golem was changed again after 10m of the 2h that it was to be judged over" in found.outcome.sentence
        )

    def test_over_a_shorter_time_it_is_asked_no_less(self):
        """0.06 against 0.05 (to 0.058): hours that hang together are as far off in one as in two."""
        made = promised(high=0.058)
        assert judged(made).outcome.within is False
        assert judged(replace(made, parts=(replace(part(), until=NOW - HOUR),))).outcome.within is False

    def test_told_twice_it_is_one_program(self):
        once = Ledger("default").promise(promised())
        assert once.promise(promised()).programs == once.programs

    def test_a_judged_program_is_not_judged_again(self):
        ledger, _ = ledger_of("default", [promised()]).judge(world())
        assert ledger.due == math.inf
        assert ledger.judge(world(now=NOW + WEEK)) == (ledger, ())

    @given(st.floats(0.01, 100))
    def test_in_another_currency_the_dollars_change_and_no_ratio(self, factor):
        def outcome(k):
            made = promised(part(promised=0.05 * k), low=0.03 * k, expected=0.05 * k, high=0.07 * k, cost=0.01 * k)
            return judged(made, world(always(8.0, full=True, hours=12, value=0.03 * k))).outcome

        one, other = outcome(1.0), outcome(factor)
        assert other.usd == pytest.approx(factor * one.usd)
        assert other.error == pytest.approx(one.error)
        assert (other.within, other.success) == (one.within, one.success)


# --- learning -----------------------------------------------------------------------------------------------------


class TestSpread:
    @pytest.mark.parametrize(
        ("within", "spread"),
        [([], 1.0), ([True], math.exp(-0.03)), ([False], math.exp(0.12)), ([True] * 4 + [False], 1.0)],
        ids=["nothing seen", "a hit", "a miss", "one miss in five"],
    )
    def test_it_widens_with_misses_and_rests_at_one_in_five(self, within, spread):
        programs = [ended(NOW + i * HOUR, within=hit) for i, hit in enumerate(within)]
        assert ledger_of("default", programs).spread == pytest.approx(spread)

    @pytest.mark.parametrize(("within", "bound"), [(True, NARROWEST), (False, WIDEST)])
    def test_it_stays_within_bounds(self, within, bound):
        programs = [ended(NOW + i * HOUR, within=within) for i in range(200)]
        assert ledger_of("default", programs).spread == bound

    def test_what_is_unknown_or_by_hand_teaches_nothing(self):
        unknown = replace(ended(within=None), outcome=Outcome(NOW, None, None, None, None, None, ""), id="u")
        by_hand = replace(ended(within=None, name="h"), promise=None, kind=Kind.MANUAL)
        ledger = ledger_of("default", [unknown, by_hand])
        learned = ledger.learned(NOW)
        assert (learned.spread, learned.penalty, learned.fallback) == (1.0, {}, None)


class TestPenalty:
    def penalty(self, *ratios, **more):
        programs = [ended(NOW + i * HOUR, 0.05 * r, 0.05, name=str(i), usd=1.0, **more) for i, r in enumerate(ratios)]
        return ledger_of("default", programs).penalty

    @pytest.mark.parametrize(
        ("ratios", "share"),
        [((0.0,), 0.8), ((0.0,) * 8, 1 / 3), ((0.0,) * 100, LEAST), ((0.5,) * 4, 0.75), ((-9.0,), 0.8)],
        ids=["one that paid nothing", "eight", "a hundred", "half of it", "one that lost a lot counts as nothing"],
    )
    def test_it_is_what_part_of_their_promises_they_paid_with_a_prior(self, ratios, share):
        assert self.penalty(*ratios)["golem"] == pytest.approx(share)

    @pytest.mark.parametrize("ratios", [(), (1.0,), (1.5, 0.5), (3.0, 0.0)])
    def test_who_pays_is_not_in_it(self, ratios):
        assert self.penalty(*ratios) == {}

    def test_who_was_shrunk_promised_nothing_that_he_could_fail_to_pay(self):
        assert self.penalty(0.0, 0.0, to=4.0) == {}

    def test_each_protocol_answers_for_itself(self):
        programs = [ended(name="a", realised=0.0), ended(name="b", protocol="storj")]
        assert ledger_of("default", programs).penalty == {"golem": 0.8}


class TestFallback:
    def ledger(self, *dollars, since=NOW, **more):
        return ledger_of(
            "default", [ended(since + i * HOUR, usd=x, name=str(i)) for i, x in enumerate(dollars)], **more
        )

    def test_a_policy_that_lost_for_a_week_only_suggests_and_says_so(self):
        ledger = self.ledger(-0.01, -0.02, -0.03, -0.02, -0.02)
        at = NOW + 4 * HOUR
        assert ledger.learned(at - 1).fallback is None
        assert ledger.learned(at).fallback == (
            "policy default only suggests for 7 days: the 5 programs that ended in the 7 days before brought -0.1 USD "
            "together, below zero with 95 % confidence"
        )
        assert ledger.learned(at + WEEK - 1).fallback is not None
        assert ledger.learned(at + WEEK).fallback is None

    @pytest.mark.parametrize(
        "dollars",
        [(-0.01,) * (FEWEST - 1), (-0.01, 0.02, -0.03, 0.01, -0.02), (0.01,) * 9, ()],
        ids=["too few", "not sure", "it pays", "nothing"],
    )
    def test_otherwise_it_does_not(self, dollars):
        assert self.ledger(*dollars).fallback is None

    def test_losses_of_another_week_do_not_add_up(self):
        programs = [ended(NOW + i * 2 * 24 * HOUR, usd=-0.01, name=str(i)) for i in range(9)]
        assert ledger_of("default", programs).fallback is None, "no 7 days hold five of them"

    def test_the_owner_ends_it_and_old_losses_do_not_bring_it_back(self):
        ledger = self.ledger(*[-0.01] * 6)
        at = NOW + 6 * HOUR
        assert ledger.fallback is not None
        ledger = ledger.reset(at)
        assert ledger.learned(at).fallback is None
        assert ledger.promise(promised(part(at=at), name="next")).fallback is None

    def test_new_losses_after_the_reset_do(self):
        ledger = self.ledger(*[-0.01] * 12, reset_at=NOW + 5 * HOUR)
        assert ledger.fallback.since == NOW + 10 * HOUR

    @pytest.mark.parametrize(("freedom", "quantile"), [(4, 2.132), (5, 2.015), (9, 1.833), (30, 1.697), (10**9, 1.645)])
    def test_the_quantiles_are_those_of_the_tables(self, freedom, quantile):
        assert float(student(np.array(freedom))) == pytest.approx(quantile, abs=0.0025)

    def test_worked(self):
        assert below_zero([-1, -2, -3, -2, -2])
        assert not below_zero([-1, 2, -3, 1, -2])


HISTORIES = st.lists(
    st.tuples(st.integers(0, 20), st.floats(-1, 1), st.booleans(), st.sampled_from(["golem", "storj"])), max_size=12
)


@given(HISTORIES, st.randoms(use_true_random=False))
def test_in_whatever_order_outcomes_come_they_teach_the_same(history, chance):
    programs = [
        ended(NOW + 6 * HOUR * at, gain, within=hit, protocol=protocol, name=str(i))
        for i, (at, gain, hit, protocol) in enumerate(history)
    ]
    shuffled = list(programs)
    chance.shuffle(shuffled)
    one, other = ledger_of("default", programs), ledger_of("default", shuffled)
    assert (one.spread, one.penalty, one.fallback, one.judged) == (
        other.spread,
        other.penalty,
        other.fallback,
        other.judged,
    )
    assert NARROWEST <= one.spread <= WIDEST
    assert all(LEAST <= share < 1 for share in one.penalty.values())


@given(HISTORIES, st.floats(0.01, 100))
def test_learning_knows_no_currency(history, factor):
    def ledger(k):
        return ledger_of("default", [
            ended(NOW + 6 * HOUR * at, gain * k, 0.05 * k, within=hit, protocol=protocol, name=str(i))
            for i, (at, gain, hit, protocol) in enumerate(history)
        ])  # fmt: skip

    one, other = ledger(1.0), ledger(factor)
    assert one.spread == other.spread
    assert dict(one.penalty) == pytest.approx(dict(other.penalty))


def test_what_ended_a_month_before_the_newest_is_forgotten():
    ledger = ledger_of("default", [ended(NOW, within=False, name="old"), ended(NOW + 31 * 86400, name="new")])
    assert [each.id for each in ledger.judged] == ["new"]
    assert ledger.spread == pytest.approx(math.exp(-0.03))


# --- the record ---------------------------------------------------------------------------------------------------


class TestRecord:
    def test_it_counts_what_ended_in_the_last_week(self):
        programs = [
            ended(NOW, 0.04, 0.05, name="a", usd=0.08),
            ended(NOW - HOUR, -0.02, 0.03, name="b", usd=-0.04, within=False),
            ended(NOW - 8 * 86400, 9.0, name="last week's"),
            replace(ended(name="by hand"), promise=None, kind=Kind.MANUAL),
            replace(ended(name="unknown"), outcome=Outcome(NOW, None, None, None, None, None, "nobody knows")),
            promised(name="running"),
        ]
        record = record_of(ledger_of("default", programs), NOW)
        assert (record.running, record.judged, record.unknown) == (1, 2, 1)
        assert record.realised == pytest.approx(0.01)
        assert record.promised == pytest.approx(0.04)
        assert record.usd == pytest.approx(0.04)
        assert record.error == pytest.approx((0.01 + 0.05) / 0.08)
        assert (record.success, record.coverage) == (0.5, 0.5)

    def test_of_nothing_it_says_nothing(self):
        record = record_of(Ledger("default"), NOW)
        assert (record.judged, record.realised, record.error, record.success, record.coverage) == (
            0,
            None,
            None,
            None,
            None,
        )

    def test_where_nothing_was_promised_the_error_has_no_measure(self):
        assert record_of(ledger_of("default", [ended(promise=0.0)]), NOW).error is None
