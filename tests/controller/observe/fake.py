"""A server that answers like Prometheus' HTTP API, over pages that were scraped; and workloads, readings and a clock to try
a source with. What it knows of PromQL is what controller/observe/prometheus asks.
"""

from __future__ import annotations

import asyncio
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter

from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporters.collector import Workload
from exporters.metrics import Exposition
from exporters.nodes import Node, WorkloadSpec
from exporters.reading import Connection, Native, Pool, Quality, Reading
from exporters.traits import CurveKind, Traits

T0 = 1_800_000_000.0
LOOKBACK = 300.0
TRAITS = Traits(curve=CurveKind.DEMAND, resource="cpu", poll_interval=30.0, timeout=10.0, verify_timeout=60.0)


def workload(name="golem", node="rack-1", protocol="golem", traits=TRAITS, **spec) -> Workload:
    return Workload(node, name, WorkloadSpec(protocol=protocol, endpoint="http://127.0.0.1:1", **spec), traits)


def node(name="rack-1", *, power=None, **workloads) -> Node:
    """`workloads`: name -> allocation, or None."""
    specs = {
        key: {
            "protocol": "golem",
            "endpoint": f"http://127.0.0.1:1/{name}/{key}",
            "credentials": {"appKeyFile": "/dev/null"},
        }
        | ({} if allocation is None else allocation)
        for key, allocation in (workloads or {"golem": ALLOTTED}).items()
    }
    spec = {"capacity": {"cpu": "12"}, "workloads": specs} | ({"power": power} if power else {})
    return Node.model_validate({
        "apiVersion": "orcha.dev/v1alpha1", "kind": "Node", "metadata": {"name": name}, "spec": spec,
    })  # fmt: skip


ALLOTTED = {"allocation": {"resource": "cpu", "min": "0", "max": "12", "step": "1"}}


class Golem:
    """What the source needs of a protocol's module; nobody asks it."""

    TRAITS = TRAITS
    FAMILIES = {}

    @staticmethod
    async def fetch(session, workload):
        raise AssertionError("a source over PromQL polls no node")

    @staticmethod
    def parse(payloads, workload, now):
        raise AssertionError("a source over PromQL polls no node")


COLLECTORS = {"golem": Golem}


def reading(at=T0, name="golem", on="rack-1", **figures) -> Reading:
    values = {
        "healthy": True, "node_id": "0xabc", "quality": Quality.MEASURED, "rate_usd_per_hour": 0.5, "net_usd_per_hour": 0.45,
        "native": Native({"GLM": 2.0}, {"GLM": 1.8}), "allocated": {"cpu": 6.0}, "used": {"cpu": 4.0},
        "connection": Connection.CONNECTED,
    }  # fmt: skip
    return Reading(on, name, figures.pop("protocol", "golem"), at, **(values | figures))


def lost(at=T0, name="golem", on="rack-1", reason="timeout", connection=Connection.RECONNECTING) -> Reading:
    return Reading(
        on, name, "golem", at, up=False, failure=reason, failure_message="it did not answer", connection=connection
    )


POOL = Pool({"DATA": 12.5}, 40_000.0, 0.9)


def page(*readings: Reading) -> str:
    """What an exporter shows that took these, one after the other."""
    exposition = Exposition({})
    for each in readings:
        exposition.update(each)
    return b"".join(exposition.render(openmetrics=False)).decode()


_LINE = re.compile(r"(\w+)\{([^}]*)\} (\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@lru_cache(maxsize=2**16)
def _labels(name: str, labels: str, target: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """One object for each series, so that a question is compared with it once."""
    return {"__name__": name, **dict(_LABEL.findall(labels)), **dict(target)}


def scraped(text: str, target: dict[str, str]) -> list[tuple[dict[str, str], float]]:
    """As `rows_of` has it, of a page with plain labels only, in a twentieth of the time."""
    place = tuple(target.items())
    return [
        (_labels(name, labels, place), float(value))
        for name, labels, value in _LINE.findall(text)
        if "poll_duration" not in name and "poll_failures" not in name
    ]


def rows_of(text: str, **target: str) -> list[tuple[dict[str, str], float]]:
    """The series of a page as Prometheus stores them: labels that are empty are none; a target's label that is taken is put
    before, and ours is called exported_.
    """
    rows = []
    for family in parse_text(text):
        for sample in family.samples:
            labels = {f"exported_{name}" if name in target else name: value for name, value in sample.labels.items()}
            labels = {name: value for name, value in (labels | target).items() if value}
            rows.append(({"__name__": sample.name, **labels}, sample.value))
    return rows


def number(value: float) -> str:
    """As Go writes it."""
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(repr(float(value)), repr(float(value)))


def success(kind: str, result: list, **more) -> str:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more})


def instant(rows: Iterable[tuple[dict[str, str], float]], at: float = T0) -> bytes:
    """The body of an instant query's answer."""
    return success("vector", [{"metric": labels, "value": [at, number(value)]} for labels, value in rows]).encode()


class HandClock:
    """Time that moves when somebody sleeps, and tells whoever lives in it."""

    def __init__(self, now: float = T0) -> None:
        self.now = now
        self.lives: Callable[[float], None] = lambda _now: None
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - T0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_(seconds)
        await asyncio.sleep(0)

    def pass_(self, seconds: float) -> None:
        """Second by second, as far as they are whole."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 1.0)
            self.lives(self.now)


_SELECTOR = re.compile(r"\{([^{}]*)\}")
_MATCHER = re.compile(r'([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')


def _selects(matchers: list[tuple[str, str, str]], labels: dict[str, str]) -> bool:
    for name, how, text in matchers:
        wanted, value = text.replace("\\\\", "\\"), labels.get(name, "")
        same = re.fullmatch(wanted, value) is not None if "~" in how else wanted == value
        if same is how.startswith("!"):
            return False
    return True


@dataclass
class FakePrometheus:
    """What was scraped, and the questions that were asked."""

    clock: HandClock
    scrapes: dict[str, list[tuple[float, list]]] = field(default_factory=dict)
    """Target -> [(time, rows)], oldest first. A scrape without rows is one that failed: everything is stale from then on."""
    asked: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answer: Callable[[dict[str, str]], web.Response | None] | None = None
    """Answers in its place, where it gives something."""
    _known: dict[str, dict[int, bool]] = field(default_factory=dict)
    """Query -> whether it asks for a series, by the series' id."""
    _pages: dict[str, tuple[Exposition, set[str]]] = field(default_factory=dict)

    def scrape(self, *readings: Reading, at: float | None = None, target: str = "exporter:9871", **labels: str) -> None:
        shown, keys = self._pages.setdefault(target, (Exposition({}), set()))
        for gone in keys - {each.key for each in readings}:
            shown.remove(gone)
        for each in readings:
            shown.update(each)
        self._pages[target] = shown, {each.key for each in readings}
        text = b"".join(shown.render(openmetrics=False)).decode()
        rows = scraped(text, {"job": "orcha-exporter", "instance": target, **labels})
        self.scrapes.setdefault(target, []).append((self.clock.now if at is None else at, rows))

    def lose(self, target: str = "exporter:9871") -> None:
        self.scrapes.setdefault(target, []).append((self.clock.now, []))

    def at(self, query: str, when: float) -> list[tuple[dict[str, str], float]]:
        chosen = [_MATCHER.findall(found) for found in _SELECTOR.findall(query)]
        known, rows = self._known.setdefault(query, {}), []
        for scrapes in self.scrapes.values():
            i = bisect_right(scrapes, when, key=itemgetter(0))
            newest = scrapes[i - 1] if i else (0.0, [])
            if newest[0] > when - LOOKBACK:
                for row in newest[1]:
                    if id(row[0]) not in known:
                        known[id(row[0])] = any(_selects(each, row[0]) for each in chosen)
                    rows += [row] if known[id(row[0])] else []
        return rows

    async def handle(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        self.asked.append({"path": request.path, **form})
        self.headers.append(dict(request.headers))
        if self.answer is not None and (said := self.answer(form)) is not None:
            return said
        if request.path.endswith("query"):
            return web.Response(body=instant(self.at(form["query"], self.clock.now)), content_type="application/json")
        return web.Response(text=self._range(form), content_type="application/json")

    def _range(self, form: dict[str, str]) -> str:
        start, end, step = (float(form[name]) for name in ("start", "end", "step"))
        found: dict[int, tuple[dict, list]] = {}
        when = start
        while when <= end:
            for labels, value in self.at(form["query"], when):
                found.setdefault(id(labels), (labels, []))[1].append([when, number(value)])
            when += step
        return success("matrix", [{"metric": labels, "values": values} for labels, values in found.values()])

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/v1/{what}", self.handle)
        return app
