"""What the contracts say when they refuse a call: revert data -> words, and whether waiting helps. Pure.

Errors and their meaning: streamr-dev/network-contracts packages/network-contracts/contracts/OperatorTokenomics
(Operator.sol, Sponsorship.sol and their policies); reference: streamr-grass-prices 1.6 and 1.7. Recorded reverts of the real
bytecode are in tests/fixtures/streamr.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final, NamedTuple

from exporters.errors import Malformed
from exporters.instructions import Hindrance
from exporters.protocols.streamr.abi import WORD, Words
from exporters.protocols.streamr.contracts import WEI
from exporters.session import quote

SUCCEEDS: Final = "would succeed"

_WAITS, _REFUSES = Hindrance.WAITS, Hindrance.REFUSES
ERRORS: Final[Mapping[str, tuple[str, str, Hindrance]]] = {
    "AccessDeniedOperatorOnly()": (
        "0x69d9c224",
        "the signer may not stake here: the operator's owner grants it CONTROLLER_ROLE, or name another (actuator.handout.signer)",
        _REFUSES,
    ),
    "AccessDeniedStreamrSponsorshipOnly()": (
        "0xb3d3f77e",
        "what options.sponsorship names was not made by Streamr's factory",
        _REFUSES,
    ),
    "ActiveFlag(uint256)": ("0xbbef3e1a", "a flag locks {} DATA until it is voted on", _WAITS),
    "CannotIncreaseStakeUsingReduceStakeTo()": ("0xaa4c0757", "the stake is not above that any more", _WAITS),
    "FirstEmptyQueueThenStake()": ("0xec6c87a6", "delegators wait to be paid out, and they come first", _WAITS),
    "LeavePenalty(uint256)": (
        "0x078759ac",
        "the stake is locked up: leaving now would cost {} DATA, which orcha never pays",
        _REFUSES,
    ),
    "MinimumStake(uint256)": ("0x0be9186a", "a stake must be at least {} DATA", _REFUSES),
    "NoEarnings()": ("0x4ee7a8de", "there are no earnings to collect", _WAITS),
    "NotMyStakedSponsorship()": ("0x25b10de0", "the operator has no stake in this sponsorship", _REFUSES),
    "OperatorNotStaked()": ("0x51897574", "the operator has no stake in this sponsorship", _REFUSES),
    "SelfDelegationTooLow(uint256,uint256)": (
        "0xc89199b3",
        "the owner holds {} operator tokens and must hold {}: he delegates to his own operator first",
        _REFUSES,
    ),
    "StakedInSponsorships()": ("0x81cf7f80", "the operator still has stakes", _REFUSES),
}
"""signature -> (its first four bytes, what it says with its amounts in DATA, whether waiting helps)."""
_TEXT: Final = "0x08c379a0"
"""Error(string): what `require` reverts with."""
_BY_SELECTOR: Final = {selector: (name, words, why) for name, (selector, words, why) in ERRORS.items()}
_REVERT = re.compile(r"0x(?:[0-9a-fA-F]{2}){4,}")
"""Revert data, also inside a sentence: some nodes say "Reverted 0x..."."""


class Verdict(NamedTuple):
    succeeds: bool
    words: str
    hindrance: Hindrance = Hindrance.REMARK

    @property
    def denies(self) -> bool:
        """Whether it is about who asks, or of what, so that no other amount would be let through."""
        return self.words.startswith("AccessDenied")


def revert_data(error: Any) -> str | None:
    """Where nodes put what a contract reverted with: error.data, as text, or within an object of their own."""
    found = error.get("data") if isinstance(error, dict) else None
    if isinstance(found, dict):
        found = found.get("data") or found.get("result")
    match = _REVERT.search(found) if isinstance(found, str) else None
    return match[0] if match else None


def decoded(revert: str) -> Verdict:
    """What a contract's revert data says. Pure; whatever does not decode is told as it is.

    "0x0be9186a" and a word of 5000e18 -> MinimumStake: a stake must be at least 5,000 DATA.
    """
    selector, words = revert[:10].lower(), Words(bytes.fromhex(revert[10:]))
    try:
        if selector == _TEXT:
            return _said(words.text())
        if selector in _BY_SELECTOR:
            name, sentence, hindrance = _BY_SELECTOR[selector]
            amounts = (roughly(words.uint(i)) for i in range(sentence.count("{}")))
            return Verdict(False, f"{name.partition('(')[0]}: {sentence.format(*amounts)}", hindrance)
    except Malformed:
        pass  # shorter than its kind of error is: told below
    short = f"{revert[: 10 + 2 * WORD]}{'…' if len(revert) > 10 + 2 * WORD else ''}"
    return Verdict(False, f"it would be refused with {short}, an error that orcha does not know", _WAITS)


def _said(text: str) -> Verdict:
    """Of Error(string). The text is the contract's own, so it is quoted."""
    if "exceeds balance" in text:
        return Verdict(False, f"the operator has not enough free DATA ({quote(text)})", _WAITS)
    return Verdict(False, f"it would be refused: {quote(text)}", _WAITS)


def unnamed(message: str) -> Verdict:
    return Verdict(False, f"it would be refused without a reason that the endpoint passes on: {quote(message)}", _WAITS)


def amount(wei: int) -> str:
    """DATA to the last wei: "5,000", "0.000000000000000001"."""
    whole, rest = divmod(wei, WEI)
    return f"{whole:,}" + (f".{rest:018d}".rstrip("0") if rest else "")


def roughly(wei: int) -> str:
    """DATA to a hundredth, for sentences: "190,000.09"."""
    hundredths = round(Fraction(wei * 100, WEI))
    if wei and not hundredths:
        return "less than 0.01"
    return f"{hundredths / 100:,.2f}".removesuffix(".00")
