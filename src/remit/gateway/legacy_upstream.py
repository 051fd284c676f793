"""A server behind the reverse proxy: its connections, and its answers within limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from ssl import SSLContext
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from remit.config.legacy import LegacyConfig
from remit.gateway.llm_upstream import NotTakenOn, Unanswered
from remit.protocols.http_target import HttpOrigin, read_origin

_KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept: less than servers keep theirs (5 s is common), since a
write that is sent into a closing connection cannot be sent again."""


class UpstreamAnswer(Struct, frozen=True):
    """What a server answered, whole."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        wanted = name.lower()
        return next((value for each, value in self.headers if each.lower() == wanted), None)


class AnswerTooLarge(Exception):  # noqa: N818 - what happened
    """The server answered more than is let through. It has done what it was asked."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the answer ({status}) is larger than max_answer")


class LegacyUpstream:
    """One server, and the pool of connections to it. Made in the event loop."""

    def __init__(self, settings: LegacyConfig, tls: SSLContext | None = None) -> None:
        """Get ready; nothing is connected yet.

        Args:
            settings: where it is, and its limits.
            tls: the context for servers with TLS.
        """
        self.settings = settings
        parts = urlsplit(settings.url)
        self.origin: HttpOrigin = read_origin(parts.scheme, settings.shown_host)
        """What policy calls it."""
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=settings.connections,
                keepalive_timeout=_KEEP_ALIVE,
                ssl=tls if tls is not None else True,
                ttl_dns_cache=60,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect),
            skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
            auto_decompress=False,
            trust_env=False,
        )

    async def send(
        self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> UpstreamAnswer:
        """Send a request once, and read its answer whole. Redirects are not followed.

        Args:
            method: of HTTP.
            target: path and query, as they are to be sent.
            headers: fit to be sent on.
            body: empty for none.

        Raises:
            NotTakenOn: it certainly did not arrive.
            Unanswered: it may have arrived.
            AnswerTooLarge: it did.
        """
        name = self.settings.name
        sent = CIMultiDict(headers)
        sent["Accept-Encoding"] = "identity"
        sent["Host"] = self.origin.authority
        try:
            async with (
                asyncio.timeout(self.settings.timeout),
                self._http.request(
                    method,
                    URL(self.settings.url + target, encoded=True),
                    data=body or None,
                    headers=sent,
                    allow_redirects=False,
                ) as answer,
            ):
                if answer.status < 200:
                    raise Unanswered(f"{name} changed the protocol")
                return await self._whole(answer)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotTakenOn(f"{name} cannot be reached") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unanswered(f"{name} did not answer") from error

    async def _whole(self, answer: aiohttp.ClientResponse) -> UpstreamAnswer:
        most = self.settings.max_answer
        if (answer.content_length or 0) > most:
            answer.close()
            raise AnswerTooLarge(answer.status)
        body = bytearray()
        async for part in answer.content.iter_any():
            body += part
            if len(body) > most:
                answer.close()
                raise AnswerTooLarge(answer.status)
        headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.raw_headers
        )
        return UpstreamAnswer(answer.status, headers, bytes(body))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()
