"""How one NATS server is connected to: with what proves who one is, and over TLS where that is wanted. Effects.

Tokens, credentials and certificates are read from their files for each connection, so that new ones are taken without a
restart. What is in them is sent to nobody before TLS is up, where TLS is wanted, and stands in no message.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from controller.extras import how_to_get
from controller.fleet.manifest import Nats
from controller.fleet.transport import Unreachable

if TYPE_CHECKING:
    from nats.aio.client import Client

WAIT: Final = 3
"""Seconds for one step of connecting."""
PING_EVERY, PINGS = 3, 2
"""A connection on which so many pings, so many seconds apart, were not answered is given up: a cut link tells nobody."""
PENDING: Final = 8 * 2**20
"""Bytes that wait to be sent, at most."""
LEAST_PAYLOAD: Final = 4096
"""Bytes that a server must take in one message."""
Told = Callable[[Exception], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Place:
    """One server."""

    scheme: str
    where: str
    """HOST:PORT."""
    user: str | None = None
    password: str | None = None
    name: str | None = None
    """Of its certificate, where that is not the host."""

    @property
    def url(self) -> str:
        """Without what proves who one is."""
        return f"{self.scheme}://{self.where}"

    @classmethod
    def read(cls, server: str) -> Place:
        """Of an address as it stands in a manifest. Raises Unreachable."""
        try:
            found = urlsplit(server if "://" in server else f"nats://{server}")
            host, port = found.hostname, found.port or 4222
        except ValueError:
            host, port = None, 0
        if host is None or found.scheme not in {"nats", "tls"}:
            shown = server.rpartition("@")[2]
            raise Unreachable(f"{shown!r} is no address of a NATS server; write nats://HOST:PORT or tls://HOST:PORT")
        user, password = (unquote(part) if part else None for part in (found.username, found.password))
        return cls(found.scheme, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", user, password)


def check(nats: Nats) -> None:
    """Raises Unreachable where trying again cannot help: a part is not installed, or a file is not there."""
    for server in nats.servers:
        Place.read(server)
    _proof(nats)
    _trust(nats)
    wanted = {"nats": "nats-py", **({"nkeys": "nkeys"} if nats.credentials_file is not None else {})}
    for name, library in wanted.items():
        if find_spec(name) is None:
            raise Unreachable(f"NATS needs the library {library}; {how_to_get(library)}")


async def connect(nats: Nats, place: Place, told: Told, ended: Callable[[], Awaitable[None]]) -> Client:
    """A connection that does not try again by itself. Raises Unreachable with why there is none."""
    from nats.aio.client import Client

    client = Client()
    heard: list[Exception] = []

    async def hear(exc: Exception) -> None:
        heard.append(exc)
        await told(exc)

    try:
        with heeding():
            async with asyncio.timeout(4 * WAIT):
                await client.connect(
                    place.url, error_cb=hear, disconnected_cb=ended, closed_cb=ended, allow_reconnect=False, max_reconnect_attempts=1,
                    reconnect_time_wait=0, connect_timeout=WAIT, ping_interval=PING_EVERY, max_outstanding_pings=PINGS,
                    pending_size=4 * PENDING, flush_timeout=WAIT, **_options(client, nats, place),
                )  # fmt: skip
        _look(client, nats, place)
    except Unreachable:
        await leave(client)
        raise
    except Exception as exc:
        await leave(client)
        why = next((each for each in reversed([*heard, exc]) if type(each).__name__ != "NoServersError"), exc)
        raise Unreachable(f"{place.url} {_wanted(client, why) or _said(why, nats)}") from exc
    except BaseException:
        await leave(client)
        raise
    return client


@contextlib.contextmanager
def heeding() -> Iterator[None]:
    """Where this task is called off while nats-py waits, it is. nats-py swallows that in places, and so does asyncio.wait_for of
    Python 3.11 where what it waits for comes in the same moment.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


async def leave(client: Client) -> None:
    """Close it, whatever state it is in. nats-py stops halfway where the connection broke while something waited to be sent, and
    then does not try again: tasks and the socket would stay. So nothing waits any more, and it begins anew.
    """
    with contextlib.suppress(Exception):
        client._pending, client._pending_data_size, client._status = [], 0, client.DISCONNECTED  # noqa: SLF001 see above
        async with asyncio.timeout(WAIT):
            await client.close()
    writer: asyncio.StreamWriter | None = getattr(client._transport, "_io_writer", None)  # noqa: SLF001 see above
    if writer is not None:
        writer.transport.abort()  # over a link that is cut what was written last would be waited for
        await asyncio.sleep(0)


def _options(client: Client, nats: Nats, place: Place) -> dict[str, Any]:
    """What proves who one is, and whom one believes. Secrets are given when they are asked for: after TLS is up."""

    def shown(secret: str) -> Callable[[], str]:
        def show() -> str:
            _look(client, nats, place)
            return secret

        return show

    found: dict[str, Any] = {}
    token, credentials = _proof(nats)
    if token is not None:
        found["token"] = shown(token)
    elif place.user is not None and place.password is None:
        found["token"] = shown(place.user)
    elif place.user is not None:
        found["user"], found["password"] = shown(place.user), shown(place.password or "")
    if credentials is not None:
        from nats.aio.client import RawCredentials

        found["user_credentials"] = RawCredentials(credentials)
    if (trust := _trust(nats)) is not None:
        found["tls"] = trust
    if place.name is not None:
        found["tls_hostname"] = place.name
    return found


def _look(client: Client, nats: Nats, place: Place) -> None:
    """Raises Unreachable where the server is not what was asked for. nats-py takes a server that offers no TLS for tls://, too."""
    info: dict[str, Any] = client._server_info  # noqa: SLF001 nats-py shows it nowhere else
    if (place.scheme == "tls" or nats.ca_file is not None) and not info.get("tls_required"):
        raise Unreachable(
            f"{place.url} does not want TLS, and without it nothing is sent to it; see tls {{}} of nats-server"
        )
    if info.get("max_payload", LEAST_PAYLOAD) < LEAST_PAYLOAD:
        raise Unreachable(
            f"{place.url} takes {info['max_payload']} bytes in a message; set its max_payload to {LEAST_PAYLOAD} or more"
        )


def _proof(nats: Nats) -> tuple[str | None, str | None]:
    """(token, credentials), as their files have them now. Raises Unreachable."""
    token = _read(nats.token_file, "tokenFile") if nats.token_file is not None else None
    credentials = _read(nats.credentials_file, "credentialsFile") if nats.credentials_file is not None else None
    marks = ("BEGIN NATS USER JWT", "BEGIN USER NKEY SEED")
    if credentials is not None and not all(
        mark in credentials for mark in marks
    ):  # nats-py would look for them for ever
        raise Unreachable(
            f"credentialsFile {nats.credentials_file} holds no NATS credentials; it needs {marks[0]} and {marks[1]}"
        )
    return token, credentials


def _read(path: str, field: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise Unreachable(f"{field} {path} cannot be read: {why}") from None
    if not text:
        raise Unreachable(f"{field} {path} is empty")
    return text


def _trust(nats: Nats) -> ssl.SSLContext | None:
    """None: nothing is asked for that is not the system's."""
    if nats.ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=nats.ca_file)
    except OSError as exc:  # an SSLError is one
        raise Unreachable(f"caFile {nats.ca_file} cannot be used: {exc.strerror or exc}") from None


def _wanted(client: Client, why: Exception) -> str:
    """What the server wants and nobody here has; "": that is not why. It ends the connection without a word then."""
    info: dict[str, Any] = client._server_info  # noqa: SLF001 nats-py shows it nowhere else
    if not info.get("tls_verify") or isinstance(why, ssl.SSLCertVerificationError):
        return ""
    return (
        "wants a certificate of its clients (verify in its tls {}), which orcha has none of; use a token or credentials"
    )


def _said(exc: Exception, nats: Nats) -> str:
    """One sentence without secrets."""
    text = str(exc).lower()
    if "authorization" in text or "authentication" in text:
        shown = [f"tokenFile {nats.token_file}"] if nats.token_file is not None else []
        shown += [f"credentialsFile {nats.credentials_file}"] if nats.credentials_file is not None else []
        return (
            f"refuses what {' and '.join(shown)} holds"
            if shown
            else "wants a token or credentials, or others than it got"
        )
    if isinstance(exc, ssl.SSLError):
        return f"cannot be trusted: {getattr(exc, 'verify_message', '') or exc.reason or 'TLS failed'}"
    if isinstance(exc, TimeoutError):
        return "does not answer"
    if isinstance(exc, ConnectionRefusedError):  # asyncio says the address once more
        return "cannot be reached: nothing listens there (connection refused)"
    if isinstance(exc, OSError):
        return f"cannot be reached: {exc.strerror or exc}"
    return f"cannot be used: {type(exc).__name__}"
