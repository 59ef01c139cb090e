"""The network policy: nobody in and nothing out but what is named, and the budget for drains."""

from __future__ import annotations

import pytest

from tests.helm.charts import controller, merged, nested, of_kind, pods

pytestmark = pytest.mark.tool("helm")
ON = {"networkPolicy": {"enabled": True}}
NODES = [{"to": [{"ipBlock": {"cidr": "192.168.1.0/24"}}], "ports": [14002, 7465]}]
PEER = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
ACTING = nested(
    "manifests.nodes.rack-1.spec",
    {
        "capacity": {"cpu": "1"},
        "workloads": {
            "a": {
                "protocol": "storj", "endpoint": "http://a:1",
                "actuator": {"kubernetes": {"kind": "Pod", "namespace": "depin", "name": "a", "container": "b"}},
            }
        },
    },
)  # fmt: skip


def policies(found) -> list[dict]:
    return of_kind(found, "NetworkPolicy")


def ways_out(found) -> set[tuple[str, int]]:
    """(where to, port) of all policies of the controller's Pod."""
    pod = controller(found)["spec"]["template"]["metadata"]["labels"].items()
    mine = [
        each["spec"] for each in policies(found) if each["spec"]["podSelector"].get("matchLabels", {}).items() <= pod
    ]
    return {
        (str(peer), port["port"])
        for spec in mine
        for rule in spec.get("egress") or ()
        for peer in rule.get("to") or ["anywhere"]
        for port in rule.get("ports") or [{"port": 0}]
    }


@pytest.mark.parametrize("kind", ["none", "Deployment", "Sidecar"])
def test_both_directions_are_closed_for_every_pod(helm, kind):
    found = helm.render(merged(ON, ACTING, {"exporter": {"kind": kind}, "tests": {"enabled": False}}))
    for where, pod in pods(found):
        labels = pod["metadata"]["labels"].items()
        closed = [
            each["spec"]["policyTypes"]
            for each in policies(found)
            if each["spec"]["podSelector"].get("matchLabels", {}).items() <= labels
        ]
        assert closed, where
        assert {"Ingress", "Egress"} <= {word for each in closed for word in each}, where


def test_the_only_way_in_is_to_named_ports_from_named_peers(helm):
    found = helm.render(merged(ON, nested("networkPolicy.ingress.from", PEER)))
    rules = [rule for each in policies(found) for rule in each["spec"].get("ingress") or ()]
    assert rules
    for rule in rules:
        assert rule["ports"], "a rule without ports opens them all"
        assert rule["from"], "a rule without peers is for everybody"
    assert any(PEER[0] in rule["from"] for rule in rules)


def test_there_is_no_way_out_to_anything_that_is_not_named(helm4):
    bare = {"dns": {"enabled": False}, "prices": {"enabled": False}}
    found = helm4.render(merged(ON, nested("networkPolicy.egress", bare)))
    assert ways_out(found) == set()


def test_each_way_out_is_its_own(helm4):
    bare = {"dns": {"enabled": False}, "prices": {"enabled": False}}
    for what, given, port in (
        ("dns", {"enabled": True}, 53),
        ("prices", {"enabled": True}, 443),
        ("prometheus", {"to": PEER}, 9090),
    ):
        found = helm4.render(merged(ON, nested("networkPolicy.egress", merged(bare, {what: given}))))
        assert {number for _, number in ways_out(found)} == {port}, what
    found = helm4.render(merged(ON, nested("networkPolicy.egress", bare | {"nodes": NODES})))
    assert ways_out(found) == {(str(NODES[0]["to"][0]), 14002), (str(NODES[0]["to"][0]), 7465)}


def test_the_api_server_is_open_only_to_who_has_a_token_for_it(helm):
    bare = nested("networkPolicy.egress", {"dns": {"enabled": False}, "prices": {"enabled": False}})
    assert {port for _, port in ways_out(helm.render(merged(ON, bare, ACTING)))} == {443, 6443}
    assert ways_out(helm.render(merged(ON, bare))) == set()


def test_a_budget_guards_the_controller(helm):
    values = {"podDisruptionBudget": {"enabled": True}}
    found = helm.render(values)
    (budget,) = of_kind(found, "PodDisruptionBudget")
    labels = controller(found)["spec"]["template"]["metadata"]["labels"].items()
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels
    assert budget["spec"]["maxUnavailable"] == 1
    assert "minAvailable" not in budget["spec"]
