"""What people tell orcha over HTTP: who may, from where, in which form, and that it is recorded who it was."""

from __future__ import annotations

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from controller.address import StoreLocked
from controller.programs import ProgramState
from exporters.doors import Tokens
from tests.controller.api import desk

EVERYWHERE = "0.0.0.0"  # noqa: S104 what the doors are told; the test server itself listens on loopback
PENDING, APPROVED, RUNNING, APPLIED = "p-00000001", "p-00000002", "p-00000003", "p-00000004"


async def post(client, path, body="{}", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes) else body.encode()
    answer = await client.post(f"/api/v1/{path}", data=data, headers={"Content-Type": "application/json"} | named)
    return answer.status, await answer.json()


@pytest.fixture
def office():
    return desk.Desk(*desk.some_programs())


@pytest.mark.parametrize(
    ("path", "state"),
    [
        (f"programs/{PENDING}/approve", "approved"),
        (f"programs/{PENDING}/reject", "rejected"),
        (f"programs/{APPLIED}/rollback", "running"),
    ],
)
async def test_a_word_about_a_program_reaches_the_desk_and_the_program_comes_back(serve, office, path, state):
    client = await serve(operations=office)
    status, found = await post(client, path, '{"by": "anna", "why": "looks good"}')
    assert (status, found["state"]) == (200, state)
    verb, name = path.split("/")[2], path.split("/")[1]
    assert office.asked == [(verb, name, "anna (this machine)", "looks good")]


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        ("pause", {}, ("pause", None, "this machine", "")),
        ("pause", {"policy": "default", "why": "holiday"}, ("pause", "default", "this machine", "holiday")),
        ("resume", {"policy": "default"}, ("resume", "default", "this machine", "")),
        ("resume", {"workload": "rack-1/golem"}, ("resume", "rack-1/golem", "this machine", "")),
        ("release", {}, ("release", None, "this machine", "")),
        ("release", {"node": "rack-1"}, ("release", "rack-1", "this machine", "")),
        ("release", {"workload": "rack-1/golem", "by": " ", "node": None}, ("release", "rack-1/golem", "this machine", "")),
    ],
)  # fmt: skip
async def test_pause_resume_and_release_say_of_what(serve, office, path, body, asked):
    status, found = await post(await serve(operations=office), path, json.dumps(body))
    assert status == 200
    assert office.asked == [asked]
    if path == "release":
        assert [each["cause"] for each in found["programs"]] == ["release"]
    else:
        assert found == {"what": f"{path}d", "target": asked[1], "by": "this machine"}


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("programs/p-none/approve", "{}", 404, "there is no program p-none"),
        (f"programs/{APPLIED}/approve", "{}", 409, "is applied"),
        (f"programs/{RUNNING}/rollback", "{}", 409, "is running"),
        ("pause", '{"policy": "other"}', 404, "there is default"),
        ("release", '{"workload": "rack-9/x"}', 404, "there is no node or workload"),
        ("programs/%00/approve", "{}", 404, "no program by this name"),
        ("programs/..%2F..%2Fetc/approve", "{}", 404, "no program by this name"),
        ("programs/%F0%9F%92%A9/reject", "{}", 404, "no program by this name"),
        (f"programs/{'p' * 500}/reject", "{}", 404, "no program by this name"),
    ],
)
async def test_what_is_not_there_or_not_possible_is_said_in_the_desks_own_words(serve, path, body, status, said):
    found = await post(await serve(), path, body)
    assert found[0] == status
    assert said in found[1]["error"]["what"]
    assert found[1]["error"]["right"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "is not JSON"), ("{", "is not JSON"), ("[]", "no JSON object"), ("null", "no JSON object"), ('"x"', "no JSON object"),
        (b"\xff{}", "not UTF-8"), (b"\xef\xbb\xbf{}", "is not JSON"), ('{"by": NaN}', "NaN"), ('{"x": -Infinity}', "NaN and infinities"),
        ('{"by": "a", "by": "b"}', "stands twice"), ("[" * 30_000, "nested too deep"), ('{"by": ' * 5000, "nested too deep"),
        ('{"by": 1e999}', "valid string"), (f'{{"by": {"9" * 5000}}}', "4300 digits"), ('{"by": 1}', "valid string"),
        ('{"by": "\\ud800"}', "by"), ('{"by": "a\\nb"}', "cannot be printed"), ('{"by": "\\u202eanna"}', "cannot be printed"),
        (json.dumps({"by": "a" * 65}), "at most 64"), (json.dumps({"why": "a" * 501}), "at most 500"),
        ('{"sudo": true}', "nothing is known by this name"), ('{"policy": "x"}', "nothing is known by this name"),
    ],
)  # fmt: skip
async def test_a_body_that_makes_no_sense_is_refused_before_anything_is_done(serve, office, body, said):
    client = await serve(operations=office)
    status, found = await post(client, f"programs/{PENDING}/approve", body)
    assert status == 400
    assert said in json.dumps(found)
    assert office.asked == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("resume", '{"policy": "default", "workload": "rack-1/golem"}'),
        ("release", '{"node": "rack-1", "workload": "rack-1/golem"}'),
        ("pause", '{"policy": "Not A Name"}'),
        ("release", '{"workload": "rack-1"}'),
        ("pause?policy=default", "{}"),
    ],
)
async def test_what_could_be_meant_in_two_ways_is_not_guessed(serve, office, path, body):
    status, _ = await post(await serve(operations=office), path, body)
    assert (status, office.asked) == (400, [])


async def test_what_was_sent_is_not_repeated_in_a_refusal(serve):
    status, found = await post(await serve(), "pause", '{"policy": "Hunter2 is my password"}')
    assert status == 400
    assert "Hunter2" not in json.dumps(found)


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
async def test_a_body_of_more_than_64_kb_is_not_read(serve, office, chunked):
    client = await serve(operations=office)

    async def pieces():
        for _ in range(65):
            yield b" " * 1024

    body = pieces() if chunked else b" " * (65 * 1024)
    answer = await client.post("/api/v1/pause", data=body, headers={"Content-Type": "application/json"})
    assert answer.status == 413
    assert (await answer.json())["error"]["where"] == "body"
    assert office.asked == []


async def test_a_packed_body_is_refused_so_that_none_unfolds_to_gigabytes(serve, office):
    client = await serve(operations=office)
    status, _ = await post(client, "pause", b"\x1f\x8b", Content_Encoding="gzip")
    assert (status, office.asked) == (415, [])


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
async def test_what_a_form_can_send_is_refused(serve, office, kind):
    client = await serve(operations=office)
    status, found = await post(client, "pause", "{}", **{"Content-Type": kind})
    assert status == 415
    assert "application/json" in found["error"]["right"]
    assert office.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}, {"Origin": "http://["},
        {"Origin": ""}, {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Origin": "http://127.0.0.1.evil.example"},
    ],
)  # fmt: skip
async def test_a_page_of_another_origin_changes_nothing(serve, office, headers):
    client = await serve(operations=office)
    status, found = await post(client, "release", "{}", **headers)
    assert status == 403
    assert "origin" in found["error"]["what"]
    assert office.asked == []


async def test_a_page_of_our_own_may(serve, office):
    client = await serve(operations=office)
    status, _ = await post(
        client, "pause", "{}", Origin=f"http://127.0.0.1:{client.port}", Sec_Fetch_Site="same-origin"
    )
    assert (status, len(office.asked)) == (200, 1)


async def test_a_rebound_name_changes_nothing(serve, office):
    client = await serve(operations=office)
    status, found = await post(client, "pause", "{}", Host="evil.example:9872", Origin="http://evil.example:9872")
    assert status == 403
    assert "loopback names" in found["error"]["what"]
    assert office.asked == []


@pytest.fixture
def tokens(tmp_path):
    for role in ("read", "operate"):
        (tmp_path / role).write_text(f"the-{role}-token\n")
    return Tokens(read=tmp_path / "read", operate=tmp_path / "operate")


async def test_off_loopback_the_role_read_looks_and_the_role_operate_acts(serve, office, tokens):
    client = await serve(EVERYWHERE, operations=office, tokens=tokens)
    reads, operates = ({"Authorization": f"Bearer the-{role}-token"} for role in ("read", "operate"))
    assert (await client.get("/api/v1/status")).status == 401
    assert (await client.get("/api/v1/status", headers=reads)).status == 200
    assert (await client.get("/api/v1/status", headers=operates)).status == 200
    assert (await post(client, "pause"))[0] == 401
    status, found = await post(client, "pause", **reads)
    assert status == 403
    assert "tokenFiles.operate" in found["error"]["right"]
    assert office.asked == []
    assert (await post(client, "pause", '{"by": "anna"}', **operates))[0] == 200
    assert office.asked == [("pause", None, "anna (operate token)", "")]


async def test_a_token_changes_without_a_restart_and_an_empty_or_lost_file_is_nobodys(serve, tokens):
    client = await serve(EVERYWHERE, tokens=tokens)
    old, new = ({"Authorization": f"Bearer {token}"} for token in ("the-operate-token", "another"))
    tokens.operate.write_text("another")
    assert (await post(client, "pause", **old))[0] == 401
    assert (await post(client, "pause", **new))[0] == 200
    tokens.operate.write_text(" \n")
    assert (await post(client, "pause", **new))[0] == 401
    assert (await post(client, "pause", Authorization="Bearer "))[0] == 401
    tokens.operate.unlink()
    assert (await post(client, "pause", **new))[0] == 401
    assert (await post(client, "pause", Authorization="Bearer "))[0] == 401


async def test_where_only_the_read_token_is_named_nobody_acts(serve, tokens):
    client = await serve(EVERYWHERE, tokens=Tokens(read=tokens.read))
    assert (await post(client, "pause", Authorization="Bearer the-read-token"))[0] == 403
    assert (await post(client, "pause", Authorization="Bearer the-operate-token"))[0] == 401


async def test_a_state_that_cannot_be_written_is_503_and_says_why(serve):
    class Stuck(desk.Desk):
        async def pause(self, policy, by, why=""):
            raise StoreLocked("orcha.db is used by another program; stop it")

    status, found = await post(await serve(operations=Stuck()), "pause")
    assert status == 503
    assert "stop it" in found["error"]["what"]


async def test_what_nobody_foresaw_is_500_without_its_details(serve):
    class Broken(desk.Desk):
        async def pause(self, policy, by, why=""):
            raise RuntimeError("hidden: /etc/secret")

    status, found = await post(await serve(operations=Broken()), "pause")
    assert status == 500
    assert "hidden" not in json.dumps(found)


async def test_every_word_is_in_the_log_with_who_and_what_came_of_it(serve):
    client = await serve()
    with capture_logs() as lines:
        await post(client, f"programs/{PENDING}/approve", '{"by": "anna"}')
        await post(client, f"programs/{PENDING}/approve")
    said = [(each["what"], each["who"], each["done"]) for each in lines if each["event"] == "asked for a change"]
    assert said == [("approve", "this machine", True), ("approve", "this machine", False)]


async def test_a_request_without_a_host_is_nobodys(serve, office):
    client = await serve(operations=office)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"POST /api/v1/pause HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
    assert b" 403 " in await asyncio.wait_for(reader.readline(), 30)
    writer.close()
    assert office.asked == []


async def test_two_words_at_once_are_both_heard_and_the_second_finds_what_the_first_did(serve, office):
    client = await serve(operations=office)
    both = await asyncio.gather(*(post(client, f"programs/{PENDING}/approve") for _ in range(2)))
    assert sorted(status for status, _ in both) == [200, 409]
    assert office.known[PENDING].state is ProgramState.APPROVED
