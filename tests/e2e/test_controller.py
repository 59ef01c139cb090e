"""`orcha` as a user meets it: started on the simulated world, read, reloaded, broken, killed and started again."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from tests.e2e.programs import ROOT, get, until

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def orcha(*argv, cwd=ROOT):
    """Run a command to its end: (exit code, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "controller", *map(str, argv)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def controller(start, world, tmp_path, free_port):
    """Start `orcha run` on the world; gives (program, address)."""

    def run(*more, port=None):
        port = port or free_port()
        program = start(
            "-m", "controller", "run", "--manifests", str(world.manifests), "--listen", f"127.0.0.1:{port}",
            "--state", f"sqlite:///{tmp_path}/orcha.db", *more, name="orcha",
        )  # fmt: skip
        return program, f"http://127.0.0.1:{port}"

    return run


def status(address):
    code, body = get(f"{address}/api/v1/status")
    return json.loads(body) if code == 200 else None


def complete(address):
    view = status(address)
    return view if view and view["complete"] and all(row["read_at"] for row in view["workloads"]) else None


def test_it_reads_every_workload_of_the_world_and_serves_what_it_saw(controller):
    program, address = controller()
    view = until(lambda: complete(address), "a reading of every workload")
    rows = {row["key"]: row for row in view["workloads"]}
    assert set(rows) == {
        "rack-1/akash", "rack-1/golem", "rack-1/grass", "rack-1/storj",
        "rack-2/storj-1", "rack-2/storj-2", "rack-2/streamr-traffic", "rack-2/streamr-weather",
    }  # fmt: skip
    assert all(row["up"] for row in rows.values())
    for key in ("rack-1/storj", "rack-2/storj-1", "rack-1/golem"):
        assert rows[key]["allocated"], key
    assert rows["rack-1/storj"]["gross_usd_per_hour"] > 0
    assert rows["rack-1/grass"]["gross_usd_per_hour"] is None, "points have no price unless their owner gives one"
    assert rows["rack-1/grass"]["native_per_hour"].get("points") is not None

    code, page = get(f"{address}/metrics")
    assert code == 200
    families = {family.name for family in text(page)}
    assert {
        "orcha_protocol_up",
        "orcha_protocol_earnings_usd_per_hour",
        "orcha_build_info",
        "orcha_token_price_usd",
    } <= families
    code, page = get(f"{address}/metrics", OPENMETRICS)
    assert page.endswith("# EOF\n")
    names = [family.name for family in openmetrics(page)]
    assert len(names) == len(set(names)), "every family stands once"

    code, html = get(f"{address}/")
    assert code == 200
    assert "rack-1/golem" in html
    assert get(f"{address}/readyz")[0] == 200
    began = time.monotonic()
    assert program.stop() == 0
    assert time.monotonic() - began < 5


def test_what_it_reports_is_what_is_really_so(controller, world):
    _, address = controller()
    view = until(lambda: complete(address), "a reading of every workload")
    truth = world.truth()
    for row in view["workloads"]:
        real = truth[row["key"]]
        if row["resource"]:
            assert row["allocated"] == pytest.approx(real["allocated"][row["resource"]], rel=0.01), row["key"]
    for key in ("rack-2/streamr-traffic", "rack-1/storj", "rack-2/storj-2"):
        row = next(row for row in view["workloads"] if row["key"] == key)
        assert row["gross_usd_per_hour"] == pytest.approx(truth[key]["usd_per_hour"], rel=0.15), key


def test_without_history_it_stays_and_says_until_when(controller):
    _, address = controller()
    view = until(lambda: (v := status(address)) and v["policies"] and v, "a decision")
    policy = view["policies"][0]
    assert policy["reason"] == "NoHistory"
    assert policy["ready_at"] > view["at"]
    assert "ready" in policy["sentence"]


def test_no_secret_is_shown_anywhere(controller, world):
    program, address = controller()
    until(lambda: complete(address), "a reading of every workload")
    secrets = [path.read_text().strip() for path in (world.manifests / "secrets").iterdir()]
    assert secrets
    shown = "".join(get(f"{address}{path}")[1] for path in ("/", "/metrics", "/api/v1/status")) + program.said()
    assert not any(secret in shown for secret in secrets)


def test_a_kill_loses_nothing_that_was_written_and_a_restart_goes_on(controller, tmp_path):
    program, address = controller()
    until(lambda: complete(address), "a reading of every workload")
    until(lambda: rows_of(tmp_path / "orcha.db", "readings") >= 8, "readings in the state")
    program.stop(signal.SIGKILL)
    before = rows_of(tmp_path / "orcha.db", "readings")
    code, out, _ = orcha("status", "--state", f"sqlite:///{tmp_path}/orcha.db", "-o", "json")
    assert code == 0
    assert len(json.loads(out)["workloads"]) == 8
    program, address = controller()
    until(lambda: complete(address), "a reading of every workload")
    until(lambda: rows_of(tmp_path / "orcha.db", "readings") > before, "more readings in the state")
    assert program.stop() == 0


def rows_of(path, table):
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 a name of this file
    except sqlite3.Error:
        return 0


def test_manifests_reload_while_running_and_a_bad_edit_keeps_the_last_good_ones(controller, world):
    _, address = controller()
    until(lambda: complete(address), "a reading of every workload")
    victim = next(
        path
        for path in sorted(world.manifests.glob("*.yaml"))
        if "rack-1" in path.read_text() and "golem" in path.read_text()
    )
    good = victim.read_text()
    victim.write_text(good.replace("kind: Node", "kind: Knode", 1))
    view = until(lambda: (v := status(address)) and v["manifests"]["problems"] and v, "the refusal")
    assert "'Knode' is no kind of manifest" in view["manifests"]["problems"][0]
    assert len(view["workloads"]) == 8, "the last good manifests hold"
    assert "orcha_manifest_reload_success 0.0" in get(f"{address}/metrics")[1]
    victim.write_text(re.sub(r"(?m)^( +)name: rack-1$", r"\1name: rack-9", good, count=1))
    view = until(
        lambda: (v := status(address)) and any(row["node"] == "rack-9" for row in v["workloads"]) and v,
        "the new manifests",
    )
    assert view["manifests"]["problems"] == []
    page = get(f"{address}/metrics")[1]
    assert "orcha_manifest_reload_success 1.0" in page
    assert 'node="rack-1"' not in page.split("# HELP orcha_node_capacity")[0], "the series of what is gone are gone"


def test_a_node_that_hangs_or_dies_spoils_nothing_but_itself(controller, world):
    world.break_site("rack-1-storj", "hang")
    _, address = controller()
    view = until(
        lambda: (v := status(address)) and sum(row["read_at"] is not None for row in v["workloads"]) == 7 and v,
        "seven readings",
        20,
    )
    assert [row["key"] for row in view["workloads"] if not row["read_at"]] == ["rack-1/storj"]


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_manifests_that_are_wrong_are_told_and_nothing_starts(tmp_path, command):
    (tmp_path / "a.yaml").write_text(
        "apiVersion: orcha.dev/v1alpha1\nkind: Node\nmetadata: {name: x}\nspec: {capcity: {}}\n"
    )
    argv = [command, tmp_path] if command == "validate" else [command, "--manifests", tmp_path]
    code, out, err = orcha(*argv, cwd=tmp_path)
    assert code == 1
    assert "a.yaml:4: spec.capcity: unknown key; did you mean 'capacity'?" in err
    assert out == ""


def test_validate_tells_apart_valid_invalid_and_unreadable(world, tmp_path):
    assert orcha("validate", world.manifests)[0] == 0
    code, _, err = orcha("validate", tmp_path / "nowhere")
    assert (code, "does not exist" in err) == (2, True)


def test_the_example_manifests_are_valid():
    code, _, err = orcha("validate", ROOT / "examples")
    assert code == 0, err


def test_a_port_in_use_is_one_sentence(world, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = orcha(
            "run",
            "--manifests",
            world.manifests,
            "--listen",
            f"127.0.0.1:{port}",
            "--state",
            f"sqlite:///{tmp_path}/o.db",
        )
    assert code == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith(f"orcha: cannot listen on 127.0.0.1:{port} ")
    assert "choose another with --listen" in last
    assert "Traceback" not in err


def test_a_second_controller_on_one_state_is_refused(controller, world, tmp_path, free_port):
    _, address = controller()
    until(lambda: status(address), "the first controller")
    code, _, err = orcha(
        "run",
        "--manifests",
        world.manifests,
        "--listen",
        f"127.0.0.1:{free_port()}",
        "--state",
        f"sqlite:///{tmp_path}/orcha.db",
    )
    assert code == 2
    assert "Traceback" not in err
    assert "orcha.db" in err


def test_a_corrupt_state_is_one_sentence_and_is_left_as_it_was(world, tmp_path, free_port):
    state = tmp_path / "broken.db"
    state.write_bytes(b"this is no database, but a diary of my cat" * 200)
    before = state.read_bytes()
    code, _, err = orcha(
        "run", "--manifests", world.manifests, "--listen", f"127.0.0.1:{free_port()}", "--state", f"sqlite:///{state}"
    )
    assert code == 2
    assert "Traceback" not in err
    assert "broken.db" in err
    assert state.read_bytes() == before


def test_plan_looks_once_and_tells_as_a_table_and_as_json(world, tmp_path):
    empty = tmp_path / "here"
    empty.mkdir()
    code, out, err = orcha("plan", "--manifests", world.manifests, "-o", "json", cwd=empty)
    assert code == 0, err
    view = json.loads(out)
    assert {row["key"] for row in view["workloads"]} >= {"rack-1/golem", "rack-2/streamr-weather"}
    assert view["policies"][0]["reason"] == "NoHistory"
    code, out, err = orcha("plan", "--manifests", world.manifests, cwd=empty)
    assert code == 0, err
    assert "rack-1/golem" in out
    assert not list(empty.iterdir()), "it leaves nothing behind"


def test_status_without_a_controller_says_what_to_do(free_port):
    code, _, err = orcha("status", "--api", f"http://127.0.0.1:{free_port()}")
    assert code == 2
    assert "start one with orcha run" in err


@pytest.mark.parametrize("kind", ["Node", "AllocationPolicy", "Settings", "Fleet"])
def test_schema_prints_the_json_schema(kind):
    code, out, _ = orcha("schema", kind)
    assert code == 0
    assert json.loads(out)["title"] == f"orcha {kind}"  # what an editor shows
    assert json.loads(out)["properties"]["kind"]["const"] == kind


def test_schema_of_an_unknown_kind_names_those_that_exist():
    code, _, err = orcha("schema", "Knode")
    assert code == 2
    assert "Node, AllocationPolicy, Settings, Fleet" in err


def test_a_directory_with_only_an_exporter_in_mind_needs_no_policy(world, tmp_path, start, free_port):
    shutil.copytree(world.exporter_manifests, tmp_path / "copy")
    port = free_port()
    start(
        "-m",
        "controller",
        "run",
        "--manifests",
        str(tmp_path / "copy"),
        "--listen",
        f"127.0.0.1:{port}",
        "--state",
        f"sqlite:///{tmp_path}/x.db",
    )
    view = until(lambda: complete(f"http://127.0.0.1:{port}"), "a reading")
    assert view["policies"] == []
