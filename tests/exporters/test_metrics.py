"""/metrics: byte-equal to prometheus_client over the same samples, in both formats, whatever nodes say."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.utils import floatToGoString

from exporters.collector import Family, Workload
from exporters.errors import REASONS
from exporters.lines import Histogram, Lines, number
from exporters.metrics import MAX_SERIES, Exposition
from exporters.nodes import WorkloadSpec
from exporters.reading import BALANCE_KINDS, Connection, Native, Quality, Reading
from exporters.traits import Traits
from tests.exporters.reference_page import OWN, Reference


def page(exposition: Exposition, openmetrics: bool = False) -> str:
    return b"".join(exposition.render(openmetrics=openmetrics)).decode()


def lines(exposition: Exposition, *words: str) -> list[str]:
    return [
        line
        for line in page(exposition).splitlines()
        if not line.startswith("#") and all(word in line for word in words)
    ]


def workload(name: str = "storj", node: str = "rack-1", protocol: str = "storj") -> Workload:
    return Workload(node, name, WorkloadSpec(protocol=protocol, endpoint="http://127.0.0.1:1"), Traits())


def reading(name: str = "storj", at: float = 1_760_000_000.0, **figures) -> Reading:
    return Reading("rack-1", name, "storj", at, **figures)


@dataclass
class FakePrice:
    usd: float
    at: float
    source: str


class FakeBook:
    def __init__(self, prices):
        self._prices = prices

    def all(self, now):
        return {token: FakePrice(*price) for token, price in self._prices.items()}


# -- strategies -----------------------------------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
figures = (
    st.floats(min_value=0, max_value=1e18)
    | st.integers(0, 10**18).map(float)
    | st.sampled_from([0.0, 1e-9, 1e6, 999_999.0, 5e15])
)
anything = st.floats(allow_nan=True, allow_infinity=True)
resources = st.sampled_from(["cpu", "memory", "storage", "bandwidth", "stake/DATA", "gpu/A100"])
amounts = st.dictionaries(resources, figures, max_size=4)


@st.composite
def readings(draw, name: str = "storj") -> Reading:
    maybe = lambda strategy: draw(st.none() | strategy)  # noqa: E731
    own = st.lists(st.tuples(words, figures), max_size=3, unique_by=lambda pair: pair[0])
    return Reading(
        "rack-1", name, draw(st.sampled_from(["storj", "golem"])), draw(st.floats(0, 4e9)),
        state=maybe(words), states=tuple(draw(st.lists(words, max_size=3, unique=True))), healthy=maybe(st.booleans()),
        version=maybe(words), node_id=maybe(words), quality=maybe(st.sampled_from(Quality)),
        native=Native(gross_per_hour=draw(st.dictionaries(words, figures, max_size=2))),
        rate_usd_per_hour=maybe(anything), net_usd_per_hour=maybe(anything),
        balance_usd=draw(st.dictionaries(st.sampled_from(BALANCE_KINDS), figures)),
        price_usd_per_unit_hour=draw(amounts), allocated=draw(amounts), configured=draw(amounts), used=draw(amounts),
        connection=draw(st.sampled_from(Connection)), earning_stalled=maybe(st.booleans()),
        payout_threshold_usd=maybe(figures), payout_expected_at=maybe(st.floats(0, 4e9)),
        extra={
            "orcha_test_scores": tuple(({"satellite": word}, value) for word, value in draw(own)),
            "orcha_test_events_total": tuple(({"event": word}, value) for word, value in draw(own)),
        },
    )  # fmt: skip


polls = st.lists(st.tuples(st.floats(0, 100), st.none() | st.sampled_from(REASONS)), max_size=4)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_pages_are_byte_equal_to_the_library_in_both_formats(data) -> None:
    exposition, shown, seen = Exposition(OWN), [], {}
    for name in data.draw(st.lists(st.sampled_from(["a", "b", "c\\d", 'e"f', "g\nh"]), max_size=4, unique=True)):
        for _ in range(data.draw(st.integers(0, 1))):  # an earlier look leaves nothing behind
            exposition.update(replace(data.draw(readings(name)), protocol="storj", extra={}))
            exposition.remove(f"rack-1/{name}")
        one = data.draw(readings(name))
        exposition.update(one)
        seen[one.key] = data.draw(polls)
        for seconds, failure in seen[one.key]:
            exposition.observe_poll(workload(name, protocol=one.protocol), seconds, failure)
        shown.append(one)
    prices = data.draw(st.dictionaries(words, st.tuples(figures, figures, words), max_size=3))
    exposition.prices(FakeBook(prices), 0.0)
    registry = CollectorRegistry()
    registry.register(Reference(shown, seen, prices))
    assert page(exposition) == generate_latest(registry).decode()
    assert page(exposition, openmetrics=True) + "# EOF\n" == generate_openmetrics(registry).decode()


@settings(max_examples=30, deadline=None)
@given(st.lists(readings(), min_size=1, max_size=4))
def test_a_page_after_many_readings_is_that_of_the_last_one_alone(row) -> None:
    many, last = Exposition(OWN), Exposition(OWN)
    for one in row:
        many.update(replace(one, protocol="storj", extra={}))
    last.update(replace(row[-1], protocol="storj", extra={}))
    assert page(many) == page(last)


@given(st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(10**20), 10**20))
def test_numbers_are_written_as_the_library_writes_them(value) -> None:
    assert number(value) == floatToGoString(value)


def test_a_page_passes_both_parsers_of_the_library() -> None:
    exposition = Exposition(OWN)
    exposition.update(reading(state="ok", states=("ok", "bad"), healthy=True, used={"storage": 5e12}, version='1"2'))
    exposition.prices(FakeBook({"STORJ": (0.5, 1.7e9, "kraken")}), 0.0)
    assert len(list(parse_openmetrics(page(exposition, openmetrics=True) + "# EOF\n"))) == len(
        list(parse_text(page(exposition)))
    )


# -- what the families mean -----------------------------------------------------------------------------------------


def test_a_configured_workload_is_there_before_it_was_asked() -> None:
    exposition = Exposition(OWN)
    exposition.expect(workload())
    assert lines(exposition, "orcha_protocol_up") == [
        'orcha_protocol_up{node="rack-1",protocol="storj",workload="storj"} 0.0'
    ]
    assert len(lines(exposition, "orcha_protocol_poll_failures_total", " 0.0")) == len(REASONS)
    assert lines(exposition, "earnings") == []


def test_how_old_a_reading_may_get_is_there_before_one_and_follows_the_manifest() -> None:
    exposition, name = Exposition(OWN), "orcha_protocol_stale_after_seconds"
    exposition.expect(workload())
    assert [line.split()[-1] for line in lines(exposition, name)] == ["210.0"]  # 3 x 60 s + 30 s
    rare = WorkloadSpec(protocol="storj", endpoint="http://127.0.0.1:1", poll_interval="30m")
    exposition.expect(Workload("rack-1", "storj", rare, Traits()))
    assert [line.split()[-1] for line in lines(exposition, name)] == ["5430.0"]
    exposition.remove("rack-1/storj")
    assert lines(exposition, name) == []


def test_bandwidth_is_bits_in_readings_and_bytes_in_metrics() -> None:
    exposition = Exposition(OWN)
    exposition.update(reading(used={"bandwidth": 8_000_000.0}, allocated={"bandwidth": 400e6}))
    assert lines(exposition, "used_bandwidth_bytes_per_second")[0].endswith(" 1e+06")
    assert lines(exposition, "allocated_bandwidth_bytes_per_second")[0].endswith(" 5e+07")


def test_unknown_is_an_absent_series_and_zero_is_zero() -> None:
    exposition = Exposition(OWN)
    exposition.update(reading(rate_usd_per_hour=None, net_usd_per_hour=0.0, quality=Quality.MEASURED))
    assert lines(exposition, "orcha_protocol_earnings_usd_per_hour") == []
    assert lines(exposition, "net_earnings", " 0.0") != []


def test_a_figure_that_becomes_unknown_vanishes_at_once() -> None:
    exposition = Exposition(OWN)
    exposition.update(reading(used={"cpu": 2.0}))
    exposition.update(reading(at=1_760_000_060.0))
    assert lines(exposition, "used_cpu_cores") == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_unknown(value) -> None:
    exposition = Exposition(OWN)
    exposition.update(reading(rate_usd_per_hour=value, extra={"orcha_test_scores": (({"satellite": "a"}, value),)}))
    assert lines(exposition, "earnings") == []
    assert lines(exposition, "scores") == []


def test_a_failed_look_shows_at_once_and_the_figures_stay_until_they_are_stale() -> None:
    exposition = Exposition(OWN)
    exposition.update(reading(used={"cpu": 2.0}, extra={"orcha_test_scores": (({"satellite": "a"}, 1.0),)}))
    failed = Reading(
        "rack-1", "storj", "storj", 1_760_000_060.0, up=False, failure="timeout", connection=Connection.RECONNECTING
    )
    exposition.update(failed)
    exposition.observe_poll(workload(), 30.0, "timeout")
    assert lines(exposition, "orcha_protocol_up", " 0.0") != []
    assert lines(exposition, "poll_failures_total", 'reason="timeout"', " 1.0") != []
    assert lines(exposition, "used_cpu_cores", " 2.0") != []
    assert lines(exposition, "last_reading_timestamp_seconds", " 1.76e+09") != []
    exposition.update(replace(failed, connection=Connection.FAILED))
    assert lines(exposition, "used_cpu_cores") == lines(exposition, "scores") == lines(exposition, "last_reading") == []
    assert lines(exposition, "orcha_protocol_up", " 0.0") != []
    assert lines(exposition, 'state="failed"', " 1.0") != []


def test_figures_come_back_with_the_next_good_reading() -> None:
    exposition = Exposition(OWN)
    one = reading(used={"cpu": 2.0})
    exposition.update(one)
    exposition.expire(one.key)
    assert lines(exposition, "used_cpu_cores") == []
    exposition.update(one)
    assert lines(exposition, "used_cpu_cores", " 2.0") != []


def test_a_workload_that_is_gone_leaves_no_series() -> None:
    exposition = Exposition(OWN)
    for name in ("storj", "golem"):
        exposition.update(reading(name, extra={"orcha_test_scores": (({"satellite": "a"}, 1.0),)}))
    exposition.remove("rack-1/storj")
    assert lines(exposition, 'workload="storj"') == []
    assert lines(exposition, 'workload="golem"') != []
    exposition.remove("rack-1/golem")
    exposition.remove("rack-1/never")
    assert page(exposition) == ""


def test_a_place_that_became_free_is_used_again_without_a_trace_of_the_one_before() -> None:
    exposition = Exposition(OWN)
    exposition.update(reading("storj", used={"cpu": 2.0}))
    exposition.remove("rack-1/storj")
    exposition.update(reading("golem"))
    assert lines(exposition, "used_cpu_cores") == []


def test_a_counter_may_be_reset_but_is_not_corrected_downwards() -> None:
    exposition = Exposition(OWN)

    def shown(value: float) -> float:
        exposition.update(reading(extra={"orcha_test_events_total": (({"event": "won"}, value),)}))
        return float(lines(exposition, "events_total")[0].rsplit(" ", 1)[1])

    assert [shown(value) for value in (100, 101, 99, 100, 102, 3, 4)] == [100, 101, 101, 101, 102, 3, 4]


@pytest.mark.parametrize(
    "given_", ["\ud800", "x" * 100_000, '"} 1\norcha_fake 1\n# EOF'], ids=["half a pair", "a page", "a forged line"]
)
def test_a_lying_version_cannot_break_the_page(given_) -> None:
    exposition = Exposition(OWN)
    exposition.update(reading(version=given_, state=given_))
    families = {family.name for family in parse_openmetrics(page(exposition, openmetrics=True) + "# EOF\n")}
    assert "orcha_fake" not in families
    assert max(map(len, page(exposition).splitlines())) < 1000


def test_a_family_with_absurdly_many_series_is_left_out() -> None:
    exposition = Exposition(OWN)
    exposition.update(
        reading(extra={"orcha_test_scores": tuple(({"satellite": str(i)}, 1.0) for i in range(MAX_SERIES + 1))})
    )
    assert lines(exposition, "scores") == []


def test_a_label_set_said_twice_has_one_series() -> None:
    exposition = Exposition(OWN)
    exposition.update(reading(extra={"orcha_test_scores": (({"satellite": "a"}, 1.0), ({"satellite": "a"}, 2.0))}))
    assert [line.rsplit(" ", 1)[1] for line in lines(exposition, "scores")] == ["2.0"]


def test_a_family_that_no_module_declares_is_not_shown() -> None:
    exposition = Exposition(OWN)
    exposition.update(reading(extra={"orcha_other": (({}, 1.0),)}))
    assert lines(exposition, "orcha_other") == []


def test_every_family_of_every_protocol_may_be_exposed() -> None:
    assert Exposition() is not None  # raises for a name, a label or a type that metrics.md forbids


@pytest.mark.parametrize(
    ("name", "kind", "labels"),
    [
        ("storj_scores", "gauge", ()), ("orcha_Storj", "gauge", ()), ("orcha_x", "counter", ()), ("orcha_x_total", "gauge", ()),
        ("orcha_x", "gauge", ("type",)), ("orcha_x", "gauge", ("node",)), ("orcha_x", "summary", ()), ("orcha_x", "gauge", ("le",)),
    ],
)  # fmt: skip
def test_what_the_contract_forbids_is_refused(name, kind, labels) -> None:
    with pytest.raises(ValueError, match=name):
        Exposition({name: Family("Help.", kind, labels)})


def test_no_name_breaks_the_conventions() -> None:
    names = [family.name for family in parse_text(page(_full()))]
    forbidden = ("_percent", "_watts", "_age_seconds", "_ago_", "_since_")
    assert [name for name in names if any(word in name for word in forbidden)] == []
    assert len(names) == len(set(names))


def _full() -> Exposition:
    exposition = Exposition()
    exposition.update(reading(state="ok", healthy=True, used={"cpu": 1.0}, rate_usd_per_hour=1.0))
    return exposition


def test_what_changes_while_a_page_is_sent_is_not_in_it() -> None:
    exposition = Exposition(OWN)
    exposition.update(reading(used={"cpu": 2.0}))
    pieces = exposition.render()
    exposition.update(reading(used={"cpu": 3.0}))
    exposition.remove("rack-1/storj")
    assert " 2.0" in b"".join(pieces).decode()


def test_lines_of_a_thousand_workloads_come_in_pieces_and_whole() -> None:
    exposition = Exposition(OWN)
    for i in range(1300):
        exposition.update(reading(f"w-{i}", used={"cpu": float(i)}))
    pieces = list(exposition.render())
    assert max(map(len, pieces)) < 2**20
    assert b"".join(pieces).count(b"orcha_protocol_used_cpu_cores{") == 1300


def test_a_histogram_may_not_take_its_own_label_from_others() -> None:
    with pytest.raises(ValueError, match="le"):
        Lines("orcha_x", "gauge", "Help.", ("le",))
    assert Histogram("orcha_x_seconds", "Help.", (1.0,)).bounds == (1.0, math.inf)
