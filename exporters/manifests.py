"""Files -> the manifests that the exporters know (Node, Settings), checked. The controller adds AllocationPolicy."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from exporters.documents import Document, Problem, Rule, checked, read_files
from exporters.nodes import API_VERSION, Model, Node
from exporters.rules import Declares, node_rules
from exporters.settings import Settings, read_listen

Kinds = Mapping[str, tuple[type[Model], list[Rule]] | None]
"""kind -> (model, rules), or None for a kind that is known and left to somebody else."""
Found = list[tuple[Document, Model]]


def load_nodes(
    paths: Iterable[str | Path], protocols: Mapping[str, Declares]
) -> tuple[tuple[Node, ...], Settings, tuple[Problem, ...], tuple[Problem, ...]]:
    """(nodes sorted by name, settings, problems, warnings) of the files; policies are the controller's and left out.

    Raises exporters.documents.CannotRead. With problems, nothing of the rest may be used.
    """
    found, problems = read(paths, {**kinds_of_exporters(protocols), "AllocationPolicy": None})
    nodes = [(d, m) for d, m in found if isinstance(m, Node)]
    settings = [(d, m) for d, m in found if isinstance(m, Settings)]
    problems += [*twice(nodes), *second(settings)]
    chosen = settings[0][1] if settings else Settings()
    ordered = tuple(sorted((node for _, node in nodes), key=lambda node: node.name))
    return ordered, chosen, tuple(sorted(problems)), tuple(secrets_are_private(nodes))


def kinds_of_exporters(protocols: Mapping[str, Declares]) -> Kinds:
    return {"Node": (Node, [node_rules(protocols)]), "Settings": (Settings, [_settings_rules])}


def read(paths: Iterable[str | Path], kinds: Kinds) -> tuple[Found, list[Problem]]:
    """Every valid manifest of the files with its document, and every problem. Raises CannotRead."""
    paths = list(paths)
    documents, problems = read_files(paths)
    found: Found = []
    for document in documents:
        model, wrong = _one(document, kinds)
        problems += wrong
        if model is not None:
            found.append((document, model))
    if not documents and not problems:
        problems.append(Problem(", ".join(map(str, paths)), 0, "", "holds no document; write at least one Node"))
    return found, problems


def _one(document: Document, kinds: Kinds) -> tuple[Model | None, list[Problem]]:
    if not isinstance(document.data, dict):
        return None, [document.problem((), "is not a mapping; a manifest starts with apiVersion and kind")]
    if document.kind is None or document.kind not in kinds:
        wanted = f"write {', '.join(sorted(kinds))}"
        given = document.data.get("kind")
        sentence = f"{given!r} is no kind of manifest; {wanted}" if given else f"is missing; {wanted}"
        return None, [document.problem(("kind",), sentence)]
    version = document.data.get("apiVersion")
    if version != API_VERSION:
        return None, [document.problem(("apiVersion",), f"{version!r} is not known here; write {API_VERSION}")]
    known = kinds[document.kind]
    return checked(document, *known) if known else (None, [])


def _settings_rules(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    spec = settings.spec
    for name, address in (("listen", spec.listen), ("exporterListen", spec.exporter_listen)):
        try:
            read_listen(address)
        except ValueError as exc:
            yield ("spec", name), str(exc)
    if spec.state and spec.state_file:
        yield ("spec", "stateFile"), "state is given as well; keep one"
    if spec.state and not spec.state.startswith(("sqlite:///", "postgresql://")):
        yield ("spec", "state"), "write sqlite:///PATH or postgresql://USER@HOST/DATABASE"
    if spec.retention < 86400:
        yield ("spec", "retention"), "is under a day; the estimators need at least 1d"


def twice(found: Iterable[tuple[Document, Any]]) -> Iterator[Problem]:
    """The second and later documents of one name."""
    first: dict[str, Document] = {}
    for document, model in found:
        earlier = first.setdefault(model.metadata.name, document)
        if earlier is not document:
            sentence = (
                f"{model.kind} {model.metadata.name!r} stands in {earlier.file}:{earlier.line} already; rename one"
            )
            yield document.problem(("metadata", "name"), sentence)


def second(settings: Iterable[tuple[Document, Settings]]) -> Iterator[Problem]:
    for document, _ in list(settings)[1:]:
        yield document.problem((), "is a second Settings; keep one")


def secrets_are_private(nodes: list[tuple[Document, Node]]) -> Iterator[Problem]:
    """A warning for each credential file that other users of the machine can read."""
    for document, node in nodes:
        for name, spec in node.spec.workloads.items():
            for key, path in (spec.credentials.model_extra or {}).items():
                if _open_to_all(str(path)):
                    where = ("spec", "workloads", name, "credentials", key)
                    yield document.problem(where, f"{path} can be read by every user of this machine; chmod 600 it")


def _open_to_all(path: str) -> bool:
    try:
        return bool(Path(path).stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
