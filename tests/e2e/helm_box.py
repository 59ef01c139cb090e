"""What a container runtime does for a container's process, with what Linux itself gives: a root of its own that is
read-only, the Pod's volumes at their places, and the user that the Pod names. The network is the machine's.

    unshare --user --map-root-user --mount python helm_box.py BOX.json

BOX.json: {"root": an empty folder, "seen": [paths of the machine that are seen inside, read-only],
"mounts": [{"from", "to", "read_only"}], "user": a number, "folder": where it starts, "argv": [...], "env": {...}}

It needs nothing but the standard library, since it runs before there is a root to import from.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


def main(file: str) -> None:
    box = json.loads(Path(file).read_text())
    root = Path(box["root"])
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root))
    for path in DEVICES:
        bind(path, place(root, path, path), read_only=False)
    mount("--rbind", "/proc", str(place(root, "/proc", "/proc")))
    for each in box["mounts"]:
        bind(each["from"], place(root, each["from"], each["to"]), read_only=each["read_only"])
    for path in box["seen"]:  # after the Pod's volumes: what is seen may lie below one of them, such as /tmp
        bind(path, place(root, path, path), read_only=True)
    old = place(root, "/", "/.old")
    mount("-o", "remount,bind,ro", str(root))
    enter(root, old, box)


def enter(root: Path, old: Path, box: dict[str, Any]) -> None:
    """Make the folder the root, forget the machine's, and become the container's process."""
    os.chdir(root)
    subprocess.run(["pivot_root", ".", old.relative_to(root)], check=True)
    os.chdir("/")
    subprocess.run(["umount", "-l", "/.old"], check=True)
    os.chdir(box["folder"])
    user = str(box["user"])
    become = ["unshare", "--user", f"--map-user={user}", f"--map-group={user}", "--"]
    os.execvpe("unshare", [*become, *box["argv"]], box["env"])  # noqa: S606 no shell is wanted


def place(root: Path, source: str, target: str) -> Path:
    """A file or folder in the new root to mount something over, made where it is missing."""
    found = root / target.lstrip("/")
    if not found.exists():
        found.parent.mkdir(parents=True, exist_ok=True)
        if Path(source).is_dir():
            found.mkdir()
        else:
            found.touch()
    return found


def bind(source: str, target: Path, *, read_only: bool) -> None:
    mount("--bind", source, str(target))
    if read_only:
        mount("-o", "remount,bind,ro", str(target))


def mount(*argv: str) -> None:
    subprocess.run(["mount", *argv], check=True)


if __name__ == "__main__":
    main(sys.argv[1])
