"""`orcha fleet ...`: agents that have no controller, what is seen of a fleet, and one to play with. Wiring."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from controller.address import StoreError
from controller.commands.fleet_demo import demo
from controller.commands.fleet_shown import agents, status, timeline, topology
from controller.commands.options import DEFAULT_MANIFESTS, finish, manifests_of
from controller.commands.terminal import say
from controller.once import CouldNot
from controller.store import Store

fleet = typer.Typer(
    help="Many sites without a leader: look at a fleet, run its relays, try one out.", no_args_is_help=True
)


@fleet.command()
def host(
    manifests: Annotated[list[Path], typer.Argument(help="Files or directories of manifests.")] = [DEFAULT_MANIFESTS],  # noqa: B006 typer reads the default, nobody writes to it
    site: Annotated[
        list[str] | None,
        typer.Option(
            envvar="ORCHA_SITE", help="A relay to run; may be given several times. Default: all of the Fleet's."
        ),
    ] = None,
    listen: Annotated[str, typer.Option(help="HOST:PORT to serve on.")] = "127.0.0.1:9873",
    state: Annotated[
        str, typer.Option(help="Where what they know is kept: sqlite:///PATH or postgresql://...")
    ] = "sqlite:///orcha-fleet.db",
) -> None:
    """Run relays of a Fleet: agents that own nothing and carry on what the sites say. A site's own agent is in `orcha run`."""
    from controller.fleet.hosting import Options, host

    finish(host(manifests_of(manifests), Options(tuple(site or ()), listen, state)))


@fleet.command()
def forget(
    state: Annotated[str, typer.Option(help="The state that was put back: sqlite:///PATH or postgresql://...")],
) -> None:
    """After an old copy of a site's state was put back, and before it starts: forget what it knew of the fleet; its history stays."""
    names = finish(_forgotten(state))
    if not names:
        say("there is nothing of a fleet in this state; nothing was changed")
        return
    say(
        f"forgotten: what {', '.join(names)} knew; nothing more is taken until all other agents have told what was promised"
    )


async def _forgotten(url: str) -> list[str]:
    from controller.fleet.stored import forget

    try:
        await (await Store.open(url, write=False)).close()  # a wrong address must not make a new state
        store = await Store.open(url)
        try:
            return await forget(store)
        finally:
            await store.close()
    except StoreError as exc:
        raise CouldNot(str(exc)) from exc


fleet.command()(demo)
for look in (status, agents, timeline, topology):
    fleet.command()(look)
