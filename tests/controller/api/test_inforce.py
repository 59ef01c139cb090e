"""The manifests as they are shown: everything that was written, but for what may be secret."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from controller.api.inforce import HIDDEN, _actuator, _words, address, in_force, without_secrets
from controller.fleet.manifest import Fleet
from tests.controller.api import desk


async def test_the_documents_in_force_are_shown_without_what_may_be_secret(serve, tmp_path):
    manifests = desk.read_manifests(tmp_path)
    client = await serve(manifests=lambda: manifests)
    answer = await client.get("/api/v1/manifests")
    text = await answer.text()
    assert answer.status == 200
    assert "hidden-" not in text
    found = json.loads(text)
    assert found["sha256"] == manifests.sha256
    golem, akash = (found["nodes"][0]["spec"]["workloads"][name] for name in ("golem", "akash"))
    assert golem["credentials"] == {"appKeyFile": "/run/secrets/yagna-app-key"}
    assert golem["actuator"]["command"]["argv"] == ["ya-provider", "--token", HIDDEN, "{cpu}"]
    request = akash["mapping"]["requests"]["stats"]
    assert (request["headers"], request["body"]) == ({"X-Site": HIDDEN}, {"site": HIDDEN})
    assert akash["actuator"]["webhook"] == {"url": f"https://hooks.example/{HIDDEN}", "secretFile": "/run/secrets/hook"}
    assert found["policies"][0]["spec"]["mode"] == "Approve"


async def test_a_fleet_is_shown_without_the_passwords_of_its_servers(serve, tmp_path):
    manifests = desk.read_manifests(tmp_path)
    assert in_force(manifests)["fleet"] is None
    spec = {
        "sites": ["attic", "cellar"],
        "nats": {"servers": ["nats://u:hidden-p@nats.example:4222"], "tokenFile": "/run/t"},
    }
    fleet = Fleet.model_validate(
        {"apiVersion": "orcha.dev/v1alpha1", "kind": "Fleet", "metadata": {"name": "home"}, "spec": spec}
    )
    client = await serve(manifests=lambda: replace(manifests, fleet=fleet))
    text = await (await client.get("/api/v1/manifests")).text()
    assert "hidden-" not in text
    found = json.loads(text)["fleet"]["spec"]
    assert (found["sites"], found["heartbeat"]) == (["attic", "cellar"], "5s")
    assert (found["nats"]["servers"], found["nats"]["tokenFile"]) == (["nats://nats.example:4222"], "/run/t")


def test_new_manifests_are_shown_at_once(tmp_path):
    manifests = desk.read_manifests(tmp_path)
    assert in_force(manifests) == in_force(manifests)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://yagna:7465", "http://yagna:7465"), ("http://u:p@h:1/x", "http://h:1/x"), ("http://h/x?key=1#y", f"http://h/x?{HIDDEN}"),
        ("{endpoint}/stats?token=1", f"{{endpoint}}/stats?{HIDDEN}"), ("postgresql://u:p@h/orcha", "postgresql://h/orcha"),
        ("https://rpc.example/v3/0123456789abcdef0123456789abcdef", f"https://rpc.example/v3/{HIDDEN}"), ("sqlite:///orcha.db", "sqlite:///orcha.db"),
        ("http://h/a@b", f"http://h/{HIDDEN}"), ("http://[::1]:80/x", "http://[::1]:80/x"),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_who_and_what_for(text, shown):
    assert address(text) == shown


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["set", "--cpu", "{cpu}"], ["set", "--cpu", "{cpu}"]),
        (["set", "--password", "abc", "{cpu}"], ["set", "--password", HIDDEN, "{cpu}"]),
        (["set", "--api-key=abc"], ["set", f"--api-key={HIDDEN}"]),
        (["set", "--token-file", "/run/x"], ["set", "--token-file", "/run/x"]),
        (["set", "a" * 40], ["set", HIDDEN]),
    ],
)
def test_a_command_line_is_shown_without_its_passwords(argv, shown):
    assert _words(argv) == shown


def test_an_environment_is_shown_where_orcha_fills_it():
    kubernetes = {"env": {"SIZE": "{storage:B}B", "RPC": "https://u:p@h"}, "args": ["--size={storage:B}"]}
    found = _actuator({"kubernetes": kubernetes})["kubernetes"]
    assert found == {"env": {"SIZE": "{storage:B}B", "RPC": HIDDEN}, "args": ["--size={storage:B}"]}


def test_of_free_options_those_that_sound_like_a_secret_are_left_out():
    options = {"rpc": "https://h/x?k=1", "privateKey": "0x1", "keyFile": "/run/k", "list": [{"apiKey": "1", "n": 2}]}
    assert without_secrets(options) == {
        "rpc": f"https://h/x?{HIDDEN}", "privateKey": HIDDEN, "keyFile": "/run/k", "list": [{"apiKey": HIDDEN, "n": 2}]
    }  # fmt: skip
