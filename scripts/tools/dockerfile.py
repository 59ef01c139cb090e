#!/usr/bin/env python3
"""BuildKit's own parser and linter of Dockerfiles, as one small program built from Go modules once and kept. A test tool.

Prints the folder that holds it (`dockerfile`, reads stdin, says JSON). Exit 3 with one line where it cannot be had. Idempotent.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MODULE = Path(__file__).with_suffix("")
PARTS = [MODULE / name for name in ("go.mod", "go.sum", "main.go")]
RECIPE = hashlib.sha256(b"".join(path.read_bytes() for path in (Path(__file__), *PARTS))).hexdigest()[:16]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orcha-tools" / f"dockerfile-{RECIPE}"
LIMIT = 600.0
"""Seconds for the build."""


def main() -> int:
    if (CACHE / "dockerfile").exists():
        print(CACHE)
        return 0
    if shutil.which("go") is None:
        print("dockerfile: go is not installed, and the parser is built from Go modules", file=sys.stderr)
        return 3
    try:
        build()
    except (subprocess.SubprocessError, OSError) as exc:
        said = str(getattr(exc, "stderr", None) or "").strip().splitlines() or [type(exc).__name__]
        print(f"dockerfile: the parser could not be built ({said[-1][:200]})", file=sys.stderr)
        return 3
    print(CACHE)
    return 0


def build() -> None:
    """Compile it; the cache appears whole or not at all."""
    os.nice(10)
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder:
        for path in PARTS:
            shutil.copy(path, folder)
        environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
        go = ["go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", "root/dockerfile", "."]
        subprocess.run(go, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT, check=True)
        if not CACHE.exists():
            (Path(folder) / "root").rename(CACHE)


if __name__ == "__main__":
    sys.exit(main())
