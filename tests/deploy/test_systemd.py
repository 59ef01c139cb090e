"""The units of deploy/systemd: systemd itself finds nothing wrong, what they start exists, and what they run in holds orcha."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from controller.__main__ import app as controller
from exporters.__main__ import app as exporter
from exporters.settings import SettingsSpec

ROOT = Path(__file__).resolve().parent.parent.parent
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
MOST_EXPOSED = 1.1
"""What `systemd-analyze security` may say at most, of 10: what is left is a network, and files of the system that it may read."""
NO_CODE_IN_DATA = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: what MemoryDenyWriteExecute asks for
    sys.exit(99)
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""
SOLVES_AND_PLANS = """
import highspy, mmap, runpy
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.maximize(highs.addVariable(ub=1.0))
    assert highs.getObjectiveValue() == 1.0
    runpy.run_module("controller", run_name="__main__", alter_sys=True)
"""


class Unit(configparser.RawConfigParser):
    """One unit; a key that stands twice has both values, in lines."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, interpolation=None)
        self.optionxform = str  # type: ignore[assignment]
        lines: dict[str, dict[str, list[str]]] = {}
        section = ""
        for line in path.read_text().splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line and not line.startswith("#"):
                key, _, value = line.partition("=")
                lines.setdefault(section, {}).setdefault(key, []).append(value)
        self.read_dict({name: {key: "\n".join(values) for key, values in keys.items()} for name, keys in lines.items()})


def test_there_is_one_for_the_controller_and_one_for_the_exporter():
    assert [unit.name for unit in UNITS] == ["orcha-exporter.service", "orcha.service"]


@pytest.mark.tool("systemd")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_nothing_wrong_with_a_unit(tool, tmp_path, unit):
    text = unit.read_text()
    copied = tmp_path / unit.name
    copied.write_text(
        text.replace("/opt/orcha/bin/", f"{Path(sys.executable).parent}/")
    )  # here it is not installed in /opt
    argv = [tool("systemd") / "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copied]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.tool("systemd")
def test_systemd_would_say_what_is_wrong_with_a_unit(tool, tmp_path):
    copied = tmp_path / "wrong.service"
    copied.write_text(UNITS[1].read_text().replace("ProtectSystem=strict", "ProtectSytem=strict"))
    argv = [tool("systemd") / "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copied]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert "ProtectSytem" in done.stderr


@pytest.mark.tool("systemd")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_exposed_no_more_than_a_program_with_a_network_must_be(tool, unit):
    analyze = [tool("systemd") / "systemd-analyze", "security", "--offline=yes"]
    limit = f"--threshold={MOST_EXPOSED * 10:.0f}"
    done = subprocess.run(
        [*analyze, limit, "--no-pager", unit], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1:]
    told = subprocess.run([*analyze, "--json=short", unit], capture_output=True, text=True, timeout=60, check=False)
    left = {each["json_field"] for each in json.loads(told.stdout) if not each["set"] and each["exposure"] is not None}
    assert left <= {
        "DeviceAllow", "IPAddressDeny", "PrivateNetwork", "RestrictAddressFamilies_AF_INET_INET6",
        "RestrictAddressFamilies_AF_UNIX", "RootDirectoryOrRootImage",
    }  # fmt: skip


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_what_a_unit_starts_is_a_command_of_ours_with_options_that_it_has(unit):
    program, *argv = Unit(unit)["Service"]["ExecStart"].split()
    name = Path(program).name
    assert program == f"/opt/orcha/bin/{name}"
    command = typer.main.get_command({"orcha": controller, "orcha-exporter": exporter}[name])
    if name == "orcha":
        command, argv = command.commands[argv[0]], argv[1:]
    with command.make_context(name, argv) as context:
        assert [str(path) for path in context.params["manifests"]] == ["/etc/orcha/manifests"]


def test_the_state_is_where_the_controller_works_and_its_own():
    service = Unit(UNITS[1])["Service"]
    assert SettingsSpec().state is None, "then it is orcha.db in the working directory"
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"
    assert service["StateDirectoryMode"] == "0700"
    assert "StateDirectory" not in Unit(UNITS[0])["Service"], "the exporter keeps nothing"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_it_starts_again_after_a_failure_but_not_with_manifests_that_are_invalid(unit):
    service = Unit(unit)["Service"]
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "1"
    argv = [sys.executable, "-m", "controller" if unit.stem == "orcha" else "exporters"]
    argv += ["run"] if unit.stem == "orcha" else []
    broken = ROOT / "tests" / "deploy" / "broken.yaml"
    done = subprocess.run(
        [*argv, "--manifests", broken], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr


def test_memory_that_is_never_both_written_and_executed_is_enough_for_it(world):
    argv = [sys.executable, "-c", NO_CODE_IN_DATA, SOLVES_AND_PLANS, "plan", "--manifests", str(world.manifests)]
    argv += ["--output", "json"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    if done.returncode == 99:
        assert tuple(map(int, os.uname().release.split(".")[:2])) < (6, 3), "only older kernels cannot tell"
        return
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["policies"]
