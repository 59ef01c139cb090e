"""What people write about their fleet, and what they are told when it is wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from controller.fleet.manifest import chosen_for
from controller.manifests import load
from exporters.traits import CurveKind, Traits

PROTOCOLS: dict[str, Any] = {
    "golem": SimpleNamespace(TRAITS=Traits(curve=CurveKind.DEMAND, resource="cpu")),
    "storj": SimpleNamespace(TRAITS=Traits(curve=CurveKind.FILL, resource="storage")),
}
FLEET = """\
apiVersion: orcha.dev/v1alpha1
kind: Fleet
metadata: {name: home}
spec:
  sites: [attic, cellar, office]
  nats: {servers: ["nats://127.0.0.1:4222"]}
  limits:
    - {name: cores, protocol: golem, resource: cpu, maxTotal: 24}
    - {name: rooms, protocol: storj, resource: storage, minTotal: 4Ti}
"""


def found_in(folder, text):
    (folder / "fleet.yaml").write_text(text)
    return load([folder], PROTOCOLS)


def test_a_fleet_is_read_with_its_defaults(tmp_path):
    found = found_in(tmp_path, FLEET)
    assert found.problems == ()
    assert found.fleet is not None
    spec = found.fleet.spec
    assert spec.agents == ("attic", "cellar", "office")
    assert (spec.heartbeat, spec.timeout, spec.sync, spec.irreversible_at_once) == (5.0, 10.0, 5.0, 1)
    assert spec.limits[1].min_total == 4 * 2**40
    assert spec.graph().name == "full"


def test_relays_come_after_the_sites_and_nine_agents_stand_on_sierpinski9(tmp_path):
    relays = ", ".join(f"relay-{i}" for i in range(6))
    found = found_in(tmp_path, FLEET.replace("  nats:", f"  relays: [{relays}]\n  nats:"))
    assert found.fleet is not None
    assert found.fleet.spec.agents[:4] == ("attic", "cellar", "office", "relay-0")
    assert found.fleet.spec.graph().name == "sierpinski9"


@pytest.mark.parametrize(
    ("count", "name"), [(1, "full"), (5, "full"), (6, "grid"), (9, "sierpinski9"), (10, "grid"), (27, "sierpinski"), (81, "sierpinski"), (100, "grid")]
)  # fmt: skip
def test_a_topology_is_chosen_by_the_number_of_agents(count, name):
    assert chosen_for(count) == name


WRONG = {
    "a bound too many": ("maxTotal: 24", "maxTotal: 24, maxCount: 3", "spec.limits[0]: limit 'cores' needs one of maxShare, minTotal, maxTotal and maxCount"),
    "a name twice": ("name: rooms", "name: cores", "spec.limits[1].name: 'cores' is the name of another limit, too"),
    "a password": ("nats://127", "nats://me:geheim@127", "spec.nats.servers[0]: holds a user or password; put secrets into files: tokenFile, credentialsFile"),
    "a site twice": ("cellar", "attic", "spec.sites: 'attic' stands 2 times among sites and relays"),
    "a timeout too short": ("nats:", "timeout: 6s\n  nats:", "spec.timeout: must be at least twice the heartbeat (10s)"),
    "a topology that does not fit": ("nats:", "topology: sierpinski9\n  nats:", "spec.topology: sierpinski9 has 9 agents, not 3"),
    "an address without a scheme": ("nats://127.0.0.1:4222", "127.0.0.1:4222", "spec.nats.servers[0]: '127.0.0.1:4222' is no address of NATS; write nats://HOST:PORT, or tls://HOST:PORT"),
    "an address with port 0": ("127.0.0.1:4222", "127.0.0.1:0", "spec.nats.servers[0]: 'nats://127.0.0.1:0' is no address of NATS"),
    "an address with a port that cannot be": ("127.0.0.1:4222", "127.0.0.1:65536", "spec.nats.servers[0]: 'nats://127.0.0.1:65536' is no address of NATS"),
    "no bound": (", maxTotal: 24", "", "spec.limits[0]: limit 'cores' needs one of"),
    "no servers": ('  nats: {servers: ["nats://127.0.0.1:4222"]}\n', "", "spec.nats: is missing: more than one agent needs servers"),
    "no such protocol": ("protocol: golem", "protocol: gollem", "spec.limits[0].protocol: there is no protocol 'gollem'; there are golem, storj"),
    "too often": ("nats:", "sync: 10ms\n  nats:", "spec.sync: 0.01 s is too often; write at least 0.1s"),
    "two ways to say who one is": ("servers:", "tokenFile: /run/a, credentialsFile: /run/b, servers:", "spec.nats: has tokenFile and credentialsFile; keep the one that the servers ask for"),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(WRONG))
def test_what_cannot_be_is_told_with_its_place_and_what_would_be_right(tmp_path, what):
    old, new, said = WRONG[what]
    assert old in FLEET
    problems = [str(problem) for problem in found_in(tmp_path, FLEET.replace(old, new)).problems]
    assert any(said in problem for problem in problems), problems
    assert "geheim" not in str(problems)


def test_a_second_fleet_is_one_too_many(tmp_path):
    found = found_in(tmp_path, f"{FLEET}---\n{FLEET.replace('name: home', 'name: other')}")
    assert [problem.sentence for problem in found.problems] == ["is a second Fleet; keep one"]
