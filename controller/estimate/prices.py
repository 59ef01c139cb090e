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
    from controller.model import Blocks
    from exporters.reading import Reading

_POSSIBLE: Final = 1e24
"""No real sum of one block is larger; NaN is not smaller."""


def at_todays_price(blocks: Blocks, reading: Reading) -> Blocks:
    """The blocks with the part of `usd` that was paid in its one token restated; as they are where no price is known.

    Two hours of 0.10 USD each, the first as 1 token, the second as 2 of half the price: 0.05 and 0.10 at today's 0.05.
    """
    if blocks.tokens is None or blocks.token_usd is None:
        return blocks
    known = (np.abs(blocks.tokens) <= _POSSIBLE) & (np.abs(blocks.token_usd) <= _POSSIBLE) & (blocks.tokens != 0)
    if not known.any():
        return blocks
    price = reading.usd_per_token
    if price is None:  # it earns nothing now, or does not say: the newest price at which it was paid
        newest = int(np.flatnonzero(known)[-1])
        price = float(blocks.token_usd[newest] / blocks.tokens[newest])
    usd = blocks.usd + np.where(known, blocks.tokens * price - blocks.token_usd, 0.0)
    return replace(blocks, usd=usd)
