#!/usr/bin/env python3
"""A Kubernetes control plane for the end-to-end tests, built from Go modules once and kept: API server, controller
manager, scheduler, etcd, and kwok, which plays the nodes. A test tool, never bundled.

Prints the folder that holds the programs. Exit 3 with one line where they cannot be had. Idempotent. All five are built
together, since they share most of what they compile; scripts/tools/kubernetes/ pins every module by its hash.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MODULE = Path(__file__).with_suffix("")
PROGRAMS = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "etcd": "go.etcd.io/etcd/server/v3",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
}
RECIPE = hashlib.sha256(
    b"".join(path.read_bytes() for path in (Path(__file__), MODULE / "go.mod", MODULE / "go.sum"))
).hexdigest()[:16]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orcha-tools" / f"kubernetes-{RECIPE}"
LIMIT = 3300.0
"""Seconds for the build: under what scripts/fetch_tools.py grants, so that the compiler is ended by who started it."""


def main() -> int:
    if (CACHE / "kube-apiserver").exists():
        print(CACHE)
        return 0
    if shutil.which("go") is None:
        print("kubernetes: go is not installed, and it is built from Go modules", file=sys.stderr)
        return 3
    try:
        build()
    except (subprocess.SubprocessError, OSError) as exc:
        print(f"kubernetes: it could not be built ({reason(exc)})", file=sys.stderr)
        return 3
    print(CACHE)
    return 0


def build() -> None:
    """Compile all programs; the cache appears whole or not at all."""
    os.nice(10)  # it takes minutes, and other tools are fetched meanwhile
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder:
        root = Path(folder) / "root"
        root.mkdir()
        for name in ("go.mod", "go.sum"):
            shutil.copy(MODULE / name, folder)
        environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
        go = ["go", "build", "-buildvcs=false", "-trimpath", "-ldflags", named(), "-o", f"{root}/", *PROGRAMS.values()]
        subprocess.run(go, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT, check=True)
        (root / "server").rename(root / "etcd")  # go names a program after its package
        for name in PROGRAMS:
            subprocess.run([root / name, "--version"], capture_output=True, text=True, timeout=60, check=True)
        if not CACHE.exists():
            root.rename(CACHE)


def named() -> str:
    """Linker flags that tell the programs their release, which is no constant in the source: the one in go.mod."""
    found = re.search(r"k8s\.io/kubernetes v((\d+)\.(\d+)\S*)", (MODULE / "go.mod").read_text())
    assert found is not None, f"{MODULE / 'go.mod'} requires no k8s.io/kubernetes"
    where = "k8s.io/component-base/version"
    words = {"gitVersion": f"v{found[1]}", "gitMajor": found[2], "gitMinor": found[3]}
    return " ".join(["-s", "-w", *(f"-X {where}.{name}={word}" for name, word in words.items())])


def reason(exc: Exception) -> str:
    """The last line that the compiler said, which names what is wrong, else the error itself."""
    said = str(getattr(exc, "stderr", None) or "").strip().splitlines()
    return said[-1][:200] if said else type(exc).__name__


if __name__ == "__main__":
    sys.exit(main())
