"""deploy/compose: the schema of Compose accepts it, all that it mounts is there, and what it starts is contained."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer.main
import yaml
from jsonschema.validators import validator_for

from controller.__main__ import app as controller
from controller.manifests import load
from exporters import __version__
from exporters.__main__ import app as exporter
from exporters.collector import discover
from scripts._dockerfile import read

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "deploy" / "compose"
TEXT = (FOLDER / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
README = (FOLDER / "README.md").read_text()
each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def mounts(name: str) -> dict[str, tuple[str, str]]:
    """Path in the container -> (file here or name of a volume, "ro" or "")."""
    found = {}
    for line in SERVICES[name].get("volumes", ()):
        source, target, *mode = line.split(":")
        found[target] = (source, mode[0] if mode else "")
    return found


@pytest.mark.tool("strict-kinds")
def test_the_schema_of_compose_accepts_it(tool):
    schema = json.loads((tool("strict-kinds") / "compose-spec.json").read_text())
    validator = validator_for(schema)(schema)
    wrong = [error.message for error in validator.iter_errors(COMPOSE)]
    assert wrong == []
    misspelt = yaml.safe_load(TEXT.replace("read_only: true", "readonly: true"))
    assert list(validator.iter_errors(misspelt)), "the schema knows what it does not know"


@each_service
def test_a_service_listens_on_this_machine_only(name):
    assert SERVICES[name]["ports"], name
    assert [port for port in SERVICES[name]["ports"] if not re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)] == []
    assert "network_mode" not in SERVICES[name]


@each_service
def test_a_service_has_no_rights_and_a_root_that_nobody_writes_to(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in {"", "0", "root"}
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"} & service.keys()
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}, "a log that grows for ever fills a disk"


@each_service
def test_what_a_service_mounts_is_there_and_only_its_volume_can_be_written(name):
    for target, (source, mode) in mounts(name).items():
        if source in COMPOSE["volumes"]:
            assert mode == "", target
            continue
        assert (FOLDER / source).exists(), source
        assert mode == "ro", source
    assert "/var/run/docker.sock" not in TEXT


@each_service
def test_a_service_is_watched(name):
    if SERVICES[name]["image"].startswith("${ORCHA_IMAGE"):
        stage = read((ROOT / "Dockerfile").read_text())[1][-1]
        assert [each for each in stage.instructions if each.word == "HEALTHCHECK"], "the image has its own"
        return
    program, *rest = SERVICES[name]["healthcheck"]["test"][1:]
    port = SERVICES[name]["ports"][0].rpartition(":")[2]
    assert program == "wget"
    assert f"http://127.0.0.1:{port}/" in rest[-1]


@each_service
def test_an_image_is_a_release_that_can_be_replaced(name):
    assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[a-z./-]+:v?\d+\.\d+\.\d+\}", SERVICES[name]["image"])


def test_the_image_of_orcha_is_the_version_of_the_code():
    assert SERVICES["orcha"]["image"].endswith(f":{__version__}}}")


def test_what_is_built_here_has_a_name_that_nobody_else_can_publish():
    """Compose asks a registry for the image before it builds it: one with an owner in its name may be somebody's."""
    assert {SERVICES[name]["image"] for name in ("orcha", "exporter")} == {f"${{ORCHA_IMAGE:-orcha:{__version__}}}"}


def test_the_image_is_built_from_this_repository():
    assert SERVICES["orcha"]["build"] == {"context": "../.."}
    assert (FOLDER / SERVICES["orcha"]["build"]["context"] / "Dockerfile").exists()


@pytest.mark.parametrize(("name", "app"), [("exporter", exporter), ("orcha", controller)], ids=["exporter", "orcha"])
def test_what_orcha_is_started_with_are_options_that_it_has(name, app):
    argv, command = list(SERVICES[name]["command"]), typer.main.get_command(app)
    if name == "orcha":
        command, argv = command.commands[argv[0]], argv[1:]
    with command.make_context(name, argv) as context:
        assert [str(path) for path in context.params["manifests"]] == [*{"/etc/orcha/manifests"} & mounts(name).keys()]
        port = SERVICES[name]["ports"][0].rpartition(":")[2]
        assert context.params["listen"] == f"0.0.0.0:{port}", "a port is published from the container's own address"


def test_secrets_are_files_that_git_never_sees_and_the_readme_says_how_to_make():
    files = {name: about["file"] for name, about in COMPOSE["secrets"].items()}
    used = {
        each if isinstance(each, str) else each["source"]
        for about in SERVICES.values()
        for each in about.get("secrets", ())
    }
    assert used == files.keys()
    assert (FOLDER / ".gitignore").read_text().splitlines()[-1] == "secrets/"
    for file in files.values():
        assert f"> {file}\n" in README, file
        assert re.search(rf"chmod 0400 .*{file}\b", README), file
        assert re.search(rf"chown (65532|472) .*{file}\b", README), file
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert not re.search(r"(?i)pass|token|secret|key", name) or value.startswith("/run/secrets/"), name


def test_its_manifests_are_valid_and_show_without_changing_anything():
    found = load([FOLDER / "manifests"], discover())
    assert found.problems == ()
    assert {policy.spec.mode for policy in found.policies} == {"Suggest"}
    tokens = found.settings.spec.api.token_files
    targets = {each["target"] for each in SERVICES["orcha"]["secrets"]}
    assert {tokens.read, tokens.operate} == targets, "whoever listens on an address that is not loopback needs tokens"


@pytest.mark.tool("prometheus")
def test_prometheus_reads_its_configuration_and_rules_where_they_are_mounted(tool, tmp_path):
    for target, (source, mode) in mounts("prometheus").items():
        if mode == "ro":
            there = tmp_path / target.lstrip("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (FOLDER / source).is_dir() else shutil.copy)(FOLDER / source, there)
    argv = [tool("prometheus") / "promtool", "check", "config", tmp_path / "etc/prometheus/prometheus.yml"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"SUCCESS: \d+ rules found", done.stdout)) == len(
        list((ROOT / "prometheus/rules").glob("*.yaml"))
    )
    ours = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    asked = {each["targets"][0] for job in ours["scrape_configs"] for each in job["static_configs"]}
    told = {each["targets"][0] for each in ours["alerting"]["alertmanagers"][0]["static_configs"]}
    for address in asked | told:
        service, _, port = address.partition(":")
        assert f"127.0.0.1:{port}:{port}" in SERVICES[service]["ports"], address
    assert {job["job_name"] for job in ours["scrape_configs"]} <= {
        job["job_name"] for job in yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    }, "the rules ask for these jobs"


@pytest.mark.tool("prometheus")
def test_alertmanager_reads_its_configuration_where_it_is_mounted(tool, tmp_path):
    for target, (source, mode) in mounts("alertmanager").items():
        if mode == "ro":
            there = tmp_path / target.lstrip("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (FOLDER / source).is_dir() else shutil.copy)(FOLDER / source, there)
    argv = [tool("prometheus") / "amtool", "check-config", tmp_path / "etc/alertmanager/alertmanager.yml"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " - 1 templates" in done.stdout


def test_grafana_finds_what_its_provisioning_asks_for():
    environment, where = SERVICES["grafana"]["environment"], mounts("grafana")
    asked = set()
    for path in (ROOT / "grafana/provisioning").glob("*/*.yaml"):
        asked |= set(re.findall(r"\$\{(\w+)\}", path.read_text()))
    assert asked <= environment.keys()
    source, _ = where[environment["ORCHA_DASHBOARDS"]]
    assert list((FOLDER / source).glob("orcha-*.json"))
    home = Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == environment["ORCHA_DASHBOARDS"]
    assert (FOLDER / source / home.name).exists()
    assert where["/etc/grafana/provisioning"][0] == "../../grafana/provisioning"
    assert environment["ORCHA_PROMETHEUS_URL"] == "http://prometheus:9090"
