"""The state in a real PostgreSQL: what the doctor says of it, and that he leaves it as it is."""

from __future__ import annotations

from sqlalchemy import inspect

from controller.address import address_of
from controller.doctor.finding import Mark
from controller.doctor.state import state
from controller.opening import engine_for
from controller.store import Store
from tests.controller.test_store_postgres import NEEDS_SERVER, server  # noqa: F401 a fixture


async def tables(url):
    engine = engine_for(address_of(url, write=False), write=False, patience=5.0)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    finally:
        await engine.dispose()


@NEEDS_SERVER
async def test_an_empty_database_is_for_run_to_fill_and_a_filled_one_is_well(server):  # noqa: F811 the fixture
    (empty,) = await state(server, 10.0)
    assert empty.mark is Mark.OK
    assert "orcha run" in empty.found
    assert await tables(server) == []
    await (await Store.open(server)).close()
    (filled,) = await state(server, 10.0)
    assert filled.mark is Mark.OK
    assert "can be opened and written" in filled.found
