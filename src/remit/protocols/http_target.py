"""Where an HTTP request goes: origin, path and query, read in the one way that all share.

What two servers could read differently (backslashes, encoded slashes, dot segments, doubly encoded
characters, parameters inside of paths) is refused, never put right. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from msgspec import Struct

from remit import text

QueryValues: TypeAlias = "Mapping[str, str | list[str]]"
"""Values by name; a name that is there several times has a list."""

MAX_TARGET = 8192
"""Characters of a request target."""
MAX_PAIRS = 1000
"""Names and values in a query or a form."""
PORTS: Mapping[str, int] = {"http": 80, "https": 443}

_PATH = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,=:@%/]*")
_PLAIN = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,=:@/]*")
_QUERY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,=:@%/?\[\]]*")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_AMBIGUOUS = re.compile(r"[\x00-\x1f\x7f/\\?#;%]")
_HOST = re.compile(
    r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
    r"(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_OVERRIDE = "_method"


class HttpFault(Exception):  # noqa: N818 - what is wrong with a message, not of this program
    """A message that cannot be decided on, so it goes nowhere. For answers, never for agents' ears.

    Attributes:
        status: of the HTTP answer that says so.
        code: one word for programs, such as ``bad-path``.
        message: what is wrong and what to send instead.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.status = status
        self.code = code
        self.message = message
        super().__init__(message)


class HttpOrigin(Struct, frozen=True):
    """Scheme, host and port. The host in lower case, IP addresses in their usual form."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and, unless it is the scheme's own, port: as ``Host`` has it and policy names it."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if PORTS.get(self.scheme) == self.port else f"{shown}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


class HttpTarget(Struct, frozen=True):
    """Path and query of a request."""

    path: str
    """Decoded. None of its segments holds a slash, or is empty but for the last."""
    pairs: tuple[tuple[str, str], ...]
    """Names and values of the query, decoded, in their order."""
    raw_query: str
    """The query as it was sent, without ``?``."""

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts of the path; ``/a/b/`` has three, the last of them empty."""
        return tuple(self.path[1:].split("/"))

    @property
    def query(self) -> QueryValues:
        """The query by name."""
        return grouped(self.pairs)

    @property
    def sent(self) -> str:
        """How to send it on: the path that was decided on, in its one spelling."""
        path = encode_path(self.path)
        return f"{path}?{self.raw_query}" if self.raw_query else path


def read_target(target: str) -> HttpTarget:
    """Read a target in origin form: a path and, perhaps, a query.

    Raises:
        HttpFault: it is in another form, or servers could read it differently.
    """
    if len(target) > MAX_TARGET:
        raise HttpFault("target-too-long", "The URL is too long.", 414)
    path, mark, query = target.partition("?")
    if not path.startswith("/"):
        raise HttpFault("bad-target", "Send the path alone, beginning with a slash.")
    return HttpTarget(_path(path), _pairs(query, "query"), query if mark else "")


def read_absolute(target: str) -> tuple[HttpOrigin, HttpTarget]:
    """Read a target in absolute form, as proxies get it (RFC 9112 section 3.2.2).

    Raises:
        HttpFault: it is in another form, or clients and servers could read it differently.
    """
    scheme, mark, rest = target.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in PORTS:
        raise HttpFault("bad-target", "Send a URL that begins with http:// or https://.")
    end = min((at for at in map(rest.find, "/?#\\") if at >= 0), default=len(rest))
    origin = read_origin(scheme, rest[:end])
    path = rest[end:]
    return origin, read_target(path if path.startswith("/") else f"/{path}")


def read_origin(scheme: str, authority: str) -> HttpOrigin:
    """Read ``host``, ``host:port`` or ``[::1]:port``, as ``Host`` and CONNECT have it.

    Raises:
        HttpFault: a user name, an address in an unusual spelling, or no host at all.
    """
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?", authority)
    if match is None:
        raise HttpFault("bad-host", "The host is not one name or address, with or without a port.")
    port = PORTS[scheme] if match[2] is None else int(match[2])
    if not 0 < port < 65_536:
        raise HttpFault("bad-host", "Ports go from 1 to 65535.")
    return HttpOrigin(scheme, read_host(match[1]), port)


def read_host(host: str) -> str:
    """The one spelling of a host: a DNS name in lower case, or an IP address (IPv6 in brackets).

    Raises:
        HttpFault: it is neither, or an address as only some readers understand it.
    """
    plain = host.lower()
    if plain.startswith("["):
        try:
            address = ipaddress.IPv6Address(plain[1:-1])
        except ValueError:
            raise HttpFault("bad-host", "The host in brackets is no IPv6 address.") from None
        if address.scope_id is not None:
            raise HttpFault("bad-host", "Addresses with a zone are not let through.")
        return str(address.ipv4_mapped or address)
    plain = plain.removesuffix(".")
    if _NUMERIC.fullmatch(plain):
        try:
            return str(ipaddress.IPv4Address(plain))
        except ValueError:
            raise HttpFault(
                "bad-host", "Write an IPv4 address as four decimal numbers, without zeros in front."
            ) from None
    if not _HOST.fullmatch(plain):
        raise HttpFault("bad-host", "The host is no DNS name. Names in other scripts go as xn--.")
    return plain


def read_form(body: str) -> tuple[tuple[str, str], ...]:
    """Names and values of a body in the form of a query (``x-www-form-urlencoded``).

    Raises:
        HttpFault: servers could read it differently.
    """
    return _pairs(body, "form")


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    """Values by name; a name that is there several times has a list of them."""
    found: dict[str, str | list[str]] = {}
    for name, value in pairs:
        before = found.get(name)
        if before is None:
            found[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            found[name] = [before, value]
    return found


def encode_path(path: str) -> str:
    """A decoded path as it is sent: everything but unreserved characters and slashes escaped."""
    if _PLAIN.fullmatch(path):
        return path
    return "/".join(encode_text(segment, "!$&'()*+,=:@") for segment in path.split("/"))


def encode_text(value: str, also: str = "") -> str:
    """Percent-encode a text, but for unreserved characters and those in ``also``."""
    plain = _UNRESERVED | frozenset(also.encode())
    return "".join(chr(octet) if octet in plain else f"%{octet:02X}" for octet in value.encode())


def encode_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values as a query or a form."""
    return "&".join(f"{encode_text(name)}={encode_text(value)}" for name, value in pairs)


def distinct_names(names: Iterable[str], where: str) -> None:
    """Refuse names that some servers take for one another, such as ``amount`` and ``Amount``.

    Raises:
        HttpFault: there are two of those.
    """
    written = list(names)
    if len({each.lower() if each.isascii() else "" for each in written} - {""}) == len(written):
        return
    seen: dict[str, str] = {}
    for name in written:
        other = seen.setdefault(text.name(name), name)
        if other != name:
            raise HttpFault(
                "look-alike-names",
                f"In the {where}, {name[:64]!a} could be read as {other[:64]!a}. Send one of them.",
            )


def _path(raw: str) -> str:
    if not _PATH.fullmatch(raw):
        raise HttpFault(
            "bad-path",
            "The path has a character in it that must be percent-encoded, or a backslash or "
            "semicolon, which servers read differently.",
        )
    segments = raw[1:].split("/")
    if "" in segments[:-1]:
        raise HttpFault("bad-path", "The path has two slashes in a row.")
    decoded = [_segment(each) for each in segments]
    return "/" + "/".join(decoded)


def _segment(raw: str) -> str:
    found = _decoded(raw, "path") if "%" in raw else raw
    if _AMBIGUOUS.search(found):
        raise HttpFault(
            "bad-path",
            "The path has an encoded slash, backslash, percent sign, mark or control character in "
            "it, which servers read differently.",
        )
    if found and not found.strip(". "):
        raise HttpFault("bad-path", "The path has a segment of dots. Send the path they lead to.")
    if not found.isascii() and (text.normal(found) != found or text.invisibles(found)):
        raise HttpFault("bad-path", "The path has letters in it that can be read as others.")
    return found


def _pairs(raw: str, where: str) -> tuple[tuple[str, str], ...]:
    if not raw:
        return ()
    if not _QUERY.fullmatch(raw):
        raise HttpFault(
            f"bad-{where}", f"The {where} has a character in it that must be percent-encoded."
        )
    written = [each for each in raw.split("&") if each]
    if len(written) > MAX_PAIRS:
        raise HttpFault(f"bad-{where}", f"The {where} has more than {MAX_PAIRS:,} values.", 413)
    pairs = []
    for each in written:
        name, _, value = each.replace("+", " ").partition("=")
        pairs.append((_name(name, where), _decoded(value, where)))
    distinct_names((name for name, _ in pairs), where)
    return tuple(pairs)


def _name(raw: str, where: str) -> str:
    name = _decoded(raw, where)
    if text.name(name) == _OVERRIDE:
        raise HttpFault("method-override", f"{_OVERRIDE} is not let through: send the method.")
    if not name.isprintable() or name != name.strip():
        raise HttpFault(f"bad-{where}", f"The {where} has a name in it that cannot be seen.")
    return name


def _decoded(raw: str, where: str) -> str:
    if "%" not in raw:
        return raw
    pieces = _ESCAPE.split(raw)
    if any("%" in piece for piece in pieces):
        raise HttpFault(f"bad-{where}", f"The {where} has a percent sign without two hex digits.")
    octets = bytearray(pieces[0].encode())
    for escape, piece in zip(_ESCAPE.findall(raw), pieces[1:], strict=True):
        octets.append(int(escape[1:], 16))
        octets += piece.encode()
    try:
        found = octets.decode()
    except UnicodeDecodeError:
        raise HttpFault(f"bad-{where}", f"The {where} is not UTF-8.") from None
    if "\0" in found:
        raise HttpFault(f"bad-{where}", f"The {where} has a zero character in it.")
    return found
