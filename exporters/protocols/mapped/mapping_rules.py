"""What must hold between the parts of one mapping. Pure: (path, sentence with what would be right) for each that does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exporters.protocols.mapped.mapping import BUILT_IN, Expect, Mapping, Text, Where
from exporters.traits import CurveKind

Told = tuple[tuple[str | int, ...], str]


def crossed(mapping: Mapping, given: Iterable[str] = ()) -> Iterator[Told]:
    """What is wrong between the parts of a mapping: (path, sentence with what would be right).

    `given`: placeholders that the workload's credentials and options have values for.
    """
    yield from _placeholders_known(mapping, frozenset(given))
    for i, expect in enumerate(mapping.expect):
        yield from _place(("expect", i), expect, mapping)
    seen = False
    for path, figure in mapping.figures.each():
        seen = True
        yield from _place(("figures", *path), figure, mapping)
    if not seen:
        yield ("figures",), "says nothing about the workload; write at least one figure, such as used or healthy"
    yield from _resources_known(mapping)


def _placeholders_known(mapping: Mapping, given: frozenset[str]) -> Iterator[Told]:
    takers: dict[str, str] = {}
    for name, request in mapping.requests.items():
        for taken in request.take:
            if taken in BUILT_IN | given or taken in takers:
                yield ("requests", name, "take", taken), f"{taken!r} has a value already; take it under another name"
            takers.setdefault(taken, name)
        if request.take and request.format != "json":
            yield ("requests", name, "take"), "only a JSON answer has paths to take values from"
    known = BUILT_IN | given | takers.keys()
    for name, request in mapping.requests.items():
        for wanted in sorted(request.placeholders() - known):
            yield (
                ("requests", name),
                f"nothing gives {{{wanted}}} a value; known are {', '.join(sorted(known))}; for the text itself write {{{{{wanted}}}}}",
            )
    if order_of(mapping) is None:
        yield ("requests",), "wait for each other's values in a circle; no request could be the first"


def order_of(mapping: Mapping) -> list[list[str]] | None:
    """The requests in rounds: each round needs only values of those before it. None where they wait in a circle."""
    takers = {taken: name for name, request in mapping.requests.items() for taken in request.take}
    needs = {
        name: {takers[wanted] for wanted in request.placeholders() if wanted in takers}
        for name, request in mapping.requests.items()
    }
    rounds: list[list[str]] = []
    done: set[str] = set()
    while len(done) < len(needs):
        ready = [name for name in needs if name not in done and needs[name] <= done]
        if not ready:
            return None
        rounds.append(ready)
        done.update(ready)
    return rounds


def _place(path: tuple[str | int, ...], part: Expect | Where | Text, mapping: Mapping) -> Iterator[Told]:
    request = mapping.requests.get(part.request)
    if request is None:
        yield (
            (*path, "request"),
            f"there is no request {part.request!r}; there are {', '.join(sorted(mapping.requests))}",
        )
    elif request.format == "prometheus" and part.path is not None:
        yield (*path, "path"), f"{part.request} answers Prometheus text; name a metric"
    elif request.format == "json" and part.metric is not None:
        yield (*path, "metric"), f"{part.request} answers JSON; name a path, or give the request format: prometheus"


def _resources_known(mapping: Mapping) -> Iterator[Told]:
    figures = mapping.figures
    if mapping.traits.resource is None:
        for name in ("used", "allocated", "configured", "irreversible", "price"):
            if any(amount.resource is None for amount in getattr(figures, name)):
                yield ("figures", name), "of which resource? add resource here or under traits, such as resource: cpu"
    for name in ("allocated", "configured", "irreversible"):
        if any(amount.counter for amount in getattr(figures, name)):
            yield ("figures", name), "cannot come from a counter; only used and lifetime_native can"
    twice = {figure.token for figure in figures.lifetime_native} & {figure.token for figure in figures.rate_native}
    if figures.rate_usd is not None and any(figure.token == "USD" for figure in figures.rate_native):  # noqa: S105 a currency
        yield ("figures", "rate_usd"), "rate_native says already what is earned in USD; keep one of the two"
    for token in sorted(twice):
        yield ("figures", "rate_native"), f"lifetime_native says already what is earned in {token}; keep one of the two"
    if mapping.traits.curve is CurveKind.DILUTION and (figures.pool_payout is None or figures.pool_others is None):
        yield ("figures",), "curve dilution needs pool_payout and pool_others"
