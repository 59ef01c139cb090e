"""Alertmanager of Debian's package, so that it runs without being installed.

Debian compiled the folder of the default templates into the program. Where the package is only unpacked, a copy is made that
looks for `templates/` in its working directory instead.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILED_IN = Path("/usr/share/prometheus/alertmanager")
INSTEAD = b"./" * 12 + b"templates/"
"""As long as the other: a program is not text, nothing in it may move."""


def runnable(unpacked: Path) -> Path:
    """The folder that holds Alertmanager and amtool, and is the working directory that it needs. `unpacked`: where the tool is."""
    if (COMPILED_IN / "default.tmpl").exists():
        return unpacked
    recipe = hashlib.sha256(f"{unpacked}{INSTEAD!r}".encode()).hexdigest()[:16]
    found = ROOT / ".cache" / f"alertmanager-{recipe}"
    if not found.exists():
        found.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=found.parent) as folder:
            _copy(unpacked, Path(folder) / "copy", found)
    return found


def _copy(unpacked: Path, here: Path, there: Path) -> None:
    """It appears whole or not at all; of several processes at once the first one wins."""
    shutil.copytree(unpacked.parent / "share/prometheus/alertmanager", here / "templates")
    (here / "amtool").symlink_to(unpacked / "amtool")
    program = here / "prometheus-alertmanager"
    program.write_bytes((unpacked / program.name).read_bytes().replace(bytes(COMPILED_IN), INSTEAD))
    program.chmod(0o755)
    try:
        here.rename(there)
    except OSError:
        if not there.exists():
            raise
