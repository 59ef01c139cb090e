"""Past earnings at today's price of the token that they were paid in.

What a used unit earned is known in tokens, and tokens are what it will earn; their price is known now and needs no
history. Without this a price that halved yesterday would count in full for a day more, and a workload that is always
full would look half idle.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64, Blocks
    from exporters.reading import Reading

_POSSIBLE: Final = 1e24
"""No real sum of one block is larger; NaN is not smaller."""


def at_todays_price(blocks: Blocks, reading: Reading) -> Blocks:
    """The blocks with the part of `usd` that was paid in its one token restated; as they are where no price is known.

    Two hours of 0.10 USD each, the first as 1 token, the second as 2 of half the price: 0.05 and 0.10 at today's 0.05.
    """
    if blocks.tokens is None or blocks.token_usd is None:
        return blocks
    known = _known(blocks.tokens, blocks.token_usd)
    price = token_price(blocks, reading)
    if price is None:
        return blocks
    usd = blocks.usd + np.where(known, blocks.tokens * price - blocks.token_usd, 0.0)
    return replace(blocks, usd=usd)


def token_price(blocks: Blocks | None, reading: Reading) -> float | None:
    """USD per token now; where it earns nothing now, or does not say, the newest price at which it was paid."""
    if reading.usd_per_token is not None:
        return reading.usd_per_token
    if blocks is None or blocks.tokens is None or blocks.token_usd is None:
        return None
    paid = np.flatnonzero(_known(blocks.tokens, blocks.token_usd))
    return float(blocks.token_usd[paid[-1]] / blocks.tokens[paid[-1]]) if len(paid) else None


def _known(tokens: F64, token_usd: F64) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (np.abs(tokens) <= _POSSIBLE) & (np.abs(token_usd) <= _POSSIBLE) & (tokens != 0)
    return found
