"""How long a newcomer waits: from a fresh clone to the first plan on simulated nodes, and from `orcha init` to the first readings.

    clone     `git clone` of this repository into an empty folder; --here also takes what is not committed yet
    install   what `make run` does first: an environment from the lock, with hashes (what pip has cached is as it is)
    plan      from the start of `make run` to the first plan that its controller shows
    init      `orcha init` on two simulated nodes, named by flags and without questions
    readings  `orcha plan` in that folder: what the nodes earn, and when there will be a plan

Seconds of this machine with whatever else it does; the aims are those of a newcomer with a clock. Everything but what pip
has to fetch is on loopback.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._report import Report, arguments, finish

ROOT = Path(__file__).resolve().parent.parent
LATEST = 900.0
"""Seconds after which nobody waits any longer."""
ADDRESS = re.compile(r'"address": "(http://[^"]+?)/?"')
"""In the controller's log: `make run` draws its table on terminals only."""
FIRST_PLAN, FIRST_READINGS = 180.0, 600.0
"""Seconds that were aimed at, each from the clone on."""


class TooSlow(Exception):
    """Something did not come to its end; `str()` says what, and how far it came."""


def clone(folder: Path, *, here: bool) -> None:
    """The repository as a newcomer has it; `here`: with the files as they stand now."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    if here:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            copied(ROOT / name, folder / name)


def copied(source: Path, target: Path) -> None:
    if not source.exists():
        target.unlink(missing_ok=True)
    elif not source.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)


@contextlib.contextmanager
def started(argv: list[str], folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program of ours with everything that it starts, ended as Ctrl-C ends it."""
    with log.open("wb") as out:
        child = subprocess.Popen(argv, cwd=folder, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield child
    finally:
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(15)
                break


def waited(what: str, child: subprocess.Popen[bytes], log: Path, found: Any) -> tuple[Any, float]:
    """What `found` gives once it gives something, and when. Raises TooSlow."""
    deadline = time.monotonic() + LATEST
    while time.monotonic() < deadline and child.poll() is None:
        if (value := found()) is not None:
            return value, time.monotonic()
        time.sleep(0.1)
    raise TooSlow(f"{what} did not come; the end of what was said:\n{log.read_text(errors='replace')[-1500:]}")


def asked(url: str) -> Any:
    """None while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 our own server on loopback
            return json.loads(answer.read())
    except (urllib.error.URLError, OSError, ValueError):
        return None


def first_plan(address: str) -> str | None:
    """The sentence of the first decision that knows every node."""
    view = asked(f"{address}/api/v1/status") or {}
    policies = view.get("policies") or []
    return str(policies[0].get("sentence", "")) if policies and view.get("complete") else None


def bench_run(folder: Path, report: Report, began: float) -> None:
    """`make run` to its first plan."""
    log = folder.with_suffix(".log")
    start = time.monotonic()
    with started(["make", "run"], folder, log) as child:
        _, installed = waited("the environment", child, log, lambda: (folder / ".venv/.runs").exists() or None)
        address, _ = waited("the controller", child, log, lambda: _address(folder))
        sentence, planned = waited("the first plan", child, log, lambda: first_plan(address))
    report.figures["install_seconds"] = installed - start
    report.figures["run_to_plan_seconds"] = planned - installed
    report.figures["first_plan"] = sentence
    report.add(
        "from clone to the first plan, s",
        planned - began,
        FIRST_PLAN,
        detail=f"of these installing {installed - start:.0f}",
    )


def _address(folder: Path) -> str | None:
    log = folder / ".orcha/demo/orcha.log"
    said = ADDRESS.search(log.read_text(errors="replace")) if log.exists() else None
    return said[1] if said else None


def bench_init(folder: Path, report: Report, before: float) -> None:
    """`orcha init` and the first `orcha plan` on simulated nodes; `before`: seconds from the clone to the installed program."""
    orcha, world = str(folder / ".venv/bin/orcha"), folder / ".orcha" / "newcomer"
    world.mkdir(parents=True, exist_ok=True)
    log = world / "simulator.log"
    serve = [str(folder / ".venv/bin/python"), "-m", "exporters.simulator", "--manifests", str(world / "simulated")]
    with started(serve, folder, log) as child:
        sites, _ = waited("the simulator", child, log, lambda: _sites(log))
        start = time.monotonic()
        argv = [orcha, "init", "mine", "--yes", "--only-named", "--offline", "--node", "attic", "--storj", sites["rack-1-storj"],
                "--golem", sites["rack-1-golem"], "--golem-key-file", str(world / "simulated/secrets/yagna-app-key"),
                "--price", "GLM=0.22"]  # fmt: skip
        subprocess.run(argv, cwd=world, check=True, capture_output=True, timeout=LATEST)
        written = time.monotonic()
        plan = [orcha, "plan", "--manifests", "mine", "--output", "json"]
        shown = subprocess.run(plan, cwd=world, check=True, capture_output=True, timeout=LATEST)
        read = time.monotonic()
    view = json.loads(shown.stdout)
    ready = [policy.get("ready_at") for policy in view["policies"]]
    report.figures |= {"init_seconds": written - start, "first_readings_seconds": read - written, "ready_at": ready,
                       "workloads_read": sum(1 for each in view["workloads"] if each.get("up"))}  # fmt: skip
    if not any(ready):
        raise TooSlow(f"the plan names no time from which on there will be one: {view['policies']}")
    report.add(
        "`orcha init` to the first readings, s", read - start, detail=f"of these `orcha init` {written - start:.1f}"
    )
    report.add(
        'from clone to own readings and "ready at", s',
        before + read - start,
        FIRST_READINGS,
        detail="installing included",
    )


def _sites(log: Path) -> dict[str, str] | None:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
    found = {line["site"]: line["address"] for line in lines}
    return found if "control" in found else None


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--here", action="store_true", help="with the files as they stand now, committed or not")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background would hand on that it is ignored
    report = Report("a newcomer, seconds on this machine")
    with tempfile.TemporaryDirectory(prefix="orcha-newcomer-") as place:
        folder = Path(place) / "orcha"
        began = time.monotonic()
        clone(folder, here=options.here)
        report.figures["clone_seconds"] = time.monotonic() - began
        try:
            bench_run(folder, report, began)
            bench_init(folder, report, report.figures["clone_seconds"] + report.figures["install_seconds"])
        except (TooSlow, subprocess.SubprocessError) as exc:
            said = getattr(exc, "stderr", None)
            print(f"{exc}\n{said.decode(errors='replace') if said else ''}", file=sys.stderr)
            return 1
    finish(report, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
