"""CHANGELOG.md as Keep a Changelog has it: what is wrong with one, and what it says of a version. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
UNRELEASED = "Unreleased"
_SECTION = re.compile(r"## \[(?P<name>[^\]]+)\](?: - (?P<date>\S+))?(?P<yanked> \[YANKED\])?")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_LINK = re.compile(r"\[(?P<name>[^\]]+)\]: (?P<where>\S+)")


@dataclass(slots=True)
class Section:
    """What one version brought."""

    name: str
    line: int
    date: str | None
    kinds: dict[str, list[str]] = field(default_factory=dict)
    """Added, Fixed ... -> its lines."""

    @property
    def empty(self) -> bool:
        return not any(line.strip() for lines in self.kinds.values() for line in lines)

    @property
    def version(self) -> tuple[int, ...]:
        """Empty: it is no version."""
        return tuple(map(int, self.name.split("."))) if _VERSION.fullmatch(self.name) else ()


@dataclass(slots=True)
class Changelog:
    sections: list[Section]
    links: dict[str, str]
    problems: list[str]
    """Each with its line."""

    def section(self, name: str) -> Section | None:
        return next((each for each in self.sections if each.name == name), None)


def read(text: str) -> Changelog:
    """The whole, with everything that is wrong with it."""
    found, kind = Changelog([], {}, []), ""
    lines = text.splitlines()
    if not lines or lines[0] != "# Changelog":
        found.problems.append("line 1: it begins with `# Changelog`")
    for number, line in enumerate(lines, 1):
        link, section = _LINK.fullmatch(line), _SECTION.fullmatch(line)
        if link:
            found.links[link["name"]] = link["where"]
        elif section:
            found.sections.append(Section(section["name"], number, section["date"]))
            kind = ""
        elif line.startswith("## "):
            found.problems.append(f"line {number}: {line!r} is no section; write `## [1.2.3] - 2026-01-31`")
        elif line.startswith("### ") and found.sections:
            kind = line.removeprefix("### ")
            found.problems.extend(_about_kind(kind, number, found.sections[-1]))
            found.sections[-1].kinds.setdefault(kind, [])
        elif found.sections and line.strip():
            found.problems.extend(_about_line(line, kind, number))
            if kind:
                found.sections[-1].kinds[kind].append(line)
    found.problems.extend(_about_sections(found))
    return found


def _about_kind(kind: str, number: int, section: Section) -> Iterator[str]:
    if kind not in KINDS:
        yield f"line {number}: there is no `### {kind}`; there are {', '.join(KINDS)}"
    if kind in section.kinds:
        yield f"line {number}: `### {kind}` stands twice in [{section.name}]"


def _about_line(line: str, kind: str, number: int) -> Iterator[str]:
    if not kind:
        yield f"line {number}: a change stands under one of {', '.join(KINDS)}"
    elif not re.match(r"- \S|  \S", line):
        yield f"line {number}: a change begins with `- `, and goes on with two blanks"


def _about_sections(found: Changelog) -> Iterator[str]:
    sections = found.sections
    if not sections or sections[0].name != UNRELEASED:
        yield f"the first section is `## [{UNRELEASED}]`"
    released = [each for each in sections if each.name != UNRELEASED]
    if len(sections) - len(released) > 1:
        yield f"[{UNRELEASED}] stands twice"
    for each in released:
        yield from _about_release(each, linked=each.name in found.links)
    for newer, older in pairwise(released):
        if newer.version <= older.version or (newer.date or "") < (older.date or ""):
            yield f"line {older.line}: [{older.name}] stands below [{newer.name}], which is no newer"
    for section in sections:
        for kind, lines in section.kinds.items():
            if not lines:
                yield f"line {section.line}: `### {kind}` of [{section.name}] is empty"
    for name in sorted(found.links.keys() - {each.name for each in sections}):
        yield f"the link [{name}] belongs to no section"


def _about_release(section: Section, *, linked: bool) -> Iterator[str]:
    where, name = f"line {section.line}", section.name
    if not section.version:
        yield f"{where}: {name!r} is no version; write 1.2.3"
    if not _is_day(section.date):
        yield f"{where}: [{name}] wants its day, as in ` - 2026-01-31`"
    if section.empty:
        yield f"{where}: [{name}] says nothing"
    if not linked:
        yield f"{where}: there is no link for it; write `[{name}]: https://...` at the end"


def _is_day(text: str | None) -> bool:
    try:
        return text is not None and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
