"""Bodies of HTTP requests and answers as JSON values that policy can look into. Pure.

Read strictly: keys that are there twice, or that some reader takes for one another, are refused.
What has no structure that is known here becomes its media type, size and digest, so that nothing
passes unseen.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from remit import canonical
from remit.canonical import JsonLimits
from remit.errors import InvalidArgument
from remit.protocols.http_csv import read_csv
from remit.protocols.http_multipart import read_multipart
from remit.protocols.http_target import HttpFault, distinct_names, grouped, read_form
from remit.protocols.http_xml import read_xml

BodyKind: TypeAlias = Literal["none", "json", "form", "multipart", "xml", "text", "csv", "opaque"]

LIMITS = JsonLimits(bytes=canonical.MAX_BYTES, depth=48)
"""Of a body that policy looks into; arguments have a few levels around it."""

_TYPE = re.compile(r"([A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+)((?:[ \t]*;[^;]*)*)")
_PARAMETER = re.compile(
    r"[ \t]*([A-Za-z0-9-]+)=(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)|\"([^\"\\]*)\")[ \t]*"
)


class MediaType(Struct, frozen=True):
    """A ``Content-Type``: type in lower case, parameters by name."""

    name: str
    parameters: dict[str, str]


class HttpBody(Struct, frozen=True):
    """A body, as it came and as policy sees it."""

    kind: BodyKind
    media: str
    """Its type without parameters, in lower case; empty where nobody said."""
    value: Any
    """A JSON value. Forms and multipart: values by name; ``csv``: rows by column (answers only);
    ``opaque``: media, bytes and sha256."""
    raw: bytes


_PLAIN_JSON = MediaType("application/json", {})
_CHARSETS = ("utf-8", "utf8", "us-ascii")
NO_BODY = HttpBody("none", "", None, b"")


def media_type(written: str) -> MediaType:
    """Read a ``Content-Type``.

    Raises:
        HttpFault: it is malformed, or says a thing twice.
    """
    match = _TYPE.fullmatch(written.strip(" \t"))
    if match is None:
        raise HttpFault("bad-content-type", "Content-Type is not type/subtype.", 415)
    parameters: dict[str, str] = {}
    for each in match[2].split(";")[1:]:
        found = _PARAMETER.fullmatch(each)
        if found is None or found[1].lower() in parameters:
            raise HttpFault("bad-content-type", "Content-Type has a malformed parameter.", 415)
        parameters[found[1].lower()] = found[3] if found[2] is None else found[2]
    return MediaType(match[1].lower(), parameters)


def read_body(content_type: str | None, encoding: str | None, raw: bytes) -> HttpBody:
    """Read the body of a request.

    Args:
        content_type: the header, if there is one.
        encoding: ``Content-Encoding``, if there is one.
        raw: the whole body.

    Raises:
        HttpFault: it is malformed, too large, or servers could read it differently.
    """
    if not raw:
        return NO_BODY
    media = _media(content_type, encoding)
    kind = kind_of(media.name)
    if kind == "opaque":
        return HttpBody(kind, media.name, opaque(media.name, raw), raw)
    if kind == "multipart":
        parts = read_multipart(media.parameters.get("boundary"), raw)
        return HttpBody(kind, media.name, parts, raw)
    return HttpBody(kind, media.name, _structured(kind, raw), raw)


def read_shown(content_type: str | None, raw: bytes, encoding: str | None = None) -> HttpBody:
    """Read the body of an answer, as far as that goes: what cannot be read is ``opaque``.

    Unlike ``read_body`` this never raises: what policy has no rules on passes as it is. Keys may
    look alike, since nobody is to act on them; none may be there twice.

    Args:
        content_type: the header, if there is one.
        raw: the whole body.
        encoding: ``Content-Encoding``, if there is one.
    """
    if not raw:
        return NO_BODY
    try:
        media = _media(content_type or "application/octet-stream", encoding)
        if kind_of(media.name) == "json":
            return HttpBody("json", media.name, _parsed(raw, "body"), raw)
        found = read_body(content_type or "application/octet-stream", encoding, raw)
        if found.media == "text/csv":
            rows = read_csv(found.value)
            return found if rows is None else HttpBody("csv", found.media, rows, raw)
        return found
    except HttpFault:
        name = (content_type or "").partition(";")[0].strip().lower()
        return HttpBody("opaque", name, opaque(name, raw), raw)


def kind_of(media: str) -> BodyKind:
    """How a body of that type is read."""
    if media == "application/json" or media.endswith("+json"):
        return "json"
    if media == "application/x-www-form-urlencoded":
        return "form"
    if media == "multipart/form-data":
        return "multipart"
    if media in ("text/xml", "application/xml") or media.endswith("+xml"):
        return "xml"
    if media.startswith("text/") or media == "application/graphql":
        return "text"
    return "opaque"


def opaque(media: str, raw: bytes) -> dict[str, Any]:
    """What is said of a body without a structure that is known: media type, size and digest."""
    return {"media": media, "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def read_json(raw: bytes, where: str = "body") -> Any:
    """Read JSON strictly; in no object may some reader take two keys for one another.

    Raises:
        HttpFault: it is not such JSON.
    """
    value = _parsed(raw, where)
    check_keys(value, where)
    return value


def _parsed(raw: bytes, where: str) -> Any:
    try:
        return canonical.parse(raw, where, LIMITS)
    except InvalidArgument as problem:
        status = 413 if len(raw) > LIMITS.bytes else 400
        raise HttpFault("bad-json", f"{problem}.", status) from None


def check_keys(value: Any, where: str) -> None:
    """Refuse objects with keys that some readers take for one another.

    Raises:
        HttpFault: there is one.
    """
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            if len(each) > 1:
                distinct_names(each, where)
            left.extend(each.values())
        elif isinstance(each, list):
            left.extend(each)


def _media(content_type: str | None, encoding: str | None) -> MediaType:
    """What a body is.

    Raises:
        HttpFault: nobody says, or it is encoded in a way that is not read here.
    """
    if encoding is not None and encoding.strip().lower() != "identity":
        raise HttpFault(
            "unsupported-encoding", "Send the body as it is, without Content-Encoding.", 415
        )
    if content_type is None:
        raise HttpFault("no-content-type", "Say what the body is, with Content-Type.", 415)
    media = _PLAIN_JSON if content_type == _PLAIN_JSON.name else media_type(content_type)
    charset = media.parameters.get("charset", "utf-8").lower()
    if charset not in _CHARSETS and kind_of(media.name) not in ("opaque", "multipart"):
        raise HttpFault("unsupported-charset", "Send the body in UTF-8.", 415)
    return media


def _structured(kind: BodyKind, raw: bytes) -> Any:
    if len(raw) > LIMITS.bytes:
        problem = f"The body is larger than the {LIMITS.bytes:,} bytes that can be looked into."
        raise HttpFault("too-large", problem, 413)
    if kind == "json":
        return read_json(raw)
    if kind == "xml":
        return read_xml(raw)
    try:
        written = raw.decode()
    except UnicodeDecodeError as error:
        raise HttpFault("bad-body", f"The body is not UTF-8 at byte {error.start}.") from None
    return grouped(read_form(written)) if kind == "form" else written
