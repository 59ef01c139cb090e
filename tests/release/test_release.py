"""scripts/release.py: what it refuses, and what it makes."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tarfile

import pytest
import yaml

from exporters import __version__
from tests.release.conftest import ROOT, git

heavy = [
    pytest.mark.xdist_group("release"),
    pytest.mark.timeout(500),
    pytest.mark.tool("image-wheels"),
    pytest.mark.tool("helm"),
]


def of_all(test):
    for mark in heavy:
        test = mark(test)
    return test


def test_the_version_stands_in_one_place_and_every_other_agrees(release):
    done = release(ROOT, "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["Dockerfile", "deploy/compose/compose.yaml", "helm/orcha/Chart.yaml"])
def test_a_place_that_names_another_version_is_found(release, clone, name):
    path = clone / name
    path.write_text(path.read_text().replace(__version__, "9.9.9", 1))
    done = release(clone, "--check")
    assert done.returncode == 1
    assert done.stderr == f"{name} says 9.9.9, exporters/__init__.py says {__version__}; write {__version__}\n"


def test_a_changelog_that_is_not_in_form_is_found(release, clone):
    path = clone / "CHANGELOG.md"
    path.write_text(path.read_text().replace("### Added", "### New"))
    done = release(clone, "--check")
    assert done.returncode == 1
    assert re.match(r"CHANGELOG.md: line \d+: there is no `### New`", done.stderr)


def test_a_tree_that_is_not_due_is_not_released_and_every_reason_is_said(release, clone, tmp_path):
    path = clone / "CHANGELOG.md"
    path.write_text("# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n")
    done = release(clone, "--output", str(tmp_path / "dist"))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"CHANGELOG.md has no section `## [{__version__}] - DAY`",
        f"CHANGELOG.md still has changes under [Unreleased]; they belong to [{__version__}]",
        "the tree is not clean: 1 file(s) differ from the commit, such as CHANGELOG.md",
    ]
    assert not (tmp_path / "dist").exists()


def test_a_file_that_git_does_not_know_keeps_a_tree_from_being_released(release, clone, tmp_path):
    (clone / "controller/forgotten.py").write_text("")
    done = release(clone, "--output", str(tmp_path / "dist"))
    assert done.returncode == 1
    assert "such as controller/forgotten.py" in done.stderr


def test_what_lies_in_the_folder_already_is_left_alone(release, clone, tmp_path):
    (tmp_path / "mine").write_text("mine")
    done = release(clone, "--output", str(tmp_path))
    assert done.returncode == 2
    assert "is not empty; name another folder" in done.stderr
    assert (tmp_path / "mine").read_text() == "mine"


@of_all
def test_it_makes_wheel_sdist_chart_sbom_and_sums_that_hold(released):
    names = sorted(path.name for path in released.iterdir())
    assert names == [
        "SHA256SUMS", f"orcha-{__version__}-py3-none-any.whl", f"orcha-{__version__}.cdx.json", f"orcha-{__version__}.tar.gz",
        f"orcha-{__version__}.tgz",
    ]  # fmt: skip
    lines = dict(reversed(line.split("  ")) for line in (released / "SHA256SUMS").read_text().splitlines())
    assert lines.keys() == set(names) - {"SHA256SUMS"}
    for name, digest in lines.items():
        assert hashlib.sha256((released / name).read_bytes()).hexdigest() == digest
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=released, capture_output=True, check=False
    )
    assert checked.returncode == 0


@of_all
def test_the_chart_of_a_release_is_whole_and_of_its_version(released):
    with tarfile.open(released / f"orcha-{__version__}.tgz") as archive:
        names = set(archive.getnames())
        about = yaml.safe_load(archive.extractfile("orcha/Chart.yaml").read())
        assert not [each for each in archive.getmembers() if each.issym() or each.islnk()]
    assert (about["version"], about["appVersion"]) == (__version__, __version__)
    assert {"orcha/values.yaml", "orcha/values.schema.json"} <= names
    assert [name for name in names if name.startswith("orcha/files/") and name.endswith(".json")], (
        "dashboards are in it"
    )


@of_all
def test_the_sbom_of_a_release_is_that_of_its_image(released):
    bom = json.loads((released / f"orcha-{__version__}.cdx.json").read_text())
    assert bom["metadata"]["component"]["version"] == __version__
    listed = {part["name"].lower().replace("_", "-"): part["version"] for part in bom["components"]}
    pinned = re.findall(r"(?m)^([a-z0-9][a-z0-9.-]*)==(\S+) \\$", (ROOT / "requirements/image.lock").read_text())
    assert {name: listed.get(name) for name, _ in pinned} == dict(pinned)


@of_all
def test_two_builds_of_one_commit_are_the_same_to_the_byte(released, clone, tmp_path):
    (clone / "controller/store.py").touch()  # another time on the disk is no other commit
    git(clone, "gc", "--quiet")
    done = subprocess.run(
        [sys.executable, "-c", "import release, sys; release.packages(__import__('pathlib').Path(sys.argv[1]), sys.argv[2])",
         str(tmp_path), git(clone, "log", "-1", "--format=%ct").strip()],
        cwd=clone / "scripts", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in (f"orcha-{__version__}-py3-none-any.whl", f"orcha-{__version__}.tar.gz"):
        assert (tmp_path / name).read_bytes() == (released / name).read_bytes(), name
