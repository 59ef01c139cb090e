"""scripts/rules.py: what is committed is what the templates say, parameters reach every rule, and nonsense is refused."""

from __future__ import annotations

import re

import pytest
import yaml

from scripts import rules

DEFAULTS = rules.parameters(None)
FILES = rules.rendered(DEFAULTS)
ALERTS = rules.alerts(FILES)


def written(tmp_path, **parameters):
    """The rules with these parameters: name of the file -> text."""
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(parameters))
    assert rules.main(["--parameters", str(mine), "--output", str(tmp_path / "rules")]) == 0
    return {path.name: path.read_text() for path in sorted((tmp_path / "rules").iterdir())}


def test_what_is_committed_is_what_the_templates_say():
    assert rules.main(["--check"]) == 0


@pytest.mark.parametrize("change", ["edited", "missing", "more"])
def test_a_check_tells_each_file_that_is_not(tmp_path, capsys, change):
    argv = ["--output", str(tmp_path)]
    assert rules.main(argv) == 0
    assert rules.main([*argv, "--check"]) == 0
    path = tmp_path / ("old.yaml" if change == "more" else "slo.yaml")
    if change == "missing":
        path.unlink()
    else:
        path.write_text("groups: []\n")
    assert rules.main([*argv, "--check"]) == 1
    said = capsys.readouterr().err
    assert str(path) in said
    assert "run python scripts/rules.py" in said
    assert "alerts.yaml" not in said


def test_the_table_of_the_page_has_every_alert_with_its_runbook():
    rows = re.findall(r"^\| \[(\w+)\]\(runbooks/(\w+)\.md\) \|", rules.PAGE.read_text(), re.MULTILINE)
    assert rows == [(rule["alert"], rule["alert"]) for rule in ALERTS]


def test_every_parameter_is_used_and_says_what_it_means():
    used = {found for text in rules.templates().values() for found in rules.PLACEHOLDER.findall(text)}
    assert used | {rules.DISABLED} == set(DEFAULTS)
    text = (rules.HOME / "parameters.yaml").read_text()
    explained = re.findall(r"(?m)(?:^#.*\n)+((?:^\w+: .*\n)+)", text)
    assert sum(len(block.splitlines()) for block in explained) >= 0.8 * len(DEFAULTS)
    bare = [name for name in DEFAULTS if not re.search(rf"(?m)^(?:#.*|\w+For: .*|\w+: .*)\n{name}: ", text)]
    assert set(bare) <= {"circuitOpenFor", "unhealthyFor", "golemPaymentFor"}  # their names and the heading say it all


@pytest.mark.parametrize("name", [name for name in DEFAULTS if not name.endswith(("Url", "Selector"))])
def test_a_parameter_that_changes_changes_the_rules(tmp_path, name):
    value = DEFAULTS[name]
    if name == rules.DISABLED:
        other = ["OrchaOpportunity"]
    elif name == "targetLabels":
        other = "instance, job, replica"
    elif isinstance(value, str):
        other = "97s" if name in rules.MOST else "17m"
    elif name in rules.MOST:
        other = 6
    else:
        other = 0.123 if name.endswith("Ratio") else 4321
    changed = written(tmp_path, **{name: other})
    assert changed != FILES
    if name != rules.DISABLED:
        assert "".join(changed.values()).count(str(other)) >= "".join(rules.templates().values()).count(f"<<{name}>>")


def test_selectors_and_links_follow(tmp_path):
    files = written(
        tmp_path,
        seriesSelector='cluster="home"',
        controllerSelector='job="depin/orcha"',
        exporterSelector='job=~"depin/.*"',
        runbookUrl="https://wiki.example/orcha",
        grafanaUrl="https://grafana.example",
    )
    text = "".join(files.values())
    assert 'orcha_protocol_up{cluster="home"}' in text
    assert 'bound="expected",cluster="home"' in text
    assert 'absent(up{job="depin/orcha"})' in text
    assert 'up{job=~"depin/.*"} == 0' in text
    for rule in rules.alerts(files):
        assert rule["annotations"]["runbook_url"] == f"https://wiki.example/orcha/{rule['alert']}.md"
        assert rule["annotations"]["dashboard_url"].startswith("https://grafana.example/d/orcha-")
    assert "127.0.0.1" not in text
    assert "orcha_rules" not in re.sub(r"(?m)^\s*#.*$", "", text)


@pytest.mark.parametrize("name", [rule["alert"] for rule in ALERTS])
def test_an_alert_that_is_switched_off_is_gone_and_no_other(tmp_path, name):
    files = written(tmp_path, disabledAlerts=[name])
    assert [rule["alert"] for rule in rules.alerts(files)] == [r["alert"] for r in ALERTS if r["alert"] != name]
    records = [yaml.safe_load(text) for text in files.values()]
    before = [yaml.safe_load(text) for text in FILES.values()]
    count = lambda found: sum("record" in r for each in found for g in each["groups"] for r in g["rules"])  # noqa: E731
    assert count(records) == count(before)


def test_a_group_whose_alerts_are_all_switched_off_goes_with_them(tmp_path):
    slo = [rule["alert"] for rule in ALERTS if "Burn" in rule["alert"]]
    files = written(tmp_path, disabledAlerts=slo)
    assert [group["name"] for group in yaml.safe_load(files["slo.yaml"])["groups"]] == ["orcha.slo"]
    every = written(tmp_path, disabledAlerts=[rule["alert"] for rule in ALERTS])
    assert yaml.safe_load(every["alerts.yaml"])["groups"] in (None, [])


def test_for_a_chart_plain_replacing_gives_the_same_rules(tmp_path):
    assert rules.main(["--for", "chart", "--output", str(tmp_path)]) == 0
    values = yaml.safe_load((tmp_path / "parameters.yaml").read_text())
    assert values == DEFAULTS
    for name, expected in FILES.items():
        text = (tmp_path / name).read_text()
        for each, value in values.items():
            text = text.replace(f"<<{each}>>", str(value))
        assert rules.HEAD.format(name=name) + text == expected


NONSENSE = {
    "a duration in words": ("downFor: 5 minutes", "downFor is '5 minutes'; write a duration of Prometheus"),
    "a duration without a unit": ("downFor: 300", "downFor is 300; write text"),
    "a file that is a list": ("- downFor", "holds no parameters but list; write lines such as downFor: 2m"),
    "a label with a hyphen": ("targetLabels: pod-name", "write names of labels, such as instance, job"),
    "a link with a slash at its end": ("grafanaUrl: https://g.example/", "without a slash at its end"),
    "a link without a scheme": ("grafanaUrl: g.example", "write an address that begins with http://"),
    "a day more than are looked at": ("lowEarningsDaysCount: 8", "write 7 or less, for so many days are looked at"),
    "a list of alerts as text": ("disabledAlerts: OrchaDown", "write a list of alerts, such as [OrchaOpportunity]"),
    "a name that nearly exists": ("downfor: 1m", "there is no parameter 'downfor'; did you mean downFor?"),
    "a name that nobody knows": ("colour: red", "there is no parameter 'colour'; prometheus/parameters.yaml lists"),
    "a negative amount": ("opportunityUsdPerHour: -1", "write a number, 0 or more"),
    "a number in words": ("loopStuckSeconds: 5m", "loopStuckSeconds is '5m'; write a number, 0 or more"),
    "a part of a count": ("lowEarningsDaysCount: 2.5", "write a whole number, 0 or more"),
    "a ratio in percent": ("lowEarningsRatio: 50", "lowEarningsRatio is 50; write a number from 0 to 1, such as 0.5"),
    "a selector in braces": ("controllerSelector: '{job=\"orcha\"}'", "write matchers of PromQL that are plain YAML"),
    "a selector over two lines": (
        'controllerSelector: "job=\\"a\\nb\\""',
        "write matchers of PromQL that are plain YAML",
    ),
    "a selector that YAML would take apart": ("seriesSelector: 'site=\"a: b\"'", "write matchers of PromQL that are"),
    "a window of nothing": ("scrapeGapWindow: 0s", "write a duration of Prometheus, above 0"),
    "an interval that leaves holes": ("longRangeInterval: 1h", "write 2m30s or less, half of the 5 minutes that"),
    "an interval longer than a window": ("sloInterval: 2m31s", "write 2m30s or less, half of the shortest window"),
    "an alert that nobody knows": ("disabledAlerts: [OrchaUp]", "there is no alert 'OrchaUp'; docs/alerts.md lists"),
    "an empty selector": ("seriesSelector: ''", "write matchers of PromQL"),
    "an objective of everything": ("loopObjectiveRatio: 1", "write a number above 0 and below 1, such as 0.99"),
    "infinity": ("thresholdUsdPerHour: .inf", "write a number, 0 or more"),
    "no YAML": ("downFor: [", "is no YAML"),
    "truth for a number": ("streamrGasTokens: true", "write a number, 0 or more"),
}


@pytest.mark.parametrize(("text", "said"), NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_refused_with_what_would_be_right(tmp_path, capsys, text, said):
    mine = tmp_path / "mine.yaml"
    mine.write_text(text)
    assert rules.main(["--parameters", str(mine), "--output", str(tmp_path / "out")]) == 2
    heard = capsys.readouterr().err
    assert said in heard
    assert len(heard.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_told(tmp_path, capsys):
    assert rules.main(["--parameters", str(tmp_path / "no.yaml"), "--output", str(tmp_path)]) == 2
    assert "no.yaml cannot be read (No such file or directory)" in capsys.readouterr().err


@pytest.mark.parametrize("there", ["a file", "a folder of that name"])
def test_where_nothing_can_be_written_is_told_in_one_sentence(tmp_path, capsys, there):
    if there == "a file":
        where = tmp_path / "out"
        where.write_text("not a folder")
    else:
        where = tmp_path
        (tmp_path / "alerts.yaml").mkdir()
    assert rules.main(["--output", str(where)]) == 2
    heard = capsys.readouterr().err
    assert heard.startswith(f"rules: {where}")
    assert heard.endswith("; name a folder that you may write to as --output\n")
    assert len(heard.splitlines()) == 1


def test_what_is_just_small_enough_is_taken(tmp_path):
    files = written(tmp_path, longRangeInterval="2m30s", sloInterval="150s", lowEarningsDaysCount=7)
    assert "interval: 2m30s" in files["recording.yaml"]
    assert "interval: 150s" in files["slo.yaml"]


@pytest.mark.parametrize("text", ["a: <<nobody>>", "a: << downFor >>", "a: <<disabledAlerts>>"])
def test_a_placeholder_that_no_parameter_gives_is_refused_with_its_line(text):
    with pytest.raises(rules.Refused, match=r"prometheus/templates/x\.yaml:2: no parameter gives <<"):
        rules.render("x.yaml", f"# first\n{text}\n", DEFAULTS)


def test_own_parameters_never_overwrite_what_is_committed(capsys):
    with pytest.raises(SystemExit) as ended:
        rules.main(["--parameters", "mine.yaml"])
    assert ended.value.code == 2
    assert "name --output DIR" in capsys.readouterr().err
