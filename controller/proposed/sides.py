"""One set of manifests as it is compared with another: its models, and the words that they were written in. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controller.fleet.manifest import Fleet
    from controller.policy import AllocationPolicy
    from exporters.nodes import Model, Node
    from exporters.settings import Settings

Id = tuple[str, str]
"""(kind, name); of Settings and the Fleet, of which there is one, the name is ""."""


@dataclass(frozen=True, slots=True)
class Side:
    """A valid set of manifests."""

    name: str
    """As who asked calls it: a directory, or a revision."""
    nodes: tuple[Node, ...]
    policies: tuple[AllocationPolicy, ...]
    settings: Settings
    policy_of: Mapping[str, str] = field(default_factory=dict)
    """Node -> the policy that selects it."""
    written: Mapping[Id, Any] = field(default_factory=dict)
    """Each document as plain data, in its writer's units."""
    fleet: Fleet | None = None

    def models(self) -> Iterator[tuple[Id, Model]]:
        """Those that somebody wrote; Settings always, for its defaults hold without."""
        yield from ((("Node", node.name), node) for node in self.nodes)
        yield from ((("AllocationPolicy", policy.name), policy) for policy in self.policies)
        yield ("Settings", ""), self.settings
        if self.fleet is not None:
            yield ("Fleet", ""), self.fleet

    def policy(self, name: str | None) -> AllocationPolicy | None:
        return next((policy for policy in self.policies if policy.name == name), None)
