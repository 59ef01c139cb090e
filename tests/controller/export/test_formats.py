"""Rows as bytes: what was written is read back, wherever it is cut, and no cell is a formula."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.export.columns import COLUMNS, Kind
from controller.export.formats import FORMATS, guarded, rfc3339, writer_of
from tests.controller.export.worlds import read_csv, read_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["=1+1", "+", "-2", "@SUM(A1)", "'", "'=", "\t=", "\r=", 'a,"b"\n', "\r", "\r\n", "", "–", "\0", "<script>"]
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = {
    Kind.TIME: st.integers(0, 10**16).map(lambda micro: micro / 1e6),
    Kind.TEXT: TEXTS,
    Kind.NUMBER: NUMBERS,
    Kind.WHOLE: st.integers(0, 2**40),
    Kind.TRUTH: st.booleans(),
    Kind.LIST: st.lists(st.fixed_dictionaries({"workload": TEXTS, "from": NUMBERS}), max_size=2),
}


def some_rows(what):
    return st.lists(st.tuples(*(st.none() | VALUES[column.kind] for column in COLUMNS[what])), max_size=4)


def written(format_, what, *pieces):
    writer = writer_of(format_, COLUMNS[what])
    data = io.BytesIO(writer.head() + b"".join(writer.rows(piece) for piece in pieces))
    out = io.BytesIO()
    writer.finish(data, out)
    return out.getvalue()


def told(rows, what, time=rfc3339):
    """As objects, times as they are told."""
    return [
        {
            column.name: time(value) if column.kind is Kind.TIME and value is not None else value
            for column, value in zip(COLUMNS[what], row, strict=True)
        }
        for row in rows
    ]


WHATS = st.sampled_from(sorted(COLUMNS))


@given(st.data())
def test_what_is_written_as_json_lines_is_read_back(data):
    what = data.draw(WHATS)
    rows = data.draw(some_rows(what))
    assert read_json(written("json", what, rows)) == told(rows, what)


@given(st.data())
def test_what_is_written_as_csv_is_read_back_and_empty_is_unknown(data):
    what = data.draw(WHATS)
    rows = data.draw(some_rows(what))
    expected = [{name: None if value == "" else value for name, value in row.items()} for row in told(rows, what)]
    assert read_csv(written("csv", what, rows), what) == expected


@given(st.data())
def test_what_is_written_as_parquet_is_read_back(data):
    what = data.draw(WHATS)
    rows = data.draw(some_rows(what))
    table = pq.read_table(io.BytesIO(written("parquet", what, rows)))
    lists = {column.name for column in COLUMNS[what] if column.kind is Kind.LIST}
    found = [
        {name: json.loads(value) if name in lists and value is not None else value for name, value in row.items()}
        for row in table.to_pylist()
    ]
    for row in found:
        for column in COLUMNS[what]:
            if column.kind is Kind.TIME and row[column.name] is not None:
                row[column.name] = row[column.name].strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
    assert found == told(rows, what)


@given(st.data(), st.sampled_from(["csv", "json"]))
def test_the_bytes_are_the_same_wherever_they_are_cut(data, format_):
    what = data.draw(WHATS)
    rows = data.draw(some_rows(what))
    cut = data.draw(st.integers(0, len(rows)))
    assert written(format_, what, rows[:cut], rows[cut:]) == written(format_, what, rows)


@given(TEXTS)
def test_no_text_is_a_cell_that_a_spreadsheet_runs(text):
    cell = guarded(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell.removeprefix("'") == text


def test_numbers_stay_numbers_though_they_begin_with_a_minus():
    row = (0.0, 0, "n", "n/w", None, None, True, 1.0, 0.5, -0.25, *(None,) * 10)
    assert b",-0.25," in written("csv", "readings", [row])


def test_every_line_of_csv_has_every_column_and_unknown_is_empty():
    row = (1.5, 0, "n", "n/w", *(None,) * 16)
    head, line = csv.reader(io.StringIO(written("csv", "readings", [row]).decode()))
    assert head == [column.name for column in COLUMNS["readings"]]
    assert line == ["1970-01-01T00:00:01.500000Z", "0", "n", "n/w", *[""] * 16]


@pytest.mark.parametrize("format_", FORMATS)
def test_half_a_sign_in_a_nodes_words_does_not_end_the_export(format_):
    columns = COLUMNS["decisions"]
    row = tuple(
        "\ud800" if each.name == "sentence" else [{"reason": "\ud800"}] if each.name == "moves" else None
        for each in columns
    )
    assert written(format_, "decisions", [row])


def test_parquet_has_types_and_row_groups_of_bounded_size():
    found = pq.ParquetFile(
        io.BytesIO(written("parquet", "readings", *[[(float(i), 0, *[None] * 18)] * 40_000 for i in range(3)]))
    )
    assert found.metadata.num_rows == 120_000
    assert [found.metadata.row_group(i).num_rows for i in range(found.num_row_groups)] == [80_000, 40_000]
    assert str(found.schema_arrow.field("at").type) == "timestamp[us, tz=UTC]"
    assert str(found.schema_arrow.field("net_usd_per_hour").type) == "double"


def test_without_pyarrow_it_is_said_what_to_install(tmp_path):
    program = (
        "import sys; sys.modules['pyarrow'] = None; from controller.__main__ import main\n"
        f"sys.argv[1:] = ['export', '--what', 'readings', '--format', 'parquet', '-o', '{tmp_path}/a', '--state', 'sqlite:///x']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "orcha: Parquet needs the library pyarrow; install it where orcha is: pip install pyarrow, or pipx inject orcha pyarrow\n"
    )
    assert list(tmp_path.iterdir()) == []
