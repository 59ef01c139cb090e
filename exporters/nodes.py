"""The Node manifest: what one machine or account has, what runs on it, and what orcha may change. Pure models.

Only shapes and rules that one document can answer for are here; YAML, positions and references between documents are
in `documents.py` and, for the controller, in `controller/manifests.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
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
    field_validator,
    model_validator,
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
    """Notes of the owner. Of a policy orcha reads two: orcha.dev/approve and orcha.dev/reject, with ids of programs."""


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
    """What the machine draws when nothing runs: in no workload's net; a report says what it came to."""
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


DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""Namespaces and containers: lower case letters, digits and '-', at most 63 characters."""

DnsSubdomain = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$", max_length=253),
]
"""Objects: labels with '.' between them."""

EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", max_length=253)]


class Kubernetes(Model):
    """Sets fields of one container of an object in Kubernetes, and no others (docs/kubernetes.md). A format is text with
    placeholders of amounts, such as {cpu} or {storage:B}.
    """

    kind: Literal["StatefulSet", "Deployment", "Pod"]
    """Of a Pod only resources can be set, in place; name what owns the Pod where something does."""
    namespace: DnsLabel
    """Where the object is."""
    name: DnsSubdomain
    """Of the object."""
    container: DnsLabel
    """Of the container in it."""
    env: dict[EnvName, str] = {}
    """Variables and the format of each."""
    args: list[str] = []
    """Flags and their formats, "--flag=FORMAT" or "--flag" and then "FORMAT"; all other arguments stay as they are."""
    resources: list[Literal["cpu", "memory"]] = []
    """Which of its requests and limits follow the amounts."""
    replicas: str | None = None
    """The format of how many; not where a second process of one identity does harm (storj, streamr)."""
    take_ownership: bool = False
    """Whether the first change may take these fields from who owns them (Helm, kubectl, Argo CD)."""

    @field_validator("args")
    @classmethod
    def _flags(cls, args: list[str]) -> list[str]:
        flag = False
        for text in args:
            if flag and not text.startswith("-"):
                flag = False
            elif flag or not text.startswith("-") or not text.strip("-="):
                raise ValueError(
                    f"{text!r} is no flag with its format; write --flag={{cpu}}, or --flag and then {{cpu}}"
                )
            else:
                flag = "=" not in text
        if flag:
            raise ValueError(f"{args[-1]!r} has no format; write {args[-1]}={{cpu}}, or {{cpu}} after it")
        return args

    @model_validator(mode="after")
    def _sets_something(self) -> Self:
        if not (self.env or self.args or self.resources or self.replicas is not None):
            raise ValueError("nothing is set: name env, args, resources or replicas")
        if self.kind == "Pod" and (self.env or self.args or self.replicas is not None):
            raise ValueError(
                "a running Pod only takes resources: name the StatefulSet or Deployment for env, args and replicas"
            )
        if len(set(self.resources)) < len(self.resources):
            raise ValueError("resources names one twice; name each once")
        return self


class Verify(Model):
    """How to see that the command took effect, where the node itself cannot say."""

    argv: list[str] = Field(min_length=1)
    """Exit code 0: the amounts are in force; any other: not yet, and the last line that it writes says why."""


class Command(Model):
    """Runs a program with the amounts among its arguments, without a shell; see docs/drivers.md."""

    argv: list[str] = Field(min_length=1)
    """The program and its arguments, each with placeholders such as {cpu}, {memory:GiB} or {storage:TB}; no secrets."""
    verify: Verify | None = None
    """Only needed where the node does not report what it was given."""
    timeout: Annotated[Duration, AfterValidator(_longer_than_nothing)] = 60.0
    """After which it is ended, with everything it started; at most 9m."""


class Webhook(Model):
    """Posts the amounts, signed, to an address of yours; see docs/drivers.md."""

    url: str
    """Where to post: https://HOST/PATH, without user, password or query."""
    secret_file: str
    """Name of the file with the secret that signs each call (HMAC-SHA256)."""


class Handout(Model):
    """Writes what a person must sign or do, and waits for the read-back."""

    signer: str | None = None
    """Address of the wallet that will sign, for the preview; default: the owner, as the protocol knows him."""


class Actuator(Model):
    """Exactly one driver: what sets the allocation (docs/drivers.md)."""

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
