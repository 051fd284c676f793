"""One request to a legacy API from beginning to end: decided, sent once, its answer decided on."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from time import monotonic
from typing import Any
from weakref import WeakValueDictionary

from msgspec import Struct
from msgspec.structs import replace

from remit.api.decoding import encoded
from remit.api.frame import Parts, Problem
from remit.api.http import PROBLEM_MEDIA
from remit.config.legacy import UpstreamCredential
from remit.errors import InvalidRequest
from remit.gateway.legacy_answers import ShownAnswer, seen_answer, shown_answer
from remit.gateway.legacy_broker import CredentialBroker, CredentialUnavailable
from remit.gateway.legacy_circuit import Circuit
from remit.gateway.legacy_repeats import KeyedRequest, RepeatedRequests
from remit.gateway.legacy_upstream import AnswerTooLarge, LegacyUpstream, UpstreamAnswer
from remit.gateway.llm_upstream import NotTakenOn, Unanswered
from remit.gateway.mcp_calls import timed
from remit.guard.authority import Proposed
from remit.guard.calls import Caller, Granted
from remit.guard.enforcement import Enforcement
from remit.guard.steps import run_async
from remit.model import Does, Outcome
from remit.protocols.http import HttpAction, HttpExchange, rewritten
from remit.protocols.http_target import HttpFault

_FAILING = (502, 503, 504)
"""Answers with which a server, or what is in front of it, says that it cannot answer."""


_NOT_DONE = (401, 425, 429)
"""Answers by which a server says that it did nothing, and that it may do it another time."""


class AskedRequest(Struct, frozen=True, kw_only=True):
    """A request that was taken apart, and how it is to be recognised when it comes again."""

    exchange: HttpExchange
    action: HttpAction
    key: str | None


class LegacyApi:
    """One server behind the reverse proxy, with all that is in front of it."""

    def __init__(
        self,
        parts: Parts,
        upstream: LegacyUpstream,
        broker: CredentialBroker,
        enforcement: Enforcement,
        repeats: RepeatedRequests,
    ) -> None:
        """Join the parts."""
        settings = upstream.settings
        self.settings = settings
        self.upstream = upstream
        self.enforcement = enforcement
        self.mount = f"/legacy/{settings.name}"
        self._parts = parts
        self._broker = broker
        self._repeats = repeats
        self._circuit = Circuit(settings.breaker.failures, settings.breaker.pause)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def does(self, action: HttpAction) -> tuple[Does, ...]:
        """What an action does: as policy declares it, else as the request itself says."""
        declared = self._parts.policies.current.tool(action.action.name)
        return declared.does if declared.declared else (action.does,)

    async def answer(self, caller: Caller, asked: AskedRequest) -> ShownAnswer:
        """Decide, send, decide on the answer. With a key: once, whatever happens.

        Raises:
            Problem: it was not sent, or nobody answered.
            RemitError: it is refused, or cannot be recorded.
        """
        if asked.key is None:
            return await self._decided(caller, asked, None)
        keyed = self._keyed(caller, asked, asked.key)
        lock = self._locks.setdefault(keyed.name, asyncio.Lock())
        async with lock:
            before = await keyed.before()
            if before is not None:
                return before
            return await self._decided(caller, asked, keyed)

    async def before(self, caller: Caller, asked: AskedRequest) -> ShownAnswer | None:
        """What a request with a key was answered before, if it was; nothing is sent.

        Raises:
            Problem: it was sent, and its answer cannot be shown.
        """
        assert asked.key is not None
        return await self._keyed(caller, asked, asked.key).before()

    def _keyed(self, caller: Caller, asked: AskedRequest, key: str) -> KeyedRequest:
        digest = _digest(asked.exchange)
        principal, name = caller.principal, self.settings.name
        return self._repeats.of(principal, caller.session, name, key, digest)

    async def _decided(
        self, caller: Caller, asked: AskedRequest, keyed: KeyedRequest | None
    ) -> ShownAnswer:
        self._ready()
        action = asked.action
        try:
            chosen = self._broker.choose(self.does(action))
        except CredentialUnavailable as missing:
            raise Problem(403, "no-credential", f"Not sent: {missing}.") from None
        known = None if chosen is None else chosen.name
        context = {"http": {**action.context["http"], "credential": known}}
        rewriting = _Rewriting(asked)
        granted = await run_async(
            self.enforcement.admit(
                Proposed(
                    caller=replace(caller, context={**caller.context, **context}),
                    action=action.action,
                    arguments=action.arguments,
                ),
                rewriting.accept,
            )
        )
        try:
            return await self._granted(granted, rewriting, chosen, keyed)
        except asyncio.CancelledError:
            self._circuit.left()
            self.enforcement.abandon(granted, timed(granted, Outcome(status="cancelled")))
            raise

    async def _granted(
        self,
        granted: Granted,
        rewriting: _Rewriting,
        chosen: UpstreamCredential | None,
        keyed: KeyedRequest | None,
    ) -> ShownAnswer:
        try:
            headers = rewriting.headers(self.settings.pass_headers)
            if chosen is not None:
                name, value = await self._broker.shown(chosen)
                headers = [each for each in headers if each[0].lower() != name.lower()]
                headers.append((name, value))
            if keyed is not None:
                await keyed.begin()
            if not self._circuit.enter(monotonic()):
                await self._freed(keyed)
                raise self._paused()
        except CredentialUnavailable as missing:
            await self._not_run(granted, str(missing))
            raise Problem(502, "no-credential", f"Not sent: {missing}.") from None
        except Exception as error:
            await self._not_run(granted, "it could not be sent")
            raise error
        answer = await self._sent(granted, rewriting, headers, chosen, keyed)
        return await self._settled(granted, rewriting, answer, chosen, keyed)

    async def _sent(
        self,
        granted: Granted,
        rewriting: _Rewriting,
        headers: list[tuple[str, str]],
        chosen: UpstreamCredential | None,
        keyed: KeyedRequest | None,
    ) -> UpstreamAnswer:
        method, target, body = rewriting.asked.exchange.method, rewriting.target, rewriting.body
        try:
            answer = await self.upstream.send(method, target, headers, body)
        except NotTakenOn as problem:
            self._circuit.failed(monotonic())
            await self._not_run(granted, str(problem))
            await self._freed(keyed)
            raise Problem(502, "upstream-unreachable", f"Not sent: {problem}.") from None
        except (Unanswered, AnswerTooLarge) as problem:
            large = isinstance(problem, AnswerTooLarge)
            self._circuit.succeeded() if large else self._circuit.failed(monotonic())
            outcome = Outcome(status="error", error=str(problem))
            await run_async(self.enforcement.settle(granted, timed(granted, outcome)))
            told = f"Sent, and it may have happened: {problem}. Look before you send it again."
            raise Problem(502 if large else 504, "upstream-unanswered", told) from None
        except Exception as error:
            self._circuit.left()
            outcome = Outcome(status="error", error=type(error).__name__)
            await run_async(self.enforcement.settle(granted, timed(granted, outcome)))
            raise
        if answer.status in _FAILING:
            self._circuit.failed(monotonic())
        else:
            self._circuit.succeeded()
        if answer.status == 401 and chosen is not None:
            self._broker.rejected(chosen)
        body = self._broker.hidden(answer.body)
        return UpstreamAnswer(answer.status, self._broker.hidden_in_headers(answer.headers), body)

    async def _settled(
        self,
        granted: Granted,
        rewriting: _Rewriting,
        answer: UpstreamAnswer,
        chosen: UpstreamCredential | None,
        keyed: KeyedRequest | None,
    ) -> ShownAnswer:
        """Record what came of it, and what of it the agent is shown."""
        seen = seen_answer(answer, None if chosen is None else chosen.name)
        outcome = timed(granted, Outcome(status="ok", result=seen.result))
        settled = await run_async(self.enforcement.settle(granted, outcome))
        settlement = settled.settlement
        told = settled.refusal or "It was sent, but policy withholds what came back."
        shown: ShownAnswer | None = None
        if not settlement.withheld and not settled.unread:
            changed = settlement.result if settlement.redacted else None
            asked = self.settings.url + rewriting.target
            shown = shown_answer(seen, changed, asked, self.settings.url, self.mount)
        size = answer.header("content-length")
        if shown is not None and rewriting.asked.exchange.method == "HEAD" and size is not None:
            shown = replace(shown, headers=(*shown.headers, ("Content-Length", size)))
        if shown is None:
            shown = _withheld(answer.status, told)
        if answer.status in _NOT_DONE:
            await self._freed(keyed)
        elif keyed is not None:
            labelled = bool(granted.looks_at_result and settlement.labels)
            await keyed.answered(shown, labelled=labelled)
        return shown

    def _ready(self) -> None:
        if self._circuit.wait(monotonic()) > 0:
            raise self._paused()

    def _paused(self) -> Problem:
        seconds = max(1, round(self._circuit.wait(monotonic())))
        told = (
            f"Not sent: {self.settings.name} failed several times in a row and is left alone for a "
            "while. Try again later."
        )
        return Problem(503, "upstream-paused", told, headers={"Retry-After": str(seconds)})

    async def _not_run(self, granted: Granted, why: str) -> None:
        outcome = Outcome(status="not-run", error=why)
        await run_async(self.enforcement.settle(granted, timed(granted, outcome)))

    async def _freed(self, keyed: KeyedRequest | None) -> None:
        if keyed is not None:
            await keyed.free()


class _Rewriting:
    """A request as obligations leave it."""

    def __init__(self, asked: AskedRequest) -> None:
        self.asked = asked
        self.target = asked.exchange.target.sent
        self.body = asked.exchange.body.raw
        self._named: list[tuple[str, str]] = []

    def accept(self, arguments: Mapping[str, Any]) -> None:
        """Take the arguments to send it with.

        Raises:
            InvalidRequest: the request cannot say that.
        """
        if arguments == self.asked.action.arguments:
            return
        operation = self.asked.action.operation
        try:
            if operation is not None:
                operation.check(arguments)
            self.target, self._named, self.body = rewritten(
                self.asked.exchange, self.asked.action, arguments
            )
        except HttpFault as fault:
            raise InvalidRequest(fault.message) from None

    def headers(self, keep: tuple[str, ...]) -> list[tuple[str, str]]:
        """What goes on to the server."""
        changed = {name.lower() for name, _ in self._named}
        found = self.asked.exchange.headers.forwarded(keep)
        return [each for each in found if each[0].lower() not in changed] + self._named


def _digest(exchange: HttpExchange) -> str:
    media = exchange.headers.one("content-type") or ""
    head = f"{exchange.method}\n{exchange.target.sent}\n{media}\n"
    return hashlib.sha256(head.encode() + exchange.body.raw).hexdigest()


def _withheld(status: int, told: str) -> ShownAnswer:
    """What the agent gets in place of an answer: it must not look as if nothing had happened."""
    problem = Problem(403, "withheld", told, members={"answered": status})
    body = encoded(problem.document(""))
    return ShownAnswer(403, (("Content-Type", PROBLEM_MEDIA),), body)
