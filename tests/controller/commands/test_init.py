"""`orcha init` at the command line: flags, refusals, what is printed."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from controller.__main__ import app
from controller.commands.questions import Answers, ask
from controller.setup.wish import GRASS, HERE


@pytest.fixture
def metrics(tmp_path, free_port):
    """A port on which nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


def init(*argv):
    return CliRunner().invoke(app, ["init", *map(str, argv)], env={"COLUMNS": "160"})


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--storj", "ftp://x"], "--storj is not an address; write http://HOST:PORT"),
        (["--node", "Rack 1"], "--node 'Rack 1' is no name; write lower case letters, digits and '-', such as rack-1"),
        (["--golem-key-file", "/nowhere/key"], "--golem-key-file /nowhere/key does not exist"),
        (["--streamr-operator", "0x" + "1" * 40], "--streamr-operator needs --streamr-rpc"),
        (["--streamr-operator", "0x1", "--streamr-rpc", "http://x"], "--streamr-operator is no address"),
        (
            ["--streamr-operator", "0x" + "1" * 40, "--streamr-rpc", f"https://x/v2/{'k' * 32}"],
            "--streamr-rpc has a key in it",
        ),
        (["--host", "192.168.1.20:14002"], "--host is no host; write its name or address alone, such as 192.168.1.20"),
        (["--price", "GLM"], "--price 'GLM' is not a price; write TOKEN=USD, such as GLM=0.3"),
        (["--price", "GLM=-1"], "--price 'GLM=-1' is not a price"),
        (["--price", "GLM=nan"], "--price 'GLM=nan' is not a price"),
    ],
    ids=[
        "address",
        "name",
        "key file",
        "no rpc",
        "operator",
        "rpc with a key",
        "host",
        "price",
        "negative",
        "no number",
    ],
)
def test_a_flag_that_cannot_be_is_told_before_anything_is_looked_for(tmp_path, argv, sentence):
    done = init(tmp_path / "m", *([] if "--host" in argv else ["--only-named"]), *argv)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert "kkkk" not in done.stderr
    assert "looking" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_where_no_node_is_found_nothing_is_written_and_the_exit_code_is_1(tmp_path, metrics):
    done = init(tmp_path / "m", "--only-named", "--storj", metrics)
    assert done.exit_code == 1
    assert f"{metrics}: gave no reading as storj" in done.stderr
    assert "nothing was written" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_there_are_told_before_anything_is_looked_for(tmp_path):
    (tmp_path / "policy.yaml").write_text("mine")
    done = init(tmp_path, "--only-named", "--storj", "http://127.0.0.1:1")
    assert done.exit_code == 2
    assert "policy.yaml exist(s) already" in done.stderr
    assert "looking" not in done.stderr
    assert (tmp_path / "policy.yaml").read_text() == "mine"


def test_an_answer_that_cannot_be_is_asked_for_again_and_the_others_are_kept(tmp_path):
    operator, given = "0x39F947CF7B461b817ce7D951786c2958C663BbEa", Answers(GRASS, hosts=[HERE])
    lines = [
        "nas.lan:14002",
        "nas.lan, 10.0.0.7",
        "0x12",
        operator,
        f"https://rpc.example/{'k' * 32}",
        "rpc.example",
        "",
        "a b://",
        "",
        "",
    ]
    with CliRunner().isolation(input="\n".join([*lines, ""])) as (_, said, _):
        ask(given, tmp_path)
        shown = said.getvalue().decode()
    assert (given.hosts, given.operator, given.rpc, given.mapped) == (
        ["nas.lan", "10.0.0.7"], operator.lower(), "http://rpc.example", [],
    )  # fmt: skip
    for words in ("is no host; write its name", "is no address; write 0x", "has a key in it", "is not an address"):
        assert words in " ".join(shown.split())
    assert "kkkk" not in shown


def test_every_question_has_a_flag():
    """Whatever is asked at a terminal can be told without one."""
    text = init("--help").stdout
    for flag in (
        "--host",
        "--streamr-operator",
        "--streamr-rpc",
        "--grass-token-file",
        "--mapped",
        "--storj-folder",
        "--golem-key-file",
    ):
        assert flag in text


def test_help_shows_no_secret_as_a_value():
    assert "file with it, not the thing itself" in " ".join(init("--help").stdout.split())
