"""scripts/receivers.py: what it writes is what was asked for, works in Alertmanager, and shows no secret."""

from __future__ import annotations

import importlib.util
import shutil
import stat
import subprocess

import pytest
import yaml

from tests.e2e.alerting import SOURCE, programs
from tests.e2e.programs import ROOT

RECEIVERS = tuple(sorted(path.stem for path in (SOURCE / "receivers").glob("*.yml")))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("orcha_receivers_script", ROOT / "scripts/receivers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def own(tmp_path):
    """A copy of alertmanager/ whose secrets are files of this test."""
    folder = tmp_path / "own"
    shutil.copytree(SOURCE, folder)
    (tmp_path / "secrets").mkdir()
    for path in (folder / "receivers").glob("*.yml"):
        path.write_text(path.read_text().replace("/etc/orcha/secrets", str(tmp_path / "secrets")))
    for name in ("telegram-bot-token", "pushover-user-key", "pushover-app-token"):
        (tmp_path / "secrets" / name).write_text(f"it's {name}\n")
    return folder


def kinds(text: str) -> dict[str, list[str]]:
    """Receiver -> by what it is told."""
    return {each["name"]: sorted(set(each) - {"name"}) for each in yaml.safe_load(text)["receivers"]}


def test_a_receiver_by_itself_is_for_every_severity_and_a_place_adds_one(script):
    found = kinds(script.assemble(SOURCE, ["email", "critical=pushover", "storj=slack", "watchdog=dead-mans-switch"]))
    assert found == {
        "critical": ["email_configs", "pushover_configs"],
        "warning": ["email_configs"],
        "info": ["email_configs"],
        "watchdog": ["slack_configs"],
        "storj": ["slack_configs"],
        "golem": [],
        "streamr": [],
        "grass": [],
    }


def test_two_receivers_of_one_kind_in_one_place_are_both_told(script):
    text = script.assemble(SOURCE, ["critical=slack", "critical=dead-mans-switch", "critical=slack"])
    critical = yaml.safe_load(text)["receivers"][0]
    assert [config["api_url_file"] for config in critical["slack_configs"]] == [
        "/etc/orcha/secrets/slack-webhook-url",
        "/etc/orcha/secrets/dead-mans-switch-url",
    ]


def test_routes_and_inhibition_are_those_that_we_ship(script):
    ours = yaml.safe_load((SOURCE / "alertmanager.yml").read_text(encoding="utf-8"))
    found = yaml.safe_load(script.assemble(SOURCE, ["email"]))
    assert {name: found[name] for name in ("route", "inhibit_rules")} == {
        name: ours[name] for name in ("route", "inhibit_rules")
    }
    assert found["templates"] == [f"{SOURCE}/templates/*.tmpl"]
    assert found.keys() == ours.keys()


@pytest.mark.tool("prometheus")
@pytest.mark.parametrize("name", RECEIVERS)
def test_amtool_accepts_each_receiver_in_every_place(script, own, tmp_path, name):
    places = ("watchdog", "storj", "golem", "streamr", "grass")
    path = tmp_path / "alertmanager.yml"
    assert script.main([name, *(f"{place}={name}" for place in places), "--from", str(own), "--output", str(path)]) == 0
    found = subprocess.run(
        [programs() / "amtool", "check-config", str(path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "1 templates" in found.stdout


def test_a_secret_is_written_for_its_owner_alone_and_shown_to_nobody(script, own, tmp_path, capsys):
    path = tmp_path / "alertmanager.yml"
    assert script.main(["telegram", "--from", str(own), "--output", str(path)]) == 0
    config = yaml.safe_load(path.read_text())
    assert config["receivers"][0]["telegram_configs"][0]["bot_token"] == "it's telegram-bot-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert script.main(["telegram", "--from", str(own)]) == 0
    shown = capsys.readouterr()
    assert f"bot_token: '@file:{tmp_path}/secrets/telegram-bot-token'" in shown.out
    assert "it's" not in shown.out + shown.err


def test_without_a_secret_in_it_everybody_may_read_it(script, own, tmp_path):
    path = tmp_path / "alertmanager.yml"
    path.write_text("old")
    assert script.main(["email", "--from", str(own), "--output", str(path)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert path.read_text().startswith("# Written by scripts/receivers.py email\n")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (["mail"], "mail: there is no such receiver"),
        (["../alertmanager"], "there is no such receiver"),
        (["urgent=email"], "there is no receiver 'urgent' in alertmanager.yml; there are critical, warning, info, watchdog, storj"),
        (["critical="], "there is no such receiver"),
    ],
    ids=["no-such-receiver", "not-a-name", "no-such-place", "no-name"],
)  # fmt: skip
def test_a_typing_error_is_told_with_what_there_is(script, tmp_path, capsys, wanted, says):
    path = tmp_path / "alertmanager.yml"
    assert script.main([*wanted, "--output", str(path)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "email" in error or "critical" in error
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read: No such file"), (b"\n", "is empty"), (b"one\ntwo", "not one line"), (b"\xff\xfe", "not text")],
    ids=["missing", "empty", "two-lines", "not-text"],
)  # fmt: skip
def test_a_secret_that_cannot_be_one_leaves_the_old_configuration(script, own, tmp_path, capsys, content, says):
    secret, path = tmp_path / "secrets/telegram-bot-token", tmp_path / "alertmanager.yml"
    path.write_text("old")
    secret.unlink()
    if content is not None:
        secret.write_bytes(content)
    assert script.main(["telegram", "--from", str(own), "--output", str(path)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert str(secret) in error
    assert path.read_text() == "old"


@pytest.mark.parametrize(("where", "says"), [("there/is/none.yml", "No such file"), ("folder", "Is a directory")])
def test_what_cannot_be_written_is_told_by_its_name_and_leaves_no_secret_behind(
    script, own, tmp_path, capsys, where, says
):
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert script.main(["telegram", "--from", str(own), "--output", str(tmp_path / where)]) == 2
    assert capsys.readouterr().err.startswith(f"receivers.py: {tmp_path / where} cannot be written: {says}")
    assert sorted(tmp_path.rglob("*")) == before
