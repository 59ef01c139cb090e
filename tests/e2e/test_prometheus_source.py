"""The controller over a real Prometheus that scrapes a real exporter: it decides on what it would have polled itself."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from controller.backfill import Backfill
from controller.history import History
from controller.manifests import load
from controller.observe.chosen import source_of
from controller.observe.prometheus import Asking, FromPrometheus
from controller.observe.prometheus.hearing import CLOCKS, FURTHER, OF_THE_PAST, selector
from controller.samples import Kept
from exporters.clock import SystemClock
from exporters.collector import discover
from exporters.poller import open_client
from tests.controller.observe.fake import COLLECTORS, node, page, reading, rows_of
from tests.e2e.programs import Program, get, until

pytestmark = pytest.mark.tool("prometheus")

CONFIG = """\
global: {scrape_interval: 1s}
scrape_configs:
"""
JOB = """\
  - job_name: orcha-exporter
    static_configs: [{targets: ["127.0.0.1:EXPORTER"], labels: {node: the-machine, site: home}}]
"""
SETTINGS = """\
apiVersion: orcha.dev/v1alpha1
kind: Settings
metadata: {name: settings}
spec:
  source: prometheus
  prometheusUrl: http://127.0.0.1:PORT
  prometheus: {matchers: 'job="orcha-exporter", site="home"'}
"""


@dataclass
class Scraped:
    """A simulated world, an exporter on all of its nodes, and a Prometheus that scrapes it."""

    manifests: Path
    exporter: int
    port: int
    prometheus: Program


@pytest.fixture
def prometheus(start, tool, tmp_path, free_port):
    """Starts a Prometheus on what is in tmp_path/tsdb, with these jobs; gives its port and the program."""

    def begin(jobs: str = "  []\n") -> tuple[int, Program]:
        port = free_port()
        (tmp_path / "prometheus.yml").write_text(CONFIG + jobs)
        program = start(
            str(tool("prometheus") / "prometheus"), f"--config.file={tmp_path}/prometheus.yml",
            f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={tmp_path}/tsdb", name="prometheus",
        )  # fmt: skip
        until(lambda: get(f"http://127.0.0.1:{port}/-/ready")[0] == 200, "Prometheus to be ready")
        return port, program

    return begin


@pytest.fixture
def scraped(start, world, prometheus, tmp_path, free_port):
    """Every node is looked at every 2 s; the targets have a label `node` of their own, as Kubernetes gives it."""
    manifests, exporter = tmp_path / "often", free_port()
    manifests.mkdir()
    for path in Path(world.manifests).glob("*.yaml"):
        documents = [each for each in yaml.safe_load_all(path.read_text()) if each and each["kind"] != "Settings"]
        for each in documents:
            for workload in each["spec"].get("workloads", {}).values():
                workload["pollInterval"] = "2s"
        if documents:
            (manifests / path.name).write_text(yaml.safe_dump_all(documents))
    start("-m", "exporters", "-m", str(manifests), "--listen", f"127.0.0.1:{exporter}", name="exporter")
    until(lambda: get(f"http://127.0.0.1:{exporter}/readyz")[0] == 200, "the exporter to be ready")
    port, program = prometheus(JOB.replace("EXPORTER", str(exporter)))
    count = len([n for d in load([manifests], discover()).nodes for n in d.spec.workloads])
    up = f"http://127.0.0.1:{port}/api/v1/query?query=count(orcha_protocol_up)"
    until(lambda: f'"{count}"]' in get(up)[1], "the first scrape")
    return Scraped(manifests, exporter, port, program)


async def test_what_comes_through_prometheus_is_what_a_poll_says(scraped):
    found, clock = load([scraped.manifests], discover()), SystemClock()
    async with open_client() as client:
        spec = found.settings.spec.model_copy(update={"prometheus_url": f"http://127.0.0.1:{scraped.port}"})
        source = source_of(found.nodes, spec, discover(), client, clock, "prometheus")
        polled = source_of(found.nodes, found.settings.spec, discover(), client, clock)
        assert isinstance(source, FromPrometheus)
        try:
            told = await source.observe(patience=20.0)
            seen = await polled.observe(patience=20.0)
        finally:
            await source.close()
            await polled.close()
    assert told.newest.keys() == seen.newest.keys() != set()
    for key, one in told.newest.items():
        other = seen.newest[key]
        assert one.up == other.up, one.failure_message
        facts = [(each.node_id, each.version, each.state, each.healthy, set(each.states)) for each in (one, other)]
        assert facts[0] == facts[1]
        assert one.allocated == pytest.approx(other.allocated)
        assert one.irreversible == pytest.approx(other.irreversible, rel=0.05)
        assert one.native.gross_per_hour.keys() == other.native.gross_per_hour.keys()
        assert (one.pool is None, one.autonomous is None) == (other.pool is None, other.autonomous is None)
        assert abs(one.at - other.at) < 60


async def test_what_it_asks_is_promql_and_a_read_back_is_newer_than_the_request(scraped):
    nodes, clock = load([scraped.manifests], discover()).nodes, SystemClock()
    async with open_client() as client:
        asking = Asking(client, f"http://127.0.0.1:{scraped.port}")
        assert await asking.now(selector(FURTHER, [nodes[0].name], 'job="orcha-exporter"'))
        assert await asking.now(selector(FURTHER, ["a.b*c-d"])) == []
        assert await asking.now(selector(FURTHER, [nodes[0].name], 'site="away"')) == []
        now = time.time()
        lines = await asking.past(selector(OF_THE_PAST, [nodes[0].name]), now - 60, now, 15)
        assert lines
        assert all(values for _, values in lines)
        source = FromPrometheus(nodes, discover(), asking, clock)
        key, asked = next(iter(source.watched)), time.time()
        looked = await source.read_back(key)
        assert looked.up, looked.failure_message
        assert looked.at > asked + CLOCKS
        await source.close()


async def test_a_past_that_prometheus_kept_is_the_history_of_a_controller_that_was_not_there(
    prometheus, tool, tmp_path
):
    now = time.time() // 300 * 300
    series: dict[str, list[str]] = {}
    wanted = History([Kept.of(FromPrometheus([node()], COLLECTORS, None, SystemClock()).workloads[0])])
    for minute in range(200, 15, -1):
        at = now - 60.0 * minute
        look = reading(at, used={"cpu": 1.0 + minute // 30 % 4})
        wanted.add(look)
        for labels, value in rows_of(page(look), job="orcha-exporter", instance="exporter:9871"):
            name = labels.pop("__name__")
            words = ",".join(f'{label}="{text}"' for label, text in sorted(labels.items()))
            series.setdefault(name, []).append(f"{name}{{{words}}} {value!r} {at:.0f}\n")
    lines = [
        f"# TYPE {name} gauge\n" + "".join(sorted(found, key=lambda line: line.split("}")[0]))
        for name, found in series.items()
        if not name.endswith(("_bucket", "_count", "_sum", "_total"))
    ]
    (tmp_path / "past.om").write_text("".join(lines) + "# EOF\n")
    made = subprocess.run(  # noqa: ASYNC221 nothing else runs yet
        [str(tool("prometheus") / "promtool"), "tsdb", "create-blocks-from", "openmetrics", "past.om", "tsdb"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    port, _ = prometheus()
    async with open_client() as client:
        source = FromPrometheus([node()], COLLECTORS, Asking(client, f"http://127.0.0.1:{port}"), SystemClock())
        history = History([Kept.of(each) for each in source.workloads])
        await Backfill(source, history, SystemClock()).fill(2 * 3600.0)
        await source.close()
    found, all_of_it = history.blocks("rack-1/golem", now), wanted.blocks("rack-1/golem", now)
    seen = dict(zip(all_of_it.start, all_of_it.unit_hours, strict=True))
    within = [start for start in found.start if now - 2 * 3600 <= start < now - 20 * 60]
    assert len(within) == 20
    mine = dict(zip(found.start, found.unit_hours, strict=True))
    assert [mine[start] for start in within] == pytest.approx([seen[start] for start in within], rel=1e-4)


def test_a_controller_over_it_sees_every_node_shows_no_family_of_them_and_says_when_it_is_gone(
    scraped, start, tmp_path, free_port
):
    (scraped.manifests / "settings.yaml").write_text(SETTINGS.replace("PORT", str(scraped.port)))
    listen = free_port()
    controller = start(
        "-m", "controller", "run", "--manifests", str(scraped.manifests), "--listen", f"127.0.0.1:{listen}",
        "--state", f"sqlite:///{tmp_path}/orcha.db", name="orcha",
    )  # fmt: skip

    def workloads():
        code, body = get(f"http://127.0.0.1:{listen}/api/v1/status")
        return {each["key"]: each for each in json.loads(body)["workloads"]} if code == 200 else {}

    def metrics():
        return get(f"http://127.0.0.1:{listen}/metrics")[1]

    until(lambda: workloads() and all(each["up"] for each in workloads().values()), "every workload to be known")
    until(lambda: "orcha_plan_timestamp_seconds{" in metrics(), "a plan in the metrics")
    assert "orcha_protocol_" not in metrics()
    assert "orcha_token_" not in metrics()
    shown = get(f"http://127.0.0.1:{scraped.exporter}/metrics")[1]
    assert shown.count("orcha_protocol_up{") == len(workloads())
    scraped.prometheus.stop()
    until(
        lambda: all("Prometheus at" in (each["failure"] or "") for each in workloads().values()), "the loss to be shown"
    )
    assert controller.stop() == 0
    assert "Traceback" not in controller.said()
