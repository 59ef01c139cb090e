"""What is shown over HTTP: each view as its model says, pages that lose nothing, and nothing made twice."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from controller.address import StoreDamaged
from controller.api import glance, models
from controller.api.routes import OPERATIONS, ROOT
from controller.programs import ProgramState
from controller.store import Store
from tests.controller.api import desk
from tests.controller.api.desk import NOW
from tests.controller.api.fleets import some_face

PATHS = [
    ROOT + each.path for each in OPERATIONS if each.method == "GET" and each.name != "stream" and "{" not in each.path
]


async def told(client, path, **parameters):
    answer = await client.get(f"{ROOT}/{path}", params=parameters)
    assert answer.status == 200, await answer.text()
    return await answer.json()


@pytest.mark.parametrize("path", PATHS)
async def test_every_view_is_answered_by_get_and_head_and_by_nothing_else(serve, path):
    client = await serve(fleet=some_face())
    assert (await client.get(path)).status == 200
    head = await client.head(path)
    assert (head.status, await head.read()) == (200, b"")
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = await client.request(method, path)
        assert answer.status == 405
        assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD"}
        assert (await answer.json())["error"]["right"]


@pytest.mark.parametrize(
    "path", ["/api/v1/nothing", "/api/v1", "/api/", "/api/v2/status", "/api/v1/status/", "/api/v1//status"]
)
async def test_an_unknown_path_is_404_of_the_same_shape(serve, path):
    answer = await (await serve()).get(path)
    assert answer.status == 404
    assert set((await answer.json())["error"]) == {"what", "where", "right"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", ["nobody=asked", "limit=1&limit=2", "%FF=%FE", "a", f"x={'y' * 6000}"])
async def test_a_query_that_is_not_known_is_refused(serve, path, query):
    answer = await (await serve()).get(f"{path}?{query}")
    assert answer.status == 400
    assert "y" * 600 not in await answer.text()


async def test_a_query_beyond_all_measure_is_refused_and_the_server_goes_on(serve):
    client = await serve()
    assert (await client.get(f"/api/v1/events?x={'y' * 100_000}")).status == 400
    assert (await client.get("/api/v1/events")).status == 200


async def test_the_status_is_the_view_and_its_model_knows_every_field(serve):
    found = await told(await serve(), "status")
    assert found == desk.view()
    assert glance.Status.model_validate(found).model_dump(by_alias=True, exclude_unset=True) == found


async def test_the_plan_and_the_opportunities_are_of_all_policies_or_of_one(serve):
    client = await serve(view=lambda: desk.view(policies=("attic", "cellar")))
    assert [each["name"] for each in (await told(client, "plan"))["policies"]] == ["attic", "cellar"]
    assert [each["name"] for each in (await told(client, "plan", policy="cellar"))["policies"]] == ["cellar"]
    best = (await told(client, "opportunities"))["opportunities"]
    assert [(each["policy"], each["target"]) for each in best] == [
        ("attic", "rack-2/golem"), ("cellar", "rack-2/golem"), ("attic", "rack-1/golem"), ("cellar", "rack-1/golem"),
    ]  # fmt: skip
    found = await told(client, "opportunities", policy="attic", node="rack-1", limit="1")
    assert [each["target"] for each in found["opportunities"]] == ["rack-1/golem"]


async def test_nodes_show_what_is_handed_out_and_an_unknown_part_makes_the_sum_unknown(serve, tmp_path):
    manifests = desk.read_manifests(tmp_path)
    client = await serve(manifests=lambda: manifests)
    found = (await told(client, "nodes"))["nodes"]
    assert [(each["name"], each["policy"], each["labels"]) for each in found] == [
        ("rack-1", "default", {"site": "attic"})
    ]
    assert found[0]["allocated"] == {"cpu": 8.0, "memory": 0.0}
    assert found[0]["gross_usd_per_hour"] == pytest.approx(0.0246)
    assert found[0]["net_usd_per_hour"] is None

    def unknown():
        return desk.view() | {"workloads": [desk.row("rack-1/golem"), desk.row("rack-1/akash", allocated=None)]}

    found = (await told(await serve(manifests=lambda: manifests, view=unknown), "nodes"))["nodes"]
    assert found[0]["allocated"]["cpu"] is None


async def test_readings_are_the_newest_looks_and_what_is_no_number_is_null(serve):
    client = await serve()
    found = await told(client, "readings")
    assert [each["key"] for each in found["readings"]] == sorted(desk.KEYS)
    assert found["next"] is None
    first = found["readings"][0]
    assert (first["net_usd_per_hour"], first["at"]) == (None, "2027-01-15T07:59:55.000Z")
    assert glance.ReadingRow.model_validate(first | {"at": 0, "payout": {**first["payout"], "expected_at": 0}})
    assert set(first) == set(glance.ReadingRow.model_fields)


async def test_readings_come_page_by_page_and_of_whom_one_asks_for(serve):
    client = await serve()
    seen, after = [], {}
    while True:
        page = await told(client, "readings", limit="1", **after)
        seen += [each["key"] for each in page["readings"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == sorted(desk.KEYS)
    assert [e["key"] for e in (await told(client, "readings", node="rack-2"))["readings"]] == ["rack-2/golem"]
    assert [e["key"] for e in (await told(client, "readings", workload="rack-1/akash"))["readings"]] == ["rack-1/akash"]
    assert (await told(client, "readings", protocol="storj"))["readings"] == []


async def test_programs_are_listed_newest_first_and_by_state(serve):
    client = await serve()
    found = await told(client, "programs")
    assert [each["id"] for each in found["programs"]] == [f"p-{i:08x}" for i in range(9, 0, -1)]
    for state in ProgramState:
        (only,) = (await told(client, "programs", state=str(state)))["programs"]
        assert only["state"] == state


async def test_a_program_says_all_that_is_known_of_it(serve):
    client = await serve()
    found = await told(client, "programs/p-00000003")
    assert found["stage"] == {"number": 1, "of": 2}
    assert found["moves"][1] == {
        "workload": "rack-1/golem", "node": "rack-1", "resource": "cpu", "from": 4.0, "to": 6.0, "phase": "issued",
        "note": "waits for the offer", "failure": "",
    }  # fmt: skip
    assert found["gain_usd_per_hour"] == {"low": 0.01, "expected": 0.02, "high": 0.03}
    assert (found["confidence"], found["horizon_seconds"], found["retry_at"], found["of"]) == (0.9, 7200.0, None, None)
    assert [each["what"] for each in found["records"]] == ["pending"]
    assert models.ProgramWithRecords.model_fields.keys() == found.keys()
    assert (await told(client, "programs/p-00000006"))["retry_at"] == "2027-01-15T08:01:00.000Z"


async def test_an_id_may_be_cut_short_where_it_stays_the_only_one(serve):
    office = desk.Desk(desk.program("p-aa11"), desk.program("p-aa22"), desk.program("p-bb"))
    client = await serve(operations=office)
    assert (await told(client, "programs/p-b"))["id"] == "p-bb"
    for name in ("p-aa", "p-c"):
        assert (await client.get(f"{ROOT}/programs/{name}")).status == 404


async def pages_of(client, path, name, **parameters):
    """Every page of a list, until there is none."""
    pages, before = [], {}
    for _ in range(100):
        page = await told(client, path, **parameters, **before)
        pages.append(page[name])
        if page["next"] is None:
            return pages
        before = {"before": page["next"]}
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("limit", ["1", "7", "50", "1000"])
@pytest.mark.parametrize(("path", "name", "count"), [("events", "events", 50), ("history", "entries", 51)])
async def test_pages_show_everything_once_newest_first(serve, tmp_path, path, name, count, limit):
    manifests = desk.read_manifests(tmp_path)
    client = await serve(manifests=lambda: manifests)
    pages = await pages_of(client, path, name, limit=limit)
    found = [each for page in pages for each in page]
    assert len(found) == count
    assert [each["at"] for each in found] == sorted((each["at"] for each in found), reverse=True)
    assert len({str(each) for each in found}) == count


@pytest.mark.parametrize("limit", ["1", "2", "3"])
async def test_what_happened_at_one_moment_is_not_torn_apart(serve, limit):
    times = [NOW - 3 - 1e-6 * 0.3, NOW - 2, NOW - 2, NOW - 2, NOW - 1]
    events = [replace(desk.event(at), subject=f"s{i}") for i, at in enumerate(times)]
    programs = [desk.program(f"p-{i}", at=at) for i, at in enumerate(times)]
    client = await serve(archive=desk.Past(events), operations=desk.Desk(*programs))
    found = [e["subject"] for page in await pages_of(client, "events", "events", limit=limit) for e in page]
    assert sorted(found) == ["s0", "s1", "s2", "s3", "s4"]
    found = [e["id"] for page in await pages_of(client, "programs", "programs", limit=limit) for e in page]
    assert sorted(found) == ["p-0", "p-1", "p-2", "p-3", "p-4"]


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ({"since": "10m"}, 10), ({"since": "2027-01-15T07:50:00Z"}, 10), ({"since": "2027-01-15T08:50:00+01:00"}, 10),
        ({"since": "1799999400"}, 10), ({"since": "1h", "until": "10m"}, 40), ({"until": "2h"}, 0), ({"since": "0s"}, 0),
    ],
)  # fmt: skip
async def test_a_period_is_given_by_times_or_by_how_long_ago(serve, parameters, count):
    found = await told(await serve(), "events", **parameters)
    assert len(found["events"]) == count


async def test_a_plus_that_a_query_turned_into_a_space_is_understood(serve):
    client = await serve()
    answer = await client.get("/api/v1/events?since=2027-01-15T08:50:00+01:00")
    assert len((await answer.json())["events"]) == 10


@pytest.mark.parametrize(
    ("parameters", "where"),
    [
        ({"since": "yesterday"}, "query since"), ({"since": "2027-01-15"}, "query since"), ({"until": "2027-01-15T08:00:00"}, "query until"),
        ({"since": "2027-02-31T08:00:00Z"}, "query since"), ({"before": "1e12"}, "query before"), ({"before": "nan"}, "query before"),
        ({"limit": "0"}, "query limit"), ({"limit": "1001"}, "query limit"), ({"limit": "ten"}, "query limit"), ({"limit": ""}, "query limit"),
        ({"since": ""}, "query since"), ({"since": "9" * 50}, "query since"),
    ],
)  # fmt: skip
async def test_a_time_or_a_number_that_is_none_is_refused_with_its_place(serve, parameters, where):
    answer = await (await serve()).get("/api/v1/events", params=parameters)
    assert answer.status == 400
    assert (await answer.json())["error"]["where"] == where


async def test_of_a_long_history_only_about_as_much_is_read_as_is_shown(serve):
    class Long(desk.Past):
        read = 0

        async def decisions(self, policy, since, until):
            found = await super().decisions(policy, since, until)
            self.read += len(found)
            return found

    past = Long(decisions=[desk.decision(NOW - 60 * i) for i in range(30 * 1440, 0, -1)])
    client = await serve(archive=past)
    found = await told(client, "history", policy="default", since="30d", limit="100")
    assert len(found["entries"]) == 100
    assert past.read < 500


async def test_a_state_that_cannot_be_read_is_503(serve):
    class Damaged(desk.Past):
        async def events(self, since, until, most=1000):
            raise StoreDamaged("orcha.db is damaged; put it aside")

    answer = await (await serve(archive=Damaged())).get("/api/v1/events")
    assert answer.status == 503
    assert "put it aside" in (await answer.json())["error"]["what"]


async def test_the_past_of_a_real_store_is_shown(serve, tmp_path):
    store = await Store.open(f"sqlite:///{tmp_path / 'orcha.db'}")
    try:
        for i in range(5):
            store.note_event(desk.event(NOW - 60 * (5 - i)))
            store.note_decision(desk.decision(NOW - 60 * (5 - i)))
        store.note_trial(desk.trial(NOW - 3600.0))
        await store.write()
        client = await serve(archive=store)
        pages = await pages_of(client, "events", "events", limit="2")
        assert [len(page) for page in pages] == [2, 2, 1]
        entries = (await told(client, "history", policy="default"))["entries"]
        assert [each["kind"] for each in entries] == ["decision"] * 5 + ["change"]
    finally:
        await store.close()


async def test_who_has_it_already_is_told_so(serve):
    version = [1]
    shown = [desk.view()]
    client = await serve(view=lambda: shown[0], version=lambda: version[0])
    first = await client.get("/api/v1/status")
    etag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "private, no-cache"
    for asked in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        again = await client.get("/api/v1/status", headers={"If-None-Match": asked})
        assert (again.status, await again.read()) == (304, b"")
    shown[0] = desk.view() | {"at": NOW + 60}
    version[0] = 2
    assert (await client.get("/api/v1/status", headers={"If-None-Match": etag})).status == 200


async def test_a_version_is_made_once_however_many_ask(serve):
    made = []

    def shown():
        made.append(threading.get_ident())
        return desk.view()

    client = await serve(view=shown, version=lambda: 1)
    paths = ["status", "plan", "opportunities", "nodes"]
    answers = await asyncio.gather(*(client.get(f"{ROOT}/{path}") for path in paths * 10), client.get("/"))
    assert {answer.status for answer in answers} == {200}
    assert len(made) == 1


async def test_while_the_next_version_is_made_the_one_before_is_served(serve):
    version, going, asked = [1], threading.Event(), threading.Event()

    def shown():
        if version[0] == 2:
            asked.set()
            assert going.wait(30)
        return desk.view() | {"version": str(version[0])}

    client = await serve(view=shown, version=lambda: version[0])
    assert (await told(client, "status"))["version"] == "1"
    version[0] = 2
    waiting = asyncio.create_task(told(client, "status"))
    assert await asyncio.to_thread(asked.wait, 30)
    assert (await told(client, "status"))["version"] == "1"
    going.set()
    assert (await waiting)["version"] == "2"
    assert (await told(client, "status"))["version"] == "2"


async def test_a_controller_that_only_shows_has_no_programs_and_says_so(serve):
    from controller.api.operations import NoPast, OnlyShows

    client = await serve(operations=OnlyShows(), archive=NoPast())
    assert (await told(client, "programs"))["programs"] == []
    assert (await told(client, "events"))["events"] == []
    assert (await client.get(f"{ROOT}/programs/p-1")).status == 404
    json_ = {"Content-Type": "application/json"}
    for path in ("programs/p-1/approve", "pause", "resume", "release"):
        assert (await client.post(f"{ROOT}/{path}", data=b"{}", headers=json_)).status == 409
