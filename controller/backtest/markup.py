"""What the page of a backtest has of its own: the colour and dash of each split, and their legend. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from controller.backtest.result import CLAIRVOYANT, EQUAL, GREEDY, NAMES, ORCHA, STATIC, WINNER
from controller.report import markup

SPLITS: Final = """
:root { --static: #6b7280; --equal: #00795d; --greedy: #a03a8c; --winner_takes_all: #b86a00; --orcha: #0b66b8;
  --clairvoyant: #1d2126; }
@media screen and (prefers-color-scheme: dark) { :root { --static: #9aa2ac; --equal: #35c79c; --greedy: #e292d3;
  --winner_takes_all: #eda63a; --orcha: #5cb8ff; --clairvoyant: #f2f2f2; } }
.plot path.line.orcha { stroke-width: 2.8; }
.range { stroke: var(--static); stroke-width: 3; stroke-opacity: .55; } .inside { fill: var(--orcha); }
.outside { fill: var(--back); stroke: var(--winner_takes_all); stroke-width: 2; }
.rest { fill: var(--faint); } .share { fill: var(--orcha); } .meant { stroke: var(--text); stroke-width: 2; }
"""
_DASHES: Final = {STATIC: "none", EQUAL: "6 3", GREEDY: "2 3", WINNER: "8 3 2 3", ORCHA: "none", CLAIRVOYANT: "10 4"}
"""So that the lines can be told apart without colours as well."""


def styles() -> str:
    """The page's style, with the colour and dash of each split."""
    lines = "".join(f"path.{name} {{ stroke: var(--{name}); stroke-dasharray: {_DASHES[name]}; }}\n" for name in NAMES)
    return markup.styles(f"{SPLITS}{lines}")


def spaced(name: str) -> str:
    """The name of a split as it is read: "winner takes all"."""
    return name.replace("_", " ")


def legend(items: Sequence[tuple[str, str]]) -> str:
    """(split, words) -> its line, its name and the words."""

    def item(name: str, words: str) -> str:
        swatch = f'<svg viewBox="0 0 32 12" aria-hidden="true"><path class="{name}" d="M0 6H32"/></svg>'
        called = f"<b>{spaced(name)}</b>" if name == ORCHA else spaced(name)
        return f"<li>{swatch}{called} {escape(words)}</li>"

    return f'<ul class="legend">{"".join(item(name, words) for name, words in items)}</ul>'
