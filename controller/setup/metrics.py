"""A page of Prometheus text -> the smallest mapping that watches it. Pure.

What a metric of a program that orcha does not know means nobody can guess: the mapping says only that it answers, and
its owner adds what it earns and uses (docs/protocols/mapped.md).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from exporters.errors import Malformed
from exporters.protocols.mapped.extract import samples_of
from exporters.session import Answer

_NAME: Final = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{[^\n]*\})? +[-+0-9NI]", re.MULTILINE)
_PREFERRED: Final = ("process_start_time_seconds", "up")
"""Of metrics that would do, those that most programs have."""
SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Page:
    base: str
    """The endpoint, without the page's path."""
    names: tuple[str, ...]
    """Of its metrics, the program's own first."""
    mapping: Mapping[str, Any]


def prometheus_page(answer: Answer, url: str) -> Page:
    """Raises Malformed for what is no Prometheus text, or has no metric that stands alone."""
    counts = Counter(_NAME.findall(answer.text()))
    samples = samples_of(answer, counts)
    single = [name for name in counts if len(samples.get(name, ())) == 1]
    if not single:
        raise Malformed(f"{url} shows no metric with a single value")
    alive = next((name for name in _PREFERRED if name in single), single[0])
    parts = urlsplit(url)
    path = parts.path or "/metrics"
    mapping = {
        "requests": {"metrics": {"url": f"{{endpoint}}{path}", "format": "prometheus"}},
        "expect": [{"request": "metrics", "metric": alive}],
        "figures": {"healthy": {"request": "metrics", "metric": alive, "atLeast": 0}},
    }
    own = sorted(counts, key=lambda name: (name.startswith(("go_", "process_", "promhttp_", "python_")), name))
    return Page(f"{parts.scheme}://{parts.netloc}", tuple(own[:SHOWN]), mapping)
