"""docs/alerting.md: what a reader types does what the page says, in a real Alertmanager."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.alerting import SOURCE, programs
from tests.e2e.programs import ROOT, until

pytestmark = pytest.mark.tool("prometheus")

PAGE = (ROOT / "docs/alerting.md").read_text(encoding="utf-8")
BLOCKS = [
    "\n".join(line[4:] for line in found.splitlines()) for found in re.findall(r"(?:^ {4}.*\n)+", PAGE, re.MULTILINE)
]


def block(*words: str) -> str:
    """The one block of commands that has all these words in it."""
    found = [text for text in BLOCKS if all(word in text for word in words)]
    assert len(found) == 1, f"{words} stand in {len(found)} blocks of the page"
    return found[0]


@pytest.fixture
def typed(tmp_path):
    """Run a block as a reader does, whose Alertmanager is at amtool's default address."""

    def run(text: str, url: str = "http://127.0.0.1:1") -> str:
        amtool = f'amtool() {{ command amtool --alertmanager.url={url} "$@"; }}'
        path = f"{programs()}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{amtool}\n{text}"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": path, "HOME": str(tmp_path), "USER": "reader"},
        )  # fmt: skip
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


def test_the_parts_are_put_together_and_accepted(typed, tmp_path):
    first, *rest = block("scripts/receivers.py", "check-config").splitlines()
    assert first == "cp -r alertmanager /etc/orcha/alertmanager"
    assert rest.pop() == "systemctl reload prometheus-alertmanager"
    shutil.copytree(SOURCE, tmp_path / "orcha/alertmanager")
    (tmp_path / "secrets").mkdir()
    for path in (tmp_path / "orcha/alertmanager/receivers").iterdir():
        path.write_text(path.read_text().replace("/etc/orcha/secrets", str(tmp_path / "secrets")))
    for name in ("pushover-user-key", "pushover-app-token"):
        (tmp_path / "secrets" / name).write_text("made-up")
    text = "\n".join(rest).replace("/etc/orcha", str(tmp_path / "orcha")).replace("/etc/prometheus", str(tmp_path))
    assert "8 receivers" in typed(text)


def test_a_secret_gets_into_its_file_without_a_newline_and_for_its_owner_alone(tmp_path):
    text = block("read -rs").replace("/etc/orcha/secrets", str(tmp_path))
    subprocess.run(["bash", "-e", "-c", text], input=b" a\\b 'c'\n", timeout=10, check=True)
    assert (tmp_path / "smtp-password").read_bytes() in {b"a\\b 'c'", b" a\\b 'c'"}
    assert (tmp_path / "smtp-password").stat().st_mode & 0o777 == 0o600


def test_the_test_alert_is_seen_and_told_as_critical(typed, shipped):
    with shipped() as manager:
        typed(block("amtool alert add"), manager.url)
        until(lambda: manager.states() == {"OrchaTest nowhere": "active"}, "the test alert")
        shown = typed(block("amtool config routes test"), manager.url)
    assert "OrchaTest" in shown
    assert shown.strip().splitlines()[-1] == "critical"


def test_a_silence_by_hand_is_made_shown_and_ended(typed, shipped):
    with shipped() as manager:
        manager.post({"alertname": "OrchaNodeDown", "severity": "critical", "node": "rack-1"})
        until(lambda: manager.states() == {"OrchaNodeDown rack-1": "active"}, "the alert to be active")
        *before, last = block("amtool silence add").splitlines()
        assert "A new disk." in typed("\n".join(before), manager.url)
        until(lambda: manager.states() == {"OrchaNodeDown rack-1": "suppressed"}, "the alert to be silenced")
        typed(last, manager.url)
        until(lambda: manager.states() == {"OrchaNodeDown rack-1": "active"}, "the silence to end")


def test_the_table_of_messages_says_what_the_routes_do():
    rows = re.findall(r"^\| (critical|warning|info):.*\| (\d+ \w+) \| (\d+ \w+) \| (\d+ \w+) \|$", PAGE, re.MULTILINE)
    config = (SOURCE / "alertmanager.yml").read_text(encoding="utf-8")
    assert [row[0] for row in rows] == ["critical", "warning", "info"]
    for severity, *durations in rows:
        route = re.search(rf"- receiver: {severity}\n(?: {{6}}.*\n)*", config)
        assert route is not None
        for name, said in zip(("group_wait", "group_interval", "repeat_interval"), durations, strict=True):
            own, default = (re.search(rf"{name}: (\d+[smh])", text) for text in (route[0], config))
            shortened = said.replace(" min", "m").replace(" ", "")
            assert shortened == (own or default)[1], f"{severity} {name}"


def test_every_receiver_is_in_the_table_with_its_secrets():
    for path in sorted((SOURCE / "receivers").glob("*.yml")):
        row = re.search(rf"^\| `{path.stem}`.*$", PAGE, re.MULTILINE)
        assert row is not None, f"{path.stem} has no row"
        secrets = set(re.findall(r"/etc/orcha/secrets/([\w-]+)", path.read_text(encoding="utf-8")))
        assert secrets == set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", row[0].split("|")[3])), path.stem
