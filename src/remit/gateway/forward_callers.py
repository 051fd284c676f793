"""Who uses the forward proxy: authenticated for every request, in the session that it is of."""

from __future__ import annotations

from collections.abc import Sequence

from remit.api.frame import Parts, Problem
from remit.credentials import Right
from remit.errors import AuthenticationError, Denied
from remit.gateway.llm_sessions import CredentialSessions
from remit.guard.calls import Caller
from remit.identity.model import Identity, RequestFacts
from remit.protocols.http_connect import ProxyCredential, read_credential
from remit.protocols.http_target import HttpFault

CHALLENGE = (("Proxy-Authenticate", 'Basic realm="remit"'),)


class ProxyCallers:
    """Finds out who sends a request through the proxy."""

    def __init__(self, parts: Parts, sessions: CredentialSessions) -> None:
        self._parts = parts
        self._sessions = sessions

    async def caller(self, authorization: Sequence[str], trace: str | None = None) -> Caller:
        """Who calls, by the values of ``Proxy-Authorization``. Asked anew for every request.

        Raises:
            Problem: 407 or 403: nobody who may use the proxy; or the session is not the caller's.
            RemitError: it cannot be told, or no session could be opened.
        """
        try:
            shown = read_credential(authorization)
        except HttpFault as fault:
            raise _unknown(fault.message) from None
        identity = await self._identity(shown)
        agent = shown.agent if identity.principal.kind == "service" else None
        return await self._sessions.caller_of(
            identity, session=shown.session, agent=agent, trace=trace
        )

    def refused(self, caller: Caller, refusal: Denied) -> None:
        """Take note that a request was refused: an ended session is not used again."""
        self._sessions.refused(caller.session, refusal)

    async def alive(self, authorization: Sequence[str]) -> bool:
        """Whether the credential of an open tunnel is still good.

        Raises:
            RemitError: it cannot be told.
        """
        try:
            await self._identity(read_credential(authorization))
        except (Problem, HttpFault):
            return False
        return True

    async def _identity(self, shown: ProxyCredential) -> Identity:
        facts = RequestFacts(transport="tcp", authorization=(f"Bearer {shown.key}",))
        try:
            identity = await self._parts.authenticator.authenticate(facts)
        except AuthenticationError as unknown:
            raise _unknown(str(unknown)) from None
        if Right.AGENT not in identity.rights:
            raise Problem(403, "forbidden", "This takes a credential with the right agent.")
        return identity


def _unknown(detail: str) -> Problem:
    return Problem(407, "proxy-authentication", detail, headers=dict(CHALLENGE))
