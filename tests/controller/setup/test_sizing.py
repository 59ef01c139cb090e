"""Bounds that cannot do harm: never below what is used, never beyond what is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.setup.sizing import (
    GIB,
    STAKE_LEAST,
    STORJ_LEAST,
    Disk,
    Machine,
    capacity,
    cores,
    exact,
    stakes,
    storage,
)
from exporters.quantity import parse_quantity
from exporters.reading import Reading

TIB, TB = 2**40, 10**12


def reading(**figures):
    return Reading("rack", "w", "p", 0.0, up=True, **figures)


def storj(allocated, used):
    known = {} if used is None else {"storage": float(used)}
    return reading(allocated={"storage": float(allocated)}, used=known)


def test_a_storagenode_is_never_taken_below_what_it_uses_nor_grown_without_a_disk_that_is_known():
    (sized,) = storage([storj(8 * TIB, 5 * TIB + 1)], None)
    assert (sized.least, sized.most, sized.step) == (5 * TIB + 128 * GIB, 8 * TIB, 128 * GIB)
    assert "uses" in sized.why["min"]


def test_where_use_is_not_known_nothing_is_taken():
    (sized,) = storage([storj(8 * TIB, None)], None)
    assert sized.least == sized.most == 8 * TIB


def test_a_nearly_empty_storagenode_stays_above_what_storj_asks_for():
    (sized,) = storage([storj(8 * TB, 1)], None)
    assert STORJ_LEAST <= sized.least < STORJ_LEAST + sized.step


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (reading(), "does not say how much"),
        (storj(400 * 10**9, 1), "less than the 500 GB"),
        (storj(2 * TB, 3 * TB), "stores more than it was given"),
    ],
    ids=["no allocation is told", "too small", "overfull"],
)
def test_a_storagenode_that_cannot_be_moved_is_watched_and_the_reason_is_said(node, why):
    (sized,) = storage([node], Disk(10 * TB, 9 * TB))
    assert sized.resource == ""
    assert why in sized.why[""]


def test_nodes_on_one_disk_may_grow_into_nine_tenths_of_it_less_the_minima_of_the_others():
    nodes = [storj(4 * TB, 2 * TB), storj(4 * TB, 1 * TB)]
    sized = storage(nodes, Disk(12 * TB, 9 * TB))
    room = 0.9 * 12 * TB
    for each, other in (sized, reversed(sized)):
        assert 4 * TB < each.most <= room - other.least
        assert (each.most - each.least) % each.step == 0


def test_a_disk_that_holds_less_than_they_store_is_not_theirs_and_lets_nothing_grow():
    nodes = [storj(4 * TB, 2 * TB), storj(4 * TB, 1 * TB)]
    for other in (
        Disk(12 * TB, 12 * TB),
        Disk(12 * TB, 10 * TB),
        Disk(1 * TB, 0),
    ):  # nothing of them is there; one of two; small
        sized = storage(nodes, other)
        assert [each.most for each in sized] == [4 * TB, 4 * TB]
        assert "less than the 3 TB that storagenodes store here" in sized[0].why["max"]
        assert sized[0].why["min"] == storage(nodes, None)[0].why["min"]


@given(
    st.lists(
        st.tuples(st.integers(STORJ_LEAST, 10**15), st.one_of(st.none(), st.integers(0, 10**15))),
        min_size=1,
        max_size=4,
    ),
    st.one_of(st.none(), st.tuples(st.integers(0, 10**15), st.integers(0, 10**15))),
)
def test_whatever_is_found_the_bounds_hold_what_is_used_and_what_stands_lies_on_the_grid(pairs, disk):
    nodes = [storj(*pair) for pair in pairs]
    sized = storage(nodes, None if disk is None else Disk(sum(disk), disk[0]))
    for (allocated, used), each in zip(pairs, sized, strict=True):
        if not each.resource:
            continue
        assert max(STORJ_LEAST, allocated if used is None else used) <= each.least <= allocated <= each.most
        assert (allocated - each.least) % each.step == 0
        assert allocated / each.step <= 64
    assert sum(each.least for each in sized) <= capacity(sized, None).get("storage", 0)


def test_golem_keeps_what_computes_and_may_take_all_cores_but_one_as_far_as_memory_goes():
    node = reading(allocated={"cpu": 4.0, "memory": 8.0 * GIB}, used={"cpu": 1.2})
    sized = cores(node, Machine(16, 32 * GIB))
    assert (sized.least, sized.most, sized.step, sized.along) == (2, 14, 1, {"memory": 2 * GIB})
    assert cores(node, None).most == 4, "of another machine nothing is known"
    assert cores(node, Machine(2, 32 * GIB)).most == 4, "never below what it has"


def test_golem_without_an_offer_is_watched():
    assert cores(reading(), Machine(8, GIB)).resource == ""


def test_stake_moves_between_the_sponsorships_of_one_operator_and_no_further():
    nodes = [reading(allocated={"stake/DATA": 470_000.5}), reading(allocated={"stake/DATA": 30_000.0})]
    first, second = stakes(nodes)
    assert STAKE_LEAST <= first.least <= 470_000
    assert (second.least, second.step) == (5000, 5000)
    assert first.most >= 470_001
    assert first.most + second.least <= 470_001 + 30_000
    assert second.most + first.least <= 470_001 + 30_000


def test_what_a_flag_locks_is_a_minimum():
    (sized,) = stakes([reading(allocated={"stake/DATA": 20_000.0}, irreversible={"stake/DATA": 12_345.6})])
    assert 12_346 <= sized.least <= 20_000


def test_a_stake_below_the_protocols_minimum_is_watched():
    assert [each.resource for each in stakes([reading(allocated={"stake/DATA": 100.0}), reading()])] == ["", ""]


@given(st.integers(0, 2**53), st.sampled_from(["storage", "memory", "cpu", "stake/DATA"]))
def test_a_quantity_is_written_so_that_it_reads_back_to_the_very_amount(amount, resource):
    assert parse_quantity(exact(amount, resource)) == amount


@pytest.mark.parametrize(
    ("amount", "text"),
    [(8 * TIB, "8Ti"), (4500 * 10**9, "4500G"), (7, "7"), (0, "0")],
    ids=["binary", "decimal", "odd", "nothing"],
)
def test_a_quantity_is_short_where_it_can_be(amount, text):
    assert exact(amount, "storage") == text
