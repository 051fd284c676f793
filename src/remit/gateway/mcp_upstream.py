"""An MCP server at a URL, reached over connections that are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ssl import SSLContext

from multidict import CIMultiDict
from yarl import URL

from remit.config.mcp import McpConfig
from remit.gateway.lean_client import LeanAnswer, LeanClient
from remit.protocols import mcp_headers

_KEPT_BACK = frozenset(
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
        # who calls, and from where: the gateway is the server's only client
        "authorization",
        "cookie",
        "forwarded",
        "origin",
        "referer",
        "via",
        "x-request-id",
        # what the gateway reads on its way
        "accept-encoding",
        mcp_headers.SESSION,
    }
)
_KEPT_BACK_BEGINNINGS = ("x-remit-", "x-forwarded-", "sec-", "proxy-")
_KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept: less than servers keep theirs (5 s is common), since a
call that is sent into a closing connection cannot be sent again."""
_CONNECT_TIME = 10.0


class McpUpstream:
    """One server, and the pool of connections to it."""

    def __init__(self, config: McpConfig, ssl: SSLContext | bool = True) -> None:
        """Prepare; connections are made when they are needed. Made in the event loop."""
        assert config.url is not None
        self._path = URL(config.url, encoded=True).raw_path_qs
        self._own = {"Accept-Encoding": "identity", **config.headers}
        self._covered = frozenset(name.lower() for name in self._own)
        self._http = LeanClient(
            config.url,
            connections=0,
            connect=_CONNECT_TIME,
            silence=config.timeout,
            keep_alive=_KEEP_ALIVE,
            tls=ssl,
        )

    async def request(
        self,
        method: str,
        headers: Iterable[tuple[str, str]],
        session: str | None,
        data: bytes | None = None,
        other: Mapping[str, str] | None = None,
        *,
        patient: bool = False,
    ) -> LeanAnswer:
        """Send a request. Redirects are not followed: they would lead around the gateway.

        Args:
            method: of HTTP.
            headers: the client's.
            session: the server's own id of the session.
            data: the body.
            other: headers in place of the client's.
            patient: whether the server may stay silent for as long as it likes.

        Raises:
            aiohttp.ClientError: there is no answer.
            TimeoutError: there is none in time.
        """
        sent: CIMultiDict[str] = CIMultiDict()
        for name, value in headers:
            lower = name.lower()
            if (
                lower not in _KEPT_BACK
                and lower not in self._covered
                and not lower.startswith(_KEPT_BACK_BEGINNINGS)
            ):
                sent[name] = value
        sent.update(self._own)
        if session is not None:
            sent["Mcp-Session-Id"] = session
        if other:
            sent.update(other)
        return await self._http.send(method, self._path, sent, data, patient=patient)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()
