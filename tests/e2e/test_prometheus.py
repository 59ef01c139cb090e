"""A real Prometheus scrapes the controller and the exporter; promtool finds nothing to complain about in either page."""

from __future__ import annotations

import json
import subprocess
import urllib.parse

import pytest

from tests.e2e.programs import get, until

CONFIG = """\
global: {{scrape_interval: 1s}}
scrape_configs:
  - {{job_name: orcha, static_configs: [{{targets: ["127.0.0.1:{controller}"]}}]}}
  - {{job_name: orcha-exporter, static_configs: [{{targets: ["127.0.0.1:{exporter}"]}}]}}
"""


@pytest.fixture
def both(start, world, tmp_path, free_port):
    """The controller on the world, and the exporter on the node that the controller does not poll: their ports."""
    controller, exporter = free_port(), free_port()
    start(
        "-m", "controller", "run", "--manifests", str(world.manifests), "--listen", f"127.0.0.1:{controller}",
        "--state", f"sqlite:///{tmp_path}/orcha.db", name="orcha",
    )  # fmt: skip
    start(
        "-m",
        "exporters",
        "--manifests",
        str(world.exporter_manifests),
        "--listen",
        f"127.0.0.1:{exporter}",
        name="exporter",
    )
    for port in (controller, exporter):
        until(lambda port=port: get(f"http://127.0.0.1:{port}/readyz")[0] == 200, f"port {port} to be ready")
    until(
        lambda: "orcha_plan_timestamp_seconds{" in get(f"http://127.0.0.1:{controller}/metrics")[1],
        "a plan in the metrics",
    )
    return controller, exporter


@pytest.mark.tool("prometheus")
def test_promtool_finds_nothing_to_complain_about(both, tool):
    for port in both:
        page = get(f"http://127.0.0.1:{port}/metrics")[1]
        found = subprocess.run(
            [str(tool("prometheus") / "promtool"), "check", "metrics"],
            input=page,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert found.returncode == 0, found.stdout + found.stderr
        assert found.stdout.strip() == ""


@pytest.mark.tool("prometheus")
def test_prometheus_scrapes_both_and_each_workload_comes_from_exactly_one(both, start, tool, tmp_path, free_port):
    controller, exporter = both
    (tmp_path / "prometheus.yml").write_text(CONFIG.format(controller=controller, exporter=exporter))
    port = free_port()
    start(
        str(tool("prometheus") / "prometheus"), f"--config.file={tmp_path}/prometheus.yml",
        f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={tmp_path}/tsdb", name="prometheus",
    )  # fmt: skip

    def query(expression):
        code, body = get(f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(expression)}")
        return json.loads(body)["data"]["result"] if code == 200 else []

    until(lambda: len(query("up == 1")) == 2, "both targets to be up")
    until(lambda: len(query("orcha_protocol_up == 1")) == 9, "all nine workloads")
    assert query("count by (node, workload) (orcha_protocol_up) > 1") == []
    assert float(query("sum(orcha_protocol_earnings_usd_per_hour)")[0]["value"][1]) > 0
    assert query('orcha_policy_mode{mode="Suggest"} == 1')
    assert query("scrape_samples_scraped - scrape_samples_post_metric_relabeling != 0") == []
    jobs = {row["metric"]["node"]: row["metric"]["job"] for row in query("orcha_protocol_up")}
    assert jobs == {"rack-1": "orcha", "rack-2": "orcha", "garage": "orcha-exporter"}
