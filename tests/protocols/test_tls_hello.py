"""First messages of TLS clients: real ones of OpenSSL, and ones that are made up."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.errors import InvalidRequest
from remit.protocols.tls_hello import LONGEST_HELLO, ClientHello, read_hello


def real(name: str | None, *applications: str) -> bytes:
    """What OpenSSL sends first."""
    context = ssl.create_default_context()
    if name is None:
        context.check_hostname = False
    if applications:
        context.set_alpn_protocols(list(applications))
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def block(size: int, content: bytes) -> bytes:
    return len(content).to_bytes(size, "big") + content


def server_name(name: bytes, kind: int = 0) -> bytes:
    return extension(0, block(2, bytes([kind]) + block(2, name)))


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + block(2, content)


def body(*extensions: bytes, behind: bytes = b"") -> bytes:
    fields = b"\3\3" + bytes(32) + block(1, b"") + block(2, b"\x13\1") + block(1, b"\0")
    return fields + block(2, b"".join(extensions)) + behind


def records(message: bytes, size: int = 16_384) -> bytes:
    parts = (message[at : at + size] for at in range(0, len(message), size))
    return b"".join(b"\x16\3\1" + block(2, part) for part in parts)


def made_up(*extensions: bytes, behind: bytes = b"") -> bytes:
    return records(b"\1" + block(3, body(*extensions, behind=behind)))


def test_what_openssl_sends_is_read() -> None:
    hello = read_hello(real("Tools.Corp.Example", "h2", "http/1.1"))
    assert hello == ClientHello(
        server_name="tools.corp.example", applications=("h2", "http/1.1"), hidden=False
    )
    assert read_hello(real(None)) == ClientHello(server_name=None)


def test_the_name_may_end_in_a_dot_and_extensions_may_be_missing() -> None:
    assert read_hello(made_up(server_name(b"a.example."))) == ClientHello(server_name="a.example")
    plain = b"\3\3" + bytes(32) + block(1, b"") + block(2, b"\x13\1") + block(1, b"\0")
    assert read_hello(records(b"\1" + block(3, plain))) == ClientHello(server_name=None)


def test_a_hidden_first_message_is_noticed() -> None:
    hello = read_hello(made_up(server_name(b"front.example"), extension(0xFE0D, b"\0\0")))
    assert hello == ClientHello(server_name="front.example", hidden=True)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_it_may_come_in_many_records(size: int) -> None:
    message = b"\1" + block(3, body(server_name(b"a.example")))
    assert read_hello(records(message, size)) == ClientHello(server_name="a.example")


def test_what_is_not_all_there_is_waited_for() -> None:
    whole = real("a.example")
    for end in range(len(whole)):
        assert read_hello(whole[:end]) is None
    assert read_hello(whole + b"more") is not None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x80\x2e\1\3\1",  # SSL 2
        b"\x17\3\3\0\1a",
        b"\x16\2",
        b"\x16\3\5",
        b"\x16\3\1\0\0",
        b"\x16\3\1\xff\xff",
        b"\x16\3\1\0\1\2",
        b"\x16\3\1\0\4\1\xff\xff\xff",
        made_up(server_name(b"a.example"), server_name(b"b.example")),
        made_up(server_name(b"a.example", kind=1)),
        made_up(server_name(b"")),
        made_up(server_name(b"a b")),
        made_up(server_name(b"a\0b")),
        made_up(server_name("ä".encode())),
        made_up(extension(0, block(2, b"\0" + block(2, b"a") + b"\0" + block(2, b"b")))),
        made_up(extension(0, block(2, b"\0" + block(2, b"a")) + b"x")),
        made_up(extension(0, b"\0\1")),
        made_up(behind=b"x"),
        records(b"\1" + block(3, b"short")),
        records(b"\1" + block(3, body()) + b"\2"),
    ],
)
def test_what_is_no_plain_first_message_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_hello(data)


def test_one_that_is_too_long_is_refused_before_it_is_there() -> None:
    head = b"\1" + (LONGEST_HELLO + 1).to_bytes(3, "big")
    with pytest.raises(InvalidRequest, match="too long"):
        read_hello(records(head))


@given(st.binary(max_size=400))
def test_nothing_else_is_ever_raised(data: bytes) -> None:
    for start in (b"", b"\x16\3\1\1\x00\1\0\0\xfc\3\3"):
        try:
            read_hello(start + data)
        except InvalidRequest:
            continue


@given(st.data())
def test_a_real_one_with_a_byte_changed_never_names_two(data: st.DataObject) -> None:
    whole = bytearray(made_up(server_name(b"a.example"), extension(16, block(2, b"\2h2"))))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    try:
        hello = read_hello(bytes(whole))
    except InvalidRequest:
        return
    assert hello is None or hello.server_name is None or hello.server_name.encode() in whole.lower()
