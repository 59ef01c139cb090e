"""The five verbs of the driver `kubernetes`. Effects: requests to the Kubernetes API, through api.py.

Each write names the object that it was reckoned from (uid, resourceVersion): a writer that was frozen meanwhile is
refused, and so is a change of somebody else in between. No write is repeated in here: the Actuator asks again, when it knows that
it may still write.

What belongs to another manager is only taken with `takeOwnership`, only once, and only the fields that change. What a
person changed after orcha had set it is never taken again, until somebody says so (`reclaim`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from controller.actuate.driver import DriverError, NotNow, Refused
from controller.actuate.kubernetes.asks import Exists
from controller.actuate.kubernetes.barriers import forbidding, hand_words, hindering, object_words, scaled
from controller.actuate.kubernetes.checking import lacking, unevictable, unfillable, unresizable
from controller.actuate.kubernetes.events import Happened, event
from controller.actuate.kubernetes.fields import (
    Field,
    Object,
    Values,
    changed_by_hand,
    differing,
    field_of,
    ours,
    owners,
    values,
)
from controller.actuate.kubernetes.rollout import is_seen, left_alone, missing, outdated, stuck, unready, unresized
from controller.actuate.kubernetes.wanted import fields_of, only_resizes, wanted
from controller.actuate.kubernetes.writing import Writing, resources_in
from controller.extras import how_to_get
from exporters.nodes import Kubernetes as Spec
from exporters.placeholders import CannotFill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from controller.actuate.kubernetes.api import Api
    from controller.programs import Order

log = structlog.get_logger("orcha.actuate")

Connect = Callable[[], "Api"]


def shared_connection() -> Connect:
    """One connection for all drivers that are given it, opened when the first one needs it."""
    opened: list[Api] = []

    def connect() -> Api:
        try:
            from controller.actuate.kubernetes.api import Api
        except ImportError as exc:
            raise Refused(f"the driver kubernetes needs the library lightkube; {how_to_get('lightkube')}") from exc
        if not opened:
            opened.append(Api())
        return opened[0].share()

    return connect


class Kubernetes:
    """Sets the fields of one workload. `resources`: what its orders have amounts of; `singleton`: as in its Traits."""

    name = "kubernetes"
    conclusive = True
    reversible = True

    def __init__(
        self,
        key: str,
        spec: Spec,
        resources: Collection[str],
        *,
        singleton: bool = False,
        connect: Connect | None = None,
        holds: Callable[[], bool] = lambda: True,
    ) -> None:
        """`holds`: whether this process is the one writer, asked between what is read and what is written upon it."""
        self._key, self._spec, self._resources, self._singleton = key, spec, frozenset(resources), singleton
        self._connect, self._holds = connect or shared_connection(), holds
        self._opened: Api | None = None
        self._reclaims = False
        self._returned: tuple[str, Values] = "", {}
        """What the last undo put back, and its token: by this it is verified, not by what the amounts would give."""
        self._is_silent = False

    def reclaim(self) -> None:
        """Somebody said that orcha may set again what was changed by hand (`orcha resume`): true for the next write."""
        self._reclaims = True

    async def close(self) -> None:
        if self._opened is not None:
            opened, self._opened = self._opened, None
            await opened.close()

    # before any move

    async def check(self) -> tuple[str, ...]:
        spec = self._spec
        if problems := tuple(unfillable(spec, self._key, self._resources)):
            return problems
        try:
            if missing_rights := await lacking(self._api, spec):
                return tuple(missing_rights)
            thing = await self._look()
            if forbidden := tuple(forbidding(spec, thing, singleton=self._singleton)):
                return forbidden
            pods = await self._pods(thing)
            found = [
                *hindering(spec, thing, pods, reclaims=self._reclaims),
                *await unresizable(self._api, spec, thing, pods),
                *await unevictable(self._api, spec, thing, pods),
            ]
            scalers = await self._api.autoscalers(spec.namespace)
            return (*found, *scaled(spec, scalers, singleton=self._singleton))
        except DriverError as exc:
            return (str(exc),)

    # read

    async def read(self) -> Mapping[str, Any]:
        """{uid, fields: {key: value, null where absent}, owners: {key: [managers]}}. Of a container's arguments only the
        flags that are declared: others may hold secrets.
        """
        thing = await self._look()
        own = owners(thing)
        fields = values(thing, fields_of(self._spec))
        return {
            "uid": thing["metadata"].get("uid"),
            "fields": {field.key: value for field, value in fields.items()},
            "owners": {field.key: list(own.get(field.claim, ())) for field in fields},
        }

    # there and back

    async def apply(self, order: Order) -> None:
        thing = await self._look()
        self._hold()
        async with self._telling(thing, order):
            if problems := list(forbidding(self._spec, thing, singleton=self._singleton)):
                raise Refused("; ".join(problems))
            target = self._wanted(order, thing)
            if not self._reclaims and (by_hand := changed_by_hand(thing, differing(thing, target))):
                raise Refused(hand_words(self._spec, thing, by_hand))
            await self._bring(thing, target, order, Happened.CHANGED)

    async def undo(self, order: Order, stood: Mapping[str, Any]) -> None:
        """What orcha owns goes back to what stood there; what it never took is left alone. Raises Refused for what a
        person changed meanwhile, once the rest is back.
        """
        thing = await self._look()
        self._hold()
        async with self._telling(thing, order):
            before = {field_of(key): value for key, value in (stood.get("fields") or {}).items()}
            self._returned = order.token, before
            own = ours(thing)
            by_hand = changed_by_hand(thing, differing(thing, before))
            mine = {field: value for field, value in before.items() if field.claim in own}
            wrote = await self._bring(thing, mine, order, Happened.RESTORED)
            await self._unstick(thing, wrote=wrote)
            if by_hand:
                raise Refused(hand_words(self._spec, thing, by_hand))

    async def verify(self, order: Order) -> str | None:
        """None only when the fields hold what they should and the roll-out is through, or the Pods are resized."""
        thing = await self._look()
        token, returned = self._returned
        target = returned if token == order.token else self._wanted(order, thing)
        if wrong := differing(thing, target):
            if by_hand := changed_by_hand(thing, wrong):
                raise Refused(hand_words(self._spec, thing, by_hand))
            return self._still(thing, wrong[0], target)
        pods = await self._pods(thing)
        if self._spec.kind != "Pod" and (behind := missing(thing, pods)):
            return behind
        return self._behind(thing, pods)

    def _behind(self, thing: Object, pods: list[dict[str, Any]]) -> str | None:
        """Of the Pods that no roll-out replaces."""
        if not only_resizes(self._spec):
            return outdated(thing, pods)
        wants = resources_in(values(thing, fields_of(self._spec)), self._spec)
        alone = [thing] if self._spec.kind == "Pod" else left_alone(thing, pods)
        behind = (unresized(pod, self._spec.container, wants) for pod in alone)
        return next((each for each in behind if each), None)

    def _still(self, thing: Object, field: Field, target: Values) -> str:
        has, wants = values(thing, [field])[field], target[field]
        shown = "is absent" if has is None else f"is {_text(has)}"
        return (
            f"{field} of {object_words(self._spec)} {shown}, and is to be {'absent' if wants is None else _text(wants)}"
        )

    async def _bring(self, thing: dict[str, Any], target: Values, order: Order, happened: Happened) -> bool:
        resizes = only_resizes(self._spec) and self._spec.kind != "Pod"
        pods = await self._pods(thing) if resizes else []
        wrote = await Writing(self._api, self._spec, self._reclaims).bring(thing, target, pods)
        if wrote:
            await self._note(thing, happened, order)
        self._reclaims = False
        return wrote

    async def _unstick(self, thing: dict[str, Any], *, wrote: bool) -> None:
        """Evict what a failed change left behind and its StatefulSet would never replace, never right after a write: first
        its controller has to see the template, and orcha to know that it may still write. Raises NotNow until then.
        """
        if self._spec.kind != "StatefulSet":
            return
        pods = await self._pods(thing)
        gone = [] if wrote else stuck(thing, pods)
        for pod in gone:
            await self._api.evict(pod)
        if not gone and (broken := unready(thing, pods)) and (wrote or not is_seen(thing)):
            name = broken[0]["metadata"]["name"]
            raise NotNow(f"the template is back; pod {name} is not ready and may have to be evicted once that is seen")

    # small things

    def _wanted(self, order: Order, thing: Object) -> dict[Field, Any]:
        try:
            return wanted(self._spec, order.amounts, thing)
        except CannotFill as exc:
            raise Refused(f"{self._key}: {exc}") from exc

    @property
    def _api(self) -> Api:
        if self._opened is None:
            self._opened = self._connect()
        return self._opened

    def _hold(self) -> None:
        """A writer that was frozen before it read would else write upon what its successor left: the version is the newest."""
        if not self._holds():
            raise NotNow(f"this controller may not change {self._key} any more: another one is the writer")

    async def _look(self) -> dict[str, Any]:
        """The object as it is now; lists leave out what it is, answers do not."""
        spec = self._spec
        found = await self._api.get(spec.kind, spec.namespace, spec.name)
        version = "v1" if spec.kind == "Pod" else "apps/v1"
        return {**found, "kind": spec.kind, "apiVersion": version}

    async def _pods(self, thing: Object) -> list[dict[str, Any]]:
        if self._spec.kind == "Pod":
            return [dict(thing)]
        found = await self._api.pods(self._spec.namespace, thing["spec"]["selector"])
        return [{**pod, "kind": "Pod", "apiVersion": "v1"} for pod in found]

    @asynccontextmanager
    async def _telling(self, thing: Object, order: Order) -> AsyncIterator[None]:
        """A refusal is told on the object too."""
        try:
            yield
        except Refused as exc:
            await self._note(thing, Happened.REFUSED, order, str(exc))
            raise

    async def _note(self, thing: Object, happened: Happened, order: Order, why: str = "") -> None:
        """An Event on the object. One that cannot be written is no reason to fail: the log says so, once."""
        try:
            await self._api.note(event(thing, happened, order, datetime.now(UTC), socket.gethostname(), why))
        except Exists:
            return
        except DriverError as exc:
            if not self._is_silent:
                log.warning("events cannot be written on an object", workload=self._key, why=str(exc))
            self._is_silent = True


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
