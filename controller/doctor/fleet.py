"""The fleet: whether it is known which site this is, and whether the servers are there that its agents reach each other by."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from controller.doctor.files import named_in, not_asked
from controller.doctor.finding import Finding, Mark, ok, split, warn
from controller.fleet.transport import Unreachable
from controller.membership import VARIABLE, site_named
from controller.once import CouldNot

if TYPE_CHECKING:
    from controller.fleet.manifest import Fleet, Nats

AREA: Final = "fleet"


async def fleet(found: Fleet, patience: float, closed: frozenset[str] = frozenset()) -> list[Finding]:
    """Which site this is, and a look at each server. `closed`: files that must not be opened."""
    nats = found.spec.nats
    if nats is not None and closed & named_in(nats):
        return [_site(found), *(not_asked(AREA, f"NATS {address}") for address in nats.servers)]
    looks = [_server(nats, address, patience) for address in nats.servers] if nats is not None else []
    servers = list(await asyncio.gather(*looks))
    if any(each.mark is Mark.OK for each in servers):  # one that answers is enough
        servers = [Finding(Mark.WARN, AREA, e.what, e.found, e.todo) if e.mark is Mark.FAIL else e for e in servers]
    return [_site(found), *servers]


def _site(found: Fleet) -> Finding:
    named = os.environ.get(VARIABLE)
    if named in found.spec.relays:
        return ok(AREA, "site", f"relay {named} of Fleet {found.name}, as {VARIABLE} says")
    try:
        name = site_named(found, None)
    except CouldNot as exc:
        if named is not None:
            return split(AREA, "site", str(exc), otherwise=f"correct {VARIABLE}")
        sites = ", ".join(found.spec.sites)
        return warn(
            AREA, "site", f"nothing says which of {sites} this is", f"set {VARIABLE}, or start with --site NAME"
        )
    return ok(AREA, "site", f"{name} of Fleet {found.name}")


async def _server(nats: Nats, address: str, patience: float) -> Finding:
    """Connected to as an agent does it, and left at once."""
    from controller.fleet.transport.connecting import Place, check, connect, leave

    what, todo = f"NATS {address}", "see whether it runs, and can be reached from here; correct nats of the Fleet"

    async def ended(*_: object) -> None:
        """Nobody stays to see it."""

    try:
        check(nats)
        async with asyncio.timeout(patience):
            client = await connect(nats, Place.read(address), ended, ended)
    except TimeoutError:
        return split(AREA, what, f"did not answer within {patience:.0f} s", otherwise=todo)
    except Unreachable as exc:
        return split(AREA, what, str(exc), otherwise=todo)
    await leave(client)
    return ok(AREA, what, "takes this agent")
