"""What Settings names beside the nodes: Prometheus, which orcha asks, and Alertmanager and Grafana, which it links to."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from controller.doctor.files import named_in, not_asked
from controller.doctor.finding import Finding, Mark, ok, split
from controller.observe.prometheus import Asking
from exporters.errors import Malformed, PollError, TimedOut

if TYPE_CHECKING:
    import aiohttp

    from controller.manifests import Manifests
    from exporters.session import Session

AREA: Final = "addresses"


def beside(
    found: Manifests, client: aiohttp.ClientSession, session: Session, patience: float,
    closed: frozenset[str] = frozenset(),
) -> list[Coroutine[Any, Any, Finding]]:  # fmt: skip
    """A look at each address that Settings names. `closed`: files that must not be opened."""
    spec = found.settings.spec
    looks = []
    if spec.prometheus_url:
        needed = spec.source == "prometheus" or any(policy.spec.limits.block_while for policy in found.policies)
        mark = Mark.FAIL if needed else Mark.WARN
        looks.append(_prometheus(found, client, mark, patience, skip=bool(closed & named_in(spec.prometheus))))
    if spec.alertmanager_url:
        looks.append(_linked("Alertmanager", spec.alertmanager_url, "/api/v2/status", "versionInfo", session, patience))
    if spec.grafana_url:
        looks.append(_linked("Grafana", spec.grafana_url, "/api/health", "database", session, patience))
    return looks


async def _prometheus(
    found: Manifests, client: aiohttp.ClientSession, mark: Mark, patience: float, *, skip: bool
) -> Finding:
    spec = found.settings.spec
    token_file = Path(spec.prometheus.bearer_token_file) if spec.prometheus.bearer_token_file else None
    what = f"Prometheus {spec.prometheus_url}"
    if skip:
        return not_asked(AREA, what)
    try:
        async with asyncio.timeout(patience):
            rows = await Asking(client, str(spec.prometheus_url), token_file).now("vector(1)")
    except TimeoutError:
        return split(
            AREA,
            what,
            f"did not answer within {patience:.0f} s",
            mark,
            "see whether it runs, and can be reached from here",
        )
    except PollError as exc:
        return split(AREA, what, str(exc), mark, "correct prometheusUrl in Settings")
    if len(rows) != 1:
        return split(AREA, what, "answers, and not as Prometheus does", mark, "correct prometheusUrl in Settings")
    return ok(AREA, what, "answers a query")


async def _linked(name: str, url: str, path: str, key: str, session: Session, patience: float) -> Finding:
    """Nothing hangs on it but links, so what is wrong with it is a warning."""
    setting = f"correct {name.lower()}Url in Settings"
    try:
        async with asyncio.timeout(patience):
            said = (await session.request("GET", url.rstrip("/") + path)).json()
        if not isinstance(said, dict) or key not in said:
            raise Malformed(f"{url} answers, and not as {name} does")
    except TimeoutError:
        return split(
            AREA, f"{name} {url}", str(TimedOut(f"did not answer within {patience:.0f} s")), Mark.WARN, setting
        )
    except PollError as exc:
        return split(AREA, f"{name} {url}", str(exc), Mark.WARN, setting)
    return ok(AREA, f"{name} {url}", "answers")
