"""CONNECT, and how clients of a proxy say who they are: read in one way or not at all. Pure.

RFC 9110 sections 9.3.6 and 11.7, RFC 9112 section 3.2.3, RFC 7617.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Sequence

from msgspec import Struct

from remit.protocols.http_headers import HttpHeaders, read_headers
from remit.protocols.http_target import HttpFault, HttpOrigin, read_origin

MAX_HEAD = 16_384
"""Bytes of the head of a CONNECT request."""
_LINE = re.compile(r"CONNECT ([\x21-\x7e]+) HTTP/1\.[01]")
_FIELD = re.compile(r"([^:\s]+):[ \t]*(.*?)[ \t]*")
_SESSION = re.compile(r"s-[0-9a-f]{20}")
_PORT = re.compile(r".*:[0-9]{1,5}")


class ConnectRequest(Struct, frozen=True, kw_only=True):
    """A client that wants to be connected with a host."""

    origin: HttpOrigin
    headers: HttpHeaders
    authorization: tuple[str, ...]
    """Every value of ``Proxy-Authorization``."""


class ProxyCredential(Struct, frozen=True, kw_only=True):
    """What a client shows to a proxy. Not to be logged."""

    key: str
    """An API key or a token."""
    session: str | None = None
    """The session that it wants to act in."""
    agent: str | None = None
    """Whom it acts as, where the key is not that agent's own."""

    def __repr__(self) -> str:
        return f"<credential of {self.agent or 'an agent'}>"


def read_connect(head: bytes) -> ConnectRequest:
    """Read the head of a CONNECT request, up to and with its empty line.

    Raises:
        HttpFault: it is none, or one that could be read in two ways.
    """
    text = head.decode("latin-1")
    first, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
    match = _LINE.fullmatch(first)
    if match is None or not text.endswith("\r\n\r\n"):
        raise HttpFault("bad-request", "Send CONNECT host:port HTTP/1.1 to open a tunnel.")
    headers = read_headers(_field(line) for line in lines if line)
    if not _PORT.fullmatch(match[1]):
        raise HttpFault("bad-target", "CONNECT takes host:port, with the port.")
    origin = read_origin("https", match[1])
    if headers.one("transfer-encoding") is not None or headers.one("content-length") not in (
        None,
        "0",
    ):
        raise HttpFault("unexpected-body", "CONNECT has no body.")
    host = headers.one("host")
    if host is not None and read_origin("https", host) != origin:
        raise HttpFault("host-mismatch", "Host names another place than CONNECT does.")
    authorization = headers.one("proxy-authorization")
    return ConnectRequest(
        origin=origin,
        headers=headers,
        authorization=() if authorization is None else (authorization,),
    )


def read_credential(authorization: Sequence[str]) -> ProxyCredential:
    """What ``Proxy-Authorization`` shows: ``Basic`` with the key as its password, or ``Bearer``.

    The user name of ``Basic`` is a session, or the name of the agent.

    Raises:
        HttpFault: 407, it shows nothing, or something else.
    """
    if len(authorization) != 1:
        raise _unknown()
    scheme, _, value = authorization[0].partition(" ")
    value = value.strip(" ")
    if scheme.lower() == "bearer" and value:
        return ProxyCredential(key=value)
    if scheme.lower() != "basic":
        raise _unknown()
    try:
        user, mark, key = b64decode(value, validate=True).decode("ascii").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise _unknown() from None
    if not mark or not key:
        raise _unknown()
    if _SESSION.fullmatch(user):
        return ProxyCredential(key=key, session=user)
    return ProxyCredential(key=key, agent=user or None)


def _field(line: str) -> tuple[str, str]:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise HttpFault("bad-header", "A line of the head is no header.")
    return match[1], match[2]


def _unknown() -> HttpFault:
    return HttpFault(
        "proxy-authentication",
        "Say who you are: HTTPS_PROXY=http://AGENT:KEY@HOST:PORT, with an API key of the agent.",
        407,
    )
