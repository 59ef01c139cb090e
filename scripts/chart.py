#!/usr/bin/env python3
"""Writes what follows from the chart's values and from the models: helm/orcha/values.schema.json and helm/orcha/README.md.

    python scripts/chart.py            writes them
    python scripts/chart.py --check    only compares, and looks whether all versions agree; exit 1 where something differs

Exit 2 with a sentence where a value has no comment or a type that nothing tells.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import yaml
from _chart_schema import schema_of
from _chart_values import NotDescribed, table_of, values_of

from controller.manifests import KINDS, schema
from exporters import __version__

CHART: Final = ROOT / "helm" / "orcha"
IMAGES: Final = "artifacthub.io/images"
HEAD: Final = """# orcha

<!-- Written by scripts/chart.py from values.yaml and Chart.yaml; change those. -->

{description}

```console
helm install orcha ./helm/orcha --namespace depin --create-namespace --values my-values.yaml
```

As it comes it looks and shows, and changes nothing. The manual goes through the tasks: [docs/helm.md](../../docs/helm.md).
Kubernetes {kubernetes}; Helm 3.17 or later, and 4.

The values are checked by `values.schema.json`: an unknown name or a wrong type is refused. `manifests.nodes`, `manifests.policies`
and `manifests.settings` are checked there for names and types, as `orcha schema KIND` has them; what only makes sense together
(an allocation within a capacity, a known protocol, a valid cron line) the controller checks: `orcha validate` before, its log after.
`ci/` holds values for every documented shape of an installation.

## Values

"""


def generated() -> dict[Path, str]:
    """Each file that this program writes, with its text. Raises NotDescribed, TypeError."""
    values = values_of((CHART / "values.yaml").read_text(encoding="utf-8"))
    parameters = yaml.safe_load((ROOT / "prometheus" / "parameters.yaml").read_text(encoding="utf-8"))
    alertmanager = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
    receivers = [receiver["name"] for receiver in alertmanager["receivers"]]
    whole = schema_of(values, {kind: schema(kind) for kind in KINDS}, parameters, receivers)
    about = described()
    head = HEAD.format(
        description=about["description"], kubernetes=str(about["kubeVersion"]).replace(">=", "from ").removesuffix("-0")
    )
    return {
        CHART / "values.schema.json": json.dumps(whole, indent=2, ensure_ascii=False) + "\n",
        CHART / "README.md": head + table_of(values),
    }


def described() -> dict[str, Any]:
    """Chart.yaml."""
    found: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    return found


def disagreements(version: str = __version__) -> Iterator[str]:
    """What Chart.yaml says otherwise than the package, whose version is `version`, and the values."""
    about = described()
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    for field in ("appVersion", "version"):
        if str(about[field]) != version:
            yield f"helm/orcha/Chart.yaml: {field} is {about[field]}; exporters/__init__.py says {version}"
    git = values["manifests"]["gitSync"]["image"]
    wanted = {f"{values['image']['repository']}:{version}", f"{git['repository']}:{git['tag']}"}
    named = {each["image"] for each in yaml.safe_load(about["annotations"][IMAGES])}
    if named != wanted:
        yield f"helm/orcha/Chart.yaml: {IMAGES} names {', '.join(sorted(named))}; values.yaml has {', '.join(sorted(wanted))}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the chart's schema and README.")
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 where something differs")
    asked = parser.parse_args(argv)
    try:
        files = generated()
    except (NotDescribed, TypeError) as exc:
        print(f"chart: {exc}", file=sys.stderr)
        return 2
    stale = [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    said = list(disagreements())
    if asked.check:
        said += [
            f"{path.relative_to(ROOT)} is not what values.yaml says; run python scripts/chart.py" for path in stale
        ]
    else:
        for path in stale:
            path.write_text(files[path], encoding="utf-8")
    for each in said:
        print(each, file=sys.stderr)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
