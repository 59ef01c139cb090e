"""Storagenodes that lie: figures are unknown or refused, and never absurd."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters import collector
from exporters.answers import read_time
from exporters.errors import Malformed
from tests.exporters.protocols.storj_node import (
    EU1,
    NEVER,
    US1,
    one_look,
    read,
)


@pytest.fixture
def bodies():
    """One look at the node of fixtures/storj/current, as fetch gives it; each test may change it."""
    return one_look()


# --- lies -----------------------------------------------------------------------------------------------------------

LIES = [-1, math.nan, math.inf, 1e308, 10**400, True, "many", [], {}]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: str(lie)[:8])
@pytest.mark.parametrize("where", ["diskSpace.used", "diskSpace.allocated", "diskSpace.trash", "bandwidth.used"])
def test_a_lie_in_the_summary_gives_an_unknown_or_a_refusal_never_a_figure(bodies, where, lie):
    part, name = where.split(".")
    bodies["node"][part][name] = lie
    if isinstance(lie, bool | str | list | dict):
        with pytest.raises(Malformed, match=where):
            read(bodies)
    else:
        assert_sound(read(bodies))


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: str(lie)[:8])
@pytest.mark.parametrize(
    "where",
    [
        "storageSummary",
        "storageDaily.0.atRestTotalBytes",
        "bandwidthDaily.1.egress.usage",
        "priceModel.DiskSpace",
        "audits.onlineScore",
        "nodeJoinedAt",
    ],
)
def test_a_lie_of_one_satellite_leaves_the_reading_sound(bodies, where, lie):
    *path, last = where.split(".")
    spot = bodies["details"][US1]
    for part in path:
        spot = spot[int(part)] if part.isdecimal() else spot[part]
    spot[last] = lie
    assert_sound(read(bodies))


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: str(lie)[:8])
@pytest.mark.parametrize("where", ["heldRate", "payout", "held", "diskSpace"])
def test_a_lie_in_an_estimate_leaves_the_reading_sound(bodies, where, lie):
    for estimate in (bodies["estimate"], bodies["estimates"][EU1]):
        estimate["currentMonth"][where] = lie
        estimate["previousMonth"][where] = lie
    assert_sound(read(bodies))


def assert_sound(reading):
    native = reading.native
    figures = [
        *reading.used.values(),
        *reading.allocated.values(),
        *native.gross_per_hour.values(),
        *native.net_per_hour.values(),
    ]
    figures += [amount for kind in native.balance.values() for amount in kind.values()]
    byte_seconds = {name for name in reading.extra if name.endswith("_byte_seconds")}
    figures += [value for name in reading.extra.keys() - byte_seconds for _, value in reading.extra[name]]
    figures += [value / 3600 for name in byte_seconds for _, value in reading.extra[name]]
    assert all(0 <= value <= collector.LIMIT for value in figures)
    if native.gross_per_hour and native.net_per_hour:
        assert native.net_per_hour["USD"] <= native.gross_per_hour["USD"]


JUNK = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.just([])
    | st.just({})
    | st.just([None])
)


def leaves(tree, path=()):
    yield path
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from leaves(value, (*path, key))


SPOTS = sorted((path for path in leaves(one_look()) if len(path) > 1), key=repr)


@settings(max_examples=300, deadline=None)
@given(spots=st.lists(st.tuples(st.sampled_from(SPOTS), JUNK), min_size=1, max_size=3))
def test_whatever_a_node_answers_anywhere_it_is_a_sound_reading_or_malformed(spots):
    bodies = one_look()
    for path, junk in spots:
        with contextlib.suppress(KeyError, IndexError, TypeError):  # an earlier spot took this one away
            functools.reduce(operator.getitem, path[:-1], bodies)[path[-1]] = junk
    with contextlib.suppress(Malformed):
        assert_sound(read(bodies))


def test_parse_gives_the_same_reading_twice_and_changes_nothing(bodies):
    before = copy.deepcopy(bodies)
    assert read(bodies) == read(bodies)
    assert bodies == before


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-08-21T09:14:02.551203418Z", 1787303642.551203),
        ("2026-08-21T11:14:02.551203418+02:00", 1787303642.551203),
        ("2026-08-21T09:14:02Z", 1787303642.0),
        (NEVER, None),
        ("yesterday", None),
        (None, None),
        (1787303642, None),
        ("9999-12-31T23:59:59-23:59", 253402387139.0),
    ],
)
def test_times_have_nine_digits_offsets_and_a_year_one(text, seconds):
    assert read_time(text) == seconds
