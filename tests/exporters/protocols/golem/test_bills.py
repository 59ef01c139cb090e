"""Golem: debit notes, invoices and what was paid. Against a daemon that answers what yagna 0.17.6 answered."""

from __future__ import annotations

from datetime import timedelta

import pytest

from exporters.reading import Quality
from tests.exporters.protocols.golem.watching import BILLED, COST, CPU, DURATION, balance, rate, samples
from tests.exporters.protocols.golem_daemon import invoice, note

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
