"""What each adapter can do, as data: ``remit adapters``, the docs and the tests read it here."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Adapter(Struct, frozen=True, kw_only=True):
    """One framework, and what holds for it under Remit."""

    name: str
    """Of its module and its page: ``remit.adapters.NAME``, ``docs/adapters/NAME.md``."""
    title: str
    package: str
    """What to install to have the framework."""
    tested: str
    """The release that the contract was last run against."""
    entry: str
    """What a program writes."""
    modes: tuple[Literal["sync", "async", "stream"], ...]
    """The ways of running an agent that the contract covers."""
    hold: Literal["pause", "retry"]
    """What a held call does: the framework pauses and is resumed, or the model is told that it
    waits and makes the same call again. With ``Guard.open(wait=...)`` both wait in place first."""
    hold_by: str
    """The framework's own means."""
    rewrite: bool = True
    """Whether an obligation may change arguments."""
    redact: bool = True
    """Whether an obligation may change results."""
    cancel: bool = True
    """Whether a call that is cancelled while it runs is settled at once."""
    children: bool = True
    """Whether agents that this one starts or hands over to are governed with it."""
    tripwire: bool = True
    """Whether a tool refuses when it is reached around the adapter."""
    on_error: str
    """What keeps a fault of Remit from letting a tool run."""
    hidden: str = ""
    """What the framework does not show to any adapter; empty: nothing known."""
    not_applicable: tuple[tuple[str, str], ...] = ()
    """Scenarios of the contract that do not apply, each with the reason."""


LANGCHAIN = Adapter(
    name="langchain",
    title="LangChain / LangGraph",
    package="langchain",
    tested="langchain 1.4.7",
    entry="agent = govern(create_agent(model, tools), guard)",
    modes=("sync", "async", "stream"),
    hold="pause",
    hold_by="LangGraph interrupt, where the graph has a checkpointer",
    on_error="the seam answers; ToolNode never sees an exception of Remit",
    hidden="tools that the model's provider runs itself (bind_tools with web_search and the like)",
)

ADAPTERS: tuple[Adapter, ...] = (LANGCHAIN,)
"""Every adapter, in the order of the contract."""
