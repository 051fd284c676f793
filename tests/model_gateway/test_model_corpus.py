"""The whole corpus through a running gateway, in random chunks: what the client reads at the end.

The same exchanges as in ``tests/protocols``, over sockets this time: under a policy that allows
everything the client reads the provider's bytes; under one that allows no call it reads the same
bytes whatever the chunks, and no call among them.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from model_world import World, model_world
from scripted_models import Fault, Script

from protocols.model_exchanges import (
    BODIES,
    METERED,
    PATHS,
    STREAMS,
    Played,
    cut_at,
    deny,
    named,
    play,
)
from remit.gateway.llm_streams import StreamPump

EVERYTHING = """
remit: 1
default: deny
agents: {inventory-bot: {}}
tools:
  - {match: "model.*", does: send}
  - {match: "*", does: read}
rules:
  - {id: all, agents: [inventory-bot], tools: ["*"], effect: allow}
"""
NO_CALL = EVERYTHING.replace('tools: ["*"]', 'tools: ["model.*", "hosted.*"]')
EXCHANGES = [*STREAMS, *BODIES]
TIMES = 3
_ASKED: dict[str, Any] = {"model": "m", "max_tokens": 10_000, "messages": []}


@pytest.fixture(scope="module")
def open_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("everything")
    with model_world(place, policy=EVERYTHING) as found:
        yield found


@pytest.fixture(scope="module")
def closed_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with model_world(tmp_path_factory.mktemp("no-call"), policy=NO_CALL) as found:
        yield found


def sent_to(path: Path) -> tuple[str, dict[str, Any]]:
    """Path and body of a request that an exchange of the corpus may answer."""
    kind = path.parent.name
    where = METERED.get(named(path)) or METERED.get(path.name) or PATHS[kind]
    body = dict(_ASKED)
    if kind == "gemini":
        if path.suffix == ".sse":
            where = where.replace(":generateContent", ":streamGenerateContent") + "?alt=sse"
        return f"/gemini{where}", {"contents": []}
    if kind == "openai_responses":
        body = {"model": "m", "input": "x"}
    body["stream"] = path.suffix == ".sse"
    if kind == "openai_chat" and body["stream"]:
        body["stream_options"] = {"include_usage": True}
    return ("/anthropic" if kind == "anthropic" else "/openai") + where, body


def scripted(path: Path, pieces: Sequence[bytes]) -> Script:
    media = "text/event-stream" if path.suffix == ".sse" else "application/json"
    status = 400 if path.name == "error.json" else 200
    return Script(played=pieces, fault=Fault(status=status, media=media))


def read(world: World, path: Path, chunkings: Sequence[Sequence[bytes]]) -> list[bytes]:
    """What a client reads of an exchange, for each way to cut it."""
    where, body = sent_to(path)
    headers = {"Authorization": f"Bearer {world.key}", "Content-Type": "application/json"}

    async def work() -> list[bytes]:
        found = []
        async with aiohttp.ClientSession() as session:
            for pieces in chunkings:
                script = scripted(path, pieces)
                world.models.script = lambda _, script=script: script  # type: ignore[misc]
                async with session.post(
                    world.url + where, data=json.dumps(body), headers=headers
                ) as answer:
                    found.append(await answer.read())
                    assert answer.status == script.fault.status, found
        return found

    return asyncio.run(work())


def cut(path: Path) -> list[list[bytes]]:
    """An exchange in random chunks, again and again; once byte by byte where it is short."""
    data, dice = path.read_bytes(), random.Random()
    seed = dice.randrange(2**32)
    print(f"seed {seed}")
    dice.seed(seed)
    found = [
        cut_at(data, [dice.randrange(len(data)) for _ in range(dice.randrange(1, 40))])
        for _ in range(TIMES)
    ]
    if len(data) < 1500:
        found.append([bytes([byte]) for byte in data])
    return found


def calls_of(path: Path) -> list[str]:
    """Names of the calls in a stream, as the pure machine finds them."""
    played: Played = play(path, deny)
    return sorted(call.name for call in played.calls)


def test_the_slice_is_the_whole_corpus() -> None:
    assert len(EXCHANGES) >= 40


@pytest.mark.parametrize("path", EXCHANGES, ids=named)
def test_the_client_reads_what_the_provider_wrote(open_world: World, path: Path) -> None:
    for data in read(open_world, path, cut(path)):
        assert data == path.read_bytes()


@pytest.mark.parametrize("path", STREAMS, ids=named)
def test_chunks_change_neither_decisions_nor_bytes(closed_world: World, path: Path) -> None:
    before = len(closed_world.actions())
    found = read(closed_world, path, [[path.read_bytes()], *cut(path)])
    assert len(set(found)) == 1
    decided = [
        str(decision.tool)
        for decision, _ in closed_world.actions()[before:]
        if not str(decision.tool).startswith("model.")
    ]
    assert sorted(decided) == sorted(calls_of(path) * len(found))


def test_no_byte_of_a_refused_call_leaves(closed_world: World) -> None:
    path = next(each for each in STREAMS if named(each) == "openai_chat/tool.sse")
    assert calls_of(path)
    for data in read(closed_world, path, cut(path)):
        assert b"tool_calls" not in data


def test_a_gateway_that_lets_bytes_go_at_once_is_found_out(
    closed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry = StreamPump._read

    async def hasty(pump: StreamPump, content: aiohttp.StreamReader) -> bytes:
        data = await carry(pump, content)
        await pump._write(data)
        return data

    monkeypatch.setattr(StreamPump, "_read", hasty)
    with pytest.raises(AssertionError):
        test_no_byte_of_a_refused_call_leaves(closed_world)
