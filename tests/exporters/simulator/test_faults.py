"""What a broken or lying site answers, and that its true state is not touched by it."""

from __future__ import annotations

import json
import math

import pytest

from exporters.simulator.faults import Fault
from exporters.simulator.response import Request, read_time


def answer(made, site, path, now, **headers):
    return made.world.answer(site, Request("GET", path, {}, headers), now)


@pytest.fixture
def storj(made):
    def ask(fault, path="/api/sno/"):
        made.world.break_site("rack-1-storj", fault)
        return answer(made, "rack-1-storj", path, made.world.now)

    return ask


def test_a_dead_site_does_not_listen(made):
    assert made.world.listening("rack-1-storj", made.world.now)
    made.world.break_site("rack-1-storj", Fault.DIE)
    assert not made.world.listening("rack-1-storj", made.world.now)


@pytest.mark.parametrize(
    ("fault", "status", "start"),
    [
        (Fault.PAGE, 200, b"<!DOCTYPE"), (Fault.BLOCK, 403, b"<!DOCTYPE"), (Fault.ERROR, 500, b"{"),
        (Fault.BUSY, 429, b"{"), (Fault.DENY, 401, b"{"), (Fault.EMPTY, 200, b""),
    ],
)  # fmt: skip
def test_transport_faults_replace_the_answer(storj, fault, status, start):
    response = storj(fault)
    assert response.status == status
    assert response.body[: len(start)] == start


def test_a_hanging_site_hangs_and_a_cut_one_is_cut(storj):
    assert storj(Fault.HANG).hang
    assert storj(Fault.CUT).cut


@pytest.mark.parametrize(
    ("fault", "holds"),
    [
        (Fault.NEGATIVE, lambda value, true: value == -true),
        (Fault.NAN, lambda value, _: math.isnan(value)),
        (Fault.HUGE, lambda value, _: value == 1e308),
        (Fault.NULLS, lambda value, _: value is None),
        (Fault.OVERUSED, lambda value, true: value == 20 * true),
    ],
)
def test_lies_falsify_every_figure(storj, fault, holds):
    true = json.loads(storj(None).body)["diskSpace"]["used"]
    assert holds(json.loads(storj(fault).body)["diskSpace"]["used"], true)


def test_only_use_is_overused(storj):
    true, lie = (json.loads(storj(fault).body)["diskSpace"] for fault in (None, Fault.OVERUSED))
    assert lie["allocated"] == true["allocated"]


@pytest.mark.parametrize(("fault", "year"), [(Fault.PAST, 1970), (Fault.FUTURE, 2100)])
def test_a_wrong_clock_moves_every_time_together(made, storj, fault, year):
    true, lie = (json.loads(storj(when).body) for when in (None, fault))
    assert lie["lastPinged"].startswith(str(year)) or year == 1970
    shift = read_time(lie["lastQuicPingedAt"]) - read_time(true["lastQuicPingedAt"])
    if year == 2100:
        assert read_time(lie["startedAt"]) - read_time(true["startedAt"]) == pytest.approx(shift)
    assert lie["diskSpace"] == true["diskSpace"]
    assert str(year) in storj(fault).headers["Date"]


def test_decimal_strings_and_contract_words_are_falsified_too(made):
    made.world.break_site("rack-1-golem", Fault.NEGATIVE)
    key = made.secrets["yagna-app-key"]
    notes = json.loads(
        answer(made, "rack-1-golem", "/payment-api/v1/debitNotes", made.world.now, authorization=f"Bearer {key}").body
    )
    assert notes[0]["totalAmountDue"].startswith("-")
    made.world.break_site("rack-2-rpc", Fault.HUGE)
    body = json.dumps({"id": 1, "method": "eth_call", "params": [{"to": made.operator, "data": "0xc229918e"}]}).encode()
    found = json.loads(made.world.answer("rack-2-rpc", Request("POST", "/", {}, {}, body), made.world.now).body)
    assert found["result"] == "0x" + "f" * 64


def test_a_lie_does_not_change_the_truth_and_ends_when_told(made, storj):
    before = made.world.truth("rack-1/storj")
    true = storj(None).body
    storj(Fault.HUGE)
    assert made.world.truth("rack-1/storj") == before
    assert storj(None).body == true


def test_what_is_no_json_passes_a_lie_unchanged(made):
    path = "/metrics-api/v1/expose"
    true = answer(made, "rack-1-golem", path, made.world.now).body
    made.world.break_site("rack-1-golem", Fault.NAN)
    assert answer(made, "rack-1-golem", path, made.world.now).body == true


def test_a_site_that_does_not_exist_cannot_be_broken(made):
    with pytest.raises(KeyError):
        made.world.break_site("nowhere", Fault.HANG)
