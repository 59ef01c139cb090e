#!/usr/bin/env python3
"""A Chromium for tests and pictures: the one that is installed, else Debian's package unpacked into a cache.

Unpacked means not installed: the package, and those of its libraries that the machine lacks, are laid out beside each
other, and a small wrapper tells the loader and fontconfig where they are. Prints the program's path. Exit 3 with one
line where it cannot be had. Idempotent.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium", "fonts-dejavu-core", "fonts-liberation")
"""With fonts, so that text in a picture is more than boxes."""
RECIPE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orcha-tools" / f"chromium-{RECIPE}"
WRAPPER = """\
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH="{libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}" FONTCONFIG_FILE="$here/fonts.conf"
exec "$here/unpacked/usr/lib/chromium/chromium" "$@"
"""
FONTS = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir prefix="relative">unpacked/usr/share/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""
WAIT = ("-o", "DPkg::Lock::Timeout=300")


def main() -> int:
    installed = next((found for name in NAMES if (found := shutil.which(name))), None)
    if installed:
        print(installed)
        return 0
    program = CACHE / "chromium"
    if not program.exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            print("chromium: not installed, and this is no Debian machine to take its package from", file=sys.stderr)
            return 3
        try:
            unpack()
        except (subprocess.CalledProcessError, OSError, ValueError) as exc:
            print(f"chromium: Debian's package could not be had ({' '.join(str(exc).split())[:200]})", file=sys.stderr)
            return 3
    print(program)
    return 0


def missing(*options: str) -> list[str]:
    """The packages that an installation of Chromium would add to this machine, itself among them."""
    asked = ["apt-get", *WAIT, *options, "install", "-s", "--no-install-recommends", *PACKAGES]
    said = subprocess.run(asked, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}).stdout
    return [line.split()[1] for line in said.splitlines() if line.startswith("Inst ")]


def unpack(*options: str) -> None:
    """Download what is missing and lay it out; the cache appears whole or not at all. `options` go to apt-get."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder:
        here = Path(folder) / "chromium"
        here.mkdir()
        try:
            download(here, missing(*options))
        except subprocess.CalledProcessError:
            subprocess.run(["apt-get", *WAIT, "update"], capture_output=True, check=True)
            download(here, missing(*options))
        for package in here.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(here / "unpacked")], check=True, capture_output=True)
            package.unlink()
        wrap(here)
        try_out(here / "chromium")
        if not CACHE.exists():
            here.rename(CACHE)


def download(folder: Path, packages: list[str]) -> None:
    subprocess.run(["apt-get", *WAIT, "download", *packages], cwd=folder, capture_output=True, check=True)


def wrap(folder: Path) -> None:
    """The wrapper and fontconfig's file. Libraries lie in lib and usr/lib, and some in a folder of their own below."""
    root = folder / "unpacked"
    holding = {file.parent for start in ("lib", "usr/lib") for file in (root / start).rglob("*.so*")}
    beside = sorted(str(one.relative_to(folder)) for one in holding if one.name.endswith("-linux-gnu"))
    own = sorted(
        str(one.relative_to(folder))
        for one in holding
        if one.parent.name.endswith("-linux-gnu") and one.name != "gconv"
    )
    libraries = ":".join(f"$here/{one}" for one in [*beside, *own])
    (folder / "fonts.conf").write_text(FONTS)
    program = folder / "chromium"
    program.write_text(WRAPPER.format(libraries=libraries))
    program.chmod(0o755)


def try_out(program: Path) -> None:
    said = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=60, check=False)
    if said.returncode or "Chrom" not in said.stdout:
        raise ValueError(f"what was unpacked does not start: {said.stderr.strip()[-150:]}")


if __name__ == "__main__":
    sys.exit(main())
