"""The same store in PostgreSQL: a real server of this test's own, on a socket in a temporary directory.

Needs PostgreSQL's programs and the extra `postgres`; skipped where either is missing.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.address import StoreLocked, StoreRefused
from controller.decide import decide
from controller.history import DAY, History, period
from controller.report import views
from controller.rows import Change, Event, RecordedDecision
from controller.samples import Kept
from controller.store import Store
from exporters.reading import Reading
from tests.controller.worlds import NOW, competing, policy

T = 4_000_000_000.0 // 3600 * 3600  # after 2038: 4-byte seconds would overflow
KEPT = Kept("rack-1/golem", "cpu", stale_after=210.0, step=1.0, max=10.0)


def _program(name: str) -> str | None:
    return shutil.which(name) or next((str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)


NEEDS_SERVER = pytest.mark.tool("postgresql")


def look(at: float, used: float) -> Reading:
    return Reading("rack-1", "golem", "golem", at, used={"cpu": used}, allocated={"cpu": 8.0}, net_usd_per_hour=0.1)


def _run(user: dict[str, Any], where: str, program: str, *argv: str) -> None:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(
        [_program(program), "-D", f"{where}/data", *argv], check=True, timeout=60, cwd=where, **quiet, **user
    )


@pytest.fixture(scope="module")
def server():
    """The URL of an empty database. The server refuses to run as root, so there it runs as nobody."""
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as where:
        if user:
            os.chown(where, 65534, 65534)
        _run(user, where, "initdb", "-U", "orcha", "-A", "trust", "--no-sync")
        options = f"-k {where} -c listen_addresses='' -c fsync=off"
        _run(user, where, "pg_ctl", "-w", "-l", f"{where}/log", "-o", options, "start")
        try:
            yield f"postgresql://orcha@/postgres?host={where}"
        finally:
            _run(user, where, "pg_ctl", "-m", "immediate", "stop")


@NEEDS_SERVER
async def test_history_survives_a_restart_in_postgresql(server):
    store = await Store.open(server)
    history = History([KEPT])
    for i in range(int(DAY + 7200) // 60):
        history.add(look(T + 60.0 * i, i % 9))
    now = T + DAY + 7200
    store.note_event(Event(now, "Started", "orcha", "orcha started"))
    store.note_decision(RecordedDecision("default", now, "a", "LowGain", "stay", "{}", b"made from"))
    store.note_change(KEPT.key, Change(expected=8.0))
    await history.flush(store, now)
    await history.flush(store, now + 4000)
    with pytest.raises(StoreLocked, match="another orcha already writes"):
        await Store.open(server)
    reader = await Store.open(server, write=False)
    again = History([KEPT])
    await again.restore(reader, now)
    one, other = history.blocks(KEPT.key, now), again.blocks(KEPT.key, now)
    assert (one.exact == other.exact).all()
    assert (one.censored == other.censored).all()
    assert (one.usd == other.usd).all()
    assert (await period(reader, KEPT.key, T, now)).exposure == pytest.approx(one.exposure)
    assert (await reader.last_decisions())["default"].at == now
    assert (await reader.decided("default", now + 9)).inputs == b"made from"
    assert await reader.changes() == {KEPT.key: Change(expected=8.0)}
    assert [event.kind for event in await reader.events(T, now + 1)] == ["Started"]
    await reader.close()
    await store.close()
    again_writing = await Store.open(server)
    await again_writing.close()


@NEEDS_SERVER
async def test_a_decision_is_replayed_from_postgresql_after_a_restart(server):
    decision = decide(replace(competing(policy(minConfidence=0.1)), policy="replayed"))
    later = decide(replace(decision.state, now=NOW + 3600, paused=True))
    for made in (decision, later):
        store = await Store.open(server)
        store.note_decision(views.recorded(made, store.fingerprint("replayed")))
        await store.write()
        await store.close()
    argv = [sys.executable, "-m", "controller", "explain", "--state", server, "--at", str(NOW + 60), "-o", "json"]
    told = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 0, told.stderr
    [policy_] = json.loads(told.stdout)["policies"]
    assert (policy_["at"], policy_["replay"], policy_["sentence"]) == (NOW, None, decision.sentence)
    assert policy_["verdicts"]
    for shown, verdict in zip(policy_["verdicts"], decision.verdicts, strict=True):
        move = verdict.move
        assert (shown["workload"], shown["from"], shown["to"]) == (move.key, move.from_, move.to)
        assert (shown["reason"], shown["sentence"]) == (verdict.reason, verdict.sentence)
        assert shown["gain_usd_per_hour"] == pytest.approx(move.gain_usd_per_hour, rel=1e-9)


async def test_a_database_that_cannot_be_reached_is_named_without_its_password(free_port):
    with pytest.raises(StoreRefused, match="cannot be reached") as found:
        await Store.open(f"postgresql://orcha:hunter2@127.0.0.1:{free_port()}/orcha")
    assert "hunter2" not in str(found.value)


def test_without_the_extra_its_name_is_said():
    program = (
        "import asyncio, sys; sys.modules['asyncpg'] = None\n"
        "from controller.store import Store\n"
        "asyncio.run(Store.open('postgresql://orcha:hunter2@127.0.0.1/orcha'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "StoreRefused" in done.stderr
    assert "pip install asyncpg" in done.stderr
    assert "hunter2" not in done.stderr.splitlines()[-1]
