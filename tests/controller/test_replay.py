"""What a decision was made from, kept and brought back: the same Moves and Verdicts, whatever the world."""

from __future__ import annotations

import asyncio
import json
import math
import struct
import subprocess
import sys
import zlib
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import replay as replaying
from controller.decide import decide
from controller.model import Curve, Learned, NodeState, Reason, State, WorkloadState
from controller.replay import CannotReplay, inputs_of, replay
from controller.report import views
from controller.store import Store
from exporters.nodes import Power, Watts
from exporters.reading import Pool
from tests.controller.worlds import (
    DEMAND,
    DILUTION,
    FILL,
    HOUR,
    NOW,
    allocation,
    always,
    blocks,
    competing,
    node,
    policy,
    reading,
    state,
    varying,
    workload,
)

TIB = 2.0**40


# --- worlds -------------------------------------------------------------------------------------------------------


@st.composite
def workloads(draw, number, *, lively):
    """One workload of any kind, with a past or none, read or not; `lively`: one that can be planned on."""
    key, seed = f"rack-{draw(st.integers(1, 2))}/w{number}", draw(st.integers(0, 99))
    hours = draw(st.sampled_from([3, 30, 80] if lively else [1, 3, 30, 80]))
    more = {
        "last_moved": draw(st.sampled_from([None, NOW - 60, NOW - 2 * HOUR])),
        "manual_change_at": draw(st.sampled_from([None, None, None, NOW - 60])),
        "mode": draw(st.sampled_from([None, None, "Suggest", None if lively else "Off"])),
        "watts": draw(st.sampled_from([None, Watts(per_step=12)])),
    }
    kind = draw(st.sampled_from(["demand", "demand", "fill", "dilution"]))
    if kind == "demand":
        has = float(draw(st.integers(0, 8)))
        past = varying(1 + seed % 7, capacity=max(has, 0.5), seed=seed, hours=hours)
        made = workload(
            key, has, past, traits=replace(DEMAND, offline_minutes=draw(st.sampled_from([0.0, 3.0]))), **more
        )
    elif kind == "fill":
        stored = TIB * (1 + seed % 4)
        past = blocks([stored] * hours, [False] * hours, value=2e-15, levels=[stored], room_growth=[1e9] * hours)
        bounds = allocation("storage", TIB, 8 * TIB, TIB / 2)
        made = workload(key, stored + TIB, past, traits=FILL, bounds=bounds, used=stored, **more)
    else:
        bounds = allocation("stake/DATA", 0, 4e5, 5e3)
        said = reading(
            key, 1e5, resource="stake/DATA", pool=Pool({"DATA": 4.0}, 2e6 + seed), pool_payout_usd_per_hour=1.0
        )
        past = blocks([1e5] * hours, [True] * hours, value=5e-7, levels=[0, 1e5])
        made = workload(key, 1e5, past, traits=DILUTION, bounds=bounds, read=said, **more)
    if lively or draw(st.booleans()):
        return made
    return draw(st.sampled_from([made, replace(made, blocks=None), silent(made), of_nan(made)]))


def silent(made):
    return replace(made, reading=replace(made.reading, up=False, failure="timeout"))


def of_nan(made):
    """What a broken node says."""
    said = replace(made.reading, net_usd_per_hour=math.nan, used={"cpu": math.inf})
    return replace(made, reading=said, last_good=said)


@st.composite
def worlds(draw, *, lively=False):
    objective = {
        "strategy": draw(st.sampled_from(["Threshold", "Interval", "RiskAware", "Predictive"])), "riskTolerance": 0.05,
        "riseAnalyses": draw(st.sampled_from([1, 3])),
    }  # fmt: skip
    spec = policy(
        mode=draw(st.sampled_from(["Suggest", "Approve", "Auto", "Auto" if lively else "Off"])), objective=objective,
        minConfidence=draw(st.sampled_from([0.0, 0.7, 0.99])), minHistory="2h" if lively else draw(st.sampled_from(["2h", "40h"])),
        maxStepPercent=draw(st.sampled_from([10, 50])), maxUnhealthyShare=1,
    )  # fmt: skip
    power = Power(usd_per_kwh=0.31)
    nodes = [node(f"rack-{i}", power, cpu=16, storage=16 * TIB, stake_DATA=5e5) for i in (1, 2)]
    those = [draw(workloads(number, lively=lively)) for number in range(draw(st.integers(1 if lively else 0, 5)))]
    return state(
        those, nodes, spec=spec, seed=draw(st.integers(0, 3)), rises=draw(st.integers(0, 3)),
        learned=Learned(draw(st.sampled_from([1.0, 1.7])), {"mapped": 0.6}, draw(st.sampled_from([None, "it lost"]))),
        programs_last_hour=draw(st.integers(0, 4)), last_program_at=NOW - 600, blocked=draw(st.sampled_from([None, None, "x"])),
    )  # fmt: skip


def same(again, before):
    """Moves and verdicts, and all that is shown of them; floats to 1e-9."""
    assert [(m.key, m.from_, m.to) for m in again.plan.moves] == [(m.key, m.from_, m.to) for m in before.plan.moves]
    assert [(v.move.key, v.allowed, v.reason, v.sentence) for v in again.verdicts] == [
        (v.move.key, v.allowed, v.reason, v.sentence) for v in before.verdicts
    ]
    for mine, theirs in zip(figures(again), figures(before), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-15, nan_ok=True)
    assert views.recorded(again, "").fingerprint == views.recorded(before, "").fingerprint
    assert (again.reason, again.sentence, again.ready_at) == (before.reason, before.sentence, before.ready_at)
    assert again.not_considered == before.not_considered


def figures(decision):
    plan = decision.plan
    gain = [plan.gain.low, plan.gain.expected, plan.gain.high] if plan.gain else []
    found = [plan.rate_now, plan.cost_usd, plan.confidence or 0.0, plan.net_benefit_usd or 0.0, *gain]
    found += [value for m in plan.moves for value in (m.gain_usd_per_hour, m.cost_usd)]
    for each in plan.opportunities:
        found += [each.gain.low, each.gain.expected, each.gain.high, each.confidence, each.cost_usd]
    return found


@settings(max_examples=60)
@given(worlds())
def test_any_decision_comes_back_with_the_same_moves_and_verdicts(world):
    decision = decide(world)
    same(replay(inputs_of(decision)), decision)


@settings(max_examples=20)
@given(worlds())
def test_a_replayed_decision_can_be_kept_and_replayed_again(world):
    once = replay(inputs_of(decide(world)))
    same(replay(inputs_of(once)), once)


# --- through a store and a restart --------------------------------------------------------------------------------

_READ = """
import asyncio, json, sys
from controller.replay import replay
from controller.store import Store

async def main():
    store = await Store.open(sys.argv[1], write=False)
    record = await store.decided("default", 1e12)
    await store.close()
    again = replay(record.inputs)
    moves = [[v.move.key, v.move.from_, v.move.to, v.move.gain_usd_per_hour, v.reason, v.sentence] for v in again.verdicts]
    print(json.dumps([moves, [again.plan.gain.low, again.plan.gain.expected, again.plan.gain.high]]))

asyncio.run(main())
"""


async def test_it_comes_back_from_a_store_in_another_process(tmp_path):
    decision = decide(competing(policy(minConfidence=0.1)))
    url = f"sqlite:///{tmp_path}/orcha.db"
    store = await Store.open(url)
    store.note_decision(views.recorded(decision))
    await store.write()
    await store.close()
    argv = [sys.executable, "-c", _READ, url]
    told = await asyncio.to_thread(subprocess.run, argv, check=True, capture_output=True, text=True, timeout=60)
    moves, gain = json.loads(told.stdout)
    assert moves
    for mine, verdict in zip(moves, decision.verdicts, strict=True):
        it = verdict.move
        assert mine[:3] == [it.key, it.from_, it.to]
        assert mine[3] == pytest.approx(it.gain_usd_per_hour, rel=1e-9)
        assert mine[4:] == [verdict.reason, verdict.sentence]
    assert gain == pytest.approx(
        [decision.plan.gain.low, decision.plan.gain.expected, decision.plan.gain.high], rel=1e-9
    )


# --- what is kept, and what not -----------------------------------------------------------------------------------


def test_every_field_of_the_model_is_kept_but_the_past():
    kept = {of: set(adapters) for of, adapters in replaying._FIELDS.items()}
    past = set(replaying._PAST)
    assert kept[State] == {field.name for field in fields(State)} - past - {"nodes", "workloads"}
    assert kept[NodeState] == {field.name for field in fields(NodeState)}
    assert kept[WorkloadState] == {field.name for field in fields(WorkloadState)} - past
    arrays = {field.name for field in fields(Curve) if "F64" in str(field.type) or "NDArray" in str(field.type)}
    assert arrays == set(replaying._ARRAYS)
    assert kept[Curve] == {field.name for field in fields(Curve)} - arrays


def test_replicates_are_kept_where_they_are_looked_up_and_are_unknown_elsewhere():
    decision = decide(many(4))
    again = replay(inputs_of(decision))
    for key, curve in again.curves.items():
        was = decision.curves[key]
        assert np.array_equal(curve.y, was.y), "the curve itself is kept whole"
        known = np.isfinite(curve.replicates)
        assert np.array_equal(curve.replicates[known], was.replicates[known])
        assert 0 < known[0].sum() < len(curve.x)


def test_the_exposure_that_a_limit_was_met_by_is_kept_to_the_last_bit():
    for hours in (2.0, 1 / 3 + 5 / 3, 2.0000000000000004, 0.1 * 20, 7.3):
        assert replaying._hours(hours * 3600) * 3600 == hours * 3600


def test_a_decision_over_too_many_workloads_is_kept_without():
    assert inputs_of(decide(competing()), most=2) is not None
    assert inputs_of(decide(competing()), most=1) is None


def many(number):
    each = [
        workload(f"rack-1/w{i}", 4.0, varying(2 + i, capacity=4.0, seed=i, hours=72), bounds=allocation(high=16))
        for i in range(number)
    ]
    return state(each, [node(cpu=4.0 * number)], spec=policy())


def test_a_record_of_four_workloads_takes_less_than_40_kilobytes():
    assert len(inputs_of(decide(many(4)))) < 40_000


def test_what_is_only_shown_of_a_reading_is_left_out():
    decision = decide(competing())
    noisy = replace(
        decision.state,
        workloads=tuple(
            replace(
                w, reading=replace(w.reading, notes=("odd",) * 50, extra={"f": (({"a": "b"}, 1.0),)}, node_id="0x1")
            )
            for w in decision.state.workloads
        ),
    )
    again = replay(inputs_of(replace(decision, state=noisy)))
    assert all(w.reading.notes == () and not w.reading.extra for w in again.state.workloads)
    same(again, decision)


# --- records that cannot be read ----------------------------------------------------------------------------------


def altered(change):
    """A record of a decision with its JSON changed."""
    data = inputs_of(decide(competing()))
    raw = zlib.decompress(data[6:])
    (size,) = struct.unpack_from("<I", raw)
    lines = [json.loads(line) for line in raw[4 : 4 + size].split(b"\n")]
    change(lines)
    text = "\n".join(map(json.dumps, lines)).encode()
    return data[:6] + zlib.compress(struct.pack("<I", len(text)) + text + raw[4 + size :])


def put(line, name, value):
    return lambda lines: lines[line].__setitem__(name, value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"", "does not begin as one", id="empty"),
        pytest.param(b"hello", "does not begin as one", id="something else"),
        pytest.param(b"orcha", "format none", id="cut short"),
        pytest.param(b"orcha\x09abc", "format 09, this one knows 1", id="a later format"),
        pytest.param(b"orcha\x01abc", "damaged", id="damaged"),
        pytest.param(inputs_of(decide(competing()))[:-20], "no end", id="half of it"),
        pytest.param(altered(put(2, "colour", "red")), "colour, which this version does not know", id="an unknown field"),
        pytest.param(altered(lambda lines: lines[2].pop("traits")), "no traits then", id="a missing field"),
        pytest.param(altered(put(2, "stale_after", "soon")), "WorkloadState.stale_after", id="another type"),
        pytest.param(altered(lambda lines: lines[0]["state"]["spec"].update(hue=1)), "State.spec.hue", id="an old spec"),
        pytest.param(altered(lambda lines: lines[0].update(unknown={"a": ["Gone", "b"]})), "Gone", id="an old reason"),
        pytest.param(altered(lambda lines: lines.pop()), "parts where", id="a line too few"),
        pytest.param(altered(lambda lines: lines[-1]["arrays"].pop("y")), "figures|shape|size", id="an array too few"),
    ],
)  # fmt: skip
def test_what_this_version_cannot_read_is_one_sentence(data, said):
    with pytest.raises(CannotReplay, match=said) as raised:
        replay(data)
    assert "another version of orcha" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_field_that_did_not_exist_then_has_its_default():
    again = replay(altered(lambda lines: lines[0]["state"].pop("rises")))
    assert again.state.rises == 0


def test_what_the_fleet_lets_begin_is_kept_and_an_older_record_has_no_such_limit():
    limits = [{"protocol": "golem", "resource": "cpu", "maxTotal": 6, "throughout": True}]
    decision = decide(competing(spec=policy(constraints=limits), permits=0, parts={0: "cores"}))
    again = replay(inputs_of(decision))
    assert (again.state.permits, again.state.spec.constraints) == (0, decision.state.spec.constraints)
    assert again.state.parts == {0: "cores"}
    assert (again.verdicts, again.sentence) == (decision.verdicts, decision.sentence)
    assert "the fleet's limit cores, would be broken" in again.sentence
    older = altered(lambda lines: [lines[0]["state"].pop(name) for name in ("permits", "parts")])
    assert (replay(older).state.permits, replay(older).state.parts) == (None, {})


def test_a_default_of_then_is_kept_though_another_one_holds_now():
    decision = decide(competing())
    plain = replaying._plain(decision.state)["spec"]["limits"]
    assert plain["minConfidence"] == 0.7, "written, though nobody set it"


def test_a_world_without_any_history_says_so_again():
    decision = decide(state([workload("rack-1/golem", 6.0, always(6.0, hours=1))], spec=policy()))
    assert decision.reason is Reason.NO_HISTORY
    same(replay(inputs_of(decision)), decision)
