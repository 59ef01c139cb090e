"""Large messages in pieces: what is put together is what was cut, and nothing else is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.fleet.transport.pieces import ID, PIECE, PLACE, STALE, TOTAL, Joining, OutOfTurn, Piece, cut
from controller.fleet.wire import MOST_BYTES


def taken(joining, pieces, now=0.0):
    return [joining.take(Piece.read(piece.headers, piece.body), now) for piece in pieces]


@given(st.binary(min_size=1, max_size=300), st.integers(1, 100))
def test_pieces_come_to_the_message_that_was_cut(body, size):
    pieces = cut("a.1-1", body, size)
    assert all(len(piece.body) <= size for piece in pieces)
    assert taken(Joining(), pieces) == [None] * (len(pieces) - 1) + [body]


def test_a_message_is_cut_into_pieces_that_leave_room_between_them():
    assert [len(piece.body) for piece in cut("a.1-1", b"x" * (2 * PIECE + 1))] == [PIECE, PIECE, 1]


def test_one_message_after_the_other_is_put_together():
    joining = Joining()
    assert taken(joining, cut("a.1-1", b"one", 2))[-1] == b"one"
    assert taken(joining, cut("a.1-2", b"other", 2))[-1] == b"other"
    assert joining.have == 0


def test_a_first_piece_takes_the_place_of_a_message_that_was_given_up():
    joining = Joining()
    taken(joining, cut("a.1-1", b"given up", 2)[:3])
    assert taken(joining, cut("a.1-2", b"whole", 2))[-1] == b"whole"


FIRST, SECOND, THIRD = cut("a.1-1", b"abcdef", 2)
OTHER = cut("a.1-2", b"uvwxyz", 2)[1]
LONGER = cut("a.1-1", b"abcdefgh", 2)[1]
OUT_OF_TURN = {
    "a later piece first": [SECOND],
    "a piece of another message": [FIRST, OTHER],
    "a piece of another length of message": [FIRST, LONGER],
    "a piece twice": [FIRST, SECOND, SECOND],
    "one left out": [FIRST, THIRD],
}


@pytest.mark.parametrize("pieces", OUT_OF_TURN.values(), ids=OUT_OF_TURN)
def test_a_piece_out_of_turn_is_refused_and_the_rest_is_dropped(pieces):
    joining = Joining()
    with pytest.raises(OutOfTurn, match="came instead of"):
        taken(joining, pieces)
    assert (joining.id, joining.have) == ("", 0)
    assert taken(joining, [FIRST, SECOND, THIRD])[-1] == b"abcdef"


def test_what_is_not_gone_on_with_is_dropped():
    joining = Joining()
    taken(joining, [FIRST], now=100.0)
    joining.drop_stale(100.0 + STALE)
    assert joining.have == 2
    joining.drop_stale(100.1 + STALE)
    assert joining.have == 0


NO_PIECES = {
    "no headers": {},
    "a place that is no number": {ID: "a", PLACE: "x", TOTAL: "9"},
    "beyond the end": {ID: "a", PLACE: "8", TOTAL: "9"},
    "before the beginning": {ID: "a", PLACE: "-2", TOTAL: "9"},
    "longer than any message": {ID: "a", PLACE: "0", TOTAL: str(MOST_BYTES + 1)},
    "of nothing": {ID: "a", PLACE: "0", TOTAL: "0"},
}


@pytest.mark.parametrize("headers", NO_PIECES.values(), ids=NO_PIECES)
def test_what_is_no_piece_is_refused(headers):
    with pytest.raises(OutOfTurn):
        Piece.read(headers, b"xy")


def test_an_empty_piece_is_refused():
    with pytest.raises(OutOfTurn):
        Piece.read({ID: "a", PLACE: "0", TOTAL: "9"}, b"")
