"""What is told of actuators that could not work, or would do harm: file, line, path and what would be right."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from exporters.manifests import kinds_of_exporters, read
from exporters.traits import CurveKind, Traits

PROTOCOLS: dict[str, Any] = {
    "storj": SimpleNamespace(TRAITS=Traits(curve=CurveKind.FILL, resource="storage", min_allocation=500e9)),
    "golem": SimpleNamespace(TRAITS=Traits(curve=CurveKind.DEMAND, resource="cpu")),
    "streamr": SimpleNamespace(TRAITS=Traits(curve=CurveKind.DILUTION, resource="stake/DATA")),
    "grass": SimpleNamespace(TRAITS=Traits()),
}
GOLEM = 'command: {argv: [ya-provider, profile, update, --cpu-threads, "{cpu}", --mem-gib, "{memory:GiB}"]}'
STORJ = "webhook: {url: https://nas.lan/orcha, secretFile: /run/secrets/hook}"
NODE = f"""\
apiVersion: orcha.dev/v1alpha1
kind: Node
metadata: {{name: rack-1}}
spec:
  capacity: {{cpu: "12", memory: 48Gi, storage: 16Ti, bandwidth: 400M}}
  workloads:
    storj:
      protocol: storj
      endpoint: http://storagenode:14002
      allocation: {{resource: storage, min: 1Ti, max: 12Ti, step: 128Gi, with: {{bandwidth: 2M}}, reserve: [bandwidth]}}
      actuator:
        {STORJ}
    golem:
      protocol: golem
      endpoint: http://yagna:7465
      allocation: {{resource: cpu, min: "2", max: "10", step: "1", with: {{memory: 1536Mi}}}}
      actuator:
        {GOLEM}
    grass:
      protocol: grass
      endpoint: https://api.getgrass.io
"""
KUBERNETES = "kubernetes: {kind: StatefulSet, namespace: depin, name: node, container: node"


@pytest.fixture
def told(tmp_path):
    """What is wrong with a text, the directory left out."""

    def problems(text: str) -> list[str]:
        (tmp_path / "n.yaml").write_text(text)
        return [
            str(problem).replace(f"{tmp_path}/", "") for problem in read([tmp_path], kinds_of_exporters(PROTOCOLS))[1]
        ]

    return problems


RIGHT = {
    "as-it-stands": NODE,
    "dry-run": NODE.replace(GOLEM, "dryRun: {}"),
    "handout": NODE.replace(GOLEM, "handout: {}"),
    "webhook-tells-all": NODE.replace(GOLEM, STORJ),
    "full-path": NODE.replace("ya-provider", "/usr/bin/ya-provider"),
    "literal-braces": NODE.replace("--mem-gib,", '\'{{"a": 1}}\','),
    "verify": NODE.replace('GiB}"]}', 'GiB}"], verify: {argv: [test, "{cpu}"]}, timeout: 9m}'),
    "resources": NODE.replace(GOLEM, f"{KUBERNETES}, resources: [cpu, memory]}}"),
    "replicas": NODE.replace(GOLEM, f'{KUBERNETES}, replicas: "{{cpu}}", args: ["--memory={{memory:B}}"]}}'),
    "loopback": NODE.replace("https://nas.lan/orcha", "http://127.0.0.1:8080"),
}  # fmt: skip


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT.keys())
def test_what_can_work_is_accepted(told, text):
    assert told(text) == []


AT = "n.yaml:18: spec.workloads.golem.actuator"
HOOK = "n.yaml:12: spec.workloads.storj.actuator.webhook"
WRONG = {
    "unknown-unit": ("{memory:GiB}", "{memory:Gi}", f"{AT}.command.argv[6]: {{memory:Gi}} has no unit of memory; write {{memory}} or"),
    "unknown-resource": ("{cpu}", "{cpus}", f"{AT}.command.argv[4]: {{cpus}} names no resource"),
    "lone-brace": ("{cpu}", "{cpu", f"{AT}.command.argv[4]: a lone {{ near '{{cpu'"),
    "not-allocated": ("{cpu}", "{cpu}{storage:TB}", f"{AT}.command.argv[4]: {{storage:TB}} has no amount: this workload is allocated cpu, memory; add storage to with"),
    "reserved": ("with: {memory: 1536Mi}}", "with: {memory: 1536Mi}, reserve: [memory]}", f"{AT}.command.argv[6]: {{memory:GiB}} has no amount: memory is listed in reserve"),
    "own-unset": ("{cpu}", "4", f"{AT}.command: no part of it sets cpu, which is what this workload is allocated; write {{cpu}} where"),
    "companion-unset": (', "{memory:GiB}"', "", "n.yaml:16: spec.workloads.golem.allocation.with.memory: no part of the actuator sets memory"),
    "verify-sets-nothing": ('"{cpu}", --mem-gib, "{memory:GiB}"]}', '"{memory:GiB}"], verify: {argv: [test, "{cpu}"]}}', f"{AT}.command: no part of it sets cpu"),
    "verify-placeholder": ('GiB}"]}', 'GiB}"], verify: {argv: [test, "{x}"]}}', f"{AT}.command.verify.argv[1]: {{x}} names no resource"),
    "program-by-amount": ("argv: [ya-provider,", 'argv: ["tool-{cpu}",', f"{AT}.command.argv[0]: 'tool-{{cpu}}' has a placeholder: which program runs"),
    "relative-path": ("argv: [ya-provider,", "argv: [./bin/tool,", f"{AT}.command.argv[0]: './bin/tool' is a relative path; write the full one"),
    "home-path": ("argv: [ya-provider,", "argv: [~/tool,", f"{AT}.command.argv[0]: '~/tool' is a relative path; write the full one (no shell"),
    "no-program": ("argv: [ya-provider,", 'argv: ["",', f"{AT}.command.argv[0]: is empty; write the name or the full path"),
    "no-words": (GOLEM, "command: {argv: []}", f"{AT}.command.argv: "),
    "one-word": (GOLEM, "command: {argv: [golemsp settings]}", f"{AT}.command.argv[0]: 'golemsp settings' is one word to the system"),
    "zero-byte": ("--mem-gib,", '"a\\0b",', f"{AT}.command.argv[5]: holds a zero byte"),
    "verify-program": ('GiB}"]}', 'GiB}"], verify: {argv: [bin/look]}}', f"{AT}.command.verify.argv[0]: 'bin/look' is a relative path"),
    "no-time": ('GiB}"]}', 'GiB}"], timeout: 0s}', f"{AT}.command.timeout: 0 is no duration here"),
    "long-time": ('GiB}"]}', 'GiB}"], timeout: 1h}', f"{AT}.command.timeout: is more than 9m; start what takes longer in the background"),
    "environment": (GOLEM, f'{KUBERNETES}, env: {{CPU: "{{cpu:x}}", M: "{{memory}}"}}}}', f"{AT}.kubernetes.env.CPU: {{cpu:x}} has no unit"),
    "arguments": (GOLEM, f'{KUBERNETES}, args: ["--c={{cpu}}", "--m={{memory}}", "--d={{disk}}"]}}', f"{AT}.kubernetes.args[2]: {{disk}} names no resource"),
    "replicas": (GOLEM, f'{KUBERNETES}, replicas: "{{n}}", resources: [cpu, memory]}}', f"{AT}.kubernetes.replicas: {{n}} names no resource"),
    "kubernetes-own-unset": (GOLEM, f"{KUBERNETES}, resources: [memory]}}", f"{AT}.kubernetes: no part of it sets cpu"),
    "resources": (", with: {memory: 1536Mi}}\n      actuator:\n        " + GOLEM, f"}}\n      actuator:\n        {KUBERNETES}, resources: [cpu, memory]}}", f"{AT}.kubernetes.resources[1]: memory has no amount"),
    "no-allocation": ("https://api.getgrass.io\n", 'https://api.getgrass.io\n      actuator: {command: {argv: [t, "{cpu}"]}}\n', "spec.workloads.grass.actuator.command.argv[1]: {cpu} has no amount: this workload has no allocation"),
    "scheme": ("https://nas.lan/orcha", "ftp://nas.lan/orcha", f"{HOOK}.url: is not an address; write https://HOST/PATH"),
    "no-host": ("https://nas.lan/orcha", "https:///orcha", f"{HOOK}.url: is not an address"),
    "port-zero": ("https://nas.lan/orcha", "https://nas.lan:0/orcha", f"{HOOK}.url: is not an address"),
    "host-of-two-words": ("https://nas.lan/orcha", "https://nas lan/orcha", f"{HOOK}.url: is not an address"),
    "odd-host": ("https://nas.lan/orcha", '"https://[::1/orcha"', f"{HOOK}.url: is not an address"),
    "port": ("https://nas.lan/orcha", "https://nas.lan:99999/orcha", f"{HOOK}.url: is not an address"),
    "user": ("https://nas.lan/orcha", "https://me:hunter2@nas.lan/orcha", f"{HOOK}.url: holds a user or password; calls are signed"),
    "query": ("https://nas.lan/orcha", '"https://nas.lan/orcha?token=hunter2"', f"{HOOK}.url: holds a ? or #"),
    "no-secret": ("/run/secrets/hook", '""', f"{HOOK}.secretFile: is empty; name the file"),
    "no-driver": (GOLEM, "{}", "n.yaml:17: spec.workloads.golem.actuator: name exactly one driver"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_work_is_told_with_its_place_and_what_would_be_right(told, old, new, expected):
    assert old in NODE
    problems = told(NODE.replace(old, new, 1))
    assert [p for p in problems if expected in p], problems
    assert "hunter2" not in " ".join(problems)


SECOND = NODE.replace("    grass:", NODE[NODE.index("    golem:") : NODE.index("    grass:")].replace("golem:", "golem-2:", 1) + "    grass:")  # fmt: skip


def test_a_dry_run_beside_a_driver_that_acts_on_the_same_resource_is_refused(told):
    (problem,) = told(SECOND.replace(GOLEM, "dryRun: {}", 1))
    assert (
        "golem.actuator.dryRun: command really changes golem-2, and what a dry run on the same node pretends" in problem
    )
    assert "to free of cpu, memory is not free; give both a real driver, or both dryRun" in problem


def test_a_node_in_dry_run_throughout_is_accepted(told):
    assert told(SECOND.replace(GOLEM, "dryRun: {}")) == []
