"""A log behind a server, and requests as such: the only module here that opens connections."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from remit.audit.note import decode_base64
from remit.errors import AuditError, ConfigError, Unavailable

TIMEOUT = 20.0
"""Seconds for each step of a request."""
_MOST = 2_000_000
"""Bytes of an answer that are read."""


class RemoteAnswer(Struct, frozen=True):
    """What came back."""

    status: int
    media: str
    body: bytes


class _Proof(Struct, frozen=True):
    proof: tuple[str, ...]


class RemoteLog:
    """A log that ``remit serve`` shows, read with an auditor's key."""

    def __init__(self, url: str, key: str) -> None:
        """Take the place of a server, without the path.

        Raises:
            ConfigError: the URL is none, or the key would cross a network in the clear.
        """
        parts = urlsplit(url)
        if parts.scheme == "http" and not _loopback(parts.hostname or ""):
            raise ConfigError(f"{url}: the key would be sent in the clear; use https")
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}

    def checkpoint(self) -> bytes:
        """The newest signed checkpoint, not verified.

        Raises:
            Unavailable: the server does not give it.
        """
        return self._get("checkpoint")

    def consistency(self, old: int, new: int) -> list[bytes]:
        """What should prove that the log of ``new`` records begins with that of ``old``.

        Raises:
            Unavailable: the server does not give it.
            AuditError: it is no proof.
        """
        content = self._get(f"proof/consistency?old={old}&new={new}")
        try:
            found = msgspec.json.decode(content, type=_Proof)
        except msgspec.MsgspecError:
            raise AuditError("the server sent no proof") from None
        return [decode_base64(each) for each in found.proof]

    def _get(self, path: str) -> bytes:
        answer = exchange("GET", f"{self._url}/v1/audit/{path}", self._headers)
        if answer.status != 200:
            said = answer.body[:500].decode(errors="replace")
            raise Unavailable(f"{self._url} answered {answer.status} to {path}: {said}")
        return answer.body


def exchange(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
) -> RemoteAnswer:
    """Send one request; redirects are not followed, so a key goes nowhere else.

    Raises:
        ConfigError: ``url`` is no http or https URL.
        Unavailable: nobody answers there, or with too much.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ConfigError(f"{url!r} is no URL like https://witness.corp.com")
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=TIMEOUT, context=context
        )
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    try:
        connection.request(method, target, body=body, headers=dict(headers))
        response = connection.getresponse()
        content = response.read(_MOST + 1)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{parts.netloc} does not answer: {error}") from error
    finally:
        connection.close()
    if len(content) > _MOST:
        raise Unavailable(f"{parts.netloc} answered with more than {_MOST:,} bytes")
    return RemoteAnswer(response.status, response.getheader("Content-Type", ""), content)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
