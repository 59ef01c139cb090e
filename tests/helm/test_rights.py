"""Rights: those of docs/kubernetes.md and docs/high-availability.md to the letter, in the namespaces that need them, else none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
import yaml

from tests.helm.charts import NAMESPACE, ROOT, SHAPES, controller, merged, named, nested, of_kind, pods, shape

pytestmark = pytest.mark.tool("helm")
STATE = {"state": {"existingSecret": {"name": "orcha-state"}}}
TWO = merged(STATE, {"controller": {"replicas": 2}})
RIGHTS = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


def documented(page: str, name: str) -> list[dict[str, Any]]:
    """The rules of a Role as a page of the documentation has them."""
    text = (ROOT / "docs" / page).read_text()
    blocks = [each for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) for each in yaml.safe_load_all(block)]
    (role,) = [each for each in blocks if each.get("kind") == "Role" and each["metadata"]["name"] == name]
    return list(role["rules"])


def single(rules: Iterable[dict[str, Any]]) -> set[tuple[str, str, str, str]]:
    """Rules as single rights: (group, resource, name of the object or "", verb)."""
    return {
        (group, resource, name, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames") or [""]
        for verb in rule["verbs"]
    }


def node(**actuators: dict[str, Any]) -> dict[str, Any]:
    """A node in the values with one workload for each actuator."""
    workloads = {
        name: {"protocol": "storj", "endpoint": "http://a:14002", "actuator": {"kubernetes": actuator}}
        for name, actuator in actuators.items()
    }
    return nested("manifests.nodes", {"rack-1": {"spec": {"capacity": {"cpu": "4"}, "workloads": workloads}}})


def place(kind: str, name: str, namespace: str = "depin", **more: Any) -> dict[str, Any]:
    return {"kind": kind, "namespace": namespace, "name": name, "container": "node"} | more


def granted(found: list[dict[str, Any]]) -> dict[str, set[tuple[str, str, str, str]]]:
    """Namespace -> the rights that bindings give the controller's ServiceAccount there."""
    account = controller(found)["spec"]["template"]["spec"]["serviceAccountName"]
    roles = {
        (each["metadata"].get("namespace", NAMESPACE), each["metadata"]["name"]): each
        for each in of_kind(found, "Role")
    }
    rights: dict[str, set[tuple[str, str, str, str]]] = {}
    for each in of_kind(found, "RoleBinding"):
        where = each["metadata"].get("namespace", NAMESPACE)
        assert each["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]
        assert each["roleRef"]["kind"] == "Role"
        rights.setdefault(where, set()).update(single(roles.pop((where, each["roleRef"]["name"]))["rules"]))
    assert roles == {}, "a Role without a RoleBinding"
    return rights


RESIZE = ("", "pods/resize", "", "patch")
CASES = {
    "a deployment": (place("Deployment", "provider", env={"A": "{cpu}"}), "orcha-deployment", set()),
    "a pod": (place("Pod", "provider", resources=["cpu"]), "orcha-pod", set()),
    "a statefulset by its variables": (
        place("StatefulSet", "storagenode", env={"A": "{storage:B}"}),
        "orcha-statefulset",
        {RESIZE},
    ),
    "a statefulset by its requests and limits": (
        place("StatefulSet", "storagenode", resources=["cpu"]),
        "orcha-statefulset",
        set(),
    ),
}
"""What an actuator names -> the Role of the page, without what the page says is for other cases."""


@pytest.mark.parametrize("case", sorted(CASES))
def test_an_actuator_gets_the_rights_of_the_page_and_no_other(helm, case):
    actuator, role, without = CASES[case]
    wanted = single(documented("kubernetes.md", role)) - without
    assert granted(helm.render(node(one=actuator))) == {"depin": wanted}


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_target_named_for_manifests_elsewhere_gets_the_same(helm4, case):
    actuator, role, without = CASES[case]
    target = {key: actuator[key] for key in ("kind", "namespace", "name")} | {"resize": "resources" in actuator}
    values = {"manifests": {"existingConfigMap": "mine"}, "rbac": {"targets": [target]}}
    assert granted(helm4.render(values)) == {"depin": single(documented("kubernetes.md", role)) - without}


def test_each_namespace_has_the_rights_to_what_is_in_it(helm):
    values = node(
        a=place("Deployment", "provider", "one", env={"A": "{cpu}"}),
        b=place("Pod", "provider", "two", resources=["cpu"]),
    )
    assert granted(helm.render(values)) == {
        "one": single(documented("kubernetes.md", "orcha-deployment")),
        "two": single(documented("kubernetes.md", "orcha-pod")),
    }


def test_two_workloads_of_one_namespace_are_named_each(helm4):
    values = node(a=place("StatefulSet", "a", env={"A": "{cpu}"}), b=place("StatefulSet", "b", env={"A": "{cpu}"}))
    rights = granted(helm4.render(values))["depin"]
    names = {name for _, resource, name, _ in rights if resource == "statefulsets"}
    assert names == {"a", "b"}
    assert {name for _, resource, name, _ in rights if resource == "pods/eviction"} == {"a-0", "b-0"}


@pytest.mark.parametrize(
    "values",
    [
        {},
        nested(
            "manifests.nodes.a.spec",
            {"capacity": {"cpu": "1"}, "workloads": {"x": {"protocol": "storj", "endpoint": "http://a:1"}}},
        ),
        merged(node(one=place("Pod", "provider", resources=["cpu"])), {"rbac": {"create": False}}),
        {"manifests": {"existingConfigMap": "mine"}},
    ],
    ids=["no node", "no driver", "not asked for", "manifests elsewhere"],
)
def test_without_the_driver_there_is_no_right(helm, values):
    assert of_kind(helm.render(values), *RIGHTS) == []


def test_without_a_need_no_pod_gets_a_token(helm):
    for where, pod in pods(helm.render({})):
        assert pod["spec"]["automountServiceAccountToken"] is False, where
    for account in of_kind(helm.render({}), "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_with_the_driver_the_controller_gets_a_token_and_nobody_else(helm):
    values = merged(node(one=place("Pod", "provider", resources=["cpu"])), {"exporter": {"kind": "Deployment"}})
    found = helm.render(values)
    tokens = {where: pod["spec"].get("automountServiceAccountToken", True) for where, pod in pods(found)}
    assert [where for where, has in tokens.items() if has] == [named(controller(found))]


def test_two_replicas_may_lead_by_the_page_s_rights(helm):
    found = helm.render(TWO)
    (settings,) = [
        yaml.safe_load(text)
        for each in of_kind(found, "ConfigMap")
        for text in each["data"].values()
        if "kind: Settings" in text
    ]
    lease = settings["spec"]["lease"]
    assert lease["namespace"] == NAMESPACE
    wanted = {
        (group, resource, lease["name"] if name else "", verb)
        for group, resource, name, verb in single(documented("high-availability.md", "orcha-lease"))
    }
    assert granted(found) == {NAMESPACE: wanted}
    assert controller(found)["spec"]["template"]["spec"]["automountServiceAccountToken"] is True


@pytest.mark.parametrize("name", SHAPES)
def test_no_right_is_for_everything_or_for_the_whole_cluster(helm4, name):
    found = helm4.render(merged(shape(name), {"rbac": {"extraRules": []}, "extraManifests": []}))
    assert of_kind(found, "ClusterRole", "ClusterRoleBinding") == []
    for each in of_kind(found, "Role"):
        for right in single(each["rules"]):
            assert "*" not in right
            assert right[1] != "secrets"


def test_roles_and_the_account_are_made_apart(helm):
    acting = node(one=place("Pod", "provider", resources=["cpu"]))
    mine = helm.render(merged(acting, {"serviceAccount": {"create": False, "name": "mine"}}))
    assert of_kind(mine, "ServiceAccount") == []
    assert set(granted(mine)) == {"depin"}
    assert controller(mine)["spec"]["template"]["spec"]["serviceAccountName"] == "mine"
    bare = helm.render(merged(acting, {"rbac": {"create": False}}))
    assert of_kind(bare, *RIGHTS) == []
    assert len(of_kind(bare, "ServiceAccount")) == 1


def test_more_rules_are_the_release_s_own(helm4):
    rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"], "verbs": ["get"]}
    assert granted(helm4.render({"rbac": {"extraRules": [rule]}})) == {NAMESPACE: single([rule])}


def test_a_namespace_of_digits_stays_a_name(helm4):
    """YAML reads 2024 as a number, which the API server refuses where a name belongs."""
    values = merged(TWO, node(storj=place("StatefulSet", "storagenode")), {"fullnameOverride": "orcha-7"})
    found = [each for each in yaml.safe_load_all(helm4.template(values, "--namespace=2024", name="7")) if each]
    spaces = {each["metadata"]["namespace"] for each in found}
    subjects = [each["subjects"][0] for each in of_kind(found, "RoleBinding")]
    assert spaces == {"2024", "depin"}
    assert {each["namespace"] for each in subjects} == {"2024"}
    assert {each["name"] for each in subjects} == {"orcha-7"}
