"""What operators, disks and nodes do wrong: each gets one sentence that says what to do, the others go on, nothing is lost.

What shares one running controller stands in one test, for its start is what takes the time.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as text

from tests.e2e.programs import ROOT, get, until

SECRET = "geheim-7f3a91c2d8"
IN_A_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def can_mount() -> bool:
    """Whether this machine lets a program have mounts of its own, as a tiny disk needs."""
    try:
        return subprocess.run([*IN_A_NAMESPACE, "true"], capture_output=True, timeout=10, check=False).returncode == 0
    except OSError:
        return False


needs_mounts = pytest.mark.skipif(not can_mount(), reason="this machine allows no mounts in a user namespace")


# Helpers


def orcha(*argv, **environment):
    """Run a command to its end: (exit code, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "controller", *map(str, argv)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def strict(words: str):
    """JSON as its standard has it: no NaN, no Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(words, parse_constant=refuse)


def status(address):
    code, body = get(f"{address}/api/v1/status")
    return strict(body) if code == 200 else None


def row(view, key):
    return next(each for each in view["workloads"] if each["key"] == key)


def metric(address, name, **labels):
    """The value of one series, None where it is absent."""
    for family in text(get(f"{address}/metrics")[1]):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def events(program, contains):
    return [line for line in program.said().splitlines() if contains in line]


def node(name, **workloads):
    return {
        "apiVersion": "orcha.dev/v1alpha1", "kind": "Node", "metadata": {"name": name, "labels": {"site": "demo"}},
        "spec": {"capacity": {"storage": "20Ti", "bandwidth": "400M", "cpu": "8"}, "workloads": workloads},
    }  # fmt: skip


def policy(mode="Suggest", **spec):
    return {
        "apiVersion": "orcha.dev/v1alpha1", "kind": "AllocationPolicy", "metadata": {"name": "default"},
        "spec": {"mode": mode, "reconcile": {"observe": "1s", "plan": "2s", "jitter": 0}, **spec},
    }  # fmt: skip


def write(directory, **documents):
    directory.mkdir(exist_ok=True)
    for name, document in documents.items():
        replace(directory / f"{name}.yaml", yaml.safe_dump(document))
    return directory


def replace(path, words):
    """By rename, as editors and Git do."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(words)
    part.replace(path)


@pytest.fixture
def eager(world, tmp_path):
    """The world's manifests with everything asked every second."""
    directory = tmp_path / "eager"
    directory.mkdir()
    for path in world.manifests.glob("*.yaml"):
        document = yaml.safe_load(path.read_text())
        if document["kind"] == "Node":
            for spec in document["spec"]["workloads"].values():
                if spec["protocol"] != "grass":  # which says 429 to whoever asks so often
                    spec |= {"pollInterval": "1s", "timeout": "3s"}
        elif document["kind"] == "AllocationPolicy":
            document["spec"]["reconcile"] = {"observe": "1s", "plan": "2s", "jitter": 0}
        (directory / path.name).write_text(yaml.safe_dump(document))
    return directory


@pytest.fixture
def controller(start, tmp_path, free_port):
    """Start `orcha run`; gives (program, address)."""

    def run(manifests, state=None, before=()):
        port = free_port()
        program = start(
            *before, *([sys.executable] if before else []), "-m", "controller", "run", "--manifests", str(manifests),
            "--listen", f"127.0.0.1:{port}", "--state", f"sqlite:///{state or tmp_path / 'orcha.db'}", name="orcha",
        )  # fmt: skip
        return program, f"http://127.0.0.1:{port}"

    return run


def rows(path, table="readings"):
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 a name of this file
    except sqlite3.Error:
        return 0


def is_whole(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


@contextmanager
def held(path):
    """Another program holds the state's lock."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def catches(program, number):
    """Whether a program has a handler of its own for a signal."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def stops_in_time(program, number=signal.SIGTERM):
    began = time.monotonic()
    code = program.stop(number)
    assert time.monotonic() - began < 5
    return code


# What is refused before anything starts


STATE = "sqlite:///{tmp}/orcha.db"
STARTS = {
    "no port": (["--listen", "localhost"], "'localhost' is no address to listen on; write HOST:PORT"),
    "a port too high": (["--listen", "127.0.0.1:99999"], "'127.0.0.1:99999' is no address to listen on"),
    "a port in words": (["--listen", "127.0.0.1:http"], "is no address to listen on; write HOST:PORT"),
    "an IPv6 host without brackets": (["--listen", "::1"], "write an IPv6 host in brackets, such as [::1]:9872"),
    "a host nobody knows": (["--listen", "nowhere.invalid:9872"], "this host name is not known here"),
    "another machine's address": (["--listen", "192.0.2.1:9872"], "this machine has no such address"),
    "a URL to listen on": (["--listen", "http://127.0.0.1:9872"], "is no address to listen on"),
    "a state in no words": (["--state", "orcha.db"], "the state's address cannot be read; write sqlite:///PATH"),
    "a state in memory": (["--state", "sqlite:///:memory:"], "must be a file that survives a restart"),
    "another database": (["--state", f"mysql://u:{SECRET}@h/x"], "orcha keeps no state in 'mysql'"),
    "a PostgreSQL that is not there": (["--state", f"postgresql://u:{SECRET}@127.0.0.1:1/x"], "127.0.0.1:1/x cannot be reached"),
    "a state directory that does not exist": (["--state", "sqlite:///{tmp}/no/orcha.db"], "/no of the state does not exist; create it"),
    "a state that is a directory": (["--state", "sqlite:///{tmp}"], "is a directory; name a file in it"),
    "a state that is no database": (["--state", "sqlite:///{tmp}/diary.db"], "it was left as it is: move it aside"),
    "a state of a newer version": (["--state", "sqlite:///{tmp}/newer.db"], "is from a newer orcha (schema 99"),
    "somebody else's database": (["--state", "sqlite:///{tmp}/other.db"], "is a database of something else; orcha leaves it alone"),
    "no manifests": (["--manifests", "{tmp}/nowhere"], "/nowhere does not exist; name a YAML file or a directory"),
    "an empty directory": (["--manifests", "{tmp}/empty"], "/empty holds no .yaml file; put the manifests there"),
    "a binary file": (["--manifests", "{tmp}/binary.yaml"], "binary.yaml: is not UTF-8 text (byte 0)"),
    "a pipe": (["--manifests", "{tmp}/pipe.yaml"], "pipe.yaml is a pipe, and nobody may ever write to it"),
    "an endless file": (["--manifests", "/dev/zero"], "/dev/zero is larger than 8 MiB; that is no manifest"),
    "anchors of anchors": (["--manifests", "{tmp}/bomb.yaml"], "unfolds to more than 1000000 parts"),
    "a file with nothing in it": (["--manifests", "/dev/null"], "holds no document; write at least one Node"),
    "one name twice": (["--manifests", "{tmp}/twice.yaml"], "Node 'rack' stands in {tmp}/twice.yaml:2 already; rename one"),
    "minima above the capacity": (["--manifests", "{tmp}/minima.yaml"], "the minima of the workloads need 24Ti of storage, the node has 20Ti"),
    "a policy for nobody": (["--manifests", "{tmp}/nobody.yaml"], "selects no node: none carries site=mars; label a node so"),
    "an infinite tariff": (["--manifests", "{tmp}/infinite.yaml"], "infinite.yaml:3: spec.power.usdPerKwh: input should be a finite number"),
}  # fmt: skip


ONE_AFTER_THE_OTHER = """
import contextlib, io, json, sys
from controller.__main__ import main
for argv in json.load(sys.stdin):
    out, err, code, sys.argv = io.StringIO(), io.StringIO(), 0, ["orcha", *argv]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as exc:
            code = exc.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""
"""Many commands in one process: to start Python for each takes twenty times as long."""


@pytest.fixture(scope="module")
def wrong(tmp_path_factory):
    """Files that are wrong, each in its way."""
    tmp = tmp_path_factory.mktemp("wrong")
    (tmp / "empty").mkdir()
    (tmp / "binary.yaml").write_bytes(bytes(range(128, 256)) * 30)
    os.mkfifo(tmp / "pipe.yaml")
    level = "[{}]".format(",".join(["*{}"] * 9))
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]", *(f"a{i}: &a{i} {level}".replace("{}", f"a{i - 1}") for i in range(1, 9))]
    (tmp / "bomb.yaml").write_text("\n".join(lines))
    storj = {
        "protocol": "storj",
        "endpoint": "http://127.0.0.1:1",
        "allocation": {"resource": "storage", "min": "12Ti", "max": "13Ti", "step": "1Ti"},
    }
    good = node("rack", storj=storj)
    write(tmp, good=good, minima=node("rack", a=storj, b=storj))
    write(
        tmp,
        infinite={
            "apiVersion": good["apiVersion"],
            "kind": "Node",
            "metadata": {"name": "x"},
            "spec": {"power": {"usdPerKwh": 9e999}},
        },
    )
    (tmp / "infinite.yaml").write_text(
        "apiVersion: orcha.dev/v1alpha1\nkind: Node\nspec: {power: {usdPerKwh: 9e999}}\nmetadata: {name: x}\n"
    )
    (tmp / "twice.yaml").write_text(yaml.safe_dump_all([good, good], explicit_start=True))
    (tmp / "nobody.yaml").write_text(yaml.safe_dump_all([good, policy(selector={"matchLabels": {"site": "mars"}})]))
    (tmp / "diary.db").write_bytes(b"this is no database, but a diary of my cat" * 200)
    for name, script in {
        "newer": "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT); CREATE TABLE workloads (id); CREATE TABLE blocks (id); INSERT INTO meta VALUES ('schema', '99')",
        "other": "CREATE TABLE songs (title TEXT)",
    }.items():
        with closing(sqlite3.connect(tmp / f"{name}.db")) as connection:
            connection.executescript(script)
    return tmp


def test_what_cannot_start_says_in_one_sentence_what_would_be_right(wrong):
    before = {path: path.read_bytes() for path in wrong.glob("*.db")}

    commands = []
    for i, (given, _) in enumerate(STARTS.values()):
        words = [word.replace("{tmp}", str(wrong)) for word in given]
        default = {
            "--manifests": f"{wrong}/good.yaml",
            "--state": f"sqlite:///{wrong}/fresh-{i}.db",
            "--listen": "127.0.0.1:0",
        }
        default |= dict(zip(words[::2], words[1::2], strict=True))
        commands.append(["run", *(word for pair in default.items() for word in pair)])
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER], cwd=ROOT, input=json.dumps(commands), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    told = dict(zip(STARTS, map(json.loads, done.stdout.splitlines()), strict=True))
    for name, (_, words) in STARTS.items():
        code, out, err = told[name]
        assert words.replace("{tmp}", str(wrong)) in err, name
        assert (code in {1, 2}, out) == (True, ""), name
        assert len(err.strip().splitlines()) == 1, (name, err)
        assert SECRET not in err, name
    assert {path: path.read_bytes() for path in before} == before, "a file that is not ours is left as it is"


def test_a_port_in_use_is_said_with_what_to_do(wrong, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, _, err = orcha(
            "run", "-m", wrong / "good.yaml", "--listen", address, "--state", f"sqlite:///{tmp_path}/x.db"
        )
    assert code == 2
    assert (
        err
        == f"orcha: cannot listen on {address} (something listens there already); end it, or choose another with --listen\n"
    )


def test_credential_files_are_doubted_before_they_are_needed(tmp_path):
    (tmp_path / "open").write_text(SECRET)
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "empty").touch(0o600)
    golem = {"protocol": "golem", "endpoint": "http://127.0.0.1:1"}
    write(tmp_path / "m", rack=node("rack", **{
        name: {**golem, "credentials": {"appKeyFile": str(tmp_path / name)}} for name in ("open", "empty", "missing")
    }))  # fmt: skip
    code, out, err = orcha("validate", tmp_path / "m")
    assert (code, out) == (0, "valid: 1 node(s), 3 workload(s), 0 policy(ies)\n")
    assert "open can be read by every user of this machine; chmod 600 it" in err
    assert "empty is empty; put the secret into it" in err
    assert "missing does not exist (yet); create it, readable only by orcha" in err
    assert SECRET not in err


# Nodes that lie


def found_out(address, keys, since):
    """The status once it says of all these that something is wrong with them."""
    view = status(address)
    odd = [
        each["failure"] or each["notes"] or each["healthy"] is False
        for each in view["workloads"]
        if each["key"] in keys
    ]
    new = [not each["up"] or each["read_at"] > since for each in view["workloads"] if each["key"] in keys]
    return view if all(odd) and all(new) else None


def all_well(address):
    return all(each["up"] and not each["notes"] for each in status(address)["workloads"])


def test_a_node_that_lies_is_found_out_and_spoils_nothing_but_itself(controller, eager, world):
    _, address = controller(eager)
    until(lambda: (v := status(address)) and v["complete"] and v, "a first look at everything")
    for faults in (
        {"rack-1-storj": "negative", "rack-1-akash": "nan", "rack-2-storj-1": "past", "rack-2-storj-2": "die"},
        {"rack-1-storj": "huge", "rack-1-akash": "overused", "rack-2-storj-1": "future", "rack-1-golem": "nan"},
    ):
        for site, fault in faults.items():
            world.break_site(site, fault)
        keys = {"/".join(re.fullmatch(r"(rack-\d)-(.*)", site).groups()) for site in faults}
        view = until(partial(found_out, address, keys, time.time()), f"{faults} to be seen")
        for each in view["workloads"]:
            for figure in ("allocated", "used", "gross_usd_per_hour"):
                assert each[figure] is None or 0 <= each[figure] <= 1e18, (each["key"], figure)
            assert each["key"] in keys or (each["up"] and not each["failure"]), each["key"]
        page = get(f"{address}/metrics")[1]
        assert not re.search(r"^orcha_(?:protocol|node|plan|allocation)\S* (?:NaN|[+-]?Inf)", page, re.MULTILINE)
        assert list(text(page))
        for site in faults:
            world.break_site(site, None)
        until(partial(all_well, address), "all to be well again")


def test_json_is_json_whatever_the_nodes_do_and_the_table_says_why(eager, world):
    for site in ("rack-1-storj", "rack-1-golem", "rack-2-rpc"):
        world.break_site(site, {"rack-1-storj": "die", "rack-1-golem": "cut", "rack-2-rpc": "huge"}[site])
    code, out, err = orcha("plan", "-m", eager, "-o", "json")
    assert code == 0, err
    view = strict(out)
    assert row(view, "rack-1/storj")["failure"].endswith(
        "cannot be reached: nothing listens there; is it running, and is the port right?"
    )
    assert row(view, "rack-1/golem")["failure"].endswith("it broke off in the middle of its answer")
    code, out, _ = orcha("plan", "-m", eager)
    assert "is it running, and is the port right?" in out


# Secrets


class Parrot(BaseHTTPRequestHandler):
    """A node that says back whatever it is told: headers, body and address."""

    status = 200
    kind = "application/json"

    def do_GET(self):
        asked = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        said = f"{self.headers.get('Authorization')} {asked} {self.path}".encode()
        self.send_response(self.status)
        self.send_header("Content-Type", self.kind)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET  # noqa: N815 the library's name

    def log_message(self, *_):
        pass


@pytest.fixture
def parrots():
    """Status -> the address of a node that answers with it."""
    servers = {
        answer: ThreadingHTTPServer(("127.0.0.1", 0), type("Answering", (Parrot,), {"status": answer}))
        for answer in (200, 401, 403, 404, 429, 500)
    }
    for server in servers.values():
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield {answer: f"http://127.0.0.1:{server.server_port}" for answer, server in servers.items()}
    for server in servers.values():
        server.shutdown()
        server.server_close()


def test_a_node_that_says_secrets_back_does_not_make_orcha_say_them(tmp_path, parrots):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    mapping = {
        "traits": {"curve": "demand", "resource": "cpu"},
        "requests": {
            "login": {
                "url": "{endpoint}/login",
                "method": "POST",
                "body": {"passwordFile": str(secret)},
                "take": {"token": "$.token"},
            },
            "stats": {"url": "{endpoint}/stats", "headers": {"Authorization": "Bearer {token}"}},
        },
        "figures": {"used": {"request": "stats", "path": "$.used"}},
    }
    nodes = {
        f"rack-{answer}": node(
            f"rack-{answer}",
            golem={"protocol": "golem", "endpoint": url, "credentials": {"appKeyFile": str(secret)}},
            grass={"protocol": "grass", "endpoint": url, "credentials": {"accessTokenFile": str(secret)}},
            myst={"protocol": "mapped", "endpoint": url, "mapping": mapping},
        )
        for answer, url in parrots.items()
    }
    code, out, err = orcha("plan", "-m", write(tmp_path / "m", **nodes, policy=policy()), "-o", "json")
    assert code == 0, err
    assert all(each["failure"] for each in strict(out)["workloads"])
    assert SECRET not in out + err


# Manifests under a running controller


def test_manifests_may_be_deleted_swapped_and_spoiled_while_it_runs(controller, eager, tmp_path):
    program, address = controller(eager)
    until(lambda: (v := status(address)) and v["complete"], "a first look at everything")

    def problems():
        return status(address)["manifests"]["problems"]

    def names():
        return {each["node"] for each in status(address)["workloads"]}

    away = tmp_path / "away"
    eager.rename(away)
    until(
        lambda: problems() == [f"{eager} does not exist; name a YAML file or a directory of them"],
        "the loss to be seen",
    )
    assert names() == {"rack-1", "rack-2"}, "the last good ones hold"
    assert metric(address, "orcha_manifest_reload_success") == 0
    away.rename(eager)
    until(lambda: problems() == [], "them to be back")

    good = (eager / "rack-1.yaml").read_text()
    replace(eager / "rack-1.yaml", good.replace("step: '1'", "step: '2'"))
    until(lambda: row(status(address), "rack-1/golem")["step"] == 2, "the new step by an atomic rename")
    replace(eager / "rack-1.yaml", good.replace("name: rack-1", "name: rack-9"))
    until(lambda: names() == {"rack-9", "rack-2"}, "the renamed node")
    assert 'node="rack-1"' not in get(f"{address}/metrics")[1].split("orcha_verdicts")[0]
    replace(eager / "rack-1.yaml", good)
    replace(eager / "rack-3.yaml", good.replace("name: rack-1", "name: rack-3"))
    until(lambda: names() == {"rack-1", "rack-2", "rack-3"}, "the added node")
    (eager / "rack-3.yaml").unlink()
    until(lambda: names() == {"rack-1", "rack-2"}, "the removed node")

    as_kubernetes_does(eager, "..1")
    shutil.copytree(eager / "..1", eager / "..2")
    replace(eager / "..2" / "rack-1.yaml", good.replace("name: rack-1", "name: rack-5"))
    replace_link(eager, "..2")
    until(lambda: names() == {"rack-5", "rack-2"}, "the swapped symlink")
    (eager / "..data").unlink()
    until(lambda: "cannot be read (No such file or directory)" in str(problems()), "the links to lead nowhere")
    replace_link(eager, "..1")
    until(lambda: problems() == [] and names() == {"rack-1", "rack-2"}, "the links to lead somewhere again")
    assert "Traceback" not in program.said()
    assert stops_in_time(program) == 0


def as_kubernetes_does(directory, name):
    """Files are links to ..data/FILE, and ..data is a link to a directory that is swapped as a whole."""
    (directory / name).mkdir()
    for path in sorted(directory.glob("*.yaml")):
        path.rename(directory / name / path.name)
    replace_link(directory, name)
    for path in sorted((directory / name).glob("*.yaml")):
        (directory / path.name).symlink_to(f"..data/{path.name}")


def replace_link(directory, name):
    new = directory / "..data_tmp"
    new.symlink_to(name)
    new.replace(directory / "..data")


# The state


def test_a_state_that_others_hold_or_read_loses_nothing(controller, eager, tmp_path, free_port):
    program, address = controller(eager)
    state = tmp_path / "orcha.db"
    until(lambda: rows(state) >= 8, "readings in the state")
    with ThreadPoolExecutor(3) as pool:
        second = pool.submit(
            orcha, "run", "-m", eager, "--listen", f"127.0.0.1:{free_port()}", "--state", f"sqlite:///{state}"
        )
        shown = pool.submit(orcha, "status", "--state", f"sqlite:///{state}", "-o", "json")
        planned = pool.submit(orcha, "plan", "-m", eager, "--state", f"sqlite:///{state}", "-o", "json")
        for job in (shown, planned):
            code, out, err = job.result()
            assert code == 0, err
            assert len(strict(out)["workloads"]) == 8
        assert second.result()[0] == 2
        assert (
            second.result()[2]
            == f"orcha: another orcha already writes to {state}; stop it, or give this one its own --state\n"
        )
    with held(state):
        until(lambda: events(program, "history is kept in memory for now"), "the lock to be said")
        assert (
            f"the state {state} is locked by another program; close what has it open"
            in events(program, "kept in memory")[0]
        )
        before = rows(state)
    until(lambda: rows(state) > before and events(program, "history is written again"), "what waited to be written")
    away = state.rename(tmp_path / "away.db")
    until(lambda: events(program, "was moved, deleted or replaced while orcha ran; put it back"), "the loss to be said")
    before = rows(away.rename(state))
    until(lambda: rows(state) > before, "it to be written again")
    with held(state):
        now = time.time()
        until(lambda: row(status(address), "rack-1/storj")["read_at"] > now, "something new to write")
        assert stops_in_time(program) == 2, "what could not be written is told by the exit code"
    assert "what was seen since the last write is lost" in program.said()
    assert "Traceback" not in program.said()
    assert is_whole(state)


@needs_mounts
def test_a_full_disk_is_said_and_what_waited_is_written_once_there_is_room(controller, eager, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=1m tmpfs {disk} && exec "$@"'
    program, address = controller(
        eager, disk / "orcha.db", [shutil.which(IN_A_NAMESPACE[0]), *IN_A_NAMESPACE[1:], "sh", "-c", mount, "sh"]
    )
    inside = until(lambda: seen_by(program, disk), "the disk")
    until(lambda: rows_of_copy(inside / "orcha.db", tmp_path) >= 8, "readings in the state")
    ballast = inside / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        file.writelines(itertools.repeat(b"x" * 1024))
    until(lambda: events(program, "no room left for the state"), "the full disk to be said")
    assert "make room on its disk (nothing is lost, it is tried again)" in program.said()
    waiting = status(address)
    assert all(each["up"] for each in waiting["workloads"]), "observing goes on"
    ballast.unlink()
    until(lambda: events(program, "history is written again"), "what waited to be written")
    assert stops_in_time(program) == 0
    assert "Traceback" not in program.said()


def seen_by(program, path):
    """The path as the program's own mounts have it, once it is there."""
    found = f"/proc/{program.process.pid}/root{path}"
    return type(path)(found) if os.path.exists(f"{found}/orcha.db") else None  # noqa: PTH110 asked through the link


def rows_of_copy(path, tmp_path):
    """Counted in a copy: a lock taken through /proc would be another file's."""
    for end in ("", "-wal"):
        shutil.copyfile(f"{path}{end}", tmp_path / f"copy.db{end}")
    return rows(tmp_path / "copy.db")


@needs_mounts
def test_a_read_only_state_is_refused_in_a_sentence_and_can_still_be_read(eager, tmp_path, controller):
    disk = tmp_path / "disk"
    disk.mkdir()
    program, _ = controller(eager, disk / "orcha.db")
    until(lambda: rows(disk / "orcha.db") >= 8, "readings in the state")
    assert stops_in_time(program) == 0

    def read_only(*argv):
        script = f'mount --bind {disk} {disk} && mount -o remount,ro,bind {disk} && exec "$@"'
        done = subprocess.run(
            [*IN_A_NAMESPACE, "sh", "-c", script, "sh", sys.executable, "-m", "controller", *map(str, argv)],
            cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    code, _, err = read_only("run", "-m", eager, "--listen", "127.0.0.1:0", "--state", f"sqlite:///{disk}/orcha.db")
    assert (code, "orcha.db is read-only for orcha; let its user write the file and its directory" in err) == (
        2,
        True,
    ), err
    assert "Traceback" not in err
    code, out, err = read_only("status", "--state", f"sqlite:///{disk}/orcha.db", "-o", "json")
    assert code == 0, err
    assert len(strict(out)["workloads"]) == 8


def test_kills_at_random_moments_leave_a_whole_state_that_only_grows(controller, eager, tmp_path):
    state, chance, counted = tmp_path / "orcha.db", random.Random(7), 0
    for _ in range(6):
        program, _ = controller(eager)
        time.sleep(0.5 + 2.5 * chance.random())
        program.stop(signal.SIGKILL)
        assert "Traceback" not in program.said()
        if state.exists():
            assert is_whole(state)
            assert rows(state) >= counted
            counted = rows(state)
    program, address = controller(eager)
    view = until(lambda: (v := status(address)) and v["complete"] and v["policies"] and v, "a decision after it all")
    assert all(each["up"] for each in view["workloads"])
    assert stops_in_time(program) == 0
    assert rows(state) > counted
    assert is_whole(state)
    with closing(sqlite3.connect(state)) as connection:
        twice = connection.execute("SELECT workload_id, at FROM readings GROUP BY 1, 2 HAVING count(*) > 1").fetchall()
    assert twice == []


# The end


def test_it_ends_in_time_while_every_node_hangs_and_while_it_is_only_starting(controller, eager, world, tmp_path):
    for site in world.addresses:
        if site != "control":
            world.break_site(site, "hang")
    program, address = controller(eager)
    until(lambda: status(address), "the controller")
    assert stops_in_time(program) == 0
    with held(tmp_path / "orcha.db"):
        program, _ = controller(eager)
        until(lambda: catches(program, signal.SIGTERM), "the start")
        time.sleep(0.5)
        assert stops_in_time(program, signal.SIGINT) in {0, 2, 130}
    assert "Traceback" not in program.said()
    for seconds in (0.3, 0.7, 1.1):
        program, _ = controller(eager)
        time.sleep(seconds)
        assert stops_in_time(program) in {0, -signal.SIGTERM}
        assert "Traceback" not in program.said()


# Terminals


def test_what_is_printed_suits_where_it_goes(eager):
    jobs = {
        "piped": {"TERM": "xterm-256color", "LC_ALL": "C"}, "narrow": {"COLUMNS": "60"}, "ascii": {"PYTHONIOENCODING": "ascii"},
    }  # fmt: skip
    with ThreadPoolExecutor(2) as pool:
        told = dict(
            zip(
                jobs,
                pool.map(lambda environment: orcha("plan", "-m", eager, **environment), jobs.values()),
                strict=True,
            )
        )
    for name, (code, out, err) in told.items():
        assert code == 0, (name, err)
        assert "\x1b" not in out, f"{name}: a pipe gets no colours"
        assert "rack-1/golem" in out.replace("\n", "") or name == "narrow", name
    assert max(map(len, told["narrow"][1].splitlines())) <= 60
    assert told["ascii"][1].isascii()
    assert "…" not in told["piped"][1].split("policy default")[0], "no figure is cut short"
    assert "…" not in told["narrow"][1].split("policy default")[0]
