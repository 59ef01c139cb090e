"""Both versions of Helm for the chart's tests."""

from __future__ import annotations

import pytest

from tests.helm.charts import VERSIONS, Helm


@pytest.fixture(params=VERSIONS)
def helm(request, tool, tmp_path_factory) -> Helm:
    """Each version of Helm in turn."""
    return Helm(request.param, tool("helm") / request.param, tmp_path_factory.getbasetemp())


@pytest.fixture
def helm4(tool, tmp_path_factory) -> Helm:
    """The newer one, for what both are shown to do alike."""
    return Helm("helm4", tool("helm") / "helm4", tmp_path_factory.getbasetemp())
