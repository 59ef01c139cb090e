"""The rows of an export: all that is stored, in the order of time, each once, whatever is written meanwhile."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import tempfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.blocks import FIGURES
from controller.export.pages import Period, _slices, readings
from controller.promises import Kind
from controller.rows import Batch, StoredBlock, block_row, newest_row, reading_row
from controller.store import Store
from exporters.reading import Reading
from tests.controller.export.worlds import HOUR, KEYS, State, T, block, decision, rows, rows_of
from tests.controller.report import programs as made


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/orcha.db"


# --- readings -----------------------------------------------------------------------------------------------------

AMOUNTS = st.none() | st.integers(0, 100).map(lambda n: n / 8)
SECONDS = st.integers(0, 5 * 3600).map(float)


@st.composite
def pasts(draw):
    looks = {
        (key, T + at): (
            draw(st.booleans()),
            *(math.nan if x is None else x for x in draw(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS))),
        )
        for key, at in draw(st.lists(st.tuples(st.sampled_from(KEYS), SECONDS), max_size=12))
    }
    blocks = {}
    for key, i, coarse in draw(
        st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 60), st.booleans()), max_size=8)
    ):
        start = T + (i * 300 // 3600 * 3600 if coarse else i * 300)
        figures = {name: draw(AMOUNTS) or 0.0 for name in FIGURES}
        blocks[key, start, 3600 if coarse else 300] = block(start, 3600 if coarse else 300, **figures)
    return State(
        [(*place, *figures) for place, figures in looks.items()], [(place[0], each) for place, each in blocks.items()]
    )


@given(pasts(), SECONDS, SECONDS)
@settings(max_examples=25)
def test_all_that_is_stored_of_a_period_is_told_once_and_in_the_order_of_time(past, begins, lasts):
    since, until = T + begins, T + begins + lasts + 1
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/orcha.db"
        asyncio.run(past.write(url))
        found = asyncio.run(rows(url, "readings", since, until))
    assert [row["at"] for row in found] == sorted(row["at"] for row in found)
    looks = {(row["workload"], row["at"]): row for row in found if row["span_seconds"] == 0}
    stored = {(key, at): each for key, at, *each in past.looks if since <= at < until}
    assert len(looks) == sum(row["span_seconds"] == 0 for row in found)
    assert looks.keys() == stored.keys()
    for place, (up, *figures) in stored.items():
        row = looks[place]
        known = [None if math.isnan(each) else each for each in figures]
        assert [row["up"], row["allocated"], row["used"], row["net_usd_per_hour"]] == [up, *known]
        assert row["net_usd"] is None
    spans = [(row["workload"], row["at"], row["span_seconds"]) for row in found if row["span_seconds"]]
    whole = {
        (key, each.start * 60.0, each.span): each
        for key, each in past.blocks
        if since <= each.start * 60 and each.start * 60 + each.span <= until
    }
    assert sorted(spans) == sorted(whole)
    for row in (row for row in found if row["span_seconds"]):
        each = whole[row["workload"], row["at"], row["span_seconds"]]
        assert (row["observed_hours"], row["down_hours"]) == (each.hours, each.down_hours)
        assert row["net_usd"] == (each.net_usd if each.net_hours else None)
        assert row["used"] == (each.used_unit_hours / each.used_hours if each.used_hours else None)
        assert (row["resource"], row["up"]) == ("cpu", None)


async def test_a_sum_of_nothing_is_unknown_not_zero(url):
    await State(blocks=[(KEYS[0], block(T, down_hours=0.08))]).write(url)
    [row] = await rows(url, "readings")
    assert row["down_hours"] == 0.08
    for name in ("allocated", "used", "net_usd_per_hour", "net_usd", "gross_usd", "energy_usd", "tokens", "token_usd"):
        assert row[name] is None, name


async def test_a_look_is_of_the_resource_of_the_span_that_covers_it(url):
    looks = [(KEYS[0], T + at, True, 8.0, 4.0, 0.1) for at in (10.0, 299.0, 301.0)]
    await State(looks, [(KEYS[0], block(T)), (KEYS[1], block(T + 300))]).write(url)
    found = [(row["at"] - T, row["resource"]) for row in await rows(url, "readings") if row["span_seconds"] == 0]
    assert found == [(10.0, "cpu"), (299.0, "cpu"), (301.0, None)]


async def test_whose_a_row_is_stands_beside_it(url):
    store = await Store.open(url)
    reading = Reading("rack-1", "golem", "golem", T + 20)
    newest = newest_row(KEYS[0], reading, reading, "cpu", [T, True])
    looks = [reading_row(key, T, True, 8.0, 4.0, 0.1) for key in KEYS]
    await store.write(Batch(newest=[newest], readings=looks))
    found = [(row["node"], row["workload"], row["protocol"]) async for row in rows_of(store, "readings")]
    await store.close()
    assert found == [("rack-1", KEYS[0], "golem"), ("rack-1", KEYS[1], None), ("rack-2", KEYS[2], None)]


async def test_a_span_into_which_more_may_come_is_left_out_until_it_is_over(url):
    store = await Store.open(url)

    async def seen(at):
        reading = Reading("rack-1", "golem", "golem", at)
        found = StoredBlock("cpu", 0.25, block(T))
        newest = newest_row(KEYS[0], reading, None, "cpu", [at, True])
        await store.write(Batch(newest=[newest], blocks=[block_row(KEYS[0], found)], time=at))
        return [row["at"] async for row in rows_of(store, "readings")]

    assert await seen(T + 299) == []
    assert await seen(T + 300) == [T]
    gone = Batch(blocks=[block_row(KEYS[1], StoredBlock("cpu", 0.25, block(T)))], time=T + 310)
    await store.write(gone)
    assert len([row async for row in rows_of(store, "readings")]) == 1
    await store.write(
        Batch(
            newest=[newest_row(KEYS[0], Reading("rack-1", "golem", "golem", T + 3901), None, "cpu", [T, True])],
            time=T + 3901,
        )
    )
    assert len([row async for row in rows_of(store, "readings")]) == 2  # the other one was not looked at again
    await store.close()


async def test_an_hour_whose_blocks_become_one_meanwhile_is_told_once(url):
    """Half of it was asked for when the controller rolled it up."""
    looks = [(KEYS[0], T + at, True, 8.0, 4.0, 0.1) for at in range(0, 7200, 10)]
    await State(looks, [(KEYS[0], block(T + i * 300, hours=1 / 12)) for i in range(24)]).write(url)
    writer, reader = await Store.open(url), await Store.open(url, write=False)
    hours, rolled = {}, False
    async for chunk in readings(reader, Period(0.0, T + 1e6), (0.0, None)):
        if not rolled and chunk.resume is None:
            for hour in (T, T + HOUR):
                each = block_row(KEYS[0], StoredBlock("cpu", 0.25, block(hour, 3600, hours=1.0)))
                await writer.write(Batch(blocks=[each], rolled=[{"key": KEYS[0], "start": int(hour) // 60}]))
            rolled = True
        for row in chunk.rows:
            if row[1]:
                hour = row[0] // HOUR * HOUR
                hours[hour] = hours.get(hour, 0.0) + row[10]
    await reader.close()
    await writer.close()
    assert hours == {T: pytest.approx(1.0), T + HOUR: 1.0}


async def test_a_past_with_a_gap_of_half_a_century_is_read_at_once(url):
    looks = [(KEYS[0], at, True, 8.0, 4.0, 0.1) for at in (5.0, T)]
    await State(looks, [(KEYS[0], block(600)), (KEYS[0], block(T))]).write(url)
    assert [row["at"] for row in await rows(url, "readings")] == [5.0, 600.0, T, T]


async def test_more_spans_than_are_read_at_once_are_read_hour_by_hour(url):
    """Weeks of hours of many workloads: the window grows while there is little, and shrinks again."""
    keys = [f"node-{i:03}/w" for i in range(120)]
    sparse = [(keys[0], block(T + i * HOUR, 3600)) for i in range(200)]
    dense = [(key, block(T + i * HOUR, 3600)) for key in keys for i in range(200, 400)]
    await State([], sparse + dense).write(url)
    found = await rows(url, "readings", until=T + 1e7)
    assert len(found) == 200 + 120 * 200
    assert len({(row["workload"], row["at"]) for row in found}) == len(found)


async def test_a_controller_that_writes_the_same_file_is_never_held_up(url):
    """No page keeps a transaction open: between two of them the log of the writer can be emptied whole."""
    looks = [(KEYS[0], T + at * HOUR, True, 8.0, 4.0, 0.1) for at in range(20)]
    await State(looks).write(url)
    writer, reader = await Store.open(url, patience=0.0), await Store.open(url, write=False)
    count = 0
    async for chunk in readings(reader, Period(0.0, T + 1e6), (0.0, None)):
        await writer.write(Batch(readings=[reading_row(KEYS[1], T - 1 - count, True, 1.0, 1.0, 1.0)]))
        with sqlite3.connect(writer.path) as connection:
            busy, pages, moved = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        connection.close()
        assert (busy, pages - moved) == (0, 0)
        count += len(chunk.rows)
    await reader.close()
    await writer.close()
    assert count == 20


# --- slices -------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 2000) | st.integers(0, 5), st.integers(0, 50)), unique=True, max_size=60),
    st.integers(1, 7),
)
def test_pages_of_any_size_give_every_row_once_however_many_are_of_the_same_time(stored, most):
    stored = sorted((float(at), id_) for at, id_ in stored)

    async def fetch(_store, place, until, most):
        at, after = place
        return [row for row in stored if at <= row[0] < until and (after is None or row > (at, after))][:most]

    async def all_of(start):
        return [row async for page, _ in _slices(None, fetch, start, 1000.0, most) for row in page]

    async def places():
        return [place async for _, place in _slices(None, fetch, (0.0, None), 1000.0, most)]

    wanted = [row for row in stored if row[0] < 1000]
    assert asyncio.run(all_of((0.0, None))) == wanted
    for at, id_ in asyncio.run(places()):
        assert asyncio.run(all_of((at, id_))) == [
            row for row in wanted if row > (at, math.inf if id_ is None else id_) or (id_ is None and row[0] >= at)
        ]


# --- decisions, programs ------------------------------------------------------------------------------------------


async def test_decisions_of_all_policies_are_told_in_the_order_of_time(url):
    said = {"ready_at": T + 9, "left_out": {KEYS[1]: {"reason": "Stale", "sentence": "old"}}}
    past = State(decisions=[decision(T + i, f"p-{i % 3}", **said) for i in range(150)])
    await past.write(url)
    found = await rows(url, "decisions")
    assert [(row["at"], row["policy"]) for row in found] == [(T + i, f"p-{i % 3}") for i in range(150)]
    assert found[0]["left_out"] == [{"workload": KEYS[1], "reason": "Stale", "sentence": "old"}]
    assert (found[0]["mode"], found[0]["solver"], found[0]["ready_at"]) == ("Auto", "dynamic", T + 9)
    assert found[0]["gain_expected_usd_per_hour"] is None
    assert [row["at"] for row in await rows(url, "decisions", T + 10, T + 12)] == [T + 10, T + 11]


@pytest.mark.parametrize(
    "body",
    [
        "not JSON",
        "[]",
        "{}",
        '{"plan": [], "verdicts": "?", "left_out": 3, "mode": {}, "circuit_open": 1, "ready_at": 1e300}',
        '{"plan": {"gain_usd_per_hour": 7, "cost_usd": "=1+1", "confidence": true, "solver": []}, "left_out": []}',
    ],
    ids=["no-json", "list", "empty", "other-sorts", "other-sorts-within"],
)
async def test_a_decision_of_another_version_keeps_what_its_columns_say(url, body):
    await State(decisions=[replace(decision(T), body=body)]).write(url)
    [row] = await rows(url, "decisions")
    known = {"at": T, "policy": "default", "reason": "LowGain", "sentence": "nothing earns more"}
    assert {name: value for name, value in row.items() if value is not None} == known


async def test_programs_and_what_people_changed_are_told_with_what_came_of_them(url):
    own, waits = made.applied("p-1"), made.program("p-2")
    by_hand = made.trial("default 5 rack-1/golem", kind=Kind.MANUAL, ago=made.HOUR - 1, promised=False)
    past = State(programs=[(own, made.records_of(own)), (waits, [])], trials=[made.trial("p-1"), by_hand])
    await past.write(url)
    found = await rows(url, "programs", until=made.NOW)
    assert [(row["id"], row["kind"], row["state"]) for row in found] == [
        ("p-1", "applied", "applied"), ("p-2", None, "pending"), (by_hand.id, "manual", None),
    ]  # fmt: skip
    first = found[0]
    assert (first["approved_by"], first["success"], first["realised_usd"]) == ("anna (this machine)", True, 0.019)
    assert (first["gain_low_usd_per_hour"], first["realised_expected_usd_per_hour"]) == (-0.001, 0.01)
    assert [(move["workload"], move["from"], move["to"], move["phase"]) for move in first["moves"]] == [
        (made.AKASH, 6.0, 4.0, "done"), (made.GOLEM, 6.0, 8.0, "done"),
    ]  # fmt: skip
    assert found[2]["gain_expected_usd_per_hour"] is None
    assert [row["id"] for row in await rows(url, "programs", own.at + 1, made.NOW)] == ["p-2", by_hand.id]


async def test_what_a_driver_read_and_what_decisions_were_made_from_is_not_told(url):
    each = made.program("p-1", steps=[made.step(stood={"password": "hunter2"})])
    await State(programs=[(each, [])], decisions=[replace(decision(T), inputs=b"hunter2")]).write(url)
    told = [*await rows(url, "programs", until=made.NOW), *await rows(url, "decisions")]
    assert len(told) == 2
    assert "hunter2" not in str(told)


async def test_more_programs_than_fit_a_page_at_the_same_time_are_all_told(url):
    past = State(programs=[(made.program(f"p-{i:03}"), []) for i in range(130)])
    await past.write(url)
    assert [row["id"] for row in await rows(url, "programs", until=made.NOW)] == [f"p-{i:03}" for i in range(130)]


@pytest.mark.parametrize("what", ["decisions", "programs", "readings"])
async def test_of_an_empty_state_there_is_nothing_to_tell(url, what):
    await State().write(url)
    assert await rows(url, what) == []
