"""What every part of the API is written against: routes, calls, replies and problems.

A part of the API is a table ``ROUTES`` and the functions that it names. A function takes a
``Call`` (who asks, what for, with the server's parts at hand) and returns a ``Reply`` or raises.
The authorisation matrix and the OpenAPI document are made from the same tables. There is no HTTP
library in here: ``remit.api.http`` carries these over.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from time import monotonic
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from msgspec import Struct, field

from remit.api.state import Changes, Health, PolicyInForce
from remit.config import Config
from remit.credentials import Right
from remit.governor import Governor
from remit.guard.checkpoints import Checkpointer
from remit.identity.delegation import DelegationRoot
from remit.identity.model import Identity, RequestFacts
from remit.storage import Snapshot, Store, Transaction
from remit.storage.bridge import result
from remit.storage.fleet import Fleet

T = TypeVar("T")

JSON_MEDIA = "application/json"


class Access(enum.Enum):
    """Who may call a route for which no right is needed."""

    PUBLIC = "public"


PUBLIC = Access.PUBLIC
"""Anybody may call it, without a credential."""

ANY_RIGHT = frozenset(Right)
"""Every credential may call it, whatever its rights."""


class Authenticates(Protocol):
    """Finds out who sends a request."""

    @property
    def root(self) -> DelegationRoot:
        """The key that delegation tokens are minted with."""
        ...

    async def authenticate(self, facts: RequestFacts) -> Identity:
        """Whose request it is.

        Raises:
            AuthenticationError: it carries no credential, or none that is good.
        """
        ...


class Measures(Protocol):
    """Is told of every request that was answered, and of every write."""

    def answered(self, route: Route, status: int, seconds: float) -> None:
        """One request was answered."""
        ...

    def committed(self, seconds: float) -> None:
        """One write is durable; the seconds since it was asked for."""
        ...

    async def text(self, parts: Parts) -> bytes:
        """All that was measured, in the text format of Prometheus."""
        ...


class Parts(Struct, frozen=True, kw_only=True):
    """The parts of a running server that handlers work with."""

    config: Config
    store: Store
    governor: Governor
    policies: PolicyInForce
    checkpointer: Checkpointer
    authenticator: Authenticates
    clock: Callable[[], int]
    """Nanoseconds since the Unix epoch."""
    entropy: Callable[[int], bytes]
    """That many random bytes, fit for secrets."""
    changes: Changes = field(default_factory=Changes)
    faults: Health = field(default_factory=Health)
    measures: Measures | None = None
    fleet: Fleet | None = None
    """The nodes over the same database; None where the store is this server's own."""

    @property
    def leads(self) -> bool:
        """Whether this server does what one of a fleet does for all."""
        return self.fleet is None or self.fleet.leads

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a transaction; its value once the commit is durable.

        When the caller goes away, the transaction goes on all the same.

        Raises:
            StoreError: nothing that ``work`` did has happened.
        """
        if self.measures is None:
            return await result(self.store.submit(work))
        begun = monotonic()
        value = await result(self.store.submit(work))
        self.measures.committed(monotonic() - begun)
        return value

    async def read(self, work: Callable[[Snapshot], T]) -> T:
        """Run ``work`` on a consistent view, in a thread: it may take its time."""
        return await asyncio.to_thread(self.store.read, work)


class Reply(Struct, frozen=True, kw_only=True):
    """The answer to a call that went well."""

    body: Any = None
    """A value of the route's ``reply`` type, sent as JSON; bytes are sent as they are."""
    status: int = 0
    """0 stands for the route's."""
    headers: Mapping[str, str] = field(default_factory=dict)
    media: str = ""
    """Media type; empty stands for the route's."""
    stream: AsyncIterator[bytes] | None = None
    """Instead of ``body``: parts of a body that are sent as they come."""


class Call(Struct, frozen=True, kw_only=True):
    """One request for one route, authenticated, allowed and decoded."""

    parts: Parts
    route: Route
    who: Identity | None
    """None only where the route is public and no credential came along."""
    params: Mapping[str, str]
    """Of the path, percent-decoded, by name."""
    query: Any
    """A value of the route's ``query`` type; None where it has none."""
    body: Any
    """A value of the route's ``body`` type; None where it has none."""
    raw: bytes
    """The body as it was sent."""
    headers: Mapping[str, str]
    """By name, in any case. Where one came twice, the first."""
    request_id: str
    base_url: str
    """Where clients reach this server: ``https://host`` without a slash at the end."""

    @property
    def identity(self) -> Identity:
        """Who calls. For routes that are not public."""
        if self.who is None:
            raise Problem(401, "unauthenticated", "Send a credential with this request.")
        return self.who


Handler: TypeAlias = Callable[[Call], Awaitable[Reply]]


class Route(Struct, frozen=True, kw_only=True):
    """One row of the API: where, who may, what goes in, what comes out."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    """A template: ``/v1/approvals/{id}``; a last ``{rest...}`` takes all segments that follow."""
    handler: Handler
    rights: frozenset[Right] | Access
    """Any one of these is enough. The handler checks whatever depends on what is asked for."""
    summary: str
    """One line, for the OpenAPI document."""
    description: str = ""
    tag: str = ""
    """Which part of the API it belongs to, for the OpenAPI document."""
    body: Any = None
    """Type of the JSON body (a Struct, a list, a union); None where no body is taken.

    A struct says itself whether unknown members are refused (``forbid_unknown_fields``).
    """
    body_optional: bool = False
    """Whether the body may be left out; the call then has ``body`` None."""
    wrong_media: int = 415
    """Status of the refusal of a body that is not declared to be JSON."""
    query: type[Struct] | None = None
    """Type of the query, decoded leniently from text; None where no query is taken."""
    reply: Any = None
    """Type of the body of a good answer; None where it has none."""
    status: int = 200
    media: str = JSON_MEDIA
    """Media type of a good answer."""
    streams: bool = False
    """Whether the answer is a ``stream``."""
    also: tuple[int, ...] = ()
    """Further statuses that a body of type ``reply`` is sent with, for the OpenAPI document."""
    problems: tuple[int, ...] = ()
    """Statuses of the problems that this route has of its own, for the OpenAPI document."""
    bodies: int = 1
    """How many times ``limits.body`` a body may have: for what repeats an earlier body and adds
    something as large."""
    waits: float = 0.0
    """Seconds that the handler may wait by design (long polls), on top of the request time."""


class ProblemBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The members of ``application/problem+json`` (RFC 9457) that every problem has."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    """What went wrong, for programs: ``not-found``, ``paths-needed``, ..."""
    request_id: str = ""


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """An answer that is an error (RFC 9457). Raised by handlers, never seen outside the server."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
        type_uri: str | None = None,
    ) -> None:
        """Describe what went wrong.

        Args:
            status: HTTP status, 400 to 599.
            code: lower-case words joined by ``-``, for programs.
            detail: what happened and what to do next, for people.
            headers: to send with it.
            members: extension members of the document; none of those of ``ProblemBody``.
            type_uri: where a standard prescribes the ``type``; None: one of Remit's, by ``code``.
        """
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = dict(members or {})
        self.type_uri = type_uri or f"urn:remit:problem:{code}"
        super().__init__(f"{status} {code}: {detail}")

    def document(self, request_id: str) -> dict[str, Any]:
        """The JSON object to send."""
        return {
            "type": self.type_uri,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
            **self.members,
        }
