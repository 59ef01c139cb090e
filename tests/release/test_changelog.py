"""The changelog check: what Keep a Changelog asks for is asked for, with the line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts._changelog import read

ROOT = Path(__file__).resolve().parent.parent.parent
GOOD = """# Changelog

What changes for operators.

## [Unreleased]

### Added

- A thing
  that needs two lines.

## [1.1.0] - 2026-02-01

### Fixed

- Another.

## [1.0.0] - 2026-01-31

### Added

- All.

[1.1.0]: https://example.org/1.1.0
[1.0.0]: https://example.org/1.0.0
"""


def test_the_changelog_of_this_repository_has_the_form():
    assert read((ROOT / "CHANGELOG.md").read_text()).problems == []


def test_one_that_is_right_has_no_problem_and_is_read_whole():
    found = read(GOOD)
    assert found.problems == []
    assert [section.name for section in found.sections] == ["Unreleased", "1.1.0", "1.0.0"]
    assert found.sections[0].kinds == {"Added": ["- A thing", "  that needs two lines."]}
    assert found.section("1.0.0").date == "2026-01-31"
    assert found.section("2.0.0") is None
    assert not found.section("Unreleased").empty
    assert read("# Changelog\n\n## [Unreleased]\n").sections[0].empty


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("# Changelog\n", "# Changes\n", "line 1: it begins with `# Changelog`"),
        ("## [Unreleased]", "## [Soon]", "the first section is `## [Unreleased]`"),
        ("## [1.1.0] - 2026-02-01", "## [Unreleased]", "[Unreleased] stands twice"),
        ("## [1.1.0] - 2026-02-01", "## 1.1.0", "line 12: '## 1.1.0' is no section"),
        ("## [1.1.0] - 2026-02-01", "## [1.1.0]", "line 12: [1.1.0] wants its day"),
        ("2026-02-01", "2026-02-30", "line 12: [1.1.0] wants its day"),
        ("2026-02-01", "20260201", "line 12: [1.1.0] wants its day"),
        ("2026-02-01", "2026-01-01", "line 18: [1.0.0] stands below [1.1.0], which is no newer"),
        ("1.1.0", "0.9.0", "line 18: [1.0.0] stands below [0.9.0], which is no newer"),
        ("1.1.0", "1.1", "line 12: '1.1' is no version"),
        ("### Fixed", "### Mended", "line 14: there is no `### Mended`; there are Added, Changed"),
        ("- Another.\n", "- Another.\n\n### Fixed\n\n- More.\n", "line 18: `### Fixed` stands twice in [1.1.0]"),
        ("- Another.\n", "", "line 12: `### Fixed` of [1.1.0] is empty"),
        ("### Fixed\n\n- Another.\n", "", "line 12: [1.1.0] says nothing"),
        ("- Another.", "Another.", "line 16: a change begins with `- `"),
        ("### Fixed\n", "", "line 15: a change stands under one of"),
        ("[1.1.0]: https://example.org/1.1.0\n", "", "line 12: there is no link for it; write `[1.1.0]: https://"),
        ("[1.1.0]: ", "[7.0.0]: https://example.org\n[1.1.0]: ", "the link [7.0.0] belongs to no section"),
    ],
    ids=lambda value: re.sub(r"\W+", "-", value)[:40] if isinstance(value, str) else "",
)
def test_what_is_wrong_is_said_with_its_line(was, now, said):
    assert was in GOOD
    assert [problem for problem in read(GOOD.replace(was, now)).problems if problem.startswith(said)], read(
        GOOD.replace(was, now)
    ).problems
