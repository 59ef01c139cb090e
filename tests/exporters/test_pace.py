"""When to look again, whose turn it is, how many at once, and how long at most."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.collector import Workload
from exporters.deadline import within
from exporters.nodes import WorkloadSpec
from exporters.pace import Lanes, Width, next_delay
from exporters.reading import Reading
from exporters.traits import Traits

LONG = 20.0


def watched(interval: str) -> Workload:
    return Workload("n", "w", WorkloadSpec(protocol="simple", endpoint="http://x", pollInterval=interval), Traits())


def lost(reason: str, retry_after: float | None = None) -> Reading:
    return Reading("n", "w", "simple", 0.0, up=False, failure=reason, retry_after=retry_after)


@pytest.mark.parametrize(
    ("interval", "reason", "failures", "retry_after", "expected"),
    [
        ("60s", None, 0, None, 60.0), ("5m", "unreachable", 1, None, 30.0), ("5m", "unreachable", 2, None, 60.0),
        ("5m", "timeout", 4, None, 240.0), ("5m", "timeout", 50, None, 300.0), ("15s", "unreachable", 1, None, 15.0),
        ("15s", "unreachable", 50, None, 120.0), ("15m", "unreachable", 50, None, 900.0), ("5m", "unauthorized", 9, None, 300.0),
        ("5m", "malformed", 9, None, 300.0), ("60s", "rate_limited", 1, 400.0, 420.0), ("60s", "rate_limited", 1, None, 63.0),
        ("60s", "rate_limited", 3, 1.0, 252.0), ("60s", "rate_limited", 1, 1e30, 22680.0), ("12h", "rate_limited", 9, None, 45360.0),
        ("60s", "rate_limited", 1, math.inf, 22680.0),
    ],
)  # fmt: skip
def test_the_next_look_comes_when_it_should(interval, reason, failures, retry_after, expected) -> None:
    reading = lost(reason, retry_after) if reason else Reading("n", "w", "simple", 0.0)
    assert next_delay(watched(interval), reading, failures, 0.5) == pytest.approx(expected)


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 10**6), st.floats(0, 1e12))
def test_who_asks_to_wait_is_never_asked_sooner(chance, failures, retry_after) -> None:
    delay = next_delay(watched("60s"), lost("rate_limited", retry_after), failures, chance)
    assert delay >= min(retry_after, 21600.0)
    assert 60.0 <= delay <= 21600.0 * 1.1


@given(
    st.floats(0, 1, exclude_max=True), st.integers(0, 10**6), st.sampled_from(["unreachable", "timeout", "malformed"])
)
def test_no_failing_node_is_pressed_or_forgotten(chance, failures, reason) -> None:
    assert 10.0 <= next_delay(watched("15s"), lost(reason), failures, chance) <= 150.0


@dataclass(eq=False)
class Waiting:
    doubtful: bool
    holding: bool = False


@given(st.lists(st.booleans(), max_size=60), st.integers(2, 16))
def test_the_doubtful_never_hold_more_than_half_and_everybody_has_a_turn(tempers, workers) -> None:
    lanes: Lanes[Waiting] = Lanes(workers)
    for doubtful in tempers:
        lanes.add(Waiting(doubtful))
    at_work, served = [], 0
    while True:
        while len(at_work) < workers and (one := lanes.take()) is not None:
            at_work.append(one)
        assert sum(one.doubtful for one in at_work) == lanes.held <= lanes.half
        if not at_work:
            break
        lanes.hold(at_work.pop(0), held=False)
        served += 1
    assert served == len(tempers)
    assert lanes.held == 0


def test_more_looks_run_at_once_only_while_the_process_waits() -> None:
    width = Width(256)
    width.begin(0.0, 0.0)
    assert width.now == 32
    width.check(0.01, 0.009)  # it computes nearly all the time
    assert width.now == 32
    for i in range(2, 7):
        width.check(i / 100, 0.009 + i / 10_000)  # now it waits
    assert width.now == 256


# -- the bound on time ----------------------------------------------------------------------------------------------


async def test_a_block_that_takes_too_long_raises_timeout() -> None:
    with pytest.raises(TimeoutError), within(0.02):
        await asyncio.Event().wait()
    assert asyncio.current_task().cancelling() == 0


async def test_a_block_in_time_is_left_alone_and_so_is_what_comes_after_it() -> None:
    with within(0.02):
        await asyncio.sleep(0)
    with within(LONG), pytest.raises(TimeoutError), within(0.03):
        await asyncio.Event().wait()


async def test_a_cancellation_from_outside_stays_one() -> None:
    async def bounded() -> None:
        with within(LONG):
            await asyncio.Event().wait()

    task = asyncio.create_task(bounded())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_many_bounds_are_each_kept() -> None:
    async def bounded(seconds: float) -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError), within(seconds):
            await asyncio.Event().wait()
        return time.monotonic() - began

    times = [0.06, 0.02, 0.04, 0.01]
    found = await asyncio.gather(*map(bounded, times))
    assert all(late >= due for late, due in zip(found, times, strict=True))
