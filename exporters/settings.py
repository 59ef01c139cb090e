"""The Settings manifest: what belongs to no node and no policy. Pure models.

It lives on this side of the wall because both processes read it and exporters never import the controller (ADR 2).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from exporters.nodes import Duration, Metadata, Model, Name

Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PriceSource = Literal["coingecko", "defillama", "kraken", "binance", "coinmarketcap"]


class ApiKeyFiles(Model):
    coingecko: str | None = None
    coinmarketcap: str | None = None


class Prices(Model):
    """Where token prices come from: sources are asked in this order; `static` is the last resort, and says so."""

    sources: list[PriceSource] = ["coingecko", "defillama", "kraken", "binance"]
    api_key_files: ApiKeyFiles = ApiKeyFiles()
    static: dict[str, Price] = {}
    """token -> USD."""
    endpoints: dict[PriceSource, str] = {}
    """Another address for a source: a mirror, a proxy, or the simulator."""


class TokenFiles(Model):
    read: str | None = None
    operate: str | None = None


class Api(Model):
    token_files: TokenFiles = TokenFiles()


class Lease(Model):
    namespace: Name
    name: Name
    duration: Duration = 15.0


class SettingsSpec(Model):
    listen: str = "127.0.0.1:9872"
    exporter_listen: str = "127.0.0.1:9871"
    state: str | None = None
    """sqlite:///PATH or postgresql://...; default sqlite:///orcha.db."""
    state_file: str | None = None
    """A file that holds the URL, for those with a password in it."""
    retention: Duration = 30 * 86400.0
    prices: Prices = Prices()
    prometheus_url: str | None = None
    alertmanager_url: str | None = None
    grafana_url: str | None = None
    api: Api = Api()
    lease: Lease | None = None
    log_format: Literal["auto", "console", "json"] = "auto"


class Settings(Model):
    """At most one; everything has a default."""

    api_version: Literal["orcha.dev/v1alpha1"] = "orcha.dev/v1alpha1"
    kind: Literal["Settings"] = "Settings"
    metadata: Metadata = Metadata(name="settings")
    spec: SettingsSpec = SettingsSpec()
