"""Variables are filled in as Grafana fills them in."""

from __future__ import annotations

import pytest

from scripts._grafana import Target, boards, choices, filled, interval, targets

DAY = 86400.0


def target(expr, points=300, least=0.0):
    return Target("b", "p", "A", expr, False, points, least)


@pytest.mark.parametrize(
    ("seconds", "points", "least", "step"),
    [
        pytest.param(DAY, 300, 15, 300, id="a day on 300 points: 288 s, so 5 minutes"),
        pytest.param(7 * DAY, 300, 15, 1800, id="a week: 2016 s, so half an hour"),
        pytest.param(3600, 300, 60, 60, id="an hour would be 12 s, but data come once a minute"),
        pytest.param(7 * DAY, 300, DAY, DAY, id="bars of days"),
    ],
)
def test_the_step_is_tidy_and_never_finer_than_the_data(seconds, points, least, step):
    assert interval(seconds, points, least) == step


def test_every_variable_of_grafanas_own_is_filled():
    expr = "sum(rate(a[$__rate_interval])) + b[$__interval] + c[${__range}] + d[$__range:1h] / $__range_s"
    assert filled(target(expr), {}, DAY, 300.0)[0] == (
        "sum(rate(a[1200s])) + b[300s] + c[86400s] + d[86400s:1h] / 86400"
    )


def test_a_chosen_value_stands_wherever_its_name_does_however_it_is_written():
    expr = 'a{node=~"$node"} + b{node=~"${node:regex}"} + c{node=~"[[node]]"} + d{x="$nodes"}'
    assert filled(target(expr), {"node": ".+", "nodes": "n"}, DAY, 15.0)[0] == (
        'a{node=~".+"} + b{node=~".+"} + c{node=~".+"} + d{x="n"}'
    )


def test_an_unknown_variable_is_no_silent_nothing():
    with pytest.raises(KeyError, match="nodde"):
        filled(target('a{node="$nodde"}'), {"node": ".+"}, DAY, 15.0)


def test_all_is_what_the_dashboard_says_and_a_single_choice_is_the_callers():
    board = {"templating": {"list": [{"name": "node", "includeAll": True, "allValue": ".+"}, {"name": "protocol"}]}}
    assert choices(board, {"protocol": "storj"}) == {"node": ".+", "protocol": "storj"}


def test_the_committed_dashboards_are_read_with_collapsed_rows_and_annotations():
    found = [each for board in boards().values() for each in targets(board)]
    assert len({each.board for each in found}) >= 6
    assert any(each.panel.startswith("annotation ") for each in found)
    assert {each.instant for each in found} == {True, False}
