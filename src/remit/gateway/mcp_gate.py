"""Deciding on what passes between one MCP client and one server, whatever carries it.

A relay shows the gate each message before it passes it on. A request is admitted before it is sent,
and stays an ``OpenCall`` until its answer, or the news that none will come, is settled. Both
directions: what the client asks of the server, and what the server asks of the client.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from remit.errors import (
    ApprovalRequired,
    InvalidRequest,
    OutcomeNotRecorded,
    Refused,
    RemitError,
    Unavailable,
)
from remit.gateway.mcp_calls import (
    Ended,
    Exchange,
    GateSubject,
    Heartbeat,
    Inspector,
    OpenCall,
    WaitNotice,
    timed,
)
from remit.guard.authority import Proposed, Settled
from remit.guard.calls import Caller, Granted, said, shortened
from remit.guard.enforcement import Enforcement
from remit.guard.steps import run_async
from remit.inspection import pins
from remit.model import Action, Finding, Outcome
from remit.protocols import mcp, mcp_methods, mcp_results
from remit.protocols.mcp import McpFault, McpMessage, MessageKind
from remit.protocols.mcp_methods import TOOL_CALL, TOOL_LIST, Asked
from remit.protocols.mcp_results import ListedTool

_MAX_TOOLS = 4096
_MAX_QUESTIONS = 64

_MAX_PAGES = 100


class McpGate:
    """What one client and one server say to one another, decided."""

    def __init__(
        self,
        server: str,
        enforcement: Enforcement,
        subject: GateSubject,
        inspector: Inspector | None = None,
    ) -> None:
        """Put a gate between a client and a server.

        Args:
            server: the server's name in policy.
            enforcement: who decides.
            subject: who acts.
            inspector: who looks into what passes.
        """
        self.server = server
        self._learning: asyncio.Task[None] | None = None
        self._enforcement = enforcement
        self._subject = subject
        self._inspector = inspector
        self._tools: dict[str, ListedTool] = {}
        self._questions: dict[tuple[str, str], Granted] = {}
        """Of results that need input first: by action and key, until the call is made again."""
        self.knows_tools = False
        """Whether a list of the server's tools went by since they last changed."""

    # From the client to the server

    async def request(
        self,
        message: McpMessage,
        held: WaitNotice | None = None,
        exchange: Exchange | None = None,
    ) -> OpenCall | bytes:
        """Decide on a client's request: what to send on, or what to answer instead.

        Args:
            message: the request.
            held: whom to tell while it waits.
            exchange: how to ask the server what tools it has, where no client has asked yet.
        """
        try:
            asked = mcp_methods.asked(self.server, message)
        except McpFault as fault:
            return mcp.fault_answer(fault)
        if asked is None:
            return OpenCall(message, message.raw)
        if asked.tool is not None and not self.knows_tools and exchange is not None:
            await self._learned(message, exchange)
        try:
            granted = await self._admitted(asked, message.method, held)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, nothing is sent
            return self._refusal(message, error)
        call = OpenCall(message, message.raw, asked, granted)
        try:
            call.data = await self._inputs(message, granted)
        except asyncio.CancelledError:
            self.abandon(call, "nobody waited for it any more", "not-run")
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong, nothing is sent
            return self._refusal(message, error)
        return call

    async def answer(self, call: OpenCall, message: McpMessage) -> bytes:
        """Settle a call by the server's answer: what to show the client."""
        if call.settled:
            return mcp.error_answer(call.message.id, mcp.UNREACHABLE, "The request was given up.")
        call.settled = True
        if call.granted is None:
            return await self._unjudged(call, message)
        outcome, plain = self._outcome(call, message)
        try:
            settled = await run_async(self._enforcement.settle(call.granted, outcome))
        except OutcomeNotRecorded as error:
            return self._refusal(call.message, error)
        if settled.settlement.withheld:
            return self._told(call.message, settled.refusal, {})
        if message.kind is MessageKind.ERROR:
            return self._shown_error(message, settled)
        shown = self._shown(call, message, settled, plain)
        asked = {} if call.by_server else mcp_results.questions(message.body)
        return await self._asked_back(call, asked, shown) if asked else shown

    async def lost(self, call: OpenCall, why: str, ended: Ended = "error") -> bytes:
        """Settle a call that gets no answer: what to tell the client instead."""
        told = f"{call.message.method} of {self.server} got no answer: {why}"
        was_settled, call.settled = call.settled, True
        if call.granted is not None and not was_settled:
            outcome = timed(call.granted, Outcome(status=ended, error=why))
            try:
                settled = await run_async(self._enforcement.settle(call.granted, outcome))
            except OutcomeNotRecorded as error:
                return self._refusal(call.message, error)
            if settled.settlement.withheld:
                return self._told(call.message, settled.refusal, {})
        return mcp.error_answer(call.message.id, mcp.UNREACHABLE, told)

    def abandon(self, call: OpenCall, why: str, ended: Ended = "cancelled") -> None:
        """Settle a call that nobody waits for any more, without waiting either."""
        if call.granted is not None and not call.settled:
            call.settled = True
            outcome = timed(call.granted, Outcome(status=ended, error=why))
            self._enforcement.late.start()
            self._enforcement.abandon(call.granted, outcome)

    # From the server to the client

    async def server_request(self, message: McpMessage) -> OpenCall | bytes:
        """Decide on what a server asks of the client: what to send on, or to answer instead."""
        asked = mcp_methods.asked_by_server(self.server, message.method, message.body)
        if asked is None:
            return OpenCall(message, message.raw, by_server=True)
        try:
            granted = await self._admitted(asked, message.method, None)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, nothing is sent
            return self._refusal(message, error)
        data = _with_arguments(message, granted)
        return OpenCall(message, data, asked, granted, by_server=True)

    def noticed(self, message: McpMessage) -> None:
        """Take note of a server's notification, which passes."""
        if message.method == "notifications/tools/list_changed":
            self.knows_tools, self._learning = False, None

    def forget_tools(self) -> None:
        """The server began anew: what it said of its tools may no longer hold."""
        self._tools.clear()
        self.knows_tools, self._learning = False, None

    def learn_tools(self, result: Mapping[str, Any]) -> None:
        """Take note of a list of tools, or of one page of it."""
        tools = result.get("tools")
        if not isinstance(tools, list):
            return
        found = mcp_results.tool_facts(tools)
        if len(self._tools) + len(found) > _MAX_TOOLS:
            self._tools.clear()
        self._tools.update(found)
        if self._inspector is not None:
            self._inspector.listed(self.server, [t for t in tools if isinstance(t, dict)])
        if "nextCursor" not in result:
            self.knows_tools = True

    def tool(self, name: str) -> ListedTool | None:
        """What the server says of a tool, where a list of it went by."""
        return self._tools.get(name)

    def close(self, why: str) -> None:
        """Settle the questions that nobody will answer any more, without waiting."""
        for granted in self._questions.values():
            outcome = timed(granted, Outcome(status="cancelled", error=why))
            self._enforcement.late.start()
            self._enforcement.abandon(granted, outcome)
        self._questions.clear()

    # Steps

    async def _learned(self, message: McpMessage, exchange: Exchange) -> None:
        """Ask the server what tools it has, once: annotations and schemas are facts for rules."""
        if self._learning is None:
            self._learning = asyncio.create_task(self._learn(exchange, message))
        await asyncio.shield(self._learning)

    async def _learn(self, exchange: Exchange, message: McpMessage) -> None:
        own = ("progressToken", "io.modelcontextprotocol/logLevel")
        params: dict[str, Any] = {}
        if message.stands_alone:
            params["_meta"] = {k: v for k, v in message.meta.items() if k not in own}
        for _ in range(_MAX_PAGES):
            request_id = f"remit-{secrets.token_hex(12)}"  # that no client can take for its own
            value = {"jsonrpc": "2.0", "id": request_id, "method": TOOL_LIST, "params": params}
            try:
                answer = await exchange(mcp.encode_message(value), request_id)
            except OSError:
                return
            if answer.kind is not MessageKind.RESULT:
                return
            self.learn_tools(answer.body)
            if not isinstance(answer.body.get("nextCursor"), str):
                return
            params = {**params, "cursor": answer.body["nextCursor"]}

    async def _admitted(self, asked: Asked, method: str, held: WaitNotice | None) -> Granted:
        facts = None if asked.tool is None else self._tools.get(asked.tool)
        caller = await self._subject.caller({"mcp": self._context(asked, method, facts)})
        schema = None if facts is None else facts.schema
        findings: tuple[Finding, ...] = ()
        if self._inspector is not None and asked.tool is not None:
            await self._accepted(self._inspector, asked.tool, caller)
            findings = self._inspector.proposed(self.server, asked.tool, asked.arguments)
        proposed = Proposed(
            caller=caller,
            action=Action(
                name=asked.action,
                kind="mcp",
                schema=mcp_methods.bound_schema(schema, asked.beside),
            ),
            arguments=asked.arguments,
            findings=findings,
        )
        flow = self._enforcement.admit(proposed, _any_arguments)
        if held is None:
            return await run_async(flow)
        with Heartbeat(held, asked.action):
            return await run_async(flow)

    async def _accepted(self, inspector: Inspector, tool: str, caller: Caller) -> None:
        """Hold a call of a tool that is not as it was accepted, until a person accepts it."""
        question = inspector.question(self.server, tool)
        if question is None:
            return
        action = Action(name=pins.ACTION, kind="mcp")
        proposed = Proposed(caller=caller, action=action, arguments=question)
        granted = await run_async(self._enforcement.admit(proposed, _any_arguments))
        try:
            if inspector.question(self.server, tool) != question:
                raise Unavailable(f"{self.server}.{tool} has changed once more; ask again")
            inspector.accept(self.server, tool)
        except RemitError as error:
            outcome = Outcome(status="error", error=shortened(error))
            await run_async(self._enforcement.settle(granted, timed(granted, outcome)))
            raise
        await run_async(self._enforcement.settle(granted, timed(granted, Outcome(status="ok"))))

    def _context(self, asked: Asked, method: str, facts: ListedTool | None) -> dict[str, Any]:
        context: dict[str, Any] = {"server": self.server, "method": method}
        if facts is not None:
            context["annotations"] = facts.annotations
        if asked.beside:
            context["beside"] = asked.beside
        return context

    def _outcome(self, call: OpenCall, message: McpMessage) -> tuple[Outcome, Any]:
        granted, asked = call.granted, call.asked
        assert granted is not None
        assert asked is not None
        if message.kind is MessageKind.ERROR:
            told = mcp_results.told_error(message.body)
            return timed(granted, Outcome(status="error", error=told)), None
        plain = mcp_results.shown_to_policy(message.body, len(message.raw))
        findings: tuple[Finding, ...] = ()
        if self._inspector is not None:
            name = asked.tool or call.message.method
            findings = self._inspector.returned(self.server, name, message.body)
        failure = mcp_results.told_failure(message.body) if asked.tool is not None else None
        outcome = Outcome(
            # Obligations are carried out on what a tool says of its failure, too.
            status="ok" if failure is None or granted.looks_at_result else "error",
            result=plain,
            error=failure,
            findings=findings,
        )
        return timed(granted, outcome), plain

    def _shown(self, call: OpenCall, message: McpMessage, settled: Settled, plain: Any) -> bytes:
        settlement = settled.settlement
        if settled.result_rules and (plain is None or settled.unread):
            told = (
                f"{call.message.method} of {self.server} ran and its outcome is recorded, but its "
                "result is withheld: policy has rules on it, and it is too large to be looked at."
            )
            return self._told(call.message, told, {})
        if not settlement.redacted:
            return message.raw
        if not isinstance(settlement.result, dict):
            return self._told(call.message, "The result was withheld by policy.", {})
        changed = mcp_results.rewritten(message.body, settlement.result)
        return mcp.with_body(message, changed)

    def _shown_error(self, message: McpMessage, settled: Settled) -> bytes:
        """What rules on results cannot look into is not shown: the data of an error."""
        if settled.result_rules and "data" in message.body:
            bare = {name: each for name, each in message.body.items() if name != "data"}
            return mcp.with_body(message, bare)
        return message.raw

    async def _unjudged(self, call: OpenCall, message: McpMessage) -> bytes:
        """The answer to what was not decided on; lists are shown as far as they may be."""
        if call.by_server:
            return message.raw
        try:
            return await self._passed(call, message)
        except RemitError as error:
            return self._refusal(call.message, error)

    async def _passed(self, call: OpenCall, message: McpMessage) -> bytes:
        """The answer to a request that passed: whole, but for lists."""
        if message.kind is MessageKind.ERROR:
            return message.raw
        method = call.message.method
        if method == TOOL_LIST:
            return await self._listed_tools(message)
        if method in mcp_methods.INTRODUCTIONS:
            return self._introduced(message)
        listed = mcp_methods.LISTS.get(method)
        if listed is None:
            return message.raw
        member, needed = listed
        action = mcp_methods.method_action(self.server, needed)
        if not message.body.get(member) or await self._subject.visible([action]):
            return message.raw
        return mcp.with_body(message, {**message.body, member: []})

    def _introduced(self, message: McpMessage) -> bytes:
        """What a server says of itself, with what it tells models as that was accepted."""
        given = message.body.get("instructions")
        told = given if isinstance(given, str) else None
        shown = told if self._inspector is None else self._inspector.introduced(self.server, told)
        if shown == given:
            return message.raw
        body = {name: each for name, each in message.body.items() if name != "instructions"}
        return mcp.with_body(message, body if shown is None else {**body, "instructions": shown})

    async def _listed_tools(self, message: McpMessage) -> bytes:
        """A list of tools with those that this agent may call; the others are not named."""
        self.learn_tools(message.body)
        body, tools = message.body, message.body.get("tools")
        if self._inspector is not None and isinstance(tools, list):
            shown = self._inspector.shown(self.server, tools)
            body, tools = (body, tools) if shown == tools else ({**body, "tools": shown}, shown)
        names = [
            tool["name"]
            for tool in (tools if isinstance(tools, list) else ())
            if isinstance(tool, dict) and isinstance(tool.get("name"), str)
        ]
        actions = {name: mcp_methods.tool_action(self.server, name) for name in names}
        visible = await self._subject.visible(list(actions.values()))
        kept = mcp_results.kept_tools(body, lambda name: actions[name] in visible)
        return message.raw if kept is message.body else mcp.with_body(message, kept)

    # Results that need input first

    async def _asked_back(
        self, call: OpenCall, asked: Mapping[str, tuple[str, Mapping[str, Any]]], shown: bytes
    ) -> bytes:
        """Decide on the questions in a result; one that is refused refuses the result."""
        assert call.asked is not None
        if len(asked) > _MAX_QUESTIONS:
            return self._told(call.message, "The server asks too many questions at once.", {})
        for key, (method, params) in asked.items():
            wanted = mcp_methods.asked_by_server(self.server, method or "unknown", params)
            if wanted is None:
                continue
            try:
                granted = await self._admitted(wanted, method, None)
            except Exception as error:  # noqa: BLE001 - whatever is wrong, nothing is sent
                return self._refusal(call.message, error)
            if len(self._questions) >= _MAX_QUESTIONS * 4:
                self.close("too many questions are open")
            before = self._questions.pop((call.asked.action, key), None)
            if before is not None:
                self._enforcement.late.start()
                again = Outcome(status="cancelled", error="asked again")
                self._enforcement.abandon(before, timed(before, again))
            self._questions[call.asked.action, key] = granted
        return shown

    async def _inputs(self, message: McpMessage, granted: Granted) -> bytes:
        """What to send for a granted request: with the answers to questions, as they may pass.

        Raises:
            Refused: an answer may not go to the server; the request was not sent.
        """
        given = message.body.get("inputResponses")
        if not isinstance(given, dict) or not self._questions:
            return _with_arguments(message, granted)
        action = granted.request.action.name
        changed = dict(given)
        try:
            for key, answer in given.items():
                question = self._questions.pop((action, key), None)
                if question is not None:
                    changed[key] = await self._answered(question, answer)
        except RemitError as error:
            outcome = timed(granted, Outcome(status="not-run", error=str(error)[:1000]))
            await run_async(self._enforcement.settle(granted, outcome))
            raise
        if changed == given and granted.admission.arguments is None:
            return message.raw
        params = dict(message.body)
        if granted.admission.arguments is not None:
            params = mcp_methods.with_arguments(message, granted.request.arguments)
        return mcp.with_body(message, {**params, "inputResponses": changed})

    async def _answered(self, question: Granted, answer: Any) -> Any:
        settled = await run_async(
            self._enforcement.settle(question, timed(question, Outcome(status="ok", result=answer)))
        )
        if settled.settlement.withheld:
            raise Refused(settled.refusal)
        return settled.settlement.result if settled.settlement.redacted else answer

    # Words

    def _refusal(self, message: McpMessage, error: Exception) -> bytes:
        """What to answer to a request that is refused."""
        meta: dict[str, Any] = {}
        if isinstance(error, ApprovalRequired):
            meta["remit/approval"] = error.approval
        if isinstance(error, Refused) and error.admission is not None:
            meta["remit/action"] = error.admission.id
        if isinstance(error, InvalidRequest):
            told = f"{message.method} of {self.server} was not run: {error}"
            return mcp.error_answer(message.id, mcp.INVALID_PARAMS, told)
        return self._told(message, said(error), meta)

    def _told(self, message: McpMessage, told: str, meta: Mapping[str, Any]) -> bytes:
        if message.method != TOOL_CALL:
            return mcp.error_answer(message.id, mcp.REFUSED, told, meta)
        result = mcp_results.refused_result(told, message.stands_alone, meta)
        return mcp.result_answer(message.id, result)


def _any_arguments(_: Mapping[str, Any]) -> None:
    """The server judges its arguments itself."""


def _with_arguments(message: McpMessage, granted: Granted) -> bytes:
    if granted.admission.arguments is None:
        return message.raw
    return mcp.with_body(message, mcp_methods.with_arguments(message, granted.request.arguments))
