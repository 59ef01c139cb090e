"""Which source is asked, as Settings or the command line say; and what they are told where that cannot be."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from controller.manifests import load
from controller.observe.chosen import NotChosen, for_the_loop, source_of
from controller.observe.embedded import Embedded
from controller.observe.prometheus import AtOnce, FromPrometheus
from controller.observe.promql import blocked
from exporters.clock import SystemClock
from exporters.collector import discover
from exporters.settings import SettingsSpec, needing_a_restart, read_matchers
from tests.controller.observe.fake import COLLECTORS, node, success

NODE = """\
apiVersion: orcha.dev/v1alpha1
kind: Node
metadata: {name: rack-1}
spec: {capacity: {storage: 4Ti}, workloads: {storj: {protocol: storj, endpoint: "http://127.0.0.1:14002"}}}
---
apiVersion: orcha.dev/v1alpha1
kind: Settings
metadata: {name: settings}
spec:
"""
URL = "http://prometheus:9090"


@pytest.fixture
def problems(tmp_path):
    def check(text):
        (tmp_path / "all.yaml").write_text(NODE + text)
        return [str(each) for each in load([tmp_path], discover()).problems]

    return check


@pytest.mark.parametrize(
    "matchers", ["", 'job="orcha-exporter"', ' site=~"home|attic" , job!="lab"', r'name="a\"b\\c"', 'job!~""']
)
def test_label_matchers_are_written_as_in_promql(matchers, problems):
    assert read_matchers(matchers) == matchers.strip()
    quoted = matchers.replace("'", "''")
    assert problems(f"  source: prometheus\n  prometheusUrl: {URL}\n  prometheus: {{matchers: '{quoted}'}}\n") == []


@pytest.mark.parametrize(
    "matchers", ["job", "job=orcha", '{job="x"}', 'job="x"} or up{', '"x"', 'job="x",', 'a="b" c="d"', 'a="\n"']
)
def test_anything_else_is_refused_with_what_would_be_right(matchers):
    with pytest.raises(ValueError, match="write them as in PromQL"):
        read_matchers(matchers)


def test_validation_says_what_is_missing_or_wrong(problems):
    (said,) = problems("  source: prometheus\n")
    assert "spec.prometheusUrl: is missing, and source: prometheus asks it" in said
    (said,) = problems(f"  source: prometheus\n  prometheusUrl: {URL}\n  prometheus: {{matchers: job}}\n")
    assert "spec.prometheus.matchers: 'job' are no label matchers" in said
    (said,) = problems("  source: victoria\n")
    assert "spec.source" in said


@pytest.mark.parametrize(
    ("settings", "named", "kind"),
    [
        ({}, None, Embedded),
        ({"source": "prometheus", "prometheusUrl": URL}, None, FromPrometheus),
        ({"source": "prometheus", "prometheusUrl": URL}, "embedded", Embedded),
        ({"prometheusUrl": URL}, "prometheus", FromPrometheus),
    ],
)
async def test_the_command_line_overrides_settings(settings, named, kind, client):
    source = source_of([node()], SettingsSpec.model_validate(settings), COLLECTORS, client, SystemClock(), named)
    assert type(source) is kind
    assert type(for_the_loop(source)) is (AtOnce if kind is FromPrometheus else Embedded)
    await source.close()


async def test_a_prometheus_that_nobody_named_cannot_be_chosen(client):
    with pytest.raises(NotChosen, match="nothing says where it is"):
        source_of([node()], SettingsSpec(), COLLECTORS, client, SystemClock(), "prometheus")


def test_another_source_takes_effect_at_the_next_start():
    before = SettingsSpec(prometheus_url=URL)
    assert needing_a_restart(before, SettingsSpec(prometheus_url="http://other:9090")) == []
    now = SettingsSpec.model_validate({"prometheusUrl": "http://other:9090", "source": "prometheus"})
    assert needing_a_restart(before, now) == ["prometheusUrl", "source"]


async def test_what_blocks_moves_is_asked_with_the_token_and_blocks_where_it_cannot_be_read(client, tmp_path):
    async def answer(request):
        fine = request.headers.get("Authorization") == "Bearer t0ken"
        return web.Response(text=success("vector", []) if fine else "{}", content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/v1/query", answer)
    (tmp_path / "token").write_text("t0ken\n")
    async with TestServer(app) as server:
        url = str(server.make_url("/"))
        assert await blocked(client, url, "up == 0", str(tmp_path / "token")) is None
        assert "answered something else than Prometheus' API does" in await blocked(client, url, "up == 0")
        said = await blocked(client, url, "up == 0", str(tmp_path / "nowhere"))
    assert said.startswith("blockWhile cannot be judged: the credential file")


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (success("vector", []), 200, None),
        (success("vector", [{"metric": {}, "value": [1, "0"]}]), 200, None),
        (success("scalar", [1, "0"]), 200, None),
        (success("vector", [{"metric": {}, "value": [1, "NaN"]}]), 200, "blockWhile holds: up == 0 gives 1 result(s)"),
        (success("scalar", [1, "2"]), 200, "blockWhile holds: up == 0 gives 1 result(s)"),
        (success("vector", [])[:-1] + ', "warnings": ["a store is away"]}', 200, "may not be whole: 'a store is away'"),
        (success("matrix", []), 200, "answered no vector or scalar"),
        (success("scalar", []), 200, "answered rows that cannot be read"),
        ('{"status": "error", "errorType": "bad_data", "error": "parse error"}', 400, "refused the query: 'parse error'"),
        ("[]", 200, "answered something else"),
        ("null", 200, "answered something else"),
        ("[" * 100_000, 200, "answered no JSON"),
        ("no", 401, "check Settings spec.prometheus.bearerTokenFile"),
        ("", 302, "it sends to another address"),
    ],
    ids=[
        "nothing", "zero", "scalar-zero", "nan", "scalar", "half", "matrix", "empty-scalar", "refused", "list", "null", "deep",
        "unauthorized", "redirect",
    ],
)  # fmt: skip
async def test_what_is_no_whole_answer_blocks_moves(client, body, status, sentence):
    async def answer(_):
        return web.Response(text=body, status=status, headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_get("/api/v1/query", answer)
    async with TestServer(app) as server:
        said = await blocked(client, str(server.make_url("/")), "up == 0")
    assert said is None if sentence is None else sentence in (said or "")
