"""Prices of tokens: what is known, what policy says, what nobody knows; never too little."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage as ListedUsage
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from remit import policy
from remit.model import Usage
from remit.prices import CEILING, ModelPrices, TierPrice, TokenCount, flat

NOW = 1_795_000_000 * 10**9
PRICES = ModelPrices()
MODELS = [
    (provider.id, model)
    for provider in providers
    if provider.id in ("openai", "anthropic", "google", "mistral", "deepseek")
    for model in provider.models
]


def test_a_known_model_has_the_price_of_the_list_with_its_version() -> None:
    price = PRICES.price("gpt-4o-mini", now=NOW)
    assert price.source.startswith("genai-prices ")
    assert price.source.endswith(" openai/gpt-4o-mini")
    assert price.charge(TokenCount(input=1_000_000)) == Usage(
        nano_usd=150_000_000, input_tokens=1_000_000
    )
    cached = price.charge(TokenCount(input=1_000_000, cache_read=1_000_000))
    assert cached.nano_usd == 75_000_000
    assert price.charge(TokenCount(input=-5, output=-1)) == Usage()
    assert price.charge(TokenCount(output=1)).nano_usd == 600


def test_an_unknown_model_costs_the_ceiling_and_says_so() -> None:
    assert PRICES.price("house-model", now=NOW) is CEILING
    assert CEILING.source == ""
    own = flat(5, 7)
    assert PRICES.price("house-model", now=NOW, ceiling=own) is own


def test_policy_goes_first() -> None:
    declared = policy.load(
        {
            "remit.yaml": "remit: 1\nrules: [{id: r, tools: x, effect: allow}]\nprices:\n"
            "  gpt-4o*: {input: 0.0375, output: 1}\n  '*': {input: 20, output: 30}\n"
            "  house-*: {input: 0, output: 0}\n"
        }
    ).meter.prices
    price = PRICES.price("GPT-4o-mini", now=NOW, declared=declared)
    assert price == flat(37_500_000, 1_000_000_000, "policy gpt-4o*")
    assert price.charge(TokenCount(input=1)).nano_usd == 38
    ceiling = PRICES.price("nobody-knows", now=NOW, declared=declared)
    assert ceiling == flat(20_000_000_000, 30_000_000_000)
    assert PRICES.price("house-7", now=NOW, declared=declared).worst(9, 9).nano_usd == 0
    assert "genai-prices" in PRICES.price("claude-sonnet-4-5", now=NOW, declared=declared).source


def test_tiers() -> None:
    price = TierPrice(2, ((10, 4), (20, 8)))
    assert [price.at(count) for count in (0, 10, 11, 20, 21)] == [2, 2, 4, 4, 8]
    assert price.dearest == 8


def test_the_ceiling_is_dearer_than_most_and_models_are_many() -> None:
    assert len(MODELS) > 100
    dearer = [
        model.id
        for provider, model in MODELS
        if PRICES.price(model.id, now=NOW, provider=provider).most_input > CEILING.most_input
    ]
    assert len(dearer) < len(MODELS) // 50


counts = st.builds(
    TokenCount,
    input=st.integers(0, 2_000_000),
    output=st.integers(0, 200_000),
    cache_read=st.integers(0, 1_000_000),
    cache_write=st.integers(0, 1_000_000),
)


@given(st.sampled_from(MODELS), counts)
def test_what_is_charged_is_never_more_than_the_worst_case(model: Any, count: TokenCount) -> None:
    price = PRICES.price(model[1].id, now=NOW, provider=model[0])
    if count.cache_read + count.cache_write > count.input:
        return
    assert price.charge(count).nano_usd <= price.worst(count.input, count.output).nano_usd


@given(st.sampled_from(MODELS), counts)
def test_charges_agree_with_the_list(model: Any, count: TokenCount) -> None:
    provider, info = model
    price = PRICES.price(info.id, now=NOW, provider=provider)
    if price is CEILING or count.cache_read + count.cache_write > count.input:
        return
    when = datetime.fromtimestamp(NOW // 10**9, UTC)
    usage = ListedUsage(
        input_tokens=count.input,
        output_tokens=count.output,
        cache_read_tokens=count.cache_read,
        cache_write_tokens=count.cache_write,
    )
    listed = PRICES._list
    _, known = listed.find_provider_model(info.id, None, provider, None)
    theirs = known.get_prices(when).calc_price(usage)["total_price"]
    ours = Decimal(price.charge(count).nano_usd) / 10**9
    assert ours >= theirs.quantize(Decimal("1e-9")) - Decimal("1e-9")
    if not count.cache_write and getattr(known.get_prices(when), "output_mtok", None) is not None:
        assert ours - theirs <= Decimal("2e-9")


def test_variants_cost_what_they_cost() -> None:
    for provider, info in MODELS:
        for variant in info.price_variants or ():
            if variant.when == {"service_tier": "priority"} and variant.constraint is None:
                plain = PRICES.price(info.id, now=NOW, provider=provider)
                fast = PRICES.price(info.id, now=NOW, provider=provider, context=variant.when)
                assert fast.input.base > plain.input.base
                assert plain.most_input >= fast.input.dearest
                return
    raise AssertionError("no model has a priority price")


def test_names_that_callers_make_up_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remit.prices.MAX_KEPT", 8)
    prices = ModelPrices()
    for number in range(100):
        assert prices.price(f"made-up-{number}", now=NOW) is CEILING
    assert len(prices._kept) <= 8
    assert len(prices._list._provider_misses) <= 8


def test_without_the_price_list_every_model_costs_the_ceiling() -> None:
    program = (
        "import sys; sys.modules['genai_prices'] = None\n"
        "from remit.prices import CEILING, ModelPrices\n"
        "assert ModelPrices().price('gpt-4o', now=0) is CEILING\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
