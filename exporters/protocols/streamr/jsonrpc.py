"""JSON-RPC 2.0 over HTTP as public Ethereum endpoints really speak it: many questions in one POST where that is accepted.

Errors come with HTTP 200. Those that are about the whole endpoint (too fast, no key, its backend is down) are raised by
their name in `errors.py`; one that is about a single question (a revert, an unknown method) is that question's answer:
`Refused`. Keys stand in the path of such endpoints, so `Discreet` keeps addresses out of every message.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from exporters.errors import Malformed, PollError, RateLimited, Unauthorized, Unreachable
from exporters.session import Answer, Session, quote

PARALLEL: Final = 4
"""Single questions at once where an endpoint takes no batches."""
_NO_BATCH: Final = (400, 403, 404, 405, 413, 415, 422, 500, 501)
"""Statuses with which endpoints refuse a batch; the single question that follows says whether it was that."""
_TOO_FAST: Final = frozenset({-32005, -32016, -32029, -32090, -32097})
_TOO_FAST_WORDS = re.compile(
    r"rate.?limit|too many requests|limit exceeded|compute units|quota|throughput", re.IGNORECASE
)
_KEY_WORDS = re.compile(r"unauthori[sz]ed|authenticat|api.?key|project id|forbidden|access token", re.IGNORECASE)
_DOWN_WORDS = re.compile(
    r"header not found|missing trie node|unknown block|backend|upstream|timeout|timed out|unavailable", re.IGNORECASE
)
_WAIT = re.compile(r"(?:retry|try again) (?:in|after) (\d{1,5}) ?s", re.IGNORECASE)
_SECRET_LENGTH: Final = 16
"""A part of a path or query from this length on may be a key."""
_HIDDEN: Final = "(hidden)"


@dataclass(frozen=True, slots=True)
class Question:
    method: str
    params: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The error that one question got."""

    message: str
    passing: bool = False
    """The endpoint failed inside, rather than judged the question."""


class Discreet:
    """A `Session` that names only the origin of an address (https://host), in answers and in errors: the rest may hold
    a key.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        ok: tuple[int, ...] = (200,),
    ) -> Answer:
        error: PollError | None = None
        try:
            answer = await self._session.request(method, url, headers=headers, json=json, ok=ok)
        except PollError as exc:
            error = _without_keys(exc, url)
        if error is not None:  # raised out here, so that the chain does not hold the first one with its address
            raise error
        body = answer.body
        for word in _secrets(url):
            body = body.replace(word.encode(), _HIDDEN.encode())
        return replace(answer, url=origin(url), body=body)


def origin(url: str) -> str:
    """scheme://host:port of an address, without user, path and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _secrets(url: str) -> list[str]:
    """The words of an address that may be keys."""
    parts = urlsplit(url)
    return [word for word in re.split(r"[/?&=]", f"{parts.path}?{parts.query}") if len(word) >= _SECRET_LENGTH]


def _without_keys(error: PollError, url: str) -> PollError:
    message = str(error).replace(url, origin(url))
    for word in _secrets(url):
        message = message.replace(word, _HIDDEN)
    if isinstance(error, RateLimited):
        return RateLimited(message, error.retry_after)
    return type(error)(message)


async def ask(session: Session, url: str, questions: Mapping[str, Question], *, batch: bool = True) -> dict[str, Any]:
    """Every question's result, or its `Refused`, under its name. One POST where the endpoint takes batches, else one for
    each, `PARALLEL` at once. Raises PollError for what concerns the endpoint as a whole.
    """
    if not questions:
        return {}
    if batch and len(questions) > 1:
        answers = await _together(session, url, questions)
        if answers is not None:
            return answers
    return await _one_by_one(session, url, questions)


async def _together(session: Session, url: str, questions: Mapping[str, Question]) -> dict[str, Any] | None:
    """None: the endpoint takes no batches."""
    body = [_body(number, question) for number, question in enumerate(questions.values(), start=1)]
    answer = await session.request("POST", url, json=body, ok=(200, *_NO_BATCH))
    if answer.status != 200:
        return None
    said = answer.json()
    if isinstance(said, dict):
        judge(said.get("error"), answer.url)
        return None
    return _sorted_out(said, questions, answer.url)


def _sorted_out(said: Any, questions: Mapping[str, Question], where: str) -> dict[str, Any]:
    """Answers to a batch may come in any order; each names its question by id."""
    if not isinstance(said, list):
        raise Malformed(f"{where} answered a batch with {quote(str(said))}; this is no JSON-RPC endpoint")
    by_id = {str(item.get("id")): item for item in said if isinstance(item, dict)}
    for item in by_id.values():  # too fast or no key: some say so in one item, some without its id
        judge(item.get("error"), where)
    found = {name: by_id.get(str(number)) for number, name in enumerate(questions, start=1)}
    return {name: _result(item, where) for name, item in found.items()}


async def _one_by_one(session: Session, url: str, questions: Mapping[str, Question]) -> dict[str, Any]:
    gate = asyncio.Semaphore(PARALLEL)

    async def one(question: Question) -> Any:
        async with gate:
            answer = await session.request("POST", url, json=_body(1, question))
        return _result(answer.json(), answer.url)

    first, *others = questions
    results = {first: await one(questions[first])}  # a dead endpoint is asked once, not thirty times
    results.update(zip(others, await _all(one(questions[name]) for name in others), strict=True))
    return results


async def _all(work: Any) -> list[Any]:
    """Gathered; the first failure ends the rest."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _body(number: int, question: Question) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": question.method, "params": list(question.params)}


def _result(item: Any, where: str) -> Any:
    if not isinstance(item, dict) or not ({"result", "error"} & item.keys()):
        raise Malformed(f"{where} left a question without a JSON-RPC answer: {quote(str(item))}")
    if item.get("error") is not None:
        return judge(item["error"], where)
    return item.get("result")


def judge(error: Any, where: str) -> Refused:
    """What one JSON-RPC error stands for: raised where it concerns the endpoint as a whole, else Refused.

    Codes and words as seen at geth, bor, Infura, Alchemy, Ankr and dRPC; providers agree on nothing but these.
    """
    code, message = (
        (error.get("code"), str(error.get("message", ""))) if isinstance(error, dict) else (None, str(error))
    )
    said = f"{where} refused: {quote(message)}"
    if error is None or code == 3 or "revert" in message.lower():  # 3: geth's "execution reverted"
        return Refused(message)
    if code in _TOO_FAST or _TOO_FAST_WORDS.search(message):
        raise RateLimited(said, _wait(error, message))
    if _KEY_WORDS.search(message):
        raise Unauthorized(f"{said}; check the endpoint's key (credentials rpcUrlFile)")
    if _DOWN_WORDS.search(message):
        raise Unreachable(said)
    return Refused(message, passing=code == -32603)


def _wait(error: Any, message: str) -> float | None:
    """Seconds: Infura's data.rate.backoff_seconds, or "retry in 10s" in the words."""
    data = error.get("data") if isinstance(error, dict) else None
    rate = data.get("rate", data) if isinstance(data, dict) else None
    seconds = rate.get("backoff_seconds") if isinstance(rate, dict) else None
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < 86400:
        return float(seconds)
    words = _WAIT.search(message)
    return float(words[1]) if words else None
