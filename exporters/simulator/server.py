"""The simulated world over HTTP, in real time: one port per site, and one to control them all.

A site that is not listening has its socket closed, so that the connection is really refused. The control port
(`GET /truth`, `PUT /faults/SITE`, `POST /apply/WORKLOAD`) is for tests and for the demonstration's actuators; no
collector knows of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from aiohttp import web

from exporters.clock import Clock, SystemClock
from exporters.simulator.apply import Refused, apply
from exporters.simulator.faults import Fault
from exporters.simulator.files import Files
from exporters.simulator.response import Request, Response
from exporters.simulator.world import World

_LOOKS_EVERY: Final = 0.25
"""Seconds between two looks at which sites should listen, and at files that changed."""
_SSE_EVERY: Final = 1.0


class Server:
    """Serves a world until it is closed. Ports: site -> port; 0 = any free one."""

    def __init__(
        self, world: World, *, host: str = "127.0.0.1", clock: Clock | None = None, files: Files | None = None
    ) -> None:
        self.world = world
        self.files = files
        self.host = host
        self.ports: dict[str, int] = {}
        self.control_port = 0
        self._clock = clock or SystemClock()
        self._runners: dict[str, web.AppRunner] = {}
        self._open: dict[str, web.TCPSite] = {}
        self._watcher: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def address(self, site: str) -> str:
        """http://HOST:PORT of a site."""
        return f"http://{self.host}:{self.ports[site]}"

    @property
    def control(self) -> str:
        return f"http://{self.host}:{self.control_port}"

    async def start(self, ports: Mapping[str, int] | None = None, control_port: int = 0) -> None:
        """Open every site's port, those that do not listen now too: their ports must be known."""
        self.world.advance(self._clock.time())
        for name in self.world.sites:
            application = web.Application()
            application.router.add_route("*", "/{path:.*}", self._handler(name))
            self._runners[name] = await _set_up(application)
            await self._listen(name, (ports or {}).get(name, 0))
        control = await _set_up(self._control())
        self._runners["control"] = control
        place = web.TCPSite(control, self.host, control_port)
        await place.start()
        self.control_port = control.addresses[0][1]
        self._watcher = asyncio.create_task(self._watch())

    async def close(self) -> None:
        self._stopping.set()
        if self._watcher:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        for runner in self._runners.values():
            await runner.cleanup()
        self._runners.clear()
        self._open.clear()

    async def settle(self) -> None:
        """Open and close sockets as the world has it now."""
        now = self._clock.time()
        self.world.advance(now)
        if self.files:
            self.files.look(now)
        for name in self.world.sites:
            listening = self.world.listening(name, now)
            if listening and name not in self._open:
                with contextlib.suppress(
                    OSError
                ):  # somebody else took the port meanwhile: tried again at the next look
                    await self._listen(name, self.ports[name])
            elif not listening and name in self._open:
                await self._open.pop(name).stop()

    # One site

    async def _listen(self, name: str, port: int) -> None:
        place = web.TCPSite(self._runners[name], self.host, port, reuse_address=True)
        await place.start()
        self._open[name] = place
        self.ports[name] = self._runners[name].addresses[0][1]

    def _handler(self, name: str) -> Any:
        async def handle(asked: web.Request) -> web.StreamResponse:
            request = await as_request(asked)
            response = self.world.answer(name, request, self._clock.time())
            return await self._sent(name, asked, request, response)

        return handle

    async def _sent(self, name: str, asked: web.Request, request: Request, response: Response) -> web.StreamResponse:
        if response.hang:
            await self._stopping.wait()
            return _closed(asked)
        if response.delay:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), response.delay)
        if response.stream:
            return await self._streamed(name, asked, request, response)
        if response.cut:
            return await _cut(asked, response)
        return web.Response(status=response.status, body=response.body, headers=dict(response.headers))

    async def _streamed(self, name: str, asked: web.Request, request: Request, first: Response) -> web.StreamResponse:
        stream = web.StreamResponse(status=first.status, headers=dict(first.headers))
        await stream.prepare(asked)
        body = first.body
        await stream.write(body)
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _SSE_EVERY)
            newer = self.world.answer(name, request, self._clock.time()).body
            if newer != body:
                body = newer
                await stream.write(body)
        return stream

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOKS_EVERY)
            await self.settle()

    # Control

    def _control(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/", self._sites)
        application.router.add_get("/truth", self._truth)
        application.router.add_put("/faults/{site}", self._break)
        application.router.add_post("/apply/{node}/{workload}", self._apply)
        application.router.add_post("/restart/{node}/{workload}", self._restart)
        return application

    async def _sites(self, _asked: web.Request) -> web.Response:
        faults = {name: site.fault for name, site in self.world.sites.items()}
        return web.json_response({"sites": {name: self.address(name) for name in self.ports}, "faults": faults})

    async def _truth(self, _asked: web.Request) -> web.Response:
        self.world.advance(self._clock.time())
        usd = {key: self.world.usd_per_hour(key) for key in self.world.models}
        return web.json_response(
            {key: asdict(truth) | {"usd_per_hour": usd[key]} for key, truth in self.world.truths().items()}
        )

    async def _break(self, asked: web.Request) -> web.Response:
        """{"fault": "hang"}; null makes it well."""
        name, wanted = asked.match_info["site"], (await _json_of(asked)).get("fault")
        if name not in self.world.sites:
            return web.json_response(
                {"error": f"there is no site {name!r}; there are {', '.join(self.world.sites)}"}, status=404
            )
        try:
            fault = None if wanted is None else Fault(wanted)
        except ValueError:
            words = f"there is no fault {wanted!r}; there are {', '.join(Fault)}"
            return web.json_response({"error": words}, status=400)
        self.world.break_site(name, fault)
        await self.settle()
        return web.json_response({"site": name, "fault": fault})

    async def _apply(self, asked: web.Request) -> web.Response:
        """An allocation as the workload's owner would set it, e.g. {"storage": 3e12} or {"cpu": 4, "memoryGiB": 8}."""
        now, key = self._now(), _key_of(asked)
        if key not in self.world.models:
            return self._no_such(key, self.world.models)
        try:
            said = apply(self.world.models[key], await _json_of(asked), now)
        except Refused as exc:
            return web.json_response({"error": str(exc)}, status=409)
        if self.files:
            self.files.write(key)
        await self.settle()
        return web.json_response({"workload": key, "said": said})

    async def _restart(self, asked: web.Request) -> web.Response:
        """Restart a storagenode with its configuration file, and with {"env": "2TB"} in its environment if given."""
        now, key = self._now(), _key_of(asked)
        if self.files is None:
            return web.json_response({"error": "this world has no files"}, status=404)
        env = (await _json_of(asked)).get("env")
        try:
            refused = self.files.restart(key, now, env if isinstance(env, str) else None)
        except KeyError:
            return self._no_such(key, self.world.models)
        await self.settle()
        if refused:
            return web.json_response({"error": refused}, status=409)
        return web.json_response({"workload": key, "said": "restarting"})

    def _now(self) -> float:
        now = self._clock.time()
        self.world.advance(now)
        return now

    def _no_such(self, key: str, known: Mapping[str, Any]) -> web.Response:
        words = f"there is no workload {key!r} that can do this; there are {', '.join(known)}"
        return web.json_response({"error": words}, status=404)


def _key_of(asked: web.Request) -> str:
    return f"{asked.match_info['node']}/{asked.match_info['workload']}"


async def as_request(asked: web.Request) -> Request:
    headers = {name.lower(): value for name, value in asked.headers.items()}
    return Request(asked.method, asked.path, dict(asked.query), headers, await asked.read())


async def _set_up(application: web.Application) -> web.AppRunner:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
    await runner.setup()
    return runner


async def _json_of(asked: web.Request) -> dict[str, Any]:
    try:
        found = await asked.json()
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


async def _cut(asked: web.Request, response: Response) -> web.StreamResponse:
    """Promise the whole body, send half of it, and hang up."""
    stream = web.StreamResponse(status=response.status, headers=dict(response.headers))
    stream.content_length = len(response.body) + 1
    await stream.prepare(asked)
    await stream.write(response.body[: len(response.body) // 2])
    return _closed(asked, stream)


def _closed(asked: web.Request, stream: web.StreamResponse | None = None) -> web.StreamResponse:
    if asked.transport is not None:
        asked.transport.close()
    return stream or web.Response(status=503)
