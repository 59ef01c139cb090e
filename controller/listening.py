"""Where `orcha` serves: an address to listen on, and what stands in the way of it."""

from __future__ import annotations

import errno
import socket
from typing import Final

from aiohttp import web

from controller.once import CouldNot
from exporters.settings import read_listen

CLOSING: Final = 0.5
"""Seconds that open connections may take at the end."""


def listen_address(text: str, whence: str) -> tuple[str, int]:
    """HOST:PORT in its parts. `whence`: where people write it. Raises CouldNot."""
    try:
        return read_listen(text)
    except ValueError as exc:
        raise CouldNot(f"{exc} ({whence})") from exc


async def listening(application: web.Application, host: str, port: int) -> web.AppRunner:
    """Serve; raises CouldNot where nobody can listen there."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSING)
    await runner.setup()
    try:
        await web.TCPSite(runner, host or None, port).start()
    except OSError as exc:
        await runner.cleanup()
        why, remedy = _why(exc)
        raise CouldNot(f"cannot listen on {host}:{port} ({why}); {remedy} with --listen") from exc
    return runner


def address_of(runner: web.AppRunner) -> str:
    """As people open it."""
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _why(exc: OSError) -> tuple[str, str]:
    """What stands in the way of listening, and what to do about it. asyncio packs the system's words into its own."""
    if isinstance(exc, socket.gaierror):
        return "this host name is not known here", "write an address of this machine, such as 127.0.0.1,"
    match exc.errno:
        case errno.EADDRINUSE:
            return "something listens there already", "end it, or choose another"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address", "choose one of its own, or 0.0.0.0 for all of them,"
        case errno.EACCES | errno.EPERM:
            return "orcha's user may not listen there", "choose a port above 1023"
    return exc.strerror or str(exc), "choose another"
