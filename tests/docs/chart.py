"""The values of the chart, as pages name them: controller.replicas, networkPolicy.egress.nodes."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from tests.docs.pages import ROOT


@cache
def values_of_the_chart() -> dict[str, Any]:
    file = ROOT / "helm" / "orcha" / "values.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}


def is_value_of_the_chart(path: tuple[str, ...]) -> bool:
    here: Any = values_of_the_chart()
    if path[0] not in here:
        return False
    for part in path:
        if not isinstance(here, dict):
            return False
        if not here:  # an empty block takes what its schema knows
            return True
        if part not in here:
            return False
        here = here[part]
    return True
