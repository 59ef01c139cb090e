"""`orcha fleet status`, `agents`, `timeline` and `topology`: what a running controller, or a host of relays, knows of its fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from controller.commands.options import Output, View, manifests_of, show, wants
from controller.commands.remote import DEFAULT_API, Api, NotTold, Remote, TokenFile, settle
from controller.commands.terminal import NO, fail


def status(api: Api = None, token_file: TokenFile = None, output: Output = "table") -> None:
    """Show whether all sites are heard and agree, what the fleet's limits leave to each, and what is wrong."""
    from controller.report.fleet_tables import status_table

    wants(output)
    show(_asked("fleet", api, token_file), output, status_table)


def agents(api: Api = None, token_file: TokenFile = None, output: Output = "table") -> None:
    """List the agents: health, when each was heard last, whether it knows the same, its disk and its connection."""
    from controller.report.fleet_tables import agents_table

    wants(output)
    show(_asked("fleet", api, token_file), output, agents_table)


def timeline(api: Api = None, token_file: TokenFile = None, output: Output = "table") -> None:
    """Show how many messages came on each way, how long they took, and what failed."""
    from controller.report.fleet_tables import timeline_table

    wants(output)
    show(_asked("fleet/timeline", api, token_file), output, timeline_table)


def topology(
    manifests: Annotated[
        list[Path] | None,
        typer.Argument(help="Files or directories of manifests: their Fleet, without asking a controller."),
    ] = None,
    api: Api = None,
    token_file: TokenFile = None,
    output: Output = "table",
) -> None:
    """Show who talks with whom, and how many hops it is from one to another; of a running controller also who is cut off."""
    from controller.report.fleet_tables import topology_table

    wants(output)
    if manifests and api:
        fail("manifests and --api name two fleets; write one of them")
    view = _declared(manifests) if manifests else _asked("fleet", api, token_file)
    alive = {row["name"]: row["alive"] for row in view["agents"]}
    shown = {name: view[name] for name in ("name", "sites", "relays", "topology")}
    show({**shown, "alive": alive}, output, topology_table)


def _declared(paths: list[Path]) -> View:
    """The Fleet of these manifests, of which nobody is known to live."""
    from controller.fleet.shown import FleetFace, fleet_view

    found = manifests_of(paths).fleet
    if found is None:
        fail("none of these manifests is a Fleet; docs/fleet.md shows one", NO)
    return fleet_view(FleetFace(found.name, found.spec), 0.0)


def _asked(path: str, api: str | None, token_file: Path | None) -> View:
    """What the API answers."""
    remote = Remote(api or DEFAULT_API, token_file)

    async def work() -> View:
        found: Any = await remote.get(path)
        if not isinstance(found, dict) or "seen_by" not in found:
            raise NotTold(f"{remote.api} answered something else than its fleet; is this an orcha controller?")
        return found

    return settle(work())
