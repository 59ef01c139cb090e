"""Files -> the manifests that the exporters know (Node, Settings), checked. The controller adds AllocationPolicy."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from exporters.documents import Document, Path_, Problem, Rule, checked, read_files
from exporters.nodes import API_VERSION, Model, Node
from exporters.rules import Declares, node_rules
from exporters.settings import Settings, SettingsSpec, read_listen, read_matchers
from exporters.watching import at_rest

Kinds = Mapping[str, tuple[type[Model], list[Rule]] | None]
"""kind -> (model, rules), or None for a kind that is known and left to somebody else."""
Found = list[tuple[Document, Model]]


def load_nodes(
    paths: Iterable[str | Path], protocols: Mapping[str, Declares]
) -> tuple[tuple[Node, ...], Settings, tuple[Problem, ...], tuple[Problem, ...]]:
    """(nodes sorted by name, settings, problems, warnings) of the files; policies are the controller's and left out.

    Raises exporters.documents.CannotRead. With problems, nothing of the rest may be used.
    """
    kinds: Kinds = {**kinds_of_exporters(protocols), "AllocationPolicy": None, "Fleet": None}
    paths = list(paths)
    (found, problems), _ = at_rest(paths, lambda: read(paths, kinds))
    nodes = [(d, m) for d, m in found if isinstance(m, Node)]
    settings = [(d, m) for d, m in found if isinstance(m, Settings)]
    problems += [*twice(nodes), *second(settings)]
    chosen = settings[0][1] if settings else Settings()
    ordered = tuple(sorted((node for _, node in nodes), key=lambda node: node.name))
    warnings = (*secrets_are_private(document for document, _ in found), *sources_are_read_once(nodes))
    return ordered, chosen, tuple(sorted(problems)), warnings


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
    for path, url in _addresses(spec):
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            yield path, f"{url!r} is not an address; write http://HOST:PORT"
        elif "@" in urlsplit(url).netloc:
            yield path, "holds a user or password, and is shown as a link; leave them out"
    yield from _source_rules(spec)
    if spec.state and spec.state_file:
        yield ("spec", "stateFile"), "state is given as well; keep one"
    if spec.state and not spec.state.startswith(("sqlite:///", "postgresql://")):
        yield ("spec", "state"), "write sqlite:///PATH or postgresql://USER@HOST/DATABASE"
    if spec.retention < 86400:
        yield ("spec", "retention"), "is under a day; the estimators need at least 1d"


def _source_rules(spec: SettingsSpec) -> Iterator[tuple[Path_, str]]:
    if spec.source == "prometheus" and spec.prometheus_url is None:
        yield ("spec", "prometheusUrl"), "is missing, and source: prometheus asks it; write http://HOST:PORT"
    try:
        read_matchers(spec.prometheus.matchers or "")
    except ValueError as exc:
        yield ("spec", "prometheus", "matchers"), str(exc)


def _addresses(spec: SettingsSpec) -> Iterator[tuple[Path_, str]]:
    """Everything that orcha asks or links to."""
    for name, url in (
        ("prometheusUrl", spec.prometheus_url), ("alertmanagerUrl", spec.alertmanager_url), ("grafanaUrl", spec.grafana_url),
    ):  # fmt: skip
        if url is not None:
            yield ("spec", name), url
    for source, url in spec.prices.endpoints.items():
        yield ("spec", "prices", "endpoints", source), url


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


def second(those: Iterable[tuple[Document, Model]]) -> Iterator[Problem]:
    """Of a kind of which there may be one."""
    for document, _ in list(those)[1:]:
        yield document.problem((), f"is a second {document.kind}; keep one")


def sources_are_read_once(nodes: Iterable[tuple[Document, Node]]) -> Iterator[Problem]:
    """A warning for each workload that asks the same source for the same thing as an earlier one: its money counts twice."""
    first: dict[tuple[str, ...], str] = {}
    for document, node in nodes:
        for name, spec in node.spec.workloads.items():
            parts = (spec.credentials.model_extra, spec.options, spec.mapping)
            source = (
                spec.protocol,
                spec.endpoint.rstrip("/"),
                *(json.dumps(part, sort_keys=True, default=str) for part in parts),
            )
            earlier = first.setdefault(source, f"{node.name}/{name}")
            if earlier != f"{node.name}/{name}":
                sentence = (
                    f"reads the same source as {earlier}: what it earns counts twice; keep one, or change its endpoint"
                )
                yield document.problem(("spec", "workloads", name), sentence)


def secrets_are_private(documents: Iterable[Document]) -> Iterator[Problem]:
    """A warning for each file of a secret that is missing, empty, or open to other users of the machine.

    Only a warning: who validates in a pipeline has no secrets, and whoever needs one that is missing says so when it is read.
    """
    for document in documents:
        for path, file in secret_files(document.data, ()):
            if wrong := _doubt(Path(file)):
                yield document.problem(path, f"{file} {wrong}")


def secret_files(data: Any, path: Path_) -> Iterator[tuple[Path_, str]]:
    """Every value that names a file with a secret: under a key such as appKeyFile, or in tokenFiles and the like. Whose
    certificates are believed (caFile) everybody may know.
    """
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        named = (str(key).endswith("File") and key != "caFile") or str(path[-1] if path else "").endswith("Files")
        if named and isinstance(value, str):
            yield (*path, key), value
        else:
            yield from secret_files(value, (*path, key))


def _doubt(file: Path) -> str | None:
    try:
        about = file.stat()
    except FileNotFoundError:
        return "does not exist (yet); create it, readable only by orcha"
    except OSError as exc:
        return f"cannot be looked at ({exc.strerror}); let orcha's user read it"
    if about.st_size == 0 and stat.S_ISREG(about.st_mode):
        return "is empty; put the secret into it"
    if about.st_mode & stat.S_IROTH:
        return "can be read by every user of this machine; chmod 600 it (in Kubernetes: defaultMode: 0400)"
    return None
