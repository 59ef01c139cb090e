"""Pasts for tests of what is remembered: one demand, seen through an allocation in blocks, as a node would have shown it."""

import numpy as np

from controller.estimate.memory import CELLS, Seen
from controller.estimate.recall import binned, remember
from controller.model import Blocks

START = 1_767_571_200.0
"""Monday, 5 January 2026, 00:00 UTC."""
HOUR = 3600.0
DAY = 24 * HOUR


def seen(demand, allocation, *, step=1.0, value=0.03, span=300.0, start=START, tick=60.0, top=None):
    """Blocks of `span` seconds of a demand at each tick; an allocation for all time, or one for each block."""
    per = round(span / tick)
    demand = np.asarray(demand, float)
    demand = demand[: len(demand) // per * per].reshape(-1, per)
    held = np.broadcast_to(np.asarray(allocation, float), (len(demand),))[:, None]
    used = np.minimum(demand, held)
    full = used >= held - np.minimum(0.02 * held, step)
    quarter = step / 4
    levels = quarter * np.arange(round((top or 32 * step) / quarter) + 1)
    cell = np.clip((np.where(full, held, used) / quarter + 0.5).astype(int), 0, len(levels) - 1)
    hours = np.zeros((2, len(demand), len(levels)), np.float32)
    np.add.at(hours, (full.astype(int), np.arange(len(demand))[:, None], cell), tick / HOUR)
    each, mean = np.full(len(demand), span / HOUR), used.mean(axis=1)
    return Blocks(
        start=start + span * np.arange(len(demand)), span=np.full(len(demand), span), hours=each, usd=value * mean * each,
        unit_hours=mean * each, rate_hours=each, used=mean, used_first=used[:, 0], used_last=used[:, -1],
        room_hours=each, room_growth=np.zeros(len(demand)), levels=levels, exact=hours[0], censored=hours[1],
    )  # fmt: skip


def end_of(blocks):
    return float(blocks.start[-1] + blocks.span[-1])


def memory_of(blocks, *, step=1.0, most=16.0, now=None, key="rack-1/golem"):
    return remember([key], [step], [most], [blocks], end_of(blocks) if now is None else now)


def seen_of(pasts, at, quantum):
    """One block of each of some pasts, as it closes."""
    closed = [
        binned(0, blocks, float(q), CELLS, end_of(blocks)).rows(np.array([j]))
        for blocks, j, q in zip(pasts, at, quantum, strict=True)
    ]
    columns = (
        np.concatenate([getattr(each, name) for each in closed]) for name in ("start", "span", "exact", "censored")
    )
    hours, money = (np.concatenate([getattr(each, name) for each in closed]) for name in ("hours", "money"))
    return Seen(*columns, hours, money)
