"""The one way in which orcha asks over HTTP: every answer is bounded in time and size, every failure has its name.

`fetch` of each protocol gets a `Session` and never touches aiohttp itself, so that errors are classified in one room
and the simulator can stand in for the network in-process (simulator/inprocess.py).
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import aiohttp
from yarl import URL

from exporters.errors import Malformed, PollError, RateLimited, TimedOut, Unauthorized, Unreachable

MAX_BODY: Final = 8 * 2**20
"""Bytes read of one answer. The largest real one seen (a Storj month over all satellites) is under 200 kB."""
_QUOTE = 120
_SECRET: Final = 4
"""Characters from which on a word of a header may be a secret; shorter ones are found by chance."""
_LONG_SECRET: Final = 8
"""The same in an answer that is used: its figures must not be spoiled by a short word that stands there by chance."""
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_REDIRECTS: Final = 10
_CREDENTIAL: Final = re.compile("(?i)auth|key|token|secret|cookie|session")
"""Names of headers that carry one."""
_address = functools.lru_cache(maxsize=2**14)(URL)
"""The same addresses are asked again and again; taking one apart is a good part of a request on loopback."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, whole."""

    url: str
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    """To be asked by names in lower case: some sessions give names that have no case."""

    @property
    def content_type(self) -> str:
        return _kind(self.headers.get("content-type", ""))

    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The body as JSON. Raises Malformed where it is a page or no JSON, whatever its status said."""
        if self.content_type == "text/html" or self.body[:1] == b"<":
            raise Malformed(f"{self.url} answered a web page, not JSON; check the endpoint's address and path")
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as exc:
            raise Malformed(f"{self.url} answered no JSON: {quote(self.body)}") from exc


@functools.lru_cache(maxsize=256)
def _kind(content_type: str) -> str:
    """Of "text/html; charset=utf-8" what comes before the parameters."""
    return content_type.split(";", maxsplit=1)[0].strip().lower()


class Session(Protocol):
    """What `fetch` may use."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        ok: tuple[int, ...] = (200,),
    ) -> Answer:
        """Ask once. Statuses in `ok` come back as an Answer; every other one raises its PollError:
        401 and 403 with a web page Unreachable (a proxy blocks), else Unauthorized; 429 RateLimited; 5xx Unreachable;
        the rest Malformed.
        """
        ...


def quote(body: bytes | str) -> str:
    """The beginning of a body for a message, on one line; "an empty body" where it is empty."""
    words = body[: 4 * _QUOTE].decode("utf-8", errors="replace") if isinstance(body, bytes) else body
    words = " ".join(words.split())
    return repr(words[:_QUOTE] + ("…" if len(words) > _QUOTE else "")) if words else "an empty body"


def refuse(answer: Answer) -> PollError:
    """The error that a status outside `ok` stands for."""
    said = f"{answer.url} answered HTTP {answer.status}"
    page = answer.content_type == "text/html" or answer.body[:1] == b"<"
    if answer.status in {401, 403}:
        if page:
            return Unreachable(
                f"{said} with a web page: a proxy in between blocks the request, the credential was not judged"
            )
        return Unauthorized(f"{said} ({quote(answer.body)}): check the credential file of this workload")
    if answer.status == 429:
        wait = answer.headers.get("retry-after", "")
        return RateLimited(f"{said}: asked too often", float(wait) if wait.isdecimal() else None)
    if answer.status >= 500:
        return Unreachable(f"{said}: {'a web page' if page else quote(answer.body)}")
    return Malformed(
        f"{said}: {'a web page' if page else quote(answer.body)}; check the endpoint's address and version"
    )


def in_words(exc: Exception) -> str:
    """Why there is no answer, and what to look at."""
    match exc:
        case aiohttp.ClientConnectorDNSError():
            return "its host name is not known here; check the address"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted here; renew it, or let this machine trust who signed it"
        case aiohttp.ClientSSLError():
            return "it does not speak TLS; write http:// instead of https://"
        case aiohttp.ClientConnectorError() if isinstance(exc.os_error, ConnectionRefusedError):
            return "nothing listens there; is it running, and is the port right?"
        case aiohttp.ClientConnectorError():
            return f"there is no way to it ({exc.os_error.strerror or type(exc.os_error).__name__}); check the network"
        case aiohttp.ServerDisconnectedError() | ConnectionError():
            return "it hung up without an answer"
        case aiohttp.ClientPayloadError() | asyncio.IncompleteReadError():
            return "it broke off in the middle of its answer"
    return f"{type(exc).__name__}; does it speak HTTP?"


class HttpSession:
    """`Session` over one shared aiohttp session. The bound on time is the caller's (collector.look)."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        ok: tuple[int, ...] = (200,),
    ) -> Answer:
        try:
            response = await self._response(method, url, headers or {}, json)
            answer = Answer(url, response.status, await _body_of(response, url), response.headers)
        except TimeoutError as exc:
            raise TimedOut(f"{url} did not answer in time") from exc
        except (aiohttp.InvalidURL, ValueError) as exc:
            raise Malformed(f"{url!r} is not an address that can be asked; write http://HOST:PORT") from exc
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as exc:
            raise Unreachable(f"{url} cannot be reached: {in_words(exc)}") from exc
        if answer.status not in ok:
            raise refuse(_without(answer, headers or {}, at_least=_SECRET))
        return _without(answer, {name: value for name, value in (headers or {}).items() if _CREDENTIAL.search(name)})

    async def _response(self, method: str, url: str, headers: Mapping[str, str], json: Any) -> aiohttp.ClientResponse:
        """What comes after redirects. With a secret in the headers they are followed within the server only: aiohttp keeps no
        header back from another one but Authorization.
        """
        at, secret = _address(url), any(_CREDENTIAL.search(name) for name in headers)
        for _ in range(_REDIRECTS):
            response = await self._client.request(
                method, at, headers=headers, json=json, allow_redirects=not secret, max_redirects=_REDIRECTS
            )
            if not secret or response.status not in _MOVED or "Location" not in response.headers:
                return response
            response.release()
            there = at.join(URL(response.headers["Location"]))
            if there.origin() != at.origin() or method != "GET":
                raise Malformed(
                    f"{url} sends on to {there.origin()}, and a credential is not handed on; write the address that is meant"
                )
            at = there
        raise Malformed(f"{url} sends on more than {_REDIRECTS} times; check the address")


def _without(answer: Answer, headers: Mapping[str, str], at_least: int = _LONG_SECRET) -> Answer:
    """The answer with what we sent in headers taken out: some servers say the credential back, and what cannot be read
    of an answer is quoted in messages.
    """
    body = answer.body
    for value in headers.values():
        for word in (value, value.split(" ")[-1]):
            body = body.replace(word.encode(), b"***") if len(word) >= at_least else body
    return answer if body is answer.body else replace(answer, body=body)


async def _body_of(response: aiohttp.ClientResponse, url: str) -> bytes:
    """The whole body, at most MAX_BODY. The connection is free again once it is read, and closed if it is not."""
    said = response.content_length
    if said is not None and said <= MAX_BODY and not _is_packed(response):
        return await response.read()  # which does all that
    parts, size = [], 0
    async with response:
        async for part in response.content.iter_any():
            size += len(part)
            if size > MAX_BODY:
                response.close()
                raise Malformed(
                    f"{url} answered more than {MAX_BODY // 2**20} MiB; this is not the API that was expected"
                )
            parts.append(part)
    return b"".join(parts)


def _is_packed(response: aiohttp.ClientResponse) -> bool:
    """Whether the body grows while it is read, so that its length says nothing."""
    return "Content-Encoding" in response.headers
