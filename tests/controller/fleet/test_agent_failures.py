"""A disk or a wire that fails: what may still be said, what is counted and told once, and that all is made good later."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from controller.address import StoreFenced, StoreFull
from controller.fleet import agent as agents
from controller.fleet.timeline import Timeline
from controller.fleet.wire import Heartbeat, Message, Sync, encoded
from tests.controller.fleet.living import BEGIN, Kept, Ward, fleet_spec, settled, ward

FULL = StoreFull("the disk is full")


def kinds(messages: list[Message]) -> set[str]:
    return {message.kind.value for message in messages}


def events(logs: list) -> list[str]:
    return [line["event"] for line in logs]


# --- a disk that fails ------------------------------------------------------------------------------------------------


async def test_while_the_disk_fails_nothing_is_said_but_heartbeats_of_what_is_on_it():
    async with ward(3) as fleet:
        agent, way, disk = fleet.agents["site-0"], fleet.ways["site-0"], fleet.disks["site-0"]
        with capture_logs() as logs:
            disk.fails = FULL
            way.sent.clear()
            with pytest.raises(StoreFull):
                await fleet.propose("site-0")
            await fleet.propose("site-1")
            await fleet.passes(12)
            await agent.sync()
            await settled()
        assert not agent.stored
        assert kinds(way.sent) == {"heartbeat"}
        mine = [message.body for message in way.sent if message.origin == "site-0"]
        assert {body.digest for body in mine if isinstance(body, Heartbeat)} == {disk.replica.digest}
        assert agent.peer.replica.digest != disk.replica.digest
        assert events(logs) == ["what the fleet shares cannot be saved; only heartbeats are sent"]
        assert logs[0]["why"] == "the disk is full"
        assert "site-0" in fleet.agents["site-2"].peer.alive(fleet.clock.time())
        disk.fails = None


@pytest.mark.parametrize("by", ["a write", "itself"])
async def test_once_the_disk_works_again_all_that_was_held_back_goes_out_without_waiting_for_a_sync_round(by):
    fleet = Ward(fleet_spec(3, heartbeat="2s", timeout="10s", sync="10m"))
    await fleet.start()
    await fleet.passes_until(lambda: fleet.agree() and fleet.trusted())
    fleet.board.cut("site-1", "site-2")
    agent, disk = fleet.agents["site-0"], fleet.disks["site-0"]
    disk.fails = FULL
    with pytest.raises(StoreFull):
        await fleet.propose("site-0", 1)
    await fleet.propose("site-1", 1)
    await fleet.passes(3)
    assert len(agent.peer.replica.terms) == 2
    assert len(fleet.agents["site-2"].peer.replica.terms) == 0
    disk.fails = None
    with capture_logs() as logs:
        if by == "itself":
            await fleet.passes(2)
        else:
            await fleet.propose("site-0", 2)
            await settled()
    assert agent.stored
    assert fleet.agree()
    assert len(fleet.agents["site-2"].peer.replica.terms) == 2 + (by == "a write")
    assert events(logs) == ["what the fleet shares is saved again"]
    assert [each.peer.counts.gaps for each in fleet.agents.values()] == [0, 0, 0]
    assert fleet.early == []
    await fleet.kill()


async def test_a_disk_that_fails_is_tried_once_a_second_at_most():
    tries = []

    class Counted(Kept):
        async def save(self, new, start, *, trusted):
            tries.append(start)
            await super().save(new, start, trusted=trusted)

    async with ward(2) as fleet:
        await fleet.kill("site-0")
        disk = Counted()
        fleet.disks["site-0"] = disk
        await fleet.start("site-0")
        await fleet.passes(20)
        disk.fails = FULL
        tries.clear()
        for number in range(50):
            await fleet.propose("site-1", number)
            await fleet.passes(0.1, 0.1)
        assert 4 <= len(tries) <= 6
        disk.fails = None


async def test_an_agent_whose_disk_another_writes_ends_and_says_nothing_more():
    async with ward(2) as fleet:
        fleet.disks["site-0"].fails = StoreFenced("another controller writes here now")
        fleet.ways["site-0"].sent.clear()
        await fleet.propose("site-1")
        await settled()
        with pytest.raises(StoreFenced, match="another controller"):
            async with asyncio.timeout(10):
                await fleet.task("site-0")
        await fleet.passes(20)
        assert fleet.ways["site-0"].sent == []


async def test_an_agent_whose_start_cannot_be_saved_does_not_begin():
    fleet = Ward(fleet_spec(2))
    fleet.disks["site-0"].fails = FULL
    with pytest.raises(StoreFull):
        await fleet.start("site-0")
    await fleet.start("site-1")
    await fleet.kill("site-1")


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_an_agent_that_is_called_off_at_any_moment_has_said_nothing_that_is_not_on_its_disk(turns):
    async with ward(3) as fleet:
        writing = [asyncio.create_task(fleet.propose(name)) for name in ("site-0", "site-1", "site-2")]
        for _ in range(turns):
            await asyncio.sleep(0)
        writing[0].cancel()
        await fleet.kill("site-0")
        await asyncio.gather(*writing, return_exceptions=True)
        await fleet.start("site-0")
        await fleet.passes_until(fleet.agree)
        assert {term.id for task in writing[1:] for term in [task.result()]} <= fleet.disks[
            "site-0"
        ].replica.terms.keys()


# --- a wire that fails ------------------------------------------------------------------------------------------------


async def test_who_cannot_be_reached_is_counted_told_once_an_outage_and_sent_it_all_later():
    async with ward(3) as fleet:
        agent, failed = fleet.agents["site-0"], []
        agent.failed = lambda *what: failed.append(what)
        with capture_logs() as logs:
            fleet.board.partition([{"site-0"}, {"site-1", "site-2"}])
            await fleet.propose("site-0")
            await fleet.passes(20)
            assert not agent.transport.connected
            fleet.board.heal()
            await fleet.passes(6)
        assert fleet.agree()
        mine = [line["event"] for line in logs if line["agent"] == "site-0"]
        assert mine == ["a neighbour cannot be reached", "all neighbours can be reached again"]
        assert set(failed) == {("site-0", other, "unreachable") for other in ("site-1", "site-2")}
        assert agent.timeline.errors["site-0", "site-1", "unreachable"] == failed.count(
            ("site-0", "site-1", "unreachable")
        )


async def test_a_neighbour_that_is_slow_to_reach_holds_back_nobody_else_and_no_write():
    async with ward(3) as fleet:
        way, stuck = fleet.ways["site-0"], asyncio.Event()
        real = way.send

        async def send(message: Message, body: bytes) -> None:
            if message.to == "site-1":
                await stuck.wait()
            await real(message, body)

        way.send = send
        await fleet.propose("site-0")
        await settled()
        assert len(fleet.agents["site-2"].peer.replica.terms) == 1
        fleet.clock.sleeping.clear()
        stuck.set()


async def test_what_a_neighbour_that_is_stuck_is_to_be_sent_is_bounded_and_the_rest_counted(monkeypatch):
    monkeypatch.setattr(agents, "MOST_WAITING", 5)
    async with ward(2) as fleet:
        way = fleet.ways["site-0"]

        async def send(*_: object) -> None:
            await asyncio.Event().wait()

        way.send = send
        for number in range(9):
            await fleet.propose("site-0", number)
        assert fleet.agents["site-0"].timeline.errors["site-0", "site-1", "full"] >= 3


async def test_what_comes_faster_than_it_is_heard_is_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(agents, "MOST_WAITING", 50)
    monkeypatch.setattr(agents, "MOST_BYTES_WAITING", 10_000)
    async with ward(2) as fleet:
        agent = fleet.agents["site-0"]
        for _ in range(60):
            fleet.ways["site-0"].way.received(b"x")
        assert agent.timeline.errors["?", "site-0", "full"] == 10
        await settled()
        assert agent.peer.counts.refused == 50
        for size, dropped in ((9_000, 10), (1_001, 11), (999, 11)):
            fleet.ways["site-0"].way.received(b"x" * size)
            assert agent.timeline.errors["?", "site-0", "full"] == dropped


async def test_what_is_no_message_is_counted_and_changes_nothing():
    async with ward(2) as fleet:
        agent = fleet.agents["site-0"]
        before, total = agent.peer.replica.digest, agent.timeline.total
        stranger = Message(
            id="x.1-1", origin="x", start=1, via="x", to="site-0", hops=1, sent=BEGIN, stamp=(1, 0, "x"),
            body=Sync(version={}, digest="d"),
        )  # fmt: skip
        for body in (b"", b"\xff", b"{}", b'{"id":1}', encoded(stranger)):
            fleet.ways["site-0"].way.received(body)
        await settled()
        assert agent.peer.counts.refused == 5
        assert agent.timeline.errors["?", "site-0", "malformed"] == 4
        assert agent.timeline.errors["?", "site-0", "refused"] == 1
        assert (agent.peer.replica.digest, agent.timeline.total) == (before, total)
        assert not fleet.task("site-0").done()


async def test_of_messages_that_are_refused_in_a_row_the_log_has_the_first_and_why():
    async with ward(2) as fleet:
        other = fleet.agents["site-1"].peer
        ahead = tuple(other.clock.tick(fleet.clock.at + 7200).stamp)
        message = Message(
            id=f"{other.writer}-999", origin="site-1", start=other.start, via="site-1", to="site-0", hops=1,
            sent=fleet.clock.at, stamp=ahead, body=Sync(version={}, digest="d"),
        )  # fmt: skip
        body = encoded(message)
        for seconds in (7200, 7190):
            with capture_logs() as logs:
                for each in (body, b"", body, b"{}", body):
                    fleet.ways["site-0"].way.received(each)
                await settled()
            said = {line["via"]: line["why"] for line in logs if line["event"] == "a message is refused"}
            assert said["site-1"] == f"the clock of site-1 is {seconds} s ahead of that of site-0"
            assert len(said) == sum(line["event"] == "a message is refused" for line in logs)
            await fleet.passes(10.0)  # it is heard again, and so it is told again


async def test_each_message_is_noted_with_how_long_it_took_and_told_to_who_counts():
    async with ward(2) as fleet:
        agent, way = fleet.agents["site-1"], fleet.ways["site-0"]
        noted, sent = [], []
        agent.noted = noted.append
        fleet.agents["site-0"].sent_to = lambda message, size: sent.append((message, size))
        real = way.way.send

        async def send(message: Message, body: bytes) -> None:
            fleet.clock.at += 0.25
            await real(message, body)
            await asyncio.sleep(0)  # it is delivered by the loop

        way.way.send = send
        for _ in range(2):
            await fleet.agents["site-0"].sync()
        await settled()
        first, passed = noted
        assert first.microseconds == pytest.approx(250_000)
        assert (passed.kind, passed.via, passed.to, passed.hops) == ("sync", "site-0", "site-1", 1)
        assert passed.microseconds == pytest.approx(250_000)
        assert [(message.id, size) for message, size in sent] == [(each.id, each.bytes) for each in noted]
        assert agent.timeline.newest(2) == noted[::-1]


async def test_agents_that_share_a_timeline_agree_when_all_of_them_see_that_they_do():
    timeline = Timeline()
    async with ward(3, timeline=timeline) as fleet:
        await fleet.passes_until(lambda: timeline.apart_since is None)
        fleet.board.partition([{"site-0"}, {"site-1", "site-2"}])
        cut = fleet.clock.time()
        await fleet.propose("site-0")
        await fleet.passes(6)
        assert timeline.apart_since is not None
        fleet.board.heal()
        await fleet.passes_until(lambda: timeline.apart_since is None)
        assert timeline.convergence_seconds is not None
        assert 0 < timeline.convergence_seconds <= fleet.clock.time() - cut
        fleet.board.partition([{"site-0"}, {"site-1", "site-2"}])
        await fleet.propose("site-0", 1)
        await fleet.passes(6)
        assert timeline.apart_since is not None
        await fleet.kill()
        assert timeline.apart_since is None
