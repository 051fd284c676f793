"""LangChain and LangGraph under Remit.

    agent = govern(create_agent(model, tools), guard)
    agent = create_agent(model, govern(tools, guard), middleware=[..., RemitMiddleware(guard)])

The middleware belongs last in its list: what another one changes after it has decided would run
undecided. ``govern`` on a graph puts it there.
"""

from __future__ import annotations

from typing import Any

from remit.adapters.declared import LANGCHAIN
from remit.adapters.loading import framework
from remit.adapters.walking import Walk
from remit.guard import Guard, SessionScope, Stopped, TextShape, tripwired

_AgentMiddleware: Any = framework(LANGCHAIN, "langchain.agents.middleware").AgentMiddleware
_messages = framework(LANGCHAIN, "langchain_core.messages")
_tools = framework(LANGCHAIN, "langchain_core.tools")
_types = framework(LANGCHAIN, "langgraph.types")
_CHECKPOINTER = "__pregel_checkpointer"


class _ToolMessageShape(TextShape):
    def text(self, came: Any) -> Any:
        return came.content if isinstance(came, _messages.ToolMessage) else came

    def with_text(self, came: Any, text: Any) -> Any:
        if not isinstance(came, _messages.ToolMessage):
            return text
        # The artifact is the same result for the host's eyes; it may hold what policy took out.
        return came.model_copy(update={"content": text, "artifact": None})


class RemitMiddleware(_AgentMiddleware):  # type: ignore[misc]
    """Middleware for ``create_agent``: put it last."""

    def __init__(self, guard: Guard, *, session: SessionScope | None = None) -> None:
        super().__init__()
        self._seam = guard.seam(session)
        self._shape = _ToolMessageShape()

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        """Govern one call of a graph that is invoked or streamed."""
        call = request.tool_call
        while True:
            came = self._seam.around(
                call["name"],
                call["args"],
                lambda args: handler(request.override(tool_call={**call, "args": args})),
                self._shape,
            )
            if not self._pauses(request, came):
                return _message(call, came)

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        """Govern one call of a graph that runs in an event loop."""
        call = request.tool_call
        while True:
            came = await self._seam.around_async(
                call["name"],
                call["args"],
                lambda args: handler(request.override(tool_call={**call, "args": args})),
                self._shape,
            )
            if not self._pauses(request, came):
                return _message(call, came)

    def _pauses(self, request: Any, came: Any) -> bool:
        """Interrupt the graph for a held call; once it is resumed, the call is asked for again."""
        if not isinstance(came, Stopped) or came.approval is None:
            return False
        config = request.runtime.config if request.runtime is not None else {}
        if (config.get("configurable") or {}).get(_CHECKPOINTER) is None:
            return False
        held = {"approval": came.approval, "tool": request.tool_call["name"], "why": came.text}
        _types.interrupt(held)
        return True


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put a graph, a ``ToolNode`` or a list of tools under Remit, with everything below it.

    A graph and its nodes are changed in place and returned. Of a list, the tools refuse to run
    where nobody decided: give them to agents that have ``RemitMiddleware``.
    """
    if isinstance(target, list | tuple):
        return [_wired(tool) for tool in target]
    _Graphs(RemitMiddleware(guard, session=session)).visit(target)
    return target


class _Graphs(Walk):
    """Finds every ``ToolNode`` of a graph, its subgraphs too."""

    def __init__(self, middleware: RemitMiddleware) -> None:
        super().__init__("a compiled graph, a ToolNode or a list of tools")
        self._middleware = middleware

    def known(self, target: Any) -> bool:
        if hasattr(target, "tools_by_name") and hasattr(target, "_wrap_tool_call"):
            self._node(target)
        elif isinstance(getattr(target, "nodes", None), dict):
            for node in target.nodes.values():
                self.perhaps(getattr(node, "bound", None))
                for graph in getattr(node, "subgraphs", None) or ():
                    self.perhaps(graph)
        else:
            return False
        return True

    def _node(self, node: Any) -> None:
        if getattr(node, "_remit", False):
            return
        node._remit = True
        ours, outer, aouter = self._middleware, node._wrap_tool_call, node._awrap_tool_call
        node._wrap_tool_call = ours.wrap_tool_call
        node._awrap_tool_call = ours.awrap_tool_call
        if outer is not None:
            node._wrap_tool_call = lambda request, handler: outer(
                request, lambda inner: ours.wrap_tool_call(inner, handler)
            )
        if aouter is not None:
            node._awrap_tool_call = lambda request, handler: aouter(
                request, lambda inner: ours.awrap_tool_call(inner, handler)
            )
        for tool in node.tools_by_name.values():
            _wired(tool)


def _wired(tool: Any) -> Any:
    """A tool under the tripwire: an object is changed in place, a function is wrapped."""
    if not isinstance(tool, _tools.BaseTool):
        return tripwired(tool, tool.__name__) if callable(tool) else tool
    # The async method of many tools calls the blocking one.
    for method, through in (("_run", "_arun"), ("_arun", "")):
        wired = tripwired(getattr(tool, method), tool.name, way=method, through=through)
        object.__setattr__(tool, method, wired)
    return tool


def _message(call: Any, came: Any) -> Any:
    if not isinstance(came, Stopped):
        return came
    return _messages.ToolMessage(
        came.text, tool_call_id=call["id"], name=call["name"], status="error"
    )
