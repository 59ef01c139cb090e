"""What `orcha init` asks at a terminal, for what no flag told. Secrets are asked for by the name of their file alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.commands.terminal import tell
from controller.setup.placing import SECRETS
from controller.setup.wish import HERE, address, has_key, host

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.setup.found import Harvest
    from controller.setup.wish import Wish


@dataclass
class Answers:
    """The flags, completed by what is answered."""

    grass: str
    node: str | None = None
    hosts: list[str] = field(default_factory=list)
    storj: list[str] = field(default_factory=list)
    storj_folder: Path | None = None
    golem: list[str] = field(default_factory=list)
    golem_key_file: Path | None = None
    operator: str | None = None
    rpc: str | None = None
    rpc_file: Path | None = None
    sponsorships: list[str] = field(default_factory=list)
    grass_token_file: Path | None = None
    mapped: list[str] = field(default_factory=list)


def ask(given: Answers, directory: Path) -> None:
    """Fill in what no flag told. Enter leaves a thing out; what cannot be is asked again, so that no answer is lost."""
    from controller.setup.finding import operator_address

    tell("Enter takes what is in brackets, or leaves the thing out.")
    if given.hosts == [HERE]:
        given.hosts = _words("Machines to look at (Storj, Golem)", host, HERE)
    if given.operator is None:
        given.operator = _right("Streamr operator, the address of its contract", operator_address) or None
    if given.operator is not None and given.rpc is None and given.rpc_file is None:
        given.rpc = _right("  JSON-RPC address of its chain", _open_address) or None
    if given.grass_token_file is None:
        given.grass_token_file = _file(
            f"Grass: a file with the access token, such as {directory / SECRETS / 'grass-token'}"
        )
    if not given.mapped:
        given.mapped = _words("Other programs: addresses of their Prometheus text", address)
    if given.storj_folder is None:
        given.storj_folder = _file("Storj: the folder of its data here, if its nodes may grow")


def ask_key_file(harvest: Harvest, wish: Wish) -> Path | None:
    """Where the key of a daemon that was found is; None: nobody says, or none was found."""
    asking = [each.endpoint for each in harvest.missed if "application key" in each.sentence]
    if not asking or wish.golem_key_file is not None:
        return None
    tell(f"A yagna daemon (Golem) answers at {asking[0]}. It needs a key: yagna app-key create orcha > FILE")
    return _file(f"Golem: the file with that key, such as {wish.directory / SECRETS / 'yagna-app-key'}")


def _line(question: str, default: str = "") -> str:
    answer: str = typer.prompt(question, default=default, show_default=bool(default), err=True)
    return answer.strip()


def _right(question: str, check: Callable[[str], str]) -> str:
    """An answer that passes, or none. What was written is not repeated: it may hold a key."""
    while answer := _line(question):
        try:
            return check(answer)
        except ValueError as exc:
            tell(f"That {exc}")
    return ""


def _words(question: str, check: Callable[[str], str], default: str = "") -> list[str]:
    """Answers that all pass, or none."""
    while words := _line(f"{question}, several with spaces between", default).replace(",", " ").split():
        try:
            return [check(word) for word in words]
        except ValueError as exc:
            tell(f"One of them {exc}")
    return []


def _open_address(text: str) -> str:
    """Without a key in it: what is asked for here ends up in a manifest."""
    found = address(text)
    if has_key(found):
        raise ValueError(
            "has a key in it; leave it out here, and name a file with the whole address: --streamr-rpc-file"
        )
    return found


def _file(question: str) -> Path | None:
    """A file or folder that is there; asked again until it is, or until nothing is said."""
    while answer := _line(question):
        path = Path(answer).expanduser()
        if path.exists():
            return path
        tell(f"{path} does not exist; make it in another terminal, or press Enter to leave it out")
    return None
