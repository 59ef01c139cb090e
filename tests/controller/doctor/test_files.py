"""Files with secrets: there, readable, private; and tokens where the API can be reached from elsewhere."""

from __future__ import annotations

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
