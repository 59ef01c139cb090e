"""`orcha fleet forget`: what a state that was put back knew of the fleet is gone, and nothing else."""

from __future__ import annotations

import asyncio

from typer.testing import CliRunner

from controller.__main__ import app
from controller.fleet.crdt import Replica
from controller.fleet.stored import Stored
from controller.store import Store


def orcha(*argv: str):
    return CliRunner().invoke(app, list(argv), env={"COLUMNS": "160"})


def made(path, *names: str) -> str:
    url = f"sqlite:///{path / 'orcha.db'}"

    async def write() -> None:
        store = await Store.open(url)
        try:
            for name in names:
                replica = Replica()
                replica.count(name, "starts", 3, f"{name}.3")
                await Stored(store, name).save(replica.delta({}), 3, trusted=True)
        finally:
            await store.close()

    asyncio.run(write())
    return url


def knows(url: str, name: str) -> int:
    async def read() -> int:
        store = await Store.open(url, write=False)
        try:
            return (await Stored(store, name).load()).start
        finally:
            await store.close()

    return asyncio.run(read())


def test_what_an_agent_knew_is_forgotten_and_it_is_said_what_follows(tmp_path):
    url = made(tmp_path, "attic")
    assert knows(url, "attic") == 3
    done = orcha("fleet", "forget", "--state", url)
    assert (done.exit_code, done.stdout) == (
        0, "forgotten: what attic knew; nothing more is taken until all other agents have told what was promised\n",
    )  # fmt: skip
    assert knows(url, "attic") == 0


def test_a_state_without_a_fleet_is_left_as_it_is(tmp_path):
    done = orcha("fleet", "forget", "--state", made(tmp_path))
    assert (done.exit_code, done.stdout) == (0, "there is nothing of a fleet in this state; nothing was changed\n")


def test_a_wrong_address_makes_no_new_state(tmp_path):
    done = orcha("fleet", "forget", "--state", f"sqlite:///{tmp_path / 'typo.db'}")
    assert done.exit_code == 2
    assert "there is no state at" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_state_in_use_is_refused(tmp_path):
    url = made(tmp_path, "attic")

    async def held() -> str:
        store = await Store.open(url)
        try:
            done = await asyncio.to_thread(orcha, "fleet", "forget", "--state", url)
        finally:
            await store.close()
        assert done.exit_code == 2
        return str(done.stderr)

    assert "another" in asyncio.run(held())
    assert knows(url, "attic") == 3
