"""The driver `webhook`: posts what a workload is to have, signed, to an address of the owner's.

One POST for each effect, {"version": 1, "action": "apply" | "undo", "workload", "amounts", "previous", "token", "reason",
"at"}, with the header Idempotency-Key: the token. It is sent again where nothing answered, and by the next start of orcha
where this one was killed: whoever receives it does the same token once, and compares nothing else of the body.

Authentic is what X-Orcha-Signature says: "sha256=" and the hex HMAC-SHA256, by the secret, of X-Orcha-Timestamp, a dot and the
body. The secret is read at each call, so that it can be changed without a restart, and shown nowhere; of the address only
the host is shown, for paths of webhooks are often secrets too.

A 2xx is success whatever its body, except {"status": "refused", "message": …}. 408, 409, 425, 429 and 5xx are tried again
within the driver's time, then NotNow; redirects and everything else are Refused. "verify" asks whether it is done
({"status": "done" | "pending" | "refused"}; 404, 405 and 501: it cannot say), "check" whether it could be.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import structlog
from yarl import URL

from controller.actuate.driver import DriverError, NotNow, Refused
from controller.programs import Order
from exporters import __version__
from exporters.clock import Clock
from exporters.doors import is_loopback
from exporters.nodes import Webhook as Spec
from exporters.placeholders import CannotFill, words_of
from exporters.quantity import format_duration

log = structlog.get_logger("orcha.actuate")

TIME: Final = 60.0
"""Seconds for one effect, with all that is tried again."""
ONE_TRY: Final = 20.0
CHECK: Final = 10.0
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 8.0
"""Seconds between tries: twice as long each time, or as long as Retry-After says."""
MAX_BODY: Final = 64 * 2**10
SHOWN: Final = 300
SHORTEST_SECRET: Final = 16
"""Characters; a shorter one is guessed from a single signature."""
_BUSY: Final = frozenset({408, 409, 425, 429})
_CANNOT_SAY: Final = frozenset({404, 405, 501})


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    retry_after: str = ""

    @property
    def is_fine(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_busy(self) -> bool:
        return self.status in _BUSY or (self.status >= 500 and self.status not in {501, 505})

    def word(self) -> str:
        """Its `status`, "" where it says none."""
        said = self._said().get("status")
        return said if isinstance(said, str) else ""

    def message(self) -> str:
        said = self._said().get("message")
        plain = "".join(c if c.isprintable() else " " for c in said).strip() if isinstance(said, str) else ""
        return plain if len(plain) <= SHOWN else plain[: SHOWN - 1] + "…"

    def _said(self) -> Mapping[str, Any]:
        try:
            said = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return said if isinstance(said, dict) else {}


@dataclass(frozen=True, slots=True)
class _Again:
    """A try that came to nothing."""

    why: str
    after: float = 0.0
    """Seconds that the other side asks to wait."""


class Webhook:
    """Tells one address of the changes of one workload. `time`: seconds for each effect."""

    name = "webhook"
    conclusive = False
    reversible = True

    def __init__(self, key: str, spec: Spec, clock: Clock, time: float = TIME) -> None:
        self._key, self._spec, self._clock, self._time = key, spec, clock, time
        self._client: aiohttp.ClientSession | None = None
        self._warned = False
        self._url = URL(spec.url)
        self._at = f"the webhook at {self._url.host}:{self._url.port}"

    async def check(self) -> tuple[str, ...]:
        """Whether it can sign, and is heard. What is only unwise is logged, once: it keeps no change from working."""
        self._warn()
        try:
            answer = await self._post("check", Order(self._key, {}, f"check/{self._key}"), min(CHECK, self._time))
            if answer.status in {401, 403}:
                file = self._spec.secret_file
                return (f"{self._at} answered HTTP {answer.status}: is the secret in {file} the one that it knows?",)
            if answer.is_fine or answer.status < 400:
                self._refuse(answer)
        except DriverError as exc:
            return (str(exc),)
        return ()

    async def read(self) -> Mapping[str, Any]:
        """Nothing: it is told, never asked what stands. An undo tells the old amounts."""
        return {}

    async def apply(self, order: Order) -> None:
        await self._tell("apply", order)

    async def verify(self, order: Order) -> str | None:
        answer = await self._post("verify", order, self._time)
        if answer.status in _CANNOT_SAY:
            return None
        self._refuse(answer)
        return (answer.message() or "its webhook says that it is pending") if answer.word() == "pending" else None

    async def undo(self, order: Order, stood: Mapping[str, Any]) -> None:  # noqa: ARG002 it keeps nothing of what stood
        await self._tell("undo", order)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _tell(self, action: str, order: Order) -> None:
        self._refuse(await self._post(action, order, self._time))

    def _refuse(self, answer: _Answer) -> None:
        """Raises Refused unless it is a success."""
        if 300 <= answer.status < 400:
            raise Refused(self._elsewhere(answer))
        said = answer.message()
        if not answer.is_fine:
            raise Refused(f"{self._at} answered HTTP {answer.status}" + (f": {said}" if said else ""))
        if answer.word() == "refused":
            raise Refused(f"{self._at} refuses: {said or 'it does not say why'}")

    def _elsewhere(self, answer: _Answer) -> str:
        return f"{self._at} answered HTTP {answer.status}, which sends elsewhere; write the final address under url"

    async def _post(self, action: str, order: Order, within: float) -> _Answer:
        """Signed once, and sent until it is answered or the time is over. Raises Refused, NotNow."""
        secret, body = self._secret(), self._body(action, order)
        headers = self._headers(secret, body)
        if action in {"apply", "undo"}:
            headers["Idempotency-Key"] = order.token
        until, pause = self._clock.monotonic() + within, FIRST_PAUSE
        while True:
            left = until - self._clock.monotonic()
            answer = await self._try(body, headers, max(0.001, min(ONE_TRY, left)))
            if isinstance(answer, _Answer) and not answer.is_busy:
                return replace(answer, body=answer.body.replace(secret, b"***")) if len(secret) > 3 else answer
            again = self._busy(answer) if isinstance(answer, _Answer) else answer
            wait = max(pause, again.after)
            if self._clock.monotonic() + wait >= until:
                raise NotNow(again.why)
            await self._clock.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _try(self, body: bytes, headers: Mapping[str, str], seconds: float) -> _Answer | _Again:
        if self._client is None:
            connector = aiohttp.TCPConnector(limit=2, force_close=True)
            limit = aiohttp.ClientTimeout(total=None)
            self._client = aiohttp.ClientSession(
                connector=connector, timeout=limit, cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.post(self._url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                told = await self._read(response)
                return _Answer(response.status, told, response.headers.get("Retry-After", ""))
        except TimeoutError:
            return _Again(f"{self._at} did not answer within {format_duration(seconds)}")
        except (aiohttp.InvalidURL, ValueError) as exc:
            raise Refused(f"{self._at} cannot be asked; write url as https://HOST/PATH") from exc
        except (aiohttp.ClientError, OSError) as exc:
            return _Again(f"{self._at} cannot be reached: {_why(exc)}")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        told = bytearray()
        async for part in response.content.iter_any():
            told += part
            if len(told) > MAX_BODY:
                raise Refused(f"{self._at} answered more than {MAX_BODY // 1024} kB; answer nothing, or a short JSON")
        return bytes(told)

    def _busy(self, answer: _Answer) -> _Again:
        return _Again(f"{self._at} answered HTTP {answer.status}", self._seconds(answer.retry_after))

    def _seconds(self, retry_after: str) -> float:
        """Of a Retry-After, which is a number of seconds or a date; 0 for anything else."""
        if retry_after.isdecimal() and len(retry_after) < 10:
            return float(retry_after)
        try:
            return max(0.0, parsedate_to_datetime(retry_after).timestamp() - self._clock.time())
        except (ValueError, TypeError, OverflowError):
            return 0.0

    def _body(self, action: str, order: Order) -> bytes:
        at = datetime.fromtimestamp(self._clock.time(), UTC).isoformat(timespec="milliseconds")
        told = {
            "version": 1,
            "action": action,
            "workload": self._key,
            "amounts": _numbers(order.amounts),
            "previous": _numbers(order.previous),
            "token": order.token,
            "reason": order.sentence,
            "at": at.replace("+00:00", "Z"),
        }
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()

    def _headers(self, secret: bytes, body: bytes) -> dict[str, str]:
        stamp = str(int(self._clock.time()))
        signed = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        return {
            "Content-Type": "application/json",
            "User-Agent": f"orcha/{__version__}",
            "X-Orcha-Timestamp": stamp,
            "X-Orcha-Signature": f"sha256={signed}",
        }

    def _secret(self) -> bytes:
        """Raises Refused, which names the file and never what is in it."""
        file = self._spec.secret_file
        try:
            with Path(file).open("rb") as opened:
                secret = opened.read(MAX_BODY).strip()
        except FileNotFoundError as exc:
            raise Refused(f"the secret file {file} does not exist; create it, readable only by orcha") from exc
        except OSError as exc:
            raise Refused(f"the secret file {file} cannot be read ({exc.strerror}); let orcha's user read it") from exc
        if not secret:
            raise Refused(f"the secret file {file} is empty; put the secret into it")
        return secret

    def _warn(self) -> None:
        if self._warned:
            return
        self._warned, file = True, Path(self._spec.secret_file)
        unwise = []
        if self._url.scheme != "https" and not is_loopback(self._url.host or ""):
            unwise.append(f"{self._at} is not https: what it is told can be read on its way; write https://")
        with contextlib.suppress(OSError, DriverError):
            if file.stat().st_mode & stat.S_IROTH:
                unwise.append(f"{file} can be read by every user of this machine; chmod 600 it")
            if len(self._secret()) < SHORTEST_SECRET:
                unwise.append(f"{file} holds a short secret; write at least {SHORTEST_SECRET} random characters")
        for sentence in unwise:
            log.warning(sentence, workload=self._key)


def _numbers(amounts: Mapping[str, float]) -> dict[str, float]:
    """As JSON numbers without noise, whole where they are. Raises Refused for what cannot be."""
    try:
        words = {resource: words_of(amount, resource) for resource, amount in sorted(amounts.items())}
    except CannotFill as exc:
        raise Refused(str(exc)) from exc
    return {resource: float(word) if "." in word else int(word) for resource, word in words.items()}


def _why(exc: Exception) -> str:
    """What to look at; never the address, whose path may be a secret."""
    match exc:
        case aiohttp.ClientConnectorDNSError():
            return "its host name is not known here; check the address"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted here; renew it, or let this machine trust who signed it"
        case aiohttp.ClientSSLError():
            return "it does not speak TLS; write http:// instead of https://"
        case aiohttp.ClientConnectorError() if isinstance(exc.os_error, ConnectionRefusedError):
            return "nothing listens there; is it running, and is the port right?"
        case aiohttp.ServerDisconnectedError() | ConnectionError() | aiohttp.ClientPayloadError():
            return "it hung up in the middle"
    return f"{type(exc).__name__}; check the network, and whether it speaks HTTP"
