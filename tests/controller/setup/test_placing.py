"""Files are whole, valid and new; whatever goes wrong leaves everything as it was."""

from __future__ import annotations

import pytest

from controller.once import CouldNot
from controller.setup.placing import place
from exporters.collector import discover

COLLECTORS = discover()
NODE = """\
apiVersion: orcha.dev/v1alpha1
kind: Node
metadata: {name: rack}
spec: {workloads: {storj: {protocol: storj, endpoint: "http://127.0.0.1:14002"}}}
"""
POLICY = "apiVersion: orcha.dev/v1alpha1\nkind: AllocationPolicy\nmetadata: {name: default}\n"
FILES = {"rack.yaml": NODE, "policy.yaml": POLICY}


def put(directory, files=FILES, *, force=False, keep=True):
    return place(directory, files, COLLECTORS, force=force, keep=keep)


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mode(path):
    return path.stat().st_mode & 0o777


def test_files_are_written_with_a_folder_for_secrets_that_only_its_owner_may_enter(tmp_path):
    directory = tmp_path / "a" / "b"
    assert put(directory) == []
    assert {name: (directory / name).read_text() for name in FILES} == FILES
    assert (mode(directory / "secrets"), mode(directory / "rack.yaml"), mode(directory)) == (0o700, 0o644, 0o755)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "policy.yaml", "rack.yaml", "secrets"]


def test_a_file_that_is_there_is_named_and_stays(tmp_path):
    (tmp_path / "policy.yaml").write_text("mine")
    with pytest.raises(CouldNot, match=r"policy\.yaml exist\(s\) already; name another directory, or use --force"):
        put(tmp_path)
    assert everything(tmp_path) == {"policy.yaml": b"mine"}


def test_with_force_a_copy_is_kept_and_never_overwritten_either(tmp_path):
    (tmp_path / "policy.yaml").write_text("first")
    (kept,) = put(tmp_path, force=True)
    assert "policy.yaml.bak" in kept
    (tmp_path / "policy.yaml").write_text("second")
    assert len(put(tmp_path, force=True)) == 2
    assert (tmp_path / "policy.yaml.bak").read_text() == "first"
    assert (tmp_path / "policy.yaml.bak1").read_text() == "second"
    assert (tmp_path / "policy.yaml").read_text() == POLICY


def test_what_would_not_be_valid_is_never_left(tmp_path):
    directory = tmp_path / "new"
    with pytest.raises(CouldNot, match="nothing was written") as said:
        put(directory, {"rack.yaml": NODE.replace("storj, e", "sotrj, e")})
    assert f"{directory}/rack.yaml:4" in str(said.value), "it names the place where it would stand"
    assert list(tmp_path.iterdir()) == []


def test_what_would_not_fit_to_what_is_there_already_is_never_left(tmp_path):
    (tmp_path / "mine.yaml").write_text(NODE)
    before = everything(tmp_path)
    with pytest.raises(CouldNot, match="'rack' stands in"):
        put(tmp_path)
    assert everything(tmp_path) == before


def test_looking_what_would_be_written_leaves_nothing(tmp_path):
    assert put(tmp_path / "new", keep=False) == []
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_even_be_looked_at_is_refused_in_words(tmp_path):
    with pytest.raises(
        CouldNot, match=r"cannot be looked at \(File name too long\); name a directory that you may write"
    ):
        put(tmp_path / ("a" * 300) / "b")


def test_a_place_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CouldNot, match="is no directory"):
        put(tmp_path / "file")


def test_what_cannot_be_written_in_the_middle_takes_back_what_came_before(tmp_path):
    """The folder for secrets is a file: known only once the manifests are there."""
    (tmp_path / "secrets").write_text("")
    (tmp_path / "policy.yaml").write_text("mine")
    with pytest.raises(CouldNot, match="cannot be written"):
        put(tmp_path, force=True)
    assert everything(tmp_path) == {"secrets": b"", "policy.yaml": b"mine"}
