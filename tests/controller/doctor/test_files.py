"""Files with secrets: there, readable, private; and tokens where the API can be reached from elsewhere."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from controller.doctor.files import look_at
from controller.doctor.finding import Mark


def made(path, content="secret-4711", mode=0o600):
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("mode", "mark", "todo"),
    [(0o600, Mark.OK, ""), (0o640, Mark.OK, ""), (0o644, Mark.WARN, "chmod 600"), (0o620, Mark.WARN, "chmod 600")],
    ids=["0600", "0640", "0644", "0620"],
)
def test_who_else_may_read_or_write_a_secret_is_told(tmp_path, mode, mark, todo):
    said = look_at(made(tmp_path / "key", mode=mode), "rack/golem")
    assert said.mark is mark
    assert todo in said.todo
    assert "4711" not in str(said)


def test_a_secret_that_is_missing_empty_or_no_file_fails(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    made(tmp_path / "empty", "")
    for name, words in (
        ("nowhere", "does not exist"),
        ("empty", "is empty"),
        ("pipe", "is no plain file"),
        (".", "is no plain file"),
    ):
        said = look_at(tmp_path / name, "rack/golem")
        assert said.mark is Mark.FAIL
        assert words in said.found
        assert said.todo


def test_a_secret_of_somebody_else_fails(tmp_path, as_nobody):
    with as_nobody() as folder:
        key = made(folder / "key", mode=0o000)
        said = look_at(key, "rack/golem")
    assert said.mark is Mark.FAIL
    assert "cannot be read by this user" in said.found


async def test_a_pipe_that_nobody_writes_to_holds_nobody_up(manifests, visit, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    grass = {
        "grass": {
            "protocol": "grass",
            "endpoint": "http://127.0.0.1:1",
            "credentials": {"accessTokenFile": str(tmp_path / "pipe")},
        }
    }
    found = await visit(manifests(grass))
    assert found[str(tmp_path / "pipe")].mark is Mark.FAIL
    assert found["rack/grass"].mark is Mark.UNKNOWN


@pytest.mark.parametrize(
    ("settings", "silent"),
    [
        ({"state": None, "stateFile": "{pipe}"}, "state"),
        ({"prices": {"sources": ["coingecko"], "apiKeyFiles": {"coingecko": "{pipe}"}}}, "prices"),
        ({"prometheusUrl": "http://127.0.0.1:1", "prometheus": {"bearerTokenFile": "{pipe}"}}, "Prometheus http://127.0.0.1:1"),
        (
            {"source": "prometheus", "prometheusUrl": "http://127.0.0.1:1", "prometheus": {"bearerTokenFile": "{pipe}"}},
            "source",
        ),
    ],
    ids=["state", "prices", "Prometheus", "source"],
)  # fmt: skip
async def test_a_pipe_in_settings_holds_nobody_up_either(manifests, visit, tmp_path, settings, silent):
    os.mkfifo(tmp_path / "pipe")
    text = json.dumps(settings).replace("{pipe}", f"{tmp_path}//pipe")  # one file, however it is written
    folder = manifests({"storj": {"protocol": "storj", "endpoint": "http://127.0.0.1:1"}}, json.loads(text))
    async with asyncio.timeout(30):
        found = await visit(folder, patience=2.0)
    assert found[str(tmp_path / "pipe")].mark is Mark.FAIL
    assert "mend the file" in found[silent].todo


async def test_a_pipe_that_a_driver_needs_holds_nobody_up_either(manifests, visit, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    hook = {"webhook": {"url": "http://127.0.0.1:1/", "secretFile": str(tmp_path / "pipe")}}
    cpu = {"resource": "cpu", "min": "2", "max": "8", "step": "1"}
    golem = {"protocol": "golem", "endpoint": "http://127.0.0.1:1", "allocation": cpu, "actuator": hook}
    golem["credentials"] = {"appKeyFile": str(made(tmp_path / "key"))}
    folder = manifests({"golem": golem}, capacity={"cpu": "8"})
    async with asyncio.timeout(30):
        found = await visit(folder, patience=2.0)
    assert (found["rack/golem"].area, found["rack/golem"].mark) == ("drivers", Mark.UNKNOWN)
    assert "mend the file" in found["rack/golem"].todo


async def test_an_address_of_the_state_that_is_no_text_fails(manifests, visit, tmp_path):
    (tmp_path / "address").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "address").chmod(0o600)
    said = (await visit(manifests({}, {"state": None, "stateFile": str(tmp_path / "address")})))["state"]
    assert (said.area, said.mark) == ("state", Mark.FAIL)
    assert "holds no text" in said.found


async def test_what_lies_in_a_folder_of_somebody_else_is_told_and_the_rest_is_looked_at(manifests, visit, as_nobody):
    with as_nobody() as own:
        locked = own / "locked"
        locked.mkdir()
        key = made(locked / "key")
        grass = {"protocol": "grass", "endpoint": "http://127.0.0.1:1", "credentials": {"accessTokenFile": str(key)}}
    text = (manifests({"grass": grass}, {"state": f"sqlite:///{locked}/in/orcha.db"}) / "all.yaml").read_text()
    with as_nobody() as own:
        (own / "all.yaml").write_text(text)
        locked.chmod(0o000)
        found, theirs = await visit(own / "all.yaml"), await visit(locked / "manifests")
        locked.chmod(0o700)
    assert "cannot be looked at" in found[str(key)].found
    assert found["rack/grass"].mark is Mark.UNKNOWN
    assert (found["state"].mark, found["state"].todo) == (
        Mark.FAIL, "run this as who owns it, or name another with --state",
    )  # fmt: skip
    assert theirs[str(locked / "manifests")].todo == "let orcha's user read it"


async def test_each_file_is_told_once_with_all_who_need_it(manifests, visit, tmp_path):
    key = made(tmp_path / "key")
    settings = {
        "api": {"tokenFiles": {"read": str(key)}},
        "prices": {"sources": [], "apiKeyFiles": {"coingecko": str(key)}},
    }
    grass = {"protocol": "grass", "endpoint": "http://127.0.0.1:1", "credentials": {"accessTokenFile": str(key)}}
    found = await visit(manifests({"a": grass, "b": grass | {"endpoint": "http://127.0.0.1:2"}}, settings))
    assert "Settings, rack/a, rack/b" in found[str(key)].found


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"], ids=["IPv4", "IPv6"])  # noqa: S104 nothing is opened there
async def test_an_api_that_can_be_reached_from_elsewhere_needs_a_token(manifests, visit, free_port, host):
    found = await visit(manifests({}), listen=f"{host}:{free_port()}")
    assert found["API tokens"].mark is Mark.WARN
    assert "tokenFiles" in found["API tokens"].todo


async def test_with_a_token_it_is_well_and_on_loopback_none_is_needed(manifests, visit, free_port, tmp_path):
    settings = {"api": {"tokenFiles": {"operate": str(made(tmp_path / "token"))}}}
    found = await visit(manifests({}, settings), listen=f"0.0.0.0:{free_port()}")
    assert found["API tokens"].mark is Mark.OK
    assert "API tokens" not in await visit(manifests({}, settings))
