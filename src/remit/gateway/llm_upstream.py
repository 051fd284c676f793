"""Model APIs as the gateway reaches them: one pool of connections each, kept for the server's life.

The provider's key is put on here and nowhere else, and taken out of whatever an error echoes.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from remit.config.models import ModelApi, ModelConfig
from remit.gateway.lean_client import LeanAnswer, LeanClient

_KEEP_ALIVE = 15.0
"""Seconds that an idle connection is kept: shorter than any provider keeps its end."""

_OWN_HEADERS = frozenset(
    {
        # of this connection only (RFC 9110 section 7.6.1)
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "host",
        "content-length",
        # who calls, and what only the gateway may say of that
        "authorization",
        "x-api-key",
        "x-goog-api-key",
        "api-key",
        "cookie",
        "forwarded",
        "via",
        # whose account pays
        "openai-organization",
        "openai-project",
        "x-goog-user-project",
        # bodies are read on their way
        "accept-encoding",
        "content-encoding",
    }
)
_OWN_PREFIXES = ("x-remit-", "x-forwarded-", "sec-", "proxy-")
_KEPT_BACK = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "content-encoding",
        "set-cookie",
        "server",
        "date",
        "alt-svc",
        "strict-transport-security",
        "openai-organization",
        "openai-project",
        "anthropic-organization-id",
    }
)
_MARK = b"[key]"


class NotTakenOn(Exception):  # noqa: N818 - what happened
    """The request certainly did not reach the model API."""


class Unanswered(Exception):  # noqa: N818 - what happened
    """The request was sent, and its answer did not come, or not all of it."""


class ModelUpstream:
    """One model API: its connections, and the key that they use."""

    def __init__(self, api: ModelApi, tls: ssl.SSLContext | None) -> None:
        """Get ready; nothing is connected yet. Must be made in the event loop.

        Args:
            api: where it is and its key.
            tls: the context that all upstreams share; None for those without TLS.
        """
        self.settings: ModelConfig = api.settings
        self._key = api.key
        self._credential = _credential(api)
        self._client = LeanClient(
            api.settings.place,
            connections=api.settings.connections,
            connect=api.settings.connect,
            silence=api.settings.silence,
            keep_alive=_KEEP_ALIVE,
            tls=tls if tls is not None else True,
            decompress=True,
        )
        self._path = URL(api.settings.place).raw_path.rstrip("/")

    def __repr__(self) -> str:
        return f"<upstream {self.settings.name}>"

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> LeanAnswer:
        """Send a request; its answer once the head of that is there. To be closed by the caller.

        Args:
            method: of HTTP.
            path: with its query, as it is to be sent.
            headers: as the agent sent them; ``forwarded_headers`` makes them fit.
            body: to send, if any.

        Raises:
            NotTakenOn: it certainly did not arrive.
            Unanswered: it may have arrived.
        """
        try:
            return await self._client.send(method, self._path + path, self._headers(headers), body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotTakenOn(f"{self.settings.name} cannot be reached ({_kind(error)})") from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unanswered(f"{self.settings.name} did not answer ({_kind(error)})") from None

    def _headers(self, given: Mapping[str, str]) -> CIMultiDict[str]:
        headers = forwarded_headers(given.items())
        headers.update(self._credential)
        headers["Accept-Encoding"] = "identity"
        return headers

    def without_key(self, body: bytes) -> bytes:
        """A body that must not show the key: providers quote it in errors."""
        return body.replace(self._key.encode(), _MARK) if self._key else body

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()


class ModelUpstreams:
    """All model APIs, with the TLS context that they share."""

    def __init__(self, apis: Sequence[ModelApi]) -> None:
        """Get ready. Must be made in the event loop."""
        secure = any(api.settings.place.startswith("https:") for api in apis)
        tls = ssl.create_default_context() if secure else None
        self.by_name: dict[str, ModelUpstream] = {
            api.settings.name: ModelUpstream(api, tls) for api in apis
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self.by_name.values():
            await each.close()


def forwarded_headers(given: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    """What of an agent's headers goes to a model API: all that is not this hop's own."""
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in given:
        plain = name.lower()
        if plain not in _OWN_HEADERS and not plain.startswith(_OWN_PREFIXES):
            kept.add(name, value)
    return kept


def returned_headers(given: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """What of a model API's headers goes to the agent."""
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in given.items():
        if name.lower() not in _KEPT_BACK:
            kept.add(name, value)
    return kept


def _credential(api: ModelApi) -> dict[str, str]:
    if not api.key:
        return {}
    if api.settings.format == "anthropic":
        return {"x-api-key": api.key}
    if api.settings.format == "gemini":
        return {"x-goog-api-key": api.key}
    return {"Authorization": f"Bearer {api.key}"}


def _kind(error: BaseException) -> str:
    """What kind of failure it was. Its message may name hosts and ports inside: not for agents."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "its TLS certificate is not good"
    return "the connection failed"
