#!/usr/bin/env python3
"""Pictures of every dashboard for docs/pictures, by one command: `python scripts/screenshots.py`.

Seven days are lived by the simulator and the real controller (scripts/backfill.py), a Prometheus serves them, and each
dashboard is drawn by Grafana's own libraries in headless Chromium; that of the fleet from three minutes of nine agents
(scripts/nine.py). Exit 1 where a panel shows an error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import nine
from scripts._palette import shrink
from scripts._rendering import DASHBOARDS, Looked, browsing, look, serving, tools

PICTURES = ROOT / "docs" / "pictures"
SCRAPE = "5m"
"""How far apart the samples of the week are, which is what $__rate_interval is made of."""


@contextlib.contextmanager
def week() -> Iterator[str]:
    """The address of a Prometheus that has the week; it ends with the block."""
    argv = [sys.executable, str(ROOT / "scripts/backfill.py"), "--days", "7", "--serve"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise SystemExit("the week could not be served; scripts/backfill.py said why")
            yield str(json.loads(line)["prometheus"])
        finally:
            process.terminate()


FLEET = "orcha-fleet"
"""The dashboard that needs more than one site."""
LIVED = 180.0
"""Seconds for which the fleet lives, cut in two for a third of them."""


@contextlib.contextmanager
def fleet() -> Iterator[str]:
    """The address of a Prometheus that has watched nine agents."""
    with tempfile.TemporaryDirectory() as folder, nine.watched(Path(folder), (60, 110)) as address:
        time.sleep(LIVED)
        yield address


def draw(names: list[str], prometheus: str, found: dict[str, Path], options: argparse.Namespace) -> bool:
    """True where something is wrong with one of them."""
    wrong = False
    with serving(found["grafana-scenes"]) as address, browsing(found["chromium"]) as browser:
        for name in names:
            picture = options.output / f"{name}.png"
            times = {"scrape": f"{nine.SCRAPE}s", "from": f"now-{LIVED:.0f}s"} if name == FLEET else {"scrape": SCRAPE}
            looked = look(browser, address, f"{name}.json", prometheus, picture, rows=options.rows, **times)
            shrink(picture)
            wrong |= tell(name, looked, picture)
    return wrong


def tell(name: str, looked: Looked, picture: Path) -> bool:
    """Say what is wrong with a dashboard in one line each; True where something is."""
    wrong = [f"{panel.title}: {error}" for panel in looked.panels for error in panel.errors] + looked.problems
    empty = [panel.title for panel in looked.panels if panel.state == "nodata"]
    size = picture.stat().st_size / 1000
    print(
        f"{name}: {len(looked.panels)} panels, {size:.0f} kB" + (f", without data: {', '.join(empty)}" if empty else "")
    )
    for sentence in wrong:
        print(f"  {sentence}", file=sys.stderr)
    return bool(wrong)


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("names", nargs="*", help="uids of dashboards; all without")
    asked.add_argument("--prometheus", help="address of a Prometheus that runs already, instead of the week")
    asked.add_argument("--output", type=Path, default=PICTURES, help="folder for the pictures (default: docs/pictures)")
    asked.add_argument("--rows", choices=("open", "as-is"), default="as-is", help="open: collapsed rows are opened")
    options = asked.parse_args()
    found = tools()
    names = options.names or sorted(path.stem for path in DASHBOARDS.glob("*.json"))
    wrong = False
    for some, made in (
        ([name for name in names if name != FLEET], week),
        ([name for name in names if name == FLEET], fleet),
    ):
        if some:
            with contextlib.nullcontext(options.prometheus) if options.prometheus else made() as prometheus:
                wrong |= draw(some, prometheus, found, options)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
