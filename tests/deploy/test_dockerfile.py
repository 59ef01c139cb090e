"""The Dockerfile: BuildKit's own parser and linter have nothing to say, and what its linter and hadolint would look at beyond that."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exporters import __version__
from scripts._dockerfile import DockerfileError, expand, is_sent, read
from scripts.image import check_target, sent

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "Dockerfile").read_text()
ARGUMENTS, STAGES = read(TEXT)
BUILD, FINAL = STAGES
ALL = [(stage, each) for stage in STAGES for each in stage.instructions]


def of(word: str, *stages):
    return [each for stage in stages or STAGES for each in stage.instructions if each.word == word]


@pytest.mark.tool("dockerfile")
def test_buildkit_reads_it_without_a_warning_and_as_our_own_reading_does(tool):
    done = subprocess.run(
        [tool("dockerfile") / "dockerfile"], input=TEXT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["warnings"] == []
    assert [stage["name"] for stage in said["stages"]] == [stage.name for stage in STAGES]
    assert [[(each["word"], each["line"]) for each in stage["instructions"]] for stage in said["stages"]] == [
        [(each.word, each.line) for each in stage.instructions] for stage in STAGES
    ]


@pytest.mark.tool("dockerfile")
@pytest.mark.parametrize(
    "text",
    ["FROM a\nCOPY --frm=b c d\n", "FROM a\nCOPPY b c\n", "RUN before\nFROM a\n"],
    ids=["misspelt-flag", "misspelt-word", "run-before-from"],
)
def test_what_buildkit_refuses_our_own_reading_refuses_too(tool, text):
    done = subprocess.run(
        [tool("dockerfile") / "dockerfile"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    with pytest.raises(DockerfileError):
        read(text)


# What BuildKit's linter looks at while it builds.


def test_every_stage_has_a_name_of_its_own_in_lower_case_but_the_last():
    names = [stage.name for stage in STAGES]
    assert names[:-1] == [name.lower() for name in names[:-1]]
    assert len(set(names)) == len(names)
    assert not {"scratch", "context"} & set(names)
    assert names[-1] == ""


def test_what_starts_is_written_as_json_so_that_signals_reach_orcha_and_no_shell():
    for word in ("ENTRYPOINT", "CMD"):
        [each] = of(word, FINAL)
        assert json.loads(each.rest)
    [check] = of("HEALTHCHECK", FINAL)
    assert json.loads(check.rest.removeprefix("CMD"))[0] == "python"


def test_a_stage_says_each_thing_once():
    for stage in STAGES:
        words = [each.word for each in stage.instructions]
        for word in ("ENTRYPOINT", "CMD", "HEALTHCHECK", "USER", "STOPSIGNAL"):
            assert words.count(word) <= 1, word


def test_working_directories_are_absolute():
    assert [each.rest for each in of("WORKDIR") if not each.rest.startswith("/")] == []


def test_every_variable_has_a_value():
    for stage in STAGES:
        known: dict[str, str] = {}
        for each in stage.instructions:
            if each.word == "ARG":
                name, _, value = each.rest.partition("=")
                known[name] = value
            elif each.word in {"ENV", "LABEL"}:
                known |= {name: expand(value, known, each.line) for name, value in each.pairs().items()}
            elif each.word != "RUN":
                assert "$" not in each.rest, each


def test_no_secret_is_an_argument_or_a_variable():
    names = [each.rest for each in of("ARG")] + [name for each in of("ENV") for name in each.pairs()]
    assert [name for name in names if re.search(r"(?i)pass|secret|token|key|credential", name)] == []


def test_ports_are_those_of_controller_and_exporter_with_their_protocol_in_lower_case():
    assert of("EXPOSE", FINAL)[0].words() == ["9872/tcp", "9871/tcp"]


# What hadolint looks at.


def test_the_base_is_one_release_that_an_argument_can_pin_by_its_digest():
    assert re.fullmatch(r"python:3\.11-slim-[a-z]+", ARGUMENTS["BASE"])
    assert {stage.base for stage in STAGES} == {ARGUMENTS["BASE"]}, "the environment is made for the Python it runs on"
    assert "BASE=python:3.11-slim-bookworm@sha256:" in TEXT, "the comment shows how"
    other = read(TEXT.replace(ARGUMENTS["BASE"] + "\n", "python:3.11@sha256:abc\n"))[1]
    assert {stage.base for stage in other} == {"python:3.11@sha256:abc"}


def test_it_runs_as_a_number_that_is_not_root_and_nothing_follows_that_needs_root():
    words = [each.word for each in FINAL.instructions]
    assert of("USER", FINAL)[0].rest == "65532:65532"
    assert not {"RUN", "COPY"} & set(words[words.index("USER") :])


def test_packages_are_installed_by_hash_and_as_wheels_and_leave_no_cache():
    for each in of("RUN"):
        for command in each.rest.split("&&"):
            if "pip" not in command.split() or "install" not in command.split():
                continue
            assert "--no-cache-dir" in command, command
            by_hash = "--require-hashes" in command and "--only-binary :all:" in command
            assert by_hash or "--no-index" in command, command


def test_the_final_stage_installs_nothing_and_has_nothing_left_that_could():
    said = " ".join(each.rest for each in of("RUN", FINAL))
    assert not re.search(r"\b(apt|apt-get|apk|curl|wget|pip install)\b", said)
    for name in ("pip", "setuptools", "wheel", "ensurepip", "pkg_resources"):
        assert re.search(rf"/{name}\b", said), name


def test_no_pipe_hides_a_failure_and_nobody_becomes_root():
    for each in of("RUN"):
        assert "|" not in each.rest
        assert "sudo" not in each.rest
        assert ";" not in each.rest.replace("'{}' \\;", "")


def test_files_are_copied_and_never_fetched():
    assert not re.search(r"(?m)^ADD\b|https?://", "\n".join(line for line in TEXT.splitlines() if line[:1] != "#"))


# What is this repository's own.


def test_the_label_has_the_version_of_the_code():
    assert f"version={__version__}".upper() in {each.rest.upper() for each in of("ARG", FINAL)}
    labels = {name: value for each in of("LABEL", FINAL) for name, value in each.pairs().items()}
    assert labels["org.opencontainers.image.version"] == "${VERSION}"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert {name.removeprefix("org.opencontainers.image.") for name in labels} == {
        "title", "description", "version", "revision", "licenses",
    }  # fmt: skip


def test_all_that_is_copied_is_sent_and_all_that_is_sent_is_copied():
    copied = [name for each in of("COPY") if "from" not in each.flags for name in each.words()[:-1]]
    files = set(sent(ROOT, (ROOT / ".dockerignore").read_text()))
    for name in copied:
        assert any(file == name or file.startswith(f"{name}/") for file in files), name
    assert {f for f in files if not any(f == name or f.startswith(f"{name}/") for name in copied)} == set()
    assert {file.split("/")[0] for file in files} == {
        "CHANGELOG.md", "LICENSE", "README.md", "controller", "deploy", "exporters", "pyproject.toml", "requirements", "scripts",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "goes"),
    [
        (".git/config", False),
        ("controller/__main__.py", True),
        ("controller/__pycache__/loop.pyc", False),
        ("controller/api/static/page.js", True),
        ("deploy/compose/secrets/read", False),
        ("scripts/image.py", False),
        ("scripts/sbom.py", True),
        ("tests/conftest.py", False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_only_what_the_image_needs_goes_to_the_builder(path, goes):
    assert is_sent(path, (ROOT / ".dockerignore").read_text()) is goes


@pytest.mark.parametrize("inside", [["letters"], ["rootfs"], ["rootfs", "config.json", "letters"]], ids=" ".join)
def test_a_folder_that_no_build_made_is_left_alone(tmp_path, inside):
    """The build is root's, and takes away what an earlier one made at its target: `build .` must not be the end of this folder."""
    for name in inside:
        (tmp_path / name).write_text("mine")
    argv = [sys.executable, "scripts/image.py", "build", str(tmp_path), "--wheels", str(tmp_path / "no wheels")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "not from an earlier build; name a new folder" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == set(inside)


def test_a_folder_of_an_earlier_build_or_an_empty_one_is_made_anew(tmp_path):
    check_target(tmp_path)
    check_target(tmp_path / "new")
    for name in ("rootfs", "room"):
        (tmp_path / name).mkdir()
    (tmp_path / "config.json").write_text("{}")
    check_target(tmp_path)
