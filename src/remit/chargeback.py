"""Who used how much: tallies split by team, agent, user, model, tool, for those who pay. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from remit.storage import Tally
from remit.tallying import Consumer, consumer

Split: TypeAlias = Literal["team", "agent", "user", "model", "tool"]
SPLITS: tuple[Split, ...] = get_args(Split)
_BY_WORD: dict[str, Split] = {each: each for each in SPLITS}
Per: TypeAlias = Literal["day", "month"]
COLUMNS = (
    "period",
    *SPLITS,
    "calls",
    "nano_usd",
    "usd",
    "input_tokens",
    "output_tokens",
    "seconds",
)
"""Of an export; those of ``SPLITS`` that it is not split by are left out."""


class UsageRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one consumer used in one period of UTC."""

    period: str
    """``2026-05-01`` or ``2026-05``."""
    team: str | None = None
    """Empty where there is none; left out where it is not split by. So are the next four."""
    agent: str | None = None
    user: str | None = None
    model: str | None = None
    tool: str | None = None
    calls: int
    nano_usd: int
    """In nano-dollars: add these up."""
    usd: str
    """The same in dollars, exactly."""
    input_tokens: int
    output_tokens: int
    seconds: float
    """Time that tools took."""


def usage_rows(tallies: Iterable[Tally], by: Sequence[Split], per: Per) -> list[UsageRow]:
    """What was used, one row for each period and consumer, in that order.

    Args:
        tallies: of the book ``tallying.USE``.
        by: what to split by; none: one row for each period.
        per: how long the periods are.
    """
    sums: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for tally in tallies:
        who: Consumer = consumer(tally)
        place = _period(tally.at, per), tuple(getattr(who, name) for name in by)
        held = sums.setdefault(place, [0] * 5)
        for index, amount in enumerate(tally.amounts):
            held[index] += amount
    rows = []
    for (period, names), amounts in sorted(sums.items()):
        calls, nano_usd, input_tokens, output_tokens, microseconds = amounts
        rows.append(
            UsageRow(
                period=period,
                **dict(zip(by, names, strict=True)),
                calls=calls,
                nano_usd=nano_usd,
                usd=dollars(nano_usd),
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                seconds=microseconds / 1_000_000,
            )
        )
    return rows


def split_words(written: str) -> tuple[Split, ...]:
    """The words of ``team,agent,tool``, each once.

    Raises:
        ValueError: one of them is none to split by.
    """
    found: list[Split] = []
    for word in filter(None, (part.strip() for part in written.split(","))):
        known = _BY_WORD.get(word)
        if known is None:
            raise ValueError(f"usage can be split by {', '.join(SPLITS)}, not by {word!r}")
        if known not in found:
            found.append(known)
    return tuple(found)


def columns(by: Sequence[Split]) -> list[str]:
    """The columns of an export that is split by ``by``."""
    return [name for name in COLUMNS if name not in SPLITS or name in by]


def dollars(nano_usd: int) -> str:
    """An amount in dollars, exactly: ``12.5``, ``0.000000001``."""
    whole, rest = divmod(abs(nano_usd), 1_000_000_000)
    sign = "-" if nano_usd < 0 else ""
    return f"{sign}{whole}.{rest:09d}".rstrip("0").rstrip(".")


def _period(at: int, per: Per) -> str:
    day = datetime.fromtimestamp(at // 1_000_000_000, tz=UTC)
    return f"{day:%Y-%m-%d}" if per == "day" else f"{day:%Y-%m}"
