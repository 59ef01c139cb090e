"""Rules: what may be said to be equal, from YAML, checked as a whole before one is used. Pure.

- name: fuse-grows
  source: seq(grow(?w, ?r, ?a, ?b), grow(?w, ?r, ?b, ?c))
  target: grow(?w, ?r, ?a, ?c)
  polarity: forward        # RED, in the phase Live; backward: BLUE, Backfill; symmetric: GREEN, Verify
  priority: 50
  conditions: [colour(?p) is not blue, distinct(?p, ?q), disjoint(?p, ?q)]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from importlib import resources
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from controller.fleet.colours import Colour
from controller.fleet.patterns import Pattern, classes_in, depth, parse_pattern, values_in

_CONDITION: Final = re.compile(
    r"colour\(\?(?P<of>[a-z][a-z0-9_]*)\) is (?P<no>not )?(?P<colour>red|blue|green)"
    r"|(?P<kind>distinct|disjoint)\(\?(?P<one>[a-z][a-z0-9_]*), *\?(?P<other>[a-z][a-z0-9_]*)\)"
)
_SUCH_AS: Final = "colour(?p) is red, colour(?p) is not blue, distinct(?p, ?q), disjoint(?p, ?q)"


class NoRules(ValueError):
    """The rules are refused; `str()` names the rule, what is wrong, and what would be right."""


class Polarity(StrEnum):
    FORWARD = "forward"
    """RED."""
    BACKWARD = "backward"
    """BLUE."""
    SYMMETRIC = "symmetric"
    """GREEN."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Condition(_Model):
    """On the classes that variables stand for. A class is RED where a member is, and GREEN where none is RED or BLUE."""

    kind: str
    """"colour", "distinct" or "disjoint"."""
    variables: tuple[str, ...]
    colour: Colour | None = None
    negated: bool = False


class Rule(_Model):
    """Whatever matches `source` equals the same with `target`."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,60}$")]
    source: str
    target: str
    polarity: Polarity
    priority: Annotated[int, Field(ge=0, le=1000)] = 0
    conditions: tuple[str, ...] = ()

    @property
    def source_pattern(self) -> Pattern:
        return parse_pattern(self.source)

    @property
    def target_pattern(self) -> Pattern:
        return parse_pattern(self.target)

    @property
    def checked(self) -> tuple[Condition, ...]:
        """The conditions, read."""
        return tuple(map(_condition, self.conditions))

    @property
    def complexity(self) -> int:
        """What it costs to try: twice the difference in depth, and one for each condition."""
        return 2 * abs(depth(self.source_pattern) - depth(self.target_pattern)) + len(self.conditions)

    @model_validator(mode="after")
    def _is_sound(self) -> Rule:
        source, target = self.source_pattern, self.target_pattern
        if not depth(source):
            raise ValueError(f"source {self.source!r} would match everything; begin with an operator")
        bound, values = set(classes_in(source)), set(values_in(source))
        if both := sorted(bound & values):
            raise ValueError(f"?{both[0]} stands for a program and for a value; give them two names")
        if free := sorted((set(classes_in(target)) - bound) | (set(values_in(target)) - values)):
            raise ValueError(f"target has ?{free[0]}, which source does not bind in such a place")
        for condition in self.checked:
            if free := sorted(set(condition.variables) - bound):
                raise ValueError(f"a condition has ?{free[0]}, which stands for no program in source")
        return self


def ordered(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """As they are tried: priority high first, then complexity low first, then by name."""
    return tuple(sorted(rules, key=lambda rule: (-rule.priority, rule.complexity, rule.name)))


def read_rules(text: str, where: str = "rules") -> tuple[Rule, ...]:
    """From YAML, in the order in which they are tried. Raises NoRules."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise NoRules(f"{where}: is no YAML: {str(exc).splitlines()[0]}") from exc
    if not isinstance(found, dict) or set(found) != {"rules"} or not isinstance(found["rules"], list):
        raise NoRules(f"{where}: should hold `rules:` and a list, and nothing else")
    rules = [_rule(one, f"{where}: rule {i + 1}") for i, one in enumerate(found["rules"])]
    names = [rule.name for rule in rules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise NoRules(f"{where}: two rules are named {twice[0]!r}; names are told apart in reports")
    return ordered(rules)


def built_in() -> tuple[Rule, ...]:
    """Those that orcha brings."""
    return read_rules(resources.files("controller.fleet").joinpath("rules.yaml").read_text(), "rules.yaml")


def _rule(found: Any, where: str) -> Rule:
    name = found.get("name") if isinstance(found, dict) else None
    try:
        return Rule.model_validate(found)
    except ValidationError as exc:
        raise NoRules(f"{where} ({name or 'without a name'}): {_sentence(exc.errors())}") from exc


def _sentence(errors: Sequence[Any]) -> str:
    first = errors[0]
    field = ".".join(map(str, first["loc"]))
    return f"{field}: {first['msg']}" if field else str(first["msg"]).removeprefix("Value error, ")


def _condition(text: str) -> Condition:
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no condition; there are {_SUCH_AS}")
    if (of := match["of"]) is not None:
        return Condition(kind="colour", variables=(of,), colour=Colour(match["colour"]), negated=bool(match["no"]))
    return Condition(kind=match["kind"], variables=(match["one"], match["other"]))
