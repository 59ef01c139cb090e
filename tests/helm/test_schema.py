"""values.schema.json refuses what is unknown and what is of a wrong type, in every block, with the name of the culprit."""

from __future__ import annotations

import json
import re

import pytest

from tests.helm.charts import SHAPES, merged, shape
from tests.helm.schemas import ANY, ITEM, Place, defaults, objections, places, schema, takes, wrong

TOP = sorted(schema().get("properties", ()))
OPEN = re.compile(
    r"[aA]nnotations|[lL]abels|affinity|tolerations|topologySpread|[sS]ecurityContext|resources|Probe|extra|initContainers"
    r"|volume|elabelings|egress|ingress|from|to|nodeSelector|route|receivers|nodes|policies|settings|parameters|updateStrategy"
)
"""Objects of Kubernetes' and of others, which their own schemas judge, and orcha's manifests, which orcha judges."""


def below(top: str) -> list[Place]:
    return [place for place in places() if place.path[:1] == (top,)]


def spots(place: Place) -> str:
    """How the schema names a place in what it says."""
    return re.escape(".".join(place.path)).replace(re.escape(ITEM), "0").replace(re.escape(ANY), "some-name")


def test_there_is_a_schema_and_it_is_closed_at_its_top():
    assert schema()["additionalProperties"] is False
    assert len(TOP) > 20


@pytest.mark.parametrize("name", SHAPES)
def test_every_documented_shape_passes(name):
    assert objections(shape(name)) == []


def test_the_defaults_pass():
    assert objections({}) == []


@pytest.mark.parametrize("top", TOP)
def test_every_block_with_names_of_its_own_takes_no_other_name(top):
    open_ones = [
        str(place)
        for place in below(top)
        if "properties" in place.schema and not place.is_block and not OPEN.search(place.path[-1])
    ]
    assert open_ones == []


@pytest.mark.parametrize("top", TOP)
def test_a_misspelt_key_is_refused_by_its_name_in_every_block(top):
    blocks = [place for place in below(top) if place.is_block and "properties" in place.schema]
    taken = []
    for place in blocks:
        said = "\n".join(objections(place.values({"misspelt": 1})))
        if not re.search(rf"(?m)^{spots(place)}: .*misspelt", said):
            taken.append(f"{place}: {said[:200]}")
    assert taken == []
    assert blocks or not isinstance(defaults()[top], dict) or OPEN.search(top) or top.startswith(("common", "global"))


@pytest.mark.parametrize("top", TOP)
def test_a_value_of_a_wrong_type_is_refused_at_its_place(top):
    taken, tried = [], 0
    for place in below(top):
        for value in wrong(place.schema) if place.is_leaf else ():
            said = "\n".join(objections(place.values(value)))
            tried += 1
            if not re.search(rf"(?m)^{spots(place)}", said):
                taken.append(f"{place} = {json.dumps(value)}: {said[:200]}")
    assert taken == []
    assert tried


@pytest.mark.parametrize("top", TOP)
def test_every_value_says_of_what_type_it_is(top):
    """A place that takes everything checks nothing; only what Kubernetes or orcha judges may be so open."""
    known = [place for place in below(top) if not any(OPEN.search(key) for key in place.path)]
    assert [str(place) for place in known if all(takes(place.schema, value) for value in (1, "a", [], {}))] == []


@pytest.mark.parametrize("top", [top for top in TOP if isinstance(defaults().get(top), dict)])
def test_every_default_is_described(top):
    described = {".".join(place.path) for place in below(top)}
    opened = {".".join(place.path) for place in below(top) if not place.is_block}

    def missing(value, path):
        if path not in described:
            yield path
        elif isinstance(value, dict) and path not in opened:
            for key, inner in value.items():
                yield from missing(inner, f"{path}.{key}")

    assert list(missing(defaults()[top], top)) == []


@pytest.mark.tool("helm")
def test_helm_names_every_misspelt_key(helm):
    blocks = [
        place
        for place in places()
        if place.is_block and "properties" in place.schema and {ANY, ITEM}.isdisjoint(place.path)
    ]
    misspelt = {f"misspelt{number}x": place for number, place in enumerate(dict.fromkeys(str(each) for each in blocks))}
    by_name = {str(place): place for place in blocks}
    values = merged(*(by_name[name].values({key: 1}) for key, name in misspelt.items()))
    said = helm.refusal(values)
    assert [name for key, name in misspelt.items() if key not in said] == []
    assert len(misspelt) > 20


@pytest.mark.tool("helm")
@pytest.mark.parametrize("top", [top for top in TOP if isinstance(defaults().get(top), dict)])
def test_helm_refuses_text_in_place_of_a_block(helm4, top):
    assert top in helm4.refusal({top: "no such thing"})


@pytest.mark.tool("helm")
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("controller.listen", ":99999"),
        ("controller.replicas", "two"),
        ("exporter.kind", "Statefulset"),
        ("exporter.listen", "0.0.0.0:0"),
        ("image.pullPolicy", "Sometimes"),
        ("manifests.policies.default.spec.mode", "auto"),
        ("networkPolicy.enabled", "yes"),
        ("secrets", {"name": "a"}),
        ("service.type", "ExternalName"),
    ],
)
def test_helm_names_the_place_of_a_wrong_value(helm, path, value):
    said = helm.refusal(Place(tuple(path.split(".")), {}).values(value))
    assert path in said or "/" + path.replace(".", "/") in said
