"""Golem's rates, looked at every 30 s for some simulated hours, add up to what the simulated provider really earned."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from exporters.collector import Workload, load, look
from exporters.nodes import WorkloadSpec
from exporters.session import Answer
from exporters.simulator.demo import demo
from exporters.simulator.inprocess import FastClock, InProcessSession

ORIGIN = 1795163150.0
EVERY, HOURS = 30.0, 3.0


class DatedSession(InProcessSession):
    """Tells the time in a `Date` header, as a real daemon does."""

    async def request(self, *args, **kwargs) -> Answer:
        answer = await super().request(*args, **kwargs)
        return Answer(
            answer.url, answer.status, answer.body, {**answer.headers, "date": formatdate(self._clock.time())}
        )


@pytest.mark.parametrize("kind", [InProcessSession, DatedSession], ids=["no date", "dated"])
async def test_rates_and_use_add_up_to_what_was_really_earned_and_used(kind, tmp_path):
    world = demo(3, origin=ORIGIN, day=86400.0)
    key = tmp_path / "key"
    key.write_text(world.secrets["yagna-app-key"])
    clock = FastClock(ORIGIN, auto=False)
    session = kind(world.world, clock, {"http://rack-1-golem.sim": "rack-1-golem"})
    spec = {"protocol": "golem", "endpoint": "http://rack-1-golem.sim", "credentials": {"appKeyFile": str(key)}}
    workload = Workload("rack-1", "golem", WorkloadSpec.model_validate(spec), load("golem").TRAITS)

    earned = used = 0.0
    really_earned = really_used = 0.0
    reading, previous = await look(load("golem"), session, workload, ORIGIN)
    for turn in range(1, int(HOURS * 3600 / EVERY)):
        clock.advance(ORIGIN + turn * EVERY)
        reading, previous = await look(load("golem"), session, workload, clock.time(), previous)
        assert reading.up, reading.failure_message
        earned += reading.native.gross_per_hour["GLM"] * EVERY / 3600
        used += reading.used["cpu"] * EVERY / 3600
        truth = world.world.truth("rack-1/golem")
        really_earned += truth.native_per_hour["GLM"] * EVERY / 3600
        really_used += truth.used["cpu"] * EVERY / 3600
    assert earned == pytest.approx(really_earned, rel=0.01)
    assert used == pytest.approx(really_used, rel=0.01)
