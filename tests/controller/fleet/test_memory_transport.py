"""The switchboard: what it delivers, loses, repeats and delays, and that it never delivers within a send."""

from __future__ import annotations

import asyncio
import random

import pytest

from controller.fleet.transport import Unreachable
from controller.fleet.transport.memory import Memory, Switchboard
from controller.fleet.wire import Heartbeat, Message, encoded


def beat(via: str, to: str, number: int = 1) -> Message:
    return Message(
        id=f"{via}.1-{number}", origin=via, start=1, via=via, to=to, hops=1, sent=1.0, stamp=(1, 0, via),
        body=Heartbeat(beat=number, digest="d"),
    )  # fmt: skip


class Line:
    """One agent's end."""

    def __init__(self, board: Switchboard, me: str, *others: str) -> None:
        self.port, self.me, self.others = board.port(), me, others
        self.came: list[bytes] = []
        self.two = asyncio.Event()
        """Set when two messages came."""

    def hear(self, body: bytes) -> None:
        self.came.append(body)
        if len(self.came) == 2:
            self.two.set()

    async def open(self) -> Memory:
        await self.port.open(self.me, self.others, self.hear)
        return self.port

    async def say(self, to: str, number: int = 1) -> bytes:
        message = beat(self.me, to, number)
        await self.port.send(message, encoded(message))
        return encoded(message)


async def lines(board: Switchboard, *names: str) -> list[Line]:
    made = [Line(board, name, *(other for other in names if other != name)) for name in names]
    for line in made:
        await line.open()
    return made


async def delivered() -> None:
    """Until all that was handed over at once is there."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_what_is_sent_comes_as_it_was_and_never_within_the_send():
    a, b, c = await lines(Switchboard(), "a", "b", "c")
    said = await a.say("b")
    assert b.came == []
    await delivered()
    assert b.came == [said]
    assert c.came == []


async def test_a_cut_link_is_unreachable_both_ways_until_it_is_mended_and_no_other_is():
    board = Switchboard()
    a, b, c = await lines(board, "a", "b", "c")
    board.cut("b", "a")
    for one, other in ((a, "b"), (b, "a")):
        with pytest.raises(Unreachable, match=r"the link from . to . is cut"):
            await one.say(other)
    await a.say("c")
    board.mend("a", "b")
    await a.say("b")
    await delivered()
    assert (len(b.came), len(c.came)) == (1, 1)


async def test_a_partition_cuts_every_link_between_groups_and_whoever_is_in_none():
    board = Switchboard()
    names = ("a", "b", "c", "d")
    made = await lines(board, *names)
    board.partition([{"a", "b"}, {"c"}])
    reached = {(one.me, other) for one in made for other in names if other != one.me and board.reaches(one.me, other)}
    assert reached == {("a", "b"), ("b", "a")}
    board.partition([{"a"}, {"b", "c", "d"}])
    assert board.reaches("c", "d")
    assert not board.reaches("a", "b")
    board.cut("c", "d")
    board.heal()
    assert all(board.reaches(one, other) for one in names for other in names)


async def test_what_is_under_way_when_the_link_is_cut_is_lost():
    board = Switchboard()
    a, b = await lines(board, "a", "b")
    await a.say("b")
    board.cut("a", "b")
    await delivered()
    assert b.came == []


async def test_one_whose_links_are_all_cut_is_not_connected():
    board = Switchboard()
    a, b, _ = await lines(board, "a", "b", "c")
    board.cut("a", "b")
    assert a.port.connected
    board.cut("a", "c")
    assert not a.port.connected
    assert b.port.connected
    await b.port.close()
    assert not b.port.connected


async def test_for_an_agent_that_does_not_run_a_message_is_gone_and_it_can_come_back():
    board = Switchboard()
    a, b = await lines(board, "a", "b")
    await b.port.close()
    await a.say("b", 1)
    await delivered()
    again = Line(board, "b", "a")
    await again.open()
    said = await a.say("b", 2)
    await delivered()
    assert (b.came, again.came) == ([], [said])


async def test_two_agents_of_one_name_cannot_be_on_one_switchboard():
    board = Switchboard()
    await lines(board, "a", "b")
    with pytest.raises(Unreachable, match="an agent 'a' is on this switchboard already"):
        await Line(board, "a", "b").open()


async def test_only_neighbours_can_be_sent_to_and_only_over_an_open_port():
    a, _ = await lines(Switchboard(), "a", "b")
    with pytest.raises(Unreachable, match="z is no neighbour of a"):
        await a.say("z")
    await a.port.close()
    with pytest.raises(Unreachable, match="the port of a is not open"):
        await a.say("b")


async def test_losses_and_repetitions_are_drawn_from_the_chance_that_was_given():
    async def come(seed: int) -> int:
        board = Switchboard(loss=0.3, twice=0.2, chance=random.Random(seed))
        a, b = await lines(board, "a", "b")
        for number in range(1, 1001):
            await a.say("b", number)
        await delivered()
        return len(b.came)

    first = await come(1)
    assert first == await come(1)
    assert first == pytest.approx(1000 * 0.7 * 1.2, rel=0.1)


async def test_a_message_that_takes_longer_is_overtaken():
    took = iter([0.02, 0.0])
    a, b = await lines(Switchboard(delay=lambda: next(took)), "a", "b")
    late, early = await a.say("b", 1), await a.say("b", 2)
    async with asyncio.timeout(5):
        await b.two.wait()
    assert b.came == [early, late]
