"""Talking to a running controller: what commands ask of its API, and each answer that is no as one sentence.

    No              the controller was reached and says no (no such program, not possible now): exit 1
    NotTold         it wants a token, or cannot be understood: exit 2
    └── NobodyAnswers   nobody is there; what only reads may then look into the state instead

The token is sent to the address that was named and nowhere else: a redirection is refused.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import aiohttp
import typer
from yarl import URL

from controller.commands.options import finish
from controller.commands.terminal import NO, fail, tell

if TYPE_CHECKING:
    from controller.store import Store

T = TypeVar("T")
DEFAULT_API: Final = "http://127.0.0.1:9872"
PATIENCE: Final = aiohttp.ClientTimeout(total=30, sock_connect=5)
"""An answer that takes longer does not come; nothing that is asked here waits for a node."""
_PAGE: Final = 1000
_MOST_PAGES: Final = 1000
_MOST_SAID: Final = 500
"""Characters of an answer's own words."""

Api = Annotated[str | None, typer.Option("--api", help=f"Address of a running controller; default {DEFAULT_API}.")]
TokenFile = Annotated[Path | None, typer.Option("--token-file", help="File that holds the API's token.")]
By = Annotated[str | None, typer.Option("--by", help="Who says so, for the record; default your login name.")]
Why = Annotated[str, typer.Option("--why", help="Why, for the record.")]


class No(Exception):
    """The controller's own sentence."""


class NotTold(Exception):
    """What the operator can mend; `str()` says how."""


class NobodyAnswers(NotTold):
    pass


@dataclass(frozen=True, slots=True)
class Remote:
    """One controller. Every call raises No, NotTold, NobodyAnswers."""

    api: str = DEFAULT_API
    token_file: Path | None = None

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """`path` below /api/v1: "programs/p-1f2e3d4c"."""
        return await self._ask("GET", path, query=query or {})

    async def pages(self, path: str, name: str, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """All items of a list that comes in pages, each told from where the next one goes on."""
        items: list[dict[str, Any]] = []
        more: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            found = await self.get(path, {**(query or {}), "limit": str(_PAGE), **more})
            rows = found.get(name) if isinstance(found, dict) else None
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise NotTold(f"{self.api} answered something else than {path}; is this an orcha controller?")
            items += rows
            if not (rows and found.get("next")):
                break
            more = {"before": str(found["next"])}
        return items

    async def post(self, path: str, body: Mapping[str, str]) -> Any:
        return await self._ask("POST", path, body=body)

    async def _ask(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Mapping[str, str] | None = None
    ) -> Any:
        url = self._address().joinpath("api", "v1", *path.split("/"))
        try:
            async with (
                aiohttp.ClientSession(timeout=PATIENCE) as client,
                client.request(
                    method, url, params=query, json=body, headers=self._headers(), allow_redirects=False
                ) as got,
            ):
                return self._answer(url, got.status, await got.text(errors="replace"))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
            raise NobodyAnswers(self._nobody(exc)) from exc
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            if method == "GET":
                raise NobodyAnswers(self._nobody(exc)) from exc
            raise NotTold(
                f"{self.api} was told, and gave no answer ({type(exc).__name__}): whether it was done is not known; "
                "`orcha programs` shows it"
            ) from exc

    def _address(self) -> URL:
        try:
            url = URL(self.api)
            if url.scheme in {"http", "https"} and url.host:
                return url.with_query(None).with_fragment(None)
        except ValueError:
            pass
        raise NotTold(f"--api {self.api!r} is not an address; write it like {DEFAULT_API}")

    def _headers(self) -> dict[str, str]:
        if self.token_file is None:
            return {}
        try:
            token = self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            why = (exc.strerror if isinstance(exc, OSError) else None) or "it is no text"
            raise NotTold(f"the token file {self.token_file} cannot be read ({why})") from exc
        if not token or not (token.isascii() and token.isprintable()):
            raise NotTold(f"the token file {self.token_file} holds no token: one line of plain letters and digits")
        return {"Authorization": f"Bearer {token}"}

    def _nobody(self, exc: BaseException) -> str:
        return f"no controller answers at {self.api} ({type(exc).__name__}); start one with orcha run, or name its address with --api"

    def _answer(self, url: URL, status: int, text: str) -> Any:
        if 200 <= status < 300:
            try:
                return json.loads(text)
            except ValueError as exc:
                raise NotTold(f"{url} answered something else than JSON; is this an orcha controller?") from exc
        said = sentence_of(text, status)
        if status == 401:
            raise NotTold(f"{self.api} wants a token{f' ({said})' if said else ''}; name its file with --token-file")
        if status == 403:
            raise NotTold(f"{self.api} refuses this{f': {said}' if said else ''}; --token-file names a token that may")
        if said and status in {400, 404, 409, 422} and said != f"{status}: Not Found":
            raise No(said)
        if said and status >= 500:
            raise NotTold(f"{self.api} cannot do it now: {said}")
        raise NotTold(f"{url} answered HTTP {status}; is this an orcha controller of the same version?")


def sentence_of(text: str, status: int = 0) -> str:
    """What an answer says in words, with nothing that a terminal would obey: {"error": {"what", "where", "right"}}
    (api/problems.py), or text. The sentences of 404 and 409 are the Desk's own and say what would be right themselves.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = text
    error = found.get("error") if isinstance(found, dict) else found
    if isinstance(error, dict):
        names = ("what",) if status in {404, 409} else ("what", "right")
        where = f" ({error['where']})" if status in {400, 422} and isinstance(error.get("where"), str) else ""
        said = [word for name in names if isinstance(word := error.get(name), str)]
        error = "; ".join([f"{said[0]}{where}", *said[1:]]) if said else ""
    if not isinstance(error, str) or error.lstrip().startswith("<"):
        return ""  # a page of some proxy
    return "".join(sign for sign in " ".join(error.split()) if sign.isprintable())[:_MOST_SAID]


def body_of(by: str | None, why: str = "", **target: str | None) -> dict[str, str]:
    """What is told with every change: who, why, and what it is about."""
    given = {"by": _login() if by is None else by, "why": why, **target}
    return {name: value for name, value in given.items() if value}


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # nobody has this number here
        return ""


async def fetched(
    api: str | None,
    token_file: Path | None,
    state: str | None,
    ask: Callable[[Remote], Awaitable[T]],
    read: Callable[[Store], Awaitable[T]],
) -> T:
    """What only reads: from the API, unless a state alone is named; from that also where nobody answers. Raises NotTold,
    No.
    """
    if state is not None and api is None:
        return await _stored(state, read)
    try:
        return await ask(Remote(api or DEFAULT_API, token_file))
    except NobodyAnswers as exc:
        if state is None:
            raise NobodyAnswers(f"{exc}, or the state that it wrote with --state") from exc
        tell(f"no controller answers at {api}: this is what was last written into the state")
        return await _stored(state, read)


async def _stored(url: str, read: Callable[[Store], Awaitable[T]]) -> T:
    from controller.address import StoreError
    from controller.store import Store

    try:
        store = await Store.open(url, write=False)
        try:
            return await read(store)
        finally:
            await store.close()
    except StoreError as exc:
        raise NotTold(str(exc)) from exc


def settle(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, with the exit codes of this module's errors."""
    try:
        return finish(work)
    except No as exc:
        fail(str(exc), NO)
    except NotTold as exc:
        fail(str(exc))
