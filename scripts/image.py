#!/usr/bin/env python3
"""The image without a container engine: the Dockerfile's own steps into a folder, and what came out started as a container is.

    scripts/image.py build TARGET [--wheels FOLDER]     TARGET/rootfs, TARGET/config.json, and how large it is
    scripts/image.py start TARGET [--mount HOST:PATH]... [--entrypoint PROGRAM] [--health] [-- ARGUMENT...]

Linux, as root. Each stage is an overlay over this machine, which plays the base image: its system, and the Python that runs this
script as /usr/local. So TARGET/rootfs holds what the image adds to its base, and nothing of this machine. `start` gives it
a root that nobody can write to, a /tmp of its own, the user, environment and working directory of the image, no capability
and no way to get one; the network is this machine's. Mounts of /etc/orcha/... are read-only. The process is the one that
was started: signals and its exit code are the program's. Exit 2 with one sentence where it cannot be done here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _dockerfile import DockerfileError, Instruction, Stage, expand, is_sent, read

ROOT = Path(__file__).resolve().parent.parent
PREFIX = Path(sys.base_prefix)
"""The Python that plays the base image's."""
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LIBRARIES = {"LD_LIBRARY_PATH": "/usr/local/lib"}
"""Where that Python finds its shared library; in the real base the loader knows."""
INSIDE = "ORCHA_IMAGE_INSIDE"
"""In the environment of the process that has mounts of its own."""


class CannotError(Exception):
    """Why it cannot be done here; `str()` is the sentence."""


def tell(*argv: str | Path) -> None:
    """Run a program of the system. Raises CannotError with what it said."""
    done = subprocess.run([str(each) for each in argv], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotError(f"{argv[0]} {argv[1]} failed: {done.stderr.strip()[-300:]}")


def overlay(where: Path, below: str, room: Path | None = None) -> None:
    """Mount layers at a folder; what is written there goes to room/upper, without a room nothing can be."""
    options = f"lowerdir={below}"
    if room is not None:
        for name in ("upper", "work"):
            (room / name).mkdir(parents=True)
        options += f",upperdir={room / 'upper'},workdir={room / 'work'}"
    where.mkdir(parents=True, exist_ok=True)
    tell("mount", "-t", "overlay", "overlay", "-o", options, where)


def python_of(room: Path) -> Path:
    """What lies at /usr/local in the base: where this machine's Python is the system's, a folder with its name."""
    if Path("/usr") != PREFIX:
        return PREFIX
    (room / "bin").mkdir(parents=True)
    (room / "bin" / "python").symlink_to(sys.executable)
    return room


def furnish(root: Path) -> None:
    """What every container has beside its files."""
    for name in ("proc", "dev"):
        tell("mount", "--rbind", f"/{name}", root / name)
    tell("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "tmp")


@dataclass(slots=True)
class Built:
    """A stage as far as it has come."""

    room: Path
    values: dict[str, str] = field(default_factory=dict)
    """ARG and ENV, for ${NAME} and for RUN."""
    config: dict[str, Any] = field(default_factory=lambda: {"workdir": "/", "env": {}, "labels": {}})

    @property
    def root(self) -> Path:
        return self.room / "root"

    def inside(self, path: str) -> Path:
        """Where a path of the image is on this machine."""
        return self.root / str(Path(self.config["workdir"], path)).lstrip("/")


class Builder:
    """Carries out the stages one after the other."""

    def __init__(self, room: Path, wheels: Path | None, given: Mapping[str, str]) -> None:
        self._room, self._wheels, self._given = room, wheels, given
        self._built = dict[str, Built]()
        self._sent = room / "context"
        ignored = (ROOT / ".dockerignore").read_text()
        for path in sorted(sent(ROOT, ignored)):
            (self._sent / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, self._sent / path)

    def carry_out(self, stage: Stage, number: int) -> Built:
        built = Built(self._room / f"stage-{number}")
        overlay(built.root, "/", built.room)
        overlay(built.root / "usr/local", str(python_of(built.room / "python")), built.room / "local")
        furnish(built.root)
        if self._wheels is not None:
            (built.root / "tmp/wheels").mkdir()
            tell("mount", "--bind", self._wheels, built.root / "tmp/wheels")
        for each in stage.instructions:
            getattr(self, f"_{each.word.lower()}")(built, each)
        self._built[stage.name] = built
        return built

    def _arg(self, built: Built, each: Instruction) -> None:
        name, _, value = each.rest.partition("=")
        built.values[name] = self._given.get(name, value)

    def _env(self, built: Built, each: Instruction) -> None:
        pairs = {name: expand(value, built.values, each.line) for name, value in each.pairs().items()}
        built.values.update(pairs)
        built.config["env"].update(pairs)

    def _label(self, built: Built, each: Instruction) -> None:
        built.config["labels"].update(
            {name: expand(value, built.values, each.line) for name, value in each.pairs().items()}
        )

    def _workdir(self, built: Built, each: Instruction) -> None:
        built.inside(each.rest).mkdir(parents=True, exist_ok=True)
        built.config["workdir"] = str(Path(built.config["workdir"], each.rest))

    def _user(self, built: Built, each: Instruction) -> None:
        built.config["user"] = each.rest

    def _note(self, built: Built, each: Instruction) -> None:
        built.config[each.word.lower()] = each.words()

    _expose = _stopsignal = _entrypoint = _cmd = _note

    def _healthcheck(self, built: Built, each: Instruction) -> None:
        built.config["healthcheck"] = json.loads(each.rest.removeprefix("CMD").strip())

    def _copy(self, built: Built, each: Instruction) -> None:
        *sources, last = each.words()
        source = self._built[each.flags["from"]].root if "from" in each.flags else self._sent
        target = built.inside(last)
        for name in sources:
            path = source / name.lstrip("/")
            into = target / path.name if last.endswith("/") and path.is_file() else target
            into.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                raise CannotError(f"line {each.line} of the Dockerfile: there is no {name} to copy")
            tell("cp", "-a", f"{path}/." if path.is_dir() else path, into)
            tell("chown", "-R", "0:0", into)

    def _run(self, built: Built, each: Instruction) -> None:
        if "user" in built.config:
            raise CannotError(f"line {each.line} of the Dockerfile: RUN after USER is not carried out here")
        room = {"PATH": SYSTEM_PATH, "HOME": "/root", **LIBRARIES, **self._registry(), **built.values}
        command = ["chroot", str(built.root), "/bin/sh", "-ec", f"cd '{built.config['workdir']}'\n{each.rest}"]
        done = subprocess.run(command, env=room, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip())[-600:]
            raise CannotError(f"line {each.line} of the Dockerfile failed with {done.returncode}: {said}")

    def _registry(self) -> dict[str, str]:
        """How pip finds packages: in the folder that was given, else as on this machine."""
        if self._wheels is not None:
            return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/tmp/wheels"}  # noqa: S108 of the container
        return {name: value for name, value in os.environ.items() if name.startswith("PIP_")}


def sent(root: Path, ignored: str) -> Iterator[str]:
    """The files that go to the builder, relative to the root; folders of which nothing does are not looked into."""
    tops = {line[1:].split("/")[0] for line in ignored.splitlines() if line.startswith("!")}
    for top in sorted(tops):
        found = [root / top] if (root / top).is_file() else (root / top).rglob("*")
        for path in found:
            name = path.relative_to(root).as_posix()
            if path.is_file() and is_sent(name, ignored):
                yield name


def check_target(target: Path) -> None:
    """Raises CannotError where `build`, as root, would take away what it did not make."""
    if not os.path.lexists(target):
        return
    inside = {path.name for path in target.iterdir()} if target.is_dir() else {str(target)}
    if inside and not {"rootfs", "config.json"} <= inside <= {"rootfs", "config.json", "room"}:
        raise CannotError(
            f"{target} is there, and not from an earlier build; name a new folder, or take it away yourself"
        )


def build(target: Path, wheels: Path | None, given: Mapping[str, str]) -> None:
    _, stages = read((ROOT / "Dockerfile").read_text())
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        tell("mount", "-t", "tmpfs", "-o", "size=3g", "tmpfs", room)
        builder = Builder(room, wheels, given)
        for number, stage in enumerate(stages):
            built = builder.carry_out(stage, number)
        if target.exists():
            shutil.rmtree(target)
        target.mkdir(parents=True)
        tell("cp", "-a", built.room / "upper", target / "rootfs")
        (target / "rootfs/usr/local").mkdir(parents=True, exist_ok=True)
        tell("cp", "-a", f"{built.room / 'local/upper'}/.", target / "rootfs/usr/local")
        (target / "config.json").write_text(json.dumps(built.config, indent=1) + "\n")
        tell("umount", "-R", "--lazy", room)
    print("\n".join(f"{size / 1e6:7.1f} MB  {name}" for name, size in sizes(target)))


def sizes(target: Path) -> list[tuple[str, int]]:
    """(what, bytes in files): all that the image adds to its base, then its largest packages."""
    packages = next((target / "rootfs/opt/orcha/lib").glob("python3*/site-packages"))
    each = sorted(((path.name, weight(path)) for path in packages.iterdir()), key=lambda pair: -pair[1])
    return [("all that is added to the base", weight(target / "rootfs")), *each[:12]]


def weight(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else iter((path,))
    return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())


def start(options: argparse.Namespace) -> None:
    """Become the program of the image."""
    config = json.loads((options.target / "config.json").read_text())
    room = options.target / "room"
    room.mkdir(exist_ok=True)
    tell("mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", room)  # an overlay's layers must not lie in each other
    tell("cp", "-a", options.target / "rootfs", room / "image")
    root = room / "root"
    overlay(root, f"{room / 'image'}:/")
    overlay(root / "usr/local", f"{room / 'image/usr/local'}:{python_of(room / 'python')}")
    furnish(root)
    for pair in options.mount:
        host, _, path = pair.partition(":")
        tell("mount", "--bind", host, root / path.lstrip("/"))
        if path.startswith("/etc/"):
            tell("mount", "-o", "remount,bind,ro", root / path.lstrip("/"))
    program = [options.entrypoint] if options.entrypoint else config["entrypoint"]
    argv = [*program, *(options.arguments or ([] if options.entrypoint else config["cmd"]))]
    argv = config["healthcheck"] if options.health else argv
    user, _, group = config["user"].partition(":")
    os.chroot(root)
    os.chdir(config["workdir"])
    extra = named(options.env)
    drop = ["--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    command = ["setpriv", *drop, "--inh-caps=-all", "--", *argv]
    os.execvpe(command[0], command, config["env"] | LIBRARIES | extra)  # noqa: S606 as the container's process 1 is started


def named(pairs: list[str]) -> dict[str, str]:
    """NAME=VALUE of the command line."""
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("build", help="the Dockerfile's steps into a folder")
    making.add_argument("target", type=Path, help="folder that is made, or made anew where an earlier build made it")
    making.add_argument("--wheels", type=Path, help="folder of wheels; without it pip asks its registry")
    making.add_argument("--build-arg", action="append", default=[], help="NAME=VALUE for an ARG")
    starting = verbs.add_parser("start", help="what was built, as a container is started")
    starting.add_argument("target", type=Path, help="folder that build made")
    starting.add_argument("--mount", action="append", default=[], help="HOST:PATH, a folder of this machine at a path")
    starting.add_argument("--env", action="append", default=[], help="NAME=VALUE")
    starting.add_argument("--entrypoint", help="another program than the image's")
    starting.add_argument("--health", action="store_true", help="run the health check instead")
    own = sys.argv[1:]
    cut = own.index("--") if "--" in own else len(own)
    return parser.parse_args(own[:cut], argparse.Namespace(arguments=own[cut + 1 :]))


def go_inside() -> None:
    """Start this script again where mounts are its own. Raises CannotError where that is not allowed."""
    if os.environ.get(INSIDE) == "1":
        return
    if sys.platform != "linux" or os.geteuid() != 0:
        raise CannotError("this needs Linux and root, for mounts of its own; build the Dockerfile instead")
    os.environ[INSIDE] = "1"
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]
    os.execvp(command[0], command)  # noqa: S606 this process goes on as that one


def main() -> int:
    options = arguments()
    try:
        options.target = options.target.resolve()
        if options.verb == "build":
            check_target(options.target)
        go_inside()
        if options.verb == "start":
            start(options)
        wheels = options.wheels.resolve() if options.wheels else None
        build(options.target, wheels, named(options.build_arg))
    except (CannotError, DockerfileError, OSError) as exc:
        print(f"image: {exc}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
