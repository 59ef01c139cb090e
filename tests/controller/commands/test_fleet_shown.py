"""`orcha fleet status|agents|timeline|topology` as an operator meets them: against a real API, without one, and where it says no."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from controller.__main__ import app
from controller.api.app import application
from exporters.doors import Tokens
from tests.controller.api import desk
from tests.controller.api.fleets import LIMIT, some_fleet
from tests.controller.commands.desk import served

COMMANDS = ("status", "agents", "timeline", "topology")
MANIFEST = """\
apiVersion: orcha.dev/v1alpha1
kind: Fleet
metadata: {name: attic}
spec:
  sites: [paris, lyon, nice]
  relays: [relay-1]
  topology: ring
  nats: {servers: ["nats://nats.example:4222"]}
"""


def orcha(*argv):
    return CliRunner().invoke(app, ["fleet", *map(str, argv)], env={"COLUMNS": "160"})


def sentence(result):
    return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def fleet():
    return some_fleet()


@pytest.fixture(scope="module")
def api(fleet):
    """Two sites of three live in it."""
    face = fleet.face("site-00", "site-01", limits=[LIMIT], irreversibleAtOnce=None)
    with served(application(desk.faces(fleet=face, now=lambda: fleet.now), "127.0.0.1")) as address:
        yield address


@pytest.fixture
def manifests(tmp_path):
    path = tmp_path / "fleet.yaml"
    path.write_text(MANIFEST)
    return path


# --- what is shown --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("status", ("Fleet attic", "3 of 3 agents are alive", "maxTotal 30 cores", "nothing is wrong")),
        ("agents", ("site-02", "elsewhere", "the same", "connected")),
        ("timeline", ("messages came to site-00, site-01", "p95", "lost")),
        ("topology", ("topology full of 3 agent(s)", "1.000 on average", "site-00, site-02")),
    ],
    ids=COMMANDS,
)
def test_it_is_shown_for_people(api, command, words):
    result = orcha(command, "--api", api)
    assert (result.exit_code, result.stderr) == (0, "")
    for each in words:
        assert each in result.stdout


@pytest.mark.parametrize(("command", "name"), [("status", "limits"), ("agents", "agents"), ("timeline", "edges")])
def test_it_is_the_answer_of_the_api_for_programs(api, command, name):
    result = orcha(command, "--api", api, "-o", "json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["seen_by"] == "site-00"
    assert found[name]


def test_the_topology_is_the_same_from_a_controller_and_from_manifests_but_for_who_lives(api, tmp_path, manifests):
    asked = json.loads(orcha("topology", "--api", api, "-o", "json").stdout)
    assert asked["alive"] == {"site-00": True, "site-01": True, "site-02": True}
    read = json.loads(orcha("topology", manifests, "-o", "json").stdout)
    assert asked.keys() == read.keys()
    assert (read["name"], read["sites"], read["relays"]) == ("attic", ["paris", "lyon", "nice"], ["relay-1"])
    assert read["alive"] == dict.fromkeys(["paris", "lyon", "nice", "relay-1"])
    assert {"from": "paris", "to": "relay-1"} in read["topology"]["edges"]


def test_the_topology_of_manifests_needs_no_controller(manifests):
    result = orcha("topology", manifests)
    assert result.exit_code == 0
    assert "Fleet attic: topology ring of 4 agent(s) with 4 edge(s)" in result.stdout
    assert "3  relay-1    paris, nice" in result.stdout


# --- what cannot be -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_where_nobody_answers_it_is_one_sentence_and_exit_2(nobody, command):
    result = orcha(command, "--api", nobody)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"no controller answers at {nobody}" in sentence(result)
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_controller_without_a_fleet_says_how_to_declare_one_and_exit_1(command):
    with served(application(desk.faces(), "127.0.0.1")) as address:
        result = orcha(command, "--api", address)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no fleet is declared here" in sentence(result)
    assert "kind Fleet" in sentence(result)
    assert "orcha run --site NAME" in sentence(result)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_token_that_is_missing_or_wrong_is_said_and_exit_2(fleet, tmp_path, command):
    secret, other = tmp_path / "token", tmp_path / "other"
    secret.write_text("right-token\n")
    other.write_text("wrong-token\n")
    faces = desk.faces(fleet=fleet.face("site-00"), now=lambda: fleet.now, tokens=Tokens(read=secret))
    with served(application(faces, "192.0.2.1")) as address:
        for given in ((), ("--token-file", other)):
            result = orcha(command, "--api", address, *given)
            assert (result.exit_code, result.stdout) == (2, "")
            assert "wants a token" in sentence(result)
            assert "--token-file" in sentence(result)
            assert "wrong-token" not in sentence(result)
        assert orcha(command, "--api", address, "--token-file", secret).exit_code == 0


def test_manifests_without_a_fleet_are_said_to_have_none(tmp_path):
    found = desk.read_manifests(tmp_path)
    assert found.fleet is None
    result = orcha("topology", tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "none of these manifests is a Fleet; docs/fleet.md shows one" in sentence(result)


def test_a_fleet_that_is_wrong_is_refused_with_its_place(manifests):
    manifests.write_text(MANIFEST.replace("ring", "sierpinski9"))
    result = orcha("topology", manifests)
    assert result.exit_code == 1
    assert "fleet.yaml:7: spec.topology: sierpinski9 has 9 agents, not 4" in sentence(result)


def test_manifests_and_an_address_are_two_fleets(api, manifests):
    result = orcha("topology", manifests, "--api", api)
    assert result.exit_code == 2
    assert "manifests and --api name two fleets" in sentence(result)


def test_an_output_that_is_not_known_is_refused(api):
    for command in COMMANDS:
        result = orcha(command, "--api", api, "-o", "yaml")
        assert result.exit_code == 2
        assert "write table or json" in sentence(result)


@pytest.mark.parametrize("body", [b"[]", b"{}"], ids=["list", "object"])
def test_something_else_that_answers_is_not_taken_for_a_controller(body):
    async def other(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    with served(other) as address:
        result = orcha("status", "--api", address)
    assert result.exit_code == 2
    assert "answered something else than its fleet; is this an orcha controller?" in sentence(result)
