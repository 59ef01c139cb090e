"""The landing page: what waits for somebody's word comes first, with the command that gives it."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from controller.api.page import MOST_PROGRAMS, landing_page
from controller.programs import OPEN
from tests.controller.api import desk


def page(*programs, **view):
    return landing_page(desk.view() | view, {}, programs)


def test_a_program_that_waits_shows_why_what_and_how_to_say_yes_or_no():
    text = page(desk.program(said="void <soon>"))
    assert "Waiting for approval" in text
    assert "<code>orcha programs approve p-00000001</code>" in text
    assert "<code>orcha programs reject p-00000001</code>" in text
    assert "golem &lt;earns&gt; more" in text
    assert "void &lt;soon&gt;" in text
    assert "+0.0200 USD/h (between +0.0100 and +0.0300), 90% sure" in text
    assert "expires in 23h50m" in text
    assert "<strong>rack-1/golem</strong>: 4 cores → 6 cores" in text
    assert "Under way" not in text


def test_programs_under_way_show_how_far_they_are_and_the_ways_out():
    text = page(*(each for each in desk.some_programs() if each.state in OPEN))
    assert "stage 1 of 2" in text
    assert "6 cores → 4 cores (done)" in text
    assert "4 cores → 6 cores (issued); waits for the offer" in text
    assert "rack-1 does not answer" in text
    commands = [words.split("</code>")[0].split() for words in text.split("<code>")[1:]]
    assert [words[2] for words in commands if words[3] == "p-00000006"] == ["rollback", "reject"]


def test_without_programs_nothing_is_said_of_them():
    text = page()
    assert "Waiting for approval" not in text
    assert "Under way" not in text


def test_of_very_many_programs_the_first_are_shown_and_the_others_counted():
    text = page(*(desk.program(f"p-{i}") for i in range(MOST_PROGRAMS + 3)))
    assert text.count("<article") == MOST_PROGRAMS
    assert "and 3 more" in text


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen = [], set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_every_tag_is_closed_and_none_is_a_script():
    tags = Tags()
    tags.feed(page(*(each for each in desk.some_programs() if each.state in OPEN)))
    assert tags.open == []
    assert "script" not in tags.seen


async def test_the_page_shows_a_new_program_at_once(serve):
    office = desk.Desk()
    client = await serve(operations=office, version=lambda: 1)
    assert "p-1" not in await (await client.get("/")).text()
    office.known["p-1"] = desk.program("p-1")
    answer = await client.get("/")
    assert "orcha programs approve p-1" in await answer.text()
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("state", ["rejected", "applied"])
async def test_what_is_over_is_not_on_the_page(serve, state):
    over = [each for each in desk.some_programs() if each.state == state]
    assert over[0].id not in await (await (await serve(operations=desk.Desk(*over))).get("/")).text()
