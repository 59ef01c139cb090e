"""Rules in an order in which each finds what it builds on."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scripts._blocks import CannotFill, figures, layers, rules_of
from tests.e2e.programs import ROOT


def test_what_builds_on_others_comes_after_them():
    rules = [
        {"record": "c:x:sum", "expr": "sum(b:x:sum offset 1d)"},
        {"record": "a:x:max", "expr": "max(orcha_x)"},
        {"record": "b:x:sum", "expr": "sum(a:x:max[1h:5m])"},
    ]
    assert [[rule["record"] for rule in layer] for layer in layers(rules, 60.0)] == [
        ["a:x:max"],
        ["b:x:sum"],
        ["c:x:sum"],
    ]


def test_rules_in_a_circle_are_refused_with_their_names():
    rules = [{"record": "a:x:sum", "expr": "b:x:sum"}, {"record": "b:x:sum", "expr": "a:x:sum"}]
    with pytest.raises(CannotFill, match="a:x:sum, b:x:sum"):
        layers(rules, 60.0)


def test_an_alert_becomes_alerts_that_fire_once_it_held_for_as_long_as_it_says():
    alert = {"alert": "Down", "expr": "up == 0\n", "for": "5m", "labels": {"severity": "critical"}}
    [[made]] = layers([alert], 60.0)
    assert made == {
        "record": "ALERTS",
        "expr": "0 * (count_over_time((0 * (up == 0) + 1)[300s:60s]) >= 5) + 1",
        "labels": {"alertname": "Down", "alertstate": "firing", "severity": "critical"},
    }


def test_an_alert_that_waits_for_nothing_is_asked_as_it_is():
    [[made]] = layers([{"alert": "Down", "expr": "up == 0"}], 60.0)
    assert made["expr"] == "0 * (up == 0) + 1"


def test_the_committed_rules_have_layers():
    rules = rules_of(ROOT / "prometheus" / "rules")
    found = layers(rules, 60.0)
    assert 2 <= len(found) <= 6
    assert sum(map(len, found)) == len(rules)


def test_what_prometheus_counts_of_itself_is_read_by_name():
    page = b'# HELP x y\n# TYPE x counter\nx_total 12\nx_bucket{le="+Inf"} 3\ny 1.5e+06\n'

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_said):
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            assert figures(f"http://127.0.0.1:{server.server_port}") == {"x_total": 12.0, "y": 1.5e6}
        finally:
            server.shutdown()
