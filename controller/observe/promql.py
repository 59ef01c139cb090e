"""Asks a Prometheus whether `blockWhile` holds. Unknown blocks: who cannot be asked may be the one that would say no."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from exporters.collector import read_key
from exporters.errors import Unauthorized

TIMEOUT = 5.0


async def blocked(
    client: aiohttp.ClientSession, prometheus_url: str | None, expression: str, token_file: str | None = None
) -> str | None:
    """Why the expression blocks moves now, None where it does not. `token_file`: of a bearer token.

    It blocks where it gives any sample that is not 0, where no Prometheus is named, and where it does not answer.
    """
    if prometheus_url is None:
        return "blockWhile is set, and Settings name no prometheusUrl to ask"
    url = f"{prometheus_url.rstrip('/')}/api/v1/query"
    try:
        headers = {"Authorization": f"Bearer {read_key(token_file)}"} if token_file else {}
        asking = client.get(url, params={"query": expression}, headers=headers)
        async with asyncio.timeout(TIMEOUT), asking as response:
            answer = await response.json(content_type=None)
            samples = samples_of(answer)
    except Unauthorized as exc:
        return f"Prometheus cannot be asked: {exc}"
    except TimeoutError:
        return f"Prometheus at {prometheus_url} did not answer within {TIMEOUT:.0f} s"
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError) as exc:
        return f"Prometheus at {prometheus_url} could not be asked ({type(exc).__name__})"
    if isinstance(samples, str):
        return f"Prometheus refused blockWhile: {samples}"
    holding = [value for value in samples if value != 0]
    return f"blockWhile holds: {expression} gives {len(holding)} result(s)" if holding else None


def samples_of(answer: Any) -> list[float] | str:
    """The values of an instant query, or the sentence of its error. NaN is a value, and not 0."""
    if answer.get("status") != "success":
        return str(answer.get("error", "no reason given"))[:200]
    data = answer["data"]
    if data["resultType"] in {"scalar", "string"}:
        return [float(data["result"][1])]
    return [float(series["value"][1]) for series in data["result"]]
