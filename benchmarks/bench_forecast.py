"""The forecast of the hours ahead against a seasonal naive one, EWMA and Holt-Winters: how far off, and how long it takes.

1 000 hourly series of made-up demand (rhythm, bursts, changes of regime, noise; one in four with quiet weekends), 28 days
each, of which the 24 hours after are forecast once, and once the next two. MASE: mean absolute error over that of the
seasonal naive forecast within the 28 days. The seeds are not those that it was tuned on. Holt-Winters (additive, damped)
takes for each series the best of 12 sets of parameters by its error within the 28 days.

Then what it is for: demand over two hours as a distribution, beside the kernels of memory.py. The score is the integral of
(P(D > y) - what then happened)² over y.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._report import Report, arguments, finish
from controller.estimate import kernels, memory, recall
from controller.estimate.forecast import Hours, forecast
from controller.estimate.stretch import demand_ahead, hourly
from controller.model import Blocks
from exporters.simulator.demand import Bursts, Demand, Noise, Regimes, Rhythm

DAY = 24
HISTORY = 28 * DAY
START = 20_000 * 86400.0
ROUNDS = 5
AIM_MASE = 0.85
AIM_NAIVE = 0.85 / 1.03
"""Of the prototype: economics.md 5."""
AIM_MS = 34.0
ALLOCATIONS = (16.0, 5.0)
"""Cores: with room for nearly all demand, and full for much of the time. Demand is around 4."""


def made_up(seed: int, *, rhythm: bool = True, level: tuple[float, float] = (1.0, 20.0)) -> Demand:
    rng = np.random.default_rng(seed)
    return Demand(
        rng.uniform(*level),
        int(rng.integers(1 << 40)),
        rhythm=Rhythm(rng.uniform(0.2, 0.8), rng.uniform(), float(rng.choice([1, 1, 1, 0.5]))) if rhythm else None,
        bursts=Bursts(rng.uniform(1, 5), rng.uniform(0.02, 0.1), rng.uniform(0.3, 1.2)),
        regimes=Regimes(rng.uniform(3, 10), rng.uniform(0.2, 0.6)),
        noise=Noise(0.03, rng.uniform(0.05, 0.25)),
    )


def hourly_means(demand: Demand, hours: int, each: int = 6) -> np.ndarray:
    at = START + (np.arange(hours * each) + 0.5) * 3600 / each
    return demand.at(at).reshape(hours, each).mean(axis=1)


def seasonal_naive(past: np.ndarray, ahead: int) -> np.ndarray:
    return past[:, -DAY:][:, :ahead]


def ewma(past: np.ndarray, ahead: int, alpha: float = 0.3) -> np.ndarray:
    level = past[:, 0].copy()
    for hour in past.T[1:]:
        level += alpha * (hour - level)
    return np.repeat(level[:, None], ahead, axis=1)


def holt_winters(past: np.ndarray, ahead: int) -> np.ndarray:
    found, best = np.empty((len(past), ahead)), np.full(len(past), np.inf)
    for alpha, beta, gamma in itertools.product((0.02, 0.1, 0.3), (0.0, 0.01), (0.05, 0.2)):
        level, trend = past[:, :DAY].mean(axis=1), np.zeros(len(past))
        season, off = past[:, :DAY].T - level, np.zeros(len(past))
        for t in range(DAY, past.shape[1]):
            y, s = past[:, t], season[t % DAY]
            off += (y - level - 0.98 * trend - s) ** 2
            before, level = level, alpha * (y - s) + (1 - alpha) * (level + 0.98 * trend)
            trend = beta * (level - before) + (1 - beta) * 0.98 * trend
            season[t % DAY] = gamma * (y - level) + (1 - gamma) * s
        damped = np.cumsum(0.98 ** np.arange(1, ahead + 1))
        said = level[:, None] + damped * trend[:, None] + season[(past.shape[1] + np.arange(ahead)) % DAY].T
        better = off < best
        found[better], best[better] = said[better], off[better]
    return np.maximum(found, 0.0)


def ours(past: np.ndarray, ahead: int) -> np.ndarray:
    return forecast(Hours(START, past, np.ones_like(past), np.zeros_like(past)), ahead).point


def mase(said: np.ndarray, past: np.ndarray, then: np.ndarray) -> float:
    naive = np.abs(past[:, DAY:] - past[:, :-DAY]).mean(axis=1)
    return float((np.abs(said - then[:, : said.shape[1]]).mean(axis=1) / naive).mean())


def best_ms(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """CPU milliseconds: the best of some rounds, because a shared machine only adds."""
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return 1e3 * min(spent)


def blocks_of(demand: Demand, now: float, days: int, allocation: float, quantum: float = 0.25, each: int = 6) -> Blocks:
    """What a node shows of it through an allocation: 5 minutes for the last day, hours before."""
    old = (days - 1) * DAY
    start = np.concatenate([now - 86400 * days + 3600 * np.arange(old), now - 86400 + 300 * np.arange(288)])
    span = np.concatenate([np.full(old, 3600.0), np.full(288, 300.0)])
    wanted = demand.at((start[:, None] + span[:, None] * (np.arange(each) + 0.5) / each).ravel()).reshape(-1, each)
    used, full = np.minimum(wanted, allocation), wanted >= 0.98 * allocation
    level = (np.where(full, allocation, used) / quantum + 0.5).astype(int)
    held = np.zeros((2, len(start), int(allocation / quantum) + 1), np.float32)
    rows = np.arange(len(start))
    for i in range(each):
        np.add.at(held, (full[:, i].astype(int), rows, level[:, i]), span / 3600 / each)
    hours, mean = span / 3600, used.mean(axis=1)
    return Blocks(
        start=start, span=span, hours=hours, usd=0.03 * mean * hours, unit_hours=mean * hours, rate_hours=hours,
        used=mean, used_first=used[:, 0], used_last=used[:, -1], room_hours=hours * (1 - full.mean(axis=1)),
        room_growth=0.0 * hours, levels=quantum * np.arange(held.shape[2]), exact=held[0], censored=held[1],
    )  # fmt: skip


def beside_the_kernels(workloads: int, allocation: float, *, rhythm: bool, hour: int) -> tuple[float, float]:
    """Score of the kernels' mixture alone, and with the forecast's share in it."""
    now, cells = START + 28 * 86400.0 + 3600.0 * hour, memory.CELLS + 1
    demands = [made_up(70_000 + 100 * hour + i, rhythm=rhythm, level=(4.0, 4.0)) for i in range(workloads)]
    past = [blocks_of(demand, now, 21, allocation) for demand in demands]
    known = recall.remember(
        [f"node/{i:03d}" for i in range(workloads)], [1.0] * workloads, [16.0] * workloads, past, now
    )
    kernel = np.einsum("we,wem->wm", known.trust, memory.of_kernels(known, now, 2.0).inside)
    found = forecast(hourly(past, now), 2)
    held = demand_ahead(past, found, known.quantum, cells)
    ahead = kernels.survivals(held[:, :1], held[:, 1:], 2 * known.steps / known.quantum).inside[:, 0]
    mixed = kernel + found.share[:, None] * (ahead - kernel)
    then = np.stack([demand.at(now + 30.0 * (np.arange(240) + 0.5)) for demand in demands])
    above = (then[:, :, None] > (np.arange(cells) + 0.5) * known.quantum[:, None, None]).mean(axis=1)
    alone, beside = (float((((s - above) ** 2).sum(axis=1) * known.quantum).mean()) for s in (kernel, mixed))
    return alone, beside


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report("Forecasting: profile x level against what is usual")
    count = 200 if options.quick else 1000
    series = np.stack([hourly_means(made_up(50_000 + i), HISTORY + DAY) for i in range(count)])
    past, then = series[:, :HISTORY], series[:, HISTORY:]
    methods = {"seasonal naive": seasonal_naive, "EWMA 0.3": ewma, "Holt-Winters": holt_winters, "forecast": ours}
    for ahead in (2, DAY):
        off = {name: mase(method(past, ahead), past, then) for name, method in methods.items()}
        report.figures[f"mase_{ahead}_h"] = off
        detail = ", ".join(f"{name} {value:.3f}" for name, value in off.items())
        if ahead == DAY:
            report.add(f"MASE of {count} series, {ahead} h", off["forecast"], AIM_MASE, detail=detail)
        aim = AIM_NAIVE if ahead == DAY else None
        report.add(
            f"MASE / that of seasonal naive, {ahead} h", off["forecast"] / off["seasonal naive"], aim, detail=detail
        )
        report.add(f"MASE / that of Holt-Winters, {ahead} h", off["forecast"] / off["Holt-Winters"], 0.85 / 1.02)
    spent = {ahead: best_ms(lambda ahead=ahead: ours(past, ahead)) for ahead in (2, DAY)}
    few, slow = best_ms(lambda: ours(past[:4], 2), 20), best_ms(lambda: holt_winters(past, DAY), 1)
    report.figures |= {"cpu_ms": {f"{ahead} h": ms for ahead, ms in spent.items()} | {"4 workloads, 2 h": few}}
    report.add(f"{count} series, 24 h / 34 ms CPU", spent[DAY] / AIM_MS, 1.0, detail=f"{spent[DAY]:.0f} ms")
    report.add(f"{count} series, 2 h / 34 ms CPU", spent[2] / AIM_MS, 1.0, detail=f"{spent[2]:.0f} ms")
    report.add("Holt-Winters / forecast, CPU", slow / spent[DAY], detail=f"Holt-Winters {slow:.0f} ms")
    report.add("4 workloads, 2 h / 2 ms CPU", few / 2.0, 1.0, detail=f"{few:.2f} ms")
    for allocation, rhythm in itertools.product(ALLOCATIONS, (True, False)):
        size, when = (10, (9,)) if options.quick else (25, (3, 9, 15, 21))
        scores = [beside_the_kernels(size, allocation, rhythm=rhythm, hour=hour) for hour in when]
        alone, beside = np.mean(scores, axis=0).tolist()
        name = f"{'a rhythm' if rhythm else 'no rhythm'}, {allocation:g} cores"
        report.figures[name] = {"kernels": alone, "with forecast": beside}
        report.add(f"error of P(D > y) with forecast / kernels, {name}", beside / alone, 1.0)
    finish(report, options)


if __name__ == "__main__":
    main()
