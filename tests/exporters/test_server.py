"""The exporter over HTTP: formats, compression, who may see what, and a loop that is never held up."""

from __future__ import annotations

import asyncio
import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from exporters.metrics import Exposition
from exporters.page import MAX_ROWS, Row, landing_page
from exporters.reading import Connection, Quality, Reading
from exporters.server import Faces, application, wants_openmetrics

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
NOW = 1_760_000_000.0
EVERYWHERE = "0.0.0.0"  # noqa: S104 what the guard is told; the test server itself listens on loopback


def reading(name: str = "storj", **figures) -> Reading:
    return Reading("rack-1", name, "storj", NOW, **figures)


def exposition(*names: str) -> Exposition:
    found = Exposition({})
    for name in names or ("storj",):
        found.update(reading(name, used={"storage": 5e12}, rate_usd_per_hour=0.02, quality=Quality.MEASURED))
    return found


@pytest.fixture
def client_of(aiohttp_client):
    async def make(host: str = "127.0.0.1", **changes):
        found = exposition()
        faces = {
            "pages": found.render, "rows": lambda: [Row("rack-1/storj", "storj", None, None)],
            "ready": lambda: True, "now": lambda: NOW, **changes,
        }  # fmt: skip
        return await aiohttp_client(application(Faces(**faces), host))

    return make


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROMETHEUS, True), ("", False), ("*/*", False), ("text/plain", False), ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0", True), ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;version=2.0.0,text/plain", False), ("application/openmetrics-text;q=0.2,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0", False), ("application/openmetrics-text;q=lots", False), (";;,,;q=", False),
    ],
)  # fmt: skip
def test_the_format_is_the_one_that_is_liked_best(accept, expected) -> None:
    assert wants_openmetrics(accept) is expected


async def test_prometheus_gets_openmetrics_that_ends_as_it_must(client_of) -> None:
    client = await client_of()
    answer = await client.get("/metrics", headers={"Accept": PROMETHEUS})
    text = await answer.text()
    assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert text.endswith("# EOF\n")
    assert "orcha_protocol_up" in {family.name for family in parse_openmetrics(text)}


async def test_others_get_plain_text(client_of) -> None:
    client = await client_of()
    answer = await client.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# EOF" not in await answer.text()


@pytest.mark.parametrize("count", [1, 2000], ids=["one piece", "many pieces"])
async def test_a_page_is_packed_when_asked_for_and_says_the_same(client_of, count) -> None:
    found = exposition(*(f"w-{i}" for i in range(count)))
    client = await client_of(pages=found.render)
    plain = await (await client.get("/metrics", headers={"Accept-Encoding": "identity"})).read()
    async with client.session.get(client.make_url("/metrics"), headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert await answer.read() == plain
    assert plain == b"".join(found.render())


async def test_who_refuses_gzip_gets_none(client_of) -> None:
    client = await client_of()
    answer = await client.get("/metrics", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in answer.headers


async def test_a_head_request_has_no_body(client_of) -> None:
    client = await client_of()
    answer = await client.head("/metrics")
    assert (answer.status, await answer.read()) == (200, b"")


async def test_a_large_page_never_holds_up_the_loop(client_of) -> None:
    found = exposition(*(f"w-{i}" for i in range(5000)))
    client = await client_of(pages=found.render)
    longest, done = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        while not done.is_set():
            began = time.thread_time()  # computing, not waiting for a core
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - began)

    watching = asyncio.create_task(watch())
    for headers in ({"Accept-Encoding": "identity"}, {"Accept-Encoding": "gzip"}):
        async with client.session.get(client.make_url("/metrics"), headers=headers) as answer:
            async for _ in answer.content.iter_any():
                pass
    done.set()
    await watching
    assert longest < 0.05


async def test_a_reader_that_goes_away_half_way_harms_nobody(client_of) -> None:
    found = exposition(*(f"w-{i}" for i in range(3000)))
    client = await client_of(pages=found.render)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await reader.read(1000)
    writer.transport.abort()
    assert (await client.get("/healthz")).status == 200


async def test_health_and_readiness_are_plain_and_poll_nothing(client_of) -> None:
    ready = [False]
    client = await client_of(ready=lambda: ready[0])
    assert (await client.get("/healthz")).status == 200
    answer = await client.get("/readyz")
    assert (answer.status, "not ready" in await answer.text()) == (503, True)
    ready[0] = True
    assert (await client.get("/readyz")).status == 200


async def test_the_landing_page_links_what_there_is_and_needs_no_script(client_of) -> None:
    client = await client_of(notes=lambda: ["The manifests were refused <now>."])
    answer = await client.get("/")
    text = await answer.text()
    assert answer.content_type == "text/html"
    assert 'href="/metrics"' in text
    assert "refused &lt;now&gt;" in text
    assert "<script" not in text
    assert "compat" not in text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_older_names_are_served_only_where_asked_for(client_of) -> None:
    assert (await (await client_of()).get("/compat/storj-exporter")).status == 404
    client = await client_of(storj_compat=lambda: b"storj_total_diskspace 1\n")
    answer = await client.get("/compat/storj-exporter")
    assert await answer.text() == "storj_total_diskspace 1\n"
    assert 'href="/compat/storj-exporter"' in await (await client.get("/")).text()


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
async def test_off_loopback_monitoring_needs_no_token(client_of, path) -> None:
    client = await client_of(EVERYWHERE, token_file=None)
    assert (await client.get(path)).status == 200


async def test_off_loopback_the_page_needs_the_token_of_the_file(client_of, tmp_path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret-of-the-reader\n")
    client = await client_of(EVERYWHERE, token_file=token)
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic s3cret-of-the-reader"},
        {"Authorization": "Bearer "},
    ):
        answer = await client.get("/", headers=headers)
        assert answer.status == 401
        assert "s3cret" not in await answer.text()
    assert (await client.get("/", headers={"Authorization": "Bearer s3cret-of-the-reader"})).status == 200
    token.write_text("another\n")
    assert (await client.get("/", headers={"Authorization": "Bearer s3cret-of-the-reader"})).status == 401
    token.unlink()
    assert (await client.get("/", headers={"Authorization": "Bearer "})).status == 401


async def test_off_loopback_without_a_token_the_page_is_shut_and_says_what_to_do(client_of) -> None:
    client = await client_of(EVERYWHERE)
    answer = await client.get("/")
    assert answer.status == 403
    assert "tokenFiles" in await answer.text()


async def test_on_loopback_only_loopback_names_are_answered(client_of) -> None:
    client = await client_of()
    for host, status in (
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("evil.example:9871", 403),
        ("127.0.0.1.evil.example", 403),
    ):
        assert (await client.get("/metrics", headers={"Host": host})).status == status


def test_the_table_says_what_is_known_and_nothing_that_is_not() -> None:
    good = reading(state="online", rate_usd_per_hour=0.021, quality=Quality.ESTIMATED)
    lost = Reading(
        "rack-1",
        "golem",
        "golem",
        NOW - 60,
        up=False,
        failure="timeout",
        failure_message="s3cret",
        connection=Connection.RECONNECTING,
    )
    page = landing_page(
        [Row("rack-1/storj", "storj", good, good), Row("rack-1/golem", "golem", lost, None), Row("rack-1/<new>", "storj", None, None)],
        NOW + 90, "1.0", {},
    )  # fmt: skip
    assert "1 of 3 workloads answer" in page
    assert "0.021000" in page
    assert "1m30s" in page
    assert "no (timeout)" in page
    assert "not asked yet" in page
    assert "rack-1/&lt;new&gt;" in page
    assert "s3cret" not in page
    assert page.count("unknown") == 2


def test_figures_that_are_stale_are_not_shown() -> None:
    good = reading(rate_usd_per_hour=0.021)
    assert "0.021" not in landing_page(
        [Row("rack-1/storj", "storj", good, good, stale_after=60.0)], NOW + 61, "1.0", {}
    )


def test_a_large_fleet_shows_its_beginning_and_says_so() -> None:
    rows = [Row(f"rack-1/{i}", "storj", None, None) for i in range(MAX_ROWS + 5)]
    page = landing_page(rows, NOW, "1.0", {})
    assert page.count("<tr>") == MAX_ROWS + 1
    assert "and 5 more" in page
