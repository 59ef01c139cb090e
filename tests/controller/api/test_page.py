"""The landing page: what waits for somebody's word comes first, with the command that gives it."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from controller.api.page import landing_page, outside
from controller.api.page_programs import LATELY, MOST_PROGRAMS
from controller.programs import OPEN, OVER, ProgramState
from exporters.doors import Tokens
from tests.controller.api import desk


def page(*programs, **view):
    return landing_page(desk.view() | view, {}, programs)


def section(text, name):
    """The inside of one section; "" where there is none."""
    return text.partition(f'<section id="{name}"')[2].partition("</section>")[0]


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
    assert "Waiting for approval</h2>" not in text
    assert "Under way" not in text


def test_of_very_many_programs_the_first_are_shown_and_the_others_counted():
    text = page(*(desk.program(f"p-{i}") for i in range(MOST_PROGRAMS + 3)))
    assert text.count("<article") == MOST_PROGRAMS
    assert "and 3 more" in text


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.scripts, self.inline, self.ids = [], set(), [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.scripts += [dict(attrs).get("src", "inline")] if tag == "script" else []
        self.inline += [name for name, _ in attrs if name == "style" or name.startswith("on")]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in {"meta", "br", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_every_tag_is_closed_and_nothing_stands_inline():
    """The policy of the page refuses inline scripts and styles, so there must be none that is meant."""
    tags = Tags()
    tags.feed(page(*desk.some_programs()))
    assert tags.open == []
    assert tags.scripts == ["page.js"]
    assert tags.seen.isdisjoint({"style", "iframe", "object", "form"})
    assert tags.inline == []
    assert len(tags.ids) == len(set(tags.ids))


async def test_the_page_shows_a_new_program_at_once(serve):
    office = desk.Desk()
    client = await serve(operations=office, version=lambda: 1)
    assert "p-1" not in await (await client.get("/")).text()
    office.known["p-1"] = desk.program("p-1")
    answer = await client.get("/")
    assert "orcha programs approve p-1" in await answer.text()
    rules = answer.headers["Content-Security-Policy"]
    assert rules.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
    assert "unsafe" not in rules


async def test_what_is_over_is_told_under_done_lately_and_needs_no_word(serve):
    over = [each for each in desk.some_programs() if each.state in OVER]
    text = await (await (await serve(operations=desk.Desk(*over))).get("/")).text()
    assert "Under way" not in text
    assert "Waiting for approval</h2>" not in text
    for each in over:
        assert each.id in section(text, "lately")
        assert f"orcha programs approve {each.id}" not in text


def test_what_was_over_a_day_ago_is_not_on_the_page():
    old = desk.program(state=ProgramState.APPLIED, changed=desk.NOW - LATELY - 1)
    assert section(page(old), "lately") == ""
    assert section(page(desk.program(state=ProgramState.APPLIED, changed=desk.NOW - LATELY + 1)), "lately")


@pytest.fixture
def judged():
    """A view whose policy tells what came of two changes."""
    row = {
        "kind": "manual",
        "moves": [{"workload": "rack-1/golem", "resource": "cpu", "from": 4.0, "to": 6.0, "at": desk.NOW}],
    }
    programs = [
        row | {"id": "p-1", "kind": "applied", "at": desk.NOW - 9000, "sentence": "it brought <0.02> USD/h"},
        row | {"id": "default 9 rack-1/golem", "at": desk.NOW - 60, "sentence": ""},
    ]
    return {"policies": [desk.policy() | {"outcomes": {"programs": programs}}]}


def test_what_was_done_lately_stands_with_what_came_of_it_the_newest_first(judged):
    text = section(
        page(desk.program("p-1", ProgramState.APPLIED, changed=desk.NOW - 7200, by="anna"), **judged), "lately"
    )
    assert text.index("default 9 rack-1/golem") < text.index("p-1")
    assert "it brought &lt;0.02&gt; USD/h" in text
    assert "applied by anna" in text
    assert "rack-1/golem 4 cores → 6 cores" in text
    assert text.count("not judged yet") == 1


def test_the_sums_say_how_much_of_them_is_not_known():
    rows = [
        desk.row("a/x", gross_usd_per_hour=0.01),
        desk.row("a/y", gross_usd_per_hour=None, up=False),
        desk.row("b/z", up=None),
    ]
    text = section(page(workloads=rows), "sums")
    assert "0.0223 USD/h<small>without 1 of 3, unknown</small>" in text
    assert "<dd>?<small>nothing is known yet</small>" in text
    assert "1 of 3<small>1 failing, 1 not asked yet</small>" in text


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ([{"up": False}], "down"),
        ([{"up": False}, {}], "failing: w0"),
        ([{"healthy": False}, {}], "not well: w0"),
        ([{"up": None}, {"up": None}], "not asked yet"),
        ([{"stalled": True}, {}], "not earning: w0"),
        ([{}, {}], "well"),
    ],
    ids=["down", "failing", "not-well", "not-asked", "not-earning", "well"],
)
def test_a_nodes_health_is_that_of_what_runs_on_it(rows, word):
    shown = [desk.row(f"rack-9/w{i}", **more) for i, more in enumerate(rows)]
    assert f"<span>{word}</span>" in section(page(workloads=shown), "nodes")


def test_many_workloads_that_stay_unfold_only_when_asked():
    many = {f"rack-1/w{i}": {"reason": "Stale", "sentence": f"w{i} is old"} for i in range(6)}
    text = page(policies=[desk.policy() | {"left_out": many}])
    assert "<summary>6 workloads stay as they are</summary>" in text
    assert "<details" not in page()


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("http://grafana:3000/d/x?y=1", "http://grafana:3000/d/x?y=1"),
        ("https://anna:hunter2@grafana/", "https://grafana/"),
        ("javascript:alert(1)", None),
        ("grafana:3000", None),
        ("http://[", None),
    ],
    ids=["as-it-is", "without-password", "script", "no-scheme", "broken"],
)
def test_links_go_to_addresses_and_hold_no_password(url, link):
    assert outside(url) == link
    text = landing_page(desk.view(), {"Grafana": url})
    assert ("Grafana" in text) == (link is not None)
    assert "hunter2" not in text


def test_the_title_says_how_many_wait():
    assert "<title>orcha</title>" in page()
    assert "<title>orcha: 1 waits for approval</title>" in page(desk.program())
    assert "<title>orcha: 2 wait for approval</title>" in page(desk.program(), desk.program("p-2"))


@pytest.mark.parametrize(("path", "kind"), [("/page.css", "text/css"), ("/page.js", "text/javascript")])
async def test_its_files_are_served_from_the_same_address_and_behind_the_same_door(serve, tmp_path, path, kind):
    answer = await (await serve()).get(path)
    assert (answer.status, answer.content_type) == (200, kind)
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    client = await serve("0.0.0.0", tokens=Tokens(read=secret))  # noqa: S104 the test is about it; it listens on loopback
    assert (await client.get(path)).status == 401
    assert (await client.get(path, headers={"Authorization": "Bearer s3cret"})).status == 200
