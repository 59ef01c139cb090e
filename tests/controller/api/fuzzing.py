"""The API under made-up requests: a real server of made-up programs on loopback, and schemathesis in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import requests
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from controller.api.app import application
from controller.api.faces import Faces
from controller.api.openapi import document

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "negative_data_rejection", "positive_data_acceptance", "unsupported_method",
)  # fmt: skip


NOT_MEANT = {("GET /api/v1/stream", "positive_data_acceptance")}
"""Every request that is no WebSocket is refused there."""


@dataclass
class Found:
    """What came of it."""

    statuses: Counter[int] = field(default_factory=Counter)
    by_operation: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())

    @property
    def server_errors(self) -> int:
        return sum(count for status, count in self.statuses.items() if status >= 500)


@contextlib.contextmanager
def serving(faces: Faces, host: str = "127.0.0.1") -> Iterator[str]:
    """The address of a server in a thread of its own."""
    started: list[str] = []
    ready = threading.Event()
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        runner = web.AppRunner(application(faces, host), access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ended = asyncio.Event()
        stop.append((asyncio.get_running_loop(), ended))
        started.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        ready.set()
        await ended.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="api")
    thread.start()
    try:
        assert ready.wait(30), "the server did not start"
        yield started[0]
    finally:
        for loop, ended in stop:
            loop.call_soon_threadsafe(ended.set)
        thread.join(30)


def fuzz(address: str, examples: int, ids: Sequence[str], *, derandomize: bool = True) -> Found:
    """So many made-up requests of each operation, half of them such as the document forbids; raises where an answer is not
    what the document says. `ids`: of programs and agents that there are.
    """
    found = Found()
    schema = schemathesis.openapi.from_dict(document("fuzzed"))
    schema.config.update(base_url=address)
    checks = schemathesis.checks.CHECKS.get_by_names(list(CHECKS))
    with requests.Session() as session:
        for each in schema.get_all_operations():
            for mode in schemathesis.GenerationMode:
                _ask(each.ok(), mode, checks, max(1, examples // 2), found, session, ids, derandomize=derandomize)
    return found


def _ask(operation, mode, checks, examples, found, session, ids, *, derandomize) -> None:
    @settings(
        max_examples=examples, deadline=None, derandomize=derandomize, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate], verbosity=Verbosity.quiet,
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode), name=st.none() | st.sampled_from(ids))
    def ask(case, name) -> None:
        if name is not None and "id" in case.path_parameters and mode.is_positive:
            case.path_parameters["id"] = name
        response = case.call(session=session)
        found.statuses[response.status_code] += 1
        found.by_operation[operation.label] += 1
        case.validate_response(
            response, checks=[each for each in checks if (operation.label, each.__name__) not in NOT_MEANT]
        )

    with contextlib.suppress(Unsatisfiable):  # of what has no parameters, nothing can be wrong
        ask()
