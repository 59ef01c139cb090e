"""What stands around the nodes: prices, addresses, drivers, the port; and the manifests before all."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web

from controller.doctor.finding import Mark
from exporters.simulator.faults import Fault

CPU = {"resource": "cpu", "min": "2", "max": "8", "step": "1"}


@pytest.fixture
def answers(aiohttp_server):
    """Serve {path: (status, body, content type)}; gives the address."""

    async def serve(pages):
        async def answer(request):
            status, body, kind = pages.get(request.path, (404, "", "text/plain"))
            return web.Response(status=status, text=body, content_type=kind)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        return str((await aiohttp_server(app)).make_url("")).rstrip("/")

    return serve


def golem(served, tmp_path, **more):
    made, server = served
    key = tmp_path / "key"
    key.write_text(made.secrets["yagna-app-key"])
    key.chmod(0o600)
    return {
        "golem": {
            "protocol": "golem",
            "endpoint": server.address("rack-1-golem"),
            "credentials": {"appKeyFile": str(key)},
        }
        | more
    }


# prices


async def test_a_price_is_told_with_its_source(served, manifests, visit, tmp_path):
    base = served[1].address("prices")
    settings = {"prices": {"sources": ["coingecko"], "endpoints": {"coingecko": f"{base}/api/v3"}}}
    said = (await visit(manifests(golem(served, tmp_path), settings)))["GLM"]
    assert said.mark is Mark.OK
    assert "coingecko" in said.found


async def test_a_token_that_nobody_prices_fails_and_says_what_to_write(served, manifests, visit, tmp_path):
    said = (await visit(manifests(golem(served, tmp_path))))["GLM"]
    assert said.mark is Mark.FAIL
    assert "prices.static" in said.todo


async def test_a_price_of_ones_own_is_well_where_nobody_is_asked_and_a_warning_where_sources_fail(
    served, manifests, visit, tmp_path
):
    made, server = served
    alone = {"prices": {"sources": [], "static": {"GLM": 0.2}}}
    assert (await visit(manifests(golem(served, tmp_path), alone)))["GLM"].mark is Mark.OK
    made.world.break_site("prices", Fault.ERROR)
    failing = {"prices": {"sources": ["kraken", "coingecko"], "static": {"GLM": 0.2}, "endpoints": {
        "kraken": server.address("prices"), "coingecko": server.address("prices"),
    }}}  # fmt: skip
    said = (await visit(manifests(golem(served, tmp_path), failing)))["GLM"]
    assert said.mark is Mark.WARN
    assert "no source answers" in said.found


async def test_which_prices_are_needed_is_not_known_until_a_node_answers(manifests, visit, free_port):
    storj = {"storj": {"protocol": "storj", "endpoint": f"http://127.0.0.1:{free_port()}"}}
    assert (await visit(manifests(storj)))["prices"].mark is Mark.UNKNOWN


# addresses

GRAFANA = {"/api/health": (200, '{"database": "ok"}', "application/json")}
ALERTMANAGER = {"/api/v2/status": (200, '{"versionInfo": {}}', "application/json")}
PROMETHEUS = {
    "/api/v1/query": (
        200, '{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "1"]}]}}', "application/json",
    )
}  # fmt: skip
PAGE = {
    "/api/health": (200, "<html>", "text/html"),
    "/api/v2/status": (200, "<html>", "text/html"),
    "/api/v1/query": (200, "<html>", "text/html"),
}


async def test_what_answers_as_it_should_is_well(answers, manifests, visit):
    url = await answers(GRAFANA | ALERTMANAGER | PROMETHEUS)
    found = await visit(manifests({}, {"prometheusUrl": url, "alertmanagerUrl": url, "grafanaUrl": url}))
    for name in ("Prometheus", "Alertmanager", "Grafana"):
        assert found[f"{name} {url}"].mark is Mark.OK


async def test_what_is_only_linked_to_is_a_warning_and_what_decisions_hang_on_fails(answers, manifests, visit):
    url = await answers(PAGE)
    urls = {"prometheusUrl": url, "alertmanagerUrl": url, "grafanaUrl": url}
    found = await visit(manifests({}, urls))
    assert {found[f"{name} {url}"].mark for name in ("Prometheus", "Alertmanager", "Grafana")} == {Mark.WARN}
    found = await visit(manifests({}, urls, limits={"blockWhile": "up == 0"}))
    assert found[f"Prometheus {url}"].mark is Mark.FAIL


async def test_where_prometheus_is_the_source_it_is_told_what_it_does_not_know(answers, manifests, visit):
    empty = {
        "/api/v1/query": (
            200,
            '{"status": "success", "data": {"resultType": "vector", "result": []}}',
            "application/json",
        )
    }
    url = await answers(empty)
    storj = {"storj": {"protocol": "storj", "endpoint": "http://127.0.0.1:1"}}
    found = await visit(manifests(storj, {"source": "prometheus", "prometheusUrl": url}))
    assert found["rack/storj"].mark is Mark.FAIL
    assert "is there an orcha-exporter with the same manifests" in found["rack/storj"].found


# drivers


@pytest.mark.parametrize(("mode", "mark"), [("Suggest", Mark.WARN), ("Auto", Mark.FAIL)], ids=["Suggest", "Auto"])
async def test_what_is_in_the_way_of_a_driver_fails_where_it_would_act(manifests, visit, tmp_path, mode, mark):
    command = {"actuator": {"command": {"argv": [str(tmp_path / "no-such-program"), "{cpu}"]}}, "allocation": CPU}
    node = {
        "golem": {"protocol": "golem", "endpoint": "http://127.0.0.1:1", "credentials": {"appKeyFile": "/nowhere"}}
        | command
    }
    folder = manifests(node, capacity={"cpu": "8"}, mode=mode)
    from controller.doctor.examine import Asked, examine
    from exporters.collector import discover

    found = await examine(Asked((folder,), "127.0.0.1:0", None, None, 1.0), discover(), "0")
    (said,) = [each for each in found if each.area == "drivers"]
    assert said.mark is mark
    assert "no-such-program" in said.found
    assert said.todo


async def test_a_driver_that_could_act_is_told_with_who_keeps_it_from_it(manifests, visit, tmp_path):
    node = {"storj": {"protocol": "golem", "endpoint": "http://127.0.0.1:1", "credentials": {"appKeyFile": "/nowhere"},
                      "allocation": CPU, "actuator": {"command": {"argv": ["true", "{cpu}"]}}}}  # fmt: skip
    from controller.doctor.examine import Asked, examine
    from exporters.collector import discover

    asked = Asked((manifests(node, capacity={"cpu": "8"}),), "127.0.0.1:0", None, None, 1.0)
    (said,) = [each for each in await examine(asked, discover(), "0") if each.area == "drivers"]
    assert said.mark is Mark.OK
    assert "its mode lets nobody act now" in said.found


@pytest.mark.parametrize(("allowed", "mark"), [(True, Mark.OK), (False, Mark.FAIL)], ids=["granted", "missing"])
async def test_the_rights_on_the_lease_are_asked_of_the_cluster(
    answers, manifests, visit, tmp_path, monkeypatch, allowed, mark
):
    review = json.dumps({"kind": "SelfSubjectAccessReview", "status": {"allowed": allowed}})
    url = await answers({"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": (201, review, "application/json")})
    (tmp_path / "kubeconfig").write_text(
        json.dumps({
            "clusters": [{"name": "c", "cluster": {"server": url}}], "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x",
        })
    )  # fmt: skip
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    said = (await visit(manifests({}, {"lease": {"namespace": "depin", "name": "orcha"}})))["Lease depin/orcha"]
    assert said.mark is mark
    assert mark is Mark.OK or "verbs: [create]" in said.todo


async def test_without_a_cluster_a_lease_fails(manifests, visit, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    said = (await visit(manifests({}, {"lease": {"namespace": "depin", "name": "orcha"}})))["Lease depin/orcha"]
    assert said.mark is Mark.FAIL


# the controller


async def test_a_port_that_is_free_taken_by_orcha_or_by_something_else_is_told(answers, manifests, visit, free_port):
    about = 'orcha_build_info{python="3.11",revision="x",version="9.8.7"} 1.0\n'
    ready = {"/readyz": (200, "ready\n", "text/plain")}
    orcha = await answers(ready | {"/metrics": (200, f"{about}orcha_leader 1.0\n", "text/plain")})
    exporter = await answers(ready | {"/metrics": (200, about, "text/plain")})
    other = await answers(PAGE)
    folder, free = manifests({}), f"127.0.0.1:{free_port()}"
    for listen, mark, words in (
        (free, Mark.OK, "is free"),
        (orcha.removeprefix("http://"), Mark.OK, "orcha 9.8.7 runs there, and is ready"),
        (exporter.removeprefix("http://"), Mark.FAIL, "an orcha that is no controller listens there"),
        (other.removeprefix("http://"), Mark.FAIL, "no orcha listens there"),
        ("192.0.2.1:9872", Mark.FAIL, "this machine"),
        ("nonsense", Mark.FAIL, "no address to listen on"),
    ):
        said = (await visit(folder, listen=listen, patience=1.0))[listen]
        assert said.mark is mark, listen
        assert words in f"{said.found} {said.todo}", listen


async def test_an_orcha_that_is_not_ready_and_one_that_stands_by_are_told(answers, manifests, visit):
    unready = await answers({
        "/metrics": (200, 'orcha_build_info{version="9.8.7"} 1.0\norcha_leader 1.0\n', "text/plain"),
        "/readyz": (503, "not ready: not every workload was asked yet\n", "text/plain"),
    })  # fmt: skip
    standby = await answers(
        {"/metrics": (200, "orcha_leader 0.0\n", "text/plain"), "/readyz": (503, "x", "text/plain")}
    )
    for url, mark, words in ((unready, Mark.WARN, "is not ready"), (standby, Mark.OK, "stands by")):
        listen = url.removeprefix("http://")
        said = (await visit(manifests({}), listen=listen))[listen]
        assert said.mark is mark
        assert words in said.found


async def test_what_takes_the_port_and_says_nothing_is_no_orcha(manifests, visit):
    async def hang(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server:
        listen = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        said = (await visit(manifests({}), listen=listen, patience=0.5))[listen]
    assert said.mark is Mark.FAIL


# manifests


async def test_manifests_that_are_missing_or_wrong_are_told_before_all_else(visit, manifests, tmp_path):
    missing = await visit(tmp_path / "nowhere")
    assert "orcha init" in missing[str(tmp_path / "nowhere")].todo
    folder = manifests({"storj": {"protocol": "sotrj", "endpoint": "http://127.0.0.1:1"}})
    found = [each for each in (await visit(folder)).values() if each.mark is Mark.FAIL]
    assert len(found) == 1
    assert "there is no protocol 'sotrj'" in found[0].found


async def test_a_node_that_no_policy_selects_is_a_warning(manifests, visit, free_port):
    folder = manifests({"storj": {"protocol": "storj", "endpoint": f"http://127.0.0.1:{free_port()}",
                        "allocation": {"resource": "storage", "min": "1T", "max": "2T", "step": "100G"}}}, capacity={"storage": "2T"})  # fmt: skip
    (folder / "all.yaml").write_text(
        (folder / "all.yaml")
        .read_text()
        .replace("kind: AllocationPolicy", "kind: Settings")
        .replace("spec:\n  limits: {}\n  mode: Suggest\n", "")
    )
    text = (folder / "all.yaml").read_text().split("---")
    (folder / "all.yaml").write_text(text[0])
    said = (await visit(folder, state=f"sqlite:///{folder}/orcha.db"))["rack"]
    assert said.mark is Mark.WARN
    assert "AllocationPolicy" in said.todo
