"""The runbooks: one per alert, with the four parts; what they tell to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import promql_parser
import pytest
from typer.testing import CliRunner

from controller.__main__ import app
from scripts import docs, rules
from tests.prometheus.test_conventions import FAMILIES, RECORDED, family, named

FOLDER = docs.ROOT / "docs" / "runbooks"
PAGES = sorted(FOLDER.glob("*.md"))
PARTS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
OF_OTHERS = {"process_cpu_seconds_total"}
"""Series that Prometheus' own library exports for any process."""

pages = pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])


def blocks(text, language):
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", text)


def test_every_alert_has_one_and_no_other_is_there():
    known = {rule["alert"] for rule in rules.alerts(rules.rendered(rules.parameters(None)))}
    assert {page.stem for page in PAGES} == known


@pages
def test_it_has_the_four_parts_and_something_in_each(page):
    text = re.sub(r"(?m)^# (?!Orcha)", "", page.read_text())  # comments in code
    title, *parts = re.split(r"(?m)^#+ ", text)[1:]
    assert title.strip() == page.stem
    assert [part.splitlines()[0] for part in parts] == PARTS
    for part in parts:
        assert len(part.split("\n", 1)[1].split()) >= 8, part


@pages
def test_its_queries_parse_and_name_what_there_is(page):
    lines = [line for block in blocks(page.read_text(), "promql") for line in block.splitlines()]
    for line in lines:
        query = re.sub(r"\s+#.*|^#.*", "", line)
        if query:
            promql_parser.parse(query)
            unknown = {name for name in named(query) if family(name) not in FAMILIES} - RECORDED - OF_OTHERS - {"up"}
            assert not unknown, line


@pages
def test_series_in_its_sentences_are_there(page):
    prose = re.sub(r"(?ms)^```.*?^```", "", page.read_text())
    for name in re.findall(r"`(orcha_\w+)`", prose):
        assert family(name) in FAMILIES, name


@pages
def test_its_links_lead_somewhere(page):
    for target, part in re.findall(r"\]\(([^)#:]+)(#[\w-]+)?\)", page.read_text()):
        found = (page.parent / target).resolve()
        assert found.exists(), target
        if part:
            titles = {
                re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-")
                for t in re.findall(r"(?m)^#+ (.*)", found.read_text())
            }
            assert part[1:] in titles


def commands():
    """(page, command) of every `orcha ...` that is told to be typed."""
    for page in PAGES:
        text = page.read_text()
        typed = [line for block in blocks(text, "sh") for line in block.splitlines()]
        prose = re.sub(r"(?ms)^```.*?^```", "", text)
        for line in (*typed, *re.findall(r"`([^`]+)`", prose)):
            if line.startswith("orcha "):
                yield page.stem, re.sub(r"\s+#.*", "", line)


@pytest.mark.parametrize("command", sorted({command for _, command in commands()}))
def test_a_command_exists_with_its_options(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    _, *words = command.split()
    path = [words[0]] if words[0] != "programs" else [word for word in words[:2] if not word.startswith("-")]
    if words[0] == "programs" and len(path) == 1:
        path.append("list")
    said = CliRunner().invoke(app, [*path, "--help"])
    assert said.exit_code == 0, said.output
    for option in re.findall(r"(?<!\S)--[a-z-]+", command):
        assert option in said.output, f"{command}: no {option}"


def test_parameters_that_are_named_exist():
    known = rules.parameters(None)
    for page in (*PAGES, docs.ROOT / "docs" / "alerts.md"):
        for name in re.findall(
            r"`([a-z]+(?:Seconds|UsdPerHour|Ratio|Selector|Window|For|Url|Labels))`", page.read_text()
        ):
            assert name in known, f"{Path(page).name}: {name}"
