"""Asks a Prometheus whether `blockWhile` holds. Unknown blocks: who cannot be asked may be the one that would say no."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from controller.observe.prometheus.asking import Asking
from exporters.errors import PollError

if TYPE_CHECKING:
    import aiohttp


async def blocked(
    client: aiohttp.ClientSession, prometheus_url: str | None, expression: str, token_file: str | None = None
) -> str | None:
    """Why the expression blocks moves now, None where it does not. `token_file`: of a bearer token.

    It blocks where it gives any sample that is not 0, where no Prometheus is named, and where there is no whole answer.
    """
    if prometheus_url is None:
        return "blockWhile is set, and Settings name no prometheusUrl to ask"
    try:
        values = await Asking(client, prometheus_url, Path(token_file) if token_file else None).judge(expression)
    except PollError as exc:
        return f"blockWhile cannot be judged: {exc}"
    holding = [value for value in values if value != 0]
    return f"blockWhile holds: {expression} gives {len(holding)} result(s)" if holding else None
