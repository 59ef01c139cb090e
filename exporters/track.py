"""What a row of looks at one workload says that no single look can. Pure: `follow(track, reading)` folds them one by one.

    connection          connecting, connected, reconnecting, failed (features.md O7), with the time to reconnect and the
                        share of time up
    earning_stalled     healthy and expected to earn, yet nothing was accrued for several usual intervals (O10)
    payout_*            reached, projected with a date, or not enough data (O11)

The poller keeps one `Track` per workload and folds each priced Reading into it before anybody sees the Reading.
Times are those of the readings (Unix seconds). A clock that is set back moves what is remembered back with it, so that
nothing waits for the lost stretch to pass again.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from exporters.reading import Connection, Quality, Reading, changed

if TYPE_CHECKING:
    from exporters.collector import Workload

SEVERAL: Final = 4.0
"""Usual intervals without an accrual that count as stalled. Of the gaps of a Poisson stream 6 % are longer than 4 medians
(2 ** -4), of a steady stream none; the alert waits some more."""
MIN_GAPS: Final = 3
"""Gaps between accruals from which on the usual one is taken as known."""
MAX_GAPS: Final = 9
"""Of the newest gaps the median is the usual one: one long night does not change it."""
MIN_RATE_SECONDS: Final = 600.0
"""Time over which a rate must have been seen before a date is projected from it."""
RATE_MEMORY: Final = 86400.0
"""Seconds over which the rate is averaged for the projection: one daily rhythm."""
MAX_PROJECTION: Final = 10 * 365.25 * 86400.0
"""A date further away than ten years says nothing: not enough data."""

ROUNDING: Final = 1e-12
"""Relative rise of a total that is only the rounding of a sum whose parts moved."""

REACHED: Final = "reached"
PROJECTED: Final = "projected"
NOT_ENOUGH_DATA: Final = "not_enough_data"


class Track(NamedTuple):
    """What is remembered of one workload between two looks. Every time is that of a reading.

    A tuple, since one is made for every look: a dataclass takes four times as long to replace.
    """

    stale_after: float
    """Seconds of failing from which on the connection counts as failed."""
    first_wait: float
    """Seconds that an accrual may take while nothing is known of the usual interval."""
    at: float | None = None
    """The newest look."""
    up: bool = False
    """How it went."""
    asked_since: float | None = None
    """The first look ever."""
    good_at: float | None = None
    """The newest look that gave a reading."""
    lost_at: float | None = None
    """The first failed look of the failing stretch that lasts; None: it does not fail."""
    reconnect_seconds: float | None = None
    """How long the newest failing stretch lasted, from its first failed look to the look that succeeded."""
    up_seconds: float = 0.0
    seen_seconds: float = 0.0
    """Time between looks, all of it; `up_seconds` is that which began with a look that gave a reading."""
    earned: tuple[tuple[Account, float], ...] = ()
    """What was credited per (kind, token), each when it was last told."""
    accrued_at: float | None = None
    expecting_since: float | None = None
    """Since when, without a break, it is healthy and expected to earn."""
    gaps: tuple[float, ...] = ()
    """Seconds between accruals with no break in between, oldest first."""
    reached_at: float | None = None
    rate: float | None = None
    """Mean USD per hour credited, for the projection."""
    rate_seconds: float = 0.0

    @property
    def uptime_ratio(self) -> float | None:
        """Share of the time up, weighted by time, not by looks; None until there are two looks."""
        return self.up_seconds / self.seen_seconds if self.seen_seconds > 0 else None

    @property
    def usual_gap(self) -> float | None:
        """Seconds between accruals as learned; None while too few were seen."""
        return median(self.gaps) if len(self.gaps) >= MIN_GAPS else None


def begin(workload: Workload) -> Track:
    """What is known of a workload that was never asked: nothing but how long things may take."""
    return Track(workload.stale_after, max(workload.traits.settle, SEVERAL * workload.poll_interval))


def follow(track: Track, reading: Reading) -> tuple[Track, Reading]:
    """Fold one look in: what is remembered from now on, and the Reading with what only the row of looks can say.

    What `parse` already said about stalling and payout stands: the protocol knows better.
    """
    if track.at is not None and reading.at < track.at:
        track = _set_back(track, track.at - reading.at)
    passed = 0.0 if track.at is None else max(0.0, reading.at - track.at)  # moved back, it may be a rounding later
    known: dict[str, Any] = {}
    changes: dict[str, Any] = {
        "at": reading.at,
        "up": reading.up,
        "asked_since": reading.at if track.asked_since is None else track.asked_since,
        "seen_seconds": track.seen_seconds + passed,
        "up_seconds": track.up_seconds + (passed if track.up else 0.0),
    }
    if reading.up:
        _answered(track, reading, changes)
        if reading.earning_stalled is None:
            known["earning_stalled"] = _stalled(track, reading, changes)
        if reading.payout_verdict is None:
            _payout(track, reading, passed, changes, known)
        known["connection"] = Connection.CONNECTED
    else:
        known["connection"] = _silent(track, reading, changes)
    track = track._replace(**changes)
    for name, value in known.items():
        if getattr(reading, name) != value:
            return track, changed(reading, **known)
    return track, reading


def _set_back(track: Track, back: float) -> Track:
    """The same memories, moved back by as much as the clock was."""
    times = ("at", "asked_since", "good_at", "lost_at", "accrued_at", "expecting_since", "reached_at")
    moved = {name: time - back for name in times if (time := getattr(track, name)) is not None}
    return track._replace(**moved)


def _answered(track: Track, reading: Reading, changes: dict[str, Any]) -> None:
    changes["good_at"] = reading.at
    if track.lost_at is not None:
        changes["reconnect_seconds"] = reading.at - track.lost_at
        changes["lost_at"] = None


def _silent(track: Track, reading: Reading, changes: dict[str, Any]) -> Connection:
    """The connection of a look that failed. Nobody waits for earnings meanwhile."""
    changes["lost_at"] = reading.at if track.lost_at is None else track.lost_at
    changes["expecting_since"] = None
    since = track.good_at if track.good_at is not None else changes["asked_since"]
    if reading.at - since > track.stale_after:
        return Connection.FAILED
    return Connection.CONNECTING if track.good_at is None else Connection.RECONNECTING


Account = tuple[str, str]
"""(balance kind, token)."""


def earned(reading: Reading) -> dict[Account, float]:
    """All that was ever credited, as far as the balances say: a payout moves money between kinds, not out. What is at risk
    is left out: it may be a stake, which nobody credited.
    """
    return {
        (kind, token): amount
        for kind, amounts in reading.native.balance.items()
        if kind != "at_risk"
        for token, amount in amounts.items()
    }


def is_expected_to_earn(reading: Reading) -> bool | None:
    """Whether the node says that it is well and works, or that it should be paid anyway; None: it does not say enough."""
    if reading.healthy is None:
        return None
    if not reading.healthy:
        return False
    rates = reading.native.gross_per_hour.values()
    if max(reading.used.values(), default=0.0) > 0 or max(rates, default=0.0) > 0:
        return True
    return False if reading.used or rates else None


def _has_accrued(before: dict[Account, float], now: dict[Account, float]) -> bool:
    """Some token's total rose, over the kinds that were known before: a page that failed once and is back is no accrual.
    A total that falls (a corrected payout, a new month) is neither an accrual nor a loss.
    """
    was: dict[str, float] = {}
    rose: dict[str, float] = {}
    for account, amount in before.items():
        token = account[1]
        was[token] = was.get(token, 0.0) + amount
        rose[token] = rose.get(token, 0.0) + now.get(account, amount)
    return any(rose[token] > amount * (1 + ROUNDING) for token, amount in was.items())


def _stalled(track: Track, reading: Reading, changes: dict[str, Any]) -> bool | None:
    """Whether nothing was accrued for several usual intervals; None while that cannot be told."""
    totals = earned(reading) if reading.native.balance else {}
    accrued = False
    if totals:
        before = dict(track.earned)
        accrued = _has_accrued(before, totals)
        changes["earned"] = tuple((before | totals).items())
    elif reading.quality is Quality.MEASURED:
        accrued = any(rate > 0 for rate in reading.native.gross_per_hour.values())
    expected = is_expected_to_earn(reading)
    since = (track.expecting_since if track.expecting_since is not None else reading.at) if expected else None
    changes["expecting_since"] = since
    if accrued:
        changes["accrued_at"] = reading.at
        if since is not None and track.accrued_at is not None and track.accrued_at >= since:
            changes["gaps"] = (*track.gaps, reading.at - track.accrued_at)[-MAX_GAPS:]
        return False if expected is not None else None
    if since is None or (not totals and reading.quality is not Quality.MEASURED):
        return False if expected is False else None
    waited = reading.at - max(since, since if track.accrued_at is None else track.accrued_at)
    usual = track.usual_gap
    if waited > (track.first_wait if usual is None else SEVERAL * usual):
        return True
    return None if track.accrued_at is None else False


def _payout(track: Track, reading: Reading, passed: float, changes: dict[str, Any], known: dict[str, Any]) -> None:
    """When the next payout's threshold is reached, where the protocol has one."""
    rate, seconds = _mean_rate(track, reading, passed)
    changes["rate"], changes["rate_seconds"] = rate, seconds
    threshold, accrued = reading.payout_threshold_usd, reading.balance_usd.get("accrued")
    if threshold is None:
        return
    if accrued is not None and accrued >= threshold:
        changes["reached_at"] = track.reached_at if track.reached_at is not None else reading.at
        known["payout_verdict"], known["payout_expected_at"] = REACHED, changes["reached_at"]
        return
    changes["reached_at"] = None
    known["payout_verdict"] = NOT_ENOUGH_DATA
    if accrued is None or not rate or seconds < MIN_RATE_SECONDS:
        return
    ahead = (threshold - accrued) / rate * 3600.0
    if ahead <= MAX_PROJECTION:
        known["payout_verdict"], known["payout_expected_at"] = PROJECTED, reading.at + ahead


def _mean_rate(track: Track, reading: Reading, passed: float) -> tuple[float | None, float]:
    """USD per hour that is credited towards the threshold, averaged over about a day, and the seconds behind it.

    rate += (newest - rate) * passed / min(seconds seen, a day): the plain mean first, then a fading one.
    """
    newest = _credited_usd_per_hour(reading)
    if newest is None:
        return track.rate, track.rate_seconds
    if track.rate is None:
        return newest, 0.0
    step = min(passed, track.stale_after)
    seconds = track.rate_seconds + step
    if seconds <= 0:
        return newest, 0.0
    return track.rate + (newest - track.rate) * step / min(max(seconds, step), RATE_MEMORY), seconds


def _credited_usd_per_hour(reading: Reading) -> float | None:
    """The gross rate without what is held back or cut. Energy does not delay a payout, so `net_usd` would be wrong."""
    gross, net = reading.native.gross_per_hour, reading.native.net_per_hour
    if reading.rate_usd_per_hour is None or net is None or not gross:
        return reading.rate_usd_per_hour
    (token, amount), *others = gross.items()
    if others or amount <= 0 or token not in net:
        return reading.rate_usd_per_hour
    return reading.rate_usd_per_hour * net[token] / amount
