"""A Kubernetes API server as far as the driver needs one: objects with versions, server-side apply with owners of fields,
rights, Events. Real HTTP on 127.0.0.1; what a real one does is proven in tests/e2e/test_kubernetes_driver.py.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from lightkube import AsyncClient, KubeConfig
from lightkube.config.models import Cluster, User

from controller.actuate.kubernetes.api import Api

Path = tuple[str, ...]
LISTS = ("containers", "env")
"""Lists whose members are known by name; every other one is a single field."""


def leaves(value: Any, path: Path = ()) -> dict[Path, Any]:
    """Every field with its value, as server-side apply sees them."""
    if isinstance(value, dict):
        return {at: leaf for key, inner in value.items() for at, leaf in leaves(inner, (*path, f"f:{key}")).items()}
    if isinstance(value, list) and path and path[-1][2:] in LISTS:
        named = ((json.dumps({"name": member["name"]}, separators=(",", ":")), member) for member in value)
        return {at: leaf for name, member in named for at, leaf in leaves(member, (*path, f"k:{name}")).items()}
    return {path: value}


def nested(paths: set[Path]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for path in sorted(paths):
        at = made
        for part in path:
            at = at.setdefault(part, {})
    return made


def put(thing: Any, path: Path, value: Any) -> None:
    """Set one field; None takes it out, with the member of a list that is left with nothing."""
    if len(path) == 1:
        if value is None:
            thing.pop(path[0][2:], None)
        else:
            thing[path[0][2:]] = value
        return
    key, following = path[0][2:], path[1]
    if following.startswith("k:"):
        name = json.loads(following[2:])["name"]
        members = thing.setdefault(key, [])
        member = next((each for each in members if each.get("name") == name), None)
        if member is None:
            members.append(member := {"name": name})
        put(member, path[2:], value)
        if not member or "name" not in member:
            members.remove(member)
        if not members:
            del thing[key]
    else:
        put(thing.setdefault(key, {}), path[1:], value)
        if not thing[key]:
            del thing[key]


def content(thing: dict[str, Any]) -> dict[str, Any]:
    """The part of an object that has owners."""
    metadata = {name: thing["metadata"][name] for name in ("annotations",) if thing["metadata"].get(name)}
    return {"metadata": metadata, "spec": thing.get("spec", {})} if metadata else {"spec": thing.get("spec", {})}


@dataclass
class Stored:
    thing: dict[str, Any]
    owned: dict[tuple[str, str, str], set[Path]] = field(default_factory=dict)
    """(manager, operation, subresource) -> fields."""

    def shown(self) -> dict[str, Any]:
        entries = [
            {
                "manager": name,
                "operation": operation,
                "fieldsV1": nested(paths),
                **({"subresource": part} if part else {}),
            }
            for (name, operation, part), paths in self.owned.items()
            if paths
        ]
        return {**self.thing, "metadata": {**self.thing["metadata"], "managedFields": entries}}

    def bump(self) -> None:
        metadata = self.thing["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        metadata["generation"] = metadata.get("generation", 1) + 1


def status(code: int, message: str, reason: str = "", **details: Any) -> web.Response:
    body = {
        "kind": "Status",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    }
    return web.json_response(body, status=code)


@dataclass
class FakeApi:
    """`objects` by their path; `denied`: (verb, resource) without a right; `fault`: answers in place of the server."""

    objects: dict[str, Stored] = field(default_factory=dict)
    denied: set[tuple[str, str]] = field(default_factory=set)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    fault: Callable[[web.Request], web.StreamResponse | None] = lambda _request: None
    resizes: bool = True
    hangs: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def api(self, patience: float = 5.0) -> Api:
        config = KubeConfig.from_one(cluster=Cluster(server=self.url), user=User(token="t"))
        return Api(lambda: AsyncClient(config=config, trust_env=False), patience)

    # what stands there

    def store(self, thing: dict[str, Any], manager: str = "helm", operation: str = "Update") -> Stored:
        thing = copy.deepcopy(thing)
        thing["metadata"] |= {"uid": f"uid-{thing['metadata']['name']}", "resourceVersion": "1", "generation": 1}
        stored = Stored(thing, {(manager, operation, ""): set(leaves(content(thing)))})
        self.objects[path_of(thing)] = stored
        return stored

    def edit(self, stored: Stored, manager: str, change: Callable[[dict[str, Any]], None]) -> None:
        """What kubectl edit does: the fields that change are the manager's from now on."""
        before = leaves(content(stored.thing))
        change(stored.thing)
        after = leaves(content(stored.thing))
        changed = {path for path in before | after if before.get(path) != after.get(path)}
        for paths in stored.owned.values():
            paths.difference_update(changed)
        stored.owned.setdefault((manager, "Update", ""), set()).update(changed & after.keys())
        stored.bump()

    # what is asked

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path))
        if self.hangs:
            await asyncio.Event().wait()
        if (answer := self.fault(request)) is not None:
            return answer
        path, verb = request.path, request.method.lower()
        made = {"selfsubjectaccessreviews": self._review, "events": self._note, "eviction": self._evict}.get(
            path.rsplit("/", 1)[1]
        )
        if made:
            return await made(request)
        if (verb, path.rsplit("/", 2)[1]) in self.denied:
            what = f'User "system:serviceaccount:orcha:orcha" cannot {verb} resource "{path.rsplit("/", 2)[1]}"'
            return status(403, f"statefulsets.apps is forbidden: {what}", "Forbidden")
        if verb == "get" and path.rsplit("/", 1)[1] in {"pods", "horizontalpodautoscalers", "verticalpodautoscalers"}:
            return self._list(path)
        if path.endswith("/resize") and not self.resizes:
            return status(404, "the server could not find the requested resource", "NotFound")
        stored = self.objects.get(path.removesuffix("/resize"))
        if stored is None:
            return status(404, f'"{path}" not found', "NotFound", name=path.rsplit("/", 1)[1])
        if verb == "get":
            return web.json_response(stored.shown())
        return await self._patch(request, stored)

    async def _review(self, request: web.Request) -> web.Response:
        wish = (await request.json())["spec"]["resourceAttributes"]
        what = f"{wish['resource']}/{wish['subresource']}" if "subresource" in wish else wish["resource"]
        return web.json_response({"status": {"allowed": (wish["verb"], what) not in self.denied}})

    async def _note(self, request: web.Request) -> web.Response:
        body = await request.json()
        if ("create", "events") in self.denied:
            return status(403, 'events is forbidden: User "x" cannot create resource "events"', "Forbidden")
        if body["metadata"]["name"] in self.events:
            return status(409, "there", "AlreadyExists", name=body["metadata"]["name"])
        self.events[body["metadata"]["name"]] = body
        return web.json_response(body)

    async def _evict(self, request: web.Request) -> web.Response:
        path, seen = request.path.removesuffix("/eviction"), (await request.json())["deleteOptions"]["preconditions"]
        if any(self.objects[path].thing["metadata"][name] != value for name, value in seen.items()):
            return status(409, "the UID or the version in the precondition does not match", "Conflict", name="x")
        del self.objects[path]
        return web.json_response({"kind": "Status", "status": "Success"}, status=201)

    def _list(self, path: str) -> web.Response:
        found = [stored.shown() for at, stored in self.objects.items() if at.rsplit("/", 1)[0] == path]
        return web.json_response({"items": found, "metadata": {"resourceVersion": "1"}})

    async def _patch(self, request: web.Request, stored: Stored) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        version = body.get("metadata", {}).get("resourceVersion")
        if version is not None and version != stored.thing["metadata"]["resourceVersion"]:
            return status(409, "the object has been modified; please apply your changes", "Conflict", name="x")
        if "apply-patch" not in request.headers["Content-Type"]:
            return self._merge(request, stored, body)
        wish, live = leaves(content(body)), leaves(content(stored.thing))
        mine = (request.query["fieldManager"], "Apply", "resize" if request.path.endswith("/resize") else "")
        taken = {
            path: key
            for key, paths in stored.owned.items()
            if key != mine
            for path in paths & wish.keys()
            if live.get(path) != wish[path]
        }
        if taken and request.query.get("force") != "true":
            causes = [
                {
                    "reason": "FieldManagerConflict",
                    "message": f'conflict with "{key[0]}" using apps/v1',
                    "field": ".".join(path),
                }
                for path, key in taken.items()
            ]
            return status(409, f"Apply failed with {len(causes)} conflicts", "Conflict", causes=causes)
        for path, key in taken.items():
            stored.owned[key].discard(path)
        gone = stored.owned.get(mine, set()) - wish.keys()
        theirs = [path for key, paths in stored.owned.items() if key != mine for path in paths]
        gone = {
            path
            for path in gone
            if not any(each[: len(path) - 1] == path[:-1] for each in theirs if path[-1] == "f:name")
        }
        gone -= set(theirs)
        for path, value in [*wish.items(), *((path, None) for path in sorted(gone, reverse=True))]:
            put(stored.thing, path, value)
        stored.owned[mine] = set(wish)
        stored.bump()
        return web.json_response(stored.shown())

    def _merge(self, request: web.Request, stored: Stored, body: dict[str, Any]) -> web.Response:
        if request.query.get("dryRun") != "All" and "spec" in body:
            self.edit(stored, request.query["fieldManager"], lambda thing: [
                put(thing, path, value) for path, value in leaves({"spec": body["spec"]}).items()
            ] and None)  # fmt: skip
        return web.json_response(stored.shown())


def path_of(thing: dict[str, Any]) -> str:
    version, metadata = thing["apiVersion"], thing["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/namespaces/{metadata['namespace']}/{thing['kind'].lower()}s/{metadata['name']}"


@asynccontextmanager
async def serving() -> AsyncIterator[FakeApi]:
    fake, app = FakeApi(), web.Application()
    app.router.add_route("*", "/{tail:.*}", fake.handle)
    async with TestServer(app) as server:
        fake.url = str(server.make_url("")).rstrip("/")
        yield fake
