"""Simulated nodes, orcha, an exporter, Prometheus with our rules, Alertmanager with our routes, and a webhook, as processes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.e2e.alerting import Alertmanager, Sink, alerting, listening, to_webhook
from tests.e2e.programs import ROOT, Program, Simulated, get, until

SITES = ("rack-2-storj-1", "rack-2-storj-2", "rack-2-rpc", "rack-2-node")
"""All that runs on rack-2."""
WORKLOADS = ("storj-1", "storj-2", "streamr-traffic", "streamr-weather")
DEAD = ("firing", "OrchaNodeDown", "rack-2", "")
BACK = ("resolved", "OrchaNodeDown", "rack-2", "")
_CONFIG = """\
global: {{scrape_interval: {scrape}, scrape_timeout: {scrape}, evaluation_interval: {evaluation}}}
rule_files: ["{rules}/*.yaml"]
alerting:
  alertmanagers:
    - static_configs: [{{targets: ["127.0.0.1:{alertmanager}"]}}]
scrape_configs:
  - {{job_name: orcha, static_configs: [{{targets: ["127.0.0.1:{orcha}"]}}]}}
  - {{job_name: orcha-exporter, static_configs: [{{targets: ["127.0.0.1:{exporter}"]}}]}}
"""


@dataclass(frozen=True)
class Times:
    """How often everybody looks, as durations that manifests and Prometheus read."""

    poll: str = "1s"
    """Of the workloads of rack-2: the protocols' own intervals are a minute and more."""
    timeout: str = "5s"
    scrape: str = "500ms"
    evaluation: str = "500ms"
    rules: Mapping[str, str] = field(default_factory=dict)
    """Of prometheus/parameters.yaml."""


@dataclass
class Chain:
    """Everything that runs, from the nodes to whoever is told."""

    world: Simulated
    controller: Program
    manager: Alertmanager
    sink: Sink

    def told(self) -> list[tuple[str, str, str, str]]:
        """(status, alert, node, workload), each when it was told first."""
        return list(dict.fromkeys(self.sink.alerts("/alerts")))

    def kill_rack_2(self, fault: str = "die") -> None:
        for site in SITES:
            self.world.break_site(site, fault)

    def mend_rack_2(self) -> None:
        for site in SITES:
            self.world.break_site(site, None)

    def kept_back(self, alert: str) -> dict[str, list[str]]:
        """Workload of rack-2 -> fingerprints of the alerts for which Alertmanager keeps this one back."""
        found = [one for one in self.manager.alerts() if one["labels"]["alertname"] == alert]
        return {
            one["labels"]["workload"]: one["status"]["inhibitedBy"]
            for one in found
            if one["labels"]["node"] == "rack-2" and one["status"]["state"] == "suppressed"
        }

    def fingerprint(self, alert: str) -> str:
        return next(one["fingerprint"] for one in self.manager.alerts() if one["labels"]["alertname"] == alert)


@contextlib.contextmanager
def chain(folder: Path, prometheus: Path, times: Times, config, alertmanager: Path | None = None) -> Iterator[Chain]:
    """All of it under `folder`, once a message of the watchdog came the whole way.

    `prometheus`, `alertmanager`: the folders of the programs; the second as fetched, if it is not given. `config`: makes Alertmanager's configuration quick.
    """
    ports = dict(zip(("orcha", "exporter", "prometheus", "alertmanager"), _free_ports(4), strict=True))
    with contextlib.ExitStack() as stack:

        def start(name: str, *argv: str) -> Program:
            return stack.enter_context(_running(folder / f"{name}.log", *argv))

        world = _world(folder, start)
        _ask_often(world.manifests / "rack-2.yaml", times)
        python = (sys.executable, "-m")
        orcha = start(
            "orcha", *python, "controller", "run", "--manifests", str(world.manifests),
            "--listen", f"127.0.0.1:{ports['orcha']}", "--state", f"sqlite:///{folder}/orcha.db",
        )  # fmt: skip
        start(
            "exporter", *python, "exporters", "--manifests", str(world.exporter_manifests),
            "--listen", f"127.0.0.1:{ports['exporter']}",
        )  # fmt: skip
        for name in ("orcha", "exporter"):
            until(lambda name=name: get(f"http://127.0.0.1:{ports[name]}/readyz")[0] == 200, f"{name} to be ready")
        sink = stack.enter_context(listening())
        written = config(to_webhook(folder / "own", sink))
        manager = stack.enter_context(alerting(folder / "alertmanager", written, ports["alertmanager"], alertmanager))
        _render(folder, times, ports)
        start(
            "prometheus", str(prometheus / "prometheus"), f"--config.file={folder}/prometheus.yml",
            f"--web.listen-address=127.0.0.1:{ports['prometheus']}", f"--storage.tsdb.path={folder}/tsdb",
            "--rules.alert.resend-delay=1s",  # what fires before it has found Alertmanager is else told a minute later
        )  # fmt: skip
        until(lambda: sink.at("/watchdog"), "the watchdog to be told")
        yield Chain(world, orcha, manager, sink)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in socks]


@contextlib.contextmanager
def _running(log: Path, *argv: str) -> Iterator[Program]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env=dict(os.environ), start_new_session=True
        )
    try:
        yield Program(process, log)
    finally:
        process.kill()
        process.wait()


def _world(folder: Path, start) -> Simulated:
    here, beside = folder / "manifests", folder / "exporter"
    program = start(
        "simulator", sys.executable, "-m", "exporters.simulator", "--manifests", str(here),
        "--exporter-manifests", str(beside), "--origin", str(time.time() - 7200),
    )  # fmt: skip
    until(lambda: '"control"' in program.said() or program.process.poll() is not None, "the simulator to serve")
    lines = [json.loads(line) for line in program.said().splitlines() if line.startswith("{")]
    return Simulated(program, here, beside, {line["site"]: line["address"] for line in lines})


def _ask_often(path: Path, times: Times) -> None:
    node = yaml.safe_load(path.read_text(encoding="utf-8"))
    for workload in node["spec"]["workloads"].values():
        workload |= {"pollInterval": times.poll, "timeout": times.timeout}
    path.write_text(yaml.safe_dump(node), encoding="utf-8")


def _render(folder: Path, times: Times, ports: dict[str, int]) -> None:
    """Prometheus' configuration, and our rules with the parameters of this run."""
    (folder / "parameters.yaml").write_text(yaml.safe_dump(dict(times.rules)))
    subprocess.run(
        [sys.executable, str(ROOT / "scripts/rules.py"), "--parameters", str(folder / "parameters.yaml"),
         "--output", str(folder / "rules")],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    config = _CONFIG.format(rules=folder / "rules", scrape=times.scrape, evaluation=times.evaluation, **ports)
    (folder / "prometheus.yml").write_text(config)
