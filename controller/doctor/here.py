"""The program and the manifests: what has to be so before anything else can be looked at."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from controller.doctor.finding import Finding, fail, ok, split, warn
from controller.manifests import Manifests, load
from exporters.collector import Collector
from exporters.documents import CannotRead

AREA = "manifests"
OLDEST = (3, 11)


def program(version: str) -> Finding:
    """Which orcha this is, and what it runs on."""
    runs = f"orcha {version} on Python {platform.python_version()} ({platform.system()} {platform.machine()})"
    if sys.version_info[:2] < OLDEST:
        return fail("program", "orcha", runs, "install it with Python 3.11 or newer")
    return ok("program", "orcha", runs)


def read(paths: Iterable[Path], collectors: Mapping[str, Collector]) -> tuple[Manifests | None, list[Finding]]:
    """The manifests, None where they cannot be used, and how it stands with them."""
    names = ", ".join(map(str, paths))
    missing = [path for path in paths if _is_missing(path)]
    if missing:
        todo = "write the first manifests with `orcha init`, or name yours with --manifests DIR"
        return None, [fail(AREA, str(path), "does not exist", todo) for path in missing]
    try:
        found = load(paths, collectors)
    except CannotRead as exc:
        return None, [split(AREA, names, str(exc))]
    if found.problems:
        return None, [
            split(AREA, f"{problem.file}:{problem.line}", f"{problem.path}: {problem.sentence}".removeprefix(": "))
            for problem in found.problems
        ]
    return found, [_valid(names, found), *_watched(names, found)]


def _is_missing(path: Path) -> bool:
    """What lies in a folder that this user may not enter is not missing for certain; reading it says what is wrong."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _valid(names: str, found: Manifests) -> Finding:
    workloads = sum(len(node.spec.workloads) for node in found.nodes)
    modes = ", ".join(f"{policy.name} in mode {policy.spec.mode}" for policy in found.policies) or "none"
    return ok(AREA, names, f"valid: {len(found.nodes)} node(s), {workloads} workload(s); policies: {modes}")


def _watched(names: str, found: Manifests) -> list[Finding]:
    """What is valid, and will surprise."""
    findings = []
    if not any(node.spec.workloads for node in found.nodes):
        findings.append(
            warn(
                AREA,
                names,
                "no Node declares a workload, so there is nothing to watch",
                "declare one, or run `orcha init`",
            )
        )
    chosen = {node.name for policy in found.policies for node in found.nodes_of(policy)}
    for node in found.nodes:
        movable = any(spec.allocation for spec in node.spec.workloads.values())
        if movable and node.name not in chosen:
            todo = "write an AllocationPolicy whose selector matches its labels"
            findings.append(
                warn(AREA, node.name, "no policy selects this node: it is watched, nothing is planned for it", todo)
            )
    return findings
