"""What a change of the manifests means: every field that differs, as it was written, and whether it lets more happen."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from controller.manifests import KINDS
from controller.proposed.changes import compare
from controller.proposed.fields import HIDDEN, Value, flow
from controller.proposed.meaning import Effect, meaning_of, patterns
from exporters.documents import keys_at
from tests.controller.proposed.sides import BASE, FLEET, NODE, POLICY, SETTINGS, side, with_edits


@pytest.fixture
def compared(tmp_path):
    def between(before, after):
        return compare(side(tmp_path / "base", {**BASE, **before}), side(tmp_path / "head", {**BASE, **after}))

    return between


def edited(text, **edits):
    return with_edits(text, {path.replace("__", "."): value for path, value in edits.items()})


def told(found):
    """(name, path, before, after, effect, risky) of every field."""
    return [
        (item.name, change.path, change.before, change.after, str(change.meaning.effect), change.meaning.risky)
        for item in found.items
        for change in item.changes
    ]


STORJ, GOLEM = "spec__workloads__storj__", "spec__workloads__golem__"
LIMITS = "spec__limits__"
EDITS = {
    "a threshold lower": ("policy", {LIMITS + "minConfidence": 0.5}, ("default", "limits.minConfidence", "0.7 (default)", "0.5", "looser", True)),
    "a threshold higher": ("policy", {LIMITS + "minConfidence": 0.9}, ("default", "limits.minConfidence", "0.7 (default)", "0.9", "tighter", False)),
    "a hold shorter": ("policy", {LIMITS + "hold": "30m"}, ("default", "limits.hold", "1h", "30m", "looser", True)),
    "a hold taken out, and longer than that": ("policy", {LIMITS + "minHistory": "1d"}, ("default", "limits.minHistory", "2h (default)", "1d", "tighter", False)),
    "more programs": ("policy", {LIMITS + "maxProgramsPerHour": 9}, ("default", "limits.maxProgramsPerHour", "4 (default)", "9", "looser", True)),
    "a share lifted": ("policy", {"spec__constraints": [{"protocol": "golem", "maxShare": 0.8}]}, ("default", "constraints[golem].maxShare", "0.6", "0.8", "looser", True)),
    "a share taken away": ("policy", {"spec__constraints": []}, ("default", "constraints[golem].maxShare", "0.6", None, "looser", True)),
    "no rollback": ("policy", {"spec__rollback": {"automatic": False}}, ("default", "rollback.automatic", "true (default)", "false", "looser", True)),
    "the whole at once": ("policy", {"spec__rollback": {"stages": [0.5, 1.0]}}, ("default", "rollback.stages", "[1] (default)", "[0.5, 1]", "tighter", False)),
    "what it was read for longer": ("policy", {LIMITS + "onSourceFailure": {"lastGood": "1h"}}, ("default", "limits.onSourceFailure.lastGood", None, "1h", "looser", True)),
    "a stricter mode": ("policy", {"spec__mode": "Suggest"}, ("default", "mode", "Auto", "Suggest", "tighter", False)),
    "a maximum higher": ("node", {STORJ + "allocation__max": "14Ti"}, ("rack-1/storj", "allocation.max", "12Ti", "14Ti", "looser", True)),
    "a minimum higher": ("node", {STORJ + "allocation__min": "2Ti"}, ("rack-1/storj", "allocation.min", "1Ti", "2Ti", "tighter", False)),
    "a program replaced": ("node", {GOLEM + "actuator__command__argv": ["sh", "{cpu}"]}, ("rack-1/golem", "actuator.command.argv", '[ya-provider, "{cpu}"]', '[sh, "{cpu}"]', "", True)),
    "another address": ("node", {GOLEM + "endpoint": "http://127.0.0.1:7466"}, ("rack-1/golem", "endpoint", "http://127.0.0.1:7465", "http://127.0.0.1:7466", "", False)),
    "more capacity": ("node", {"spec__capacity__cpu": "16"}, ("rack-1", "capacity.cpu", "12", "16", "looser", True)),
    "a label": ("node", {"metadata__labels__site": "cellar"}, ("rack-1", "metadata.labels.site", "attic", "cellar", "", False)),
    "a protection": ("node", {STORJ + "allocation__protectUntil": "2027-01-01T00:00:00Z"}, ("rack-1/storj", "allocation.protectUntil", None, "2027-01-01T00:00:00Z", "tighter", False)),
    "an open door": ("settings", {"spec__listen": "0.0.0.0:9872"}, ("", "listen", "127.0.0.1:9872 (default)", "0.0.0.0:9872", "looser", True)),
    "a token gone": ("settings", {"spec__api__tokenFiles__operate": None}, ("", "api.tokenFiles.operate", "/run/operate", None, "looser", True)),
    "another state": ("settings", {"spec__state": "postgresql://orcha:geheim@db/orcha"}, ("", "state", None, "postgresql://orcha:***@db/orcha", "", True)),
    "more over all sites": (
        "fleet", {"spec__limits": [{"name": "cores", "protocol": "golem", "resource": "cpu", "maxTotal": 30}, {"name": "rooms", "protocol": "storj", "resource": "storage", "minTotal": "4Ti"}]},
        ("", "limits[cores].maxTotal", "24", "30", "looser", True),
    ),
    "a site less": ("fleet", {"spec__sites": ["attic", "cellar"]}, ("", "sites", "[attic, cellar, office]", "[attic, cellar]", "", True)),
    "two at once that cannot be taken back": ("fleet", {"spec__irreversibleAtOnce": 2}, ("", "irreversibleAtOnce", "1 (default)", "2", "looser", True)),
    "less kept": ("settings", {"spec__retention": "7d"}, ("", "retention", "30d", "7d", "", False)),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(EDITS))
def test_a_changed_field_is_told_as_it_was_written_with_what_it_means(compared, what):
    kind, edits, expected = EDITS[what]
    found = compared({}, {kind: edited(BASE[kind], **edits)})
    assert told(found) == [expected]
    assert bool(found.risks) is expected[-1]


def test_a_window_that_goes_and_one_that_comes_are_told_alone(compared):
    windows = [{"cron": "0 4 * * *", "duration": "1800s"}, {"cron": "0 1 * * *", "duration": "1h"}]
    found = compared({}, {"policy": edited(POLICY, spec__limits__freezeWindows=windows)})
    path = "limits.freezeWindows[]"
    assert sorted(told(found), key=str) == sorted(
        [
            ("default", path, "{cron: 0 18 * * 1-5, duration: 3h}", None, "looser", True),
            ("default", path, None, "{cron: 0 1 * * *, duration: 1h}", "tighter", False),
        ],
        key=str,
    )


def test_where_orcha_only_shows_nothing_looser_is_risky(compared):
    careful = edited(POLICY, spec__mode="Suggest")
    looser = edited(careful, spec__limits__hold="1m", spec__limits__maxStepPercent=90)
    more = edited(NODE, spec__capacity__cpu="16", spec__workloads__storj__allocation__max="16Ti")
    found = compared({"policy": careful}, {"policy": looser, "node": more})
    assert [effect for *_, effect, _ in told(found)] == ["looser"] * 4
    assert found.risks == 0


def test_what_is_written_otherwise_and_means_the_same_is_no_change(compared):
    same = (
        POLICY.replace("hold: 1h", "hold: 60m")
        .replace("maxShare: 0.6", "maxShare: 0.60")
        .replace("mode: Auto\n", "mode: Auto\n  approval: {ttl: 24h}\n")
    )
    capacity = NODE.replace("48Gi", "49152Mi").replace('cpu: "12"', "cpu: 12")
    settings = SETTINGS.replace("retention: 30d, ", "")
    assert compared({}, {"policy": same, "node": capacity, "settings": settings}).items == ()


def test_what_may_be_a_secret_is_never_shown():
    written = {
        "url": "http://me:geheim@127.0.0.1/x", "headers": {"Authorization": "Bearer geheim", "X-Api-Key": "geheim"},
        "body": {"password": "geheim", "passwordFile": "/run/secret"}, "take": {"token": "$.token"},
    }  # fmt: skip
    shown = flow(written)
    assert "geheim" not in shown
    assert shown.count(HIDDEN) == 3
    assert "/run/secret" in shown
    assert "$.token" in shown


@given(
    st.recursive(
        st.text() | st.integers() | st.booleans() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner),
    )
)
def test_a_value_is_shown_on_one_line_that_is_not_long(value):
    shown = flow(value)
    assert len(shown) <= 200
    assert "\n" not in shown


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_a_word_is_shown_so_that_it_reads_as_the_word(text):
    shown = flow([text])
    assert shown.isprintable()
    if "***" not in shown:
        assert yaml.load(shown, yaml.BaseLoader) == [text]  # noqa: S506 every scalar as text


def model_at(model: type[BaseModel], path: tuple[str, ...]) -> bool:
    """Whether a kind has a field there; names of maps and of list entries stand for themselves."""
    here: Any = model
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            infos = {info.alias or name: info for name, info in here.model_fields.items()}
            if part == "*":
                return True
            if part not in infos:
                return False
            here = infos[part].annotation
        else:
            here = (
                next((each for each in get_args(here) if each is not type(None)), None)
                if part != "*"
                else get_args(here)[-1]
            )
        while not (isinstance(here, type) and issubclass(here, BaseModel)) and any(
            isinstance(each, type) and issubclass(each, BaseModel) for each in get_args(here)
        ):
            models = [each for each in get_args(here) if isinstance(each, type) and issubclass(each, BaseModel)]
            if get_args(here)[0] is str or str(here).startswith(("dict", "list")):
                break
            here = models[0]
    return True


@pytest.mark.parametrize("kind", sorted(patterns()))
def test_every_rule_names_a_field_that_exists(kind):
    for pattern in patterns()[kind]:
        path = tuple(pattern.split(".")) if ".annotations." not in pattern else ("metadata", "annotations")
        assert model_at(KINDS[kind], path), pattern
    assert "mode" in keys_at(KINDS["AllocationPolicy"], ("spec",))
    assert not model_at(KINDS["AllocationPolicy"], ("spec", "limits", "hodl"))


def test_an_approval_by_annotation_is_risky(compared):
    found = compared({}, {"policy": edited(POLICY, metadata__annotations={"orcha.dev/approve": "p-1f2e3d4c"})})
    assert found.risks == 1
    assert "approved" in found.items[0].changes[0].meaning.sentence


def test_a_reject_is_not(compared):
    found = compared({}, {"policy": edited(POLICY, metadata__annotations={"orcha.dev/reject": "p-1f2e3d4c"})})
    assert found.risks == 0


# --- what comes and goes --------------------------------------------------------------------------------------------------


def without(text, *path):
    document = yaml.safe_load(text)
    here = document
    for part in path[:-1]:
        here = here[part]
    del here[path[-1]]
    return yaml.safe_dump(document)


def test_a_workload_that_goes_is_told_with_what_becomes_of_it(compared):
    found = compared({}, {"node": without(NODE, "spec", "workloads", "storj")})
    (item,) = found.items
    assert (item.kind, item.name, item.what, item.changes) == ("Workload", "rack-1/storj", "removed", ())
    (grip,) = found.grips
    assert grip.sentence == (
        "policy default: 1 workload (rack-1/storj) is not in the manifests any more; what orcha has set there stays as it is, "
        "and nobody looks after it"
    )


def test_a_workload_that_comes_is_told_with_what_it_may_have_and_what_runs(compared):
    found = compared({"node": without(NODE, "spec", "workloads", "storj")}, {})
    (item,) = found.items
    assert item.about == "storj, 1Ti to 12Ti storage in steps of 128Gi, changed by command"
    assert [(change.path, change.meaning.risky) for change in item.changes] == [("actuator.command.argv", True)]
    assert [(grip.after.name, grip.risky) for grip in found.grips] == [("ACTS", True)]


def test_a_workload_that_is_renamed_is_known_by_its_address(compared):
    found = compared({}, {"node": NODE.replace("    storj:\n", "    disk:\n")})
    assert [item.what for item in found.items] == ["added", "removed"]
    assert found.notes[0].startswith("rack-1/disk reads what rack-1/storj read: history goes by the name")


def test_a_policy_that_goes_leaves_its_nodes_watched(tmp_path):
    before = side(tmp_path / "base", BASE)
    after = side(tmp_path / "head", {"node": NODE, "settings": SETTINGS, "fleet": FLEET})
    found = compare(before, after)
    assert [(item.name, item.what) for item in found.items] == [("default", "removed")]
    assert found.grips[0].sentence.endswith(
        "orcha only watches 2 workloads (rack-1/golem, rack-1/storj); what orcha has set stays as it is"
    )
    assert "no policy selects rack-1 any more: it is only watched" in found.notes


def test_all_that_is_new_is_told_by_its_name(tmp_path):
    (tmp_path / "none").mkdir()
    after = side(tmp_path / "head", BASE)
    nothing = type(after)("base", (), (), type(after.settings)())
    found = compare(nothing, after)
    assert [(item.kind, item.what) for item in found.items][:5] == [
        ("Node", "added"), ("Workload", "added"), ("Workload", "added"), ("Workload", "added"), ("AllocationPolicy", "added"),
    ]  # fmt: skip
    assert found.items[0].about == "3 workloads; policy default selects it"
    assert found.items[4].about == "mode Auto, for 1 node"


def test_settings_that_wait_for_a_start_say_so(compared):
    found = compared({}, {"settings": edited(SETTINGS, spec__retention="7d", spec__logFormat="json")})
    assert found.notes == ("of Settings, retention, logFormat take effect at the next start only",)


# --- on what orcha acts ---------------------------------------------------------------------------------------------------

HANDS = {
    "Suggest to Auto": ("Suggest", "Auto", {}, "orcha will act by itself on 2 workloads (rack-1/golem, rack-1/storj)", True),
    "Suggest to Approve": ("Suggest", "Approve", {}, "orcha asks before it changes 2 workloads (rack-1/golem, rack-1/storj), and makes the changes that somebody approves", False),
    "Auto to Suggest": ("Auto", "Suggest", {}, "orcha only shows what would be better for 2 workloads (rack-1/golem, rack-1/storj); what orcha has set stays as it is", False),
    "Auto to Off": ("Auto", "Off", {}, "orcha only watches 2 workloads (rack-1/golem, rack-1/storj); what orcha has set stays as it is", False),
    "one stays careful": ("Suggest", "Auto", {GOLEM + "mode": "Suggest"}, "orcha will act by itself on 1 workload (rack-1/storj)", True),
    "one has no actuator": ("Suggest", "Auto", {GOLEM + "actuator": None}, "orcha will act by itself on 1 workload (rack-1/storj)", True),
    "one only pretends": ("Suggest", "Auto", {GOLEM + "actuator": {"dryRun": {}}, STORJ + "actuator": {"dryRun": {}}}, "orcha pretends to change 2 workloads (rack-1/golem, rack-1/storj) (dryRun), and touches nothing", False),
    "a person does it": ("Suggest", "Auto", {GOLEM + "actuator": {"handout": {}}, STORJ + "allocation": None, STORJ + "actuator": None}, "orcha writes down what a person must do for 1 workload (rack-1/golem), and waits until it is done", False),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(HANDS))
def test_what_orcha_may_do_otherwise_is_one_sentence_for_all_workloads_alike(compared, what):
    before, after, edits, sentence, risky = HANDS[what]
    node = edited(NODE, **edits)
    found = compared(
        {"policy": edited(POLICY, spec__mode=before), "node": node},
        {"policy": edited(POLICY, spec__mode=after), "node": node},
    )
    assert [(grip.sentence, grip.risky) for grip in found.grips] == [(f"policy default: {sentence}", risky)]


def test_an_actuator_that_is_added_under_auto_is_an_act(compared):
    found = compared({"node": edited(NODE, spec__workloads__golem__actuator=None)}, {})
    assert [grip.sentence for grip in found.grips] == [
        "policy default: orcha will act by itself on 1 workload (rack-1/golem)"
    ]
    assert [(item.name, item.risky) for item in found.items] == [("rack-1/golem", True)]


def test_an_actuator_that_is_taken_away_leaves_what_was_set(compared):
    found = compared({}, {"node": edited(NODE, spec__workloads__golem__actuator=None)})
    assert found.risks == 0
    assert "what orcha has set stays as it is" in found.grips[0].sentence


def test_a_rule_without_a_direction_says_what_it_says_of_every_change():
    was, is_ = Value("a", "a"), Value("b", "b")
    meaning = meaning_of("Node", ("spec", "workloads", "x", "endpoint"), was, is_, acts=True)
    assert (meaning.effect, meaning.risky) == (Effect.NONE, False)
    assert "another address" in meaning.sentence


@given(st.sampled_from(sorted(EDITS)), st.sampled_from(sorted(EDITS)))
def test_to_and_fro_is_the_same_fields_the_other_way_round(tmp_path_factory, one, other):
    where = tmp_path_factory.mktemp("sides")
    texts = dict(BASE)
    for what in {one, other}:
        kind, edits, _ = EDITS[what]
        texts[kind] = edited(texts[kind], **edits)
    before, after = side(where / "base", BASE), side(where / "head", texts)
    there, back = told(compare(before, after)), told(compare(after, before))
    assert [row[:4] for row in there] == [(name, path, new, old) for name, path, old, new, *_ in back]
    assert not {row[:2] for row in there if row[4] == "looser"} & {row[:2] for row in back if row[4] == "looser"} - {
        ("default", "limits.freezeWindows[]")
    }
    assert compare(after, after).items == ()
