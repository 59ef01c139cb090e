"""Who lost its memory promises nothing, uses no write of its own twice, and is found out."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from controller.fleet.agent import Agent
from controller.fleet.disk import InMemory
from controller.fleet.peer import AHEAD
from controller.fleet.transport import Unreachable
from controller.fleet.wire import Kind, Message
from tests.controller.fleet.living import Kept, Ward, fleet_spec, settled, taken, ward


def events(logs: list) -> list[str]:
    return [line["event"] for line in logs]


async def test_a_new_fleet_is_trusted_once_all_its_agents_were_up_together_and_agreed():
    fleet = Ward(fleet_spec(3))
    await fleet.start("site-0", "site-1")
    await fleet.passes(30)
    assert not any(agent.peer.trusted for agent in fleet.agents.values())
    await fleet.start("site-2")
    await fleet.passes_until(fleet.trusted)
    assert all(disk.trusted for disk in fleet.disks.values())
    await fleet.kill()


async def test_who_was_trusted_is_trusted_at_its_next_start_and_who_was_not_is_not():
    async with ward(2) as fleet:
        await fleet.kill()
        await fleet.start("site-0")
        assert fleet.agents["site-0"].peer.trusted
        fleet.disks["site-0"].trusted = False
        await fleet.kill()
        await fleet.start("site-0")
        assert not fleet.agents["site-0"].peer.trusted


async def test_who_lost_its_disk_promises_nothing_before_all_others_agree_and_uses_no_write_of_its_own_twice():
    async with ward(3) as fleet:
        term = await fleet.propose("site-0")
        await settled()
        before = set(fleet.agents["site-0"].peer.replica.version)
        await fleet.kill("site-0", "site-2")
        fleet.disks["site-0"] = Kept()
        fleet.clock.pass_(1.0)
        await fleet.start("site-0")
        again = await fleet.propose("site-0", 7)
        await fleet.passes(20)
        agent = fleet.agents["site-0"]
        assert {term.id, again.id} <= agent.peer.replica.terms.keys()
        assert agent.peer.writer not in before
        assert not agent.peer.trusted
        await fleet.start("site-2")
        await fleet.passes_until(lambda: agent.peer.trusted and fleet.agree())
        assert fleet.disks["site-0"].trusted


async def test_who_lost_its_disk_and_whose_clock_is_wrong_takes_a_later_start_once_it_hears_of_the_earlier_one():
    async with ward(2) as fleet:
        earlier = fleet.agents["site-0"].peer.start
        await fleet.kill("site-0")
        fleet.disks["site-0"] = Kept()
        fleet.clock.at -= 1000
        await fleet.start("site-0")
        await fleet.passes_until(fleet.agree)
        agent = fleet.agents["site-0"]
        assert agent.peer.start > earlier
        await fleet.propose("site-0")
        await fleet.passes_until(fleet.agree)
        await fleet.passes_until(fleet.trusted)


async def test_whose_state_was_put_back_from_an_old_copy_is_found_out_and_trusted_once_all_agree():
    async with ward(3) as fleet:
        old = taken(fleet.disks["site-0"])
        await fleet.agents["site-0"].write(lambda r, _, w: r.count("site-0", "give x site-1", 5, w))
        await settled()
        await fleet.kill("site-0", "site-2")
        fleet.disks["site-0"] = old
        fleet.clock.pass_(1.0)
        with capture_logs() as logs:
            await fleet.start("site-0")
            await fleet.passes(6)
        agent = fleet.agents["site-0"]
        assert not agent.peer.trusted
        assert agent.peer.replica.counted("site-0", "give x site-1") == 5
        assert sum("does not remember" in line for line in events(logs)) == 1
        await fleet.start("site-2")
        await fleet.passes_until(lambda: agent.peer.trusted)


async def test_where_another_runs_under_its_name_what_others_agreed_to_before_counts_no_more():
    async with ward(2) as fleet:
        agent = fleet.agents["site-0"]
        await fleet.passes(10)
        assert agent.peer.trusted
        agent.peer.remembered = False
        assert agent.peer.trusted
        await fleet.agents["site-1"].write(lambda r, _, w: r.count("site-0", "give x site-1", 5, "site-0.5"))
        await settled()
        assert not agent.peer.trusted
        assert not fleet.disks["site-0"].trusted
        await fleet.passes_until(lambda: agent.peer.trusted)


async def test_two_that_run_under_one_name_outrun_each_other_ever_more_seldom_and_neither_is_trusted_meanwhile():
    async with ward(2) as fleet:
        agent, one = fleet.agents["site-0"], fleet.agents["site-1"]
        outran = 0
        for _ in range(3600):
            known = int(one.peer.replica.counted("site-0", "starts"))
            if known == agent.peer.start:  # the other one under its name hears of it, and outruns it at once
                outran += 1
                await one.write(lambda r, _, w, start=known + 1: r.count("site-0", "starts", start, f"site-0.{start}"))
                await settled()
                assert not agent.peer.trusted
            await fleet.passes(2.0)
        assert 5 < outran < 12
        assert len(one.peer.replica.version) < 30
        await fleet.passes_until(lambda: fleet.agree() and agent.peer.trusted, 4000.0)


async def test_who_is_outrun_and_waits_is_not_trusted_though_all_know_the_same():
    async with ward(2) as fleet:
        agent, one = fleet.agents["site-0"], fleet.agents["site-1"]
        for _ in range(2):
            start = agent.peer.start + 1
            await one.write(lambda r, _, w, start=start: r.count("site-0", "starts", start, f"site-0.{start}"))
            await fleet.passes(1.0)
        assert agent.peer.outrun
        await fleet.passes_until(fleet.agree)
        assert not agent.peer.trusted
        await fleet.passes_until(fleet.trusted)


async def test_own_writes_that_it_remembers_leave_it_trusted():
    async with ward(2) as fleet:
        for _ in range(3):
            await fleet.propose("site-0")
            await fleet.kill("site-0")
            fleet.clock.pass_(1.0)
            await fleet.start("site-0")
            await fleet.passes(10)
            assert fleet.agents["site-0"].peer.trusted


async def test_a_state_of_an_earlier_start_that_comes_late_is_refused_and_what_it_held_is_sent_again():
    async with ward(2) as fleet:
        late: list[bytes] = []
        way = fleet.ways["site-0"]
        real = way.send

        async def hold(message: Message, body: bytes) -> None:
            (late.append(body) if message.kind is Kind.STATE else await real(message, body))

        way.send = hold
        await fleet.agents["site-0"].write(lambda r, _, w: r.count("site-0", "give x site-1", 5, w))
        await settled()
        await fleet.kill("site-0")
        fleet.disks["site-0"] = Kept()
        fleet.clock.pass_(1.0)
        await fleet.start("site-0")
        await fleet.passes_until(fleet.trusted)
        other = fleet.agents["site-1"]
        fleet.ways["site-1"].way.received(late[0])
        await settled()
        assert other.peer.replica.counted("site-0", "give x site-1") == 0
        assert "of an earlier start of site-0" in other.peer.why_refused
        await fleet.kill("site-1")


async def test_what_is_written_after_a_restart_is_later_than_what_was_written_before_also_where_the_clock_was_set_back():
    async with ward(2) as fleet:
        await fleet.agents["site-0"].write(lambda r, stamp, w: r.write("site", "x", "before", stamp(), w))
        await fleet.kill()
        fleet.clock.at -= AHEAD - 100
        await fleet.start("site-0")
        await fleet.agents["site-0"].write(lambda r, stamp, w: r.write("site", "x", "after", stamp(), w))
        assert [value for _, value, _ in fleet.agents["site-0"].peer.replica.read("site")] == ["after"]


async def test_a_stamp_from_a_clock_that_was_hours_ahead_does_not_make_all_others_refuse_what_it_says():
    async with ward(2) as fleet:
        fleet.clock.at += 5 * AHEAD
        await fleet.agents["site-0"].write(lambda r, stamp, w: r.write("site", "x", "ahead", stamp(), w))
        await fleet.kill()
        fleet.clock.at -= 5 * AHEAD
        await fleet.start()
        await fleet.propose("site-0", 3)
        await fleet.passes_until(fleet.agree)
        assert fleet.agents["site-1"].peer.counts.refused == 0
        for name in ("site-0", "site-1"):
            await fleet.agents[name].write(lambda r, stamp, w, name=name: r.write("site", "x", name, stamp(), w))
            await fleet.passes_until(fleet.agree)
            assert [value for _, value, _ in fleet.agents["site-0"].peer.replica.read("site")] == [name]


async def test_two_agents_of_one_name_do_not_begin_on_one_switchboard():
    async with ward(2) as fleet:
        with pytest.raises(Unreachable, match="'site-0' is on this switchboard already"):
            async with Agent.opened("site-0", fleet.spec, InMemory(), fleet.board.port(), fleet.clock):
                raise AssertionError("it began")


async def test_what_an_agent_learns_without_saving_is_not_on_a_disk_in_memory():
    disk = InMemory()
    loaded = await disk.load()
    loaded.replica.count("a", "used", 1, "a.1")
    assert (await disk.load()).replica.counted("a", "used") == 0
    await disk.save(loaded.replica.delta({}), 3, trusted=False)
    saved = await disk.load()
    assert (saved.replica.digest, saved.start, saved.trusted) == (loaded.replica.digest, 3, False)
