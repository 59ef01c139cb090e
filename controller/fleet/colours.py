"""Colours of terms: RED takes, BLUE frees, GREEN is neutral; RED and BLUE never touch. Pure.

They come from operators, never from names. What a screen shows agents in is something else (display.py).
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum


class Colour(StrEnum):
    RED = "red"
    """Positive, forward, constructive: takes capacity."""
    BLUE = "blue"
    """Negative, backward, releasing: frees capacity."""
    GREEN = "green"
    """Neutral."""


def colour_of(operator: str, steps: Collection[Colour]) -> Colour:
    """Of a term whose steps have these colours: `seq` and `par` take the one that is not GREEN, and are GREEN where they hold
    both; a `checkpoint` is GREEN. So no parent is RED and a child of it BLUE, or the other way round.
    """
    told = set(steps) - {Colour.GREEN}
    return told.pop() if operator != "checkpoint" and len(told) == 1 else Colour.GREEN


def clashing(one: Colour, other: Colour) -> bool:
    """Whether one is RED and the other BLUE."""
    return {one, other} == {Colour.RED, Colour.BLUE}


def touching(leaving: Collection[Colour], entering: Collection[Colour]) -> tuple[Colour, Colour] | None:
    """The first pair of an exit and an entry that clashes, None where they may follow one another."""
    return next(((a, b) for a in sorted(leaving) for b in sorted(entering) if clashing(a, b)), None)
