#!/usr/bin/env python3
"""Days of simulated nodes under the real controller, as blocks for Prometheus; with --serve, a Prometheus that has them.

    python scripts/backfill.py --days 7 --output DIR     DIR is then a --storage.tsdb.path whose newest samples are of now
    python scripts/backfill.py --days 7 --serve          prints one line of JSON with the address, and serves until SIGTERM

What was lived (scripts/_week.py) is kept under .cache/week by the hash of the code and the options, so only the first time
takes a minute or two. Under --serve the hour that came after is served as time passes, so that what is newest stays new.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import math
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from logging import CRITICAL
from pathlib import Path
from typing import Any, Final

import structlog

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from exporters.quantity import parse_duration
from scripts import _blocks as blocks
from scripts._pages import Pages, Writer, load
from scripts._week import DAY, END, FINE, JOBS, Steps, live

CACHE = ROOT / ".cache" / "week"
KEPT: Final = 6
"""Different weeks in the cache; the oldest goes first."""
AFTER: Final = 3600.0
"""Seconds that are lived beyond the end, and served as time passes."""
SCRAPE: Final = 15
"""Seconds between two scrapes under --serve."""
RULES = ROOT / "prometheus" / "rules"


# --- what was lived -----------------------------------------------------------------------------------------------


def lived(days: float, seed: int, step: float) -> Pages:
    """The pages of these days, from the cache where they are; the same options and the same code give the same."""
    path = CACHE / f"{_key(days, seed, step)}.npz"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(CRITICAL)
        )  # what goes wrong is the script's
        pages, steps = Pages(END, step), Steps(END - days * DAY, END, coarse=step, fine=min(step, 60.0))
        asyncio.run(live(steps, pages, seed=seed, after=AFTER))
        pages.save(path)
        for old in sorted(CACHE.glob("*.npz"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
            old.unlink(missing_ok=True)
    path.touch()
    return load(path)


def _key(*options: object) -> str:
    digest = hashlib.sha256(repr(options).encode())
    own = [ROOT / "scripts" / f"{name}.py" for name in ("_owner", "_pages", "_week")]
    inputs = [*ROOT.glob("controller/**/*.py"), *ROOT.glob("exporters/**/*.py"), *own]
    for path in sorted(inputs):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:20]


def fill(pages: Pages, output: Path, end: float, rules: Path | None) -> None:
    """Blocks of the pages up to their end, which becomes `end`, and of what the rules make of them."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="orcha-text-") as folder:
        blocks.write_blocks(Writer(pages, end).files(Path(folder), last=end), output)
    if rules is not None and any(rules.glob("*.yaml")):
        begin = pages.start + end - pages.end
        # At whole multiples of the steps, among which are whole hours: there the rule is that is written once an hour.
        fine = _next(max(begin, end - FINE), 60.0)
        # The coarse span ends a second before the fine one begins: a sample of both would be a duplicate.
        spans = [(_next(begin, pages.step), fine - 1.0, pages.step), (fine, end, 60.0)]
        found = blocks.rules_of(rules)
        blocks.write_recorded(found, output, [each for each in spans if each[1] > each[0]])
        blocks.write_alert_states(found, output, end)


def _next(at: float, step: float) -> float:
    return math.ceil(at / step) * step


# --- what came after ----------------------------------------------------------------------------------------------


class After:
    """The page that each target shows at a time, as it was lived; when that hour is over, its last one, never older."""

    def __init__(self, pages: Pages, end: float) -> None:
        self._pages, self._shift = pages, end - pages.end

    def page(self, job: str, now: float) -> str:
        mine = [p for p in self._pages.pages if f'{{job="{job}",' in self._pages.layouts[p.layout][0]]
        page = max((p for p in mine if p.at + self._shift <= now), key=lambda p: p.at, default=mine[0])
        over = max(0.0, now - mine[-1].at - self._shift)
        writer = Writer(self._pages, self._pages.end + self._shift + over)
        return "".join(
            f"{line.rsplit(' ', 1)[0]}\n" for line in writer.lines(page) if not line.startswith(("up{", "scrape_"))
        )


def serve_after(after: After) -> ThreadingHTTPServer:
    """/JOB on a free port of 127.0.0.1, in a thread; its owner shuts it down."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            job = self.path.removeprefix("/")
            body = after.page(job, time.time()).encode() if job in JOBS else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_said: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def configuration(port: int, rules: Path | None) -> dict[str, Any]:
    """Of a Prometheus that goes on with what was lived."""
    jobs = [
        {
            "job_name": job, "metrics_path": f"/{job}", "honor_labels": True,
            "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": instance}}],
        }
        for job, instance in JOBS.items()
    ]  # fmt: skip
    return {
        "global": {"scrape_interval": f"{SCRAPE}s", "evaluation_interval": f"{SCRAPE}s"},
        "rule_files": [] if rules is None else [str(path) for path in sorted(rules.glob("*.yaml"))],
        "scrape_configs": jobs,
    }


@contextlib.contextmanager
def seen(pages: Pages, folder: Path, rules: Path | None = RULES, port: int = 0) -> Iterator[dict[str, Any]]:
    """A Prometheus with the past up to now that goes on: {"prometheus": address, "start": Unix seconds, "end": the same}."""
    end = time.time()
    fill(pages, folder / "tsdb", end, rules)
    server = serve_after(After(pages, end))
    try:
        with blocks.serving(folder / "tsdb", configuration(server.server_port, rules), port) as address:
            _fresh(address)
            yield {"prometheus": address, "start": pages.start + end - pages.end, "end": end}
    finally:
        server.shutdown()
        server.server_close()


def _fresh(address: str) -> None:
    """Wait for the first scrape of each target. Raises blocks.CannotFill."""
    deadline = time.monotonic() + 3 * SCRAPE
    while time.monotonic() < deadline:
        newest = blocks.ask(address, "query", query="max by (job) (timestamp(up)) > time() - 30")["result"]
        if len(newest) == len(JOBS):
            return
        time.sleep(0.2)
    raise blocks.CannotFill(f"Prometheus at {address} did not scrape what it should within {3 * SCRAPE} s")


# --- the command --------------------------------------------------------------------------------------------------


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    options = argparse.ArgumentParser(description="Days of simulated nodes under the real controller, for Prometheus.")
    options.add_argument("--days", type=float, default=7.0)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--step", type=parse_duration, default=300.0, help="between samples; a minute in the last 6 h")
    where = options.add_mutually_exclusive_group(required=True)
    where.add_argument("--output", type=Path, help="a folder for the blocks; what is there already stays")
    where.add_argument("--serve", action="store_true", help="start a Prometheus on them, until SIGTERM")
    options.add_argument("--lived", type=Path, help="a file of .cache/week to take as it is, whatever code lived it")
    options.add_argument("--port", type=int, default=0, help="of that Prometheus; default: a free one")
    options.add_argument("--rules", type=Path, default=RULES, help="folder of rules whose series are written as well")
    return options.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        pages = load(options.lived) if options.lived else lived(options.days, options.seed, options.step)
        if options.output is not None:
            fill(pages, options.output, time.time(), options.rules)
            return 0
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orcha-seen-")))
            found = stack.enter_context(seen(pages, folder, options.rules, options.port))
            print(json.dumps(found), flush=True)
            threading.Event().wait()
    except blocks.CannotFill as exc:
        print(f"backfill: {exc}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
