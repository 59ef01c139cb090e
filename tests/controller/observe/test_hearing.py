"""Reading -> metrics -> Prometheus -> source gives the same Reading, up to what metrics carry; and whom it believes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.decide import decide
from controller.model import Reason
from controller.observe.prometheus import answers
from controller.observe.prometheus.hearing import CLOCKS, FURTHER, OF_THE_PAST, hear, judged, selector, voices
from exporters.collector import possible
from exporters.errors import REASONS
from exporters.figures import FIGURES
from exporters.reading import BALANCE_KINDS, Connection, Native, Pool, Quality, Reading
from tests.controller import worlds
from tests.controller.observe.fake import POOL, T0, instant, lost, page, reading, rows_of, workload

GOLEM = workload()
KEY = "rack-1/golem"


def heard(*readings, now=T0 + 1, of=GOLEM, **target):
    """What is made of the pages of one exporter that took these readings, all the way through JSON."""
    rows = answers.vector(instant(rows_of(page(*readings), **target)), "http://prometheus")
    return hear([of], rows, now)[of.key]


def of_both(first, second, now=T0 + 1):
    rows = [*rows_of(page(first), instance="a:9871"), *rows_of(page(second), instance="b:9871")]
    return hear([GOLEM], answers.vector(instant(rows), "x"), now)[KEY]


# --- there and back ---------------------------------------------------------------------------------------------------


def known(values):
    return {name: value for name, value in values.items() if math.isfinite(value)}


def one(value):
    return value if value is not None and math.isfinite(value) else None


def carried(it: Reading) -> Reading:
    """What metrics carry of a Reading that is up. Left out: balances in tokens, notes, the payout's verdict, which words
    another controller was seen by, and what only the protocol has (orcha_storj_* ...): nothing is decided on these.
    """
    native, rate, net = it.native, one(it.rate_usd_per_hour), one(it.net_usd_per_hour)
    rated = rate is not None or net is not None
    pool = it.pool if it.pool is not None and math.isfinite(it.pool.others) else None
    return possible(replace(
        it, states=() if it.state is None else tuple(sorted({*it.states, it.state})),
        version=it.version or None, node_id=it.node_id or None,
        quality=(it.quality or Quality.ESTIMATED) if rated else None, rate_usd_per_hour=rate, net_usd_per_hour=net,
        native=Native(
            known(native.gross_per_hour), known(native.gross_per_hour if native.net_per_hour is None else native.net_per_hour),
            {}, {name: known(by) for name, by in native.price_per_unit_hour.items() if known(by)},
        ),
        balance_usd=known(it.balance_usd), price_usd_per_unit_hour=known(it.price_usd_per_unit_hour),
        allocated=known(it.allocated), configured=known(it.configured), used=known(it.used),
        irreversible=known(it.irreversible), growth_per_hour=one(it.growth_per_hour),
        pool=None if pool is None else replace(pool, payout_native_per_hour=known(pool.payout_native_per_hour)),
        pool_payout_usd_per_hour=one(it.pool_payout_usd_per_hour), payout_verdict=None, notes=(), extra={},
        payout_threshold_usd=one(it.payout_threshold_usd), payout_expected_at=one(it.payout_expected_at),
        autonomous=None if it.autonomous is None else SAID,
    ))  # fmt: skip


def in_order(it: Reading) -> Reading:
    return replace(it, notes=tuple(sorted(it.notes)))


SAID = "its exporter says so (orcha_protocol_other_controller); its landing page says which one"
words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12)
figures = st.floats(min_value=1e-9, max_value=1e18) | st.sampled_from([0.0, 1e6, 5e15])
odd = figures | st.sampled_from([math.nan, math.inf, -1.0])
amounts = st.dictionaries(
    st.sampled_from(["cpu", "memory", "storage", "bandwidth", "stake/DATA", "gpu/A100"]), odd, max_size=4
)
tokens = st.dictionaries(st.sampled_from(["GLM", "DATA", "USD", "points"]), odd, max_size=2)
pools = st.builds(Pool, tokens, odd, st.none() | st.floats(0, 1))


@st.composite
def looks(draw) -> Reading:
    maybe = lambda strategy: draw(st.none() | strategy)  # noqa: E731
    return Reading(
        "rack-1", "golem", "golem", draw(st.floats(T0 - 1e6, T0)),
        state=maybe(words), states=tuple(draw(st.lists(words, max_size=3, unique=True))), healthy=maybe(st.booleans()),
        version=maybe(words), node_id=maybe(words), quality=maybe(st.sampled_from(Quality)),
        native=Native(
            draw(tokens), maybe(tokens), {"accrued": draw(tokens)}, draw(st.dictionaries(st.just("cpu"), tokens)),
        ),
        rate_usd_per_hour=maybe(odd), net_usd_per_hour=maybe(odd),
        balance_usd=draw(st.dictionaries(st.sampled_from(BALANCE_KINDS), odd)), price_usd_per_unit_hour=draw(amounts),
        allocated=draw(amounts), configured=draw(amounts), used=draw(amounts), irreversible=draw(amounts),
        growth_per_hour=maybe(odd), pool=maybe(pools), pool_payout_usd_per_hour=maybe(odd),
        connection=draw(st.sampled_from(Connection)), earning_stalled=maybe(st.booleans()),
        payout_threshold_usd=maybe(odd), payout_expected_at=maybe(odd), payout_verdict=maybe(st.just("projected")),
        autonomous=maybe(st.just("the autostaker")), notes=tuple(draw(st.lists(words, max_size=1))),
        extra={"orcha_golem_offers": (({}, 1.0),)},
    )  # fmt: skip


@settings(max_examples=60)
@given(looks(), st.lists(looks(), max_size=1))
def test_a_reading_comes_back_as_it_was_up_to_what_metrics_carry(look, before):
    found = heard(*before, look)
    assert found.problem is None
    assert found.look is found.good
    assert in_order(found.look) == in_order(carried(look))


@given(looks(), st.sampled_from(REASONS), st.sampled_from([Connection.CONNECTING, Connection.RECONNECTING]))
def test_a_look_that_failed_comes_back_with_its_reason_beside_the_figures_of_the_one_before(good, reason, connection):
    found = heard(good, lost(T0, reason=reason, connection=connection))
    assert (found.look.up, found.look.failure, found.look.connection, found.look.at) == (False, reason, connection, T0)
    assert reason in found.look.failure_message
    assert in_order(found.good) == in_order(replace(carried(good), connection=Connection.CONNECTED))


def test_figures_that_are_too_old_to_be_served_are_gone_and_the_failing_look_stays():
    found = heard(reading(), lost(T0 + 900, connection=Connection.FAILED), now=T0 + 901)
    assert found.good is None
    assert found.look.connection is Connection.FAILED


@pytest.mark.parametrize("sense", ["allocated", "configured", "used", "irreversible"])
def test_bandwidth_is_bytes_per_second_in_metrics_and_bits_per_second_in_readings(sense):
    # 400 Mbit/s are 50 MB/s.
    figures = {"allocated": {}, "used": {}} | {sense: {"bandwidth": 400e6}}
    text = page(reading(**figures))
    assert f"orcha_protocol_{sense}_bandwidth_bytes_per_second{{" in text
    assert "} 5e+07\n" in text
    assert getattr(heard(reading(**figures)).good, sense) == {"bandwidth": 400e6}


def test_everything_that_a_reading_shows_is_asked_for():
    everything = reading(
        irreversible={"cpu": 1.0}, growth_per_hour=2.0, pool=POOL, autonomous="x", state="a", states=("a", "b")
    )
    shown = {labels["__name__"] for labels, _ in rows_of(page(everything, lost(T0 + 1)))}
    counted = {name for name in shown if "poll_duration" in name or "poll_failures" in name}
    assert shown - counted <= FURTHER.keys()
    assert {row.name for row in FIGURES} <= FURTHER.keys()
    assert set(OF_THE_PAST) < FURTHER.keys()


# --- whom it believes -------------------------------------------------------------------------------------------------


def test_a_label_of_the_target_may_have_the_name_of_one_of_ours():
    assert heard(reading(), node="machine-7", state="on", job="orcha").good == carried(reading())


def test_of_two_processes_that_show_a_workload_the_newest_look_counts_and_nothing_is_added():
    old, new = reading(T0 - 20, used={"cpu": 1.0}, state="idle"), reading(T0, used={"cpu": 5.0})
    for found in (of_both(old, new), of_both(new, old)):
        assert found.look == found.good == carried(new)


def test_a_newer_look_that_failed_counts_and_the_figures_are_those_of_the_other_process():
    found = of_both(reading(T0 - 20), lost(T0))
    assert not found.look.up
    assert found.good.at == T0 - 20


def test_two_looks_of_the_same_moment_count_as_the_worse_one():
    assert not of_both(reading(T0), lost(T0)).look.up


def test_two_processes_that_mean_different_nodes_by_one_name_are_both_refused():
    found = of_both(reading(node_id="0xabc"), reading(node_id="0xdef"))
    assert (found.look, found.good) == (None, None)
    assert "two processes show rack-1/golem, and each another node (0xabc, 0xdef)" in str(found.problem)


def test_a_node_that_was_replaced_is_believed_once_the_old_figures_are_stale():
    old = reading(T0 - 2 * GOLEM.stale_after, node_id="0xabc")
    assert of_both(old, reading(node_id="0xdef")).look.node_id == "0xdef"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        pytest.param([], "Prometheus shows nothing of rack-1/golem", id="nothing"),
        pytest.param(rows_of(page(reading(on="rack-2"))), "Prometheus shows nothing of", id="another node"),
        pytest.param(rows_of(page(reading(protocol="storj"))), "is shown as protocol storj, and is golem", id="another protocol"),
        pytest.param(
            [row for row in rows_of(page(reading())) if row[0]["__name__"] != "orcha_protocol_up"], "shows nothing", id="no up",
        ),
        pytest.param(
            [row for row in rows_of(page(reading())) if "other_controller" not in row[0]["__name__"]],
            "is shown without orcha_protocol_other_controller: its exporter is of an older orcha", id="an older exporter",
        ),
        pytest.param(
            [row for row in rows_of(page(reading())) if "last_reading" not in row[0]["__name__"]],
            "was not asked yet", id="no time",
        ),
        pytest.param(
            [(labels, math.nan if "last_reading" in labels["__name__"] else value) for labels, value in rows_of(page(reading()))],
            "was not asked yet", id="a time that is none",
        ),
        pytest.param(rows_of(page(reading(T0 + 60))), "is dated 59s ahead of this machine's clock", id="from the future"),
        pytest.param(rows_of(page(reading(), lost(T0 + 60))), "ahead of this machine's clock", id="failed in the future"),
    ],
)  # fmt: skip
def test_what_cannot_be_believed_gives_no_reading_but_a_sentence(rows, said):
    found = hear([GOLEM], answers.vector(instant(rows), "http://p"), T0 + 1)[KEY]
    assert (found.look, found.good) == (None, None)
    assert said in str(found.problem)


def test_clocks_may_differ_by_a_little():
    assert heard(reading(T0 + CLOCKS), now=T0).problem is None


def test_numbers_that_are_none_are_unknown():
    rows = [
        (
            labels,
            math.inf if "allocated" in labels["__name__"] else math.nan if "earnings" in labels["__name__"] else value,
        )
        for labels, value in rows_of(page(reading()))
    ]
    good = hear([GOLEM], answers.vector(instant(rows), "x"), T0 + 1)[KEY].good
    assert good.allocated == {}
    assert (good.rate_usd_per_hour, good.net_usd_per_hour, good.native) == (None, None, Native({}, {}))
    assert good.used == {"cpu": 4.0}


def test_an_up_that_is_neither_0_nor_1_is_no_look():
    rows = [
        (labels, 0.5 if labels["__name__"].endswith("_up") else value) for labels, value in rows_of(page(reading()))
    ]
    assert "was not asked yet" in str(hear([GOLEM], rows, T0 + 1)[KEY].problem)


def test_history_does_without_what_only_decisions_need():
    rows = [row for row in rows_of(page(reading())) if row[0]["__name__"] in OF_THE_PAST]
    rows = [row for row in rows if "last_poll" not in row[0]["__name__"]]
    good = judged(GOLEM, voices(rows)[KEY], T0 + 1, whole=False).good
    assert (good.allocated, good.used, good.net_usd_per_hour) == ({"cpu": 6.0}, {"cpu": 4.0}, 0.45)
    assert good.usd_per_token == 0.25


def test_a_price_is_told_by_what_is_asked_while_nothing_is_earned():
    idle = reading(
        rate_usd_per_hour=0.0, native=Native({"GLM": 0.0}, None, {}, {"cpu": {"GLM": 0.1}}),
        price_usd_per_unit_hour={"cpu": 0.03},
    )  # fmt: skip
    assert heard(idle).good.usd_per_token == pytest.approx(0.3)


def test_what_is_asked_names_families_and_nodes_and_what_the_owner_chose():
    asked = selector(["orcha_protocol_up", "orcha_protocol_state"], ["rack-1", "a.b"], 'job="x"')
    one_of = '__name__=~"orcha_protocol_(up|state)"'
    assert asked == (
        f'{{{one_of}, node=~"rack\\\\-1|a\\\\.b", job="x"}} or {{{one_of}, exported_node=~"rack\\\\-1|a\\\\.b", job="x"}}'
    )


# --- what is lost is not decided on -----------------------------------------------------------------------------------


@pytest.mark.parametrize("autonomous", [None, "the autostaker"])
def test_a_decision_on_what_came_through_is_the_one_on_what_was_read(autonomous):
    state = worlds.competing(worlds.policy())

    def enriched(read):
        return replace(
            read, notes=("odd",), payout_verdict="reached", retry_after=3.0, states=("b", "a"), state="a",
            balance_usd={"accrued": 1.0}, autonomous=autonomous, extra={"orcha_golem_offers": (({}, 1.0),)},
            native=Native({"GLM": 2.0}, None, {"accrued": {"GLM": 3.0}}, {"cpu": {"GLM": 0.01}}),
        )  # fmt: skip

    def decided(through):
        workloads = [
            replace(each, reading=through(enriched(each.reading)), last_good=through(enriched(each.last_good)))
            for each in state.workloads
        ]
        return decide(replace(state, workloads=tuple(workloads)))

    def through(read):
        of = workload(read.workload, read.node, read.protocol)
        return heard(read, now=state.now, of=of).good

    polled, asked = decided(lambda read: read), decided(through)
    assert (asked.reason, asked.plan.targets, asked.plan.gain) == (polled.reason, polled.plan.targets, polled.plan.gain)
    reasons = [[(v.move.key, v.move.to, v.reason) for v in each.verdicts] for each in (asked, polled)]
    assert reasons[0] == reasons[1]
    assert (asked.reason is Reason.OTHER_CONTROLLER) == (autonomous is not None)
