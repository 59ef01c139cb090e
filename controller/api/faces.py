"""What the HTTP side of the controller is given: what to show, what can be asked for, and whose word counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controller.api.operations import Archive, NoPast, OnlyShows, Operations
from controller.api.stream import Stream
from controller.fleet.shown import FleetFace
from controller.manifests import Manifests
from controller.observe import Observation
from exporters.doors import Handler, Tokens

if TYPE_CHECKING:
    from controller.report.views import View


def each_second() -> object:
    """A version for where nobody counts them: what is shown is at most a second old."""
    return int(time.monotonic())


def _no_observation() -> Observation:
    return Observation(at=0.0)


@dataclass(frozen=True, slots=True)
class Faces:
    """What the application shows and does. Everything is asked for at each request, in the loop's thread, but for `view`."""

    view: Callable[[], View]
    """controller/report/views.py `status`. Called in a worker thread: of 10 000 workloads it takes half a second."""
    metrics: Handler
    """The page of /metrics, negotiated by the exporters' server."""
    ready: Callable[[], bool]
    links: dict[str, str]
    """Name -> address of Prometheus, Grafana, Alertmanager, as far as Settings name them."""
    tokens: Tokens = field(default_factory=Tokens)
    """Needed off loopback."""
    version: Callable[[], object] = each_second
    """Another value whenever `view` would show something else; what was made for one is kept until the next."""
    now: Callable[[], float] = time.time
    manifests: Callable[[], Manifests] = Manifests
    """Those in force."""
    observation: Callable[[], Observation] = _no_observation
    """The newest."""
    archive: Archive = field(default_factory=NoPast)
    """The store."""
    operations: Operations = field(default_factory=OnlyShows)
    """The Desk."""
    stream: Stream = field(default_factory=Stream)
    """Published to by whoever wires the loop and the Desk."""
    unready: str = "not every workload was asked yet"
    """Why it is not, where it is not."""
    fleet: FleetFace | None = None
    """None: this controller stands alone."""
