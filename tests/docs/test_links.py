"""Every link between pages leads somewhere, and every page can be reached from README.md."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import BLOCKS, PAGES, ROOT, anchors_of, links_of, name_of, slug_of, words_of

LANGUAGES = {"yaml", "sh", "console", "text", "json", "python", "promql", "js", "ini", "toml", "sql"}


def trouble_with(page: str, target: str) -> str:
    """What is wrong with a link on a page; empty: it leads somewhere."""
    path, _, anchor = target.partition("#")
    leads_to = (PAGES[page].parent / path).resolve() if path else PAGES[page]
    if not leads_to.is_relative_to(ROOT):
        return "leads out of the repository"
    if not leads_to.exists():
        return "leads nowhere"
    if path and leads_to.name not in {each.name for each in leads_to.parent.iterdir()}:
        return "is spelt with other capitals than the file"
    if not anchor:
        return ""
    if leads_to.suffix != ".md":
        return "has an anchor, which only a page has"
    known = anchors_of(name_of(leads_to))
    return "" if anchor in known else f"knows no such heading; there are {', '.join(sorted(known))}"


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_link_leads_somewhere(page):
    wrong = [f"{page}:{line} {target} {why}" for line, target in links_of(page) if (why := trouble_with(page, target))]
    assert wrong == []


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("docs/nowhere.md", "leads nowhere"),
        ("docs/api.md#nothing", "knows no such heading"),
        ("../elsewhere.md", "leads out of the repository"),
        ("docs/API.md", "leads nowhere"),
        ("LICENSE#anchor", "only a page has"),
    ],
)
def test_a_wrong_link_would_be_seen(target, why):
    assert why in trouble_with("README.md", target)


def test_an_anchor_is_spelt_as_forges_spell_it():
    assert slug_of("What it does, and why?") == "what-it-does-and-why"
    assert slug_of("`orcha init`: the first 5 minutes") == "orcha-init-the-first-5-minutes"


@pytest.mark.parametrize("page", sorted(PAGES))
def test_no_link_is_left_without_its_target(page):
    # "[text][name]" whose name is defined nowhere is shown as it stands, brackets and all
    text = re.sub(r"```.*?```|`[^`\n]+`", "", PAGES[page].read_text(encoding="utf-8"), flags=re.DOTALL)
    assert re.findall(r"\]\[[^\]\n]+\]|\]\(\s*\)", text) == []


def test_every_page_of_the_documentation_can_be_reached_from_the_readme():
    reached, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page not in PAGES:
            continue
        reached.add(page)
        for target in {target for _, target in links_of(page) if not target.startswith("#")}:
            place = (PAGES[page].parent / target.partition("#")[0]).resolve()
            if place.is_relative_to(ROOT):
                waiting += [name_of(place)] if place.is_file() else [f"{name_of(place)}/README.md"]
                if place.is_dir():  # a folder shows what is in it
                    waiting += [name_of(each) for each in place.glob("*.md")]
    wanted = {page for page in PAGES if not page.startswith("tests/")}
    assert wanted - reached == set()


def test_every_fenced_block_says_in_what_language_it_is():
    odd = [
        f"{place} {block.language!r}"
        for place, block in BLOCKS.items()
        if block.fenced and block.language not in LANGUAGES
    ]
    assert odd == []


def test_words_in_backticks_are_read_across_lines():
    assert any(text == "orcha validate DIR" for _, text in words_of("docs/manifests.md"))
