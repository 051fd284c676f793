"""Task-scoped remits: what a session may not do although policy lets its agent do it.

A task remit only ever takes away: every remit of a session, and of the sessions that it was
delegated from, must let a call through, and then policy decides as if there were none. It ends
with its session. The host or the user gives one when the session is opened; policy may derive one
from who opens it and what for (``tasks:``). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from remit import text
from remit.errors import InvalidRequest
from remit.model import AccessRequest, Does, Effect, Principal, Reason, TaskRemit
from remit.policy import PolicySet
from remit.policy.catalogue import Tool
from remit.policy.origins import Controls, controls_of
from remit.provenance.forms import exact, number
from remit.provenance.grounding import Provenance, leaves

MAX_PATTERNS = 200
"""Most patterns of one list."""
MAX_LENGTH = 200
"""Characters of a pattern."""
_READS = {Does.READ}
_DIRECTED = {Does.SEND, Does.PAY}
"""Classes that have a receiver."""
_PLAIN = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


def given(remit: TaskRemit, by: str) -> TaskRemit:
    """A remit as somebody asks for it, with their name on it.

    Raises:
        InvalidRequest: it narrows nothing, or cannot be meant.
    """
    try:
        remit = msgspec.convert(msgspec.to_builtins(remit), TaskRemit)
    except msgspec.ValidationError as problem:
        raise InvalidRequest(f"this is no task remit: {problem}") from None
    patterns = (*remit.tools, *(each for found in remit.only.values() for each in found))
    lists = (remit.tools, *remit.only.values())
    if not patterns and not remit.does and remit.amount is None and not remit.asked:
        raise InvalidRequest(
            "a task remit narrows something: give it tools, does, only, amount or asked"
        )
    if any(len(each) > MAX_PATTERNS for each in lists) or not all(map(_PLAIN.fullmatch, patterns)):
        raise InvalidRequest(
            f"a task remit has at most {MAX_PATTERNS} patterns in a list, each of 1 to "
            f"{MAX_LENGTH} printable characters"
        )
    if not all(remit.only.values()):
        raise InvalidRequest("a task remit names at least one pattern for each kind under only")
    if remit.amount is not None and not 0 <= remit.amount < float("inf"):
        raise InvalidRequest("the largest amount of a task remit is a number of 0 or more")
    return replace(remit, by=by)


def derived(policies: PolicySet, principal: Principal, intent: str | None) -> tuple[TaskRemit, ...]:
    """What policy narrows a task to, by who does it and what for."""
    return tuple(task.remit for task in policies.tasks if task.concerns(principal, intent))


def shows(remits: Sequence[TaskRemit], tool: str, policies: PolicySet) -> bool:
    """Whether some call of a tool could be within all remits: for lists of tools."""
    return all(_names(remit, policies.tool(tool), tool) is None for remit in remits)


def outside(
    remits: Sequence[TaskRemit],
    policies: PolicySet,
    request: AccessRequest,
    known: Provenance | None,
) -> Reason | None:
    """Why a call is beyond the task of its session; None if it is within every remit.

    Args:
        remits: those of the session.
        policies: those in force.
        request: the call, as it will run.
        known: what the session has seen; None: nobody kept that.
    """
    name = request.action.name
    tool = policies.tool(name)
    for remit in remits:
        beyond = _names(remit, tool, name) or _values(remit, tool, request)
        if beyond is None and remit.asked:
            beyond = _unasked(tool, request, known)
        if beyond is not None:
            return Reason(
                rule="task-remit",
                effect=Effect.DENY,
                because=f"This session is narrowed to its task ({remit.by}): {beyond}.",
                instead="Do the task without it, or tell the user that it needs more than it was "
                "given; a new session can be opened for that.",
            )
    return None


def _names(remit: TaskRemit, tool: Tool, name: str) -> str | None:
    """What is beyond a remit whatever the arguments are."""
    form = text.name(name)
    if remit.tools and not any(text.matches(text.name(each), form) for each in remit.tools):
        return f"it does not use the tool {name!r}"
    more = [each.value for each in tool.does if each not in remit.does]
    if remit.does and more:
        return f"it does not {' or '.join(more)}"
    if (remit.only or remit.amount is not None) and not tool.declared:
        return f"nobody declared which arguments of {name!r} decide whom it concerns"
    return None


def _values(remit: TaskRemit, tool: Tool, request: AccessRequest) -> str | None:
    """What is beyond a remit in the control arguments of a call."""
    if not remit.only and remit.amount is None:
        return None
    controls = controls_of(tool, request)
    for kind, patterns in remit.only.items():
        for leaf in leaves(getattr(controls, kind)):
            if not _fits(patterns, str(leaf)):
                return f"{str(leaf)!r} is not {kind} it concerns"
    if remit.amount is not None:
        for leaf in leaves(controls.amount):
            if not _at_most(leaf, remit.amount):
                return f"{leaf!r} is more than {remit.amount:g}"
    if _undirected(remit, tool, controls):
        return "it says to whom, and this call names no receiver"
    return None


def _undirected(remit: TaskRemit, tool: Tool, controls: Controls) -> bool:
    """Whether something leaves for nobody in particular, in a task that has its receivers."""
    names_receivers = "who" in remit.only or "where" in remit.only
    directed = any(leaves(controls.who)) or any(leaves(controls.where))
    return names_receivers and not _DIRECTED.isdisjoint(tool.does) and not directed


def _fits(patterns: Sequence[str], value: str) -> bool:
    form = exact(value)
    return any(text.matches(exact(each), form) for each in patterns)


def _at_most(leaf: object, most: float) -> bool:
    if isinstance(leaf, str):
        found = number(leaf)
        return found is not None and float(found) <= most
    return isinstance(leaf, int | float) and leaf <= most


def _unasked(tool: Tool, request: AccessRequest, known: Provenance | None) -> str | None:
    """What the user did not ask for."""
    if set(tool.does) <= _READS:
        return None
    does = tuple(each.value for each in tool.does)
    if known is None or not known.asked_for(request.action.name, does):
        return "the user's words do not ask for this kind of action"
    controls = controls_of(tool, request)
    if not known.from_user([controls.who, controls.where]):
        return "the user's words name no such receiver"
    return None
