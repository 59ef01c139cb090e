"""Who answers where: each address is asked by the protocol's own module, so an open port alone is nobody.

At addresses that were only tried, a refused connection is nothing to tell; anything else that is no node is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from controller.setup.found import Found, Harvest, Missed
from controller.setup.metrics import prometheus_page
from controller.setup.wish import Candidate, Streamr, Wish, candidates, host_of
from exporters.collector import Workload, look, read_secret, traits_of
from exporters.doors import is_loopback
from exporters.errors import PollError, Unreachable
from exporters.nodes import Credentials, WorkloadSpec

if TYPE_CHECKING:
    from exporters.clock import Clock
    from exporters.collector import Collector
    from exporters.reading import Reading
    from exporters.session import Session

_KEY: Final = "yagna app-key create orcha > FILE (with umask 077), then --golem-key-file FILE"
_MORE: Final = "docs/protocols/streamr.md says which addresses are meant"


class Finder:
    """Looks with one session; `patience`: seconds for one address."""

    def __init__(self, collectors: Mapping[str, Collector], session: Session, clock: Clock, patience: float) -> None:
        self._collectors, self._session, self._clock, self._patience = collectors, session, clock, patience

    async def find(self, wish: Wish) -> Harvest:
        """Everything at once; the order is that of the addresses."""
        looks: list[Coroutine[Any, Any, Harvest]] = [self._at(each, wish) for each in candidates(wish)]
        if wish.streamr is not None:
            looks.append(self._streamr(wish.streamr))
        if wish.grass_token_file is not None:
            credentials = {"accessTokenFile": str(wish.grass_token_file.absolute())}
            looks.append(self._asked("grass", wish.grass, credentials=credentials))
        harvest = Harvest()
        for each in await asyncio.gather(*looks):
            harvest = harvest.plus(each)
        heard = {host_of(each.endpoint) for each in harvest.found} | {host_of(each.endpoint) for each in harvest.missed}
        silent = tuple(host for host in wish.hosts if host.lower() not in heard and not is_loopback(host))
        return Harvest(_once(harvest.found), harvest.missed, silent)

    async def _at(self, candidate: Candidate, wish: Wish) -> Harvest:
        match candidate.protocol:
            case "golem":
                return await self._golem(candidate, wish.golem_key_file)
            case "mapped":
                return await self._mapped(candidate)
        return await self._asked("storj", candidate.endpoint, named=candidate.named)

    async def _asked(
        self, protocol: str, endpoint: str, *, named: bool = True, credentials: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Harvest:  # fmt: skip
        """One look by the protocol's module."""
        reading = await self._look(protocol, endpoint, credentials or {}, options or {})
        if not reading.up:
            return _silent(protocol, endpoint, reading, named=named)
        if protocol == "storj" and reading.node_id is None:
            return _missed(
                endpoint,
                "answers JSON, and not as a storagenode's console does",
                "name its console's address with --storj",
            )
        return Harvest((Found(protocol, endpoint, reading, credentials or {}, options or {}),))

    async def _look(
        self, protocol: str, endpoint: str, credentials: Mapping[str, str], options: Mapping[str, Any],
        mapping: Mapping[str, Any] | None = None,
    ) -> Reading:  # fmt: skip
        spec = WorkloadSpec(
            protocol=protocol, endpoint=endpoint, credentials=Credentials.model_validate(dict(credentials)),
            options=dict(options), mapping=None if mapping is None else dict(mapping),
        ).model_copy(update={"timeout": self._patience})  # fmt: skip
        collector = self._collectors[protocol]
        workload = Workload("here", protocol, spec, traits_of(collector, spec))
        return (await look(collector, self._session, workload, self._clock.time()))[0]

    async def _golem(self, candidate: Candidate, key_file: Path | None) -> Harvest:
        """Without a key a daemon can be told by how it asks for one, and no more."""
        endpoint = candidate.endpoint
        if key_file is not None:
            credentials = {"appKeyFile": str(key_file.absolute())}
            return await self._asked("golem", endpoint, named=candidate.named, credentials=credentials)
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._session.request("GET", f"{endpoint}/me", ok=(401,))
        except (PollError, TimeoutError) as exc:
            if isinstance(exc, Unreachable) and not candidate.named:
                return Harvest()
            return _missed(
                endpoint,
                f"is no yagna daemon that asks for a key ({exc or 'no answer in time'})",
                "name its address with --golem URL",
            )
        if "application key" not in answer.text().lower():
            return _missed(
                endpoint,
                "asks for a login, and not as a yagna daemon does",
                "name the daemon's address with --golem URL",
            )
        return _missed(endpoint, "is a yagna daemon (Golem), and it needs an application key", _KEY)

    async def _mapped(self, candidate: Candidate) -> Harvest:
        try:
            async with asyncio.timeout(self._patience):
                page = prometheus_page(await self._session.request("GET", candidate.endpoint), candidate.endpoint)
        except (PollError, TimeoutError) as exc:
            if not candidate.named:
                return Harvest()
            return _missed(
                candidate.endpoint,
                f"shows no Prometheus text ({exc or 'no answer in time'})",
                "name the whole address, such as http://HOST:PORT/metrics",
            )
        if not candidate.named:
            said = f"shows Prometheus text ({', '.join(page.names[:3])} ...)"
            return _missed(candidate.endpoint, said, f"to watch it: --mapped {candidate.endpoint}")
        reading = await self._look("mapped", page.base, {}, {}, page.mapping)
        if not reading.up:
            return _silent("mapped", candidate.endpoint, reading, named=True)
        return Harvest((Found("mapped", page.base, reading, mapping=page.mapping, metrics=page.names),))

    async def _streamr(self, asked: Streamr) -> Harvest:
        """A workload for each sponsorship that was named, or that the operator's contract names."""
        credentials = {"rpcUrlFile": str(asked.rpc_file.absolute())} if asked.rpc_file else {}
        try:
            async with asyncio.timeout(self._patience):
                staked = asked.sponsorships or await self._sponsorships(asked)
        except PollError as exc:
            return _missed(asked.rpc, f"does not tell this operator's stakes ({exc})", _MORE)
        except TimeoutError:
            return _missed(
                asked.rpc, f"did not answer within {self._patience:g} s", "name another endpoint with --streamr-rpc"
            )
        if not staked:
            return _missed(
                asked.rpc,
                f"knows the operator {asked.operator}, who has staked nothing yet",
                "name a sponsorship with --streamr-sponsorship",
            )
        found = Harvest()
        for sponsorship in staked:  # one after the other: public endpoints count questions
            options = {"operator": asked.operator, "sponsorship": sponsorship}
            found = found.plus(await self._asked("streamr", asked.rpc, credentials=credentials, options=options))
        return found

    async def _sponsorships(self, asked: Streamr) -> tuple[str, ...]:
        """Raises PollError."""
        from exporters.protocols.streamr.abi import Words
        from exporters.protocols.streamr.contracts import call
        from exporters.protocols.streamr.jsonrpc import Discreet, ask

        url = read_secret(asked.rpc_file) if asked.rpc_file else asked.rpc
        question = call(asked.operator, "getSponsorshipsAndEarnings()")
        answers = await ask(Discreet(self._session), url, {"earnings": question})
        return Words.of(answers["earnings"], what="the operator's contract").addresses(0)


def operator_address(text: str) -> str:
    """An address of a contract. Raises ValueError, with what is wrong."""
    from exporters.protocols.streamr import Address

    try:
        return str(TypeAdapter[str](Address).validate_python(text))
    except ValidationError as exc:
        said = exc.errors(include_url=False)[0]
        wrong = (
            str(said["ctx"]["error"])
            if said["type"] == "value_error"
            else "is no address; write 0x and 40 hexadecimal digits"
        )
        raise ValueError(wrong) from exc


def _missed(endpoint: str, sentence: str, todo: str) -> Harvest:
    return Harvest(missed=(Missed(endpoint, sentence, todo),))


def _silent(protocol: str, endpoint: str, reading: Reading, *, named: bool) -> Harvest:
    """A look that gave no reading: nothing to tell where nobody was expected and nobody listens."""
    if reading.failure == "unreachable" and not named:
        return Harvest()
    said = reading.failure_message or "it gave no reading"
    if reading.failure == "timeout":
        return _missed(
            endpoint,
            f"takes connections and does not answer ({said})",
            f"if it is a {protocol} node that is starting, try again later with a larger --patience",
        )
    return _missed(
        endpoint, f"gave no reading as {protocol}: {said}", f"docs/protocols/{protocol}.md says what it needs"
    )


def _once(found: Iterable[Found]) -> tuple[Found, ...]:
    """Each node once, though it may answer at two addresses (127.0.0.1 and the machine's own)."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for each in found:
        told = each.reading.node_id if each.protocol in {"storj", "golem"} else None
        mark = (each.protocol, told or f"{each.endpoint} {each.options.get('sponsorship', '')}")
        if mark not in seen:
            seen.add(mark)
            kept.append(each)
    return tuple(kept)
