"""The chart as a release: what Helm keeps of it fits into a Secret, and what it packs is what is needed."""

from __future__ import annotations

import base64
import gzip
import json
import tarfile

import pytest

from tests.helm.charts import CHART, NAMESPACE, RELEASE, SHAPES

pytestmark = pytest.mark.tool("helm")
MOST = 2**20
"""Bytes that a Secret may have; also of a ConfigMap."""
ROOM = 0.75
"""How much of it the chart may take, since nodes and settings of its user come on top."""


@pytest.mark.parametrize("name", SHAPES)
def test_what_helm_keeps_of_a_release_fits_into_its_secret(helm4, name):
    """Helm writes the release, chart and all files with it, as JSON, packs that and writes it as text, as is done here."""
    values = CHART / "ci" / f"{name}-values.yaml"
    argv = (
        "install",
        RELEASE,
        str(CHART),
        f"--namespace={NAMESPACE}",
        "--dry-run=client",
        "--output=json",
        f"--values={values}",
    )
    said = helm4.run(*argv)
    release = json.loads(said[said.index("{") :])
    assert release["chart"]["templates"]
    kept = base64.b64encode(gzip.compress(json.dumps(release).encode(), 9))
    assert len(kept) < ROOM * MOST, f"{len(kept)} bytes"


def test_the_packed_chart_holds_what_it_needs_and_nothing_else(helm4, tmp_path):
    helm4.run("package", str(CHART), f"--destination={tmp_path}")
    (file,) = tmp_path.glob("orcha-*.tgz")
    with tarfile.open(file) as packed:
        members = packed.getmembers()
    names = {each.name.removeprefix("orcha/") for each in members}
    assert all(each.isfile() for each in members), "a link would lead nowhere"
    assert {"Chart.yaml", "values.yaml", "values.schema.json", "README.md", "templates/NOTES.txt"} <= names
    assert {name.partition("/")[0] for name in names} <= {
        "Chart.yaml", "README.md", "templates", "values.schema.json", "values.yaml", "files", ".helmignore", "LICENSE",
    }  # fmt: skip
    assert [name for name in names if name.startswith("files/dashboards/") and name.endswith(".json")]
    assert [name for name in names if name.startswith("files/rules/")]
