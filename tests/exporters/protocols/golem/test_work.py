"""Golem: use and rates of running work, health, and answers that fail alone."""

from __future__ import annotations

import pytest

from tests.exporters.protocols.golem.watching import CPU, DURATION, rate, samples
from tests.exporters.protocols.golem_daemon import ACTIVITY, AGREEMENT, NOW, Broken, text

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
