"""Microsoft Agent Framework under Remit.

    agent = govern(agent, guard)
    agent = Agent(client=..., tools=..., middleware=[..., FunctionGovernance(guard)])

The middleware belongs last in its list: what another one changes after it has decided would run
undecided. ``govern`` puts it there.
"""

from __future__ import annotations

from typing import Any

from remit.adapters.declared import AGENT_FRAMEWORK
from remit.adapters.loading import framework
from remit.adapters.walking import Walk
from remit.guard import Guard, SessionScope, Shape, Stopped, TextShape, tripwired

_maf = framework(AGENT_FRAMEWORK, "agent_framework")
_FunctionMiddleware: Any = _maf.FunctionMiddleware


class _ContentShape(TextShape):
    """A result is a list of contents, mostly one text; or whatever a tool without parser gave."""

    def text(self, came: Any) -> Any:
        only: Any = came[0] if isinstance(came, list) and len(came) == 1 else None
        if getattr(only, "type", None) == "text":
            return only.text
        if isinstance(came, list) and came and hasattr(came[0], "to_dict"):
            return [each.to_dict() for each in came]
        return came

    def with_text(self, came: Any, text: Any) -> Any:
        return [_maf.Content.from_text(text)] if isinstance(text, str) else text


class FunctionGovernance(_FunctionMiddleware):  # type: ignore[misc]
    """Middleware for ``Agent(middleware=[...])``: put it last."""

    def __init__(self, guard: Guard, *, session: SessionScope | None = None) -> None:
        self._seam = guard.seam(session)
        self._shape: Shape = _ContentShape()

    async def process(self, context: Any, call_next: Any) -> None:
        """Govern one call."""
        tool, given = context.function.name, context.arguments
        plain = given.model_dump() if hasattr(given, "model_dump") else dict(given)

        async def execute(args: dict[str, Any]) -> Any:
            if args != plain:
                context.arguments = args
            await call_next()
            return context.result

        came = await self._seam.around_async(tool, plain, execute, self._shape)
        if isinstance(came, Stopped) and came.approval is not None:
            context.result = _waiting(context, tool, plain, came)
        else:
            context.result = came.text if isinstance(came, Stopped) else came


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put an agent, a tool or a list of these under Remit, in place.

    Tools refuse to run where nobody decided: give them to agents with ``FunctionGovernance``.
    """
    walk = _MafAgents(FunctionGovernance(guard, session=session))
    for each in target if isinstance(target, list | tuple) else (target,):
        walk.visit(each)
    return target


class _MafAgents(Walk):
    def __init__(self, middleware: FunctionGovernance) -> None:
        super().__init__("an Agent, a FunctionTool or a list of these")
        self._middleware = middleware

    def known(self, target: Any) -> bool:
        if isinstance(target, _maf.BaseAgent):
            self._agent(target)
        elif isinstance(target, _maf.FunctionTool):
            self._tool(target)
        else:
            return False
        return True

    def _agent(self, agent: Any) -> None:
        before = list(agent.middleware or ())
        if not any(isinstance(each, FunctionGovernance) for each in before):
            agent.middleware = [*before, self._middleware]
        for tool in getattr(agent, "default_options", {}).get("tools") or ():
            self.perhaps(tool)

    def _tool(self, tool: Any) -> None:
        if tool.func is not None:
            self.inside(tool.func)
            tool.func = tripwired(tool.func, tool.name)


def _waiting(context: Any, tool: str, arguments: dict[str, Any], held: Stopped) -> Any:
    """What pauses the run in place of a result: a request for approval of this call."""
    call, place = context.metadata["call_id"], context.metadata.get("function_call_occurrence_id")
    asked = _maf.Content.from_function_call(call_id=call, id=place, name=tool, arguments=arguments)
    why = {"approval": held.approval, "why": held.text}
    return _maf.Content.from_function_approval_request(
        id=place or call, function_call=asked, additional_properties=why
    )
