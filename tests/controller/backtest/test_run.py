"""orcha over a case: several side by side are as each alone, and what is left out of a decision changes no move."""

import numpy as np
import pytest

from controller.backtest.record import Beside
from controller.backtest.run import Replay, orcha, side_by_side
from controller.backtest.scenarios import scenario
from controller.decide import decide
from tests.controller.backtest.cases import NAN, case, one

TICKS = 10 * 60


def allowed(decision):
    return [(v.move.key, v.move.to) for v in decision.verdicts if v.allowed]


class Compared(Replay):
    """A replay that decides in full as well, every half hour, and keeps where that allowed other moves."""

    def __init__(self, it, *args):
        super().__init__(it, *args)
        self.other, self.compared, self.moved = [], 0, 0

    def _state(self, now, *, remembered):
        state = super()._state(now, remembered=remembered)
        if now % 1800 == 0:
            full, brief = (allowed(decide(state, brief=brief, replicates=50)) for brief in (False, True))
            self.compared, self.moved = self.compared + 1, self.moved + bool(full)
            if full != brief:
                self.other.append((now, full, brief))
        return state


@pytest.mark.parametrize("name", ["bursts", "slow-fill", "flapping", "twelve-on-three"])
def test_on_the_states_of_half_a_day_a_brief_decision_allows_the_same_moves(name):
    beside = Beside()
    replay = Compared(scenario(name, days=0.5), 50, None, beside)
    for end in replay.ends():
        replay.advance(end)
        beside.close()
        if not replay.world.over:
            replay.turn(None)
    assert replay.other == []
    assert replay.compared > 20
    assert name == "slow-fill" or replay.moved > 0


def cases():
    """Two that differ in how many workloads they have and in when somebody is away, and one that fills."""
    rng = np.random.default_rng(1)
    varies = np.round(np.maximum(0, 4 + 3 * np.sin(np.arange(TICKS) / 90) + rng.standard_normal(TICKS)), 1)
    away = np.where(np.arange(TICKS) % 347 < 31, NAN, 6.0)
    return [
        case(one("golem", varies), one("akash", 8 - varies, 0.02), name="two"),
        case(one("golem", varies, initial=2.0), one("akash", away, initial=4.0), one("idle", varies * 0, initial=2.0)),
        case(one("storj", 3 + np.arange(TICKS) / 400, kind="fill"), one("golem", varies, offline_minutes=2.0)),
    ]


def promised(each):
    return each.at, each.keys, each.from_, each.to, (each.low, each.expected, each.high, each.confidence)


def test_side_by_side_is_as_each_alone():
    together, alone = side_by_side(cases(), replicates=30), [orcha(each, replicates=30) for each in cases()]
    for one_, other in zip(together, alone, strict=True):
        assert np.array_equal(one_.allocation, other.allocation)
        assert np.array_equal(one_.earned, other.earned)
        assert [promised(each) for each in one_.promises] == [
            (*rest, pytest.approx(figures, rel=1e-9, abs=1e-12)) for *rest, figures in map(promised, other.promises)
        ]
        assert (one_.programs, one_.moves) == (other.programs, other.moves)
    assert sum(run.programs for run in together) > 0


def test_a_forecast_is_made_for_each_alone():
    [one_, other] = cases()[:2]
    spec = one_.spec.model_copy(update={"objective": one_.spec.objective.model_copy(update={"strategy": "Predictive"})})
    predictive = type(one_)(one_.name, one_.nodes, one_.workloads, spec, one_.truth, one_.initial)
    found = side_by_side([predictive, other], replicates=0)
    assert np.array_equal(found[0].allocation, orcha(predictive, replicates=0).allocation)
    assert np.array_equal(found[1].allocation, orcha(other, replicates=0).allocation)


def test_only_cases_with_the_same_ticks_go_side_by_side():
    short = case(one("golem", np.full(60, 4.0)))
    with pytest.raises(ValueError, match="same start, tick and number of ticks"):
        side_by_side([short, *cases()])


def test_of_no_cases_there_are_no_runs():
    assert side_by_side([]) == []


def test_it_tells_what_share_is_done():
    told = []
    orcha(case(one("golem", np.full(60, 4.0))), replicates=0, progress=told.append)
    assert told[-1] == 1.0
    assert told == sorted(told)
