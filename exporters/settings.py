"""The Settings manifest: what belongs to no node and no policy. Pure models.

It lives on this side of the wall because both processes read it and exporters never import the controller (ADR 2).
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import Field
from pydantic.alias_generators import to_camel

from exporters.nodes import Duration, Metadata, Model, Name

Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PriceSource = Literal["coingecko", "defillama", "kraken", "binance", "coinmarketcap"]


def read_listen(text: str) -> tuple[str, int]:
    """HOST:PORT in its parts: 127.0.0.1:9872 -> ("127.0.0.1", 9872), [::1]:0 -> ("::1", 0), :9872 -> ("", 9872), every address.

    Raises ValueError, with what would be right.
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not port.isdecimal() or int(port) > 65535 or set("[]/ @") & set(bare):
        raise ValueError(f"{text!r} is no address to listen on; write HOST:PORT, such as 127.0.0.1:9872")
    if ":" in bare and bare == host:
        raise ValueError(f"{text!r} is no address to listen on; write an IPv6 host in brackets, such as [::1]:9872")
    return bare, int(port)


_MATCHER: Final = r'[a-zA-Z_][a-zA-Z0-9_]*\s*(?:=~|!~|!=|=)\s*"(?:[^"\\\n]|\\.)*"'
_MATCHERS: Final = re.compile(rf"\s*{_MATCHER}\s*(?:,\s*{_MATCHER}\s*)*")


def read_matchers(text: str) -> str:
    """Label matchers as PromQL writes them between its braces, without the braces; "" matches everything.

    Raises ValueError, with what would be right.
    """
    if text.strip() and not _MATCHERS.fullmatch(text):
        raise ValueError(f'{text!r} are no label matchers; write them as in PromQL, such as job="orcha-exporter"')
    return text.strip()


class ApiKeyFiles(Model):
    """Names of files that hold API keys of price sources."""

    coingecko: str | None = None
    coinmarketcap: str | None = None


class Prices(Model):
    """Where token prices come from: sources are asked in this order; `static` is the last resort, and says so."""

    sources: list[PriceSource] = ["coingecko", "defillama", "kraken", "binance"]
    """Asked in this order, each for what those before it did not give; [] asks nobody."""
    api_key_files: ApiKeyFiles = ApiKeyFiles()
    """For those that want or need a key."""
    static: dict[str, Price] = {}
    """Token -> USD: the last resort, and what is used where no source knows a token."""
    endpoints: dict[PriceSource, str] = {}
    """Another address for a source: a mirror, a proxy, or the simulator."""


class TokenFiles(Model):
    """Files that each hold one token; needed where the API listens off loopback."""

    read: str | None = None
    """May look."""
    operate: str | None = None
    """May look and change."""


class Api(Model):
    """Who may use the HTTP API."""

    token_files: TokenFiles = TokenFiles()


class Prometheus(Model):
    """How the Prometheus at prometheusUrl is asked."""

    matchers: str | None = None
    """Only series with these labels, as PromQL writes them: job="orcha-exporter", site="home"."""
    bearer_token_file: str | None = None
    """A file with the token that it wants to see, blockWhile included."""


class Lease(Model):
    """The Kubernetes Lease that elects the one writer."""

    namespace: Name
    name: Name
    duration: Duration = 15.0


class SettingsSpec(Model):
    listen: str = "127.0.0.1:9872"
    """Where the controller serves."""
    exporter_listen: str = "127.0.0.1:9871"
    """Where orcha-exporter serves."""
    state: str | None = None
    """Where history is kept: sqlite:///PATH or postgresql://USER@HOST/DATABASE; default sqlite:///orcha.db."""
    state_file: str | None = None
    """A file that holds the URL, for those with a password in it."""
    retention: Duration = 30 * 86400.0
    """How long history is kept."""
    prices: Prices = Prices()
    """What tokens are worth."""
    source: Literal["embedded", "prometheus"] = "embedded"
    """embedded: the controller polls the nodes; prometheus: it asks prometheusUrl for what orcha-exporter showed of them."""
    prometheus_url: str | None = None
    """For source: prometheus, for blockWhile, and for links."""
    prometheus: Prometheus = Prometheus()
    """How it is asked."""
    alertmanager_url: str | None = None
    """For links."""
    grafana_url: str | None = None
    """For links."""
    api: Api = Api()
    """Tokens of the API."""
    lease: Lease | None = None
    """Where several controllers may run."""
    log_format: Literal["auto", "console", "json"] = "auto"
    """console for people, json for machines; auto asks whether stderr is a terminal."""


class Settings(Model):
    """At most one; everything has a default."""

    api_version: Literal["orcha.dev/v1alpha1"] = "orcha.dev/v1alpha1"
    kind: Literal["Settings"] = "Settings"
    metadata: Metadata = Metadata(name="settings")
    spec: SettingsSpec = SettingsSpec()


def needing_a_restart(before: SettingsSpec, now: SettingsSpec) -> list[str]:
    """Those changed fields of Settings that are read at the start only, as they are written."""
    links, kept = ("alertmanager_url", "grafana_url"), ("listen", "state", "state_file", "retention")
    asked = ("prometheus_url",) if "prometheus" in {before.source, now.source} else ()
    fields = (*kept, *links, *asked, "source", "prometheus", "api", "lease", "log_format")
    return [to_camel(name) for name in fields if getattr(before, name) != getattr(now, name)]
