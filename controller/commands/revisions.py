"""Manifests of a Git revision: what it holds at a path, written into a directory. Git is run as a program, without a shell.

Read are the objects of the commit, never the work tree, so that no attribute (export-ignore, filters) and no half-finished
edit hides anything. Links within the revision are followed, as a directory's are; those that lead out of it are not.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exporters.documents import MAX_FILE

PATIENCE: Final = 60.0
"""Seconds that one call of git may take."""
MOST_FILES: Final = 10_000
_YAML: Final = (".yaml", ".yml")
_CALM: Final = {
    "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1",
}  # fmt: skip
"""It asks nobody, fetches nothing, and says what is wrong in the words below."""


class NoRevision(Exception):
    """A revision that cannot be read; `str()` says why and what would be right."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A revision of one repository."""

    name: str
    """As it was asked for."""
    repository: Path
    sha: str

    @classmethod
    def named(cls, name: str, near: Path) -> Commit:
        """The commit that a revision names, in the repository of a path. Raises NoRevision."""
        refuse(name)
        repository = _repository(near)
        code, out, _ = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if code:
            fetched = (
                "a pipeline that fetched one commit only has to fetch the other too (actions/checkout: fetch-depth: 0)"
            )
            raise NoRevision(
                f"{name!r} is neither a file or directory here nor a revision of {repository}; name a branch, a tag or a "
                f"commit; {fetched}"
            )
        return cls(name, repository, out.decode().strip())

    def holds(self, path: Path) -> list[str]:
        """The YAML files of the revision at a path, as git names them; [] where there is none. Raises NoRevision."""
        inside = self._inside(path)
        found = self._objects([inside])[0]
        if found is None:
            return []
        if found.kind != "tree":
            return [inside]
        answer = _asked(self.repository, "ls-tree", "-z", "--name-only", found.id).decode(errors="surrogateescape")
        names = [name for name in answer.split("\0") if name.endswith(_YAML) and not name.startswith(".")]
        if len(names) > MOST_FILES or any("\n" in name for name in names):
            raise NoRevision(
                f"{self.name}:{inside} holds no manifests: more than {MOST_FILES} files, or names with line ends"
            )
        return [f"{inside}/{name}".removeprefix("/") for name in sorted(names)]

    def write(self, names: Sequence[str], where: Path) -> None:
        """Those files, into a directory that is there, each by its name without directories. Raises NoRevision."""
        found = self._objects(names)
        for name, each in zip(names, found, strict=True):
            if each is None:
                raise NoRevision(
                    f"{self.name}:{name} is a link that leads nowhere in this revision; put the file itself there"
                )
            if each.size > MAX_FILE:
                raise NoRevision(f"{self.name}:{name} is larger than {MAX_FILE // 2**20} MiB; that is no manifest")
        blobs = [(name, each) for name, each in zip(names, found, strict=True) if each and each.kind == "blob"]
        answer = _asked(
            self.repository, "cat-file", "--batch", said="".join(f"{each.id}\n" for _, each in blobs).encode()
        )
        at = 0
        for name, each in blobs:
            start = answer.index(b"\n", at) + 1
            (where / name.rpartition("/")[2]).write_bytes(answer[start : start + each.size])
            at = start + each.size + 1

    def _inside(self, path: Path) -> str:
        """The path as the repository knows it, whether it is there now or not."""
        whole = path.resolve() if path.name in {"", ".."} else path.parent.resolve() / path.name
        try:
            inside = whole.relative_to(self.repository).as_posix()
        except ValueError:
            raise NoRevision(
                f"{path} is not in the repository {self.repository}, in which {self.name} is looked for; name the path that "
                "holds the manifests there with --manifests"
            ) from None
        return "" if inside == "." else inside

    def _objects(self, names: Sequence[str]) -> list[_Object | None]:
        """What each path is, through links; None: nothing in this revision."""
        said = "".join(f"{self.sha}:{name}\n" for name in names).encode(errors="surrogateescape")
        answer = _asked(self.repository, "cat-file", "--batch-check", "--follow-symlinks", said=said)
        found: list[_Object | None] = []
        at = 0
        for _ in names:
            end = answer.index(b"\n", at)
            words = answer[at:end].decode(errors="replace").rsplit(" ", 2)
            at = end + 1
            if words[0] in _ASTRAY:  # its target follows, on a line of so many bytes
                at += int(words[-1]) + 1
                found.append(None)
            elif words[-1] == "missing" or words[1] not in {"tree", "blob"}:
                found.append(None)
            else:
                found.append(_Object(words[0], words[1], int(words[2])))
        return found


@dataclass(frozen=True, slots=True)
class _Object:
    id: str
    kind: str
    size: int


_ASTRAY: Final = ("symlink", "dangling", "loop", "notdir")
"""What `git cat-file --follow-symlinks` says of a link that cannot be followed within the revision."""


def refuse(name: str) -> None:
    """Raises NoRevision for what git would take for an option, or for more than one commit."""
    if not name or name.startswith(("-", "^")) or set("\n\0") & set(name):
        raise NoRevision(f"{name!r} is not a revision; name a branch, a tag or a commit, or a directory of manifests")


def _repository(near: Path) -> Path:
    """The top of the work tree that holds a path, or would hold it."""
    here = near.absolute()
    while not here.is_dir():
        here = here.parent
    code, out, err = _git(here, "rev-parse", "--show-toplevel")
    if code:
        why = err.decode(errors="replace").strip().splitlines() or [""]
        raise NoRevision(
            f"{here} is in no Git repository that can be read ({why[0].removeprefix('fatal: ')[:200]}); name two directories, "
            "or run this in a checkout"
        )
    return Path(out.decode().rstrip("\n"))


def _asked(repository: Path, *argv: str, said: bytes = b"") -> bytes:
    code, out, err = _git(repository, *argv, said=said)
    if code:
        why = err.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise NoRevision(f"git {argv[0]} failed in {repository}: {why[0].removeprefix('fatal: ')[:200]}")
    return out


def _git(where: Path, *argv: str, said: bytes = b"") -> tuple[int, bytes, bytes]:
    """(exit code, stdout, stderr)."""
    try:
        done = subprocess.run(  # noqa: S603 without a shell; what people name stands behind --end-of-options or on stdin
            ["git", "-C", str(where), *argv],  # noqa: S607 where git is, is the machine's to say
            input=said, capture_output=True, timeout=PATIENCE, check=False, env={**os.environ, **_CALM},
        )  # fmt: skip
    except FileNotFoundError as exc:
        raise NoRevision("there is no git on this machine; install it, or name two directories of manifests") from exc
    except subprocess.TimeoutExpired as exc:
        raise NoRevision(f"git {argv[0]} took longer than {PATIENCE:.0f} s in {where}") from exc
    return done.returncode, done.stdout, done.stderr
