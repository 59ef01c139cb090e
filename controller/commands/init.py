"""`orcha init`: finds the nodes of this machine, writes the first manifests, and says what comes next.

Every question has a flag; without a terminal, or with --yes, nothing is asked.
"""

from __future__ import annotations

import asyncio
import platform
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from controller.commands.options import DEFAULT_MANIFESTS, finish
from controller.commands.questions import Answers, ask, ask_key_file
from controller.commands.terminal import NO, fail, put, say, tell
from controller.setup.wish import GRASS, HERE, Ports, Streamr, Wish, address, has_key, is_here, node_name
from controller.setup.wish import host as host_alone
from exporters.collector import discover

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.setup.drafting import Draft
    from controller.setup.found import Harvest

_KEYS: Final = "a file with it, not the thing itself"


def init(  # noqa: PLR0913, PLR0917 every question has its flag
    directory: Annotated[Path, typer.Argument(help="Where the manifests go.")] = DEFAULT_MANIFESTS,
    node: Annotated[str | None, typer.Option(help="What this machine is called; default: its host name.")] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="Try the usual ports there; several are possible; default 127.0.0.1.")
    ] = None,
    only_named: Annotated[bool, typer.Option("--only-named", help="Try no ports: only what is named here.")] = False,
    storj: Annotated[
        list[str] | None, typer.Option(help="Address of a storagenode's console: http://HOST:14002.")
    ] = None,
    storj_folder: Annotated[
        Path | None,
        typer.Option(help="Folder of the storagenodes' data on this machine; says how large they may become."),
    ] = None,
    golem: Annotated[list[str] | None, typer.Option(help="Address of a yagna daemon: http://HOST:7465.")] = None,
    golem_key_file: Annotated[Path | None, typer.Option(help=f"yagna's application key: {_KEYS}.")] = None,
    streamr_operator: Annotated[str | None, typer.Option(help="Address of a Streamr operator's contract.")] = None,
    streamr_rpc: Annotated[str | None, typer.Option(help="JSON-RPC address of its chain.")] = None,
    streamr_rpc_file: Annotated[
        Path | None, typer.Option(help="The same, where it has a key in it: a file with the whole address.")
    ] = None,
    streamr_sponsorship: Annotated[
        list[str] | None, typer.Option(help="Only these; default: all that the operator has staked in.")
    ] = None,
    grass_token_file: Annotated[Path | None, typer.Option(help=f"Grass access token: {_KEYS}.")] = None,
    grass: Annotated[str, typer.Option(help="Address of Grass's API.")] = GRASS,
    mapped: Annotated[
        list[str] | None, typer.Option(help="Address of another program's Prometheus text, to be watched.")
    ] = None,
    price: Annotated[
        list[str] | None, typer.Option(help="A token's price in USD where no source tells it: GLM=0.3.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask nobody for prices, now or later.")] = False,
    patience: Annotated[
        float, typer.Option(min=0.5, max=300, help="Seconds that one address may take to answer.")
    ] = 10.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be written.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are there; a copy of each is kept.")
    ] = False,
) -> None:
    """Find the nodes here and write the first manifests. Nothing is overwritten, and no node is changed.

    Exit 0: written; 1: no node was found; 2: could not.
    """
    from controller.setup.placing import check_place

    given = Answers(
        node=node, hosts=[] if only_named else host or [HERE], storj=storj or [], storj_folder=storj_folder, golem=golem or [],
        golem_key_file=golem_key_file, operator=streamr_operator, rpc=streamr_rpc, rpc_file=streamr_rpc_file,
        sponsorships=streamr_sponsorship or [], grass=grass, grass_token_file=grass_token_file, mapped=mapped or [],
    )  # fmt: skip
    asks = sys.stdin.isatty() and not yes
    _in_words(check_place, directory, dict.fromkeys(("policy.yaml", "settings.yaml"), ""), force=force or dry_run)
    if asks:
        ask(given, directory)
    wish = _wish(directory, given, _prices(price or []), offline)
    harvest = _find(wish, patience)
    if asks and (file := ask_key_file(harvest, wish)):
        given.golem_key_file = file
        wish = _wish(directory, given, _prices(price or []), offline)
        harvest = _find(wish, patience)
    _tell_missed(harvest)
    if not harvest.found:
        fail("no node was found, and nothing was written; name one with a flag (orcha init --help)", NO)
    _write(wish, harvest, force=force, dry_run=dry_run)


def _wish(directory: Path, given: Answers, prices: dict[str, float], offline: bool) -> Wish:
    """The flags and answers, checked. Ends the program where one cannot be."""
    own = node_name(given.node or platform.node())
    if given.node is not None and own != given.node:
        fail(f"--node {given.node!r} is no name; write lower case letters, digits and '-', such as {own}")
    for flag, file in (
        ("--golem-key-file", given.golem_key_file), ("--grass-token-file", given.grass_token_file),
        ("--streamr-rpc-file", given.rpc_file), ("--storj-folder", given.storj_folder),
    ):  # fmt: skip
        if file is not None and not file.exists():
            fail(f"{flag} {file} does not exist; name a {'folder' if flag == '--storj-folder' else 'file'} that does")
    return Wish(
        directory, own, tuple(_checked("--host", each, host_alone) for each in given.hosts), Ports(),
        tuple(_address("--storj", each) for each in given.storj), tuple(_address("--golem", each) for each in given.golem),
        given.golem_key_file, _streamr(given), _address("--grass", given.grass), given.grass_token_file,
        tuple(_address("--mapped", each) for each in given.mapped), given.storj_folder, offline, prices,
    )  # fmt: skip


def _address(flag: str, text: str) -> str:
    return _checked(flag, text, address)


def _checked(flag: str, text: str, check: Callable[[str], str]) -> str:
    try:
        return check(text)
    except ValueError as exc:
        fail(f"{flag} {exc}")


def _streamr(given: Answers) -> Streamr | None:
    from controller.setup.finding import operator_address

    if given.operator is None:
        return None
    if given.rpc is None and given.rpc_file is not None:
        given.rpc = _origin_in(given.rpc_file)
    if given.rpc is None:
        fail("--streamr-operator needs --streamr-rpc: the JSON-RPC address of the chain, such as https://rpc.example")
    named = [("--streamr-operator", given.operator), *(("--streamr-sponsorship", each) for each in given.sponsorships)]
    contracts = []
    for flag, text in named:
        try:
            contracts.append(operator_address(text))
        except ValueError as exc:
            fail(f"{flag} {exc}")
    rpc = _address("--streamr-rpc", given.rpc)
    if has_key(rpc):
        fail("--streamr-rpc has a key in it; put the whole address into a file, and name that with --streamr-rpc-file")
    return Streamr(contracts[0], rpc, given.rpc_file, tuple(contracts[1:]))


def _origin_in(file: Path) -> str:
    """https://HOST of the address that a file holds: the part of it that may be shown."""
    from exporters.collector import read_secret
    from exporters.errors import PollError
    from exporters.protocols.streamr.jsonrpc import origin

    try:
        return origin(read_secret(file))
    except PollError as exc:
        fail(f"--streamr-rpc-file: {exc}")


def _prices(given: list[str]) -> dict[str, float]:
    prices = {}
    for text in given:
        token, _, usd = text.partition("=")
        try:
            prices[token] = float(usd)
        except ValueError:
            fail(f"--price {text!r} is not a price; write TOKEN=USD, such as GLM=0.3")
        if not token or not 0 < prices[token] < 1e12:
            fail(f"--price {text!r} is not a price; write TOKEN=USD, such as GLM=0.3")
    return prices


def _find(wish: Wish, patience: float) -> Harvest:
    places = f"the usual ports of {', '.join(wish.hosts)}" if wish.hosts else "the addresses that you named"
    tell(f"orcha: looking at {places} ...")
    return finish(_looked(wish, patience))


async def _looked(wish: Wish, patience: float) -> Harvest:
    from controller.setup.finding import Finder
    from exporters.clock import SystemClock
    from exporters.poller import open_client
    from exporters.session import HttpSession

    async with open_client() as client:
        return await Finder(discover(), HttpSession(client), SystemClock(), patience).find(wish)


def _tell_missed(harvest: Harvest) -> None:
    """What became no workload; and of hosts that somebody named, those at which there is nothing at all."""
    for each in harvest.missed:
        tell(f"  {each.endpoint}: {each.sentence}\n    → {each.todo}")
    for host in harvest.silent:
        tell(
            f"  {host}: nobody answers at the usual ports\n    → see that it can be reached from here, and what it lets in"
        )


def _write(wish: Wish, harvest: Harvest, *, force: bool, dry_run: bool) -> None:
    from controller.setup.drafting import draft
    from controller.setup.machine import disk, machine
    from controller.setup.placing import place

    here = [each for each in harvest.found if is_here(each.endpoint)]
    try:
        under = disk(wish.storj_folder) if wish.storj_folder else None
    except OSError as exc:
        fail(f"--storj-folder {wish.storj_folder} cannot be looked at ({exc.strerror}); name one that you may read")
    if under is not None and not any(each.protocol == "storj" for each in here):
        tell(
            "orcha: --storj-folder changes nothing: no storagenode answers at 127.0.0.1, and of others the disk is not known"
        )
    made = draft(wish, harvest.found, machine() if here else None, under)
    kept = _in_words(place, wish.directory, made.files, discover(), force=force or dry_run, keep=not dry_run)
    for sentence in kept:
        tell(f"orcha: {sentence}")
    if dry_run:
        put("".join(f"# --- {wish.directory / name}\n{text}\n" for name, text in made.files.items()))
        return
    say(_explanation(wish, made))


def _in_words(work: Any, *given: Any, **named: Any) -> Any:
    """What it gives; what the operator can mend ends the program with its sentence."""

    async def done() -> Any:
        return await asyncio.to_thread(work, *given, **named)

    return finish(done())


def _explanation(wish: Wish, made: Draft) -> str:
    """What was written, and the next step."""
    lines = [f"Written to {wish.directory}: {', '.join(made.files)}"]
    for key, sized in made.workloads.items():
        lines.append(f"  {key}: {'watched, with bounds for moves' if sized.resource else 'watched'}")
    where = "" if wish.directory == DEFAULT_MANIFESTS else f" -m {shlex.quote(str(wish.directory))}"
    lines += [
        "",
        f"1. orcha plan{where}    looks at every node once, and shows what is there and what is missing for a plan.",
        f"2. orcha run{where}     goes on looking; the first plan is ready after 2 h of it: http://127.0.0.1:9872",
        f"3. orcha doctor{where}  says what is wrong, if anything. Nothing is changed on any node: the policy says Suggest.",
    ]
    return "\n".join(lines)
