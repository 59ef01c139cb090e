"""Golem: what a naive reader of yagna's API counts twice, loses, or takes for money (reference: storj-golem 2.2 to 2.4)."""

from __future__ import annotations

import copy

import pytest

from exporters.collector import Payloads, load
from exporters.protocols.golem.asking import Yagna, look
from exporters.protocols.golem.owed import ledger
from tests.exporters.protocols.golem.watching import BILLED, CPU, DURATION, balance, rate, samples
from tests.exporters.protocols.golem_daemon import ACTIVITY, AGREEMENT, KEY, ME, NOW, body, invoice, note


def second_offer(daemon, **properties) -> None:
    """One provider publishes an offer for each preset: `vm` and `wasmtime` share the same cores."""
    other = copy.deepcopy(daemon.offers[0])
    other["properties"] |= {"golem.runtime.name": "wasmtime", **properties}
    daemon.offers.append(other | {"offerId": "other"})


def second_activity(daemon, cpu: float, duration: float) -> None:
    daemon.activities[AGREEMENT].append("second")
    daemon.states["second"] = "Ready"
    daemon.usage["second"] = {"currentUsage": [duration, cpu], "timestamp": 1000.0}


# --- what is sold


async def test_two_presets_sell_the_same_cores_once(daemon, orcha):
    daemon.stop()
    second_offer(daemon, **{"golem.inf.cpu.threads": 5, "golem.inf.mem.gib": 20.0})
    reading = await orcha.look()
    assert reading.allocated == {"cpu": 7, "memory": 20.0 * 2**30, "storage": 81.7 * 2**30}
    assert reading.configured == reading.allocated
    assert samples(reading, "orcha_golem_offers") == {(): 2}


async def test_of_two_presets_the_cheaper_price_of_a_core_is_what_a_requestor_would_pay(daemon, orcha):
    # coefficients in the order of the recorded usage vector: duration, cpu, start
    second_offer(daemon, **{"golem.com.pricing.model.linear.coeffs": [DURATION, CPU / 2, 0.0]})
    assert (await orcha.look()).native.price_per_unit_hour["cpu"]["GLM"] == pytest.approx(CPU / 2 * 3600)


async def test_an_agreement_with_another_identity_of_the_daemon_is_not_ours(daemon, orcha):
    daemon.details[AGREEMENT]["offer"]["providerId"] = "0xother"
    daemon.notes = []
    reading = await orcha.look()
    assert (reading.state, reading.used, rate(reading)) == ("idle", {"cpu": 0}, 0)


async def test_work_that_does_not_count_its_time_has_a_rate_from_the_second_look_on(daemon, orcha):
    by_cpu = {"golem.com.usage.vector": ["golem.usage.cpu_sec"], "golem.com.pricing.model.linear.coeffs": [CPU, 0.0]}
    daemon.details[AGREEMENT]["offer"]["properties"] |= by_cpu
    daemon.notes = []
    daemon.usage[ACTIVITY] = {"currentUsage": [100.0], "timestamp": 1000.0}
    reading = await orcha.look()
    assert (rate(reading), reading.used) == (None, {})
    daemon.usage[ACTIVITY] = {"currentUsage": [190.0], "timestamp": 1030.0}
    reading = await orcha.look()
    assert (rate(reading), reading.used) == (pytest.approx(90 * CPU * 120), {"cpu": 3.0})


# --- several at once


async def test_activities_of_one_agreement_are_billed_and_used_each_for_itself(daemon, orcha):
    second_activity(daemon, cpu=20, duration=40)
    daemon.use(cpu=100, duration=60, reported=1000)
    daemon.notes = [note(totalAmountDue="0.25"), note(debitNoteId="2", activityId="second", totalAmountDue="0.5")]
    reading = await orcha.look()
    assert balance(reading) == {"accrued": pytest.approx(0.75)}
    assert reading.used == {"cpu": pytest.approx(100 / 60 + 20 / 40)}
    daemon.notes = [note(totalAmountDue="0.3125"), note(debitNoteId="2", activityId="second", totalAmountDue="0.625")]
    assert rate(await orcha.look()) == pytest.approx((0.0625 + 0.125) * 120)


async def test_one_activity_that_says_nothing_makes_the_whole_use_unknown_not_smaller(daemon, orcha):
    second_activity(daemon, cpu=20, duration=40)
    daemon.usage["second"] = {"timestamp": 1000.0}
    reading = await orcha.look()
    assert (reading.used, rate(reading), reading.quality) == ({}, None, None)
    assert balance(reading) == {"accrued": pytest.approx(BILLED)}, "the note of the other one stands"


async def test_an_activity_that_ended_without_a_word_owes_nothing_and_hides_nothing(daemon, orcha):
    second_activity(daemon, cpu=0, duration=0)
    daemon.states["second"], daemon.usage["second"] = "Terminated", {"timestamp": 1000.0}
    daemon.notes = []
    daemon.use(cpu=100, duration=60, reported=1000)
    await orcha.look()
    daemon.use(cpu=190, duration=90, reported=1030)
    assert rate(await orcha.look()) == pytest.approx((90 * CPU + 30 * DURATION) * 120)


async def test_work_that_a_killed_provider_left_without_a_report_leaves_the_rate_known(daemon, orcha):
    daemon.details[AGREEMENT]["validTo"] = "2026-11-20T08:00:00Z"
    daemon.usage[ACTIVITY] = {"timestamp": NOW.timestamp() - 3600}
    daemon.notes = []
    for _ in range(2):
        reading = await orcha.look()
        assert (reading.state, rate(reading), reading.used) == ("idle", 0, {"cpu": 0})


async def test_notes_of_an_agreement_that_is_forgotten_still_count_each_once(daemon, orcha):
    daemon.details, daemon.agreements = {}, []
    daemon.notes = [note(totalAmountDue="0.25"), note(debitNoteId="2", activityId="second", totalAmountDue="0.5")]
    assert balance(await orcha.look()) == {"accrued": pytest.approx(0.75)}
    daemon.notes = [note(totalAmountDue="0.25"), note(debitNoteId="2", activityId="second", totalAmountDue="0.625")]
    assert rate(await orcha.look()) == pytest.approx(0.125 * 120)


# --- money that is none, or not new


async def test_running_work_for_a_test_network_earns_nothing_while_it_is_used_more_and_more(daemon, orcha):
    daemon.details[AGREEMENT]["demand"]["properties"]["golem.com.payment.chosen-platform"] = "erc20-holesky-tglm"
    daemon.notes = []
    daemon.use(cpu=100, duration=60, reported=1000)
    assert rate(await orcha.look()) == 0
    daemon.use(cpu=190, duration=90, reported=1030)
    reading = await orcha.look()
    assert (rate(reading), balance(reading)) == (0, {})
    assert reading.used == {"cpu": 3.0}, "its cores are busy all the same"


async def test_after_a_start_old_invoices_are_balances_and_no_rate(daemon, orcha):
    daemon.stop()
    daemon.invoices = [invoice(amount="5", status="ACCEPTED")]
    reading = await orcha.look()
    assert (rate(reading), balance(reading)) == (0, {"pending": 5.0})


async def test_an_invoice_replaces_what_usage_says_also_while_its_agreement_still_runs(daemon, orcha):
    daemon.use(cpu=3600, duration=3600, reported=1000)
    daemon.invoices = [invoice(amount="0.001")]
    reading = await orcha.look()
    assert (balance(reading), reading.state) == ({"pending": 0.001}, "computing")
    daemon.use(cpu=3700, duration=3630, reported=1030)
    reading = await orcha.look()
    assert (balance(reading), rate(reading)) == ({"pending": 0.001}, 0)


@pytest.mark.parametrize("before", ["ACCEPTED", "ISSUED"])
async def test_a_cancelled_invoice_is_worth_nothing_and_takes_nothing_back(daemon, orcha, before):
    daemon.end_work()
    daemon.notes = []
    daemon.invoices = [invoice(amount="5", status=before)]
    await orcha.look()
    daemon.invoices = [invoice(amount="5", status="CANCELLED")]
    reading = await orcha.look()
    assert (rate(reading), balance(reading)) == (0, {})


async def test_an_invoice_that_is_cancelled_before_it_was_ever_seen_was_never_earned(daemon, orcha):
    daemon.stop()
    await orcha.look()
    daemon.invoices = [invoice(amount="5", status="CANCELLED")]
    assert rate(await orcha.look()) == 0


async def test_a_daemon_without_a_clock_is_compared_by_its_newest_bill(daemon, orcha):
    daemon.tells_time = False
    daemon.stop()
    old = invoice(invoiceId="old", agreementId="old", amount="100", timestamp="2026-11-18T07:00:00Z")
    daemon.invoices = [invoice(invoiceId="a", agreementId="a", amount="2", timestamp="2026-11-20T07:00:00Z")]
    await orcha.look()
    daemon.invoices = [old, *daemon.invoices, invoice(invoiceId="b", agreementId="b", amount="1")]
    assert rate(await orcha.look()) == pytest.approx(120), "what is two days old was not earned just now"


async def test_what_was_accrued_pending_and_paid_in_turn_is_never_in_two_kinds(daemon, orcha):
    daemon.end_work()
    for status, kind in (("ISSUED", "accrued"), ("RECEIVED", "accrued"), ("ACCEPTED", "pending"), ("SETTLED", "paid")):
        daemon.invoices = [invoice(amount="2", status=status)]
        daemon.metrics = f'payment_amount_received{{platform="erc20-polygon-glm"}} {2e9 if kind == "paid" else 0}\n'
        assert balance(await orcha.look()) == {kind: 2.0}


# --- who asks


@pytest.mark.parametrize("key", ["one\ntwo", "schlüssel", "\ufeffkey"], ids=["two lines", "umlaut", "byte order mark"])
async def test_a_file_that_holds_no_key_is_the_owners_to_mend_and_nothing_is_asked(daemon, watcher, key):
    reading = await watcher(key).look()
    assert (reading.failure, daemon.asked) == ("unauthorized", [])
    assert "credential file" in reading.failure_message
    assert "two" not in reading.failure_message


# --- parse is pure


async def test_parse_gives_the_same_reading_twice_and_changes_nothing(daemon, watcher):
    orcha = watcher()
    daemon.invoices = [invoice(agreementId="a", amount="2", status="SETTLED")]
    asked = await look(Yagna(orcha.session, orcha.workload.endpoint, KEY, patience=5.0))
    at = NOW.timestamp()
    payloads = Payloads({"daemon": asked, "ledger": ledger(asked)}, at, Payloads({"ledger": ledger(asked)}, at - 30))
    before = copy.deepcopy(payloads)
    golem = load("golem")
    assert golem.parse(payloads, orcha.workload, at) == golem.parse(payloads, orcha.workload, at)
    assert payloads == before


def test_the_recorded_account_is_that_of_the_recorded_work():
    """The fixtures belong together: else no test here proves anything."""
    assert (body("activity_list")[0], body("offers")[0]["providerId"]) == (ACTIVITY, ME)
