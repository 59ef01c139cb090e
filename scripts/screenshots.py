#!/usr/bin/env python3
"""Pictures of every dashboard for docs/pictures, by one command: `python scripts/screenshots.py`.

Seven days are lived by the simulator and the real controller (scripts/backfill.py), a Prometheus serves them, and each
dashboard is drawn by Grafana's own libraries in headless Chromium. Exit 1 where a panel shows an error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

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
    given = contextlib.nullcontext(options.prometheus) if options.prometheus else week()
    wrong = False
    with given as prometheus, serving(found["grafana-scenes"]) as address, browsing(found["chromium"]) as browser:
        for name in names:
            picture = options.output / f"{name}.png"
            looked = look(browser, address, f"{name}.json", prometheus, picture, scrape=SCRAPE, rows=options.rows)
            shrink(picture)
            wrong |= tell(name, looked, picture)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
