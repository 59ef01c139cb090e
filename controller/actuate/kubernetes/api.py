"""The Kubernetes API as the driver needs it: a few requests through lightkube, and what goes wrong with them in words.

Objects are plain dicts: ownership is read from `managedFields` to the letter. Each request ends within a bounded time.

    Refused      ├── Taken        a field that is applied belongs to another manager
    (asks.py)    ├── NotOffered   this cluster has no such resource (an in-place resize before Kubernetes 1.33)
                 └── Exists       what was to be made is there
    NotNow       nothing answers, the server is busy or broken, or somebody else wrote in between

The way to the cluster is that of kubectl: the ServiceAccount inside of one, else KUBECONFIG, else ~/.kube/config.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, NoReturn, Self, TypeVar

import httpx
import yaml
from lightkube import AsyncClient, ConfigError, operators
from lightkube.core.resource import ApiInfo, ResourceDef
from lightkube.generic_resource import GenericGlobalResource, GenericNamespacedResource
from lightkube.types import PatchType

from controller.actuate.driver import NotNow, Refused
from controller.actuate.kubernetes.asks import Ask, Exists, NotOffered, Taken, ask_of
from controller.actuate.kubernetes.fields import MANAGER, Object, identity

T = TypeVar("T")
PATIENCE: Final = 15.0
"""Seconds for one request, whatever hangs."""
_SHOWN: Final = 300
"""Characters of an API server's message that are shown."""
_BUSY: Final = 429


def _verbs(*names: str) -> list[str]:
    return list(names)


class _StatefulSet(GenericNamespacedResource):
    _api_info = ApiInfo(ResourceDef("apps", "v1", "StatefulSet"), "statefulsets", _verbs("get", "patch"))


class _Deployment(GenericNamespacedResource):
    _api_info = ApiInfo(ResourceDef("apps", "v1", "Deployment"), "deployments", _verbs("get", "patch"))


class _Pod(GenericNamespacedResource):
    _api_info = ApiInfo(ResourceDef("", "v1", "Pod"), "pods", _verbs("get", "patch", "list"))


class _Resize(GenericNamespacedResource):
    _api_info = ApiInfo(ResourceDef("", "v1", "Pod"), "pods", _verbs("patch"), action="resize")


class _Eviction(GenericNamespacedResource):
    _api_info = ApiInfo(
        ResourceDef("policy", "v1", "Eviction"), "pods", _verbs("post"), ResourceDef("", "v1", "Pod"), "eviction"
    )


class _Event(GenericNamespacedResource):
    _api_info = ApiInfo(ResourceDef("events.k8s.io", "v1", "Event"), "events", _verbs("post"))


class _Horizontal(GenericNamespacedResource):
    _api_info = ApiInfo(
        ResourceDef("autoscaling", "v2", "HorizontalPodAutoscaler"), "horizontalpodautoscalers", _verbs("list")
    )


class _Vertical(GenericNamespacedResource):
    _api_info = ApiInfo(
        ResourceDef("autoscaling.k8s.io", "v1", "VerticalPodAutoscaler"), "verticalpodautoscalers", _verbs("list")
    )


class _Review(GenericGlobalResource):
    _api_info = ApiInfo(
        ResourceDef("authorization.k8s.io", "v1", "SelfSubjectAccessReview"), "selfsubjectaccessreviews", _verbs("post")
    )


_KINDS: Final[dict[str, type[GenericNamespacedResource]]] = {
    "StatefulSet": _StatefulSet,
    "Deployment": _Deployment,
    "Pod": _Pod,
}


def from_environment() -> AsyncClient:
    """A client for the cluster that this process runs in, or that its user works with."""
    return AsyncClient(timeout=httpx.Timeout(PATIENCE, connect=5.0))


class Api:
    """One way to a cluster, which several drivers may share: the last one that lets go closes it."""

    def __init__(self, connect: Callable[[], AsyncClient] = from_environment, patience: float = PATIENCE) -> None:
        self._connect, self._patience = connect, patience
        self._client: AsyncClient | None = None
        self._users = 0

    def share(self) -> Self:
        self._users += 1
        return self

    async def close(self) -> None:
        self._users -= 1
        if self._users <= 0 and self._client is not None:
            client, self._client = self._client, None
            await client.close()

    # what is read

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        ask = ask_of("get", kind, namespace, name)
        return dict(await self._answer(ask, lambda client: client.get(_KINDS[kind], name, namespace=namespace)))

    async def pods(self, namespace: str, selector: Object) -> list[dict[str, Any]]:
        """The Pods that a controller's selector finds."""
        return await self._list(_Pod, Ask("list", "", "pods", namespace), _labels(selector))

    async def autoscalers(self, namespace: str) -> list[dict[str, Any]]:
        """Those that orcha may see; none where it may not, or where the cluster has none."""
        found = []
        for kind in (_Horizontal, _Vertical):
            info = kind._api_info  # noqa: SLF001 it is ours
            try:
                found += await self._list(kind, Ask("list", info.resource.group, info.plural, namespace))
            except Refused:
                continue
        return found

    async def allowed(self, ask: Ask) -> bool:
        """Whether the cluster lets orcha do it, by its own word."""
        wish = {name: value for name, value in ask._asdict().items() if value}
        body = _Review(spec={"resourceAttributes": wish})
        about = Ask("create", "authorization.k8s.io", "selfsubjectaccessreviews")
        answer = await self._answer(about, lambda client: client.create(body))
        return bool((answer.get("status") or {}).get("allowed"))

    # what is written

    async def apply(self, body: Object, *, force: bool = False, resize: bool = False) -> dict[str, Any]:
        """Server-side apply of exactly these fields, in orcha's name. Raises Taken."""
        kind, namespace, name = body["kind"], body["metadata"]["namespace"], body["metadata"]["name"]
        ask, resource = ask_of("patch", kind, namespace, name), _Resize if resize else _KINDS[kind]
        return dict(
            await self._answer(
                ask._replace(subresource="resize") if resize else ask,
                lambda client: client.patch(
                    resource, name, dict(body), namespace=namespace, patch_type=PatchType.APPLY,
                    field_manager=MANAGER, force=force,
                ),
            )
        )  # fmt: skip

    async def resize(self, namespace: str, name: str, body: Object, *, dry_run: bool = False) -> None:
        """Merge into a running Pod's resources. Raises NotOffered."""
        await self._answer(
            Ask("patch", "", "pods", namespace, name, "resize"),
            lambda client: client.patch(
                _Resize, name, dict(body), namespace=namespace, patch_type=PatchType.STRATEGIC,
                field_manager=MANAGER, dry_run=dry_run,
            ),
        )  # fmt: skip

    async def evict(self, pod: Object) -> None:
        """Ask this very Pod, as it was seen, to end within its own grace period; what replaces it is left alone."""
        found = identity(pod)
        name, namespace = found["name"], found["namespace"]
        seen = {"uid": found["uid"], "resourceVersion": found["resourceVersion"]}
        wish = _Eviction(deleteOptions={"preconditions": seen})
        wish["metadata"] = {"name": name, "namespace": namespace}
        ask = Ask("create", "", "pods", namespace, name, "eviction")
        await self._answer(ask, lambda client: client.create(wish, name, namespace=namespace))

    async def note(self, body: Object) -> None:
        """Make an Event. Raises Exists where it was made before."""
        ask = Ask("create", "events.k8s.io", "events", body["metadata"]["namespace"])
        await self._answer(ask, lambda client: client.create(_Event(**body), field_manager=MANAGER))

    # the way there

    async def _list(self, kind: type[GenericNamespacedResource], ask: Ask, labels: Any = None) -> list[dict[str, Any]]:
        async def found(client: AsyncClient) -> list[dict[str, Any]]:
            every: AsyncIterator[Any] = aiter(client.list(kind, namespace=ask.namespace, labels=labels or None))
            return [dict(each) async for each in every]

        return await self._answer(ask, found)

    async def _answer(self, ask: Ask, begin: Callable[[AsyncClient], Awaitable[T]]) -> T:
        """The answer to one request; foreign exceptions as DriverErrors."""
        client = self._client = self._client or self._opened()
        try:
            async with asyncio.timeout(self._patience):
                return await begin(client)
        except httpx.HTTPStatusError as exc:
            _refuse(ask, exc)
        except TimeoutError as exc:
            raise NotNow(f"the Kubernetes API did not answer within {self._patience:g} s ({ask.verb} {ask})") from exc
        except httpx.TransportError as exc:
            why = _short(str(exc)) or type(exc).__name__
            raise NotNow(f"the Kubernetes API cannot be reached ({why})") from exc
        except ConfigError as exc:
            raise Refused(f"there is no token for the Kubernetes API ({_short(str(exc))})") from exc
        except (ValueError, KeyError) as exc:  # also what lightkube makes of an error page without a content type
            raise NotNow(f"what answered is no Kubernetes API ({ask.verb} {ask})") from exc

    def _opened(self) -> AsyncClient:
        try:
            return self._connect()
        except (
            ConfigError,
            AssertionError,
            LookupError,
            TypeError,
            ValueError,
            OSError,
            yaml.YAMLError,
            httpx.InvalidURL,
        ) as exc:
            raise Refused(
                f"there is no way to a cluster ({_short(str(exc))}); run orcha in it with a ServiceAccount, or set KUBECONFIG"
            ) from exc


def _refuse(ask: Ask, exc: httpx.HTTPStatusError) -> NoReturn:
    """An answer of 300 or more, by who must act."""
    status, said = exc.response.status_code, _said(exc.response)
    # of a rejected Pod the lines below the first show its parts, secrets among them
    message = _short((said.get("message") or exc.response.reason_phrase).partition("\n")[0])
    match status:
        case 401:
            raise Refused(
                "the Kubernetes API does not know orcha (401): its token or certificate is wrong or expired"
            ) from exc
        case 403 if 'User "' in message and '" cannot ' in message:
            raise Refused(ask.lacking) from exc
        case 404 if not (said.get("details") or {}).get("name"):
            raise NotOffered(f"this cluster has no {ask}") from exc
        case 404:
            raise Refused(f"there is no {ask}; correct the actuator, or create it") from exc
        case 409:
            _conflict(ask, said, exc)
        case _ if status >= 500 or status == _BUSY or status < 400:
            raise NotNow(f"the Kubernetes API answered {status} ({message})") from exc
    raise Refused(f"the Kubernetes API refused to {ask.verb} {ask} ({status}): {message}") from exc


def _conflict(ask: Ask, said: Mapping[str, Any], exc: httpx.HTTPStatusError) -> NoReturn:
    causes = [
        each for each in (said.get("details") or {}).get("causes") or () if each["reason"] == "FieldManagerConflict"
    ]
    if causes:
        # 'conflict with "helm" using apps/v1' with a time at the end for those who do not apply
        managers = [each["message"].removeprefix("conflict with ").partition(" using ")[0] for each in causes]
        raise Taken(list(dict.fromkeys(managers)), [each["field"] for each in causes]) from exc
    if said.get("reason") == "AlreadyExists":
        raise Exists(f"{ask} is there") from exc
    raise NotNow(f"{ask} was changed by somebody else meanwhile; it is looked at again") from exc


def _said(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _labels(selector: Object) -> Any:
    """A controller's selector as pairs, which lightkube takes beside the mapping that it declares: a key may stand there twice."""
    makes: dict[str, Callable[[list[str]], Any]] = {
        "In": operators.in_,
        "NotIn": operators.not_in,
        "Exists": lambda _: operators.exists(),
        "DoesNotExist": lambda _: operators.not_exists(),
    }
    named = list((selector.get("matchLabels") or {}).items())
    given = selector.get("matchExpressions") or ()
    return [*named, *((each["key"], makes[each["operator"]](each.get("values") or [])) for each in given)]


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…"
