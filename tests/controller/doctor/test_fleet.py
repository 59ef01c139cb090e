"""The fleet: which site this is, and the servers, tried as an agent tries them."""

from __future__ import annotations

import asyncio
import os

import pytest
import yaml

from controller.doctor.finding import Mark
from tests.controller.fleet.nats_servers import ports, serving


@pytest.fixture
def fleet(manifests, monkeypatch):
    """Write a Fleet beside a node without workloads; gives the folder."""
    monkeypatch.delenv("ORCHA_SITE", raising=False)

    def write(*servers, **nats):
        folder = manifests({})
        spec = {"sites": ["attic", "cellar"], "relays": ["relay-0"], "nats": {"servers": list(servers), **nats}}
        document = {"apiVersion": "orcha.dev/v1alpha1", "kind": "Fleet", "metadata": {"name": "home"}, "spec": spec}
        (folder / "fleet.yaml").write_text(yaml.safe_dump(document))
        return folder

    return write


@pytest.mark.parametrize(
    ("named", "mark", "found"),
    [
        ("", Mark.WARN, "nothing says which of attic, cellar this is"),
        ("cellar", Mark.OK, "cellar of Fleet home"),
        ("relay-0", Mark.OK, "relay relay-0 of Fleet home, as ORCHA_SITE says"),
        ("shed", Mark.FAIL, "Fleet home has no site 'shed'"),
    ],
    ids=["nobody", "a site", "a relay", "a stranger"],
)
async def test_it_tells_which_site_this_is(fleet, visit, monkeypatch, named, mark, found):
    folder = fleet("nats://127.0.0.1:1")
    if named:
        monkeypatch.setenv("ORCHA_SITE", named)
    said = (await visit(folder))["site"]
    assert (said.mark, said.found) == (mark, found)
    assert said.todo or mark is Mark.OK


async def test_a_server_that_is_not_there_fails_and_says_what_to_do(fleet, visit):
    [port] = ports(1)
    said = (await visit(fleet(f"nats://127.0.0.1:{port}")))[f"NATS nats://127.0.0.1:{port}"]
    assert said.mark is Mark.FAIL
    assert "cannot be reached" in said.found
    assert "see whether it runs" in said.todo


async def test_a_pipe_in_place_of_a_token_holds_nobody_up(fleet, visit, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    async with asyncio.timeout(30):
        said = await visit(fleet("nats://127.0.0.1:1", tokenFile=str(tmp_path / "pipe")), patience=2.0)
    assert said[str(tmp_path / "pipe")].mark is Mark.FAIL
    assert said["NATS nats://127.0.0.1:1"].mark is Mark.UNKNOWN


async def test_a_token_that_is_not_there_fails_twice_once_for_the_file(fleet, visit, tmp_path):
    said = await visit(fleet("nats://127.0.0.1:1", tokenFile=str(tmp_path / "token")))
    assert said[str(tmp_path / "token")].mark is Mark.FAIL
    assert "Fleet needs it" in said[str(tmp_path / "token")].found
    assert said["NATS nats://127.0.0.1:1"].mark is Mark.FAIL


@pytest.mark.tool("nats")
async def test_a_server_that_takes_the_agent_is_well_and_one_that_is_down_beside_it_a_warning(fleet, visit, tmp_path):
    [port] = ports(1)
    with serving(tmp_path / "nats") as there:
        said = await visit(fleet(there.url, f"nats://127.0.0.1:{port}"))
    assert said[f"NATS {there.url}"].mark is Mark.OK
    assert said[f"NATS nats://127.0.0.1:{port}"].mark is Mark.WARN


@pytest.mark.tool("nats")
async def test_a_wrong_token_fails_without_being_shown(fleet, visit, tmp_path):
    token = tmp_path / "token"
    token.write_text("geheim")
    token.chmod(0o600)
    with serving(tmp_path / "nats", settings='authorization { token: "another" }') as there:
        said = (await visit(fleet(there.url, tokenFile=str(token))))[f"NATS {there.url}"]
    assert said.mark is Mark.FAIL
    assert "token" in said.found + said.todo
    assert "geheim" not in said.found + said.todo
