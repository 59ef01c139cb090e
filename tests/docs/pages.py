"""What stands on the pages of this repository: blocks, words in backticks, links, anchors."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def find_pages() -> list[Path]:
    """Every page that people read; the changelog, whose links compare tags, apart."""
    places = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for folder in ("helm", "deploy", "examples", "tests/fixtures"):
        places += (ROOT / folder).rglob("*.md")
    return sorted(set(places))


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


PAGES = {name_of(page): page for page in find_pages()}


@dataclass(frozen=True)
class Block:
    """A block of code; `language` is empty where it is only indented, `line` is that of its first line."""

    page: str
    line: int
    language: str
    text: str
    fenced: bool = True

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def tokens_of(page: str) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse(PAGES[page].read_text(encoding="utf-8")))


@cache
def blocks_of(page: str) -> tuple[Block, ...]:
    """Fenced ones and indented ones."""
    found = []
    for token in tokens_of(page):
        if token.type in {"fence", "code_block"}:
            fenced = token.type == "fence"
            language = token.info.split()[0] if token.info.strip() else ""
            found.append(Block(page, (token.map or [0])[0] + 1 + fenced, language, token.content, fenced))
    return tuple(found)


BLOCKS = {block.place: block for page in PAGES for block in blocks_of(page)}


def _inside(page: str) -> list[tuple[int, Token]]:
    """(line of the paragraph, token) of everything inline."""
    return [
        ((token.map or [0])[0] + 1, child)
        for token in tokens_of(page)
        for child in (token.children or [] if token.type == "inline" else [])
    ]


@cache
def words_of(page: str) -> tuple[tuple[int, str], ...]:
    """(line of the paragraph, text) of everything in backticks."""
    return tuple(
        (line, " ".join(token.content.split())) for line, token in _inside(page) if token.type == "code_inline"
    )


@cache
def links_of(page: str) -> tuple[tuple[int, str], ...]:
    """(line of the paragraph, target) of every link and picture that stays in this repository."""
    found = []
    for line, token in _inside(page):
        target = token.attrGet("href") if token.type == "link_open" else None
        target = token.attrGet("src") if token.type == "image" else target
        if target is not None and not ELSEWHERE.match(str(target)):
            found.append((line, unquote(str(target))))
    return tuple(found)


def slug_of(heading: str) -> str:
    """The anchor that forges give a heading: lower case, no signs but - and _, a dash for each space."""
    kept = "".join(sign for sign in heading.lower() if sign.isalnum() or sign in " -_")
    return kept.strip().replace(" ", "-")


@cache
def anchors_of(page: str) -> frozenset[str]:
    """Every anchor of a page, those of headings that come twice with their number."""
    seen: Counter[str] = Counter()
    found = set()
    tokens = tokens_of(page)
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            text = "".join(child.content for child in following.children or [] if child.type in {"text", "code_inline"})
            slug = slug_of(text)
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return frozenset(found)
