"""Programs of Debian's packages, unpacked into a cache without installing them: what the fetching programs beside share."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orcha-tools"
WAIT = ("-o", "DPkg::Lock::Timeout=300")


def as_is(_root: Path) -> None:
    """What is unpacked works where it lies."""


def fetch(
    recipe: Path, programs: Sequence[str], packages: Sequence[str], below: str, finish: Callable[[Path], None] = as_is
) -> int:
    """Print the folder that holds all `programs`: where they are installed, else `below` what `packages` unpack to.

    `recipe`: the fetching program; what another version of it or of this file has unpacked is not used. `finish(root)` makes
    what was unpacked fit to run, and raises where it does not. Returns the exit code: 3, with one line, where they cannot be had.
    """
    tool, found = recipe.stem, [shutil.which(each) for each in programs]
    if all(found):
        print(Path(found[0] or "").parent)
        return 0
    digest = hashlib.sha256(Path(__file__).read_bytes() + recipe.read_bytes()).hexdigest()[:16]
    root = CACHE / f"{tool}-{digest}"
    if not root.exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            print(f"{tool}: not installed, and this is no Debian machine to take its packages from", file=sys.stderr)
            return 3
        try:
            unpack(packages, root, finish)
        except (subprocess.CalledProcessError, OSError) as exc:
            print(f"{tool}: its Debian packages could not be had ({exc})", file=sys.stderr)
            return 3
    print(root / below)
    return 0


def unpack(packages: Sequence[str], root: Path, finish: Callable[[Path], None]) -> None:
    """Download the packages and lay them out beside each other; `root` appears whole or not at all."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        here, whole = Path(folder), Path(folder) / "root"
        here.chmod(0o755)
        download = ["apt-get", *WAIT, "download", *packages]
        if subprocess.run(download, cwd=here, capture_output=True, check=False).returncode:
            subprocess.run(["apt-get", *WAIT, "update"], capture_output=True, check=True)
            subprocess.run(download, cwd=here, capture_output=True, check=True)
        for package in here.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(whole)], capture_output=True, check=True)
        whole.chmod(0o755)
        finish(whole)
        if not root.exists():
            whole.rename(root)
