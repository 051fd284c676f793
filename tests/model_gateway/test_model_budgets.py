"""What budgets do to requests on their way to a model, as the SDKs and the model see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from model_world import World, model_world, steps
from scripted_models import Call, Script
from sdk_clients import APIS, REFUSALS, Agent, status_of

from remit.budgets.cells import balance

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")
RULES = """
remit: 1
default: deny
agents:
  inventory-bot: {}
  clerk-bot: {}
tools:
  - {match: "model.*", does: send}
  - {match: "read_note", does: read}
rules:
  - {id: models, tools: ["model.*"], when: 'args.model != "forbidden"', effect: allow}
  - {id: notes, tools: [read_note], effect: allow}
  - id: short-answers
    agents: [clerk-bot]
    tools: ["model.*"]
    effect: allow
    obligations:
      - cap: {args.max_tokens: 50}
prices:
  small: {input: 0.01, output: 0.02}
  "*": {input: 3, output: 15}
budgets:
"""
PURSE = RULES + "  - {id: purse, by: session, limit: {usd: 0.02}, per: session}\n"
DOWN = RULES + (
    "  - {id: purse, by: session, limit: {usd: 0.02}, per: session,"
    " on_exceed: {downgrade: small}}\n"
)
DOWN_TO_NOTHING = DOWN.replace("downgrade: small", "downgrade: forbidden").replace(
    "small:", "forbidden:"
)
MICRO = 1_000
"""Nano-dollars for a token, of a price of one dollar for a million."""
LIMITS = {
    "chat": ("max_completion_tokens",),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
    "gemini": ("generationConfig", "maxOutputTokens"),
}
EXTRA = {"gemini": "max_output_tokens"}
"""What the SDK calls the limit, where that is another word."""


@pytest.fixture(scope="module")
def purse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with model_world(tmp_path_factory.mktemp("purse"), policy=PURSE) as found:
        yield found


@pytest.fixture(scope="module")
def down(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    own = 'models = ["*"]'
    with model_world(tmp_path_factory.mktemp("down"), policy=DOWN, openai=own) as found:
        yield found


@pytest.fixture(scope="module")
def down_to_nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with model_world(tmp_path_factory.mktemp("nothing"), policy=DOWN_TO_NOTHING) as found:
        yield found


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    found: bool = request.param
    return found


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def agent_of(world: World, api: str, stream: bool, name: str = "inventory-bot") -> Agent:
    """An agent with a session, and so a purse, of its own."""
    principal = world.parts.policies.current.principal(name)
    governor = world.parts.governor
    session = world.parts.store.write(lambda t: governor.open_session(t, principal, None, None))
    world.models.seen.clear()
    return Agent(
        api,
        world.url,
        world.key if name == "inventory-bot" else world.issue(name),
        stream=stream,
        tools=("read_note",),
        headers={"X-Remit-Session": session.id},
    )


def limited(agent: Agent, tokens: int) -> None:
    """Have the SDK ask for answers of at most so many tokens."""
    agent.extra = {EXTRA.get(agent.api, LIMITS[agent.api][-1]): tokens}


def sent(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.models.seen[-1]["body"]
    return found


def limit_sent(world: World, api: str) -> Any:
    """The limit in the request that the model API got."""
    value: Any = sent(world)
    for name in LIMITS[api]:
        value = value.get(name, {})
    return value or None


def model_sent(world: World, api: str) -> str:
    path: str = world.models.seen[-1]["path"]
    found: str = path.rsplit("/", 1)[1].split(":")[0] if api == "gemini" else sent(world)["model"]
    return found


def purse_of(world: World, agent: Agent) -> tuple[int, int]:
    """Nano-dollars held and spent in the agent's session, once nothing is under way."""
    granted = len([1 for decision, _ in world.actions("model.") if decision.granted])
    world.settled("model.", granted)
    session = agent.headers["X-Remit-Session"]
    cells = world.parts.store.read(lambda view: view.cells("purse", 1000))
    (cell,) = [each for each in cells if session in each.key]
    stands = balance(cell, world.parts.clock())
    return stands.held, stands.spent


def test_a_request_without_a_limit_gets_what_the_purse_can_pay(
    purse: World, api: str, stream: bool
) -> None:
    agent = agent_of(purse, api, stream)
    if api == "messages":  # which cannot be asked without one
        limited(agent, 20_000)
    steps(purse, Script(parts=("hello",), usage=(20, 5)))
    turn = agent.ask()
    assert (turn.text, turn.usage) == ("hello", (20, 5))
    limit = limit_sent(purse, api)
    # 0.02 dollars, less the request's bytes at 3 dollars a million, at 15 dollars a million
    paid = (20_000_000 - len(purse.models.seen[-1]["raw"]) * 3 * MICRO) // (15 * MICRO)
    assert paid - 20 < limit < 1333
    held, spent = purse_of(purse, agent)
    assert held == 0
    assert spent == (20 * 3 + 5 * 15) * MICRO


def test_a_limit_above_what_the_purse_can_pay_is_lowered(
    purse: World, api: str, stream: bool
) -> None:
    agent = agent_of(purse, api, stream)
    limited(agent, 20_000)
    steps(purse, Script())
    agent.ask()
    assert 500 < limit_sent(purse, api) < 1333


def test_a_limit_that_the_purse_can_pay_stays(purse: World, api: str, stream: bool) -> None:
    agent = agent_of(purse, api, stream)
    limited(agent, 100)
    steps(purse, Script())
    agent.ask()
    assert limit_sent(purse, api) == 100


def test_an_obligation_lowers_the_limit_and_sets_one(purse: World, api: str, stream: bool) -> None:
    agent = agent_of(purse, api, stream, "clerk-bot")
    steps(purse, Script())
    agent.ask()
    assert limit_sent(purse, api) == 50
    limited(agent, 400)
    agent.ask()
    assert limit_sent(purse, api) == 50
    limited(agent, 30)
    agent.ask()
    assert limit_sent(purse, api) == 30


def test_an_empty_purse_refuses_in_the_words_of_the_api(
    purse: World, api: str, stream: bool
) -> None:
    agent = agent_of(purse, api, stream)
    limited(agent, 100)
    steps(purse, Script(usage=(10, 1330)))  # more than was held: an overrun, which blocks
    agent.ask()
    purse_of(purse, agent)
    seen = len(purse.models.seen)
    with pytest.raises(REFUSALS) as refusal:
        agent.ask()
    assert status_of(refusal.value) in (403, 429)
    assert "purse" in str(refusal.value)
    assert len(purse.models.seen) == seen


def test_a_dear_model_is_replaced_by_the_cheap_one(down: World, api: str, stream: bool) -> None:
    agent = agent_of(down, api, stream)
    limited(agent, 20_000)
    steps(down, Script(parts=("I read.", Call("read_note", {"name": "x"})), usage=(30, 9)))
    turn = agent.ask()
    assert [name for _, name, _ in turn.calls] == ["read_note"]
    assert model_sent(down, api) == "small"
    assert limit_sent(down, api) == 20_000
    held, spent = purse_of(down, agent)
    assert held == 0
    assert spent == 30 * 10 + 9 * 20  # at the other model's price, 0.01 and 0.02 a million


def test_a_model_that_can_be_paid_stays(down: World, api: str, stream: bool) -> None:
    agent = agent_of(down, api, stream)
    limited(agent, 100)
    steps(down, Script())
    agent.ask()
    assert model_sent(down, api) != "small"


def test_policy_decides_on_the_other_model_too(
    down_to_nothing: World, api: str, stream: bool
) -> None:
    agent = agent_of(down_to_nothing, api, stream)
    limited(agent, 20_000)
    steps(down_to_nothing, Script())
    with pytest.raises(REFUSALS) as refusal:
        agent.ask()
    assert status_of(refusal.value) in (403, 429)
    assert down_to_nothing.models.seen == []
