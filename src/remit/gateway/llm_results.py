"""What tools returned, as the requests of an agent bring it back: recorded, labelled, decided on.

Each request holds the whole conversation. A result is taken in once, when it is first seen. It
settles the action that its call was admitted as; where there is none (the conversation began
elsewhere, or the gateway was started anew), it is observed: it labels the session all the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from remit import canonical, observation
from remit.api.frame import Parts
from remit.errors import Denied, InvalidArgument, InvalidRequest
from remit.gateway.llm_sessions import ModelConversation, SeenResult
from remit.guard.calls import Caller, Granted
from remit.guard.enforcement import Enforcement
from remit.guard.inspecting import inspected
from remit.guard.refusals import withheld_text
from remit.guard.steps import run_async
from remit.journal import Journal
from remit.model import AccessRequest, Action, Outcome, Reason, Settlement
from remit.protocols.model_api import ObservedResult
from remit.storage import Transaction

_UNKNOWN = "unknown"
"""Name of a tool that returned something without the conversation saying which it is."""
_WRAPPERS = {"result", "output"}
"""Keys under which google-genai puts what is no object."""
_encode = msgspec.json.Encoder(order="deterministic").encode


class ResultDesk:
    """Takes in what tools returned."""

    def __init__(self, parts: Parts, enforcement: Enforcement) -> None:
        self._parts = parts
        self._enforcement = enforcement

    async def take_in(
        self, caller: Caller, conversation: ModelConversation, results: Sequence[ObservedResult]
    ) -> tuple[tuple[ObservedResult, str], ...]:
        """Take in what is new.

        Returns:
            Results, and what the model is to be shown instead of them.

        Raises:
            OutcomeNotRecorded: an outcome could not be recorded; the session admits nothing more
                until it is.
            Denied: the session cannot take anything in.
            InvalidRequest: there are two results of one call.
            StoreError: nothing was recorded.
        """
        if not results:
            return ()
        marked = _marked(results)
        if any(_new(conversation, each) for each in marked):
            async with conversation.lock:
                new = [each for each in marked if _new(conversation, each)]
                await asyncio.gather(*(self._take_in(caller, conversation, each) for each in new))
        found = []
        for each in marked:
            seen = conversation.seen.get(each.key)
            if seen is not None and seen.replacement is not None:
                found.append((each.result, seen.replacement))
        return tuple(found)

    async def _take_in(
        self, caller: Caller, conversation: ModelConversation, marked: _Marked
    ) -> None:
        result = marked.result
        plain, shown = _plain(result.content)
        outcome = Outcome(
            status="error" if result.is_error else "ok",
            result=plain,
            error="ToolError: it says so" if result.is_error else None,
        )
        granted = conversation.returned(result.call_id, result.tool)
        if granted is not None:
            replacement = await self._settled(granted, outcome, shown)
        else:
            replacement = await self._observed(caller, result, outcome, shown)
        conversation.take_in(marked.key, SeenResult(marked.digest, replacement))

    async def _settled(self, granted: Granted, outcome: Outcome, shown: bool) -> str | None:
        settled = await run_async(self._enforcement.settle(granted, outcome))
        tool = granted.request.action.name
        if not shown and settled.result_rules:
            return _unreadable(tool)
        return _replacement(settled.settlement, settled.refusal)

    async def _observed(
        self, caller: Caller, result: ObservedResult, outcome: Outcome, shown: bool
    ) -> str | None:
        """Take in a result that no action of this session brought."""
        parts, tool = self._parts, result.tool or _UNKNOWN
        need = parts.policies.needs.of(tool)
        if not need.labels and not need.result_rules:
            return None
        request = AccessRequest(
            principal=caller.principal,
            session=caller.session,
            action=Action(name=tool),
            context=caller.context,
            trace=caller.trace,
        )
        policies = parts.policies.current
        looked = outcome
        if need.results is not None:
            looked = await asyncio.to_thread(inspected, need, outcome)

        def work(t: Transaction) -> Settlement | Reason:
            journal = Journal.begin(t, parts.clock(), parts.entropy)
            return observation.observe(journal, policies, request, looked)

        found = await parts.write(work)
        if isinstance(found, Reason):
            raise Denied(f"{found.because} {found.instead}", reasons=(found,))
        if not shown and need.result_rules:
            return _unreadable(tool)
        return _replacement(found, withheld_text(tool, found) if found.withheld else "")


class _Marked(Struct, frozen=True):
    """A result, and what it is known by."""

    key: str
    digest: bytes
    result: ObservedResult


def _marked(results: Sequence[ObservedResult]) -> list[_Marked]:
    """What each result is known by: its call id, or where there is none, its tool and content.

    Raises:
        InvalidRequest: two different results have one call id.
    """
    found: dict[str, _Marked] = {}
    for result in results:
        digest, key = _digest(result), result.call_id
        if not key:
            plain = f"{result.tool}\0{digest.hex()}\0"
            key = plain + str(sum(other.startswith(plain) for other in found))
        elif key in found and found[key].digest != digest:
            raise InvalidRequest("two different results have one call id; send one for each call")
        found[key] = _Marked(key, digest, result)
    return list(found.values())


def _new(conversation: ModelConversation, marked: _Marked) -> bool:
    seen = conversation.seen.get(marked.key)
    return seen is None or seen.digest != marked.digest


def _digest(result: ObservedResult) -> bytes:
    content = _encode([result.content, result.is_error, result.tool])
    return hashlib.blake2b(content, digest_size=16).digest()


def _plain(content: Any) -> tuple[Any, bool]:
    """A result as policy sees it, and whether it can see all of it.

    Text that is a JSON object or list is seen as such, so that rules can speak of its fields. So is
    what an SDK has wrapped, because its API takes nothing but objects.
    """
    if isinstance(content, dict) and len(content) == 1 and content.keys() <= _WRAPPERS:
        (content,) = content.values()
    text = _only_text(content)
    try:
        if text is None:
            return canonical.check(content, "result"), True
        if text[:1] in ("{", "["):
            try:
                return canonical.parse(text.encode(), "result"), True
            except InvalidArgument:
                pass
        return canonical.check(text, "result"), True
    except (InvalidArgument, UnicodeError):
        return None, False


def _only_text(content: Any) -> str | None:
    """The text of a result that is nothing but text; None of any other."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        return None
    texts = [block.get("text") for block in content if isinstance(block, dict)]
    found = [text for text in texts if isinstance(text, str)]
    return "".join(found) if len(found) == len(content) else None


def _replacement(settlement: Settlement, refusal: str) -> str | None:
    if settlement.withheld:
        return refusal
    if not settlement.redacted:
        return None
    result = settlement.result
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


def _unreadable(tool: str) -> str:
    return (
        f"The result of {tool} is withheld: policy has rules on it, and it is too large or no "
        "plain JSON, so they cannot look into it. Have the tool return less than 1 MiB."
    )
