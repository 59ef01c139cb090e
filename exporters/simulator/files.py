"""The files through which owners change simulated nodes, as the real ones have them, one directory per workload.

    DIR/rack-1/golem/hardware.json     watched: a new offer follows 3 to 8 s after it changed
    DIR/rack-1/storj/config.yaml       read at a (re)start and at no other time

Both are written by `tool.py`, by hand, or by whatever drives the node.
"""

from __future__ import annotations

import json
from pathlib import Path

from exporters.simulator.disk import Disk
from exporters.simulator.golem import Yagna
from exporters.simulator.world import World


class Files:
    def __init__(self, directory: Path, world: World) -> None:
        self._directory = directory
        self._daemons: dict[str, Yagna] = {}
        self._disks: dict[str, Disk] = {}
        for key, model in world.models.items():
            if isinstance(model, Disk):
                self._disks[key] = model
        for site in world.sites.values():
            if isinstance(site.site, Yagna):
                self._daemons[_key_of(world, site.site)] = site.site
        self._seen: dict[str, tuple[int, int]] = {}

    def path(self, key: str) -> Path:
        """The file of one workload. Raises KeyError for a workload that has none."""
        if key in self._daemons:
            return self._directory / key / "hardware.json"
        if key in self._disks:
            return self._directory / key / "config.yaml"
        raise KeyError(key)

    def write_all(self) -> None:
        for key in (*self._daemons, *self._disks):
            self.write(key)

    def write(self, key: str) -> None:
        """What the node is configured with now; nothing for a workload that has no file."""
        if key not in self._daemons and key not in self._disks:
            return
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = self._daemons[key].hardware_json() if key in self._daemons else self._disks[key].config
        replace(path, content)

    def look(self, now: float) -> None:
        """Take over every hardware.json that changed. A file that is gone or broken changes nothing, as with the real agent."""
        for key, daemon in self._daemons.items():
            try:
                found = self.path(key).stat()
                if self._seen.get(key) == (found.st_mtime_ns, found.st_ino):
                    continue
                self._seen[key] = (found.st_mtime_ns, found.st_ino)
                daemon.write_hardware(json.loads(self.path(key).read_text(encoding="utf-8")), now)
            except (OSError, KeyError, TypeError, ValueError):
                continue

    def restart(self, key: str, now: float, env: str | None = None) -> str | None:
        """Restart a storagenode with what its file (and environment) says now. Gives why it refused, None if it did not.
        Raises KeyError for a workload that is none.
        """
        disk = self._disks[key]
        try:
            config = self.path(key).read_text(encoding="utf-8")
        except OSError:
            config = None
        return disk.restart(now, config=config, env=env)


def replace(path: Path, content: str) -> None:
    """Write by rename, as the real tools do: whoever watches never reads half a file."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(content, encoding="utf-8")
    part.replace(path)


def _key_of(world: World, daemon: Yagna) -> str:
    return next(key for key, model in world.models.items() if model is daemon.provider)
