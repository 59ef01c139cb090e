"""Completion of a shell: the script it is given, and what it is offered. Files are read, nobody is asked."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller.__main__ import app
from controller.commands.completion import prepare

BIN = Path(sys.executable).parent
NODE = """\
apiVersion: orcha.dev/v1alpha1
kind: Node
metadata: {name: rack-1}
spec: {workloads: {storj: {protocol: nonsense}, golem: {}}}
---
apiVersion: orcha.dev/v1alpha1
kind: AllocationPolicy
metadata: {name: careful}
---
apiVersion: orcha.dev/v1alpha1
kind: Settings
spec: {state: "sqlite:///seen.db"}
"""


def orcha(*argv):
    return CliRunner().invoke(app, [*map(str, argv)], env={"COLUMNS": "160"})


@pytest.fixture
def here(tmp_path):
    """A folder with manifests that are not valid, and a state."""
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "all.yaml").write_text(NODE)
    with closing(sqlite3.connect(tmp_path / "seen.db")) as connection:
        connection.execute("CREATE TABLE programs (id TEXT, at REAL)")
        connection.executemany("INSERT INTO programs VALUES (?, ?)", [("p-old1", 1.0), ("p-new2", 2.0)])
        connection.commit()
    return tmp_path


@pytest.fixture
def offered(here, monkeypatch):
    """What bash is offered after these words; the last is what was begun."""
    monkeypatch.chdir(here)
    monkeypatch.setenv("_ORCHA_COMPLETE", "complete_bash")
    prepare()

    def ask(*words):
        monkeypatch.setenv("COMP_WORDS", "\n".join(("orcha", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        done = CliRunner().invoke(app, [], prog_name="orcha")
        assert (done.exit_code, done.stderr) == (0, "")
        return done.stdout.split()

    return ask


def test_commands_and_options_are_offered(offered):
    assert {"run", "plan", "init", "doctor", "programs"} <= set(offered(""))
    assert offered("doc") == ["doctor"]
    assert "--manifests" in offered("plan", "--m")
    assert {"approve", "reject"} <= set(offered("programs", ""))


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("explain", "rack-1/"), ["rack-1/golem", "rack-1/storj"]),
        (("pause", ""), ["careful"]),
        (("release", ""), ["rack-1", "rack-1/golem", "rack-1/storj"]),
        (("resume", "c"), ["careful"]),
        (("history", "--policy", ""), ["careful"]),
        (("programs", "approve", "p-"), ["p-new2", "p-old1"]),
        (("programs", "approve", "p-o"), ["p-old1"]),
        (("explain", "-m", "nowhere", ""), []),
    ],
    ids=["workloads", "policies", "nodes and workloads", "begun", "an option", "programs", "a program", "no manifests"],
)
def test_names_are_those_of_the_manifests_and_of_the_state(offered, words, names):
    assert offered(*words) == names


def test_a_state_on_a_server_and_one_in_a_secret_file_are_not_asked(here, offered):
    text = (here / "manifests" / "all.yaml").read_text()
    for spec in ('{state: "postgresql://127.0.0.1:1/orcha"}', "{stateFile: /nowhere}"):
        (here / "manifests" / "all.yaml").write_text(text.replace('{state: "sqlite:///seen.db"}', spec))
        assert offered("programs", "approve", "") == []


def test_nothing_is_written_while_names_are_looked_for(here, offered):
    before = sorted(path.name for path in here.rglob("*"))
    offered("programs", "approve", "")
    assert sorted(path.name for path in here.rglob("*")) == before


def test_a_real_bash_completes_with_the_script(here):
    """As at a terminal: the function that the script registered is called with the words and the place of the cursor."""
    lines = [
        'eval "$(orcha completion bash)"',
        "complete -p orcha",
        "COMP_WORDS=(orcha explain rack-1/s); COMP_CWORD=2",
        "_orcha_completion orcha",
        'printf "%s\\n" "${COMPREPLY[@]}"',
    ]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", "\n".join(lines)], env=environment, cwd=here, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["complete -o default -F _orcha_completion orcha", "rack-1/storj"]


ASKS = {
    "fish": {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": "orcha explain rack-1/s"},
    "zsh": {"_TYPER_COMPLETE_ARGS": "orcha explain rack-1/s"},
}


@pytest.mark.parametrize("shell", sorted(ASKS))
def test_what_the_scripts_of_other_shells_ask_is_answered(here, shell, monkeypatch):
    """Each variable that the script sets is one that the program reads."""
    script = orcha("completion", shell).stdout
    assert all(name in script for name in (*ASKS[shell], f"_ORCHA_COMPLETE=complete_{shell}"))
    monkeypatch.chdir(here)
    for name, value in ({"_ORCHA_COMPLETE": f"complete_{shell}"} | ASKS[shell]).items():
        monkeypatch.setenv(name, value)
    prepare()
    done = CliRunner().invoke(app, [], prog_name="orcha")
    assert "rack-1/storj" in done.stdout
    assert "golem" not in done.stdout


@pytest.mark.parametrize("shell", [name for name in ("bash", "fish", "zsh") if shutil.which(name)])
def test_the_script_is_one_that_its_shell_can_read(tmp_path, shell):
    (tmp_path / "script").write_text(orcha("completion", shell).stdout)
    done = subprocess.run([shell, "-n", tmp_path / "script"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_another_shell_is_refused_and_those_that_there_are_are_named():
    done = orcha("completion", "tcsh")
    assert done.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr


def test_nothing_installs_itself():
    help_text = orcha("--help").stdout
    assert "install-completion" not in help_text
