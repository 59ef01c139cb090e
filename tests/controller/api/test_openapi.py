"""The OpenAPI document: whole, valid, and made from what is really there."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

from controller.api import asked
from controller.api.openapi import document
from controller.api.routes import OPERATIONS, ROOT
from tests.controller.api import desk
from tests.controller.api.fleets import some_face

METHODS = {(each.path, each.method) for each in OPERATIONS}


@pytest.fixture(scope="module")
def written():
    return document("1.2.3")


def refers(part):
    """Every $ref in it."""
    if isinstance(part, dict):
        yield from [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        for each in part.values():
            yield from refers(each)
    elif isinstance(part, list):
        for each in part:
            yield from refers(each)


def test_it_is_openapi_3_1_and_every_schema_in_it_is_one(written):
    assert written["openapi"] == "3.1.0"
    assert written["info"]["version"] == "1.2.3"
    for schema in written["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for path in written["paths"].values():
        for operation in path.values():
            for parameter in operation["parameters"]:
                jsonschema.Draft202012Validator.check_schema(parameter["schema"])


def test_everything_that_it_refers_to_is_in_it(written):
    for place in set(refers(written)):
        part = written
        for name in place.removeprefix("#/").split("/"):
            part = part[name]


def test_every_operation_says_what_it_takes_and_how_it_may_be_refused(written):
    assert {
        (path.removeprefix(ROOT), method.upper()) for path, each in written["paths"].items() for method in each
    } == METHODS
    for operation in OPERATIONS:
        found = written["paths"][ROOT + operation.path][operation.method.lower()]
        assert found["operationId"] == operation.name
        assert {"400", "401", "403", "405"} <= found["responses"].keys()
        assert {each["name"] for each in found["parameters"] if each["in"] == "query"} == set(
            operation.query.model_fields
        )
        if operation.method == "POST":
            assert {"200", "404", "409", "413", "415", "503"} <= found["responses"].keys()
            assert found["requestBody"]["required"] is True
    assert written["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert len({each.name for each in OPERATIONS}) == len(OPERATIONS)


def test_no_parameter_may_be_null_for_in_a_query_nothing_is(written):
    for path in written["paths"].values():
        for operation in path.values():
            assert "null" not in json.dumps(operation["parameters"])


@pytest.mark.parametrize(
    "path",
    [
        "status",
        "nodes",
        "readings",
        "plan",
        "opportunities",
        "programs",
        "programs/p-00000003",
        "history",
        "events",
        "manifests",
        "fleet",
        "fleet/timeline",
        "fleet/agents/site-00/state?part=terms",
        "fleet/agents/site-00/state?part=equalities",
        "fleet/agents/site-00/state?part=counters",
        "fleet/agents/site-02/state?part=registers",
        "fleet/agents/site-00/egraph",
        "fleet/agents/site-02/messages",
    ],
)
async def test_every_answer_is_what_the_document_says(serve, written, tmp_path, path):
    manifests = desk.read_manifests(tmp_path)
    client = await serve(manifests=lambda: manifests, fleet=some_face())
    answer = await client.get(f"{ROOT}/{path}")
    assert answer.status == 200
    found = await answer.json()
    template = re.sub(r"(programs|agents)/[^/?]+", r"\1/{id}", f"{ROOT}/{path}").partition("?")[0]
    schema = written["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    whole = {**schema, "components": written["components"]}
    jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(found)


async def test_it_is_served_as_it_is(serve):
    from exporters import __version__

    assert await (await (await serve()).get("/api/v1/openapi.json")).json() == document(__version__)


@pytest.mark.parametrize(
    "text",
    [
        "24h",
        "2026-10-01T00:00:00Z",
        "2026-10-01t00:00:00.123456789z",
        "1790812800",
        "0",
        "1e9",
        "2026-10-01 00:00:00-07:30",
    ],
)
def test_a_time_is_read_as_people_and_programs_write_it(text):
    assert asked.read_when(text).seconds(desk.NOW) <= desk.NOW


def test_a_cursor_is_read_back_to_the_last_digit():
    from controller.api.answers import next_before

    for at in (1.8e9, 1_800_000_000.123456, 1_799_999_997.0000007, 0.1 + 1.7e9):
        assert asked.read_when(next_before(at)).seconds(0.0) == at
