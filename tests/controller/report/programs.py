"""Programs and trials made up for tests of what people are shown. Plain values."""

from dataclasses import replace

from controller.model import Interval
from controller.programs import Cause, Phase, Program, ProgramState, Record, Stage, Step
from controller.promises import Kind, Outcome, Part, Promise, Trial

NOW = 1_800_000_000.0
HOUR = 3600.0
GOLEM, AKASH, STORJ = "rack-1/golem", "rack-1/akash", "rack-2/storj"
GAIN = Interval(-0.001, 0.0123, 0.02)


def step(key=GOLEM, before=6.0, after=8.0, phase=Phase.WAITING, *, resource="cpu", **more):
    return Step(key, key.split("/")[0], resource, {resource: before}, {resource: after}, phase, **more)


def program(id="p-1f2e3d4c", state=ProgramState.PENDING, *, ago=HOUR, steps=None, **more):  # noqa: A002 as it is called
    values = {
        "policy": "default",
        "cause": Cause.PLAN,
        "at": NOW - ago,
        "steps": tuple([step(AKASH, 6.0, 4.0), step()] if steps is None else steps),
        "sentence": "golem is full, akash is not: +0.0123 USD/h",
        "changed": NOW - ago,
        "trial": trial(id, ago=ago, judged=False),
        "expires": NOW - ago + 24 * HOUR if state is ProgramState.PENDING else None,
    }
    return Program(id=id, state=state, **(values | more))


def applied(id="p-0a0b0c0d", *, ago=5 * HOUR, by="orcha", **more):  # noqa: A002 as it is called
    done = (
        step(AKASH, 6.0, 4.0, Phase.DONE, since=NOW - ago + 60),
        step(GOLEM, 6.0, 8.0, Phase.DONE, since=NOW - ago + 90),
    )
    values = {"began": NOW - ago, "changed": NOW - ago + 90, "steps": done, "by": by}
    return replace(program(id, ProgramState.APPLIED, ago=ago + 60), **(values | more))


def record(at, what, by="orcha", sentence=""):
    return Record(at, what, by, sentence)


def records_of(each, by="anna (this machine)"):
    """A life from the proposal on, approved by a person."""
    return [
        record(each.at, "pending", sentence=each.sentence),
        record(each.at + 30, "approved", by, "looks right"),
        record(each.at + 60, "running"),
        record(each.at + 60, f"issued {AKASH}", sentence="6 to 4 cpu"),
        record(each.at + 90, "applied", sentence="every node reports it"),
    ]


def trial(id="p-0a0b0c0d", *, kind=Kind.APPLIED, ago=5 * HOUR, judged=True, promised=True):  # noqa: A002 as it is called
    began = NOW - ago
    parts = (
        Part(AKASH, "mapped", "cpu", 6.0, 4.0, began + 60, 2 * HOUR),
        Part(GOLEM, "golem", "cpu", 6.0, 8.0, began + 90, 2 * HOUR),
    )
    outcome = Outcome(
        began + 2 * HOUR + 90, Interval(0.009, 0.01, 0.011), 0.019, True, True, -0.19, "it brought 0.01 USD/h"
    )
    promise = Promise(GAIN, 0.93, 0.001) if promised else None
    return Trial(id, "default", kind, began, parts, promise, outcome if judged else None)


def staged(number=1):
    return Stage(number, (0.2, 0.5, 1.0), {GOLEM: 6.0}, {GOLEM: 8.0})
