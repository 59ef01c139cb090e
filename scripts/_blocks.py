"""OpenMetrics files -> blocks of Prometheus by promtool, and what the rules would have said all that time.

Rules that build on others are evaluated after those: one pass for each layer, each rule as one range query, and what it
gives becomes blocks like everything else. (`promtool tsdb create-blocks-from rules` makes a block of each rule and two
hours: 7 000 of them in a week, which Prometheus then takes minutes to open.) Alerts record ALERTS as Prometheus does, `for`
included.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from exporters.quantity import parse_duration
from scripts._pages import BLOCK

ROOT: Final = Path(__file__).resolve().parent.parent
NAMED: Final = re.compile(r"(?<![\w$:])(?:[a-z]\w*(?::\w+)+|orcha_\w+)")
"""Families and recorded series in an expression."""
_STARTING: Final = 60.0
_COMPACTING: Final = 1800.0
_PATIENCE: Final = 600
"""Seconds for one query: a rule over weeks of a fleet, on a busy machine."""
_AT_ONCE: Final = 2
"""Of promtool's runs; each is busy with one core."""


class CannotFill(Exception):
    """Why there are no blocks; `str()` is the sentence."""


def programs() -> Path:
    """The folder of prometheus and promtool. Raises CannotFill where they cannot be had."""
    found = subprocess.run(
        [sys.executable, str(ROOT / "scripts/tools/prometheus.py")], capture_output=True, text=True, check=False
    )
    if found.returncode:
        raise CannotFill(found.stderr.strip())
    return Path(found.stdout.strip())


def run(argv: Sequence[str | Path]) -> None:
    done = subprocess.run([str(each) for each in argv], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotFill(f"{' '.join(map(str, argv[:4]))} ended with {done.returncode}: {done.stderr.strip()[-1000:]}")


def write_blocks(files: Iterable[Path], output: Path) -> None:
    """Each file becomes a block in `output`, and is removed."""
    promtool = programs() / "promtool"

    def write(path: Path) -> None:
        run([promtool, "tsdb", "create-blocks-from", f"--max-block-duration={BLOCK:.0f}s", "openmetrics", path, output])
        path.unlink()

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(write, files))


# --- rules --------------------------------------------------------------------------------------------------------

Rule = Mapping[str, Any]


def rules_of(folder: Path) -> list[Rule]:
    """Every rule of every file, as written, with the name of its group."""
    found: list[Rule] = []
    for path in sorted(folder.glob("*.yaml")):
        for group in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("groups", []):
            found += [{**rule, "group": group["name"]} for rule in group["rules"]]
    return found


def layers(rules: Iterable[Rule], step: float) -> list[list[Rule]]:
    """Recording rules, and alerts as such, in an order in which each builds only on those of earlier layers."""
    left: list[Rule] = [_recording(rule, step) for rule in rules]
    names = {rule["record"] for rule in left}
    done: set[str] = set()
    found: list[list[Rule]] = []
    while left:
        now = [rule for rule in left if _needs(rule, names) <= done]
        if not now:
            raise CannotFill(f"rules that build on each other in a circle: {', '.join(r['record'] for r in left)}")
        left = [rule for rule in left if rule not in now]
        done |= {rule["record"] for rule in now} - {rule["record"] for rule in left}
        found.append(now)
    return found


def _needs(rule: Rule, names: set[str]) -> set[str]:
    return (set(NAMED.findall(rule["expr"])) & names) - {rule["record"]}


def _recording(rule: Rule, step: float) -> dict[str, Any]:
    if "record" in rule:
        return {name: rule[name] for name in ("record", "expr", "labels") if name in rule}
    labels = {"alertname": rule["alert"], "alertstate": "firing", **rule.get("labels", {})}
    lasts = parse_duration(str(rule.get("for", "0s")))
    expression = f"0 * ({rule['expr'].strip()}) + 1"  # which has no name: that may differ from one time to the next
    if lasts >= step:
        times = int(lasts // step)
        held = f"count_over_time(({expression})[{times * step:.0f}s:{step:.0f}s])"
        expression = f"0 * ({held} >= {times}) + 1"
    return {"record": "ALERTS", "expr": expression, "labels": labels}


def write_recorded(found: Sequence[Rule], output: Path, spans: Sequence[tuple[float, float, float]]) -> None:
    """Blocks of every one of these rules, over each (from, to, step in seconds)."""
    for number, _ in enumerate(layers(found, 60.0)):
        with tempfile.TemporaryDirectory(prefix="orcha-rules-") as name:
            texts = Texts(Path(name))
            with serving(output, {}) as at, ThreadPoolExecutor(_AT_ONCE) as pool:
                asked = [
                    pool.submit(_evaluated, at, rule, span) for span in spans for rule in layers(found, span[2])[number]
                ]
                for each in asked:
                    texts.write(each.result())
            write_blocks(texts.files(), output)


def _evaluated(address: str, rule: Rule, span: tuple[float, float, float]) -> list[tuple[float, str]]:
    """(time, line of OpenMetrics) of one rule."""
    start, end, step = span
    try:
        answer = ask(address, "query_range", query=rule["expr"], start=start, end=end, step=step)
    except CannotFill as exc:
        name = rule.get("labels", {}).get("alertname", rule["record"])
        raise CannotFill(f"rule {name} cannot be evaluated from {start:.0f} to {end:.0f}: {exc}") from exc
    lines = []
    for series in answer["result"]:
        labels = {**series["metric"], **rule.get("labels", {})}
        told = ",".join(f"{name}={json.dumps(str(value))}" for name, value in labels.items() if name != "__name__")
        lines += [(at, f"{rule['record']}{{{told}}} {value} {at}\n") for at, value in series["values"]]
    return lines


def write_alert_states(found: Sequence[Rule], output: Path, end: float) -> None:
    """What a Prometheus that starts at `end` restores: since when the alerts that fire then are active. Without it each
    would have to hold for its `for` once more.
    """
    lasts = {rule["alert"]: parse_duration(str(rule.get("for", "0s"))) for rule in found if "alert" in rule}
    with tempfile.TemporaryDirectory(prefix="orcha-alerts-") as name, serving(output, {}) as at:
        lines = []
        for series in ask(at, "query", query='ALERTS{alertstate="firing"}', time=end)["result"]:
            labels = {name: value for name, value in series["metric"].items() if name not in {"__name__", "alertstate"}}
            told = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
            since = end - lasts.get(labels["alertname"], 0.0) - 60.0
            lines.append((end, f"ALERTS_FOR_STATE{{{told}}} {since:.0f} {end:.3f}\n"))
        texts = Texts(Path(name))
        texts.write(lines)
        write_blocks(texts.files(), output)


class Texts:
    """Lines of OpenMetrics, in one file for each block that they will be in."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._paths = folder, set[Path]()

    def write(self, lines: Iterable[tuple[float, str]]) -> None:
        for start, those in itertools.groupby(sorted(lines), key=lambda line: line[0] // BLOCK * BLOCK):
            path = self._folder / f"{start:.0f}.om"
            self._paths.add(path)
            with path.open("a", encoding="utf-8") as file:
                file.writelines(line for _, line in those)

    def files(self) -> list[Path]:
        for path in self._paths:
            with path.open("a", encoding="utf-8") as file:
                file.write("# EOF\n")
        return sorted(self._paths)


# --- Prometheus ---------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass(frozen=True)
class _Started:
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def serving(storage: Path, config: Mapping[str, Any], port: int = 0, *, longest: str = "2h") -> Iterator[str]:
    """A Prometheus over these blocks; its address. It keeps them as they are, unless blocks may be as long as `longest`: then
    it compacts them, a minute after its start and each minute. Raises CannotFill.
    """
    port = port or free_port()
    address, beside = f"127.0.0.1:{port}", storage.with_name(f"{storage.name}-prometheus-{port}")
    beside.mkdir()
    path, log = beside / "prometheus.yml", beside / "log"
    path.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
    options = {
        "config.file": path, "web.listen-address": address, "storage.tsdb.path": storage,
        "storage.tsdb.retention.time": "90d", "storage.tsdb.min-block-duration": "2h",
        "storage.tsdb.max-block-duration": longest, "query.max-concurrency": 4, "query.timeout": f"{_PATIENCE}s",
        "rules.alert.for-grace-period": "0s",
    }  # fmt: skip
    argv = [str(programs() / "prometheus"), *(f"--{name}={value}" for name, value in options.items())]
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    started = _Started(process, log)
    try:
        _wait(started, f"http://{address}/-/ready")
        yield f"http://{address}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for each in (path, log):
            each.unlink(missing_ok=True)
        beside.rmdir()


def _wait(started: _Started, url: str) -> None:
    deadline = time.monotonic() + _STARTING
    while started.process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise CannotFill(
        f"Prometheus did not start; the end of its log:\n{started.log.read_text(errors='replace')[-2000:]}"
    )


def compact(storage: Path, longest: str) -> None:
    """The blocks as a server that runs all the time would have made them of these: those of one time become one, and long ones of
    short ones. Its rounds begin a minute apart, and one that compacts nothing is the last. Raises CannotFill.
    """
    with serving(storage, {}, longest=longest) as address:
        compacted, since, deadline = -1.0, 0.0, time.monotonic() + _COMPACTING
        while time.monotonic() < deadline:
            told = figures(address)
            begun, now = (told[f"prometheus_tsdb_compactions_{what}"] for what in ("triggered_total", "total"))
            if now != compacted:
                compacted, since = now, begun
            if begun > max(since, 1.0):  # the last round that compacted anything is over, for another one has begun
                return
            time.sleep(1.0)
    raise CannotFill(f"Prometheus was not done with compacting {storage} after {_COMPACTING:.0f} s")


def figures(address: str) -> dict[str, float]:
    """What Prometheus counts of itself, as far as it has no labels."""
    with urllib.request.urlopen(f"{address}/metrics", timeout=_PATIENCE) as answer:
        lines = [line.split() for line in answer.read().decode().splitlines()]
    return {words[0]: float(words[1]) for words in lines if len(words) == 2 and "{" not in words[0]}


def ask(address: str, path: str, **parameters: Any) -> Any:
    """`data` of an answer of Prometheus' API. Raises CannotFill with what it says is wrong."""
    body = urllib.parse.urlencode(parameters).encode() if parameters else None
    try:
        with urllib.request.urlopen(f"{address}/api/v1/{path}", body, timeout=_PATIENCE) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as exc:
        raise CannotFill(f"Prometheus answered {exc.code}: {exc.read().decode()[:500]}") from exc
