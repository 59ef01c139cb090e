"""What a shell may offer while a command is typed: names from the manifests and the state on this disk, and nothing else.

No node, controller or database server is asked, nothing is written, and whatever cannot be read offers nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import typer

if TYPE_CHECKING:
    from exporters.documents import Document

MOST: Final = 200
"""Names that are offered; more are no help."""
LARGEST: Final = 4 * 2**20
"""Bytes of all manifests beyond which reading them would be felt at each Tab."""
_SQLITE: Final = "sqlite:///"


def policy_names(ctx: typer.Context, incomplete: str) -> list[str]:
    return _offered((name for kind, name, _ in _declared(ctx) if kind == "AllocationPolicy"), incomplete)


def workload_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """NODE/WORKLOAD."""
    return _offered((f"{node}/{name}" for _, node, names in _declared(ctx) for name in names), incomplete)


def place_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Nodes, and their workloads."""
    nodes = (name for kind, name, _ in _declared(ctx) if kind == "Node")
    return _offered([*nodes, *workload_names(ctx, "")], incomplete)


def policy_or_workload_names(ctx: typer.Context, incomplete: str) -> list[str]:
    return _offered([*policy_names(ctx, ""), *workload_names(ctx, "")], incomplete)


def program_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of programs in a state that is a file, the newest first."""
    try:
        path = _state_of(ctx)
        if path is None or not path.is_file():
            return []
        alone = "" if Path(f"{path}-wal").exists() else "&immutable=1"
        where = f"file:{quote(str(path.absolute()))}?mode=ro{alone}"
        with closing(sqlite3.connect(where, uri=True, timeout=0.2)) as connection:
            rows = connection.execute("SELECT id FROM programs ORDER BY at DESC LIMIT ?", (MOST,)).fetchall()
    except (sqlite3.Error, OSError):
        return []
    return [str(row[0]) for row in rows if str(row[0]).startswith(incomplete)]


def _offered(names: Any, incomplete: str) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})[:MOST]


def _declared(ctx: typer.Context) -> Iterator[tuple[str, str, list[str]]]:
    """(kind, name, names of workloads) of every document that has a name, valid or not."""
    for document in _documents(ctx):
        data = document.data
        if (
            not isinstance(data, dict)
            or not isinstance(data.get("metadata"), dict)
            or not isinstance(data.get("kind"), str)
        ):
            continue
        spec = data.get("spec")
        workloads = spec.get("workloads") if isinstance(spec, dict) else None
        names = [str(name) for name in workloads] if data["kind"] == "Node" and isinstance(workloads, dict) else []
        yield data["kind"], str(data["metadata"].get("name", "")), names


def _documents(ctx: typer.Context) -> list[Document]:
    from exporters.documents import CannotRead, files_of, read_files

    named = ctx.params.get("manifests") or ["manifests"]
    try:
        files = [file for file in files_of(map(Path, named)) if file.is_file()]
        if sum(file.stat().st_size for file in files) > LARGEST:
            return []
        return read_files(files)[0]
    except (CannotRead, OSError):
        return []


def _state_of(ctx: typer.Context) -> Path | None:
    """The file of --state, else of Settings, else the default; None: it is no file, or not known."""
    url = ctx.params.get("state")
    if not url:
        specs = [d.data.get("spec") for d in _documents(ctx) if d.kind == "Settings"]
        spec = specs[0] if specs and isinstance(specs[0], dict) else {}
        if spec.get("stateFile"):
            return None  # it may hold a password, and is no concern of a shell
        url = spec.get("state") or f"{_SQLITE}orcha.db"
    return Path(str(url).removeprefix(_SQLITE)) if str(url).startswith(_SQLITE) else None
