"""Programs of ours as processes, and what they answer: for the end-to-end tests."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 40.0


@dataclass
class Program:
    """One running program, its log, and how to end it."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def until(condition, what: str, seconds: float = PATIENCE):
    """What the condition gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.05)
    return found


def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and body; (0, "") while nobody listens."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()
    except (urllib.error.URLError, OSError):
        return 0, ""


@dataclass
class Simulated:
    """The demonstration's world, served."""

    program: Program
    manifests: Path
    exporter_manifests: Path
    addresses: dict[str, str]

    def break_site(self, site: str, fault: str | None) -> None:
        """Tell a site to do wrong (exporters/simulator/faults.py), or None to be well again."""
        url, body = f"{self.addresses['control']}/faults/{site}", json.dumps({"fault": fault}).encode()
        request = urllib.request.Request(url, data=body, method="PUT", headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def truth(self) -> dict[str, dict[str, object]]:
        """What is really so, by workload."""
        return json.loads(get(f"{self.addresses['control']}/truth")[1])
