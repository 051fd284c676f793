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
    part_of_guard: bool = False
    """Whether it is a method of the guard and no module of its own."""
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
    around: Literal["refused", "decided", "unnoticed"]
    """What becomes of a governed tool that something reaches around the adapter, such as an agent
    that is made later: it refuses, it is decided on there as well, or it runs."""
    on_error: str
    """What keeps a fault of Remit from letting a tool run."""
    hosted: bool = False
    """Whether tools that the model's provider runs are seen. The model gateway sees them."""
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
    around="refused",
    on_error="the seam answers; ToolNode never sees an exception of Remit",
    hidden="tools that the model's provider runs itself (bind_tools with web_search and the like)",
)

OPENAI_AGENTS = Adapter(
    name="openai-agents",
    title="OpenAI Agents SDK",
    package="openai-agents",
    tested="openai-agents 0.24.0",
    entry="agent = govern(agent, guard)",
    modes=("sync", "async", "stream"),
    hold="pause",
    hold_by="needs_approval, which makes the run end with interruptions",
    around="decided",
    on_error="every tool is wrapped, so no guardrail and no error function of the SDK is relied on",
    hidden="hosted tools (web search, file search, code interpreter, hosted MCP, hosted shell)",
)

PYDANTIC_AI = Adapter(
    name="pydantic-ai",
    title="PydanticAI",
    package="pydantic-ai-slim",
    tested="pydantic-ai-slim 2.68.0",
    entry="agent = govern(agent, guard)",
    modes=("sync", "async", "stream"),
    hold="pause",
    hold_by="DeferredToolRequests, where the agent has them among its output types",
    around="refused",
    on_error="refusals are results of the call; no retry and no error hook is relied on",
    hidden="native tools, which the model's provider runs (web search, code execution, MCP there)",
)

AGENT_FRAMEWORK = Adapter(
    name="agent-framework",
    title="Microsoft Agent Framework",
    package="agent-framework-core",
    tested="agent-framework-core 1.23.0",
    entry="agent = govern(agent, guard)",
    modes=("async", "stream"),
    hold="pause",
    hold_by="a function approval request; in an agent used as a tool the framework fails instead",
    around="refused",
    on_error="the middleware sets results and never raises",
    hidden="hosted tools (web search, file search, code interpreter, hosted MCP)",
)

GOOGLE_ADK = Adapter(
    name="google-adk",
    title="Google ADK",
    package="google-adk",
    tested="google-adk 2.13.0",
    entry="app = govern(App(name=..., root_agent=agent), guard)",
    modes=("async", "stream"),
    hold="pause",
    hold_by="a tool confirmation",
    around="decided",
    on_error="the tool itself decides, after all callbacks; no callback's exception is relied on",
    hidden="tools built into Gemini (Google search, code execution, URL context)",
)

CLAUDE_AGENT_SDK = Adapter(
    name="claude-agent-sdk",
    title="Claude Agent SDK",
    package="claude-agent-sdk",
    tested="claude-agent-sdk 0.2.187",
    entry="options = govern(ClaudeAgentOptions(...), guard)",
    modes=("async", "stream"),
    hold="retry",
    hold_by="the model reads that the call waits",
    around="unnoticed",
    on_error="hooks catch everything and deny; on_failure is block as well",
    hidden="server tools of the API (web search there, code execution)",
)

STRANDS = Adapter(
    name="strands",
    title="Strands Agents",
    package="strands-agents",
    tested="strands-agents 1.62.0",
    entry="agent = govern(agent, guard)",
    modes=("sync", "async", "stream"),
    hold="pause",
    hold_by="an interrupt",
    around="decided",
    on_error="the tool itself decides, after all hooks; no hook's exception is relied on",
    hidden="tools that the model's provider runs",
)

CREWAI = Adapter(
    name="crewai",
    title="CrewAI",
    package="crewai",
    tested="crewai 1.15.30",
    entry="crew = govern(crew, guard)",
    modes=("sync", "async", "stream"),
    hold="retry",
    hold_by="the model reads that the call waits",
    cancel=False,
    around="decided",
    on_error="the tool itself decides; hooks, which fail open, only see to it that every tool does",
    hidden="tools that the model's provider runs; code in a Flow that is no tool",
    not_applicable=(
        ("cancellation", "tools run in threads that nobody cancels; settled when they end"),
    ),
)

RAW_LOOPS = Adapter(
    name="raw-loops",
    title="Loops on the OpenAI and Anthropic SDKs",
    package="openai' 'anthropic",
    tested="openai 3.54.0",
    entry="messages += guard.run_tool_calls(reply, tools)",
    part_of_guard=True,
    modes=("sync", "async", "stream"),
    hold="retry",
    hold_by="the model reads that the call waits",
    around="unnoticed",
    on_error="every call ends as a message for the model, whatever happens to it",
    hidden="tools that the provider runs itself",
)

LLAMA_INDEX = Adapter(
    name="llama-index",
    title="LlamaIndex",
    package="llama-index-core",
    tested="llama-index-core 0.14.25",
    entry="agent = govern(agent, guard)",
    modes=("async", "stream"),
    hold="retry",
    hold_by="the model reads that the call waits",
    around="decided",
    on_error="the tool itself decides and gives a refusal as its output",
    hidden="tools that the model's provider runs; tools that a retriever finds at run time",
)

SMOLAGENTS = Adapter(
    name="smolagents",
    title="smolagents",
    package="smolagents",
    tested="smolagents 1.26.0",
    entry="agent = govern(agent, guard)",
    modes=("sync", "stream"),
    hold="retry",
    hold_by="the model reads that the call waits",
    cancel=False,
    around="decided",
    on_error="the tool itself decides and gives a refusal as its output",
    hidden="what the Python code of a CodeAgent does without a tool: run it in a sandbox",
    not_applicable=(("cancellation", "agents run in a thread that nobody cancels"),),
)

DSPY = Adapter(
    name="dspy",
    title="DSPy",
    package="dspy",
    tested="dspy 3.4.1",
    entry="program = govern(program, guard)",
    modes=("sync", "async"),
    hold="retry",
    hold_by="the model reads that the call waits",
    around="decided",
    on_error="the tool itself decides and gives a refusal as its output",
    hidden="code that a CodeAct or ProgramOfThought program writes",
    not_applicable=(
        ("parallel", "ReAct makes one call in a turn"),
        ("streaming", "streamify passes on what the model says; tools run as without it"),
    ),
)

AG2 = Adapter(
    name="ag2",
    title="AG2",
    package="ag2",
    tested="ag2 1.2.1",
    entry="agent = govern(agent, guard)",
    modes=("async",),
    hold="retry",
    hold_by="the model reads that the call waits",
    around="unnoticed",
    on_error="the middleware gives results and never raises",
    hidden="tools that the model's provider runs; middleware of a single tool, which comes after",
    not_applicable=(("streaming", "every run streams its events; there is no other way"),),
)

SEMANTIC_KERNEL = Adapter(
    name="semantic-kernel",
    title="Semantic Kernel",
    package="semantic-kernel",
    tested="semantic-kernel 1.45.0",
    entry="govern(kernel_or_agent, guard)",
    modes=("async", "stream"),
    hold="retry",
    hold_by="the model reads that the call waits",
    around="unnoticed",
    on_error="the filter sets results and never raises",
    hidden="functions that the program invokes itself; plugins of hosted agents",
)

HAYSTACK = Adapter(
    name="haystack",
    title="Haystack",
    package="haystack-ai",
    tested="haystack-ai 3.4.0",
    entry="agent = govern(agent, guard)",
    modes=("sync", "async"),
    hold="retry",
    hold_by="the model reads that the call waits",
    around="decided",
    on_error="the tool itself decides and gives a refusal as its output",
    hidden="tools that the model's provider runs",
    not_applicable=(("streaming", "a callback gets what the model says; tools run as without it"),),
)

AGNO = Adapter(
    name="agno",
    title="Agno",
    package="agno",
    tested="agno 3.1.10",
    entry="agent = govern(agent, guard)",
    modes=("sync", "async", "stream"),
    hold="retry",
    hold_by="the model reads that the call waits",
    around="decided",
    on_error="the tool itself decides and gives a refusal as its output",
    hidden="tools that the model's provider runs; functions of a toolkit that connects later",
)

AUTOGEN = Adapter(
    name="autogen",
    title="AutoGen",
    package="autogen-agentchat",
    tested="autogen-agentchat 0.7.5",
    entry="agent = govern(agent, guard)",
    modes=("async", "stream"),
    hold="retry",
    hold_by="the model reads that the call waits",
    around="decided",
    on_error="the tool itself decides and gives a refusal as its output",
    hidden="code that a code executor runs",
)

_NO_TOOLS = "messages are no tools; its own scenarios send and receive them over loopback"

_OF_TOOLS = (
    *("allowed", "denied", "parallel", "redact", "hold", "exception"),
    *("cancellation", "fault", "no_session", "unprotected", "streaming"),
)

A2A = Adapter(
    name="a2a",
    title="A2A (Agent2Agent)",
    package="a2a-sdk",
    tested="a2a-sdk 1.3.0",
    entry="client = govern(client, guard)",
    modes=("async",),
    hold="retry",
    hold_by="the answer says that the message waits",
    rewrite=False,
    cancel=True,
    children=False,
    around="unnoticed",
    on_error="a refusal is the answer to the message, on both sides",
    hidden="what the other agent does with the message: put it under Remit where it runs",
    not_applicable=tuple((name, _NO_TOOLS) for name in _OF_TOOLS),
)

ADAPTERS: tuple[Adapter, ...] = (
    LANGCHAIN,
    OPENAI_AGENTS,
    PYDANTIC_AI,
    AGENT_FRAMEWORK,
    GOOGLE_ADK,
    CLAUDE_AGENT_SDK,
    STRANDS,
    CREWAI,
    RAW_LOOPS,
    LLAMA_INDEX,
    SMOLAGENTS,
    DSPY,
    AG2,
    SEMANTIC_KERNEL,
    HAYSTACK,
    AGNO,
    AUTOGEN,
    A2A,
)
"""Every adapter, in the order of the contract."""
