"""Terms in words, of whatever depth. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from controller.fleet.terms import Term

_DEEP: Final = 60
"""Levels of a term that are written out; below that its parts are named by their ids."""
_MOST_PIECES: Final = 500
"""Of its text: what holds itself twice, and that itself twice, has no end that anybody waits for."""


def written(term: Term) -> str:
    """As people write it: seq(grow(rack-1/golem, cpu, 2, 4), verify(rack-1/golem))."""
    found = list(islice(_pieces(term, _DEEP), _MOST_PIECES + 1))
    return "".join(found) if len(found) <= _MOST_PIECES else "".join(found[:_MOST_PIECES]) + "…"


def _pieces(term: Term, deep: int) -> Iterator[str]:
    inner = [value if isinstance(value, str) else f"{value:g}" for value in term.parameters]
    yield term.operator.value
    if not inner and not term.children:
        return
    yield "(" + ", ".join(inner)
    for i, child in enumerate(term.children):
        yield ", " if i else ""
        yield from _pieces(child, deep - 1) if deep > 0 else (child.id[:12],)
    yield ")"
