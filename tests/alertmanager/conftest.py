"""Alertmanager with the configuration that we ship, for the tests of this folder."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable

import pytest
import yaml

from tests.e2e.alerting import SOURCE, Alertmanager, alerting, made_quick
from tests.e2e.programs import ROOT


@pytest.fixture
def shipped(tmp_path, free_port) -> Callable[[], contextlib.AbstractContextManager[Alertmanager]]:
    """Start Alertmanager as we ship it, only that it waits for nothing."""
    numbers = itertools.count()

    def begin() -> contextlib.AbstractContextManager[Alertmanager]:
        config = made_quick((SOURCE / "alertmanager.yml").read_text(encoding="utf-8"))
        return alerting(tmp_path / f"alertmanager-{next(numbers)}", config, free_port())

    return begin


@pytest.fixture(scope="session")
def severities() -> dict[str, str]:
    """Every alert of prometheus/rules, and how grave it is."""
    groups = [
        group
        for path in sorted((ROOT / "prometheus/rules").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    ]
    found = {
        rule["alert"]: rule["labels"]["severity"] for group in groups for rule in group["rules"] if "alert" in rule
    }
    assert {"OrchaWatchdog", "OrchaNodeDown"} <= found.keys()
    return found
