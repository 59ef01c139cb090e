"""The examples for Git are what their readers take: the chart, kustomize, `orcha validate`, a pipeline's shell."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from controller.manifests import load
from controller.report.proposed_markdown import MARKER
from exporters import __version__
from exporters.collector import discover
from tests.docs.commands import commands_in, trouble_with
from tests.docs.pages import BLOCKS

ROOT = Path(__file__).resolve().parents[2]
GITOPS = ROOT / "examples" / "gitops"
CHART = ROOT / "helm" / "orcha"
FILES = sorted(path for path in GITOPS.rglob("*.yaml"))
HERE = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
AUTHOR = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
}  # fmt: skip


def documents(path):
    return list(yaml.safe_load_all((GITOPS / path).read_text()))


def values_of(name):
    if name == "argocd":
        return documents("argocd/values.yaml")[0]
    return next(each for each in documents("flux/release.yaml") if each["kind"] == "HelmRelease")["spec"]["values"]


def done(*argv, cwd=ROOT, **env):
    return subprocess.run(
        [*map(str, argv)], cwd=cwd, env={**HERE, **env}, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip


def ran(*argv, **more):
    found = done(*argv, **more)
    assert found.returncode == 0, found.stderr
    return found.stdout


def named(name):
    """Where a part of the examples is named by its file."""
    return name.relative_to(GITOPS).as_posix()


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_file_says_on_top_what_it_is_for_and_is_yaml(path):
    assert path.read_text().startswith("# ")
    for document in yaml.safe_load_all(path.read_text()):
        if "apiVersion" in document and document["kind"] != "Kustomization":
            assert document["metadata"]["name"]


@pytest.mark.parametrize("name", ["argocd", "flux"])
def test_the_values_are_those_of_the_chart(name):
    of = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.validate(values_of(name), of)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values_of(name), "manifest": {}}, of)


def actuated(nodes):
    """(kind, namespace, name) of every object that orcha changes."""
    return [
        tuple(spec.actuator.kubernetes.model_dump(include={"kind", "namespace", "name"}).values())
        for node in nodes
        for spec in node.spec.workloads.values()
        if spec.actuator and spec.actuator.kubernetes
    ]


@pytest.fixture
def in_values(tmp_path):
    """The manifests that the values of the Argo CD example hold."""
    found = values_of("argocd")["manifests"]
    kinds = (("Node", found["nodes"]), ("AllocationPolicy", found["policies"]))
    every = [
        {
            "apiVersion": "orcha.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name, **{part: each[part] for part in ("labels", "annotations") if part in each}},
            "spec": each["spec"],
        }
        for kind, parts in kinds
        for name, each in parts.items()
    ]  # fmt: skip
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(every))
    return load([tmp_path], discover())


def test_the_nodes_in_the_values_are_good_manifests(in_values):
    assert in_values.problems == ()
    assert [node.name for node in in_values.nodes] == ["rack-1"]


def test_argo_cd_leaves_alone_what_orcha_changes_as_the_page_says(in_values):
    (application,) = documents("argocd/storagenode.yaml")
    ignored = application["spec"]["ignoreDifferences"]
    assert [(each["kind"], each["namespace"], each["name"]) for each in ignored] == actuated(in_values.nodes)
    page = next(
        block.text for block in BLOCKS.values() if "managedFieldsManagers" in block.text and block.language == "yaml"
    )
    shown = yaml.safe_load(page)["spec"]
    assert ignored == shown["ignoreDifferences"]
    assert set(shown["syncPolicy"]["syncOptions"]) <= set(application["spec"]["syncPolicy"]["syncOptions"])


def test_argo_cd_takes_the_chart_of_this_version_and_the_values_that_are_there():
    (application,) = documents("argocd/orcha.yaml")
    chart, values = application["spec"]["sources"]
    assert (chart["path"], chart["targetRevision"]) == ("helm/orcha", f"v{__version__}")
    assert chart["helm"]["valueFiles"] == [f"${values['ref']}/argocd/values.yaml"]


def test_the_manifests_of_flux_are_good_and_all_in_its_configmap():
    found = load([GITOPS / "flux" / "manifests"], discover())
    assert found.problems == ()
    (generated,) = documents("flux/kustomization.yaml")
    (generator,) = generated["configMapGenerator"]
    assert sorted(generator["files"]) == sorted(
        f"manifests/{path.name}" for path in (GITOPS / "flux/manifests").iterdir()
    )
    assert generated["generatorOptions"]["disableNameSuffixHash"], "another name would restart the Pod at each commit"
    assert values_of("flux")["manifests"]["existingConfigMap"] == generator["name"]
    targets = values_of("flux")["rbac"]["targets"]
    assert [(each["kind"], each["namespace"], each["name"]) for each in targets] == actuated(found.nodes)


@pytest.mark.parametrize("name", ["argocd", "flux"])
def test_every_secret_that_a_node_names_is_mounted(name, in_values):
    nodes = in_values.nodes if name == "argocd" else load([GITOPS / "flux" / "manifests"], discover()).nodes
    files = {
        Path(file)
        for node in nodes
        for spec in node.spec.workloads.values()
        for file in (spec.credentials.model_extra or {}).values()
    }
    assert {file.parent for file in files} == {
        Path("/etc/orcha/secrets") / each["name"] for each in values_of(name)["secrets"]
    }


@pytest.mark.tool("helm")
def test_kustomize_makes_the_configmap_that_the_release_names(tool):
    text = ran(tool("helm") / "kubectl", "kustomize", GITOPS / "flux")
    made = {each["kind"]: each for each in yaml.safe_load_all(text)}
    assert made.keys() == {"ConfigMap", "HelmRelease", "HelmRepository"}
    assert made["ConfigMap"]["metadata"]["name"] == values_of("flux")["manifests"]["existingConfigMap"]
    assert {each["metadata"]["namespace"] for each in made.values()} == {"depin"}
    assert made["ConfigMap"]["data"].keys() == {"rack-1.yaml", "policy.yaml"}


@pytest.mark.tool("helm")
@pytest.mark.parametrize("name", ["argocd", "flux"])
@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_the_chart_makes_of_the_values_what_orcha_takes(tool, tmp_path, name, helm):
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values_of(name)))
    text = ran(
        tool("helm") / helm, "template", "orcha", CHART, "--namespace", "depin", "--values", tmp_path / "values.yaml",
        HOME=str(tmp_path),
    )  # fmt: skip
    made = [each for each in yaml.safe_load_all(text) if each]
    rules = [rule for each in made if each["kind"] == "Role" for rule in each["rules"]]
    assert any(rule.get("resourceNames") == ["storagenode"] and "patch" in rule["verbs"] for rule in rules)
    (pod,) = [each["spec"]["template"]["spec"] for each in made if each["kind"] == "Deployment"]
    mounted = {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
    if name == "flux":
        assert values_of("flux")["manifests"]["existingConfigMap"] in str(pod["volumes"])
        return
    own = [each for each in made if each["kind"] == "ConfigMap" and each["metadata"]["name"] in mounted]
    (tmp_path / "made").mkdir()
    for each in own:
        for key, words in each["data"].items():
            (tmp_path / "made" / key).write_text(words)
    assert [node.name for node in load([tmp_path / "made"], discover()).nodes] == ["rack-1"]


# --- pipelines ------------------------------------------------------------------------------------------------------------


def steps(name):
    """The lines that a pipeline runs."""
    (document,) = documents(f"ci/{name}.yaml")
    if name == "gitlab":
        return document["orcha"]["before_script"] + document["orcha"]["script"]
    return [step["run"] for step in document["jobs"]["plan"]["steps"] if "run" in step]


@pytest.mark.parametrize("name", ["github", "gitlab"])
def test_the_commands_of_a_pipeline_are_ours(name):
    ours = [words for line in steps(name) for words in commands_in(line) if words[0] == "orcha"]
    assert [words[1] for words in ours] == ["validate", "plan"]
    for words in ours:
        assert trouble_with(words, whole=True) == ""
    assert f"/orcha@v{__version__}" in " ".join(steps(name))


@pytest.mark.parametrize("name", ["github", "gitlab"])
def test_a_pipeline_writes_the_comment_and_fails_on_what_is_invalid(name, tmp_path):
    def git(*argv):
        return ran("git", *argv, cwd=tmp_path, **AUTHOR).strip()

    git("init", "-q")
    (tmp_path / "manifests").mkdir()
    for path in (GITOPS / "flux" / "manifests").iterdir():
        (tmp_path / "manifests" / path.name).write_text(path.read_text())
    git("add", ".")
    git("commit", "-qm", "base")
    base = git("rev-parse", "HEAD")
    policy = tmp_path / "manifests" / "policy.yaml"
    policy.write_text(policy.read_text().replace("mode: Approve", "mode: Auto"))
    git("commit", "-qam", "head")
    script = "\n".join(line for line in steps(name) if line.startswith("orcha"))
    env = {"BASE": base, "CI_MERGE_REQUEST_DIFF_BASE_SHA": base, **AUTHOR}
    ran("sh", "-euc", script, cwd=tmp_path, **env)
    comment = (tmp_path / "comment.md").read_text()
    assert comment.startswith(MARKER)
    assert "orcha will act by itself on 1 workload" in comment
    policy.write_text(policy.read_text().replace("mode: Auto", "mode: Automatic"))
    git("commit", "-qam", "wrong")
    failed = done("sh", "-euc", script, cwd=tmp_path, **env)
    assert (failed.returncode, "'Automatic' is not possible" in failed.stderr) == (1, True)


def test_a_pipeline_on_github_may_do_no_more_than_it_must():
    (document,) = documents("ci/github.yaml")
    assert document["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert document[True].keys() == {"pull_request"}, "pull_request_target would give a stranger's change our rights"
    text = (GITOPS / "ci" / "github.yaml").read_text()
    assert not re.search(r"run:.*\$\{\{", text), "what a stranger names must not become part of a command"


# --- the hook -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hook():
    (found,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    return found


def test_the_hook_is_what_the_example_names_and_runs_what_is_installed(hook):
    (repo,) = documents("ci/pre-commit.yaml")[0]["repos"]
    assert [each["id"] for each in repo["hooks"]] == [hook["id"]]
    assert repo["rev"] == f"v{__version__}"
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert shlex.split(hook["entry"])[0] in scripts
    assert (hook["language"], hook["pass_filenames"]) == ("python", False)
    assert re.search(hook["files"], "manifests/rack-1.yaml")
    assert not re.search(hook["files"], "README.md")


def test_the_hook_refuses_what_orcha_refuses(hook, tmp_path):
    (tmp_path / "manifests").mkdir()
    file = tmp_path / "manifests" / "policy.yaml"
    for path in (GITOPS / "flux" / "manifests").iterdir():
        (tmp_path / "manifests" / path.name).write_text(path.read_text())
    argv = [*shlex.split(hook["entry"]), *hook["args"]]
    assert ran(*argv, cwd=tmp_path) == "valid: 1 node(s), 2 workload(s), 1 policy(ies)\n"
    file.write_text(file.read_text().replace("hold", "hodl"))
    refused = done(*argv, cwd=tmp_path)
    assert refused.returncode == 1
    assert "manifests/policy.yaml:9: spec.limits.hodl: unknown key; did you mean 'hold'?" in refused.stderr
