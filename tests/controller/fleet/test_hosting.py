"""Which agents `orcha fleet host` runs, and what is said where it cannot. Real processes: tests/e2e/test_fleet_processes.py."""

from __future__ import annotations

import pytest

from controller.address import StoreFenced
from controller.ending import Ending
from controller.fleet import hosting
from controller.fleet.hosting import opened, relays_named
from controller.fleet.manifest import Fleet
from controller.once import CouldNot
from exporters.clock import SystemClock
from tests.controller.fleet.living import ward


def fleet(*relays: str, servers: str = "nats://127.0.0.1:4222", **nats: str) -> Fleet:
    spec = {"sites": ["attic"], "relays": list(relays), "nats": {"servers": [servers], **nats}}
    return Fleet.model_validate(
        {"apiVersion": "orcha.dev/v1alpha1", "kind": "Fleet", "metadata": {"name": "home"}, "spec": spec}
    )


def test_all_relays_are_hosted_unless_some_are_named_in_the_order_of_the_manifest():
    assert relays_named(fleet("c", "a", "b"), ()) == ("c", "a", "b")
    assert relays_named(fleet("c", "a", "b"), ("b", "c")) == ("c", "b")


WRONG = {
    "no fleet": (None, (), "no Fleet is declared among the manifests"),
    "no relays": (fleet(), (), r"Fleet home has no relays to host; name some in spec\.relays"),
    "a site": (fleet("a"), ("attic",), "'attic' is a site of Fleet home: its agent lives in its controller, `orcha run --site attic`"),
    "a stranger": (fleet("a"), ("b",), "Fleet home has no relay 'b'; it has a"),
    "a stranger where there are none": (fleet(), ("b",), r"Fleet home has no relay 'b'; it has none: name it in spec\.relays"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", sorted(WRONG))
def test_what_cannot_be_hosted_is_said_in_a_sentence(wrong):
    declared, wanted, sentence = WRONG[wrong]
    with pytest.raises(CouldNot, match=sentence):
        relays_named(declared, wanted)


async def test_where_trying_again_cannot_help_it_does_not_start(tmp_path):
    declared = fleet("a", tokenFile=str(tmp_path / "nothing"))
    with pytest.raises(CouldNot, match="nothing"):
        async with opened(declared, ("a",), f"sqlite:///{tmp_path}/orcha.db", SystemClock()):
            raise AssertionError("it began")


async def test_a_state_that_cannot_be_opened_is_said_in_a_sentence(tmp_path):
    with pytest.raises(CouldNot, match="nowhere"):
        async with opened(fleet("a"), ("a",), f"sqlite:///{tmp_path}/nowhere/orcha.db", SystemClock()):
            raise AssertionError("it began")


async def test_where_another_took_over_the_state_the_host_ends_and_says_so():
    async with ward(1) as agents:
        life, disk = agents.agents["site-0"], agents.disks["site-0"]
        agents.task("site-0").cancel()
        life.peer.replica.count("site-0", "used", 1, life.peer.writer)
        disk.fails = StoreFenced("another controller writes here now")
        with pytest.raises(CouldNot, match="another controller writes here now"):
            await hosting._run([life], Ending(), SystemClock())
