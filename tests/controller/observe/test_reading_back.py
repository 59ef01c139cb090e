"""Reading back through Prometheus: a look that began after the request, or a failure; and what the loop gets at once."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from controller.observe.prometheus import AtOnce
from controller.observe.prometheus.source import AGAIN
from tests.controller.observe.fake import ALLOTTED, lost, node, reading
from tests.controller.observe.test_from_prometheus import KEY, answering, seen


class Exporter:
    """Polls every 30 s and is scraped every 15 s, on the clock's own time."""

    def __init__(self, prometheus, clock, phase=0.0, ahead=0.0):
        self.ahead = ahead
        self.allocated, self.prometheus, self.clock, self.down = 6.0, prometheus, clock, False
        self._next, self._scrape, self._seen = clock.now + phase, clock.now, None
        clock.lives = self.live

    def live(self, now):
        if now >= self._next:
            self._next = now + 30
            at = now + self.ahead
            self._seen = lost(at) if self.down else reading(at, allocated={"cpu": self.allocated})
        if now >= self._scrape and self._seen is not None:
            self._scrape = now + 15
            self.prometheus.scrape(self._seen)


@pytest.mark.parametrize("phase", [0.0, 7.0, 22.0])
async def test_a_read_back_is_a_look_that_began_after_the_request(phase, source_for, prometheus, clock):
    exporter = Exporter(prometheus, clock, phase)
    clock.pass_(60)
    source = source_for()
    await seen(source)
    exporter.allocated, asked = 8.0, clock.now
    found = await source.read_back(KEY)
    assert found.at > asked
    assert found.allocated == {"cpu": 8.0}
    assert clock.now - asked <= 30 + 15 + 5 + 2 * AGAIN
    assert source.last_good(KEY) is found
    assert (await source.observe()).newest[KEY] is found


@pytest.mark.parametrize("ahead", [-4.0, 4.0])
async def test_a_look_of_before_the_request_does_not_count_though_the_exporters_clock_is_a_little_wrong(
    ahead, source_for, prometheus, clock
):
    exporter = Exporter(prometheus, clock, phase=13.0, ahead=ahead)
    clock.pass_(44)  # it looked a second ago, and Prometheus will see that look only now
    source, asked = source_for(), clock.now
    exporter.allocated = 8.0
    found = await source.read_back(KEY)
    assert found.allocated == {"cpu": 8.0}
    assert found.at - ahead > asked


async def test_a_read_back_of_a_node_that_does_not_answer_says_so_after_its_next_look(source_for, prometheus, clock):
    exporter = Exporter(prometheus, clock)
    clock.pass_(60)
    exporter.down, asked = True, clock.now
    found = await source_for().read_back(KEY)
    assert (found.up, found.failure) == (False, "timeout")
    assert found.at > asked


async def test_a_read_back_without_a_new_look_fails_like_a_timeout(source_for, prometheus, clock):
    source = source_for()
    clock.lives = lambda now: prometheus.scrape(reading()) if now % 15 == 0 else None
    clock.pass_(15)
    asked = clock.now
    found = await source.read_back(KEY)
    assert (found.up, found.failure) == (False, "timeout")
    assert "showed no look at rack-1/golem of after the request within 2m45s; its exporter looks every 30s" in (
        found.failure_message
    )
    assert clock.now - asked <= 30 + 10 + 120 + 5
    assert source.last_good(KEY).up, "what was known before is known still"


async def test_a_read_back_while_prometheus_is_away_waits_for_it_and_then_says_why(source_for, prometheus, clock):
    prometheus.answer = answering(status=503)
    found = await source_for().read_back(KEY)
    assert "HTTP 503" in found.failure_message
    back = clock.now + 30
    Exporter(prometheus, clock)
    prometheus.answer = lambda _form: None if clock.now > back else web.Response(status=503)
    assert (await source_for().read_back(KEY)).up


async def test_a_read_back_of_what_is_not_declared_says_so(source_for):
    for ask in (source_for().read_back, source_for().look_now):
        with pytest.raises(KeyError, match="rack-9/nothing"):
            await ask("rack-9/nothing")


async def test_the_loop_does_not_wait_for_a_poll_and_asks_once_for_all_that_it_looks_at(source_for, prometheus, clock):
    nodes = [node(golem=ALLOTTED, akash=ALLOTTED)]
    prometheus.scrape(reading(), reading(name="akash"))
    source = source_for(*nodes)
    loop = AtOnce(source)
    asked = clock.now
    found = await asyncio.gather(*(loop.read_back(key) for key in loop.watched))
    assert [each.key for each in found] == ["rack-1/akash", "rack-1/golem"]
    assert clock.now == asked
    assert len(prometheus.asked) == 1
    clock.pass_(1.0)
    await loop.read_back(KEY)
    assert len(prometheus.asked) == 2, "the look of a second ago is not a fresh one"
