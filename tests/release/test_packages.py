"""The wheel and the sdist: what must be in them is, nothing else is, and what pip makes of the wheel works on its own."""

from __future__ import annotations

import email
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from exporters import __version__
from tests.release.conftest import ROOT

pytestmark = [
    pytest.mark.xdist_group("release"), pytest.mark.timeout(500), pytest.mark.tool("image-wheels"), pytest.mark.tool("helm"),
]  # fmt: skip

PACKAGES = ("controller", "exporters")
DATA = {
    "controller/api/static/page.css",
    "controller/api/static/page.js",
    "controller/fleet/rules.yaml",
    "controller/py.typed",
    "exporters/py.typed",
}
"""Every file of the packages that is no Python: a new one is added here when it is meant to be shipped."""


def in_tree() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def in_wheel(released) -> set[str]:
    with zipfile.ZipFile(released / f"orcha-{__version__}-py3-none-any.whl") as archive:
        return set(archive.namelist())


def in_sdist(released) -> set[str]:
    with tarfile.open(released / f"orcha-{__version__}.tar.gz") as archive:
        assert all(member.isfile() or member.isdir() for member in archive)
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


def test_the_wheel_holds_the_two_packages_and_nothing_else(released):
    about = f"orcha-{__version__}.dist-info"
    names = in_wheel(released)
    assert {name.split("/")[0] for name in names} == {*PACKAGES, about}
    assert {name for name in names if not name.startswith(about)} == in_tree()
    assert {name.removeprefix(f"{about}/") for name in names if name.startswith(about)} == {
        "METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE",
    }  # fmt: skip


def test_data_that_the_code_reads_is_in_both(released):
    assert {name for name in in_tree() if not name.endswith(".py")} == DATA
    assert in_wheel(released) >= DATA
    assert in_sdist(released) >= DATA


def test_the_sdist_holds_what_the_wheel_is_built_from_and_nothing_else(released):
    names = in_sdist(released)
    own = {name for name in names if name.startswith(tuple(f"{package}/" for package in PACKAGES))}
    assert own == in_tree()
    assert names - own == {".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}


def test_the_wheel_says_what_it_needs_and_what_it_is(released):
    with zipfile.ZipFile(released / f"orcha-{__version__}-py3-none-any.whl") as archive:
        about = email.message_from_bytes(archive.read(f"orcha-{__version__}.dist-info/METADATA"))
        entries = archive.read(f"orcha-{__version__}.dist-info/entry_points.txt").decode()
    assert (about["Name"], about["Version"], about["License-Expression"]) == ("orcha", __version__, "Apache-2.0")
    assert about["Requires-Python"] == ">=3.11"
    assert set(about.get_all("Provides-Extra")) >= {"kubernetes", "parquet", "postgres"}
    always = [line for line in about.get_all("Requires-Dist") if "extra ==" not in line]
    assert not [
        line for line in always if re.match(r"pytest|ruff|mypy|hatchling|lightkube|asyncpg|pyarrow|grafana", line)
    ]
    assert re.findall(r"(?m)^([\w-]+) = ", entries) == ["orcha", "orcha-exporter"]


@pytest.fixture(scope="module")
def installed(released, tool_folder, tmp_path_factory) -> Path:
    """The programs of a fresh environment with the wheel and what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    wheel = released / f"orcha-{__version__}-py3-none-any.whl"
    subprocess.run(
        [sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, folder], check=True, timeout=60
    )
    argv = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        folder / "bin/python",
        "--no-index",
        "--find-links",
        tool_folder,
        wheel,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


@pytest.fixture(scope="module")
def tool_folder() -> str:
    return json.loads((ROOT / ".cache" / "tools.json").read_text())["image-wheels"]["where"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["orcha", "--version"], rf"orcha {re.escape(__version__)}\n"),
        (["orcha", "validate", str(ROOT / "examples")], r"valid: \d+ node\(s\), "),
        (["orcha", "schema", "Node"], r'\{\n  "'),
        (["orcha-exporter", "--help"], r"(?s).*--manifests"),
        (["python", "-m", "controller", "--version"], rf"orcha {re.escape(__version__)}\n"),
    ],
    ids=["version", "validate", "schema", "exporter", "module"],
)
def test_the_installed_wheel_works_on_its_own(installed, tmp_path, argv, said):
    done = subprocess.run(
        [installed / argv[0], *argv[1:]], cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.match(said, done.stdout), done.stdout


def test_every_module_of_the_installed_wheel_is_found_where_it_was_installed(installed, tmp_path):
    program = (
        "import controller, exporters, importlib.resources as r; from exporters.collector import discover; "
        "print(controller.__file__, sorted(discover()), r.files('controller.api').joinpath('static/page.js').is_file())"
    )
    done = subprocess.run(
        [installed / "python", "-I", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed.parent))
    assert "['golem', 'grass', 'mapped', 'storj', 'streamr'] True" in done.stdout
