"""Random faults on both sides, many requests: nothing stays reserved, and the sums are equal.

``make soak`` runs 100,000 requests (``REMIT_SOAK_MODELS``); here it is a slice.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from model_world import POLICY, World, model_world
from scripted_models import Call, Fault, Script

from remit.audit.replay import Replay
from remit.budgets.cells import balance
from remit.gateway.llm_exchange import ModelCall
from remit.gateway.llm_metering import ModelOutcome
from remit.model import ActionState

REQUESTS = int(os.environ.get("REMIT_SOAK_MODELS", "400"))
WORKERS = 16
BUDGETED = (
    POLICY
    + """
prices:
  "*": {input: 3, output: 15}
budgets:
  - id: models
    by: agent
    limit: {usd: 1000000, tokens: 1000000000000}
    per: day
    tools: ["model.*"]
"""
)
SAID = [{"role": "user", "content": "x"}]
PATHS = {
    "/openai/v1/chat/completions": {
        "model": "gpt-a",
        "messages": SAID,
    },
    "/openai/v1/responses": {"model": "gpt-a", "input": "x"},
    "/anthropic/v1/messages": {
        "model": "claude-a",
        "max_tokens": 100,
        "messages": SAID,
    },
}
FAULTS = (
    *[Fault()] * 6,
    Fault(status=429, headers={"Retry-After": "1"}),
    Fault(status=500),
    Fault(status=529),
    Fault(status=400),
    Fault(body=b"<html>", media="text/html"),
    Fault(body=b'{"half": ', media="application/json"),
    Fault(body=b"data: {nope\n\n", media="text/event-stream"),
    Fault(cut=40),
    Fault(cut=700),
    Fault(pause=0.004),
    Fault(wait=0.05),
)


def script(dice: random.Random) -> Script:
    """What a model API does next."""
    parts: list[str | Call] = ["some|text|" * dice.randrange(1, 8)]
    for _ in range(dice.randrange(3)):
        name = dice.choice(("read_note", "delete_note", "pay"))
        size = 100_000 if dice.random() < 0.02 else 10
        parts.append(Call(name, {"name": "x" * size, "amount": 50}))
    usage = (dice.randrange(4, 40), dice.randrange(2, 90))
    return Script(parts=parts, fault=dice.choice(FAULTS), usage=usage, pieces=dice.randrange(400))


async def one(session: aiohttp.ClientSession, world: World, dice: random.Random) -> None:
    """One request, which its client may not wait for."""
    path = dice.choice(tuple(PATHS))
    body: dict[str, Any] = {**PATHS[path], "stream": dice.random() < 0.6}
    if dice.random() < 0.5:
        body["max_output_tokens" if path.endswith("responses") else "max_tokens"] = 200
    headers = {"Authorization": f"Bearer {world.key}"}
    leaves = dice.random() < 0.25
    try:
        async with asyncio.timeout(dice.random() * 0.1 if leaves else 30):
            async with session.post(world.url + path, json=body, headers=headers) as answer:
                await answer.read()
    except TimeoutError:
        assert leaves
    except aiohttp.ClientError:
        pass


async def load(world: World, seed: int) -> None:
    """All requests, so many at a time."""
    left = iter(range(REQUESTS))
    async with aiohttp.ClientSession() as session:

        async def work(number: int) -> None:
            dice = random.Random(seed + number)
            for _ in left:
                await one(session, world, dice)

        await asyncio.gather(*map(work, range(WORKERS)))


def held(world: World) -> tuple[dict[str, int], dict[str, int]]:
    """What is held and what was spent, by measure."""
    now = time.time_ns()
    cells = world.parts.store.read(lambda view: view.cells("models", 1000))
    found = {cell.measure: balance(cell, now) for cell in cells}
    return (
        {measure: each.held for measure, each in found.items()},
        {measure: each.spent for measure, each in found.items()},
    )


def test_faults_leave_nothing_reserved_and_sums_are_equal(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    with model_world(tmp_path, policy=BUDGETED, hold="50ms") as world:
        dice = random.Random(seed)
        world.models.script = lambda _: script(dice)
        asyncio.run(load(world, seed))
        deadline = time.monotonic() + 20
        while any(held(world)[0].values()):
            assert time.monotonic() < deadline, held(world)
            time.sleep(0.05)
        records = world.records()
        decisions = [each for each in records if each.kind == "decision" and each.granted]
        outcomes = {each.action: each for each in records if each.kind == "outcome"}
        asked = [each for each in decisions if str(each.tool).startswith("model.")]
        assert len(asked) > REQUESTS / 2
        assert [each.action for each in asked if each.action not in outcomes] == []
        _, spent = held(world)
        charged = [outcomes[each.action].usage for each in asked]
        told = [each for each in charged if each is not None]
        assert spent["usd"] == sum(each.nano_usd for each in told)
        assert spent["tokens"] == sum(each.input_tokens + each.output_tokens for each in told)
        statuses = {outcomes[each.action].status for each in asked}
        assert statuses >= {"ok", "error", "cancelled"}
        # What is open are calls that agents were given, and whose results nobody brought back.
        faults: list[str] = []
        replay = Replay(lambda position, code, message: faults.append(f"{position} {code}"))
        for position, record in enumerate(records):
            replay.see(position, record)
        replay.finish()
        assert faults == []
        tools = {each.action: each.tool for each in decisions}
        assert {tools[action] for action in replay.open} <= {"read_note", "pay"}
        still = world.parts.store.read(
            lambda view: [view.action(each.action) for each in asked]  # type: ignore[arg-type]
        )
        assert {each.state for each in still if each is not None} <= {ActionState.SETTLED}
        assert world.models.open_streams == 0


def test_a_gateway_that_forgets_those_who_left_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = ModelCall.settle

    async def forgetful(call: ModelCall, came: ModelOutcome) -> None:
        if came.status != "cancelled":
            await settle(call, came)

    monkeypatch.setattr(ModelCall, "settle", forgetful)
    monkeypatch.setattr(ModelCall, "abandon", lambda call, came: None)
    with model_world(tmp_path, policy=BUDGETED) as world:
        world.models.script = lambda _: Script(fault=Fault(wait=0.5))

        async def leave() -> None:
            path = "/openai/v1/chat/completions"
            headers = {"Authorization": f"Bearer {world.key}"}
            limit = aiohttp.ClientTimeout(total=0.25)
            async with aiohttp.ClientSession(timeout=limit) as session:
                with pytest.raises(TimeoutError):
                    await session.post(world.url + path, json=PATHS[path], headers=headers)

        asyncio.run(leave())
        time.sleep(0.5)
        assert held(world)[0]["usd"] > 0
