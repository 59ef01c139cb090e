"""Token -> USD: several sources asked in order, each with its own clock and staleness, and what a Reading is worth (O4).

`PriceFeed.refresh` does the I/O and moves `PriceFeed.book` on; everything else is pure. A price is taken only where it
is finite and above 0, not older than its source's limit, and within a factor of 10 of the last one, or said by two
sources. Where no source has a fresh price, the `static` one of Settings is used and says so; where there is none, the
price is unknown, and every figure that hangs on it stays unknown: never 0, never a partial sum.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from exporters.clock import Clock
from exporters.collector import Workload, read_key
from exporters.energy import energy_usd_per_hour
from exporters.errors import Malformed, PollError, RateLimited, TimedOut, Unauthorized
from exporters.nodes import WorkloadSpec
from exporters.price_sources import SOURCES, TOKENS, Price, Question, Source
from exporters.reading import USD, Native, Quality, Reading, changed
from exporters.session import Session
from exporters.settings import Prices

__all__ = ["POINTS", "TOKENS", "Price", "PriceBook", "PriceFeed", "in_usd", "tokens_of"]

POINTS: Final = "points"
"""The token of what has no market; priced by the owner's `valuation` alone."""
STATIC: Final = "static"
MAX_JUMP: Final = 10.0
"""A price that moves by more than this factor is believed only when a second source says so too."""
AGREE: Final = 1.25
"""Two sources agree when their prices are within this factor."""
_STALE: Final = 1800.0
"""Seconds; of a price whose source is none of ours."""
_TIMEOUT: Final = 20.0
"""Seconds for all questions to one source."""
_RETRY: Final = 60.0
"""Seconds until a source that failed is asked again; doubled at each failure, up to an hour."""
_MAX_RETRY: Final = 3600.0
_MAX_WAIT: Final = 3 * 86400.0
"""Seconds that a source may ask to wait at most: Binance bans for up to three days."""

_BY_NAME: Final[Mapping[str, Source]] = {**SOURCES}  # type: ignore[dict-item] # a source's name is a word like any other


def _stale_after(price: Price) -> float:
    source = _BY_NAME.get(price.source)
    return source.stale_after if source else _STALE


@dataclass(frozen=True, slots=True)
class PriceBook:
    """What is known of prices now. Frozen: a Reading is valued by one book."""

    live: Mapping[str, Price] = field(default_factory=dict)
    """token -> the last price that was taken, stale or not."""
    static: Mapping[str, Price] = field(default_factory=dict)

    def get(self, token: str, now: float) -> Price | None:
        """The price that counts now: of a source if it is fresh, else the static one, else None."""
        if token == USD:
            return Price(1.0, now, USD)
        said = self.live.get(token)
        if said is not None and now - said.at <= _stale_after(said):
            return said
        return self.static.get(token)

    def all(self, now: float) -> dict[str, Price]:
        """Every token that has a price now, by name; dollars are none."""
        found = ((token, self.get(token, now)) for token in sorted({*self.live, *self.static}))
        return {token: price for token, price in found if price is not None}


def in_usd(reading: Reading, book: PriceBook, workload: Workload, now: float) -> Reading:
    """The Reading with its USD figures filled from `reading.native`, at the prices that the book has `now`.

    2 GLM an hour at 0.25 USD are 0.50 gross; with 8 steps of 12 W at 0.31 USD/kWh the net is 0.50 - 0.02976. A token
    without a price leaves every figure that it is part of None. Points count with the owner's valuation only, and then
    the Reading is `assumed`.
    """
    if not reading.up:
        return reading
    native, price = reading.native, _Prices(book, workload.spec, now)
    gross = price.worth(native.gross_per_hour)
    net = gross if native.net_per_hour is None else price.worth(native.net_per_hour)
    energy = energy_usd_per_hour(workload.power, workload.spec.watts, steps_of(reading, workload), now)
    balance, unit_price = price.each(native.balance), price.each(native.price_per_unit_hour)
    pool_payout = _pool_payout(reading, price)
    return changed(
        reading,
        rate_usd_per_hour=gross,
        net_usd_per_hour=None if net is None or energy is None else net - energy,
        balance_usd=balance,
        price_usd_per_unit_hour=unit_price,
        pool_payout_usd_per_hour=pool_payout,
        quality=Quality.ASSUMED if price.assumed else reading.quality,
    )


class _Prices:
    """Sums of tokens in USD, for one workload at one time; notes whether a valuation was used."""

    def __init__(self, book: PriceBook, spec: WorkloadSpec, now: float) -> None:
        self._book, self._spec, self._now = book, spec, now
        self.assumed = False

    def worth(self, amounts: Mapping[str, float]) -> float | None:
        """Their sum; None where there are none, or any has no price or is no number."""
        total = 0.0
        for token, amount in amounts.items():
            usd = self.of(token)
            if usd is None or not math.isfinite(amount):
                return None
            total += amount * usd
        return total if amounts else None

    def each(self, sums: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        worth = {name: self.worth(amounts) for name, amounts in sums.items()}
        return {name: usd for name, usd in worth.items() if usd is not None}

    def of(self, token: str) -> float | None:
        if token == POINTS:
            valuation = self._spec.valuation
            self.assumed = self.assumed or valuation is not None
            return valuation.usd_per_point if valuation else None
        price = self._book.get(token, self._now)
        return price.usd if price else None


def _pool_payout(reading: Reading, price: _Prices) -> float | None:
    """Payout x price x (net / gross of the own share); None where that share is unknown."""
    pool = reading.pool
    if pool is None:
        return None
    share = net_share(reading.native) if pool.net_share is None else pool.net_share
    payout = price.worth(pool.payout_native_per_hour)
    return None if share is None or payout is None else payout * share


def net_share(native: Native) -> float | None:
    """Net / gross of what the workload earns itself: one number, since a pool pays in one token. None = unknown."""
    if native.net_per_hour is None:
        return 1.0
    tokens = [token for token, gross in native.gross_per_hour.items() if gross > 0 and token in native.net_per_hour]
    return native.net_per_hour[tokens[0]] / native.gross_per_hour[tokens[0]] if len(tokens) == 1 else None


def steps_of(reading: Reading, workload: Workload) -> float | None:
    """How many steps its allocation is now, for its watts; a workload that is only watched counts as one."""
    allocation = workload.allocation
    if allocation is None:
        return 1.0
    allocated = reading.allocated.get(allocation.resource)
    return None if allocated is None or allocation.step <= 0 else allocated / allocation.step


def tokens_of(reading: Reading) -> frozenset[str]:
    """Every token that a Reading counts money in, dollars and points apart."""
    native = reading.native
    groups: list[Iterable[str]] = [native.gross_per_hour, native.net_per_hour or {}]
    groups += native.balance.values()
    groups += native.price_per_unit_hour.values()
    groups.append(reading.pool.payout_native_per_hour if reading.pool else ())
    return frozenset(token for group in groups for token in group) - {USD, POINTS}


@dataclass(slots=True)
class _Turn:
    """When one source may be asked, and when it was asked for what. Times are monotonic seconds."""

    after: float = -math.inf
    """No question before this, whatever for: it failed or asked to wait."""
    asked: dict[str, float] = field(default_factory=dict)
    failures: int = 0


class PriceFeed:
    """Keeps a PriceBook fresh. `refresh` may be called as often as one likes: it asks only what is due.

    Tokens are asked for once somebody needs them: `needs` (at the start, from the manifests), and every Reading that
    goes through `value`.
    """

    def __init__(self, settings: Prices, clock: Clock, tokens: Iterable[str] = ()) -> None:
        self._settings, self._clock = settings, clock
        self._turns = {name: _Turn() for name in settings.sources}
        self._needed: set[str] = set()
        self._taken: dict[str, float] = {}
        """token -> when its price was taken (monotonic seconds)."""
        self._doubted: dict[str, dict[str, Price]] = {}
        """token -> source -> a price that jumped, until another source says the same."""
        self._lock = asyncio.Lock()
        self.problems: dict[str, str] = {}
        """source or token -> the sentence that says what is wrong with it now."""
        self.book = PriceBook({}, self._static())
        self.needs(tokens)

    def needs(self, tokens: Iterable[str]) -> None:
        """From now on these are asked for."""
        for token in frozenset(tokens) - self._needed - {USD, POINTS}:
            self._needed.add(token)
            if token not in TOKENS and token not in self.book.static:
                self.problems[token] = f"no source knows the token {token}; give it a price under prices.static"

    def value(self, reading: Reading, workload: Workload) -> Reading:
        """`in_usd` at the book's prices of now; what the Reading is counted in is asked for from now on."""
        self.needs(tokens_of(reading))
        return in_usd(reading, self.book, workload, self._clock.time())

    async def refresh(self, session: Session) -> None:
        """Ask the sources in order for every token that is due, each for what those before it did not give.

        Never raises: a source that fails is left alone for a while, and `problems` says why. May take as long as all
        sources are silent; a second call meanwhile returns at once.
        """
        if self._lock.locked():
            return
        async with self._lock:
            wanted = self._wanted()
            for name in self._settings.sources:
                names = self._names(SOURCES[name], wanted)
                if names:
                    found = await self._ask(SOURCES[name], names, session)
                    wanted -= {token for token, price in found.items() if self._take(token, price)}
            self._miss(wanted)

    def _miss(self, tokens: Iterable[str]) -> None:
        """Say of which tokens no source gave a price, where that leaves them without one."""
        now = self._clock.time()
        for token in tokens:
            if token not in self._doubted and self.book.get(token, now) is None:
                self.problems[token] = f"no source gave a price of {token}; it is tried again"

    def _static(self) -> dict[str, Price]:
        now, given = self._clock.time(), self._settings.static
        for token in [token for token, usd in given.items() if usd <= 0]:
            self.problems[token] = f"the static price of {token} is not above 0; it is taken as unknown"
        return {token: Price(usd, now, STATIC) for token, usd in given.items() if usd > 0}

    def _wanted(self) -> set[str]:
        """The tokens whose price is older than its source's interval. Where one is, those of half that age go along, so
        that all stay in step and one question serves them.
        """
        now = self._clock.monotonic()
        known = {token for token in self._needed if token in TOKENS}
        age = {token: self._age(token, now) for token in known}
        return {token for token in known if age[token] >= 0.5} if any(a >= 1 for a in age.values()) else set()

    def _age(self, token: str, now: float) -> float:
        """In intervals of the source that its price was taken from; of a price that was not taken here, infinite."""
        price, taken = self.book.live.get(token), self._taken.get(token)
        source = _BY_NAME.get(price.source) if price else None
        return math.inf if source is None or taken is None else (now - taken) / source.interval

    def _names(self, source: Source, tokens: Iterable[str]) -> dict[str, str]:
        """Each token with the source's name of it; none where the source has none of them or is to be left alone now."""
        turn, now = self._turns[source.name], self._clock.monotonic()
        names = {token: source.names(TOKENS[token]) for token in sorted(tokens)}
        found = {token: name for token, name in names.items() if name}
        late = any(now - turn.asked.get(token, -math.inf) >= source.interval for token in found)
        return found if late and now >= turn.after else {}

    async def _ask(self, source: Source, names: Mapping[str, str], session: Session) -> dict[str, Price]:
        """What the source says, as far as it is not stale already. Never raises."""
        base = self._settings.endpoints.get(source.name, source.base).rstrip("/")
        key = ""
        try:
            headers, key = self._credential(source, base)
            async with asyncio.timeout(_TIMEOUT):
                answers = await source.ask(Question(session, base, names, headers, self._clock.sleep))
            found = source.parse(answers, names, self._clock.time())
        except PollError as exc:
            return self._failed(source, exc, key)
        except TimeoutError:
            return self._failed(source, TimedOut(f"{source.name} did not answer within {_TIMEOUT:.0f} s"), key)
        except Exception as exc:  # noqa: BLE001 a source that lies must not stop the others, whatever it found to trip us with
            return self._failed(source, Malformed(f"{source.name} answered what cannot be read ({exc!r})"), key)
        turn, now = self._turns[source.name], self._clock.time()
        turn.failures = 0
        turn.asked.update(dict.fromkeys(names, self._clock.monotonic()))
        self.problems.pop(source.name, None)
        return {token: price for token, price in found.items() if now - price.at <= source.stale_after}

    def _credential(self, source: Source, base: str) -> tuple[dict[str, str], str]:
        """The headers with the API key, and the key. Raises Unauthorized where the file is missing or needed."""
        path = getattr(self._settings.api_key_files, source.name, None)
        if source.key_header is None or (path is None and not source.needs_key):
            return {}, ""
        if path is None:
            raise Unauthorized(f"{source.name} needs an API key; name its file under prices.apiKeyFiles.{source.name}")
        key = read_key(path)
        return {source.key_header(base): key}, key

    def _failed(self, source: Source, why: PollError, key: str) -> dict[str, Price]:
        """Leave the source alone for a while: nothing was found."""
        turn = self._turns[source.name]
        turn.failures += 1
        wait = min(_RETRY * 2.0 ** min(turn.failures - 1, 10), _MAX_RETRY)
        asked_to_wait = why.retry_after if isinstance(why, RateLimited) else None
        turn.after = self._clock.monotonic() + max(wait, min(asked_to_wait or 0.0, _MAX_WAIT))
        sentence = str(why)
        self.problems[source.name] = sentence.replace(key, "***") if key else sentence
        return {}

    def _take(self, token: str, price: Price) -> bool:
        """Put a price into the book, unless it jumped and nobody else says so. True: it is settled."""
        last = self.book.live.get(token)
        if last is not None and not _within(price.usd, last.usd, MAX_JUMP) and not self._agreed(token, price):
            self._doubted.setdefault(token, {})[price.source] = price
            self.problems[token] = (
                f"{price.source} says {price.usd:g} USD for {token} after {last.usd:g}, more than {MAX_JUMP:g} times off; "
                "refused until a second source agrees"
            )
            return False
        self.book = replace(self.book, live={**self.book.live, token: price})
        self._taken[token] = self._clock.monotonic()
        self._doubted.pop(token, None)
        self.problems.pop(token, None)
        return True

    def _agreed(self, token: str, price: Price) -> bool:
        """Another source said about the same, not long ago."""
        others = [other for name, other in self._doubted.get(token, {}).items() if name != price.source]
        return any(
            _within(price.usd, other.usd, AGREE) and price.at - other.at <= _stale_after(other) for other in others
        )


def _within(one: float, other: float, factor: float) -> bool:
    """The larger is at most `factor` times the smaller."""
    return max(one, other) <= factor * min(one, other)
