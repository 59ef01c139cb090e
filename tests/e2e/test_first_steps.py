"""The first quarter of an hour of an operator: `orcha init`, `validate`, `plan`, `doctor`, on simulated nodes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from controller.__main__ import app
from tests.e2e.programs import get, until


def orcha(*argv):
    return CliRunner().invoke(app, [*map(str, argv)], env={"COLUMNS": "160"})


@pytest.fixture
def flags(world):
    """What the owner of the simulated nodes would tell `orcha init`; no real port is tried, no price source asked."""
    options = yaml.safe_load((world.manifests / "rack-2.yaml").read_text())["spec"]["workloads"]["streamr-traffic"][
        "options"
    ]
    at, secrets = world.addresses, world.manifests / "secrets"
    rpc = world.manifests / "rpc-url"
    rpc.write_text(f"{at['rack-2-rpc']}/v2/{'k' * 32}")
    rpc.chmod(0o600)
    return [
        "--only-named", "--node", "rack", "--offline", "--price", "GLM=0.2", "--price", "DATA=0.015",
        "--storj", at["rack-2-storj-1"], "--storj", at["rack-2-storj-2"],
        "--golem", at["rack-1-golem"], "--golem-key-file", secrets / "yagna-app-key",
        "--storj-folder", world.manifests, "--streamr-operator", options["operator"], "--streamr-rpc-file", rpc,
        "--grass", at["rack-1-grass"], "--grass-token-file", secrets / "grass-token",
    ]  # fmt: skip


def secrets_of(world):
    return [path.read_text().strip() for path in (world.manifests / "secrets").iterdir()]


def test_from_nodes_that_answer_to_manifests_that_are_valid_to_the_time_of_the_first_plan(
    world, flags, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # no state of somebody else lies here
    directory = tmp_path / "my nodes"
    dry = orcha("init", directory, *flags, "--dry-run")
    assert dry.exit_code == 0, dry.stderr
    assert not directory.exists()

    done = orcha("init", directory, *flags)
    assert done.exit_code == 0, done.stderr
    assert f"1. orcha plan -m '{directory}' " in done.stdout, "as a shell takes it"
    for name in ("policy.yaml", "settings.yaml"):
        assert (directory / name).read_text() in dry.stdout, "a dry run shows the very files"
    assert f"# --- {directory / 'rack.yaml'}\n" in dry.stdout
    written = "".join(path.read_text() for path in directory.glob("*.yaml"))
    assert not any(secret in text for secret in secrets_of(world) for text in (written, done.output, dry.output))

    assert "valid: 1 node(s), 6 workload(s), 1 policy(ies)" in orcha("validate", directory).stdout
    plan = orcha("plan", "-m", directory, "-o", "json")
    view = json.loads(plan.stdout)
    rows = {row["key"]: row for row in view["workloads"]}
    assert set(rows) == {f"rack/{name}" for name in ("golem", "grass", "storj-1", "storj-2", "streamr-1", "streamr-2")}
    assert all(row["up"] for row in rows.values())
    assert "a plan will be ready at" in plan.stdout
    assert "kkkk" not in written + plan.stdout + done.output

    again = orcha("init", directory, *flags)
    assert again.exit_code == 2
    assert "exist(s) already" in again.stderr


def test_a_folder_of_nodes_that_are_not_certainly_here_is_not_used_and_that_is_said(world, tmp_path):
    elsewhere = world.addresses["rack-2-storj-1"].replace("127.0.0.1", "0.0.0.0")  # noqa: S104 asked, not opened; leads here, and does not say so
    flags = ("--only-named", "--node", "rack", "--offline", "--storj-folder", tmp_path, "--dry-run")
    done = orcha("init", tmp_path / "mine", *flags, "--storj", elsewhere)
    assert done.exit_code == 0, done.stderr
    assert "--storj-folder changes nothing: no storagenode answers at 127.0.0.1" in done.stderr
    here = orcha("init", tmp_path / "mine", *flags, "--storj", world.addresses["rack-2-storj-1"])
    assert "changes nothing" not in here.stderr


def answered(questions, argv):
    """Run at a terminal of its own, and answer each question as it comes: (exit code, all that was shown)."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "controller", *map(str, argv)], stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown, left = "", list(questions)
    seen = 0
    try:
        while True:
            try:
                part = os.read(ours, 4096).decode()
            except OSError:  # the other end is closed: it is over
                break
            if not part:
                break
            shown += part
            while left and left[0][0] in shown[seen:]:
                question, answer = left.pop(0)
                seen = shown.index(question, seen) + len(question)
                os.write(ours, f"{answer}\n".encode())
        return process.wait(30), shown, left
    finally:
        os.close(ours)
        if process.poll() is None:
            process.kill()
            process.wait()


def test_at_a_terminal_it_asks_for_what_no_flag_told_and_for_secrets_by_the_name_of_their_file(world, tmp_path):
    key = world.manifests / "secrets" / "yagna-app-key"
    code, shown, unasked = answered(
        [
            ("Streamr operator", "0x12"),
            ("is no address; write 0x and 40 hexadecimal digits", ""),
            ("Grass: a file", tmp_path / "nowhere"),
            ("does not exist", ""),
            ("Other programs", ""),
            ("Storj: the folder", ""),
            ("Golem: the file with that key", key),
        ],
        ["init", tmp_path / "mine", "--only-named", "--node", "rack", "--offline", "--golem", world.addresses["rack-1-golem"]],
    )  # fmt: skip
    assert (code, unasked) == (0, []), shown
    assert str(key) in (tmp_path / "mine" / "rack.yaml").read_text()
    assert key.read_text().strip() not in shown


def test_the_doctor_finds_all_well_on_nodes_that_are_and_what_is_not_where_one_breaks(
    world, start, tmp_path, free_port
):
    listen, state = f"127.0.0.1:{free_port()}", f"sqlite:///{tmp_path}/orcha.db"
    where = ("-m", world.manifests, "--state", state, "--listen", listen)
    start("-m", "controller", "run", *map(str, where), name="orcha")
    until(lambda: get(f"http://{listen}/readyz")[0] == 200, "the controller to be ready")
    well = orcha("doctor", *where)
    assert well.exit_code == 0, well.stdout
    assert "Everything is well." in well.stdout
    assert "runs there, and is ready" in well.stdout

    world.break_site("rack-1-storj", "die")
    (world.manifests / "secrets" / "grass-token").chmod(0o644)
    told = orcha("doctor", *where, "-o", "json")
    view = json.loads(told.stdout)
    assert (told.exit_code, view["well"], view["marks"]["fail"], view["marks"]["warn"]) == (1, False, 1, 1)
    broken = {row["what"]: row for row in view["findings"] if row["mark"] in {"fail", "warn"}}
    assert "is it running, and is the port right?" in broken["rack-1/storj"]["todo"]
    assert "chmod 600" in broken[str(world.manifests / "secrets" / "grass-token")]["todo"]
    shown = orcha("doctor", *where).stdout
    assert "Mend what fails from the top down" in shown
    assert not any(secret in text for secret in secrets_of(world) for text in (shown, told.stdout, well.stdout))
