"""Random programs of a small fleet, as people would write them: moves of each workload chain, in any order and grouping."""

from __future__ import annotations

from hypothesis import strategies as st

from controller.fleet.terms import Term, checkpoint, identity, move, par, seq, verify

WORKLOADS = ("rack-1/akash", "rack-1/golem", "rack-2/golem", "rack-2/storj", "rack-3/storj")
RESOURCES = {"akash": "cpu+memory", "golem": "cpu", "storj": "storage"}


def resources_of(workload: str) -> str:
    return RESOURCES[workload.partition("/")[2]]


@st.composite
def words(draw, most: int = 7) -> list[Term]:
    """Steps one after the other; what a workload has before a step is what it had after its last."""
    has = dict.fromkeys(WORKLOADS, 4.0)
    steps = []
    for _ in range(draw(st.integers(0, most))):
        workload = draw(st.sampled_from(WORKLOADS))
        if draw(st.integers(0, 9)) == 0:
            steps.append(verify(workload))
            continue
        after = float(draw(st.integers(0, 8)))
        step = move(workload, resources_of(workload), has[workload], after)
        has[workload] = after
        steps.append(step)
    return steps


@st.composite
def terms(draw, most: int = 6) -> Term:
    """One well-formed term over such steps, bracketed at random; a checkpoint where colours need one, or by chance."""
    return bracketed(draw, draw(words(most)))


def bracketed(draw, steps: list[Term]) -> Term:
    if not steps:
        return identity()
    if len(steps) == 1:
        return steps[0]
    cut = draw(st.integers(1, len(steps) - 1))
    first, second = bracketed(draw, steps[:cut]), bracketed(draw, steps[cut:])
    apart = first.touches.isdisjoint(second.touches) and not {first.operator, second.operator} & {"par", "identity"}
    if apart and draw(st.booleans()):
        return par([first, second])
    if draw(st.integers(0, 5)) == 0:
        return checkpoint(first, second)
    try:
        return seq(first, second)
    except ValueError:
        return checkpoint(first, second)


def run(program: Term, has: dict[str, float]) -> list[dict[str, float]]:
    """What is held after each step, in one order that the program allows. A step whose `before` does not stand fails."""
    states = [dict(has)]
    for step in flat(program):
        now = dict(states[-1])
        if step.operator in {"grow", "shrink"}:
            workload, _, before, after = step.parameters
            assert now[workload] == before, f"{step} upon {now[workload]}"
            now[workload] = after
        states.append(now)
    return states


def flat(program: Term) -> list[Term]:
    if not program.children:
        return [program]
    return [step for child in program.children for step in flat(child)]
