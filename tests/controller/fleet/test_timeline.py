"""What went between agents, in figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.fleet.timeline import Passed, Timeline, latency_of


def passed(number: int, *, at: float = 0.0, took: float = 100.0, via: str = "a", to: str = "b", kind: str = "state", size: int = 1000):  # fmt: skip
    return Passed(f"a.1-{number}", kind, via, via, to, 1, at, took, size)


@given(st.lists(st.floats(0, 1e9), min_size=1))
def test_a_quantile_is_the_least_value_that_so_many_are_not_above(values):
    found = latency_of(values)
    for part, value in ((50, found.p50), (95, found.p95), (99, found.p99)):
        assert value in values
        below = sum(each <= value for each in values)
        assert below >= math.ceil(len(values) * part / 100)
        assert sum(each < value for each in values) < math.ceil(len(values) * part / 100)


def test_of_nothing_there_are_no_quantiles():
    found = Timeline().latency()
    assert (found.count, found.p50, found.p95, found.p99) == (0, None, None, None)


def test_only_the_newest_are_kept_and_all_are_counted():
    line = Timeline(most=3)
    for number in range(10):
        line.note(passed(number))
    assert line.total == 10
    assert [each.id for each in line.newest(99)] == ["a.1-9", "a.1-8", "a.1-7"]
    assert [each.id for each in line.newest(1)] == ["a.1-9"]


def test_messages_are_found_by_kind_and_agent_and_figures_by_edge():
    line = Timeline()
    line.note(passed(1, took=10.0))
    line.note(passed(2, took=30.0, via="b", to="c", kind="ack"))
    assert [each.id for each in line.newest(9, kind="ack")] == ["a.1-2"]
    assert [each.id for each in line.newest(9, agent="c")] == ["a.1-2"]
    assert [each.id for each in line.newest(9, agent="b")] == ["a.1-2", "a.1-1"]
    assert line.edges() == [("a", "b"), ("b", "c")]
    assert line.latency(("b", "c")).p50 == 30.0
    assert line.latency().count == 2


def test_what_arrived_before_it_was_sent_is_counted_apart():
    line = Timeline()
    line.note(passed(1, took=-5000.0))
    line.note(passed(2, took=70.0))
    assert line.skewed == 1
    assert line.latency().p99 == 70.0


def test_traffic_is_over_the_last_minute():
    line = Timeline()
    for number in range(240):
        line.note(passed(number, at=number / 2, size=1250))
    found = line.traffic(120.0)
    assert found.messages_per_second == pytest.approx(2.0, rel=0.02)
    assert found.megabits_per_second == pytest.approx(0.02, rel=0.02)
    assert Timeline().traffic(5.0).messages_per_second == 0


def test_convergence_is_timed_from_the_first_difference_to_the_next_agreement():
    line = Timeline()
    assert line.agree(True, 1.0) is None
    assert line.agree(False, 2.0) is None
    assert line.agree(False, 5.0) is None
    assert line.apart_since == 2.0
    assert line.agree(True, 7.5) == 5.5
    assert (line.apart_since, line.convergence_seconds) == (None, 5.5)


def test_errors_are_counted_by_who_sent_to_whom():
    line = Timeline()
    line.fail("a", "b", "malformed")
    line.fail("a", "b", "malformed")
    assert line.errors["a", "b", "malformed"] == 2
