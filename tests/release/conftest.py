"""A clone as a maintainer has it when a version is due: a copy of this tree, committed, with a changelog that says so."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters import __version__

ROOT = Path(__file__).resolve().parent.parent.parent
LEFT_OUT = {"benchmarks", "build", "dist", "tests"}
"""A release needs none of it."""
CHANGELOG = f"""# Changelog

## [Unreleased]

## [{__version__}] - 2026-11-22

### Added

- Everything.

[{__version__}]: https://example.org/{__version__}
"""


def git(tree: Path, *argv: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false", *argv]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture(scope="session")
def due(tmp_path_factory) -> Path:
    """Not to be changed by a test."""
    tree = tmp_path_factory.mktemp("due") / "orcha"
    tree.mkdir()
    for path in sorted(ROOT.iterdir()):
        if path.is_file():
            shutil.copy2(path, tree / path.name)
        elif path.name[0] != "." and path.name not in LEFT_OUT:
            shutil.copytree(path, tree / path.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "CHANGELOG.md").write_text(CHANGELOG)
    git(tree, "init", "--quiet")
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--message", "due")
    return tree


@pytest.fixture
def clone(due, tmp_path) -> Path:
    """One's own, to be changed."""
    tree = tmp_path / "clone"
    shutil.copytree(due, tree, symlinks=True)
    return tree


@pytest.fixture
def release() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run scripts/release.py of a tree."""

    def run(tree: Path, *argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "scripts/release.py", *argv]
        return subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=400, check=False)

    return run


@pytest.fixture(scope="session")
def released(due, tmp_path_factory) -> Path:
    """The folder that scripts/release.py fills, from a copy of the tree that is due."""
    tools = json.loads((ROOT / ".cache" / "tools.json").read_text())
    output = tmp_path_factory.mktemp("dist") / "dist"
    argv = [sys.executable, "scripts/release.py", "--output", str(output), "--wheels", tools["image-wheels"]["where"]]
    done = subprocess.run(argv, cwd=due, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    return output
