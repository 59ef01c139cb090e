#!/usr/bin/env python3
"""The real Streamr contracts (compiled, npm @streamr/network-contracts) and a local chain to run them on (npm ganache).

Both are test downloads into a cache, never part of this repository: the contracts' package has its own licence. Prints
the folder that holds `package/dist/artifacts` and `node_modules/ganache`. Idempotent. Exit 3 with one line where they
cannot be had.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

CONTRACTS = "@streamr/network-contracts@8.2.0"
"""The last release with bytecode; later ones have interfaces only."""
CONTRACTS_SHA256 = "0ac9f80fcad9cce528588262ec6af7a1c2a68180b453ff2da2824ffdb434d1c5"
CHAIN = "ganache@7.9.2"
RECIPE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orcha-tools" / f"streamr-contracts-{RECIPE}"
LIMIT = 300.0


def main() -> int:
    if (CACHE / "node_modules" / "ganache").is_dir():
        print(CACHE)
        return 0
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        print(f"streamr-contracts: {' and '.join(missing)} not installed", file=sys.stderr)
        return 3
    try:
        fetch()
    except (subprocess.SubprocessError, OSError, ValueError, tarfile.TarError) as exc:
        print(
            f"streamr-contracts: the npm packages could not be had ({' '.join(str(exc).split())[:200]})",
            file=sys.stderr,
        )
        return 3
    print(CACHE)
    return 0


def fetch() -> None:
    """Download both; the cache appears whole or not at all."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder:
        here = Path(folder) / "tools"
        here.mkdir()
        npm("pack", CONTRACTS, cwd=here)
        packed = next(here.glob("*.tgz"))
        if hashlib.sha256(packed.read_bytes()).hexdigest() != CONTRACTS_SHA256:
            raise ValueError(f"{packed.name} is not the file that was expected (sha256)")
        with tarfile.open(packed) as archive:
            archive.extractall(here)  # noqa: S202 its bytes are those that were expected; Python before 3.11.4 knows no filter
        packed.unlink()
        npm(
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--prefix",
            ".",
            CHAIN,
            cwd=here,
        )
        if not CACHE.exists():
            here.rename(CACHE)


def npm(*arguments: str, cwd: Path) -> None:
    subprocess.run(
        ["npm", *arguments], cwd=cwd, capture_output=True, check=True, timeout=LIMIT, env={**os.environ, "CI": "1"}
    )


if __name__ == "__main__":
    sys.exit(main())
