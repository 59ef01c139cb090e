"""The source that Settings or the command line chose: `embedded` or `prometheus`. Wiring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from controller.observe.embedded import Embedded
from controller.observe.prometheus import Asking, AtOnce, FromPrometheus
from exporters.session import HttpSession
from exporters.settings import read_matchers

if TYPE_CHECKING:
    import aiohttp

    from controller.observe import Source
    from exporters.clock import Clock
    from exporters.collector import Collector
    from exporters.nodes import Node
    from exporters.settings import SettingsSpec


class NotChosen(Exception):
    """Why the source that was chosen cannot be asked; `str()` says what would be right."""


def source_of(
    nodes: Iterable[Node], spec: SettingsSpec, collectors: Mapping[str, Collector], client: aiohttp.ClientSession,
    clock: Clock, named: str | None = None,
) -> Embedded | FromPrometheus:  # fmt: skip
    """`named`: the command line's word. Raises NotChosen."""
    if (named or spec.source) == "embedded":
        return Embedded(nodes, collectors, HttpSession(client), clock, spec.prices)
    if spec.prometheus_url is None:
        raise NotChosen("the source is prometheus, and nothing says where it is; write Settings spec.prometheusUrl")
    asked = spec.prometheus
    token_file = Path(asked.bearer_token_file) if asked.bearer_token_file else None
    asking = Asking(client, spec.prometheus_url, token_file)
    return FromPrometheus(nodes, collectors, asking, clock, read_matchers(asked.matchers or ""))


def for_the_loop(source: Embedded | FromPrometheus) -> Source:
    """As the loop sees it, whose turn must not wait for a poll."""
    return AtOnce(source) if isinstance(source, FromPrometheus) else source
