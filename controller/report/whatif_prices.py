"""A State with the money in tokens counted at other prices: readings, pools and the whole past. Pure.

What was earned in tokens is known in tokens, so another price is exact: 2 GLM/h at 0.30 USD are 0.60 USD/h, and a block
of the past in which 5 GLM were earned is 1.50 USD. What cannot be told apart (several tokens, of which one has no known
price; a past of before tokens were counted) is said, never guessed silently.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from exporters.energy import energy_usd_per_hour
from exporters.reading import USD, changed

if TYPE_CHECKING:
    from controller.model import Blocks, NodeState, State, WorkloadState
    from exporters.reading import Reading

_POSSIBLE: Final = 1e24
"""No real sum of one block is larger; NaN is not smaller."""
_CONST: Final[Mapping[str, float]] = {USD: 1.0}


def repriced(state: State, prices: Mapping[str, float]) -> tuple[State, tuple[str, ...]]:
    """The State at these prices (token -> USD), and what could not be restated. Workloads that are not paid in any of
    these tokens stay as they are.
    """
    if not prices:
        return state, ()
    known = {**_CONST, **prices_of(state.workloads), **prices}
    nodes = {node.name: node for node in state.nodes}
    notes: list[str] = []
    workloads = tuple(_workload(w, nodes.get(w.node), prices, known, notes) for w in state.workloads)
    return replace(state, workloads=workloads, memory=None), tuple(notes)


def prices_of(workloads: Iterable[WorkloadState]) -> dict[str, float]:
    """Token -> today's price, as the readings of those that are paid in one token imply it."""
    found = {}
    for workload in workloads:
        for reading in (workload.last_good, workload.reading):
            token = None if reading is None else the_token(reading)
            price = None if reading is None else reading.usd_per_token
            if token is not None and price is not None:
                found[token] = price
    return found


def tokens_of(reading: Reading | None) -> frozenset[str]:
    """Every token that what it earns, asks or shares is counted in, dollars apart."""
    if reading is None:
        return frozenset()
    native = reading.native
    groups = [native.gross_per_hour, native.net_per_hour or {}, *native.price_per_unit_hour.values()]
    groups += [reading.pool.payout_native_per_hour] if reading.pool else []
    return frozenset(token for group in groups for token in group) - {USD}


def the_token(reading: Reading) -> str | None:
    """The one token that it is paid in; None: none, or several."""
    tokens = tokens_of(reading)
    return next(iter(tokens)) if len(tokens) == 1 else None


def _workload(
    workload: WorkloadState, node: NodeState | None, prices: Mapping[str, float], known: Mapping[str, float],
    notes: list[str],
) -> WorkloadState:  # fmt: skip
    paid_in = tokens_of(workload.reading) | tokens_of(workload.last_good)
    if paid_in.isdisjoint(prices):
        return workload
    if missing := sorted(paid_in - known.keys()):
        notes.append(
            f"{workload.key} is paid in {missing[0]} too, of which no price is known: what it earns is left as it is"
        )
        return workload
    reading = _reading(workload.reading, workload, node, known)
    same = workload.last_good is workload.reading
    last_good = reading if same else _reading(workload.last_good, workload, node, known)
    return replace(workload, reading=reading, last_good=last_good, blocks=_past(workload, prices, notes))


def _reading(
    reading: Reading | None, workload: WorkloadState, node: NodeState | None, prices: Mapping[str, float]
) -> Reading | None:
    """As exporters/prices.py: in_usd values it, energy at the tariff of its time."""
    if reading is None or not reading.up:
        return reading
    native, allocation = reading.native, workload.allocation
    gross = _worth(native.gross_per_hour, prices)
    net = gross if native.net_per_hour is None else _worth(native.net_per_hour, prices)
    has = reading.allocated.get(allocation.resource) if allocation else None
    steps = 1.0 if allocation is None else None if has is None else has / allocation.step
    energy = energy_usd_per_hour(node.power if node else None, workload.watts, steps, reading.at)
    asked = {resource: _worth(by, prices) for resource, by in native.price_per_unit_hour.items()}
    return changed(
        reading,
        rate_usd_per_hour=gross,
        net_usd_per_hour=None if net is None or energy is None else net - energy,
        price_usd_per_unit_hour={resource: usd for resource, usd in asked.items() if usd is not None},
        pool_payout_usd_per_hour=_pool_payout(reading, prices),
    )


def _worth(amounts: Mapping[str, float], prices: Mapping[str, float]) -> float | None:
    if not amounts or not all(token in prices and math.isfinite(amount) for token, amount in amounts.items()):
        return None
    return sum(amount * prices[token] for token, amount in amounts.items())


def _pool_payout(reading: Reading, prices: Mapping[str, float]) -> float | None:
    """Payout x price x what of it reaches the owner, as today's figure says it where there is one."""
    pool = reading.pool
    payout = None if pool is None else _worth(pool.payout_native_per_hour, prices)
    if pool is None or payout is None:
        return None
    if pool.net_share is not None:
        return payout * pool.net_share
    net, gross = reading.native.net_per_hour, reading.native.gross_per_hour
    if net is None:
        return payout
    shares = [net[token] / amount for token, amount in gross.items() if amount > 0 and token in net]
    return payout * shares[0] if len(shares) == 1 else None


def _past(workload: WorkloadState, prices: Mapping[str, float], notes: list[str]) -> Blocks | None:
    """The blocks with all that was earned in the one token counted at its other price."""
    blocks, read = workload.blocks, [r for r in (workload.reading, workload.last_good) if r is not None]
    token = next((found for reading in read if (found := the_token(reading))), None)
    if blocks is None or token is None or token not in prices:
        if blocks is not None:
            notes.append(f"{workload.key} is paid in several tokens: its past is counted as it was")
        return blocks
    price = prices[token]
    if blocks.tokens is not None and blocks.token_usd is not None:
        told = (np.abs(blocks.tokens) <= _POSSIBLE) & (np.abs(blocks.token_usd) <= _POSSIBLE) & (blocks.tokens != 0)
        if told.any():
            worth = np.where(told, blocks.tokens * price, blocks.token_usd)
            usd = blocks.usd + np.where(told, worth - blocks.token_usd, 0.0)
            return replace(blocks, usd=usd, token_usd=worth)
    today = next((price_now for reading in read if (price_now := reading.usd_per_token)), None)
    if today is None:
        notes.append(f"the past of {workload.key} does not say what it earned in {token}: it is counted as it was")
        return blocks
    notes.append(
        f"the past of {workload.key} does not say what it earned in {token}: it is counted in proportion to today's price"
    )
    return replace(blocks, usd=blocks.usd * (price / today))
