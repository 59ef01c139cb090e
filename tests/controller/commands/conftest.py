"""A controller that answers, and a state that one wrote."""

from __future__ import annotations

import asyncio

import pytest

from controller.journal import Journal
from controller.store import Store
from tests.controller.commands.desk import Desk, served
from tests.controller.report.programs import HOUR, applied, program, records_of, trial


@pytest.fixture
def desk():
    return Desk(
        [program("p-1f2e3d4c"), program("p-1f999999", ago=HOUR + 1), applied("p-0a0b0c0d")], [trial("p-0a0b0c0d")]
    )


@pytest.fixture
def api(desk):
    with served(desk.application()) as address:
        yield address


@pytest.fixture
def nobody(free_port):
    """An address at which nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def state(tmp_path, desk):
    """What the same controller wrote."""
    url = f"sqlite:///{tmp_path}/orcha.db"

    async def write():
        store = await Store.open(url)
        try:
            for each in desk.known:
                await Journal(store).save(each, *records_of(each))
            for each in desk.past:
                store.note_trial(each)
            await store.write()
        finally:
            await store.close()

    asyncio.run(write())
    return url
