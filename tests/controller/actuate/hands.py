"""The drivers of a world: what they do when they are told to, and everything that they do wrong."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from controller.actuate.driver import NotNow, Refused
from controller.programs import Amounts, Order

if TYPE_CHECKING:
    from tests.controller.actuate.world import World


class Hand:
    """The driver of one workload of a world. `world.faults` says what becomes of its next calls: see below."""

    name = "hand"

    def __init__(self, world: World, key: str) -> None:
        self.world, self.workload = world, world.workloads[key]
        self.key = key
        self.conclusive = self.workload.silent
        self.reversible = self.workload.reversible
        self.problems: tuple[str, ...] = ()
        self.read_of: Any = None

    async def check(self) -> tuple[str, ...]:
        return self.problems

    async def read(self) -> Mapping[str, Any]:
        await self._meet("read", Order(self.key, {}, ""))
        return dict(self.workload.real) if self.read_of is None else self.read_of

    async def verify(self, order: Order) -> str | None:
        await self._meet("verify", order)
        there = all(self.workload.real.get(r) == amount for r, amount in order.amounts.items())
        return None if there or not self.conclusive else "it is not there yet"

    async def apply(self, order: Order) -> None:
        await self._effect(order, "apply")

    async def undo(self, order: Order, stood: Mapping[str, Any]) -> None:
        await self._effect(order, "undo")

    async def close(self) -> None: ...

    async def _effect(self, order: Order, verb: str) -> None:
        self.world.notebook.expects(order, verb)
        self.world.boundary()
        self.world.effects.append(order)
        if not await self._meet(verb, order):
            self.take(order.amounts)
        self.world.boundary()

    async def _meet(self, verb: str, order: Order) -> bool:
        """Whether something went wrong that this call was to meet with."""
        faults = self.world.faults.get((self.key, verb))
        if not faults:
            return False
        name, *seconds = faults.pop(0).split()
        await FAULTS[name](self, order, *map(float, seconds))
        return name != "fine"

    def take(self, amounts: Amounts) -> None:
        """It has them now; or, where it drains, when its work is done."""
        world, workload = self.world, self.workload
        resource = workload.allocation.resource
        world.call_off(self.key)
        workload.configured = {**workload.configured, **amounts}
        world.ask(self.key, amounts)
        if workload.drains and amounts[resource] < workload.real[resource]:
            world.later(self.key, amounts, workload.drains)
        else:
            world.land(self.key, amounts)


async def _fine(_hand: Hand, _order: Order) -> None:
    """Nothing goes wrong."""


async def _refused(_hand: Hand, _order: Order) -> None:
    raise Refused("no, never")


async def _empty(_hand: Hand, _order: Order) -> None:
    raise Refused


async def _not_now(_hand: Hand, _order: Order) -> None:
    raise NotNow("not now")


async def _odd(_hand: Hand, _order: Order) -> None:
    raise KeyError("a mistake in the driver")


async def _cancelled(_hand: Hand, _order: Order) -> None:
    raise asyncio.CancelledError


async def _done_refused(hand: Hand, order: Order) -> None:
    hand.take(order.amounts)
    raise Refused("no, never")


async def _done_odd(hand: Hand, order: Order) -> None:
    hand.take(order.amounts)
    raise ZeroDivisionError


async def _done_hang(hand: Hand, order: Order) -> None:
    hand.take(order.amounts)
    await asyncio.Event().wait()


async def _hang(hand: Hand, order: Order, seconds: float = math.inf) -> None:
    """Nothing has happened yet; called off, nothing will."""
    if order.amounts:
        hand.world.call_off(hand.key)
        hand.world.ask(hand.key, order.amounts)
    try:
        await (asyncio.Event().wait() if math.isinf(seconds) else asyncio.sleep(seconds))
    finally:
        hand.world.call_off(hand.key)


async def _slow(hand: Hand, order: Order, seconds: float) -> None:
    await _hang(hand, order, seconds)
    hand.take(order.amounts)


async def _late(hand: Hand, order: Order, seconds: float) -> None:
    """It is taken, and in force later."""
    if _tells_late(hand, order):
        return
    hand.world.call_off(hand.key)
    hand.workload.configured = dict(order.amounts)
    hand.world.ask(hand.key, order.amounts)
    hand.world.later(hand.key, order.amounts, seconds)


async def _lie(hand: Hand, order: Order) -> None:
    """It is said to be done, and nothing is."""
    if not _tells_late(hand, order):
        hand.world.call_off(hand.key)


async def _half_companions(hand: Hand, order: Order) -> None:
    resource = hand.workload.allocation.resource
    if not _tells_late(hand, order):
        hand.take({resource: order.amounts[resource]})


async def _half_refused(hand: Hand, order: Order) -> None:
    await _half_companions(hand, order)
    raise Refused("no, never")


async def _half_way(hand: Hand, order: Order) -> None:
    if not _tells_late(hand, order):
        hand.world.call_off(hand.key)
        hand.world.land(hand.key, {r: (order.previous[r] + amount) / 2 for r, amount in order.amounts.items()})


def _tells_late(hand: Hand, order: Order) -> bool:
    """Of a node that tells late and takes late, or not at all, nobody could know what is so: then all of it is taken."""
    if hand.workload.lag:
        hand.take(order.amounts)
    return bool(hand.workload.lag)


async def _kill_before(hand: Hand, _order: Order) -> None:
    hand.world.kill()


async def _kill_after(hand: Hand, order: Order) -> None:
    hand.take(order.amounts)
    hand.world.kill()


FAULTS: Final[Mapping[str, Callable[..., Awaitable[None]]]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        _fine, _refused, _empty, _not_now, _odd, _cancelled, _done_refused, _done_odd, _done_hang, _hang, _slow, _late, _lie,
        _half_companions, _half_refused, _half_way, _kill_before, _kill_after,
    )
}  # fmt: skip
