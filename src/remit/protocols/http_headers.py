"""Headers of an HTTP request: read strictly, and cut down to what a server may be told. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from remit.protocols.http_target import HttpFault

HeaderPairs: TypeAlias = "Sequence[tuple[str, str]]"
"""Names and values in the order in which they came."""

_NAME = re.compile(r"[!#$%&'*+.^`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_CONNECTION = frozenset({"close", "keep-alive", "te", ""})
_ONCE = frozenset(
    {
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "idempotency-key",
        "proxy-authorization",
        "soapaction",
        "transfer-encoding",
    }
)
_OVERRIDES = frozenset(
    {
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
        "x-original-method",
        "x-original-uri",
        "x-override-url",
    }
)
"""With these, some servers take a request for another one than its first line says."""
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "content-length",
        "http2-settings",
    }
)
"""Of one connection only (RFC 9110 section 7.6.1); whoever sends a message on makes its own."""
_IDENTITY = frozenset(
    {
        "authorization",
        "cookie",
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-cert",
        "x-remote-user",
        "remote-user",
        "x-forwarded-user",
        "x-request-id",
        "true-client-ip",
        "client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-host",
        "x-api-key",
        "host",
        "accept-encoding",
    }
)
"""Who calls and from where: the server behind learns that from Remit alone."""
_IDENTITY_PREFIXES = ("x-remit-", "x-forwarded-", "x-auth-", "x-ssl-", "proxy-", "sec-")


class HttpHeaders(Struct, frozen=True):
    """The headers of one request, read strictly."""

    pairs: tuple[tuple[str, str], ...]
    values: Mapping[str, str]
    """By name in lower case; several of one name are joined by commas."""

    def one(self, name: str) -> str | None:
        """The value of a header, by its name in any case; several are joined by commas."""
        return self.values.get(name.lower())

    def named(self, names: Iterable[str]) -> dict[str, str]:
        """Those of the names that are there, by name in lower case."""
        found: dict[str, str] = {}
        for each in names:
            value = self.one(each)
            if value is not None:
                found[each.lower()] = value
        return found

    def forwarded(self, keep: Iterable[str] = ()) -> list[tuple[str, str]]:
        """What goes on to a server: nothing of this connection, and nothing about who calls.

        Args:
            keep: names of headers about the caller that are passed on all the same.
        """
        kept = {name.lower() for name in keep}
        return [(name, value) for name, value in self.pairs if _passes(name.lower(), kept)]


def read_headers(pairs: Iterable[tuple[str, str]], once: Sequence[str] = ()) -> HttpHeaders:
    """Read the headers of a request.

    Args:
        pairs: names and values, as they were sent.
        once: names that may be there once at most, besides those that HTTP says so of.

    Raises:
        HttpFault: servers could read them differently, or as another request.
    """
    single = _ONCE.union(name.lower() for name in once) if once else _ONCE
    values: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    for name, value in pairs:
        lower = name.lower()
        _check(name, lower, value)
        before = values.get(lower)
        if before is not None and lower in single:
            raise HttpFault("repeated-header", f"The header {name[:64]} is there twice.")
        values[lower] = value if before is None else f"{before}, {value}"
        found.append((name, value))
    if "content-length" in values and "transfer-encoding" in values:
        raise HttpFault("two-lengths", "Send Content-Length or Transfer-Encoding, not both.")
    headers = HttpHeaders(tuple(found), values)
    _check_connection(headers)
    return headers


def _check(name: str, lower: str, value: str) -> None:
    if not _NAME.fullmatch(name):  # no underscore: CGI and WSGI take it for a hyphen
        raise HttpFault(
            "bad-header",
            f"The name of a header, {name[:64]!a}, has a character in it that servers read "
            "differently.",
        )
    if not _VALUE.fullmatch(value):
        raise HttpFault("bad-header", f"The header {name[:64]} is not printable ASCII.")
    if lower in _OVERRIDES:
        raise HttpFault(
            "method-override",
            f"The header {name} is not let through: send the method and path that you mean.",
        )


def _check_connection(headers: HttpHeaders) -> None:
    for each in headers.values.get("connection", "").split(","):
        if each.strip().lower() not in _CONNECTION:
            raise HttpFault(
                "connection-options",
                "Connection can say close or keep-alive. Other protocols, and headers for one "
                "connection only, are not let through.",
            )
    if "upgrade" in headers.values:
        raise HttpFault("upgrade", "Other protocols (Upgrade) are not let through.", 501)
    if "trailer" in headers.values:
        raise HttpFault("trailers", "Trailers are not let through.")


def _passes(lower: str, kept: set[str]) -> bool:
    if lower in HOP_BY_HOP:
        return False
    if lower in kept:
        return True
    return lower not in _IDENTITY and not lower.startswith(_IDENTITY_PREFIXES)
