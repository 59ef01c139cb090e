"""What NATS keeps for neighbours that are down: states go through one JetStream stream, and each agent has a durable consumer
of each neighbour's. Effects.

JetStream is not always there: the server may not offer it, or a cluster may be without a leader for some seconds. Then states
go as everything else does, to whoever listens now; a neighbour whose consumer does not answer is listened to directly. Both
may deliver one message, and what neither delivered is sent again by the next sync round.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error
from nats.js.api import ConsumerConfig, DeliverPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from controller.fleet.transport import Unreachable
from controller.fleet.transport.connecting import heeding

STREAM: Final = "ORCHA_FLEET"
SUBJECTS: Final = "orcha.agent.*.state"
MOST_AGE: Final = 600.0
"""Seconds that a state is kept: whoever was away for longer is brought up to date by sync rounds alone."""
MOST_BYTES: Final = 64 * 2**20
"""Of the stream on each server; what is oldest goes first. Servers set so much disk aside."""
REPLICAS: Final = 3
"""Where the cluster has as many servers; else 1, since two stop when either of them does."""
FORGOTTEN: Final = 3600.0
"""Seconds without a pull after which a server drops a consumer."""
ACK_WAIT: Final = 10.0
"""Seconds after which what was not acknowledged is delivered again."""
PATIENCE: Final = 2.0
"""Seconds that JetStream has for an answer."""
FIRST, LATER = 0.3, 5.0
"""Seconds that a pull stays open: the first one shows soon that somebody answers."""
BATCH: Final = 256
"""Messages of one pull."""
QUEUE_MESSAGES, QUEUE_BYTES = 4096, 32 * 2**20
"""What one subscription holds at most until it was handed on; more is dropped."""
SOON, LATE = 0.5, 60.0
"""Seconds between tries: where JetStream is without a leader, and where there is none."""


class _Silent(Exception):
    """A consumer does not answer, or is gone; `str()` says which."""


@dataclass(slots=True)
class _Pull:
    """One request for messages."""

    left: int = BATCH
    failed: str = ""
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Stream:
    """One connection's use of JetStream. `run` until cancelled; `publish` any time."""

    def __init__(
        self,
        client: Client,
        me: str,
        neighbours: Sequence[str],
        take: Callable[[Msg], None],
        say: Callable[[str], None],
    ) -> None:
        self._client = client
        self._js = client.jetstream(timeout=PATIENCE)
        self._me = me
        self._neighbours = neighbours
        self._take = take
        self._say = say
        self._direct: dict[str, Subscription] = {}
        """Neighbour -> what is heard without JetStream."""
        self._led = asyncio.Event()
        """Whether the stream took what was sent last, or answered since."""
        self._lost = asyncio.Event()

    @property
    def led(self) -> bool:
        """Whether the stream takes what is sent, as far as is known."""
        return self._led.is_set()

    async def publish(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Raises Unreachable where the stream does not say that it has it; it may have it, or neighbours may, all the same."""
        if not self._led.is_set():
            await self._client.publish(subject, body, headers=headers)
            return
        try:
            await self._js.publish(subject, body, timeout=PATIENCE, headers=headers)
        except (Error, APIError, TimeoutError) as exc:
            self._led.clear()
            self._lost.set()
            why = f"the stream {STREAM} does not take what is sent ({_brief(exc)}); until it does it is done without"
            self._say(why)
            raise Unreachable(why) from exc

    async def run(self) -> None:
        """Raises what nats-py raises where the connection is gone."""
        with heeding():
            for name in self._neighbours:
                await self._listen(name)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lead())
            for name in self._neighbours:
                group.create_task(self._follow(name))

    # --- the stream ---------------------------------------------------------------------------------------------------

    async def _lead(self) -> None:
        """Keep the stream there."""
        while True:
            self._lost.clear()
            wait = SOON
            try:
                with heeding():
                    await self._make()
            except ServiceUnavailableError as exc:
                self._led.clear()
                if exc.err_code in {None, 10039, 10076}:  # nobody answers; not for this account; not enabled
                    self._say(
                        "the NATS servers offer no JetStream: what is sent while an agent is down does not wait for it there; "
                        "it comes with the next sync round"
                    )
                    wait = LATE
            except (Error, APIError, TimeoutError) as exc:
                self._led.clear()
                self._say(f"the stream {STREAM} cannot be had yet: {_brief(exc)}")
            else:
                self._led.set()
                await self._lost.wait()
            await asyncio.sleep(wait)

    async def _make(self) -> None:
        """The stream as it should be: on three servers once there are as many."""
        await self._js.account_info()
        try:
            found = (await self._js.stream_info(STREAM)).config
        except NotFoundError:
            wanted = StreamConfig(
                name=STREAM, subjects=[SUBJECTS], max_age=MOST_AGE, max_bytes=MOST_BYTES, storage=StorageType.FILE,
                num_replicas=REPLICAS,
            )  # fmt: skip
            try:
                await self._js.add_stream(wanted)
            except APIError:
                await self._js.add_stream(wanted.evolve(num_replicas=1))
            return
        if (found.num_replicas or 1) < REPLICAS:
            with contextlib.suppress(APIError):
                await self._js.update_stream(found.evolve(num_replicas=REPLICAS))

    # --- its consumers ------------------------------------------------------------------------------------------------

    async def _follow(self, neighbour: str) -> None:
        """Take what a neighbour says from the stream; directly from it as long as that does not go."""
        durable = f"{self._me}__{neighbour}"  # no agent's name has a '_'
        config = ConsumerConfig(
            durable_name=durable, filter_subject=f"orcha.agent.{neighbour}.state", deliver_policy=DeliverPolicy.NEW,
            ack_wait=ACK_WAIT, inactive_threshold=FORGOTTEN,
        )  # fmt: skip
        while True:
            await self._led.wait()
            try:
                with heeding():
                    await self._js.add_consumer(STREAM, config)
                    await self._pull(neighbour, durable)
            except (Error, APIError, TimeoutError, _Silent) as exc:
                if not self._client.is_connected:
                    raise
                self._lost.set()
                self._say(f"the consumer {durable} of the stream {STREAM} does not answer: {_brief(exc)}")
            with heeding():
                await self._listen(neighbour)
            await asyncio.sleep(SOON)

    async def _pull(self, neighbour: str, durable: str) -> None:
        """Raises _Silent once the consumer does not answer any more."""
        inbox, pull, expires = self._client.new_inbox(), _Pull(), FIRST

        async def came(msg: Msg) -> None:
            status = (msg.headers or {}).get("Status")
            if status is None:
                self._take(msg)
                await msg.ack()
                pull.left -= 1
            elif status not in {"100", "404", "408"}:
                pull.failed = f"{status} {(msg.headers or {}).get('Description', '')}".strip()
            if pull.left <= 0 or status not in {None, "100"}:
                pull.over.set()

        inbox_taken = await self._client.subscribe(
            inbox, cb=came, pending_msgs_limit=QUEUE_MESSAGES, pending_bytes_limit=QUEUE_BYTES
        )
        try:
            while True:
                pull.left = BATCH
                pull.over.clear()
                asked = json.dumps({"batch": BATCH, "expires": round(expires * 1e9)}).encode()
                await self._client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{durable}", asked, reply=inbox)
                try:
                    async with asyncio.timeout(expires + PATIENCE):
                        await pull.over.wait()
                except TimeoutError:
                    raise _Silent("no word from the servers") from None
                if pull.failed:
                    raise _Silent(pull.failed)
                await self._leave(neighbour)
                expires = LATER
        finally:
            with contextlib.suppress(Error):
                await inbox_taken.unsubscribe()

    async def _listen(self, neighbour: str) -> None:
        if neighbour in self._direct:
            return

        async def came(msg: Msg) -> None:
            self._take(msg)

        self._direct[neighbour] = await self._client.subscribe(
            f"orcha.agent.{neighbour}.state",
            cb=came,
            pending_msgs_limit=QUEUE_MESSAGES,
            pending_bytes_limit=QUEUE_BYTES,
        )

    async def _leave(self, neighbour: str) -> None:
        if (heard := self._direct.pop(neighbour, None)) is not None:
            await heard.unsubscribe()


def _brief(exc: Exception) -> Any:
    """What the server said, where it said something."""
    return getattr(exc, "description", None) or str(exc) or type(exc).__name__
