"""Signing in: with the one-time link of the first admin, with an API key, or with a provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from remit import custody
from remit.api.frame import PUBLIC, Call, Parts, Reply, Route
from remit.console import pages
from remit.console.oidc import Inbound, Provider
from remit.console.pages import PREFIX
from remit.console.visitors import Visitors, cookie_of, stamped
from remit.credentials import Right
from remit.errors import AuthenticationError, InvalidRequest
from remit.identity.keys import IssuedKey
from remit.identity.model import Identity, RequestFacts
from remit.journal import Journal
from remit.model import Principal
from remit.storage import Transaction

_SECOND = 1_000_000_000
_ALL = frozenset({Right.ADMIN, Right.AUDITOR, Right.EDITOR, Right.REVIEWER})


class KeyForm(Struct, frozen=True, kw_only=True):
    """Signing in with an API key."""

    key: Annotated[str, Meta(max_length=20_000)]


class StartForm(Struct, frozen=True, kw_only=True):
    """Becoming the first admin."""

    secret: Annotated[str, Meta(max_length=200)]
    name: Annotated[str, Meta(max_length=200)]


class NoFields(Struct, frozen=True, kw_only=True):
    """A form that is only a button."""


class SignIn:
    """The pages on which nobody is known yet."""

    def __init__(self, parts: Parts, visitors: Visitors, provider: Provider | None) -> None:
        self._parts = parts
        self._visitors = visitors
        self._provider = provider

    @property
    def routes(self) -> Sequence[Route]:
        """The pages."""
        found = [
            _public("GET", "login", self.form, "Sign in"),
            _public("POST", "login", self.with_key, "Sign in with an API key", KeyForm),
            _public("GET", "start", self.welcome, "Become the first admin"),
            _public("POST", "start", self.start, "Become the first admin", StartForm),
            _public("POST", "logout", self.leave, "Sign out", NoFields),
            _public("GET", "", self.first, "The first page"),
        ]
        if self._provider is not None:
            found += [
                _public("GET", "oidc", self.depart, "Go to the provider"),
                _public("GET", "oidc/back", self.back, "Come back from it", query=Inbound),
            ]
        return found

    async def form(self, call: Call) -> Reply:
        """The page to sign in on."""
        if call.who is not None:
            return pages.to(pages.home(call.who.rights))
        return self._form(call)

    async def first(self, call: Call) -> Reply:
        """The page that somebody sees first."""
        if call.who is None:
            return pages.to("login")
        return pages.to(pages.home(call.who.rights))

    async def with_key(self, call: Call) -> Reply:
        """Take a key."""
        facts = RequestFacts(transport="tcp", authorization=(f"Bearer {call.body.key.strip()}",))
        try:
            identity = await self._parts.authenticator.authenticate(facts)
        except AuthenticationError as error:
            return self._form(call, 401, str(error))
        return self._welcomed(call, identity)

    async def welcome(self, call: Call) -> Reply:
        """The page behind the one-time link; the secret is behind its ``#`` and not sent."""
        return pages.fragment(call, "start.html", problem="", secret="", name="")

    async def start(self, call: Call) -> Reply:
        """Exchange the secret, once, for a key with every right of a person, shown once."""
        asked: StartForm = call.body
        try:
            issued = await self._parts.write(lambda t: _exchanged(call, t, asked))
        except (AuthenticationError, InvalidRequest) as error:
            return pages.fragment(
                call, "start.html", 422, problem=str(error), secret=asked.secret, name=asked.name
            )
        facts = RequestFacts(transport="tcp", authorization=(f"Bearer {issued.text}",))
        identity = await self._parts.authenticator.authenticate(facts)
        reply = pages.fragment(call, "started.html", key=issued.text, name=asked.name)
        return Reply(body=reply.body, media=reply.media, headers=self._cookie(call, identity))

    async def leave(self, call: Call) -> Reply:
        """Sign out."""
        token = cookie_of(call.headers)
        if token is not None:
            self._visitors.leave(token)
        headers = {"Location": f"{PREFIX}/login", "Set-Cookie": stamped("", 0, call.base_url)}
        return Reply(body=b"", status=303, media=pages.HTML, headers=headers)

    async def depart(self, call: Call) -> Reply:
        """Go to the provider."""
        assert self._provider is not None
        departure = self._provider.depart(f"{call.base_url}{PREFIX}/oidc/back", call.parts.clock())
        headers = {"Location": departure.url, "Set-Cookie": departure.cookie(call.base_url)}
        return Reply(body=b"", status=303, media=pages.HTML, headers=headers)

    async def back(self, call: Call) -> Reply:
        """Come back with a code."""
        assert self._provider is not None
        try:
            token = await self._provider.arrive(call.query, call.headers, call.parts.clock())
            facts = RequestFacts(transport="tcp", authorization=(f"Bearer {token}",))
            identity = await self._parts.authenticator.authenticate(facts)
        except AuthenticationError as error:
            return self._form(call, 401, str(error))
        return self._welcomed(call, identity)

    def _form(self, call: Call, status: int = 200, problem: str = "") -> Reply:
        label = None if self._provider is None else self._provider.label
        return pages.fragment(call, "login.html", status, problem=problem, provider=label)

    def _welcomed(self, call: Call, identity: Identity) -> Reply:
        if not identity.rights & pages.PEOPLE:
            kind = identity.principal.kind
            return self._form(
                call, 403, f"This credential is good, but the {kind} has no right in the console."
            )
        headers = self._cookie(call, identity)
        headers["Location"] = f"{PREFIX}/{pages.home(identity.rights)}"
        return Reply(body=b"", status=303, media=pages.HTML, headers=headers)

    def _cookie(self, call: Call, identity: Identity) -> dict[str, str]:
        seconds = int(self._parts.config.console.session)
        token = self._visitors.admit(identity, self._parts.clock() + seconds * _SECOND)
        return {"Set-Cookie": stamped(token, seconds, call.base_url)}


def _exchanged(call: Call, t: Transaction, asked: StartForm) -> IssuedKey:
    """One key for the first admin that also lets them read, review and edit; all recorded."""
    journal = Journal.begin(t, call.parts.clock(), call.parts.entropy)
    name = asked.name.strip()
    first = custody.exchange_bootstrap(journal, asked.secret.strip(), name)
    by = Principal(id=name, kind="person", known="authenticated")
    full = custody.add_key(
        journal, by, principal=name, kind="person", rights=_ALL, note="console, first admin"
    )
    custody.revoke_key(journal, by, first.credential.id)
    return full


def _public(
    method: str,
    path: str,
    handler: object,
    summary: str,
    body: type[Struct] | None = None,
    query: type[Struct] | None = None,
) -> Route:
    return Route(
        method=method,  # type: ignore[arg-type]
        path=f"{PREFIX}/{path}",
        handler=handler,  # type: ignore[arg-type]
        rights=PUBLIC,
        summary=summary,
        body=body,
        query=query,
    )
