"""A page of one controller becomes that of a fleet."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._exposed import DAY, MODELS, POLICIES, fleet, instants, write
from scripts._pages import Pages

END = 1_800_000_000.0
PAGE = "\n".join(
    [
        *(
            f'orcha_protocol_up{{node="{key.split("/")[0]}",workload="{key.split("/")[1]}",protocol="{protocol}"}} 1.0'
            for protocol, key in MODELS.items()
        ),
        'orcha_protocol_up{node="rack-9",workload="other",protocol="storj"} 1.0',
        'orcha_protocol_earnings_usd_per_hour{node="rack-1",workload="golem",protocol="golem"} 0.5',
        'orcha_protocol_last_reading_timestamp_seconds{node="rack-1",workload="golem",protocol="golem"} 990.0',
        'orcha_node_capacity_cpu_cores{node="rack-1"} 12.0',
        'orcha_programs_total{policy="storage",result="applied"} 60.0',
        'orcha_programs_total{policy="compute",result="applied"} 7.0',
        "orcha_leader 1.0",
    ]
)


@pytest.fixture
def found():
    pages = Pages(end=1000.0, step=300.0)
    pages.add(1000.0, "orcha", "x:1", PAGE.encode())
    pages.add(1000.0, "orcha-exporter", "x:2", b"orcha_build_info 1.0\n")
    return fleet(pages, 4, ["orcha:x:ratio"])


def count(names, start):
    return sum(name.startswith(start) for name in names)


def test_each_node_has_one_workload_of_each_protocol_and_each_policy_its_own_series(found):
    series, taken = found
    assert taken == 1000.0
    assert count(series.names, "orcha_protocol_up{") == 16
    assert len(set(series.names)) == len(series.names)
    assert count(series.names, "orcha_programs_total{") == POLICIES
    assert count(series.names, "orcha_node_capacity_cpu_cores{") == 2
    assert count(series.names, "orcha_leader{") == count(series.names, "orcha:x:ratio{") == 1


def test_counters_count_figures_breathe_times_pass_and_flags_stand(found):
    series, taken = found
    before, after = (
        dict(zip(series.names, series.at(at, END, taken).tolist(), strict=True)) for at in (END - DAY, END - 7200)
    )
    for name in series.names:
        family = name.partition("{")[0]
        if family == "orcha_programs_total":
            assert before[name] < after[name] < 60.0
        elif family.endswith("timestamp_seconds"):
            assert (before[name], after[name]) == (END - DAY - 10, END - 7210)
        elif family == "orcha_protocol_earnings_usd_per_hour":
            assert before[name] != after[name]
            assert 0.4 <= after[name] <= 0.6
        elif family in {"orcha_protocol_up", "orcha_leader"}:
            assert before[name] == after[name] == 1.0


def test_the_days_before_come_by_the_hour_and_the_last_one_by_five_minutes():
    hours, last = instants(END, 30.0)
    assert (len(hours), len(last)) == (29 * 24, 289)
    assert hours[-1] < last[0] == END - DAY
    assert last[-1] == END


def test_what_is_written_is_one_file_for_each_block_with_every_series_at_every_time(found, tmp_path):
    series, taken = found
    when = np.arange(END - DAY, END + 1, 3600.0)
    files = write(series.only({"orcha_leader"}), when, END, taken, tmp_path, "x")
    lines = [line for path in files for line in path.read_text().splitlines()]
    assert lines.count("# EOF") == len(files) >= 2
    assert lines[0] == f'orcha_leader{{job="orcha",instance="x:1"}} 1.0 {END - DAY:.0f}'
    assert len(lines) == 25 + len(files)
