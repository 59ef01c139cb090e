"""Golem: daemons that lie, and plain values."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exporters.protocols.golem.shapes import BILLS, terms_of
from tests.exporters.protocols.golem.watching import COST, balance, rate
from tests.exporters.protocols.golem_daemon import AGREEMENT, NOW, Broken, body, invoice, note

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
