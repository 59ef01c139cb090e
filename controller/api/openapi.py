"""The OpenAPI 3.1 document, made from the table of operations and the pydantic models. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from controller.api import glance, models, shapes
from controller.api.routes import OPERATIONS, ROOT, Operation
from controller.api.told import FleetGlance

if TYPE_CHECKING:
    from pydantic import BaseModel

    from controller.api.asked import Asked

_REF: Final = "#/components/schemas/{model}"
PROGRAM_ID: Final = r"^[A-Za-z0-9._-]{1,64}$"
AGENT_ID: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""As controller/fleet/manifest.py names them."""
_IDS: Final = {
    "/programs": ("Of a program.", PROGRAM_ID, "p-1f2e3d4c"),
    "/fleet": ("Of an agent of the fleet.", AGENT_ID, "attic"),
}
ABOUT: Final = """\
What orcha watches, plans and does. Amounts are in base units (cores, bytes, bits per second, whole tokens), money in USD.
Unknown is null, never 0. On loopback no token is needed; elsewhere the role `read` may GET and the role `operate` may POST
as well. What changes something is sent as application/json and refused to web pages of another origin.
"""
_SAYS: Final = {
    400: "What was asked makes no sense; nothing was done.",
    401: "No valid token came with this.",
    403: "This role, this origin or this name of the host may not.",
    404: "There is no such thing.",
    405: "Not by this method.",
    409: "It is there, and its state does not allow this.",
    413: "The body is larger than 64 kB.",
    415: "The body is not application/json.",
    426: "This is a WebSocket.",
    503: "Not now: the state cannot be read or written, or too many listen.",
}


def document(version: str) -> dict[str, Any]:
    """The whole document."""
    schemas = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(ROOT + operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "orcha", "version": version, "description": ABOUT, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {str(status): _refusal(status) for status in _SAYS},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token of Settings spec.api.tokenFiles."}
            },
        },
    }  # fmt: skip


def _schemas() -> dict[str, Any]:
    """Of all bodies, answers, and messages; parameters carry their own."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(shapes.Problem, "serialization")]
    wanted += [(told, "serialization") for told in (models.Message, glance.ReadingRow, FleetGlance)]
    for operation in OPERATIONS:
        if operation.answer is not None:
            wanted.append((operation.answer, "serialization"))
        if operation.body is not None:
            wanted.append((operation.body, "validation"))
    _, found = models_json_schema(list(dict.fromkeys(wanted)), by_alias=True, ref_template=_REF)
    schemas: dict[str, Any] = found["$defs"]
    return dict(sorted(schemas.items()))


def _operation(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.says,
        "tags": ["change" if operation.method == "POST" else "look"],
        "parameters": [*_in_path(operation), *_in_query(operation.query)],
        "responses": _responses(operation),
    }
    if operation.body is not None:
        schema = {"$ref": _REF.format(model=operation.body.__name__)}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _in_path(operation: Operation) -> list[dict[str, Any]]:
    if "{id}" not in operation.path:
        return []
    words, pattern, example = next(_IDS[root] for root in _IDS if operation.path.startswith(f"{root}/"))
    schema = {"type": "string", "pattern": pattern, "examples": [example]}
    return [{"name": "id", "in": "path", "required": True, "description": words, "schema": schema}]


def _in_query(query: type[Asked]) -> list[dict[str, Any]]:
    schema = query.model_json_schema(by_alias=True, ref_template=_REF, mode="validation")
    held = schema.pop("$defs", {})
    return [
        {"name": name, "in": "query", "required": False, **_described(each, held)}
        for name, each in schema.get("properties", {}).items()
    ]


def _described(schema: dict[str, Any], held: dict[str, Any]) -> dict[str, Any]:
    """A parameter is absent, never null, so that alternative goes; what it refers to stands in its place."""
    schema = {name: each for name, each in schema.items() if name != "title"}
    words = schema.pop("description", "")
    if "anyOf" in schema:
        kinds = [each for each in schema.pop("anyOf") if each.get("type") != "null"]
        schema.pop("default", None)
        schema |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if "$ref" in schema:
        meant = held[schema.pop("$ref").rpartition("/")[2]]
        schema |= {name: each for name, each in meant.items() if name not in {"title", "description"}}
    return {"description": " ".join(words.split()), "schema": schema}


def _responses(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if operation.answer is not None:
        found["200"] = _answered("As asked.", {"$ref": _REF.format(model=operation.answer.__name__)})
    elif operation.name == "stream":
        found["101"] = {
            "description": "Text messages follow, each a Message; a reader that is too slow is closed with code 1013."
        }
    else:
        found["200"] = _answered("An OpenAPI document.", {"type": "object"})
    if operation.kept:
        found["200"]["headers"] = {"ETag": {"schema": {"type": "string"}}}
        found["304"] = {"description": "It is what If-None-Match says."}
    return found | {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(operation.refusals)}


def _answered(words: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _refusal(status: int) -> dict[str, Any]:
    found = _answered(_SAYS[status], {"$ref": _REF.format(model=shapes.Problem.__name__)})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        found["headers"] = {"Allow": {"schema": {"type": "string"}}}
    return found
