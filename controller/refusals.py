"""How a person's word is refused, whoever asks (the API, the command line): named by what is wrong with it."""

from __future__ import annotations


class Unknown(LookupError):
    """There is no such program, policy or workload; `str()` says which there are."""


class NotPossible(Exception):
    """It cannot be done as things stand; `str()` says why, and what could be."""
