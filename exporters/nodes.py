"""The Node manifest: what one machine or account has, what runs on it, and what orcha may change. Pure models.

Only shapes and rules that one document can answer for are here; YAML, positions and references between documents are
in `documents.py` and, for the controller, in `controller/manifests.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)
from pydantic.alias_generators import to_camel

from exporters.quantity import parse_duration, parse_quantity

API_VERSION = "orcha.dev/v1alpha1"


class Model(BaseModel):
    """Base of everything that people write: frozen, camelCase in YAML, unknown keys refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
"""A DNS-1123 name: lower case letters, digits, '-' and '.', at most 63 characters."""

RESOURCE_PATTERN = r"^(cpu|memory|storage|bandwidth|[a-z]+/[A-Za-z0-9._-]{1,40})$"
Resource = Annotated[str, StringConstraints(pattern=RESOURCE_PATTERN)]
"""cpu, memory, storage, bandwidth, or an extended one such as stake/DATA."""

Quantity = Annotated[float, BeforeValidator(parse_quantity, json_schema_input_type=str | float)]
"""A Kubernetes quantity, in base units once read."""

Duration = Annotated[
    float,
    BeforeValidator(parse_duration, json_schema_input_type=str),
    PlainSerializer(lambda seconds: f"{seconds:.12g}s", when_used="json"),
]
"""A duration, in seconds once read."""

Quantities = dict[Resource, Quantity]


class Metadata(Model):
    name: Name
    """Unique among manifests of its kind; part of every metric's labels."""
    labels: dict[str, str] = {}
    """What policies select nodes by."""
    annotations: dict[str, str] = {}
    """Notes of the owner; orcha does not read them."""


def _cron(text: str) -> str:
    try:
        CronSim(text, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as exc:
        raise ValueError(
            f"{text!r} is not a cron line ({exc}); write minute hour day month weekday, such as 0 18 * * 1-5"
        ) from exc
    return text


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:
        raise ValueError(f"{name!r} is not a time zone; write a name such as Europe/Berlin or UTC") from exc
    return name


def _longer_than_nothing(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("0 is no duration here; write how long, such as 3h")
    return seconds


class Window(Model):
    """A recurring stretch of time: it opens when `cron` fires in `timezone` and stays open for `duration`."""

    cron: Annotated[str, AfterValidator(_cron)]
    """Five fields: minute hour day month weekday."""
    duration: Annotated[Duration, AfterValidator(_longer_than_nothing)]
    """How long it stays open, in real hours, also across a change of the clock."""
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    """A name of the IANA database, such as Europe/Berlin."""


class TariffWindow(Window):
    """A stretch of time with another price of energy."""

    usd_per_kwh: float = Field(ge=0)
    """The price while the window is open."""


class Power(Model):
    """What running the machine costs: net is shown beside gross."""

    usd_per_kwh: float = Field(ge=0)
    """Price of energy, all taxes in."""
    idle_watts: float = Field(default=0, ge=0)
    """What the machine draws when nothing runs."""
    windows: list[TariffWindow] = []
    """Tariffs by the time of day; of several open ones the first holds."""


class Credentials(Model):
    """Names of files that hold secrets; each protocol says which it reads (`Traits.credentials`)."""

    model_config = ConfigDict(extra="allow", frozen=True, alias_generator=to_camel)


class Valuation(Model):
    """What the owner says that a point is worth; everything derived from it is labelled `assumed`."""

    usd_per_point: float = Field(ge=0)
    """Your assumption of what one point will be worth."""


class Watts(Model):
    """What a larger allocation draws."""

    per_step: float = Field(ge=0)
    """Watts for each step of the allocation that is in use."""


class Allocation(Model):
    """What orcha may change about one workload: allowed values are min + k * step <= max."""

    resource: Resource
    """What is handed out; the node must declare a capacity of it."""
    min: Quantity
    """Never less."""
    max: Quantity
    """Never more."""
    step: Quantity
    """Allowed values are min + k x step; a present value off that grid may stay."""
    with_: Quantities = Field(default={}, alias="with")
    """Other resources that go along, per step."""
    reserve: list[Resource] = []
    """Those of `with` that no driver sets."""
    freeze: Literal["grow", "shrink"] | None = None
    """A direction that is not allowed."""
    protect_until: AwareDatetime | None = None
    """No move before this time, with its zone: 2026-12-01T00:00:00Z."""
    initial: Quantity | None = None
    """What it has where the node itself cannot say."""


class DryRun(Model):
    """Changes nothing; remembers what it was told, so that later moves see earlier ones."""


class Kubernetes(Model):
    """Sets an object's container; see docs/manifests.md for placeholders."""

    kind: Literal["StatefulSet", "Deployment", "Pod"]
    namespace: Name
    name: Name
    container: Name
    env: dict[str, str] = {}
    args: list[str] = []
    resources: list[Literal["cpu", "memory"]] = []
    replicas: str | None = None
    take_ownership: bool = False


class Verify(Model):
    argv: list[str] = Field(min_length=1)


class Command(Model):
    argv: list[str] = Field(min_length=1)
    verify: Verify | None = None
    timeout: Duration = 60.0


class Webhook(Model):
    url: str
    secret_file: str


class Handout(Model):
    """Writes what a person must sign or do, and waits for the read-back."""


class Actuator(Model):
    """Exactly one driver."""

    dry_run: DryRun | None = None
    kubernetes: Kubernetes | None = None
    command: Command | None = None
    webhook: Webhook | None = None
    handout: Handout | None = None


class WorkloadSpec(Model):
    protocol: Name
    """The name of a module: storj, golem, streamr, grass, or mapped for any other endpoint."""
    endpoint: str
    """Address of the node's own API, http://HOST:PORT."""
    credentials: Credentials = Credentials()
    """Names of files that hold secrets; which, the protocol's page says."""
    options: dict[str, Any] = {}
    """What only this protocol needs to know; its module has the model (docs/protocols/)."""
    mode: Literal["Off", "Suggest", "Approve", "Auto"] | None = None
    """Stricter than the policy's; a laxer one has no effect."""
    poll_interval: Duration | None = None
    """How often to ask; default: what the protocol deserves."""
    timeout: Duration | None = None
    """Of one whole look; default: the protocol's."""
    valuation: Valuation | None = None
    """For protocols that pay in points."""
    watts: Watts | None = None
    """For net earnings."""
    mapping: dict[str, Any] | None = None
    """Protocol mapped only: docs/protocols/mapped.md."""
    allocation: Allocation | None = None
    """What orcha may change; without it the workload is watched, never moved."""
    actuator: Actuator | None = None
    """How a change is made; without it changes are only shown."""


class NodeSpec(Model):
    capacity: Quantities = {}
    """What orcha may hand out: cpu in cores, memory and storage in bytes, bandwidth in bits per second, kind/NAME."""
    power: Power | None = None
    """What running it costs."""
    workloads: dict[Name, WorkloadSpec] = {}
    """What runs on it, by a name of your choice."""


class Node(Model):
    """One machine or account with a capacity of resources."""

    api_version: Literal["orcha.dev/v1alpha1"]
    kind: Literal["Node"]
    metadata: Metadata
    spec: NodeSpec

    @property
    def name(self) -> str:
        return self.metadata.name
