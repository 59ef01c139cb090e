"""Who is asked beside the guard before a program begins: the other sites of a fleet. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controller.programs import Program


def _nobody(_program: Program) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Consent:
    """Nobody's, where nothing else is given. Both are asked at the last moment, and do not wait for anything."""

    waits: Callable[[Program], str] = _nobody
    """Why it must wait; "": it need not."""
    void: Callable[[Program], str] = _nobody
    """Why it is void; "": it is not."""
