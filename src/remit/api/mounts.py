"""Where a gateway stands among the routes: everything under one prefix is its own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from aiohttp.web import BaseRequest, StreamResponse
from msgspec import Struct

from remit.api.frame import Access, Problem
from remit.config import Address
from remit.credentials import Right
from remit.identity.model import Identity, RequestFacts


class Passing(Struct, frozen=True, kw_only=True):
    """One request on its way through a mount: authenticated and entitled, nothing else."""

    request: BaseRequest
    """Its body is not read yet; nothing is answered yet."""
    who: Identity | None
    """None only where the mount is public, and finds out itself who asks."""
    facts: RequestFacts
    """What the connection shows of whoever is at its other end."""
    request_id: str
    base_url: str
    """Where clients reach this server: ``https://host`` without a slash at the end."""
    on_departure: Callable[[Callable[[], None]], None]
    """Has a function called, in the event loop, if the client goes away before it is answered."""

    @property
    def identity(self) -> Identity:
        """Who asks. For mounts that are not public."""
        if self.who is None:
            raise Problem(401, "unauthenticated", "Send a credential with this request.")
        return self.who


class Mount(Protocol):
    """Answers the requests under a prefix in the way of its protocol, not by the route tables."""

    @property
    def prefix(self) -> str:
        """One segment between slashes, such as ``/mcp/``."""
        ...

    @property
    def rights(self) -> frozenset[Right] | Access:
        """Any one of these is enough to get in; a public mount finds out itself who asks."""
        ...

    def credentials(self, request: BaseRequest) -> tuple[str, ...]:
        """What the request shows of its caller, as values of ``Authorization``.

        For clients that put their key elsewhere, ``Bearer`` and what stands there.
        """
        ...

    async def answer(self, passing: Passing) -> StreamResponse:
        """Answer, and send the answer or leave that to the server. The body is streamed as needed.

        Raises:
            Problem: or a RemitError: it is refused; ``refused`` words it.
        """
        ...

    def refused(self, request: BaseRequest, problem: Problem, request_id: str) -> StreamResponse:
        """The answer that says why a request was not passed on, not sent yet."""
        ...

    async def close(self) -> None:
        """End what is under way, and record it. Called once, before the store is closed."""
        ...


class Listener(Protocol):
    """A gateway with ports of its own, because its clients speak in a way of their own."""

    @property
    def name(self) -> str:
        """Its table in ``remit.toml``."""
        ...

    @property
    def places(self) -> Sequence[Address]:
        """Where the server is to open sockets for it; empty where it opens its own."""
        ...

    @property
    def active(self) -> int:
        """Requests that are being answered at this moment: waited for when the server ends."""
        ...

    async def start(self, opened: Sequence[socket.socket]) -> Sequence[str]:
        """Listen; the URLs at which it does.

        Raises:
            ConfigError: it cannot.
        """
        ...

    def stop(self) -> None:
        """Take no more connections; what is under way goes on."""
        ...

    async def close(self) -> None:
        """End what is under way, and record it. Called once, before the store is closed.

        Raises:
            RemitError: it could not be recorded.
        """
        ...
