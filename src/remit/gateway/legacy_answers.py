"""Answers of a server as policy sees them, and as the agent is shown them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

from remit import canonical
from remit.canonical import JsonLimits
from remit.errors import InvalidArgument
from remit.gateway.legacy_upstream import UpstreamAnswer
from remit.protocols.http_body import HttpBody, opaque, read_shown
from remit.protocols.http_csv import write_csv
from remit.protocols.http_headers import HOP_BY_HOP

_KEPT_BACK = HOP_BY_HOP | {
    # of the server's own domain, or about the machine
    "set-cookie",
    "server",
    "x-powered-by",
    "date",
    "alt-svc",
    "strict-transport-security",
    "www-authenticate",
    "via",
    # they lead elsewhere, around the gateway
    "location",
    "refresh",
    "link",
    "content-location",
    # made anew
    "x-request-id",
}
_OF_THE_BODY = frozenset({"etag", "content-md5", "digest", "repr-digest", "content-digest"})
"""These are of the bytes as the server sent them."""


_ROOM = JsonLimits(bytes=canonical.MAX_BYTES - 1024, depth=canonical.MAX_DEPTH - 2)
"""For a body, with the status and the name of a credential beside it."""


_SMALL = 65_536
"""Bytes up to which a body that was read strictly fits beside the others in any case."""


class ShownAnswer(Struct, frozen=True):
    """What the agent gets."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class SeenAnswer(Struct, frozen=True):
    """An answer as policy sees it."""

    answer: UpstreamAnswer
    body: HttpBody
    credential: str | None

    @property
    def result(self) -> dict[str, Any]:
        """For rules on results: ``status``, ``credential`` (its name) and ``body``."""
        return {
            "status": self.answer.status,
            "credential": self.credential,
            "body": self.body.value,
        }


def seen_answer(answer: UpstreamAnswer, credential: str | None) -> SeenAnswer:
    """An answer, and the name of the credential that the request carried."""
    media, encoding = answer.header("content-type"), answer.header("content-encoding")
    body = read_shown(media, answer.body, encoding)
    if len(body.raw) > _SMALL or body.kind == "csv":  # a table is larger by column than as text
        try:
            canonical.check(body.value, "result", _ROOM)
        except InvalidArgument:
            body = HttpBody("opaque", body.media, opaque(body.media, answer.body), answer.body)
    return SeenAnswer(answer, body, credential)


def shown_answer(
    seen: SeenAnswer, changed: Any, asked: str, url: str, mount: str
) -> ShownAnswer | None:
    """What the agent gets; None where it cannot be shown as policy wants it.

    Args:
        seen: the answer.
        changed: the result as obligations left it; None where they left it alone.
        asked: the URL that was asked for.
        url: of the server, as it is configured.
        mount: where agents reach the server: ``/legacy/NAME``.
    """
    answer = seen.answer
    headers = [each for each in answer.headers if each[0].lower() not in _KEPT_BACK]
    led = _led(answer, asked, url, mount)
    if led is not None:
        headers.append(("Location", led))
    if changed is None:
        return ShownAnswer(answer.status, tuple(headers), answer.body)
    status = changed.get("status") if isinstance(changed, dict) else None
    if type(status) is not int or not 200 <= status <= 599 or "body" not in changed:
        return None
    body = _encoded(seen.body, changed["body"])
    if body is None:
        return None
    kept = tuple(each for each in headers if each[0].lower() not in _OF_THE_BODY)
    return ShownAnswer(status, kept, body)


def _encoded(body: HttpBody, value: Any) -> bytes | None:
    """A changed body in its own format; None where it cannot be put back into that."""
    if value == body.value:
        return body.raw
    if body.kind == "json":
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    if body.kind == "csv" and isinstance(value, list) and all(isinstance(r, dict) for r in value):
        return write_csv(value)
    if isinstance(value, str):  # all of it was redacted, or rewritten
        return value.encode()
    return None


def _led(answer: UpstreamAnswer, asked: str, url: str, mount: str) -> str | None:
    """Where an answer leads, if that is the same server: as a path below the mount.

    Anywhere else an agent would be led around the gateway, so it is not told.
    """
    location = answer.header("location")
    if location is None:
        return None
    try:
        found, own = urlsplit(urljoin(asked, location)), urlsplit(url)
    except ValueError:
        return None
    base = own.path.rstrip("/")
    if (found.scheme, found.netloc) != (own.scheme, own.netloc):
        return None
    if not found.path.startswith(f"{base}/") or "\\" in location or "//" in found.path:
        return None
    led = mount + found.path[len(base) :]
    return f"{led}?{found.query}" if found.query else led
