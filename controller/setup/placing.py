"""Putting the first manifests where they belong: first beside it and loaded, so that nothing that is wrong is ever left.

Nothing is overwritten: with `force` a file that stands in the way is kept as NAME.bak. A controller that watches the
directory sees whole files only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from controller.manifests import load
from controller.once import CouldNot
from exporters.collector import Collector
from exporters.documents import CannotRead, files_of

SECRETS: Final = "secrets"
"""Folder for the credentials that the manifests name; only its owner may enter."""


def check_place(directory: Path, names: Mapping[str, str], *, force: bool) -> None:
    """Raises CouldNot where the files cannot go there; before anything is looked for."""
    try:
        if directory.exists() and not directory.is_dir():
            raise CouldNot(f"{directory} is no directory; name another")
    except OSError as exc:
        raise CouldNot(
            f"{directory} cannot be looked at ({exc.strerror}); name a directory that you may write"
        ) from exc
    taken = [str(directory / name) for name in names if os.path.lexists(directory / name)]
    if taken and not force:
        raise CouldNot(
            f"{', '.join(taken)} exist(s) already; name another directory, or use --force, which keeps a copy"
        )


def place(
    directory: Path, files: Mapping[str, str], collectors: Mapping[str, Collector], *, force: bool, keep: bool = True
) -> list[str]:
    """Write the files, each at once, and make the folder for secrets. Gives a sentence for each copy that was kept.
    `keep` False: only check them, and leave nothing.

    Raises CouldNot, and then everything is as it was.
    """
    check_place(directory, files, force=force)
    try:
        with tempfile.TemporaryDirectory(prefix=".orcha-init-", dir=_nearest(directory) if keep else None) as made:
            staged = _staged(Path(made), files)
            _check(staged, directory, collectors)
            return _move(staged, directory, force=force) if keep else []
    except OSError as exc:
        raise CouldNot(f"{directory} cannot be written ({exc.strerror}); name a directory that you may write") from exc


def _nearest(directory: Path) -> Path:
    """The directory or what is above it, as far as it is there: on its file system a rename is whole."""
    place = directory.absolute()
    while not place.is_dir():
        place = place.parent
    return place


def _staged(folder: Path, files: Mapping[str, str]) -> dict[str, Path]:
    staged = {}
    for name, text in files.items():
        path = folder / name
        with path.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        path.chmod(0o644)  # they name secrets, and hold none
        staged[name] = path
    return staged


def _check(staged: Mapping[str, Path], directory: Path, collectors: Mapping[str, Collector]) -> None:
    """Load what will stand in the directory. Raises CouldNot."""
    others = []
    if directory.is_dir():
        with suppress(CannotRead):  # which it is while it is empty
            others = [path for path in files_of([directory]) if path.name not in staged]
    try:
        found = load([*staged.values(), *others], collectors)
    except CannotRead as exc:
        raise CouldNot(str(exc)) from exc
    if found.problems:
        folder = str(next(iter(staged.values())).parent)
        said = "\n  ".join(str(problem).replace(folder, str(directory)) for problem in found.problems)
        raise CouldNot(f"what would stand in {directory} would not be valid, so nothing was written:\n  {said}")


def _move(staged: Mapping[str, Path], directory: Path, *, force: bool) -> list[str]:
    """Each file by a link or a rename, which are whole or not at all. Raises OSError and CouldNot; what came before goes again."""
    new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    if new:
        directory.chmod(0o755)  # the service's user reads it, whatever the umask of who made it
    placed: list[Path] = []
    kept: dict[Path, Path] = {}
    try:
        for name, source in staged.items():
            target = directory / name
            if force and os.path.lexists(target):
                kept[target] = _put_aside(target)
                source.replace(target)
            else:
                _link(source, target)
                placed.append(target)
        (directory / SECRETS).mkdir(mode=0o700, exist_ok=True)
    except BaseException:
        for path in placed:
            path.unlink(missing_ok=True)
        for target, copy in kept.items():
            copy.replace(target)
        if new:
            with suppress(OSError):
                directory.rmdir()
        raise
    return [f"{target} was replaced; the old one is {copy}" for target, copy in kept.items()]


def _put_aside(target: Path) -> Path:
    """A copy that nothing else is called like, and no manifest: it does not end in .yaml."""
    number = 0
    while os.path.lexists(copy := target.with_name(f"{target.name}.bak{number or ''}")):
        number += 1
    shutil.copy2(target, copy, follow_symlinks=True)
    return copy


def _link(source: Path, target: Path) -> None:
    """Raises CouldNot where somebody made the target meanwhile."""
    try:
        os.link(source, target)
    except FileExistsError as exc:
        raise CouldNot(f"{target} exists already, since a moment; nothing was written") from exc
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            raise CouldNot(f"{target} exists already, since a moment; nothing was written") from None
        source.rename(target)
