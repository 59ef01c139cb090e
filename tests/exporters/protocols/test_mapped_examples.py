"""The six worked examples of docs/protocols/examples, each run against a server that answers as its protocol does.

Shapes: the sources that each example names; values constructed.
"""

from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from exporters.collector import Workload, load, look, workloads_of
from exporters.manifests import load_nodes
from exporters.reading import Quality, Reading
from exporters.session import HttpSession
from exporters.traits import CurveKind

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "protocols" / "examples"
NOW = 1_800_000_000.0


def example(name: str, **changes: object) -> Workload:
    """The only workload of an example, with another endpoint, and files and options that exist here."""
    mapped = load("mapped")
    nodes, _, problems, _ = load_nodes([EXAMPLES / f"{name}.yaml"], {"mapped": mapped})
    assert problems == ()
    [(workload, spec)] = nodes[0].spec.workloads.items()
    changed = nodes[0].model_copy(
        update={"spec": nodes[0].spec.model_copy(update={"workloads": {workload: spec.model_copy(update=changes)}})}
    )
    return workloads_of([changed], {"mapped": mapped})[0]


class Node:
    """A server with one answer per path; a dict or list is JSON."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}
        self.posted: dict[str, object] = {}
        self.guard = None
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            self.posted[request.path] = await request.json()
        if self.guard is not None and not self.guard(request):
            return web.json_response({"error": "unauthorized"}, status=401)
        body = self.answers.get(request.path)
        if body is None:
            return web.Response(status=404, text="not found")
        return web.Response(text=body) if isinstance(body, str) else web.json_response(body)


@pytest.fixture
async def node(aiohttp_server):
    fake = Node()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    server = await aiohttp_server(app)
    fake.url = str(server.make_url("")).rstrip("/")
    return fake


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as client:
        yield HttpSession(client)


async def seen(session, workload: Workload, previous=None, at: float = NOW):
    return await look(load("mapped"), session, workload, at, previous)


def good(reading: Reading) -> Reading:
    assert reading.failure_message is None
    assert reading.notes == ()
    return reading


def file_instead(mapping: object, old: str, new: str) -> object:
    """The mapping with another path of its secret file."""
    if isinstance(mapping, dict):
        return {key: file_instead(value, old, new) for key, value in mapping.items()}
    if isinstance(mapping, list):
        return [file_instead(value, old, new) for value in mapping]
    return new if mapping == old else mapping


async def test_mysterium_logs_in_and_earns_by_the_difference_of_two_looks(node, session, tmp_path):
    (tmp_path / "password").write_text("mystberry\n")
    old = example("mysterium")
    mapping = file_instead(old.spec.mapping, "/run/secrets/mysterium-password", str(tmp_path / "password"))
    workload = example("mysterium", endpoint=node.url, mapping=mapping)
    identity = {
        "id": "0x0a", "registration_status": "Registered",
        "earnings_tokens": {"wei": "500000000000000000", "ether": "0.5", "human": "0.5"},
        "earnings_total_tokens": {"wei": "123000000000000000000", "ether": "123", "human": "123"},
    }  # fmt: skip
    node.answers = {
        "/tequilapi/auth/login": {"token": "jwt.a.b", "expires_at": "2027-01-01T00:00:00Z"},
        "/tequilapi/identities": {"identities": [{"id": "0x0a"}]},
        "/tequilapi/identities/0x0a": identity,
        "/tequilapi/healthcheck": {"uptime": "25h53m33.5s", "process": 10449, "version": "1.39.5"},
        "/tequilapi/node/monitoring-status": {"status": "passed"},
    }
    node.guard = lambda request: "login" in request.path or request.headers.get("Authorization") == "Bearer jwt.a.b"
    first, kept = await seen(session, workload)
    good(first)
    assert node.posted["/tequilapi/auth/login"] == {"username": "myst", "password": "mystberry"}
    assert (first.healthy, first.state, first.version, first.node_id) == (True, "Registered", "1.39.5", "0x0a")
    assert first.native.balance == {"accrued": {"MYST": pytest.approx(0.5)}}
    assert first.native.gross_per_hour == {}  # one look says nothing of a rate
    identity["earnings_total_tokens"] = {"wei": "123100000000000000000"}
    second, _ = await seen(session, workload, kept, NOW + 300)
    assert good(second).native.gross_per_hour == {"MYST": pytest.approx(0.1 * 12)}
    assert second.quality is Quality.MEASURED


HOSTD = """hostd_metrics_storage_total_bytes 8796093022208
hostd_metrics_storage_physical_used_bytes 2199023255552
hostd_metrics_storage_contract_used_bytes 2100000000000
hostd_metrics_revenue_earned_rpc 1.5
hostd_metrics_revenue_earned_storage {storage}
hostd_metrics_revenue_earned_ingress 10
hostd_metrics_revenue_earned_egress 20.25
hostd_metrics_revenue_potential_rpc 0
hostd_metrics_revenue_potential_storage 300
hostd_metrics_revenue_potential_ingress 2
hostd_metrics_revenue_potential_egress 5
hostd_metrics_contracts_risked_collateral 700.5
hostd_metrics_pricing_storage_price 0.00000000000003
hostd_consensus_height{block_id="x"} 500000 1800000000000
"""


async def test_hostd_is_read_with_basic_authentication_of_an_empty_user(node, session, tmp_path):
    (tmp_path / "password").write_text("sia-pass")
    old = example("hostd")
    mapping = file_instead(old.spec.mapping, "/run/secrets/hostd-password", str(tmp_path / "password"))
    workload = example("hostd", endpoint=node.url, mapping=mapping)
    node.guard = lambda request: request.headers.get("Authorization") == "Basic OnNpYS1wYXNz"
    node.answers = {
        "/api/metrics": HOSTD.replace("{storage}", "1000"),
        "/api/state": 'hostd_host_state{name="h",public_key="ed25519:ab",version="v2.4.0",commit="c",os="linux"} 1\nhostd_start_time 1.7e12\n',
        "/api/settings": "hostd_settings_accepting_contracts 1\n",
    }
    first, kept = await seen(session, workload)
    good(first)
    assert (first.healthy, first.version, first.node_id) == (True, "v2.4.0", "ed25519:ab")
    assert first.allocated == {"storage": 8796093022208.0}
    assert first.used == {"storage": 2199023255552.0}
    assert first.irreversible == {"storage": 2100000000000.0}
    assert first.native.balance == {"accrued": {"SC": pytest.approx(307)}, "at_risk": {"SC": 700.5}}
    assert first.native.price_per_unit_hour == {"storage": {"SC": pytest.approx(3e-14 * 6)}}
    node.answers["/api/metrics"] = HOSTD.replace("{storage}", "1002.5")
    second, _ = await seen(session, workload, kept, NOW + 3600)
    assert good(second).native.gross_per_hour == {"SC": pytest.approx(2.5)}
    assert workload.traits.curve is CurveKind.FILL
    assert workload.traits.irreversible
    assert workload.traits.horizon == 72 * 3600


LIVEPEER = """# HELP livepeer_ticket_value_recv TicketValueRecv
# TYPE livepeer_ticket_value_recv counter
livepeer_ticket_value_recv{manifest_id="",node_id="gpu-1",node_type="orch",sender="0xa"} %s
livepeer_ticket_value_recv{manifest_id="",node_id="gpu-1",node_type="orch",sender="0xb"} 500
# HELP livepeer_current_sessions_total Number of currently transcoded streams
# TYPE livepeer_current_sessions_total gauge
livepeer_current_sessions_total{node_id="gpu-1",node_type="orch"} 7
# TYPE livepeer_max_sessions_total gauge
livepeer_max_sessions_total{node_id="gpu-1",node_type="orch"} 10
"""


async def test_livepeer_tickets_are_gwei_and_a_restart_is_no_loss(node, session):
    workload = example("livepeer", endpoint=node.url)
    node.answers["/metrics"] = LIVEPEER % "1000000"
    first, kept = await seen(session, workload)
    good(first)
    assert (first.used, first.allocated) == ({"sessions/livepeer": 7.0}, {"sessions/livepeer": 10.0})
    node.answers["/metrics"] = LIVEPEER % "1.03e+06"
    second, kept = await seen(session, workload, kept, NOW + 30)
    assert good(second).native.gross_per_hour == {"ETH": pytest.approx(30_000e-9 * 120)}
    node.answers["/metrics"] = LIVEPEER % "12"
    third, kept = await seen(session, workload, kept, NOW + 60)
    assert third.up
    assert third.native.gross_per_hour == {}
    assert "no rate from this look" in third.notes[0]
    node.answers["/metrics"] = LIVEPEER % "1012"
    fourth, _ = await seen(session, workload, kept, NOW + 90)
    assert good(fourth).native.gross_per_hour == {"ETH": pytest.approx(1000e-9 * 120)}


GRAPH = """tap_unaggregated_fees_grt_total_by_version{sender="0x1",allocation="0x2",version="V2"} %s
tap_pending_rav_grt_total{sender="0x1",allocation="0x2"} %s
tap_sender_denied{sender="0x1"} %s
"""


async def test_graph_fees_that_move_from_one_metric_to_another_are_not_earned_twice(node, session):
    workload = example("graph-indexer", endpoint=node.url)
    node.answers["/metrics"] = GRAPH % ("5e+18", "1e+18", "0")
    first, kept = await seen(session, workload)
    assert good(first).healthy is True
    assert first.native.balance == {"accrued": {"GRT": pytest.approx(5)}, "pending": {"GRT": pytest.approx(1)}}
    node.answers["/metrics"] = GRAPH % ("0.5e+18", "6e+18", "1")
    second, _ = await seen(session, workload, kept, NOW + 60)
    assert good(second).native.gross_per_hour == {"GRT": pytest.approx(0.5 * 60)}
    assert second.healthy is False


AKASH = {
    "cluster": {
        "leases": 2,
        "inventory": {
            "active": [
                {"cpu": 4000, "gpu": 0, "memory": 8589934592, "storage_ephemeral": 1073741824},
                {"cpu": 1500, "gpu": 0, "memory": 1073741824, "storage_ephemeral": 1073741824},
            ],
            "available": {
                "nodes": [
                    {"name": "n1", "allocatable": {"cpu": 16000, "memory": 68719476736}, "available": {"cpu": 10500}},
                    {"name": "n2", "allocatable": {"cpu": 8000, "memory": 34359738368}, "available": {"cpu": 8000}},
                ]
            },
        },
    },
    "bidengine": {"orders": 0},
    "manifest": {"deployments": 2},
    "cluster_public_hostname": "provider.example.com",
    "address": "akash1provider",
}
LEASES = "/akash/market/v1beta4/leases/list"


def lease(denom: str, amount: str) -> dict[str, object]:
    return {
        "lease": {"lease_id": {"dseq": "1"}, "state": "active", "price": {"denom": denom, "amount": amount}},
        "escrow_payment": {},
    }


async def test_akash_earns_what_its_leases_agreed_to(node, session):
    workload = example("akash", endpoint=node.url, options={"chain": f"{node.url}/", "provider": "akash1provider"})
    node.answers = {
        "/status": AKASH,
        LEASES: {"leases": [lease("uakt", "10.5"), lease("uakt", "4.5"), lease("ibc/170C", "100")]},
    }
    reading, kept = await seen(session, workload)
    good(reading)
    assert reading.used == {"cpu": pytest.approx(5.5), "memory": 9663676416.0}
    assert reading.allocated == {"cpu": pytest.approx(24), "memory": 103079215104.0}
    assert reading.native.gross_per_hour == {"AKT": pytest.approx(15e-6 * 600), "USDC": pytest.approx(100e-6 * 600)}
    assert (reading.quality, reading.healthy, reading.node_id) == (Quality.ESTIMATED, True, "akash1provider")
    assert kept is None  # it counts nothing from one look to the next


async def test_akash_without_leases_earns_and_uses_nothing_which_is_known(node, session):
    workload = example("akash", endpoint=node.url, options={"chain": node.url, "provider": "p"})
    idle = {
        **AKASH,
        "cluster": {"leases": 0, "inventory": {"active": [], "available": AKASH["cluster"]["inventory"]["available"]}},
    }
    node.answers = {"/status": idle, LEASES: {"leases": [], "pagination": {"total": "0"}}}
    reading, _ = await seen(session, workload)
    assert good(reading).used == {"cpu": 0.0, "memory": 0.0}
    assert reading.native.gross_per_hour == {"AKT": 0.0, "USDC": 0.0}


async def test_akash_that_forgets_to_say_what_is_used_leaves_it_unknown(node, session):
    workload = example("akash", endpoint=node.url, options={"chain": node.url, "provider": "p"})
    node.answers = {"/status": {"cluster": {"inventory": {"available": {"nodes": []}}}}, LEASES: {"leases": []}}
    reading, _ = await seen(session, workload)
    assert reading.up
    assert reading.used == {}
    assert reading.allocated == {"cpu": 0.0, "memory": 0.0}
    assert reading.healthy is False


FLUX = {
    "/daemon/getfluxnodestatus": {
        "status": "success",
        "data": {"status": "CONFIRMED", "tier": "CUMULUS", "ip": "1.2.3.4:16127"},
    },
    "/apps/appsresources": {
        "status": "success",
        "data": {"appsCpusLocked": 1.5, "appsRamLocked": 2500, "appsHddLocked": 40},
    },
    "/flux/version": {"status": "success", "data": "5.12.0"},
}


async def test_flux_tells_what_its_apps_use_and_its_earnings_stay_unknown(node, session):
    workload = example("flux", endpoint=node.url)
    node.answers = dict(FLUX)
    reading, _ = await seen(session, workload)
    good(reading)
    assert reading.used == {"cpu": 1.5, "memory": 2.5e9, "storage": 4e10}
    assert (reading.healthy, reading.state, reading.version, reading.node_id) == (
        True,
        "CONFIRMED",
        "5.12.0",
        "1.2.3.4:16127",
    )
    assert (reading.native.gross_per_hour, reading.quality) == ({}, None)


async def test_flux_errors_come_with_http_200_and_are_seen(node, session):
    workload = example("flux", endpoint=node.url)
    node.answers = FLUX | {
        "/daemon/getfluxnodestatus": {"status": "error", "data": {"code": -1, "message": "daemon is not running"}}
    }
    reading, _ = await seen(session, workload)
    assert (reading.up, reading.failure) == (False, "malformed")
    assert reading.failure_message == "status says 'error' at $.status, not 'success'"
