"""What to sign so that a stake becomes another: unsigned call data, tried out by `eth_call`, and what would hinder it.

In: where the stake is (`Place`), what it is to be in DATA; the chain says what it is now. Out: Instructions. Nothing is
signed or sent, no key is asked for, and no call is ever made that pays a penalty for leaving (that function is not even
known here). Reference: streamr-grass-prices 1.6 and 1.7; functions and errors are those of streamr-dev/network-contracts
packages/network-contracts/contracts/OperatorTokenomics (Operator.sol, Sponsorship.sol and their policies).

`stake` adds to what is there, `reduceStakeTo` and `unstake` set: amounts are worked out in wei from one look at the
chain, and that look must be of now.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Final, NamedTuple

from exporters.errors import Malformed, Unreachable
from exporters.instructions import Action, Hindrance, Instructions, Problem
from exporters.protocols.streamr.abi import Words, checksummed, encode
from exporters.protocols.streamr.contracts import (
    WEI,
    ZERO_ADDRESS,
    Stake,
    first_questions,
    further_questions,
    read_stake,
)
from exporters.protocols.streamr.figures import (
    LOW_GAS,
    RESOURCE,
    STALE_BLOCK,
    Seen,
    data,
    owner_share,
    reading,
    runs_with_us,
)
from exporters.protocols.streamr.jsonrpc import Question, ask, judge
from exporters.protocols.streamr.reverts import SUCCEEDS, Verdict, amount, decoded, revert_data, roughly, unnamed
from exporters.quantity import format_duration
from exporters.session import Session, quote

GAS: Final = 750_000
"""Limit of each transaction, as Streamr's own autostaker sets it: an estimate without a margin ran out (1.6)."""
FINEST: Final = 10**9
"""Parts of one DATA to which a target is taken: floats of whole steps carry dust behind that."""

FUNCTIONS: Final[Mapping[str, str]] = {
    "stake(address,uint256)": "0xadc9772e",
    "reduceStakeTo(address,uint256)": "0xd1b68611",
    "unstake(address)": "0xf2888dbb",
}
"""First four bytes of keccak256 of each signature; a test says that they are."""


@dataclass(frozen=True, slots=True)
class Place:
    """One stake, and how the chain is asked about it."""

    key: str
    url: str = field(repr=False)
    """May hold a key."""
    operator: str
    sponsorship: str
    chain_id: int
    owner: str | None = None
    signer: str | None = None
    """Who will sign; None: the owner, as given or as the contract says."""
    autostaker: bool | None = None
    may_leave: bool = False
    """Whether the manifest allows a stake of 0."""
    batch: bool = True


class Change(NamedTuple):
    """One call on the operator's contract. Amounts in wei."""

    signature: str
    arguments: tuple[str | int, ...]
    words: str
    """What it does."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the chain says before a change."""

    stake: Stake
    signer: str
    gas: int | None
    """The signer's balance of the chain's own token; None: not told."""
    now: float
    """Unix seconds, ours."""


async def instruct(session: Session, place: Place, amounts: Mapping[str, float], now: float) -> Instructions:
    """Looks at the chain and tries the change out. `session` must keep addresses out of messages (`Discreet`). Raises
    PollError.
    """
    target = _target(place, amounts)
    look = await _look(session, place, now)
    if target is None:
        return await _in_general(session, place, look)
    stake = look.stake
    found = Instructions(
        place.key, _title(place, stake, target), stands={RESOURCE: data(stake.stake)}, at=float(stake.at)
    )
    if _same(stake.stake, target):
        return replace(found, done=True)
    change = change_to(place, stake, target)
    verdict = await _preview(session, place, look.signer, change)
    problems = list(problems_of(place, look, target))
    if not verdict.succeeds and all(one.hindrance is Hindrance.REMARK for one in problems):
        problems.append(Problem(f"the chain would refuse: {verdict.words}", verdict.hindrance))
    return replace(
        found,
        sentence=_sentence(place, look, change),
        actions=(_action(place, look, change, verdict),),
        problems=tuple(problems),
    )


async def _in_general(session: Session, place: Place, look: Look) -> Instructions:
    """What would hinder every change; what hinders only some is a remark."""
    problems = list(problems_of(place, look, None))
    probe = _probe(place, look.stake)
    verdict = await _preview(session, place, look.signer, probe) if probe else None
    if verdict and verdict.denies:
        problems.append(Problem(f"the chain would refuse: {verdict.words}", verdict.hindrance))
    elif verdict and not verdict.succeeds and not problems:
        problems.append(Problem(f"the chain would refuse to stake more: {verdict.words}"))
    stands = {RESOURCE: data(look.stake.stake)}
    title = _title(place, look.stake, None)
    return Instructions(place.key, title, problems=tuple(problems), stands=stands, done=True, at=float(look.stake.at))


def _target(place: Place, amounts: Mapping[str, float]) -> int | None:
    """Wei; None: no change is asked for. Raises Malformed for what no stake can be."""
    if not amounts:
        return None
    if RESOURCE not in amounts:
        raise Malformed(f"{place.key} is a stake: its allocation.resource must be {RESOURCE}, not {', '.join(amounts)}")
    wanted = amounts[RESOURCE]
    if not math.isfinite(wanted) or wanted < 0:
        raise Malformed(f"the stake of {place.key} cannot be {wanted} DATA")
    return round(Fraction(wanted) * FINEST) * (WEI // FINEST)


def _same(stake: int, target: int) -> bool:
    """To what a float can tell."""
    return abs(stake - target) <= max(WEI // FINEST, target // FINEST)


async def _look(session: Session, place: Place, now: float) -> Look:
    answers = await ask(session, place.url, first_questions(place.operator, place.sponsorship), batch=place.batch)
    signer = place.signer or place.owner or _owner(answers)
    more = further_questions(place.operator, answers, place.owner)
    if signer:
        more["balance of the signer"] = Question("eth_getBalance", (signer, "latest"))
    answers |= await ask(session, place.url, more, batch=place.batch)
    stake = read_stake(answers, place.operator, place.sponsorship, place.chain_id)
    if now - stake.at > STALE_BLOCK:
        raise Unreachable(
            f"the endpoint's newest block is {format_duration(now - stake.at)} old: nothing is worked out from a stake of then; "
            "use another endpoint, or check the clock"
        )
    if signer is None:
        raise Malformed(f"the operator {place.operator} names no owner; write actuator.handout.signer")
    balance = answers["balance of the signer"]
    known = isinstance(balance, str) and re.fullmatch(r"0x[0-9a-fA-F]{1,64}", balance)
    return Look(stake, signer, int(balance, 16) if known else None, now)


def _owner(answers: Mapping[str, Any]) -> str | None:
    """As the contract says."""
    said = answers.get("owner")
    found = ZERO_ADDRESS if not isinstance(said, str) or said == "0x" else Words.of(said, what="owner").address()
    return None if found == ZERO_ADDRESS else found


def change_to(place: Place, stake: Stake, target: int) -> Change:
    """The one call that makes the stake `target` wei. Pure."""
    here, there = amount(stake.stake), amount(target)
    pool = checksummed(place.sponsorship)
    if target > stake.stake:
        more = target - stake.stake
        words = f"stake({pool}, {more}): adds {amount(more)} DATA to the stake of {here}"
        return Change("stake(address,uint256)", (place.sponsorship, more), words)
    if target:
        words = f"reduceStakeTo({pool}, {target}): lowers the stake of {here} to {there} DATA"
        return Change("reduceStakeTo(address,uint256)", (place.sponsorship, target), words)
    words = f"unstake({pool}): takes the stake of {here} DATA out and collects its earnings"
    return Change("unstake(address)", (place.sponsorship,), words)


def _probe(place: Place, stake: Stake) -> Change | None:
    """A call that would change as little as can be, to see whether a change would be let through; None: there is none."""
    least = 0 if stake.stake else stake.new_minimum
    if least is None or least > (stake.free or 0):
        return None
    return Change("stake(address,uint256)", (place.sponsorship, least), "")


# --- trying it out


async def _preview(session: Session, place: Place, signer: str, change: Change) -> Verdict:
    """What the call would come to, asked of the chain in the signer's name: needs neither key nor gas."""
    call = {"from": signer, "to": place.operator, "data": calldata(change)}
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, "latest"]}
    answer = await session.request("POST", place.url, json=body)
    said = answer.json()
    if not isinstance(said, dict) or not ({"result", "error"} & said.keys()):
        raise Malformed(f"{answer.url} left a preview without a JSON-RPC answer: {quote(str(said))}")
    error = said.get("error")
    if error is None:
        return Verdict(True, SUCCEEDS)
    revert = revert_data(error)
    if revert is not None:
        return decoded(revert)
    refused = judge(error, answer.url)
    if refused.passing:
        raise Unreachable(f"{answer.url} failed inside while it tried the transaction: {quote(refused.message)}")
    return unnamed(refused.message)


def calldata(change: Change) -> str:
    return encode(FUNCTIONS[change.signature], *change.arguments)


# --- what would hinder it


def problems_of(place: Place, look: Look, target: int | None) -> Iterator[Problem]:
    """`target` None: no particular change; what speaks against some of them only is a remark. Pure."""
    stake = look.stake
    seen = reading(Seen(stake, None, None, None, None, place.autostaker), "", "", look.now)
    if seen.autonomous:
        yield Problem(seen.autonomous, Hindrance.REFUSES)
    if look.gas is not None and data(look.gas) < LOW_GAS:
        yield Problem(
            f"the signer {checksummed(look.signer)} has {data(look.gas):.3g} of the chain's own token (POL); "
            "a transaction costs up to 0.1"
        )
    if target is None:
        yield from (Problem(each.sentence) for each in _of_a_raise(stake))
        return
    if target > stake.stake:
        yield from _of_a_raise(stake)
        yield from _of_this_raise(stake, target)
    elif stake.queue_empty is False:
        waiting = "" if stake.queue is None else f" of {roughly(stake.queue)} DATA"
        yield Problem(f"delegators wait to be paid out: what is freed goes to their queue{waiting} first")
    yield from _of_leaving(place, stake) if target == 0 else _of_staying(stake, target)


def _of_a_raise(stake: Stake) -> Iterator[Problem]:
    """What forbids to stake more, whatever the amount."""
    if stake.queue_empty is False:
        waiting = "" if stake.queue is None else f" for {roughly(stake.queue)} DATA"
        yield Problem(
            f"delegators wait to be paid out{waiting}: the contract refuses to stake more until they are",
            Hindrance.WAITS,
        )
    share = owner_share(stake)
    if share is not None and stake.least_share is not None and share < data(stake.least_share):
        yield Problem(
            f"the owner holds {share:.2%} of the operator tokens, less than {data(stake.least_share):.0%}: the contract refuses "
            "to stake more until he delegates to his own operator",
            Hindrance.REFUSES,
        )


def _of_this_raise(stake: Stake, target: int) -> Iterator[Problem]:
    raised = target - stake.stake
    if stake.free is not None and stake.free < raised:
        yield Problem(
            f"the operator has {roughly(stake.free)} DATA free, {roughly(raised - stake.free)} less than the raise needs: "
            "lower another stake first, or collect earnings",
            Hindrance.WAITS,
        )
    if not stake.funded:
        yield Problem("the sponsorship's money ended: what is added earns nothing until somebody adds some")
    elif not runs_with_us(stake):
        yield Problem("the sponsorship does not run: what is added earns nothing until enough operators have joined")


def _of_staying(stake: Stake, target: int) -> Iterator[Problem]:
    """A stake has a lower bound, and flags raise it."""
    if stake.new_minimum is not None and target < stake.new_minimum:
        yield Problem(
            f"{roughly(target)} DATA are below the protocol's minimum of {roughly(stake.new_minimum)}: raise allocation.min",
            Hindrance.REFUSES,
        )
        return
    floor = max(stake.minimum or 0, stake.locked or 0)
    if stake.stake and target < floor:
        yield Problem(
            f"{roughly(target)} DATA are below {roughly(floor)}, which flags lock until they are voted on",
            Hindrance.WAITS,
        )
    if stake.flagged:
        yield Problem("another operator flagged this stake: be reachable for the review, or 1 % of the stake is lost")


def _of_leaving(place: Place, stake: Stake) -> Iterator[Problem]:
    if not place.may_leave:
        yield Problem(
            f"leaving the sponsorship is not allowed: allocation.min of {place.key} is above 0", Hindrance.REFUSES
        )
    if stake.penalty:
        yield Problem(
            f"the stake is locked up: leaving now would cost {roughly(stake.penalty)} DATA, which orcha never pays; lower it, or wait",
            Hindrance.REFUSES,
        )
    if stake.flagged or stake.locked:
        yield Problem(
            f"flags lock {roughly(stake.locked or 0)} DATA: leaving is possible once they are voted on", Hindrance.WAITS
        )


# --- words


def _title(place: Place, stake: Stake, target: int | None) -> str:
    here = roughly(stake.stake)
    if target is None or _same(stake.stake, target):
        return f"the stake of {place.key} is {here} DATA"
    if target == 0:
        return f"leave the sponsorship of {place.key} with its {here} DATA"
    verb = "raise" if target > stake.stake else "lower"
    return f"{verb} the stake of {place.key} from {here} to {roughly(target)} DATA"


def _sentence(place: Place, look: Look, change: Change) -> str:
    once = (
        " It adds to the stake: send it once, and not again when it seems to take long."
        if change.signature.startswith("stake(")
        else ""
    )
    return (
        f"Sign this with {checksummed(look.signer)} and send it to the operator's contract {checksummed(place.operator)}.{once} "
        "orcha holds no key and sends nothing; it sees the new stake by itself."
    )


def _action(place: Place, look: Look, change: Change, verdict: Verdict) -> Action:
    return Action(
        change.words,
        checksummed(place.operator),
        calldata(change),
        checksummed(look.signer),
        place.chain_id,
        GAS,
        verdict.words,
        verdict.succeeds,
    )
