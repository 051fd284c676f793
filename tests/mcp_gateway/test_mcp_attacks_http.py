"""What a server behind ``remit serve`` must never see, and who may use which session."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from attacks import ATTACKS, SAFE, Attack
from processes import free_port, listening
from raw import RawClient
from readings import Reached, read_journal
from serving_mcp import AGENT, Server, add_key, granted_tools, serving, table, verified

HERE = Path(__file__).parent
SCRIPT = str(HERE / "scripted.py")
SERVERS = ("up", "pipe")
POLICY = """\
remit: 1
default: deny
agents: {inventory-bot: {}, other-bot: {}}
people: {grace: {roles: [reviewers]}}
rules:
  - {id: all, tools: ['up.*', 'up/resources/read', 'pipe.*', 'pipe/resources/read'], effect: allow}
  - {id: forbidden, tools: ['up.danger', 'pipe.danger'], effect: deny}
  - {id: careful, tools: ['up.careful', 'pipe.careful'], effect: ask, approvers: [reviewers]}
"""


@dataclass
class Governed:
    """A scripted server at a URL and one over stdio, behind one gateway."""

    server: Server
    upstream: str
    journals: dict[str, Path]
    keys: dict[str, str]

    def client(self, name: str, agent: str = AGENT) -> RawClient:
        """A client with a session."""
        return RawClient(self.server.mcp(name), self.keys[agent]).open()

    def reached(self, name: str) -> list[Reached]:
        """What reached a server."""
        return read_journal(self.journals[name])

    def grace(self, path: str, method: str = "POST", body: bytes = b"{}") -> Any:
        """Ask the API as the reviewer."""
        client = RawClient(f"{self.server.url}{path}", self.keys["grace"])
        answer = client.send(body if method == "POST" else b"", {"Accept": "*/*"}, method)
        assert answer.status == 200, answer
        return answer.message


@pytest.fixture(scope="module")
def governed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governed]:
    folder, port = tmp_path_factory.mktemp("governed"), free_port()
    journals = {"up": folder / "up.journal", "pipe": folder / "pipe.journal"}
    command = [sys.executable, SCRIPT, "http", str(port), str(journals["up"])]
    piped = [sys.executable, SCRIPT, "stdio", str(journals["pipe"])]
    upstream = f"http://127.0.0.1:{port}/mcp"
    servers = table("up", url=upstream, hold="0s") + table("pipe", command=piped, hold="0s")
    with (
        listening(command, port, folder / "log", cwd=folder),
        serving(folder, POLICY, servers) as server,
    ):
        keys = {agent: add_key(folder, agent) for agent in (AGENT, "other-bot")}
        keys["grace"] = add_key(folder, "grace", "--kind", "person", "--right", "reviewer")
        made = Governed(server, upstream, journals, keys)
        yield made
    assert verified(folder)["decision"] > 0
    calls = Counter(tool for name in journals for each in made.reached(name) for tool in each.tools)
    assert calls["safe"] > 0
    assert not calls - Counter(granted_tools(folder))


@pytest.fixture(scope="module")
def clients(governed: Governed) -> dict[str, RawClient]:
    return {name: governed.client(name) for name in SERVERS}


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_no_attack_over_http_reaches_the_server(
    governed: Governed, clients: dict[str, RawClient], name: str, attack: Attack
):
    before = len(governed.reached(name))
    answer = clients[name].send(attack.body, attack.headers)
    assert b"ran danger" not in answer.body
    good = clients[name].ask(SAFE)
    assert b"ran safe" in good.body, good
    since = governed.reached(name)[before:]
    assert "danger" not in {tool for each in since for tool in each.tools}


def test_a_session_is_of_use_to_nobody_else(governed: Governed):
    mine = governed.client("up")
    theirs = RawClient(governed.server.mcp("up"), governed.keys["other-bot"])
    theirs.headers |= {
        name: mine.headers[name] for name in ("Mcp-Session-Id", "MCP-Protocol-Version")
    }
    before = len(governed.reached("up"))
    attempts = [
        theirs.call("safe", {}),
        theirs.send(b"", {"Accept": "text/event-stream"}, "GET"),
        theirs.send(b"", {"Accept": "text/event-stream", "Last-Event-ID": "1"}, "GET"),
        theirs.send(b"", method="DELETE"),
    ]
    assert [each.status for each in attempts] == [404] * 4
    assert len(governed.reached("up")) == before
    assert b"ran safe" in mine.call("safe", {}).body


@pytest.mark.parametrize("guess", ["1", "upstream-1", "../x", "s-00000000000000000000", "\x7f"])
def test_a_guessed_session_is_none(governed: Governed, guess: str):
    client = RawClient(governed.server.mcp("up"), governed.keys["other-bot"])
    client.headers |= {"Mcp-Session-Id": guess, "MCP-Protocol-Version": "2025-11-25"}
    before = len(governed.reached("up"))
    assert client.call("safe", {}).status in (400, 404)
    assert len(governed.reached("up")) == before


REFUSED = (403, 421)
REBINDING = [
    {"Host": "evil.example"},
    {"Host": "evil.example:80", "Origin": "http://evil.example"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://127.0.0.1.evil.example"},
]


@pytest.mark.parametrize("headers", REBINDING, ids=str)
def test_a_page_of_the_web_reaches_nothing(governed: Governed, headers: dict[str, str]):
    client = governed.client("up")
    before = len(governed.reached("up"))
    assert client.send(b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', headers).status in (
        403,
        421,
    )
    assert len(governed.reached("up")) == before


def test_without_the_gateway_the_server_answers_everybody(tmp_path: Path):
    """The variant without protection: host, origin and session are nobody's business."""
    port, journal = free_port(), tmp_path / "journal"
    command = [sys.executable, SCRIPT, "http", str(port), str(journal)]
    with listening(command, port, tmp_path / "log", cwd=tmp_path):
        client = RawClient(f"http://127.0.0.1:{port}/mcp")
        client.headers |= {"Host": "evil.example", "Origin": "http://evil.example"}
        client.headers |= {"Mcp-Session-Id": "1"}
        assert b"ran careful" in client.call("careful", {}).body
    (entry,) = read_journal(journal)
    assert entry.tools == {"careful"}


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize(
    "change",
    [
        {"_meta": {"bcc": "eve@evil.example"}},
        {"_meta": {"arguments": {"amount": 9}}},
        {"also": {"amount": 9}},
        {"arguments": {"amount": 2}},
        {"arguments": {"amount": 1, "bcc": "eve@evil.example"}},
    ],
    ids=str,
)
def test_what_was_approved_does_not_carry_anything_else(
    governed: Governed, name: str, change: dict[str, Any]
):
    client = governed.client(name)
    before = len(governed.reached(name))

    def careful(**more: Any) -> bytes:
        arguments = {"case": f"{name} {change}", "amount": 1} | more.pop("arguments", {})
        return client.call("careful", arguments, **more).body

    def reached() -> int:
        return sum("careful" in each.tools for each in governed.reached(name)[before:])

    assert b"ran careful" not in careful()
    (waiting,) = governed.grace("/v1/approvals", "GET")["items"]
    governed.grace(f"/v1/approvals/{waiting['id']}/approve")
    assert b"ran careful" not in careful(**change)
    assert reached() == 0
    assert b"ran careful" in careful()
    assert reached() == 1
    assert b"ran careful" not in careful()
    assert reached() == 1
    for held in governed.grace("/v1/approvals", "GET")["items"]:
        governed.grace(f"/v1/approvals/{held['id']}/reject")


def test_one_call_is_one_request_on_a_kept_connection(governed: Governed):
    client = governed.client("up")
    client.call("safe", {})
    before = len(governed.reached("up"))
    for _ in range(20):
        assert b"ran safe" in client.call("safe", {}).body
    since = governed.reached("up")[before:]
    assert len(since) == 20
    assert len({each.connection for each in since}) == 1


def test_the_server_never_sees_the_key_of_an_agent(governed: Governed):
    entries = [each for name in governed.journals for each in governed.reached(name)]
    assert entries
    for key in governed.keys.values():
        assert not any(key in each.head or key.encode() in each.body for each in entries)


def test_a_message_may_be_neither_too_large_nor_too_deep(
    governed: Governed, clients: dict[str, RawClient]
):
    before = len(governed.reached("up"))

    def deep(levels: int) -> bytes:
        nested = b'{"x":' + b"[" * levels + b"]" * levels + b"}"
        params = b'{"name":"safe","arguments":' + nested + b"}"
        return b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + params + b"}"

    for body in (deep(70), deep(200_000), deep(1)[:-1] + b" " * (17 << 20) + b"}"):
        assert clients["up"].send(body).status in (400, 413)
    assert len(governed.reached("up")) == before
