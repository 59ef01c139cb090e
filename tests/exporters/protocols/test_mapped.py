import asyncio
import copy
import json
import math
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from exporters.collector import Payloads, Workload, look
from exporters.errors import Malformed, RateLimited
from exporters.nodes import WorkloadSpec
from exporters.protocols import mapped
from exporters.protocols.mapped.extract import as_number, samples_of, values_at
from exporters.protocols.mapped.mapping import Figures, Mapping, MappingTraits, Request, Where, compiled
from exporters.reading import Pool, Quality, Reading
from exporters.session import Answer, HttpSession
from exporters.traits import CurveKind, Traits

NOW = 1_800_000_000.0


def spec(mapping: dict | None = None, **more: object) -> WorkloadSpec:
    return WorkloadSpec.model_validate(
        {"protocol": "mapped", "endpoint": "http://127.0.0.1:1/", "mapping": mapping, **more}
    )


def workload(mapping: dict, **more: object) -> Workload:
    one = spec(mapping, **more)
    return Workload("rack-1", "w", one, mapped.traits_of(one))


def figures(kind: str = "json", traits: dict | None = None, **said: object) -> dict:
    """A mapping of one request `s` with these figures."""
    request = {"url": "{endpoint}/s", "format": kind}
    return {"traits": traits or {"curve": "demand", "resource": "cpu"}, "requests": {"s": request}, "figures": said}


def read(mapping: dict, body: object, previous: Payloads | None = None, at: float = NOW) -> Reading:
    """What `parse` makes of one decoded answer."""
    return mapped.parse(Payloads({"s": body}, at, previous), workload(mapping), at)


def at(path: str, **more: object) -> dict:
    return {"request": "s", "path": path, **more}


# --- figures out of JSON ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "number"),
    [
        (4, 4.0), (4.5, 4.5), (True, 1.0), (False, 0.0), ("4", 4.0), (" 4.5 ", 4.5), ("-3", -3.0), ("1e-3", 1e-3), (".5", 0.5),
        ("462.07K", 462070.0), ("462.07k", 462070.0), ("1.5M", 1.5e6), ("2 G", 2e9), ("1.5GB", 1.5e9), ("1.5GiB", 1.5 * 2**30),
        ("3Ti", 3 * 2**40), ("1,234.5", 1234.5), ("12,345,678", 12345678.0), ("45%", 0.45), ("123456789012345678901234567890", 123456789012345678901234567890.0),
        (None, None), ("", None),
    ],
)  # fmt: skip
def test_a_value_is_a_number_however_it_is_spelt(said, number):
    assert as_number(said, Where(request="s", path="$.x")) == number


@pytest.mark.parametrize(
    "said", ["many", "1,5", "2B", "12 apples", "0x1f", "--1", "1.2.3", "K", ".", "e5", [], {}, "9" * 200, "NaN", "٣"]
)
def test_what_is_no_number_is_malformed_with_its_path(said):
    with pytest.raises(Malformed, match=r"s has .* at \$\.x, not a number"):
        read(figures(used=at("$.x")), {"x": said})


def test_a_figure_is_scaled():
    assert read(figures(used=at("$.x", scale=0.001)), {"x": 1500}).used == {"cpu": 1.5}


@pytest.mark.parametrize("body", [{}, {"x": None}, {"x": ""}, {"y": 3}])
def test_what_is_absent_or_null_is_unknown_and_not_zero(body):
    reading = read(figures(used=at("$.x"), healthy=at("$.ok")), {**body, "ok": True})
    assert reading.used == {}
    assert reading.healthy is True


@pytest.mark.parametrize("body", [{}, [], "x", 3, None, {"y": 1}])
def test_an_answer_with_none_of_the_figures_is_malformed(body):
    with pytest.raises(Malformed, match="none of the mapping's figures was in it"):
        read(figures(used=at("$.x")), body)


@pytest.mark.parametrize(
    ("over", "number"),
    [("sum", 6.0), ("first", 1.0), ("last", 3.0), ("min", 1.0), ("max", 3.0), ("mean", 2.0), ("count", 3.0)],
)
@pytest.mark.parametrize("path", ["$.a[*].n", "$.b"])
def test_several_values_become_one_as_the_mapping_says(path, over, number):
    body = {"a": [{"n": 1}, {"n": "2"}, {"n": 3.0}], "b": [1, 2, 3]}
    assert read(figures(used=at(path, over=over)), body).used == {"cpu": number}


def test_several_values_without_a_word_how_are_malformed_and_say_what_to_write():
    with pytest.raises(
        Malformed, match=r"2 values at \$\.a\[\*\]\.n; say in the mapping what counts, such as over: sum"
    ):
        read(figures(used=at("$.a[*].n")), {"a": [{"n": 1}, {"n": 2}]})


@pytest.mark.parametrize(
    ("over", "used"), [("sum", {"cpu": 0.0}), ("count", {"cpu": 0.0}), ("max", {}), ("mean", {}), ("first", {})]
)
@pytest.mark.parametrize("path", ["$.a[*].n", "$.a[?@.up == true].n", "$.a"])
def test_the_sum_of_an_empty_list_is_zero_and_its_largest_is_unknown(path, over, used):
    assert read(figures(used=at(path, over=over), healthy=at("$.ok")), {"a": [], "ok": True}).used == used


@pytest.mark.parametrize("path", ["$.a[*].n", "$.a[?@.up == true].n", "$.a.b[*].n"])
@pytest.mark.parametrize("body", [{}, {"a": None}, {"a": 3}])
def test_the_sum_of_a_list_that_is_missing_is_unknown(path, body):
    assert read(figures(used=at(path, over="sum"), healthy=at("$.ok")), {**body, "ok": True}).used == {}


@pytest.mark.parametrize("second", [{}, {"n": None}])
def test_a_sum_with_a_part_missing_is_unknown(second):
    assert (
        read(figures(used=at("$.a[*].n", over="sum"), healthy=at("$.ok")), {"a": [{"n": 1}, second], "ok": 1}).used
        == {}
    )


def test_a_search_in_an_answer_that_is_nested_too_deep_is_malformed():
    body: list = []
    for _ in range(5000):
        body = [body]
    with pytest.raises(Malformed, match="nested too deep"):
        read(figures(used=at("$..n", over="sum")), body)


TREES = st.recursive(
    st.none() | st.integers() | st.just("x"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "0"]), inner, max_size=3),
)


@given(TREES, st.lists(st.sampled_from(["a", "b"]), max_size=3))
def test_a_plain_path_means_what_the_standard_says(body, names):
    path = "$" + "".join(f".{name}" for name in names)
    if isinstance(body, dict | list):
        assert values_at(path, body) == compiled(path).findall(body)
    else:
        assert values_at(path, body) == ([body] if path == "$" else [])


def test_only_what_a_filter_lets_through_counts():
    body = {"apps": [{"state": "ACTIVE", "cpu": 2}, {"state": "STOPPED", "cpu": 7}, {"state": "ACTIVE", "cpu": 3}]}
    assert read(figures(used=at("$.apps[?@.state == 'ACTIVE'].cpu", over="sum")), body).used == {"cpu": 5.0}


def test_used_can_be_what_is_there_less_what_is_free():
    mapping = figures(used=at("$.total", scale=0.001, minus=at("$.free", scale=0.001)), healthy=at("$.ok"))
    assert read(mapping, {"total": 16000, "free": 12000, "ok": True}).used == {"cpu": pytest.approx(4.0)}
    assert read(mapping, {"total": 16000, "ok": True}).used == {}


def test_amounts_of_several_resources_and_the_same_resource_twice():
    mapping = figures(used=[at("$.a"), at("$.b"), at("$.m", resource="memory")])
    assert read(mapping, {"a": 1, "b": 2, "m": 10}).used == {"cpu": 3.0, "memory": 10.0}
    assert read(mapping, {"a": 1, "m": 10}).used == {"memory": 10.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -5, 1e308, 10**400])
async def test_a_figure_that_cannot_be_is_unknown_and_noted(aiohttp_server, value):
    body = json.dumps({"x": value, "ok": True})

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/s", answer)
    server = await aiohttp_server(app)
    async with aiohttp.ClientSession() as client:
        one = workload(figures(used=at("$.x"), healthy=at("$.ok")), endpoint=str(server.make_url("/")))
        reading, _ = await look(mapped, HttpSession(client), one, NOW)
    assert reading.up
    assert reading.used == {}
    assert "cannot be" in reading.notes[0]


# --- money ------------------------------------------------------------------------------------------------------------


def test_rates_are_per_hour_whatever_they_are_said_for():
    mapping = figures(
        rate_native=at("$.day", per="24h", token="MYST"), rate_usd=at("$.minute", per="1m", quality="estimated")
    )
    reading = read(mapping, {"day": 48, "minute": 0.01})
    assert reading.native.gross_per_hour == {"MYST": pytest.approx(2.0), "USD": pytest.approx(0.6)}
    assert reading.quality is Quality.ESTIMATED


def test_a_rate_with_one_part_unknown_is_wholly_unknown():
    mapping = figures(rate_native=at("$.day", token="MYST"), rate_usd=at("$.usd"), healthy=at("$.ok"))
    assert read(mapping, {"day": 48, "ok": True}).native.gross_per_hour == {}


def test_balances_and_prices_are_in_their_tokens():
    mapping = figures(
        balances={
            "accrued": [at("$.a", token="MYST", scale=1e-18), at("$.b", token="MYST", scale=1e-18)],
            "paid": at("$.usd"),
        },
        price=[at("$.p", token="MYST", per="30m"), at("$.q", resource="memory")],
    )
    reading = read(mapping, {"a": "2" + "0" * 18, "b": "1" + "0" * 18, "usd": "12.34", "p": 0.5, "q": 1e-9})
    assert reading.native.balance == {"accrued": {"MYST": pytest.approx(3.0)}, "paid": {"USD": 12.34}}
    assert reading.native.price_per_unit_hour == {"cpu": {"MYST": 1.0}, "memory": {"USD": 1e-9}}


LIFETIME = figures(lifetime_native=at("$.n", token="MYST"), healthy=at("$.ok"))


def two_looks(mapping: dict, first: object, second: object, seconds: float = 60.0) -> Reading:
    """What the second of two looks says, with what `fetch` would have kept of the first."""
    counted = mapped._counted(Mapping.model_validate(mapping, by_name=False), {"s": first})
    return read(mapping, second, Payloads({mapped.COUNTERS: counted}, NOW), NOW + seconds)


def test_a_rate_comes_from_the_difference_of_two_looks():
    reading = two_looks(LIFETIME, {"n": 100}, {"n": 100.5})
    assert reading.native.gross_per_hour == {"MYST": pytest.approx(30.0)}
    assert reading.quality is Quality.MEASURED


def test_earning_nothing_between_two_looks_is_a_rate_of_zero_and_known():
    assert two_looks(LIFETIME, {"n": 100}, {"n": 100}).native.gross_per_hour == {"MYST": 0.0}


def test_the_first_look_knows_no_rate():
    assert read(LIFETIME, {"n": 100, "ok": True}).native.gross_per_hour == {}
    assert read(figures(lifetime_native=at("$.n", token="MYST")), {"n": 100}).up


@pytest.mark.parametrize("after", [0, 3, 99.5])
def test_a_counter_that_fell_is_no_loss_and_no_gain(after):
    reading = two_looks(LIFETIME, {"n": 100}, {"n": after})
    assert reading.native.gross_per_hour == {}
    assert reading.notes == (
        f"lifetime_native MYST fell from 100 to {after:g}: a restart or a correction; no rate from this look",
    )


@pytest.mark.parametrize(
    ("first", "second"), [({}, {"n": 5}), ({"n": 5}, {"ok": True}), ({"n": None}, {"n": 5}), ({"n": "odd"}, {"n": 5})]
)
def test_a_counter_that_was_or_is_unknown_gives_no_rate(first, second):
    assert two_looks(LIFETIME, first, second).native.gross_per_hour == {}


@pytest.mark.parametrize("seconds", [0, -60])
def test_a_clock_that_went_back_gives_no_rate(seconds):
    assert two_looks(LIFETIME, {"n": 1}, {"n": 2}, seconds).native.gross_per_hour == {}


def test_bytes_sent_become_bandwidth_in_bits_per_second():
    mapping = figures(traits={}, used=at("$.sent", resource="bandwidth", counter=True, scale=8))
    assert two_looks(mapping, {"sent": 1000}, {"sent": 61000}).used == {"bandwidth": 8000.0}


def test_a_pool_that_is_shared_by_stake():
    traits = {"curve": "dilution", "resource": "stake/BZZ"}
    mapping = figures(traits=traits, pool_payout=at("$.day", token="BZZ", per="1d"), pool_others=at("$.others"))
    assert read(mapping, {"day": 240, "others": 1e6}).pool == Pool({"BZZ": 10.0}, 1e6)
    assert (
        read({**mapping, "figures": {**mapping["figures"], "healthy": at("$.ok")}}, {"day": 240, "ok": True}).pool
        is None
    )


def test_where_use_cannot_be_taken_back_all_that_is_used_is_irreversible():
    traits = {"curve": "fill", "resource": "storage", "irreversible": True}
    used = [at("$.u"), at("$.c", resource="cpu")]
    assert read(figures(traits=traits, used=used), {"u": 5, "c": 1}).irreversible == {"storage": 5.0}
    assert read(figures(traits=traits, used=used, irreversible=at("$.f")), {"u": 5, "c": 1, "f": 3}).irreversible == {
        "storage": 3.0
    }


# --- health, words, times ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "value", "healthy"),
    [
        ({}, True, True), ({}, False, False), ({}, 1, True), ({}, 0, False), ({}, "ok", True), ({}, "TRUE", True), ({}, "false", False),
        ({}, None, None), ({}, "", None),
        ({"equals": "running"}, "running", True), ({"equals": "running"}, "Running", False), ({"equals": "running"}, None, None),
        ({"equals": ["up", "idle"]}, "idle", True), ({"equals": 1}, 1.0, True), ({"equals": 1}, "1", True), ({"equals": 1}, True, False),
        ({"equals": True}, True, True), ({"equals": True}, "true", True), ({"equals": True}, 1, False), ({"equals": 0}, 0, True),
        ({"atLeast": 0.9}, 0.95, True), ({"atLeast": 0.9}, "0.5", False), ({"atLeast": 0}, -1, False), ({"atMost": 3}, 4, False), ({"atMost": 0}, 0, True),
        ({"atLeast": 1, "atMost": 2}, 1.5, True), ({"atLeast": 0.9}, None, None), ({"atLeast": 0.9}, math.nan, None),
        ({"within": "10m"}, NOW - 60, True), ({"within": "10m"}, NOW - 601, False), ({"within": "10m"}, (NOW - 60) * 1000, True),
        ({"within": "10m"}, str(int(NOW - 60)), True), ({"within": "10m"}, "2027-01-15T07:55:00Z", True),
        ({"within": "10m"}, "2027-01-15T08:55:00.123456789+01:00", True), ({"within": "10m"}, "2027-01-15T07:30:00", False),
        ({"within": "10m"}, "0001-01-01T00:00:00Z", None), ({"within": "10m"}, 0, None), ({"within": "10m"}, None, None),
    ],
)  # fmt: skip
def test_health_is_what_the_mapping_calls_healthy(condition, value, healthy):
    reading = read(figures(healthy=at("$.v", **condition), version=at("$.version")), {"v": value, "version": "1"})
    assert reading.healthy is healthy


def test_all_conditions_of_health_must_hold():
    mapping = figures(healthy=[at("$.a"), at("$.b")], version=at("$.v"))
    assert read(mapping, {"a": True, "b": True, "v": 1}).healthy is True
    assert read(mapping, {"a": True, "v": 1}).healthy is None
    assert read(mapping, {"a": False, "v": 1}).healthy is False


@pytest.mark.parametrize(
    ("condition", "value"), [({}, "fine"), ({"within": "1m"}, "yesterday"), ({"atLeast": 1}, "lots")]
)
def test_a_health_word_that_says_nothing_is_malformed(condition, value):
    with pytest.raises(Malformed, match=r"at \$\.v"):
        read(figures(healthy=at("$.v", **condition)), {"v": value})


def test_the_state_is_one_of_the_declared_words_or_unknown():
    mapping = figures(state=at("$.s", words=["up", "down"]), version=at("$.v"))
    assert read(mapping, {"s": "up"}).state == "up"
    odd = read(mapping, {"s": "exploded", "v": 1})
    assert (odd.state, odd.states) == (None, ("up", "down"))
    assert "'exploded' is none of the mapping's words" in odd.notes[0]


def test_words_are_short_and_on_one_line():
    reading = read(figures(version=at("$.v"), node_id=at("$.id")), {"v": "1.2\n3" + "x" * 500, "id": 17})
    assert reading.version == ("1.2 3" + "x" * 95)
    assert reading.node_id == "17"
    with pytest.raises(Malformed, match=r"an object at \$\.v, not a word"):
        read(figures(version=at("$.v")), {"v": {}})


@pytest.mark.parametrize(
    ("said", "at_"), [("2027-01-15T08:00:00Z", NOW), (NOW * 1000, NOW), (NOW, NOW), (True, None), ("", None)]
)
def test_a_payout_time_is_unix_seconds(said, at_):
    assert read(figures(payout_expected_at=at("$.t"), version=at("$.v")), {"t": said, "v": 1}).payout_expected_at == at_


# --- expect -----------------------------------------------------------------------------------------------------------

BODIES = {"object": {}, "array": [], "string": "x", "number": 1, "boolean": True}


@pytest.mark.parametrize("wanted", BODIES)
@pytest.mark.parametrize("given", [*BODIES, "null"])
def test_an_answer_of_another_kind_than_expected_is_malformed_with_that_path(wanted, given):
    mapping = {**figures(version=at("$.v")), "expect": [{"request": "s", "path": "$.stats", "is": wanted}]}
    body = {"stats": BODIES.get(given), "v": "1"}
    if wanted == given:
        assert read(mapping, body).version == "1"
        return
    with pytest.raises(Malformed, match=r"^s has (an? \w+|null) at \$\.stats, not an? " + wanted):
        read(mapping, body)


@pytest.mark.parametrize("body", [{}, [], None, "x"])
def test_what_is_expected_and_absent_is_malformed_with_that_path(body):
    mapping = {**figures(version=at("$.v")), "expect": [{"request": "s", "path": "$.stats"}]}
    with pytest.raises(Malformed, match=r"s has nothing at \$\.stats"):
        read(mapping, body)


def test_an_expected_value_is_compared():
    mapping = {**figures(version=at("$.v")), "expect": [at("$.status", equals="success")]}
    assert read(mapping, {"status": "success", "v": "1"}).version == "1"
    with pytest.raises(Malformed, match=r"s says 'error' at \$\.status, not 'success'"):
        read(mapping, {"status": "error", "v": "1"})


# --- Prometheus text --------------------------------------------------------------------------------------------------

PAGE = b"""# HELP sessions Sessions.
# TYPE sessions gauge
sessions{region="eu",kind="a"} 3
sessions{region="eu",kind="b"} 4 1800000000000
sessions{region="us",kind="a"} 10
info{version="v1.2",quoted="a \\"b\\" {c}"} 1
nothing NaN
this line is broken
"""


def page(body: bytes = PAGE, content_type: str = "text/plain; version=0.0.4") -> Answer:
    return Answer("http://n/metrics", 200, body, {"content-type": content_type})


def prometheus(body: bytes = PAGE, **said: object) -> Reading:
    mapping = figures("prometheus", **said)
    wanted = mapped.plan_of(workload(mapping).spec).metrics["s"]
    return read(mapping, samples_of(page(body), wanted))


def of(metric: str, **more: object) -> dict:
    return {"request": "s", "metric": metric, **more}


def test_samples_are_summed_unless_the_mapping_says_otherwise():
    assert prometheus(used=of("sessions")).used == {"cpu": 17.0}
    assert prometheus(used=of("sessions", over="max")).used == {"cpu": 10.0}
    assert prometheus(used=of("sessions", over="count")).used == {"cpu": 3.0}


def test_only_samples_with_the_named_labels_count():
    assert prometheus(used=of("sessions", labels={"region": "eu"})).used == {"cpu": 7.0}
    assert prometheus(used=of("sessions", labels={"region": "eu", "kind": "a"}, scale=2)).used == {"cpu": 6.0}


def test_a_metric_or_label_that_is_not_there_is_unknown_and_not_zero():
    assert prometheus(used=of("sessions", labels={"region": "asia"}), version=of("info", label="version")).used == {}
    assert prometheus(used=of("other"), version=of("info", label="version")).used == {}
    assert prometheus(version=of("info", label="nope"), used=of("sessions")).version is None


def test_words_come_from_labels():
    assert prometheus(version=of("info", label="version")).version == "v1.2"
    assert prometheus(node_id=of("info", labels={"version": "v1.2"}, label="quoted")).node_id == 'a "b" {c}'


def test_a_broken_line_of_another_metric_spoils_nothing_and_one_of_ours_is_malformed():
    assert prometheus(used=of("sessions")).up
    with pytest.raises(Malformed, match="no Prometheus text"):
        prometheus(b'sessions{region="eu" 3\n', used=of("sessions"))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<html>", "text/plain"),
        (b'{"a": 1}', "text/plain"),
        (b"[]", "x/y"),
        (b"a 1\n", "text/html"),
        (b"a 1", "application/json"),
    ],
)
def test_a_page_that_is_no_prometheus_text_is_malformed(body, content_type):
    with pytest.raises(Malformed, match="no Prometheus text"):
        samples_of(page(body, content_type), {"a"})


def test_an_expected_metric_that_is_missing_is_malformed():
    mapping = {**figures("prometheus", used=of("sessions")), "expect": [{"request": "s", "metric": "sessions"}]}
    with pytest.raises(Malformed, match="s has no metric sessions"):
        read(mapping, {"sessions": []})


# --- fetch ------------------------------------------------------------------------------------------------------------


class Node:
    """Remembers what it was asked; answers by path."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}
        self.asked: list[web.Request] = []
        self.bodies: list[object] = []
        self.waiting = 0
        self.together = 0
        self.url = ""
        self.gate = asyncio.Event()
        self.gate.set()

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        self.bodies.append(await request.json() if request.can_read_body else None)
        self.waiting += 1
        self.together = max(self.together, self.waiting)
        if request.path.startswith("/slow"):
            if self.waiting == 2:
                self.gate.set()
            await asyncio.wait_for(self.gate.wait(), 5)
        self.waiting -= 1
        body = self.answers.get(request.path)
        if isinstance(body, web.Response):
            return copy.copy(body)
        return web.Response(status=404) if body is None else web.json_response(body)


@pytest.fixture
async def node(aiohttp_server):
    fake = Node()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    server = await aiohttp_server(app)
    fake.url = str(server.make_url("")).rstrip("/")
    return fake


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as client:
        yield HttpSession(client)


async def test_a_login_gives_its_token_to_later_requests(node, session, tmp_path):
    (tmp_path / "pw").write_text("pa:ss wörd\n")
    mapping = {
        "requests": {
            "stats": {"url": "{endpoint}/stats/{id}", "headers": {"Authorization": "Bearer {token}", "X-Node": "{node}/{workload}"}},
            "login": {"url": "{endpoint}/login", "method": "POST", "take": {"token": "$.token", "id": "$.user.id"}, "body": {"user": "me", "passwordFile": str(tmp_path / "pw"), "deep": [{"pinFile": str(tmp_path / "pw")}], "n": 1}},
        },
        "figures": {"version": {"request": "stats", "path": "$.v"}},
    }  # fmt: skip
    node.answers = {"/login": {"token": "tok.en", "user": {"id": 77}}, "/stats/77": {"v": "1"}}
    reading, _ = await look(mapped, session, workload(mapping, endpoint=node.url + "/"), NOW)
    assert reading.version == "1"
    assert node.bodies[0] == {"user": "me", "password": "pa:ss wörd", "deep": [{"pin": "pa:ss wörd"}], "n": 1}
    assert node.asked[1].headers["Authorization"] == "Bearer tok.en"
    assert node.asked[1].headers["X-Node"] == "rack-1/w"


async def test_credentials_and_options_are_placeholders_too(node, session, tmp_path):
    (tmp_path / "key").write_text("k/e y?")
    mapping = {
        "requests": {
            "s": {
                "url": "{base}/status/{apiKey}?days={days}",
                "headers": {"X-Key": "{apiKey}", "X-TokenFile": str(tmp_path / "key")},
            }
        },
        "figures": {"version": {"request": "s", "path": "$.v"}},
    }
    one = workload(
        mapping, credentials={"apiKeyFile": str(tmp_path / "key")}, options={"base": node.url + "/", "days": 7}
    )
    node.answers = {"/status/k/e y?": {"v": "1"}}
    reading, _ = await look(mapped, session, one, NOW)
    assert reading.version == "1"
    assert node.asked[0].raw_path == "/status/k%2Fe%20y%3F?days=7"
    assert node.asked[0].headers["X-Key"] == "k/e y?"
    assert node.asked[0].headers["X-Token"] == "k/e y?"


async def test_requests_that_need_nothing_of_each_other_are_asked_at_once(node, session):
    requests = {name: {"url": f"{{endpoint}}/slow/{name}"} for name in ("a", "b")}
    node.gate.clear()
    node.answers = {"/slow/a": {"v": "1"}, "/slow/b": {"v": "2"}}
    mapping = {
        "requests": requests,
        "figures": {"version": {"request": "a", "path": "$.v"}, "node_id": {"request": "b", "path": "$.v"}},
    }
    reading, _ = await look(mapped, session, workload(mapping, endpoint=node.url), NOW)
    assert (reading.version, reading.node_id) == ("1", "2")
    assert node.together == 2


async def test_the_first_request_that_fails_is_what_is_told(node, session):
    requests = {"a": {"url": "{endpoint}/slow/a"}, "b": {"url": "{endpoint}/b"}}
    node.gate.clear()
    node.answers = {"/slow/a": {"v": "1"}, "/b": web.Response(status=429, headers={"Retry-After": "9"})}
    mapping = {"requests": requests, "figures": {"version": {"request": "a", "path": "$.v"}}}
    with pytest.raises(RateLimited) as told:
        await mapped.fetch(session, workload(mapping, endpoint=node.url))
    assert told.value.retry_after == 9
    node.gate.set()


async def test_a_body_with_braces_of_its_own_is_left_alone(node, session):
    query = "{ node { id } } {{literal}}"
    mapping = figures(version=at("$.v"))
    mapping["requests"]["s"] |= {"method": "POST", "body": {"query": query}}
    node.answers = {"/s": {"v": "1"}}
    await look(mapped, session, workload(mapping, endpoint=node.url), NOW)
    assert node.bodies == [{"query": "{ node { id } } {literal}"}]


async def test_other_statuses_are_answers_where_the_mapping_says_so(node, session):
    mapping = figures(version=at("$.v"))
    mapping["requests"]["s"]["ok"] = [200, 503]
    node.answers = {"/s": web.json_response({"v": "starting"}, status=503)}
    reading, _ = await look(mapped, session, workload(mapping, endpoint=node.url), NOW)
    assert reading.version == "starting"


@pytest.mark.parametrize("token", [None, "", True, {}, ["x"], "..", "a\r\nX-Evil: 1", "x" * 5000])
async def test_a_login_that_gives_no_usable_token_is_malformed(node, session, token):
    mapping = {
        "requests": {
            "login": {"url": "{endpoint}/login", "take": {"token": "$.token"}},
            "s": {"url": "{endpoint}/s", "headers": {"A": "{token}"}},
        },
        "figures": {"version": at("$.v")},
    }
    node.answers = {"/login": {"token": token}, "/s": {"v": "1"}}
    reading, _ = await look(mapped, session, workload(mapping, endpoint=node.url), NOW)
    assert reading.failure == "malformed"
    assert reading.failure_message == "login has no value for token at $.token; was the login accepted?"
    assert len(node.asked) == 1


async def test_a_taken_value_cannot_leave_its_place_in_an_address(node, session):
    mapping = {
        "requests": {"a": {"url": "{endpoint}/a", "take": {"id": "$.id"}}, "s": {"url": "{endpoint}/users/{id}"}},
        "figures": {"version": at("$.v")},
    }
    node.answers = {"/a": {"id": "../admin?x=@evil.example"}, "/users/../admin?x=@evil.example": {"v": "1"}}
    await look(mapped, session, workload(mapping, endpoint=node.url), NOW)
    assert node.asked[1].raw_path == "/users/..%2Fadmin%3Fx=@evil.example"


@pytest.mark.parametrize("status", [400, 401, 404, 500])
async def test_no_secret_is_in_a_message_not_even_one_that_was_part_of_the_address(node, session, tmp_path, status):
    (tmp_path / "key").write_text("s3cr3t/key")
    mapping = {
        "requests": {
            "login": {"url": "{endpoint}/login", "take": {"token": "$.token"}},
            "s": {
                "url": "{endpoint}/s/{apiKey}/{token}",
                "method": "POST",
                "basicAuth": {"passwordFile": str(tmp_path / "key")},
            },
        },
        "figures": {"version": at("$.v")},
    }
    one = workload(mapping, endpoint=node.url, credentials={"apiKeyFile": str(tmp_path / "key")})
    said = "you said s3cr3t/key and tok-1234 and OnMzY3IzdC9rZXk="
    node.answers = {"/login": {"token": "tok-1234"}, "/s/s3cr3t/key/tok-1234": web.Response(status=status, text=said)}
    reading, _ = await look(mapped, session, one, NOW)
    assert reading.up is False
    for secret in ("s3cr3t/key", "s3cr3t%2Fkey", "tok-1234", "OnMzY3IzdC9rZXk="):
        assert secret not in reading.failure_message
    assert "***" in reading.failure_message


async def test_a_secret_file_is_read_anew_at_every_look(node, session, tmp_path):
    (tmp_path / "key").write_text("one")
    mapping = figures(version=at("$.v"))
    mapping["requests"]["s"]["headers"] = {"X-KeyFile": str(tmp_path / "key")}
    node.answers = {"/s": {"v": "1"}}
    one = workload(mapping, endpoint=node.url)
    await look(mapped, session, one, NOW)
    (tmp_path / "key").write_text("two")
    await look(mapped, session, one, NOW)
    assert [request.headers["X-Key"] for request in node.asked] == ["one", "two"]


async def test_an_endpoint_with_a_path_keeps_it(node, session):
    node.answers = {"/base/s": {"v": "1"}}
    reading, _ = await look(mapped, session, workload(figures(version=at("$.v")), endpoint=node.url + "/base/"), NOW)
    assert reading.version == "1"


# --- traits, plans, check ---------------------------------------------------------------------------------------------


def test_the_mapping_declares_its_traits():
    said = {
        "curve": "fill", "resource": "storage", "pollInterval": "5m", "timeout": "10s", "staleAfter": "1h", "verifyTimeout": "20m",
        "settle": "1d", "offlineMinutes": 2, "feesUsd": 0.1, "minAllocation": "500G", "irreversible": True, "singleton": True,
        "freesWhen": "drained", "horizon": "72h",
    }  # fmt: skip
    assert mapped.traits_of(spec(figures(traits=said, version=at("$.v")))) == Traits(
        curve=CurveKind.FILL, resource="storage", poll_interval=300.0, timeout=10.0, stale_after=3600.0, verify_timeout=1200.0,
        settle=86400.0, offline_minutes=2.0, fees_usd=0.1, min_allocation=5e11, irreversible=True, singleton=True,
        frees_when="drained", horizon=259200.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("frees_when", "used", "allocated", "configured"),
    [
        pytest.param("drained", 6.0, 6.0, 4.0, id="drained: what still runs is not free"),
        pytest.param("drained", 3.0, 4.0, 4.0, id="drained: nothing runs beyond it"),
        pytest.param("reported", 6.0, 4.0, None, id="reported: what is said counts"),
    ],
)
def test_shrunk_capacity_is_free_when_the_traits_say_so(frees_when, used, allocated, configured):
    traits = {"curve": "demand", "resource": "cpu", "freesWhen": frees_when}
    reading = read(figures(traits=traits, allocated=at("$.cap"), used=at("$.used")), {"cap": 4, "used": used})
    assert (reading.allocated["cpu"], reading.configured.get("cpu")) == (allocated, configured)


def test_a_mapping_that_says_nothing_of_itself_is_watched():
    assert mapped.traits_of(spec(figures(traits={"pollInterval": "60s"}, version=at("$.v")))) == Traits()
    assert mapped.traits_of(spec(None)) == mapped.TRAITS


def test_only_counters_are_kept_from_one_look_to_the_next():
    assert mapped.traits_of(spec(LIFETIME)).keeps == (mapped.COUNTERS,)
    assert mapped.traits_of(spec(figures(used=at("$.x")))).keeps == ()


def test_a_mapping_is_made_ready_once_however_many_workloads_have_it():
    first, second = spec(LIFETIME), spec(copy.deepcopy(LIFETIME))
    assert mapped.plan_of(first) is mapped.plan_of(first)
    assert mapped.plan_of(first) is mapped.plan_of(second)


def test_the_plan_of_a_workload_that_is_gone_is_let_go():
    one = spec(figures(version=at("$.gone")))
    mapped.plan_of(one)
    key = id(one)
    assert key in mapped._PLANS
    del one
    assert key not in mapped._PLANS


def problems(mapping: dict | None, **more: object) -> list[tuple[str, str]]:
    return [(".".join(map(str, path)), sentence) for path, sentence in mapped.check(spec(mapping, **more))]


def test_a_good_mapping_has_no_problems():
    assert problems(LIFETIME) == []


GOOD = figures(used=at("$.x"))


def changed(**more: object) -> dict:
    return {**copy.deepcopy(GOOD), **more}


@pytest.mark.parametrize(
    ("mapping", "path", "sentence"),
    [
        ({}, "mapping.requests", "is missing"),
        (changed(requests={}), "mapping.requests", "at least 1"),
        (changed(requests={"s": {"url": "/s"}}), "mapping.requests.s.url", "is not an address; write {endpoint}/PATH"),
        (changed(requests={"s": {"url": "http://me:pw@host/s"}}), "mapping.requests.s.url", "passwords under basicAuth"),
        (changed(requests={"s": {"url": "{endpoint}@evil/s"}}), "mapping.requests.s.url", "is not an address"),
        (changed(requests={"s": {"url": "{endpoint}/s", "metod": "POST"}}), "mapping.requests.s.metod", "did you mean 'method'?"),
        (changed(requests={"s": {"url": "{endpoint}/s", "method": "DELETE"}}), "mapping.requests.s.method", "write 'GET' or 'POST'"),
        (changed(requests={"s": {"url": "{endpoint}/{tok}"}}), "mapping.requests.s", "nothing gives {tok} a value; known are endpoint, node, workload"),
        (changed(requests={"s": {"url": "{endpoint}/{a}", "take": {"a": "$.a"}}}), "mapping.requests", "wait for each other's values in a circle"),
        (changed(requests={"s": {"url": "{endpoint}/s", "take": {"node": "$.a"}}}), "mapping.requests.s.take.node", "has a value already"),
        (changed(requests={"s": {"url": "{endpoint}/s", "take": {"a": "x.y"}}}), "mapping.requests.s.take.a", "begin with $"),
        (changed(requests={"s": {"url": "{endpoint}/s", "format": "prometheus"}}), "mapping.figures.used.path", "name a metric"),
        (changed(figures={}), "mapping.figures", "says nothing about the workload"),
        (changed(figures={"usedd": at("$.x")}), "mapping.figures.usedd", "did you mean 'used'?"),
        (changed(figures={"used": at("$.x[")}), "mapping.figures.used.0.path", "is not a JSON path"),
        (changed(figures={"used": {"request": "s"}}), "mapping.figures.used.0", "either a path (JSON) or a metric"),
        (changed(figures={"used": at("$.x", scale=0)}), "mapping.figures.used.0", "scale 0 makes everything 0"),
        (changed(figures={"used": {"request": "t", "path": "$.x"}}), "mapping.figures.used.request", "there is no request 't'; there are s"),
        (changed(figures={"used": {"request": "s", "metric": "m"}}), "mapping.figures.used.metric", "answers JSON; name a path"),
        (changed(figures={"used": at("$.x", minus={"request": "t", "path": "$.y"})}), "mapping.figures.used.minus.request", "there is no request"),
        (changed(traits={}), "mapping.figures.used", "of which resource?"),
        (changed(traits={"curve": "demand"}), "mapping.traits", "needs the resource"),
        (changed(traits={"curve": "bends"}), "mapping.traits.curve", "'demand', 'fill', 'dilution' or 'none'"),
        (changed(traits={"pollInterval": 60}), "mapping.traits.pollInterval", "write it with its unit"),
        (changed(traits={"curve": "dilution", "resource": "cpu"}), "mapping.figures", "needs pool_payout and pool_others"),
        (changed(figures={"allocated": at("$.x", counter=True)}), "mapping.figures.allocated", "cannot come from a counter"),
        (changed(figures={"lifetime_native": at("$.x")}), "mapping.figures.lifetime_native.0.token", "is missing"),
        (changed(figures={"lifetime_native": at("$.x", token="A"), "rate_native": at("$.y", token="A")}), "mapping.figures.rate_native", "keep one of the two"),
        (changed(figures={"state": at("$.x")}), "mapping.figures.state.words", "is missing"),
        (changed(figures={"balances": {"saved": at("$.x")}}), "mapping.figures.balances.saved", "is not possible"),
        (changed(expect=[{"request": "t", "path": "$.x"}]), "mapping.expect.0.request", "there is no request"),
        (changed(expect=[at("$.x", **{"is": "list"})]), "mapping.expect.0.is", "is not possible"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_mapping_is_told_with_its_path_and_what_would_be_right(mapping, path, sentence):
    found = dict(problems(mapping))
    assert path in found
    assert sentence in found[path]


def test_all_problems_are_told_at_once():
    mapping = changed(traits={"settle": "soon"}, figures={"used": at("x"), "allocated": at("$.y", scale="big")})
    assert len(problems(mapping)) == 3


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"credentials": {"apiKey": "abc"}}, "credentials.apiKey"),
        ({"options": {"deep": {"er": 1}}}, "options.deep"),
        ({"allocation": {"resource": "memory", "min": 0, "max": 1, "step": 1}}, "allocation.resource"),
    ],
)
def test_what_is_wrong_around_a_mapping_is_told_too(more, path):
    assert path in dict(problems(GOOD, **more))


def test_an_allocation_without_a_curve_is_refused():
    mapping = changed(traits={"resource": "cpu"})
    assert (
        "no curve"
        in dict(problems(mapping, allocation={"resource": "cpu", "min": 0, "max": 1, "step": 1}))["allocation"]
    )


def test_the_page_about_mappings_names_every_key():
    page_ = (Path(__file__).resolve().parents[3] / "docs" / "protocols" / "mapped.md").read_text()
    keys = [
        info.alias or name for model in (Figures, MappingTraits, Request) for name, info in model.model_fields.items()
    ]
    assert [key for key in keys if f"`{key}`" not in page_] == []


def test_until_two_looks_tell_what_a_counter_gained_the_published_price_estimates_it():
    """2.5 cores at 4400 micro-AKT per core-hour are 0.011 AKT per hour; the second look measures it."""
    mapping = {
        "traits": {"curve": "demand", "resource": "cpu", "pollInterval": "60s"},
        "requests": {"status": {"url": "{endpoint}/status", "format": "json"}},
        "figures": {
            "used": {"request": "status", "path": "$.cores"},
            "lifetime_native": {"request": "status", "path": "$.earned", "token": "AKT", "counter": True},
            "price": {"request": "status", "path": "$.price", "scale": 1e-6, "token": "AKT", "per": "1h"},
        },
    }
    spec = WorkloadSpec.model_validate({"protocol": "mapped", "endpoint": "http://127.0.0.1:1", "mapping": mapping})
    workload = Workload("rack-1", "akash", spec, mapped.traits_of(spec))
    first = Payloads({"status": {"cores": 2.5, "earned": 7.0, "price": 4400}}, 0.0)
    reading = mapped.parse(first, workload, 0.0)
    assert reading.native.gross_per_hour == {"AKT": pytest.approx(0.011)}
    assert reading.quality == "estimated"
    bodies = {"status": {"cores": 2.5, "earned": 7.02, "price": 4400}}
    kept = Payloads({mapped.COUNTERS: {"lifetime_native AKT": 7.0}}, 0.0)
    second = mapped.parse(Payloads(bodies, 3600.0, kept), workload, 3600.0)
    assert second.native.gross_per_hour == {"AKT": pytest.approx(0.02)}
    assert second.quality == "measured"
