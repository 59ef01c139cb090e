"""`orcha plan --diff`: what a change of the manifests would do, of directories and of Git revisions, for a pull request."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import time

import pytest
import yaml
from typer.testing import CliRunner

from controller.__main__ import app
from controller.commands.revisions import Commit, NoRevision
from controller.history import History
from controller.report.proposed_markdown import LONGEST, MARKER, cell, code, proposed_markdown, words
from controller.samples import Kept
from controller.store import Store
from exporters.collector import discover, workloads_of
from exporters.manifests import load_nodes
from exporters.simulator import manifests as simulated
from exporters.simulator.demo import demo
from exporters.simulator.history import history
from tests.controller.proposed.sides import BASE, NODE, POLICY, with_edits

AUTHOR = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
}  # fmt: skip


def write(where, texts):
    where.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (where / f"{name}.yaml").write_text(text)
    return where


def orcha(*argv):
    return CliRunner().invoke(app, ["plan", *map(str, argv)])


def view(*argv):
    done = orcha(*argv, "-o", "json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refused(code, *argv):
    done = orcha(*argv)
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    return done.stderr


@pytest.fixture
def base(tmp_path):
    return write(tmp_path / "base", {**BASE, "policy": with_edits(POLICY, {"spec.mode": "Suggest"})})


@pytest.fixture
def head(tmp_path):
    return write(tmp_path / "head", BASE)


class Repository:
    def __init__(self, where):
        self.where = where
        self.manifests = where / "deploy" / "manifests"
        where.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *argv):
        done = subprocess.run(
            ["git", *argv], cwd=self.where, env={**os.environ, **AUTHOR}, capture_output=True, text=True, check=True, timeout=30
        )  # fmt: skip
        return done.stdout.strip()

    def commit(self, texts=None, say="a change"):
        if texts is not None:
            write(self.manifests, texts)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", say)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    """Two commits: the second lets orcha act."""
    made = Repository(tmp_path / "repository")
    made.commit({**BASE, "policy": with_edits(POLICY, {"spec.mode": "Suggest"})})
    made.git("branch", "before")
    made.commit(BASE)
    return made


# --- of directories -------------------------------------------------------------------------------------------------------


def test_two_directories_are_compared_in_what_they_mean(base, head):
    found = view("--diff", base, head)
    assert found["changed"]
    assert [hand["sentence"] for hand in found["hands"]] == [
        "policy default: orcha will act by itself on 2 workloads (rack-1/golem, rack-1/storj)"
    ]
    assert [(item["kind"], item["name"], item["what"]) for item in found["items"]] == [
        ("AllocationPolicy", "default", "changed")
    ]
    assert found["risks"] == 2
    assert "name the state" in found["no_plan"]


def test_what_is_the_same_is_said_to_be(base):
    done = orcha("--diff", base, base)
    assert done.exit_code == 0
    assert "Nothing changes in what the manifests mean." in done.stdout


def test_the_table_marks_what_is_risky(base, head):
    said = orcha("--diff", base, head).stdout
    assert "RISKY policy default: orcha will act by itself on 2 workloads" in said
    assert re.search(r"mode +Suggest +-> +Auto", said)


def test_an_invalid_head_is_told_with_file_and_line(base, head):
    (head / "policy.yaml").write_text(POLICY.replace("hold: 1h", "hodl: 1h"))
    said = refused(1, "--diff", base, head)
    assert said == f"{head}/policy.yaml:7: spec.limits.hodl: unknown key; did you mean 'hold'?\n"


def test_an_invalid_base_is_said_and_everything_is_new(base, head):
    (base / "policy.yaml").write_text("kind: Polizei")
    found = view("--diff", base, head)
    assert "are not valid" in found["notes"][0]
    assert {item["what"] for item in found["items"]} <= {"added", "changed"}


def test_only_warnings_that_are_new_are_told(base, head):
    assert view("--diff", base, head)["warnings"] == []
    (head / "node.yaml").write_text(NODE.replace("secrets/grass-token", "secrets/another"))
    (warning,) = view("--diff", base, head)["warnings"]
    assert "secrets/another does not exist" in warning


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--diff", "--help", "HEAD"], "'--help' is not a revision"),
        (["--diff", "", "HEAD"], "'' is not a revision"),
        (["--diff", "{base}", "{base}", "-o", "xml"], "--output 'xml' is not known; write table, json or md"),
        (["-o", "md"], "--output md is for --diff BASE HEAD"),
        (["--diff", "{base}", "{base}/nothing.yaml"], "is in no Git repository that can be read"),
    ],
    ids=["an option", "nothing", "an output", "md alone", "no repository"],
)
def test_what_cannot_be_compared_is_one_sentence(base, argv, said, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(base.parent))
    monkeypatch.chdir(base)
    assert said in refused(2, *(word.replace("{base}", str(base)) for word in argv))


def test_what_another_program_writes_is_read_through_its_pipe(base):
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as pipe:
        pipe.write("---\n".join(BASE.values()))
        pipe.close()
        found = view("--diff", base, f"/dev/fd/{reading}")
    assert [(item["kind"], item["name"]) for item in found["items"]] == [("AllocationPolicy", "default")]
    assert found["items"][0]["fields"][0]["after"] == "Auto"


def test_an_endless_device_is_no_manifest(base):
    assert "/dev/zero is larger than 8 MiB" in refused(2, "--diff", base, "/dev/zero")


# --- of Git ---------------------------------------------------------------------------------------------------------------


def test_two_revisions_are_compared(repository, monkeypatch):
    monkeypatch.chdir(repository.where)
    found = view("--diff", "before", "main", "-m", "deploy/manifests")
    assert (found["base"], found["head"], found["risks"]) == ("before", "main", 2)
    assert view("--diff", "main", "HEAD", "-m", "deploy/manifests")["changed"] is False


def test_the_repository_is_that_of_the_manifests(repository):
    assert view("--diff", "before", "main", "-m", repository.manifests)["risks"] == 2


def test_a_revision_is_compared_with_the_directory_that_is_there(repository):
    (repository.manifests / "policy.yaml").write_text(POLICY.replace("hold: 1h", "hold: 2h"))
    found = view("--diff", "main", repository.manifests)
    assert [field["after"] for item in found["items"] for field in item["fields"]] == ["2h"]


def test_a_problem_of_a_revision_is_told_as_git_names_the_file(repository):
    repository.commit({"policy": POLICY.replace("hold: 1h", "hold: 1 hour")})
    said = refused(1, "--diff", "before", "main", "-m", repository.manifests)
    assert said.startswith("main:deploy/manifests/policy.yaml:7: spec.limits.hold: '1 hour' is not a duration")


def test_one_name_twice_in_a_revision_names_no_place_of_this_program(repository):
    repository.commit({"other": NODE})
    said = refused(1, "--diff", "before", "main", "-m", repository.manifests)
    assert "stands in main:deploy/manifests/node.yaml:1 already" in said
    assert "/tmp" not in said.replace(str(repository.where), "")  # noqa: S108 no file is made there


def test_manifests_that_are_new_altogether_are_said_to_be(repository):
    repository.git("checkout", "-q", "--orphan", "empty")
    repository.git("rm", "-rfq", ".")
    repository.commit()
    found = view("--diff", "empty", "main", "-m", repository.manifests)
    assert found["notes"][0] == "empty holds no manifests there: everything is new"
    assert "holds no manifests at" in refused(2, "--diff", "main", "empty", "-m", repository.manifests)


def test_an_attribute_cannot_hide_a_manifest(repository):
    (repository.manifests / ".gitattributes").write_text("*.yaml export-ignore\n")
    repository.commit()
    assert view("--diff", "before", "main", "-m", repository.manifests)["risks"] == 2


def test_links_within_a_revision_are_followed(repository):
    (repository.where / "shared.yaml").write_text(BASE["settings"])
    (repository.manifests / "settings.yaml").unlink()
    (repository.manifests / "settings.yaml").symlink_to("../../shared.yaml")
    (repository.where / "link").symlink_to("deploy/manifests")
    repository.commit()
    assert view("--diff", "HEAD~1", "HEAD", "-m", repository.manifests)["changed"] is False
    assert view("--diff", "HEAD", repository.manifests, "-m", repository.where / "link")["changed"] is False


@pytest.mark.parametrize("target", ["/etc/hostname", "../../../outside.yaml", "nowhere.yaml", "settings.yaml"])
def test_a_link_that_leads_out_of_a_revision_is_refused(repository, target):
    (repository.manifests / "settings.yaml").unlink()
    (repository.manifests / "settings.yaml").symlink_to(target)
    repository.commit()
    said = refused(2, "--diff", "before", "main", "-m", repository.manifests)
    assert "main:deploy/manifests/settings.yaml is a link that leads nowhere in this revision" in said


@pytest.mark.parametrize(
    "name", ["HEAD~99", "main..before", "--upload-pack=x", "-", "main\n", "main:deploy", "HEAD^{tree}", "^main"]
)
def test_what_names_no_commit_is_no_revision(repository, name):
    with pytest.raises(NoRevision):
        Commit.named(name, repository.manifests)


def test_names_with_spaces_and_umlauts_are_read(repository):
    (repository.manifests / "größe 2.yaml").write_text(NODE.replace("rack-1", "rack-2"))
    repository.commit()
    found = view("--diff", "HEAD~1", "HEAD", "-m", repository.manifests)
    assert [item["name"] for item in found["items"] if item["kind"] == "Node"] == ["rack-2"]


def test_a_path_outside_the_repository_is_said(repository, tmp_path, base):
    with pytest.raises(NoRevision, match="is not in the repository"):
        Commit.named("main", repository.manifests).holds(base)


def test_where_there_is_no_git_that_is_said(repository, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refused(2, "--diff", "before", "main", "-m", repository.manifests)
    assert "there is no git on this machine; install it, or name two directories of manifests" in said


# --- as a comment ---------------------------------------------------------------------------------------------------------


def test_the_comment_has_what_the_table_has(base, head):
    comment = orcha("--diff", base, head, "-o", "md").stdout
    assert comment.startswith(f"{MARKER}\n### orcha: ")
    assert "⚠️ policy default: orcha will act by itself on 2 workloads" in comment
    assert "| `mode` | `Suggest` | `Auto` | ⚠️ **looser**" in comment
    assert "What would be planned is not shown" in comment


def test_what_somebody_wrote_cannot_become_markup(base, head):
    evil = "`</td><script>|@everyone [x](http://evil) \u202e"
    (head / "node.yaml").write_text(with_edits(NODE, {"metadata.labels.evil": evil}))
    comment = orcha("--diff", base, head, "-o", "md").stdout
    (row,) = [line for line in comment.splitlines() if "script" in line]
    assert row.startswith("| `metadata.labels.evil` |  | `` ")
    assert re.sub(r"``.*?``", "", row).count("|") - row.count("\\|") <= 5
    assert "\u202e" not in comment


@pytest.mark.parametrize("text", ["a", "a`b", "``", "a|b", "`a`", "a  b"])
def test_a_span_of_code_holds_what_it_was_given(text):
    span = code(text)
    ticks = re.match("`+", span)[0]
    assert span.endswith(ticks)
    assert span.strip("` ") == " ".join(text.split()).strip("`")
    assert "|" not in cell(text).replace("\\|", "")


def test_a_sentence_mentions_and_links_nobody():
    said = words("a_b *c* <d> @team #12 http://x [y](z)")
    assert "@team" not in said
    assert "http://" not in said
    assert "\\*c\\*" in said


def test_a_comment_that_would_be_too_long_is_cut_and_says_so(base, head):
    found = view("--diff", base, head)
    found["items"] = found["items"] * 2000
    comment = proposed_markdown(found)
    assert len(comment) < LONGEST + 200
    assert "The rest is too long for a comment" in comment


# --- what would be planned ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """(the manifests of the simulated nodes, a state with eight hours of their past); none of them runs."""
    where = tmp_path_factory.mktemp("lived")
    now = time.time()
    origin = now - 8 * 3600
    made = demo(1, origin=origin)
    addresses = {site: f"http://{site}.invalid:80" for site in made.world.sites}
    directory = where / "manifests"
    documents = simulated.documents(made, addresses, directory / "secrets")
    simulated.write(directory, documents, made.secrets)
    state = f"sqlite:///{where}/orcha.db"

    async def live():
        collectors = discover()
        nodes, *_ = load_nodes([directory], collectors)
        workloads = workloads_of(nodes, collectors)
        past = History([Kept.of(workload) for workload in workloads])
        async for reading in history(made.world, workloads, collectors, origin, now, addresses=addresses):
            past.add(reading)
        store = await Store.open(state)
        try:
            await past.flush(store, now)
        finally:
            await store.close()

    asyncio.run(live())
    return directory, state


@pytest.fixture
def changed(lived, tmp_path):
    """The same with edits of one file."""

    def make(name, edits):
        for path in lived[0].glob("*.yaml"):
            text = path.read_text()
            (tmp_path / path.name).write_text(with_edits(text, edits) if path.stem == name else text)
        return tmp_path

    return make


def test_with_a_state_what_would_be_planned_is_shown_and_no_node_is_asked(lived, changed):
    before, state = lived
    after = changed("rack-1", {"spec.capacity.cpu": "6"})
    plan = view("--diff", before, after, "--state", state)["plan"]
    (policy,) = plan["policies"]
    assert policy["before"]["plan"]["rate_now_usd_per_hour"] > 0
    assert policy["changed"]
    assert {row["key"] for row in policy["workloads"] if row["differs"]} >= {"rack-1/golem"}
    said = orcha("--diff", before, after, "--state", state).stdout
    assert "What would be planned" in said
    assert "before: " in orcha("--diff", before, after, "--state", state, "-o", "md").stdout


def test_what_no_decision_looks_at_changes_no_plan(lived, changed):
    before, state = lived
    after = changed("policy", {"spec.approval": {"ttl": "1h"}})
    (policy,) = view("--diff", before, after, "--state", state)["plan"]["policies"]
    assert policy["changed"] is False


def test_a_policy_that_is_new_is_planned_by(lived, changed):
    before, state = lived
    document = yaml.safe_load((before / "policy.yaml").read_text())
    after = changed("policy", {"metadata.name": "other"})
    notes = view("--diff", before, after, "--state", state)["plan"]["notes"]
    assert document["metadata"]["name"] == "default"
    assert any(note.startswith("policy other is new; by it: ") for note in notes)
    assert "policy default is gone: nothing is planned by it" in notes


def test_a_state_that_is_not_there_or_knows_nothing_is_said(base, head, lived, tmp_path):
    assert "orcha.db" in refused(2, "--diff", base, head, "--state", f"sqlite:///{tmp_path}/orcha.db")
    for where in (base, head):
        (where / "node.yaml").write_text(NODE.replace("rack-1", "rack-77"))
    assert "knows none of these workloads" in refused(2, "--diff", base, head, "--state", lived[1])
