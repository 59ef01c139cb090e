"""A Desk, an archive and a status made up for tests of the API; benchmarks and the fuzzer use them as well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aiohttp import web

from controller.api.app import Faces
from controller.manifests import load
from controller.model import Interval
from controller.observe import Observation
from controller.programs import OVER, Cause, Phase, Program, ProgramState, Record, Stage, Step
from controller.promises import Kind, Outcome, Part, Promise, Trial
from controller.refusals import NotPossible, Unknown
from controller.rows import Event, RecordedDecision
from exporters.collector import discover
from exporters.reading import Native, Quality, Reading

NOW = 1_800_000_000.0
KEYS = ("rack-1/golem", "rack-1/akash", "rack-2/golem")

MANIFESTS = """\
apiVersion: orcha.dev/v1alpha1
kind: Node
metadata: {name: rack-1, labels: {site: attic}, annotations: {note: hidden-annotation}}
spec:
  capacity: {cpu: "12", memory: 48Gi}
  workloads:
    golem:
      protocol: golem
      endpoint: http://yagna:7465
      credentials: {appKeyFile: /run/secrets/yagna-app-key}
      allocation: {resource: cpu, min: "2", max: "10", step: "1"}
      actuator: {command: {argv: [ya-provider, --token, hidden-argument, "{cpu}"]}}
    akash:
      protocol: mapped
      endpoint: http://akash:8443
      mapping:
        traits: {curve: demand, resource: cpu}
        requests:
          stats: {url: "{endpoint}/stats", headers: {X-Site: hidden-header}, body: {site: hidden-body}, method: POST}
        figures: {used: {request: stats, path: $.cores}}
      allocation: {resource: cpu, min: "0", max: "8", step: "1"}
      actuator: {webhook: {url: "https://hooks.example/services/hidden-path", secretFile: /run/secrets/hook}}
---
apiVersion: orcha.dev/v1alpha1
kind: AllocationPolicy
metadata: {name: default}
spec: {mode: Approve}
---
apiVersion: orcha.dev/v1alpha1
kind: Settings
spec: {prometheusUrl: "http://prometheus:9090"}
"""


def step(key="rack-1/golem", before=4.0, after=6.0, phase=Phase.WAITING, **more) -> Step:
    return Step(key, key.split("/")[0], "cpu", {"cpu": before}, {"cpu": after}, phase=phase, **more)


def program(name="p-00000001", state=ProgramState.PENDING, at=NOW - 600, **more) -> Program:
    values = {
        "policy": "default", "cause": Cause.PLAN, "steps": (step("rack-1/akash", 6.0, 4.0), step()),
        "sentence": "golem <earns> more", "trial": trial(at), "expires": at + 86400.0, "changed": at,
    }  # fmt: skip
    return Program(id=name, at=at, state=state, **(values | more))


class Desk:
    """Operations in memory, with their rules, and who asked for what."""

    def __init__(self, *programs: Program) -> None:
        self.known = {each.id: each for each in programs}
        self.asked: list[tuple[str, str | None, str, str]] = []
        self.lines: dict[str, list[Record]] = {
            each.id: [Record(each.at, "pending", "orcha", each.sentence)] for each in programs
        }

    def programs(self) -> tuple[Program, ...]:
        return tuple(reversed(self.known.values()))

    async def records(self, id_, /):
        return tuple(self.lines[self._found(id_).id])

    def _found(self, name: str) -> Program:
        if name not in self.known:
            raise Unknown(f"there is no program {name}")
        return self.known[name]

    def _turn(self, name: str, wanted: set[ProgramState], to: ProgramState, by: str, why: str) -> Program:
        found = self._found(name)
        if found.state not in wanted:
            raise NotPossible(f"program {name} is {found.state}, and only {' or '.join(sorted(wanted))} can be {to}")
        self.known[name] = found.turned(to, NOW, by, why)
        self.lines[name].append(Record(NOW, to, by, why))
        return self.known[name]

    async def approve(self, id_, /, by, why=""):
        self.asked.append(("approve", id_, by, why))
        return self._turn(id_, {ProgramState.PENDING}, ProgramState.APPROVED, by, why)

    async def reject(self, id_, /, by, why=""):
        self.asked.append(("reject", id_, by, why))
        wanted = {ProgramState.PENDING, ProgramState.APPROVED, ProgramState.BLOCKED}
        return self._turn(id_, wanted, ProgramState.REJECTED, by, why)

    async def rollback(self, id_, /, by, why=""):
        self.asked.append(("rollback", id_, by, why))
        if self._found(id_).state is not ProgramState.APPLIED:
            raise NotPossible(f"program {id_} is {self._found(id_).state}; only what was applied can be taken back")
        return program("p-back", ProgramState.RUNNING, NOW, cause=Cause.ROLLBACK, of=id_, by=by)

    async def pause(self, policy, by, why=""):
        self.asked.append(("pause", policy, by, why))
        if policy not in {None, "default"}:
            raise Unknown(f"there is no policy {policy}; there is default")

    async def resume(self, target, by, why=""):
        self.asked.append(("resume", target, by, why))
        if target not in {None, "default", *KEYS}:
            raise Unknown(f"there is no policy or workload {target}")

    async def release(self, target, by, why=""):
        self.asked.append(("release", target, by, why))
        if target not in {None, "rack-1", "rack-2", *KEYS}:
            raise Unknown(f"there is no node or workload {target}")
        return (program("p-free", ProgramState.RUNNING, NOW, cause=Cause.RELEASE, by=by),)


class Past:
    """An archive: lists that are asked as the store is."""

    def __init__(self, events=(), decisions=(), trials=()) -> None:
        self.kept_events, self.kept_decisions, self.kept_trials = list(events), list(decisions), list(trials)

    async def events(self, since, until, most=1000):
        return [each for each in self.kept_events if since <= each.at < until][-most:]

    async def decisions(self, policy, since, until):
        return [each for each in self.kept_decisions if each.policy == policy and since <= each.at < until]

    async def trials(self, since, until, policy=None):
        return [each for each in self.kept_trials if since <= each.at < until and policy in {None, each.policy}]


def event(at: float, kind: str = "ManualChange") -> Event:
    return Event(at, kind, "rack-1/golem", f"it was changed at {at:g}")


def decision(at: float) -> RecordedDecision:
    return RecordedDecision("default", at, f"{at:.3f}", "ModeSuggest", f"suggested at {at:g}", "{}")


def trial(at: float) -> Trial:
    part = Part("rack-1/golem", "golem", "cpu", 4.0, 6.0, at, 7200.0, promised=0.02)
    outcome = Outcome(at + 7200, Interval(0.0, 0.01, 0.02), 0.02, True, True, -0.5, "it paid")
    return Trial(
        f"t-{at:g}", "default", Kind.FOLLOWED, at, (part,), Promise(Interval(0.01, 0.02, 0.03), 0.9, 0.0), outcome
    )


def reading(key: str, at: float = NOW - 5, **more) -> Reading:
    node, name = key.split("/")
    values = {
        "rate_usd_per_hour": 0.02, "net_usd_per_hour": float("nan"), "allocated": {"cpu": 4.0}, "used": {"cpu": 3.5},
        "quality": Quality.MEASURED, "native": Native(gross_per_hour={"GLM": 0.05}), "payout_expected_at": NOW + 86400,
    }  # fmt: skip
    return Reading(node, name, "golem", at, **(values | more))


def row(key: str, **more) -> dict:
    return {
        "key": key, "node": key.split("/", maxsplit=1)[0], "protocol": "golem", "resource": "cpu", "curve": "demand", "step": 1.0,
        "min": 0.0, "max": 8.0, "up": True, "failure": None, "connection": "connected", "read_at": NOW - 10,
        "state": "working", "healthy": True, "version": "0.17.6", "quality": "measured", "gross_usd_per_hour": 0.0123,
        "net_usd_per_hour": None, "native_per_hour": {"GLM": 0.05}, "balance_usd": {}, "allocated": 4.0, "used": 3.5,
        "stalled": False, "notes": [], "target": 6.0,
    } | more  # fmt: skip


def opportunity(target: str, gain: float, reason: str = "ModeSuggest") -> dict:
    return {
        "node": target.split("/", maxsplit=1)[0], "resource": "cpu", "source": None, "target": target, "amount": 2.0,
        "source_amount": 2.0, "gain_usd_per_hour": {"low": 0.0, "expected": gain, "high": 2 * gain}, "cost_usd": 0.0,
        "confidence": 0.9, "steps": 2, "restarts": 1, "offline_minutes": 0.0, "reason": reason, "sentence": "more",
        "score": None,
    }  # fmt: skip


def policy(name: str = "default") -> dict:
    plan = {
        "at": NOW, "solver": "WaterFilling", "why": "one resource", "rate_now_usd_per_hour": 0.1,
        "gain_usd_per_hour": {"low": 0.0, "expected": 0.01, "high": 0.02}, "cost_usd": 0.0, "net_benefit_usd": 0.02,
        "roi": None, "confidence": 0.9, "horizon_seconds": 7200.0, "gap": 0.0, "rounding_loss_usd_per_hour": 0.0,
        "current": {"rack-1/golem": 4.0}, "targets": {"rack-1/golem": 6.0}, "strategy": "Threshold", "score": None,
        "alternatives": [], "opportunities": [opportunity("rack-1/golem", 0.01), opportunity("rack-2/golem", 0.03)],
    }  # fmt: skip
    verdict = {
        "workload": "rack-1/golem", "resource": "cpu", "from": 4.0, "to": 6.0, "gain_usd_per_hour": 0.01,
        "cost_usd": 0.0, "allowed": False, "reason": "ModeSuggest", "sentence": "shown, not done",
    }  # fmt: skip
    return {
        "name": name, "mode": "Approve", "reason": "ModeSuggest", "sentence": "golem <4> to 6", "ready_at": None,
        "circuit_open": False, "plan": plan, "verdicts": [verdict],
        "left_out": {"rack-1/x": {"reason": "Stale", "sentence": "x is 2h old"}},
    }  # fmt: skip


def view(keys=KEYS, policies=("default",)) -> dict:
    return {
        "at": NOW, "version": "0.1.0", "complete": True, "manifests": {"sha256": "0" * 64, "problems": []},
        "workloads": [row(key) for key in keys], "policies": [policy(name) for name in policies],
    }  # fmt: skip


async def metrics(_request: web.Request) -> web.Response:
    return web.Response(text="orcha_build_info 1\n")


def read_manifests(folder: Path):
    """MANIFESTS as they are in force."""
    path = folder / "orcha.yaml"
    path.write_text(MANIFESTS)
    found = load([path], discover())
    assert not found.problems, found.problems
    return found


def some_programs() -> tuple[Program, ...]:
    """One of every state, the oldest first."""
    made = [program(f"p-{i:08x}", state, NOW - 3600 + 60 * i) for i, state in enumerate(ProgramState, 1)]
    running = replace(
        made[2], began=NOW - 60, stage=Stage(1, (0.5, 1.0), {"rack-1/golem": 4.0}, {"rack-1/golem": 6.0}),
        steps=(step("rack-1/akash", 6.0, 4.0, Phase.DONE), step(phase=Phase.ISSUED, note="waits for the offer")),
    )  # fmt: skip
    blocked = replace(made[5], said="rack-1 does not answer", retry_at=NOW + 60, tries=2)
    assert (running.state, blocked.state) == (ProgramState.RUNNING, ProgramState.BLOCKED)
    assert {each.state for each in made} >= OVER
    return (*made[:2], running, *made[3:5], blocked, *made[6:])


def faces(**changes) -> Faces:
    """Everything there is, made up; `changes` are fields of Faces."""
    newest = {key: reading(key) for key in KEYS}
    given = {
        "view": view, "metrics": metrics, "ready": lambda: True, "links": {"Grafana": "http://127.0.0.1:3000"},
        "now": lambda: NOW, "observation": lambda: Observation(at=NOW, newest=newest, last_good=newest, complete=True),
        "operations": Desk(*some_programs()),
        "archive": Past(
            [event(NOW - 60 * i) for i in range(50, 0, -1)], [decision(NOW - 60 * i) for i in range(50, 0, -1)],
            [trial(NOW - 3600.0)],
        ),
    }  # fmt: skip
    return Faces(**(given | changes))
