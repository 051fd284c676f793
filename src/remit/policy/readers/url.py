"""``url(x)``: where a URL leads, parsed as browsers do (WHATWG URL), by ada.

Where clients disagree on the host (backslashes, user names, control characters, blanks, missing
slashes), the URL is refused rather than read in one of the ways.
"""

from __future__ import annotations

import functools
import ipaddress
import re

from ada_url import URL
from msgspec import Struct

from remit.policy.readers import UnreadableValue, text_of
from remit.text import invisibles, normal

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}
_ODD = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\s]")
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]+)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_PRIVATE_SUFFIXES = (
    ".localhost", ".local", ".internal", ".intranet", ".lan", ".home", ".corp", ".private",
    ".home.arpa", ".localdomain",
)  # fmt: skip
# Public names whose only purpose is to resolve to whatever address is written in them.
_ECHO_SUFFIXES = (".nip.io", ".sslip.io", ".xip.io", ".localtest.me", ".lvh.me", ".vcap.me")
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.IPv6Network("::/96")
# Not private by RFC 1918, but inside all the same: carrier NAT, protocol assignments, 6to4 relays.
_INSIDE = tuple(
    ipaddress.IPv4Network(each) for each in ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24")
)


class UrlReading(Struct, frozen=True, kw_only=True):
    """Where a URL leads. ``host`` is lower-case ASCII, IP addresses in their usual form.

    URLs whose scheme has no host (``file``, ``data``, ``mailto`` and any unknown one) have
    ``host`` and ``origin`` empty, port 0, and count as private.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str
    origin: str
    private: bool


@functools.lru_cache(maxsize=512)
def _read(text: str) -> UrlReading:
    if _ODD.search(text) or invisibles(text):
        raise UnreadableValue("url(): blanks, backslashes or control characters")
    scheme = _SCHEME.match(text)
    if not scheme:
        raise UnreadableValue("url(): not absolute: it does not begin with a scheme")
    try:
        parsed = URL(text)
    except ValueError:
        raise UnreadableValue("url(): not a URL") from None
    name = scheme[1].lower()
    if name not in _PORTS:
        return UrlReading(
            scheme=name, host="", port=0, path=parsed.pathname,
            query=parsed.search.removeprefix("?"), origin="", private=True,
        )  # fmt: skip
    authority = _AUTHORITY.match(text)
    if not authority or "@" in authority[1]:
        raise UnreadableValue("url(): no plain host (a user name, or slashes missing)")
    if "%" in authority[1] or normal(authority[1]).count("@") or not parsed.hostname:
        raise UnreadableValue("url(): a host that is encoded or empty")
    host = _host(parsed.hostname)
    port = int(parsed.port) if parsed.port else _PORTS[name]
    shown = f"[{host}]" if ":" in host else host
    return UrlReading(
        scheme=name,
        host=host,
        port=port,
        path=parsed.pathname,
        query=parsed.search.removeprefix("?"),
        origin=f"{name}://{shown}" + ("" if port == _PORTS[name] else f":{port}"),
        private=_is_private(host),
    )


def read(value: object) -> UrlReading:
    """Return where the URL ``value`` leads.

    Raises:
        UnreadableValue: not a string, not an absolute URL, or one whose host clients read
            differently.
    """
    return _read(str(text_of(value, "url")))


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address, and any that it carries inside, is one of the open Internet."""
    return all(_is_public(each) for each in _embedded(address))


def _host(hostname: str) -> str:
    host = hostname.removeprefix("[").removesuffix("]").removesuffix(".")
    if ":" not in host and not _HOST.fullmatch(host):
        raise UnreadableValue("url(): a host that is no DNS name")
    return host


def _is_private(host: str) -> bool:
    """Whether ``host`` is, or by its form may be, inside: fail closed on whatever is not public."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        dotted = "." + host
        return "." not in host or dotted.endswith((*_PRIVATE_SUFFIXES, *_ECHO_SUFFIXES))
    return not is_public(address)


def _embedded(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The address, or the IPv4 addresses that it carries to a translator or a tunnel."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _NAT64[0]:
        return [low]
    if address.sixtofour:
        return [address.sixtofour]
    return [address]


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (
        address.teredo or address in _NAT64[1] or address in _COMPATIBLE
    ):
        return False
    inside = address.is_multicast or any(address in network for network in _INSIDE)
    return address.is_global and not inside
