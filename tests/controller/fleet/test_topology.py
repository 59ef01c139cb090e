"""Who is whose neighbour, and which way a message goes."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.fleet.topology import SIERPINSKI9, NoTopology, Topology, sierpinski, topology


def test_sierpinski9_is_the_graph_that_was_promised():
    nine = topology("sierpinski9", 9)
    assert len(nine.edges) == 16
    assert set(nine.edges) == set(SIERPINSKI9)
    assert nine.diameter == 3
    assert nine.mean_distance == Fraction(61, 36)
    assert nine.mean_distance_with_itself == Fraction(122, 81)


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_sierpinski_graph_joins_three_copies_of_the_one_below_at_their_corners(level):
    made = sierpinski(level)
    assert made.size == 3**level
    assert len(made.edges) == (3 ** (level + 1) - 3) // 2
    assert made.diameter == 2**level - 1
    degrees = sorted(len(neighbours) for neighbours in made.neighbours)
    assert degrees == [2] * 3 + [3] * (made.size - 3)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9, 10])
@pytest.mark.parametrize("name", ["full", "grid", "ring"])
def test_the_others_take_any_number_and_hold_together(name, size):
    made = topology(name, size)
    assert made.connected
    assert all(0 <= one < other < size for one, other in made.edges)


def test_how_far_it_is_in_a_ring_a_grid_and_in_full():
    assert topology("ring", 10).diameter == 5
    assert topology("grid", 9).diameter == 4
    assert topology("full", 10).diameter == 1


@st.composite
def graphs(draw) -> Topology:
    size = draw(st.integers(1, 9))
    pairs = [(i, j) for i in range(size) for j in range(i + 1, size)]
    return Topology("drawn", size, frozenset(draw(st.sets(st.sampled_from(pairs)))) if pairs else frozenset())


@given(graphs(), st.data())
def test_a_message_goes_along_edges_and_no_way_is_shorter(made, data):
    origin, target = data.draw(st.integers(0, made.size - 1)), data.draw(st.integers(0, made.size - 1))
    way = made.path(origin, target)
    reach = {origin}
    hops = 0
    while target not in reach:
        more = reach | {other for at in reach for other in made.neighbours[at]}
        if more == reach:
            assert way is None
            assert made.next_hop(origin, target) is None
            return
        reach, hops = more, hops + 1
    assert way is not None
    assert len(way) == hops + 1
    assert (way[0], way[-1]) == (origin, target)
    assert all((min(edge), max(edge)) in made.edges for edge in itertools.pairwise(way))
    assert made.next_hop(origin, target) == (way[1] if hops else None)


@given(graphs(), st.data())
def test_every_hop_is_worked_out_to_the_same_way_on_the_agents_between(made, data):
    """Each agent only knows the next hop: handed on so, a message takes a shortest way and arrives."""
    origin, target = data.draw(st.integers(0, made.size - 1)), data.draw(st.integers(0, made.size - 1))
    way = made.path(origin, target)
    if way is None:
        return
    at, taken = origin, 0
    while at != target:
        at = made.next_hop(at, target)
        taken += 1
    assert taken == len(way) - 1


def test_ways_go_round_what_is_gone():
    nine = topology("sierpinski9", 9)
    assert nine.path(0, 8) == (0, 1, 3, 8)
    assert nine.without(gone=[3]).path(0, 8) == (0, 1, 4, 8)
    assert nine.without(cut=[(1, 0), (0, 2)]).path(0, 8) is None
    assert nine.without(cut=[(3, 8), (4, 8), (5, 8)]).connected is False
    with pytest.raises(NoTopology, match="cannot reach"):
        _ = nine.without(gone=[0]).diameter


@pytest.mark.parametrize(
    ("name", "size", "says"),
    [
        pytest.param("star", 4, "there are sierpinski9", id="unknown"),
        pytest.param("sierpinski9", 8, "has 9 agents", id="not nine"),
        pytest.param("sierpinski", 10, "3, 9, 27", id="no power of three"),
        pytest.param("ring", 0, "at least 1", id="none"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(name, size, says):
    with pytest.raises(NoTopology, match=says):
        topology(name, size)
