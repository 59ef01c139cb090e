"""The address that the controller serves on: free, taken by an orcha, taken by something else, or no address of this machine."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from typing import TYPE_CHECKING, Final

from controller.doctor.finding import Finding, Mark, fail, ok, split, warn
from exporters.errors import PollError
from exporters.settings import read_listen

if TYPE_CHECKING:
    from exporters.session import Session

AREA: Final = "controller"
_OTHER: Final = "end it, or let orcha listen elsewhere: `listen` in Settings, or --listen"
_BUILD: Final = re.compile(r'^orcha_build_info\{[^}]*version="([^"]{1,40})"', re.MULTILINE)


async def listening(listen: str, session: Session, patience: float) -> Finding:
    """What is at HOST:PORT now. Nothing is opened there."""
    try:
        host, port = read_listen(listen)
    except ValueError as exc:
        return split(AREA, listen, str(exc))
    reached = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 what is written, not what is opened
    try:
        async with asyncio.timeout(patience):
            _, writer = await asyncio.open_connection(reached, port)
        writer.close()
    except TimeoutError:
        return fail(
            AREA,
            listen,
            f"nothing answered within {patience:.0f} s: a firewall stands between, or it is another machine's",
            "listen on an address of this machine",
        )
    except OSError as exc:
        return await asyncio.to_thread(_free, listen, host, exc)
    return await _who(
        listen, f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}", session, patience
    )


def _free(listen: str, host: str, why: OSError) -> Finding:
    if isinstance(why, socket.gaierror):
        return fail(
            AREA, listen, "its host name is not known here", "write an address of this machine, such as 127.0.0.1"
        )
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))  # any free port: tells only whether the address is this machine's
    except OSError as exc:
        if exc.errno == errno.EADDRNOTAVAIL:
            return fail(
                AREA, listen, "this machine has no such address", "choose one of its own, or 0.0.0.0 for all of them"
            )
        return fail(AREA, listen, f"cannot be listened on ({exc.strerror})", "choose another address")
    return ok(AREA, listen, "is free: no controller runs there now")


async def _who(listen: str, url: str, session: Session, patience: float) -> Finding:
    try:
        async with asyncio.timeout(patience):
            page = (await session.request("GET", f"{url}/metrics")).text()
            version = _BUILD.search(page)
            if "orcha_leader" not in page:
                part = "something that is no orcha" if version is None else "an orcha that is no controller"
                return fail(AREA, listen, f"{part} listens there", _OTHER)
            ready = await session.request("GET", f"{url}/readyz", ok=(200, 503))
    except (PollError, TimeoutError):
        return fail(AREA, listen, "something that is no orcha listens there", _OTHER)
    if version is None:
        return ok(AREA, listen, "an orcha runs there, and stands by for the Lease")
    if ready.status != 200:
        words = " ".join(ready.text().split())[:120]
        return warn(
            AREA,
            listen,
            f"orcha {version[1]} runs there, and is not ready ({words})",
            "wait half a minute; then see its log",
        )
    return Finding(Mark.OK, AREA, listen, f"orcha {version[1]} runs there, and is ready")
