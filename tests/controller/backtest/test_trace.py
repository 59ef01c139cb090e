"""CSV -> Case: what a trace says, and every way in which it can be wrong."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.backtest.case import TICK
from controller.backtest.rows import MOST_PROBLEMS, BadTrace
from controller.backtest.trace import load
from controller.model import NodeState
from controller.observe import Watched
from controller.policy import PolicySpec
from exporters.documents import CannotRead
from exporters.nodes import Allocation, Power
from exporters.traits import CurveKind, Traits

NODES = (NodeState("rack-1", {"cpu": 8.0, "storage": 8.0}, None),)
HEAD = "time,node,workload,demand,usd_per_unit_hour"
START = 1_767_571_200


def watched(key, kind="demand", allocation=True, **fields):
    resource = "storage" if kind == "fill" else "cpu"
    bounds = Allocation.model_validate({"resource": resource, "min": 0, "max": 8, "step": 1} | fields)
    traits = Traits(curve=CurveKind(kind), resource=resource)
    node, _ = key.split("/")
    return Watched(key, node, "mapped", traits, 210.0, bounds if allocation else None, None, None, None, "dry_run")


ALL = {
    it.key: it
    for it in (
        watched("rack-1/golem"),
        watched("rack-1/akash"),
        watched("rack-1/storj", "fill"),
        watched("rack-1/streamr", "dilution"),
        watched("rack-1/grass", allocation=False),
        watched("rack-9/golem"),
    )
}


@pytest.fixture
def read(tmp_path):
    def of(*lines, head=HEAD, nodes=NODES, known=ALL, end="\n", **more):
        file = tmp_path / "trace.csv"
        text = end.join([head, *lines]) + end if head is not None else end.join(lines)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(file, nodes, known, PolicySpec(mode="Auto"), **more)

    return of


@pytest.fixture
def wrong(read, tmp_path):
    def of(*lines, **more):
        with pytest.raises(BadTrace) as caught:
            read(*lines, **more)
        return [str(problem).removeprefix(str(tmp_path) + "/") for problem in caught.value.problems]

    return of


def columns(traced):
    return {w.key: traced.case.truth.demand[:, i].tolist() for i, w in enumerate(traced.case.workloads)}


def test_a_row_holds_until_the_next_of_its_workload_and_the_last_as_long_as_the_one_before(read):
    traced = read(
        f"{START},rack-1,golem,1,0.03", f"{START},rack-1,akash,5,0.01", f"{START + 60},rack-1,akash,6,0.01",
        f"{START + 120},rack-1,golem,2,0.04",
    )  # fmt: skip
    assert columns(traced)["rack-1/golem"] == [1, 1, 2, 2]
    np.testing.assert_array_equal(columns(traced)["rack-1/akash"], [5, 6, np.nan, np.nan])
    assert traced.case.truth.value[:, 1].tolist() == [0.03, 0.03, 0.04, 0.04]
    assert traced.case.truth.start == START
    assert traced.case.name == "trace"


def test_times_are_rfc_3339_or_unix_seconds(read):
    traced = read("2026-01-05T01:00:00+01:00,rack-1,golem,1,0", f"{START + 60}.5,rack-1,golem,2,0")
    assert columns(traced) == {"rack-1/golem": [1, 1, 2]}


def test_nobody_knows_an_empty_demand_nor_one_before_the_first_row(read):
    traced = read(f"{START},rack-1,golem,,", f"{START + 60},rack-1,golem,3,0.1", f"{START + 60},rack-1,akash,1,0.1")
    np.testing.assert_array_equal(columns(traced)["rack-1/golem"], [np.nan, 3])
    np.testing.assert_array_equal(columns(traced)["rack-1/akash"], [np.nan, 1])
    np.testing.assert_array_equal(np.isnan(traced.case.truth.value), np.isnan(traced.case.truth.demand))


def test_up_and_the_tariff_of_the_node_are_followed(read):
    head = HEAD + ",up,tariff_usd_per_kwh"
    power = Power(usd_per_kwh=0.3)
    nodes = (NodeState("rack-1", {"cpu": 8.0}, power),)
    traced = read(
        f"{START},rack-1,golem,1,1,true,", f"{START + 60},rack-1,golem,1,1,0,0.2", f"{START + 120},rack-1,golem,1,1,,",
        head=head, nodes=nodes,
    )  # fmt: skip
    assert traced.case.truth.up[:, 0].tolist() == [True, False, True]
    assert traced.case.truth.tariff[:, 0].tolist() == [0.3, 0.2, 0.2]


def test_without_a_tariff_the_nodes_own_power_says(read):
    assert read(f"{START},rack-1,golem,1,1").case.truth.tariff is None


def test_it_starts_where_the_first_rows_say_and_splits_what_is_left_evenly(read):
    lines = [f"{START},rack-1,{name},1,1,{has}" for name, has in (("golem", 6.5), ("akash", ""), ("storj", ""))]
    traced = read(*lines, f"{START + 60},rack-1,golem,1,1,2", head=HEAD + ",allocated")
    assert dict(zip([w.key for w in traced.case.workloads], traced.case.initial, strict=True)) == {
        "rack-1/akash": 1, "rack-1/golem": 6.5, "rack-1/storj": 8,
    }  # fmt: skip
    assert read(*(line.rsplit(",", 1)[0] for line in lines)).case.initial.tolist() == [4, 4, 8]


def test_what_spreadsheets_write_is_read(read):
    quoted = [f'"{START}","rack-1","golem","1","0.5"', "", f"{START + 60},rack-1,golem,2,0.5"]
    assert columns(read(*quoted, end="\r\n", head="\ufeff" + HEAD)) == {"rack-1/golem": [1, 2]}


def test_only_the_first_days_are_replayed_where_that_is_asked_for(read):
    lines = [f"{START + 60 * i},rack-1,golem,{i},1" for i in range(10)]
    assert len(columns(read(*lines, days=3 / 1440))["rack-1/golem"]) == 3
    assert len(columns(read(*lines, days=30))["rack-1/golem"]) == 10


def test_what_a_reader_should_know_is_noted(read):
    traced = read(f"{START},rack-1,golem,1,1", f"{START},rack-9,golem,1,1", f"{START + 3600},rack-1,golem,1,1")
    assert len(traced.notes) == 3
    assert "3600 s apart" in traced.notes[0]
    assert "rack-9/golem" in traced.notes[1]
    assert "rack-1/akash, rack-1/storj" in traced.notes[2]
    fine = read(*(f"{START + 10 * i},rack-1,golem,{i},1" for i in range(13)))
    assert columns(fine)["rack-1/golem"] == [0, 6, 12]
    assert "as little as 10 s" in fine.notes[0]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (f"{START},rack-1,golem,-3,1", "demand -3 is below 0"),
        (f"{START},rack-1,golem,inf,1", "demand 'inf' is not a number; write one, such as 2.5, or nothing if unknown"),
        (f"{START},rack-1,golem,nan,1", "demand 'nan' is not a number"),
        (f"{START},rack-1,golem,1_0,1", "demand '1_0' is not a number"),
        (f"{START},rack-1,golem,4 cores,1", "demand '4 cores' is not a number"),
        (f"{START},rack-1,golem,1e30,1", "demand 1e30 is more than anything has; write it in base units"),
        (f"{START},rack-1,golem,1,", "usd_per_unit_hour is empty where demand is known"),
        (f"{START},rack-1,golem,1,-1", "usd_per_unit_hour -1 is below 0"),
        (f"{START},rack-1,golme,1,1", "no workload 'rack-1/golme'; there are rack-1/akash, rack-1/golem, rack-1/storj"),
        (f"{START},rack-2,golem,1,1", "no workload 'rack-2/golem'"),
        (f"{START},rack-1,streamr,1,1", "rack-1/streamr has curve dilution, which a trace cannot replay"),
        (f"{START},rack-1,grass,1,1", "rack-1/grass declares no allocation"),
        (f"{START},rack-1,golem,1", "has 4 fields where the first line has 5"),
        (f"{START},rack-1,golem,1,1,1", "has 6 fields where the first line has 5"),
        ("# a comment", "a trace has no comments; remove the line"),
        ("2026-01-05T00:00:00,rack-1,golem,1,1", "is not a time with its zone; write it as 2026-01-05T00:00:00Z"),
        ("2026-02-30T00:00:00Z,rack-1,golem,1,1", "does not exist"),
        ("yesterday,rack-1,golem,1,1", "time 'yesterday' is not a time"),
        (f"{START}000,rack-1,golem,1,1", "looks like milliseconds; write seconds"),
        ("-5,rack-1,golem,1,1", "is before 1970"),
        ("nan,rack-1,golem,1,1", "time 'nan' is not a time"),
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_what_would_be_right(wrong, row, sentence):
    (problem,) = wrong(row)
    assert problem.startswith("trace.csv:2: ")
    assert sentence in problem


def test_rows_must_be_sorted_and_say_a_thing_once(wrong):
    early = wrong(f"{START},rack-1,golem,1,1", f"{START - 60},rack-1,akash,1,1")
    assert early == [f"trace.csv:3: time {START - 60} is before that of the row above; sort the rows by time"]
    twice = wrong(f"{START},rack-1,golem,1,1", f"{START}.0,rack-1,golem,2,1")
    assert twice == ["trace.csv:3: rack-1/golem has two rows of one time; keep one"]


def test_a_node_has_one_tariff_at_a_time_and_up_is_true_or_false(wrong):
    rows = [f"{START},rack-1,golem,1,1,yes,0.1", f"{START},rack-1,akash,1,1,1,0.1", f"{START},rack-1,storj,1,1,1,0.2"]
    found = wrong(*rows, head=HEAD + ",up,tariff_usd_per_kwh")
    assert found == [
        "trace.csv:2: up 'yes' is neither true nor false; write one of them, or 1 or 0",
        "trace.csv:4: rack-1 had another tariff, 0.1, at this very time; a node has one",
    ]


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        ("time,node,workload,demand", "column usd_per_unit_hour missing from the first line"),
        (HEAD + ",price", "there is no column 'price'; there are time, node, workload"),
        (HEAD + ",demand", "column 'demand' is there twice"),
        (HEAD.replace(",", ";"), "there is no column"),
    ],
)
def test_a_bad_first_line_is_refused_at_once(wrong, head, sentence):
    assert any(problem.startswith("trace.csv:1: ") and sentence in problem for problem in wrong("x", head=head))


def test_all_problems_are_named_at_once_up_to_a_number(wrong):
    found = wrong(*(f"{START},rack-1,golem,x{i},1" for i in range(100)))
    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1] == f"trace.csv: and perhaps more: reading ended after {MOST_PROBLEMS} problems"


def test_an_empty_file_or_one_without_rows_is_refused(wrong):
    assert wrong(head=None) == [f"trace.csv: is empty; its first line is {HEAD}"]
    assert wrong() == ["trace.csv: has no row that can be replayed; write at least one for each workload"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (HEAD.encode() + b"\n\xff\xfe,rack-1,golem,1,1\n", "trace.csv:2: is not UTF-8"),
        ((HEAD + "\n").encode("utf-16"), "trace.csv:1: is not UTF-8"),
        (HEAD.encode() + b'\n"1" 2,rack-1,golem,1,1\n', "trace.csv:2: is no CSV"),
        (HEAD.encode() + b"\n1\x00,rack-1,golem,1,1\n", "trace.csv:2: "),
    ],
    ids=["bytes", "utf-16", "half quoted", "a zero byte"],
)
def test_what_is_no_text_is_refused_with_its_line(tmp_path, content, sentence):
    file = tmp_path / "trace.csv"
    file.write_bytes(content)
    with pytest.raises(BadTrace) as caught:
        load(file, NODES, ALL, PolicySpec())
    assert sentence in str(caught.value)


def test_a_start_that_holds_more_than_there_is_is_refused(wrong):
    lines = [f"{START},rack-1,{name},1,1,{has}" for name, has in (("golem", 6), ("akash", 3))]
    (problem,) = wrong(*lines, head=HEAD + ",allocated")
    assert problem == "trace.csv:3: `allocated` of the first rows is more than there is: 9 cpu of 8 on rack-1"


def test_a_slip_in_a_date_does_not_fill_the_memory(wrong):
    (problem,) = wrong("1,rack-1,golem,1,1", f"{START},rack-1,golem,1,1")
    assert "is a date wrong?" in problem


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(CannotRead, match=r"none\.csv cannot be read \(No such file or directory\)"):
        load(tmp_path / "none.csv", NODES, ALL, PolicySpec())


def test_progress_is_told_as_shares(read):
    seen = []
    read(*(f"{START + i},rack-1,golem,1,1" for i in range(150)), progress=seen.append)
    assert all(0 <= share <= 1 for share in seen)
    assert seen


@given(st.text(max_size=60))
def test_no_text_does_anything_but_be_refused_or_read(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("any") / "trace.csv"
    file.write_bytes((HEAD + "\n" + text).encode("utf-8", "surrogatepass"))
    with contextlib.suppress(BadTrace):
        assert load(file, NODES, ALL, PolicySpec()).case.truth.ticks > 0


@given(st.lists(st.tuples(st.integers(1, 900), st.one_of(st.none(), st.floats(0, 1e6))), min_size=1, max_size=20))
def test_each_tick_has_the_last_row_at_or_before_it(tmp_path_factory, rows):
    file, at, lines = tmp_path_factory.mktemp("any") / "trace.csv", START, []
    for gap, demand in rows:
        lines.append((at, demand))
        at += gap
    file.write_text("\n".join([HEAD, *(f"{t},rack-1,golem,{'' if d is None else repr(d)},1" for t, d in lines)]))
    truth = load(file, NODES, ALL, PolicySpec()).case.truth
    for i, found in enumerate(truth.demand[:, 0].tolist()):
        expected = [d for t, d in lines if t <= truth.start + i * TICK][-1]
        assert np.isnan(found) if expected is None else found == expected
