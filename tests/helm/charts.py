"""The chart as Helm renders it: every version of Helm, every documented shape, and what can be asked of the result."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "helm" / "orcha"
VERSIONS = ("helm3", "helm4")
SHAPES = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
RELEASE = "orcha"
NAMESPACE = "depin"
KUBERNETES = "1.34.0"
"""The release whose schemas the objects are held to."""
TEMPLATES = {"Deployment", "DaemonSet", "StatefulSet", "Job"}
Manifest = dict[str, Any]


class Refused(Exception):
    """Helm said no, in these words."""


@dataclass(frozen=True)
class Helm:
    """One version of Helm, which sees nothing of the home of whoever runs the tests."""

    name: str
    program: Path
    home: Path

    def run(self, *argv: str, stdin: str = "", **environment: str) -> str:
        """What it prints. Raises Refused with what it says."""
        done = subprocess.run(
            [str(self.program), *argv], input=stdin, capture_output=True, text=True, timeout=110, check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "KUBECONFIG": "/dev/null"} | environment,
        )  # fmt: skip
        if done.returncode:
            raise Refused("\n".join(line for line in done.stderr.splitlines() if "symbolic link in path" not in line))
        return done.stdout

    def template(self, values: Mapping[str, Any], *flags: str, chart: Path = CHART, name: str = RELEASE) -> str:
        """The objects as text, hooks with them."""
        return self.run(
            "template", name, str(chart), f"--namespace={NAMESPACE}", f"--kube-version={KUBERNETES}", "--values=-", *flags,
            stdin=yaml.safe_dump(dict(values)),
        )  # fmt: skip

    def render(self, values: Mapping[str, Any], *flags: str, name: str = RELEASE) -> list[Manifest]:
        """The objects. What was rendered before is not rendered again."""
        return json.loads(_rendered(self, json.dumps(values), flags, name))

    def refusal(self, values: Mapping[str, Any]) -> str:
        """What it says about values that it must not take."""
        try:
            self.template(values)
        except Refused as exc:
            return str(exc)
        raise AssertionError(f"{self.name} takes {json.dumps(values)[:500]}")

    def notes(self, values: Mapping[str, Any]) -> str:
        """What somebody reads who has installed it. Helm 3 asks a cluster first: tests/e2e/test_helm.py has one."""
        said = self.run(
            "install", RELEASE, str(CHART), f"--namespace={NAMESPACE}", "--dry-run=client", "--values=-",
            stdin=yaml.safe_dump(dict(values)),
        )  # fmt: skip
        return said.partition("\nNOTES:\n")[2]


@functools.cache
def _rendered(helm: Helm, values: str, flags: tuple[str, ...], name: str) -> str:
    text = helm.template(json.loads(values), *flags, name=name)
    return json.dumps([each for each in yaml.load_all(text, yaml.CSafeLoader) if each])


def shape(name: str) -> Manifest:
    """The values of a documented shape."""
    return yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text()) or {}


def merged(*values: Mapping[str, Any]) -> Manifest:
    """Values as Helm merges them, the last one first."""
    found: Manifest = {}
    for each in values:
        for key, value in each.items():
            both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
            found[key] = merged(found[key], value) if both else value
    return found


def nested(path: str, value: Any) -> Manifest:
    """nested("a.b", 1) -> {"a": {"b": 1}}"""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] in kinds]


def named(each: Manifest) -> str:
    return f"{each['kind']}/{each['metadata']['name']}"


def pods(manifests: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Everything that becomes a Pod: the name of what makes it, and {metadata, spec}."""
    for each in manifests:
        if each["kind"] in TEMPLATES:
            yield named(each), each["spec"]["template"]
        elif each["kind"] == "CronJob":
            yield named(each), each["spec"]["jobTemplate"]["spec"]["template"]
        elif each["kind"] == "Pod":
            yield named(each), each


def containers(pod: Manifest) -> list[Manifest]:
    return [each for group in ("initContainers", "containers") for each in pod["spec"].get(group) or ()]


def controller(manifests: Sequence[Manifest]) -> Manifest:
    """The controller's workload: the one whose container runs `orcha run`."""
    found = [each for each in of_kind(manifests, "Deployment", "StatefulSet") if runs(each, "run")]
    assert len(found) == 1, [named(each) for each in found]
    return found[0]


def runs(workload: Manifest, verb: str) -> bool:
    return any(verb in words(each) for each in workload["spec"]["template"]["spec"]["containers"])


def words(container: Manifest) -> list[str]:
    return [*(container.get("command") or ()), *(container.get("args") or ())]


def hooked(each: Manifest) -> bool:
    return "helm.sh/hook" in (each["metadata"].get("annotations") or {})
