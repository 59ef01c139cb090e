"""Dashboards as Grafana's own libraries draw them, for tests: each is drawn once, and what it showed is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from scripts._rendering import DASHBOARDS, Looked, browsing, look, serving


@dataclass
class Gallery:
    """Draws a dashboard when it is first asked for. The browser ends with each: it would hold this thread's event loop."""

    page: Path
    chromium: Path
    prometheus: str
    scrape: str
    seen: dict[str, Looked] = field(default_factory=dict)

    def show(self, name: str) -> Looked:
        if name not in self.seen:
            self.seen[name] = self.draw(DASHBOARDS / f"{name}.json")
        return self.seen[name]

    def draw(self, file: Path, **asked: str) -> Looked:
        with serving(self.page, file.parent) as address, browsing(self.chromium) as browser:
            return look(browser, address, file.name, self.prometheus, scrape=self.scrape, rows="open", **asked)
