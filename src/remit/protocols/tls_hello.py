"""The first message of a TLS client, read without taking part: whom it says it wants to talk to.

A tunnel that was let through for one host must not carry a connection for another. The name that
the client asks for (SNI, RFC 6066 section 3) is in the clear in its first message, which begins
the same way in all versions (RFC 8446 section 4.1.2). Anything odd is refused, not interpreted.
"""

from __future__ import annotations

from msgspec import Struct

from remit.errors import InvalidRequest

LONGEST_HELLO = 65_536
"""Bytes that a first message may take; those of today have one to two thousand."""
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_LONGEST_RECORD = 16_384
_SERVER_NAME, _APPLICATIONS, _ENCRYPTED = 0, 16, 0xFE0D
_HOST_NAME = 0


class ClientHello(Struct, frozen=True, kw_only=True):
    """What a first message says in the clear."""

    server_name: str | None
    """Lower case, without a dot at its end; None where it names nobody."""
    applications: tuple[str, ...] = ()
    """Protocols that it offers to speak inside (ALPN), such as ``h2``."""
    hidden: bool = False
    """Whether it carries another, encrypted first message, which may name somebody else (ECH)."""


class _Bytes:
    """Bytes that are read from the front, and must be there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise InvalidRequest("the first TLS message ends too early")
        taken, self._at = self._data[self._at : end], end
        return taken

    def take_all(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def block(self, size: int) -> _Bytes:
        """What follows a length of ``size`` bytes."""
        return _Bytes(self.take(self.number(size)))


def read_hello(data: bytes) -> ClientHello | None:
    """What the first message at the beginning of ``data`` says; None: it is not all there yet.

    Raises:
        InvalidRequest: it is no first message of TLS, or one that readers take differently.
    """
    message = bytearray()
    at = 0
    while True:
        if at and len(message) >= 4:
            wanted = 4 + int.from_bytes(message[1:4], "big")
            if wanted > LONGEST_HELLO:
                raise InvalidRequest("the first TLS message is too long")
            if len(message) >= wanted:
                return _hello(bytes(message[4:wanted]), len(message) - wanted)
        head = data[at : at + 5]
        _check_record(head)
        if len(head) < 5:
            return None
        length = int.from_bytes(head[3:5], "big")
        if not 0 < length <= _LONGEST_RECORD:
            raise InvalidRequest("a TLS record of an impossible length")
        part = data[at + 5 : at + 5 + length]
        message += part
        if message and message[0] != _CLIENT_HELLO:
            raise InvalidRequest("this does not begin with the first message of a TLS client")
        if len(part) < length:
            return None
        at += 5 + length


def _check_record(head: bytes) -> None:
    """Refuse at the first byte that cannot be TLS, so that nothing waits for more of it."""
    wanted = (range(_HANDSHAKE, _HANDSHAKE + 1), range(3, 4), range(5))
    for byte, allowed in zip(head, wanted, strict=False):
        if byte not in allowed:
            raise InvalidRequest("this is not TLS")


def _hello(body: bytes, rest: int) -> ClientHello:
    if rest:
        raise InvalidRequest("another handshake message stands right behind the first")
    fields = _Bytes(body)
    fields.take(2 + 32)
    fields.block(1)
    fields.block(2)
    fields.block(1)
    extensions: dict[int, _Bytes] = {}
    if fields:
        listed = fields.block(2)
        while listed:
            kind = listed.number(2)
            if kind in extensions:
                raise InvalidRequest("a TLS extension is there twice")
            extensions[kind] = listed.block(2)
    if fields:
        raise InvalidRequest("something stands behind the first TLS message")
    name, applications = extensions.get(_SERVER_NAME), extensions.get(_APPLICATIONS)
    return ClientHello(
        server_name=None if name is None else _server_name(name),
        applications=() if applications is None else _applications(applications),
        hidden=_ENCRYPTED in extensions,
    )


def _server_name(extension: _Bytes) -> str:
    names = extension.block(2)
    if extension or names.number(1) != _HOST_NAME:
        raise InvalidRequest("a server name in TLS that is no host name")
    name = names.block(2).take_all()
    if names or not name.isascii() or not name or any(byte <= 32 or byte == 127 for byte in name):
        raise InvalidRequest("not one plain server name in TLS")
    return name.decode().lower().removesuffix(".")


def _applications(extension: _Bytes) -> tuple[str, ...]:
    names = extension.block(2)
    found = []
    while names:
        found.append(names.block(1).take_all().decode("latin-1"))
    return tuple(found)
