"""The driver that posts: what it says, signed, how often, and what an answer means."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from email.utils import formatdate
from types import SimpleNamespace

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from controller.actuate import webhook
from controller.actuate.driver import NotNow, Refused
from controller.actuate.webhook import Webhook
from controller.programs import Order
from exporters.nodes import Webhook as Spec

SECRET = "correct horse battery staple"
KEY = "rack-1/golem"
NOW = 1787184060.25
ORDER = Order(KEY, {"cpu": 6.0, "memory": 9 * 2.0**30}, "p-1/rack-1/golem/forward", "golem grows", {"cpu": 0.1 + 0.2})


class HandClock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = NOW, []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
async def hook(aiohttp_server, secret_file):
    """A receiver that gives the answers it is told to, the last one for ever; and a driver that talks to it."""
    said = SimpleNamespace(answers=[web.Response], requests=[], clock=HandClock())

    async def answer(request: web.Request) -> web.StreamResponse:
        said.requests.append(
            SimpleNamespace(headers=request.headers.copy(), body=await request.read(), path=request.path)
        )
        make: Callable[[], web.Response] = said.answers[min(len(said.requests), len(said.answers)) - 1]
        return make()

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    server = await aiohttp_server(app)
    said.url = str(server.make_url("/hook/s3cret-path"))
    said.driver = Webhook(KEY, Spec(url=said.url, secret_file=str(secret_file)), said.clock)
    yield said
    await said.driver.close()


def answer(code: int = 200, headers: dict[str, str] | None = None, **body: str) -> Callable[[], web.Response]:
    return lambda: web.json_response(body, status=code, headers=headers)


# --- what it says ------------------------------------------------------------------------------------------------------


async def test_one_post_says_what_the_workload_is_to_have(hook):
    await hook.driver.apply(ORDER)
    (request,) = hook.requests
    assert json.loads(request.body) == {
        "version": 1,
        "action": "apply",
        "workload": KEY,
        "amounts": {"cpu": 6, "memory": 9663676416},
        "previous": {"cpu": 0.3},
        "token": "p-1/rack-1/golem/forward",
        "reason": "golem grows",
        "at": "2026-08-20T00:01:00.250Z",
    }
    assert b'"cpu":6,' in request.body
    assert request.headers["Idempotency-Key"] == ORDER.token
    assert request.headers["Content-Type"] == "application/json"
    assert request.path == "/hook/s3cret-path"


async def test_the_signature_covers_the_time_and_the_body(hook):
    await hook.driver.apply(ORDER)
    (request,) = hook.requests
    stamp = request.headers["X-Orcha-Timestamp"]
    assert stamp == "1787184060"
    expected = hmac.new(SECRET.encode(), f"{stamp}.".encode() + request.body, hashlib.sha256).hexdigest()
    assert request.headers["X-Orcha-Signature"] == f"sha256={expected}"


async def test_a_secret_is_read_anew_at_each_call(hook, secret_file):
    await hook.driver.apply(ORDER)
    secret_file.write_text("another secret of some length")
    await hook.driver.apply(ORDER)
    one, two = (request.headers["X-Orcha-Signature"] for request in hook.requests)
    assert hook.requests[0].body == hook.requests[1].body
    assert one != two


async def test_an_undo_tells_the_old_amounts(hook):
    assert await hook.driver.read() == {}
    await hook.driver.undo(Order(KEY, {"cpu": 4.0}, "p-1/rack-1/golem/back"), {})
    told = json.loads(hook.requests[0].body)
    assert (told["action"], told["amounts"]) == ("undo", {"cpu": 4})
    assert hook.requests[0].headers["Idempotency-Key"] == "p-1/rack-1/golem/back"


async def test_an_amount_that_cannot_be_is_not_sent(hook):
    with pytest.raises(Refused, match="cannot be; an amount is zero or more"):
        await hook.driver.apply(Order(KEY, {"cpu": float("nan")}, "t"))
    assert hook.requests == []


# --- what an answer means ----------------------------------------------------------------------------------------------

FINE = {
    "empty": lambda: web.Response(status=204),
    "words": lambda: web.Response(text="ok"),
    "another-status": answer(status="ok"),
    "done": answer(202, status="done"),
    "pending": answer(202, status="pending"),
    "list": lambda: web.json_response([1]),
    "deep": lambda: web.Response(text="[" * 60_000),
}


@pytest.mark.parametrize("given", FINE.values(), ids=FINE.keys())
async def test_a_success_is_one_whatever_its_body(hook, given):
    hook.answers = [given]
    await hook.driver.apply(ORDER)
    assert len(hook.requests) == 1


REFUSED = {
    "refused": (answer(status="refused", message="rack-1 is being repaired"), "refuses: rack-1 is being repaired$"),
    "refused-without-why": (answer(status="refused"), "refuses: it does not say why"),
    "client-error": (answer(422, message="no such workload"), "answered HTTP 422: no such workload"),
    "unsigned": (answer(401), "answered HTTP 401$"),
    "nowhere": (answer(404), "answered HTTP 404$"),
    "not-implemented": (answer(501), "answered HTTP 501$"),
    "redirect": (answer(307, {"Location": "http://127.0.0.1:1/x"}), "HTTP 307, which sends elsewhere; write the final address"),
    "large": (lambda: web.Response(text="x" * 100_000), "more than 64 kB; answer nothing, or a short JSON"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_refusal_is_final(hook, given, expected):
    hook.answers = [given]
    with pytest.raises(Refused, match=expected):
        await hook.driver.apply(ORDER)
    assert len(hook.requests) == 1


async def test_messages_are_cut_printable_and_without_secrets(hook):
    hook.answers = [answer(status="refused", message=f"you sent {SECRET}\x1b[31m\n" + "y" * 5000)]
    with pytest.raises(Refused) as told:
        await hook.driver.apply(ORDER)
    sentence = str(told.value)
    assert sentence.isprintable()
    assert len(sentence) < 400
    assert "you sent ***" in sentence
    assert SECRET not in sentence
    assert "s3cret-path" not in sentence


# --- what is tried again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 503])
async def test_what_is_busy_is_told_the_same_again(hook, status):
    hook.answers = [answer(status), answer(status), answer(200)]
    await hook.driver.apply(ORDER)
    assert len({request.body for request in hook.requests}) == 1
    assert len(hook.requests) == 3
    assert hook.clock.slept == [0.5, 1.0]


async def test_it_gives_up_within_its_time(hook):
    hook.answers = [answer(503)]
    with pytest.raises(NotNow, match=r"the webhook at 127\.0\.0\.1:\d+ answered HTTP 503$"):
        await hook.driver.apply(ORDER)
    assert sum(hook.clock.slept) < webhook.TIME
    assert max(hook.clock.slept) == webhook.LONGEST_PAUSE


@pytest.mark.parametrize("after", ["7", formatdate(NOW + 7.75, usegmt=True)], ids=["seconds", "date"])
async def test_it_waits_as_long_as_it_is_asked_to(hook, after):
    hook.answers = [answer(429, {"Retry-After": after}), answer(200)]
    await hook.driver.apply(ORDER)
    assert hook.clock.slept[0] == pytest.approx(7, abs=1)


async def test_a_wait_beyond_its_time_is_left_to_a_later_try(hook):
    hook.answers = [answer(429, {"Retry-After": "3600"})]
    with pytest.raises(NotNow, match="HTTP 429"):
        await hook.driver.apply(ORDER)
    assert hook.clock.slept == []


@pytest.mark.parametrize("after", ["soon", "-5", "9" * 40, ""])
async def test_a_wait_that_means_nothing_is_left_out(hook, after):
    hook.answers = [answer(503, {"Retry-After": after}), answer(200)]
    await hook.driver.apply(ORDER)
    assert hook.clock.slept == [0.5]


async def test_where_nothing_listens_is_tried_again_and_said(secret_file, free_port):
    clock = HandClock()
    driver = Webhook(KEY, Spec(url=f"http://127.0.0.1:{free_port()}/s3cret-path", secret_file=str(secret_file)), clock)
    with pytest.raises(NotNow, match="cannot be reached: nothing listens there") as told:
        await driver.apply(ORDER)
    assert len(clock.slept) > 3
    assert "s3cret-path" not in str(told.value)
    await driver.close()


class HangsUp(web.Response):
    async def prepare(self, request: web.BaseRequest) -> None:
        request.transport.close()


async def test_what_hangs_up_is_tried_again(hook):
    hook.answers = [HangsUp, answer(200)]
    await hook.driver.apply(ORDER)
    assert len(hook.requests) == 2


async def test_what_never_answers_is_given_up(aiohttp_server, secret_file):
    arrived, over = [], asyncio.Event()

    async def never(request: web.Request) -> web.StreamResponse:
        arrived.append(await request.read())
        await over.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", never)
    server = await aiohttp_server(app)
    driver = Webhook(KEY, Spec(url=str(server.make_url("/")), secret_file=str(secret_file)), HandClock(), 0.4)
    with pytest.raises(NotNow, match="did not answer within"):
        await driver.apply(ORDER)
    assert len(arrived) == 1
    over.set()
    await driver.close()


# --- verify ------------------------------------------------------------------------------------------------------------


async def test_a_look_asks_with_the_token_but_without_the_key_of_the_effect(hook):
    assert await hook.driver.verify(ORDER) is None
    told = json.loads(hook.requests[0].body)
    assert (told["action"], told["token"]) == ("verify", ORDER.token)
    assert "Idempotency-Key" not in hook.requests[0].headers
    assert not hook.driver.conclusive


async def test_what_is_pending_is_said(hook):
    hook.answers = [
        answer(status="pending", message="a restart is due"),
        answer(status="pending"),
        answer(status="done"),
    ]
    assert await hook.driver.verify(ORDER) == "a restart is due"
    assert await hook.driver.verify(ORDER) == "its webhook says that it is pending"
    assert await hook.driver.verify(ORDER) is None


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_who_cannot_say_is_not_asked_for_more(hook, status):
    hook.answers = [answer(status)]
    assert await hook.driver.verify(ORDER) is None


async def test_a_refusal_afterwards_is_one(hook):
    hook.answers = [answer(status="refused", message="it did not start")]
    with pytest.raises(Refused, match="it did not start"):
        await hook.driver.verify(ORDER)


# --- check -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 404, 405, 422, 501])
async def test_who_answers_can_be_reached(hook, status):
    hook.answers = [answer(status)]
    assert await hook.driver.check() == ()
    assert json.loads(hook.requests[0].body)["action"] == "check"
    assert "Idempotency-Key" not in hook.requests[0].headers


UNFIT = {
    "signature": (answer(403), "HTTP 403: is the secret in"),
    "refused": (answer(status="refused", message="not this rack"), "refuses: not this rack"),
    "redirect": (answer(302, {"Location": "/x"}), "sends elsewhere"),
    "broken": (answer(500), "HTTP 500"),
}


@pytest.mark.parametrize(("given", "expected"), UNFIT.values(), ids=UNFIT.keys())
async def test_the_check_says_what_would_keep_a_change_from_working(hook, given, expected):
    hook.answers = [given]
    (problem,) = await hook.driver.check()
    assert expected in problem


NO_SECRET = {
    "missing": (lambda path: path.unlink(), "does not exist; create it, readable only by orcha"),
    "empty": (lambda path: path.write_text(" \n"), "is empty; put the secret into it"),
    "directory": (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
}


@pytest.mark.parametrize(("spoil", "expected"), NO_SECRET.values(), ids=NO_SECRET.keys())
async def test_without_its_secret_nothing_is_sent(hook, secret_file, spoil, expected):
    spoil(secret_file)
    (problem,) = await hook.driver.check()
    assert expected in problem
    with pytest.raises(Refused, match=expected):
        await hook.driver.apply(ORDER)
    assert hook.requests == []


async def test_what_is_only_unwise_is_logged_once(hook, secret_file):
    secret_file.write_text("short")
    secret_file.chmod(0o644)
    with capture_logs() as logged:
        assert await hook.driver.check() == ()
        assert await hook.driver.check() == ()
    warnings = [
        entry["event"] for entry in logged if entry["log_level"] == logging.getLevelName(logging.WARNING).lower()
    ]
    assert len(warnings) == 2
    assert "chmod 600" in warnings[0]
    assert "short secret" in warnings[1]


async def test_an_address_that_is_not_encrypted_is_logged(secret_file):
    driver = Webhook(KEY, Spec(url="http://nas.invalid/hook", secret_file=str(secret_file)), HandClock())
    with capture_logs() as logged:
        driver._warn()
    assert "is not https" in logged[0]["event"]


async def test_closing_is_always_possible(secret_file):
    driver = Webhook(KEY, Spec(url="https://h.invalid/", secret_file=str(secret_file)), HandClock())
    await driver.close()
