"""What can go wrong when a node is asked, named by who must act. The only errors that `fetch` and `parse` may raise.

    PollError
    ├── Unreachable     nobody: the node or the way to it is down; it is tried again
    │   └── TimedOut    nobody, or the owner if it lasts: the node accepts and does not answer
    ├── Unauthorized    the owner: a credential is missing, wrong or expired
    ├── RateLimited     nobody: the other side asks to wait `retry_after` seconds
    └── Malformed       we, or the owner of a mapping: the answer is not of the shape that is known

`reason` is the label of `orcha_protocol_poll_failures_total` (metrics.md). Messages are one sentence, cut short, and
never hold a credential: foreign exceptions are translated once, in `session.py`, and chained.
"""

from __future__ import annotations

from typing import ClassVar

MAX_MESSAGE = 300


class PollError(Exception):
    """Base of all; `str()` is the sentence for the operator."""

    reason: ClassVar[str] = "unreachable"

    def __init__(self, message: str) -> None:
        super().__init__(message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…")


class Unreachable(PollError):
    reason = "unreachable"


class TimedOut(Unreachable):
    reason = "timeout"


class Unauthorized(PollError):
    reason = "unauthorized"


class RateLimited(PollError):
    reason = "rate_limited"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds to wait as the other side asked, None where it did not say."""


class Malformed(PollError):
    reason = "malformed"


REASONS: tuple[str, ...] = ("unreachable", "timeout", "unauthorized", "rate_limited", "malformed")
"""Every value of the `reason` label; each series exists from the start."""
