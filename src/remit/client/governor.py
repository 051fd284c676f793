"""The API of a governor elsewhere, typed: what the server answers, or the error it stands for."""

from __future__ import annotations

import enum
import os
from itertools import count
from typing import TypeVar
from urllib.parse import quote

import msgspec

from remit.client.connection import Response
from remit.client.transport import Transport
from remit.errors import (
    AuthenticationError,
    Denied,
    InvalidRequest,
    RemitError,
    SettlementError,
    Unavailable,
)
from remit.model import ActionId, ApprovalId, Effect, Reason, SessionId
from remit.protocols.wire import (
    ALREADY_SETTLED,
    PATHS_NEEDED,
    AdmissionReply,
    AdmitBody,
    HeldReply,
    ProblemReply,
    SaidBody,
    SessionOpening,
    SessionReply,
    SettleBody,
    SettlementReply,
)

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_session = msgspec.json.Decoder(SessionReply)
_admission = msgspec.json.Decoder(AdmissionReply)
_settlement = msgspec.json.Decoder(SettlementReply)
_held = msgspec.json.Decoder(HeldReply)
_problem = msgspec.json.Decoder(ProblemReply)


class Unsettled(enum.Enum):
    """Why an outcome was not recorded now."""

    BEFORE = "before"
    """One was recorded before."""
    TOO_LARGE = "too-large"
    """The server does not take a body of that size."""


class GovernorClient:
    """Calls the server; blocking. May be shared by threads.

    Every method raises ``Unavailable`` when the server does not answer, ``AuthenticationError``
    when it does not believe the credential, and ``Denied`` when that is not enough.
    """

    def __init__(self, transport: Transport, name: str) -> None:
        """Call a server through ``transport``.

        Args:
            transport: the way there.
            name: what no other client is called: keys of requests begin with it.
        """
        self._transport = transport
        self._name = name
        self._numbers = count()

    def new_key(self) -> str:
        """A key for one request, so that it can be sent again."""
        # In order, so that the keys of one client stay close together in the server's index.
        # A forked child counts on from where its parent was; its process tells them apart.
        return f"{self._name}-{os.getpid():x}-{next(self._numbers):x}"

    def open_session(self, asked: SessionOpening, key: str) -> SessionReply:
        """Open a session.

        Raises:
            InvalidRequest: it cannot be opened so.
        """
        return _read(self._transport.ask("POST", "/v1/sessions", _encode(asked), key=key), _session)

    def session(self, session: SessionId) -> SessionReply | None:
        """A session as it stands; None when there is no such session of the caller's."""
        response = self._transport.ask("GET", f"/v1/sessions/{quote(session, safe='')}")
        return None if response.status == 404 else _read(response, _session)

    def say(self, session: SessionId, text: str, key: str) -> SessionReply:
        """Tell what the user said in a session.

        Raises:
            Denied: this credential may not.
            InvalidRequest: it cannot be taken in.
        """
        path = f"/v1/sessions/{quote(session, safe='')}/say"
        body = _encode(SaidBody(text=text))
        return _read(self._transport.ask("POST", path, body, key=key), _session)

    def end_session(self, session: SessionId) -> SessionReply:
        """End a session.

        Raises:
            InvalidRequest: there is no such session of the caller's.
        """
        path = f"/v1/sessions/{quote(session, safe='')}/end"
        return _read(self._transport.ask("POST", path), _session)

    def admit(self, asked: AdmitBody, key: str) -> AdmissionReply | None:
        """Ask for a call; None when the real paths in its arguments have to come with it.

        Raises:
            InvalidRequest: it cannot be decided.
        """
        response = self._transport.ask("POST", "/v1/admit", _encode(asked), key=key)
        if response.status == 409 and _told(response).code == PATHS_NEEDED:
            return None
        return _read(response, _admission)

    def settle(self, body: SettleBody, key: str) -> SettlementReply | Unsettled:
        """Report an outcome.

        Raises:
            SettlementError: it does not belong to an admission of the caller's.
        """
        response = self._transport.ask("POST", "/v1/settle", _encode(body), key=key)
        if response.status == 409 and _told(response).code == ALREADY_SETTLED:
            return Unsettled.BEFORE
        if response.status == 413:
            return Unsettled.TOO_LARGE
        return _read(response, _settlement)

    def approval(self, approval: ApprovalId, wait: float) -> HeldReply | None:
        """How an approval stands, after up to ``wait`` seconds in which it does not change."""
        path = f"/v1/approvals/{quote(approval, safe='')}?wait={wait:.3f}"
        response = self._transport.ask("GET", path, patience=wait)
        return None if response.status == 404 else _read(response, _held)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


def settle_key(action: ActionId) -> str:
    """The key of the one outcome of an action: whoever reports it, and however often."""
    return f"settle-{action}"


def _read(response: Response, decoder: msgspec.json.Decoder[T]) -> T:
    if response.status not in (200, 201):
        raise _error(response)
    try:
        return decoder.decode(response.body)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"The server's answer cannot be read ({error}).") from error


def _told(response: Response) -> ProblemReply:
    try:
        return _problem.decode(response.body)
    except msgspec.MsgspecError:
        return ProblemReply(detail=f"It answered {response.status}, and did not say why.")


def _error(response: Response) -> RemitError:
    """The error that an answer stands for."""
    told, status = _told(response), response.status
    if status == 401:
        return AuthenticationError(told.detail)
    if status == 403:
        reason = Reason(rule=told.code, effect=Effect.DENY, because=told.detail)
        return Denied(told.detail, reasons=(reason,))
    if status == 409:
        return SettlementError(told.detail)
    if 400 <= status < 500:
        return InvalidRequest(told.detail)
    return Unavailable(f"The server failed: {told.detail}")
