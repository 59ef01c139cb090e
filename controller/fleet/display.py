"""The colour that an agent is shown in, in tables and pictures. Not the colours of terms: colours.py has those. Pure."""

from __future__ import annotations

import colorsys
import hashlib
from typing import Final

SEED: Final = 9
SATURATION: Final = 0.65
LIGHT: Final = (0.48, 0.68)
"""Between these a colour can be read on black and on white."""


def colour_of_name(name: str, seed: int = SEED) -> str:
    """#rrggbb. Equal names have equal colours, everywhere and for ever; names of the same letters differ: a hash that mixes
    decides, not a sum of letters. Another seed gives other colours, for whoever finds two too much alike.
    """
    mixed = hashlib.blake2b(name.encode(), digest_size=8, key=seed.to_bytes(8, "big")).digest()
    hue = int.from_bytes(mixed[:4], "big") / 2**32
    light = LIGHT[0] + (LIGHT[1] - LIGHT[0]) * int.from_bytes(mixed[4:], "big") / 2**32
    parts = colorsys.hls_to_rgb(hue, light, SATURATION)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)
