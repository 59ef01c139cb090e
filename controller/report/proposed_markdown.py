"""What `orcha plan --diff -o md` shows: a comment for a pull request. In: controller/report/proposed_view.py. Pure.

Whoever opens the pull request wrote the names and values: each stands in a code span, so that none becomes a link, a
mention or markup. A comment that would be longer than what GitHub and GitLab take is cut, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from controller.estimate.words import money
from controller.report.proposed_view import summary
from controller.report.tables import amount

View = dict[str, Any]
MARKER: Final = "<!-- orcha plan --diff -->"
"""The first line, by which a pipeline finds its own comment again."""
LONGEST: Final = 60_000
"""Signs; GitHub takes 65 536 of a comment."""
RISKY: Final = "⚠️ "


def proposed_markdown(view: View) -> str:
    """The whole comment."""
    parts = [
        "\n".join(part) for part in (_top(view), _hands(view), *map(_item, view["items"]), _notes(view), _plan(view))
    ]
    text = f"{MARKER}\n"
    for part in filter(None, parts):
        if len(text) + len(part) > LONGEST:
            text += "\n*The rest is too long for a comment; run the command to see all of it.*\n"
            break
        text += f"{part}\n"
    return text


def _top(view: View) -> Iterator[str]:
    yield f"### orcha: {code(view['base'])} → {code(view['head'])}"
    yield ""
    yield f"{RISKY if view['risks'] else ''}**{summary(view)}**"


def _hands(view: View) -> Iterator[str]:
    if view["hands"]:
        yield "\n#### What orcha may do\n"
    for hand in view["hands"]:
        yield f"- {RISKY if hand['risky'] else ''}{words(hand['sentence'])}"


def _item(item: View) -> Iterator[str]:
    title = f"{item['kind']} {code(item['name'])}" if item["name"] else item["kind"]
    yield f"\n#### {RISKY if item['risky'] else ''}{item['what'].capitalize()}: {title}"
    if item["about"]:
        yield f"\n{words(item['about'])}"
    if item["fields"]:
        yield "\n| field | before | after | what it means |\n| --- | --- | --- | --- |"
    for field in item["fields"]:
        mark = f"{RISKY}**{field['effect'] or 'risky'}**" if field["risky"] else field["effect"]
        said = ": ".join(part for part in (mark, words(field["meaning"])) if part)
        yield f"| {cell(field['path'])} | {cell(field['before'])} | {cell(field['after'])} | {said} |"


def _notes(view: View) -> Iterator[str]:
    every = [*view["notes"], *(f"warning: {warning}" for warning in view["warnings"])]
    if every:
        yield ""
    yield from (f"- {words(note)}" for note in every)


def _plan(view: View) -> Iterator[str]:
    if view["plan"] is None:
        yield f"\n*What would be planned is not shown: {words(view['no_plan'])}*"
        return
    yield "\n#### What would be planned"
    yield from (f"\n{words(note)}" for note in view["plan"]["notes"])
    for policy in view["plan"]["policies"]:
        yield from _policy(policy)


def _policy(policy: View) -> Iterator[str]:
    if not policy["changed"]:
        yield f"\nPolicy {code(policy['name'])}: nothing comes out otherwise: {words(policy['after']['sentence'])}"
        return
    yield f"\nPolicy {code(policy['name'])}:\n"
    for name in ("before", "after"):
        yield f"- {name}: {words(policy[name]['sentence'])}"
    yield "\n| workload | has | target before | target after | USD/h before | USD/h after |\n| --- | --: | --: | --: | --: | --: |"
    for row in policy["workloads"]:
        if row["differs"]:
            yield f"| {' | '.join((cell(row['key']), *_figures(row)))} |"
    if policy["differences"]:
        yield "\n<details><summary>What would be otherwise, and why</summary>\n"
        yield from (f"- {words(sentence)}" for sentence in policy["differences"])
        yield "\n</details>"


def _figures(row: View) -> Iterator[str]:
    sides = row["before"], row["after"]
    for value in (row["current"], *(side["target"] for side in sides)):
        yield amount(row["resource"], value, row["step"])
    for side in sides:
        yield "?" if side["usd_per_hour"] is None else money(side["usd_per_hour"])


def code(text: str) -> str:
    """A span of code that holds exactly this text, on one line."""
    line = " ".join(text.split())
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if len(ticks) > 1 else ""
    return f"{ticks}{pad}{line}{pad}{ticks}" if line else ""


def cell(text: str | None) -> str:
    """The same within a table, where a pipe ends a cell wherever it stands."""
    return "" if text is None else code(text).replace("|", "\\|")


_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>#|~!])")


def words(sentence: str) -> str:
    """A sentence with what would be markup spelled out; "@" and "#" call nobody."""
    line = _MARKUP.sub(r"\\\1", " ".join(sentence.split()))
    return line.replace("@", "@\u2060").replace("://", ":\u2060//")
