"""Reading a Dockerfile and a .dockerignore: as much of them as this repository's own use. Pure.

What is beyond that (a heredoc, a word that is not listed in WORDS, `--mount`) is an error and no guess: scripts/image.py must not
build something else than a container engine does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

WORDS = frozenset(
    {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "LABEL", "USER", "EXPOSE", "STOPSIGNAL"}
    | {"HEALTHCHECK", "ENTRYPOINT", "CMD"}
)
_PAIR = re.compile(r"([A-Za-z_][\w.\-]*)=(\"(?:[^\"\\]|\\.)*\"|\S*)\s*")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class DockerfileError(Exception):
    """What cannot be read, and where; `str()` is the sentence."""


@dataclass(frozen=True, slots=True)
class Instruction:
    word: str
    rest: str
    """Without flags; continued lines are joined."""
    line: int
    flags: Mapping[str, str] = field(default_factory=dict)

    def words(self) -> list[str]:
        """The JSON form where it is one, else what is between blanks."""
        if self.rest.startswith("["):
            parts: list[str] = json.loads(self.rest)
            return parts
        return self.rest.split()

    def pairs(self) -> dict[str, str]:
        """KEY=VALUE KEY="VA LUE" of ENV and LABEL."""
        found = list(_PAIR.finditer(self.rest))
        if "".join(each[0] for each in found) != self.rest:
            raise DockerfileError(f"line {self.line}: {self.word} wants KEY=VALUE")
        return {each[1]: json.loads(each[2]) if each[2].startswith('"') else each[2] for each in found}


@dataclass(frozen=True, slots=True)
class Stage:
    base: str
    name: str
    """Empty: the last one needs none."""
    instructions: tuple[Instruction, ...]


def joined(text: str) -> Iterable[tuple[int, str]]:
    """(number of the first line, the whole of what is continued over several), without comments and empty lines."""
    start, parts = 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start = start if parts else number
        parts.append(line.strip().removesuffix("\\").strip())
        if not line.rstrip().endswith("\\"):
            yield start, " ".join(parts)
            parts = []
    if parts:
        raise DockerfileError(f"line {start}: goes on after the end")


def instruction(number: int, text: str) -> Instruction:
    word, _, rest = text.partition(" ")
    if word not in WORDS:
        raise DockerfileError(f"line {number}: {word} is not carried out by scripts/image.py")
    flags, rest = dict[str, str](), rest.strip()
    while word in {"COPY", "RUN", "FROM", "HEALTHCHECK"} and rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        name, _, value = flag.removeprefix("--").partition("=")
        flags[name], rest = value, rest.strip()
    known = {"COPY": {"from"}, "HEALTHCHECK": {"interval", "timeout", "start-period", "retries"}}
    if "<<" in rest or set(flags) - known.get(word, set()):
        raise DockerfileError(f"line {number}: this form of {word} is not carried out by scripts/image.py")
    return Instruction(word, rest, number, flags)


def read(text: str) -> tuple[dict[str, str], list[Stage]]:
    """(arguments before the first stage, the stages). Raises DockerfileError."""
    arguments, stages = dict[str, str](), list[tuple[str, str, list[Instruction]]]()
    for number, line in joined(text):
        each = instruction(number, line)
        if each.word == "FROM":
            base, _, name = each.rest.partition(" AS ")
            stages.append((expand(base, arguments, number), name.strip(), []))
        elif stages:
            stages[-1][2].append(each)
        elif each.word == "ARG":
            name, _, value = each.rest.partition("=")
            arguments[name] = value
        else:
            raise DockerfileError(f"line {number}: {each.word} stands before the first FROM")
    return arguments, [Stage(base, name, tuple(each)) for base, name, each in stages]


def expand(text: str, known: Mapping[str, str], line: int) -> str:
    """With the values of ${NAME}; any other form of a variable is an error."""
    missing = {name for name in _VARIABLE.findall(text) if name not in known}
    if missing or "$" in _VARIABLE.sub("", text):
        raise DockerfileError(f"line {line}: no value for a variable in {text!r}; write ${{NAME}}")
    return _VARIABLE.sub(lambda found: known[found[1]], text)


def is_sent(path: str, ignored: str) -> bool:
    """Whether a file goes to the builder; `path` is relative, `ignored` the text of .dockerignore. The last line that fits decides."""
    sent = True
    for line in ignored.splitlines():
        pattern = line.strip().removeprefix("!")
        if pattern and not pattern.startswith("#") and _fits(path, pattern):
            sent = line.strip().startswith("!")
    return sent


def _fits(path: str, pattern: str) -> bool:
    """A pattern fits a path and all that lies in it; ** stands for any folders."""
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    if pattern.startswith("**/"):
        return any(fnmatchcase(part, pattern[3:]) for part in parts)
    return any(part.count("/") == pattern.count("/") and fnmatchcase(part, pattern) for part in above)
