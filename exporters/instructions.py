"""What a person must sign or do so that a workload gets another allocation: pure values, and how they read.

A protocol's module may have

    async instruct(session, workload, amounts, now) -> Instructions      all the I/O; raises PollError only

which looks at the world anew at each call, changes nothing and holds no key. Amounts are absolute, resource -> base
units; none at all asks what would hinder any change; `now` is in Unix seconds. The driver `handout` writes down what it
gives. A protocol without `instruct` is told in words (`plain`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from exporters.quantity import format_quantity

SAME: Final = 1e-6
"""Of an amount: what people and nodes may round."""
WIDTH: Final = 9
"""Letters of a name in the text, so that values stand below one another."""


class Hindrance(StrEnum):
    """What a problem does to a change."""

    REMARK = "remark"
    """Nothing: worth knowing before one signs."""
    WAITS = "waits"
    """It would fail now, and may work later by itself."""
    REFUSES = "refuses"
    """It would fail, or not hold, until somebody changes something else."""


@dataclass(frozen=True, slots=True)
class Problem:
    sentence: str
    hindrance: Hindrance = Hindrance.REMARK


@dataclass(frozen=True, slots=True)
class Action:
    """One transaction, unsigned: without a nonce and fees, which the wallet that signs knows better."""

    function: str
    """What is called, with its values, in words."""
    to: str
    data: str
    """Call data, hexadecimal."""
    sender: str
    """Who is to sign; the preview was made in his name."""
    chain_id: int
    gas: int
    """A limit that is enough."""
    preview: str
    """ "would succeed", or why it would not."""
    succeeds: bool
    value: int = 0
    """In the smallest unit of the chain's own token."""

    def transaction(self) -> dict[str, Any]:
        """As eth_sendTransaction takes it."""
        return {
            "chainId": hex(self.chain_id), "from": self.sender, "to": self.to, "value": hex(self.value),
            "gas": hex(self.gas), "data": self.data,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Instructions:
    """All that one person needs to bring one workload to its new allocation."""

    key: str
    """The workload: "treasury/weather"."""
    title: str
    """What to do, as a clause: "raise the stake of treasury/weather from 50,000 to 60,000 DATA"."""
    sentence: str = ""
    """How, and what to mind."""
    actions: tuple[Action, ...] = ()
    problems: tuple[Problem, ...] = ()
    stands: Mapping[str, float] | None = None
    """What is in force now, resource -> base units; None: nobody can say."""
    done: bool = False
    """Nothing is left to do: what is wanted is in force."""
    at: float | None = field(default=None, compare=False)
    """Unix seconds: of when its figures are."""

    @property
    def refusals(self) -> tuple[str, ...]:
        return self._sentences(Hindrance.REFUSES)

    @property
    def delays(self) -> tuple[str, ...]:
        return self._sentences(Hindrance.WAITS)

    @property
    def remarks(self) -> tuple[str, ...]:
        return self._sentences(Hindrance.REMARK)

    def _sentences(self, hindrance: Hindrance) -> tuple[str, ...]:
        return tuple(problem.sentence for problem in self.problems if problem.hindrance is hindrance)

    def text(self) -> str:
        """The whole, to be read before it is signed. Ends in a newline."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield self.title[:1].upper() + self.title[1:]
        if self.sentence:
            yield from ("", self.sentence)
        for number, action in enumerate(self.actions, start=1):
            yield from ("", f"{number}. {action.function}", *_table(action))
        for heading, sentences in (
            ("It cannot be done as things are:", self.refusals),
            ("It would fail now:", self.delays),
            ("To know before:", self.remarks),
        ):
            if sentences:
                yield from ("", heading, *(f"- {sentence}" for sentence in sentences))
        if self.at is not None:
            yield from ("", f"All of this is of {_time(self.at)}.")

    def document(self) -> dict[str, Any]:
        """The same as JSON, for wallets and tools."""
        return {
            "workload": self.key,
            "title": self.title,
            "sentence": self.sentence,
            "actions": [
                {"function": one.function, "preview": one.preview, "succeeds": one.succeeds, "transaction": one.transaction()}
                for one in self.actions
            ],
            "problems": [{"sentence": one.sentence, "hindrance": one.hindrance.value} for one in self.problems],
            "stands": None if self.stands is None else dict(self.stands),
            "at": None if self.at is None else _time(self.at),
        }  # fmt: skip


def plain(key: str, amounts: Mapping[str, float], stands: Mapping[str, float] | None = None) -> Instructions:
    """In words, for a protocol that has nothing to sign; `stands` is what the node last reported, if it did."""
    if not amounts:
        return Instructions(key, f"nothing is to be changed at {key}", stands=stands, done=True)
    if stands is not None and all(
        math.isclose(stands.get(name, math.nan), wanted, rel_tol=SAME) for name, wanted in amounts.items()
    ):
        return Instructions(key, f"{key} has what it is to have", stands=stands, done=True)
    wanted = " and ".join(f"{resource} {in_full(resource, amount)}" for resource, amount in amounts.items())
    return Instructions(
        key,
        f"set {key} to {wanted}",
        "Change it where its own settings are, and restart it if it needs that. orcha changes nothing here; it asks the "
        "node, and goes on by itself once the node reports these amounts.",
        stands=stands,
    )


def in_full(resource: str, amount: float) -> str:
    """To the last digit, since a person copies it: "5Ti (5497558138880 bytes)", "6,000 DATA", "2 cores"."""
    exact = f"{amount:,.9f}".rstrip("0").rstrip(".")
    if "/" in resource:
        return f"{exact} {resource.rpartition('/')[2]}"
    if resource == "cpu":
        return f"{exact} {'core' if amount == 1 else 'cores'}"
    unit = "bits per second" if resource == "bandwidth" else "bytes"
    binary = resource in {"memory", "storage"} and amount % 2**20 == 0
    short = format_quantity(amount, binary=binary)
    exact = exact.replace(",", "")
    return f"{exact} {unit}" if short == exact else f"{short} ({exact} {unit})"


def _table(action: Action) -> Iterator[str]:
    rows = (
        ("chain", str(action.chain_id)), ("from", action.sender), ("to", action.to), ("value", str(action.value)),
        ("gas limit", str(action.gas)), ("data", action.data), ("preview", action.preview),
    )  # fmt: skip
    return (f"   {name:<{WIDTH}}  {value}" for name, value in rows)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
