"""The row of looks: connection, stalled earnings, payout projection."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporters.collector import Workload
from exporters.nodes import WorkloadSpec
from exporters.reading import Connection, Native, Quality, Reading
from exporters.track import Track, begin, follow
from exporters.traits import Traits

T0 = 1_760_000_000.0
HOUR = 3600.0
NEW = Track(stale_after=100.0, first_wait=900.0)


def good(at: float, **figures) -> Reading:
    return Reading("rack-1", "storj", "storj", T0 + at, **figures)


def failed(at: float) -> Reading:
    return Reading(
        "rack-1", "storj", "storj", T0 + at, up=False, failure="unreachable", connection=Connection.DISCONNECTED
    )


def earning(at: float, accrued: float, **figures) -> Reading:
    native = Native(balance={"accrued": {"STORJ": accrued}})
    return good(at, healthy=True, used={"storage": 5.0}, native=native, **figures)


def fold(*readings: Reading, track: Track = NEW) -> tuple[Track, list[Reading]]:
    seen = []
    for each in readings:
        track, reading = follow(track, each)
        seen.append(reading)
    return track, seen


def connections(*readings: Reading) -> list[str]:
    return [reading.connection.value for reading in fold(*readings)[1]]


def test_a_workload_that_never_answered_is_connecting_and_fails_when_it_lasts() -> None:
    assert connections(failed(0), failed(60), failed(100), failed(101)) == [
        "connecting",
        "connecting",
        "connecting",
        "failed",
    ]


def test_one_that_answered_before_is_reconnecting_until_its_reading_is_stale() -> None:
    assert connections(good(0), failed(50), failed(100), failed(101), good(110)) == [
        "connected", "reconnecting", "reconnecting", "failed", "connected",
    ]  # fmt: skip


def test_the_time_to_reconnect_runs_from_the_first_failed_look() -> None:
    track, _ = fold(good(0), failed(50), failed(70), good(95))
    assert track.reconnect_seconds == 45.0


def test_uptime_is_weighted_by_time_and_not_by_looks() -> None:
    # up from 0 to 90, then down from 90 to 100, looked at six times
    track, _ = fold(good(0), failed(90), failed(92), failed(94), failed(96), failed(100))
    assert track.uptime_ratio == pytest.approx(0.9)


def test_uptime_is_unknown_before_there_are_two_looks() -> None:
    assert fold(good(0))[0].uptime_ratio is None


def test_a_clock_that_is_set_back_delays_no_verdict() -> None:
    track, _ = fold(good(0), good(10**9))
    _, seen = fold(failed(0), failed(101), track=track)
    assert [reading.connection.value for reading in seen] == ["reconnecting", "failed"]


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.booleans()), max_size=30))
@example([(387483648.0, False), (-686258176.9546229, False)])
def test_no_sequence_of_times_makes_uptime_anything_but_a_ratio(looks) -> None:
    track, _ = fold(*(good(at) if up else failed(at) for at, up in looks))
    assert track.uptime_ratio is None or 0.0 <= track.uptime_ratio <= 1.0
    assert track.seen_seconds >= 0.0


def steady(count: int, every: float = 60.0, start: float = 0.0) -> list[Reading]:
    return [earning(start + i * every, 1.0 + (start / every + i) * 0.1) for i in range(count)]


def test_a_workload_that_accrues_is_not_stalled() -> None:
    track, seen = fold(*steady(8))
    assert [reading.earning_stalled for reading in seen] == [None] + [False] * 7
    assert track.usual_gap == 60.0


def test_running_but_not_earning_is_seen_after_several_usual_intervals() -> None:
    track, _ = fold(*steady(8))  # the last accrual is at 420
    _, seen = fold(*(earning(420.0 + i * 60.0, 1.7) for i in range(1, 7)), track=track)
    assert [reading.earning_stalled for reading in seen] == [False, False, False, False, True, True]


def test_a_slow_but_steady_stream_is_not_stalled_by_many_looks_in_between() -> None:
    looks = [earning(i * 60.0, 1.0 + (i // 10) * 0.1) for i in range(100)]
    assert True not in [reading.earning_stalled for reading in fold(*looks)[1]]


def test_a_new_accrual_ends_the_stall() -> None:
    track, _ = fold(*steady(8), *(earning(420.0 + i * 60.0, 1.7) for i in range(1, 9)))
    _, (reading,) = fold(earning(1000.0, 1.9), track=track)
    assert reading.earning_stalled is False


def test_one_that_never_accrued_is_stalled_after_the_time_that_a_change_may_take() -> None:
    _, seen = fold(*(earning(i * 300.0, 1.0) for i in range(5)))
    assert [reading.earning_stalled for reading in seen] == [None, None, None, None, True]


def test_an_idle_workload_is_not_stalled_however_long_it_waits() -> None:
    idle = [
        good(i * 300.0, healthy=True, used={"cpu": 0.0}, native=Native(balance={"accrued": {"GLM": 1.0}}))
        for i in range(20)
    ]
    assert {reading.earning_stalled for reading in fold(*idle)[1]} == {False}


def test_work_after_a_long_idle_time_starts_the_wait_anew() -> None:
    track, _ = fold(*steady(8), *(replace(earning(1e5 + i, 1.7), used={"storage": 0.0}) for i in range(3)))
    _, seen = fold(earning(1e5 + 60, 1.7), earning(1e5 + 120, 1.7), track=track)
    assert [reading.earning_stalled for reading in seen] == [False, False]


def test_an_unhealthy_workload_is_not_called_stalled() -> None:
    track, _ = fold(*steady(8))
    _, (reading,) = fold(replace(earning(9000.0, 1.7), healthy=False), track=track)
    assert reading.earning_stalled is False


@pytest.mark.parametrize(
    "reading",
    [good(0), good(0, healthy=True), good(0, healthy=None, used={"cpu": 1.0}), failed(0)],
    ids=["nothing said", "no use or rate", "health unknown", "not read"],
)
def test_where_it_cannot_be_told_it_is_unknown(reading) -> None:
    assert fold(reading)[1][0].earning_stalled is None


def test_a_payout_that_moves_money_between_kinds_is_no_accrual_and_no_loss() -> None:
    def split(at: float, accrued: float, paid: float) -> Reading:
        native = Native(balance={"accrued": {"STORJ": accrued}, "paid": {"STORJ": paid}})
        return good(at, healthy=True, used={"storage": 5.0}, native=native)

    track, _ = fold(split(0, 0.3, 0.0), split(60, 0.0, 0.1 + 0.2))  # 0.1 + 0.2 > 0.3 by rounding alone
    assert track.accrued_at is None
    track, _ = fold(split(120, 0.1, 0.3), track=track)
    assert track.accrued_at == T0 + 120


def test_a_month_that_rolls_over_counts_again_with_its_first_accrual() -> None:
    track, seen = fold(*steady(8), earning(480.0, 0.0), earning(540.0, 0.1))
    assert track.accrued_at == T0 + 540.0
    assert seen[-1].earning_stalled is False


def test_what_the_protocol_says_itself_stands() -> None:
    track, _ = fold(*steady(8))
    _, (reading,) = fold(earning(430.0, 1.7, earning_stalled=True), track=track)
    assert reading.earning_stalled is True


def test_without_balances_a_measured_rate_counts_as_accruing() -> None:
    def rated(at: float, rate: float) -> Reading:
        native = Native(gross_per_hour={"GLM": rate})
        return good(at, healthy=True, used={"cpu": 1.0}, quality=Quality.MEASURED, native=native)

    _, seen = fold(*(rated(i * 60.0, 0.5) for i in range(6)), *(rated(300.0 + i * 60.0, 0.0) for i in range(1, 6)))
    assert [reading.earning_stalled for reading in seen[6:]] == [False] * 4 + [True]


def paying(at: float, accrued: float | None, rate: float | None, threshold: float | None = 10.0, **more) -> Reading:
    balance = {} if accrued is None else {"accrued": accrued}
    return good(at, balance_usd=balance, rate_usd_per_hour=rate, payout_threshold_usd=threshold, **more)


def test_a_payout_is_projected_from_what_is_missing_and_the_mean_rate() -> None:
    slow = Track(stale_after=4 * HOUR, first_wait=900.0)
    _, seen = fold(paying(0, 4.0, 0.5), paying(HOUR, 4.5, 0.5), track=slow)
    assert seen[0].payout_verdict == "not_enough_data"
    assert seen[0].payout_expected_at is None
    assert seen[1].payout_verdict == "projected"
    assert seen[1].payout_expected_at == pytest.approx(T0 + HOUR + 5.5 / 0.5 * HOUR)


def test_a_rate_counts_for_no_longer_than_its_reading_stays_good() -> None:
    _, seen = fold(paying(0, 4.0, 0.5), paying(HOUR, 4.5, 0.5))  # stale after 100 s: 100 s were seen, not an hour
    assert seen[1].payout_verdict == "not_enough_data"


def test_the_threshold_once_reached_keeps_the_time_when_it_was() -> None:
    _, seen = fold(paying(0, 10.0, 0.5), paying(HOUR, 10.5, 0.5))
    assert [(reading.payout_verdict, reading.payout_expected_at) for reading in seen] == [
        ("reached", T0),
        ("reached", T0),
    ]


@pytest.mark.parametrize(
    ("accrued", "rate"), [(None, 0.5), (4.0, None), (4.0, 0.0), (4.0, 1e-9)],
    ids=["accrued unknown", "rate unknown", "earning nothing", "in a thousand years"],
)  # fmt: skip
def test_there_is_no_date_where_none_is_honest(accrued, rate) -> None:
    _, seen = fold(*(paying(i * 60.0, accrued, rate) for i in range(30)))
    assert seen[-1].payout_verdict == "not_enough_data"
    assert seen[-1].payout_expected_at is None


def test_without_a_threshold_nothing_is_said_of_payouts() -> None:
    _, seen = fold(paying(0, 4.0, 0.5, threshold=None))
    assert (seen[0].payout_verdict, seen[0].payout_expected_at) == (None, None)


def test_what_is_held_back_does_not_count_towards_the_threshold() -> None:
    native = Native(gross_per_hour={"STORJ": 2.0}, net_per_hour={"STORJ": 1.0})
    _, seen = fold(*(paying(i * 60.0, 5.0, 1.0, native=native) for i in range(30)))
    assert seen[-1].payout_expected_at == pytest.approx(seen[-1].at + 10 * HOUR)


def test_a_look_that_failed_changes_no_figure() -> None:
    track, _ = fold(*steady(8))
    after, (reading,) = fold(failed(9000.0), track=track)
    assert reading == replace(failed(9000.0), connection=Connection.FAILED)
    assert after.gaps == track.gaps


def test_a_track_begins_with_the_patience_of_its_workload() -> None:
    spec = WorkloadSpec(protocol="storj", endpoint="http://127.0.0.1:1", pollInterval="5m", timeout="10s")
    track = begin(Workload("rack-1", "storj", spec, Traits(settle=60.0)))
    assert (track.stale_after, track.first_wait) == (910.0, 1200.0)


def test_a_balance_that_drops_out_and_comes_back_is_no_accrual() -> None:
    """The page of the pay stubs fails now and then; a node that is credited nothing is stalled all the same."""

    def look(at: float, *, stubs: bool) -> Reading:
        balance = {"accrued": {"USD": 3.0}} | ({"paid": {"USD": 40.0}} if stubs else {})
        return good(at, healthy=True, used={"storage": 5.0}, native=Native(balance=balance))

    looks = [look(at * 600.0, stubs=at % 7 != 3) for at in range(60)]
    assert fold(*looks)[1][-1].earning_stalled is True


def test_money_that_moves_to_a_kind_that_was_not_there_before_is_no_accrual() -> None:
    before = good(0, healthy=True, used={"storage": 5.0}, native=Native(balance={"accrued": {"USD": 5.0}}))
    moved = [
        good(at * 600.0, healthy=True, used={"storage": 5.0}, native=Native(balance={"pending": {"USD": 5.0}}))
        for at in range(1, 30)
    ]
    assert fold(before, *moved)[1][-1].earning_stalled is True


def test_a_stake_that_comes_to_be_at_risk_is_no_accrual() -> None:
    def look(at: float, at_risk: float) -> Reading:
        balance = {"accrued": {"DATA": 7.0}, "at_risk": {"DATA": at_risk}}
        return good(at, healthy=True, used={"stake/DATA": 5.0}, native=Native(balance=balance))

    looks = [look(at * 600.0, 10.0 + at) for at in range(30)]
    assert fold(*looks)[1][-1].earning_stalled is True
