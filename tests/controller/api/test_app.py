"""The controller over HTTP: what is open, what needs a token, and that a page never hides an unknown behind a zero."""

from __future__ import annotations

import threading

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from controller.api.app import Faces, application
from exporters.doors import Tokens

ROW = {
    "key": "rack-1/golem", "node": "rack-1", "protocol": "golem", "resource": "cpu", "step": 1.0, "min": 0.0, "max": 8.0,
    "up": True, "failure": None, "connection": "connected", "read_at": 990.0, "state": "working", "healthy": True,
    "version": "0.17.6", "quality": "measured", "gross_usd_per_hour": 0.0123, "net_usd_per_hour": None,
    "native_per_hour": {"GLM": 0.05}, "balance_usd": {}, "allocated": 4.0, "used": 3.5, "stalled": False, "notes": [],
    "target": 6.0,
}  # fmt: skip
POLICY = {
    "name": "default", "mode": "Suggest", "reason": "ModeSuggest", "sentence": "suggest: <golem> 4 → 6", "ready_at": None,
    "circuit_open": False, "left_out": {"rack-1/x": {"reason": "Stale", "sentence": "x is 2h old"}},
    "verdicts": [
        {"workload": "rack-1/golem", "resource": "cpu", "from": 4.0, "to": 6.0, "gain_usd_per_hour": 0.01, "cost_usd": 0.0,
         "allowed": False, "reason": "ModeSuggest", "sentence": "shown, not done"}
    ],
    "plan": {"opportunities": [], "targets": {"rack-1/golem": 6.0}},
}  # fmt: skip


def view():
    return {
        "at": 1000.0,
        "version": "0.1.0",
        "complete": True,
        "manifests": {"problems": []},
        "workloads": [ROW],
        "policies": [POLICY],
    }


async def metrics(_request):
    return web.Response(text="orcha_build_info 1\n")


@pytest.fixture
async def client_of():
    clients = []

    async def make(host="127.0.0.1", ready=True, token_file=None, shown=view):
        faces = Faces(
            view=shown,
            metrics=metrics,
            ready=lambda: ready,
            links={"Grafana": "http://127.0.0.1:3000"},
            tokens=Tokens(read=token_file),
        )
        client = TestClient(TestServer(application(faces, host), host="127.0.0.1"))
        await client.start_server()
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz", "/api/v1/status"])
async def test_on_loopback_everything_is_open_to_this_machine(client_of, path):
    client = await client_of()
    answer = await client.get(path)
    assert answer.status == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_page_of_somebody_else_that_rebinds_its_name_gets_nothing(client_of):
    client = await client_of()
    answer = await client.get("/api/v1/status", headers={"Host": "evil.example:9872"})
    assert answer.status == 403
    assert "loopback names" in await answer.text()


async def test_readiness_tells_apart_alive_and_ready(client_of):
    client = await client_of(ready=False)
    assert (await client.get("/readyz")).status == 503
    assert (await client.get("/healthz")).status == 200


@pytest.mark.parametrize("path", ["/", "/api/v1/status"])
async def test_off_loopback_what_shows_money_needs_a_token(client_of, tmp_path, path):
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    client = await client_of(host="0.0.0.0", token_file=secret)  # noqa: S104 the test is about it; it listens on loopback
    assert (await client.get(path)).status == 401
    assert (await client.get(path, headers={"Authorization": "Bearer wrong"})).status == 401
    assert (await client.get(path, headers={"Authorization": "Bearer s3cret"})).status == 200
    secret.write_text("rotated")
    assert (await client.get(path, headers={"Authorization": "Bearer s3cret"})).status == 401
    assert (await client.get(path, headers={"Authorization": "Bearer rotated"})).status == 200


async def test_off_loopback_without_a_token_file_the_status_is_closed_and_metrics_are_open(client_of):
    client = await client_of(host="0.0.0.0")  # noqa: S104 as above
    answer = await client.get("/api/v1/status")
    assert answer.status == 403
    assert "spec.api.tokenFiles.read" in await answer.text()
    assert (await client.get("/metrics")).status == 200


async def test_an_empty_token_file_opens_nothing(client_of, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("\n")
    client = await client_of(host="0.0.0.0", token_file=secret)  # noqa: S104 as above
    assert (await client.get("/", headers={"Authorization": "Bearer "})).status == 401


async def test_the_page_says_what_earns_what_and_marks_the_unknown(client_of):
    client = await client_of()
    page = await (await client.get("/")).text()
    assert "0.0123" in page
    assert 'data-label="in hand USD/h" class="number"><span>?</span>' in page, (
        "a net rate that is unknown is shown as such"
    )
    assert "suggest: &lt;golem&gt; 4 → 6" in page, "what comes from outside is escaped"
    assert "rack-1/golem: 4 cores → 6 cores" in page
    assert "rack-1/x stays: x is 2h old" in page
    assert page.count("<script") == page.count('<script src="page.js" defer></script>') == 1


@pytest.mark.parametrize("path", ["/", "/api/v1/status"])
async def test_what_takes_long_to_show_is_made_outside_the_loops_thread(client_of, path):
    made_in = []

    def shown():
        made_in.append(threading.get_ident())
        return view()

    assert (await (await client_of(shown=shown)).get(path)).status == 200
    assert threading.get_ident() not in made_in


async def test_the_status_is_the_view_as_json(client_of):
    answer = await (await client_of()).get("/api/v1/status")
    assert answer.content_type == "application/json"
    assert await answer.json() == view()


async def test_refused_manifests_are_an_alert_on_the_page(client_of):
    shown = view() | {"manifests": {"problems": ["a.yaml:3: spec: is missing"]}}
    client = await client_of(shown=lambda: shown)
    page = await (await client.get("/")).text()
    assert 'role="alert"' in page
    assert "a.yaml:3: spec: is missing" in page
