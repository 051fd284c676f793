"""What becomes of requests through the forward proxy: answers, faults, ends, records."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from base64 import b64encode
from pathlib import Path

import aiohttp
import pytest
from egress_world import POLICY, World, world
from test_forward_attacks import authorization, port_of, told

from remit import custody
from remit.config.file import parse_config
from remit.credentials import Kind, Right
from remit.errors import ConfigError
from remit.journal import Journal
from remit.model import Principal
from remit.storage import Transaction

HOST = "api.shop.example"
TEST = Principal(id="test", kind="service")


def plain(here: World, path: str, host: str = HOST) -> str:
    return f"http://{host}:{here.outside.plain}{path}"


def issue(here: World, name: str, kind: Kind, right: Right, agents: tuple[str, ...] = ()) -> str:
    def work(t: Transaction) -> str:
        return custody.add_key(
            Journal.begin(t, time.time_ns(), os.urandom),
            TEST,
            principal=name,
            kind=kind,
            rights=frozenset({right}),
            agents=agents,
        ).text

    return here.server.parts.store.write(work)


async def test_answers_pass_as_they_come(tmp_path: Path) -> None:
    async with world(tmp_path) as here, aiohttp.ClientSession() as client:
        async with client.get(plain(here, "/stream"), proxy=here.url) as answer:
            assert answer.content_type == "text/event-stream"
            assert await answer.read() == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        async with client.get(plain(here, "/big"), proxy=here.url) as answer:
            assert len(await answer.read()) == 3_000_000
        async with client.get(plain(here, "/empty"), proxy=here.url) as answer:
            assert answer.status == 204
        async with client.head(plain(here, "/stock"), proxy=here.url) as answer:
            assert (answer.status, answer.headers["Content-Length"]) == (200, "27")
        assert "X-Remit-Problem" not in answer.headers


MORE = """
  - {id: no-cards, tools: ["http.get */cards"], on: result, effect: deny, because: No card leaves.}
  - id: small-only
    tools: ["http.get */big"]
    on: result
    when: has(result.body.card)
    effect: deny
"""


async def test_answers_that_policy_withholds_do_not_pass(tmp_path: Path) -> None:
    policy = POLICY.replace("\ninspect:", f"{MORE}inspect:".replace("\n\n", "\n"))
    async with world(tmp_path, policy=policy) as here, aiohttp.ClientSession() as client:
        for path in ("/cards", "/big"):
            async with client.get(plain(here, path), proxy=here.url) as answer:
                assert answer.status == 403
                assert (await answer.json())["code"] == "withheld"
        async with client.get(plain(here, "/customers"), proxy=here.url) as answer:
            [customer] = await answer.json()
            assert customer["name"] == "ada"
            assert "shop.example" not in customer["email"]
        assert here.outside.headers[-1]["accept-encoding"] == "identity"


async def test_what_was_read_counts_before_anybody_has_read_it(tmp_path: Path) -> None:
    async with world(tmp_path) as here, aiohttp.ClientSession() as client:
        here.names = {"web.shop.example": [["127.0.0.1"]]}
        read = client.get(plain(here, "/page", "web.shop.example"), proxy=here.url)
        async with read as answer:
            assert answer.status == 200
        async with client.post(plain(here, "/orders"), json={}, proxy=here.url) as answer:
            assert (answer.status, "has read the web" in await answer.text()) == (403, True)


async def test_servers_that_do_not_answer(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with world(tmp_path) as here, aiohttp.ClientSession() as client:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with client.get(f"http://{HOST}:{port}/", proxy=here.url) as answer:
            assert (answer.status, (await answer.json())["code"]) == (502, "no-answer")
        server.close()
        async with client.get(f"http://{HOST}:{port}/", proxy=here.url) as answer:
            assert (answer.status, (await answer.json())["code"]) == (502, "unreachable")
        async with client.get("http://nowhere.example/", proxy=here.url) as answer:
            assert answer.status == 502
        connect = f"CONNECT {HOST}:{port} HTTP/1.1\r\n{authorization(here)}\r\n"
        assert await told(port_of(here), connect.encode()) == b"502"
        assert await here.statuses(4) == ["error", "not-run", "not-run", "not-run"]


async def test_a_certificate_that_is_not_good_is_not_accepted(tmp_path: Path) -> None:
    async with world(tmp_path, inspect='"*"') as here, aiohttp.ClientSession() as client:
        here.names = {"web.shop.example": [["127.0.0.1"]]}  # its certificate is for others
        url = f"https://web.shop.example:{here.outside.secure}/page"
        context = ssl.create_default_context(cafile=str(here.ca))
        async with client.get(url, proxy=here.url, ssl=context) as answer:
            assert answer.status == 502
            assert "certificate is not good" in (await answer.json())["detail"]
        assert here.outside.seen == []


async def test_an_approved_request_is_sent_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here, aiohttp.ClientSession() as client:
        async with client.put(plain(here, "/stock/7"), json={"n": 1}, proxy=here.url) as answer:
            problem = await answer.json()
        here.approve(problem["approval"])
        statuses = []
        for _ in range(2):
            async with client.put(plain(here, "/stock/7"), json={"n": 1}, proxy=here.url) as answer:
                statuses.append(answer.status)
        assert statuses == [200, 403]
        assert len(here.outside.seen) == 1


async def test_what_authenticates_a_connection_does_not_pass(tmp_path: Path) -> None:
    """Connections to servers are shared: the next agent would be taken for the last one."""
    async with world(tmp_path) as here, aiohttp.ClientSession() as client:
        for scheme in ("NTLM", "negotiate"):
            shown = {"Authorization": f"{scheme} TlRMTVNTUAAB"}
            async with client.get(plain(here, "/x"), proxy=here.url, headers=shown) as answer:
                assert (await answer.json())["code"] == "connection-authentication"
        assert here.outside.connections == 0


@pytest.mark.parametrize("why", ["stopped", "revoked", "ended"])
async def test_an_open_tunnel_does_not_outlive_its_right(why: str, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        context = ssl.create_default_context(cafile=str(here.outside.roots))
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(here))
        place = f"{HOST}:{here.outside.secure}"
        writer.write(f"CONNECT {place} HTTP/1.1\r\n{authorization(here)}\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await writer.start_tls(context, server_hostname=HOST)
        writer.write(f"GET /stock HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
        assert b" 200 " in await reader.readline()
        parts = here.server.parts
        if why == "stopped":
            parts.store.write(lambda t: parts.governor.stop(t, "agent", "inventory-bot", TEST))
        elif why == "revoked":
            credential = here.key.split("_")[1]
            parts.store.write(
                lambda t: custody.revoke_key(
                    Journal.begin(t, time.time_ns(), os.urandom), TEST, credential
                )
            )
        else:
            session = here.records("decision")[0].session
            parts.store.write(lambda t: parts.governor.end_session(t, session))
        try:
            async with asyncio.timeout(10):
                await reader.read()
        except ConnectionError:
            pass
        writer.close()
        assert len(await here.statuses(1)) == 1


async def test_the_record_of_a_tunnel_says_what_passed(tmp_path: Path) -> None:
    async with world(tmp_path) as here, aiohttp.ClientSession() as client:
        context = ssl.create_default_context(cafile=str(here.outside.roots))
        url = f"https://{HOST}:{here.outside.secure}/stock"
        async with client.get(url, proxy=here.url, ssl=context) as answer:
            assert answer.status == 200
        await client.close()
        assert await here.statuses(1) == ["ok"]
        store = here.server.parts.store

        def last(view: object) -> dict[str, object]:
            positions = [each.position for each in view.records(0, view.log_size())]  # type: ignore[attr-defined]
            sealed = [view.values(each) for each in positions]  # type: ignore[attr-defined]
            return json.loads([each for each in sealed if each is not None][-1].canonical)  # type: ignore[no-any-return]

        result = store.read(last)
        assert result["server_name"] == HOST
        assert int(str(result["sent"])) > 300
        assert int(str(result["received"])) > 300


async def test_only_agents_use_it_and_only_in_their_own_name(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        url = plain(here, "/stock")
        place = f"Host: {HOST}:{here.outside.plain}"
        kinds: dict[Right, Kind] = {
            Right.REVIEWER: "person", Right.EDITOR: "person", Right.AUDITOR: "person",
            Right.ADMIN: "person",
        }  # fmt: skip

        async def status(user: str, key: str) -> bytes:
            shown = b64encode(f"{user}:{key}".encode()).decode()
            line = f"{place}\r\nProxy-Authorization: Basic {shown}\r\n"
            return await told(port_of(here), f"GET {url} HTTP/1.1\r\n{line}\r\n".encode())

        for right, kind in kinds.items():
            assert await status("x", issue(here, f"ada-{right.value}", kind, right)) == b"403"
        mesh = issue(here, "mesh", "service", Right.AGENT, ("inventory-bot",))
        assert await status("inventory-bot", mesh) == b"200"
        assert await status("other-bot", mesh) in (b"403", b"404")
        assert await status("", mesh) in (b"400", b"403")
        session = here.records("decision")[-1].session
        assert await status(str(session), here.key) == b"200"
        assert await status("s-0123456789abcdef0123", here.key) == b"404"
        assert len(here.outside.seen) == 2


@pytest.mark.parametrize(
    ("table", "told_of"),
    [
        ('[egress]\nlisten = ["0.0.0.0:8701"]', "insecure_plain_http"),
        ("[egress]\nlisten = []", "leave"),
        ('[egress]\ninspect = ["https://a.example"]', "inspect"),
        ('[egress]\nprivate = ["10.1.0.1/16"]', "private"),
        ('[egress]\nprivate = ["http://x"]', "private"),
        ('[egress]\nbody = "1B"', "body"),
        ('[egress]\nhold = "2h"', "hold"),
        ('[egress]\nsilence = "48h"', "silence"),
        ('[egress]\nheaders = ["X-Up"]', "lower case"),
        ("[envoy]\n", "hosts"),
        ('[envoy]\nhosts = ["https://a"]', "hosts"),
        ('[envoy]\nhosts = ["a"]\ngrpc = ["0.0.0.0:1"]', "insecure_plain_grpc"),
        ('[envoy]\nhosts = ["a"]\ncredential = "X Y"', "lower case"),
    ],
)
def test_settings_that_do_not_do_are_refused(table: str, told_of: str) -> None:
    with pytest.raises(ConfigError, match=told_of):
        parse_config(table, "remit.toml", Path("/srv"))
