"""The owners' commands of simulated nodes, for drivers that run a command.

    python -m exporters.simulator.tool ya-provider --data-dir DIR profile update --name default --cpu-threads 4 --mem-gib 6
    python -m exporters.simulator.tool ya-provider --data-dir DIR --json profile list | active
    python -m exporters.simulator.tool storagenode --config FILE --restart URL 6TB
    python -m exporters.simulator.tool market --control URL rack-1/akash cpu=4

The first is ya-provider's own interface, file forms included (reference: storj-golem 2.3); the second stands for the
script with which people edit `storage.allocated-disk-space` and restart their node; the third is that of a compute market.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exporters.simulator.disk import RefusedToStart, read_size
from exporters.simulator.files import replace

_TIMEOUT = 10.0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m exporters.simulator.tool", description="What owners run on their nodes."
    )
    programs = parser.add_subparsers(dest="program", required=True)
    provider = programs.add_parser("ya-provider")
    provider.add_argument("--data-dir", type=Path, required=True)
    provider.add_argument("--json", action="store_true")
    profile = (
        provider.add_subparsers(dest="noun", required=True)
        .add_parser("profile")
        .add_subparsers(dest="verb", required=True)
    )
    profile.add_parser("list")
    profile.add_parser("active")
    update = profile.add_parser("update")
    update.add_argument("--name", required=True)
    update.add_argument("--cpu-threads", type=int)
    update.add_argument("--mem-gib", type=float)
    update.add_argument("--storage-gib", type=float)
    node = programs.add_parser("storagenode")
    node.add_argument("--config", type=Path, required=True)
    node.add_argument("--restart", required=True, metavar="URL")
    node.add_argument("allocated")
    market = programs.add_parser("market")
    market.add_argument("--control", required=True, metavar="URL")
    market.add_argument("workload")
    market.add_argument("amounts", nargs="+", metavar="RESOURCE=AMOUNT")
    return parser.parse_args(argv)


def ya_provider(options: argparse.Namespace) -> str:
    """Gives what is printed. Raises ValueError with ya-provider's kind of complaint."""
    path = options.data_dir / "hardware.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if options.verb == "list":
        return json.dumps(found["profiles"])
    if options.verb == "active":
        return json.dumps(found["active"])
    changed = {name: getattr(options, name) for name in ("cpu_threads", "mem_gib", "storage_gib")}
    changed = {name: value for name, value in changed.items() if value is not None}
    if not changed:
        raise ValueError("at least one of --cpu-threads, --mem-gib, --storage-gib is needed")
    if options.name not in found["profiles"]:
        raise ValueError(f"profile {options.name!r} does not exist")
    found["profiles"][options.name] |= changed
    replace(path, json.dumps(found, indent=2))
    return ""


def storagenode(options: argparse.Namespace) -> str:
    """Write the configuration, then restart. Raises ValueError for what is no size, OSError where nothing answers."""
    read_size(options.allocated)
    replace(options.config, f"storage.allocated-disk-space: {options.allocated}\n")
    return _posted(options.restart)


def market(options: argparse.Namespace) -> str:
    """Raises ValueError for what is no amount, OSError where nothing answers."""
    wish = {name: float(amount) for name, _, amount in (each.partition("=") for each in options.amounts)}
    return _posted(f"{options.control}/apply/{options.workload}", json.dumps(wish).encode())


def _posted(url: str, body: bytes | None = None) -> str:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 the simulator's own control address
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310 same
        return str(json.load(response)["said"])


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    try:
        said = {"ya-provider": ya_provider, "storagenode": storagenode, "market": market}[options.program](options)
    except urllib.error.HTTPError as exc:
        print(exc.read().decode(errors="replace"), file=sys.stderr)  # noqa: T201 a command speaks on its streams
        return 1
    except (OSError, KeyError, ValueError, RefusedToStart) as exc:
        print(f"error: {exc}", file=sys.stderr)  # noqa: T201 same
        return 1
    if said:
        print(said)  # noqa: T201 same
    return 0


if __name__ == "__main__":
    sys.exit(main())
