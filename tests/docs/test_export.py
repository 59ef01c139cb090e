"""docs/export.md tells every column, in its order and in the words of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.export.columns import COLUMNS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export.md"


@pytest.mark.parametrize("what", sorted(COLUMNS))
def test_every_column_is_told(what):
    section = PAGE.read_text(encoding="utf-8").split(f"\n### `{what}`\n")[1].split("\n#")[0]
    told = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", section, re.MULTILINE)
    assert told == [(column.name, str(column.kind), column.about) for column in COLUMNS[what]]
