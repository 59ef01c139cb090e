"""What the API needs of the rest: the Desk's operations, which have the programs, and the store, which has the past.

Contracts; controller/operations.py and controller/store.py keep them. Refusals are those of controller/refusals.py:
Unknown becomes 404, NotPossible 409. `str()` of each is the sentence for whoever asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from controller.refusals import NotPossible, Unknown

if TYPE_CHECKING:
    from controller.programs import Program, Record
    from controller.promises import Trial
    from controller.rows import Event, RecordedDecision


class Operations(Protocol):
    """What people can do. An id may be cut short as long as one program begins so.

    `by` is who, as short as "anna (operate token)"; every change is recorded with it. All may raise StoreError (503):
    nothing was done then.
    """

    def programs(self) -> tuple[Program, ...]:
        """What is known, newest first; those of the last days that are over included."""
        ...

    async def records(self, id_: str, /) -> tuple[Record, ...]:
        """What happened to it, oldest first. Raises Unknown."""
        ...

    async def approve(self, id_: str, /, by: str, why: str = "") -> Program:
        """Raises Unknown, NotPossible."""
        ...

    async def reject(self, id_: str, /, by: str, why: str = "") -> Program:
        """Also gives up a blocked one. Raises Unknown, NotPossible."""
        ...

    async def rollback(self, id_: str, /, by: str, why: str = "") -> Program:
        """The new program that takes it back. Raises Unknown, NotPossible."""
        ...

    async def pause(self, policy: str | None, by: str, why: str = "") -> None:
        """None: all policies. Raises Unknown."""
        ...

    async def resume(self, target: str | None, by: str, why: str = "") -> None:
        """A policy, a workload, or None: all policies. Raises Unknown."""
        ...

    async def release(self, target: str | None, by: str, why: str = "") -> tuple[Program, ...]:
        """A workload, a node, or None: all workloads. Raises Unknown, NotPossible."""
        ...


class Archive(Protocol):
    """What is asked of the store (controller/store.py). All may raise StoreError."""

    async def events(self, since: float, until: float, most: int = 1000) -> list[Event]: ...

    async def decisions(self, policy: str, since: float, until: float) -> list[RecordedDecision]: ...

    async def trials(self, since: float, until: float, policy: str | None = None) -> list[Trial]: ...


class OnlyShows:
    """Operations of a controller that changes nothing."""

    def programs(self) -> tuple[Program, ...]:
        return ()

    async def records(self, id_: str, /) -> tuple[Record, ...]:
        raise Unknown(f"there is no program {id_!r}")

    async def _never(self, *_asked: str | None) -> tuple[Program, ...]:
        raise NotPossible("this controller only shows what it would do; it has nothing that could be changed")

    async def _never_one(self, *_asked: str | None) -> Program:
        raise NotPossible("this controller only shows what it would do; it has no programs")

    async def _nothing(self, *_asked: str | None) -> None:
        raise NotPossible("this controller only shows what it would do; there is nothing to hold back")

    approve = reject = rollback = _never_one
    pause = resume = _nothing
    release = _never


class NoPast:
    """An Archive of a controller that keeps none."""

    async def events(self, since: float, until: float, most: int = 1000) -> list[Event]:  # noqa: ARG002 whatever is asked, it has nothing
        return []

    async def decisions(self, policy: str, since: float, until: float) -> list[RecordedDecision]:  # noqa: ARG002 whatever is asked, it has nothing
        return []

    async def trials(self, since: float, until: float, policy: str | None = None) -> list[Trial]:  # noqa: ARG002 whatever is asked, it has nothing
        return []
