"""A Kubernetes Lease: read, written, and what goes wrong with that in words. Effects: requests to the Kubernetes API.

Who may write it when is leader.py's to know. Each write names the version that was read before it (resourceVersion), so
that of two writers at once one is refused.

    LeaseError
    ├── LeaseRefused       the owner: a right, a namespace, the extra or a configuration is missing, and always was
    ├── LeaseUnreachable   wait: nothing answers, or not what was asked for
    └── LeaseConflict      look again: somebody else wrote first

Foreign exceptions are translated here, once, and chained. No message holds a credential.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from controller.extras import how_to_get
from exporters.settings import Lease as Wanted

if TYPE_CHECKING:
    from lightkube import AsyncClient
    from lightkube.resources.coordination_v1 import Lease

T = TypeVar("T")


class LeaseError(Exception):
    """Base of all; `str()` is the sentence."""


class LeaseRefused(LeaseError):
    pass


class LeaseUnreachable(LeaseError):
    pass


class LeaseConflict(LeaseError):
    pass


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says. Two are equal where nobody wrote in between."""

    holder: str = ""
    """ "": nobody, or whoever had it handed it over."""
    lasts: float = 0.0
    """Seconds from a renewal, as its holder wants it."""
    transitions: int = 0
    """How often it went from one holder to another."""
    renewed: datetime | None = None
    """By the holder's clock: only good for telling whether it changed."""


class KubernetesLease:
    """The Lease that Settings name, as it was last read or written."""

    def __init__(self, wanted: Wanted, client: AsyncClient) -> None:
        self._wanted, self._client = wanted, client
        self._name = f"{wanted.namespace}/{wanted.name}"
        self._lease: Lease | None = None
        self._granted: set[str] = set()
        """What it was allowed to do at least once."""

    @classmethod
    def connect(cls, wanted: Wanted, patience: float) -> Self:
        """To the cluster that this process runs in, else to the one of KUBECONFIG; nothing is asked yet. `patience`:
        seconds for one answer. Raises LeaseRefused.
        """
        try:
            import httpx
            from lightkube import AsyncClient, ConfigError
        except ImportError as exc:
            raise LeaseRefused(f"a Lease needs the library lightkube; {how_to_get('lightkube')}") from exc
        try:
            client = AsyncClient(timeout=httpx.Timeout(patience), field_manager="orcha")
        except (ConfigError, OSError, LookupError, ValueError, TypeError) as exc:
            raise LeaseRefused(
                f"Settings spec.lease asks for a Lease, but there is no Kubernetes API to ask ({_short(str(exc))}); run "
                "orcha in the cluster with a ServiceAccount, set KUBECONFIG, or leave spec.lease out where it runs alone"
            ) from exc
        return cls(wanted, client)

    async def close(self) -> None:
        with suppress(Exception):  # the process ends; what does not close now, closes then
            await self._client.close()

    async def read(self) -> Record | None:
        """None: there is none yet. Raises LeaseError."""
        self._lease = await self._asked("get", self._get())
        return self._record()

    async def hold(self, identity: str, before: Record | None) -> Record:
        """Write that this one holds, now; `before` is what was read or written last. Raises LeaseError."""
        now = _micro_time()
        lasts = math.ceil(self._wanted.duration)
        changes = {"holderIdentity": identity, "leaseDurationSeconds": lasts, "renewTime": now}
        if before is None or before.holder != identity or self._lease is None:
            transitions = before.transitions + (before.holder != identity) if before else 0
            changes |= {"acquireTime": now, "leaseTransitions": transitions}
        return await self._write(changes)

    async def leave(self) -> None:
        """Write that nobody holds. Raises LeaseError."""
        await self._write({"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time()})

    async def _write(self, changes: dict[str, Any]) -> Record:
        from lightkube.models.coordination_v1 import LeaseSpec
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.coordination_v1 import Lease

        if self._lease is None:
            meta = ObjectMeta(name=self._wanted.name, namespace=self._wanted.namespace)
            made = Lease(metadata=meta, spec=LeaseSpec(**changes))
            self._lease = await self._asked("create", self._client.create(made))
        else:
            self._lease.spec = self._lease.spec or LeaseSpec()
            for name, value in changes.items():
                setattr(self._lease.spec, name, value)
            self._lease = await self._asked("update", self._client.replace(self._lease))
        return self._record() or Record()

    def _record(self) -> Record | None:
        if self._lease is None:
            return None
        spec = self._lease.spec
        if spec is None:  # made by hand, for those who give no right to create
            return Record()
        return Record(
            spec.holderIdentity or "", float(spec.leaseDurationSeconds or 0), spec.leaseTransitions or 0, spec.renewTime
        )

    async def _get(self) -> Lease | None:
        from lightkube import ApiError
        from lightkube.resources.coordination_v1 import Lease

        try:
            return await self._client.get(Lease, self._wanted.name, namespace=self._wanted.namespace)
        except ApiError as exc:
            if exc.response.status_code == 404:
                return None
            raise

    async def _asked(self, verb: str, question: Awaitable[T]) -> T:
        """The answer to a request."""
        import httpx
        from lightkube import ApiError

        try:
            answer = await question
        except ApiError as exc:
            said = _short(exc.status.message or "no reason given")
            raise self._translated(verb, exc.response.status_code, said) from exc
        except httpx.HTTPStatusError as exc:  # something in between: it knows nothing of Leases
            raise LeaseUnreachable(f"not the Kubernetes API, but a proxy answered {exc.response.status_code}") from exc
        except Exception as exc:  # whatever else a client makes of a broken answer: it is none
            raise LeaseUnreachable(
                f"the Kubernetes API gave no usable answer ({_short(f'{type(exc).__name__}: {exc}')})"
            ) from exc
        self._granted.add(verb)
        return answer

    def _translated(self, verb: str, code: int, said: str) -> LeaseError:
        if code == 409 or (code == 404 and verb != "create"):
            return LeaseConflict(f"somebody else wrote the Lease {self._name} first")
        found = self._refused(verb, code, said)
        if found is None:
            return LeaseUnreachable(f"the Kubernetes API answered {code}: {said}")
        # what worked before will work again: rights are unknown for a while when an API server starts
        return LeaseUnreachable(str(found)) if verb in self._granted else found

    def _refused(self, verb: str, code: int, said: str) -> LeaseRefused | None:
        """What the owner has to put right; None: nothing."""
        namespace, name = self._wanted.namespace, self._wanted.name
        match code:
            case 401:
                return LeaseRefused(
                    f"the Kubernetes API does not accept orcha's credentials for the Lease {self._name}; "
                    "check the token of its ServiceAccount, or the user in KUBECONFIG"
                )
            case 403:
                right = f"{verb} on leases" + ("" if verb == "create" else f" with the resourceName {name}")
                return LeaseRefused(
                    f"orcha may not {verb} the Lease {self._name}: its Role in namespace {namespace} lacks {right}, "
                    f"apiGroup coordination.k8s.io (docs/high-availability.md has the Role); the API said: {said}"
                )
            case 404:
                return LeaseRefused(
                    f"the Lease {self._name} cannot be made ({said}); create the namespace {namespace}, "
                    "or name another in Settings spec.lease"
                )
            case 400 | 405 | 422:
                return LeaseRefused(f"the Kubernetes API refuses to {verb} the Lease {self._name}: {said}")
        return None


def _micro_time() -> datetime:
    """A MicroTime is refused without its six digits, which isoformat leaves out where they are zeros."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond or 1)


def _short(said: str) -> str:
    words = " ".join(said.split())
    return words if len(words) <= 200 else words[:199] + "…"
