"""Golem: who asks, what is sold, and for which money. Against a daemon that answers what yagna 0.17.6 answered."""

from __future__ import annotations

import pytest

from exporters.protocols import golem
from exporters.protocols.golem.shapes import is_worth
from exporters.reading import BALANCE_KINDS, Quality
from tests.exporters.protocols.golem.watching import BILLED, COST, CPU, DURATION, balance, rate, samples
from tests.exporters.protocols.golem_daemon import AGREEMENT, ME, Broken, invoice, note, text

# --- the whole, as recorded


async def test_the_recorded_answers_make_a_whole_reading(daemon, orcha):
    reading = await orcha.look()
    assert reading.up, reading.failure_message
    assert (reading.state, reading.healthy) == ("computing", True)
    assert (reading.version, reading.node_id) == ("0.17.6", ME)
    assert reading.allocated == {"cpu": 7, "memory": 10.6 * 2**30, "storage": 81.7 * 2**30}
    assert reading.configured == reading.allocated
    assert reading.used["cpu"] == pytest.approx(90.75 / 37.5), "no look before: the mean over the activity's life"
    assert rate(reading) == pytest.approx(COST * 3600 / 37.5)
    assert reading.quality is Quality.ESTIMATED
    assert balance(reading) == {"accrued": pytest.approx(BILLED)}
    assert reading.native.price_per_unit_hour == {"cpu": {"GLM": pytest.approx(0.025)}}
    assert not reading.notes


def test_every_state_that_can_be_said_is_declared():
    assert set(golem.STATES) == {"not_selling", "testnet", "idle", "reserved", "computing", "draining"}
    assert golem.TRAITS.frees_when == "drained"
    assert golem.TRAITS.resource == "cpu"
    assert 15 <= golem.TRAITS.poll_interval <= 60


async def test_every_sample_belongs_to_a_declared_family_with_its_labels(daemon, orcha):
    daemon.accounts = [{"platform": "erc20-polygon-glm", "address": ME, "receive": True, "send": False}]
    reading = await orcha.look()
    assert set(reading.extra) == set(golem.FAMILIES), "all of them are there where the daemon says everything"
    for name, found in reading.extra.items():
        family = golem.FAMILIES[name]
        assert name.endswith("_total") == (family.kind == "counter"), name
        assert found
        assert all(tuple(labels) == family.labels for labels, _ in found), name
        assert len({tuple(labels.items()) for labels, _ in found}) == len(found), name


async def test_its_balances_are_kinds_that_there_are(orcha):
    assert set((await orcha.look()).native.balance) <= set(BALANCE_KINDS)


# --- who asks


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        pytest.param("another-key", "Invalid application key", id="wrong"),
        pytest.param("", "is empty", id="empty file"),
        pytest.param(None, "appKeyFile", id="no file named"),
    ],
)
async def test_a_key_that_is_refused_is_for_the_owner_to_mend(watcher, key, sentence):
    reading = await watcher(key).look()
    assert (reading.up, reading.failure) == (False, "unauthorized")
    assert sentence in reading.failure_message
    assert "another-key" not in reading.failure_message


async def test_a_key_that_is_revoked_between_two_requests_is_unauthorized_and_not_hidden(daemon, orcha):
    daemon.broken["/payment-api/v1/providerAccounts"] = Broken(401, text("me_bad"))
    assert (await orcha.look()).failure == "unauthorized"


# --- what is sold


@pytest.mark.parametrize(
    ("vector", "coefficients"),
    [
        pytest.param(["golem.usage.duration_sec", "golem.usage.cpu_sec"], [DURATION, CPU, 0.5], id="duration first"),
        pytest.param(
            ["golem.usage.cpu_sec", "golem.usage.duration_sec"], [CPU, DURATION, 0.5], id="cpu first, as ya-provider"
        ),
    ],
)
async def test_coefficients_are_matched_by_name_and_the_start_price_is_last(daemon, orcha, vector, coefficients):
    daemon.offers[0]["properties"] |= {
        "golem.com.usage.vector": vector,
        "golem.com.pricing.model.linear.coeffs": coefficients,
    }
    reading = await orcha.look()
    assert reading.native.price_per_unit_hour["cpu"]["GLM"] == pytest.approx(CPU * 3600)
    prices = samples(reading, "orcha_golem_price_glm_per_hour")
    assert prices == {("cpu",): pytest.approx(CPU * 3600), ("duration",): pytest.approx(DURATION * 3600)}
    assert samples(reading, "orcha_golem_start_price_glm") == {(): 0.5}


async def test_work_is_charged_by_the_prices_that_were_agreed_not_by_those_published_now(daemon, orcha):
    daemon.offers[0]["properties"]["golem.com.pricing.model.linear.coeffs"] = [1.0, 1.0, 1.0]
    assert rate(await orcha.look()) == pytest.approx(COST * 3600 / 37.5)


async def test_the_start_price_is_earned_once(daemon, orcha):
    daemon.details[AGREEMENT]["offer"]["properties"]["golem.com.pricing.model.linear.coeffs"] = [0.0, 0.0, 0.25]
    daemon.notes = []
    states, daemon.agreements = daemon.agreements, []
    await orcha.look()
    daemon.agreements = states
    assert rate(await orcha.look()) == pytest.approx(0.25 * 120)
    assert rate(await orcha.look()) == 0


async def test_no_offer_means_selling_nothing_and_no_allocation_is_made_up(daemon, orcha):
    daemon.stop()
    daemon.offers = []
    reading = await orcha.look()
    assert (reading.up, reading.state, reading.healthy) == (True, "not_selling", False)
    assert (reading.allocated, reading.configured, reading.native.price_per_unit_hour) == ({}, {}, {})
    assert rate(reading) == 0
    assert "ya-provider" in reading.notes[0]


async def test_idle_is_a_known_zero_and_measured(daemon, orcha):
    daemon.stop()
    for _ in range(2):
        reading = await orcha.look()
        assert (reading.state, reading.used, rate(reading)) == ("idle", {"cpu": 0}, 0)
        assert reading.quality is Quality.MEASURED


async def test_an_agreement_without_work_is_reserved(daemon, orcha):
    daemon.activities = {}
    daemon.notes = []
    reading = await orcha.look()
    assert (reading.state, reading.used, rate(reading)) == ("reserved", {"cpu": 0}, 0)


async def test_running_work_keeps_what_it_was_sold_until_it_ends(daemon, orcha):
    daemon.offers[0]["properties"] |= {"golem.inf.cpu.threads": 4, "golem.inf.mem.gib": 6}
    reading = await orcha.look()
    assert reading.state == "draining"
    assert (reading.allocated["cpu"], reading.allocated["memory"]) == (7, 10.6 * 2**30)
    assert (reading.configured["cpu"], reading.configured["memory"]) == (4, 6 * 2**30)
    daemon.end_work()
    reading = await orcha.look()
    assert (reading.state, reading.allocated) == ("idle", reading.configured)


async def test_work_that_outlives_the_offer_is_draining_and_still_healthy(daemon, orcha):
    daemon.offers = []
    reading = await orcha.look()
    assert (reading.state, reading.healthy, reading.allocated["cpu"], reading.configured) == ("draining", True, 7, {})


async def test_what_another_identity_of_the_daemon_sells_is_not_ours(daemon, orcha):
    daemon.offers.append(daemon.offers[0] | {"providerId": "0xother", "properties": {"golem.inf.cpu.threads": 64}})
    assert (await orcha.look()).allocated["cpu"] == 7


# --- both roles are listed


async def test_what_the_owner_rents_is_not_earned(daemon, orcha):
    daemon.stop()
    daemon.agreements = [{"id": "f00d", "timestamp": "2026-11-20T08:00:00Z", "role": "Requestor"}]
    daemon.invoices = [invoice(issuerId="0xother", amount="7.5")]
    daemon.notes = [note(issuerId="0xother", totalAmountDue="7.5", agreementId="f00d")]
    reading = await orcha.look()
    assert (reading.state, balance(reading), rate(reading)) == ("idle", {}, 0)
    assert not any("f00d" in path for path in daemon.asked)


# --- test networks


@pytest.mark.parametrize(
    ("platform", "worth"),
    [
        ("erc20-mainnet-glm", True),
        ("erc20-polygon-glm", True),
        ("erc20-holesky-tglm", False),
        ("erc20-hoodi-tglm", False),
        ("erc20-amoy-tglm", False),
        ("erc20-sepolia-glm", False),
        ("erc20-polygon-tglm", False),
        ("erc20-polygon-usdc", False),
        ("glm", False),
        ("", False),
    ],
)
def test_only_glm_on_a_main_network_is_worth_anything(platform, worth):
    assert is_worth(platform) is worth


async def test_a_provider_on_a_testnet_earns_nothing_and_says_so(daemon, orcha):
    daemon.offers[0]["properties"]["golem.com.payment.platform.erc20-holesky-tglm.address"] = ME
    del daemon.offers[0]["properties"]["golem.com.payment.platform.erc20-mainnet-glm.address"]
    daemon.details[AGREEMENT]["demand"]["properties"]["golem.com.payment.chosen-platform"] = "erc20-holesky-tglm"
    daemon.notes = [note(paymentPlatform="erc20-holesky-tglm", totalAmountDue="1000")]
    daemon.metrics = 'payment_amount_received{platform="erc20-holesky-tglm"} 1000000000000\n'
    daemon.invoices = [invoice(paymentPlatform="erc20-holesky-tglm", agreementId="t", amount="1000", status="SETTLED")]
    for _ in range(2):
        reading = await orcha.look()
        assert (reading.state, reading.healthy) == ("testnet", False)
        assert (balance(reading), rate(reading), reading.native.price_per_unit_hour) == ({}, 0, {})
    assert samples(reading, "orcha_golem_invoices")["test", "SETTLED"] == 1
    assert samples(reading, "orcha_golem_agreements_running") == {("main",): 0, ("test",): 1}
    assert reading.used["cpu"] == 0, "no report since the look before; what runs for test money still uses cores"
    assert reading.allocated["cpu"] == 7
