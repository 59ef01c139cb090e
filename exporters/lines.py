"""One metric family as rendered lines: both text formats from the same bytes. Pure.

The lines of samples are the same in the Prometheus text format 0.0.4 and in OpenMetrics 1.0; only the two lines before
them differ. So every line is rendered once, when a Reading changes, and a scrape joins bytes. Escaping and numbers are
as prometheus_client writes them (tests/exporters/test_metrics.py proves pages byte-equal to generate_latest).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PLACE: Final = ("node", "protocol", "workload")
"""The labels that every per-workload family has."""
CHUNK: Final = 512
"""Workloads whose lines are joined in one piece: well under a millisecond."""
MAX_LABEL: Final = 128
"""Characters of a label value: a node that calls its version by a whole page does not fill ours."""
_go: Final[Callable[[float], str]] = floatToGoString
_NAME: Final = re.compile(r"orcha_[a-z0-9_]+")
_LABEL: Final = re.compile(r"[a-z][a-z0-9_]*")
_TAKEN: Final = frozenset({*PLACE, "type", "job", "instance", "env", "cluster", "le", "quantile"})


def escape(value: str) -> str:
    """A label value between its quotes. What UTF-8 cannot say (half of a surrogate pair) becomes a question mark."""
    if len(value) > MAX_LABEL:
        value = value[: MAX_LABEL - 1] + "…"
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode("utf-8")
    if "\\" in value or "\n" in value or '"' in value:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return value


def number(value: float) -> str:
    """As the library writes it: 1 -> "1.0", 5e6 -> "5e+06"."""
    value = float(value)
    if -1e6 < value < 1e6:
        return repr(value)
    return _go(value)


class Lines:
    """The lines of one family: one piece of bytes per slot, a slot being one workload (empty: it has none)."""

    def __init__(
        self, name: str, kind: str, text: str, labels: tuple[str, ...] = (), place: tuple[str, ...] = PLACE
    ) -> None:
        """`labels` are those beyond `place`, in the order in which values are handed in.

        Raises ValueError where metrics.md forbids the name or a label.
        """
        _check(name, kind, text, labels, place)
        self.name, self.kind, self.labels, self.text = name, kind, labels, text
        order = sorted((label, i) for i, label in enumerate((*place, *labels)))
        pairs = ",".join(f'{label}="{{{i}}}"' for label, i in order)
        self.format = f"{name}{{{{{pairs}}}}} {{{len(order)}}}\n".format
        """(*place, *labels, number) -> one line; every label value escaped already."""
        self._heads = _heads(name, kind, text)
        self.slots: list[bytes] = []
        self._filled = 0

    def put(self, slot: int, lines: str) -> None:
        """Replace what the slot has."""
        data = lines.encode()
        self._filled += bool(data) - bool(self.slots[slot])
        self.slots[slot] = data

    def pieces(self, *, openmetrics: bool) -> Iterator[bytes]:
        """Header and lines as they are now, in a few pieces that are joined as they are taken; nothing, if it is empty.

        What changes after this call is not in them.
        """
        if not self._filled:
            return iter(())
        return _joined(self._heads[openmetrics], self.slots.copy())


def _joined(head: bytes, slots: list[bytes]) -> Iterator[bytes]:
    yield head
    for start in range(0, len(slots), CHUNK):
        joined = b"".join(slots[start : start + CHUNK])
        if joined:
            yield joined


def _heads(name: str, kind: str, text: str) -> tuple[bytes, bytes]:
    """HELP and TYPE, (text format, OpenMetrics): a counter's family has no `_total` there, and quotes are escaped."""
    plain = text.replace("\\", r"\\").replace("\n", r"\n")
    family = name.removesuffix("_total") if kind == "counter" else name
    return (
        f"# HELP {name} {plain}\n# TYPE {name} {kind}\n".encode(),
        f"# HELP {family} {plain.replace(chr(34), chr(92) + chr(34))}\n# TYPE {family} {kind}\n".encode(),
    )


def _check(name: str, kind: str, text: str, labels: Iterable[str], place: tuple[str, ...]) -> None:
    wrong = [label for label in labels if not _LABEL.fullmatch(label) or (place and label in _TAKEN)]
    if wrong:
        raise ValueError(f"{name}: {', '.join(wrong)} cannot be a label (metrics.md)")
    if not _NAME.fullmatch(name) or kind not in {"gauge", "counter", "histogram"} or not text:
        raise ValueError(f"{name}: a family needs a name orcha_..., a kind of gauge or counter, and a help text")
    if (kind == "counter") is not name.endswith("_total"):
        raise ValueError(f"{name}: counters, and only they, end in _total")


class Histogram(Lines):
    """Lines of a histogram: cumulative buckets, count and sum of each slot."""

    def __init__(self, name: str, text: str, bounds: tuple[float, ...]) -> None:
        """`bounds`: upper bounds, ascending, in the unit of the name; +Inf is added."""
        super().__init__(name, "histogram", text)
        self.bounds = (*bounds, math.inf)
        pairs = ",".join(f'{label}="{{{i}}}"' for i, label in enumerate(PLACE))
        lines = [
            f'{name}_bucket{{{{le="{_go(bound)}",{pairs}}}}} {{{len(PLACE) + i}}}\n'
            for i, bound in enumerate(self.bounds)
        ]
        last = len(PLACE) + len(self.bounds)
        lines += [f"{name}_count{{{{{pairs}}}}} {{{last - 1}}}\n", f"{name}_sum{{{{{pairs}}}}} {{{last}}}\n"]
        self.format = "".join(lines).format
        """(*place, *cumulative counts, sum) -> all lines of one slot."""
