"""The model of `mapping` in a workload of protocol `mapped`: how any JSON or Prometheus endpoint is read (O2). Pure.

The form is that of interfaces.md; docs/protocols/mapped.md explains every key, with six worked examples. Keys are
camelCase as everywhere, but for the figures, which are spelt as in `Reading`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from jsonpath import JSONPath, JSONPathEnvironment
from jsonpath.exceptions import JSONPathError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from exporters.nodes import Duration, Model, Quantity, Resource
from exporters.traits import CurveKind

FILE: Final = "File"
"""Ending of a key whose value names a file: its content goes under the key without the ending, at fetch."""
BUILT_IN: Final = frozenset({"endpoint", "node", "workload"})
"""Placeholders that need no request."""
_PLACEHOLDER = re.compile(r"\{\{(?P<literal>[A-Za-z]\w*)\}\}|\{(?P<name>[A-Za-z]\w*)\}")
_ADDRESS = re.compile(r"(\{[A-Za-z]\w*\}|https?://[^/?#@\s]+)(?![^/?#]*@)[^\s]*$")
_DOLLARS: Final = "USD"
_ENVIRONMENT = JSONPathEnvironment(strict=True)


@lru_cache(maxsize=4096)
def compiled(path: str) -> JSONPath:
    """A JSON path (RFC 9535), compiled once however many workloads use it. Raises ValueError for what is none."""
    if not path.startswith("$"):
        raise ValueError(f"{path!r} is not a JSON path; begin with $, such as $.stats.cores or $.apps[*].cpu")
    try:
        found = _ENVIRONMENT.compile(path)
    except (JSONPathError, RecursionError) as exc:
        raise ValueError(
            f"{path!r} is not a JSON path ({exc.args[0]}); write it like $.stats.cores or $.apps[*].cpu"
        ) from exc
    if not isinstance(found, JSONPath):
        raise ValueError(f"{path!r} is more than one JSON path; write one, such as $.stats.cores")  # noqa: TRY004 pydantic wants ValueError
    return found


def placeholders(text: str) -> Iterator[str]:
    """The names of those in a text: "{endpoint}/x/{id}" -> endpoint, id. `{{id}}` stands for the text {id}."""
    return (found["name"] for found in _PLACEHOLDER.finditer(text) if found["name"])


def filled(text: str, values: MappingOf[str, str]) -> str:
    """The text with its placeholders replaced."""
    return _PLACEHOLDER.sub(lambda found: values[found["name"]] if found["name"] else f"{{{found['literal']}}}", text)


def texts(body: Any) -> Iterator[str]:
    """Every string inside plain data, keys apart; names of files are none."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, list):
        for part in body:
            yield from texts(part)
    elif isinstance(body, dict):
        for key, part in body.items():
            if not names_a_file(key, part):
                yield from texts(part)


def names_a_file(key: str, value: Any) -> bool:
    return key.endswith(FILE) and key != FILE and isinstance(value, str)


def _json_path(path: str) -> str:
    compiled(path)
    return path


JsonPath = Annotated[str, AfterValidator(_json_path)]
"""RFC 9535, such as $.stats.cores."""
Word = Annotated[str, Field(pattern=r"^[A-Za-z]\w{0,39}$")]
MetricName = Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,20}$")]


class MappingTraits(Model):
    """What a protocol's module would declare (exporters/traits.py). Durations carry their unit."""

    curve: CurveKind = CurveKind.NONE
    resource: Resource | None = None
    poll_interval: Duration = 60.0
    timeout: Duration = 30.0
    stale_after: Duration | None = None
    verify_timeout: Duration = 60.0
    settle: Duration = 900.0
    offline_minutes: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    fees_usd: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    min_allocation: Quantity = 0.0
    irreversible: bool = False
    singleton: bool = False
    frees_when: Literal["reported", "drained"] = "reported"
    horizon: Duration | None = None

    @model_validator(mode="after")
    def _counted_in_something(self) -> MappingTraits:
        if self.curve is not CurveKind.NONE and self.resource is None:
            raise ValueError(f"curve {self.curve.value} needs the resource that is allocated, such as resource: cpu")
        return self


class BasicAuth(Model):
    """HTTP basic authentication; an empty user is a user (Sia's hostd)."""

    username: str = ""
    password_file: str


class Request(Model):
    """One question to the node."""

    url: str
    method: Literal["GET", "POST"] = "GET"
    headers: dict[str, str] = {}
    body: Any = None
    """Sent as JSON."""
    basic_auth: BasicAuth | None = None
    format: Literal["json", "prometheus"] = "json"
    take: dict[Word, JsonPath] = {}
    """placeholder -> where its value stands in this answer, for later requests: a login's token."""
    ok: list[Annotated[int, Field(ge=200, le=599)]] = [200]
    """Statuses that are an answer."""

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if _ADDRESS.match(url) is None:
            raise ValueError(
                f"{url[:60]!r} is not an address; write {{endpoint}}/PATH or http://HOST:PORT/PATH, passwords under basicAuth"
            )
        return url

    def placeholders(self) -> frozenset[str]:
        """Every one that it needs."""
        said = [self.url, *texts(self.headers), *texts(self.body)]
        return frozenset(name for text in said for name in placeholders(text))


class Expect(Model):
    """What the answer must look like; anything else is Malformed, with this path in the message."""

    request: str
    path: JsonPath | None = None
    is_: Literal["object", "array", "string", "number", "boolean", "present"] = Field(default="present", alias="is")
    equals: str | float | bool | None = None
    metric: MetricName | None = None
    """Of a Prometheus answer: this metric is there."""


class Where(Model):
    """Where a value stands."""

    request: str
    path: JsonPath | None = None
    metric: MetricName | None = None
    labels: dict[str, str] = {}
    """Of a Prometheus answer: samples with these labels only."""
    over: Literal["sum", "first", "last", "min", "max", "mean", "count"] | None = None
    """How several values become one. Samples of a metric are summed where nothing is said."""
    scale: float = Field(default=1.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_place(self) -> Where:
        if (self.path is None) == (self.metric is None):
            raise ValueError("needs either a path (JSON) or a metric (Prometheus)")
        if self.labels and self.metric is None:
            raise ValueError("labels belong to a metric")
        if self.scale == 0:
            raise ValueError("scale 0 makes everything 0; write what one unit of the answer is, such as 1e-18")
        return self


class Number(Where):
    """A figure that is a number."""

    minus: Where | None = None
    """What is subtracted: used = total - free."""


class Amount(Number):
    """An amount of a resource."""

    resource: Resource | None = None
    """The traits' own where nothing is said."""
    counter: bool = False
    """The value only rises: its increase per second is the figure (bytes sent x scale 8 = bandwidth)."""


class Lifetime(Number):
    """Everything ever earned, in tokens: a rate comes from the difference of two looks."""

    token: Token
    counter: Literal[True] = True


class Rate(Number):
    """What is earned now, in tokens."""

    token: Token
    per: Duration = 3600.0
    """The value is for this long."""
    quality: Literal["measured", "estimated"] = "measured"


class UsdRate(Number):
    per: Duration = 3600.0
    quality: Literal["measured", "estimated"] = "measured"


class Balance(Number):
    token: Token = _DOLLARS


class UnitPrice(Number):
    """What one used base unit of a resource earns."""

    token: Token = _DOLLARS
    resource: Resource | None = None
    per: Duration = 3600.0


class Text(Model):
    """A figure that is a word."""

    request: str
    path: JsonPath | None = None
    metric: MetricName | None = None
    labels: dict[str, str] = {}
    label: str | None = None
    """Of the metric: the label that holds the word."""

    @model_validator(mode="after")
    def _one_place(self) -> Text:
        if (self.path is None) == (self.metric is None or self.label is None):
            raise ValueError("needs either a path (JSON) or a metric and the label that holds the word (Prometheus)")
        return self


class StateWord(Text):
    words: list[str] = Field(min_length=1, max_length=20)
    """Every word that can come; another one is unknown, and noted."""


class Health(Where):
    """Healthy or not. Without a condition true, a number other than 0, "true" and "ok" are."""

    equals: str | float | bool | list[str | float | bool] | None = None
    at_least: float | None = None
    at_most: float | None = None
    within: Duration | None = None
    """The value is a time (ISO 8601, Unix seconds or milliseconds), and no further from now than this."""


class Time(Where):
    """A figure that is a time: ISO 8601, Unix seconds or milliseconds."""


def _several(given: Any) -> Any:
    return given if isinstance(given, list) else [given]


class Figures(BaseModel):
    """What the answers say about the workload; spelt as in `Reading`. What is not found stays unknown, never 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    used: Annotated[list[Amount], BeforeValidator(_several)] = []
    allocated: Annotated[list[Amount], BeforeValidator(_several)] = []
    configured: Annotated[list[Amount], BeforeValidator(_several)] = []
    irreversible: Annotated[list[Amount], BeforeValidator(_several)] = []
    lifetime_native: Annotated[list[Lifetime], BeforeValidator(_several)] = []
    rate_native: Annotated[list[Rate], BeforeValidator(_several)] = []
    rate_usd: UsdRate | None = None
    balances: dict[
        Literal["accrued", "held", "pending", "paid", "at_risk"], Annotated[list[Balance], BeforeValidator(_several)]
    ] = {}
    price: Annotated[list[UnitPrice], BeforeValidator(_several)] = []
    pool_payout: Rate | None = None
    """Curve dilution: what the whole pool pays."""
    pool_others: Number | None = None
    """Curve dilution: the stake of all others."""
    healthy: Annotated[list[Health], BeforeValidator(_several)] = []
    """All of them must hold."""
    state: StateWord | None = None
    version: Text | None = None
    node_id: Text | None = None
    payout_threshold_usd: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """What must be accrued before a payout: the owner knows it, programs do not tell."""
    payout_expected_at: Time | None = None

    def each(self) -> Iterator[tuple[tuple[str | int, ...], Where | Text]]:
        """Every figure with its path in here."""
        for name in type(self).model_fields:
            yield from _each((name,), getattr(self, name))


def _each(path: tuple[str | int, ...], value: Any) -> Iterator[tuple[tuple[str | int, ...], Where | Text]]:
    if isinstance(value, list):
        for i, part in enumerate(value):
            yield from _each(path if len(value) == 1 else (*path, i), part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _each((*path, key), part)
    elif isinstance(value, Where | Text):
        yield path, value
        if isinstance(value, Number) and value.minus is not None:
            yield (*path, "minus"), value.minus


class Mapping(Model):
    """How one endpoint is read."""

    traits: MappingTraits = MappingTraits()
    requests: dict[Word, Request] = Field(min_length=1)
    expect: list[Expect] = []
    figures: Figures
