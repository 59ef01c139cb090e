"""What is installed only where it is asked for, as a sentence says it. Pure.

By the name of the library, never `orcha[...]`: what the package index calls orcha is another program.
"""

from __future__ import annotations


def how_to_get(library: str) -> str:
    """How to install a library where orcha is."""
    return f"install it where orcha is: pip install {library}, or pipx inject orcha {library}"
