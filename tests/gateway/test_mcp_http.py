"""``/mcp/NAME`` of ``remit serve``: the official SDK's client before servers of the official SDK.

Everything is tried twice: before a server at a URL, and before one that is started as a command.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from desk_gateway import HELLO, Gateway, gateway_of, raw
from desk_log import outcomes, remit
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult

from mcp import Client

ERAS = ["auto", "legacy"]


@pytest.fixture(scope="module", params=["url", "command"], name="gateway")
def _gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with gateway_of(tmp_path_factory.mktemp(request.param), request.param) as found:
        yield found


@asynccontextmanager
async def desk(
    gateway: Gateway, mode: str, agent: str = "inventory-bot", **how: Any
) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {gateway.keys[agent]}"}
    async with (
        asyncio.timeout(60),
        httpx2.AsyncClient(headers=headers, timeout=60) as http_client,
        Client(
            streamable_http_client(gateway.url, http_client=http_client), mode=mode, **how
        ) as client,
    ):
        yield client


def said(result: Any) -> str:
    return "".join(block.text for block in result.content)


@pytest.mark.parametrize("mode", ERAS)
async def test_calls_are_decided(gateway: Gateway, mode: str) -> None:
    async with desk(gateway, mode) as client:
        assert client.session.protocol_version == {"auto": "2026-07-28"}.get(mode, "2025-11-25")
        assert said(await client.call_tool("echo", {"text": "hello"})) == "hello"
        denied = await client.call_tool("echo", {"text": "no"})
        assert denied.is_error
        assert "No means no." in said(denied)
        account = await client.call_tool("account", {"name": "ada"})
        assert account.structured_content["name"] == "ada"
        assert "hunter2" not in str(account)
        assert (await client.call_tool("fail", {"text": "out of ink"})).is_error
        assert "hidden" not in {tool.name for tool in (await client.list_tools()).tools}
        assert (await client.call_tool("hidden", {})).is_error
        with pytest.raises(MCPError, match="secret drawer"):
            await client.read_resource("desk://drawer/secret")
        assert "Greet ada" in str(await client.get_prompt("greet", {"name": "ada"}))
    async with desk(gateway, mode, "report-bot") as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["echo"]


@pytest.mark.parametrize("mode", ERAS)
async def test_a_held_call_runs_once_after_approval(gateway: Gateway, mode: str) -> None:
    amount = 500 + ERAS.index(mode)
    async with desk(gateway, mode) as client:
        held = await client.call_tool("pay", {"amount": amount})
        approval = held.meta["remit/approval"]
        await asyncio.to_thread(
            remit, gateway.folder, "approvals", "approve", approval, "--as", "ada"
        )
        assert said(await client.call_tool("pay", {"amount": amount})) == f"paid {amount}"
        assert (await client.call_tool("pay", {"amount": amount})).is_error


async def test_what_a_server_asks_of_the_client_is_governed(gateway: Gateway) -> None:
    async def elicit(_: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"colour": "red"})

    async with desk(gateway, "legacy", elicitation_callback=elicit) as client:
        assert said(await client.call_tool("ask_user", {"question": "which?"})) == "red"
        with pytest.raises(MCPError, match="desk/sampling/createMessage"):
            await client.call_tool("ask_model", {"question": "why?"})


@pytest.mark.parametrize("mode", ERAS)
async def test_many_calls_at_once_are_answered_each(gateway: Gateway, mode: str) -> None:
    async with desk(gateway, mode) as one, desk(gateway, mode) as other:
        calls = [
            client.call_tool("echo", {"text": f"{index}-{number}"})
            for number in range(16)
            for index, client in enumerate((one, other))
        ]
        results = await asyncio.gather(*calls)
    assert [said(each) for each in results] == [f"{i}-{n}" for n in range(16) for i in range(2)]


def test_without_a_credential_nobody_gets_in(gateway: Gateway) -> None:
    status, headers, body = raw(gateway, HELLO, agent=None)
    assert status == 401
    place = f"http://127.0.0.1:{gateway.port}/.well-known/oauth-protected-resource/mcp/desk"
    assert f'resource_metadata="{place}"' in headers["www-authenticate"]
    assert body["error"]["data"]["code"] == "unauthenticated"
    status, _, body = raw(
        gateway, None, "GET", None, "/.well-known/oauth-protected-resource/mcp/desk"
    )
    assert status == 200
    assert body["resource"] == gateway.url


def test_a_session_belongs_to_the_credential_that_began_it(gateway: Gateway) -> None:
    status, headers, _ = raw(gateway, HELLO)
    assert status == 200
    session = headers["mcp-session-id"]
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert raw(gateway, ping, Mcp_Session_Id=session)[0] == 200
    assert raw(gateway, ping, agent="report-bot", Mcp_Session_Id=session)[0] == 404
    assert raw(gateway, ping, Mcp_Session_Id=session[:-1] + "x")[0] == 404
    assert raw(gateway, None, "DELETE", "report-bot", Mcp_Session_Id=session)[0] == 404
    assert raw(gateway, None, "DELETE", Mcp_Session_Id=session)[0] == 200
    assert raw(gateway, ping, Mcp_Session_Id=session)[0] == 404


def test_a_page_of_the_web_does_not_get_in(gateway: Gateway) -> None:
    assert raw(gateway, HELLO, Host="evil.example")[0] == 421
    assert raw(gateway, HELLO, Origin="https://evil.example")[0] == 403
    assert raw(gateway, HELLO, Origin="http://localhost:3000")[0] == 200


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"[]", {}),
        (b"{", {}),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}', {}),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"Mcp_Method": "tools/call"}),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(
    gateway: Gateway, body: Any, headers: dict[str, str]
) -> None:
    status, _, answer = raw(gateway, body, **headers)
    assert status == 400
    assert answer["error"]["code"] < -32000


def test_other_methods_and_servers_are_not_there(gateway: Gateway) -> None:
    assert raw(gateway, HELLO, "PUT")[0] == 405
    assert raw(gateway, HELLO, path="/mcp/other")[0] == 404
    assert raw(gateway, HELLO, Content_Type="text/plain")[0] == 415


async def test_a_client_that_vanishes_leaves_nothing_open(gateway: Gateway) -> None:
    call = {
        "jsonrpc": "2.0",
        "id": 5,
        "method": "tools/call",
        "params": {"name": "slow", "arguments": {"seconds": 30}},
    }
    _, headers, _ = raw(gateway, HELLO)
    session = headers["mcp-session-id"]
    raw(gateway, {"jsonrpc": "2.0", "method": "notifications/initialized"}, Mcp_Session_Id=session)
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    connection.request(
        "POST",
        "/mcp/desk",
        json.dumps(call).encode(),
        {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Authorization": f"Bearer {gateway.keys['inventory-bot']}",
            "Mcp-Session-Id": session,
        },
    )
    await asyncio.sleep(1.0)
    connection.close()
    deadline = time.monotonic() + 10
    while outcomes(gateway.folder, "desk.slow") != ["cancelled"] and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    assert outcomes(gateway.folder, "desk.slow") == ["cancelled"]
