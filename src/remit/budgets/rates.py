"""How often: limits on call frequency, in exact integer arithmetic.

The generic cell rate algorithm (GCRA, ITU-T I.371, in its virtual scheduling form) keeps one number
for each limit and key: the theoretical arrival time, at which the calls so far would have arrived
had they kept to the rate. Nothing has to be swept, and two processes that share a store share the
limit. Pure: the time is an argument, in nanoseconds since the Unix epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from remit.model import RateLimit


class Fit(NamedTuple):
    """Whether the calls fit."""

    arrival: int | None
    """They fit: the arrival time to keep if they run. None: they do not fit."""
    retry_at: int | None = None
    """When they would fit. None: they fit now, or never will."""


def admit(arrival: int | None, now: int, limit: RateLimit, cost: int = 1) -> Fit:
    """Whether ``cost`` calls at ``now`` keep within ``limit``.

    In any window of length W at most ``burst + W * calls / period`` calls are allowed, never one
    more: the interval between calls is rounded up to whole nanoseconds. A ``now`` before an earlier
    one frees nothing.

    Args:
        arrival: what is kept for this limit and key, None for nothing yet.
        now: nanoseconds since the Unix epoch.
        limit: the limit.
        cost: how many calls, at least 1.
    """
    if limit.calls < 1 or cost < 1 or cost > limit.burst:
        return Fit(None)
    interval = -(-limit.period // limit.calls)
    base = now if arrival is None or arrival < now else arrival
    following = base + cost * interval
    retry_at = following - limit.burst * interval
    if retry_at > now:
        return Fit(None, retry_at)
    return Fit(following)


class Taken(NamedTuple):
    """The call fits every limit: each one with its key and the arrival time to keep."""

    arrivals: Sequence[tuple[RateLimit, str, int]]


class Exceeded(NamedTuple):
    """The limit that holds the call up longest, and when it would let the call through."""

    limit: RateLimit
    retry_at: int | None
    """None: never."""


def take(
    limits: Sequence[tuple[RateLimit, str]], arrival: Callable[[str], int | None], now: int
) -> Taken | Exceeded:
    """Take one call from every limit, or from none.

    Args:
        limits: those that apply, each with the key that it is counted under.
        arrival: gives what is kept under a key.
        now: nanoseconds since the Unix epoch.
    """
    taken = []
    worst: Exceeded | None = None
    for limit, key in limits:
        following, retry_at = admit(arrival(key), now, limit)
        if following is not None:
            taken.append((limit, key, following))
        elif worst is None or _wait(retry_at) > _wait(worst.retry_at):
            worst = Exceeded(limit, retry_at)
    return worst or Taken(taken)


def _wait(retry_at: int | None) -> float:
    return math.inf if retry_at is None else retry_at
