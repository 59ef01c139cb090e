"""Asks one Prometheus over HTTP: every answer is bounded in time and size, every failure is a PollError with its sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import aiohttp

from controller.observe.prometheus import answers
from exporters.collector import read_key
from exporters.errors import Malformed, TimedOut, Unreachable
from exporters.session import in_words

if TYPE_CHECKING:
    from controller.observe.prometheus.answers import Line, Row

MAX_BODY: Final = 64 * 2**20
"""Bytes of one answer. 200 workloads of 60 series each are some 3 MB."""
TIMEOUT: Final = 10.0
"""Seconds for what is so now. Prometheus gives up a query of its own accord after 2 minutes, and is then too slow to
decide by."""
TIMEOUT_JUDGED: Final = 5.0
"""Seconds for a condition, which is asked for in the middle of a turn."""
TIMEOUT_PAST: Final = 60.0
"""Seconds for what was: nobody waits for it."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Asking:
    """Where the Prometheus is, and what it wants to be shown."""

    client: aiohttp.ClientSession
    url: str
    """As its owner wrote it: it may have a path (behind a proxy, or that of Mimir's or Thanos' query API)."""
    token_file: Path | None = None
    """Holds a bearer token; read at every question, so that it may be renewed."""

    async def now(self, query: str) -> list[Row]:
        """The rows of an instant query. Raises PollError."""
        return await self._ask("query", {"query": query}, TIMEOUT, answers.vector)

    async def judge(self, query: str) -> list[float]:
        """The numbers of an instant query, soon. By GET: who may only read is not always let POST. Raises PollError."""
        return await self._ask("query", {"query": query}, TIMEOUT_JUDGED, answers.values, by_get=True)

    async def past(self, query: str, start: float, end: float, step: float) -> list[Line]:
        """The series of a range query, at `start`, `start` + `step`, ... Raises PollError."""
        asked = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        return await self._ask("query_range", asked, TIMEOUT_PAST, answers.matrix)

    async def _ask(
        self,
        what: str,
        form: Mapping[str, str],
        seconds: float,
        read: Callable[[bytes, str], _T],
        *,
        by_get: bool = False,
    ) -> _T:
        url = f"{self.url.rstrip('/')}/api/v1/{what}"
        token = read_key(self.token_file) if self.token_file else ""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        method, params, data = ("GET", form, None) if by_get else ("POST", None, form)
        try:
            async with (
                asyncio.timeout(seconds),
                self.client.request(
                    method, url, params=params, data=data, headers=headers, allow_redirects=False
                ) as response,
            ):
                body = await _body(response, self.url)
                wait = response.headers.get("retry-after", "")
        except TimeoutError as exc:
            raise TimedOut(f"Prometheus at {self.url} did not answer within {seconds:.0f} s") from exc
        except (aiohttp.InvalidURL, ValueError) as exc:
            raise Malformed(f"{self.url!r} is not an address that can be asked; write http://HOST:PORT") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise Unreachable(f"Prometheus at {self.url} cannot be reached: {in_words(exc)}") from exc
        if token:
            body = body.replace(token.encode(), b"***")
        if response.status != 200:
            raise answers.refused(response.status, body, self.url, float(wait) if wait.isdecimal() else None)
        return await asyncio.to_thread(read, body, self.url)


async def _body(response: aiohttp.ClientResponse, url: str) -> bytes:
    """The whole body, at most MAX_BODY; where it is larger the connection is closed."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_BODY:
            response.close()
            raise Malformed(
                f"Prometheus at {url} answered more than {MAX_BODY // 2**20} MiB; choose fewer series with spec.prometheus.matchers"
            )
        parts.append(part)
    return b"".join(parts)
