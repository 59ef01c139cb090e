"""YAML -> Nodes, AllocationPolicies, Settings, checked as a whole: one document alone, then what they say of each other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.fleet.manifest import Fleet, fleet_rules
from controller.policy import AllocationPolicy
from controller.schemas import kind_schema
from exporters.documents import Document, Problem
from exporters.manifests import (
    Kinds,
    kinds_of_exporters,
    read,
    second,
    secrets_are_private,
    sources_are_read_once,
    twice,
)
from exporters.nodes import Model, Node
from exporters.rules import Declares
from exporters.settings import Settings
from exporters.watching import Print, at_rest

KINDS: dict[str, type[Model]] = {
    "Node": Node,
    "AllocationPolicy": AllocationPolicy,
    "Settings": Settings,
    "Fleet": Fleet,
}


@dataclass(frozen=True, slots=True)
class Manifests:
    """Everything that was written, valid as a whole where `problems` is empty."""

    nodes: tuple[Node, ...] = ()
    """Sorted by name."""
    policies: tuple[AllocationPolicy, ...] = ()
    """Sorted by name."""
    settings: Settings = field(default_factory=Settings)
    fleet: Fleet | None = None
    """The sites that this one belongs to; None: it stands alone."""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    sha256: str = ""
    """Of the documents' content, whatever their order in files."""
    files: Print = ()
    """Of the files, taken before they were read: whatever changes later differs from it."""

    def nodes_of(self, policy: AllocationPolicy) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if selects(policy, node))


def selects(policy: AllocationPolicy, node: Node) -> bool:
    wanted = policy.spec.selector.match_labels
    return all(node.metadata.labels.get(name) == value for name, value in wanted.items())


def load(paths: Iterable[str | Path], protocols: Mapping[str, Declares]) -> Manifests:
    """Read and check. Raises exporters.documents.CannotRead; everything else is in `problems`."""
    kinds: Kinds = {
        **kinds_of_exporters(protocols),
        "AllocationPolicy": (AllocationPolicy, [_policy_rules]),
        "Fleet": (Fleet, [fleet_rules]),
    }
    paths = list(paths)
    (found, problems), files = at_rest(paths, lambda: read(paths, kinds))
    nodes = [(d, m) for d, m in found if isinstance(m, Node)]
    policies = [(d, m) for d, m in found if isinstance(m, AllocationPolicy)]
    settings = [(d, m) for d, m in found if isinstance(m, Settings)]
    fleets = [(d, m) for d, m in found if isinstance(m, Fleet)]
    problems += [*twice(nodes), *twice(policies), *second(settings), *second(fleets)]
    if not problems:
        problems += [*_selection(nodes, policies), *_constraints(policies, protocols), *_limits(fleets, protocols)]
    return Manifests(
        nodes=tuple(sorted((m for _, m in nodes), key=lambda node: node.name)),
        policies=tuple(sorted((m for _, m in policies), key=lambda policy: policy.name)),
        settings=settings[0][1] if settings else Settings(),
        fleet=fleets[0][1] if fleets else None,
        problems=tuple(sorted(problems)),
        warnings=(*secrets_are_private(document for document, _ in found), *sources_are_read_once(nodes)),
        sha256=_digest(model for _, model in found),
        files=files,
    )


def _policy_rules(policy: AllocationPolicy) -> Iterator[tuple[tuple[str | int, ...], str]]:
    intervals = policy.spec.reconcile
    for name, seconds in (("observe", intervals.observe), ("estimate", intervals.estimate), ("plan", intervals.plan)):
        if seconds < 1:
            yield ("spec", "reconcile", name), f"{seconds:g} s is too often; write at least 1s"
    if policy.spec.objective.horizon <= 0:
        yield ("spec", "objective", "horizon"), "0 is no horizon; a move must have time to pay; the default is 2h"
    if policy.spec.objective.strategy == "RiskAware" and policy.spec.objective.risk_tolerance is None:
        yield (
            ("spec", "objective", "riskTolerance"),
            "is needed by RiskAware; write a standard deviation in USD per hour",
        )
    stages = policy.spec.rollback.stages
    if list(stages) != sorted(stages) or not stages or stages[-1] != 1:
        yield ("spec", "rollback", "stages"), "must rise and end in 1.0, such as [0.25, 1.0]"


def _selection(
    nodes: list[tuple[Document, Node]], policies: list[tuple[Document, AllocationPolicy]]
) -> Iterator[Problem]:
    owner: dict[str, str] = {}
    for document, policy in policies:
        chosen = [node.name for _, node in nodes if selects(policy, node)]
        labels = ", ".join(f"{name}={value}" for name, value in policy.spec.selector.match_labels.items())
        path = ("spec", "selector", "matchLabels")
        if not chosen:
            yield document.problem(
                path, f"selects no node: none carries {labels or 'anything'}; label a node so, or change the selector"
            )
        for name in chosen:
            if name in owner:
                yield document.problem(
                    path,
                    f"selects node {name!r}, which policy {owner[name]!r} selects too; make the selectors disjoint",
                )
            owner[name] = policy.name


def _constraints(
    policies: list[tuple[Document, AllocationPolicy]], protocols: Mapping[str, Declares]
) -> Iterator[Problem]:
    for document, policy in policies:
        for i, constraint in enumerate(policy.spec.constraints):
            if constraint.protocol not in protocols:
                yield document.problem(
                    ("spec", "constraints", i, "protocol"), _no_protocol(constraint.protocol, protocols)
                )


def _limits(fleets: list[tuple[Document, Fleet]], protocols: Mapping[str, Declares]) -> Iterator[Problem]:
    for document, fleet in fleets:
        for i, limit in enumerate(fleet.spec.limits):
            if limit.protocol not in protocols:
                yield document.problem(("spec", "limits", i, "protocol"), _no_protocol(limit.protocol, protocols))


def _no_protocol(name: str, protocols: Mapping[str, Declares]) -> str:
    return f"there is no protocol {name!r}; there are {', '.join(sorted(protocols))}"


def _digest(models: Iterable[Model]) -> str:
    parts = sorted(model.model_dump_json(by_alias=True) for model in models)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of one kind, for editors (`orcha schema`)."""
    return kind_schema(kind, KINDS[kind])
