"""Golem, against a daemon on loopback that answers what yagna 0.17.6 answered; every trap of its API is a test."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from exporters.collector import Payloads, Workload, load, look
from exporters.nodes import WorkloadSpec
from exporters.protocols import golem
from exporters.protocols.golem.shapes import BILLS, is_worth, terms_of
from exporters.reading import BALANCE_KINDS, Quality, Reading
from exporters.session import HttpSession
from tests.exporters.protocols.golem_daemon import (
    ACTIVITY,
    AGREEMENT,
    KEY,
    ME,
    NOW,
    Broken,
    FakeDaemon,
    body,
    invoice,
    note,
    text,
)

CPU, DURATION = 6.944444444444445e-06, 1.388888888888889e-06
COST = 90.75 * CPU + 37.5 * DURATION
"""Of the recorded activity by the recorded offer, in GLM."""
BILLED = 0.000262
"""What the recorded debit note and invoice say."""


class Watcher:
    """Looks at a daemon, each seeing what the last one kept."""

    def __init__(self, session: HttpSession, workload: Workload) -> None:
        self.session, self.workload = session, workload
        self.now = NOW.timestamp()
        self.previous: Payloads | None = None

    async def look(self, after: float = 30.0) -> Reading:
        self.now += after
        reading, self.previous = await look(load("golem"), self.session, self.workload, self.now, self.previous)
        return reading


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon()


@pytest.fixture
async def watcher(daemon, aiohttp_server, tmp_path):
    """A function that gives a Watcher of the daemon, with the content of a key file (None: no file is named)."""
    server = await aiohttp_server(daemon.app())
    async with aiohttp.ClientSession() as client:

        def made(key: str | None = KEY, timeout: str = "30s") -> Watcher:
            spec: dict[str, Any] = {"protocol": "golem", "endpoint": str(server.make_url("")), "timeout": timeout}
            if key is not None:
                (tmp_path / "key").write_text(key + "\n")
                spec["credentials"] = {"appKeyFile": str(tmp_path / "key")}
            workload = Workload("rack-1", "golem", WorkloadSpec.model_validate(spec), golem.TRAITS)
            return Watcher(HttpSession(client), workload)

        yield made


@pytest.fixture
def orcha(watcher) -> Watcher:
    return watcher()


def rate(reading: Reading) -> float | None:
    return reading.native.gross_per_hour.get("GLM")


def balance(reading: Reading) -> dict[str, float]:
    """Only what is not zero."""
    return {kind: amounts["GLM"] for kind, amounts in reading.native.balance.items() if amounts["GLM"]}


def samples(reading: Reading, family: str) -> dict[tuple[str, ...], float]:
    return {tuple(labels.values()): value for labels, value in reading.extra[family]}


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


# --- bills


async def test_debit_notes_are_cumulative_only_the_newest_of_an_activity_counts(daemon, orcha):
    daemon.notes = [
        note(debitNoteId="1", totalAmountDue="0.1", timestamp="2026-11-20T08:20:00Z"),
        note(debitNoteId="3", totalAmountDue="0.3", timestamp="2026-11-20T08:24:00.123Z"),
        note(debitNoteId="2", totalAmountDue="0.2", timestamp="2026-11-20T08:22:00.123456789Z"),
    ]
    assert balance(await orcha.look()) == {"accrued": pytest.approx(0.3)}


async def test_an_invoice_replaces_the_debit_notes_of_its_agreement_and_is_not_earned_again(daemon, orcha):
    daemon.notes = [note(totalAmountDue=str(COST))]
    await orcha.look()
    daemon.end_work()
    daemon.invoices = [invoice(amount=str(COST), status="ISSUED")]
    reading = await orcha.look()
    assert balance(reading) == {"accrued": pytest.approx(COST)}
    assert rate(reading) == pytest.approx(0)
    assert reading.quality is Quality.MEASURED


async def test_an_invoice_below_the_last_note_is_no_loss(daemon, orcha):
    await orcha.look()
    daemon.end_work()
    daemon.invoices = [invoice(amount=str(COST / 2))]
    assert rate(await orcha.look()) == 0


async def test_a_job_that_came_and_went_between_two_looks_was_earned(daemon, orcha):
    daemon.stop()
    await orcha.look()
    daemon.invoices = [invoice(amount="0.5")]
    assert rate(await orcha.look(after=60)) == pytest.approx(30)
    assert rate(await orcha.look(after=60)) == 0


async def test_work_that_ended_is_still_owed_while_its_invoice_is_not_sent(daemon, orcha):
    await orcha.look()
    daemon.use(cpu=100, duration=40)
    daemon.end_work()
    reading = await orcha.look()
    assert rate(reading) == pytest.approx((9.25 * CPU + 2.5 * DURATION) * 120)
    assert reading.state == "idle"
    daemon.invoices = [invoice(amount=f"{100 * CPU + 40 * DURATION:.15f}")]
    assert rate(await orcha.look()) == pytest.approx(0, abs=1e-9)


async def test_bills_that_leave_the_window_are_no_loss(daemon, orcha):
    daemon.stop()
    daemon.invoices = [invoice(amount="5", status="SETTLED")]
    await orcha.look()
    daemon.now += timedelta(days=40)
    reading = await orcha.look()
    assert rate(reading) == 0


@pytest.mark.parametrize(
    ("status", "due", "kind"),
    [
        ("ISSUED", "2026-11-20T09:00:00Z", "accrued"),
        ("RECEIVED", "2026-11-20T09:00:00Z", "accrued"),
        ("RECEIVED", None, "accrued"),
        ("ISSUED", "2026-11-20T08:00:00Z", "at_risk"),
        ("RECEIVED", "2026-11-20T08:00:00.000000001Z", "at_risk"),
        ("ACCEPTED", "2026-11-20T08:00:00Z", "pending"),
        ("ACCEPTED", "2026-11-19T07:00:00Z", "at_risk"),
        ("ACCEPTED", "2026-11-20T08:00:00", "pending"),
        ("SETTLED", "2026-11-01T08:00:00Z", "paid"),
        ("REJECTED", "2026-11-20T09:00:00Z", "at_risk"),
        ("FAILED", "2026-11-20T09:00:00Z", "at_risk"),
        ("CANCELLED", "2026-11-20T09:00:00Z", None),
    ],
)
async def test_an_invoice_stands_where_its_status_and_due_date_put_it(daemon, orcha, status, due, kind):
    daemon.end_work()
    daemon.invoices = [invoice(status=status, paymentDueDate=due, amount="0.125")]
    assert balance(await orcha.look()) == ({kind: 0.125} if kind else {})


async def test_a_status_that_nobody_knows_is_told_and_counts_nowhere(daemon, orcha):
    daemon.end_work()
    daemon.invoices = [invoice(status="DISPUTED")]
    reading = await orcha.look()
    assert (reading.up, balance(reading)) == (True, {})
    assert "DISPUTED" in reading.notes[0]


async def test_a_note_that_was_paid_in_mid_agreement_is_not_accrued_again(daemon, orcha):
    daemon.notes = [
        note(debitNoteId="1", totalAmountDue="0.1", timestamp="2026-11-20T08:20:00Z", status="SETTLED"),
        note(debitNoteId="2", totalAmountDue="0.25", timestamp="2026-11-20T08:24:00Z"),
    ]
    assert balance(await orcha.look()) == {"paid": pytest.approx(0.1), "accrued": pytest.approx(0.15)}


async def test_an_unpaid_debit_note_that_was_rejected_is_at_risk(daemon, orcha):
    daemon.notes = [note(status="REJECTED", totalAmountDue="0.5")]
    assert balance(await orcha.look()) == {"at_risk": 0.5}


async def test_net_expects_only_the_share_that_is_not_at_risk(daemon, orcha):
    daemon.notes = []
    daemon.invoices = [
        invoice(invoiceId="1", agreementId="a", amount="3", status="SETTLED"),
        invoice(invoiceId="2", agreementId="b", amount="1", status="REJECTED"),
    ]
    reading = await orcha.look()
    assert reading.native.net_per_hour["GLM"] == pytest.approx(rate(reading) * 0.75)


async def test_the_share_at_risk_is_of_the_bills_that_are_seen_not_of_all_that_was_ever_received(daemon, orcha):
    daemon.notes = []
    daemon.invoices = [
        invoice(invoiceId="1", agreementId="a", amount="1", status="SETTLED"),
        invoice(invoiceId="2", agreementId="b", amount="1", status="FAILED"),
    ]
    daemon.metrics = 'payment_amount_received{platform="erc20-polygon-glm"} 98000000000\n'
    reading = await orcha.look()
    assert balance(reading) == {"paid": 98, "at_risk": 1}
    assert reading.native.net_per_hour["GLM"] == pytest.approx(rate(reading) * 0.5)


async def test_amounts_are_decimal_strings_and_add_up_exactly(daemon, orcha):
    daemon.stop()
    daemon.invoices = [invoice(invoiceId=str(n), agreementId=str(n), amount="0.1", status="SETTLED") for n in range(3)]
    assert balance(await orcha.look()) == {"paid": 0.3}, "0.1 + 0.1 + 0.1 in floats is 0.30000000000000004"


async def test_all_pages_are_read_and_bills_of_one_instant_are_not_torn_apart(daemon, orcha):
    daemon.stop()
    stamps = [f"2026-11-20T07:00:{n // 60:02}.{n % 60 // 20:03}Z" for n in range(2500)]  # twenty of each instant
    daemon.invoices = [
        invoice(invoiceId=str(n), agreementId=str(n), amount="0.001", status="SETTLED", timestamp=stamp)
        for n, stamp in enumerate(stamps)
    ]
    assert balance(await orcha.look()) == {"paid": 2.5}
    pages = [path for path in daemon.asked if path.startswith("/payment-api/v1/invoices")]
    assert len(pages) == 3


async def test_the_windows_follow_the_daemon_s_own_clock(daemon, orcha):
    await orcha.look()
    assert "/payment-api/v1/invoices?maxItems=1000&afterTimestamp=2026-10-21T08:26:30.000Z" in daemon.asked
    assert "/payment-api/v1/debitNotes?maxItems=1000&afterTimestamp=2026-11-20T02:26:30.000Z" in daemon.asked


async def test_a_daemon_that_does_not_tell_the_time_is_asked_for_everything(daemon, orcha):
    daemon.tells_time = False
    reading = await orcha.look()
    assert (reading.up, balance(reading)) == (True, {"accrued": pytest.approx(BILLED)})
    assert "/payment-api/v1/invoices?maxItems=1000" in daemon.asked


async def test_a_daemon_that_ignores_paging_is_read_once_and_not_for_ever(daemon, orcha):
    page = [invoice(invoiceId=str(n), agreementId=str(n), amount="0.001", status="SETTLED") for n in range(1000)]
    daemon.invoices = page  # all of one instant: the second page is the first one again
    assert balance(await orcha.look())["paid"] == pytest.approx(1.0)


# --- paid, in nano-GLM


async def test_what_was_received_is_counted_in_nano_glm_and_only_on_main_networks(daemon, orcha):
    daemon.stop()
    daemon.metrics = (
        "# TYPE payment_amount_received counter\n"
        'payment_amount_received{platform="erc20-polygon-glm"} 12500000000\n\n'
        'payment_amount_received{platform="erc20-mainnet-glm"} 500000000\n\n'
        'payment_amount_received{platform="erc20-hoodi-tglm"} 99000000000000\n'
    )
    reading = await orcha.look()
    assert balance(reading) == {"paid": 13.0}
    assert samples(reading, "orcha_golem_received_glm_total") == {(): 13.0}


async def test_the_counters_starting_again_with_the_daemon_take_nothing_back(daemon, orcha):
    daemon.invoices = [invoice(agreementId="a", amount="2", status="SETTLED")]
    daemon.metrics = 'payment_amount_received{platform="erc20-polygon-glm"} 3000000000\n'
    assert balance(await orcha.look())["paid"] == 3
    daemon.metrics = 'payment_amount_received{platform="erc20-polygon-glm"} 0\n'
    reading = await orcha.look()
    assert balance(reading)["paid"] == 2
    assert rate(reading) == 0


async def test_the_daemon_s_counters_are_shown(orcha):
    reading = await orcha.look()
    assert samples(reading, "orcha_golem_activities_created_total") == {(): 1}
    assert samples(reading, "orcha_golem_agreement_events_total")[("approved",)] == 1
    assert samples(reading, "orcha_golem_activities_destroyed_total")[("unresponsive",)] == 0


@pytest.mark.parametrize(
    "said", ["", "<html>", "payment_amount_received{", "payment_amount_received NaN\n", "activity_provider_created x\n"]
)
async def test_metrics_that_cannot_be_read_are_left_out_and_spoil_nothing(daemon, orcha, said):
    daemon.metrics = said
    reading = await orcha.look()
    assert (reading.up, balance(reading)) == (True, {"accrued": pytest.approx(BILLED)})
    assert "orcha_golem_received_glm_total" not in reading.extra


# --- work


async def test_used_cores_and_the_rate_come_from_the_difference_between_two_looks(daemon, orcha):
    daemon.notes = []
    daemon.use(cpu=100, duration=60, reported=1000)
    await orcha.look()
    daemon.use(cpu=190, duration=90, reported=1030)
    reading = await orcha.look(after=30)
    assert reading.used == {"cpu": 3.0}
    assert rate(reading) == pytest.approx((90 * CPU + 30 * DURATION) * 120)


async def test_usage_that_starts_again_is_no_loss(daemon, orcha):
    daemon.use(cpu=100, duration=60, reported=1000)
    await orcha.look()
    daemon.use(cpu=20, duration=10, reported=1030)
    reading = await orcha.look()
    assert (reading.used, rate(reading)) == ({"cpu": 2.0}, 0)


async def test_work_that_fell_silent_uses_no_cores(daemon, orcha):
    await orcha.look()
    assert (await orcha.look(after=30)).used == {"cpu": 0}


async def test_two_looks_in_a_row_do_not_make_running_work_look_idle(daemon, orcha):
    await orcha.look()
    assert (await orcha.look(after=1)).used["cpu"] == pytest.approx(90.75 / 37.5)


async def test_before_the_first_report_use_and_rate_are_unknown_and_not_zero(daemon, orcha):
    daemon.notes = []
    daemon.usage[ACTIVITY] = {"timestamp": 1795163150}
    for _ in range(2):
        reading = await orcha.look()
        assert (reading.state, reading.used, rate(reading), reading.quality) == ("computing", {}, None, None)
    daemon.use(cpu=30, duration=30, reported=1795163180)
    assert rate(await orcha.look()) == pytest.approx((30 * CPU + 30 * DURATION) * 120)


async def test_a_look_after_more_than_a_day_begins_anew(daemon, orcha):
    await orcha.look()
    daemon.use(cpu=7200, duration=3600, reported=9e9)
    reading = await orcha.look(after=2 * 86400)
    assert reading.used == {"cpu": 2.0}
    assert rate(reading) == pytest.approx(7200 * CPU + 3600 * DURATION)


async def test_an_activity_that_is_gone_meanwhile_is_left_out(daemon, orcha):
    daemon.activities[AGREEMENT].append("gone")
    reading = await orcha.look()
    assert reading.up, reading.failure_message
    assert "/activity-api/v1/activity/gone/state" in daemon.asked


async def test_any_other_error_of_the_activity_api_is_a_failed_look(daemon, orcha):
    daemon.broken[f"/activity-api/v1/activity/{ACTIVITY}/usage"] = Broken(500, '{"message":"database is locked"}')
    assert (await orcha.look()).failure == "unreachable"


async def test_an_agreement_that_is_gone_meanwhile_is_left_out(daemon, orcha):
    daemon.details = {}
    daemon.notes = []
    assert (await orcha.look()).state == "idle"


async def test_terminated_work_uses_nothing_and_stays_owed(daemon, orcha):
    daemon.states[ACTIVITY] = "Terminated"
    daemon.notes = []
    await orcha.look()
    reading = await orcha.look()
    assert (reading.state, reading.used, rate(reading)) == ("reserved", {"cpu": 0}, 0)


@pytest.mark.parametrize(("silent_for", "state"), [(5, "computing"), (3600, "idle")])
async def test_an_agreement_that_a_killed_provider_left_approved_holds_nothing_past_its_end(
    daemon, orcha, silent_for, state
):
    daemon.details[AGREEMENT]["validTo"] = "2026-11-20T08:26:00Z"
    daemon.use(cpu=90, duration=30, reported=NOW.timestamp() - silent_for)
    daemon.offers[0]["properties"]["golem.inf.cpu.threads"] = 7
    daemon.details[AGREEMENT]["offer"]["properties"]["golem.inf.cpu.threads"] = 7 if state == "computing" else 12
    reading = await orcha.look()
    assert (reading.state, reading.allocated["cpu"]) == (state, 7)
    assert reading.used == {"cpu": 3.0 if state == "computing" else 0}


async def test_thousands_of_agreements_at_once_are_a_lie(daemon, orcha):
    daemon.agreements = [{"id": str(n), "timestamp": "2026-11-20T08:00:00Z", "role": "Provider"} for n in range(1000)]
    reading = await orcha.look()
    assert (reading.failure, len(daemon.asked) < 20) == ("malformed", True)


# --- health, and partial answers


async def test_a_health_check_that_answers_500_is_an_answer(daemon, orcha):
    daemon.health = Broken(500, text("health"), "application/problem+json")
    reading = await orcha.look()
    assert (reading.up, reading.healthy) == (True, False)
    assert "relay-check" in reading.notes[0]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Broken(404), id="an older release has none"),
        pytest.param(Broken(200, "<html></html>", "text/html"), id="a page"),
        pytest.param(Broken(200, "{}", "application/json"), id="says nothing"),
        pytest.param(Broken(hang=True), id="hangs"),
    ],
)
async def test_a_health_check_that_does_not_say_leaves_health_unknown(daemon, watcher, answer):
    daemon.broken["/healthcheck"] = answer
    reading = await watcher(timeout="1500ms").look()
    assert (reading.up, reading.healthy) == (True, None)


@pytest.mark.parametrize(
    "path",
    ["/version/get", "/payment-api/v1/providerAccounts", "/payment-api/v1/payments/status", "/metrics-api/v1/expose"],
)
@pytest.mark.parametrize(
    "answer",
    [Broken(500, "x"), Broken(404), Broken(200, "<html>", "text/html"), Broken(200, "null", "application/json")],
    ids=["500", "404", "page", "null"],
)
async def test_what_is_only_good_to_know_may_fail_alone(daemon, orcha, path, answer):
    daemon.broken[path] = answer
    reading = await orcha.look()
    assert reading.up, reading.failure_message
    assert rate(reading) is not None


async def test_payment_problems_are_counted_and_unknown_kinds_have_one_name(daemon, orcha):
    daemon.problems = [
        {"kind": "InsufficientGas", "driver": "erc20"},
        {"kind": "TxStuck"},
        {"kind": "TxStuck"},
        {"kind": "Moon"},
    ]
    found = samples(await orcha.look(), "orcha_golem_payment_problems")
    assert {kind[0]: count for kind, count in found.items() if count} == {
        "InsufficientGas": 1,
        "TxStuck": 2,
        "other": 1,
    }


async def test_a_newer_release_shows(daemon, orcha):
    daemon.pending_release = {"version": "0.18.0", "name": "x", "seen": False}
    assert samples(await orcha.look(), "orcha_golem_update_available") == {(): 1}


# --- lies


@pytest.mark.parametrize(
    ("path", "said", "where"),
    [
        ("/me", "null", "the whole body"),
        ("/me", "{}", "identity"),
        ("/market-api/v1/offers", "null", "the whole body"),
        ("/market-api/v1/offers", '[{"providerId":"x"}]', "0.properties"),
        ("/market-api/v1/agreements", '{"a":1}', "the whole body"),
        ("/payment-api/v1/invoices", '[{"invoiceId":"1"}]', "0.issuerId"),
        ("/payment-api/v1/debitNotes", "[null]", "0"),
        ("/payment-api/v1/debitNotes", "[", "no JSON"),
    ],
)
async def test_another_shape_is_malformed_and_the_place_is_named(daemon, orcha, path, said, where):
    daemon.broken[path] = Broken(200, said, "application/json")
    reading = await orcha.look()
    assert reading.failure == "malformed"
    assert path in reading.failure_message
    assert where in reading.failure_message


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-1", "one", "", None, "0x10"])
async def test_an_amount_that_cannot_be_is_malformed_and_spoils_no_total(daemon, orcha, amount):
    daemon.invoices = [invoice(amount=amount)]
    assert (await orcha.look()).failure == "malformed"


@pytest.mark.parametrize("amount", ["1e308", "1e400"])
async def test_an_absurd_amount_is_unknown_and_told(daemon, orcha, amount):
    daemon.end_work()
    daemon.invoices = [invoice(amount=amount)]
    reading = await orcha.look()
    assert "pending" not in {kind for kind, amounts in reading.native.balance.items() if amounts}
    assert any("cannot be" in sentence for sentence in reading.notes)


@pytest.mark.parametrize(
    ("properties", "missing"),
    [
        ({"golem.inf.cpu.threads": -4}, "cpu"),
        ({"golem.inf.cpu.threads": "many"}, "cpu"),
        ({"golem.inf.cpu.threads": None}, "cpu"),
        ({"golem.inf.cpu.threads": True}, "cpu"),
        ({"golem.inf.mem.gib": 1e308}, "memory"),
    ],
)
async def test_caps_that_cannot_be_are_unknown(daemon, orcha, properties, missing):
    daemon.stop()
    daemon.offers[0]["properties"] |= properties
    reading = await orcha.look()
    assert reading.up
    assert missing not in reading.allocated
    assert not any(name.startswith(f"orcha_golem_offered_{missing}") and found for name, found in reading.extra.items())


@pytest.mark.parametrize(
    "pricing",
    [
        {"golem.com.pricing.model": "quadratic"},
        {"golem.com.pricing.model.linear.coeffs": [1.0, 2.0]},
        {"golem.com.pricing.model.linear.coeffs": [1.0, -2.0, 0.0]},
        {"golem.com.pricing.model.linear.coeffs": [1.0, "2", 0.0]},
        {"golem.com.pricing.model.linear.coeffs": None},
        {"golem.com.usage.vector": None},
    ],
)
async def test_a_price_that_cannot_be_read_is_unknown_and_bills_still_count(daemon, orcha, pricing):
    daemon.offers[0]["properties"] |= pricing
    daemon.details[AGREEMENT]["offer"]["properties"] |= pricing
    await orcha.look()
    daemon.notes = [note(totalAmountDue="0.001262")]
    reading = await orcha.look()
    assert reading.native.price_per_unit_hour == {}
    assert rate(reading) == pytest.approx(0.001 * 120), "by the debit notes alone"
    assert "price cannot be read" in reading.notes[0]


@pytest.mark.parametrize("year", [1970, 2100])
async def test_a_daemon_with_a_wrong_clock_is_read_all_the_same(daemon, orcha, year):
    daemon.now = NOW.replace(year=year)
    daemon.stop()
    daemon.invoices = [invoice(timestamp=f"{year}-11-20T08:00:00Z", paymentDueDate="2026-12-01T08:00:00Z", amount="1")]
    assert balance(await orcha.look()) == {"pending": 1}


# --- plain values


def test_the_price_of_an_activity_is_start_plus_coefficients_by_usage():
    terms = terms_of(body("offers")[0]["properties"])
    assert terms.cost({"golem.usage.duration_sec": 37.5, "golem.usage.cpu_sec": 90.75}) == pytest.approx(Decimal(COST))
    assert terms.cost(None) is None


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-11-20T08:25:58Z",
        "2026-11-20T08:25:58.000Z",
        "2026-11-20T08:25:58.000000000Z",
        "2026-11-20T08:25:58",
        "2026-11-20T09:25:58+01:00",
    ],
)
def test_times_are_read_with_any_number_of_digits_and_without_a_zone_as_utc(stamp):
    bill = BILLS.validate_python([invoice(timestamp=stamp)])[0]
    assert bill.timestamp.timestamp() == 1795163158
