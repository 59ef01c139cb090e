"""What every protocol's module owes, whatever the other side answers: a Reading that says what is wrong, and no figure
that nobody gave. Runs every module that there is; a new one needs a row in WORKLOADS."""

import asyncio
import contextlib
import dataclasses
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from exporters import collector
from exporters.collector import Workload, failed, look, names, traits_of
from exporters.errors import REASONS, Unreachable
from exporters.nodes import WorkloadSpec
from exporters.reading import Connection, Native, Reading
from exporters.session import MAX_BODY, HttpSession

NOW = 1_800_000_000.0
SECRET = "s3cret-of-the-owner-0123456789"

MAPPING = {
    "traits": {"curve": "demand", "resource": "cpu"},
    "requests": {
        "login": {
            "url": "{endpoint}/login",
            "method": "POST",
            "body": {"passwordFile": "SECRET_FILE"},
            "take": {"token": "$.token"},
        },
        "stats": {"url": "{endpoint}/stats", "headers": {"Authorization": "Bearer {token}"}},
    },
    "expect": [{"request": "stats", "path": "$.cores", "is": "number"}],
    "figures": {"used": {"request": "stats", "path": "$.cores"}, "rate_usd": {"request": "stats", "path": "$.usd"}},
}
PROMETHEUS = {
    "requests": {
        "metrics": {"url": "{endpoint}/metrics", "format": "prometheus", "headers": {"X-KeyFile": "SECRET_FILE"}}
    },
    "figures": {"used": {"request": "metrics", "metric": "cores", "resource": "cpu"}},
}
STREAMR = {"operator": "0x" + "1" * 40, "sponsorship": "0x" + "2" * 40}

WORKLOADS: dict[str, tuple[str, dict[str, object]]] = {
    "storj": ("storj", {}),
    "golem": ("golem", {"credentials": {"appKeyFile": "SECRET_FILE"}}),
    "streamr": ("streamr", {"options": STREAMR}),
    "grass": ("grass", {"credentials": {"accessTokenFile": "SECRET_FILE"}}),
    "mapped": ("mapped", {"mapping": MAPPING}),
    "mapped prometheus": ("mapped", {"mapping": PROMETHEUS}),
}
"""The least that a workload of each protocol needs; SECRET_FILE becomes the name of a file that holds SECRET."""

CASES = [name for name, (protocol, _) in WORKLOADS.items() if protocol in names()]


def test_every_protocol_has_its_row_here():
    assert set(names()) <= {protocol for protocol, _ in WORKLOADS.values()}


# --- the servers ------------------------------------------------------------------------------------------------------

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def answer(status: str, body: bytes, content_type: str = "application/json", *headers: str) -> Serve:
    """A server that answers everything with this."""

    async def serve(_: bytes, writer: asyncio.StreamWriter) -> None:
        lines = [
            f"HTTP/1.1 {status}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *headers,
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return serve


def says(body: str | bytes) -> Serve:
    return answer("200 OK", body if isinstance(body, bytes) else body.encode())


async def _cut(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{"cores": 1')


async def _no_http(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")


async def _silent(_: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def _trickles(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _echoes(head: bytes, writer: asyncio.StreamWriter) -> None:
    body = json.dumps({"error": head.decode()[-200:]}).encode()
    writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nConnection: close\r\n")
    writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


HTML = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>hi</body></html>"
DEEP = b"[" * 200_000
UP = "up"
"""Allowed beside the failure: a Reading without figures, where the protocol makes sense of an answer without content."""

MODES: dict[str, tuple[Serve, set[str]]] = {
    "401": (answer("401 Unauthorized", b'{"message": "no"}'), {"unauthorized"}),
    "401 text": (answer("401 Unauthorized", b"Unauthorized", "text/plain"), {"unauthorized"}),
    "403 web page": (answer("403 Forbidden", HTML, "text/html"), {"unreachable"}),
    "404": (answer("404 Not Found", b"404 page not found", "text/plain"), {"malformed"}),
    "429": (answer("429 Too Many Requests", b"{}", "application/json", "Retry-After: 17"), {"rate_limited"}),
    "500": (answer("500 Internal Server Error", b'{"error": "db"}'), {"unreachable"}),
    "503 web page": (answer("503 Service Unavailable", HTML, "text/html"), {"unreachable"}),
    "web page": (answer("200 OK", HTML, "text/html; charset=utf-8"), {"malformed"}),
    "web page that says it is JSON": (says(HTML), {"malformed"}),
    "a list": (says("[]"), {"malformed", UP}),
    "a list of numbers": (says("[1, 2, 3]"), {"malformed"}),
    "a number": (says("7"), {"malformed"}),
    "zero": (says("0"), {"malformed"}),
    "a word": (says('"ok"'), {"malformed"}),
    "true": (says("true"), {"malformed"}),
    "an empty object": (says("{}"), {"malformed", UP}),
    "another object": (says('{"status": "error", "data": null, "result": null, "error": null}'), {"malformed", UP}),
    "null": (says("null"), {"malformed"}),
    "nothing": (says(""), {"malformed"}),
    "no content": (answer("204 No Content", b""), {"malformed"}),
    "NaN": (says("NaN"), {"malformed"}),
    "1e308": (says("1e308"), {"malformed"}),
    "a negative number": (says("-5"), {"malformed"}),
    "a number of ten thousand digits": (says("9" * 10_000), {"malformed"}),
    "broken UTF-8": (says(b'{"cores": "\xff\xfe\xfa"}'), {"malformed"}),
    "half of a document": (says('{"cores": [1, 2'), {"malformed"}),
    "nested deeper than can be read": (says(DEEP), {"malformed"}),
    "cut off half-way": (_cut, {"unreachable"}),
    "no HTTP at all": (_no_http, {"unreachable"}),
    "a server that never answers": (_silent, {"timeout"}),
    "a server that trickles": (_trickles, {"timeout"}),
}  # fmt: skip


@contextlib.asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    """The address of a server on loopback that treats every connection alike."""

    open_now: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        open_now[task] = writer
        try:
            await serve(await reader.readuntil(b"\r\n\r\n"), writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            open_now.pop(task)

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        left = list(open_now)
        for task in left:
            open_now[task].transport.abort()
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as client:
        yield HttpSession(client)


@pytest.fixture(params=CASES)
def workload(request, tmp_path) -> Callable[[str], Workload]:
    """A function: endpoint -> the least workload of one protocol there."""
    protocol, spec = WORKLOADS[request.param]
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    filled_in = json.loads(json.dumps(spec).replace("SECRET_FILE", str(secret)))

    def at(endpoint: str, timeout: str = "5s") -> Workload:
        one = WorkloadSpec.model_validate({"protocol": protocol, "endpoint": endpoint, "timeout": timeout, **filled_in})
        return Workload("rack-1", "w", one, traits_of(collector.load(protocol), one))

    return at


# --- what must hold ---------------------------------------------------------------------------------------------------


def numbers(value: object) -> list[float]:
    """Every number inside a Reading, its time apart."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return []
    if isinstance(value, int | float):
        return [float(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [
            n
            for field in dataclasses.fields(value)
            if field.name not in {"at", "retry_after"}
            for n in numbers(getattr(value, field.name))
        ]
    parts = value.values() if isinstance(value, dict) else value
    return [n for part in parts for n in numbers(part)]


def invents_nothing(reading: Reading) -> None:
    """Without figures in the answer there are none in the Reading."""
    assert reading.native == Native()
    for name in ("used", "allocated", "configured", "irreversible", "balance_usd", "price_usd_per_unit_hour"):
        assert getattr(reading, name) == {}, name
    for name in ("rate_usd_per_hour", "net_usd_per_hour", "growth_per_hour", "pool", "payout_expected_at", "healthy"):
        assert getattr(reading, name) is None or reading.up, name


def told_well(reading: Reading) -> None:
    """A failed look says why in one sentence that an operator may see."""
    assert reading.failure in REASONS
    sentence = reading.failure_message
    assert sentence
    assert sentence == sentence.strip()
    assert "\n" not in sentence
    assert len(sentence) <= 300
    assert "Traceback" not in sentence
    assert SECRET not in sentence
    assert "orcha cannot read" not in sentence, "an exception that is no PollError reached look(): " + sentence


@pytest.mark.parametrize("mode", MODES)
async def test_whatever_is_answered_the_reading_says_what_is_wrong_and_invents_no_figure(workload, session, mode):
    serve, allowed = MODES[mode]
    async with serving(serve) as url:
        one = workload(url, "300ms" if "timeout" in allowed else "5s")
        reading, _ = await look(collector.load(one.protocol), session, one, NOW)
    assert reading.key == "rack-1/w"
    assert reading.at == NOW
    if reading.up:
        assert UP in allowed, f"{one.protocol} made sense of {mode!r}"
        assert reading.failure is None
        assert not any(number == 0 for number in numbers((reading.native, reading.used, reading.allocated)))
        assert not any(math.isnan(number) for number in numbers(reading))
        return
    told_well(reading)
    invents_nothing(reading)
    assert reading.extra == {}
    assert reading.failure in allowed, reading.failure_message
    assert reading.connection is Connection.DISCONNECTED


async def test_a_port_where_nobody_listens_is_unreachable(workload, session, free_port):
    one = workload(f"http://127.0.0.1:{free_port()}")
    reading, _ = await look(collector.load(one.protocol), session, one, NOW)
    told_well(reading)
    assert (reading.up, reading.failure) == (False, "unreachable")


async def test_how_long_the_other_side_asks_to_wait_is_kept(workload, session):
    async with serving(MODES["429"][0]) as url:
        one = workload(url)
        reading, _ = await look(collector.load(one.protocol), session, one, NOW)
    assert reading.retry_after == 17


async def test_a_credential_that_a_node_says_back_is_in_no_message(workload, session):
    async with serving(_echoes) as url:
        one = workload(url)
        reading, _ = await look(collector.load(one.protocol), session, one, NOW)
    told_well(reading)


async def test_a_credential_file_that_is_gone_is_the_owners_to_repair(workload, session, tmp_path):
    (tmp_path / "secret").unlink()
    async with serving(says("{}")) as url:
        one = workload(url)
        reading, _ = await look(collector.load(one.protocol), session, one, NOW)
    if "secret" in one.spec.model_dump_json():
        told_well(reading)
        assert reading.failure == "unauthorized"
        assert str(tmp_path / "secret") in reading.failure_message


async def test_a_hundred_megabytes_of_answer_are_given_up_early(workload, session):
    sent: list[int] = []

    async def pours(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n[")
        place = len(sent)
        sent.append(1)
        block = b'"a long word",' * 4096
        while sent[place] < 100_000_000:
            writer.write(block)
            await writer.drain()
            sent[place] += len(block)

    async with serving(pours) as url:
        one = workload(url, "20s")
        reading, _ = await look(collector.load(one.protocol), session, one, NOW)
    told_well(reading)
    invents_nothing(reading)
    assert reading.failure == "malformed"
    assert max(sent) < 3 * MAX_BODY  # what it read, and what the kernel's buffers took


async def test_an_endpoint_that_is_no_address_is_told_and_not_raised(workload, session):
    one = workload("http://")
    reading, _ = await look(collector.load(one.protocol), session, one, NOW)
    told_well(reading)
    assert reading.up is False


async def test_a_look_that_is_given_up_ends_at_once(workload, session):
    async with serving(_silent) as url:
        one = workload(url, "1h")
        task = asyncio.create_task(look(collector.load(one.protocol), session, one, NOW))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 2)


@pytest.mark.parametrize("name", names())
def test_every_module_declares_itself_in_full(name):
    module = collector.load(name)
    assert module.TRAITS.poll_interval > 0
    assert 0 < module.TRAITS.timeout <= 120
    for family, about in module.FAMILIES.items():
        assert family.startswith(f"orcha_{name}_")
        assert about.help.endswith(".")
        assert about.kind in {"gauge", "counter"}
        assert family.endswith("_total") == (about.kind == "counter")
        assert not {"type", "job", "instance", "env", "cluster", "node", "workload", "protocol"} & set(about.labels)


def test_a_failed_look_knows_nothing_at_all(workload):
    reading = failed(workload("http://127.0.0.1:1"), NOW, Unreachable("down"))
    invents_nothing(reading)
    assert numbers(reading) == []
