"""Data of the dashboards' benchmark that is kept is used only where it is what would be written."""

from __future__ import annotations

import json

import pytest

from benchmarks.bench_dashboards import data, recording

KEPT = {"nodes": 25, "days": 7.0, "rules": recording(), "end": 1_800_000_000.0, "series": 9}


@pytest.fixture
def kept(tmp_path):
    def write(**other):
        (tmp_path / "fleet.json").write_text(json.dumps({**KEPT, **other}))
        return tmp_path

    return write


def test_what_an_earlier_run_wrote_is_taken_as_it_is(kept):
    folder = kept()
    assert data(folder, 25, 7.0, None) == KEPT
    assert [path.name for path in folder.iterdir()] == ["fleet.json"]


@pytest.mark.parametrize("name", ["nodes", "days", "rules"])
def test_data_of_anything_else_is_refused(kept, name):
    with pytest.raises(SystemExit, match=rf"was written with other {name} \(3, now .+\); name another folder"):
        data(kept(**{name: 3}), 25, 7.0, None)


def test_a_folder_with_anything_in_it_is_left_alone(tmp_path):
    (tmp_path / "chunks_head").mkdir()
    with pytest.raises(SystemExit, match="holds what no run of this benchmark finished"):
        data(tmp_path, 25, 7.0, None)
    assert [path.name for path in tmp_path.iterdir()] == ["chunks_head"]
