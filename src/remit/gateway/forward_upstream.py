"""Servers outside, as the forward proxy reaches them: connections to checked addresses only."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import Iterable
from pathlib import Path

import aiohttp
from yarl import URL

from remit.errors import ConfigError
from remit.gateway.forward_addresses import CheckedResolver, Destinations, PrivateAddress
from remit.protocols.http_headers import HOP_BY_HOP

_KEEP_ALIVE = 15.0
_NOT_OURS = frozenset({"host", "alt-svc"})
"""The client makes the one from the URL; the other leads to where no proxy is."""
_LARGE = 2**20
"""Bytes from which on the client wants to send a body in pieces."""
_OWN = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class NotReached(Exception):  # noqa: N818 - what happened
    """The request certainly did not get there. ``code`` is one word for programs."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


class NotAnswered(Exception):  # noqa: N818 - what happened
    """The request was sent, and no answer came."""


def trusted_roots(extra: Path | None) -> ssl.SSLContext:
    """How servers outside are checked: by the roots of the system, and those in ``extra``.

    Raises:
        ConfigError: ``extra`` cannot be read.
    """
    context = ssl.create_default_context()
    if extra is not None:
        try:
            context.load_verify_locations(extra)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"egress.upstream_ca: {extra}: {error}") from None
    return context


class OutsideServers:
    """Sends requests to servers outside, one at a time on each connection."""

    def __init__(
        self, destinations: Destinations, roots: ssl.SSLContext, *, connect: float, silence: float
    ) -> None:
        """Get ready; nothing is connected yet. Must be made in the event loop.

        Args:
            destinations: says where connections may go.
            roots: how certificates are checked.
            connect: seconds that it may take to connect.
            silence: seconds that a server may say nothing.
        """
        self._destinations = destinations
        self._patience = connect
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                ssl=roots,
                keepalive_timeout=_KEEP_ALIVE,
                use_dns_cache=False,
                resolver=CheckedResolver(destinations),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(
                total=None, connect=None, sock_connect=connect, sock_read=silence
            ),
            skip_auto_headers=_OWN,
            read_bufsize=2**18,
        )

    async def send(
        self, method: str, url: URL, headers: Iterable[tuple[str, str]], body: bytes
    ) -> aiohttp.ClientResponse:
        """Send a request; its answer once the head of that is there. To be closed by the caller.

        Redirects are answers like any other: whoever follows one is decided on again.

        Raises:
            NotReached: it certainly did not get there.
            NotAnswered: it may have.
        """
        host = url.host or ""
        try:
            if url.host_subcomponent and _is_literal(host):  # these are looked up by nobody
                await self._destinations.addresses(host, url.port or 0)
            return await self._session.request(
                method,
                url,
                data=io.BytesIO(body) if len(body) > _LARGE else body or None,
                headers=list(headers),
                allow_redirects=False,
            )
        except PrivateAddress as inside:
            raise NotReached("private-address", f"{inside}.") from None
        except aiohttp.ClientConnectorDNSError as error:
            if isinstance(error.os_error, PrivateAddress):
                raise NotReached("private-address", f"{error.os_error}.") from None
            raise NotReached("unreachable", f"The name {host} is not known.") from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotReached("unreachable", f"{host} cannot be reached: {_kind(error)}.") from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NotAnswered(f"{host} did not answer: {_kind(error)}.") from None

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


def end_to_end(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers without those of one connection, and without what only Remit may say."""
    return [
        (name, value)
        for name, value in pairs
        if (lower := name.lower()) not in HOP_BY_HOP
        and lower not in _NOT_OURS
        and not lower.startswith("x-remit-")
    ]


async def open_tunnel(
    destinations: Destinations, host: str, port: int, end: asyncio.Protocol, patience: float
) -> asyncio.Transport:
    """Connect ``end`` with a host, at the first of its addresses that answers.

    Raises:
        NotReached: none may be, or can be.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await destinations.addresses(host, port)
    except PrivateAddress as inside:
        raise NotReached("private-address", f"{inside}.") from None
    except OSError:
        raise NotReached("unreachable", f"The name {host} is not known.") from None
    for address in found:
        try:
            async with asyncio.timeout(patience):
                transport, _ = await loop.create_connection(lambda: end, str(address), port)
                return transport
        except (OSError, TimeoutError):
            continue
    raise NotReached("unreachable", f"{host} cannot be reached.")


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _kind(error: BaseException) -> str:
    """What kind of failure it was. Its message may name addresses inside: not for agents."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "its TLS certificate is not good"
    return "the connection failed"
