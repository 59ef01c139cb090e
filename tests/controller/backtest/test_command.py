"""`orcha backtest` as its operator meets it: which history, what is wrong with it, and what is printed where."""

import asyncio
import json
import signal
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from controller.__main__ import app
from controller.backtest.result import NAMES, STATIC
from controller.backtest.scenarios import NAMES as SCENARIOS
from controller.commands import backtest as command
from controller.commands.histories import acting, moment
from controller.history import History
from controller.manifests import load
from controller.samples import Kept
from controller.store import Store
from exporters.collector import discover, workloads_of
from exporters.reading import Quality, Reading
from tests.controller.backtest.results import case, run

SHORT = ("--scenario", "steady", "--days", "0.1")
START = 1_767_571_200
MAPPING = {
    "traits": {"curve": "demand", "resource": "cpu"},
    "requests": {"stats": {"url": "{endpoint}"}},
    "figures": {"used": {"request": "stats", "path": "$.used"}},
}
WORKLOAD = {
    "protocol": "mapped",
    "endpoint": "http://127.0.0.1:1",
    "mapping": MAPPING,
    "allocation": {"resource": "cpu", "min": "0", "max": "8", "step": "1"},
    "actuator": {"dryRun": {}},
}


def orcha(*argv):
    return CliRunner().invoke(app, ["backtest", *map(str, argv)])


def document(kind, name, spec):
    return {"apiVersion": "orcha.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def manifests(tmp_path):
    """Two workloads on eight cores, in mode Suggest."""
    here = tmp_path / "manifests"
    here.mkdir()
    node = document("Node", "rack-1", {"capacity": {"cpu": "8"}, "workloads": {"akash": WORKLOAD, "golem": WORKLOAD}})
    policy = document("AllocationPolicy", "default", {"mode": "Suggest"})
    (here / "all.yaml").write_text(yaml.safe_dump_all([node, policy]))
    return here


@pytest.fixture
def trace(tmp_path):
    """Six hours in which golem wants more than its half, and akash less."""
    path = tmp_path / "trace.csv"
    rows = [
        f"{START + 600 * i},rack-1,{name},{demand},0.05"
        for i in range(36)
        for name, demand in (("akash", 2), ("golem", 6))
    ]
    path.write_text("time,node,workload,demand,usd_per_unit_hour\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def state(tmp_path, manifests):
    """The same as a controller would have recorded it, four cores each."""
    url = f"sqlite:///{tmp_path}/orcha.db"
    asyncio.run(_record(url, manifests))
    return url


async def _record(url, manifests):
    workloads = workloads_of(load([manifests], discover()).nodes, discover())
    past = History([Kept.of(workload) for workload in workloads])
    for at in range(START, START + 6 * 3600, 60):
        for workload in workloads:
            used = {"akash": 2.0, "golem": 4.0}[workload.name]
            past.add(
                Reading(
                    workload.node, workload.name, "mapped", float(at), healthy=True, quality=Quality.MEASURED,
                    rate_usd_per_hour=0.05 * used, net_usd_per_hour=0.05 * used, allocated={"cpu": 4.0}, used={"cpu": used},
                )
            )  # fmt: skip
    store = await Store.open(url)
    await past.flush(store, float(START + 6 * 3600))
    await store.close()


# --- a scenario


def test_a_scenario_is_printed_as_a_table_with_a_sentence():
    got = orcha(*SHORT)
    assert got.exit_code == 0, got.output
    assert "orcha would have earned" in got.stdout
    for name in NAMES:
        assert name in got.stdout


def test_as_json_stdout_holds_nothing_but_json():
    got = orcha(*SHORT, "-o", "json")
    view = json.loads(got.stdout)
    assert set(view["earned_usd"]) == set(NAMES)
    assert view["earned_usd"]["clairvoyant"] >= view["earned_usd"]["orcha"]
    assert (view["limit_violations"], view["overallocations"]) == (0, 0)
    assert (view["case"], view["days"], view["seed"]) == ("steady", pytest.approx(0.1), 0)


def test_each_stage_is_told_on_stderr_where_there_is_no_terminal():
    told = [line.partition(":")[0] for line in orcha(*SHORT, "-o", "json").stderr.splitlines()]
    assert told == list(NAMES)


def test_the_same_seed_gives_the_same_and_another_gives_another():
    def earned(seed):
        return json.loads(orcha(*SHORT, "--seed", seed, "-o", "json").stdout)["earned_usd"]

    assert earned(1) == earned(1)
    assert earned(1) != earned(2)


def test_only_what_was_asked_for_is_run():
    view = json.loads(orcha(*SHORT, "--only", "orcha, static", "-o", "json").stdout)
    assert [name for name in NAMES if view["earned_usd"][name] is not None] == ["static", "orcha"]
    assert view["captured_uplift"] is None


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_can_be_replayed_without_its_limits_being_broken(name):
    view = json.loads(orcha("--scenario", name, "--days", 0.1, "--only", "static,orcha", "-o", "json").stdout)
    assert (view["limit_violations"], view["overallocations"]) == (0, 0)


# --- where it is written


def test_html_goes_to_its_file(tmp_path):
    file = tmp_path / "page.html"
    got = orcha(*SHORT, "--only", "static", "-o", "html", "--output-file", file)
    assert got.exit_code == 0
    assert file.read_text().startswith("<!doctype html>")
    assert got.stdout == ""
    assert f"written to {file}" in got.stderr.replace("\n", "")


def test_html_goes_to_a_pipe():
    assert orcha(*SHORT, "--only", "static", "-o", "html").stdout.endswith("</html>\n")


def test_a_table_in_a_file_has_no_colours(tmp_path):
    file = tmp_path / "table.txt"
    orcha(*SHORT, "--only", "static", "--output-file", file)
    assert "earned USD" in file.read_text()
    assert "\x1b" not in file.read_text()


# --- what is wrong


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "nothing was named to replay; name exactly one: --scenario NAME"),
        (("--scenario", "steady", "--trace", "a.csv"), "--trace and --scenario were named to replay"),
        (("--trace", "a.csv"), "name those too: --manifests DIR --trace FILE.csv"),
        (("--scenario", "steady", "--manifests", "here"), "--scenario brings its own nodes"),
        (("--scenario", "steady", "--from", "0"), "--from and --to go with --state"),
        (("--state", "sqlite:///x"), "--state needs --from and --to as well"),
        (("--state", "sqlite:///x", "--from", "0"), "--state needs --to as well"),
        (("--state", "sqlite:///x", "--from", "0", "--to", "soon"), "--to 'soon' is not a time"),
        (("--state", "sqlite:///x", "--from", "0", "--to", "nan"), "--to 'nan' is not a time"),
        (("--state", "sqlite:///x", "--from", "0", "--to", "2026-10-01T00:00:00"), "with its zone"),
        (("--state", "sqlite:///x", "--from", "9", "--to", "9"), "--from 9 is not before --to 9"),
        (("--state", "sqlite:///x", "--from", "0", "--to", "9", "--days", "3"), "leave --days out"),
        (("--scenario", "steady", "--days", "0"), "--days 0 is not a length of time"),
        (("--scenario", "steady", "--days", "nan"), "--days nan is not a length of time"),
        (("--scenario", "steady", "--days", "1e9"), "--scenario steady: 1000000000.0 days"),
        (("--scenario", "steady", "--seed", "-1"), "--seed -1 is below 0"),
        (("--scenario", "steady", "-o", "xml"), "write table, json or html"),
        (("--scenario", "steady", "--only", "static,magic"), "--only magic: there is no such split"),
        (("--scenario", "steady", "--output-file", "/nowhere/at/all"), "there is no directory /nowhere/at"),
        (("--scenario", "steady", "--output-file", "x" * 300), "cannot be written (File name too long)"),
        (("--scenario", "steady", "--output-file", "/"), "is a directory"),
        (("--manifests", "/nowhere", "--trace", "a.csv"), "/nowhere"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_refused_with_what_would_be_right(argv, words):
    got = orcha(*argv)
    assert got.exit_code == 2, got.output
    assert words in got.stderr
    assert got.stdout == ""


def test_an_unknown_scenario_names_those_that_there_are_and_what_they_are_for():
    got = orcha("--scenario", "steddy")
    assert got.exit_code == 2
    for name in SCENARIOS:
        assert f"\n  {name} " in got.stderr
    assert "doing nothing is right" in got.stderr


# --- a trace


def test_a_trace_is_replayed_on_its_manifests(manifests, trace):
    got = orcha("--manifests", manifests, "--trace", trace, "-o", "json")
    assert got.exit_code == 0, got.output
    view = json.loads(got.stdout)
    assert view["earned_usd"]["static"] == pytest.approx(6 * (2 + 4) * 0.05)  # golem's half is full
    assert view["earned_usd"]["clairvoyant"] > view["earned_usd"]["static"]
    assert (view["case"], view["days"]) == ("trace", pytest.approx(0.25))
    assert "mode Suggest is replayed as Auto" in got.stderr


def test_of_a_trace_only_so_many_days_are_replayed(manifests, trace):
    got = orcha("--manifests", manifests, "--trace", trace, "--days", "0.125", "--only", "static", "-o", "json")
    assert json.loads(got.stdout)["days"] == pytest.approx(0.125)


def test_bad_rows_are_refused_with_their_line_number(manifests, trace):
    trace.write_text(trace.read_text() + "soon,rack-1,golem,1,1\n" + f"{START + 99999},rack-1,nobody,1,1\n")
    got = orcha("--manifests", manifests, "--trace", trace)
    assert got.exit_code == 1
    assert f"{trace}:74" in got.stderr.replace("\n", "")
    assert f"{trace}:75" in got.stderr.replace("\n", "")


def test_a_trace_that_is_not_there_could_not_be_read(manifests, tmp_path):
    got = orcha("--manifests", manifests, "--trace", tmp_path / "none.csv")
    assert got.exit_code == 2
    assert "cannot be read" in got.stderr


def test_of_several_policies_one_is_named(manifests, trace):
    def site(name):
        return {"selector": {"matchLabels": {"site": name}}}

    rack = next(yaml.safe_load_all((manifests / "all.yaml").read_text()))
    rack["metadata"]["labels"] = {"site": "rack"}
    home = document("Node", "home-1", {"capacity": {"cpu": "8"}, "workloads": {"flux": WORKLOAD}})
    home["metadata"]["labels"] = {"site": "home"}
    policies = [
        document("AllocationPolicy", "default", site("rack")),
        document("AllocationPolicy", "other", site("home")),
    ]
    (manifests / "all.yaml").write_text(yaml.safe_dump_all([rack, home, *policies]))
    argv = ("--manifests", manifests, "--trace", trace, "--only", "static")
    assert "there are default, other; name it with --policy default" in orcha(*argv).stderr
    assert "there is no policy 'none'" in orcha(*argv, "--policy", "none").stderr
    assert orcha(*argv, "--policy", "default").exit_code == 0


def test_without_a_policy_the_default_one_is_replayed_and_that_is_said(manifests, trace):
    node = next(yaml.safe_load_all((manifests / "all.yaml").read_text()))
    (manifests / "all.yaml").write_text(yaml.safe_dump(node))
    got = orcha("--manifests", manifests, "--trace", trace, "--only", "static")
    assert got.exit_code == 0, got.output
    assert "the default one is replayed" in got.stderr


# --- recorded history


def test_of_recorded_history_other_splits_lie_between_two_ends(manifests, state):
    got = orcha("--state", state, "--manifests", manifests, "--from", START, "--to", START + 6 * 3600, "-o", "json")
    assert got.exit_code == 0, got.output
    view = json.loads(got.stdout)
    assert view["captured_uplift"] is None
    assert view["earned_usd"]["static"] == pytest.approx(6 * (2 + 4) * 0.05, rel=0.01)
    low, high = view["earned_usd"]["clairvoyant"]
    assert low < high
    assert view["intervals"]["static"][0] == view["intervals"]["static"][1]


def test_recorded_history_is_shown_as_a_table_and_as_a_page(manifests, state):
    argv = (
        "--state",
        state,
        "--manifests",
        manifests,
        "--from",
        "2026-01-05T00:00:00Z",
        "--to",
        "2026-01-05T06:00:00Z",
    )
    assert "nobody saw" in orcha(*argv).stdout
    assert "Recorded history" in orcha(*argv, "-o", "html").stdout


def test_what_cannot_be_replayed_is_named(manifests, state):
    [node, policy] = yaml.safe_load_all((manifests / "all.yaml").read_text())
    paid, others = ({"request": "stats", "path": f"$.{name}"} for name in ("paid", "others"))
    told = {"pool_payout": {**paid, "token": "DATA"}, "pool_others": others}
    pool = {**MAPPING, "traits": {"curve": "dilution", "resource": "stake/DATA"}, "figures": told}
    bounds = {"resource": "stake/DATA", "min": "0", "max": "8", "step": "1"}
    node["spec"]["capacity"]["stake/DATA"] = "8"
    node["spec"]["workloads"]["pool"] = {**WORKLOAD, "mapping": pool, "allocation": bounds}
    (manifests / "all.yaml").write_text(yaml.safe_dump_all([node, policy]))
    argv = ("--state", state, "--manifests", manifests, "--from", START, "--to", START + 3600, "--only", "static")
    got = orcha(*argv, "-o", "json")
    assert got.exit_code == 0, got.output
    [note] = [note for note in json.loads(got.stdout)["notes"] if "left out" in note]
    assert note == "only demand and fill can be replayed; rack-1/pool is left out, with what it holds"
    assert f"note: {note}" in got.stderr.replace("\n", " ")


def test_a_time_of_which_nothing_is_recorded_could_not_be_replayed(manifests, state):
    got = orcha("--state", state, "--manifests", manifests, "--from", 0, "--to", 3600)
    assert got.exit_code == 2
    assert "recorded" in got.stderr


def test_a_state_that_is_not_there_could_not_be_replayed(manifests, tmp_path):
    got = orcha("--state", f"sqlite:///{tmp_path}/none.db", "--manifests", manifests, "--from", 0, "--to", 3600)
    assert got.exit_code == 2
    assert got.stdout == ""


# --- ended early


class Silent:
    def __enter__(self):
        return lambda share: None

    def __exit__(self, *_):
        return None


def test_what_is_known_when_it_is_interrupted_is_kept():
    def interrupted(_share):
        raise KeyboardInterrupt

    ways = {STATIC: lambda _: run(case(), STATIC, 1.0), "equal": interrupted, "greedy": interrupted}
    found, complete = command.compare([ways], tuple(ways), lambda name: Silent())
    assert not complete
    assert list(found) == [STATIC]


def test_ctrl_c_shows_what_there_is_and_ends_with_130():
    argv = [sys.executable, "-m", "controller", "backtest", "--scenario", "steady", "--days", "30"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert any(
            line.startswith("winner_takes_all:") for line in program.stderr
        )  # the next one is orcha: it takes long
        program.send_signal(signal.SIGINT)
        said, told = program.communicate()
    assert program.returncode == 130
    assert "not known; there is static, equal, greedy, winner_takes_all" in " ".join(said.split())
    assert "ended early" in told
    assert "Traceback" not in told


def test_a_share_of_two_parts_is_told_as_one():
    told = []

    def half_way(share):
        share(0.5)
        return run(case(), STATIC, 1.0)

    command.timed(half_way, told.append, 0, 2)
    command.timed(half_way, told.append, 1, 2)
    assert told == [0.25, 0.75]


# --- parts


def test_a_time_is_read_in_either_form():
    assert moment("2026-10-01T00:00:00Z") == moment("2026-10-01T02:00:00+02:00") == moment("1790812800")
    assert moment("14d", 1790812800.0) == 1790812800 - 14 * 86400
    assert moment("now", 1790812800.0) == moment("0s", 1790812800.0) == 1790812800


@pytest.mark.parametrize(
    ("mode", "replayed"),
    [("Off", "Off"), ("Suggest", "Auto"), ("Approve", "Auto"), ("Auto", "Auto"), (None, None)],
    ids=str,
)
def test_what_only_suggests_is_replayed_as_if_it_acted_and_what_is_off_stays_off(mode, replayed):
    assert acting(mode) == replayed
