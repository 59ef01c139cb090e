"""The landing page in a real Chromium: without JavaScript and with it, by keyboard and by what a screen reader is told, in
light and dark, narrow and wide, and with names and sentences that would like to be scripts.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import contextmanager
from itertools import pairwise

import pytest
from aiohttp import web
from playwright.sync_api import expect, sync_playwright

from controller.api.app import application
from controller.api.stream import Stream
from controller.programs import ProgramState
from tests.controller.api import desk
from tests.controller.api.fleets import LIMIT, some_fleet

pytestmark = [pytest.mark.tool("chromium"), pytest.mark.xdist_group("chromium")]
HOSTILE = "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'>"
LONG = "a-node-whose-name-is-as-long-as-they-may-be-which-is-sixty-thre/workload-of-a-name-just-as-long"
SWITCHES = ["--disable-gpu", "--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]


class Controller:
    """A served page, and what it shows. `fleet`: that it shows as well, as its first site sees it."""

    def __init__(self, fleet=None):
        self.fleet = fleet
        self.view = desk.view()
        self.office = desk.Desk(*desk.some_programs())
        self.version = 0
        self.broken = False
        self.stream = Stream()
        self.address = ""
        self._loop = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    @contextmanager
    def serving(self):
        self._thread.start()
        assert self._ready.wait(20)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()

    async def _serve(self):
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        more = (
            {"fleet": self.fleet.face("site-00", limits=[LIMIT]), "now": lambda: self.fleet.now} if self.fleet else {}
        )
        faces = desk.faces(
            view=lambda: self.view, version=lambda: self.version, stream=self.stream, operations=self.office, **more,
        )  # fmt: skip
        app = application(faces, "127.0.0.1")

        @web.middleware
        async def down(request, handler):
            if self.broken:
                raise web.HTTPServiceUnavailable
            return await handler(request)

        app.middlewares.append(down)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/"
        self._ready.set()
        await self._over.wait()
        # A browser connects ahead of what it may ask, and Python 3.11 forgets to close whom it accepts while a server ends:
        # nobody is accepted any more, and who was is known to the runner, which closes them.
        for listening in site._server.sockets:
            self._loop.remove_reader(listening.fileno())
        for _ in range(5):
            await asyncio.sleep(0)
        await runner.cleanup()

    def now_says(self, sentence, **view):
        """A new plan, and the stream tells of it."""
        self.view = self.view | view | {"policies": [desk.policy() | {"sentence": sentence}]}
        self.version += 1
        self._loop.call_soon_threadsafe(self.stream.publish, "plans", {"name": "default"})

    def in_the_fleet(self, happens):
        """Let something happen in the fleet, and half a minute go by there."""

        def happen():
            happens()
            self.fleet.run(30)

        self._loop.call_soon_threadsafe(happen)

    def listeners(self):
        return self.stream.clients


@pytest.fixture(scope="module")
def browser(chromium_path):
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(chromium_path), args=SWITCHES)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def chromium_path():
    from tests.conftest import _tools

    return _tools()["chromium"]["where"]


@pytest.fixture
def controller(request):
    """Of a fleet, where the test asks for one."""
    with Controller(some_fleet() if hasattr(request, "param") else None).serving() as controller:
        yield controller


of_a_fleet = pytest.mark.parametrize("controller", ["of-a-fleet"], indirect=True)


@pytest.fixture
def visit(browser, controller):
    """visit(javascript=True, **how the browser is) -> the loaded page; at the end nothing may have been complained of."""
    contexts, complaints, allowed = [], [], []

    def make(*, javascript=True, width=1200, allow=(), **how):
        context = browser.new_context(java_script_enabled=javascript, viewport={"width": width, "height": 900}, **how)
        contexts.append(context)
        allowed.extend(allow)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(f"thrown: {error}"))
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        page.goto(controller.address)
        return page

    yield make
    for context in contexts:
        context.close()
    assert [each for each in complaints if not any(words in each for words in allowed)] == []


def listening(page, controller):
    """Until its stream is connected: then a change is told at once."""
    while not controller.listeners():
        page.wait_for_timeout(20)
    return page


# --- what is there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("javascript", [False, True], ids=["without-javascript", "with-javascript"])
def test_everything_is_there(visit, javascript):
    page = visit(javascript=javascript)
    headings = page.get_by_role("heading").all_text_contents()
    for words in (
        "orcha",
        "Waiting for approval",
        "Under way",
        "Plan of policy default, mode Approve",
        "What earns what",
        "Nodes",
        "Done lately",
    ):
        assert words in headings
    expect(page.get_by_text("orcha programs approve p-00000001")).to_be_visible()
    expect(page.get_by_role("link", name="Grafana")).to_have_attribute("href", "http://127.0.0.1:3000")
    for name in ("metrics", "status as JSON", "API"):
        address = page.get_by_role("link", name=name, exact=True).evaluate("link => link.href") if javascript else None
        assert address is None or page.request.get(address).status == 200


@of_a_fleet
@pytest.mark.parametrize("javascript", [False, True], ids=["without-javascript", "with-javascript"])
def test_the_fleet_is_there_where_there_is_one(visit, javascript):
    page = visit(javascript=javascript)
    fleet = page.get_by_role("region", name="Fleet attic: this is site site-00")
    expect(fleet).to_contain_text("3 of 3 agents are alive, as far as site-00 has heard; they know the same since")
    expect(fleet.get_by_role("row", name="site-02 site")).to_contain_text("alive")
    expect(fleet.get_by_role("row", name="cpu golem cpu")).to_contain_text("may hold 10 cores")
    expect(fleet.get_by_role("listitem").filter(has_text="p-1")).to_contain_text("waits until p-0 of site-00 is over")
    for name in ("fleet as JSON", "messages as JSON"):
        link = page.get_by_role("link", name=name)
        expect(link).to_be_visible()
        assert page.request.get(page.url + link.get_attribute("href")).status == 200


def test_without_javascript_the_page_loads_itself_again(visit, controller):
    page = visit(javascript=False)
    expect(page.locator("#live")).to_have_text("This page loads itself again every 15 seconds.")
    assert page.locator("noscript meta[http-equiv=refresh], meta[http-equiv=refresh]").count() == 1
    controller.now_says("the plan after the reload")
    page.reload()
    expect(page.get_by_text("the plan after the reload")).to_be_visible()


# --- live ---------------------------------------------------------------------------------------------------------


def test_a_change_of_the_plan_appears_without_a_reload_and_is_told(visit, controller):
    page = listening(visit(), controller)
    page.evaluate("window.here = true")
    controller.now_says("golem may have two cores more")
    expect(page.locator("#policy-default .sentence")).to_have_text("golem may have two cores more")
    assert page.evaluate("window.here") is True
    news = page.get_by_role("status")
    expect(news).to_have_text("Policy default: golem may have two cores more")
    assert news.get_attribute("aria-live") == "polite"
    expect(page.locator("#live")).to_contain_text("Live; looked at")


def test_what_begins_and_what_is_over_moves_between_the_sections(visit, controller):
    page = listening(visit(), controller)
    known = controller.office.known
    known["p-00000001"] = known["p-00000001"].turned(ProgramState.APPROVED, desk.NOW)
    known["p-00000002"] = known["p-00000002"].turned(ProgramState.APPLIED, desk.NOW)
    controller.now_says("the same")
    expect(page.locator("#under-way #p-00000001")).to_be_visible()
    expect(page.locator("#waiting")).to_have_count(0)
    expect(page.locator("#lately-table")).to_contain_text("p-00000002")
    expect(page).to_have_title("orcha")
    news = page.get_by_role("status")
    expect(news).to_contain_text("p-00000001 approved.")
    expect(news).to_contain_text("p-00000002 is no longer shown.")


@of_a_fleet
def test_a_site_that_falls_silent_and_comes_back_appears_without_a_reload_and_is_told(visit, controller):
    page = listening(visit(), controller)
    page.evaluate("window.here = true")
    state, news = page.locator("#agent-site-02 td[data-label=state]"), page.get_by_role("status")

    def both(happen):
        for name in ("site-01", "site-02"):
            happen(name)

    controller.in_the_fleet(lambda: both(controller.fleet.kill))
    expect(state).to_have_text("cut off")
    expect(news).to_have_text("Agent site-01: cut off. Agent site-02: cut off")
    expect(page.locator("#sums")).to_contain_text("1 of 3site-01, site-02 cut off")
    controller.in_the_fleet(lambda: both(controller.fleet.start))
    expect(state).to_have_text("alive")
    expect(news).to_have_text("Agent site-01: alive. Agent site-02: alive")
    assert page.evaluate("window.here") is True


def test_focus_what_is_open_and_what_is_selected_stay(visit, controller):
    many = {f"rack-1/w{i}": {"reason": "Stale", "sentence": f"w{i} is old"} for i in range(9)}
    controller.view = controller.view | {"policies": [desk.policy() | {"left_out": many}]}
    page = listening(visit(), controller)
    page.evaluate("""() => {
        document.querySelector("#policy-default-stays").open = true;
        document.querySelector("#policy-default-stays summary").focus();
        window.focused = document.activeElement;
        getSelection().selectAllChildren(document.getElementById("workload-rack-2/golem"));
    }""")
    selected = page.evaluate("getSelection().toString()")
    rows = [desk.row("rack-0/new"), *(desk.row(key, used=1.25) for key in desk.KEYS)]
    controller.view = controller.view | {"workloads": rows}
    controller.version += 1
    controller._loop.call_soon_threadsafe(controller.stream.publish, "programs", {})
    expect(page.get_by_role("rowheader", name="rack-0/new")).to_be_visible()
    assert page.evaluate("document.activeElement === window.focused && document.activeElement.localName") == "summary"
    assert page.evaluate("document.querySelector('#policy-default-stays').open")
    assert page.evaluate("getSelection().toString()").split()[0] == selected.split()[0]
    assert page.locator("#workloads-table tbody tr").evaluate_all("rows => rows.map(row => row.id)") == [
        "workload-rack-0/new", *(f"workload-{key}" for key in desk.KEYS),
    ]  # fmt: skip


def test_without_a_stream_it_is_looked_at_every_15_seconds(visit, controller, browser):
    page = browser.new_page()
    page.route_web_socket("**", lambda socket: socket.close())
    page.clock.install()
    page.goto(controller.address)
    controller.now_says("nobody told of this")
    page.clock.fast_forward(16_000)
    expect(page.get_by_text("nobody told of this").first).to_be_visible()
    page.close()


def test_a_controller_that_does_not_answer_is_told_once_and_so_is_its_return(visit, controller):
    page = listening(visit(allow=("503",)), controller)
    controller.broken = True
    controller.now_says("later")
    expect(page.locator("#live")).to_contain_text("does not answer since")
    expect(page.get_by_role("status")).to_contain_text("it answered 503")
    expect(page.get_by_role("heading", name="What earns what")).to_be_visible()
    controller.broken = False
    controller.now_says("back")
    expect(page.locator("#policy-default .sentence")).to_have_text("back")
    expect(page.locator("#live")).to_contain_text("Live; looked at")


# --- who looks otherwise ------------------------------------------------------------------------------------------


def test_by_keyboard_the_first_stop_leads_past_the_links(visit):
    page = visit()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to what earns what")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.goto(page.url.partition("#")[0])
    stops = []
    for _ in range(5):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.textContent"))
    assert stops[1:] == ["metrics", "status as JSON", "API", "Grafana"]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"


def test_many_that_stay_unfold_by_keyboard(visit, controller):
    many = {f"rack-1/w{i}": {"reason": "Stale", "sentence": f"w{i} is old"} for i in range(9)}
    controller.view = controller.view | {"policies": [desk.policy() | {"left_out": many}]}
    page = visit()
    page.get_by_text("9 workloads stay as they are").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("rack-1/w8 stays: w8 is old")).to_be_visible()


@of_a_fleet
@pytest.mark.parametrize("width", [360, 1200])
def test_what_a_screen_reader_is_told_has_names_and_roles_at_every_width(visit, width):
    page = visit(width=width)
    told = page.locator("body").aria_snapshot()
    for part in (
        "- banner:", '- navigation "Elsewhere":', "- main:", "- contentinfo:", '- heading "orcha" [level=1]', '- link "metrics":',
        '- region "Waiting for approval":', '- article "p-00000001 pending":', '- region "What earns what":',
        '- table "Gross is what the protocol credits', '- columnheader "in hand USD/h"', '- rowheader "rack-1/golem golem"',
        '- region "Nodes":', '- table "Of what runs on each', '- region "Done lately":', "- status",
        'region "Fleet attic: this is site site-00"', '- table "Each site decides for itself', '- rowheader "site-00 this site"',
        '- table "Limits over all sites', '- columnheader "this site\'s part"', '- rowheader "cpu golem cpu"',
        '- heading "Programs that wait for another site" [level=3]', '- navigation "More of the fleet":',
    ):  # fmt: skip
        assert part in told, part
    levels = page.get_by_role("heading").evaluate_all("all => all.map(each => +each.localName[1])")
    assert levels[0] == 1
    assert all(later - before <= 1 for before, later in pairwise(levels))
    assert page.locator("table:not(:has(caption)), thead th:not([scope=col]), tbody th:not([scope=row])").count() == 0
    assert page.locator("section:not([aria-labelledby])").count() == 0
    assert page.locator("html").get_attribute("lang") == "en"


CONTRASTS = """() => {
    const light = (text) => {
        const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map((c) => c / 255).map((c) => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const under = (node) => {
        for (let each = node; each; each = each.parentElement) {
            const back = getComputedStyle(each).backgroundColor;
            if (!/, 0\\)$|transparent/.test(back)) return back;
        }
        throw new Error("nothing lies under it");
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = {};
    while (texts.nextNode()) {
        const node = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || node.closest("noscript")) continue;
        const [high, low] = [light(getComputedStyle(node).color), light(under(node))].sort((a, b) => b - a);
        found[`${node.localName}.${node.className}: ${texts.currentNode.data.slice(0, 20)}`] = (high + .05) / (low + .05);
    }
    return found;
}"""


@of_a_fleet
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_every_text_stands_out_from_what_it_is_on(visit, controller, scheme):
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    states = [
        {},
        {"up": False, "failure": "refused"},
        {"healthy": False},
        {"stalled": True},
        {"up": None},
        {"verdict": "Allowed"},
    ]
    controller.view = controller.view | {
        "workloads": [desk.row(f"rack-{i}/w", **more) for i, more in enumerate(states)],
        "manifests": {"problems": ["a.yaml:3: spec: is missing"]},
    }
    controller.in_the_fleet(lambda: controller.fleet.kill("site-02"))
    page = visit(color_scheme=scheme)
    found = page.evaluate(CONTRASTS)
    assert len(found) > 60
    assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}


@of_a_fleet
@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [360, 768, 1200])
def test_nothing_has_to_be_scrolled_sideways(visit, controller, width, scheme, tmp_path):
    failing = {"up": False, "failure": "https://10.0.0.1:14002/api/sno/satellites/" + "x" * 90}
    controller.view = controller.view | {
        "workloads": [desk.row(LONG), desk.row("rack-1/golem", **failing), *controller.view["workloads"][1:]],
        "policies": [desk.policy() | {"sentence": "unbroken-" * 40}],
        "manifests": {"problems": ["/etc/orcha/" + "d" * 200 + ".yaml:3: spec: is missing"]},
    }
    controller.in_the_fleet(lambda: controller.fleet.kill("site-02"))
    page = visit(width=width, color_scheme=scheme)
    wide = page.evaluate("""() => [...document.querySelectorAll("body *")].filter(
        (each) => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).overflowX !== "visible"
            && !each.matches(".quiet, .skip, thead, thead *")).map((each) => each.outerHTML.slice(0, 80))""")
    assert wide == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=tmp_path / f"{width}-{scheme}.png", full_page=True)


@pytest.mark.parametrize(("motion", "name"), [("no-preference", "fresh"), ("reduce", "none")])
def test_nothing_moves_for_who_asked_for_less_motion(visit, motion, name):
    page = visit(reduced_motion=motion)
    assert (
        page.locator("h1").evaluate("h => { h.dataset.fresh = ''; return getComputedStyle(h).animationName; }") == name
    )


# --- who means harm -----------------------------------------------------------------------------------------------


def test_words_that_would_like_to_be_scripts_are_words(visit, controller):
    """What a node says of itself: its version, its state, its failure; at the first look and at a later one."""
    hostile = desk.row("rack-1/golem", state=HOSTILE, protocol=HOSTILE, native_per_hour={HOSTILE: 1.0})
    failing = desk.row("rack-1/akash", up=False, failure=HOSTILE)
    shown = {"version": HOSTILE, "workloads": [hostile, failing], "manifests": {"problems": [HOSTILE]}}
    controller.view = controller.view | shown
    known = controller.office.known
    known["p-00000001"] = desk.program(sentence=HOSTILE, said=HOSTILE)
    page = listening(visit(), controller)
    controller.now_says(HOSTILE)
    expect(page.locator("#policy-default .sentence")).to_have_text(HOSTILE)
    expect(page.get_by_role("status")).to_contain_text(HOSTILE)
    assert page.evaluate("window.ran") is None
    assert page.locator("img, body script").count() == 0


def test_the_policy_of_the_page_lets_nothing_inline_run(visit):
    page = visit(allow=("Content Security Policy", "content security policy"))
    refused = page.evaluate("""() => new Promise((resolve) => {
        const found = [];
        document.addEventListener("securitypolicyviolation", (event) => {
            found.push(event.effectiveDirective);
            if (found.length === 3) resolve(found.sort());
        });
        const script = document.createElement("script");
        script.textContent = "window.ran = 1";
        document.body.append(script);
        const style = document.createElement("style");
        style.textContent = "body { display: none }";
        document.head.append(style);
        fetch("http://127.0.0.1:9/").catch(() => {});
    })""")
    assert refused == ["connect-src", "script-src-elem", "style-src-elem"]
    assert page.evaluate("window.ran") is None
