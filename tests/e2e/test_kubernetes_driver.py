"""The driver kubernetes against a real control plane, with exactly the rights that docs/kubernetes.md tells people to grant."""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
import yaml
from lightkube import AsyncClient, KubeConfig

from controller.actuate.driver import NotNow, Refused
from controller.actuate.kubernetes import Kubernetes
from controller.actuate.kubernetes.api import Api
from controller.programs import Order
from exporters.nodes import Kubernetes as Spec
from tests.e2e.cluster import Account, Cluster
from tests.e2e.programs import ROOT, until

pytestmark = [pytest.mark.tool("kubernetes"), pytest.mark.timeout(240), pytest.mark.xdist_group("kubernetes")]

ENV = "STORJ_STORAGE_ALLOCATED_DISK_SPACE"
TB = 1e12
NAMES = {"StatefulSet": "storagenode", "Deployment": "provider", "Pod": "provider"}
"""As in the Roles of the page."""
SIZE = {"requests": {"cpu": "500m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}}


def documented_rules(kind: str) -> list[dict[str, Any]]:
    """The rules of the Role for a kind, as the page has them."""
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    roles = [
        yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "kind: Role" in block
    ]
    return next(role["rules"] for role in roles if role["metadata"]["name"] == f"orcha-{kind.lower()}")


def workload(namespace: str, kind: str = "StatefulSet", strategy: str = "", **box: Any) -> dict[str, Any]:
    labels = {"app": NAMES[kind]}
    container = {"name": "node", "image": "node:1", "resources": SIZE, **box}
    metadata = {"name": NAMES[kind], "namespace": namespace}
    if kind == "Pod":
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": {"containers": [container]}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec: dict[str, Any] = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    if kind == "StatefulSet":
        spec["serviceName"] = "node"
    if strategy:
        spec["updateStrategy" if kind == "StatefulSet" else "strategy"] = {"type": strategy}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def order(direction: str = "forward", **amounts: float) -> Order:
    return Order("rack-1/node", amounts, f"p-1/rack-1/node/{direction}", "because it pays", {"cpu": 1.0})


class Site:
    """One namespace with one workload, and who may do what in it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace, self.api = cluster, namespace, cluster.api()
        self.kind, self.drivers = "StatefulSet", list[Kubernetes]()

    def path(self, name: str = "") -> str:
        name = name or NAMES[self.kind]
        group = "api/v1" if self.kind == "Pod" else "apis/apps/v1"
        return f"/{group}/namespaces/{self.namespace}/{self.kind.lower()}s/{name}"

    def start(self, kind: str = "StatefulSet", manager: str = "helm", **more: Any) -> dict[str, Any]:
        """Made by server-side apply as Helm 4 does, and running; gives it as it stands."""
        self.kind = kind
        self.api.apply(workload(self.namespace, kind, **more), manager)
        return until(self.settled, "the first roll-out")

    def settled(self) -> dict[str, Any] | None:
        if self.kind == "Pod":
            found = self.look()
            return found if found["status"].get("phase") == "Running" else None
        return self.api.settled(self.path())

    def look(self) -> dict[str, Any]:
        return dict(self.api.get(self.path()))

    def box(self) -> dict[str, Any]:
        spec = self.look()["spec"]
        return dict((spec if self.kind == "Pod" else spec["template"]["spec"])["containers"][0])

    def env(self) -> dict[str, str]:
        return {each["name"]: each.get("value") for each in self.box().get("env", ())}

    def pod(self) -> dict[str, Any]:
        (found,) = self.api.pods(self.namespace)
        return found

    def edit(self, body: Any, manager: str = "kubectl-edit") -> None:
        self.api.patch(
            self.path(), {"spec": {"template": {"spec": {"containers": [{"name": "node", **body}]}}}}, manager
        )

    def events(self) -> list[str]:
        found = self.api.get(f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events")["items"]
        ours = [each for each in found if each.get("reportingController") == "orcha.dev/orcha"]
        return sorted(f"{each['reason']}: {each['note']}" for each in ours)

    def account(self, *without: str) -> Account:
        """The documented rights, apart from those for some resources."""
        rules = [rule for rule in documented_rules(self.kind) if not set(rule["resources"]) & set(without)]
        account = self.cluster.service_account(self.namespace, "orcha", rules)
        until(lambda: all(self.grants(account, rule) for rule in rules), "the rights being in force")
        return account

    def grants(self, account: Account, rule: dict[str, Any]) -> bool:
        """Whether the API server goes by a rule already: it learns of a new Role a moment later."""
        resource, _, part = rule["resources"][0].partition("/")
        name = rule.get("resourceNames", [""])[0]
        wish = {
            "group": rule["apiGroups"][0],
            "resource": resource,
            "subresource": part,
            "verb": rule["verbs"][0],
            "name": name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"namespace": self.namespace, **wish}},
        }  # fmt: skip
        answer = account.api.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool(answer["status"]["allowed"])

    def driver(self, *, singleton: bool = False, account: Account | None = None, **spec: Any) -> Kubernetes:
        who = account or self.account()
        place = {"kind": self.kind, "namespace": self.namespace, "name": NAMES[self.kind], "container": "node"}
        api = Api(lambda: AsyncClient(config=KubeConfig.from_file(who.kubeconfig), trust_env=False))
        self.drivers.append(
            Kubernetes(
                "rack-1/node", Spec.model_validate(place | spec), ["cpu", "memory", "storage"],
                singleton=singleton, connect=api.share,
            )
        )  # fmt: skip
        return self.drivers[-1]


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    with cluster.namespace("driver") as name:
        yield name


@pytest.fixture
async def site(cluster: Cluster, namespace: str):
    made = Site(cluster, namespace)
    yield made
    for driver in made.drivers:
        await driver.close()


async def through(driver: Kubernetes, told: Order) -> list[str]:
    """Wait until nothing is missing; gives what was, on the way."""
    said: list[str] = []
    async with asyncio.timeout(60):
        while (missing := await driver.verify(told)) is not None:
            said += [missing] if said[-1:] != [missing] else []
            await asyncio.sleep(0.1)
    return said


async def patiently(act: Callable[[], Awaitable[None]]) -> None:
    """As the Actuator does it: what is refused for now is looked at and tried again."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await act()
            except NotNow:
                await asyncio.sleep(0.1)


async def there_and_seen(driver: Kubernetes, told: Order) -> None:
    await patiently(lambda: driver.apply(told))
    await driver.verify(told)


async def said_in_the_end(driver: Kubernetes, told: Order, word: str) -> str:
    """The first clause or refusal with that word in it."""
    async with asyncio.timeout(30):
        while True:
            try:
                said = await driver.verify(told) or ""
            except Refused as exc:
                said = f"refused: {exc}"
            if word in said:
                return said
            await asyncio.sleep(0.1)


STORAGE: Mapping[str, Any] = {"env": {ENV: "{storage:B}B"}}


async def test_a_stateful_set_changes_its_variable_and_its_resources_and_goes_back_to_the_letter(site):
    before = site.start(env=[{"name": ENV, "value": "8TB"}, {"name": "OTHER", "value": "x"}])
    hands = site.driver(**STORAGE, resources=["cpu", "memory"], takeOwnership=True)
    assert await hands.check() == ()
    stood = await hands.read()
    assert stood["owners"][f"node/env/{ENV}"] == ["helm"]
    told = order(storage=9 * TB, cpu=2.0, memory=2.0**27)
    await patiently(lambda: hands.apply(told))
    await through(hands, told)
    assert site.env() == {ENV: "9000000000000B", "OTHER": "x"}
    wants = {"requests": {"cpu": "1", "memory": "128Mi"}, "limits": {"cpu": "2", "memory": "128Mi"}}
    assert site.pod()["spec"]["containers"][0]["resources"] == wants
    back = order("backward", storage=8 * TB, cpu=1.0, memory=2.0**26)
    await patiently(lambda: hands.undo(back, stood))
    await through(hands, back)
    assert site.look()["spec"] == before["spec"]
    assert site.pod()["spec"]["containers"][0]["resources"] == SIZE
    assert [event.split(":")[0] for event in site.events()] == ["AllocationChanged", "AllocationRestored"]


async def test_a_variable_that_was_absent_is_absent_again(site):
    before = site.start()
    hands = site.driver(**STORAGE)
    stood = await hands.read()
    await patiently(lambda: hands.apply(order(storage=9 * TB)))
    assert site.env() == {ENV: "9000000000000B"}
    await patiently(lambda: hands.undo(order("backward", storage=8 * TB), stood))
    assert site.look()["spec"] == before["spec"]
    assert "orcha.dev/sets" not in site.look()["metadata"].get("annotations", {})


async def test_a_flag_changes_in_its_place_and_goes_back(site):
    before = site.start(args=["run", "--cpu", "1", "--name=x"])
    hands = site.driver(args=["--cpu={cpu}"], takeOwnership=True)
    stood = await hands.read()
    await patiently(lambda: hands.apply(order(cpu=2)))
    assert site.box()["args"] == ["run", "--cpu", "2", "--name=x"]
    await patiently(lambda: hands.undo(order("backward", cpu=1), stood))
    assert site.look()["spec"] == before["spec"]


async def test_the_same_order_twice_changes_nothing_the_second_time(site):
    site.start()
    hands = site.driver(**STORAGE)
    told = order(storage=9 * TB)
    await patiently(lambda: hands.apply(told))
    await through(hands, told)
    version = site.look()["metadata"]["resourceVersion"]
    await hands.apply(told)
    assert site.look()["metadata"]["resourceVersion"] == version
    assert len(site.events()) == 1


@pytest.mark.parametrize("manager", ["helm", "argocd-controller"])
async def test_a_field_of_another_manager_is_a_conflict_until_it_may_be_taken(site, manager):
    site.start(manager=manager, env=[{"name": ENV, "value": "8TB"}])
    timid = site.driver(**STORAGE)
    (said,) = await timid.check()
    assert said.startswith(
        f"env {ENV} of container node of StatefulSet {site.namespace}/storagenode is set by {manager}; take it out"
    )
    with pytest.raises(Refused, match=rf'is set by "{manager}"; take it out .* set takeOwnership: true'):
        await timid.apply(order(storage=9 * TB))
    assert site.env() == {ENV: "8TB"}
    bold = site.driver(**STORAGE, takeOwnership=True)
    await patiently(lambda: bold.apply(order(storage=9 * TB)))
    assert site.env() == {ENV: "9000000000000B"}
    assert (await bold.read())["owners"] == {f"node/env/{ENV}": ["orcha"]}


async def test_what_was_applied_by_kubectl_from_the_client_is_another_managers_too(site):
    site.start()
    site.edit({"env": [{"name": ENV, "value": "8TB"}]}, manager="kubectl-client-side-apply")
    with pytest.raises(Refused, match='is set by "kubectl-client-side-apply"'):
        await site.driver(**STORAGE).apply(order(storage=9 * TB))


async def test_a_manual_change_is_respected_until_somebody_says_otherwise(site):
    site.start(env=[{"name": ENV, "value": "8TB"}])
    hands = site.driver(**STORAGE, resources=["cpu"], takeOwnership=True)
    stood = await hands.read()
    await patiently(lambda: hands.apply(order(storage=9 * TB, cpu=2)))
    site.edit({"env": [{"name": ENV, "value": "3TB"}]})
    said = r"was changed \(by kubectl-edit\) after orcha had set it, which is respected"
    with pytest.raises(Refused, match=said):
        await hands.apply(order(storage=10 * TB, cpu=2))
    with pytest.raises(Refused, match=said):
        await patiently(lambda: hands.undo(order("backward", storage=8 * TB, cpu=1), stood))
    assert site.env() == {ENV: "3TB"}
    assert site.box()["resources"] == SIZE
    assert any(event.startswith("AllocationRefused: rack-1/node: cpu 1 → 2, storage") for event in site.events())
    hands.reclaim()
    await patiently(lambda: hands.apply(order(storage=10 * TB, cpu=2)))
    assert site.env() == {ENV: "10000000000000B"}


async def test_a_variable_that_a_person_took_out_stays_out(site):
    site.start()
    hands = site.driver(**STORAGE)
    await patiently(lambda: hands.apply(order(storage=9 * TB)))
    site.edit({"env": [{"name": ENV, "$patch": "delete"}]})
    with pytest.raises(Refused, match="was changed after orcha had set it"):
        await hands.apply(order(storage=10 * TB))
    assert site.env() == {}


async def test_two_workloads_of_one_object_leave_each_others_fields_alone(site):
    site.start(args=["--cpu=1"])
    one, other = site.driver(**STORAGE), site.driver(args=["--cpu={cpu}"], resources=["cpu"], takeOwnership=True)
    stood = await other.read()
    await patiently(lambda: one.apply(order(storage=9 * TB)))
    await patiently(lambda: other.apply(order(cpu=2)))
    await patiently(lambda: one.apply(order(storage=7 * TB)))
    assert (site.box()["args"], site.box()["resources"]["limits"]["cpu"]) == (["--cpu=2"], "2")
    await patiently(lambda: other.undo(order("backward", cpu=1), stood))
    assert (site.box()["args"], site.box()["resources"]) == (["--cpu=1"], SIZE)
    assert site.env() == {ENV: "7000000000000B"}


async def test_what_a_chart_sets_back_is_a_change_by_hand(site):
    site.start(env=[{"name": ENV, "value": "8TB"}])
    hands = site.driver(**STORAGE, takeOwnership=True)
    await patiently(lambda: hands.apply(order(storage=9 * TB)))
    site.api.apply(workload(site.namespace, env=[{"name": ENV, "value": "8TB"}]), "helm", force=True)
    with pytest.raises(Refused, match=r"was changed \(by helm\)"):
        await hands.apply(order(storage=9 * TB))


async def test_a_chart_that_leaves_the_field_out_after_orcha_took_it_leaves_it_alone(site):
    site.start(env=[{"name": ENV, "value": "8TB"}, {"name": "OTHER", "value": "x"}])
    hands = site.driver(**STORAGE, takeOwnership=True)
    await patiently(lambda: hands.apply(order(storage=9 * TB)))
    site.api.apply(workload(site.namespace, env=[{"name": "OTHER", "value": "y"}]), "helm")
    assert site.env() == {ENV: "9000000000000B", "OTHER": "y"}
    await patiently(lambda: hands.apply(order(storage=10 * TB)))
    assert site.env() == {ENV: "10000000000000B", "OTHER": "y"}


async def test_a_write_from_a_stale_look_is_refused_for_now(site):
    site.start()
    hands = site.driver(**STORAGE)
    thing = site.look()
    site.edit({"image": "node:2"})
    api = hands._api
    stale = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {
        "name": "storagenode", "namespace": site.namespace, "resourceVersion": thing["metadata"]["resourceVersion"],
    }}  # fmt: skip
    with pytest.raises(NotNow, match="was changed by somebody else meanwhile"):
        await api.apply(stale, force=True)
    await patiently(lambda: hands.apply(order(storage=9 * TB)))
    assert site.env() == {ENV: "9000000000000B"}


async def test_a_deployment_that_recreates_carries_a_singleton(site):
    site.start("Deployment", strategy="Recreate")
    hands = site.driver(singleton=True, **STORAGE, takeOwnership=True)
    assert await hands.check() == ()
    first, told = site.pod()["metadata"]["uid"], order(storage=9 * TB)
    await patiently(lambda: hands.apply(told))
    await through(hands, told)
    assert site.pod()["metadata"]["uid"] != first
    assert site.pod()["spec"]["containers"][0]["env"] == [{"name": ENV, "value": "9000000000000B"}]


async def test_a_deployment_that_rolls_is_no_place_for_a_singleton(site):
    site.start("Deployment")
    hands = site.driver(singleton=True, **STORAGE)
    with pytest.raises(Refused, match=r"set strategy\.type to Recreate"):
        await hands.apply(order(storage=9 * TB))


async def test_replicas_follow_and_go_back(site):
    site.start("Deployment")
    hands = site.driver(replicas="{cpu}", takeOwnership=True)
    stood, told = await hands.read(), order(cpu=2)
    await patiently(lambda: hands.apply(told))
    await through(hands, told)
    assert len(site.api.pods(site.namespace)) == 2
    back = order("backward", cpu=1)
    await patiently(lambda: hands.undo(back, stood))
    await through(hands, back)
    assert site.look()["spec"]["replicas"] == 1


async def test_a_pod_is_resized_in_place_and_back(site):
    site.start("Pod")
    hands = site.driver(resources=["cpu"], takeOwnership=True)
    assert await hands.check() == ()
    first, stood, told = site.look()["metadata"]["uid"], await hands.read(), order(cpu=2)
    await patiently(lambda: hands.apply(told))
    await through(hands, told)
    assert site.look()["status"]["containerStatuses"][0]["resources"]["limits"]["cpu"] == "2"
    assert site.look()["metadata"]["annotations"]["orcha.dev/sets"] == "node/limits/cpu node/requests/cpu"
    back = order("backward", cpu=1)
    await patiently(lambda: hands.undo(back, stood))
    await through(hands, back)
    assert site.box()["resources"] == SIZE
    assert site.look()["metadata"]["uid"] == first


async def test_a_pod_that_somebody_else_resized_is_left_alone(site):
    site.start("Pod")
    hands = site.driver(resources=["cpu"], takeOwnership=True)
    await patiently(lambda: hands.apply(order(cpu=2)))
    body = {"spec": {"containers": [{"name": "node", "resources": {"limits": {"cpu": "3"}}}]}}
    site.api.patch(f"{site.path()}/resize", body, "kubectl-edit")
    with pytest.raises(Refused, match=r"limits.cpu of container node .* was changed \(by kubectl-edit\)"):
        await patiently(lambda: hands.apply(order(cpu=1)))


async def test_a_stateful_set_that_replaces_nothing_is_resized_with_its_template_and_without_a_restart(site):
    before = site.start(strategy="OnDelete")
    hands = site.driver(resources=["cpu"], takeOwnership=True)
    assert await hands.check() == ()
    first, stood, told = site.pod()["metadata"]["uid"], await hands.read(), order(cpu=2)
    await patiently(lambda: hands.apply(told))
    await through(hands, told)
    assert site.box()["resources"]["limits"]["cpu"] == "2"
    assert site.pod()["status"]["containerStatuses"][0]["resources"]["limits"]["cpu"] == "2"
    back = order("backward", cpu=1)
    await patiently(lambda: hands.undo(back, stood))
    await through(hands, back)
    assert site.look()["spec"] == before["spec"]
    assert site.pod()["metadata"]["uid"] == first


@pytest.mark.parametrize("answer", ["Infeasible", "Deferred"])
async def test_a_node_that_cannot_resize_is_reported_in_its_own_words(site, answer):
    more = {"metadata": {"labels": {"app": "storagenode"}, "annotations": {"orcha.test/resize": answer}}}
    thing = workload(site.namespace, strategy="OnDelete")
    thing["spec"]["template"] |= more
    site.api.apply(thing, "helm")
    until(site.settled, "the first roll-out")
    hands, told = site.driver(resources=["cpu"], takeOwnership=True), order(cpu=2)
    await patiently(lambda: hands.apply(told))

    wants = {
        "Infeasible": "refused: the node of pod storagenode-0 cannot resize it: Infeasible (this node was told to refuse)",
        "Deferred": "the node of pod storagenode-0 resizes it later: Deferred (this node was told to refuse)",
    }
    assert await said_in_the_end(hands, told, answer) == wants[answer]


async def test_a_resize_that_would_change_the_quality_of_service_is_refused_in_the_servers_words(site):
    site.start("Pod", resources={})
    with pytest.raises(Refused, match=r"refused to patch pods/resize .* \(422\): .*QOS Class may not change"):
        await site.driver(resources=["cpu", "memory"]).apply(order(cpu=1, memory=2.0**26))


async def test_a_roll_out_that_does_not_come_through_says_why(site):
    site.start()
    hands, told = site.driver(resources=["cpu"], takeOwnership=True), order(cpu=64)
    await patiently(lambda: hands.apply(told))

    said = await said_in_the_end(hands, told, "Unschedulable")
    assert re.match(
        r"\d of 1 pods are (updated|ready); pod storagenode-0: Unschedulable \(0/2 nodes are available", said
    )


async def test_a_roll_out_that_is_stuck_goes_back(site):
    site.start()
    hands, told = site.driver(resources=["cpu"], takeOwnership=True), order(cpu=64)
    stood = await hands.read()
    await patiently(lambda: hands.apply(told))
    await said_in_the_end(hands, told, "Unschedulable")
    back = order("backward", cpu=1)
    await patiently(lambda: hands.undo(back, stood))
    await through(hands, back)
    assert site.pod()["spec"]["containers"][0]["resources"] == SIZE


@pytest.mark.parametrize(
    ("kind", "without", "said"),
    [
        ("StatefulSet", "statefulsets", 'orcha may not get statefulsets.apps "storagenode"'),
        ("Deployment", "deployments", 'orcha may not get deployments.apps "provider"'),
        ("StatefulSet", "pods", "orcha may not list pods"),
        ("Pod", "pods/resize", 'orcha may not patch pods/resize "provider"'),
    ],
)
async def test_a_missing_right_is_told_and_refused(site, kind, without, said):
    site.start(kind)
    hands = site.driver(account=site.account(without), resources=["cpu"], takeOwnership=True)
    sentences = await hands.check()
    assert any(sentence.startswith(said) for sentence in sentences)
    with pytest.raises(Refused, match="orcha may not"):
        await there_and_seen(hands, order(cpu=2))


async def test_without_the_right_to_write_events_a_change_works_all_the_same(site):
    site.start()
    hands = site.driver(account=site.account("events"), **STORAGE)
    await patiently(lambda: hands.apply(order(storage=9 * TB)))
    assert site.env() == {ENV: "9000000000000B"}
    assert site.events() == []


async def test_an_autoscaler_of_the_same_object_is_seen(site):
    site.start("Deployment")
    site.api.create({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "auto", "namespace": site.namespace},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "provider"}},
    })  # fmt: skip
    (said,) = await site.driver(replicas="{cpu}", takeOwnership=True).check()
    assert said.startswith("HorizontalPodAutoscaler auto sets replicas of Deployment")


async def test_an_event_is_listed_where_kubectl_describe_looks_for_it(site):
    thing = site.start()
    hands = site.driver(**STORAGE, resources=["cpu"], takeOwnership=True)
    await patiently(lambda: hands.apply(order(storage=9 * TB, cpu=2)))
    about = {"involvedObject.kind": "StatefulSet", "involvedObject.uid": thing["metadata"]["uid"]}
    selector = ",".join(f"{name}={value}" for name, value in about.items())
    found = site.api.get(f"/api/v1/namespaces/{site.namespace}/events", fieldSelector=selector)["items"]
    (ours,) = [each for each in found if each["reportingComponent"] == "orcha.dev/orcha"]
    assert (ours["type"], ours["reason"]) == ("Normal", "AllocationChanged")
    assert ours["message"] == "rack-1/node: cpu 1 → 2, storage 8.185Ti. because it pays"


async def test_an_object_that_was_made_anew_is_a_first_time_again(site):
    site.start(env=[{"name": ENV, "value": "8TB"}])
    hands = site.driver(**STORAGE, takeOwnership=True)
    stood = await hands.read()
    await patiently(lambda: hands.apply(order(storage=9 * TB)))
    site.api.delete(site.path())
    until(lambda: not site.api.pods(site.namespace), "the end of the first one")
    again = copy.deepcopy(site.start(env=[{"name": ENV, "value": "7TB"}]))
    await hands.undo(order("backward", storage=8 * TB), stood)
    assert site.look()["spec"] == again["spec"]
    await patiently(lambda: hands.apply(order(storage=9 * TB)))
    assert site.env() == {ENV: "9000000000000B"}
