"""The real Streamr contracts on a local chain, for tests: deploys the system, stakes, sponsors, travels in time.

Contracts and chain come from scripts/tools/streamr_contracts.py. Everything goes over JSON-RPC with the chain's own
unlocked accounts, so nothing is signed here. Parameters are those of the main network: minimum stake 5000 DATA.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporters.protocols.streamr.abi import keccak256

DATA = 10**18
ZERO = "0x" + "0" * 40
GAS = hex(12_000_000)
PATHS = {
    "TestToken": "testcontracts",
    "StreamrConfigV1_1": "",
    "Operator": "",
    "OperatorFactory": "",
    "Sponsorship": "",
    "SponsorshipFactory": "",
    **dict.fromkeys(("NodeModule", "QueueModule", "StakeModule"), "OperatorPolicies"),
    **dict.fromkeys(
        ("DefaultDelegationPolicy", "DefaultExchangeRatePolicy", "DefaultUndelegationPolicy"), "OperatorPolicies"
    ),
    **dict.fromkeys(("StakeWeightedAllocationPolicy", "DefaultLeavePolicy", "VoteKickPolicy"), "SponsorshipPolicies"),
    "OperatorContractOnlyJoinPolicy": "SponsorshipPolicies",
    "StreamRegistryV5": "../StreamRegistry",
}


class Chain:
    """A ganache process on 127.0.0.1, and what its JSON-RPC needs."""

    def __init__(self, tools: Path) -> None:
        self.artifacts = tools / "package/dist/artifacts/contracts/OperatorTokenomics"
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        argv = ["node", str(tools / "node_modules/ganache/dist/node/cli.js"), "--server.host", "127.0.0.1"]
        argv += ["--server.port", str(self.port), "--chain.chainId", "31337", "--chain.hardfork", "shanghai"]
        argv += ["--chain.allowUnlimitedContractSize", "--wallet.totalAccounts", "10", "--wallet.seed", "orcha"]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.process.stdout:
            if "RPC Listening" in line:
                break
        else:
            raise RuntimeError("ganache ended before it listened")
        self._drain = threading.Thread(target=self.process.stdout.read, daemon=True)
        self._drain.start()
        self.accounts = self.rpc("eth_accounts")

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self._drain.join(10)
        self.process.stdout.close()

    def rpc(self, method: str, *params: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            connection.request("POST", "/", body, {"content-type": "application/json"})
            said = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in said:
            raise RuntimeError(f"{method}: {said['error'].get('message')} {said['error'].get('data')}")
        return said["result"]

    @property
    def now(self) -> int:
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def travel(self, seconds: int) -> None:
        """A block that is exactly this much later than the newest."""
        self.rpc("evm_mine", self.now + seconds)

    def deploy(self, name: str, signature: str = "()", *values: Any) -> str:
        code = json.loads((self.artifacts / PATHS[name] / f"{name}.sol" / f"{name}.json").read_text())["bytecode"]
        return self._send({"data": code + encode(signature, *values).hex()}, self.accounts[0])["contractAddress"]

    def send(self, to: str, signature: str, *values: Any, by: str | None = None) -> dict[str, Any]:
        return self._send({"to": to, "data": calldata(signature, *values)}, by or self.accounts[0])

    def call(self, to: str, signature: str, *values: Any, by: str | None = None) -> str:
        return self.rpc(
            "eth_call", {"from": by or self.accounts[0], "to": to, "data": calldata(signature, *values)}, "latest"
        )

    def create(self, factory: str, signature: str, *values: Any, by: str) -> str:
        """What a factory makes: its address is what the call would return."""
        made = "0x" + self.call(factory, signature, *values, by=by)[-40:]
        self.send(factory, signature, *values, by=by)
        return made

    def _send(self, transaction: dict[str, str], by: str) -> dict[str, Any]:
        sent = self.rpc("eth_sendTransaction", {**transaction, "from": by, "gas": GAS})
        receipt = self.rpc("eth_getTransactionReceipt", sent)
        if receipt["status"] != "0x1":
            raise RuntimeError(f"the chain refused {transaction}")
        return receipt


@dataclass
class Streamr:
    """The deployed system. Account 1 owns the operator under test, 2 delegates to it, 3 owns all others, 4 sponsors."""

    chain: Chain
    at: dict[str, str] = field(default_factory=dict)

    @classmethod
    def deployed(cls, chain: Chain) -> Streamr:
        self = cls(chain)
        for name in PATHS:
            arguments = ("(string,string)", "Test", "TEST") if name == "TestToken" else ("()",)
            self.at[name] = chain.deploy(name, *arguments)
        self._configure()
        return self

    def _configure(self) -> None:
        at, send = self.at, self.chain.send
        config, token = at["StreamrConfigV1_1"], at["TestToken"]
        send(config, "initialize()")
        send(at["StreamRegistryV5"], "initialize(address,address)", ZERO, ZERO)
        modules = [at["NodeModule"], at["QueueModule"], at["StakeModule"]]
        initialize = "initialize(address,address,address,address,address,address)"
        send(at["OperatorFactory"], initialize, at["Operator"], token, config, *modules)
        send(at["SponsorshipFactory"], "initialize(address,address,address)", at["Sponsorship"], token, config)
        operator_policies = [
            at["DefaultDelegationPolicy"],
            at["DefaultExchangeRatePolicy"],
            at["DefaultUndelegationPolicy"],
        ]
        sponsorship_policies = [at["StakeWeightedAllocationPolicy"], at["DefaultLeavePolicy"], at["VoteKickPolicy"]]
        send(at["OperatorFactory"], "addTrustedPolicies(address[])", operator_policies)
        send(at["SponsorshipFactory"], "addTrustedPolicies(address[])", sponsorship_policies)
        for setter, value in (
            ("setOperatorFactory(address)", at["OperatorFactory"]),
            ("setSponsorshipFactory(address)", at["SponsorshipFactory"]),
            ("setOperatorContractOnlyJoinPolicy(address)", at["OperatorContractOnlyJoinPolicy"]),
            ("setStreamRegistryAddress(address)", at["StreamRegistryV5"]),
            ("setFlagReviewerRewardWei(uint256)", 2 * DATA),
            ("setFlaggerRewardWei(uint256)", 36 * DATA),
            ("setSlashingFraction(uint256)", DATA // 100),
        ):
            send(config, setter, value)

    def operator(self, owner: str, delegated: int, cut_percent: int = 10) -> str:
        policies = [
            self.at[name]
            for name in ("DefaultDelegationPolicy", "DefaultExchangeRatePolicy", "DefaultUndelegationPolicy")
        ]
        signature = "deployOperator(uint256,string,string,address[3],uint256[3])"
        made = self.chain.create(
            self.at["OperatorFactory"],
            signature,
            cut_percent * DATA // 100,
            "Pool",
            "{}",
            policies,
            [0, 0, 0],
            by=owner,
        )
        self.delegate(made, owner, delegated)
        return made

    def delegate(self, operator: str, by: str, amount: int) -> None:
        self._approve(operator, by, amount)
        self.chain.send(operator, "delegate(uint256)", amount * DATA, by=by)

    def sponsorship(self, wei_per_second: int, funds: int, min_operators: int = 1, penalty_seconds: int = 0) -> str:
        sponsor = self.chain.accounts[4]
        name = f"/stream{self.chain.rpc('eth_blockNumber')}"
        self.chain.send(self.at["StreamRegistryV5"], "createStream(string,string)", name, "{}", by=sponsor)
        policies = [
            self.at[policy] for policy in ("StakeWeightedAllocationPolicy", "DefaultLeavePolicy", "VoteKickPolicy")
        ]
        signature = "deploySponsorship(uint256,string,string,address[],uint256[])"
        parameters = [wei_per_second, penalty_seconds, 0]
        factory = self.at["SponsorshipFactory"]
        made = self.chain.create(
            factory, signature, min_operators, sponsor.lower() + name, "{}", policies, parameters, by=sponsor
        )
        self._approve(made, sponsor, funds)
        self.chain.send(made, "sponsor(uint256)", funds * DATA, by=sponsor)
        return made

    def stake(self, operator: str, owner: str, sponsorship: str, amount: int) -> None:
        self.chain.send(operator, "stake(address,uint256)", sponsorship, amount * DATA, by=owner)

    def _approve(self, spender: str, by: str, amount: int) -> None:
        self.chain.send(self.at["TestToken"], "mint(address,uint256)", by, amount * DATA)
        self.chain.send(self.at["TestToken"], "approve(address,uint256)", spender, amount * DATA, by=by)


def calldata(signature: str, *values: Any) -> str:
    return "0x" + (keccak256(signature.encode())[:4] + encode(signature[signature.index("(") :], *values)).hex()


def encode(types: str, *values: Any) -> bytes:
    """Contract ABI of a list of arguments: "(uint256,string,address[],address[3])"."""
    heads, tail = [], b""
    kinds = [kind for kind in types.strip("()").split(",") if kind]
    size = sum(32 * (int(kind[:-1].split("[")[1]) if kind[-1] == "]" and kind[-2] != "[" else 1) for kind in kinds)
    for kind, value in zip(kinds, values, strict=True):
        body, dynamic = _value(kind, value)
        if dynamic:
            heads.append((size + len(tail)).to_bytes(32, "big"))
            tail += body
        else:
            heads.append(body)
    return b"".join(heads) + tail


def _value(kind: str, value: Any) -> tuple[bytes, bool]:
    if kind == "string":
        text = value.encode()
        return len(text).to_bytes(32, "big") + text + bytes(-len(text) % 32), True
    if kind.endswith("[]"):
        return len(value).to_bytes(32, "big") + b"".join(_word(item) for item in value), True
    return b"".join(_word(item) for item in (value if isinstance(value, list) else [value])), False


def _word(value: int | str) -> bytes:
    return (int(value, 16) if isinstance(value, str) else value).to_bytes(32, "big")
