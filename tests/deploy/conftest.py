"""Programs of the end-to-end tests, and the image's content, built once for all tests of the group "image"."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import start, world  # noqa: F401 fixtures for all tests of this folder

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def image(tmp_path_factory) -> Path:
    """The folder that scripts/image.py built from the Dockerfile, offline."""
    wheels = json.loads((ROOT / ".cache" / "tools.json").read_text())["image-wheels"]["where"]
    target = tmp_path_factory.mktemp("image") / "orcha"
    argv = [sys.executable, "scripts/image.py", "build", str(target), "--wheels", wheels, "--build-arg", "REVISION=abc"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stderr
    return target
