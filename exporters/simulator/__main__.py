"""`python -m exporters.simulator --manifests DIR`: serve the demonstration's world and write its manifests.

Prints one JSON line per address once everything listens, then serves until SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from exporters.simulator import manifests
from exporters.simulator.demo import HISTORY, Demo, demo
from exporters.simulator.files import Files
from exporters.simulator.server import Server


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m exporters.simulator", description="Simulated DePIN nodes with real APIs."
    )
    parser.add_argument("--manifests", type=Path, required=True, help="directory that the manifests are written to")
    parser.add_argument(
        "--exporter-manifests",
        type=Path,
        help="for the stand-alone exporter; default: the directory beside, named -exporter",
    )
    parser.add_argument(
        "--nodes", type=Path, help="for the nodes' own configuration files; default: the directory beside, named -nodes"
    )
    parser.add_argument("--seed", type=int, default=1, help="same seed and origin, same world")
    parser.add_argument("--day", type=float, default=1800.0, help="seconds that a day's rhythm takes (default 1800)")
    parser.add_argument(
        "--origin", type=float, help="Unix time at which the world begins (default: 48 h ago, on the hour)"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--port-base", type=int, default=0, help="first of consecutive ports (default: any that are free)"
    )
    return parser.parse_args(argv)


def default_origin(now: float) -> float:
    return (now - HISTORY) // 3600.0 * 3600.0


async def serve(made: Demo, options: argparse.Namespace) -> None:
    """Serve until a signal says to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    directory: Path = options.manifests.resolve()
    files = Files(options.nodes or directory.with_name(f"{directory.name}-nodes"), made.world)
    files.write_all()
    server = Server(made.world, host=options.host, files=files)
    names = list(made.world.sites)
    ports = {name: options.port_base + k for k, name in enumerate(names)} if options.port_base else {}
    try:
        await server.start(ports, options.port_base + len(names) if options.port_base else 0)
        _write(made, server, options)
        for name in names:
            print(json.dumps({"site": name, "address": server.address(name)}), flush=True)  # noqa: T201 this is what it is for
        print(json.dumps({"site": "control", "address": server.control}), flush=True)  # noqa: T201 same
        await stop.wait()
    finally:
        await server.close()


def _write(made: Demo, server: Server, options: argparse.Namespace) -> None:
    directory: Path = options.manifests.resolve()
    beside = options.exporter_manifests or directory.with_name(f"{directory.name}-exporter")
    where = {name: server.address(name) for name in made.world.sites}
    manifests.write(directory, manifests.documents(made, where, directory / "secrets"), made.secrets)
    manifests.write(beside.resolve(), manifests.garage(where), {})


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    origin = options.origin if options.origin is not None else default_origin(time.time())
    try:
        asyncio.run(serve(demo(options.seed, origin=origin, day=options.day), options))
    except OSError as exc:
        print(f"the simulator cannot serve: {exc}", file=sys.stderr)  # noqa: T201 the operator reads it
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
