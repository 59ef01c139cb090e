"""Nodes: whether each answers as its protocol does, how long it took, and whose clock is wrong."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import pytest
from aiohttp import web

from controller.doctor.finding import Mark
from exporters.clock import SystemClock
from exporters.simulator.faults import Fault

STORAGE = {"resource": "storage", "min": "1Ti", "max": "12Ti", "step": "128Gi"}


def storj(url, **more):
    return {"storj": {"protocol": "storj", "endpoint": url} | more}


async def test_a_node_that_is_well_is_told_with_its_version_state_and_time(served, manifests, visit):
    found = await visit(manifests(storj(served[1].address("rack-1-storj"))))
    assert found["rack/storj"].mark is Mark.OK
    assert "storj 1.162.3, online" in found["rack/storj"].found
    assert "agrees with 1 of 1 endpoint(s)" in found["clocks"].found
    assert Mark.FAIL not in {finding.mark for finding in found.values()}


@pytest.mark.parametrize(
    ("fault", "mark", "found", "todo"),
    [
        (Fault.DIE, Mark.FAIL, "nothing listens there", "is it running, and is the port right?"),
        (Fault.HANG, Mark.UNKNOWN, "did not answer within", "--patience"),
        (Fault.PAGE, Mark.FAIL, "answered a web page", "check the endpoint's address"),
        (Fault.BLOCK, Mark.FAIL, "a proxy in between blocks", "start the node"),
        (Fault.ERROR, Mark.FAIL, "HTTP 500", "start the node"),
        (Fault.BUSY, Mark.WARN, "asked too often", "ask less often"),
        (Fault.CUT, Mark.FAIL, "broke off", "start the node"),
    ],
    ids=["refused", "hangs", "web page", "blocked", "broken", "busy", "cut"],
)
async def test_a_node_that_is_broken_is_told_with_what_to_do(served, manifests, visit, fault, mark, found, todo):
    made, server = served
    folder = manifests(storj(server.address("rack-1-storj")))
    made.world.break_site("rack-1-storj", fault)
    await server.settle()
    said = (await visit(folder, patience=0.5))["rack/storj"]
    assert said.mark is mark
    assert found in said.found
    assert todo in f"{said.found}; {said.todo}"


async def test_a_node_that_hangs_longer_than_orcha_itself_would_wait_fails(served, manifests, visit):
    made, server = served
    folder = manifests(storj(server.address("rack-1-storj"), timeout="300ms"))
    made.world.break_site("rack-1-storj", Fault.HANG)
    assert (await visit(folder))["rack/storj"].mark is Mark.FAIL


async def test_a_wrong_key_is_told_and_never_shown(served, manifests, visit, tmp_path):
    key = tmp_path / "key"
    key.write_text("wrong-key-4711")
    key.chmod(0o600)
    golem = {
        "golem": {
            "protocol": "golem",
            "endpoint": served[1].address("rack-1-golem"),
            "credentials": {"appKeyFile": str(key)},
        }
    }
    found = await visit(manifests(golem))
    assert found["rack/golem"].mark is Mark.FAIL
    assert "401" in found["rack/golem"].found
    assert "4711" not in str(found)


async def test_a_node_whose_file_cannot_be_used_is_not_asked(served, manifests, visit, tmp_path):
    golem = {
        "golem": {
            "protocol": "golem",
            "endpoint": served[1].address("rack-1-golem"),
            "credentials": {"appKeyFile": str(tmp_path / "no")},
        }
    }
    found = await visit(manifests(golem))
    assert found[str(tmp_path / "no")].mark is Mark.FAIL
    assert found["rack/golem"].mark is Mark.UNKNOWN


def mapped(url, **more):
    figures = {"healthy": {"request": "m", "metric": "up", "equals": 1}}
    requests = {"m": {"url": "{endpoint}/metrics", "format": "prometheus"}}
    mapping = {"traits": {"curve": "demand", "resource": "cpu"}, "requests": requests, "figures": figures}
    return {"own": {"protocol": "mapped", "endpoint": url, "mapping": mapping} | more}


@pytest.fixture
def shows(aiohttp_server):
    """Serve a page of metrics by a clock that is so many seconds ahead; gives its address."""

    async def serve(page, ahead=0.0):
        async def answer(_request):
            date = formatdate(SystemClock().time() + ahead, usegmt=True)
            return web.Response(text=page, headers={"Date": date}, content_type="text/plain")

        app = web.Application()
        app.router.add_get("/metrics", answer)
        return str((await aiohttp_server(app)).make_url("")).rstrip("/")

    return serve


async def test_an_allocation_that_the_node_does_not_tell_is_a_warning(shows, manifests, visit):
    allocation = {"resource": "cpu", "min": "2", "max": "8", "step": "1"}
    folder = manifests(mapped(await shows("up 1\n"), allocation=allocation), capacity={"cpu": "8"})
    said = (await visit(folder))["rack/own"]
    assert said.mark is Mark.WARN
    assert "how much cpu it has is not told" in said.found
    folder = manifests(mapped(await shows("up 1\n"), allocation=allocation | {"initial": "4"}), capacity={"cpu": "8"})
    assert (await visit(folder))["rack/own"].mark is Mark.OK


async def test_a_node_that_says_of_itself_that_it_is_not_well_is_a_warning(shows, manifests, visit):
    said = (await visit(manifests(mapped(await shows("up 0\n")))))["rack/own"]
    assert said.mark is Mark.WARN
    assert "docs/protocols/mapped.md" in said.todo


@pytest.mark.parametrize(("off", "words"), [(300, "ahead of"), (-300, "behind")], ids=["ahead", "behind"])
async def test_a_clock_that_is_wrong_is_told_with_which_way(shows, manifests, visit, off, words):
    said = (await visit(manifests(mapped(await shows("up 1\n", off)))))["clock of rack/own"]
    assert said.mark is Mark.WARN
    assert words in said.found
    assert "NTP" in said.todo


async def test_the_whole_visit_is_over_in_bounded_time_though_every_node_hangs(manifests, visit):
    async def hang(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        many = {f"storj-{k}": {"protocol": "storj", "endpoint": f"{url}/{k}"} for k in range(30)}
        settings = {
            "prometheusUrl": url,
            "alertmanagerUrl": url,
            "grafanaUrl": url,
            "prices": {"sources": ["kraken"], "endpoints": {"kraken": url}},
        }
        async with asyncio.timeout(20):
            found = await visit(manifests(many, settings), patience=0.5, listen=url.removeprefix("http://"))
    assert len([finding for finding in found.values() if finding.mark is Mark.UNKNOWN]) >= 30
