"""JSON-RPC as public endpoints really speak it: batches taken and refused, errors inside HTTP 200, keys in the path."""

from __future__ import annotations

import json

import aiohttp
import pytest
from aiohttp import web

from exporters.errors import Malformed, RateLimited, TimedOut, Unauthorized, Unreachable
from exporters.protocols.streamr.jsonrpc import Discreet, Question, Refused, ask, judge
from exporters.session import HttpSession

THREE = {name: Question("echo", (name,)) for name in ("a", "b", "c")}


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as client:
        yield HttpSession(client)


@pytest.fixture
def serve(aiohttp_server):
    """Start a server around `answer(asked) -> what is sent as JSON, or a Response`; gives its address and what it was asked."""

    async def start(answer):
        posts = []

        async def handle(request):
            posts.append(json.loads(await request.read()))
            said = answer(posts[-1])
            return said if isinstance(said, web.StreamResponse) else web.json_response(said)

        app = web.Application()
        app.router.add_post("/{tail:.*}", handle)
        server = await aiohttp_server(app)
        return str(server.make_url("/")), posts

    return start


def echo(asked):
    return {"jsonrpc": "2.0", "id": asked["id"], "result": asked["params"][0]}


async def test_all_questions_go_in_one_post_and_answers_may_come_in_any_order(serve, session):
    url, posts = await serve(lambda asked: [echo(one) for one in reversed(asked)])
    assert await ask(session, url, THREE) == {"a": "a", "b": "b", "c": "c"}
    assert len(posts) == 1


async def test_no_question_is_no_post(serve, session):
    url, posts = await serve(echo)
    assert await ask(session, url, {}) == {}
    assert posts == []


@pytest.mark.parametrize(
    "refusal",
    [
        lambda: {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batch requests are not allowed"}},
        lambda: web.Response(status=400, text="bad request"),
        lambda: web.Response(
            status=500, text='{"message":"Batch of more than 3 requests are not allowed on free tier"}'
        ),
        lambda: web.Response(status=413, text="too large"),
    ],
    ids=["an error for the whole", "400", "500", "413"],
)
async def test_an_endpoint_that_refuses_batches_is_asked_one_by_one(serve, session, refusal):
    url, posts = await serve(lambda asked: refusal() if isinstance(asked, list) else echo(asked))
    assert await ask(session, url, THREE) == {"a": "a", "b": "b", "c": "c"}
    assert len(posts) == 4


async def test_the_owner_can_say_that_batches_are_in_vain(serve, session):
    url, posts = await serve(echo)
    assert await ask(session, url, THREE, batch=False) == {"a": "a", "b": "b", "c": "c"}
    assert len(posts) == 3


async def test_a_dead_endpoint_is_asked_twice_not_once_for_each_question(serve, session):
    url, posts = await serve(lambda _: web.Response(status=503, text="down"))
    with pytest.raises(Unreachable):
        await ask(session, url, THREE)
    assert len(posts) == 1  # 503 is not how anybody refuses a batch
    url, posts = await serve(lambda _: web.Response(status=500, text="down"))
    with pytest.raises(Unreachable):
        await ask(session, url, THREE)
    assert len(posts) == 2


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": -32005, "message": "limit"}, RateLimited),
        ({"code": -32016, "message": "over"}, RateLimited),
        ({"code": -32097, "message": "slow down"}, RateLimited),
        (
            {"code": -32090, "message": "Too many requests, reason: call rate limit exhausted, retry in 10s"},
            RateLimited,
        ),
        ({"code": 429, "message": "Your app has exceeded its compute units per second capacity"}, RateLimited),
        ({"code": -32600, "message": "Must be authenticated!"}, Unauthorized),
        ({"code": -32002, "message": "rejected due to project ID settings"}, Unauthorized),
        ({"code": -32000, "message": "header not found"}, Unreachable),
        ({"code": -32011, "message": "no backend is currently healthy to serve traffic"}, Unreachable),
    ],
    ids=[
        "-32005",
        "-32016",
        "-32097",
        "-32090",
        "compute units",
        "no key",
        "wrong project",
        "lagging node",
        "no backend",
    ],
)
async def test_an_error_inside_http_200_that_concerns_the_endpoint_has_its_name(serve, session, error, kind):
    for answer in (
        lambda asked: [{"jsonrpc": "2.0", "id": one["id"], "error": error} for one in asked],
        lambda _: {"jsonrpc": "2.0", "id": None, "error": error},
        lambda asked: [echo(one) for one in asked[1:]] + [{"jsonrpc": "2.0", "id": None, "error": error}],
    ):
        url, _ = await serve(answer)
        with pytest.raises(kind):
            await ask(session, url, THREE)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ({"code": -32005, "message": "x", "data": {"rate": {"backoff_seconds": 30}}}, 30.0),
        ({"code": -32005, "message": "x", "data": {"backoff_seconds": 1.5}}, 1.5),
        ({"code": -32090, "message": "rate limit exhausted, retry in 10s"}, 10.0),
        ({"code": -32005, "message": "x", "data": {"rate": {"backoff_seconds": True}}}, None),
        ({"code": -32005, "message": "x", "data": {"rate": {"backoff_seconds": -1}}}, None),
        ({"code": -32005, "message": "x", "data": "soon"}, None),
    ],
    ids=["Infura", "flat", "in words", "no number", "negative", "text"],
)
def test_how_long_to_wait_is_taken_from_where_they_say_it(error, seconds):
    with pytest.raises(RateLimited) as caught:
        judge(error, "https://rpc.example")
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        ({"code": 3, "message": "execution reverted", "data": "0x0be9186a"}, False),
        ({"code": -32000, "message": "VM Exception while processing transaction: revert", "data": "0x"}, False),
        ({"code": -32603, "message": "Error: VM Exception: reverted with 'rate limit'"}, False),
        ({"code": -32601, "message": "the method does not exist/is not available"}, False),
        ({"code": -32603, "message": "Internal error"}, True),
        ("odd", False),
    ],
    ids=["geth", "ganache", "a revert that talks of limits", "no such method", "inside", "a text"],
)
def test_an_error_about_one_question_is_its_answer(error, passing):
    said = judge(error, "https://rpc.example")
    assert isinstance(said, Refused)
    assert said.passing is passing


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: web.Response(text="<html>blocked</html>", content_type="text/html"),
        lambda _: web.Response(text=""),
        lambda _: "done",
        lambda _: None,
        lambda _: 17,
        lambda _: {},
        lambda _: [],
        lambda _: [1, 2, 3],
        lambda asked: [echo(one) for one in asked[1:]] if isinstance(asked, list) else {},
    ],
    ids=["a page", "nothing", "a text", "null", "a number", "an object", "an empty list", "numbers", "one missing"],
)
async def test_what_is_no_json_rpc_answer_is_malformed(serve, session, answer):
    url, _ = await serve(answer)
    with pytest.raises(Malformed):
        await ask(session, url, THREE)


@pytest.mark.parametrize("status", [200, 401, 404, 429, 500, 302])
async def test_a_key_in_the_address_is_in_no_error(serve, session, status):
    key = "0123456789abcdef0123456789abcdef"
    url, _ = await serve(lambda _: web.Response(status=status, text=f"Cannot POST /v3/{key}"))
    with pytest.raises((Malformed, Unauthorized, Unreachable, RateLimited)) as caught:
        await ask(Discreet(session), f"{url}v3/{key}?apikey={key}", THREE)
    assert key not in str(caught.value)
    assert key not in repr(caught.value.__context__)  # a traceback would show it
    assert "127.0.0.1" in str(caught.value)


async def test_a_discreet_error_keeps_its_kind_and_its_wait():
    class Slow:
        async def request(self, method, url, **_):
            raise TimedOut(f"{url} did not answer in time")

    class Limited:
        async def request(self, method, url, **_):
            raise RateLimited(f"{url} answered HTTP 429", 7.0)

    with pytest.raises(TimedOut, match=r"https://rpc\.example did not"):
        await Discreet(Slow()).request("POST", "https://user:pass@rpc.example/v2/abcdefghijklmnopq")
    with pytest.raises(RateLimited) as caught:
        await Discreet(Limited()).request("POST", "https://rpc.example/v2/abcdefghijklmnopq")
    assert caught.value.retry_after == 7.0
