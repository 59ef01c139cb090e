"""What was computed before and cannot have changed: kept under .cache/bench by a hash of everything it was made from.

The code counts as well: the hash holds every file of ours that the given modules import, directly or not, so that a change
of one of them forgets what was made with it.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from controller.backtest.case import Case

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "bench"
OURS = ("controller", "exporters")
LIBRARIES = ("numpy", "highspy")


def kept(name: str, key: str, make: Callable[[], dict[str, Any]], cache: Path = CACHE) -> dict[str, Any]:
    """What `make` gives, from the cache where it is there; a file that is not whole is made again."""
    path = cache / name / f"{key}.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(f".{os.getpid()}")
        half.write_text(json.dumps(found), encoding="utf-8")
        half.replace(path)
    return found


def fingerprint(case: Case, code: str) -> str:
    """Of a case's figures and terms, and of the code that works on it."""
    digest = hashlib.sha256(code.encode())
    truth = case.truth
    for array in (truth.demand, truth.value, truth.up, truth.tariff, case.initial):
        digest.update(b"none" if array is None else repr((array.shape, array.dtype.str)).encode())
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    said = (truth.start, truth.tick, case.nodes, case.workloads, case.spec.model_dump_json())
    digest.update(repr(said).encode())
    return digest.hexdigest()[:32]


@functools.cache
def code_of(*modules: str) -> str:
    """A hash of these modules, of all of ours that they import, and of the libraries that compute."""
    digest = hashlib.sha256(repr([(name, version(name)) for name in LIBRARIES]).encode())
    for name in sorted(closure(modules)):
        digest.update(f"{name}\n{_source(name)}".encode())
    return digest.hexdigest()


def closure(modules: tuple[str, ...]) -> set[str]:
    """Names of our modules that are run when these are imported."""
    found: set[str] = set()
    left = list(modules)
    while left:
        name = left.pop()
        if name in found or _file(name) is None:
            continue
        found.add(name)
        parent = name.rpartition(".")[0]
        left += [parent] if parent else []
        left += [each for each in _imports(ast.parse(_source(name))) if each.partition(".")[0] in OURS]
    return found


def _imports(tree: ast.AST) -> Iterator[str]:
    """Everything that is named in an import, but for those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from _imports(node)


@functools.cache
def _file(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.is_file()), None)


def _source(name: str) -> str:
    path = _file(name)
    assert path is not None, name
    return path.read_text(encoding="utf-8")
