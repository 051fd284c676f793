"""The gate between an MCP client and a server: what is sent on, what is shown, what is recorded."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guarding import log
from remit import Guard
from remit.gateway.mcp_calls import OpenCall
from remit.gateway.mcp_gate import McpGate
from remit.gateway.mcp_local import SessionSubject
from remit.protocols import mcp
from remit.protocols.mcp import McpMessage, read_message

POLICY = """
remit: 1
default: deny
agents: {bot: {}}
people: {ada: {roles: [lead]}}
tools:
  - {match: ["d.*"], does: read}
  - {match: ["d/*"], does: read}
rules:
  - {id: tools, tools: ["d.*", "d/prompts/get"], effect: allow}
  - {id: methods, tools: ["d/resources/read", "d/elicitation/create"], effect: allow}
  - {id: small, tools: ["d.pay"], effect: allow, obligations: [{cap: {args.amount: 10}}]}
  - id: one-file
    tools: ["d/resources/read"]
    effect: allow
    obligations: [{rewrite: {args.uri: '"file:///a"'}}]
  - {id: ask, tools: ["d.ask"], effect: ask, approvers: [lead]}
  - id: marked
    tools: ["d.marked"]
    when: '!has(context.mcp.annotations) || !has(context.mcp.annotations.readOnlyHint)'
    effect: deny
    because: It does not say that it only reads.
  - id: no-secret
    tools: ["d.read"]
    on: result
    when: 'has(result.content) && result.content.exists(c, c.text.contains("secret"))'
    effect: deny
    because: Secret.
  - {id: in-time, tools: ["d.timed"], on: result, when: outcome.duration < 0, effect: deny}
  - id: no-red
    tools: ["d/elicitation/create"]
    on: result
    when: 'has(result.action) && result.action == "red"'
    effect: deny
    because: Not red.
"""
META = {mcp.REVISION_KEY: "2026-07-28"}


@pytest.fixture(name="guard")
def _guard(tmp_path: Path) -> Iterator[Guard]:
    (tmp_path / "remit.yaml").write_text(POLICY)
    with Guard.open(tmp_path / "remit.yaml") as guard:
        yield guard


@pytest.fixture(name="gate")
def _gate(guard: Guard) -> Iterator[McpGate]:
    with guard.session(agent="bot") as scope:
        yield McpGate("d", scope.enforcement, SessionSubject(guard, scope))


def message(method: str, **params: Any) -> McpMessage:
    value = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return read_message(json.dumps(value).encode())


def call(tool: str, **arguments: Any) -> McpMessage:
    return message("tools/call", name=tool, arguments=arguments)


def result(**members: Any) -> McpMessage:
    return read_message(json.dumps({"jsonrpc": "2.0", "id": 1, "result": members}).encode())


def text(words: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": words}]


async def sent(gate: McpGate, asked: McpMessage) -> OpenCall:
    decided = await gate.request(asked)
    assert isinstance(decided, OpenCall), decided
    return decided


async def refused(gate: McpGate, asked: McpMessage) -> str:
    decided = await gate.request(asked)
    assert isinstance(decided, bytes)
    return decided.decode()


def ends(guard: Guard) -> list[str]:
    return [f"{each.tool} {each.status}" for each in log(guard) if each.kind == "outcome"]


async def test_what_nobody_changes_keeps_its_bytes(gate: McpGate, guard: Guard) -> None:
    asked = call("read")
    opened = await sent(gate, asked)
    assert opened.data is asked.raw
    answer = result(content=text("hello"))
    assert await gate.answer(opened, answer) is answer.raw
    assert ends(guard) == ["d.read ok"]
    assert b"given up" in await gate.answer(opened, answer)


async def test_changed_arguments_are_sent_and_results_decided_on(
    gate: McpGate, guard: Guard
) -> None:
    opened = await sent(gate, call("pay", amount=50))
    assert json.loads(opened.data)["params"] == {"name": "pay", "arguments": {"amount": 10}}
    other = await sent(gate, message("resources/read", uri="file:///b"))
    assert json.loads(other.data)["params"] == {"uri": "file:///a"}
    read = await sent(gate, call("read"))
    shown = json.loads(await gate.answer(read, result(content=text("a secret"))))
    assert shown["result"]["isError"] is True
    assert "Secret." in shown["result"]["content"][0]["text"]
    large = await sent(gate, call("read"))
    shown = json.loads(await gate.answer(large, result(content=text("x" * 1_100_000))))
    assert "too large" in shown["result"]["content"][0]["text"] or shown["result"]["isError"]


async def test_errors_of_the_server_are_outcomes(gate: McpGate, guard: Guard) -> None:
    error = {"code": -1, "message": "broken", "data": {"secret": 1}}
    answer = read_message(json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode())
    shown = json.loads(await gate.answer(await sent(gate, call("timed")), answer))
    assert shown["error"] == {"code": -1, "message": "broken"}
    unread = await gate.answer(await sent(gate, call("read")), answer)
    assert b"broken" not in unread
    assert await gate.answer(await sent(gate, call("other")), answer) is answer.raw
    told = await gate.lost(await sent(gate, call("other")), "it is gone")
    assert b"it is gone" in told
    failed = result(content=text("no such file"), isError=True)
    assert await gate.answer(await sent(gate, call("other")), failed) is failed.raw
    assert ends(guard) == [
        "d.timed error",
        "d.read error",
        "d.other error",
        "d.other error",
        "d.other error",
    ]


async def test_unknown_methods_follow_the_default(gate: McpGate) -> None:
    assert "not allowed" in await refused(gate, message("tasks/get", taskId="1"))
    assert "not allowed" in await refused(gate, message("danger"))
    assert (await sent(gate, message("ping"))).granted is None


async def test_a_refusal_is_a_result_of_the_era(gate: McpGate) -> None:
    modern = message("tools/call", name="ask", arguments={}, _meta=META)
    held = json.loads(await refused(gate, modern))["result"]
    assert held["resultType"] == "complete"
    assert held["_meta"]["remit/approval"].startswith("ap-")
    assert "resultType" not in json.loads(await refused(gate, call("ask")))["result"]


async def test_what_stands_beside_the_arguments_binds_an_approval(
    gate: McpGate, guard: Guard
) -> None:
    held = json.loads(await refused(gate, call("ask")))["result"]["_meta"]["remit/approval"]
    loud = message("tools/call", name="ask", arguments={}, _meta={"bcc": "evil"})
    other = json.loads(await refused(gate, loud))["result"]["_meta"]["remit/approval"]
    assert other != held
    progress = message("tools/call", name="ask", arguments={}, _meta={"progressToken": 7})
    same = json.loads(await refused(gate, progress))["result"]["_meta"]["remit/approval"]
    assert same == held


async def test_tools_are_learned_once_where_nobody_listed_them(gate: McpGate) -> None:
    asked: list[Any] = []

    async def exchange(data: bytes, request_id: str) -> McpMessage:
        asked.append(json.loads(data))
        tool = {"name": "marked", "annotations": {"readOnlyHint": True}, "inputSchema": {}}
        page = {"tools": [tool]} if len(asked) == 2 else {"tools": [], "nextCursor": "2"}
        value = {"jsonrpc": "2.0", "id": request_id, "result": page}
        return read_message(json.dumps(value).encode())

    assert "only reads" in await refused(gate, call("marked"))
    assert isinstance(await gate.request(call("marked"), None, exchange), OpenCall)
    assert [each["params"] for each in asked] == [{}, {"cursor": "2"}]
    assert isinstance(await gate.request(call("marked"), None, exchange), OpenCall)
    assert len(asked) == 2
    gate.forget_tools()
    assert "only reads" in await refused(gate, call("marked"))


async def test_questions_in_a_result_are_asked_of_policy(gate: McpGate, guard: Guard) -> None:
    question = {"method": "elicitation/create", "params": {"message": "which?"}}
    pending = result(resultType="input_required", inputRequests={"q": question}, requestState="s")
    opened = await sent(gate, call("read"))
    assert await gate.answer(opened, pending) is pending.raw
    green = {"q": {"action": "green"}}
    again = message("tools/call", name="read", arguments={}, inputResponses=green, requestState="s")
    assert (await sent(gate, again)).data is again.raw
    assert "d/elicitation/create ok" in ends(guard)

    await gate.answer(await sent(gate, call("read")), pending)
    red = {"q": {"action": "red"}}
    again = message("tools/call", name="read", arguments={}, inputResponses=red, requestState="s")
    assert "Not red" in await refused(gate, again)

    spending = {"m": {"method": "sampling/createMessage", "params": {"maxTokens": 1}}}
    wanted = result(resultType="input_required", inputRequests=spending)
    shown = (await gate.answer(await sent(gate, call("read")), wanted)).decode()
    assert "d/sampling/createMessage" in shown
    assert "inputRequests" not in shown


async def test_what_is_given_up_is_recorded(gate: McpGate, guard: Guard) -> None:
    opened = await sent(gate, call("read"))
    gate.abandon(opened, "the client went away")
    gate.abandon(opened, "twice")
    question = {"method": "elicitation/create", "params": {}}
    pending = result(resultType="input_required", inputRequests={"q": question})
    await gate.answer(await sent(gate, call("read")), pending)
    gate.close("over")
    deadline = time.monotonic() + 5
    wanted = ["d.read cancelled", "d.read ok", "d/elicitation/create cancelled"]
    while sorted(ends(guard)) != wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(ends(guard)) == wanted


async def test_a_request_given_up_between_its_decision_and_its_sending_did_not_run(
    gate: McpGate, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answers to questions are recorded then, which takes a moment."""
    reached = asyncio.Event()

    async def waits(_: McpMessage, __: Any) -> bytes:
        reached.set()
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(gate, "_inputs", waits)
    asking = asyncio.create_task(gate.request(call("read")))
    await reached.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    deadline = time.monotonic() + 10
    while ends(guard) != ["d.read not-run"]:
        assert time.monotonic() < deadline, ends(guard)
        await asyncio.sleep(0.01)
