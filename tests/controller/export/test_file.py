"""An export that stops anywhere and goes on gives what one that never stopped gives; FILE is only ever there as a whole."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.export.columns import COLUMNS
from controller.export.file import Note, Part, Refused, check_place, explained, note_path, noted, part_path
from controller.export.formats import FORMATS, writer_of

ASKED = {"what": "readings", "format": "csv", "state": "orcha.db", "from": None, "to": "now", "columns": ["at"]}
NOTE = Note(ASKED, 0.0, 100.0, (0.0, None))
CHUNKS = [[(float(i), 0, "n", f"n/w{i}", *[None] * 16)] * (i % 3) for i in range(7)]


def writer(format_="csv"):
    return writer_of(format_, COLUMNS["readings"])


def take(part, chunks, first=0):
    for i, rows in enumerate(chunks, first):
        part.take(rows)
        part.sure((float(i + 1), None))


def whole(path, format_="csv"):
    with Part.begin(path, writer(format_), NOTE) as part:
        take(part, CHUNKS)
        part.finish()
    return path


def read(path, format_):
    return pq.read_table(path).to_pylist() if format_ == "parquet" else path.read_bytes()


def left_of(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("format_", FORMATS)
@given(st.lists(st.tuples(st.integers(0, len(CHUNKS)), st.booleans(), st.binary(max_size=9)), max_size=3))
@settings(max_examples=15)
def test_stopped_anywhere_and_gone_on_with_it_is_as_if_it_never_stopped(tmp_path_factory, format_, stops):
    """Each stop: after how many chunks, whether the last were noted, and what of the next one was torn."""
    folder = tmp_path_factory.mktemp("export")
    expected = read(whole(folder / "whole", format_), format_)
    path = folder / "file"
    with Part.begin(path, writer(format_), NOTE, 0.0):
        pass
    for chunks, sure, torn in stops:
        note = noted(path, ASKED)
        at = int(note.resume[0])
        with Part.go_on(path, writer(format_), note, 0.0 if sure else 1e9) as part:
            take(part, CHUNKS[at : max(at, chunks)], at)
        with part_path(path).open("ab") as file:
            file.write(torn)
        assert not path.exists()
    note = noted(path, ASKED)
    with Part.go_on(path, writer(format_), note, 0.0) as part:
        take(part, CHUNKS[int(note.resume[0]) :], int(note.resume[0]))
        part.finish()
    assert read(path, format_) == expected
    assert part.rows == sum(map(len, CHUNKS))
    assert left_of(folder) == ["file", "whole"]


@pytest.mark.parametrize("format_", FORMATS)
def test_stopped_after_the_last_row_only_the_file_is_made(tmp_path, format_):
    expected = read(whole(tmp_path / "whole", format_), format_)
    path = tmp_path / "file"
    with Part.begin(path, writer(format_), NOTE, 0.0) as part:
        take(part, CHUNKS)
        part._note(done=True)
    (tmp_path / "file.new").write_bytes(b"half a file")
    with Part.go_on(path, writer(format_), noted(path, ASKED)) as part:
        assert not part.open
        part.finish()
    assert read(path, format_) == expected
    assert part.rows == sum(map(len, CHUNKS))


def test_stopped_after_the_file_was_put_in_place_nothing_is_left_to_do(tmp_path):
    path = whole(tmp_path / "file")
    before = path.read_bytes()
    note_path(path).write_text(json.dumps({**vars_of(replace(NOTE, done=True, rows=7)), "asked": ASKED}))
    with Part.go_on(path, writer(), noted(path, ASKED)) as part:
        assert not part.open
        part.finish()
    assert (path.read_bytes(), part.rows, left_of(tmp_path)) == (before, 7, ["file"])


def vars_of(note):
    return {name: getattr(note, name) for name in Note.__dataclass_fields__}


def test_a_file_that_is_there_is_only_replaced_where_that_is_wanted_and_then_at_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(Refused, match="is there already; name another file with --output, or replace it with --force"):
        Part.begin(path, writer(), NOTE)
    assert left_of(tmp_path) == ["file"]
    with Part.begin(path, writer(), replace(NOTE, replaces=True)) as part:
        take(part, CHUNKS)
        assert path.read_text() == "precious"
        part.finish()
    assert path.read_text().startswith("at,")


def test_what_is_left_of_an_export_is_not_begun_over_unasked(tmp_path):
    path = tmp_path / "file"
    with Part.begin(path, writer(), NOTE, 0.0) as part:
        take(part, CHUNKS)
    with pytest.raises(Refused, match="stopped early; go on with --resume, or begin anew with --force"):
        Part.begin(path, writer(), NOTE)
    with Part.begin(path, writer(), replace(NOTE, replaces=True)) as part:
        assert part.rows == 0
        assert part_path(path).read_bytes() == writer().head()


def test_two_exports_do_not_write_one_file(tmp_path):
    path = tmp_path / "file"
    with Part.begin(path, writer(), NOTE), pytest.raises(Refused, match=r"another export writes to .*file now"):
        Part.go_on(path, writer(), noted(path, ASKED))


def test_a_part_that_lost_bytes_that_were_sure_is_refused(tmp_path):
    path = tmp_path / "file"
    with Part.begin(path, writer(), NOTE, 0.0) as part:
        take(part, CHUNKS)
    part_path(path).write_bytes(b"short")
    with pytest.raises(Refused, match=r"file.part has 5 bytes, and had \d+ before; begin anew with --force"):
        Part.go_on(path, writer(), noted(path, ASKED))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"columns": ["at", "more"]}, "it was another version of orcha"),
        ({"format": "json"}, "--format was csv"),
        ({"from": "14d"}, "--from was None"),
        ({"state": "other.db"}, "--state was orcha.db"),
    ],
    ids=["columns", "format", "from", "state"],
)
def test_another_export_than_the_one_that_stopped_is_refused(tmp_path, other, said):
    path = tmp_path / "file"
    with Part.begin(path, writer(), NOTE):
        pass
    with pytest.raises(Refused, match=f"stopped early is not this one: {said}; run that one, or begin anew"):
        noted(path, ASKED | other)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"resume": 3}', "null"], ids=["empty", "list", "no-names", "number", "null"]
)
def test_a_note_that_is_none_is_refused(tmp_path, text):
    note_path(tmp_path / "file").write_text(text)
    with pytest.raises(Refused, match=r"file.part.json is not what orcha export wrote; begin anew with --force"):
        noted(tmp_path / "file", ASKED)


@pytest.mark.parametrize(
    "odd",
    [
        {"size": "12"},
        {"rows": None},
        {"since": "x"},
        {"until": []},
        {"asked": []},
        {"resume": []},
        {"resume": ["x", 1]},
    ],
    ids=str,
)
def test_a_note_whose_parts_are_of_another_kind_is_refused(tmp_path, odd):
    note_path(tmp_path / "file").write_text(json.dumps(vars_of(NOTE) | {"asked": ASKED} | odd))
    with pytest.raises(Refused, match=r"file.part.json is not what orcha export wrote; begin anew with --force"):
        noted(tmp_path / "file", ASKED)


def test_a_file_that_was_put_in_place_and_is_gone_is_not_said_to_be_there(tmp_path):
    path = tmp_path / "file"
    note_path(path).write_text(json.dumps(vars_of(replace(NOTE, done=True, size=7, rows=7)) | {"asked": ASKED}))
    with pytest.raises(Refused, match=r"file.part has 0 bytes, and had 7 before; begin anew with --force"):
        Part.go_on(path, writer(), noted(path, ASKED))


def test_without_a_note_there_is_nothing_to_go_on_with(tmp_path):
    assert noted(tmp_path / "file", ASKED) is None


def test_a_place_for_no_file_is_refused(tmp_path):
    with pytest.raises(Refused, match="is a directory; name a file in it"):
        check_place(tmp_path, None)
    with pytest.raises(Refused, match="there is no directory"):
        check_place(tmp_path / "none" / "file", None)
    with pytest.raises(Refused, match="/dev/null is no file; for stdout write -"):
        check_place(Path("/dev/null"), None)
    check_place(tmp_path / "file", None)


@pytest.mark.parametrize("name", ["orcha.db", "orcha.db-wal", "link"])
def test_the_state_is_never_written_over(tmp_path, name):
    state = tmp_path / "orcha.db"
    state.write_text("precious")
    (tmp_path / "link").symlink_to(state)
    with pytest.raises(Refused, match="is the state itself; name another file"):
        check_place(tmp_path / name, state)


def test_a_full_disk_is_said_and_what_to_do():
    with (
        pytest.raises(Refused, match="no room left for file; make room on its disk, and go on with --resume"),
        explained("file"),
    ):
        raise OSError(28, "No space left on device")
    with pytest.raises(Refused, match=r"file cannot be written \(Permission denied\)"), explained("file"):
        raise PermissionError(13, "Permission denied")


def test_where_stdout_has_no_room_nobody_is_told_to_go_on_with_what_cannot_be():
    with (
        pytest.raises(Refused, match="no room left for stdout; make room on its disk, and export to a file"),
        explained("stdout"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
