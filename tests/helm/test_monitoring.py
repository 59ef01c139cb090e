"""Prometheus and Grafana: nothing unless asked for, then the very rules and dashboards that are tested, where they are found."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from scripts import rules
from tests.helm.charts import CHART, NAMESPACE, ROOT, Refused, merged, named, nested, of_kind, pods

pytestmark = pytest.mark.tool("helm")
KINDS = ("ServiceMonitor", "PodMonitor", "PrometheusRule", "AlertmanagerConfig")
SWITCHES = dict(
    zip(("serviceMonitor", "podMonitor", "prometheusRule", "alertmanagerConfig"), KINDS, strict=True),
    dashboards="ConfigMap",
)
PAGES = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
SHORT = ("controller.yaml", "decisions.yaml", "nothing.yaml", "recording.yaml")
"""Those of prometheus/tests that take seconds: that the object is what all of them test, another test says."""
NODES = nested(
    "manifests.nodes.rack-1.spec",
    {"capacity": {"cpu": "1"}, "workloads": {"a": {"protocol": "storj", "endpoint": "http://a"}}},
)
RELEASE = {"release": "kube-prometheus-stack"}


def on(switch: str, **more) -> dict:
    return {switch: {"enabled": True} | more}


def dashboards(found):
    return [each for each in of_kind(found, "ConfigMap") if any(key.endswith(".json") for key in each["data"])]


def test_nothing_of_it_is_on_by_default(helm):
    found = helm.render({})
    assert of_kind(found, *KINDS, "NetworkPolicy", "PodDisruptionBudget") == []
    assert dashboards(found) == []


@pytest.mark.parametrize("switch", sorted(SWITCHES))
def test_each_has_a_switch_labels_annotations_and_a_namespace(helm, switch):
    def made(values):
        return [each for each in of_kind(helm.render(values), SWITCHES[switch]) if each not in plain]

    plain = of_kind(helm.render({}), SWITCHES[switch])
    found = made(on(switch, labels=RELEASE, annotations={"a": "b"}, namespace="monitoring"))
    assert found
    for each in found:
        assert each["metadata"]["labels"]["release"] == "kube-prometheus-stack"
        assert each["metadata"]["annotations"]["a"] == "b"
        assert each["metadata"]["namespace"] == "monitoring"
    assert {each["metadata"].get("namespace", NAMESPACE) for each in made(on(switch))} == {NAMESPACE}


@pytest.mark.parametrize("kind", ["none", "Deployment", "Sidecar"])
@pytest.mark.parametrize("switch", ["podMonitor", "serviceMonitor"])
def test_a_monitor_finds_its_target_also_from_another_namespace(helm, switch, kind):
    more = {"interval": "17s", "scrapeTimeout": "9s", "relabelings": [{"targetLabel": "a", "replacement": "b"}]}
    values = merged(
        on(switch, namespace="monitoring", metricRelabelings=[{"action": "labeldrop", "regex": "x"}], **more)
    )
    found = helm.render(merged(NODES, values, {"exporter": {"kind": kind}}))
    monitors = of_kind(found, SWITCHES[switch])
    assert len(monitors) == (1 if kind == "none" else 2)
    for each in monitors:
        assert each["spec"]["namespaceSelector"]["matchNames"] == [NAMESPACE]
        (end,) = each["spec"]["endpoints" if switch == "serviceMonitor" else "podMetricsEndpoints"]
        assert (end["interval"], end["scrapeTimeout"]) == ("17s", "9s")
        assert {"targetLabel": "a", "replacement": "b"} in end["relabelings"]
        assert {"action": "labeldrop", "regex": "x"} in end["metricRelabelings"]
        assert end.get("path", "/metrics") == "/metrics"
        assert len(targets(found, each, end["port"])) == 1, named(each)


def targets(found, monitor, port):
    """What the monitor's selector and port lead to: Services, or Pods."""
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    if monitor["kind"] == "ServiceMonitor":
        return [
            each
            for each in of_kind(found, "Service")
            if wanted <= each["metadata"]["labels"].items() and port in [this["name"] for this in each["spec"]["ports"]]
        ]
    return [
        where
        for where, pod in pods(found)
        if wanted <= pod["metadata"]["labels"].items()
        and port in [this["name"] for box in pod["spec"]["containers"] for this in box.get("ports", ())]
    ]


def groups(found):
    (rule,) = of_kind(found, "PrometheusRule")
    return rule["spec"]["groups"]


def written(values) -> list:
    """The groups that scripts/rules.py writes for these parameters."""
    files = rules.rendered(values)
    return [group for name in sorted(files) for group in yaml.safe_load(files[name])["groups"]]


def by_name(found):
    return sorted(found, key=lambda group: group["name"])


PARAMETERS = {
    "as they are": {},
    "others": {
        "thresholdUsdPerHour": 5,
        "targetLabels": "instance, job, replica",
        "disconnectedFor": "1m",
        "storjAuditRatio": 0.99,
        "runbookUrl": "https://wiki.example",
        "controllerSelector": 'job="depin/orcha"',
    },
}


@pytest.mark.parametrize("case", sorted(PARAMETERS))
def test_the_rules_are_those_that_are_tested(helm, case):
    parameters = PARAMETERS[case]
    found = groups(helm.render(on("prometheusRule", parameters=parameters)))
    assert by_name(found) == by_name(written(rules.parameters(None) | parameters))
    assert len(found) > 5


@pytest.mark.parametrize("disabled", [["OrchaDown"], ["OrchaOpportunity", "OrchaNodeDown"]], ids=["one", "two"])
def test_an_alert_can_be_switched_off(helm, disabled):
    found = groups(helm.render(on("prometheusRule", disabledAlerts=disabled)))
    assert by_name(found) == by_name(written(rules.parameters(None) | {"disabledAlerts": disabled}))
    assert not set(disabled) & {each.get("alert") for group in found for each in group["rules"]}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"disabledAlerts": ["OrchaDwon"]}, "OrchaDwon"),
        ({"parameters": {"downFro": "5m"}}, "downFro"),
        ({"parameters": {"downFor": "5 minutes"}}, "downFor"),
    ],
    ids=["alert", "name", "value"],
)
def test_a_parameter_or_alert_that_there_is_not_is_refused(helm, values, words):
    assert words in helm.refusal(on("prometheusRule", **values))


@pytest.mark.tool("prometheus")
@pytest.mark.timeout(600)
def test_promtool_takes_the_rules_and_their_tests_hold_on_them(helm4, tool, tmp_path):
    found = {group["name"]: group for group in groups(helm4.render(on("prometheusRule")))}
    for name, text in rules.rendered(
        rules.parameters(None)
    ).items():  # the tests name three files; in the object they are one
        mine = [found.pop(group["name"]) for group in yaml.safe_load(text)["groups"]]
        (tmp_path / "rules").mkdir(exist_ok=True)
        (tmp_path / "rules" / name).write_text(yaml.safe_dump({"groups": mine}, sort_keys=False))
    assert found == {}
    (tmp_path / "tests").mkdir()
    for name in SHORT:
        (tmp_path / "tests" / name).write_text((rules.HOME / "tests" / name).read_text())
    promtool = str(tool("prometheus") / "promtool")
    files, tests = sorted((tmp_path / "rules").iterdir()), sorted((tmp_path / "tests").iterdir())
    for argv in (["check", "rules", *files], ["test", "rules", *tests]):
        done = subprocess.run([promtool, *map(str, argv)], capture_output=True, text=True, timeout=500, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboards_are_the_files_to_the_letter(helm):
    found = dashboards(helm.render(on("dashboards", labels={"grafana_dashboard": "1"}, folder="DePIN")))
    given = {name: text for each in found for name, text in each["data"].items()}
    assert sorted(given) == [path.name for path in PAGES]
    for path in PAGES:
        assert json.loads(given[path.name]) == json.loads(path.read_text())
    for each in found:
        assert len(each["data"]) == 1
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["annotations"]["grafana_folder"] == "DePIN"
        assert len(json.dumps(each)) < 900_000, "the API server takes 1 MiB"


@pytest.mark.parametrize("switch", ["dashboards", "prometheusRule"])
def test_a_chart_whose_links_got_lost_says_so_and_installs_no_half(helm4, tmp_path, switch):
    chart = tmp_path / "orcha"
    shutil.copytree(
        CHART, chart, ignore=lambda folder, _: [each.name for each in Path(folder).iterdir() if each.is_symlink()]
    )
    with pytest.raises(Refused, match="package the chart with helm package"):
        helm4.template(on(switch), chart=chart)


def test_what_the_sidecar_looks_for_can_be_otherwise(helm4):
    values = on(
        "dashboards",
        labels={"grafana_dashboard": None, "mine": "yes"},
        folderAnnotation="k8s-sidecar-folder",
        folder="x",
    )
    for each in dashboards(helm4.render(values)):
        assert "grafana_dashboard" not in each["metadata"]["labels"]
        assert each["metadata"]["labels"]["mine"] == "yes"
        assert each["metadata"]["annotations"]["k8s-sidecar-folder"] == "x"


def test_alerts_are_routed_as_the_tested_file_routes_them(helm4):
    (found,) = of_kind(helm4.render(on("alertmanagerConfig")), "AlertmanagerConfig")
    source = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text())
    assert found["spec"]["route"]["receiver"] == source["route"]["receiver"]
    assert [each["receiver"] for each in found["spec"]["route"]["routes"]] == [
        each["receiver"] for each in source["route"]["routes"]
    ]
    assert {each["name"] for each in found["spec"]["receivers"]} == {each["name"] for each in source["receivers"]}
    assert len(found["spec"]["inhibitRules"]) == len(source["inhibit_rules"])


def test_jobs_are_called_as_rules_and_dashboards_expect(helm4):
    """Prometheus takes `job` from the Service's label that the monitor names, else from the Service's name."""
    found = helm4.render(
        merged(NODES, on("serviceMonitor"), {"exporter": {"kind": "Deployment"}, "fullnameOverride": "otherwise"})
    )
    jobs = set()
    for each in of_kind(found, "ServiceMonitor"):
        (end,) = each["spec"]["endpoints"]
        (service,) = targets(found, each, end["port"])
        given = [this["replacement"] for this in end.get("relabelings", ()) if this.get("targetLabel") == "job"]
        jobs.add(given[-1] if given else service["metadata"]["labels"][each["spec"]["jobLabel"]])
    assert jobs == {"orcha", "orcha-exporter"}
