"""CONNECT and the credentials of proxies: the one way to write them, and all the others refused."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.protocols.http_connect import ProxyCredential, read_connect, read_credential
from remit.protocols.http_target import HttpFault

SESSION = "s-0123456789abcdef0123"


def head(target: str, *lines: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"CONNECT {target} HTTP/{version}", *lines, "", ""]).encode("latin-1")


def basic(text: str) -> str:
    return "Basic " + b64encode(text.encode()).decode()


def test_what_clients_send_is_read() -> None:
    asked = read_connect(
        head(
            "API.Shop.example:443",
            "Host: api.shop.example:443",
            "Proxy-Authorization: Basic eDp5",
            "Content-Length: 0",
        )
    )
    assert (asked.origin.host, asked.origin.port) == ("api.shop.example", 443)
    assert asked.authorization == ("Basic eDp5",)
    assert read_connect(head("[2001:db8::1]:8443", version="1.0")).origin.host == "2001:db8::1"
    assert read_connect(head("a.example:443")).authorization == ()


@pytest.mark.parametrize(
    "written",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"CONNECT a.example:443\r\n\r\n",  # HTTP/0.9
        b"CONNECT a.example:443 HTTP/2.0\r\n\r\n",
        b"CONNECT a.example:443 HTTP/1.1\n\n",
        b"CONNECT a.example:443 HTTP/1.1\nHost: b.example:443\r\n\r\n",
        b"CONNECT  a.example:443 HTTP/1.1\r\n\r\n",
        b"CONNECT\ta.example:443 HTTP/1.1\r\n\r\n",
        b"connect a.example:443 HTTP/1.1\r\n\r\n",
        head("a.example"),
        head("https://a.example:443/"),
        head("a.example:443/"),
        head("user@a.example:443"),
        head("a.example:443@evil.example:443"),
        head("a.example:0"),
        head("a.example:99999"),
        head("a.example:443", "Host: b.example:443"),
        head("a.example:443", "Host: a.example:444"),
        head("a.example:443", "Host: a.example:443", "Host: a.example:443"),
        head("a.example:443", "Content-Length: 5"),
        head("a.example:443", "Transfer-Encoding: chunked"),
        head("a.example:443", "Proxy-Authorization: Basic eDp5", "Proxy-Authorization: Basic eDp5"),
        head("a.example:443", "X: y", " folded"),
        head("a.example:443", "X : y"),
        head("a.example:443", "no header"),
        head("a.example:443", "X: a\rb"),
        head("a.example:443", "X: a\nY: b"),
        head("a.example:443", "X: a\0b"),
    ],
)
def test_whatever_could_be_read_in_two_ways_is_refused(written: bytes) -> None:
    with pytest.raises(HttpFault):
        read_connect(written)


@pytest.mark.parametrize(
    "address",
    [
        "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "127.1", "127.0.1",
        "[::ffff:127.0.0.1%25eth0]", "[fe80::1%eth0]", "[::1", "127.0.0.1.", "①②⑦.0.0.1",
        "127%2e0.0.1", "127.0.0.1%00.example", "localhost\\.example", "lo calhost",
    ],
)  # fmt: skip
def test_addresses_have_one_spelling(address: str) -> None:
    try:
        origin = read_connect(head(f"{address}:443".encode().decode("latin-1"))).origin
    except HttpFault:
        return
    assert origin.host == "127.0.0.1"  # with a dot behind it: the same address, looked at as such


def test_credentials_are_a_password_or_a_token() -> None:
    assert read_credential([basic("inventory-bot:key")]) == ProxyCredential(
        key="key", agent="inventory-bot"
    )
    assert read_credential([basic(f"{SESSION}:key:with:colons")]) == ProxyCredential(
        key="key:with:colons", session=SESSION
    )
    assert read_credential([basic(":key")]) == ProxyCredential(key="key")
    assert read_credential(["bearer  key"]) == ProxyCredential(key="key")
    assert "secret" not in repr(ProxyCredential(key="secret"))


@pytest.mark.parametrize(
    "shown",
    [
        [],
        ["Basic eDp5", "Basic eDp5"],
        ["Digest x"],
        ["Bearer "],
        ["Basic"],
        ["Basic ???"],
        ["Basic " + b64encode(b"\xff:x").decode()],
        [basic("no-colon")],
        [basic("agent:")],
    ],
)
def test_other_credentials_are_refused_with_407(shown: list[str]) -> None:
    with pytest.raises(HttpFault) as refused:
        read_credential(shown)
    assert refused.value.status == 407


@given(st.binary(max_size=200))
def test_nothing_else_is_ever_raised(data: bytes) -> None:
    for written in (data, b"CONNECT " + data + b"\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n" + data):
        try:
            read_connect(written)
        except HttpFault:
            continue
