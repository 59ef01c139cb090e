"""What people write, and what they are told when it is wrong: file, line, path and what would be right."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from pydantic import Field

from controller import manifests
from controller.manifests import KINDS, load, schema
from exporters.documents import CannotRead, read_text
from exporters.nodes import Model
from exporters.traits import CurveKind, Traits


class KeyFile(Model):
    app_key_file: str


class StakeOptions(Model):
    operator: str = Field(pattern="^0x")


PROTOCOLS: dict[str, Any] = {
    "storj": SimpleNamespace(TRAITS=Traits(curve=CurveKind.FILL, resource="storage", min_allocation=500e9)),
    "golem": SimpleNamespace(TRAITS=Traits(curve=CurveKind.DEMAND, resource="cpu", credentials=KeyFile)),
    "streamr": SimpleNamespace(TRAITS=Traits(curve=CurveKind.DILUTION, resource="stake/DATA", options=StakeOptions)),
    "grass": SimpleNamespace(TRAITS=Traits()),
}

NODE = """\
apiVersion: orcha.dev/v1alpha1
kind: Node
metadata:
  name: rack-1
  labels: {site: attic}
spec:
  capacity: {cpu: "12", memory: 48Gi, storage: 16Ti, bandwidth: 400M}
  power: {usdPerKwh: 0.31, idleWatts: 40}
  workloads:
    storj:
      protocol: storj
      endpoint: http://storagenode:14002
      allocation: {resource: storage, min: 1Ti, max: 12Ti, step: 128Gi, with: {bandwidth: 2M}, reserve: [bandwidth]}
      actuator: {kubernetes: {kind: StatefulSet, namespace: depin, name: storagenode, container: node, env: {STORJ_STORAGE_ALLOCATED_DISK_SPACE: "{storage:B}B"}}}
    golem:
      protocol: golem
      endpoint: http://yagna:7465
      credentials: {appKeyFile: /run/secrets/yagna-app-key}
      allocation: {resource: cpu, min: "2", max: "10", step: "1", with: {memory: 1536Mi}}
      actuator: {command: {argv: [ya-provider, profile, update, --cpu-threads, "{cpu}", --mem-gib, "{memory:GiB}"]}}
    grass:
      protocol: grass
      endpoint: https://api.getgrass.io
"""
POLICY = """\
apiVersion: orcha.dev/v1alpha1
kind: AllocationPolicy
metadata: {name: default}
spec:
  mode: Suggest
  selector: {matchLabels: {site: attic}}
  objective: {strategy: Threshold, solver: Auto, horizon: 2h, riskTolerance: null}
  reconcile: {observe: 5s, estimate: 30s, plan: 60s}
  limits:
    minImprovement: {percent: 1, usdPerHour: 0}
    freezeWindows: [{cron: "0 18 * * 1-5", duration: 3h, timezone: Europe/Berlin}]
    blockWhile: ALERTS{alertname="OrchaProtocolDown",alertstate="firing"} == 1
  rollback: {automatic: true}
  constraints: [{protocol: golem, maxShare: 0.6}]
"""


@pytest.fixture
def told(tmp_path):
    """Load texts as files of one directory; give the problems as strings, the directory left out."""

    def load_texts(**files: str) -> list[str]:
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        return [str(problem).replace(f"{tmp_path}/", "") for problem in load([tmp_path], PROTOCOLS).problems]

    return load_texts


def test_the_example_of_the_documentation_is_valid(tmp_path):
    (tmp_path / "all.yaml").write_text(f"{NODE}---\n{POLICY}---\n")
    found = load([tmp_path], PROTOCOLS)
    assert found.problems == ()
    assert [node.name for node in found.nodes] == ["rack-1"]
    assert found.policies[0].spec.mode == "Suggest"
    assert found.nodes[0].spec.workloads["golem"].allocation.with_ == {"memory": 1536 * 2**20}
    assert found.nodes_of(found.policies[0]) == found.nodes


def test_the_word_off_is_a_mode_and_not_a_boolean(tmp_path):
    (tmp_path / "all.yaml").write_text(f"{NODE}---\n{POLICY.replace('mode: Suggest', 'mode: Off')}")
    found = load([tmp_path], PROTOCOLS)
    assert found.policies[0].spec.mode == "Off"


def test_the_digest_does_not_depend_on_how_documents_lie_in_files(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "a.yaml").write_text(f"{NODE}---\n{POLICY}")
    (two / "a.yaml").write_text(POLICY)
    (two / "b.yml").write_text(f"# a comment\n{NODE}")
    assert load([one], PROTOCOLS).sha256 == load([two], PROTOCOLS).sha256


WRONG = {
    "unknown-key-with-a-near-one": ("capacity:", "capcity:", "n.yaml:7: spec.capcity: unknown key; did you mean 'capacity'?"),
    "unknown-key-deep": ("step: 128Gi", "stepp: 128Gi", "n.yaml:13: spec.workloads.storj.allocation.stepp: unknown key; did you mean 'step'?"),
    "missing": (", step: 128Gi", "", "n.yaml:13: spec.workloads.storj.allocation.step: is missing"),
    "quantity": ("memory: 48Gi", "memory: 48GB", "n.yaml:7: spec.capacity.memory: '48GB' is not a quantity"),
    "min-above-max": ("min: 1Ti", "min: 13Ti", "n.yaml:13: spec.workloads.storj.allocation.min: 13Ti is more than max 12Ti"),
    "step-zero": ('step: "1"', 'step: "0"', "n.yaml:19: spec.workloads.golem.allocation.step: 0 is no step"),
    "minima-above-capacity": ('cpu: "12"', 'cpu: "1"', "n.yaml:7: spec.capacity.cpu: the minima of the workloads need 2 of cpu, the node has 1"),
    "no-such-protocol": ("protocol: golem", "protocol: gollem", "n.yaml:16: spec.workloads.golem.protocol: there is no protocol 'gollem'; there are golem, grass"),
    "credential-unknown": ("appKeyFile", "appkeyFile", "n.yaml:18: spec.workloads.golem.credentials.appkeyFile: unknown key; did you mean 'appKeyFile'?"),
    "credential-missing": ("credentials: {appKeyFile: /run/secrets/yagna-app-key}", "mode: Off", "spec.workloads.golem.credentials.appKeyFile: is missing"),
    "wrong-resource": ("resource: cpu", "resource: memory", "golem is allocated in cpu, not memory"),
    "below-the-protocols-floor": ("min: 1Ti", "min: 100Gi", "storj refuses to start below 465.7Gi"),
    "nothing-to-allocate": ("endpoint: https://api.getgrass.io", "endpoint: https://api.getgrass.io\n      allocation: {resource: cpu, min: 0, max: 1, step: 1}", "n.yaml:24: spec.workloads.grass.allocation: grass has nothing to allocate"),
    "companion-unset": (', "{memory:GiB}"', "", "n.yaml:19: spec.workloads.golem.allocation.with.memory: no part of the actuator sets memory"),
    "reserve-unknown": ("reserve: [bandwidth]", "reserve: [bandwidth, cpu]", "n.yaml:13: spec.workloads.storj.allocation.reserve[1]: cpu is not in with"),
    "undeclared-resource": (", bandwidth: 400M", "", "n.yaml:13: spec.workloads.storj.allocation.with.bandwidth: the node declares no bandwidth"),
    "two-drivers": ("actuator: {command", "actuator: {dryRun: {}, command", "n.yaml:20: spec.workloads.golem.actuator: name exactly one driver"),
    "endpoint": ("http://yagna:7465", "yagna:7465", "n.yaml:17: spec.workloads.golem.endpoint: 'yagna:7465' is not an address; write http://HOST:PORT"),
    "secret-in-endpoint": ("http://yagna", "http://user:pass@yagna", "holds a user or password; put secrets into files"),
    "bad-name": ("name: rack-1", "name: Rack_1", "n.yaml:4: metadata.name: 'Rack_1' is not possible here"),
    "key-twice": ("      endpoint: http://yagna:7465", "      endpoint: http://yagna:7465\n      endpoint: http://other:1", "n.yaml:18: spec.workloads.golem.endpoint: the key 'endpoint' stands twice; keep one"),
    "wrong-kind": ("kind: Node", "kind: Knode", "n.yaml:2: kind: 'Knode' is no kind of manifest"),
    "wrong-version": ("v1alpha1", "v2", "n.yaml:1: apiVersion: 'orcha.dev/v2' is not known here; write orcha.dev/v1alpha1"),
    "mapping-elsewhere": ("endpoint: https://api.getgrass.io", "endpoint: https://api.getgrass.io\n      mapping: {}", "mapping: belongs to protocol mapped"),
    "not-yaml": ("metadata:", "metadata: [", "is not YAML"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_node_is_told_with_its_place_and_what_would_be_right(told, old, new, expected):
    assert old in NODE
    problems = told(n=NODE.replace(old, new, 1))
    assert [p for p in problems if expected in p], problems


POLICY_WRONG = {
    "mode": ("mode: Suggest", "mode: Sugest", "p.yaml:5: spec.mode: 'Sugest' is not possible; write 'Off', 'Suggest', 'Approve' or 'Auto'"),
    "cron": ("0 18 * * 1-5", "0 25 * * 1-5", "p.yaml:11: spec.limits.freezeWindows[0].cron: '0 25 * * 1-5' is not a cron line"),
    "timezone": ("Europe/Berlin", "Europe/Bärlin", "p.yaml:11: spec.limits.freezeWindows[0].timezone: 'Europe/Bärlin' is not a time zone"),
    "selects-nothing": ("site: attic", "site: cellar", "p.yaml:6: spec.selector.matchLabels: selects no node: none carries site=cellar"),
    "constraint-protocol": ("protocol: golem", "protocol: gollem", "p.yaml:14: spec.constraints[0].protocol: there is no protocol 'gollem'"),
    "duration": ("horizon: 2h", "horizon: 2", "p.yaml:7: spec.objective.horizon: '2' is not a duration"),
    "often": ("observe: 5s", "observe: 5ms", "p.yaml:8: spec.reconcile.observe: 0.005 s is too often"),
    "share": ("maxShare: 0.6", "maxShare: 60", "p.yaml:14: spec.constraints[0].maxShare: input should be less than or equal to 1, not 60"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), POLICY_WRONG.values(), ids=POLICY_WRONG.keys())
def test_a_wrong_policy_is_told_with_its_place_and_what_would_be_right(told, old, new, expected):
    assert old in POLICY
    problems = told(n=NODE, p=POLICY.replace(old, new, 1))
    assert [p for p in problems if expected in p], problems


def test_all_problems_of_all_files_are_told_at_once(told):
    problems = told(
        a=NODE.replace("min: 1Ti", "min: 13Ti")
        .replace("memory: 48Gi", "memory: 48GB")
        .replace("http://yagna:7465", "yagna"),
        b=POLICY.replace("mode: Suggest", "mode: On"),
        c="kind: Settings\napiVersion: orcha.dev/v1alpha1\nmetadata: {name: s}\nspec: {listen: here, retention: 1h}\n",
    )
    for part in ("allocation.min", "capacity.memory", "golem.endpoint", "spec.mode", "spec.listen", "spec.retention"):
        assert any(part in problem for problem in problems), (part, problems)


def test_names_that_stand_twice_and_a_second_settings_are_refused(told):
    settings = "apiVersion: orcha.dev/v1alpha1\nkind: Settings\nmetadata: {name: s}\n"
    problems = told(a=NODE, b=NODE, c=settings, d=settings)
    assert "b.yaml:4: metadata.name: Node 'rack-1' stands in " in " ".join(problems)
    assert any("d.yaml:1: is a second Settings; keep one" in problem for problem in problems)


def test_two_policies_that_select_one_node_are_refused(told):
    problems = told(n=NODE, p=POLICY, q=POLICY.replace("name: default", "name: other"))
    assert any("selects node 'rack-1', which policy 'default' selects too" in problem for problem in problems)


def test_an_anchor_that_holds_itself_is_refused():
    documents, problems = read_text("a: &a\n  b: *a\n", "x.yaml")
    assert documents == []
    assert problems[0].sentence.startswith("is not YAML")


@pytest.mark.parametrize("text", ["", "---\n", "# only a comment\n"], ids=["empty", "separator", "comment"])
def test_a_directory_with_nothing_in_it_is_told_so(told, text):
    assert any("holds no document; write at least one Node" in problem for problem in told(a=text))


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "42"], ids=["list", "words", "number"])
def test_what_is_no_manifest_is_told_so(told, text):
    assert any("is not a mapping" in problem for problem in told(a=text))


def test_what_is_not_text_is_told_so(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00k")
    assert "is not UTF-8 text" in str(load([tmp_path], PROTOCOLS).problems[0])


def test_a_path_that_is_not_there_cannot_be_read(tmp_path):
    with pytest.raises(CannotRead, match="does not exist; name a YAML file"):
        load([tmp_path / "nowhere"], PROTOCOLS)


def test_a_credential_file_that_everybody_can_read_is_warned_of(tmp_path):
    secret = tmp_path / "key"
    secret.write_text("s3cret")
    secret.chmod(0o644)
    (tmp_path / "n.yaml").write_text(NODE.replace("/run/secrets/yagna-app-key", str(secret)))
    found = load([tmp_path], PROTOCOLS)
    assert found.problems == ()
    assert "can be read by every user of this machine; chmod 600 it" in str(found.warnings[0])
    secret.chmod(0o600)
    assert load([tmp_path], PROTOCOLS).warnings == ()


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_of_each_kind_accepts_what_is_valid_and_refuses_a_misspelt_key(kind):
    made = schema(kind)
    jsonschema.Draft202012Validator.check_schema(made)
    spec = {"sites": ["attic"]} if kind == "Fleet" else {}
    valid: dict[str, Any] = {"apiVersion": "orcha.dev/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    jsonschema.validate(valid, made)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**valid, "sepc": {}}, made)


def test_the_schema_accepts_the_documented_example():
    documents, _ = read_text(f"{NODE}---\n{POLICY}", "x.yaml")
    for document in documents:
        jsonschema.validate(document.data, schema(str(document.kind)))


def test_schemas_are_plain_json():
    for kind in manifests.KINDS:
        assert json.loads(json.dumps(schema(kind)))["type"] == "object"


def test_two_workloads_that_read_one_source_are_warned_of(tmp_path):
    again = NODE.replace("name: rack-1", "name: rack-2").replace("http://yagna:7465", "http://other:7465")
    (tmp_path / "a.yaml").write_text(f"{NODE}---\n{again}")
    found = load([tmp_path], PROTOCOLS)
    assert found.problems == ()
    said = [str(warning).partition("rack-1/")[2] for warning in found.warnings if "same source" in str(warning)]
    assert [words.partition(":")[0] for words in said] == ["storj", "grass"], "golem has another endpoint there"
