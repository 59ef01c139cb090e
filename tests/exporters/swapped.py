"""Directories of manifests as kubelet and git-sync lay them out, and the swaps that both make."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

import yaml

NODES = ("rack-1", "rack-2", "rack-3", "rack-4")


def manifests(generation: str, nodes=NODES) -> dict[str, str]:
    """A file for each node; every one says of which set it is."""
    return {
        f"{name}.yaml": yaml.safe_dump(
            {
                "apiVersion": "orcha.dev/v1alpha1",
                "kind": "Node",
                "metadata": {"name": name, "labels": {"set": generation}},
                "spec": {"capacity": {"cpu": 8}},
            }
        )
        for name in nodes
    }


class Kubelet:
    """A mounted ConfigMap: ..2026_1/FILE, ..data -> ..2026_1, FILE -> ..data/FILE."""

    def __init__(self, where: Path, files: dict[str, str]) -> None:
        where.mkdir()
        self.where = self.read = where
        self._numbers = count(1)
        self._now: Path | None = None
        self.swap(files)

    def swap(self, files: dict[str, str]) -> None:
        """In the order of kubelet's atomic writer: the new set, the link, what is seen of it, and the old set goes."""
        new, old = self.where / f"..2026_{next(self._numbers)}", self._now
        new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text)
        point(self.where / "..data", new.name)
        for name in files:
            if not (self.where / name).is_symlink():
                (self.where / name).symlink_to(f"..data/{name}")
        for seen in self.where.iterdir():
            if not seen.name.startswith("..") and seen.name not in files:
                seen.unlink()
        if old is not None:
            shutil.rmtree(old)
        self._now = new

    def lose(self) -> None:
        (self.where / "..data").unlink()


class GitSync:
    """A synchronised repository: .worktrees/HASH/FILE, link -> .worktrees/HASH."""

    def __init__(self, where: Path, files: dict[str, str]) -> None:
        (where / ".worktrees").mkdir(parents=True)
        self.where, self.read = where, where / "link"
        self._numbers = count(0xA1)
        self._now: Path | None = None
        self.swap(files)

    def swap(self, files: dict[str, str]) -> None:
        new, old = self.where / ".worktrees" / f"{next(self._numbers):040x}", self._now
        new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text)
        point(self.read, f".worktrees/{new.name}")
        if old is not None:
            shutil.rmtree(old)
        self._now = new

    def lose(self) -> None:
        self.read.unlink()


LAYOUTS = {"a mounted ConfigMap": Kubelet, "a synchronised repository": GitSync}


def point(link: Path, target: str) -> None:
    """At once: a new link renamed over the old one."""
    new = link.with_name("..new_link")
    new.symlink_to(target)
    new.replace(link)
