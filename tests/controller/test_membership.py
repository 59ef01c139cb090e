"""Which site a controller is, and what is said where nobody knows."""

from __future__ import annotations

import pytest

from controller.fleet.manifest import Fleet
from controller.membership import VARIABLE, changed, joined, site_named
from controller.once import CouldNot
from controller.store import Store
from exporters.clock import SystemClock


def fleet(*sites: str, **more: object) -> Fleet:
    spec = {"sites": list(sites), "nats": {"servers": ["nats://127.0.0.1:4222"]}, **more}
    return Fleet.model_validate(
        {"apiVersion": "orcha.dev/v1alpha1", "kind": "Fleet", "metadata": {"name": "home"}, "spec": spec}
    )


def test_the_command_line_comes_before_the_environment(monkeypatch):
    monkeypatch.setenv(VARIABLE, "cellar")
    assert site_named(fleet("attic", "cellar"), None) == "cellar"
    assert site_named(fleet("attic", "cellar"), "attic") == "attic"


def test_a_site_that_is_alone_need_not_say_who_it_is(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert site_named(fleet("attic"), None) == "attic"


WRONG = {
    "a relay": ("relay-0", "'relay-0' is a relay of Fleet home: `orcha fleet host --site relay-0` runs it"),
    "a stranger": ("shed", "Fleet home has no site 'shed'; it has attic, cellar"),
    "nobody": (None, "Fleet home has sites attic, cellar; say which one this is: --site NAME, or ORCHA_SITE"),
}


@pytest.mark.parametrize("what", sorted(WRONG))
def test_who_is_no_site_is_told_what_there_is(what, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    given, said = WRONG[what]
    with pytest.raises(CouldNot) as refused:
        site_named(fleet("attic", "cellar", relays=["relay-0"]), given)
    assert str(refused.value) == said


@pytest.fixture
async def store(tmp_path):
    store = await Store.open(f"sqlite:///{tmp_path / 'orcha.db'}")
    yield store
    await store.close()


async def test_without_a_fleet_it_stands_alone_and_a_site_is_a_mistake(store, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    async with joined(None, None, store, SystemClock()) as site:
        assert site is None
    with pytest.raises(CouldNot, match="--site attic needs a Fleet among the manifests"):
        async with joined(None, "attic", store, SystemClock()):
            raise AssertionError("it began")
    monkeypatch.setenv(VARIABLE, "attic")
    with pytest.raises(CouldNot, match="ORCHA_SITE=attic needs a Fleet among the manifests"):
        async with joined(None, None, store, SystemClock()):
            raise AssertionError("it began without the limits that others rely on")
    monkeypatch.setenv(VARIABLE, "")
    async with joined(None, None, store, SystemClock()) as site:
        assert site is None


async def test_a_fleet_of_one_needs_no_servers_and_owns_all_of_its_limits(store):
    alone = fleet("attic", nats=None)
    async with joined(alone, "attic", store, SystemClock()) as site:
        assert site is not None
        assert (site.me, site.agent.peer.trusted) == ("attic", True)


async def test_a_secret_that_is_not_there_keeps_it_from_starting(store, tmp_path):
    lost = fleet("attic", "cellar", nats={"servers": ["nats://127.0.0.1:4222"], "tokenFile": str(tmp_path / "none")})
    with pytest.raises(CouldNot, match="none"):
        async with joined(lost, "attic", store, SystemClock()):
            raise AssertionError("it began")


def test_what_is_read_at_the_start_only_is_named_and_limits_are_not():
    before = fleet("attic", "cellar")
    assert changed(before, before) == changed(None, None) == []
    assert changed(None, before) == changed(before, None) == ["Fleet"]
    assert changed(before, fleet("attic", "shed", heartbeat="1s")) == ["sites", "heartbeat"]
    assert changed(before, fleet("attic", "cellar", irreversibleAtOnce=3)) == []
