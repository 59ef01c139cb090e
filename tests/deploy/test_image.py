"""The image's content, built by the Dockerfile's own steps, and started as its user with a root that nobody can write to."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name as canonical

from exporters import __version__
from scripts.image import sizes, weight
from tests.e2e.programs import ROOT, get, until

pytestmark = [pytest.mark.tool("image-wheels"), pytest.mark.xdist_group("image"), pytest.mark.timeout(600)]

PINNED = r"(?m)^([a-z0-9][a-z0-9.-]*)==(\S+) (?:; python_full_version < '3.12' )?\\$"
LARGEST = 200e6
"""Bytes that orcha may add to its base."""
TOKEN = "a-token-that-only-this-test-knows"
WRITES = """
import errno, os, sys
said = {}
for folder in ("/", "/etc/orcha/manifests", "/etc/orcha/secrets", "/opt/orcha", "/usr/local/lib", "/usr/share/orcha",
               "/tmp", "/var/lib/orcha"):
    try:
        open(os.path.join(folder, "x"), "w").close()
        said[folder] = "written"
    except OSError as exc:
        said[folder] = errno.errorcode[exc.errno]
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(repr((said, os.getuid(), os.getgid(), os.getgroups(), int(status["CapEff"], 16), int(status["CapBnd"], 16),
            int(status["NoNewPrivs"]))))
"""


def start_image(image, *argv, timeout=60):
    """Run a program of the image to its end."""
    command = [sys.executable, "scripts/image.py", "start", str(image), *map(str, argv)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture
def folders(world, tmp_path, free_port):
    """Manifests, secrets and state as an operator mounts them: (arguments of start, port)."""
    nodes = [each for path in world.manifests.glob("*.yaml") for each in yaml.safe_load_all(path.read_text())]
    endpoint = next(
        workload["endpoint"]
        for node in nodes if node["kind"] == "Node"
        for workload in node["spec"]["workloads"].values() if workload["protocol"] == "storj"
    )  # fmt: skip
    port = free_port()
    tokens = {"read": "/etc/orcha/secrets/api/read"}
    spec = {"listen": f"0.0.0.0:{port}", "exporterListen": f"0.0.0.0:{port}", "api": {"tokenFiles": tokens}}
    spec["prices"] = {"sources": [], "static": {"STORJ": 0.5}}
    node = {"capacity": {"storage": "16Ti"}, "workloads": {"storj": {"protocol": "storj", "endpoint": endpoint}}}
    kinds = {"Settings": spec, "Node": node, "AllocationPolicy": {"mode": "Suggest"}}
    manifests, secrets, state = tmp_path / "m", tmp_path / "s", tmp_path / "state"
    for folder in (manifests, secrets / "api", state):
        folder.mkdir(parents=True)
    for kind, body in kinds.items():
        text = {"apiVersion": "orcha.dev/v1alpha1", "kind": kind, "metadata": {"name": kind.lower()}, "spec": body}
        (manifests / f"{kind}.yaml").write_text(yaml.safe_dump(text))
    (secrets / "api/read").write_text(TOKEN)
    os.chown(secrets / "api/read", 65532, 65532)
    (secrets / "api/read").chmod(0o400)
    os.chown(state, 65532, 65532)
    state.chmod(0o750)
    mounts = {manifests: "/etc/orcha/manifests", secrets: "/etc/orcha/secrets", state: "/var/lib/orcha"}
    given = [part for host, path in mounts.items() for part in ("--mount", f"{host}:{path}")]
    return [*given, "--env", f"ORCHA_HEALTH=127.0.0.1:{port}"], port


def test_it_adds_less_than_200_megabytes_to_its_base(image):
    largest = "\n".join(f"{size / 1e6:7.1f} MB  {name}" for name, size in sizes(image))
    assert weight(image / "rootfs") < LARGEST, largest


def test_nothing_in_it_builds_installs_or_tests(image):
    rootfs = image / "rootfs"
    names = {path.name for path in (rootfs / "opt/orcha/bin").iterdir()}
    assert {name for name in names if not name.startswith("python")} == {"orcha", "orcha-exporter"}
    [packages] = (rootfs / "opt/orcha/lib").glob("python3*/site-packages")
    tops = {canonical(path.name.split("-")[0]) for path in packages.iterdir()}
    assert not tops & {"pip", "setuptools", "wheel", "hatchling", "uv", "pytest", "cyclonedx-py", "cyclonedx-bom"}
    assert [path for path in packages.rglob("tests") if path.is_dir()] == []
    assert not {"tests", "scripts", "grafana", "benchmarks"} & tops
    for module in ("pip", "ensurepip", "setuptools", "wheel"):
        done = start_image(image, "--entrypoint", "python", "--", "-m", module)
        assert done.returncode == 1, module
        # where this machine's system Python plays the base, its ensurepip lies outside of what a build can take away
        lent = module == "ensurepip" and sys.base_prefix == "/usr" and "Read-only file system" in done.stderr
        assert lent or f"No module named {module}" in done.stderr


def test_no_file_of_it_can_be_changed_by_its_user_or_lends_rights(image):
    odd = []
    for path in (image / "rootfs").rglob("*"):
        about = path.lstat()
        if stat.S_ISLNK(about.st_mode) or path == image / "rootfs/var/lib/orcha":
            continue
        if about.st_uid or about.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH | stat.S_IWGRP):
            odd.append(str(path))
    assert odd == []


def test_its_bill_of_materials_names_what_is_installed_and_nothing_else(image):
    bom = json.loads((image / "rootfs/usr/share/orcha/orcha.cdx.json").read_text())
    [packages] = (image / "rootfs/opt/orcha/lib").glob("python3*/site-packages")
    installed = {canonical(each.name): each.version for each in distributions(path=[str(packages)])}
    assert installed.pop("orcha") == __version__
    listed = {canonical(part["name"]): part["version"] for part in bom["components"] if part["type"] == "library"}
    assert listed == installed
    assert [part["name"] for part in bom["components"] if part["type"] != "library"] == ["cpython"]
    root = bom["metadata"]["component"]
    assert (root["name"], root["version"]) == ("orcha", __version__)
    assert all(part.get("licenses") for part in bom["components"] if part["type"] == "library")


def test_what_is_installed_is_what_the_lock_names(image):
    lock = dict(re.findall(PINNED, (ROOT / "requirements/image.lock").read_text()))
    [packages] = (image / "rootfs/opt/orcha/lib").glob("python3*/site-packages")
    installed = {canonical(each.name): each.version for each in distributions(path=[str(packages)])}
    assert installed.pop("orcha") == __version__
    assert {name: lock.get(name) for name in installed} == installed
    assert {"asyncpg", "lightkube"} <= installed.keys(), "PostgreSQL and Kubernetes need no other image"


def test_it_runs_as_its_user_without_rights_and_writes_nowhere_but_its_state_and_tmp(image, folders):
    given, _ = folders
    done = start_image(image, *given, "--entrypoint", "python", "--", "-c", WRITES)
    said, *who = eval(done.stdout)  # noqa: S307 what the program above printed
    assert {folder for folder, how in said.items() if how == "written"} == {"/tmp", "/var/lib/orcha"}  # noqa: S108 of the container
    assert {how for how in said.values() if how != "written"} <= {"EROFS", "EACCES", "ENOENT"}
    assert said["/usr/share/orcha"] == said["/opt/orcha"] == said["/etc/orcha/secrets"] == "EROFS"
    assert who == [65532, 65532, [], 0, 0, 1], (
        "user, group, groups, effective and bounding capabilities, no new privileges"
    )


def test_the_controller_serves_is_healthy_and_ends_in_time(image, folders, start, tmp_path):
    given, port = folders
    program = start("scripts/image.py", "start", str(image), *given, name="orcha")
    url = f"http://127.0.0.1:{port}"
    until(lambda: get(f"{url}/readyz")[0] == 200 or program.process.poll() is not None, "orcha to be ready", 90)
    assert get(f"{url}/healthz")[0] == 200, program.said()
    status, metrics = get(f"{url}/metrics")
    assert status == 200
    assert re.search(rf'orcha_build_info{{[^}}]*revision="abc"[^}}]*version="{re.escape(__version__)}"', metrics)
    assert 'orcha_protocol_up{node="node",protocol="storj",workload="storj"} 1.0' in metrics
    assert get(f"{url}/api/v1/status")[0] == 401
    assert get(f"{url}/api/v1/status", {"Authorization": f"Bearer {TOKEN}"})[0] == 200
    healthy = start_image(image, *given, "--health")
    assert (healthy.returncode, healthy.stdout, healthy.stderr) == (0, "", "")
    began = time.monotonic()
    assert program.stop() == 0, program.said()
    assert time.monotonic() - began < 5
    assert start_image(image, *given, "--health").returncode == 1
    state = tmp_path / "state/orcha.db"
    assert (state.stat().st_uid, state.stat().st_gid) == (65532, 65532), "and it is where the volume is"


def test_the_exporter_is_in_the_same_image(image, folders, start):
    given, port = folders
    program = start(
        "scripts/image.py", "start", str(image), *given, "--entrypoint", "orcha-exporter",
        "--", "--manifests", "/etc/orcha/manifests", name="exporter",
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    until(lambda: "orcha_protocol_up" in get(f"{url}/metrics")[1] or program.process.poll() is not None, "metrics", 90)
    assert get(f"{url}/healthz")[0] == 200, program.said()
    assert start_image(image, *given, "--health").returncode == 0
    assert program.stop() == 0


def test_without_a_place_for_its_state_it_says_so_and_ends(image, folders):
    given, _ = folders
    without = [part for part in given if "/var/lib/orcha" not in part]
    pairs = [(flag, value) for flag, value in zip(given[::2], given[1::2], strict=True) if value in without]
    done = start_image(image, *[part for pair in pairs for part in pair])
    assert done.returncode == 2
    assert "/var/lib/orcha" in done.stderr or "orcha.db" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_base_named_in_the_dockerfile_is_the_python_that_these_tests_run_with():
    text = (ROOT / "Dockerfile").read_text()
    assert f"ARG BASE=python:{sys.version_info.major}.{sys.version_info.minor}-slim" in text
    assert Path(sys.base_prefix).is_dir()
