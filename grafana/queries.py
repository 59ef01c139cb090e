"""PromQL: the filters of a dashboard's variables, and nothing counted twice.

Two processes may show the same workload (the controller and an exporter), and a restarted one has new target labels:
whatever is summed is made one first, as the recorded series of prometheus/templates/recording.yaml are. They have no
`job` and `instance` any more, so those two variables do not filter them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TARGET_LABELS: Final = "instance, job, pod, container, endpoint, service"
PROCESS: Final = 'job=~"$job", instance=~"$instance"'
DAY: Final = 86400


@dataclass(frozen=True)
class Query:
    """One question of a panel."""

    expr: str
    legend: str = "__auto"
    """How a series is called: labels in {{}}."""


@dataclass(frozen=True)
class Scope:
    """Which variables a dashboard has besides job and instance; what a protocol's own dashboard fixes is no variable."""

    node: bool = False
    protocol: str | None = None
    """A matcher's right side: `=~"$protocol"` or `="storj"`; None: every one."""
    workload: bool = False
    policy: bool = False

    def workloads(self, more: str = "") -> str:
        """Matchers of a series of one workload."""
        return _joined(self.nodes(), f"protocol{self.protocol}" if self.protocol else "", self._workload(), more)

    def nodes(self, more: str = "") -> str:
        return _joined('node=~"$node"' if self.node else "", more)

    def policies(self, more: str = "") -> str:
        return _joined('policy=~"$policy"' if self.policy else "", more)

    def of_workload(self, family: str, more: str = "") -> str:
        """A family as it was scraped: filtered by process too."""
        return f"{family}{{{_joined(PROCESS, self.workloads(more))}}}"

    def of_node(self, family: str, more: str = "") -> str:
        return f"{family}{{{_joined(PROCESS, self.nodes(more))}}}"

    def of_policy(self, family: str, more: str = "") -> str:
        return f"{family}{{{_joined(PROCESS, self.policies(more))}}}"

    def recorded(self, series: str, more: str = "") -> str:
        """A recorded series by the level that its name begins with."""
        level = series.partition(":")[0]
        found = {"workload": self.workloads, "node": self.nodes, "node_resource": self.nodes, "policy": self.policies}
        if level == "protocol" and self.protocol:
            return f"{series}{{{_joined(f'protocol{self.protocol}', more)}}}"
        matchers = found[level](more) if level in found else more
        return f"{series}{{{matchers}}}" if matchers else series

    def _workload(self) -> str:
        return 'workload=~"$workload"' if self.workload else ""


def of_process(family: str, more: str = "") -> str:
    """A family of a process as a whole."""
    return f"{family}{{{_joined(PROCESS, more)}}}"


def deduped(expr: str) -> str:
    """One series of each thing, whoever shows it; labels of a cluster or site stay."""
    return f"max without ({TARGET_LABELS}) ({expr})"


def most(selector: str, count: int = 10) -> str:
    """The `count` largest at the end of the time range, all the way back: the same series at every point, at most so many
    of a thousand. What was not seen for a day before the end is left out.
    """
    newest = deduped(f"last_over_time({selector}[1d] @ end())")
    return f"({deduped(selector)} and topk({count}, {newest}))"


def least(selector: str, count: int = 10) -> str:
    newest = deduped(f"last_over_time({selector}[1d] @ end())")
    return f"({deduped(selector)} and bottomk({count}, {newest}))"


def per_hour(counter: str, by: str) -> str:
    """How often, in an hour, by these labels; of what a process counts of itself."""
    return f"sum by ({by}) (rate({counter}[$__rate_interval])) * 3600"


def shown_per_hour(counter: str, by: str) -> str:
    """The same of a workload's counters, which every process that reads it shows."""
    rate = deduped(f"rate({counter}[$__rate_interval])")
    return f"sum by ({by}) ({rate}) * 3600"


def counted(counter: str, by: str) -> str:
    """How often between two points of a graph, which is drawn as bars then."""
    return f"sum by ({by}) (increase({counter}[$__interval]))"


def shown_counted(counter: str, by: str) -> str:
    """The same of a workload's counters, which every process that reads it shows."""
    return f"sum by ({by}) ({deduped(f'increase({counter}[$__interval])')})"


def during(counter: str, by: str) -> str:
    """How often in the time range, of what a process counts of itself."""
    return f"sum by ({by}) (increase({counter}[$__range]))"


def quantile(share: float, histogram: str, by: str = "", window: str = "$__rate_interval") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}[{window}])))"


def _joined(*matchers: str) -> str:
    return ", ".join(part for part in matchers if part)
