"""Which of the fleet's sites this controller is, and the agent that it brings into the fleet. Wiring."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import structlog

from controller.address import StoreError, StoreFenced
from controller.fleet.agent import Agent
from controller.fleet.running import at_work, transport_for
from controller.fleet.site import Site
from controller.fleet.stored import Stored
from controller.fleet.transport import Unreachable
from controller.once import CouldNot

if TYPE_CHECKING:
    from controller.fleet.manifest import Fleet
    from controller.store import Store
    from exporters.clock import Clock

log = structlog.get_logger("orcha.fleet")
AGAIN: Final = 5.0
"""Seconds after which an agent that stopped goes on."""
VARIABLE: Final = "ORCHA_SITE"
"""Of the environment: the site's name, where the command line does not say it."""


def site_named(fleet: Fleet, given: str | None) -> str:
    """Raises CouldNot where nobody said which site this is, or there is none of that name."""
    sites = fleet.spec.sites
    name = given or os.environ.get(VARIABLE) or (sites[0] if len(sites) == 1 else None)
    if name is None:
        raise CouldNot(
            f"Fleet {fleet.name} has sites {', '.join(sites)}; say which one this is: --site NAME, or {VARIABLE}"
        )
    if name not in sites:
        if name in fleet.spec.relays:
            raise CouldNot(f"{name!r} is a relay of Fleet {fleet.name}: `orcha fleet host --site {name}` runs it")
        raise CouldNot(f"Fleet {fleet.name} has no site {name!r}; it has {', '.join(sites)}")
    return name


def _in_environment() -> str:
    """As somebody wrote it there; "": nobody did."""
    name = os.environ.get(VARIABLE)
    return f"{VARIABLE}={name}" if name else ""


@contextlib.asynccontextmanager
async def joined(fleet: Fleet | None, given: str | None, store: Store, clock: Clock) -> AsyncIterator[Site | None]:
    """The controller's part in the fleet, its agent at work; None: it stands alone. Raises CouldNot."""
    if fleet is None:
        if wanted := f"--site {given}" if given is not None else _in_environment():
            # alone it would not keep to the limits that the others rely on
            raise CouldNot(f"{wanted} needs a Fleet among the manifests that has this site")
        yield None
        return
    me = site_named(fleet, given)
    async with contextlib.AsyncExitStack() as stack:
        try:
            agent = await stack.enter_async_context(
                Agent.opened(me, fleet.spec, Stored(store, me), transport_for(fleet.spec), clock)
            )
        except (StoreError, Unreachable) as exc:
            raise CouldNot(str(exc)) from exc
        running = asyncio.create_task(tended(agent, clock), name=f"agent {me}")
        try:
            log.info("this is a site of a fleet", fleet=fleet.name, site=me, agents=len(fleet.spec.agents))
            yield Site(fleet.spec, me, agent, clock)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def tended(agent: Agent, clock: Clock) -> None:
    """Keep it at work. Who was overtaken as the writer of its state is silent from then on."""
    while True:
        try:
            await at_work(agent, clock)
        except StoreFenced as exc:
            log.error("this agent is not the writer of its state any more; it says nothing further", why=str(exc))
            return
        except Exception:
            log.exception(
                "an agent stopped; it goes on in a moment; please report this as a bug", agent=agent.peer.name
            )
            await asyncio.sleep(AGAIN)


def changed(before: Fleet | None, now: Fleet | None) -> list[str]:
    """Those changed fields of the Fleet that are read at the start only, as they are written."""
    if before is None or now is None:
        return [] if before is now else ["Fleet"]
    fields = ("sites", "relays", "topology", "nats", "heartbeat", "timeout", "sync")
    return [name for name in fields if getattr(before.spec, name) != getattr(now.spec, name)]
