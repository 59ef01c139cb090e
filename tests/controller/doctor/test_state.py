"""The state: opened, judged, and left exactly as it was."""

from __future__ import annotations

import sqlite3

import pytest

from controller import tables
from controller.doctor.finding import Mark
from controller.doctor.state import state
from controller.store import Store


def everything(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.fixture
async def there(tmp_path):
    """A state as `orcha run` leaves it."""
    folder = tmp_path / "state"
    folder.mkdir()
    await (await Store.open(f"sqlite:///{folder}/orcha.db")).close()
    return folder


def set_schema(folder, value):
    with sqlite3.connect(folder / "orcha.db") as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (value,))
    connection.close()


async def look(folder, name="orcha.db"):
    first, *_ = await state(f"sqlite:///{folder}/{name}", 2.0)
    return first


async def test_a_state_of_this_version_can_be_opened_and_nothing_of_it_is_touched(there):
    before = everything(there)
    said = await look(there)
    assert said.mark is Mark.OK
    assert f"schema {len(tables.STEPS)}" in said.found
    assert everything(there) == before


async def test_beside_a_controller_that_writes_it_can_be_opened_too(there):
    store = await Store.open(f"sqlite:///{there}/orcha.db")
    try:
        assert (await look(there)).mark is Mark.OK
    finally:
        await store.close()


async def test_a_state_that_is_not_there_yet_is_made_by_run_and_not_by_the_doctor(tmp_path):
    said = await look(tmp_path)
    assert (said.mark, list(tmp_path.iterdir())) == (Mark.OK, [])
    assert "orcha run" in said.found


async def test_a_newer_state_fails_and_an_older_one_is_brought_up_to_date_by_run(there):
    set_schema(there, "99")
    newer = await look(there)
    assert newer.mark is Mark.FAIL
    assert "newer orcha" in newer.found
    set_schema(there, "1")
    older = await look(there)
    assert older.mark is Mark.OK
    assert "orcha run" in older.found


@pytest.mark.parametrize(
    "content", [b"not a database" * 100, b"SQLite format 3\x00" + b"\xff" * 5000], ids=["text", "damaged"]
)
async def test_a_file_that_is_no_state_fails_and_stays(tmp_path, content):
    (tmp_path / "orcha.db").write_bytes(content)
    said = await look(tmp_path)
    assert said.mark is Mark.FAIL
    assert said.todo
    assert (tmp_path / "orcha.db").read_bytes() == content


async def test_a_database_of_something_else_fails(tmp_path):
    with sqlite3.connect(tmp_path / "orcha.db") as connection:
        connection.execute("CREATE TABLE invoices (id INTEGER)")
    connection.close()
    said = await look(tmp_path)
    assert said.mark is Mark.FAIL
    assert "something else" in said.found


async def test_a_folder_that_is_missing_or_that_one_may_not_write_fails(tmp_path, as_nobody):
    assert "does not exist" in (await look(tmp_path / "nowhere")).found
    with as_nobody() as folder:
        folder.chmod(0o555)
        said = await look(folder)
    assert said.mark is Mark.FAIL
    assert "cannot be read and written by this user" in said.found


async def test_a_database_server_that_does_not_answer_fails_without_its_password(free_port):
    (said,) = await state(f"postgresql://orcha:hunter2@127.0.0.1:{free_port()}/orcha", 1.0)
    assert said.mark is Mark.FAIL
    assert "hunter2" not in str(said)


async def test_room_on_the_disk_is_told(there):
    _, room = await state(f"sqlite:///{there}/orcha.db", 2.0)
    assert "free on its disk" in room.found
