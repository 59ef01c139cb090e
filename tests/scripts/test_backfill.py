"""What a Prometheus scrapes that goes on with what was lived."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from scripts._pages import Pages
from scripts.backfill import After, arguments, configuration, serve_after

END, NOW = 2000.0, 50_000.0


@pytest.fixture
def after() -> After:
    pages = Pages(end=END, step=60.0)
    for at, rate in ((1940.0, 1.0), (2000.0, 2.0), (2060.0, 3.0)):
        for job in ("orcha", "orcha-exporter"):
            text = f"orcha_x_usd_per_hour {rate}\norcha_read_timestamp_seconds {at - 10}\n# EOF\n"
            pages.add(at, job, "x:1", text.encode())
    return After(pages, NOW)


def shown(page):
    return dict(line.rsplit(" ", 1) for line in page.splitlines())


LABELS = '{job="orcha",instance="x:1"}'


@pytest.mark.parametrize(
    ("now", "rate", "read"),
    [
        pytest.param(NOW, "2.0", NOW - 10, id="at the end of the past"),
        pytest.param(NOW + 59, "2.0", NOW - 10, id="until the next page"),
        pytest.param(NOW + 60, "3.0", NOW + 50, id="the next page"),
        pytest.param(NOW + 5000, "3.0", NOW + 4990, id="when all was told, what was newest stays as new as it was"),
    ],
)
def test_each_page_is_shown_at_its_time_with_times_of_now(after, now, rate, read):
    assert shown(after.page("orcha", now)) == {
        f"orcha_x_usd_per_hour{LABELS}": rate,
        f"orcha_read_timestamp_seconds{LABELS}": repr(read),
    }


def test_only_the_two_targets_are_served(after):
    server = serve_after(after)
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        with urllib.request.urlopen(f"{base}/orcha-exporter", timeout=10) as answer:
            assert b'job="orcha-exporter"' in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{base}/etc/passwd", timeout=10)
    finally:
        server.shutdown()
        server.server_close()


def test_prometheus_keeps_the_labels_of_the_pages_and_names_the_targets_alike():
    jobs = configuration(9000, None)["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["orcha", "orcha-exporter"]
    assert all(job["honor_labels"] for job in jobs)
    assert jobs[0]["static_configs"] == [{"targets": ["127.0.0.1:9000"], "labels": {"instance": "orcha:9872"}}]


def test_the_step_is_a_duration_as_anywhere_else_in_orcha():
    assert arguments(["--serve", "--step", "10m"]).step == 600.0
