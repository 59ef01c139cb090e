"""The writes: server-side apply of exactly the fields that change, and the resize of Pods that no roll-out replaces.

Everything is reckoned from objects that were read before the first write, and each write names their versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller.actuate.driver import Refused
from controller.actuate.kubernetes.asks import NotOffered, Taken
from controller.actuate.kubernetes.barriers import object_words, what_helps
from controller.actuate.kubernetes.fields import (
    ANNOTATION,
    Field,
    Object,
    Values,
    annotated,
    applied,
    body,
    container,
    differing,
    identity,
    listed,
    others,
    ours,
    values,
)
from controller.actuate.kubernetes.rollout import left_alone
from controller.actuate.kubernetes.wanted import agrees, fields_of, pod_resources, written_apart
from exporters.nodes import Kubernetes

if TYPE_CHECKING:
    from controller.actuate.kubernetes.api import Api


@dataclass(frozen=True, slots=True)
class Writing:
    """Writes to the object of one workload. `reclaims`: others' fields may be taken, because somebody said so."""

    api: Api
    spec: Kubernetes
    reclaims: bool = False

    async def bring(self, thing: Object, target: Values, pods: Sequence[Object]) -> bool:
        """Bring the target about, or begin to; whether anything had to be written. Raises Refused, NotNow."""
        wrote = await self._write(thing, target)
        wants = resources_in({**values(thing, fields_of(self.spec)), **target}, self.spec)
        for pod in left_alone(thing, pods):
            wrote = await self._resize(pod, wants) or wrote
        return wrote

    async def _write(self, thing: Object, target: Values) -> bool:
        applies = applied(thing, target, written_apart(self.spec.args))
        annotation = annotated(thing, target, applies)
        differs = differing(thing, target)
        force = self._may_force(thing, differs)
        if self.spec.kind == "Pod":
            return await self._write_pod(thing, applies, annotation, differs=bool(differs), force=force)
        if not differs and not _unlisted(thing, target):
            return False
        await self._apply(body(thing, applies, annotation), force=force)
        return True

    async def _write_pod(
        self, thing: Object, applies: Values, annotation: str, *, differs: bool, force: bool
    ) -> bool:  # fmt: skip
        """The resources through their subresource, then the annotation, which is no part of it."""
        if differs:
            thing = await self._apply(body(thing, applies), force=force, resize=True)
        if annotation != (thing["metadata"].get("annotations") or {}).get(ANNOTATION, ""):
            await self._apply(body(thing, {}, annotation), force=False)
        return differs

    async def _apply(self, wish: dict[str, Any], *, force: bool, resize: bool = False) -> dict[str, Any]:
        try:
            return await self.api.apply(wish, force=force, resize=resize)
        except Taken as exc:
            who, what = " and ".join(exc.managers), ", ".join(exc.fields)
            raise Refused(f"{what} of {object_words(self.spec)} is set by {who}; {what_helps(self.spec)}") from exc

    def _may_force(self, thing: Object, fields: Sequence[Field]) -> bool:
        """Whether others' fields may be taken: by the manifest, the first time; or because somebody said so."""
        taken = [field for field in fields if others(thing, field)]
        first = self.spec.take_ownership and not listed(thing) & set(taken)
        return bool(taken) and (first or self.reclaims)

    async def _resize(self, pod: Object, wants: dict[str, dict[str, str]]) -> bool:
        """Resize a Pod in place to what its new template says; whether it had to be."""
        found = container(pod, self.spec.container) or {}
        if agrees(found.get("resources") or {}, wants) or pod["metadata"].get("deletionTimestamp"):
            return False
        inner = {"containers": [{"name": self.spec.container, "resources": wants}]}
        name = pod["metadata"]["name"]
        try:
            await self.api.resize(self.spec.namespace, name, {"metadata": identity(pod), "spec": inner})
        except NotOffered:
            return False
        return True


def resources_in(template: Values, spec: Kubernetes) -> dict[str, dict[str, str]]:
    """Requests and limits of a Pod whose template has these values, of what orcha sets."""
    has: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    for field, value in template.items():
        if field.part in has and value is not None:
            has[field.part][field.name] = value
    return pod_resources(has, list(spec.resources))


def _unlisted(thing: Object, target: Values) -> bool:
    """Whether orcha owns something of it that its annotation does not tell."""
    own = ours(thing)
    return any(field.claim in own for field in set(target) - listed(thing))
