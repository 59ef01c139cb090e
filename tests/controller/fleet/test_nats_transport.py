"""Messages between agents over a real nats-server on 127.0.0.1."""

import asyncio
import json
import signal

import nats
import pytest

from controller.fleet.manifest import Nats
from controller.fleet.transport import Unreachable
from controller.fleet.transport.nats import OverNats
from controller.fleet.transport.stream import STREAM
from controller.fleet.wire import MOST_BYTES, Heartbeat, decoded, encoded
from tests.controller.fleet.nats_ends import BODIES, large, message, opened, send, until
from tests.controller.fleet.nats_servers import Server, clustered, ports, serving

pytestmark = pytest.mark.tool("nats")


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path / "nats") as found:
        yield found


@pytest.fixture
async def pair(server):
    async with opened("a", ["b", "c"], server) as a, opened("b", ["a", "c"], server) as b:
        yield a, b


@pytest.fixture
async def watcher(server):
    """Whoever looks on from outside."""
    client = await nats.connect(server.url)
    yield client
    await client.close()


async def test_a_message_of_each_kind_reaches_the_neighbour_that_it_is_for_as_it_was_sent(pair):
    a, b = pair
    sent = [await send(a, "b", kind) for kind in BODIES]
    await until(lambda: len(b.bodies) == len(sent), "all to arrive")
    assert sorted(b.ids) == sorted(sent)
    assert {decoded(body).kind.value for body in b.bodies} == set(BODIES)
    assert a.bodies == []


async def test_what_is_for_another_is_not_taken(pair, server):
    a, b = pair
    async with opened("c", ["a", "b"], server) as c:
        for kind in BODIES:
            await send(a, "c", kind)
        last = {await send(a, "b", kind) for kind in BODIES}
        await until(lambda: last <= set(b.ids) and len(c.bodies) == len(BODIES), "all to arrive")
        assert set(b.ids) == last


@pytest.mark.parametrize("kind", BODIES)
async def test_what_comes_from_no_neighbour_is_not_taken(pair, watcher, kind):
    a, b = pair
    said = message("stranger", "b", kind)
    await watcher.publish(f"orcha.agent.stranger.{kind}", encoded(said), headers={"Orcha-To": "b"})
    await watcher.flush()
    last = await send(a, "b", kind)
    await until(lambda: b.ids, "the neighbour's to arrive")
    assert b.ids == [last]


async def test_states_that_were_sent_while_a_neighbour_was_down_reach_it_when_it_is_back(server):
    async with opened("a", ["b"], server) as a:
        before = await send(a, "b")  # b was never there: a sync round tells it, and of all that was said before
        async with opened("b", ["a"], server) as b:
            first = await send(a, "b")
            await until(lambda: b.ids == [first], "the first to arrive")
        missed = [await send(a, "b") for _ in range(3)]
        await send(a, "b", "heartbeat")
        async with opened("b", ["a"], server) as again:
            await until(lambda: len(again.bodies) == 3, "what was missed to arrive")
            last = await send(a, "b", "sync")
            await until(lambda: last in again.ids, "what comes later to arrive")
            assert before not in again.ids
            assert again.ids == [*missed, last], "heartbeats of the past are of no use"


async def pending(watcher):
    """What b's consumer delivered that was not acknowledged."""
    return (await watcher.jetstream().consumer_info(STREAM, "b__a")).num_ack_pending


async def test_a_state_is_acknowledged_once_it_was_taken(server, watcher):
    async with opened("a", ["b"], server) as a, opened("b", ["a"], server) as b:
        await send(a, "b")
        await until(lambda: b.bodies, "it to be taken")
        async with asyncio.timeout(10):
            while await pending(watcher):
                pass


async def test_a_state_that_could_not_be_taken_is_not_acknowledged(server, watcher):
    tried = []

    def refuse(body):
        tried.append(body)
        raise RuntimeError("no room")

    refusing = OverNats(Nats(servers=[server.url]))
    async with opened("a", ["b"], server) as a:
        try:
            await refusing.open("b", ["a"], refuse)
            stream = refusing._link._stream
            await until(lambda: stream._led.is_set() and not stream._direct, "b to be connected")
            await send(a, "b")
            await until(lambda: tried, "it to be tried")
            assert await pending(watcher) == 1
        finally:
            await refusing.close()


async def test_a_server_that_is_started_again_is_used_again(pair, server):
    a, b = pair
    server.kill()
    await until(lambda: not a.transport.connected, "the loss to be noticed")
    with pytest.raises(Unreachable, match=rf"nats://127.0.0.1:{server.port}"):
        await send(a, "b", "sync")
    server.start()
    await until(lambda: a.settled() and b.settled(), "both to be connected again")
    last = {await send(a, "b", kind) for kind in BODIES}
    await until(lambda: last <= set(b.ids), "all to arrive")


async def test_what_is_said_first_after_the_start_is_not_lost(server):
    took = []
    for _ in range(5):
        began = asyncio.get_running_loop().time()
        async with opened("a", ["b"], server, settled=False) as a:
            took.append(asyncio.get_running_loop().time() - began)
            assert a.transport.connected
            await send(a, "b", "heartbeat")
    assert min(took) < 0.8, "it is waited for no longer than it takes"


async def test_a_server_that_says_nothing_holds_up_the_start_for_a_moment_only():
    held = asyncio.Event()

    async def serve(reader, writer):
        await held.wait()
        writer.close()

    silent = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with silent:
        began = asyncio.get_running_loop().time()
        async with opened("a", ["b"], f"nats://127.0.0.1:{silent.sockets[0].getsockname()[1]}", settled=False) as a:
            assert asyncio.get_running_loop().time() - began < 2.5
            assert not a.transport.connected
            assert a.transport.why == "no connection to NATS was made yet"
        held.set()


async def test_a_server_that_is_not_there_yet_is_waited_for(tmp_path):
    server = Server(tmp_path / "nats", *ports(2))
    async with opened("a", ["b"], server, settled=False) as a, opened("b", ["a"], server, settled=False) as b:
        await until(lambda: "cannot be reached" in a.transport._why, "the first try to fail")
        assert not a.transport.connected
        assert a.transport.why == f"{server.url} cannot be reached: nothing listens there (connection refused)"
        with pytest.raises(Unreachable, match=rf"nats://127.0.0.1:{server.port} cannot be reached: nothing listens"):
            await send(a, "b")
        try:
            server.start()
            await until(lambda: a.settled() and b.settled(), "both to be connected")
            last = await send(a, "b")
            await until(lambda: b.ids == [last], "a message to arrive")
        finally:
            server.kill()


async def test_why_there_is_no_connection_is_said_once_however_often_it_is_tried(capsys):
    tries = []

    async def hang_up(_, writer):
        tries.append(writer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listening:
        place = f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with opened("a", ["b"], place, settled=False):
            await until(lambda: len(tries) > 3, "it to be tried some times")
    assert capsys.readouterr().out.count("NATS cannot be reached; it is tried again") == 1


async def test_of_several_servers_one_that_answers_is_taken(server):
    gone = f"nats://127.0.0.1:{ports(1)[0]}"
    async with opened("a", ["b"], gone, server, gone) as a:
        assert a.transport.connected


async def test_a_server_that_the_cluster_told_of_is_taken_when_the_known_one_is_gone(tmp_path):
    with clustered(tmp_path, 2) as cluster:
        known, other = cluster.servers
        async with opened("a", ["b"], known, settled=False) as a:
            await until(lambda: a.transport.connected, "a to be connected")
            await until(lambda: a.client.discovered_servers, "the cluster to tell of the other")
            known.kill()
            await until(
                lambda: a.transport.connected and a.client.connected_url.port == other.port, "the other to be taken"
            )


async def test_without_jetstream_states_are_delivered_to_whoever_is_there_and_it_is_said_once(tmp_path, capsys):
    with serving(tmp_path / "nats", jetstream=False) as server:
        async with (
            opened("a", ["b"], server, settled=False) as a,
            opened("b", ["a", "c"], server, settled=False) as b,
        ):
            await until(lambda: a.transport.connected and b.transport.connected, "both to be connected")
            await until(lambda: len(b.stream._direct) == 2 and not b.client.pending_data_size, "b to listen")
            await b.client.flush()
            sent = [await send(a, "b") for _ in range(5)]
            await until(lambda: len(b.bodies) == 5, "all to arrive")
            assert b.ids == sent
            said = ""

            def heard():
                nonlocal said
                said += capsys.readouterr().out
                return said.count("offer no JetStream") >= 2

            await until(heard, "both to say it")
    assert (said + capsys.readouterr().out).count("offer no JetStream") == 2


async def test_a_stream_that_was_taken_away_is_made_again_and_nothing_waits_for_it(pair, watcher):
    a, b = pair
    await watcher.jetstream().delete_stream(STREAM)
    with pytest.raises(Unreachable, match="ORCHA_FLEET does not take"):
        await send(a, "b")
    assert not a.transport.keeps
    direct = await send(a, "b")  # not to the stream, and so not refused
    await until(lambda: a.settled() and b.settled(), "the stream and its consumers to be there again")
    last = await send(a, "b")
    await until(lambda: {direct, last} <= set(b.ids), "both to arrive")


async def test_a_stream_that_was_taken_away_is_made_again_also_while_nobody_says_anything(pair, watcher):
    await watcher.jetstream().delete_stream(STREAM)
    async with asyncio.timeout(20):
        while not await there(watcher):
            pass


async def there(watcher):
    try:
        return await watcher.jetstream().stream_info(STREAM)
    except nats.js.errors.NotFoundError:
        return None


async def test_heartbeats_of_ones_own_are_told_to_everybody_once_and_those_handed_on_are_not(pair, watcher):
    a, _ = pair
    seen = await watcher.subscribe("orcha.broadcast.heartbeat")
    status = await watcher.subscribe("orcha.network.status")
    await watcher.flush()
    own = Heartbeat(beat=7, digest="abc")
    for to in ("b", "c"):
        await send(a, to, body=own)
    handed_on = message("z", "b", body=Heartbeat(beat=9, digest="z")).model_copy(update={"via": "a", "hops": 2})
    await a.transport.send(handed_on, encoded(handed_on))
    await a.transport.tell(b'{"alive": 3}')
    assert (await status.next_msg(5)).data == b'{"alive": 3}'
    said = json.loads((await seen.next_msg(5)).data)
    assert (said["agent"], said["start"], said["beat"], said["digest"]) == ("a", 1, 7, "abc")
    assert seen.pending_msgs == 0


async def test_a_status_that_is_too_large_is_refused(pair):
    with pytest.raises(Unreachable, match="too many for orcha"):
        await pair[0].transport.tell(bytes(2**21))


# --- large messages ---------------------------------------------------------------------------------------------------


async def test_a_full_state_of_twenty_mebibytes_gets_through_beside_smaller_messages(pair):
    a, b = pair
    said, body = large("b", 20 * 2**20)
    await a.transport.send(said, body)
    assert (small := await send(a, "b", "heartbeat"))
    await until(lambda: len(b.bodies) == 2, "both to arrive")
    assert decoded(b.bodies[0]).id == small, "the heartbeat did not wait for it"
    assert b.bodies[1] == body


async def test_a_server_that_takes_little_at_once_is_given_little(tmp_path):
    with serving(tmp_path / "nats", "max_payload: 8192") as server:
        async with opened("a", ["b"], server) as a, opened("b", ["a"], server) as b:
            said, body = large("b", 100_000)
            await a.transport.send(said, body)
            await until(lambda: b.bodies == [body], "it to arrive")


async def test_a_server_that_takes_too_little_is_not_used(tmp_path):
    with serving(tmp_path / "nats", "max_payload: 1024") as server:
        async with opened("a", ["b"], server, settled=False) as a:
            await until(lambda: "max_payload" in a.transport._why, "it to be said")
            with pytest.raises(Unreachable, match="takes 1024 bytes in a message; set its max_payload to 4096 or more"):
                await send(a, "b")


async def test_one_large_message_at_a_time_is_under_way_to_a_neighbour(pair, server):
    a, b = pair
    async with opened("c", ["a"], server) as c:
        (first, body), (second, more), (third, other) = (large(to, 3 * 2**20) for to in ("b", "b", "c"))
        await a.transport.send(first, body)
        with pytest.raises(Unreachable, match="a large message is still under way to b"):
            await a.transport.send(second, more)
        await a.transport.send(third, other)
        await until(lambda: b.bodies == [body] and c.bodies == [other], "the first ones to arrive")
        await until(lambda: not a.transport._link._shipping, "a to know")
        await a.transport.send(second, more)
        await until(lambda: b.bodies == [body, more], "the next to arrive")


async def test_a_large_message_for_a_neighbour_that_is_down_is_given_up_and_a_later_one_arrives(server, capsys):
    async with opened("a", ["b"], server) as a:
        await a.transport.send(*large("b", 3 * 2**20))
        await until(lambda: not a.transport._link._shipping, "it to be given up")
        assert "a large message did not arrive" in capsys.readouterr().out
        async with opened("b", ["a"], server) as b:
            said, body = large("b", 3 * 2**20)
            await a.transport.send(said, body)
            await until(lambda: b.bodies == [body], "it to arrive")


async def test_a_message_that_nobody_would_read_is_not_sent(pair):
    with pytest.raises(Unreachable, match=f"at most {MOST_BYTES} are sent"):
        await pair[0].transport.send(message("a", "b"), bytes(MOST_BYTES + 1))


async def test_pieces_out_of_turn_are_refused_and_what_is_for_another_is_not_answered(pair, watcher):
    _, b = pair
    headers = {"Orcha-To": "b", "Orcha-Id": "a.1-1", "Orcha-Piece": "5", "Orcha-Bytes": "9"}
    answer = await watcher.request("orcha.agent.a.piece.b", b"xy", timeout=5, headers=headers)
    assert answer.data == b"-"
    with pytest.raises(nats.errors.TimeoutError):
        await watcher.request("orcha.agent.a.piece.b", b"xy", timeout=0.2, headers={**headers, "Orcha-To": "c"})
    assert b.bodies == []


async def test_many_messages_arrive_all_and_in_order(pair):
    a, b = pair
    sent = [await send(a, "b", "sync") for _ in range(2000)]
    states = [await send(a, "b") for _ in range(600)]  # more than one pull
    await until(lambda: len(b.bodies) == 2600, "all to arrive")
    assert [found for found in b.ids if found in set(sent)] == sent
    assert [found for found in b.ids if found in set(states)] == states


async def send_all(agent, body):
    """More than any line holds; none of it may take long."""
    for _ in range(200):
        async with asyncio.timeout(10):
            await agent.transport.send(message(agent.name, "b", "sync"), body)


async def test_a_line_that_takes_nothing_more_is_told_in_bounded_time_and_little_waits(pair, server):
    a, _ = pair
    body = bytes(900_000)
    server.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(Unreachable, match="the line to NATS is too slow"):
            await send_all(a, body)
    finally:
        server.process.send_signal(signal.SIGCONT)
