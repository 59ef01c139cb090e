#!/usr/bin/env python3
"""Writes the rules that Prometheus reads, from prometheus/templates/ and the parameters, and the table of docs/alerts.md.

    python scripts/rules.py                                          prometheus/rules/ and docs/alerts.md
    python scripts/rules.py --check                                  only compares; exit 1 where they differ
    python scripts/rules.py --parameters mine.yaml --output DIR      your own; what mine.yaml does not name is as it was
    python scripts/rules.py --for chart --output DIR                 templates as they are, and the parameters' values

A placeholder is <<name>> and nothing else: rendering is replacing text, so that Helm's `replace` gives the same.
Exit 2 with a sentence for parameters or templates that make no sense.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

ROOT: Final = Path(__file__).resolve().parent.parent
HOME: Final = ROOT / "prometheus"
PAGE: Final = ROOT / "docs" / "alerts.md"
DISABLED: Final = "disabledAlerts"
HEAD: Final = "# Written by scripts/rules.py from prometheus/templates/{name} and its parameters; change those.\n"
MARKS: Final = ("<!-- alerts: written by scripts/rules.py -->\n", "<!-- end of alerts -->\n")

PLACEHOLDER: Final = re.compile(r"<<\s*([^<>]*?)\s*>>")
DURATION: Final = re.compile(r"(?=\d)(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?")
LABEL: Final = r"[a-zA-Z_][a-zA-Z0-9_]*"
LABELS: Final = re.compile(rf"{LABEL}(, ?{LABEL})*")
MATCHER: Final = rf'{LABEL}\s*(=|!=|=~|!~)\s*"([^"\\]|\\.)*"'
SELECTOR: Final = re.compile(rf"{MATCHER}(\s*,\s*{MATCHER})*")
AMOUNTS: Final = ("Seconds", "Usd", "UsdPerHour", "Data", "Tokens", "Count")
MOST: Final = {
    "longRangeInterval": (
        "2m30s",
        "half of the 5 minutes that Prometheus looks back: across holes OrchaLowEarnings never fires",
    ),
    "sloInterval": ("2m30s", "half of the shortest window, 5 minutes: across holes no missed service level is told"),
    "lowEarningsDaysCount": (7, "for so many days are looked at: else OrchaLowEarnings never fires"),
}
"""Name -> the largest value, and why."""
UNITS: Final = (31_536_000, 604_800, 86_400, 3_600, 60, 1)
"""Seconds of the groups of DURATION."""


class Refused(Exception):
    """`str()` says what is wrong, where, and what would be right."""


# --- parameters -------------------------------------------------------------------------------------------------------


def read(path: Path) -> dict[str, Any]:
    """A file of parameters. Raises Refused."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise Refused(f"{path} cannot be read ({exc.strerror}); name a file of parameters") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise Refused(
            f"{path} is no YAML ({' '.join(str(exc).split())[:160]}); write lines such as downFor: 2m"
        ) from exc
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Refused(f"{path} holds no parameters but {type(found).__name__}; write lines such as downFor: 2m")
    return found


def parameters(path: Path | None) -> dict[str, Any]:
    """Every parameter with its value: the defaults, overridden by those of `path`. Raises Refused."""
    defaults = read(HOME / "parameters.yaml")
    given = read(path) if path else {}
    for name in given:
        if name not in defaults:
            near = nearest(str(name), defaults)
            raise Refused(f"{path}: there is no parameter {name!r}; {near}")
    found = {**defaults, **given}
    for name, value in found.items():
        wrong = objection(name, value) or excess(name, value)
        if wrong:
            where = path if name in given else HOME / "parameters.yaml"
            raise Refused(f"{where}: {name} is {value!r}; {wrong}")
    return found


def nearest(name: str, known: Mapping[str, Any]) -> str:
    """What may have been meant."""
    same = [each for each in known if each.lower() == name.lower() or name.lower() in each.lower()]
    return f"did you mean {same[0]}?" if same else "prometheus/parameters.yaml lists those that there are"


def objection(name: str, value: Any) -> str:
    """What would be right; "": it is. The end of the name tells what is meant."""
    if name == DISABLED:
        fine = isinstance(value, list) and all(isinstance(each, str) for each in value)
        return "" if fine else "write a list of alerts, such as [OrchaOpportunity]"
    if name.endswith(("Ratio", *AMOUNTS)):
        return bad_number(name, value)
    if not isinstance(value, str):
        return "write text"
    if name.endswith(("For", "Window", "Interval")):
        least = "" if name.endswith("For") else ", above 0"
        fine = DURATION.fullmatch(value) is not None and (not least or re.search("[1-9]", value) is not None)
        right = f"a duration of Prometheus{least}, such as 90s, 5m or 1d"
    elif name.endswith("Selector"):
        fine = SELECTOR.fullmatch(value) is not None and re.search(r"[\x00-\x1f]|: | #|<<", value) is None
        right = 'matchers of PromQL that are plain YAML, such as job="orcha",cluster=~"home|garage"'
    elif name.endswith("Url"):
        fine = is_address(value)
        right = "an address that begins with http:// or https://, without a slash at its end"
    else:
        fine = LABELS.fullmatch(value) is not None
        right = "names of labels, such as instance, job"
    return "" if fine else f"write {right}"


def bad_number(name: str, value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if name.endswith("ObjectiveRatio"):
        return "" if number and 0 < value < 1 else "write a number above 0 and below 1, such as 0.99"
    if name.endswith("Ratio"):
        return "" if number and 0 <= value <= 1 else "write a number from 0 to 1, such as 0.5"
    if name.endswith("Count"):
        return "" if isinstance(value, int) and number and value >= 0 else "write a whole number, 0 or more"
    return "" if number and value >= 0 else "write a number, 0 or more"


def excess(name: str, value: Any) -> str:
    """What would be right for one of a good kind that is too large to mean anything; "": it is not."""
    if name not in MOST:
        return ""
    most, why = MOST[name]
    return f"write {most} or less, {why}" if _measured(value) > _measured(most) else ""


def _measured(value: Any) -> float:
    """A number, or a duration in seconds."""
    found = DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return float(value)
    return float(sum(int(part[:-1]) * unit for part, unit in zip(found.groups(), UNITS, strict=True) if part))


def is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    plain = not parts.query and not parts.fragment and not re.search(r"[\s{}\"'<>]", value)
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and plain and not value.endswith("/")


# --- rendering --------------------------------------------------------------------------------------------------------


def templates() -> dict[str, str]:
    """Name of the file -> its text."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((HOME / "templates").glob("*.yaml"))}


def render(name: str, text: str, values: Mapping[str, Any]) -> str:
    """The text with every placeholder replaced. Raises Refused for one that no parameter gives."""

    def put(found: re.Match[str]) -> str:
        word = found[1]
        if word not in values or word == DISABLED or found[0] != f"<<{word}>>":
            line = text[: found.start()].count("\n") + 1
            raise Refused(
                f"prometheus/templates/{name}:{line}: no parameter gives {found[0]}; write <<name>> with one of parameters.yaml"
            )
        return str(values[word])

    return PLACEHOLDER.sub(put, text)


def without(text: str, disabled: set[str]) -> str:
    """The rules without those alerts. A group that would be empty goes with them."""
    kept = "".join(block for block in blocks(text) if not (found := alert_of(block)) or found not in disabled)
    return re.sub(r"(?m)^  - name: .*\n(?:    interval: .*\n)?    rules:\n(?=\s*(?:  - name:|\Z))", "", kept)


def blocks(text: str) -> Iterator[str]:
    """The text in pieces of which some are one rule each, with the comment above it."""
    piece, comment = "", False
    for line in text.splitlines(keepends=True):
        begins = line.startswith(("      - ", "      #", "  - ", "  #", "\n"))
        if begins and not comment:
            yield piece
            piece = ""
        piece += line
        comment = line.startswith(("      #", "  #"))
    yield piece


def alert_of(block: str) -> str | None:
    found = re.search(r"(?m)^      - alert: (\w+)", block)
    return found[1] if found else None


def rendered(values: Mapping[str, Any]) -> dict[str, str]:
    """Name of the file -> the rules. Raises Refused."""
    files = {name: render(name, text, values) for name, text in templates().items()}
    known = {name for text in files.values() for name in map(alert_of, blocks(text)) if name}
    for name in values[DISABLED]:
        if name not in known:
            raise Refused(f"{DISABLED}: there is no alert {name!r}; docs/alerts.md lists those that there are")
    disabled = set(values[DISABLED])
    return {name: HEAD.format(name=name) + without(text, disabled) for name, text in files.items()}


def for_chart(values: Mapping[str, Any]) -> dict[str, str]:
    """Templates as they are, and the values that Helm puts in: `replace` each <<name>> by its value."""
    flat = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=200)
    return {**templates(), "parameters.yaml": flat}


# --- the page ---------------------------------------------------------------------------------------------------------


def alerts(files: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every alert of rendered files, as it stands there."""
    groups = [group for text in files.values() for group in (yaml.safe_load(text) or {}).get("groups") or ()]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def table(files: Mapping[str, str]) -> str:
    rows = "".join(
        f"| [{rule['alert']}](runbooks/{rule['alert']}.md) | {rule['labels']['severity']} | {rule.get('for', 'at once')} "
        f"| {rule['annotations']['summary']} |\n"
        for rule in alerts(files)
    )
    return f"\n| alert | severity | after | says |\n| --- | --- | --- | --- |\n{rows}\n"


def page(files: Mapping[str, str]) -> str:
    """docs/alerts.md with a new table. Raises Refused where the page has no place for it."""
    text = PAGE.read_text(encoding="utf-8")
    begin, end = MARKS
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise Refused(
            f"docs/alerts.md has no place for the table; put the lines {begin.strip()} and {end.strip()} there"
        )
    return text[: text.index(begin) + len(begin)] + table(files) + text[text.index(end) :]


# --- the program ------------------------------------------------------------------------------------------------------


def main(argv: list[str] | None = None) -> int:
    asked = arguments(argv)
    try:
        values = parameters(asked.parameters)
        files = for_chart(values) if asked.target == "chart" else rendered(values)
        wanted = {asked.output / name: text for name, text in files.items()}
        if asked.output == HOME / "rules":
            wanted[PAGE] = page(files)
    except Refused as exc:
        print(f"rules: {exc}", file=sys.stderr)
        return 2
    try:
        return compared(wanted, asked.output) if asked.check else written(wanted, asked.output)
    except OSError as exc:
        where = exc.filename or asked.output
        print(f"rules: {where}: {exc.strerror}; name a folder that you may write to as --output", file=sys.stderr)
        return 2


def compared(wanted: Mapping[Path, str], folder: Path) -> int:
    """1 where a file of the folder is another, is missing or is one too many."""
    strays = {path for path in folder.glob("*.yaml") if path not in wanted}
    wrong = [*different(wanted), *sorted(strays)]
    for path in wrong:
        print(f"{path} is not what the templates say; run python scripts/rules.py", file=sys.stderr)
    return 1 if wrong else 0


def written(wanted: Mapping[Path, str], folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for path in different(wanted):
        path.write_text(wanted[path], encoding="utf-8")
    return 0


def different(wanted: Mapping[Path, str]) -> list[Path]:
    return [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Write the rules that Prometheus reads.")
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 where they differ")
    parser.add_argument("--parameters", type=Path, metavar="FILE", help="your own values of some parameters")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write; default prometheus/rules")
    parser.add_argument("--for", dest="target", choices=("prometheus", "chart"), default="prometheus")
    asked = parser.parse_args(argv)
    if asked.output is None:
        if asked.parameters or asked.target != "prometheus":
            parser.error("name --output DIR: prometheus/rules is rendered from the defaults")
        asked.output = HOME / "rules"
    return asked


if __name__ == "__main__":
    sys.exit(main())
