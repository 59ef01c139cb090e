#!/usr/bin/env python3
"""How the kinds of others must look: the CustomResourceDefinitions of the Prometheus operator, Flux and Argo CD, and the
Compose specification, out of the Go modules of those who wrote them.

Prints the folder that holds them. Exit 3 with one line where they cannot be had. Idempotent. Nothing is compiled; every
module is held to the hash that go itself would write into a go.sum.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

OPERATOR = "example/prometheus-operator-crd/monitoring.coreos.com"
FLUX = "config/crd/bases"
MODULES = {
    "github.com/prometheus-operator/prometheus-operator@v0.94.1": (
        "h1:QEIb2wenPH+SdMN1xMf8l4Pmj00YYXXI6HlbLlQWkww=",
        tuple(
            f"{OPERATOR}_{kind}.yaml"
            for kind in ("alertmanagerconfigs", "podmonitors", "prometheusrules", "servicemonitors")
        ),
    ),
    "github.com/fluxcd/helm-controller@v1.6.4": (
        "h1:u/Ew7LehrwDQaE/NqWdaB3XnNDCxRGDcp1FZl7RKj4g=",
        (f"{FLUX}/helm.toolkit.fluxcd.io_helmreleases.yaml",),
    ),
    "github.com/fluxcd/kustomize-controller@v1.9.6": (
        "h1:XB+G3A0mky0j5uVHZWv4oSlS2RvZBoNIUhstIvY0JKE=",
        (f"{FLUX}/kustomize.toolkit.fluxcd.io_kustomizations.yaml",),
    ),
    "github.com/fluxcd/source-controller@v1.9.6": (
        "h1:nG534/bI6nVpyHra7ONAk6xDB3xPsVT+EOLHZHXPrrc=",
        tuple(
            f"{FLUX}/source.toolkit.fluxcd.io_{kind}.yaml"
            for kind in ("gitrepositories", "helmrepositories", "ocirepositories")
        ),
    ),
    "github.com/argoproj/argo-cd/v3@v3.5.7": (
        "h1:Xm1BF+I5OgDKUG3SDK49vn2/Y5AMyaNVko+/JT08gj0=",
        tuple(f"manifests/crds/{kind}-crd.yaml" for kind in ("application", "applicationset", "appproject")),
    ),
    "github.com/compose-spec/compose-go/v2@v2.16.2": (
        "h1:pTp1DqQwJzFd85GzlWsSszKA1ABrV/ySqsClujIcWA8=",
        ("schema/compose-spec.json",),
    ),
}
"""Module and version: its hash, and the files that are taken out of it."""
RECIPE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orcha-tools" / f"strict-kinds-{RECIPE}"
LIMIT = 300.0
"""Seconds for one module."""


def main() -> int:
    if not CACHE.exists():
        if shutil.which("go") is None:
            print("strict-kinds: go is not installed, and they are taken out of Go modules", file=sys.stderr)
            return 3
        try:
            collect()
        except (OSError, ValueError, subprocess.SubprocessError) as exc:
            print(f"strict-kinds: they could not be had ({' '.join(str(exc).split())[:200]})", file=sys.stderr)
            return 3
    print(CACHE)
    return 0


def collect() -> None:
    """Lay the files beside each other; the cache appears whole or not at all."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder:
        root = Path(folder) / "root"
        root.mkdir()
        for module, (digest, files) in MODULES.items():
            where = download(module, digest, folder)
            for file in files:
                (root / Path(file).name).write_bytes((where / file).read_bytes())
        if not CACHE.exists():
            root.rename(CACHE)


def download(module: str, digest: str, folder: str) -> Path:
    """Where go keeps the module, which has this hash. Raises ValueError with what go says."""
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    done = subprocess.run(
        ["go", "mod", "download", "-json", module],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    said = json.loads(done.stdout or "{}")
    if done.returncode:
        raise ValueError(str(said.get("Error") or done.stderr))
    if said["Sum"] != digest:
        raise ValueError(f"{module} has the hash {said['Sum']}, not {digest}")
    return Path(said["Dir"])


if __name__ == "__main__":
    sys.exit(main())
