#!/usr/bin/env python3
"""The page that shows a dashboard by Grafana's own libraries, built from scripts/tools/grafana_scenes into a cache.

npm installs what the lock names (versions and hashes), vite builds one static page; only the page is kept, the half a
gigabyte of packages is not. A tool for tests and pictures, never part of what orcha ships. Prints the page's folder.
Idempotent. Exit 3 with one line where it cannot be built.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "grafana_scenes"
LEAST_NODE = (20, 19)
"""What vite 8 asks for."""
LIMIT = 800.0
FONTS = {"Regular": "400-normal", "Medium": "500-normal", "Italic": "400-italic"}
"""Files that Grafana's style sheet asks for, and the same font in @fontsource/inter."""


def recipe() -> str:
    """A hash of this program and of every file of the page."""
    made = hashlib.sha256(Path(__file__).read_bytes())
    for file in sorted(path for path in SOURCE.rglob("*") if path.is_file()):
        made.update(f"{file.relative_to(SOURCE)}\0".encode() + file.read_bytes())
    return made.hexdigest()[:16]


def main() -> int:
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orcha-tools" / f"grafana-scenes-{recipe()}"
    )
    if not (cache / "index.html").exists():
        problem = lacking()
        if problem:
            print(f"grafana-scenes: {problem}", file=sys.stderr)
            return 3
        try:
            build(cache)
        except (subprocess.SubprocessError, OSError) as exc:
            print(f"grafana-scenes: the page could not be built ({reason(exc)})", file=sys.stderr)
            return 3
    print(cache)
    return 0


def lacking() -> str | None:
    """What the machine has not that the build needs, as a sentence."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    found = re.match(r"v(\d+)\.(\d+)", said)
    if not found or (int(found[1]), int(found[2])) < LEAST_NODE:
        return f"node {said or '?'} is too old, {'.'.join(map(str, LEAST_NODE))} is needed"
    return None


def reason(exc: Exception) -> str:
    said = exc.stderr if isinstance(exc, subprocess.CalledProcessError) and exc.stderr else str(exc)
    return " ".join(str(said).split())[-200:]


def build(cache: Path) -> None:
    """Install, build, keep the page; the cache appears whole or not at all."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as folder:
        here = Path(folder) / "page"
        shutil.copytree(SOURCE, here)
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=here)
        run("node", "node_modules/vite/bin/vite.js", "build", "--logLevel", "error", cwd=here)
        packages, made = here / "node_modules", here / "dist"
        for icons in (packages / "@grafana/ui/dist/public/img/icons", here / "icons"):  # and one that is missing there
            shutil.copytree(icons, made / "public/build/img/icons", dirs_exist_ok=True)
        fonts = made / "public/fonts/inter"
        fonts.mkdir(parents=True)
        for name, file in FONTS.items():
            shutil.copy(packages / f"@fontsource/inter/files/inter-latin-{file}.woff2", fonts / f"Inter-{name}.woff2")
        if not cache.exists():
            made.rename(cache)


def run(*argv: str, cwd: Path) -> None:
    subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, check=True, timeout=LIMIT, env={**os.environ, "CI": "1"}
    )


if __name__ == "__main__":
    sys.exit(main())
