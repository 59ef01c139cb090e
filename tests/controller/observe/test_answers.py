"""What Prometheus' API answers, and what is no answer of it."""

from __future__ import annotations

import json
import math

import pytest

from controller.observe.prometheus.answers import matrix, refused, vector
from exporters.errors import Malformed, RateLimited, TimedOut, Unauthorized, Unreachable
from tests.controller.observe.fake import success

URL = "http://prometheus:9090"
UP = {"__name__": "orcha_protocol_up", "node": "rack-1"}


def error(kind, words="it went wrong"):
    return json.dumps({"status": "error", "errorType": kind, "error": words}).encode()


def test_rows_and_series_come_as_labels_and_numbers():
    body = success("vector", [{"metric": UP, "value": [1.5, "1e+18"]}, {"metric": UP, "value": [1.5, "+Inf"]}])
    assert vector(body.encode(), URL) == [(UP, 1e18), (UP, math.inf)]
    assert math.isnan(vector(success("vector", [{"metric": UP, "value": [1.5, "NaN"]}]).encode(), URL)[0][1])
    body = success("matrix", [{"metric": UP, "values": [[1, "0"], [61, "1"]]}])
    assert matrix(body.encode(), URL) == [(UP, [(1.0, 0.0), (61.0, 1.0)])]
    assert vector(success("vector", [], infos=["a remark"]).encode(), URL) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"", "answered no JSON: an empty body", id="empty"),
        pytest.param(b"<html>welcome</html>", "answered no JSON", id="a web page"),
        pytest.param(b"[" * 100_000, "answered no JSON", id="brackets"),
        pytest.param(b"[]", "something else than Prometheus", id="a list"),
        pytest.param(b'{"status": "ok"}', "something else than Prometheus", id="another status"),
        pytest.param(b'{"status": "success"}', "answered no vector", id="no data"),
        pytest.param(success("scalar", [1, "2"]).encode(), "answered no vector", id="a scalar"),
        pytest.param(success("vector", [{"metric": UP}]).encode(), "rows that cannot be read (KeyError", id="no value"),
        pytest.param(
            success("vector", [{"metric": UP, "value": [1, "much"]}]).encode(), "cannot be read (ValueError", id="a word"
        ),
        pytest.param(
            success("vector", [{"metric": {"node": 1}, "value": [1, "2"]}]).encode(), "cannot be read", id="a label 1"
        ),
        pytest.param(
            success("vector", [], warnings=["store rack-2 did not answer"]).encode(),
            "may not be whole: 'store rack-2 did not answer'", id="half an answer",
        ),
        pytest.param(success("vector", [], warnings="half").encode(), "may not be whole", id="a warning that is a word"),
    ],
)  # fmt: skip
def test_what_is_no_whole_answer_is_none(body, said):
    with pytest.raises(Malformed) as raised:
        vector(body, URL)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(error("timeout"), TimedOut, id="timeout"),
        pytest.param(error("canceled"), TimedOut, id="canceled"),
        pytest.param(error("unavailable"), Unreachable, id="unavailable"),
        pytest.param(error("internal"), Unreachable, id="internal"),
        pytest.param(error("bad_data"), Malformed, id="bad query"),
        pytest.param(error("execution", "query processing would load too many samples"), Malformed, id="too much"),
    ],
)
def test_what_prometheus_refuses_has_the_name_of_what_to_do_about_it(body, kind):
    with pytest.raises(kind) as raised:
        vector(body, URL)
    for made in (refused(503, body, URL), raised.value):
        assert type(made) is kind
        assert json.loads(body)["error"] in str(made)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, b"no", Unauthorized, "check Settings spec.prometheus.bearerTokenFile"),
        (403, b"no", Unauthorized, "bearerTokenFile"),
        (429, b"", RateLimited, "asked too often"),
        (302, b"", Malformed, "write that one into Settings spec.prometheusUrl"),
        (404, b"not found", Malformed, "is spec.prometheusUrl that of a Prometheus?"),
        (502, b"<html>bad gateway</html>", Unreachable, "HTTP 502"),
        (400, b"what?", Malformed, "HTTP 400"),
    ],
)
def test_a_status_that_is_not_200_has_its_name(status, body, kind, said):
    made = refused(status, body, URL, 30.0)
    assert type(made) is kind
    assert said in str(made)
    assert URL in str(made)
    assert getattr(made, "retry_after", 30.0) == 30.0
