"""What `orcha init` was asked to do, and where it looks by itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from exporters.doors import is_loopback

HERE: Final = "127.0.0.1"
GRASS: Final = "https://api.getgrass.io"
_SECRET: Final = 20
"""Characters; keys of RPC providers have 32 and more, words of a path fewer."""
_LETTERS: Final = re.compile(r"[^a-z0-9-]+")
_HOST: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where nodes usually listen."""

    storj: tuple[int, ...] = tuple(range(14002, 14010))
    """The console's port, and those that people give to further nodes on one host."""
    golem: tuple[int, ...] = (7465,)
    """Of yagna's REST API."""
    metrics: tuple[int, ...] = (7300, 7935)
    """Of the Graph's indexer and of Livepeer, which show Prometheus text to everybody (docs/protocols/examples)."""


@dataclass(frozen=True, slots=True)
class Streamr:
    operator: str
    rpc: str
    """JSON-RPC address of the chain."""
    rpc_file: Path | None = None
    """A file with that address, where it has a key in it."""
    sponsorships: tuple[str, ...] = ()
    """(): those that the operator's contract names."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Flags and answers, once all are known."""

    directory: Path
    node: str
    """Name of the node that this machine becomes."""
    hosts: tuple[str, ...] = (HERE,)
    """Where the usual ports are tried; (): nowhere."""
    ports: Ports = Ports()
    storj: tuple[str, ...] = ()
    """Addresses of consoles, beside those that are found."""
    golem: tuple[str, ...] = ()
    golem_key_file: Path | None = None
    streamr: Streamr | None = None
    grass: str = GRASS
    grass_token_file: Path | None = None
    mapped: tuple[str, ...] = ()
    """Addresses of Prometheus text."""
    storj_folder: Path | None = None
    """Where the data of the storagenodes on this machine is: says how large they may become."""
    offline: bool = False
    """Ask nobody for prices."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """Token -> USD."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address at which a node of a protocol may be."""

    protocol: str
    endpoint: str
    named: bool
    """Whether somebody named it; at one that was only tried it is no fault that nobody is there."""


def candidates(wish: Wish) -> list[Candidate]:
    """Where to look for storagenodes, yagna and metrics: each address once, those that were named first."""
    found: dict[str, Candidate] = {}
    named = [("storj", url) for url in wish.storj] + [("golem", url) for url in wish.golem]
    named += [("mapped", url) for url in wish.mapped]
    for protocol, url in named:
        found.setdefault(url, Candidate(protocol, url, named=True))
    for host in wish.hosts:
        tried = [("storj", port, "") for port in wish.ports.storj] + [("golem", port, "") for port in wish.ports.golem]
        tried += [("mapped", port, "/metrics") for port in wish.ports.metrics]
        for protocol, port, path in tried:
            url = f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"
            found.setdefault(url, Candidate(protocol, url, named=False))
    return list(found.values())


def address(text: str) -> str:
    """HOST:PORT or http://HOST:PORT/PATH, as an address without a trailing slash. Raises ValueError, with what would be right."""
    url = text if "://" in text else f"http://{text}"
    parts = urlsplit(url)
    try:
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is none
        good = False
    if not good or parts.username or parts.query or parts.fragment or any(letter.isspace() for letter in url):
        raise ValueError("is not an address; write http://HOST:PORT, without user, password, ? or #")
    return url.rstrip("/")


def host(text: str) -> str:
    """A host's name or address alone: 192.168.1.20, nas.lan, ::1. Raises ValueError, with what would be right."""
    name = text.removeprefix("[").removesuffix("]")
    if not _HOST.fullmatch(name):
        try:
            ip_address(name)
        except ValueError:
            rest = "a port goes with --storj or --golem"
            raise ValueError(f"is no host; write its name or address alone, such as 192.168.1.20 ({rest})") from None
    return name


def has_key(url: str) -> bool:
    """Whether a part of its path is so long that it is a secret: https://HOST/v2/0123456789abcdef0123456789abcdef."""
    return any(len(part) >= _SECRET for part in urlsplit(url).path.split("/"))


def host_of(endpoint: str) -> str:
    return urlsplit(endpoint).hostname or ""


def is_here(endpoint: str) -> bool:
    """Whether it is certainly this machine."""
    return is_loopback(host_of(endpoint))


def node_name(text: str) -> str:
    """A name for a node, made of a host's: "Rack_1.lan" -> "rack-1", "192.168.1.7" -> "192-168-1-7"."""
    words = text.lower() if re.fullmatch(r"[0-9.:]+", text) else text.lower().partition(".")[0]
    return _LETTERS.sub("-", words.replace(".", "-")).strip("-")[:63].strip("-") or "node"
