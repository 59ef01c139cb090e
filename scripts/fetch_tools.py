#!/usr/bin/env python3
"""Fetch what the tests need besides Python packages: run every program in scripts/tools/ once, and note what each found.

Each prints where its tool is, or says in one line why it cannot be had and exits 3. Writes .cache/tools.json, which
tests/conftest.py reads. With ORCHA_REQUIRE_TOOLS=1 a missing tool is a failure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOTE = HERE.parent / ".cache" / "tools.json"
LIMIT = 900.0
LIMITS = {"kubernetes": 3600.0}
"""Seconds for one program, and more for what is compiled on the machine."""


def fetch(program: Path) -> tuple[str, str | None, str]:
    """(name of the tool, where it is or None, what was said about it)."""
    name = program.stem.replace("_", "-")
    argv = [sys.executable, str(program)] if program.suffix == ".py" else [str(program)]
    limit = LIMITS.get(name, LIMIT)
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return name, None, f"{name}: could not be had within {limit:.0f} s"
    said = done.stderr.strip().splitlines()
    if done.returncode == 0 and done.stdout.strip():
        return name, done.stdout.strip().splitlines()[-1], ""
    return name, None, said[-1] if said else f"{name}: exit code {done.returncode}"


def main() -> int:
    programs = sorted(p for p in (HERE / "tools").iterdir() if p.is_file() and os.access(p, os.X_OK))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(fetch, programs))
    NOTE.parent.mkdir(exist_ok=True)
    NOTE.write_text(json.dumps({name: {"where": where, "why": why} for name, where, why in results}, indent=1))
    missing = [(name, why) for name, where, why in results if where is None]
    for name, why in missing:
        print(f"tool missing, its tests are skipped: {why if why.startswith(name) else f'{name}: {why}'}")
    return 1 if missing and os.environ.get("ORCHA_REQUIRE_TOOLS") == "1" else 0


if __name__ == "__main__":
    sys.exit(main())
