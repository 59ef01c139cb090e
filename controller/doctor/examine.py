"""The whole examination: every room at once, each within its time, in one order whatever ends first. Wiring."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from controller.address import StoreError, address_of
from controller.doctor import here
from controller.doctor.drivers import drivers, lease
from controller.doctor.files import credentials, named_in, not_asked, not_plain, tokens, unusable
from controller.doctor.finding import Finding, split, unknown
from controller.doctor.fleet import fleet
from controller.doctor.listening import listening
from controller.doctor.nodes import Looked, clocks, judged, look_at_all, read_by_others
from controller.doctor.prices import priced
from controller.doctor.state import state
from controller.doctor.web import beside
from controller.observe.chosen import NotChosen, source_of
from controller.observe.prometheus import FromPrometheus
from controller.once import CouldNot, state_url
from exporters.clock import SystemClock
from exporters.collector import workloads_of
from exporters.poller import open_client
from exporters.session import HttpSession

if TYPE_CHECKING:
    import aiohttp

    from controller.manifests import Manifests
    from exporters.collector import Collector
    from exporters.reading import Reading

T = TypeVar("T")
PATIENCE: Final = 8.0
"""Seconds for one look, where nothing else is said. Prices come after the looks, in half of that: 12 s in all."""
_GRACE: Final = 1.0
"""Seconds in which a room that kept its own time is waited for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    paths: tuple[Path, ...]
    listen: str | None = None
    state: str | None = None
    source: str | None = None
    patience: float = PATIENCE


async def examine(asked: Asked, collectors: Mapping[str, Collector], version: str) -> list[Finding]:
    """Everything that can be looked at, in the order in which a person would mend it."""
    found, manifests = await asyncio.to_thread(here.read, asked.paths, collectors)
    findings = [here.program(version), *manifests]
    if found is None:
        return findings
    async with open_client() as client:
        return findings + await _Examination(asked, found, collectors, client).run()


class _Examination:
    """Of manifests that are valid."""

    def __init__(
        self, asked: Asked, found: Manifests, collectors: Mapping[str, Collector], client: aiohttp.ClientSession
    ) -> None:
        self._asked, self._found, self._collectors, self._client = asked, found, collectors, client
        self._spec = found.settings.spec
        self._session, self._clock = HttpSession(client), SystemClock()
        self._closed: frozenset[str] = frozenset()
        """Files that must not even be opened, once that is known."""

    async def run(self) -> list[Finding]:
        files = await _within("credentials", asyncio.to_thread(credentials, self._found), _GRACE)
        self._closed = await asyncio.to_thread(not_plain, files)
        parts = await asyncio.gather(
            self._nodes_and_what_follows(unusable(files)),
            self._lease(),
            self._state(),
            self._addresses(),
            self._fleet(),
            self._controller(),
        )
        return files + [finding for part in parts for finding in part]

    async def _nodes_and_what_follows(self, skipped: frozenset[str]) -> list[Finding]:
        """Prices are asked for the tokens that the nodes count in, and drivers may want to know what a node has."""
        patience = self._asked.patience
        findings, readings = await self._nodes(skipped)
        if self._closed & named_in(self._spec.prices):
            prices = _within("prices", _just(not_asked("prices", "prices")), patience)
        elif (self._asked.source or self._spec.source) == "embedded":
            work = priced(readings.values(), self._spec.prices, self._session, self._clock, patience / 2)
            prices = _within("prices", work, patience / 2)
        else:
            prices = _within("prices", _just(), patience)
        return [
            finding for part in (findings, *await asyncio.gather(prices, self._drivers(readings))) for finding in part
        ]

    async def _nodes(self, skipped: frozenset[str]) -> tuple[list[Finding], dict[str, Reading]]:
        if (self._asked.source or self._spec.source) != "embedded":
            return await self._nodes_of_prometheus()
        patience = self._asked.patience
        work = look_at_all(self._found.nodes, self._collectors, self._session, self._clock, patience, skipped)
        looked: list[Looked] = await work
        readings = {each.workload.key: each.reading for each in looked if each.reading is not None}
        return [*map(judged, looked), *clocks(looked)], readings

    async def _nodes_of_prometheus(self) -> tuple[list[Finding], dict[str, Reading]]:
        if self._closed & named_in(self._spec.prometheus):
            return [not_asked("nodes", "source")], {}
        try:
            source = source_of(self._found.nodes, self._spec, self._collectors, self._client, self._clock, "prometheus")
        except NotChosen as exc:
            return [split("nodes", "source", str(exc))], {}
        if not isinstance(source, FromPrometheus):
            return [], {}
        try:
            async with asyncio.timeout(self._asked.patience):
                newest = (await source.observe(patience=self._asked.patience)).newest
        except TimeoutError:
            newest = {}
        finally:
            await source.close()
        return read_by_others({key: newest.get(key) for key in source.watched}), dict(newest)

    async def _drivers(self, readings: Mapping[str, Reading]) -> list[Finding]:
        workloads = {each.key: each for each in workloads_of(self._found.nodes, self._collectors)}
        acting = {key: each.spec.actuator for key, each in workloads.items() if each.spec.actuator is not None}
        skipped = sorted(key for key, actuator in acting.items() if self._closed & named_in(actuator))
        asked = {key: each for key, each in workloads.items() if key not in skipped}
        work = drivers(
            self._found, asked, readings, self._collectors, self._session, self._clock, self._folder(), self._asked.patience / 2
        )  # fmt: skip
        found = await _within("drivers", work, self._asked.patience / 2)
        return [*found, *(not_asked("drivers", key) for key in skipped)]

    async def _lease(self) -> list[Finding]:
        wanted = self._spec.lease
        if wanted is None:
            return []
        return await _within("drivers", lease(wanted, self._asked.patience), self._asked.patience)

    def _folder(self) -> Path:
        """Beside the state; where that is a database, where orcha is started."""
        try:
            path = address_of(self._state_url(), write=True).path
        except (CouldNot, StoreError, OSError):
            path = None
        return path.parent if path else Path.cwd()

    def _state_url(self) -> str:
        """Raises CouldNot, also for a file that whoever opened it would wait for."""
        file = self._spec.state_file
        told = self._asked.state or self._spec.state
        if file and not told and str(Path(file)) in self._closed:
            raise CouldNot(f"where it is was not read: {file} cannot be used; mend the file (under credentials)")
        return state_url(self._found, self._asked.state)

    async def _state(self) -> list[Finding]:
        try:
            url = self._state_url()
        except CouldNot as exc:
            return [split("state", "state", str(exc))]
        return await _within("state", state(url, self._asked.patience), self._asked.patience)

    async def _addresses(self) -> list[Finding]:
        looks = beside(self._found, self._client, self._session, self._asked.patience, self._closed)
        return await _within("addresses", _together(looks), self._asked.patience)

    async def _fleet(self) -> list[Finding]:
        found = self._found.fleet
        if found is None:
            return []
        return await _within("fleet", fleet(found, self._asked.patience, self._closed), self._asked.patience)

    async def _controller(self) -> list[Finding]:
        listen = self._asked.listen or self._spec.listen
        work = _together([listening(listen, self._session, self._asked.patience / 2)])
        port = await _within("controller", work, self._asked.patience)
        try:
            return port + tokens(self._spec, listen)
        except ValueError:  # no address to listen on, as `port` tells
            return port


async def _just(*findings: Finding) -> list[Finding]:
    return list(findings)


async def _together(looks: Iterable[Coroutine[Any, Any, Finding]]) -> list[Finding]:
    return list(await asyncio.gather(*looks))


async def _within(area: str, work: Coroutine[Any, Any, list[Finding]], seconds: float) -> list[Finding]:
    """The room's findings; where it does not end, or fails by a fault of orcha's own, that is one."""
    try:
        async with asyncio.timeout(seconds + _GRACE):
            return await work
    except TimeoutError:
        return [
            unknown(
                area, area, f"this did not end within {seconds + _GRACE:.0f} s", "try again with a larger --patience"
            )
        ]
    except Exception as exc:  # noqa: BLE001 one room that fails must not keep the others from being shown
        return [unknown(area, area, f"could not be looked at ({type(exc).__name__})", "please report this as a bug")]
