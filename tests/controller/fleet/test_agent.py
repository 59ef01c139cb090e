"""Agents as they run together, and what a write is: whole, durable, and on its way."""

from __future__ import annotations

import asyncio
import random

import pytest

from controller.fleet.clocks import Stamp
from controller.fleet.terms import grow
from controller.fleet.transport.memory import Switchboard
from controller.fleet.wire import Kind, Message
from tests.controller.fleet.living import copied, settled, ward


def kinds(messages: list[Message]) -> set[str]:
    return {message.kind.value for message in messages}


# --- together ---------------------------------------------------------------------------------------------------------


async def test_nine_agents_know_all_that_one_of_them_writes_at_once_and_nothing_was_sent_before_it_was_saved():
    async with ward(9) as fleet:
        for name in fleet.agents:
            await fleet.propose(name)
        await settled()
        assert fleet.agree()
        assert len(fleet.agents["site-8"].peer.replica.terms) == 9
        assert all(copied(disk.replica).digest in fleet.digests() for disk in fleet.disks.values())


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_lost_repeated_late_or_cut_off_they_end_alike(seed):
    draw = random.Random(seed)
    board = Switchboard(loss=0.3, twice=0.2, chance=draw)
    async with ward(9, board=board, begun=False) as fleet:
        wrote = 0
        for _ in range(20):
            cut = draw.sample(sorted(fleet.agents), 4)
            draw.choice([board.heal, lambda cut=cut: board.partition([cut])])()
            await fleet.propose(draw.choice(sorted(fleet.agents)), wrote)
            wrote += 1
            name = draw.choice(sorted(fleet.agents))
            await fleet.kill(name)
            await fleet.passes(draw.choice([0.5, 3.0]))
            await fleet.start(name)
        board.heal()
        board.loss = board.twice = 0.0
        await fleet.passes_until(fleet.agree, 2 * fleet.spec.graph().diameter * fleet.spec.sync)
        assert len(fleet.agents["site-0"].peer.replica.terms) == wrote


async def test_each_side_of_a_partition_goes_on_and_after_it_heals_all_know_the_same_within_a_sync_round():
    async with ward(5) as fleet:
        fleet.board.partition([{"site-0", "site-1"}, {"site-2", "site-3", "site-4"}])
        await fleet.passes(12)
        assert fleet.agents["site-0"].peer.alive(fleet.clock.time()) == ("site-0", "site-1")
        await fleet.propose("site-0")
        await fleet.propose("site-4")
        await settled()
        assert len(fleet.digests()) == 2
        fleet.board.heal()
        assert await fleet.passes_until(fleet.agree) <= fleet.spec.sync
        assert len(fleet.agents["site-2"].peer.replica.terms) == 2


async def test_an_agent_alone_is_trusted_at_once_and_has_nobody_to_tell():
    async with ward(1, begun=False) as fleet:
        assert fleet.trusted()
        await fleet.propose("site-0")
        assert fleet.ways["site-0"].sent == []
        assert len(fleet.disks["site-0"].replica.terms) == 1


async def test_heartbeats_and_sync_rounds_come_at_their_pace_and_a_round_can_be_asked_for():
    async with ward(2) as fleet:
        way, agent = fleet.ways["site-0"], fleet.agents["site-0"]
        way.sent.clear()
        await fleet.passes(20)
        said = [message.kind for message in way.sent]
        assert (said.count(Kind.HEARTBEAT), said.count(Kind.SYNC), said.count(Kind.STATE)) == (4, 4, 0)
        way.sent.clear()
        await agent.sync()
        await settled()
        assert kinds(way.sent) == {"sync"}


async def test_where_the_clock_is_set_back_it_goes_on_and_whoever_is_dead_stays_dead():
    async with ward(3) as fleet:
        await fleet.kill("site-2")
        await fleet.passes(15)
        fleet.clock.at -= 3000
        fleet.ways["site-0"].sent.clear()
        await fleet.passes(5)
        assert "heartbeat" in kinds(fleet.ways["site-0"].sent)
        await fleet.passes(12)
        assert fleet.agents["site-0"].peer.alive(fleet.clock.time()) == ("site-0", "site-1")


# --- writing ----------------------------------------------------------------------------------------------------------


async def test_what_was_written_is_on_the_disk_when_write_returns():
    async with ward(2) as fleet:
        term = await fleet.propose("site-0")
        assert term.id in fleet.disks["site-0"].replica.terms
        assert await fleet.agents["site-0"].write(lambda *_: "what the change gives") == "what the change gives"


async def test_of_a_change_that_raises_nothing_stays_and_the_next_one_goes_through():
    async with ward(2) as fleet:
        agent = fleet.agents["site-0"]
        await agent.write(lambda r, stamp, w: r.write("site", "x", 1, stamp(), w, 1))
        before, saves = copied(agent.peer.replica), len(fleet.disks["site-0"].saves)
        replica = agent.peer.replica

        def half(replica, stamp, writer):
            replica.close(1)
            replica.add(grow("a/golem", "cpu", 1, 2), writer, 2)
            replica.count("site-0", "used", 3, writer)
            replica.write("site", "x", 2, stamp(), writer, 3)
            raise LookupError("half way")

        with pytest.raises(LookupError, match="half way"):
            await agent.write(half)
        assert agent.peer.replica is replica
        assert (replica.digest, replica.version, replica.floor) == (before.digest, before.version, before.floor)
        assert (replica.terms, replica.registers, replica.counters) == (before.terms, before.registers, before.counters)
        await fleet.passes(10)
        assert len(fleet.disks["site-0"].saves) == saves
        await fleet.propose("site-0")
        await settled()
        assert fleet.agree()


async def test_writes_at_the_same_time_are_all_kept_and_each_has_a_stamp_of_its_own():
    async with ward(3) as fleet:
        stamps: list[Stamp] = []

        def note(number: int):
            def change(replica, stamp, writer):
                stamps.append(stamp())
                replica.write("site", f"x {number}", number, stamps[-1], writer)

            return change

        await asyncio.gather(*(agent.write(note(n)) for n in range(20) for agent in [fleet.agents[f"site-{n % 3}"]]))
        await settled()
        assert len(set(stamps)) == 20
        assert fleet.agree()
        assert len(list(fleet.agents["site-0"].peer.replica.read("site"))) == 20


async def test_all_that_came_together_is_saved_at_once_and_nothing_where_nothing_is_new():
    async with ward(2) as fleet:
        disk, agent = fleet.disks["site-1"], fleet.agents["site-1"]
        await fleet.passes(20)
        saves = len(disk.saves)
        await fleet.passes(20)
        assert len(disk.saves) == saves
        disk.open.clear()
        held = asyncio.create_task(agent.write(lambda r, _, w: r.count("site-1", "used", 1, w)))
        await settled()
        for number in range(10):
            await fleet.propose("site-0", number)
        await settled()
        disk.open.set()
        await held
        await settled()
        assert fleet.agree()
        assert len(disk.saves) == saves + 2
        assert len(disk.saves[-1].terms) == 10
