"""What a backtest says of itself: figures that a machine reads, a sentence that a person does, and a table."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from controller.backtest.comparison import table
from controller.backtest.report import (
    conclusion,
    coverage,
    earned_words,
    figures,
    headline,
    intervals_words,
    moved,
    part,
    percent,
    remarks,
    stopwatch,
    worst,
)
from controller.backtest.result import CLAIRVOYANT, NAMES, ORCHA, STATIC, Result
from tests.controller.backtest.results import DAY, case, promise, result, run

KEYS = {
    "earned_usd", "captured_uplift", "programs", "moves", "limit_violations", "overallocations", "seconds", "decisions_per_second",
}  # fmt: skip


def shown(view, width=120):
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(table(view, width))
    return captured.get()


# --- figures


def test_the_keys_that_are_promised_are_there_with_orchas_figures():
    view = figures(result(limit_violations=1, overallocations=2))
    assert view.keys() >= KEYS
    assert view["earned_usd"] == pytest.approx(
        {"static": 10, "equal": 9, "greedy": 11, "winner_takes_all": 8, "orcha": 14, "clairvoyant": 15}
    )
    assert view["captured_uplift"] == pytest.approx(0.8)
    assert (view["programs"], view["moves"], view["limit_violations"], view["overallocations"]) == (3, 5, 1, 2)


def test_the_clairvoyants_seconds_stand_apart():
    view = figures(result())
    assert view["seconds"] == 10.0  # five of two seconds
    assert view["clairvoyant_seconds"] == 2.0
    assert view["decisions_per_second"] == 50.0


def test_what_was_not_run_is_unknown_and_not_zero():
    view = figures(result(names=(STATIC,)))
    assert view["earned_usd"] == {name: 10.0 if name == STATIC else None for name in NAMES}
    assert [view[name] for name in sorted(KEYS - {"earned_usd", "seconds"})] == [None] * 6


def test_nothing_at_all_is_still_a_report():
    view = figures(Result(case()), complete=False)
    assert json.loads(json.dumps(view, allow_nan=False))["seconds"] is None
    assert "not known" in conclusion(view)
    assert "nothing was run" in shown(view)


def test_of_recorded_history_both_ends_are_given_and_nothing_is_captured():
    of = case()
    runs = {STATIC: run(of, STATIC, 1.0), ORCHA: run(of, ORCHA, 1.0, low=10.0, high=13.0)}
    view = figures(Result(of, runs, exact=False))
    assert view["earned_usd"][STATIC] == 10.0
    assert view["earned_usd"][ORCHA] == [10.0, 13.0]
    assert view["intervals"][STATIC] == [10.0, 10.0]
    assert view["captured_uplift"] is None
    assert view["ratio"][ORCHA] is None
    assert "10.00 to 13.00 USD" in conclusion(view)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")], ids=str)
def test_a_figure_that_is_no_number_is_unknown_and_spoils_nothing_else(bad):
    made = result()
    spoilt = replace(made, runs={**made.runs, "greedy": run(made.case, "greedy", bad)})
    view = json.loads(json.dumps(figures(spoilt), allow_nan=False))
    assert view["earned_usd"]["greedy"] is None
    assert view["earned_usd"][ORCHA] == pytest.approx(14)
    assert "?" in shown(figures(spoilt))


def test_every_promise_is_told_with_its_moves():
    [found] = figures(result(promises=(promise(realised=None),)))["promises"]
    assert found["moves"][0] == {"workload": "rack-1/akash", "from": 6.0, "to": 4.0}
    assert found["usd_per_hour"] == {"low": 0.0, "expected": 0.05, "high": 0.1}
    assert found["realised_usd_per_hour"] is None


# --- the worst stretch


def test_the_worst_two_days_of_five():
    of = case(ticks=5)
    made = Result(of, {STATIC: run(of, STATIC, 1.0), ORCHA: run(of, ORCHA, [1, 1, 0.9, 0.9, 1.3])})
    assert worst(made, ORCHA, 2 * DAY) == pytest.approx(0.9)
    assert worst(made, ORCHA, 5 * DAY) == pytest.approx(1.02)


def test_of_a_trace_shorter_than_a_week_the_worst_week_is_unknown():
    view = figures(result(case(ticks=6)))
    assert view["worst_7_days_ratio"][ORCHA] is None
    assert "–" in shown(view)


def test_a_stretch_in_which_static_earns_nothing_has_no_ratio():
    of = case(ticks=4)
    made = Result(of, {STATIC: run(of, STATIC, [0, 0, 1, 1]), ORCHA: run(of, ORCHA, [1, 1, 1, 1])})
    assert worst(made, ORCHA, 2 * DAY) == pytest.approx(1.0)
    nothing = Result(of, {STATIC: run(of, STATIC, 0), ORCHA: run(of, ORCHA, 1)})
    assert worst(nothing, ORCHA, 2 * DAY) is None


def test_where_static_loses_money_less_loss_is_more_than_one():
    of = case(ticks=4)
    made = Result(of, {STATIC: run(of, STATIC, -1.0), ORCHA: run(of, ORCHA, -0.5)})
    assert worst(made, ORCHA, 2 * DAY) == pytest.approx(1.5)
    assert figures(made)["ratio"][ORCHA] == pytest.approx(1.5)


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=1, max_size=40), st.integers(1, 12))
def test_no_stretch_is_worse_than_the_worst(pairs, window):
    base, ours = np.array(pairs).T
    of = case(ticks=len(pairs))
    found = worst(Result(of, {STATIC: run(of, STATIC, base), ORCHA: run(of, ORCHA, ours)}), ORCHA, window * DAY)
    each = [ours[i : i + window].sum() / base[i : i + window].sum() for i in range(len(pairs) - window + 1)]
    assert found == (pytest.approx(min(each)) if each else None)


# --- intervals


def test_coverage_counts_what_lay_inside_of_what_is_known():
    found = coverage([promise(realised=0.05), promise(realised=-0.01), promise(realised=0.2), promise(realised=None)])
    assert (found["promises"], found["outcomes"]) == (4, 3)
    assert (found["below"], found["inside"], found["above"]) == (1, 1, 1)
    assert found["share"] == pytest.approx(1 / 3)


def test_the_ends_of_an_interval_are_inside():
    assert coverage([promise(realised=0.0), promise(realised=0.1)])["inside"] == 2


@pytest.mark.parametrize(
    ("promises", "words"),
    [
        ([], "nothing was promised"),
        ([promise(realised=None)], "what came of 1 promise is not known"),
        ([promise()], "1 of 1 outcome inside the promised interval (100 %, 80 % was meant; under 20, that is chance)"),
        (
            [promise()] * 19 + [promise(realised=9)],
            "19 of 20 outcomes inside the promised interval (95 %, 80 % was meant)",
        ),
    ],
    ids=["none", "unknown", "few", "enough"],
)
def test_how_far_promises_can_be_believed_is_said(promises, words):
    assert words in intervals_words(coverage(promises))


def test_a_figure_without_an_interval_is_not_held_against_one():
    found = coverage([promise(low=0.05, expected=0.05, high=0.05, realised=0.07)] * 30)
    assert (found["outcomes"], found["with_interval"]) == (30, 0)
    assert intervals_words(found).startswith("no interval was promised, so none can be judged")


# --- words


def test_the_sentence_says_how_much_more_and_how_much_of_what_was_possible():
    assert conclusion(figures(result())) == (
        "orcha would have earned 4.00 USD more than leaving it (+40.0 %), 0.80 of what was possible"
    )


def test_the_sentence_says_less_where_it_is_less():
    assert conclusion(figures(result(rates={"orcha": 0.9}))).startswith(
        "orcha would have earned 1.00 USD less than leaving it (−10.0 %), −0.20 of what was possible"
    )


def test_where_little_was_possible_the_per_cent_says_more():
    words = conclusion(figures(result(rates={"orcha": 1.001, "clairvoyant": 1.02})))
    assert "(+0.10 %)" in words
    assert "gains +2.0 %" in words
    assert "of what was possible" not in words


def test_where_nothing_was_moved_that_is_said():
    words = conclusion(figures(result(rates={"orcha": 1.0}, programs=0, moves=0)))
    assert words.startswith("orcha would have earned what leaving it earns, 10.00 USD, and would have moved nothing")


def test_without_the_clairvoyant_nothing_is_said_of_what_was_possible():
    assert conclusion(figures(result(names=(STATIC, ORCHA)))) == (
        "orcha would have earned 4.00 USD more than leaving it (+40.0 %)"
    )


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.081, "+8.1 %"),
        (0.9996, "−0.04 %"),
        (1.0, "0 %"),
        (3.5, "+250 %"),
        (0.0, "−100 %"),
        (None, "?"),
        (1 - 1e-9, "0 %"),
    ],
    ids=str,
)
def test_a_ratio_is_told_as_its_distance_from_one(ratio, words):
    assert percent(ratio) == words


def test_what_is_remarked_names_the_best_rule_and_the_limits_kept():
    said = [words for words, _ in remarks(figures(result()))]
    assert "against the best rule without it, greedy: 3.00 USD more" in said
    assert "0 limit violations, 0 over-allocations" in said


def test_where_every_simple_rule_loses_that_is_remarked():
    said = [words for words, _ in remarks(figures(result(rates={"greedy": 0.9})))]
    assert "no simple rule earned more than leaving it" in said


@pytest.mark.parametrize(("share", "words"), [(0.834, "0.83"), (-0.2, "−0.20"), (-0.001, "0.00"), (1.0, "1.00")])
def test_a_share_of_the_possible_is_told_with_two_digits(share, words):
    assert part(share) == words


def test_a_broken_limit_is_shown_in_red():
    said = dict(remarks(figures(result(limit_violations=1))))
    assert said["1 limit violation, 0 over-allocations"] == "red"


def test_a_worst_week_more_than_a_percent_under_is_shown_in_red():
    of = case(ticks=14)
    made = Result(of, {STATIC: run(of, STATIC, 1.0), ORCHA: run(of, ORCHA, [0.9] * 7 + [2] * 7)})
    assert dict(remarks(figures(made)))["the worst 7 days of it: −10.0 % against leaving it"] == "red"


def test_what_was_replayed_and_how_long_it_took_is_said():
    view = figures(result())
    assert headline(view) == "made-up: 2 workloads on 1 node, 10d, seed 7"
    assert stopwatch(view) == "10.0 s, 100 decisions, 50 per second; the clairvoyant took 2.0 s"


def test_moves_are_written_as_an_owner_would():
    assert moved(case(), promise()) == "rack-1/akash 6 cores → 4 cores, rack-1/golem 6 cores → 4 cores"


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "?"), (2.9312, "2.93"), ([2.931, 2.934], "2.93"), ([2.93, 3.57], "2.93 to 3.57"), ([-1.0, 0.5], "-1.00 to 0.5000")],
    ids=str,
)  # fmt: skip
def test_two_ends_that_read_the_same_are_one_figure(value, said):
    assert earned_words(value) == said


def test_what_is_to_be_known_of_the_history_is_told_with_the_figures():
    assert figures(result(), notes=["mode Suggest is replayed as Auto"])["notes"] == [
        "mode Suggest is replayed as Auto"
    ]
    assert figures(result())["notes"] == []


# --- the table


def test_the_table_has_all_of_them_side_by_side():
    text = shown(figures(result()))
    for name in NAMES:
        assert name in text
    [row] = [line.split() for line in text.splitlines() if line.startswith("orcha  ")]
    assert row == ["orcha", "14.00", "+40.0", "%", "0.80", "+40.0", "%", "3", "5"]


def test_the_clairvoyants_path_counts_as_no_programs():
    [row] = [line.split() for line in shown(figures(result())).splitlines() if line.startswith(CLAIRVOYANT)]
    assert row == ["clairvoyant", "15.00", "+50.0", "%", "1.00", "+50.0", "%"]


def test_what_was_left_out_is_shown_as_not_run():
    assert "not run" in shown(figures(result(names=(STATIC, ORCHA))))


def test_of_what_was_ended_early_only_what_was_run_is_shown():
    text = shown(figures(result(names=(STATIC,)), complete=False))
    assert "clairvoyant" not in text
    assert "ended early" in text


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_table_is_never_wider_than_its_terminal_and_cuts_no_figure_short(width):
    text = shown(figures(result()), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert [line.split()[:2] for line in text.splitlines() if line.startswith("orcha  ")] == [["orcha", "14.00"]]


def test_in_a_narrow_terminal_the_least_needed_columns_give_way_first():
    heads = {width: shown(figures(result()), width).splitlines()[1:3] for width in (200, 60, 40)}
    seen = {width: " ".join(" ".join(lines).split()) for width, lines in heads.items()}
    assert "worst" in seen[200]
    assert ("worst" in seen[60], "programs" in seen[60], "against" in seen[60]) == (False, True, True)
    assert ("captured" in seen[40], "against" in seen[40]) == (False, True)


def test_where_there_is_little_to_win_its_share_is_left_out():
    assert "captured" not in shown(figures(result(rates={"orcha": 0.99, "clairvoyant": 1.02})))
    assert "captured" in shown(figures(result()))


def test_a_column_in_which_nothing_is_known_is_left_out():
    text = shown(figures(result(exact=False, low=1.0, high=20.0)))
    assert "against" not in text
    assert "programs" in text
