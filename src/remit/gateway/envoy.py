"""Deciding for Envoy (``ext_authz``): Envoy carries the traffic, and asks before each request.

Both forms, over HTTP (``envoy_http``) and over gRPC (``envoy_grpc``), end here. Envoy never says
what came of a request, so an action is admitted and settled before Envoy is answered: it happens,
nobody knows with what outcome. It is charged in full, and its labels count from then on. What could
only be enforced by a look at the answer is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from remit.api.frame import Parts, Problem
from remit.config.egress import EnvoyConfig
from remit.credentials import Right
from remit.errors import (
    AuthenticationError,
    Denied,
    InvalidRequest,
    Refused,
    RemitError,
    Unavailable,
)
from remit.gateway.hosted import HostedAuthority
from remit.gateway.llm_sessions import (
    AGENT_HEADER,
    SESSION_HEADER,
    TASK_HEADER,
    CredentialSessions,
)
from remit.guard.authority import Proposed
from remit.guard.calls import Caller
from remit.guard.governing import ClosedCall
from remit.guard.refusals import refusal
from remit.guard.steps import run_async
from remit.identity.model import Identity, RequestFacts
from remit.model import AccessRequest, Admission, Outcome
from remit.protocols.http import HttpAction, HttpReading, action_of, read_exchange
from remit.protocols.http_target import read_origin, read_target

OURS = "x-remit-"
"""How headers begin that only Remit may set."""
_UNSEEN = "Envoy does not tell what came of it"
_RESULTS = (
    f"policy has rules on what it returns, and {_UNSEEN}; reach it through a gateway of Remit that "
    "sees answers"
)
_PARTIAL = "x-envoy-auth-partial-body"


class CheckedRequest(Struct, frozen=True, kw_only=True):
    """A request that Envoy asks about."""

    method: str
    authority: str
    path: str
    """With the query, as Envoy would send it on."""
    headers: tuple[tuple[str, str], ...]
    """As the client sent them; no pseudo-headers of HTTP/2."""
    body: bytes


class LetThrough(Struct, frozen=True, kw_only=True):
    """What Envoy is to change in a request that it may send on."""

    put: tuple[tuple[str, str], ...]
    """Headers to set, whatever the client sent under their names."""
    remove: tuple[str, ...]
    """Headers to take out."""


class EnvoyDecisions:
    """Decides on requests that pass through an Envoy."""

    def __init__(self, parts: Parts, config: EnvoyConfig, sessions: CredentialSessions) -> None:
        """Put the parts together, in the event loop.

        Args:
            parts: of the server.
            config: ``[envoy]``.
            sessions: those that other gateways of the server work in, too.
        """
        self.parts = parts
        self.config = config
        self._authority = HostedAuthority(parts)
        self._sessions = sessions
        self._reading = HttpReading(headers=config.headers)

    async def identity(self, headers: Iterable[tuple[str, str]]) -> Identity:
        """Whose request it is, by the header that agents show their key in.

        Raises:
            Problem: 401 or 403: nobody's who may send it.
        """
        wanted = self.config.credential
        found = [value for name, value in headers if name.lower() == wanted]
        if len(found) != 1:
            raise Problem(401, "unauthenticated", f"Send your Remit key, once, in {wanted}.")
        key = found[0].strip(" ")
        if key[:7].lower() == "bearer ":
            key = key[7:]
        try:
            identity = await self.parts.authenticator.authenticate(
                RequestFacts(transport="tcp", authorization=(f"Bearer {key}",))
            )
        except AuthenticationError as unknown:
            raise Problem(401, "unauthenticated", str(unknown)) from None
        if Right.AGENT not in identity.rights:
            raise Problem(403, "forbidden", "This takes a credential with the right agent.")
        return identity

    async def decide(
        self, asked: CheckedRequest, identity: Identity, *, headers: bool
    ) -> LetThrough:
        """Have one request decided on, recorded, and charged.

        Args:
            asked: the request.
            identity: whose it is.
            headers: whether Envoy can be relied on to change any header. Over HTTP it changes those
                that its configuration lists, and nobody would notice a missing one.

        Raises:
            Problem: or a RemitError, or HttpFault: it must not be sent on.
        """
        given = {name.lower(): value for name, value in asked.headers}
        if given.get(_PARTIAL, "false").lower() != "false":
            raise Problem(413, "too-large", "Envoy does not show all of the body.")
        caller = await self._sessions.caller_of(
            identity,
            session=given.get(SESSION_HEADER.lower()),
            agent=given.get(AGENT_HEADER.lower()),
            task=given.get(TASK_HEADER.lower()),
            trace=given.get("traceparent"),
        )
        action = self._read(asked)
        closed = await self._closed(caller, action, headers)
        put = {
            "x-remit-agent": caller.principal.id,
            "x-remit-session": caller.session,
            "x-remit-action": closed.answer.admission.id,
        }
        user = caller.principal.user
        if user is not None:
            put["x-remit-user"] = user.id
        assert closed.ran is not None
        assert closed.settlement is not None
        if closed.settlement.labels:
            put["x-remit-labels"] = ",".join(closed.settlement.labels)
        put.update(_changed(action, closed.ran.arguments))
        remove = {
            name.lower()
            for name, _ in asked.headers
            if name.lower().startswith(OURS) or name.lower() == self.config.credential
        }
        return LetThrough(put=tuple(put.items()), remove=tuple(sorted(remove - put.keys())))

    def _read(self, asked: CheckedRequest) -> HttpAction:
        own = self.config.credential
        pairs = [
            (name, value)
            for name, value in asked.headers
            if name.lower() != own and not name.lower().startswith(("x-envoy-", OURS))
        ]
        origin = read_origin("https" if self.config.tls else "http", asked.authority)
        if origin.authority not in self.config.hosts:
            raise Problem(
                421, "misdirected", "Nothing is decided for this host; see hosts in [envoy]."
            )
        target = read_target(asked.path)
        read = read_exchange(asked.method, origin, target, pairs, asked.body, self._reading)
        return action_of(read)

    async def _closed(self, caller: Caller, action: HttpAction, headers: bool) -> ClosedCall:
        """Have it decided on and settled: it is about to happen, and nobody will say how it went.

        Raises:
            Refused: it must not be sent on.
        """
        name = action.action.name
        need = self.parts.policies.needs.of(name)
        looks = need.result_rules or need.results is not None

        def closing(ran: AccessRequest, admission: Admission) -> Outcome:
            problem = _unfit(action, ran.arguments, headers)
            if looks or _on_result(admission):
                problem = _RESULTS
            status: Literal["unknown", "not-run"] = "unknown" if problem is None else "not-run"
            return Outcome(status=status, error=problem or _UNSEEN)

        proposed = Proposed(caller=caller, action=action.action, arguments=action.arguments)
        try:
            closed = await run_async(self._authority.admit_closed(proposed, closing))
        except (Refused, InvalidRequest):
            raise
        except RemitError as error:
            raise Unavailable(f"{name} was not run: {error}") from error
        admission = closed.answer.admission
        if not admission.granted:
            refused = refusal(closed.answer.refusal, admission)
            if isinstance(refused, Denied):
                self._sessions.refused(caller.session, refused)
            raise refused
        assert closed.outcome is not None
        if closed.outcome.status == "not-run":
            told = f"{name} was not run: {closed.outcome.error}."
            raise Denied(told, admission=admission)
        return closed


def _on_result(admission: Admission) -> bool:
    """Whether an obligation is to be carried out on what comes back."""
    obligations = admission.decision.obligations
    return any(each.target.partition(".")[0] == "result" for each in obligations)


def _unfit(action: HttpAction, arguments: Mapping[str, Any], headers: bool) -> str | None:
    """What policy changes that Envoy cannot; None: nothing."""
    if arguments is action.arguments:
        return None
    kept = {"headers"} if headers else set()
    for name in {*arguments, *action.arguments} - kept:
        if arguments.get(name) != action.arguments.get(name):
            which = "headers only" if headers else "no headers but Remit's own over HTTP"
            return (
                f"policy changes args.{name}, and Envoy can change {which}; reach it through "
                "another gateway of Remit, or write the rule as a deny"
            )
    return None


def _changed(action: HttpAction, arguments: Mapping[str, Any]) -> dict[str, str]:
    """Headers as policy wants them, where it wants them changed."""
    before: Mapping[str, Any] = action.arguments.get("headers", {})
    after: Mapping[str, Any] = arguments.get("headers", {})
    return {name: str(value) for name, value in after.items() if before.get(name) != value}
