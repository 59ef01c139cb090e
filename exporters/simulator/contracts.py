"""The contracts of a simulated Streamr operator, function by function: call data in, words of the result out.

Selectors and meanings: reference streamr 1.2.2 (ABI 9.1.0); behaviour as verified on the real bytecode (1.6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from exporters.simulator import abi
from exporters.simulator.chain import MAX_EARNINGS, MIN_STAKE, NO_EARNINGS, PROTOCOL_FEE, Chain, Revert, Sponsorship

TOKEN: Final = "0x3a9a81d576d83ff21f26f325066054540720fc34"  # noqa: S105 an address, not a secret
CONFIG: Final = "0x869e88db146ecaf20ddf199a12684cd80c263c8f"
OPERATOR_FACTORY: Final = "0x935734e66729b69260543cf6e5efeb42ac962183"
CONTROLLER_ROLE: Final = 0x7B765E0E932D348852A6F810BFA1AB891E259123F02DB8CDCDE614C570223357

Call = Callable[[str, str | None], str]
"""(call data, sender) -> words of the result. Raises Revert; ValueError for arguments that are missing."""


def contracts_of(chain: Chain) -> dict[str, dict[str, Call]]:
    """Address in lower case -> selector -> function."""
    found = Contracts(chain)
    own: dict[str, dict[str, Call]] = {
        chain.operator.address.lower(): found.operator(),
        TOKEN: {"0x70a08231": found.token_balance},
        CONFIG: _CONFIG,
        OPERATOR_FACTORY: {"0x13e7c9d8": found.operator_of},
    }
    return own | {name: found.sponsorship(one) for name, one in chain.sponsorships.items()}


class Contracts:
    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def operator(self) -> dict[str, Call]:
        chain, operator = self._chain, self._chain.operator
        return {
            "0x2ebd89d1": self._sponsorships_and_earnings,
            "0xc229918e": lambda _data, _sender: _wei(chain.value),
            "0x04cbab8b": lambda _data, _sender: _wei(chain.staked),
            "0x870ffde2": lambda _data, _sender: _wei(0.0),
            "0x7d429385": lambda data, _sender: _wei(self._stake_in(data)),
            "0xba2bfc0a": lambda _data, _sender: _wei(0.0),
            "0x558a1568": lambda _data, _sender: _wei(operator.cut),
            "0x5e61bb87": lambda _data, _sender: abi.boolean(not operator.queue),
            "0x7e82fd6f": self._queue,
            "0x2e949824": lambda _data, _sender: abi.tuple_of((abi.addresses([operator.node]),)),
            "0x392f37e9": lambda _data, _sender: abi.tuple_of((abi.text('{"name":"orcha-sim","redundancyFactor":1}'),)),
            "0x8da5cb5b": lambda _data, _sender: abi.address(operator.owner),
            "0xf4408e4b": lambda _data, _sender: abi.tuple_of((abi.text(operator.address + "/operator/coordination"),)),
            "0x54fd4d50": lambda _data, _sender: abi.uint(3),
            "0xa63ed2c8": lambda data, _sender: _wei(self._tokens_of(data) * chain.value / operator.all_tokens),
            "0x70a08231": lambda data, _sender: _wei(self._tokens_of(data)),
            "0x18160ddd": lambda _data, _sender: _wei(operator.all_tokens),
            "0x91d14854": self._has_role,
            "0xfc0c546a": lambda _data, _sender: abi.address(TOKEN),
            "0x98833130": lambda _data, _sender: abi.address(CONFIG),
            "0xadc9772e": self._preview_stake,
            "0xd1b68611": self._preview_reduce,
            "0xf2888dbb": self._preview_unstake,
            "0xe8e658b4": self._preview_withdraw,
        }

    def sponsorship(self, one: Sponsorship) -> dict[str, Call]:
        chain = self._chain
        own = chain.operator.address.lower()

        def ours(data: str) -> bool:
            return abi.address_argument(data, 0) == own

        def total() -> float:
            return one.stake + one.others(chain.ticked())

        return {
            "0x131b9c04": lambda data, _sender: _wei(one.uncollected if ours(data) else 0.0),
            "0x14c948eb": lambda data, _sender: _wei(one.stake if ours(data) else 0.0),
            "0x34a0f881": lambda _data, _sender: _wei(total()),
            "0x7c6f3158": lambda _data, _sender: abi.uint(one.operators),
            "0x40947369": lambda _data, _sender: abi.uint(one.min_operators),
            "0x2014e5d1": lambda _data, _sender: abi.boolean(one.is_running()),
            "0x7c654303": lambda _data, _sender: abi.boolean(chain.at < one.funded_until),
            "0x91a11303": lambda _data, _sender: _wei(max(0.0, one.funded_until - chain.origin) * one.pool.payout),
            "0x71b906eb": lambda _data, _sender: abi.uint(int(one.funded_until)),
            "0xda5a517b": lambda data, _sender: _wei(one.leave_penalty(chain.at) if ours(data) else 0.0),
            "0x48611fcd": lambda _data, _sender: _wei(MIN_STAKE),
            "0x19d164f1": lambda _data, _sender: _wei(0.0),
            "0x303cbe57": lambda data, _sender: abi.uint(int(one.joined_at) if ours(data) else 0),
            "0x357e47fe": lambda _data, _sender: abi.tuple_of(abi.uint(0), (abi.text(""),)),
            "0xf4408e4b": lambda _data, _sender: abi.tuple_of((abi.text(one.stream_id),)),
            "0xfa267ddf": lambda _data, _sender: _wei(one.pool.payout * max(0.0, chain.at - chain.origin)),
        }

    def _sponsorships_and_earnings(self, _data: str, _sender: str | None) -> str:
        staked = [one for one in self._chain.sponsorships.values() if one.stake > 0]
        where = abi.addresses([one.address for one in staked])
        due = abi.uints([abi.to_wei(one.uncollected) for one in staked])
        return abi.tuple_of((where,), (due,), _wei(MAX_EARNINGS * self._chain.value))

    def _stake_in(self, data: str) -> float:
        one = self._chain.sponsorships.get(abi.address_argument(data, 0))
        return one.stake if one else 0.0

    def _tokens_of(self, data: str) -> float:
        operator = self._chain.operator
        return operator.owner_tokens if abi.address_argument(data, 0) == operator.owner.lower() else 0.0

    def _queue(self, _data: str, _sender: str | None) -> str:
        rows = [
            abi.address(who) + _wei(amount) + abi.uint(int(since)) for who, amount, since in self._chain.operator.queue
        ]
        return abi.tuple_of((abi.uint(len(rows)) + "".join(rows),))

    def _has_role(self, data: str, _sender: str | None) -> str:
        operator = self._chain.operator
        holders = {operator.owner.lower(), operator.agent.lower()}
        return abi.boolean(abi.argument(data, 0) == CONTROLLER_ROLE and abi.address_argument(data, 1) in holders)

    def _preview_stake(self, data: str, sender: str | None) -> str:
        self._chain.allow(sender)
        self._chain.check_stake(abi.address_argument(data, 0), abi.argument(data, 1) / abi.WEI)
        return ""

    def _preview_reduce(self, data: str, sender: str | None) -> str:
        self._chain.allow(sender)
        self._chain.check_reduce(abi.address_argument(data, 0), abi.argument(data, 1) / abi.WEI)
        return ""

    def _preview_unstake(self, data: str, sender: str | None) -> str:
        self._chain.allow(sender)
        self._chain.check_unstake(abi.address_argument(data, 0))
        return ""

    def _preview_withdraw(self, _data: str, sender: str | None) -> str:
        self._chain.allow(sender)
        if self._chain.uncollected <= 0:
            raise Revert(NO_EARNINGS)
        return ""

    def token_balance(self, data: str, _sender: str | None) -> str:
        ours = abi.address_argument(data, 0) == self._chain.operator.address.lower()
        return _wei(self._chain.operator.free if ours else 0.0)

    def operator_of(self, data: str, _sender: str | None) -> str:
        ours = abi.address_argument(data, 0) == self._chain.operator.owner.lower()
        return abi.address(self._chain.operator.address if ours else "0x0")


def _constant(words: str) -> Call:
    return lambda _data, _sender: words


def _wei(tokens: float) -> str:
    return abi.uint(abi.to_wei(tokens))


_CONFIG: Final[dict[str, Call]] = {
    selector: _constant(words)
    for selector, words in {
        "0x66316372": _wei(MIN_STAKE), "0x6aac44e9": _wei(MIN_STAKE), "0xfc1e490f": _wei(0.01), "0x3a0298eb": _wei(PROTOCOL_FEE),
        "0xaeca7c78": _wei(MAX_EARNINGS), "0x78e72833": abi.uint(14 * 86400), "0xe2e8bcd8": abi.uint(30 * 86400),
        "0x7b94dead": _wei(0.05), "0xafbd6c6c": _wei(5000.0), "0x6c29b3b7": _wei(0.25), "0x8cc9a8c4": abi.uint(2 * 86400),
    }.items()
}  # fmt: skip
