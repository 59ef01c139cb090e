"""The commands that pages show, read as a shell would read them and as the program's own parser would, without being run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typer

from controller.__main__ import app as controller
from exporters.__main__ import app as exporter
from tests.docs.pages import BLOCKS, PAGES, ROOT, Block, words_of

OPERATORS = {"|", "||", "&&", ";", "&", "(", ")", ">", ">>", "<", "|&", "--", "$(", "do", "then", "else"}
BEFORE = {"until", "while", "if", "!", "exec", "time", "nice", "env", "command", "do", "then"}
PROGRAMS = {"orcha": typer.main.get_command(controller), "orcha-exporter": typer.main.get_command(exporter)}
OURS = {*PROGRAMS, "make", "python", "python3"}
BARE = {"help", "_version"}
VARIABLE = re.compile(r"[A-Za-z_]\w*=.*")
CHOICE = re.compile(r"\[([^\]|]*)[^\]]*\]")
"""What may be left out, of a synopsis: [NODE|NODE/WORKLOAD], [--days 30]."""


def lines_of(block: Block) -> list[str]:
    """What is typed: in a console what follows "$ "; else every line, of an indented block without the words that explain
    it to its right. Lines that end in a backslash go on.
    """
    lines = re.sub(r"\\\n\s*", " ", block.text).splitlines()
    lines = lines if block.fenced else [re.split(r" {3,}", line)[0] for line in lines]
    return [line[2:] for line in lines if line.startswith("$ ")] if block.language == "console" else lines


def commands_in(line: str) -> list[list[str]]:
    """The commands of one line of a shell, each as its words. What is in quotes is left as it is."""
    lexer = shlex.shlex(CHOICE.sub(r"\1", line), posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        for word in lexer:
            if word.startswith("#"):
                break
            words.append(word)
    except ValueError:  # a quote that is closed on another line
        return []
    found: list[list[str]] = [[]]
    for word in words:
        if word in OPERATORS or set(word) <= set("|&;()<>"):
            found.append([])
        else:
            found[-1].append(word)
    return [bare for words in found if (bare := without_what_is_before(words))]


def without_what_is_before(words: Sequence[str]) -> list[str]:
    """Without what only says how it is started: VAR=value, sudo -u USER, until, the folder of an environment."""
    left = list(words)
    while left and (left[0] in BEFORE or VARIABLE.fullmatch(left[0])):
        left = left[1:]
    if left and left[0] == "sudo":
        left = left[3:] if left[1:2] == ["-u"] else left[1:]
    if left[:3] == ["docker", "compose", "exec"]:
        left = [word for word in left[3:] if word != "-T"][1:]
    return [left[0].removeprefix(".venv/bin/").removeprefix("$"), *left[1:]] if left else []


def shown() -> Iterator[tuple[str, list[str], bool]]:
    """(place, words, whether it stands in a block) of every command of ours on a page."""
    for place, block in BLOCKS.items():
        if block.language in {"sh", "console"} or not block.fenced:
            for line in lines_of(block):
                yield from ((place, words, True) for words in commands_in(line) if words[0] in OURS)
    for page in PAGES:
        for line, text in words_of(page):
            words = text.split()
            if words[0].removeprefix(".venv/bin/") in OURS and len(words) > 1:
                yield from ((f"{page}:{line}", each, False) for each in commands_in(text) if each[0] in OURS)


def trouble_with(words: Sequence[str], *, whole: bool) -> str:
    """Why a command cannot be as it is shown; empty: it can. `whole`: nothing that it needs may be missing."""
    program, *rest = words
    if program in PROGRAMS:
        return trouble_for_click(PROGRAMS[program], program, rest, whole=whole)
    if program == "make":
        unknown = [word for word in rest if not VARIABLE.fullmatch(word) and word not in targets()]
        return f"make has no target {', '.join(unknown)}" if unknown else ""
    return trouble_with_script(rest)


def trouble_for_click(command: Any, name: str, rest: Sequence[str], *, whole: bool) -> str:
    """As `trouble_with`, for a command of ours; the parser is typer's own (which carries its own copy of click)."""
    if "..." in rest or "…" in rest:
        unknown = [word for word in rest if word.startswith("--") and word not in every_option(command)]
        return f"no command knows {', '.join(unknown)}" if unknown else ""
    inner = getattr(command, "commands", None)
    if inner and "list" in inner and (not rest or (rest[0].startswith("-") and rest[0] != "--help")):
        rest = ["list", *rest]  # ListByDefault of controller/commands/programs.py
    context = command.context_class(command, info_name=name)
    try:
        given, left, _ = command.make_parser(context).parse_args(list(rest))
        check_values(command, context, given, whole=whole and inner is None)
    except Exception as exc:
        if not hasattr(exc, "format_message"):
            raise
        told = str(exc.format_message())
        return (
            "" if not whole and "requires" in told else f"{name}: {told}"
        )  # between words an option stands for itself
    if inner is None:
        return f"{name} takes no {' '.join(left)!r}" if left else ""
    if not left:
        return "" if command.invoke_without_command or not whole or given.keys() & BARE else f"{name} needs more"
    if left[0] not in inner:
        return f"{name} has no {left[0]!r}"
    return trouble_for_click(inner[left[0]], f"{name} {left[0]}", left[1:], whole=whole)


def check_values(command: Any, context: Any, given: dict[str, Any], *, whole: bool) -> None:
    """Raises what the parser raises where a value is none of those that there are, or one that is needed is left out."""
    for parameter in command.params:
        value = given.get(parameter.name)
        absent = value is None or value in ((), []) or "UNSET" in repr(value)
        placeholder = isinstance(value, str) and value.isupper()  # N, ID, DIR stand for what the reader has
        if parameter.callback is None and not placeholder and (not absent or (whole and parameter.required)):
            parameter.process_value(context, None if absent else value)


@cache
def every_option(command: Any) -> frozenset[str]:
    own = {word for parameter in command.params for word in parameter.opts}
    return frozenset(own.union(*(every_option(each) for each in getattr(command, "commands", {}).values())))


@cache
def targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def trouble_with_script(rest: Sequence[str]) -> str:
    """As `trouble_with`, for python PATH ... and python -m MODULE ... of this repository."""
    if not rest or rest[0] in {"-c", "-"}:
        return ""
    module = rest[1].replace(".", "/") if rest[0] == "-m" else rest[0].removesuffix(".py")
    if rest[0] == "-m" and rest[1] in {"venv", "pip", "http.server"}:
        return ""
    places = [ROOT / f"{module}.py", ROOT / module / "__main__.py"]
    script = next((place for place in places if place.is_file()), None)
    if script is None:
        return f"there is no {rest[1] if rest[0] == '-m' else rest[0]}"
    options = [word.partition("=")[0] for word in rest if word.startswith("--")]
    if not options:
        return ""
    known = set(re.findall(r"--[a-z][a-z-]*", help_of(script)))
    unknown = [option for option in options if option not in known]
    return f"{script.name} knows no {', '.join(unknown)}" if unknown else ""


@cache
def help_of(script: Path) -> str:
    """What it says of itself; of one that reads its options by hand, its source."""
    source = script.read_text(encoding="utf-8")
    if "argparse" not in source and "typer" not in source:
        return source
    ran = subprocess.run(
        [sys.executable, str(script), "--help"], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    return ran.stdout
