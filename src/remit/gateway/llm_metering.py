"""What a call to a model takes: the most beforehand, and afterwards what is proven."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from remit.api.state import PolicyInForce
from remit.config.models import ModelConfig
from remit.model import Estimate, Usage
from remit.prices import ModelPrices, TokenCount, TokenPrice
from remit.protocols.model_api import ModelRequest, TokenUsage

LIMIT = "max_tokens"
"""The argument of a call to a model that a budget may lower."""
MODEL = "model"
"""The argument that a budget may put another model into."""


class ModelOutcome(Struct, frozen=True, kw_only=True):
    """What is known of a call to a model when it is over."""

    status: Literal["ok", "error", "cancelled", "not-run"]
    tokens: TokenUsage | None = None
    """As the provider counted; None: it did not say."""
    produced: int = 0
    """Bytes of text that came, where the provider did not get to say what it took."""
    free: bool = False
    """Whether it is proven that it took nothing: the provider turned it away."""
    finish: str | None = None
    model: str | None = None
    """The model that answered, in the provider's words."""
    http: int | None = None
    """Status of the answer."""
    error: str | None = None
    calls: tuple[str, ...] = ()
    """Tools that the model asked for."""

    def result(self) -> dict[str, Any] | None:
        """What policy and the record see as the result: no word of the answer's text."""
        if self.http is None:
            return None
        found: dict[str, Any] = {
            "http": self.http,
            "finish": self.finish,
            "model": self.model,
            "calls": list(self.calls),
        }
        tokens = self.tokens
        if tokens is not None:
            found["usage"] = {name: getattr(tokens, name) for name in tokens.__struct_fields__}
        return found


class ModelMeter:
    """Prices calls to all configured models, as the policy in force says."""

    def __init__(self, policies: PolicyInForce, clock: Callable[[], int]) -> None:
        self._policies = policies
        self._clock = clock
        self._prices = ModelPrices()

    def warm(self) -> None:
        """Load the list of prices, which takes a moment, before somebody waits for it."""
        self._prices.price("gpt-5", now=self._clock(), provider="openai")

    def estimate(self, api: ModelConfig, request: ModelRequest, limit: int) -> Estimate:
        """The most that a request can take: each of its bytes a token, each answer at its limit.

        Args:
            api: who is asked.
            request: what is asked.
            limit: tokens that one answer may have; 0 where there is no text in it.
        """
        most = limit * request.choices

        def of(model: str, instead: tuple[Estimate, ...] = ()) -> Estimate:
            price = self._price(api, model)
            return Estimate(
                usage=price.worst(len(request.raw), most),
                model=model,
                output_limit=f"args.{LIMIT}" if limit else None,
                output_price=price.output_price * request.choices,
                prices=price.source,
                model_argument=f"args.{MODEL}",
                instead=instead,
            )

        downgrades = self._policies.current.downgrades
        others = tuple(of(model) for model in downgrades if model != request.model)
        return of(request.model, others)

    def usage(
        self, api: ModelConfig, request: ModelRequest, model: str, limit: int, came: ModelOutcome
    ) -> Usage | None:
        """What is proven to have been taken; None: nobody knows, so what was held is charged."""
        if came.free:
            return Usage()
        tokens = came.tokens
        if tokens is not None:
            tier = request.body.get("service_tier")
            context = {"service_tier": tier} if isinstance(tier, str) else None
            return self._price(api, model, context).charge(
                TokenCount(
                    input=tokens.input,
                    output=tokens.output,
                    cache_read=tokens.cache_read,
                    cache_write=tokens.cache_write,
                    input_audio=tokens.input_audio,
                    output_audio=tokens.output_audio,
                )
            )
        if came.produced == 0:
            return None
        # No token is shorter than a byte: never less than what was produced until then.
        produced = min(came.produced, limit * request.choices) if limit else came.produced
        return self._price(api, model).worst(len(request.raw), produced)

    def _price(
        self, api: ModelConfig, model: str, context: Mapping[str, str] | None = None
    ) -> TokenPrice:
        return self._prices.price(
            model,
            now=self._clock(),
            provider=_PROVIDERS[api.format] if api.url is None else None,
            declared=self._policies.current.meter.prices,
            context=context,
        )


_PROVIDERS: Mapping[str, str] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
}
"""What the list of prices calls whoever has a format's own place."""
