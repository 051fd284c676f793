"""The authority elsewhere: a governor that is asked over a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from time import monotonic
from typing import Any

from msgspec.structs import replace

from remit.approvals import ApprovalState
from remit.client import GovernorClient, Unsettled, settle_key
from remit.client.threads import WorkerThreads
from remit.errors import SettlementError, Unavailable
from remit.guard.authority import Answer, Proposed, Ran, Settled
from remit.guard.calls import real_paths
from remit.guard.steps import Ask, Flow, Pause
from remit.model import AccessRequest, Action, ApprovalId, Finding, Session, SessionId, TaskRemit
from remit.protocols import wire
from remit.protocols.wire import (
    AdmissionReply,
    AdmitBody,
    AskedAction,
    HeldReply,
    SeenFinding,
    SessionOpening,
    SessionReply,
    SettleBody,
    SettledOutcome,
)

LONGEST_POLL = 25.0
"""Seconds that one request waits for a person: less than what stands in between may cut."""

_POLL_PAUSE = 0.25
_AWAY_PAUSE = 0.5
_MAX_TOOLS = 1024
_MAX_REQUESTS = 32
_MAX_POLLS = 1024


class RemoteAuthority:
    """Asks a server (``Authority``)."""

    def __init__(self, client: GovernorClient) -> None:
        self._client = client
        self._requests = WorkerThreads(_MAX_REQUESTS)
        # Whoever waits for a person takes no thread from those who do not.
        self._polls = WorkerThreads(_MAX_POLLS)
        self._paths: set[str] = set()
        """Tools whose calls the server wants real paths for."""

    def open_session(
        self,
        agent: str,
        user: str | None,
        intent: str | None,
        parent: SessionId | None,
        remit: TaskRemit | None = None,
    ) -> Flow[Session]:
        """Open a session, or with a ``parent`` delegate from it."""
        asked = SessionOpening(agent=agent, user=user, intent=intent, parent=parent, remit=remit)
        key = self._client.new_key()
        reply: SessionReply = yield self._ask(lambda: self._client.open_session(asked, key))
        return wire.session_of(reply)

    def say(self, session: SessionId, text: str) -> Flow[Session]:
        """Tell the server what the user said in a session."""
        key = self._client.new_key()
        reply: SessionReply = yield self._ask(lambda: self._client.say(session, text, key))
        return wire.session_of(reply)

    def end_session(self, session: SessionId) -> Flow[Session]:
        """End a session."""
        reply: SessionReply = yield self._ask(lambda: self._client.end_session(session))
        return wire.session_of(reply)

    def session(self, session: SessionId) -> Flow[Session | None]:
        """A session as it stands; None when there is no such session of the caller's."""
        reply: SessionReply | None = yield self._ask(lambda: self._client.session(session))
        return None if reply is None else wire.session_of(reply)

    def admit(self, proposed: Proposed, orphaned: Callable[[Answer], None]) -> Flow[Answer]:
        """Ask for a call. The answer is on the server's record before it comes."""
        tool = proposed.action.name
        resolved = real_paths(proposed.arguments) if tool in self._paths else None
        answer = yield from self._asked(proposed, resolved, orphaned)
        if answer is None and resolved is None:
            if len(self._paths) >= _MAX_TOOLS:
                self._paths.clear()
            self._paths.add(tool)
            resolved = real_paths(proposed.arguments)
            answer = yield from self._asked(proposed, resolved, orphaned)
        if answer is None:
            raise Unavailable(f"{tool} was not run: the server asks for real paths that it has.")
        return answer

    def answered(self, approval: ApprovalId, deadline: float) -> Flow[bool]:
        """Wait for people until a monotonic time; whether they have made up their minds.

        A server that goes away meanwhile is asked again when it is back.
        """
        while (left := deadline - monotonic()) > 0:
            wait, asked = min(left, LONGEST_POLL), monotonic()
            pause = _POLL_PAUSE
            try:
                held: HeldReply | None = yield self._poll(approval, wait)
            except Unavailable:
                pause = _AWAY_PAUSE
            else:
                if held is None:
                    return False
                if held.state is not ApprovalState.PENDING:
                    return True
                if monotonic() - asked >= wait:
                    continue
            yield Pause(max(0.0, min(pause, deadline - monotonic())))
        return False

    def settle(self, ran: Ran, finished: Callable[[Future[Any]], None]) -> Flow[Settled]:
        """Report an outcome."""

        def work() -> Settled:
            settled = self._settled(ran)
            if settled is None:
                raise SettlementError(f"the outcome of {ran.admission.id} was recorded before")
            return settled

        settled: Settled = yield Ask(work, lambda: self._requests.submit(work), finished)
        return settled

    def settle_again(self, ran: Ran) -> Flow[None]:
        """Report an outcome unless it was recorded before."""
        yield self._ask(lambda: self._settled(ran))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, work: Callable[[], Any]) -> Ask:
        return Ask(work, lambda: self._requests.submit(work))

    def _poll(self, approval: ApprovalId, wait: float) -> Ask:
        def work() -> HeldReply | None:
            return self._client.approval(approval, wait)

        return Ask(work, lambda: self._polls.submit(work))

    def _asked(
        self,
        proposed: Proposed,
        resolved: Mapping[str, str] | None,
        orphaned: Callable[[Answer], None],
    ) -> Flow[Answer | None]:
        """Ask for a call; None when the server wants real paths with it."""
        key = self._client.new_key()

        def work() -> Answer | None:
            reply = self._client.admit(_admit_body(proposed, resolved), key)
            return None if reply is None else _answer(proposed, resolved, reply)

        def abandoned(future: Future[Answer | None]) -> None:
            answer = None if future.exception() is not None else future.result()
            if answer is not None:
                orphaned(answer)

        answer: Answer | None = yield Ask(work, lambda: self._requests.submit(work), abandoned)
        return answer

    def _settled(self, ran: Ran) -> Settled | None:
        """Report an outcome, blocking; None when one was recorded before."""
        key, unread = settle_key(ran.admission.id), False
        reply = self._client.settle(_settle_body(ran), key)
        if reply is Unsettled.TOO_LARGE and ran.outcome.result is not None:
            # That it ran must be on record; what nobody looked at counts as unreadable.
            without = replace(ran, outcome=replace(ran.outcome, result=None))
            reply, unread = self._client.settle(_settle_body(without), f"{key}-unread"), True
        if reply is Unsettled.BEFORE:
            return None
        if isinstance(reply, Unsettled):
            raise SettlementError("the server takes no outcome of that size; raise limits.body")
        return Settled(
            settlement=wire.settlement_of(reply),
            refusal=reply.refusal,
            result_rules=reply.result_rules,
            unread=unread,
        )


def _action(action: Action) -> AskedAction:
    return AskedAction(name=action.name, kind=action.kind, schema=action.schema)


def _admit_body(proposed: Proposed, resolved: Mapping[str, str] | None) -> AdmitBody:
    caller, estimate = proposed.caller, proposed.estimate
    return AdmitBody(
        session=caller.session,
        action=_action(proposed.action),
        arguments=dict(proposed.arguments),
        context=dict(caller.context),
        resolved=None if resolved is None else dict(resolved),
        trace=caller.trace,
        estimate=None if estimate is None else wire.said_estimate(estimate),
        findings=_findings(proposed.findings),
    )


def _answer(
    proposed: Proposed, resolved: Mapping[str, str] | None, reply: AdmissionReply
) -> Answer:
    caller = proposed.caller
    request = AccessRequest(
        principal=reply.principal,
        session=caller.session,
        action=proposed.action,
        arguments=proposed.arguments,
        context=caller.context,
        findings=proposed.findings,
        resolved=resolved or {},
        estimate=proposed.estimate,
        trace=caller.trace,
    )
    return Answer(
        request=request,
        admission=wire.admission_of(reply),
        refusal=reply.refusal,
        looks_at_result=reply.looks_at_result,
    )


def _settle_body(ran: Ran) -> SettleBody:
    request, outcome = ran.request, ran.outcome
    assert outcome.status != "unknown", "only the governor says that nobody reported"
    return SettleBody(
        id=ran.admission.id,
        session=request.session,
        principal=request.principal,
        action=_action(request.action),
        arguments=dict(request.arguments),
        context=dict(request.context),
        findings=_findings(request.findings),
        resolved=dict(request.resolved),
        trace=request.trace,
        outcome=SettledOutcome(
            status=outcome.status,
            result=outcome.result,
            error=outcome.error,
            duration=outcome.duration,
            usage=None if outcome.usage is None else wire.said_usage(outcome.usage),
            findings=_findings(outcome.findings),
        ),
    )


def _findings(found: Iterable[Finding]) -> tuple[SeenFinding, ...]:
    return tuple(
        SeenFinding(kind=each.kind, where=each.where, message=each.message, sign=each.sign)
        for each in found
    )
