"""A real yagna daemon, offline, leads a provider's life; orcha looks at it after each stage, with its own fetch and parse."""

from __future__ import annotations

import time
from dataclasses import dataclass

import aiohttp
import pytest

from exporters.collector import Payloads, Workload, load, look
from exporters.nodes import WorkloadSpec
from exporters.reading import Quality, Reading
from exporters.session import HttpSession
from tests.e2e import yagna

pytestmark = [pytest.mark.tool("golem-node"), pytest.mark.timeout(240), pytest.mark.xdist_group("golem-node")]

CPU, DURATION = 6.944444444444445e-06, 1.388888888888889e-06
"""GLM per second of CPU time and of wall time: what the offer of tests/e2e/yagna.py asks."""
BILLED = f"{150 * CPU + 50 * DURATION:.12f}"


@dataclass
class Watcher:
    """orcha's looks at one daemon, each seeing what the last one kept. Time is made up: 30 s from look to look."""

    session: HttpSession
    workload: Workload
    now: float
    previous: Payloads | None = None

    async def look(self, after: float = 30.0) -> Reading:
        self.now += after
        reading, self.previous = await look(load("golem"), self.session, self.workload, self.now, self.previous)
        return reading


@pytest.fixture
async def daemon(tool, tmp_path, free_port):
    async with yagna.daemon(tool("golem-node"), tmp_path, (free_port(), free_port(), free_port())) as running:
        yield running


@pytest.fixture
async def provider(daemon):
    async with yagna.life(daemon) as life:
        yield life


@pytest.fixture
async def watch(daemon, tmp_path):
    """A function that gives a Watcher with the application key of its choice."""
    async with aiohttp.ClientSession() as client:

        def watcher(key: str = yagna.PROVIDER_KEY) -> Watcher:
            secret = tmp_path / f"key-{abs(hash(key))}"
            secret.write_text(key + "\n")
            secret.chmod(0o600)
            spec = WorkloadSpec.model_validate(
                {"protocol": "golem", "endpoint": daemon.url, "credentials": {"appKeyFile": str(secret)}}
            )
            return Watcher(HttpSession(client), Workload("rack-1", "golem", spec, load("golem").TRAITS), time.time())

        yield watcher


async def test_a_provider_s_life_from_the_offer_to_the_accepted_invoice_is_read(provider: yagna.Life, watch):
    orcha = watch()
    await nothing_is_sold_yet(provider, orcha)
    await an_offer_gives_allocation_and_price_and_earns_nothing(provider, orcha)
    await work_earns_by_the_agreed_prices(provider, orcha)
    await a_debit_note_is_accrued_and_not_earned_twice(provider, orcha)
    await running_work_keeps_its_cores_when_the_profile_shrinks(provider, orcha)
    await an_invoice_replaces_its_debit_notes(provider, orcha)
    await an_accepted_invoice_is_pending(provider, orcha)
    await a_withdrawn_offer_sells_nothing(provider, orcha)


async def nothing_is_sold_yet(provider: yagna.Life, orcha: Watcher) -> None:
    reading = await orcha.look()
    assert reading.up, reading.failure_message
    assert (reading.state, reading.healthy, reading.version) == ("not_selling", False, "0.17.6")
    assert reading.node_id == provider.provider_id
    assert reading.allocated == {}
    assert reading.native.gross_per_hour == {"GLM": 0}
    assert reading.native.balance == {kind: {"GLM": 0} for kind in ("accrued", "pending", "paid", "at_risk")}


async def an_offer_gives_allocation_and_price_and_earns_nothing(provider: yagna.Life, orcha: Watcher) -> None:
    await provider.publish()
    reading = await orcha.look()
    assert reading.state == "idle"
    assert reading.allocated == reading.configured == {"cpu": 7, "memory": 10.5 * 2**30, "storage": 80 * 2**30}
    assert reading.used == {"cpu": 0}
    assert (reading.native.gross_per_hour, reading.quality) == ({"GLM": 0}, Quality.MEASURED)
    assert reading.native.price_per_unit_hour["cpu"]["GLM"] == pytest.approx(CPU * 3600)
    assert reading.healthy is False, "offline, the daemon's own health check fails at its relay"
    assert "relay-check" in " ".join(reading.notes)


async def work_earns_by_the_agreed_prices(provider: yagna.Life, orcha: Watcher) -> None:
    await provider.agree()
    assert (await orcha.look()).state == "reserved"
    await provider.work()
    await provider.use(cpu=60.0, duration=20.0)
    reading = await orcha.look()
    assert reading.state == "computing"
    assert reading.used == {"cpu": 3.0}
    assert reading.native.gross_per_hour["GLM"] == pytest.approx((60 * CPU + 20 * DURATION) * 120)
    assert reading.quality is Quality.ESTIMATED
    assert samples(reading, "orcha_golem_activities")["Ready"] == 1


async def a_debit_note_is_accrued_and_not_earned_twice(provider: yagna.Life, orcha: Watcher) -> None:
    await provider.use(cpu=150.0, duration=50.0)
    await provider.note(BILLED, cpu=150.0, duration=50.0)
    reading = await orcha.look()
    assert reading.native.gross_per_hour["GLM"] == pytest.approx((90 * CPU + 30 * DURATION) * 120)
    assert balance(reading, "accrued") == pytest.approx(float(BILLED))
    assert balance(reading, "pending") == 0


async def running_work_keeps_its_cores_when_the_profile_shrinks(provider: yagna.Life, orcha: Watcher) -> None:
    await provider.use(cpu=150.0, duration=50.0)
    await provider.publish(**{"golem.inf.cpu.threads": 4})
    reading = await orcha.look()
    assert reading.state == "draining"
    assert (reading.allocated["cpu"], reading.configured["cpu"]) == (7, 4)


async def an_invoice_replaces_its_debit_notes(provider: yagna.Life, orcha: Watcher) -> None:
    await provider.bill(BILLED)
    reading = await orcha.look()
    assert reading.state == "idle"
    assert reading.allocated["cpu"] == 4, "what was sold before is free now"
    assert reading.native.gross_per_hour["GLM"] == pytest.approx(0, abs=1e-6)
    assert balance(reading, "accrued") == pytest.approx(float(BILLED)), "sent, and not yet accepted"


async def an_accepted_invoice_is_pending(provider: yagna.Life, orcha: Watcher) -> None:
    await provider.accept(BILLED)
    reading = await orcha.look()
    assert balance(reading, "pending") == pytest.approx(float(BILLED))
    assert (balance(reading, "accrued"), balance(reading, "paid"), balance(reading, "at_risk")) == (0, 0, 0)
    assert reading.native.gross_per_hour["GLM"] == pytest.approx(0, abs=1e-6)
    assert samples(reading, "orcha_golem_invoiced_glm")["ACCEPTED"] == pytest.approx(float(BILLED))
    assert samples(reading, "orcha_golem_agreement_events_total")["approved"] == 1


async def a_withdrawn_offer_sells_nothing(provider: yagna.Life, orcha: Watcher) -> None:
    await provider.withdraw()
    reading = await orcha.look()
    assert (reading.state, reading.healthy, reading.allocated) == ("not_selling", False, {})


def balance(reading: Reading, kind: str) -> float:
    return reading.native.balance[kind]["GLM"]


def samples(reading: Reading, family: str) -> dict[str, float]:
    """The value of each label of a family that has one label."""
    return {next(iter(labels.values())): value for labels, value in reading.extra[family]}


async def test_a_wrong_key_is_the_owner_s_to_mend_and_never_shown(watch):
    reading = await watch("a-key-that-nobody-made").look()
    assert (reading.up, reading.failure) == (False, "unauthorized")
    assert "Invalid application key" in (reading.failure_message or "")
    assert "a-key-that-nobody-made" not in repr(reading)
