"""The JSON-RPC endpoint, subgraph and /info of a simulated operator, against recordings of the real contracts (reference: streamr 1)."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from exporters.simulator import abi
from exporters.simulator.chain import Chain, Operator, Revert, Sponsorship
from exporters.simulator.contracts import TOKEN
from exporters.simulator.demand import Demand, Pool
from exporters.simulator.streamr import Node, Rpc

NOW = 1_787_184_000.0
RECORDED = json.loads((Path(__file__).resolve().parents[2] / "fixtures/streamr/eth_call.json").read_text())
NAMES = {name: value.lower() for name, value in RECORDED["addresses"].items()}


def still(level):
    return Demand(level, 1, rhythm=None, bursts=None, regimes=None, noise=None)


@pytest.fixture
def chain():
    """The situation in which the recording was made: an hour with 50 000 of 2 000 000 in S1 and 20 000 of 300 000 in S2."""
    operator = Operator(NAMES["operator"], NAMES["owner"], NAMES["agent"], NAMES["node"], free=30_000.0)
    far = NOW + 1e8
    sponsorships = [
        Sponsorship(NAMES["S1"], "streams.example.eth/a", Pool(0.05, still(1_950_000.0)), far, stake=50_000.0),
        Sponsorship(NAMES["S2"], "streams.example.eth/b", Pool(0.02, still(280_000.0)), far, stake=20_000.0),
        Sponsorship(
            NAMES["S3"], "streams.example.eth/c", Pool(0.1, still(45_000.0)), far,
            stake=10_000.0, joined_at=NOW - 60, min_staking_seconds=14 * 86400.0,
        ),
    ]  # fmt: skip
    return Chain(operator, sponsorships, NOW - 3600.0, withdraw_above=0.01)


@pytest.fixture
def ask(chain, asker):
    chain.advance(NOW)
    return asker(Rpc(chain), NOW)


def call(ask, to, data, sender=None):
    params = [{"to": to, "data": data} | ({"from": sender} if sender else {}), "latest"]
    return ask.json("/", method="POST", body={"jsonrpc": "2.0", "id": 7, "method": "eth_call", "params": params})


def test_the_model_earns_what_the_real_contract_paid(chain):
    chain.advance(NOW)
    assert [round(one.uncollected, 9) for one in chain.sponsorships.values()][:2] == [4.5, 4.8]


def test_the_one_call_to_poll_has_the_recorded_layout(chain, ask):
    chain.sponsorships[NAMES["S3"]].stake = 0.0
    recorded = RECORDED["calls"]["getSponsorshipsAndEarnings"]["response"]["result"]
    served = call(ask, NAMES["operator"], "0x2ebd89d1")["result"]
    words = [[text[2 + k : 66 + k] for k in range(0, len(text) - 2, 64)] for text in (recorded, served)]
    assert len(words[0]) == len(words[1])
    assert words[0][:2] + words[0][3:] == words[1][:2] + words[1][3:]  # all but the limit, which follows the value
    limit = int(words[1][2], 16) / 1e18
    assert limit == pytest.approx(0.05 * chain.value)


SAME_AS_RECORDED = [
    "S1.totalStakedWei", "S1.isRunning", "S1.isFunded", "S1.minimumStakeOf", "S1.lockedStakeWei", "queueIsEmpty",
    "undelegationQueue(empty)", "operatorsCutFraction", "getNodeAddresses", "hasRole(agent)", "stakedInto", "version",
]  # fmt: skip


@pytest.mark.parametrize("name", SAME_AS_RECORDED)
def test_calls_answer_as_the_real_bytecode_did(ask, name):
    entry = RECORDED["calls"][name]
    params = entry["request"]["params"][0]
    assert call(ask, params["to"], params["data"])["result"] == entry["response"]["result"]


def test_an_address_without_code_answers_0x_and_no_error(ask):
    assert call(ask, "0x" + "11" * 20, "0x2ebd89d1") == {"jsonrpc": "2.0", "id": 7, "result": "0x"}


REFUSED = [
    "unstake_LeavePenalty",
    "stake_below_minimum",
    "reduce_up",
    "stake_not_agent",
    "stake_too_much",
    "stake_not_sponsorship",
]


@pytest.mark.parametrize("name", REFUSED)
def test_refused_moves_carry_the_recorded_custom_error(chain, ask, name):
    chain.sponsorships[NAMES["S1"]].stake = 25_000.0
    params = RECORDED["calls"][name]["request"]["params"][0]
    error = call(ask, params["to"], params["data"], params["from"])["error"]
    assert error["code"] == 3
    assert error["data"] == RECORDED["calls"][name]["response"]["error"]["data"]


def test_a_move_that_would_succeed_answers_0x(ask):
    stake = "0xadc9772e" + abi.address(NAMES["S1"]) + abi.uint(abi.to_wei(6000))
    assert call(ask, NAMES["operator"], stake, NAMES["agent"])["result"] == "0x"


def test_a_transaction_of_the_owner_moves_the_stake(chain, ask):
    def send(data, sender):
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "eth_sendTransaction",
            "params": [{"from": sender, "to": NAMES["operator"], "data": data}],
        }
        return ask.json("/", method="POST", body=body)

    reduce = "0xd1b68611" + abi.address(NAMES["S1"]) + abi.uint(abi.to_wei(30_000))
    assert "error" in send(reduce, "0x" + "22" * 20)
    assert send(reduce, NAMES["owner"])["result"].startswith("0x")
    assert chain.sponsorships[NAMES["S1"]].stake == 30_000.0
    assert chain.operator.free == pytest.approx(50_000.0)
    send("0xadc9772e" + abi.address(NAMES["S2"]) + abi.uint(abi.to_wei(20_000)), NAMES["owner"])
    assert chain.sponsorships[NAMES["S2"]].stake == 40_000.0  # added, not set to


def test_freed_stake_pays_the_queue_first_and_a_queue_forbids_staking(chain):
    chain.operator.queue.append((NAMES["agent"], 60_000.0, NOW))
    chain.operator.free = 0.0
    chain.reduce(NAMES["S1"], 10_000.0)
    assert chain.operator.free == 0.0
    assert chain.operator.queue[0][1] == 20_000.0
    with pytest.raises(Revert) as refused:
        chain.stake(NAMES["S2"], 1.0)
    assert refused.value.data == "0xec6c87a6"


def test_inside_its_period_a_stake_can_be_lowered_but_not_left(chain):
    chain.advance(NOW)
    chain.reduce(NAMES["S3"], 5000.0)
    with pytest.raises(Revert) as refused:
        chain.reduce(NAMES["S3"], 0.0)
    assert refused.value.data == "0x078759ac" + abi.uint(abi.to_wei(5000))
    with pytest.raises(Revert, match="0x0be9186a"):
        chain.reduce(NAMES["S3"], 4999.0)


def test_a_batch_is_answered_in_its_order(ask):
    body = [
        {"jsonrpc": "2.0", "id": k, "method": method, "params": ["latest", False]}
        for k, method in enumerate(["eth_chainId", "eth_getBlockByNumber", "eth_nope"])
    ]
    chain_id, block, unknown = ask.json("/", method="POST", body=body)
    assert chain_id["result"] == "0x89"
    assert NOW - int(block["result"]["timestamp"], 16) <= 2
    assert unknown["error"]["code"] == -32601


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"method": 1}', b'{"method": "eth_call", "params": []}'])
def test_nonsense_is_an_error_with_http_200(ask, body):
    response = ask("/", method="POST", body=body)
    assert response.status == 200
    assert "error" in json.loads(response.body)


def test_earnings_fall_to_zero_at_a_withdrawal_and_become_free(chain):
    free, seen = chain.operator.free, []
    for _ in range(60):
        chain.advance(chain.at + 1800)
        seen.append(chain.uncollected)
    earned = sum(one.earned for one in chain.sponsorships.values())
    assert max(seen) > 0.01 * chain.value - 100  # the nodes withdraw above that, at a full hour
    assert any(later < before for before, later in itertools.pairwise(seen))
    assert chain.operator.free - free == pytest.approx(0.95 * (earned - chain.uncollected))
    assert chain.operator.cut_collected == pytest.approx(0.1 * chain.operator.collected)
    assert chain.operator.owner_tokens > 40_000


def test_without_money_a_sponsorship_still_runs_and_pays_nothing(chain, ask):
    chain.sponsorships[NAMES["S1"]].funded_until = NOW - 1800.0
    before = chain.sponsorships[NAMES["S1"]].uncollected
    chain.advance(NOW + 3600)
    assert call(ask, NAMES["S1"], "0x2014e5d1")["result"][-1] == "1"
    assert call(ask, NAMES["S1"], "0x7c654303")["result"][-1] == "0"
    assert chain.sponsorships[NAMES["S1"]].rate(NOW) == 0.0
    assert chain.sponsorships[NAMES["S1"]].uncollected <= before


def test_a_sponsorship_that_needs_two_operators_pays_one_nothing(chain):
    lonely = chain.sponsorships[NAMES["S1"]]
    lonely.operators, lonely.min_operators = 1, 2
    before = lonely.uncollected
    chain.advance(NOW + 600)
    assert lonely.uncollected == before


def test_free_data_is_the_tokens_balance_of_the_operator(ask, chain):
    found = call(ask, TOKEN, "0x70a08231" + abi.address(NAMES["operator"]))["result"]
    assert int(found, 16) == abi.to_wei(chain.operator.free)


# --- subgraph ---

QUERY = """query($op: ID!, $where: ID!) { _meta { block { number timestamp } hasIndexingErrors }
 operator(id: $op) { valueWithoutEarnings slashingsCount stakes { amountWei sponsorship { id totalPayoutWeiPerSec } } }
 sponsorship(id: $where) { totalPayoutWeiPerSec } }"""


def graph(ask, query, **variables):
    return ask.json("/subgraphs/name/x", method="POST", body={"query": query, "variables": variables})


def test_the_subgraph_gives_what_was_selected_and_no_more(ask):
    found = graph(ask, QUERY, op=NAMES["operator"], where=NAMES["S2"])["data"]
    assert set(found) == {"_meta", "operator", "sponsorship"}
    assert set(found["operator"]) == {"valueWithoutEarnings", "slashingsCount", "stakes"}
    assert found["operator"]["stakes"][0]["sponsorship"] == {
        "id": NAMES["S1"],
        "totalPayoutWeiPerSec": "50000000000000000",
    }
    assert found["sponsorship"] == {"totalPayoutWeiPerSec": "20000000000000000"}
    assert isinstance(found["operator"]["slashingsCount"], int)


def test_the_subgraph_knows_ids_in_lower_case_only(ask):
    assert graph(ask, QUERY, op=RECORDED["addresses"]["operator"], where="0x0")["data"]["operator"] is None


@pytest.mark.parametrize("body", [b"", b"{}", b'{"query": 7}'])
def test_the_subgraphs_errors_come_with_200_and_no_data(ask, body):
    found = ask.json("/subgraphs/name/x", method="POST", body=body)
    assert "data" not in found
    assert found["errors"][0]["message"].startswith("bad query")


# --- node ---


def test_info_has_the_shape_of_a_real_node(chain, asker, shape_of):
    recorded = json.loads((Path(__file__).resolve().parents[2] / "fixtures/streamr/info.json").read_text())
    served = asker(Node(chain), NOW).json("/info")
    assert shape_of(served) == shape_of(recorded)


def test_a_node_with_keys_tells_missing_from_wrong(chain, asker):
    ask = asker(Node(chain, api_key="k"), NOW)
    assert (ask("/info").status, ask("/info").body) == (401, b"Unauthorized")
    assert (ask("/info", headers={"authorization": "bearer x"}).status) == 403
    assert ask("/info", headers={"authorization": "bearer k"}).status == 200


def test_another_path_of_the_node_is_express_404(chain, asker):
    assert asker(Node(chain), NOW)("/metrics").status == 404


@pytest.mark.parametrize("looks", [3, 50, 777])
def test_the_state_does_not_depend_on_how_often_it_was_looked_at(looks):
    def world():
        operator = Operator(NAMES["operator"], NAMES["owner"], NAMES["agent"], NAMES["node"], free=100.0)
        return Chain(
            operator, [Sponsorship(NAMES["S1"], "s", Pool(0.05, Demand(1e6, 4)), NOW + 3e5, stake=50_000.0)], NOW
        )

    often, once = world(), world()
    for k in range(1, looks + 1):
        often.advance(NOW + k * 4e5 / looks)
    once.advance(NOW + 4e5)
    assert often.operator.free == pytest.approx(once.operator.free, rel=1e-12)
    assert often.uncollected == pytest.approx(once.uncollected, rel=1e-6, abs=1e-9)
