"""Who answers where is told by the protocol's own look: an open port alone is nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from controller.setup.finding import Finder, operator_address
from controller.setup.wish import Ports, Streamr, Wish
from exporters.clock import SystemClock
from exporters.collector import discover
from exporters.poller import open_client
from exporters.session import HttpSession

NOWHERE = Wish(Path("m"), "rack", hosts=())


def asked(**more):
    return Wish(Path("m"), "rack", hosts=(), **more)


def kinds(harvest):
    return [(each.protocol, each.endpoint) for each in harvest.found]


async def test_storagenodes_are_found_on_their_usual_ports_and_say_who_they_are(served, find):
    """The ports are those of the test's servers; one of them is a daemon of Golem, which is no storagenode."""
    _, server = served
    ports = [server.ports[site] for site in ("rack-2-storj-1", "rack-2-storj-2", "rack-1-golem")]
    harvest = await find(Wish(Path("m"), "rack", ports=Ports(tuple(ports), (), ())))
    assert kinds(harvest) == [("storj", f"http://127.0.0.1:{port}") for port in ports[:2]]
    assert all(each.reading.node_id and each.reading.allocated["storage"] > 0 for each in harvest.found)
    (missed,) = harvest.missed
    assert missed.endpoint.endswith(str(ports[2]))


async def test_a_host_that_was_named_and_where_nobody_is_is_told_and_one_that_is_this_machine_is_not(
    served, find, free_port
):
    _, server = served
    ports = Ports((server.ports["rack-2-storj-1"], free_port()), (), ())
    hosts = ("127.0.0.1", "localhost", "nowhere.invalid")
    harvest = await find(Wish(Path("m"), "rack", hosts=hosts, ports=ports))
    assert len(harvest.found) == 1
    assert harvest.silent == ("nowhere.invalid",)
    assert (await find(Wish(Path("m"), "rack", ports=Ports((free_port(),), (), ())))).silent == ()


async def test_a_daemon_of_golem_is_known_by_how_it_asks_for_a_key_and_told_how_to_get_one(served, find):
    _, server = served
    harvest = await find(asked(golem=(server.address("rack-1-golem"),)))
    assert not harvest.found
    assert "is a yagna daemon (Golem), and it needs an application key" in harvest.missed[0].sentence
    assert "yagna app-key create" in harvest.missed[0].todo


async def test_with_its_key_a_daemon_is_found_and_only_the_name_of_the_file_is_kept(served, find, tmp_path):
    made, server = served
    key = tmp_path / "key"
    key.write_text(made.secrets["yagna-app-key"])
    (found,) = (await find(asked(golem=(server.address("rack-1-golem"),), golem_key_file=key))).found
    assert found.credentials == {"appKeyFile": str(key)}
    assert found.reading.allocated["cpu"] == 8


async def test_a_wrong_key_is_told_and_its_content_is_not(served, find, tmp_path):
    _, server = served
    key = tmp_path / "key"
    key.write_text("not-the-right-key-4711")
    harvest = await find(asked(golem=(server.address("rack-1-golem"),), golem_key_file=key))
    assert not harvest.found
    assert "401" in harvest.missed[0].sentence
    assert "4711" not in str(harvest.missed)


async def test_the_stakes_of_an_operator_are_told_by_his_own_contract(served, find):
    made, server = served
    harvest = await find(asked(streamr=Streamr(made.operator, server.address("rack-2-rpc"))))
    assert sorted(each.options["sponsorship"] for each in harvest.found) == sorted(made.sponsorships)
    assert all(each.reading.allocated["stake/DATA"] > 0 for each in harvest.found)


async def test_an_operator_that_the_chain_does_not_know_is_told(served, find):
    _, server = served
    harvest = await find(asked(streamr=Streamr("0x" + "1" * 40, server.address("rack-2-rpc"))))
    assert not harvest.found
    assert "does not tell this operator's stakes" in harvest.missed[0].sentence


async def test_an_account_of_grass_is_found_with_its_token(served, find, tmp_path):
    made, server = served
    token = tmp_path / "token"
    token.write_text(made.secrets["grass-token"])
    (found,) = (await find(asked(grass=server.address("rack-1-grass"), grass_token_file=token))).found
    assert (found.protocol, found.reading.state) == ("grass", "earning")


async def page(aiohttp_server, body, content_type="text/plain"):
    async def answer(_request):
        return web.Response(text=body, content_type=content_type)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    return str((await aiohttp_server(app)).make_url("")).rstrip("/")


METRICS = '# TYPE go_goroutines gauge\ngo_goroutines 7\nmine_blocks_total{kind="a"} 3\nmine_blocks_total{kind="b"} 4\nmine_up 1\n'


async def test_a_page_of_metrics_becomes_a_mapping_that_watches_it_and_names_what_it_has(aiohttp_server, find):
    url = await page(aiohttp_server, METRICS)
    (found,) = (await find(asked(mapped=(f"{url}/metrics",)))).found
    assert (found.protocol, found.endpoint) == ("mapped", url)
    assert found.metrics == ("mine_blocks_total", "mine_up", "go_goroutines")
    assert found.reading.healthy is True
    assert set(found.mapping["figures"]) == {"healthy"}, "what the others mean nobody can guess"


async def test_metrics_on_a_usual_port_are_told_and_not_taken(aiohttp_server, find):
    url = await page(aiohttp_server, METRICS)
    ports = Ports((), (), (int(url.rpartition(":")[2]),))
    harvest = await find(Wish(Path("m"), "rack", ports=ports))
    assert not harvest.found
    assert harvest.missed[0].todo == f"to watch it: --mapped {url}/metrics"


@pytest.mark.parametrize(
    ("body", "kind"),
    [("<html>hello</html>", "text/html"), ("{}", "application/json"), ('{"nodeID": null}', "application/json")],
    ids=["a web page", "an empty object", "no id"],
)
async def test_something_else_on_a_storagenodes_port_is_no_storagenode(aiohttp_server, find, body, kind):
    url = await page(aiohttp_server, body, kind)
    harvest = await find(asked(storj=(url,)))
    assert not harvest.found
    assert harvest.missed[0].endpoint == url


async def test_nobody_at_a_port_that_was_only_tried_is_nothing_to_tell_but_at_one_that_was_named_it_is(find, free_port):
    port = free_port()
    tried = await find(Wish(Path("m"), "rack", ports=Ports((port,), (port,), (port,))))
    assert (tried.found, tried.missed) == ((), ())
    named = await find(asked(storj=(f"http://127.0.0.1:{port}",)))
    assert "nothing listens there" in named.missed[0].sentence


async def test_what_takes_connections_and_says_nothing_is_told_after_the_patience():
    async def hang(reader, writer):
        await reader.read()  # until the other side gives up
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server, open_client() as client:
        port = server.sockets[0].getsockname()[1]
        finder = Finder(discover(), HttpSession(client), SystemClock(), 0.2)
        harvest = await finder.find(asked(storj=(f"http://127.0.0.1:{port}",)))
    assert "takes connections and does not answer" in harvest.missed[0].sentence
    assert "--patience" in harvest.missed[0].todo


async def test_a_node_that_answers_at_two_addresses_is_one(served, find):
    _, server = served
    port = server.ports["rack-1-storj"]
    harvest = await find(asked(storj=(f"http://127.0.0.1:{port}", f"http://localhost:{port}")))
    assert len(harvest.found) == 1


async def test_where_nothing_is_asked_nothing_is_found(find):
    assert (await find(NOWHERE)).found == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("0x12", "write 0x and 40 hexadecimal digits"), ("0x39f947CF7B461b817ce7D951786c2958C663BbEa", "mistyped")],
    ids=["too short", "a wrong letter"],
)
def test_an_operators_address_is_checked(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        operator_address(text)
