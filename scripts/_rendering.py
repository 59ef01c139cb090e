"""Show a dashboard in headless Chromium by Grafana's own libraries, and say what each panel shows.

The page is what scripts/tools/grafana_scenes.py builds; the data come from a running Prometheus. Everything stays on
127.0.0.1: the page is served from here, and the browser resolves no other host.
"""

from __future__ import annotations

import functools
import json
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from playwright.sync_api import TimeoutError as Late

ROOT = Path(__file__).resolve().parent.parent
DASHBOARDS = ROOT / "grafana" / "dashboards"
WIDTH = 1500
"""Pixels: a usual laptop's window less its borders."""
PATIENCE = 120.0
"""Seconds for one dashboard to have drawn everything; the slowest took 22 on a very busy machine."""
BLANK = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
"""For the few icons that Grafana itself has and @grafana/ui's package leaves out."""
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class Undrawn(Exception):
    """A dashboard could not be drawn: what the page said about it."""


@dataclass(frozen=True)
class Query:
    """One query of a panel as it was sent: how many series it gave, its step in seconds, its time in ms."""

    expr: str
    series: int
    step: float
    ms: int


@dataclass(frozen=True)
class Panel:
    """What one panel came to: `state` is done, nodata or error; `shows` is the text that a person reads."""

    title: str
    type: str
    state: str
    errors: tuple[str, ...]
    shows: str
    series: int
    queries: dict[str, Query]


@dataclass
class Looked:
    """One dashboard as it was drawn. `problems` are of the whole page: the console's errors, keys that Grafana ignores."""

    title: str
    panels: list[Panel] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class _Files(SimpleHTTPRequestHandler):
    """The built page, and the dashboards' JSON below /dashboards/."""

    def __init__(self, *arguments: Any, page: Path, dashboards: Path) -> None:
        self.dashboards = dashboards
        super().__init__(*arguments, directory=str(page))

    def do_GET(self) -> None:
        wanted = urllib.parse.urlsplit(self.path).path
        dashboard = self.dashboards / Path(wanted).name
        if wanted.startswith("/dashboards/") and dashboard.is_file():
            self._answer("application/json", dashboard.read_bytes())
        elif wanted.endswith(".svg") and not Path(self.translate_path(wanted)).exists():
            self._answer("image/svg+xml", BLANK)
        else:
            super().do_GET()

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    """Silent about a browser that was closed while it still asked for something."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(page: Path, dashboards: Path = DASHBOARDS) -> Iterator[str]:
    """Serve the page on a free port of 127.0.0.1; gives its address."""
    server = _Server(("127.0.0.1", 0), functools.partial(_Files, page=page, dashboards=dashboards))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def browsing(chromium: Path) -> Iterator[Browser]:
    """A headless Chromium. While it is open no other event loop can run in this thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=list(SWITCHES))
        try:
            yield browser
        finally:
            browser.close()


def look(
    browser: Browser, address: str, dashboard: str, prometheus: str, picture: Path | None = None, **asked: str
) -> Looked:
    """Draw one dashboard (its file's name) and wait until every panel has its data. `asked`: from, to, scrape, rows, var-….

    Raises Undrawn when it cannot be, or is not within PATIENCE.
    """
    context = browser.new_context(
        viewport={"width": WIDTH, "height": 1000}, timezone_id="UTC", locale="en-US", reduced_motion="reduce"
    )
    try:
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(f"thrown: {error.message}"))
        page.on("console", lambda said: problems.extend(_complaint(said)))
        query = {"dashboard": f"/dashboards/{dashboard}", "prometheus": prometheus, **asked}
        page.goto(f"{address}/?{urllib.parse.urlencode(query)}", timeout=PATIENCE * 1000)
        _wait(page, problems)
        if picture is not None:
            picture.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=picture, full_page=True, animations="disabled", timeout=PATIENCE * 1000)
        return _read(page, problems)
    finally:
        context.close()


def _complaint(said: ConsoleMessage) -> list[str]:
    return [f"console: {said.text} {said.location['url']}".strip()] if said.type == "error" else []


_FRAMES = """() => new Promise(done => document.fonts.ready.then(() =>
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 250)))))"""
"""Fonts, two frames, and the quarter of a second in which panels settle their sizes."""


def _wait(page: Page, problems: list[str]) -> None:
    try:
        page.wait_for_function("window.orcha ? window.orcha.answered() : window.fell", timeout=PATIENCE * 1000)
        if not page.evaluate("Boolean(window.orcha)"):
            raise Undrawn(f"the page fell over: {'; '.join(problems)}")
        # A table draws only the rows that are in view, so the window becomes as high as the page.
        page.set_viewport_size({"width": WIDTH, "height": page.evaluate("document.documentElement.scrollHeight")})
        page.evaluate(_FRAMES)
        page.wait_for_function("window.orcha.settled()", timeout=PATIENCE * 1000)
        page.evaluate(_FRAMES)
    except Late as exc:
        waiting = page.evaluate("window.orcha?.busy()")
        raise Undrawn(f"after {PATIENCE:.0f} s still waiting for {waiting}; {'; '.join(problems)}") from exc


def _read(page: Page, problems: list[str]) -> Looked:
    panels = [
        Panel(
            title=one["title"],
            type=one["type"],
            state=one["state"],
            errors=tuple(one["errors"]),
            shows=one["shows"] or "",
            series=one["series"],
            queries={q["refId"]: Query(q["expr"], q["series"], q["step"], q["ms"]) for q in one["queries"]},
        )
        for one in page.evaluate("window.orcha.panels()")
    ]
    return Looked(
        title=page.evaluate("document.title"),
        panels=panels,
        variables=page.evaluate("window.orcha.variables()"),
        problems=problems + page.evaluate("window.orcha.problems"),
    )


def tools() -> dict[str, Path]:
    """Where `make tools` found what is needed here. Raises SystemExit with one line where something is missing."""
    note = ROOT / ".cache" / "tools.json"
    known = json.loads(note.read_text()) if note.exists() else {}
    missing = [name for name in ("chromium", "grafana-scenes", "prometheus") if not known.get(name, {}).get("where")]
    if missing:
        raise SystemExit(f"missing: {', '.join(missing)} (make tools says why)")
    return {name: Path(found["where"]) for name, found in known.items() if found["where"]}
