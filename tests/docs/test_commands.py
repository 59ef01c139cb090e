"""Every command that a page shows is one that there is, with options that it knows."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from tests.docs.chart import is_value_of_the_chart
from tests.docs.commands import commands_in, lines_of, shown, trouble_with
from tests.docs.pages import BLOCKS, PAGES, ROOT

SHOWN = defaultdict(list)
for _place, _words, _whole in shown():
    SHOWN[_place.rpartition(":")[0]].append((_place, _words, _whole))


@pytest.mark.parametrize("page", sorted(SHOWN))
def test_every_command_on_a_page_is_one_that_there_is(page):
    wrong = [
        f"{place} {' '.join(words)}: {why}"
        for place, words, whole in SHOWN[page]
        if (why := trouble_with(words, whole=whole))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("orcha plam", "no 'plam'"),
        ("orcha plan --manifests examples --frobnicate", "--frobnicate"),
        ("orcha plan --plans many", "integer"),
        ("orcha export --what everything --format csv", "everything"),
        ("orcha programs approve", "Missing"),
        ("orcha programs aprove p-1", "aprove"),
        ("orcha validate", "Missing"),
        ("orcha status | orcha statuss", "statuss"),
        ("sudo -u orcha orcha doktor", "doktor"),
        ("kubectl exec deploy/orcha -- orcha plann", "plann"),
        ("orcha ... --manifestz examples", "--manifestz"),
        ("orcha-exporter --manifest-dir DIR", "--manifest-dir"),
        ("make rum", "rum"),
        ("python scripts/nothing.py", "scripts/nothing.py"),
        ("python scripts/rules.py --nothing", "--nothing"),
        ("python -m grafana.nothing", "grafana.nothing"),
    ],
)
def test_a_wrong_command_would_be_seen(line, why):
    told = [
        trouble_with(words, whole=True)
        for words in commands_in(line)
        if words[0] in {"orcha", "orcha-exporter", "make", "python"}
    ]
    assert why in " ".join(told)


def test_commands_are_found_in_blocks_and_between_words():
    found = [words for each in SHOWN.values() for _, words, _ in each]
    assert ["orcha", "pause"] in found
    assert len(found) > 150


EXTRAS = re.findall(r"orcha\[([a-z,]+)\]", "\n".join(page.read_text(encoding="utf-8") for page in PAGES.values()))


def test_extras_that_pages_install_are_extras_of_the_package():
    known = re.search(
        r"\[project\.optional-dependencies\]\n(.*?)\n\[", (ROOT / "pyproject.toml").read_text(), re.DOTALL
    )
    names = set(re.findall(r"^(\w+) =", known[1], re.MULTILINE)) if known else set()
    assert {each for extra in EXTRAS for each in extra.split(",")} <= names


BY_NAME = re.compile(r"""\b(?:pip|pipx|uv|pip3)\b[^\n`#]*\binstall\b[^\n`#]*[ "']orcha(?![\w./-])""")
"""What the Python package index calls orcha is another program; ours is installed from a folder, a file or Git."""


def test_nothing_says_to_install_what_the_package_index_calls_orcha():
    files = [
        *PAGES.values(),
        *(ROOT / "examples").rglob("*.y*ml"),
        *(each for each in (ROOT / "deploy").rglob("*") if each.is_file() and each.suffix != ".pyc"),
    ]
    files = [each for each in files if each.name != "CHANGELOG.md"]  # what was released with its words stays as it was
    assert {each.name for each in files} >= {"README.md", "github.yaml", "gitlab.yaml", "orcha.service"}
    found = {str(each): said.group() for each in files if (said := BY_NAME.search(each.read_text(encoding="utf-8")))}
    assert found == {}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("sudo /opt/orcha/bin/pip install orcha", True),
        ('- pip install "orcha==0.1.*"', True),
        ("pip install 'orcha[fleet]'", True),
        ("pipx install --force .", False),
        ("sudo /opt/orcha/bin/pip install --upgrade .", False),
        ("pip install ./orcha-0.1.0-py3-none-any.whl", False),
        ('pip install "git+https://github.com/orcha-dev/orcha@v0.1.0"   # orcha is another one', False),
    ],
    ids=["plain", "a version", "an extra", "pipx", "upgrade", "a wheel", "Git"],
)
def test_an_install_by_name_would_be_seen(line, wrong):
    assert bool(BY_NAME.search(line)) is wrong


HELM = [
    (place, words)
    for place, block in sorted(BLOCKS.items())
    if block.language in {"sh", "console"}
    for line in lines_of(block)
    for words in commands_in(line)
    if words[0] == "helm"
]


def test_commands_of_helm_name_the_chart_and_values_that_there_are():
    charts = {word for _, words in HELM for word in words if word.endswith("helm/orcha")}
    assert charts == {"helm/orcha"}
    given = [
        (place, words[at + 1])
        for place, words in HELM
        for at, word in enumerate(words)
        if word in {"--set", "--set-string"}
    ]
    wrong = [
        f"{place} {text}" for place, text in given for path in text.split(",") if not is_value(path.partition("=")[0])
    ]
    assert wrong == []


def is_value(path):
    return is_value_of_the_chart(tuple(re.sub(r"\[\d+\]", "", path).split(".")))


@pytest.mark.parametrize("path", ["image.repositry", "nothing.at.all", "controller.replica"])
def test_a_wrong_value_of_the_chart_would_be_seen(path):
    assert not is_value(path)


def paths_of_the_api():
    from controller.api.routes import OPERATIONS

    return [
        re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(f"/api/v1{operation.path}"))) for operation in OPERATIONS
    ]


def test_paths_of_the_api_on_pages_are_paths_of_the_api():
    text = "\n".join(
        [*(page.read_text(encoding="utf-8") for page in PAGES.values()), *(block.text for block in BLOCKS.values())]
    )
    named = {path.rstrip("/.") for path in re.findall(r"(?<!provider)/api/v1/[a-zA-Z0-9/_.-]*", text)}
    known = paths_of_the_api()
    wrong = {path for path in named if not any(each.fullmatch(path) for each in known)}
    of_prometheus = {"/api/v1/query", "/api/v1/write"}
    assert wrong - of_prometheus - {"/api/v1"} == set()
