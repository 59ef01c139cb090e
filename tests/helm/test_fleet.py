"""The fleet in the chart: a release is one site, relays are Pods with names of their own, and contradictions are sentences."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from controller.manifests import load
from exporters.collector import discover
from tests.helm.charts import ROOT, Refused, containers, controller, merged, named, nested, of_kind, pods, shape, words
from tests.helm.restricted import breaches, lapses

pytestmark = pytest.mark.tool("helm")
SERVERS = ["tls://nats.example:4222"]
FLEET = {"enabled": True, "site": "attic", "sites": ["attic", "barn"], "nats": {"servers": SERVERS}}
SITE = {"fleet": FLEET}
RELAYS = merged({"controller": {"enabled": False}}, {"fleet": FLEET | {"site": ""}}, nested("fleet.relays.replicas", 2))
NODES = nested(
    "manifests.nodes.rack-1.spec.workloads.storj", {"protocol": "storj", "endpoint": "http://storagenode:14002"}
)
SECRET = nested("fleet.nats.existingSecret", {"name": "nats", "tokenKey": "token", "caKey": "ca.crt"})
LIMITS = nested(
    "fleet.limits",
    [
        {"name": "golem-cpu", "protocol": "golem", "resource": "cpu", "maxTotal": "36"},
        {"name": "storj-share", "protocol": "storj", "resource": "storage", "maxShare": 0.6},
    ],
)
REFUSED = {
    "a name for two": (nested("fleet.relays.elsewhere", ["barn"]), "barn stands 2 times among fleet.sites"),
    "a password in an address": (
        nested("fleet.nats.servers", ["nats://me:secret@nats.example"]),
        "name that in fleet.nats.existingSecret",
    ),
    "a Secret without a key": (nested("fleet.nats.existingSecret.name", "nats"), "none of its keys is named"),
    "a site without a controller": (
        merged({"controller": {"enabled": False}}, nested("fleet.relays.replicas", 1)),
        "a site is its controller",
    ),
    "a site without a fleet": (nested("fleet.enabled", False), "fleet.enabled is false; write fleet.enabled: true"),
    "keys without a Secret": (nested("fleet.nats.existingSecret.tokenKey", "t"), "and no Secret; write its name"),
    "no name for this site": (nested("fleet.site", ""), "say which of attic, barn it is"),
    "no servers": (nested("fleet.nats.servers", []), "2 agents need servers to reach each other by"),
    "no sites": (nested("fleet.sites", []), "fleet.sites is empty"),
    "nine on eight": (nested("fleet.topology", "sierpinski9"), "sites and relays together are 2; write auto"),
    "relays on loopback": (nested("fleet.relays.listen", "127.0.0.1:9873"), 'write "0.0.0.0:9873"'),
    "a relay here and elsewhere": (
        merged({"fullnameOverride": "a"}, nested("fleet.relays.elsewhere", ["a-relay-0"]), nested("fleet.relays.replicas", 1)),
        "a-relay-0 stands 2 times",
    ),
    "relays without a fleet": (
        merged(nested("fleet.enabled", False), nested("fleet.site", ""), nested("fleet.relays.replicas", 1)),
        "fleet.relays.replicas is 1, and fleet.enabled is false",
    ),
    "somebody else's site": (nested("fleet.site", "cellar"), "which is not among fleet.sites; there are attic, barn"),
    "three on two": (nested("fleet.topology", "sierpinski"), "which has 3, 9, 27, 81 ... agents"),
    "two ways to log in": (
        nested("fleet.nats.existingSecret", {"name": "nats", "tokenKey": "a", "credentialsKey": "b"}),
        "keep the one that the servers want",
    ),
}  # fmt: skip


def document(found) -> dict:
    """The Fleet that the release writes: one, in a ConfigMap of its own."""
    (text,) = [
        text for each in of_kind(found, "ConfigMap") for text in each["data"].values() if "\nkind: Fleet\n" in text
    ]
    return dict(yaml.safe_load(text))


def relay(found) -> dict:
    (workload,) = of_kind(found, "StatefulSet")
    return workload


def box(pod, name="relay") -> dict:
    (found,) = [each for each in pod["spec"]["containers"] if each["name"] == name]
    return found


def mounted(pod, box) -> dict[str, dict]:
    """Where which volume is in a container."""
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    return {each["mountPath"]: volumes.get(each["name"], {"claim": True}) for each in box["volumeMounts"]}


# --- a site -----------------------------------------------------------------------------------------------------------


def test_a_release_is_one_site_and_its_controller_is_told_which(helm):
    pod = controller(helm.render(merged(SITE, NODES)))["spec"]["template"]
    run = box(pod, "controller")
    assert {"name": "ORCHA_SITE", "value": "attic"} in run["env"]
    assert "--manifests=/etc/orcha/fleet" in words(run)
    assert mounted(pod, run)["/etc/orcha/fleet"]["configMap"] == {"name": "orcha-fleet"}


def test_without_a_fleet_nothing_of_it_is_there(helm):
    found = helm.render(NODES)
    assert [named(each) for each in found if "relay" in named(each) or "fleet" in named(each)] == []
    assert "ORCHA_SITE" not in str(found)
    assert "checksum/fleet" not in str(found)


def test_orcha_reads_the_fleet_and_the_nodes_together(helm4, tmp_path):
    found = helm4.render(merged(SITE, NODES, LIMITS, SECRET, nested("fleet.relays.elsewhere", ["relay-b", "relay-a"])))
    for each in of_kind(found, "ConfigMap"):
        folder = tmp_path / each["metadata"]["name"]
        folder.mkdir()
        for name, text in each["data"].items():
            (folder / name).write_text(text)
    read = load(sorted(tmp_path.iterdir()), discover())
    assert read.problems == ()
    assert read.fleet is not None
    spec = read.fleet.spec
    assert spec.agents == ("attic", "barn", "relay-a", "relay-b")
    assert [(limit.name, limit.max_total, limit.max_share) for limit in spec.limits] == [
        ("golem-cpu", 36.0, None),
        ("storj-share", None, 0.6),
    ]
    assert spec.nats is not None
    assert (spec.nats.servers, spec.nats.token_file) == (SERVERS, "/etc/orcha/secrets/nats/token")
    assert (spec.nats.ca_file, spec.nats.credentials_file) == ("/etc/orcha/secrets/nats/ca.crt", None)
    assert (spec.heartbeat, spec.timeout, spec.sync, spec.irreversible_at_once) == (5.0, 10.0, 5.0, 1)


def test_every_release_writes_the_same_document_whatever_runs_in_it(helm4):
    """Where agents stand in the topology follows from the order of their names."""
    attic = merged(SITE, nested("fleet.relays.elsewhere", ["a-relay-0", "b-relay-1", "b-relay-0"]))
    barn = merged(attic, nested("fleet.site", "barn"))
    one = merged(RELAYS, {"fullnameOverride": "b"}, nested("fleet.relays.elsewhere", ["a-relay-0"]))
    other = merged(
        RELAYS, {"fullnameOverride": "a"}, nested("fleet.relays", {"replicas": 1, "elsewhere": ["b-relay-0", "b-relay-1"]})
    )  # fmt: skip
    assert document(helm4.render(attic))["spec"]["relays"] == ["a-relay-0", "b-relay-0", "b-relay-1"]
    assert len({str(document(helm4.render(each))) for each in (attic, barn, one, other)}) == 1


def test_no_limit_for_what_cannot_be_taken_back_is_null(helm):
    assert (
        document(helm.render(merged(SITE, nested("fleet.irreversibleAtOnce", None))))["spec"]["irreversibleAtOnce"]
        is None
    )
    assert document(helm.render(merged(SITE, nested("fleet.irreversibleAtOnce", 0))))["spec"]["irreversibleAtOnce"] == 0


def test_the_secret_of_nats_is_files_for_the_controller_and_not_for_an_exporter(helm4):
    found = helm4.render(merged(SITE, NODES, SECRET, {"exporter": {"kind": "Deployment"}}))
    assert of_kind(found, "Secret") == []
    for each in of_kind(found, "Deployment"):
        pod = each["spec"]["template"]
        paths = mounted(pod, pod["spec"]["containers"][0])
        is_controller = each["metadata"]["name"] == "orcha"
        assert ("/etc/orcha/secrets/nats" in paths) is is_controller
        if is_controller:
            secret = paths["/etc/orcha/secrets/nats"]["secret"]
            assert secret["secretName"] == "nats"
            assert [item["path"] for item in secret["items"]] == ["token", "ca.crt"]
            assert secret["defaultMode"] == 0o440


def test_new_limits_restart_nobody_and_new_agents_restart_all(helm4):
    def marks(*more):
        found = helm4.render(merged(SITE, nested("fleet.relays.replicas", 1), *more))
        return [
            each["spec"]["template"]["metadata"].get("annotations", {}) for each in (controller(found), relay(found))
        ]

    before = marks()
    assert all("checksum/fleet" in each for each in before)
    assert marks(LIMITS) == before
    assert marks(nested("fleet.irreversibleAtOnce", 3)) == before
    for change in ({"sites": ["attic", "barn", "cellar"]}, {"nats": {"servers": ["nats://b:1"]}}, {"heartbeat": "3s"}):
        assert all(one != other for one, other in zip(marks({"fleet": change}), before, strict=True)), change


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_makes_no_sense_is_refused_with_what_would_be_right(helm4, case):
    values, sentence = REFUSED[case]
    said = " ".join(helm4.refusal(merged(SITE, values)).split())
    assert sentence in said
    assert "nil pointer" not in said
    assert ":secret@" not in said


def test_a_limit_of_no_kind_is_refused_by_its_name(helm):
    assert "maxTotals" in helm.refusal(
        merged(SITE, nested("fleet.limits", [{"name": "a", "protocol": "golem", "resource": "cpu", "maxTotals": 1}]))
    )
    assert "sites" in helm.refusal(merged(SITE, nested("fleet.sites", ["Attic"])))


def test_a_release_whose_name_cannot_be_an_agent_s_is_refused_where_it_has_relays(helm4):
    assert helm4.template(SITE, name="a.b")
    with pytest.raises(Refused, match=r"relay a\.b-orcha-relay-0: a relay is called as its Pod is"):
        helm4.template(RELAYS, name="a.b")


def test_one_site_alone_needs_no_servers(helm4):
    found = helm4.render({"fleet": {"enabled": True, "site": "attic", "sites": ["attic"]}})
    assert "nats" not in document(found)["spec"]


# --- relays -----------------------------------------------------------------------------------------------------------


def test_relays_are_pods_of_a_stateful_set_each_called_as_its_pod(helm):
    found = helm.render(RELAYS)
    workload = relay(found)
    run = box(workload["spec"]["template"])
    assert named(workload) == "StatefulSet/orcha-relay"
    assert workload["spec"]["replicas"] == 2
    assert workload["spec"]["podManagementPolicy"] == "Parallel"
    assert {"name": "ORCHA_SITE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}} in run["env"]
    assert document(found)["spec"]["relays"] == ["orcha-relay-0", "orcha-relay-1"]
    assert of_kind(found, "Deployment") == []


def test_what_a_relay_is_started_with_the_command_understands(helm4, tmp_path):
    """Without the servers it would try for ever, so that it is asked for help with the same arguments, and for a relay that there is not."""
    found = helm4.render(RELAYS)
    run = box(relay(found)["spec"]["template"])
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(document(found)))
    given = [
        word.replace("/etc/orcha/fleet", str(tmp_path)).replace("/var/lib/orcha", str(tmp_path)) for word in words(run)
    ]
    argv = [sys.executable, "-m", "controller", *given]
    done = subprocess.run(
        argv,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"ORCHA_SITE": "orcha-relay-2", "PATH": ""},
    )
    assert done.returncode == 2
    assert "has no relay 'orcha-relay-2'; it has orcha-relay-0, orcha-relay-1" in " ".join(done.stderr.split())


def test_a_relay_reads_the_fleet_and_the_secret_of_nats_and_nothing_else(helm4):
    values = merged(RELAYS, SECRET, NODES, {"secrets": [{"name": "keys"}], "api": {"existingSecret": {"name": "api"}}})
    pod = relay(helm4.render(values))["spec"]["template"]
    paths = mounted(pod, box(pod))
    assert set(paths) == {"/etc/orcha/fleet", "/etc/orcha/secrets/nats", "/tmp", "/var/lib/orcha"}  # noqa: S108 where it is in the image
    assert paths["/etc/orcha/secrets/nats"]["secret"]["defaultMode"] == 0o440
    assert pod["spec"]["automountServiceAccountToken"] is False


def test_every_relay_has_a_disk_of_its_own(helm4):
    (claim,) = relay(helm4.render(RELAYS))["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "state"
    assert claim["spec"]["resources"]["requests"]["storage"] == "256Mi"
    assert "storageClassName" not in claim["spec"]
    other = nested("fleet.relays.persistence", {"storageClass": "-", "size": "1Gi", "annotations": {"a": "b"}})
    (claim,) = relay(helm4.render(merged(RELAYS, other)))["spec"]["volumeClaimTemplates"]
    assert (claim["spec"]["storageClassName"], claim["metadata"]["annotations"]) == ("", {"a": "b"})
    bare = relay(helm4.render(merged(RELAYS, nested("fleet.relays.persistence.enabled", False))))["spec"]
    assert "volumeClaimTemplates" not in bare
    assert "emptyDir" in mounted(bare["template"], box(bare["template"]))["/var/lib/orcha"]


def test_a_relay_is_restricted_and_asked_whether_it_lives_and_whether_it_is_ready(helm):
    pod = relay(helm.render(merged(RELAYS, SECRET)))["spec"]["template"]
    assert breaches(pod) == []
    assert lapses(pod) == []
    run = box(pod)
    asked = {probe: run[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe", "startupProbe")}
    assert {probe: each["path"] for probe, each in asked.items()} == {
        "livenessProbe": "/healthz", "readinessProbe": "/readyz", "startupProbe": "/healthz",
    }  # fmt: skip
    assert {each["port"] for each in asked.values()} == {"relay"}
    assert run["ports"] == [{"name": "relay", "containerPort": 9873, "protocol": "TCP"}]


def test_relays_have_a_headless_service_and_a_budget_that_select_them_and_no_controller(helm4):
    found = helm4.render(merged(SITE, nested("fleet.relays.replicas", 2)))
    labels = relay(found)["spec"]["template"]["metadata"]["labels"].items()
    others = controller(found)["spec"]["template"]["metadata"]["labels"].items()
    (service,) = [
        each for each in of_kind(found, "Service") if each["metadata"]["name"] == relay(found)["spec"]["serviceName"]
    ]
    assert service["spec"]["clusterIP"] == "None"
    (budget,) = of_kind(found, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    for selector in (service["spec"]["selector"], budget["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels
        assert not selector.items() <= others
    assert (
        of_kind(
            helm4.render(merged(RELAYS, nested("fleet.relays.podDisruptionBudget.enabled", False))),
            "PodDisruptionBudget",
        )
        == []
    )


@pytest.mark.parametrize("switch", ["podMonitor", "serviceMonitor"])
def test_relays_are_scraped_as_the_rules_expect(helm4, switch):
    found = helm4.render(merged(RELAYS, {switch: {"enabled": True}}))
    (monitor,) = of_kind(found, switch[0].upper() + switch[1:])
    (end,) = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
    assert end["port"] == "relay"
    assert {"action": "replace", "targetLabel": "job", "replacement": "orcha"} in end["relabelings"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= relay(found)["metadata"]["labels"].items()


@pytest.mark.parametrize("name", ["fleet-relays", "fleet-site"])
def test_the_network_policy_lets_agents_out_to_nats_and_relays_nowhere_else(helm4, name):
    found = helm4.render(shape(name))
    nats = shape(name)["networkPolicy"]["egress"]["nats"]["to"]
    (policy,) = of_kind(found, "NetworkPolicy")
    ways = [(rule.get("to"), [port["port"] for port in rule["ports"]]) for rule in policy["spec"]["egress"]]
    assert (nats, [4222]) in ways
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert all(rule["from"] for rule in policy["spec"]["ingress"])
    if name == "fleet-relays":
        assert {port for _, ports in ways for port in ports} == {53, 4222}
        assert [port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]] == ["relay"]
        assert (
            policy["spec"]["podSelector"]["matchLabels"].items()
            <= relay(found)["spec"]["template"]["metadata"]["labels"].items()
        )
    bare = merged(shape(name), nested("networkPolicy.egress.nats.to", []))
    (policy,) = of_kind(helm4.render(bare), "NetworkPolicy")
    assert 4222 not in [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]


ADDED = {
    "affinity": ({"nodeAffinity": {}}, lambda pod: pod["spec"]["affinity"] == {"nodeAffinity": {}}),
    "extraArgs": (["--more"], lambda pod: words(box(pod))[-1] == "--more"),
    "extraContainers": ([{"name": "more", "image": "more:1.0.0"}], lambda pod: box(pod, "more")),
    "extraEnv": ([{"name": "A", "value": "b"}], lambda pod: {"name": "A", "value": "b"} in box(pod)["env"]),
    "extraEnvFrom": ([{"secretRef": {"name": "s"}}], lambda pod: box(pod)["envFrom"] == [{"secretRef": {"name": "s"}}]),
    "extraVolumeMounts": (
        [{"name": "more", "mountPath": "/more"}],
        lambda pod: {"name": "more", "mountPath": "/more"} in box(pod)["volumeMounts"],
    ),
    "extraVolumes": (
        [{"name": "more", "emptyDir": {}}],
        lambda pod: {"name": "more", "emptyDir": {}} in pod["spec"]["volumes"],
    ),
    "initContainers": (
        [{"name": "first", "image": "more:1.0.0"}],
        lambda pod: pod["spec"]["initContainers"][0]["name"] == "first",
    ),
    "nodeSelector": ({"a": "b"}, lambda pod: pod["spec"]["nodeSelector"] == {"a": "b"}),
    "podAnnotations": ({"a": "b"}, lambda pod: pod["metadata"]["annotations"]["a"] == "b"),
    "podLabels": ({"a": "b"}, lambda pod: pod["metadata"]["labels"]["a"] == "b"),
    "priorityClassName": ("high", lambda pod: pod["spec"]["priorityClassName"] == "high"),
    "terminationGracePeriodSeconds": (77, lambda pod: pod["spec"]["terminationGracePeriodSeconds"] == 77),
    "tolerations": ([{"operator": "Exists"}], lambda pod: pod["spec"]["tolerations"] == [{"operator": "Exists"}]),
    "topologySpreadConstraints": (
        [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        lambda pod: pod["spec"]["topologySpreadConstraints"][0]["topologyKey"] == "zone",
    ),
}  # fmt: skip


@pytest.mark.parametrize("field", sorted(ADDED))
def test_what_somebody_adds_to_relays_is_in_their_pods(helm4, field):
    value, is_there = ADDED[field]
    assert is_there(relay(helm4.render(merged(RELAYS, {"fleet": {"relays": {field: value}}})))["spec"]["template"])


def test_the_test_of_a_release_asks_its_relays_too(helm4):
    (test,) = [pod for where, pod in pods(helm4.render(RELAYS)) if where.startswith("Pod/")]
    assert "http://orcha-relay:9873/healthz" in words(containers(test)[0])


# --- notes ------------------------------------------------------------------------------------------------------------


def test_notes_say_which_site_this_is_and_who_has_to_name_the_relays(helm4):
    said = helm4.notes(SITE)
    assert "2 sites, of which this is attic." in said
    assert "--manifests /etc/orcha/fleet" in said
    assert "orcha-relay-0, orcha-relay-1" in helm4.notes(RELAYS)
    assert "THE FLEET" not in helm4.notes({})


def test_notes_warn_of_agents_that_reach_nobody_and_of_relays_that_forget(helm4):
    shut = {"networkPolicy": {"enabled": True}}
    assert "networkPolicy.egress.nats.to" in helm4.notes(merged(SITE, shut))
    assert "networkPolicy.egress.nats.to" not in helm4.notes(shut)
    forgetful = nested("fleet.relays.persistence.enabled", False)
    assert "fleet.relays.persistence" in helm4.notes(merged(RELAYS, forgetful))
    assert "fleet.relays.persistence" not in helm4.notes(RELAYS)
