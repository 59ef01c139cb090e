"""Messages arrive as they were sent; what breaks a promise is refused whole, in words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.fleet.crdt import Replica
from controller.fleet.peer import Peer
from controller.fleet.terms import grow, shrink
from controller.fleet.topology import topology
from controller.fleet.wire import Changes, Malformed, Message, decoded, encoded, packed, unpacked
from tests.controller.fleet.test_crdt import content, fleets

NAMES = ("a", "b", "c")
STEP = grow("rack-1/golem", "cpu", 1, 2)


def known() -> Replica:
    replica = Replica()
    peer = Peer("a", NAMES, topology("full", 3), 1, replica)
    replica.add(STEP, peer.writer, 1)
    replica.add(shrink("rack-1/akash", "cpu", 4, 2), peer.writer, 1)
    replica.equate(STEP, grow("rack-2/golem", "cpu", 1, 2), peer.writer, 1)
    replica.count("a", "give x b", 3, peer.writer)
    replica.write("holding", "x@a", {"held": 1, "want": 2}, peer.stamp(1e9), peer.writer)
    return replica


def as_json() -> dict:
    return json.loads(packed(known().delta({})).model_dump_json())


def read(found: dict) -> None:
    unpacked(Changes.model_validate_json(json.dumps(found)))


@given(fleets())
def test_what_is_sent_arrives_as_it_was(fleet):
    for replica in fleet:
        delta = replica.delta({})
        again = Replica()
        again.absorb(unpacked(Changes.model_validate_json(packed(delta).model_dump_json())))
        assert content(again) == content(replica)
        assert again.digest == replica.digest
        assert again.version == replica.version


@given(st.floats(0, 2e9), st.integers(1, 2**40))
def test_every_kind_of_message_arrives_as_it_was(now, start):
    peer = Peer("a", NAMES, topology("full", 3), start, known())
    messages = [*peer.tick(now), *peer.push(now)]
    assert {message.kind for message in messages} == {"heartbeat", "sync", "state"}
    for message in messages:
        assert decoded(encoded(message)) == Message.model_validate_json(message.model_dump_json())


def lie(found):
    (name,) = [name for name, item in found["terms"].items() if item[0] == "shrink"]
    found["terms"][name][1][3] = 1.0


def unannounced(found):
    found["until"]["a.1"] -= 1


def known_already(found):
    found["since"]["a.1"] = 1


def wrong_way(found):
    found["equalities"][0][:2] = reversed(found["equalities"][0][:2])


def others_counter(found):
    found["counters"][0][0] = "b"


def others_register(found):
    found["registers"][0][1] = "x@b"


def others_name(found):
    found["registers"][0][2][2] = "b"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lie, "has another id"),
        (known_already, "lies outside of what was announced"),
        (others_counter, r"counter '(give x b|starts)' of b was raised by a\.1"),
        (others_name, r"register 'x@a' was written by a\.1 in the name of a"),
        (others_register, r"register 'x@b' was written by a\.1 in the name of b"),
        (unannounced, "lies outside of what was announced"),
        (wrong_way, "is the wrong way round"),
    ],
    ids=lambda given: given.__name__ if callable(given) else "",
)
def test_changes_that_break_a_promise_are_refused_whole(spoil, words):
    found = as_json()
    read(found)
    spoil(found)
    with pytest.raises(Malformed, match=words):
        read(found)


def spoilt(**fields) -> bytes:
    peer = Peer("a", NAMES, topology("full", 3), 1)
    return json.dumps({**json.loads(encoded(peer.sync(5.0)[0])), **fields}).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the message: Invalid JSON"),
        (b"\xff\x00", "the message: Invalid JSON"),
        (b"[]", "the message: Input should be"),
        (spoilt(body={"kind": "sync"}), r"body\.sync\.version: Field required"),
        (spoilt(body={"kind": "gossip"}), "body: Input tag 'gossip' found"),
        (spoilt(hops=-1), "hops: Input should be greater than or equal to 0"),
        (spoilt(sent="now"), "sent: Input should be a valid number"),
        (spoilt(sent=float("nan")), "sent: Input should be"),
        (spoilt(via=""), "via: String should have at least 1 character"),
        (spoilt(extra=1), "extra: Extra inputs are not permitted"),
    ],
    ids=["empty", "no json", "a list", "no version", "unknown kind", "negative", "a word", "nan", "nobody", "unknown field"],
)  # fmt: skip
def test_what_is_no_message_is_refused_with_its_place(body, words):
    with pytest.raises(Malformed, match=words):
        decoded(body)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"to": "c"}, "is for c, not for b"),
        ({"via": "z"}, "came from z, which is no neighbour of b"),
        ({"origin": "z"}, "is of z, which is no agent of this fleet"),
        ({"origin": "c"}, "of c was handed on by a; only heartbeats are"),
        ({"stamp": [9_999_999, 0, "a"]}, "the clock of a is 9995 s ahead of that of b"),
    ],
    ids=["another's", "no neighbour", "stranger", "handed on", "from the future"],
)
def test_a_message_that_cannot_be_changes_nothing_and_is_counted(fields, words):
    peer = Peer("b", NAMES, topology("full", 3), 1)
    before = peer.replica.digest
    given = {"to": "b", **fields}
    assert peer.hear(decoded(spoilt(**given)), 5.0) == []
    assert peer.counts.refused == 1
    assert words in peer.why_refused
    assert peer.replica.digest == before
