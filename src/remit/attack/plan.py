"""Which sequences a hijacked agent would try: each source through each sink, each tool alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from remit.model import Does, Principal
from remit.policy import PolicySet
from remit.policy.catalogue import Tool

UNTRUSTED = "untrusted"
_SINKS = frozenset({Does.SEND, Does.PAY, Does.EXECUTE, Does.ADMIN, Does.WRITE})
_HARM = frozenset({Does.DELETE, Does.ADMIN, Does.EXECUTE, Does.PAY})
ANYTHING = "anything"
"""In place of a wildcard in a declared name."""

Kind = Literal["exfiltration", "control", "harm"]


class Sequence(Struct, frozen=True, kw_only=True):
    """One thing to try: read what carries the attack, read what is worth stealing, then act."""

    kind: Kind
    agent: str
    injected_by: str
    """The tool whose result carries the attacker's instructions."""
    source: str
    """The tool that gives what is to be carried out; empty where nothing is."""
    sink: str
    """The tool that acts."""


def sequences(policies: PolicySet, agent: str) -> Iterator[Sequence]:
    """Everything to try as one agent, with the tools that it may use at all."""
    principal = policies.principal(agent)
    tools = [
        (concrete(tool), tool) for tool in policies.tools if _usable(policies, principal, tool)
    ]
    readers = [(name, tool) for name, tool in tools if tool.returns]
    injecting = next((name for name, tool in readers if UNTRUSTED in tool.returns), "")
    for source, _ in readers:
        for sink, tool in tools:
            if sink != source and _SINKS.intersection(tool.does):
                yield Sequence(
                    kind="exfiltration",
                    agent=agent,
                    injected_by=injecting or source,
                    source=source,
                    sink=sink,
                )
    if not injecting:
        return
    for sink, tool in tools:
        if tool.controls or tool.sends_to:
            yield _alone("control", agent, injecting, sink)
        if _HARM.intersection(tool.does):
            yield _alone("harm", agent, injecting, sink)


def concrete(tool: Tool) -> str:
    """A name that a declared pattern stands for."""
    return tool.pattern.replace("*", ANYTHING)


def _alone(kind: Kind, agent: str, injecting: str, sink: str) -> Sequence:
    return Sequence(kind=kind, agent=agent, injected_by=injecting, source="", sink=sink)


def _usable(policies: PolicySet, principal: Principal, tool: Tool) -> bool:
    return policies.visible(principal, concrete(tool))
