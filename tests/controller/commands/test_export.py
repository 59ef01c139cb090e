"""`orcha export` as people run it: what is refused, what lands in the file, and what a kill leaves behind."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from controller.commands.export import export
from controller.export.columns import COLUMNS
from controller.rows import Batch, reading_row
from controller.store import Store
from tests.controller.export.worlds import KEYS, State, T, as_told, block, decision, read_csv, read_json, rows
from tests.controller.report import programs as made

app = typer.Typer()
app.command()(export)


def orcha(*argv):
    return CliRunner().invoke(app, [*map(str, argv)], env={"COLUMNS": "160"})


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path}/orcha.db"
    looks = [(KEYS[i % 3], T + i, i % 7 > 0, 8.0, 4.0, -0.125) for i in range(30)]
    own = made.applied("p-1", ago=made.NOW - T)
    state = State(looks, [(KEYS[0], block(T))], [decision(T), decision(T + 9)], [(own, made.records_of(own))])
    asyncio.run(state.write(url))
    return url


@pytest.mark.parametrize("what", sorted(COLUMNS))
@pytest.mark.parametrize("format_", ["csv", "json"])
def test_what_the_state_keeps_stands_in_the_file(tmp_path, url, what, format_):
    path = tmp_path / "out"
    done = orcha("--what", what, "--format", format_, "--state", url, "-o", path)
    assert done.exit_code == 0, done.output
    told = [as_told(row, what) for row in asyncio.run(rows(url, what, until=made.NOW * 2))]
    assert f"orcha: {len(told)} row{'s' * (len(told) != 1)} in {path}" in done.stderr
    found = read_csv(path.read_bytes(), what) if format_ == "csv" else read_json(path.read_bytes())
    if format_ == "csv":  # "" and unknown are both empty there
        told = [{name: None if value == "" else value for name, value in row.items()} for row in told]
    assert found == told
    assert len(found) > 0
    assert sorted(each.name for each in tmp_path.iterdir() if each.name.startswith("out")) == ["out"]


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_stdout_gets_the_same_bytes_as_a_file(tmp_path, url, format_):
    path, argv = tmp_path / "out", ("--what", "readings", "--format", format_, "--state", url)
    assert orcha(*argv, "--output", path).exit_code == 0
    done = orcha(*argv)
    assert done.exit_code == 0
    assert done.stdout_bytes == path.read_bytes()


def test_rows_lie_wholly_within_the_period(url):
    def told(since, until):
        done = orcha("--what", "readings", "--state", url, "--from", since, "--to", until)
        return [(row["at"], row["span_seconds"]) for row in csv.DictReader(io.StringIO(done.stdout))]

    assert len(told(T, T + 300)) == 31
    assert len(told(T, T + 299)) == 30  # without the span that ends later
    assert told(T + 3, T + 5) == [("2026-01-01T00:00:03.000000Z", "0"), ("2026-01-01T00:00:04.000000Z", "0")]
    assert told(T + 400, T + 500) == []


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--resume"], "--resume goes with a file; name it with --output FILE"),
        (["--force"], "--force goes with a file; name it with --output FILE"),
        (["--resume", "--force", "-o", "x"], "--resume goes on with what is there, and --force begins anew; keep one"),
        (["--from", "yesterday"], "--from 'yesterday' is not a time; write it with its zone"),
        (["--from", "1d", "--to", "2d"], "--from 1d is not before --to 2d"),
        (["-o", "none/such/file"], "--output none/such/file: there is no directory none/such"),
        (["-o", "/"], "--output / is a directory; name a file in it"),
    ],
    ids=["resume-stdout", "force-stdout", "both", "no-time", "backwards", "no-folder", "folder"],
)
def test_what_cannot_be_is_said_in_a_sentence(url, argv, sentence):
    done = orcha("--what", "readings", "--state", url, *argv)
    assert done.exit_code == 2
    assert sentence in done.stderr.replace("\n", " ")
    assert done.stdout == ""


def test_a_state_that_is_not_there_is_said_and_no_file_is_made(tmp_path):
    done = orcha("--what", "readings", "--state", f"sqlite:///{tmp_path}/none.db", "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "there is no state at" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_refused_and_replaced_with_force(tmp_path, url):
    path = tmp_path / "out"
    path.write_text("precious")
    argv = ("--what", "decisions", "--state", url, "-o", path)
    done = orcha(*argv)
    assert (done.exit_code, path.read_text()) == (2, "precious")
    assert "out is there already; name another file with --output, or replace it with --force" in done.stderr.replace(
        "\n", ""
    )
    done = orcha(*argv, "--resume")
    assert (done.exit_code, path.read_text()) == (0, "precious")
    assert "is there, and no export to it stopped early: it is left as it is; --force makes it anew" in done.stderr
    assert orcha(*argv, "--force").exit_code == 0
    assert len(path.read_text().splitlines()) == 3


def test_resume_begins_where_there_is_nothing_to_go_on_with(tmp_path, url):
    """So that the same command may just be run until it is done."""
    path = tmp_path / "out"
    assert orcha("--what", "programs", "--state", url, "-o", path, "--resume").exit_code == 0
    assert path.exists()


def test_no_password_of_the_states_address_is_written_anywhere(tmp_path, free_port):
    url = f"postgresql://orcha:hunter2@127.0.0.1:{free_port()}/orcha"
    done = orcha("--what", "readings", "--state", url, "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "hunter2" not in done.output
    assert list(tmp_path.iterdir()) == []


# --- kills --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_past(tmp_path_factory):
    """Enough that an export takes a while: 60 hours of looks, an hour of blocks each."""
    url = f"sqlite:///{tmp_path_factory.mktemp('long')}/orcha.db"
    looks = [(KEYS[i % 3], T + i * 5.0, True, 8.0, i / 1000, 0.125) for i in range(60 * 720)]
    blocks = [(key, block(T + i * 300, hours=1 / 12)) for key in KEYS for i in range(60 * 12)]
    asyncio.run(State(looks, blocks).write(url))
    return url


def started(*argv):
    return subprocess.Popen(
        [sys.executable, "-m", "controller", "export", *map(str, argv)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_killed_at_random_moments_and_resumed_the_file_is_as_if_nobody_had_killed_it(tmp_path, long_past, format_):
    argv = ("--what", "readings", "--format", format_, "--state", long_past, "--to", str(T + 1e6))
    whole, path, chance, kills = tmp_path / "whole", tmp_path / "out", random.Random(format_), 0
    assert orcha(*argv, "-o", whole).exit_code == 0
    part = tmp_path / "out.part"
    for attempt in range(40):
        with started(*argv, "-o", path, "--resume") as process:
            size = part.stat().st_size if part.exists() else 0
            if attempt < 3:
                _wait_for(process, part, size + 1)
                _wait(process, chance.uniform(0.0, 0.5) if attempt else 0.0)
                process.kill()
            said = process.communicate(timeout=100)[1].decode()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, said
        kills += 1
        assert not path.exists() or not part.exists()
    assert path.exists()
    assert kills > 0
    if format_ == "parquet":
        assert pq.read_table(path).equals(pq.read_table(whole))
    else:
        assert path.read_bytes() == whole.read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out", "whole"]


def _wait_for(process, part, size):
    """Until it wrote something, or is over."""
    while process.poll() is None and not (part.exists() and part.stat().st_size >= size):
        time.sleep(0.005)


def _wait(process, seconds):
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def test_ctrl_c_says_how_to_go_on(tmp_path, long_past):
    path = tmp_path / "out"
    with started("--what", "readings", "--state", long_past, "-o", path) as process:
        _wait_for(process, tmp_path / "out.part", 1000)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=100)[1].decode()
    assert process.returncode == 130
    assert "ended early" in said
    assert "go on with --resume" in said
    note = json.loads((tmp_path / "out.part.json").read_text())
    assert not note["done"]
    assert (tmp_path / "out.part").stat().st_size >= note["size"]


def test_now_stays_the_now_of_the_first_time(tmp_path, url):
    """What comes in between a kill and going on lies beyond it."""
    path = tmp_path / "out"
    argv = ("--what", "readings", "--state", url, "--from", "10h", "-o", path)
    now = time.time()

    async def look(at):
        store = await Store.open(url)
        await store.write(Batch(readings=[reading_row(KEYS[0], at, True, 1.0, 1.0, 1.0)]))
        await store.close()

    asyncio.run(look(now - 10))
    assert orcha(*argv).exit_code == 0
    note = json.dumps(
        {
            "asked": {
                "what": "readings", "format": "csv", "state": f"{tmp_path}/orcha.db", "from": "10h", "to": "now",
                "columns": [column.name for column in COLUMNS["readings"]],
            },
            "since": now - 36000, "until": now, "resume": [now - 36000, None],
        }
    )  # fmt: skip
    path.unlink()
    (tmp_path / "out.part").write_bytes(b"")
    (tmp_path / "out.part.json").write_text(note)
    asyncio.run(look(now + 0.001))
    assert orcha(*argv, "--resume").exit_code == 0
    assert len(path.read_text().splitlines()) == 1


def test_who_reads_only_the_beginning_ends_it_quietly(long_past):
    program = [sys.executable, "-m", "controller", "export", "--what", "readings", "--state", long_past]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}) as process:
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode()
        process.wait(60)
    assert "Traceback" not in said
