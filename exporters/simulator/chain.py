"""The true state of a Streamr operator on its chain: stakes in sponsorships, earnings, withdrawals, the rules of moving.

A stake of x earns P * x / (O + x) DATA per second while the sponsorship runs and has money (reference: streamr 1.4); O,
the others' stake, wanders. Uncollected earnings fall to 0 at a withdrawal; 5 % of it goes to the protocol, the cut to
the owner as new operator tokens. Stakes in DATA; everything that the contracts refuse raises Revert with their selector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from exporters.simulator.abi import text, to_wei, tuple_of, uint
from exporters.simulator.demand import Pool
from exporters.simulator.model import Ticks, Truth

TICK: Final = 300.0
MIN_STAKE: Final = 5000.0
PROTOCOL_FEE: Final = 0.05
MAX_EARNINGS: Final = 0.05
"""Uncollected above this share of the operator's value: a fisherman may take a part."""
BLOCK_SECONDS: Final = 2.0


class Revert(Exception):
    """A refused call: the ABI-encoded custom error."""

    def __init__(self, selector: str, *words: str) -> None:
        super().__init__(selector)
        self.data = selector + "".join(words)


def minimum_stake(least: float) -> Revert:
    return Revert("0x0be9186a", uint(to_wei(least)))


def error_string(words: str) -> Revert:
    return Revert("0x08c379a0", tuple_of((text(words),)))


NOT_AGENT: Final = "0x69d9c224"
QUEUE_FIRST: Final = "0xec6c87a6"
NO_EARNINGS: Final = "0x4ee7a8de"
NOT_SPONSORSHIP: Final = "0xb3d3f77e"
NOT_STAKED: Final = "0x25b10de0"
NO_INCREASE: Final = "0xaa4c0757"
LEAVE_PENALTY: Final = "0x078759ac"


@dataclass(slots=True)
class Sponsorship:
    address: str
    stream_id: str
    pool: Pool
    funded_until: float
    stake: float = 0.0
    joined_at: float = 0.0
    uncollected: float = 0.0
    min_operators: int = 1
    operators: int = 12
    """With us."""
    min_staking_seconds: float = 0.0
    earned: float = 0.0
    """Since the world began, gross."""

    _others: Ticks = field(init=False)

    def __post_init__(self) -> None:
        self._others = Ticks(self.pool.others, TICK)

    def others(self, at: float) -> float:
        """DATA that all others have staked. It changes with each tick, as if they moved then."""
        return self._others.at(int(at // TICK))

    def is_running(self) -> bool:
        return self.operators >= self.min_operators

    def rate(self, at: float) -> float:
        """DATA per second for our stake."""
        if not self.is_running() or at >= self.funded_until:
            return 0.0
        return self.pool.payout * self.stake / (self.others(at) + self.stake) if self.stake > 0 else 0.0

    def leave_penalty(self, at: float) -> float:
        inside = at < self.joined_at + self.min_staking_seconds
        return MIN_STAKE if inside and self.is_running() and at < self.funded_until else 0.0


@dataclass(slots=True)
class Operator:
    address: str
    owner: str
    agent: str
    """A staking agent: holds CONTROLLER_ROLE."""
    node: str
    """Of the fleet. It may not stake, so Streamr's own autostaker cannot run on it."""
    free: float
    """DATA that is not staked."""
    owner_tokens: float = 40_000.0
    all_tokens: float = 100_000.0
    cut: float = 0.1
    queue: list[tuple[str, float, float]] = field(default_factory=list)
    """(delegator, DATA, Unix seconds)."""
    collected: float = 0.0
    """Lifetime, after the protocol's fee."""
    cut_collected: float = 0.0


class Chain:
    """One operator and its sponsorships. Advances in ticks, during which others' stake stands still."""

    def __init__(
        self,
        operator: Operator,
        sponsorships: list[Sponsorship],
        origin: float,
        *,
        withdraw_above: float = 0.0005,
    ) -> None:
        self.operator = operator
        self.sponsorships = {one.address.lower(): one for one in sponsorships}
        self.origin = origin
        self.at = origin
        self.tick = TICK
        self.node_online = True
        self._withdraw_above = withdraw_above
        """Share of the operator's value at which the nodes withdraw by themselves, each full hour."""

    # What is so

    @property
    def staked(self) -> float:
        return sum(one.stake for one in self.sponsorships.values())

    @property
    def value(self) -> float:
        """valueWithoutEarnings: staked and free."""
        return self.staked + self.operator.free

    @property
    def uncollected(self) -> float:
        return sum(one.uncollected for one in self.sponsorships.values())

    def ticked(self) -> float:
        """The time whose others' stake holds now."""
        return math.floor(self.at / self.tick) * self.tick

    def block(self, at: float) -> tuple[int, float]:
        """(number, timestamp) of the newest block."""
        number = int(at // BLOCK_SECONDS) - 817_000_000
        return number, at // BLOCK_SECONDS * BLOCK_SECONDS

    def advance(self, to: float) -> None:
        while self.at < to:
            stop = min(to, self.ticked() + self.tick)
            for one in self.sponsorships.values():
                gain = one.rate(self.ticked()) * max(0.0, min(stop, one.funded_until) - self.at)
                one.uncollected += gain
                one.earned += gain
            self.at = stop
            if stop % 3600.0 == 0.0 and self.node_online and self.uncollected > self._withdraw_above * self.value:
                self.withdraw()

    def truth_of(self, one: Sponsorship) -> Truth:
        stake = {"stake/DATA": one.stake}
        rate = {"DATA": 3600.0 * one.rate(self.ticked())}
        return Truth(self.at, self.node_online, stake, stake, stake, None, rate, {"DATA": one.earned})

    # What its owner, or an agent, can do

    def allow(self, sender: str | None) -> None:
        """Only the owner and agents may move stakes."""
        if (sender or "").lower() not in {self.operator.owner.lower(), self.operator.agent.lower()}:
            raise Revert(NOT_AGENT)

    def check_stake(self, where: str, amount: float) -> Sponsorship:
        """Raise Revert where `stake(sponsorship, amount)` would be refused now."""
        one = self.sponsorships.get(where.lower())
        if one is None:
            raise Revert(NOT_SPONSORSHIP)
        if self.operator.queue:
            raise Revert(QUEUE_FIRST)
        if self.operator.owner_tokens < 0.05 * self.operator.all_tokens:
            raise Revert(
                "0xc89199b3", uint(to_wei(self.operator.owner_tokens)), uint(to_wei(0.05 * self.operator.all_tokens))
            )
        if amount > self.operator.free:
            raise error_string("ERC20: transfer amount exceeds balance")
        if one.stake + amount < MIN_STAKE and amount > 0:
            raise minimum_stake(MIN_STAKE)
        return one

    def stake(self, where: str, amount: float) -> None:
        """Adds to the stake; it does not set it."""
        one = self.check_stake(where, amount)
        if one.stake == 0 and amount > 0:
            one.joined_at = self.at
        one.stake += amount
        self.operator.free -= amount

    def check_reduce(self, where: str, target: float) -> Sponsorship:
        """Raise Revert where `reduceStakeTo(sponsorship, target)` would be refused now."""
        one = self.sponsorships.get(where.lower())
        if one is None or one.stake == 0:
            raise Revert(NOT_STAKED)
        if target == 0:
            self.check_unstake(where)
            return one
        if target >= one.stake:
            raise Revert(NO_INCREASE)
        if target < MIN_STAKE:
            raise minimum_stake(MIN_STAKE)
        return one

    def reduce(self, where: str, target: float) -> None:
        """Lower to a target; what is freed pays the queue first. 0 leaves."""
        one = self.check_reduce(where, target)
        if target == 0:
            self.unstake(where)
            return
        freed, one.stake = one.stake - target, target
        self._free(freed)

    def check_unstake(self, where: str) -> Sponsorship:
        one = self.sponsorships.get(where.lower())
        if one is None or one.stake == 0:
            raise Revert(NOT_STAKED)
        if penalty := one.leave_penalty(self.at):
            raise Revert(LEAVE_PENALTY, uint(to_wei(penalty)))
        return one

    def unstake(self, where: str) -> None:
        one = self.check_unstake(where)
        freed, one.stake = one.stake, 0.0
        due, one.uncollected = one.uncollected, 0.0
        self._share(due)
        self._free(freed)

    def withdraw(self) -> None:
        """WithdrawEarningsFromSponsorships of all: the sawtooth."""
        due = self.uncollected
        if due <= 0:
            raise Revert(NO_EARNINGS)
        for one in self.sponsorships.values():
            one.uncollected = 0.0
        self._share(due)

    def _share(self, due: float) -> None:
        """Take the fee and the cut; the cut is paid as new operator tokens at the exchange rate of before."""
        net = due * (1.0 - PROTOCOL_FEE)
        cut = net * self.operator.cut
        per_token = (self.value + net - cut) / self.operator.all_tokens
        self.operator.owner_tokens += cut / per_token
        self.operator.all_tokens += cut / per_token
        self.operator.free += net
        self.operator.collected += net
        self.operator.cut_collected += cut

    def _free(self, freed: float) -> None:
        self.operator.free += freed
        while self.operator.queue and self.operator.free > 0:
            delegator, wanted, since = self.operator.queue[0]
            paid = min(wanted, self.operator.free)
            self.operator.free -= paid
            self.operator.queue[0] = (delegator, wanted - paid, since)
            if paid == wanted:
                self.operator.queue.pop(0)


class Staked:
    """One sponsorship as a workload of its own."""

    def __init__(self, chain: Chain, sponsorship: Sponsorship) -> None:
        self.chain = chain
        self.sponsorship = sponsorship

    def advance(self, to: float) -> None:
        self.chain.advance(to)

    def truth(self) -> Truth:
        return self.chain.truth_of(self.sponsorship)
