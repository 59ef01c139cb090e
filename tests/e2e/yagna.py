"""A real Golem daemon for tests: started offline in its own folder, and led through a provider's life.

yagna is both sides of the market here: its first identity sells (provider), a second one buys (requestor). No packet
leaves the machine: relay, chains and every HTTP proxy point at 127.0.0.1, where nothing answers but the chain below.
Everything waits for a fact and is bounded in time; the daemon is ended with its whole process group, and ends by itself
should the test be killed first. Recipe: reference storj-golem 2.7.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

LIFETIME = 240
"""Seconds after which `timeout` ends the daemon, whatever became of the test."""
READY = 45.0
PLATFORM = "erc20-mainnet-glm"
PROVIDER_KEY = "provider-key-of-this-test"
CHAINS = ("POLYGON", "MAINNET", "HOLESKY", "HOODI", "AMOY", "SEPOLIA", "GOERLI", "MUMBAI", "RINKEBY")
CLOSED = "http://127.0.0.1:1"


def stamp(after: timedelta = timedelta()) -> str:
    return (datetime.now(UTC) + after).strftime("%Y-%m-%dT%H:%M:%SZ")


async def until(what: str, ask: Callable[[], Awaitable[Any]], limit: float = 30.0) -> Any:
    """The first answer that is something. Fails with `what` after `limit` seconds."""
    try:
        async with asyncio.timeout(limit):
            while True:
                found = await ask()
                if found:
                    return found
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{what} did not happen within {limit:.0f} s") from None


async def chain(request: web.Request) -> web.Response:
    """Just enough of an Ethereum node for the payment driver to believe in a funded wallet."""
    call = await request.json()
    block = {
        "number": "0x10",
        "timestamp": hex(int(time.time())),
        "hash": "0x" + "11" * 32,
        "parentHash": "0x" + "22" * 32,
    }
    zeros = {
        "miner": "0x" + "00" * 20,
        "logsBloom": "0x" + "00" * 256,
        "extraData": "0x",
        "uncles": [],
        "transactions": [],
    }
    roots = dict.fromkeys(("sha3Uncles", "stateRoot", "transactionsRoot", "receiptsRoot", "mixHash"), "0x" + "33" * 32)
    sums = dict.fromkeys(("gasUsed", "gasLimit", "difficulty", "totalDifficulty", "size"), "0x1")
    answers = {
        "eth_chainId": "0x1",
        "net_version": "1",
        "eth_blockNumber": "0x10",
        "eth_getBlockByNumber": block | zeros | roots | sums,
        "eth_getBalance": hex(10**20),
        "eth_call": "0x" + f"{10**20:064x}",
        "eth_getTransactionCount": "0x0",
        "eth_gasPrice": "0x1",
    }

    def answer(one: dict[str, Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": one.get("id"), "result": answers.get(str(one.get("method")))}

    return web.json_response([answer(one) for one in call] if isinstance(call, list) else answer(call))


@dataclass
class Yagna:
    """The daemon: `binary` with all that it writes under `folder`."""

    binary: Path
    folder: Path
    port: int
    gsb_port: int
    relay_port: int
    chain_port: int
    process: asyncio.subprocess.Process | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "YAGNA_DATADIR": str(self.folder / "data"),
            "GSB_URL": f"tcp://127.0.0.1:{self.gsb_port}",
            "YAGNA_API_URL": self.url,
            "YA_NET_RELAY_HOST": f"127.0.0.1:{self.relay_port}",
            "YA_NET_BIND_URL": "udp://127.0.0.1:0",
            "YA_CONSENT_STATS": "deny",
            "YAGNA_AUTOCONF_APPKEY": PROVIDER_KEY,
            "HTTP_PROXY": CLOSED,
            "HTTPS_PROXY": CLOSED,
            "NO_PROXY": "127.0.0.1",
            **{f"{name}_GETH_ADDR": CLOSED for name in CHAINS},
            "MAINNET_GETH_ADDR": f"http://127.0.0.1:{self.chain_port}",
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "yagna.log"

    async def start(self) -> None:
        """Start the daemon and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(
                    "timeout",
                    "--kill-after=5",
                    str(LIFETIME),
                    str(self.binary),
                    "service",
                    "run",
                    "--disable-metrics-push",
                ),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )
        assert self.process.stdin is not None
        self.process.stdin.write(b"yes\n" * 4)  # the question about the terms of use
        self.process.stdin.close()
        async with aiohttp.ClientSession() as client:
            await until(f"the daemon's first answer (log: {self.log})", lambda: self._answers(client), READY)

    async def _answers(self, client: aiohttp.ClientSession) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, f"yagna ended at once: {self.log.read_text()[-800:]}"
        with contextlib.suppress(aiohttp.ClientError):
            async with client.get(f"{self.url}/version/get") as answer:
                return answer.status == 200
        return False

    async def stop(self) -> None:
        """End the daemon and everything that it started."""
        if self.process is None:
            return
        for word, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, word)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), patience)
                break
        self.process = None

    async def command(self, *argv: str) -> Any:
        """One `yagna --json ...` command against the running daemon -> its answer."""
        run = await asyncio.create_subprocess_exec(
            *(str(self.binary), "--json", *argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment,
        )
        out, err = await asyncio.wait_for(run.communicate(), 30)
        assert run.returncode == 0, f"yagna {' '.join(argv)}: {err.decode()[-400:]}"
        return json.loads(out) if out.strip() else None


@dataclass(frozen=True)
class Party:
    """One identity of the daemon, through its application key."""

    client: aiohttp.ClientSession
    url: str
    key: str

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        limit = aiohttp.ClientTimeout(total=30)
        async with self.client.request(method, self.url + path, json=body, headers=headers, timeout=limit) as answer:
            text = await answer.text()
            assert answer.status < 300, f"{method} {path} answered {answer.status}: {text[:300]}"
            return json.loads(text) if text.strip() else None

    async def event(self, path: str, kind: str) -> Any:
        """The next event of a long poll of this kind (`eventType` is a word, or an object with the word as its key)."""
        query = f"timeout=2&maxEvents=1&afterTimestamp={stamp(timedelta(hours=-1))}"

        async def next_one() -> Any:
            found = await self.ask("GET", f"{path}?{query}")
            return next((event for event in found if kind in event["eventType"]), None)

        return await until(f"{kind} at {path}", next_one)


OFFER: dict[str, Any] = {
    "golem.com.payment.debit-notes.accept-timeout?": 240,
    "golem.com.pricing.model": "linear",
    "golem.com.pricing.model.linear.coeffs": [6.944444444444445e-06, 1.388888888888889e-06, 0.0],
    "golem.com.scheme": "payu",
    "golem.com.usage.vector": ["golem.usage.cpu_sec", "golem.usage.duration_sec"],
    "golem.inf.cpu.architecture": "x86_64",
    "golem.inf.cpu.cores": 4,
    "golem.inf.cpu.threads": 7,
    "golem.inf.mem.gib": 10.5,
    "golem.inf.storage.gib": 80.0,
    "golem.node.debug.subnet": "public",
    "golem.node.id.name": "test-node",
    "golem.runtime.name": "vm",
    "golem.runtime.version": "0.5.3",
    "golem.srv.caps.multi-activity": True,
}
"""As ya-provider publishes it: counters in alphabetical order, GLM per second."""


@dataclass
class Life:
    """A provider's life, one stage after the other; each method ends when the daemon itself shows the new stage."""

    provider: Party
    requestor: Party
    provider_id: str
    requestor_id: str
    offer: str = ""
    agreement: str = ""
    activity: str = ""
    invoice: str = ""

    async def publish(self, **changes: Any) -> None:
        """Publish the offer; a second call withdraws the first, as the agent does when its profile changes."""
        if self.offer:
            await self.provider.ask("DELETE", f"/market-api/v1/offers/{self.offer}")
        wallet = {f"golem.com.payment.platform.{PLATFORM}.address": self.provider_id}
        body = {"properties": OFFER | wallet | changes, "constraints": "(golem.srv.comp.expiration>0)"}
        self.offer = await self.provider.ask("POST", "/market-api/v1/offers", body)

    async def withdraw(self) -> None:
        await self.provider.ask("DELETE", f"/market-api/v1/offers/{self.offer}")
        self.offer = ""

    async def agree(self) -> None:
        """Negotiate from a demand to an agreement that both sides approved."""
        buys, sells = self.requestor, self.provider
        demand = {
            "properties": {
                "golem.com.payment.chosen-platform": PLATFORM,
                f"golem.com.payment.platform.{PLATFORM}.address": self.requestor_id,
                "golem.node.id.name": "req",
                "golem.srv.comp.expiration": int((time.time() + 3600) * 1000),
            },
            "constraints": "(golem.runtime.name=vm)",
        }
        offers = f"/market-api/v1/offers/{self.offer}"
        demands = f"/market-api/v1/demands/{await buys.ask('POST', '/market-api/v1/demands', demand)}"
        seen = (await buys.event(f"{demands}/events", "ProposalEvent"))["proposal"]["proposalId"]
        await buys.ask("POST", f"{demands}/proposals/{seen}", demand)
        asked = (await sells.event(f"{offers}/events", "ProposalEvent"))["proposal"]
        counter = {"properties": await self._properties(), "constraints": "(golem.srv.comp.expiration>0)"}
        await sells.ask("POST", f"{offers}/proposals/{asked['proposalId']}", counter)
        drafted = (await buys.event(f"{demands}/events", "ProposalEvent"))["proposal"]["proposalId"]
        wish = {"proposalId": drafted, "validTo": stamp(timedelta(minutes=30))}
        self.agreement = await buys.ask("POST", "/market-api/v1/agreements", wish)
        await buys.ask("POST", f"/market-api/v1/agreements/{self.agreement}/confirm")
        await sells.event(f"{offers}/events", "AgreementEvent")
        await sells.ask("POST", f"/market-api/v1/agreements/{self.agreement}/approve?timeout=10")

    async def _properties(self) -> Any:
        mine = await self.provider.ask("GET", "/market-api/v1/offers")
        return next(offer["properties"] for offer in mine if offer["offerId"] == self.offer)

    async def work(self) -> None:
        """Start an activity: the requestor's call returns only after the provider answered its event."""
        async with asyncio.TaskGroup() as both:
            both.create_task(
                self.requestor.ask("POST", "/activity-api/v1/activity?timeout=20", {"agreementId": self.agreement})
            )
            event = await self.provider.event("/activity-api/v1/events", "CreateActivity")
            self.activity = event["activityId"]
            await self.state("Initialized")
        await self.state("Ready")

    async def state(self, word: str) -> None:
        await self.provider.ask("PUT", f"/activity-api/v1/activity/{self.activity}/state", {"state": [word, None]})

    async def use(self, cpu: float, duration: float) -> None:
        """What the execution unit reports: counters in the order of the offer's usage vector."""
        usage = {"currentUsage": [cpu, duration], "timestamp": int(time.time())}
        body = {"activityId": self.activity, "usage": usage, "timeout": 5.0}
        said = await self.provider.ask("POST", "/_gsb/local/activity/SetActivityUsage", body)
        assert "Ok" in said, said

    async def note(self, amount: str, cpu: float, duration: float) -> None:
        """Bill what is owed so far."""
        body = {
            "activityId": self.activity,
            "totalAmountDue": amount,
            "usageCounterVector": [cpu, duration],
            "paymentDueDate": stamp(timedelta(minutes=30)),
        }
        made = await self.provider.ask("POST", "/payment-api/v1/debitNotes", body)
        await self.provider.ask("POST", f"/payment-api/v1/debitNotes/{made['debitNoteId']}/send")

    async def bill(self, amount: str) -> None:
        """End the work and send the invoice."""
        await self.state("Terminated")
        body = {
            "agreementId": self.agreement,
            "activityIds": [self.activity],
            "amount": amount,
            "paymentDueDate": stamp(timedelta(minutes=30)),
        }
        made = await self.provider.ask("POST", "/payment-api/v1/invoices", body)
        self.invoice = made["invoiceId"]
        await self.provider.ask("POST", f"/payment-api/v1/invoices/{self.invoice}/send")
        reason = {"message": "done", "golem.requestor.code": "Success"}
        await self.requestor.ask("POST", f"/market-api/v1/agreements/{self.agreement}/terminate", reason)

    async def accept(self, amount: str) -> None:
        """The requestor sets money aside and accepts the invoice."""
        wish = {
            "paymentPlatform": PLATFORM,
            "totalAmount": "1",
            "makeDeposit": False,
            "timeout": stamp(timedelta(hours=1)),
        }
        allocation = await self.requestor.ask("POST", "/payment-api/v1/allocations", wish)
        await until("the invoice reaching the requestor", self._received)
        accepted = {"totalAmountAccepted": amount, "allocationId": allocation["allocationId"]}
        await self.requestor.ask("POST", f"/payment-api/v1/invoices/{self.invoice}/accept", accepted)

    async def _received(self) -> bool:
        found = await self.requestor.ask("GET", f"/payment-api/v1/invoices/{self.invoice}")
        return bool(found["status"] == "RECEIVED")


@contextlib.asynccontextmanager
async def daemon(binary: Path, folder: Path, ports: tuple[int, int, int]) -> AsyncIterator[Yagna]:
    """A running daemon with one identity, and a chain for it to believe in."""
    app = web.Application()
    app.router.add_post("/", chain)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    running = Yagna(binary, folder, *ports, runner.addresses[0][1])
    try:
        await running.start()
        yield running
    finally:
        await running.stop()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def life(running: Yagna) -> AsyncIterator[Life]:
    """A provider and a requestor on one daemon, both ready for payments on the made-up main chain."""
    requestor_key = await _second_identity(running)
    async with aiohttp.ClientSession() as client:
        provider, requestor = Party(client, running.url, PROVIDER_KEY), Party(client, running.url, requestor_key)
        ids = [(await party.ask("GET", "/me"))["identity"] for party in (provider, requestor)]
        chosen = ("--network", "mainnet", "--driver", "erc20")
        await running.command("payment", "init", "--receiver", *chosen)
        await running.command("payment", "init", "--sender", *chosen, "--account", ids[1])
        yield Life(provider, requestor, *ids)


async def _second_identity(running: Yagna) -> str:
    """Make the requestor. The daemon must start again: its network part does not know an identity made meanwhile."""
    await running.command("id", "create", "--no-password", "req")
    key = await running.command("app-key", "create", "req", "--id", "req")
    await running.stop()
    await running.start()
    return str(key)
