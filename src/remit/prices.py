"""What tokens cost: as policy says, else as the list ``genai-prices`` says, else a ceiling.

The list is an extra (``remit[prices]``) and is loaded when a price is first looked up; without it
every model that policy does not price has none. Lookups are kept, so that a call costs a few
multiplications. Exact: prices are nano-dollars for a million tokens, and sums are rounded up.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any

from msgspec import Struct

from remit.model import Usage
from remit.policy.spending import ModelPrice, price_of

MAX_KEPT = 1024
"""Most models whose price is kept; names come from whoever calls."""

_NOT_LOOKED_UP: Any = object()
_MILLION = 1_000_000
_HOUR = 3_600_000_000_000
_INPUT = (
    "input_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "cache_write_1h_mtok",
    "input_audio_mtok",
    "input_image_mtok",
    "input_video_mtok",
    "cache_audio_read_mtok",
    "cache_image_read_mtok",
)
_OUTPUT = (
    "output_mtok",
    "output_audio_mtok",
    "output_image_mtok",
    "output_video_mtok",
    "output_reasoning_mtok",
    "output_citation_mtok",
)


class TierPrice(Struct, frozen=True):
    """Nano-dollars for a million tokens, which may depend on how many go into the call."""

    base: int
    tiers: tuple[tuple[int, int], ...] = ()
    """More than so many tokens in, and the price then; ascending."""

    def at(self, tokens: int) -> int:
        """The price in a call into which so many tokens go."""
        found = self.base
        for start, price in self.tiers:
            if tokens > start:
                found = price
        return found

    @property
    def dearest(self) -> int:
        """The price at the dearest tier."""
        return max(self.base, *(price for _, price in self.tiers), 0)


class TokenCount(Struct, frozen=True, kw_only=True):
    """Tokens of one call, as its provider counted them."""

    input: int = 0
    """All that went in, whether cached or not."""
    output: int = 0
    """All that came out, reasoning included."""
    cache_read: int = 0
    cache_write: int = 0
    input_audio: int = 0
    output_audio: int = 0


class TokenPrice(Struct, frozen=True, kw_only=True):
    """What tokens of one model cost."""

    input: TierPrice
    output: TierPrice
    cache_read: TierPrice
    cache_write: TierPrice
    input_audio: TierPrice
    output_audio: TierPrice
    most_input: int
    """Nano-dollars for a million tokens in, at the dearest kind, tier and variant."""
    most_output: int
    source: str = ""
    """Where it is from, with the version; empty: a ceiling, because nobody knows it."""

    @property
    def output_price(self) -> int:
        """Nano-dollars for each token that comes out, at the dearest, rounded up."""
        return -(-self.most_output // _MILLION)

    def worst(self, input_tokens: int, output_tokens: int) -> Usage:
        """The most that a call takes. The bytes of its body are never fewer than its tokens."""
        cost = -(-input_tokens * self.most_input // _MILLION) + output_tokens * self.output_price
        return Usage(nano_usd=cost, input_tokens=input_tokens, output_tokens=output_tokens)

    def charge(self, count: TokenCount) -> Usage:
        """What a call took. Counts below zero count as none."""
        went_in, came_out = max(0, count.input), max(0, count.output)
        read, wrote = max(0, count.cache_read), max(0, count.cache_write)
        heard, spoke = max(0, count.input_audio), max(0, count.output_audio)
        parts = (
            (self.input, max(0, went_in - read - wrote - heard)),
            (self.cache_read, read),
            (self.cache_write, wrote),
            (self.input_audio, heard),
            (self.output, max(0, came_out - spoke)),
            (self.output_audio, spoke),
        )
        cost = sum(price.at(went_in) * tokens for price, tokens in parts)
        return Usage(nano_usd=-(-cost // _MILLION), input_tokens=went_in, output_tokens=came_out)


def flat(input_price: int, output_price: int, source: str = "") -> TokenPrice:
    """A price with one amount for all that goes in, one for all that comes out.

    Args:
        input_price: nano-dollars for a million tokens.
        output_price: nano-dollars for a million tokens.
        source: where it is from; empty for a ceiling.
    """
    into, out = TierPrice(input_price), TierPrice(output_price)
    return TokenPrice(
        input=into,
        output=out,
        cache_read=into,
        cache_write=into,
        input_audio=into,
        output_audio=out,
        most_input=input_price,
        most_output=output_price,
        source=source,
    )


CEILING = flat(100_000_000_000, 400_000_000_000)
"""For models that nobody prices, unless policy says otherwise: dearer than any that is known."""


class ModelPrices:
    """Finds the price of a model. Safe to share between threads."""

    def __init__(self) -> None:
        self._list: Any = None
        self._version = ""
        self._kept: dict[tuple[str | None, str, int, tuple[tuple[str, str], ...]], Any] = {}

    def price(
        self,
        model: str,
        *,
        now: int,
        provider: str | None = None,
        declared: Sequence[ModelPrice] = (),
        ceiling: TokenPrice = CEILING,
        context: Mapping[str, str] | None = None,
    ) -> TokenPrice:
        """The price of a model's tokens.

        Args:
            model: its name, as its provider knows it.
            now: nanoseconds since the Unix epoch: prices change.
            provider: as ``genai-prices`` calls it; None: whichever has a model of that name.
            declared: what the policy in force says (``policies.meter.prices``); it goes first, and
                its ``*`` is the ceiling.
            ceiling: for a model without a price, if the policy states none.
            context: what the price depends on, such as ``{"service_tier": "priority"}``.
        """
        own = price_of(declared, model)
        if own is not None:
            return flat(own.input, own.output, f"policy {own.pattern}")
        found = self._listed(model, provider, now, tuple(sorted((context or {}).items())))
        if found is not None:
            return found
        for each in declared:
            if each.pattern == "*":
                return flat(each.input, each.output)
        return ceiling

    def _listed(
        self, model: str, provider: str | None, now: int, context: tuple[tuple[str, str], ...]
    ) -> TokenPrice | None:
        """What the price list says, kept for the hour."""
        key = (provider, model, now // _HOUR, context)
        found: TokenPrice | None = self._kept.get(key, _NOT_LOOKED_UP)
        if found is _NOT_LOOKED_UP:
            if len(self._kept) >= MAX_KEPT:
                # The list keeps names that it did not find; they come from whoever calls.
                self._kept.clear()
                self._list = None
            found = self._kept[key] = self._look_up(model, provider, now, dict(context))
        return found

    def _look_up(
        self, model: str, provider: str | None, now: int, context: dict[str, str]
    ) -> TokenPrice | None:
        listed = self._list or self._opened()
        if listed is None:
            return None
        try:
            found, info = listed.find_provider_model(model, None, provider, None)
        except LookupError:
            return None
        when = datetime.fromtimestamp(now // 1_000_000_000, UTC)
        source = f"{self._version} {found.id}/{info.id}"
        return _priced(info, info.get_prices(when, context), source)

    def _opened(self) -> Any:
        try:
            from genai_prices.data import providers
            from genai_prices.data_snapshot import DataSnapshot
        except ImportError:
            return None
        self._version = f"genai-prices {importlib.metadata.version('genai-prices')}"
        self._list = DataSnapshot(providers=providers, from_auto_update=False)
        return self._list


def _priced(info: Any, now: Any, source: str) -> TokenPrice | None:
    """A model's price now; None where it has no price for tokens."""
    into, out = _tiers(getattr(now, "input_mtok", None)), _tiers(getattr(now, "output_mtok", None))
    if into is None:
        return None
    out = out or into
    every = [*_ever(info), now]
    wrote = [
        _tiers(getattr(now, name, None)) for name in ("cache_write_mtok", "cache_write_1h_mtok")
    ]
    return TokenPrice(
        input=into,
        output=out,
        cache_read=_tiers(getattr(now, "cache_read_mtok", None)) or into,
        # Which of the two it was is not told everywhere, so it is the dearer one.
        cache_write=max((each for each in wrote if each), key=lambda p: p.dearest, default=into),
        input_audio=_tiers(getattr(now, "input_audio_mtok", None)) or into,
        output_audio=_tiers(getattr(now, "output_audio_mtok", None)) or out,
        most_input=_dearest(every, _INPUT),
        most_output=_dearest(every, _OUTPUT) or into.dearest,
        source=source,
    )


def _ever(info: Any) -> Iterable[Any]:
    """Every price that the list has for a model, whenever and however it is called."""
    if isinstance(info.prices, list):
        yield from (each.prices for each in info.prices)
    else:
        yield info.prices
    for variant in info.price_variants or ():
        yield variant.prices


def _dearest(prices: Iterable[Any], names: Sequence[str]) -> int:
    found = (_tiers(getattr(price, name, None)) for price in prices for name in names)
    return max((each.dearest for each in found if each is not None), default=0)


def _tiers(price: Any) -> TierPrice | None:
    """A price of the list, which is dollars for a million tokens."""
    if price is None:
        return None
    if isinstance(price, Decimal):
        return TierPrice(_nano(price))
    tiers = tuple((int(each.start), _nano(each.price)) for each in price.tiers)
    return TierPrice(_nano(price.base), tiers)


def _nano(dollars: Decimal) -> int:
    return int((dollars * 1_000_000_000).to_integral_value(ROUND_CEILING))


__all__ = ["CEILING", "ModelPrices", "TierPrice", "TokenCount", "TokenPrice", "flat"]
