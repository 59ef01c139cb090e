"""`orcha explain`, `whatif`, `backtest` and "did it pay", as programs, on a state that a real `orcha run` wrote."""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from controller.__main__ import app
from controller.history import History
from controller.model import Interval
from controller.promises import Kind, Outcome, Part, Promise
from controller.promises import Trial as Change
from controller.replay import replay
from controller.samples import Kept
from controller.store import Store
from exporters.collector import discover, workloads_of
from exporters.manifests import load_nodes
from exporters.simulator.demo import demo
from exporters.simulator.history import history
from tests.e2e.programs import ROOT, Program, get, until

pytestmark = pytest.mark.xdist_group("explained")  # they share one world, one run, one state
HOUR = 3600.0
LIVED = 4 * HOUR
"""Of simulated history before the run."""
DAY = 1800.0
"""Seconds that a simulated day takes."""
SEED = 1
KEYS = {
    "rack-1/akash", "rack-1/golem", "rack-1/grass", "rack-1/storj",
    "rack-2/storj-1", "rack-2/storj-2", "rack-2/streamr-traffic", "rack-2/streamr-weather",
}  # fmt: skip


# --- the world, lived and looked at ----------------------------------------------------------------------------------------


@dataclass
class Lived:
    """A simulated world with a past, and the state of an `orcha run` that watched it."""

    where: Path
    manifests: Path
    addresses: dict[str, str]
    programs: list[Program] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.where / "orcha.db"

    @property
    def state(self) -> str:
        return f"sqlite:///{self.file}"

    def start(self, name, *argv):
        log = self.where / f"{name}-{len(self.programs)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *map(str, argv)], cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )  # fmt: skip
        self.programs.append(Program(process, log))
        return self.programs[-1]

    @contextmanager
    def running(self, port):
        """`orcha run`, stopped again."""
        program = self.start(
            "orcha", "controller", "run", "-m", self.manifests, "--state", self.state, "--listen", f"127.0.0.1:{port}"
        )  # fmt: skip
        yield program, f"http://127.0.0.1:{port}"
        assert program.stop() == 0, program.said()

    def records(self):
        return asyncio.run(_records(self.state))


async def _records(url):
    store = await Store.open(url, write=False)
    try:
        found = await store.decisions("default", 0, 1e12)
        return [await store.decided("default", each.at) for each in found]
    finally:
        await store.close()


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    where = tmp_path_factory.mktemp("lived")
    made = Lived(where, where / "manifests", {})
    origin = time.time() - LIVED
    try:
        simulator = made.start(
            "simulator", "exporters.simulator", "--manifests", made.manifests, "--exporter-manifests", where / "beside",
            "--origin", origin, "--seed", SEED, "--day", DAY,
        )  # fmt: skip
        until(lambda: '"control"' in simulator.said() or simulator.process.poll() is not None, "the simulator to serve")
        lines = [json.loads(line) for line in simulator.said().splitlines() if line.startswith("{")]
        made.addresses = {line["site"]: line["address"] for line in lines}
        document = yaml.safe_load((made.manifests / "policy.yaml").read_text())
        document["spec"]["reconcile"] = {"observe": "1s", "plan": "2s", "estimate": "1s", "jitter": 0}
        (made.manifests / "policy.yaml").write_text(yaml.safe_dump(document))
        asyncio.run(_live(made, origin))
        with made.running(free_port()) as (_, address):
            until(lambda: any(said["reason"] == "ModeSuggest" for said in policies(address)), "a suggestion")
            until(lambda: made.file.exists() and len(made.records()) >= 1, "the record of it")
        yield made
    finally:
        for program in reversed(made.programs):
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait()


async def _live(made, origin):
    """Let the past happen, and keep in the state what the collectors read of it."""
    world, collectors, now = demo(SEED, origin=origin, day=DAY).world, discover(), time.time()
    nodes, *_ = load_nodes([made.manifests], collectors)
    workloads = workloads_of(nodes, collectors)
    past = History([Kept.of(workload) for workload in workloads])
    sites = {site: address for site, address in made.addresses.items() if site != "control"}
    async for reading in history(world, workloads, collectors, origin, now, addresses=sites):
        past.add(reading)
    store = await Store.open(made.state)
    try:
        await past.flush(store, now)
    finally:
        await store.close()


def free_port():
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def policies(address):
    code, body = get(f"{address}/api/v1/status")
    return json.loads(body)["policies"] if code == 200 else []


def orcha(*argv, cwd=ROOT, **environment):
    """Run a command to its end: (exit code, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "controller", *map(str, argv)],
        cwd=cwd, capture_output=True, text=True, timeout=100, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def refused(*argv):
    """The same within this process, for what is wrong: (exit code, sentence). Nothing may be on stdout."""
    done = CliRunner().invoke(app, [*map(str, argv)])
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.exit_code, done.stderr


def strict(text):
    """JSON as its standard has it, and nothing but that."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def viewed(*argv, **more):
    """What a command says as JSON."""
    code, out, err = orcha(*argv, "-o", "json", **more)
    assert code == 0, err
    return strict(out)


def words(text):
    """Without the line breaks of a narrow terminal."""
    return " ".join(text.split())


def same(one, other):
    """Two views, floats to 1e-9."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name, value in one.items():
            same(value, other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            same(mine, theirs)
    elif isinstance(one, float) and isinstance(other, float | int):
        assert math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-15), (one, other)
    else:
        assert one == other


# --- explain ---------------------------------------------------------------------------------------------------------------


def test_explain_shows_the_newest_recorded_decision_without_asking_any_node(lived, tmp_path):
    view = viewed("explain", "--state", lived.state, cwd=tmp_path)
    [policy] = view["policies"]
    assert (view["source"], policy["reason"], policy["replay"]) == ("state", "ModeSuggest", None)
    assert {row["key"] for row in policy["workloads"]} == KEYS
    rows = {row["key"]: row for row in policy["workloads"]}
    assert rows["rack-1/golem"]["curve"]["words"]
    assert rows["rack-1/grass"]["left_out"]["reason"] == "Bounds", "nobody allows it to be moved"
    taken = [each for each in policy["candidates"] if each["in_plan"]]
    refused = [each for each in policy["candidates"] if not each["in_plan"]]
    assert taken, "what is suggested was a candidate"
    assert all(each["reason"] and each["sentence"] for each in refused)


def test_every_recorded_decision_replays_to_the_same_moves_and_verdicts(lived):
    for record in lived.records():
        view = viewed("explain", "--state", lived.state, "--at", record.at)
        said = json.loads(record.body)
        [policy] = view["policies"]
        assert (view["asked_for"], policy["at"], policy["replay"]) == (record.at, record.at, None)
        for name in ("reason", "sentence", "verdicts", "left_out"):
            same(said[name], policy[name])
        same(said["plan"], policy["plan"])


def test_what_is_replayed_stays_the_same_after_a_restart_and_unchanged_decisions_bring_no_inputs(lived):
    [*_, record] = lived.records()
    before = viewed("explain", "golem", "--state", lived.state, "--at", record.at)
    with lived.running(free_port()) as (_, address):
        until(lambda: len(policies(address)) == 1, "a decision after the restart")
        decided = policies(address)[0]["plan"]["at"]
        until(lambda: policies(address)[0]["plan"]["at"] > decided, "another one")
        during = viewed("explain", "golem", "--state", lived.state, "--at", record.at)
    after = viewed("explain", "golem", "--state", lived.state, "--at", record.at)
    for view in (before, during, after):
        view.pop("at")
        view["policies"][0].pop("same_until")
    same(before, during)
    same(before, after)
    with closing(sqlite3.connect(lived.file)) as connection:
        counts = [connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("decisions", "inputs")]  # noqa: S608 names of this file
    assert counts[0] == counts[1], "each changed decision has what it was made from, once"


def test_explain_of_one_workload_is_a_plot_and_sentences_as_wide_as_the_terminal(lived):
    code, out, err = orcha("explain", "golem", "--state", lived.state, COLUMNS="50")
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 50
    said = words(out)
    assert "USD/h net, by allocation" in said
    assert "With its 8 cpu it is expected to earn" in said
    assert "One step up, to 9 cores" in said
    assert "One step down, to 7 cores" in said
    assert "free capacity → rack-1/golem: Capacity: rack-1 has no room for one more step" in said
    assert "…" not in out, "nothing is cut short"


def test_explain_looks_at_the_nodes_where_nothing_is_recorded(lived, tmp_path):
    view = viewed("explain", "akash", "-m", lived.manifests, cwd=tmp_path)
    assert view["source"] == "look"
    assert view["policies"][0]["reason"] == "NoHistory"
    assert view["policies"][0]["workloads"][0]["key"] == "rack-1/akash"
    assert list(tmp_path.iterdir()) == [], "a look leaves nothing behind"


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["gollem"], 1, "there is no workload 'gollem'; there are rack-1/golem, "),
        (["streamr"], 1, "there is no workload 'streamr'; there are "),
        (["--at", "5000d"], 2, " or before is recorded in "),
        (["--at", "800000d"], 2, " or before is recorded in "),
        (["--at", "0001-01-01T00:00:00+14:00"], 2, " or before is recorded in "),
        (["--at", "yesterday"], 2, "write 2026-07-01T12:00:00Z, Unix seconds, or how long ago, such as 2h"),
        (["-o", "yaml"], 2, "write table or json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_explain_cannot_say_is_one_sentence(lived, argv, code, said):
    got, sentence = refused("explain", *argv, "--state", lived.state)
    assert got == code
    assert said in sentence


# --- what if ---------------------------------------------------------------------------------------------------------------


def whatif(lived, *argv):
    return viewed("whatif", *argv, "-m", lived.manifests, "--state", lived.state)["policies"][0]


def test_whatif_with_more_capacity_a_price_and_a_forced_move_is_shown_beside_what_is(lived):
    content = dict(rows_of(lived.file))
    policy = whatif(
        lived, "--set", "node.rack-1.capacity.cpu=16", "--price", "GLM=0.6", "--force", "rack-1/golem=9"
    )  # fmt: skip
    rows = {row["key"]: row for row in policy["workloads"]}
    assert rows["rack-1/golem"]["after"]["target"] == 9
    assert rows["rack-1/golem"]["before"]["target"] <= 8
    assert (
        rows["rack-1/golem"]["after"]["rate_now_usd_per_hour"] > rows["rack-1/golem"]["before"]["rate_now_usd_per_hour"]
    )
    assert policy["forced"]["values"] == {"rack-1/golem": 9}
    assert policy["forced"]["against_best_usd_per_hour"] <= 1e-9
    assert not rows["rack-2/storj-1"]["differs"], "what has nothing to do with it stays"
    assert dict(rows_of(lived.file)) == content, "nothing is written"
    held = sum(rows[key]["after"]["target"] for key in ("rack-1/golem", "rack-1/akash"))
    assert held <= 16


def test_whatif_that_changes_nothing_says_so(lived):
    code, out, err = orcha(
        "whatif", "--set", "policy.default.approval.ttl=1h", "-m", lived.manifests, "--state", lived.state
    )  # fmt: skip
    assert code == 0, err
    assert "no decision looks at this" in out
    assert "Nothing would come out otherwise" in out


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        ([], 2, "nothing is changed; write --set node.NAME.capacity.cpu=16"),
        (["--price", "GLX=0.3"], 1, "no workload is paid in GLX; there are AKT, DATA, GLM"),
        (["--price", "GLM=-1"], 2, "write TOKEN=USD, such as GLM=0.3"),
        (
            ["--set", "node.rack-1.capacity.cpu=-16"],
            1,
            "--set: node.rack-1.capacity.cpu: -16 is not a possible quantity",
        ),
        (["--set", "node.rack-9.capacity.cpu=16"], 1, "there is no node 'rack-9'; there are rack-"),
        (["--set", "policy.default.limits.hodl=1h"], 1, "did you mean 'hold'?"),
        (["--force", "rack-1/golem=99"], 1, "2 to 10 cpu are allowed; the nearest is 10"),
        (["--force", "golem=8.5"], 1, "off its step grid (2 + k x 1); write 8 or 9"),
        (["--force", "rack-1/gollem=8"], 1, "there is no workload 'rack-1/gollem'; there are rack-1/golem"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_what_cannot_be_otherwise_is_one_sentence(lived, argv, code, said):
    got, sentence = refused("whatif", *argv, "-m", lived.manifests, "--state", lived.state)
    assert got == code
    assert said in sentence


def rows_of(file):
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            yield name, connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608 as above


# --- backtest --------------------------------------------------------------------------------------------------------------


def test_recorded_history_is_replayed_as_json_table_and_page(lived, tmp_path):
    argv = ["backtest", "-m", lived.manifests, "--state", lived.state, "--from", "2h", "--to", "1h", "--no-replicates"]
    view = viewed(*argv)
    assert set(view["earned_usd"]) == {"static", "equal", "greedy", "winner_takes_all", "orcha", "clairvoyant"}
    assert (view["captured_uplift"], view["exact"], view["complete"]) == (None, False, True)
    assert (view["limit_violations"], view["overallocations"]) == (0, 0)
    assert view["days"] == pytest.approx(1 / 24, abs=1 / 1440)
    low, high = view["intervals"]["clairvoyant"]
    assert low >= view["intervals"]["static"][0] * (1 - 1e-9)
    assert low <= high
    assert any("rack-2/streamr-traffic, rack-2/streamr-weather are left out" in note for note in view["notes"])
    page = tmp_path / "page.html"
    code, out, err = orcha(*argv, "-o", "html", "--output-file", page)
    assert (code, out) == (0, ""), err
    text = page.read_text()
    assert "Recorded history" in text
    assert "are left out, with what they hold" in text
    code, out, err = orcha(*argv, COLUMNS="40")
    assert code == 0, err
    assert "nobody saw" in words(out)
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 40


def test_a_scenario_is_replayed_without_any_manifest(tmp_path):
    view = viewed("backtest", "--scenario", "daily-rhythm", "--days", "0.5", "--no-replicates", cwd=tmp_path)
    assert view["earned_usd"]["clairvoyant"] >= view["earned_usd"]["orcha"]
    assert (view["limit_violations"], view["overallocations"]) == (0, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_trace_is_replayed_and_its_bad_rows_are_named_by_their_lines(lived, tmp_path):
    head = "time,node,workload,demand,usd_per_unit_hour"
    good = [
        f"{1_767_571_200 + 600 * i},rack-1,{name},{most if i % 12 < 6 else 1},0.01"
        for i in range(36)
        for name, most in (("akash", 7), ("golem", 9))
    ]
    trace = tmp_path / "trace.csv"
    trace.write_text("\n".join([head, *good]) + "\n")
    view = viewed("backtest", "-m", lived.manifests, "--trace", trace, "--no-replicates")
    assert view["exact"]
    assert view["earned_usd"]["clairvoyant"] >= view["earned_usd"]["static"]
    trace.write_text("\n".join([head, *good[:3], "soon,rack-1,golem,1,1", "1,2,3", *good[3:5]]) + "\n")
    code, out, err = orcha("backtest", "-m", lived.manifests, "--trace", trace)
    assert (code, out) == (1, "")
    assert f"{trace}:5: time 'soon' is not a time" in err
    assert f"{trace}:6: has 3 fields where the first line has 5" in err
    trace.write_text("\n".join([head, good[0]]) + "\n")
    assert viewed("backtest", "-m", lived.manifests, "--trace", trace)["days"] == pytest.approx(1 / 1440)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--from", "1h", "--to", "3h"], "--from 1h is not before --to 3h"),
        (["--from", "400d", "--to", "390d"], "nothing of what these workloads used is recorded in that time"),
        (["--from", "3h"], "--state needs --to as well, such as --to now"),
        (["--from", "3h", "--to", "1h", "-o", "pdf"], "write table, json or html"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_replayed_is_one_sentence(lived, argv, said):
    code, sentence = refused("backtest", "-m", lived.manifests, "--state", lived.state, *argv)
    assert code == 2
    assert said in sentence


def test_a_file_that_is_no_state_is_refused_by_every_command_and_left_as_it_was(lived, tmp_path):
    diary = tmp_path / "diary.db"
    diary.write_bytes(b"this is no database, but a diary of my cat" * 200)
    before, url = diary.read_bytes(), f"sqlite:///{diary}"
    for argv in (
        ("explain", "--state", url),
        ("whatif", "--price", "GLM=1", "-m", lived.manifests, "--state", url),
        ("backtest", "-m", lived.manifests, "--state", url, "--from", "3h", "--to", "1h"),
    ):
        code, sentence = refused(*argv)
        assert code == 2
        assert "is damaged or no state of orcha's" in sentence
    assert diary.read_bytes() == before


# --- how they end ----------------------------------------------------------------------------------------------------------


def test_a_reader_who_has_enough_gets_no_traceback(lived):
    argv = [sys.executable, "-m", "controller", "explain", "--state", lived.state, "-o", "json"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        program.stdout.close()
        assert program.stderr.read() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_full_disk_under_stdout_is_one_sentence(lived, output):
    argv = [sys.executable, "-m", "controller", "explain", "--state", lived.state, "-o", output]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(argv, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == "orcha: what was asked for cannot be written to stdout (No space left on device)\n"


def test_a_look_is_ended_by_ctrl_c_at_once(lived, tmp_path):
    """While the node of one workload hangs."""
    argv = [sys.executable, "-m", "controller", "explain", "--look", "-m", str(lived.manifests)]
    hanging(lived, "hang")
    try:
        with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
            until(lambda: connected(program.pid), "the look")
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=20)
    finally:
        hanging(lived, None)
    assert (program.returncode, out, err) == (130, "", "")


def hanging(lived, fault):
    import urllib.request

    url, body = f"{lived.addresses['control']}/faults/rack-1-storj", json.dumps({"fault": fault}).encode()
    urllib.request.urlopen(urllib.request.Request(url, data=body, method="PUT"), timeout=10).close()


def connected(pid):
    """Whether a program has an open socket."""
    try:
        return any("socket:" in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH115, PTH208 as the kernel has them
    except OSError:
        return False


# --- did it pay ------------------------------------------------------------------------------------------------------------


def test_what_came_of_a_followed_suggestion_is_shown_by_status_and_plan_from_the_state(lived, tmp_path):
    file = tmp_path / "orcha.db"
    with closing(sqlite3.connect(lived.file)) as source, closing(sqlite3.connect(file)) as copy:
        source.backup(copy)
    url, at = f"sqlite:///{file}", time.time() - 3 * HOUR
    asyncio.run(_remember(url, at))
    view = viewed("status", "--state", url)
    [policy] = view["policies"]
    outcomes = policy["outcomes"]
    assert (outcomes["judged"], outcomes["running"]) == (1, 1)
    assert (outcomes["promised_usd_per_hour"], outcomes["realised_usd_per_hour"]) == (0.005, 0.004)
    for argv in (("status",), ("plan", "-m", lived.manifests)):
        code, out, err = orcha(*argv, "--state", url, COLUMNS="200")
        assert code == 0, err
        assert "did it pay: 1 of 1 programs of 7 days did, +0.0040 USD/h each where +0.0050 was promised" in out
        assert "rack-1/golem 8 cores → 6 cores: it brought +0.004 USD/h where +0.005 was promised" in words(out)
        assert "promised; what came of it is known from" in words(out)
    shutil.rmtree(tmp_path, ignore_errors=True)


async def _remember(url, at):
    """Two changes that somebody made as suggested: one judged, one still running."""
    store = await Store.open(url)
    gain, brought = Interval(0.001, 0.005, 0.009), Interval(0.004, 0.004, 0.004)
    part = Part("rack-1/golem", "golem", "cpu", 8.0, 6.0, at, 2 * HOUR, promised=0.005, realised=brought)
    words = "it brought +0.004 USD/h where +0.005 was promised"
    outcome = Outcome(at + 2 * HOUR, brought, 0.008, within=True, success=True, error=-0.2, sentence=words)
    store.note_trial(Change("a", "default", Kind.FOLLOWED, at, (part,), Promise(gain, 0.9, 0.0), outcome))
    later = Part("rack-1/akash", "mapped", "cpu", 4.0, 6.0, time.time(), 2 * HOUR, promised=0.005)
    store.note_trial(Change("b", "default", Kind.FOLLOWED, later.at, (later,), Promise(gain, 0.9, 0.0)))
    try:
        await store.write()
    finally:
        await store.close()


def test_the_inputs_of_every_record_can_be_read_in_this_process_too(lived):
    for record in lived.records():
        again = replay(record.inputs)
        assert again.sentence == record.sentence
        assert [str(verdict.reason) for verdict in again.verdicts] == [
            verdict["reason"] for verdict in json.loads(record.body)["verdicts"]
        ]
