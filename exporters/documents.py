"""YAML with positions: files -> documents -> models, and every problem with its file, line, path and what would be right.

YAML is read by the rules of its 1.2 core schema, so that `mode: Off` stays the word that its writer meant, and a key that
is written twice is refused. All problems of all files are found in one go, not the first only.
"""

from __future__ import annotations

import difflib
import re
import stat
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union

import yaml
from pydantic import BaseModel, ValidationError

Path_ = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)
MAX_FILE = 8 * 2**20
MAX_DEPTH = 50
MAX_PARTS = 1_000_000
"""Keys and values of one document, anchors unfolded: more than 10 000 workloads with their mappings have. A few lines of anchors of anchors
would otherwise fill the memory of a running controller."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in what somebody wrote."""

    file: str
    line: int
    path: str
    sentence: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.path}: {self.sentence}" if self.path else f"{where}: {self.sentence}"


class CannotRead(Exception):
    """A path that is not there or cannot be opened; `str()` says which and why."""


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: plain data, and the line of everything in it."""

    file: str
    line: int
    data: Any
    lines: Mapping[Path_, int] = field(repr=False)

    @property
    def kind(self) -> str | None:
        kind = self.data.get("kind") if isinstance(self.data, dict) else None
        return kind if isinstance(kind, str) else None

    def line_of(self, path: Path_) -> int:
        """The line of a path, or of the nearest part of it that was written."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, self.line)

    def problem(self, path: Path_, sentence: str) -> Problem:
        return Problem(self.file, self.line_of(path), dotted(path), sentence)


def dotted(path: Path_) -> str:
    """As people write it: spec.workloads[0].min."""
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return words.removeprefix(".")


class _CoreLoader(yaml.SafeLoader):
    """YAML 1.2 core schema: no yes/no/on/off, no sexagesimal numbers, no timestamps."""


_CoreLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def files_of(paths: Iterable[str | Path]) -> list[Path]:
    """The YAML files that the paths name: a directory stands for its *.yaml and *.yml, sorted, hidden ones left out."""
    found: list[Path] = []
    for path in map(Path, paths):
        try:
            found += _files_at(path)
        except OSError as exc:
            raise CannotRead(f"{path} cannot be read ({exc.strerror}); let orcha's user read it") from exc
    return list(dict.fromkeys(found))


def _files_at(path: Path) -> list[Path]:
    if path.is_dir():
        inside = [p for p in path.iterdir() if p.suffix in {".yaml", ".yml"} and not p.name.startswith(".")]
        if not inside:
            raise CannotRead(f"{path} holds no .yaml file; put the manifests there, or name another directory")
        return sorted(p for p in inside if not p.is_dir())
    if not path.exists():
        raise CannotRead(f"{path} does not exist; name a YAML file or a directory of them")
    return [path]


def read_files(paths: Iterable[str | Path]) -> tuple[list[Document], list[Problem]]:
    """Every document of every file. Raises CannotRead."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for path in files_of(paths):
        try:
            text = _text_of(path)
        except UnicodeDecodeError as exc:
            problems.append(Problem(str(path), 0, "", f"is not UTF-8 text (byte {exc.start})"))
            continue
        except OSError as exc:
            raise CannotRead(
                f"{path} cannot be read ({exc.strerror}); let orcha's user read it, or take it away"
            ) from exc
        here, wrong = read_text(text, str(path))
        documents += here
        problems += wrong
    return documents, problems


def _text_of(path: Path) -> str:
    """The whole file. A pipe is read where it was named as such: kustomize build | orcha validate /dev/stdin."""
    if stat.S_ISFIFO(path.stat().st_mode) and not str(path).startswith("/dev/"):
        raise CannotRead(f"{path} is a pipe, and nobody may ever write to it; name a YAML file")
    with path.open("rb") as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise CannotRead(f"{path} is larger than {MAX_FILE // 2**20} MiB; that is no manifest")
    return content.decode("utf-8-sig")


def read_text(text: str, file: str) -> tuple[list[Document], list[Problem]]:
    """The documents of one text; empty ones are left out."""
    documents: list[Document] = []
    problems: list[Problem] = []
    try:
        for root in yaml.compose_all(text, Loader=_CoreLoader):
            lines: dict[Path_, int] = {}
            line = root.start_mark.line + 1
            twice: list[tuple[Path_, int, str]] = []
            data = _plain(root, (), lines, twice)
            problems += [
                Problem(file, at, dotted(path), f"the key {key!r} stands twice; keep one") for path, at, key in twice
            ]
            if data is not None:
                documents.append(Document(file, line, data, lines))
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        problems.append(Problem(file, mark.line + 1 if mark else 0, "", f"is not YAML: {exc.problem or exc.context}"))
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        problems.append(Problem(file, 0, "", f"is not YAML: {' '.join(str(exc).split())[:200]}"))
    return documents, problems


def _plain(node: yaml.Node, path: Path_, lines: dict[Path_, int], twice: list[tuple[Path_, int, str]]) -> Any:
    """A YAML node as plain data; notes where each part stands. Anchors are refused where they would recurse."""
    lines[path] = node.start_mark.line + 1
    if len(path) > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels (an anchor that holds itself?)")
    if len(lines) > MAX_PARTS:
        raise ValueError(f"unfolds to more than {MAX_PARTS} parts (anchors of anchors?); split it into files")
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, i), lines, twice) for i, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(node)
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(_scalar(key_node)) if isinstance(key_node, yaml.ScalarNode) else "?"
        if key in data:
            twice.append(((*path, key), key_node.start_mark.line + 1, key))
        data[key] = _plain(value_node, (*path, key), lines, twice)
        lines[*path, key] = key_node.start_mark.line + 1
    return data


def _float_words(text: str) -> str:
    """As Python spells it: inf for .inf."""
    return text.lower().replace(".inf", "inf").replace(".nan", "nan")


def _scalar(node: yaml.Node) -> Any:
    if node.tag == "tag:yaml.org,2002:int":
        return int(node.value, 0) if re.match(r"0[ox]", node.value) else int(node.value)
    if node.tag == "tag:yaml.org,2002:float":
        return float(_float_words(node.value))
    if node.tag == "tag:yaml.org,2002:bool":
        return node.value.lower() == "true"
    if node.tag == "tag:yaml.org,2002:null":
        return None
    return node.value


def validate(document: Document, model: type[M]) -> tuple[M | None, list[Problem]]:
    """The document as a model, and what is wrong with it.

    With problems, the model still comes where the rest of the document makes one without the wrong parts, so that the
    rules that span fields can be checked as well; callers must not use it for anything else.
    """
    try:
        return model.model_validate(document.data, by_name=False), []
    except ValidationError as exc:
        problems = [document.problem(*told) for told in tell(exc, model)]
        return _salvage(document.data, exc, model), problems


def tell(exc: ValidationError, model: type[BaseModel], prefix: Path_ = ()) -> Iterator[tuple[Path_, str]]:
    """Each error of a model as (path, sentence with what would be right)."""
    for error in exc.errors(include_url=False, include_context=True):
        path = tuple(part for part in error["loc"] if part != "[key]")
        kind, given = error["type"], error.get("input")
        yield prefix + path, _sentence(kind, error, path, given, model)


def _sentence(kind: str, error: Mapping[str, Any], path: Path_, given: Any, model: type[BaseModel]) -> str:
    if kind == "extra_forbidden":
        known = keys_at(model, path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, 1)
        return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known are {', '.join(known)}"
    if kind == "missing":
        return "is missing"
    if kind == "literal_error":
        return f"{given!r} is not possible; write {error['ctx']['expected']}"
    if kind in {"value_error", "assertion_error"}:
        return str(error["ctx"]["error"])
    if kind == "string_pattern_mismatch" and "[key]" in error["loc"]:
        wanted = "lower case letters, digits and '-' (a resource: cpu, memory, storage, bandwidth or kind/NAME)"
        return f"{given!r} is not a possible name here; use {wanted}"
    if kind == "string_pattern_mismatch":
        return f"{given!r} is not possible here; it must match {error['ctx']['pattern']}"
    return _plain_words(error, given)


def _plain_words(error: Mapping[str, Any], given: Any) -> str:
    """Pydantic's own sentence, with what was given."""
    shown = repr(given) if isinstance(given, (str, int, float, bool, type(None))) else f"a {type(given).__name__}"
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}, not {shown[:60]}"


def keys_at(model: type[BaseModel], path: Path_) -> list[str]:
    """The keys that a model knows at a path, as written in YAML."""
    here: Any = model
    for part in path:
        here = _within(here, part)
    return sorted(info.alias or name for name, info in here.model_fields.items()) if _is_model(here) else []


def _is_model(what: Any) -> bool:
    return isinstance(what, type) and issubclass(what, BaseModel)


def _within(annotation: Any, part: str | int) -> Any:
    """The annotation of one part of what an annotation describes."""
    if _is_model(annotation):
        found = [info.annotation for name, info in annotation.model_fields.items() if (info.alias or name) == part]
        return _bare(found[0]) if found else None
    arguments = typing.get_args(annotation)
    return _bare(arguments[-1]) if arguments else None


def _bare(annotation: Any) -> Any:
    """Without Annotated, and of a union the part that can hold something."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _bare(typing.get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        parts = [_bare(part) for part in typing.get_args(annotation)]
        return next((part for part in parts if _is_model(part) or typing.get_args(part)), parts[0])
    return annotation


def _salvage(data: Any, exc: ValidationError, model: type[M]) -> M | None:
    """The model of the data without what is wrong in it, or None where too little is left."""
    for _ in range(20):
        for error in exc.errors(include_url=False, include_context=False):
            path = tuple(part for part in error["loc"] if part != "[key]")
            data = _without(data, path[:-1] if error["type"] == "missing" else path)
        try:
            return model.model_validate(data, by_name=False)
        except ValidationError as again:
            exc = again
    return None


def _without(data: Any, path: Path_) -> Any:
    """A copy of the data with one part taken out."""
    if not path:
        return data
    head, rest = path[0], path[1:]
    if isinstance(data, dict) and head in data:
        inner = {} if not rest else {head: _without(data[head], rest)}
        return {key: inner.get(str(key), value) for key, value in data.items() if rest or key != head}
    if isinstance(data, list) and isinstance(head, int) and head < len(data):
        return [*data[:head], *([_without(data[head], rest)] if rest else []), *data[head + 1 :]]
    return data


Rule = Callable[[Any], Iterable[tuple[Path_, str]]]
"""Of a model: (path, sentence) for each thing that spans several fields and is wrong."""


def checked(document: Document, model: type[M], rules: Iterable[Rule]) -> tuple[M | None, list[Problem]]:
    """`validate`, then the rules, also on what is left of a document with problems; one problem a path."""
    instance, problems = validate(document, model)
    if instance is None:
        return None, problems
    told = {problem.path for problem in problems}
    found = [document.problem(path, sentence) for rule in rules for path, sentence in rule(instance)]
    problems += [problem for problem in found if not any(problem.path.startswith(path) for path in told if path)]
    return (None if problems else instance), problems
