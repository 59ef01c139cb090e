"""Writes grafana/dashboards/*.json; with --check only compares them with the code. Exit 1 where they differ."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from grafana.board import build
from grafana.boards import BOARDS
from grafana.sdk import encode, render

FOLDER: Final = Path(__file__).resolve().parent / "dashboards"


def pages() -> dict[str, str]:
    """File name -> text."""
    return {f"{board.uid}.json": render(encode(build(board, BOARDS))) for board in BOARDS}


def main(arguments: list[str]) -> int:
    wanted = pages()
    found = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    if "--check" in arguments:
        for name in sorted({*wanted, *found}):
            if wanted.get(name) != found.get(name):
                sys.stderr.write(f"grafana/dashboards/{name} is not what the code says; run python -m grafana\n")
        return int(wanted != found)
    FOLDER.mkdir(exist_ok=True)
    for name in found.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, page in wanted.items():
        (FOLDER / name).write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
