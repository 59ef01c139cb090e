"""The yagna API of a simulated provider, against what a real daemon answered, and its rules (reference: storj-golem 2)."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from exporters.simulator.demand import Bursts, Demand
from exporters.simulator.golem import Yagna
from exporters.simulator.provider import Hardware, Provider, notes_of

NOW = 1_787_184_000.0
KEY = "test-app-key"
FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "golem"


def steady(cores, seed=1):
    return Demand(cores, seed, rhythm=None, bursts=None, regimes=None, noise=None)


def yagna(demand=None, threads=8, hours=6.0, **more):
    provider = Provider(demand or steady(3.0), Hardware(threads, 10.6, 81.7), NOW - hours * 3600.0, **more)
    provider.advance(NOW)
    return Yagna(provider, KEY)


@pytest.fixture
def daemon():
    return yagna()


@pytest.fixture
def ask(daemon, asker):
    return asker(daemon, NOW, {"authorization": f"Bearer {KEY}"})


@pytest.mark.parametrize(
    ("headers", "words"),
    [({}, "Missing application key"), ({"authorization": "Bearer wrong"}, "Invalid application key")],
    ids=["none", "wrong"],
)
def test_without_its_key_the_daemon_answers_401_in_plain_text(ask, headers, words):
    response = ask("/me", headers=headers)
    assert (response.status, response.body.decode()) == (401, words)
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_the_key_may_stand_in_the_query_and_metrics_and_version_need_none(ask):
    assert ask("/me", headers={}, authToken=KEY).status == 200
    assert ask("/metrics-api/v1/expose", headers={}).status == 200
    assert ask("/version/get", headers={}).status == 200


@pytest.mark.parametrize(
    ("path", "recorded"),
    [
        ("/market-api/v1/offers", "golem/offers.json"),
        ("/market-api/v1/agreements", "golem/agreements.json"),
        ("/payment-api/v1/debitNotes", "golem/debit_notes.json"),
        ("/payment-api/v1/invoices", "golem/invoices.json"),
    ],
    ids=["offers", "agreements", "debit notes", "invoices"],
)
def test_lists_have_the_shape_that_a_real_daemon_answered(ask, shape_of, recorded_shape, path, recorded):
    def neutral(words):
        return json.loads(json.dumps(words).replace("erc20-polygon-glm", "X").replace("erc20-mainnet-glm", "X"))

    rows = ask.json(path)
    assert neutral(shape_of(rows[-1:])) == neutral(recorded_shape(recorded))


def test_one_agreement_and_its_activity_have_the_recorded_shape(ask, shape_of, recorded_shape):
    def neutral(words):
        return json.loads(json.dumps(words).replace("erc20-polygon-glm", "X").replace("erc20-mainnet-glm", "X"))

    name = ask.json("/market-api/v1/agreements", state="Approved")[-1]["id"]
    assert neutral(shape_of(ask.json(f"/market-api/v1/agreements/{name}"))) == neutral(
        recorded_shape("golem/agreement.json")
    )
    (activity,) = ask.json("/activity-api/v1/activity", agreementId=name)
    assert shape_of(ask.json(f"/activity-api/v1/activity/{activity}/state")) == {"state": ["str"]}
    assert shape_of(ask.json(f"/activity-api/v1/activity/{activity}/usage")) == recorded_shape(
        "golem/activity_usage.json"
    )


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        (
            "/activity-api/v1/activity/nope/state",
            500,
            b'{"message":"DAO error: Not found: agreement id for activity: nope"}',
        ),
        ("/payment-api/v1/invoices/nope", 404, b'{"message":null}'),
        ("/nope", 404, b""),
    ],
)
def test_what_does_not_exist_is_answered_as_recorded(ask, path, status, body):
    response = ask(path)
    assert (response.status, response.body) == (status, body)


def test_bad_queries_are_400_in_plain_text(ask):
    assert ask("/activity-api/v1/activity").status == 400
    assert ask("/market-api/v1/agreements", state="Sleeping").status == 400
    assert ask("/payment-api/v1/payments", timeout="soon").status == 400


def test_an_empty_long_poll_takes_its_time(asker):
    idle = asker(yagna(steady(0.0)), NOW, {"authorization": f"Bearer {KEY}"})
    assert idle("/payment-api/v1/payments").delay == 5.0
    assert idle("/payment-api/v1/payments", timeout="0").delay == 0.0


def test_coefficients_follow_the_usage_vector_with_the_start_price_last(ask):
    found = ask.json("/market-api/v1/offers")[0]["properties"]
    assert found["golem.com.usage.vector"] == ["golem.usage.cpu_sec", "golem.usage.duration_sec"]
    assert found["golem.com.pricing.model.linear.coeffs"] == pytest.approx([0.025 / 3600, 0.005 / 3600, 0.0])


def test_debit_notes_are_cumulative_and_every_two_minutes(ask, daemon):
    activity = ask.json("/activity-api/v1/activity", agreementId=ask.json("/market-api/v1/agreements")[-1]["id"])[0]
    notes = [note for note in ask.json("/payment-api/v1/debitNotes") if note["activityId"] == activity]
    amounts = [Decimal(note["totalAmountDue"]) for note in notes]
    assert amounts == sorted(amounts)
    assert len(notes) == len(notes_of(daemon.provider.agreements[-1], NOW))
    # 3 busy cores for two minutes: 120 s * (3 * 0.025 + 0.005) GLM per hour
    assert float(amounts[0]) == pytest.approx(120 * 0.08 / 3600, rel=1e-9)
    assert all("e" not in note["totalAmountDue"].lower() for note in notes)


def test_an_invoice_says_what_the_last_debit_note_said(ask):
    invoice = ask.json("/payment-api/v1/invoices")[-1]
    notes = [note for note in ask.json("/payment-api/v1/debitNotes") if note["agreementId"] == invoice["agreementId"]]
    assert notes[-1]["totalAmountDue"] == invoice["amount"]


def test_lists_hold_what_must_not_be_counted(ask, daemon):
    invoices = ask.json("/payment-api/v1/invoices")
    assert sum(invoice["issuerId"] != daemon.me for invoice in invoices) == 1
    assert sum("tglm" in invoice["paymentPlatform"] for invoice in invoices) == 1
    assert {row["role"] for row in ask.json("/market-api/v1/agreements")} == {"Provider", "Requestor"}


def test_lists_are_paged_by_time_and_number(ask):
    everything = ask.json("/payment-api/v1/debitNotes")
    middle = everything[len(everything) // 2]["timestamp"]
    later = ask.json("/payment-api/v1/debitNotes", afterTimestamp=middle)
    assert later == [note for note in everything if note["timestamp"] > middle]
    assert ask.json("/payment-api/v1/debitNotes", maxItems="3") == everything[:3]


def test_invoices_are_settled_with_the_daily_batch_and_paid_in_nano_glm(asker):
    daemon = yagna(hours=60.0)
    ask = asker(daemon, NOW, {"authorization": f"Bearer {KEY}"})
    mine = [
        row
        for row in ask.json("/payment-api/v1/invoices")
        if row["issuerId"] == daemon.me and "tglm" not in row["paymentPlatform"]
    ]
    settled = sum(Decimal(row["amount"]) for row in mine if row["status"] == "SETTLED")
    assert {"SETTLED", "ACCEPTED"} <= {row["status"] for row in mine}
    text = ask("/metrics-api/v1/expose").body.decode()
    (line,) = [line for line in text.splitlines() if line.startswith("payment_amount_received{")]
    assert float(line.split()[-1]) == pytest.approx(float(settled) * 1e9, rel=1e-6)
    assert sum(Decimal(row["amount"]) for row in ask.json("/payment-api/v1/payments", timeout="0")) == pytest.approx(
        settled
    )


def test_the_monitor_streams_the_running_activity(ask):
    response = ask("/activity-api/v1/_monitor")
    assert response.stream
    event = json.loads(response.body.decode().removeprefix("data: "))
    assert set(event["activities"][0]) == {"id", "state", "usage", "exeUnit", "agreementId"}


def test_metric_names_are_those_of_the_real_daemon(ask):
    recorded = set(re.findall(r"^# TYPE (\S+)", (FIXTURES / "metrics.txt").read_text(), re.MULTILINE))
    served = set(re.findall(r"^# TYPE (\S+)", ask("/metrics-api/v1/expose").body.decode(), re.MULTILINE))
    not_in_the_recording = {
        name for name in served - recorded if not re.match(r"payment_|market_|yagna_version_|yagna_service_up", name)
    }
    assert not_in_the_recording == set()
    assert {"activity_provider_created", "activity_provider_usage_0", "payment_amount_received"} <= served


# --- allocation ---


def test_a_new_profile_is_offered_three_to_eight_seconds_later(daemon, ask):
    daemon.write_hardware(
        {"active": "default", "profiles": {"default": {"cpu_threads": 4, "mem_gib": 8, "storage_gib": 50}}}, NOW
    )

    def offered(at):
        daemon.provider.advance(at)
        ask.now = at
        return ask.json("/market-api/v1/offers")[0]["properties"]["golem.inf.cpu.threads"]

    assert offered(NOW + 2.9) == 8
    assert offered(NOW + 8.1) == 4


def test_running_work_keeps_its_cores_until_its_agreement_ends():
    provider = yagna(steady(6.0)).provider
    running = provider.running()
    provider.configure(Hardware(2, 10.6, 81.7), NOW)
    provider.advance(NOW + 60)
    assert provider.running() is running
    assert provider.busy_cores() == 6.0
    assert provider.truth().allocated["cpu"] == 2.0
    provider.advance(running.ends + 120)
    assert provider.running().offer.threads == 2
    assert provider.busy_cores() == 2.0


@pytest.mark.parametrize(("asked", "got"), [(0, 1), (64, 16), (5, 5)], ids=["too few", "too many", "possible"])
def test_impossible_caps_are_clamped_silently_in_the_offer_alone(asked, got):
    provider = yagna().provider
    provider.configure(Hardware(asked, 10.0, 50.0), NOW)
    provider.advance(NOW + 10)
    assert provider.truth().allocated["cpu"] == got
    assert provider.truth().configured["cpu"] == asked


@pytest.mark.parametrize(
    "document", [{}, {"active": "x", "profiles": {}}, {"active": "d", "profiles": {"d": {"cpu_threads": "many"}}}]
)
def test_a_broken_hardware_json_changes_nothing(daemon, document):
    with pytest.raises((KeyError, TypeError, ValueError)):
        daemon.write_hardware(document, NOW)
    assert daemon.provider.configured.threads == 8


def test_when_the_daemon_dies_running_work_is_lost_with_its_invoice(daemon, ask):
    number = len(ask.json("/payment-api/v1/invoices"))
    daemon.provider.stop(NOW)
    assert not daemon.listening(NOW)
    daemon.provider.start(NOW + 600)
    daemon.provider.advance(NOW + 660)
    ask.now = NOW + 660
    assert len(ask.json("/payment-api/v1/invoices")) == number
    text = ask("/metrics-api/v1/expose").body.decode()
    assert "activity_provider_created 1\n" in text  # counters begin again with the daemon


# --- truth ---


def test_nobody_comes_for_a_quarter_of_a_core():
    assert yagna(steady(0.2)).provider.truth().earned["GLM"] == 0.0


def test_earnings_are_the_busy_core_hours_and_the_hours():
    provider = yagna(steady(3.0), hours=5.0).provider
    assert provider.truth().earned["GLM"] == pytest.approx(5 * (3 * 0.025 + 0.005), rel=0.01)
    assert provider.truth().native_per_hour["GLM"] == pytest.approx(0.08)


def test_demand_above_the_threads_earns_nothing_more():
    assert yagna(steady(30.0)).provider.truth().earned == pytest.approx(yagna(steady(8.0)).provider.truth().earned)


@pytest.mark.parametrize("looks", [3, 50, 777])
def test_the_state_does_not_depend_on_how_often_it_was_looked_at(looks):
    demand = Demand(4.0, 9, 1800.0, bursts=Bursts())
    often, once = (Provider(demand, Hardware(6, 8, 50), NOW) for _ in range(2))
    for k in range(1, looks + 1):
        often.advance(NOW + k * 40_000.0 / looks)
    once.advance(NOW + 40_000.0)
    assert often.truth() == once.truth()
    assert [a.ends for a in often.agreements] == [a.ends for a in once.agreements]
