"""``multipart/form-data`` (RFC 7578), read so that no server can find another part in it. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from remit.protocols.http_target import HttpFault, distinct_names, grouped

MAX_PARTS = 200
_MAX_HEAD = 1024
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=?-]{1,70}")
_DISPOSITION = re.compile(
    r'form-data; name="([^"\\\r\n\0]{1,256})"(?:; filename="([^"\\/\r\n\0]{0,255})")?'
)
_MEDIA = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+;= \"-]+")


def read_multipart(boundary: str | None, raw: bytes) -> dict[str, Any]:
    """The parts by name: texts, and files as their name, media type, size and digest.

    Raises:
        HttpFault: it is not written in the one way in which browsers and libraries write it.
    """
    if boundary is None or not _BOUNDARY.fullmatch(boundary):
        raise _fault("it has no boundary, or an unusual one")
    mark = b"--" + boundary.encode()
    whole = b"\r\n" + raw
    pieces = whole.split(b"\r\n" + mark)
    if len(pieces) < 2 or pieces[0] or pieces[-1] not in (b"--", b"--\r\n"):
        raise _fault("it does not begin and end with its boundary")
    if len(pieces) - 2 > MAX_PARTS:
        raise _fault(f"it has more than {MAX_PARTS} parts")
    parts = [_part(piece, mark) for piece in pieces[1:-1]]
    distinct_names((name for name, _ in parts), "form")
    return grouped(parts)


def _part(piece: bytes, mark: bytes) -> tuple[str, Any]:
    head, blank, content = piece.partition(b"\r\n\r\n")
    if not head.startswith(b"\r\n") or not blank or len(head) > _MAX_HEAD:
        raise _fault("a part has no head, or too long a one")
    if b"\n" + mark in content or content.startswith(mark):
        raise _fault("a boundary stands where only some readers see it")
    headers: dict[str, str] = {}
    for line in head[2:].split(b"\r\n"):
        name, colon, value = line.partition(b":")
        lower = name.decode("latin-1").lower()
        if not colon or lower in headers or b"\n" in line or b"\r" in line:
            raise _fault("a part has a malformed head")
        headers[lower] = _text(value).strip(" \t")
    return _field(headers, content)


def _field(headers: dict[str, str], content: bytes) -> tuple[str, Any]:
    found = _DISPOSITION.fullmatch(headers.pop("content-disposition", ""))
    media = headers.pop("content-type", "")
    headers.pop("content-length", None)
    if found is None or headers or (media and not _MEDIA.fullmatch(media)):
        raise _fault("a part says more of itself than its name, file name and type")
    if found[1].strip() != found[1] or not found[1].isprintable() or found[1] == "_method":
        raise _fault("a part has a name that is not let through")
    if found[2] is None:
        return found[1], _text(content)
    file = {"filename": found[2], "media": media, "bytes": len(content)}
    return found[1], {**file, "sha256": hashlib.sha256(content).hexdigest()}


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise _fault("a text in it is not UTF-8") from None


def _fault(what: str) -> HttpFault:
    return HttpFault("bad-multipart", f"The form was not passed on: {what}.")
