"""Views as JSON, and of a decision that no longer holds the past that it was made from."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.decide import decide
from controller.observe import Observation, Watched
from controller.report import views
from controller.report.metrics import render
from controller.state import without_past
from tests.controller.worlds import competing

WORDS = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=40,
)


@given(VALUES)
def test_json_in_pieces_says_what_json_in_one_says(value):
    assert json.loads(views.as_json(value)) == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, {"a": [{"b": -math.inf}]}, {"a": {"b": {"c": {"d": {"e": math.nan}}}}}]
)
def test_what_json_cannot_say_is_refused_at_every_depth(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        views.as_json(value)


def watched(state):
    return {
        w.key: Watched(w.key, w.node, w.protocol, w.traits, w.stale_after, w.allocation, None, None, None, "dry_run")
        for w in state.workloads
    }


def shown(decision):
    readings = {w.key: w.reading for w in decision.state.workloads}
    seen = Observation(decision.state.now, newest=readings, last_good=readings, complete=True)
    view = views.status(seen, watched(decision.state), [decision], version="1", manifests={})
    record = replace(views.recorded(decision), inputs=None)  # what it was made from is not shown
    return view, render([decision], decision.state.nodes), record


def test_without_its_past_a_decision_shows_the_same():
    decision = decide(competing())
    assert decision.verdicts, "there is something to show"
    assert shown(without_past(decision)) == shown(decision)


def test_without_its_past_a_decision_keeps_neither_blocks_nor_replicates():
    decision = decide(competing())
    assert any(len(curve.replicates) > 1 for curve in decision.curves.values())
    kept = without_past(decision)
    assert all(workload.blocks is None for workload in kept.state.workloads)
    for key, curve in kept.curves.items():
        assert curve.replicates.shape == (1, len(curve.x))
        assert not np.shares_memory(curve.y, decision.curves[key].y), "a row would keep the whole array"


def test_each_row_has_the_verdict_of_its_own_move():
    decision = decide(competing())
    rows = {row["key"]: row.get("verdict") for row in shown(decision)[0]["workloads"]}
    assert rows == {verdict.move.key: str(verdict.reason) for verdict in decision.verdicts}
