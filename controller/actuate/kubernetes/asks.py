"""What orcha asks of a Kubernetes API server, in its own words, and the refusals that mean something to the driver. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from controller.actuate.driver import Refused

_PLURALS: Final = {"StatefulSet": "statefulsets", "Deployment": "deployments", "Pod": "pods"}


class Taken(Refused):
    """`managers` own `fields`, both in the API server's words."""

    def __init__(self, managers: list[str], fields: list[str]) -> None:
        super().__init__(f"{', '.join(fields)} belongs to {' and '.join(managers)}")
        self.managers, self.fields = managers, fields


class NotOffered(Refused):
    pass


class Exists(Refused):
    pass


class Ask(NamedTuple):
    """What is asked of the API server, in its own words."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        name = f' "{self.name}"' if self.name else ""
        return f"{self._what}{name} in namespace {self.namespace}" if self.namespace else f"{self._what}{name}"

    @property
    def _what(self) -> str:
        return f"{self.resource}{f'/{self.subresource}' if self.subresource else ''}{f'.{self.group}' if self.group else ''}"

    @property
    def rule(self) -> str:
        """The line of a Role that grants it."""
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f'{{apiGroups: ["{self.group}"], resources: [{resource}], verbs: [{self.verb}]}}'

    @property
    def lacking(self) -> str:
        return f"orcha may not {self.verb} {self}; add to its Role there: {self.rule} (docs/kubernetes.md)"


def ask_of(verb: str, kind: str, namespace: str, name: str) -> Ask:
    """A request for an object of one of the three kinds."""
    return Ask(verb, "" if kind == "Pod" else "apps", _PLURALS[kind], namespace, name)
