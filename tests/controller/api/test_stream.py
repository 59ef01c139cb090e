"""The stream: who wants to hear hears, once encoded; who does not keep up is dropped, and nobody waits for it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from controller.api.stream import PIECE, Stream
from controller.decide import decide
from exporters.doors import Tokens
from tests.controller.api import desk
from tests.controller.worlds import competing

PATH = "/api/v1/stream"


@pytest.fixture
def stream():
    return Stream(lambda: desk.NOW)


async def until(true) -> None:
    """Others have their turn until something is so."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 what is waited for has no event to wait for
            await asyncio.sleep(0)


async def test_a_client_hears_the_topics_that_it_asked_for(serve, stream):
    client = await serve(stream=stream)
    async with client.ws_connect(f"{PATH}?topics=plans,programs") as some, client.ws_connect(PATH) as every:
        stream.publish("verdicts", [])
        stream.publish("plans", {"gain": 1.5})
        assert await some.receive_json(timeout=10) == {
            "topic": "plans", "at": "2027-01-15T08:00:00.000Z", "data": {"gain": 1.5}
        }  # fmt: skip
        assert [(await every.receive_json(timeout=10))["topic"] for _ in range(2)] == ["verdicts", "plans"]


async def test_what_the_loop_and_the_desk_tell_is_what_the_api_shows(serve, stream):
    office = desk.Desk(desk.program())
    client = await serve(stream=stream, operations=office)
    decision = decide(competing())
    async with client.ws_connect(PATH) as socket:
        await stream.readings([desk.reading(f"rack-1/w-{i}") for i in range(PIECE + 1)])
        stream.decided(decision)
        stream.program(desk.program())
        told = [await socket.receive_json(timeout=10) for _ in range(5)]
        shown = await (await client.get("/api/v1/programs/p-00000001")).json()
    assert [each["topic"] for each in told] == ["readings", "readings", "plans", "verdicts", "programs"]
    assert [len(each["data"]) for each in told[:2]] == [PIECE, 1]
    assert told[2]["data"]["name"] == told[3]["data"]["policy"] == "default"
    assert told[3]["data"]["verdicts"] == told[2]["data"]["verdicts"]
    assert told[4]["data"] == {name: value for name, value in shown.items() if name != "records"}


async def test_where_nobody_listens_nothing_is_made(stream):
    stream.publish("plans", object())
    await stream.readings([desk.reading("rack-1/golem")])


@pytest.mark.parametrize("topic", ["rumours", ""])
async def test_an_unknown_topic_is_refused_on_both_ends(serve, stream, topic):
    client = await serve(stream=stream)
    with pytest.raises(WSServerHandshakeError) as refused:
        await client.ws_connect(f"{PATH}?topics={topic}")
    assert refused.value.status == 400
    with pytest.raises(ValueError, match="there are readings"):
        stream.publish(topic, {})


async def test_a_message_is_encoded_once_for_all(serve, stream):
    client = await serve(stream=stream)

    class Counting(dict):
        read = 0

        def items(self):
            Counting.read += 1
            return super().items()

    sockets = [await client.ws_connect(PATH) for _ in range(5)]
    stream.publish("plans", Counting(a=1))
    for socket in sockets:
        assert (await socket.receive_json(timeout=10))["data"] == {"a": 1}
        await socket.close()
    assert Counting.read == 1


async def raw(client, path=PATH):
    """A connection that speaks WebSocket and reads only when told to."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=2**12)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


BIG = "x" * 500_000


async def flood(stream, reader) -> None:
    """Tell more and more until somebody is dropped; the socket's buffers take some MB first."""
    for _ in range(500):
        stream.publish("plans", BIG)
        await asyncio.sleep(0)
        if stream.dropped:
            return
    raise AssertionError("nobody was dropped")


async def test_a_slow_reader_is_told_1013_once_it_reads_and_others_hear_everything(serve):
    stream = Stream(lambda: desk.NOW, most_messages=8, closing=20.0)
    client = await serve(stream=stream)
    reader, writer = await raw(client, f"{PATH}?topics=plans")
    async with client.ws_connect(f"{PATH}?topics=programs") as other:
        await flood(stream, reader)
        stream.publish("programs", {"id": "p-1"})
        assert (await other.receive_json(timeout=10))["data"] == {"id": "p-1"}
        assert stream.clients == 1
        async with asyncio.timeout(30):
            everything = bytearray()
            while not everything.endswith(b"too slow"):
                piece = await reader.read(2**20)
                assert piece, "it was cut off without a word"
                everything += piece
    assert everything[-12:] == b"\x88\x0a\x03\xf5too slow"  # close, 10 bytes, 1013
    writer.close()


async def test_a_reader_that_does_not_read_at_all_is_cut_off_and_leaves_nothing_behind(serve):
    stream = Stream(lambda: desk.NOW, most_messages=8, closing=0.05)
    client = await serve(stream=stream)
    reader, writer = await raw(client)
    await flood(stream, reader)
    await until(lambda: not stream._sockets)
    assert stream.clients == 0
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionError):  # its end is read, or it was reset
            while await reader.read(2**20):
                pass
    writer.close()


async def test_what_waits_is_bounded_in_bytes_too(serve):
    stream = Stream(lambda: desk.NOW, most_bytes=1000)
    client = await serve(stream=stream)
    async with client.ws_connect(PATH) as socket:
        stream.publish("plans", "x" * 5000)  # one alone is let through, however long
        assert len((await socket.receive_json(timeout=10))["data"]) == 5000
        stream.publish("plans", "x" * 600)
        stream.publish("plans", "x" * 600)
        end = await socket.receive(timeout=10)
    assert (end.type, end.data, end.extra) == (WSMsgType.CLOSE, 1013, "too slow")
    assert stream.dropped == 1


async def test_one_client_too_many_is_503_until_another_goes(serve):
    stream = Stream(lambda: desk.NOW, most_clients=2)
    client = await serve(stream=stream)
    first, _second = [await client.ws_connect(PATH) for _ in range(2)]
    with pytest.raises(WSServerHandshakeError) as refused:
        await client.ws_connect(PATH)
    assert refused.value.status == 503
    await first.close()
    await until(lambda: stream.clients == 1)
    await (await client.ws_connect(PATH)).close()


async def test_a_client_that_goes_without_a_word_is_forgotten(serve, stream):
    client = await serve(stream=stream)
    _reader, writer = await raw(client)
    assert stream.clients == 1
    writer.transport.abort()
    await until(lambda: stream.clients == 0)
    stream.publish("plans", {})


async def test_a_client_that_answers_no_ping_is_forgotten(serve):
    stream = Stream(lambda: desk.NOW, heartbeat=0.05, closing=0.05)
    client = await serve(stream=stream)
    reader, writer = await raw(client)
    assert (await asyncio.wait_for(reader.readexactly(2), 30)) == b"\x89\x00"  # a ping
    await until(lambda: stream.clients == 0)
    writer.close()


async def test_what_a_client_says_is_left_at_that_and_too_much_of_it_ends_it(serve, stream):
    client = await serve(stream=stream)
    async with client.ws_connect(PATH) as socket:
        await socket.send_str("hello")
        await socket.send_bytes(b"\0" * 100)
        stream.publish("plans", 1)
        assert (await socket.receive_json(timeout=10))["data"] == 1
        await socket.send_str("x" * 10_000)
        assert (await socket.receive(timeout=10)).data == 1009
    await until(lambda: stream.clients == 0)


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_a_page_of_another_origin_hears_nothing(serve, stream, headers):
    client = await serve(stream=stream)
    with pytest.raises(WSServerHandshakeError) as refused:
        await client.ws_connect(PATH, headers=headers)
    assert refused.value.status == 403
    assert stream.clients == 0


async def test_off_loopback_the_stream_needs_a_token(serve, stream, tmp_path):
    (tmp_path / "read").write_text("s3cret")
    client = await serve("0.0.0.0", stream=stream, tokens=Tokens(read=tmp_path / "read"))  # noqa: S104 the test is about it
    with pytest.raises(WSServerHandshakeError) as refused:
        await client.ws_connect(PATH)
    assert refused.value.status == 401
    await (await client.ws_connect(PATH, headers={"Authorization": "Bearer s3cret"})).close()


async def test_asked_for_as_a_page_it_says_what_it_is(serve, stream):
    answer = await (await serve(stream=stream)).get(PATH)
    assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
    assert "ws://" in (await answer.json())["error"]["right"]


async def test_when_the_controller_ends_its_clients_are_told(serve, stream):
    client = await serve(stream=stream)
    socket = await client.ws_connect(PATH)
    closing = asyncio.create_task(client.server.close())
    end = await socket.receive(timeout=10)
    assert (end.type, end.data) == (WSMsgType.CLOSE, 1001)
    await closing


async def test_a_message_is_json_without_nan(serve, stream):
    client = await serve(stream=stream)
    async with client.ws_connect(PATH):
        with pytest.raises(ValueError, match="JSON"):
            stream.publish("plans", float("nan"))
