"""What Streamr's contracts say about one stake: which questions to ask them, and what the answers mean. Pure.

Functions, units and behaviour: streamr-dev/network-contracts packages/network-contracts/contracts/OperatorTokenomics
(Operator.sol, Sponsorship.sol, StreamrConfigV1_1.sol, SponsorshipPolicies/StakeWeightedAllocationPolicy.sol); recorded
answers of the real bytecode are in tests/fixtures/streamr. Amounts are wei: 10^18 = 1 DATA; fractions 10^18 = 1.

The payout P of a sponsorship has no getter. It lies in the contract's storage, at a slot that its source names, beside
three more words that must agree with the public `solventUntilTimestamp()`: only then is it believed (`proven_payout`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from exporters.errors import Malformed, Unreachable
from exporters.protocols.streamr.abi import Words, encode, keccak256
from exporters.protocols.streamr.jsonrpc import Question, Refused

WEI: Final = 10**18
ZERO_ADDRESS: Final = "0x" + "0" * 40
CONTROLLER_ROLE: Final = "0x7b765e0e932d348852a6f810bfa1ab891e259123f02db8cdcde614c570223357"
"""Who may stake and unstake: keccak256("CONTROLLER_ROLE")."""
MAX_NODES: Final = 20
"""Node wallets that are asked about; fleets are smaller."""
NEVER: Final = 253402300800
"""Year 10000: a time from then on means "without end" (a payout of nothing lasts 2^255 s)."""

SELECTORS: Final[Mapping[str, str]] = {
    "balanceOf(address)": "0x70a08231",
    "getFlag(address)": "0x357e47fe",
    "getLeavePenalty(address)": "0xda5a517b",
    "getNodeAddresses()": "0x2e949824",
    "getSponsorshipsAndEarnings()": "0x2ebd89d1",
    "hasRole(bytes32,address)": "0x91d14854",
    "isFunded()": "0x7c654303",
    "isRunning()": "0x2014e5d1",
    "lockedStakeWei(address)": "0x19d164f1",
    "minOperatorCount()": "0x40947369",
    "minimumSelfDelegationFraction()": "0x7b94dead",
    "minimumStakeOf(address)": "0x48611fcd",
    "minimumStakeWei()": "0x66316372",
    "operatorCount()": "0x7c6f3158",
    "operatorsCutFraction()": "0x558a1568",
    "owner()": "0x8da5cb5b",
    "protocolFeeFraction()": "0x3a0298eb",
    "queueIsEmpty()": "0x5e61bb87",
    "slashedIn(address)": "0xba2bfc0a",
    "solventUntilTimestamp()": "0x71b906eb",
    "stakedInto(address)": "0x7d429385",
    "streamId()": "0xf4408e4b",
    "streamrConfig()": "0x98833130",
    "token()": "0xfc0c546a",
    "totalStakedWei()": "0x34a0f881",
    "totalSupply()": "0x18160ddd",
    "undelegationQueue()": "0x7e82fd6f",
    "valueWithoutEarnings()": "0xc229918e",
    "version()": "0x54fd4d50",
}
"""First four bytes of keccak256 of each signature; a test says that they are."""

_NUMBERS: Final = [
    "operators",
    "min_operators",
    "solvent_until",
    "minimum",
    "locked",
    "penalty",
    "cut",
    "value",
    "supply",
    "owner_tokens",
    "free",
    "fee",
    "least_share",
    "new_minimum",
    "contract_version",
]
"""Questions whose answer is one number, kept under the same name in `Stake`."""
_STORAGE = b"sponsorship.storage.StakeWeightedAllocationPolicy"
_FIELDS: Final = {"payout": 0, "updated": 6, "left": 8}
"""Offsets in LocalStorage: incomePerSecond, lastUpdateTimestamp, lastUpdateRemainingWei."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What the next look compares with."""

    at: int
    stake: int
    total: int
    uncollected: int
    earning: bool


@dataclass(frozen=True, slots=True)
class Stake:
    """One operator's stake in one sponsorship, as of one block. None = the contract did not say."""

    at: int
    """Unix seconds of the newest block."""
    stake: int
    """What earns: stakedInto - slashedIn."""
    total: int
    running: bool
    """Enough operators. It stays true when the money is gone."""
    funded: bool
    uncollected: int
    """Earned here since the last withdrawal, before the protocol's fee."""
    uncollected_all: int
    """In all sponsorships of this operator."""
    earnings_limit: int
    """More uncollected than this, and anyone may withdraw them and keep a quarter."""
    sponsorships: int
    operators: int | None
    min_operators: int | None
    solvent_until: int | None
    minimum: int | None
    """What the stake cannot be reduced below, without leaving."""
    locked: int | None
    penalty: int | None
    flagged: bool | None
    cut: int | None
    queue_empty: bool | None
    queue: int | None
    """What delegators wait for."""
    value: int | None
    supply: int | None
    owner_tokens: int | None
    free: int | None
    fee: int | None
    least_share: int | None
    """The owner's share of the operator tokens under which staking is refused."""
    new_minimum: int | None
    """What a new stake must be at least."""
    nodes: int | None
    agents: int | None
    """Node wallets that may stake: without that an autostaker cannot work."""
    gas: int | None
    """The least that a node wallet has of the chain's own token (POL), which heartbeats, votes and withdrawals cost."""
    stream: str | None
    contract_version: int | None
    payout: int | None
    """P, wei per second for the whole pool; proven, else None."""

    @property
    def others(self) -> int:
        return max(0, self.total - self.stake)

    @property
    def earning(self) -> bool:
        """It pays only when both hold."""
        return self.running and self.funded

    @property
    def mark(self) -> Mark:
        return Mark(self.at, self.stake, self.total, self.uncollected, self.earning)


def call(contract: str, signature: str, *arguments: str | int) -> Question:
    return Question("eth_call", ({"to": contract, "data": encode(SELECTORS[signature], *arguments)}, "latest"))


def first_questions(operator: str, sponsorship: str) -> dict[str, Question]:
    """What can be asked knowing the two addresses."""
    slots = payout_slots(sponsorship)
    return {
        "chain": Question("eth_chainId"),
        "block": Question("eth_getBlockByNumber", ("latest", False)),
        "earnings": call(operator, "getSponsorshipsAndEarnings()"),
        "staked": call(operator, "stakedInto(address)", sponsorship),
        "slashed": call(operator, "slashedIn(address)", sponsorship),
        "cut": call(operator, "operatorsCutFraction()"),
        "queue_empty": call(operator, "queueIsEmpty()"),
        "queue": call(operator, "undelegationQueue()"),
        "value": call(operator, "valueWithoutEarnings()"),
        "supply": call(operator, "totalSupply()"),
        "owner": call(operator, "owner()"),
        "token": call(operator, "token()"),
        "config": call(operator, "streamrConfig()"),
        "nodes": call(operator, "getNodeAddresses()"),
        "contract_version": call(operator, "version()"),
        "total": call(sponsorship, "totalStakedWei()"),
        "running": call(sponsorship, "isRunning()"),
        "funded": call(sponsorship, "isFunded()"),
        "operators": call(sponsorship, "operatorCount()"),
        "min_operators": call(sponsorship, "minOperatorCount()"),
        "solvent_until": call(sponsorship, "solventUntilTimestamp()"),
        "minimum": call(sponsorship, "minimumStakeOf(address)", operator),
        "locked": call(sponsorship, "lockedStakeWei(address)", operator),
        "penalty": call(sponsorship, "getLeavePenalty(address)", operator),
        "flag": call(sponsorship, "getFlag(address)", operator),
        "stream": call(sponsorship, "streamId()"),
        **{name: Question("eth_getStorageAt", (sponsorship, slot, "latest")) for name, slot in slots.items()},
    }


def further_questions(operator: str, answers: Mapping[str, Any], owner: str | None) -> dict[str, Question]:
    """What can be asked once the operator has named its token, configuration, owner and nodes."""
    token, config = _address(answers, "token"), _address(answers, "config")
    owner = owner or _address(answers, "owner")
    questions = {}
    if token:
        questions["free"] = call(token, "balanceOf(address)", operator)
    if owner:
        questions["owner_tokens"] = call(operator, "balanceOf(address)", owner)
    if config:
        questions["fee"] = call(config, "protocolFeeFraction()")
        questions["least_share"] = call(config, "minimumSelfDelegationFraction()")
        questions["new_minimum"] = call(config, "minimumStakeWei()")
    for number, node in enumerate(_addresses(answers, "nodes")[:MAX_NODES]):
        questions[f"agent {number}"] = call(operator, "hasRole(bytes32,address)", CONTROLLER_ROLE, node)
        questions[f"gas {number}"] = Question("eth_getBalance", (node, "latest"))
    return questions


@lru_cache(maxsize=16384)
def payout_slots(sponsorship: str) -> dict[str, str]:
    """Name -> storage slot of what tells and proves P: keccak256 of the policy's name and the sponsorship's address."""
    base = int.from_bytes(keccak256(_STORAGE + bytes.fromhex(sponsorship[2:])), "big")
    return {name: hex(base + offset) for name, offset in _FIELDS.items()}


def read_stake(answers: Mapping[str, Any], operator: str, sponsorship: str, chain_id: int) -> Stake:
    """The answers to all questions as one value. Raises Malformed with what to check, Unreachable where the endpoint
    failed inside.
    """
    _check_chain(answers, chain_id)
    here = f"the operator {operator}: check options.operator, and that the endpoint serves chain {chain_id}"
    pool = f"the sponsorship {sponsorship}: check options.sponsorship"
    listed = _required(answers, "earnings", here)
    addresses, earnings, limit = listed.addresses(0), listed.uints(1), listed.uint(2)
    if len(addresses) != len(earnings):
        raise Malformed(
            f"{len(addresses)} sponsorships with {len(earnings)} earnings; this is not the contract that was expected"
        )
    known: dict[str, Any] = {name: _uint(answers, name) for name in _NUMBERS}
    flag = _uint(answers, "flag")
    return Stake(
        at=_block_time(answers),
        stake=max(0, _required(answers, "staked", here).uint() - _required(answers, "slashed", here).uint()),
        total=_required(answers, "total", pool).uint(),
        running=_required(answers, "running", pool).flag(),
        funded=_required(answers, "funded", pool).flag(),
        uncollected=dict(zip(addresses, earnings, strict=True)).get(sponsorship, 0),
        uncollected_all=sum(earnings),
        earnings_limit=limit,
        sponsorships=len(addresses),
        flagged=None if flag is None else flag > 0,
        queue_empty=_words(answers, "queue_empty").flag() if _given(answers, "queue_empty") else None,
        queue=sum(amount for _, amount, _ in _words(answers, "queue").rows(3)) if _given(answers, "queue") else None,
        nodes=len(_addresses(answers, "nodes")) if _given(answers, "nodes") else None,
        agents=_agents(answers),
        gas=_least_gas(answers),
        stream=_words(answers, "stream").text() if _given(answers, "stream") else None,
        payout=_payout(answers, known["solvent_until"]),
        **known,
    )


def proven_payout(payout: int | None, updated: int | None, left: int | None, solvent_until: int | None) -> int | None:
    """P where updated + left / P is when the contract itself says that the money ends, else None.

    Worked: 1 000 000 DATA left at 1 787 184 000 and 0.05 DATA/s end at 1 807 184 000. A storage of another layout fails
    this, and a policy of another kind has nothing at that slot.
    """
    if not payout or updated is None or left is None or solvent_until is None:
        return None
    return payout if updated and updated + left // payout == solvent_until else None


def _payout(answers: Mapping[str, Any], solvent_until: int | None) -> int | None:
    return proven_payout(_uint(answers, "payout"), _uint(answers, "updated"), _uint(answers, "left"), solvent_until)


def _check_chain(answers: Mapping[str, Any], chain_id: int) -> None:
    said = _judged(answers, "chain", "the endpoint")
    found = _hex_number(said)
    if found is None:
        raise Malformed(f"eth_chainId gave {str(said)[:60]!r}; this is no Ethereum JSON-RPC endpoint")
    if found != chain_id:
        raise Malformed(f"the endpoint serves chain {found}, not {chain_id}; check the endpoint and options.chainId")


def _block_time(answers: Mapping[str, Any]) -> int:
    block = _judged(answers, "block", "the endpoint")
    found = _hex_number(block.get("timestamp")) if isinstance(block, dict) else None
    if found is None:
        raise Malformed("eth_getBlockByNumber gave no block with a timestamp; this is no Ethereum JSON-RPC endpoint")
    return found


def _hex_number(value: Any) -> int | None:
    if not isinstance(value, str) or len(value) > 66:
        return None
    try:
        return int(value, 16)
    except ValueError:
        return None


def _given(answers: Mapping[str, Any], name: str) -> bool:
    """Whether the contract answered at all: a revert and an older contract without the function do not."""
    return isinstance(answers.get(name), str) and answers[name] != "0x"


def _words(answers: Mapping[str, Any], name: str) -> Words:
    return Words.of(answers[name], what=name)


def _uint(answers: Mapping[str, Any], name: str) -> int | None:
    return _words(answers, name).uint() if _given(answers, name) else None


def _address(answers: Mapping[str, Any], name: str) -> str | None:
    found = _words(answers, name).address() if _given(answers, name) else ZERO_ADDRESS
    return None if found == ZERO_ADDRESS else found


def _addresses(answers: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return _words(answers, name).addresses() if _given(answers, name) else ()


def _agents(answers: Mapping[str, Any]) -> int | None:
    """How many node wallets may stake; None where one of them could not be asked."""
    names = [name for name in answers if name.startswith("agent ")]
    if not _given(answers, "nodes") or not all(_given(answers, name) for name in names):
        return None
    return sum(_words(answers, name).flag() for name in names)


def _least_gas(answers: Mapping[str, Any]) -> int | None:
    found = [_hex_number(answers[name]) for name in answers if name.startswith("gas ")]
    known = [wei for wei in found if wei is not None]
    return min(known) if known else None


def _required(answers: Mapping[str, Any], name: str, where: str) -> Words:
    answer = _judged(answers, name, where)
    if answer == "0x":
        raise Malformed(f"there is no contract at {where}")
    return Words.of(answer, what=name)


def _judged(answers: Mapping[str, Any], name: str, where: str) -> Any:
    """An answer that must be there. Raises Unreachable where the endpoint failed inside, Malformed for a refusal."""
    answer = answers.get(name)
    if isinstance(answer, Refused) and answer.passing:
        raise Unreachable(f"the endpoint failed inside while it was asked {name!r}: {answer.message[:120]}")
    if isinstance(answer, Refused):
        raise Malformed(f"{name!r} was refused ({answer.message[:120]}) by {where}")
    return answer
