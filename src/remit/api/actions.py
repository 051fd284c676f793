"""Sessions, admit and settle over HTTP: a governor for enforcement points elsewhere.

Every handler works out who acts from the credential; what a client says of that is only compared.
A session can be used only by the principal that it belongs to. Whatever is answered was durable
before.
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable
from time import monotonic
from typing import Any

from msgspec.structs import replace

from remit import canonical
from remit.api import news
from remit.api.acting import acting, opener, stranger
from remit.api.decoding import encoded
from remit.api.frame import Call, Problem, Reply, Route
from remit.api.repeats import repeatable
from remit.approvals import ApprovalState, state_at
from remit.credentials import Right
from remit.guard.inspecting import inspected, seen_in_call
from remit.guard.needs import ToolNeed
from remit.guard.refusals import refusal_text, withheld_text
from remit.identity.model import may_see, may_use, permits
from remit.model import (
    AccessRequest,
    ActionState,
    Admission,
    ApprovalId,
    Finding,
    Outcome,
    Principal,
    Session,
    SessionId,
)
from remit.protocols import wire
from remit.protocols.wire import (
    AdmissionReply,
    AdmitBody,
    SaidBody,
    SessionOpening,
    SessionReply,
    SettleBody,
    SettlementReply,
)
from remit.storage import Transaction


async def open_session(call: Call) -> Reply:
    """Open a session, or delegate from one."""
    asked: SessionOpening = call.body
    parts, identity, again = call.parts, call.identity, repeatable(call)
    policies = parts.policies.current
    principal = opener(identity, asked, policies)

    def work(t: Transaction) -> bytes:
        if asked.parent is not None:
            _usable(call, t.session(asked.parent))
        answered = again.found(t)
        if answered is None:
            session = parts.governor.open_session(
                t, principal, asked.intent, asked.parent, remit=asked.remit
            )
            answered = encoded(wire.session_reply(session, policies.revision))
            again.keep(t, answered)
        return answered

    return Reply(body=await parts.write(work))


async def show_session(call: Call) -> Reply:
    """A session as it stands."""
    wanted, identity = SessionId(call.params["id"]), call.identity
    session = await call.parts.read(lambda view: view.session(wanted))
    if session is None or not may_see(identity, session.principal, session.id):
        raise _no_session()
    return Reply(body=wire.session_reply(session, call.parts.policies.current.revision))


async def say(call: Call) -> Reply:
    """Take in what the user said, from whoever may say that."""
    wanted, parts, again = SessionId(call.params["id"]), call.parts, repeatable(call)
    asked: SaidBody = call.body
    revision = parts.policies.current.revision
    if not _speaks_for_users(call):
        raise Problem(
            403,
            "not-the-host",
            "An agent does not say what its user said. Let the host say it with a service's key, "
            'or set user_turns = "agents" under [sessions] (docs/information-flow.md).',
        )

    def work(t: Transaction) -> bytes:
        _usable(call, t.session(wanted))
        answered = again.found(t)
        if answered is None:
            session = parts.governor.say(t, wanted, asked.text)
            answered = encoded(wire.session_reply(session, revision))
            again.keep(t, answered)
        return answered

    return Reply(body=await parts.write(work))


def _speaks_for_users(call: Call) -> bool:
    """Whether the caller is trusted to tell the user's words from those of others."""
    if call.parts.config.sessions.user_turns == "agents":
        return True
    return call.identity.principal.kind == "service"


async def end_session(call: Call) -> Reply:
    """End a session; a second time changes nothing."""
    wanted, parts = SessionId(call.params["id"]), call.parts

    def work(t: Transaction) -> Session:
        _usable(call, t.session(wanted))
        return parts.governor.end_session(t, wanted)

    session = await parts.write(work)
    return Reply(body=wire.session_reply(session, parts.policies.current.revision))


async def admit(call: Call) -> Reply:
    """Decide on a call; if a person has to, wait for them as long as was asked for."""
    asked: AdmitBody = call.body
    deadline = monotonic() + asked.wait
    _check(call, arguments=asked.arguments, context=asked.context)
    answered, held = await _admitted(call, asked, waits=asked.wait > 0)
    while held is not None and await _decided(call, held, deadline):
        answered, held = await _admitted(call, asked, waits=monotonic() < deadline)
    return Reply(body=answered)


async def settle(call: Call) -> Reply:
    """Record what came of a call, once; decide whether its result may be shown."""
    asked: SettleBody = call.body
    parts, again = call.parts, repeatable(call)
    policies, name = parts.policies.current, asked.action.name
    need = parts.policies.needs.of(name)
    outcome: Outcome = asked.outcome
    _check(call, arguments=asked.arguments, context=asked.context, outcome_result=outcome.result)

    seen: tuple[Finding, ...] = ()
    if need.arguments is not None or need.results is not None:
        seen, outcome = await to_thread(_looked_into, need, asked)

    def work(t: Transaction) -> bytes:
        session = _usable(call, t.session(SessionId(asked.session)))
        answered = again.found(t)
        if answered is not None:
            return answered
        action = t.action(asked.id)
        settled = action is not None and action.state is ActionState.SETTLED
        if action is not None and settled and action.session == session.id:
            raise Problem(409, wire.ALREADY_SETTLED, f"The outcome of {asked.id} is on record.")
        principal = asked.principal or acting(call.identity, session.principal, policies)
        request = _with(asked.request(principal), seen)
        settlement = parts.governor.settle(t, asked.id, request, outcome)
        refusal = withheld_text(name, settlement) if settlement.withheld else ""
        reply = wire.settlement_reply(settlement, refusal=refusal, result_rules=need.result_rules)
        answered = encoded(reply)
        again.keep(t, answered)
        return answered

    answered = await parts.write(work)
    parts.checkpointer.settled()
    return Reply(body=answered)


async def _admitted(
    call: Call, asked: AdmitBody, *, waits: bool
) -> tuple[bytes, ApprovalId | None]:
    """Admit once: the answer, and what it waits for if it is not to be the last."""
    parts, again, needs = call.parts, repeatable(call), call.parts.policies.needs
    checkpointer, name = parts.checkpointer, asked.action.name
    session_id = SessionId(asked.session)
    if asked.resolved is None and needs.of(name).paths:
        raise Problem(
            409,
            wire.PATHS_NEEDED,
            f"Rules on {name} look at real paths. Send the call again with `resolved`: every "
            "string in the arguments, and the path it becomes with symbolic links followed.",
        )
    unsigned, need = checkpointer.failed, needs.of(name)
    seen: tuple[Finding, ...] = ()
    if need.arguments is not None:
        seen = await to_thread(seen_in_call, need, asked.arguments)

    def work(t: Transaction) -> tuple[bytes, ApprovalId | None]:
        principal = _principal(call, t.session(session_id))
        answered = again.found(t)
        if answered is not None:
            return answered, None
        if unsigned:
            checkpointer.require(t)
        objection = permits(call.identity, name, session_id, parts.clock())
        request = _with(asked.request(principal), seen)
        admission = parts.governor.admit(t, request, objection)
        answered = encoded(_reply(admission, name, principal, looks=needs.looks_at_result))
        held = None if admission.granted else admission.approval
        if held is None or not waits:
            again.keep(t, answered)
            return answered, None
        return answered, held

    result = await parts.write(work)
    if unsigned:
        checkpointer.recovered()
    return result


def _looked_into(need: ToolNeed, asked: SettleBody) -> tuple[tuple[Finding, ...], Outcome]:
    """What is found in a call, and its outcome with what is found in that."""
    return seen_in_call(need, asked.arguments), inspected(need, asked.outcome)


def _with(request: AccessRequest, seen: tuple[Finding, ...]) -> AccessRequest:
    """A request with what was found in it, beside what its edge has found."""
    return replace(request, findings=(*request.findings, *seen)) if seen else request


def _reply(
    admission: Admission, tool: str, principal: Principal, looks: Callable[[str, Admission], bool]
) -> AdmissionReply:
    if not admission.granted:
        refusal = refusal_text(tool, admission)
        return wire.admission_reply(admission, principal, refusal=refusal, looks_at_result=False)
    return wire.admission_reply(
        admission, principal, refusal="", looks_at_result=looks(tool, admission)
    )


async def _decided(call: Call, held: ApprovalId, deadline: float) -> bool:
    """Wait for people until the deadline; whether they have made up their minds."""
    parts = call.parts

    async def decided() -> bool | None:
        approval = await parts.read(lambda view: view.approval(held))
        pending = approval is not None and (
            state_at(approval, parts.clock()) is ApprovalState.PENDING
        )
        return None if pending else True

    return bool(await news.until(parts.changes, held, decided, deadline - monotonic()))


def _principal(call: Call, session: Session | None) -> Principal:
    """Who acts. In a session that is not theirs a caller is itself, so the governor refuses."""
    identity, policies = call.identity, call.parts.policies.current
    if session is None or not may_use(identity, session.principal, session.id):
        return stranger(identity, policies)
    return acting(identity, session.principal, policies)


def _usable(call: Call, session: Session | None) -> Session:
    """The session, if the caller may use it; else it does not exist for them.

    Raises:
        Problem: 404.
    """
    if session is None or not may_use(call.identity, session.principal, session.id):
        raise _no_session()
    return session


def _no_session() -> Problem:
    return Problem(404, "no-such-session", "There is no such session of yours. Open one first.")


def _check(call: Call, **values: Any) -> None:
    """Hold what a client sent to the limits that it has at every edge, by name.

    Raises:
        InvalidArgument: it is too large or too deep.
    """
    raw = call.raw
    # The body was read strictly; so small a one with so few brackets cannot be too deep either.
    if len(raw) < canonical.MAX_BYTES and raw.count(b"[") + raw.count(b"{") <= canonical.MAX_DEPTH:
        return
    for name, value in values.items():
        canonical.check(value, name.replace("_", "."))


_AGENT = frozenset({Right.AGENT})
_TAG = "actions"
_REPEATS = (
    "With an `Idempotency-Key` a request can be sent again: the same one gets the same answer for "
    "ten minutes at least and is not carried out twice; another one with the same key is refused."
)

ROUTES = (
    Route(
        method="POST",
        path="/v1/sessions",
        handler=open_session,
        rights=_AGENT,
        summary="Open a session",
        description=_REPEATS,
        tag=_TAG,
        body=SessionOpening,
        reply=SessionReply,
        status=201,
        problems=(403, 404, 422),
    ),
    Route(
        method="GET",
        path="/v1/sessions/{id}",
        handler=show_session,
        rights=frozenset({Right.AGENT, Right.AUDITOR}),
        summary="A session as it stands",
        tag=_TAG,
        reply=SessionReply,
        problems=(404,),
    ),
    Route(
        method="POST",
        path="/v1/sessions/{id}/say",
        handler=say,
        rights=_AGENT,
        summary="Say what the user said after the intent",
        description=f"For hosts: see `user_turns` in the configuration. {_REPEATS}",
        tag=_TAG,
        body=SaidBody,
        reply=SessionReply,
        problems=(403, 404, 422),
    ),
    Route(
        method="POST",
        path="/v1/sessions/{id}/end",
        handler=end_session,
        rights=_AGENT,
        summary="End a session",
        tag=_TAG,
        reply=SessionReply,
        problems=(404,),
    ),
    Route(
        method="POST",
        path="/v1/admit",
        handler=admit,
        rights=_AGENT,
        summary="Ask whether a call may run",
        description=f"Act only when the answer says `granted`. {_REPEATS}",
        tag=_TAG,
        body=AdmitBody,
        reply=AdmissionReply,
        problems=(409, 422),
        waits=wire.LONGEST_WAIT,
    ),
    Route(
        method="POST",
        path="/v1/settle",
        handler=settle,
        rights=_AGENT,
        summary="Record what came of a call",
        description=_REPEATS,
        tag=_TAG,
        body=SettleBody,
        bodies=3,  # arguments that were let in always fit, with the result beside them
        reply=SettlementReply,
        problems=(404, 409, 422),
    ),
)
