"""Redirects are followed; a credential stays with the server that it was meant for."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from exporters.errors import Malformed
from exporters.session import HttpSession


@pytest.fixture
async def seen():
    """Headers that came in at the other server."""
    return []


@pytest.fixture
async def other(aiohttp_server, seen):
    async def answer(request):
        seen.append(dict(request.headers))
        return web.json_response({"from": "the other"})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    return await aiohttp_server(app)


@pytest.fixture
async def server(aiohttp_server, other):
    ways = {"/away": str(other.make_url("/there")), "/slash": "/slash/", "/circle": "/circle", "/odd": "mailto:me"}

    async def send_on(request):
        to = ways.get(request.path)
        return web.Response(status=302, headers={"Location": to} if to else {})

    async def answer(request):
        return web.json_response({"key": request.headers.get("X-Api-Key")})

    app = web.Application()
    app.router.add_get("/slash/", answer)
    app.router.add_route("*", "/{rest:.*}", send_on)
    return await aiohttp_server(app)


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as client:
        yield HttpSession(client)


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key", "Cookie"])
async def test_a_credential_is_not_handed_on_to_another_server(server, session, seen, header):
    with pytest.raises(Malformed, match="a credential is not handed on; write the address that is meant"):
        await session.request("GET", str(server.make_url("/away")), headers={header: "12345678"})
    assert seen == []


async def test_without_a_credential_a_redirect_is_followed_anywhere(server, session, seen):
    answer = await session.request("GET", str(server.make_url("/away")), headers={"Accept": "application/json"})
    assert answer.json() == {"from": "the other"}
    assert len(seen) == 1


async def test_within_the_server_it_is_followed_with_the_credential(server, session):
    answer = await session.request("GET", str(server.make_url("/slash")), headers={"X-Api-Key": "1234567"})
    assert answer.json() == {"key": "1234567"}


async def test_what_is_posted_with_a_credential_is_not_sent_on(server, session):
    with pytest.raises(Malformed, match="is not handed on"):
        await session.request("POST", str(server.make_url("/slash")), headers={"X-Api-Key": "1234567"}, json={})


@pytest.mark.parametrize(
    ("path", "words"),
    [("/bare", "answered HTTP 302"), ("/circle", "sends on more than 10 times"), ("/odd", "is not an address that can be asked")],
    ids=["no place", "circle", "no address"],
)  # fmt: skip
async def test_a_redirect_to_nowhere_is_refused_in_words(server, session, path, words):
    with pytest.raises(Malformed, match=words):
        await session.request("GET", str(server.make_url(path)), headers={"X-Api-Key": "1234567"})
