"""All nodes at once: what each node takes at given prices, in closed form, as rows of one array.

Nodes that need the same resources and have about as many segments stand in one Bucket, padded to one width, so that one
sort over its rows fills all of them. Where one resource of a node binds, filling it best first is exact; where several
bind together, those nodes are one linear program (they share nothing, so it is solved as fast as they would be alone).

Every node's answer is the best there is for it at those prices, so that what all nodes are worth less what they pay,
plus the prices times the limits, bounds what any split can be worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.plan.limits import SLACK
from controller.plan.linear import program

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64
    from controller.plan.flat import FlatProblem

_FEW: Final = 8
"""Numbers of segments on a node of which each gets its own bucket; of more they are padded to these widths:"""
_WIDTHS: Final = np.unique(np.ceil(1.2 ** np.arange(0, 90)).astype(int))


@dataclass(frozen=True, slots=True, eq=False)
class Bucket:
    """b nodes with up to w segments each."""

    nodes: NDArray[np.intp]
    """(b,)."""
    seg: NDArray[np.intp]
    """(b, w) which segment; padding points beyond the last one and is worth nothing."""
    dy: F64
    """(b, w) USD per hour."""
    take: F64
    """(m, b, w) of each constraint over nodes."""
    kinds: tuple[int, ...]
    """Which resources bound them."""
    need: F64
    """(kinds, b, w)."""
    room: F64
    """(kinds, b)."""
    even: tuple[bool, ...]
    """For each kind whether all segments of a node need the same of it."""
    work: F64
    """(2, b, w) to write in: new memory for every answer would cost more than the answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Poured:
    """What all nodes take at some prices of the constraints over them."""

    taken: list[F64]
    """For each bucket (b, w): the share of each segment."""
    value: F64
    """(N,) USD per hour above the least."""
    use: F64
    """(m, N) of the constraints."""


def buckets(flat: FlatProblem) -> list[Bucket]:
    """Every node that has anything to choose, in buckets."""
    per_node = np.bincount(flat.node[flat.owner], minlength=flat.nodes)
    ends = per_node.cumsum()
    width = np.maximum(per_node, 1)
    if len(np.unique(width)) > _FEW:
        width = _WIDTHS[np.searchsorted(_WIDTHS, width)]
    bounded, even = _bounded(flat), _even(flat, per_node)
    signature = width.astype(np.int64)
    for bits in (*bounded, *even):
        signature = 2 * signature + bits
    found = []
    for kind in np.unique(signature[per_node > 0]):
        nodes = ((signature == kind) & (per_node > 0)).nonzero()[0]
        columns = np.arange(int(width[nodes[0]]))
        seg = np.where(columns < per_node[nodes, None], (ends - per_node)[nodes, None] + columns, len(flat.dx))
        kinds = bounded[:, nodes[0]].nonzero()[0]
        found.append(_bucket(flat, nodes, seg, kinds, even[kinds, nodes[0]]))
    return found


def _bounded(flat: FlatProblem) -> NDArray[np.bool_]:
    """(k, N) which resources can bind at all on each node: taking everything would be more than there is."""
    amount = flat.amounts(np.ones(len(flat.dx)))
    everything = [np.bincount(flat.node, weights=need * amount, minlength=flat.nodes) for need in flat.need]
    return np.array([all_ > room for all_, room in zip(everything, flat.room, strict=True)]).reshape(flat.room.shape)


def _even(flat: FlatProblem, per_node: NDArray[np.intp]) -> NDArray[np.bool_]:
    """(k, N) whether all segments of a node need the same of a resource."""
    some = per_node > 0
    begins = (per_node.cumsum() - per_node)[some]
    found = np.zeros(flat.room.shape, dtype=bool)
    for k, need in enumerate(flat.need if len(flat.dx) else ()):
        each = need[flat.owner] * flat.dx
        least, most = np.minimum.reduceat(each, begins), np.maximum.reduceat(each, begins)
        found[k, some] = (least > 0) & (most <= least * (1 + SLACK))
    return found


def _bucket(
    flat: FlatProblem, nodes: NDArray[np.intp], seg: NDArray[np.intp], kinds: NDArray[np.intp], even: NDArray[np.bool_]
) -> Bucket:
    everything = seg.size == len(flat.dx) == seg[-1, -1] + 1  # and no padding

    def rows(per_segment: F64) -> F64:
        return per_segment.reshape(seg.shape) if everything else np.append(per_segment, 0.0)[seg]

    def of_each(per_unit: F64) -> F64:
        """(j, b, w) of (j, n) per base unit of each choice."""
        found = np.empty((len(per_unit), *seg.shape))
        for row, each in zip(found, per_unit, strict=True):
            row[:] = rows(each[flat.owner] * flat.dx)
        return found

    return Bucket(
        nodes=nodes, seg=seg, dy=rows(flat.dy), take=of_each(flat.coefficient),
        kinds=tuple(kinds.tolist()), need=of_each(flat.need[kinds]),
        room=flat.room[kinds][:, nodes], even=tuple(even.tolist()), work=np.empty((2, *seg.shape)),
    )  # fmt: skip


def pour(nodes: int, into: list[Bucket], prices: F64) -> Poured:
    """What each of N `nodes` takes when the constraints over nodes cost `prices` (m,) USD per hour and unit."""
    value, use = np.zeros(nodes), np.zeros((len(prices), nodes))
    taken = []
    for bucket in into:
        reduced, work = bucket.work
        np.copyto(reduced, bucket.dy)
        for price, take in zip(prices, bucket.take, strict=True):
            if price:
                np.multiply(take, price, out=work)
                reduced -= work
        shares = _filled(bucket, reduced, work)
        taken.append(shares)
        value[bucket.nodes] = np.einsum("bw,bw->b", shares, bucket.dy)
        for row, take in zip(use, bucket.take, strict=True):
            row[bucket.nodes] = np.einsum("bw,bw->b", shares, take)
    return Poured(taken, value, use)


def _filled(bucket: Bucket, reduced: F64, work: F64) -> F64:
    """(b, w) shares: by the first resource that leaves room for the others, where none does by a linear program.

    `work` (b, w) is overwritten.
    """
    if not bucket.kinds:
        everything: F64 = (reduced > 0).astype(np.float64)
        return everything
    if len(bucket.kinds) == 1:
        return by_one(reduced, bucket.need[0], bucket.room[0], even=bucket.even[0], work=work)
    shares, left = np.zeros_like(reduced), np.arange(len(reduced))
    for k in range(len(bucket.kinds)):
        found = by_one(reduced[left], bucket.need[k, left], bucket.room[k, left], even=bucket.even[k])
        needed = np.einsum("bw,kbw->kb", found, bucket.need[:, left])
        fits = (needed <= bucket.room[:, left] * (1 + SLACK)).all(axis=0)
        shares[left[fits]] = found[fits]
        left = left[~fits]
    if len(left):
        shares[left] = _together(reduced[left], bucket.need[:, left], bucket.room[:, left])
    return shares


def by_one(reduced: F64, need: F64, room: F64, *, even: bool, work: F64 | None = None) -> F64:
    """(b, w) shares where one resource binds: best first until it is full. `work` (b, w) may be overwritten."""
    if even:
        return _evenly(reduced, room / need[:, 0], work)
    density = np.divide(reduced, need, out=np.where(reduced > 0, np.inf, -np.inf), where=need > 0)
    order = (-density).argsort(axis=1, kind="stable")
    needed = np.take_along_axis(need, order, 1)
    ranked = np.take_along_axis(density, order, 1)
    poured = np.divide(room[:, None] - needed.cumsum(axis=1), needed, out=np.zeros_like(needed), where=needed > 0) + 1.0
    shares: F64 = np.empty_like(poured)
    np.put_along_axis(shares, order, np.clip(poured, 0.0, 1.0) * (ranked > 0), 1)
    return shares


def _evenly(reduced: F64, steps: F64, work: F64 | None) -> F64:
    """The same where every segment of a node needs as much: no more is to be known than what the last one in earns."""
    rows, width = reduced.shape
    whole = np.minimum(np.floor(steps * (1 + SLACK)), width).astype(np.intp)
    ranked = np.empty_like(reduced) if work is None else work
    np.copyto(ranked, reduced)
    ranked.sort(axis=1)
    last = np.where(whole < width, ranked[np.arange(rows), np.maximum(width - 1 - whole, 0)], 0.0)
    last = np.maximum(last, 0.0)
    shares = (reduced > last[:, None]).astype(np.float64)
    short = np.where(last > 0, steps - shares.sum(axis=1), 0.0)
    rows_left = (short > SLACK * steps).nonzero()[0]
    if len(rows_left):
        # what is left goes to equal ones in the order of their names
        tie = reduced[rows_left] == last[rows_left, None]
        shares[rows_left] += tie * np.clip(short[rows_left, None] - (tie.cumsum(axis=1) - tie), 0.0, 1.0)
    return shares


def _together(reduced: F64, need: F64, room: F64) -> F64:
    """Where several resources of a node bind: all such nodes as one linear program."""
    kinds, rows, width = need.shape
    scale = np.maximum(room, need.max(axis=2))
    scale = np.where(scale > 0, scale, 1.0)
    columns = np.arange(rows * width, dtype=np.int32).reshape(rows, width)
    shares, _prices = program(
        (width * np.arange(kinds * rows + 1)).astype(np.int32),
        np.broadcast_to(columns, need.shape).ravel(),
        (need / scale[:, :, None]).ravel(),
        (room / scale).ravel(),
        reduced.ravel(),
    )
    found: F64 = shares.reshape(rows, width)
    return found
