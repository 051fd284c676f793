"""Google ADK (Agent Development Kit) under Remit.

    runner = InMemoryRunner(app=govern(App(name=..., root_agent=agent), guard))

A plugin of the runner sees every tool just before it runs, whichever agent has it: sub-agents,
agents as tools, toolsets that list their tools at run time. It puts the decision into the tool
itself, after all callbacks: what those change is decided on as well.
"""

from __future__ import annotations

import inspect
from typing import Any

from remit.adapters.declared import GOOGLE_ADK
from remit.adapters.loading import framework
from remit.adapters.walking import Walk
from remit.guard import Guard, SessionScope, Stopped
from remit.guard.tripwire import is_tripwired, marked

_BasePlugin: Any = framework(GOOGLE_ADK, "google.adk.plugins.base_plugin").BasePlugin
_tools = framework(GOOGLE_ADK, "google.adk.tools")


class RemitPlugin(_BasePlugin):  # type: ignore[misc]
    """A plugin for ``App(plugins=[...])`` or a runner."""

    def __init__(self, guard: Guard, *, session: SessionScope | None = None) -> None:
        super().__init__(name="remit")
        self._seam = guard.seam(session)

    async def before_tool_callback(
        self, *, tool: Any, tool_args: dict[str, Any], tool_context: Any
    ) -> dict[str, Any] | None:
        """Make sure that the tool decides before it runs."""
        if inspect.isasyncgenfunction(getattr(tool, "func", None)):
            return {"error": f"{tool.name} was not run: streaming tools cannot be governed yet."}
        self.wrap(tool)
        return None

    def wrap(self, tool: Any) -> None:
        """Put the decision into one tool, once."""
        inner = tool.run_async
        if is_tripwired(inner):
            return

        async def run_async(*, args: dict[str, Any], tool_context: Any) -> Any:
            confirmed = getattr(tool_context, "tool_confirmation", None)
            if confirmed is not None and not confirmed.confirmed:
                return {"error": f"{tool.name} was not run: the person who was asked said no."}
            came = await self._seam.around_async(
                tool.name, args, lambda decided: inner(args=decided, tool_context=tool_context)
            )
            return _refused(came, tool_context) if isinstance(came, Stopped) else came

        tool.run_async = marked(run_async)


def _refused(stopped: Stopped, tool_context: Any) -> dict[str, str]:
    if stopped.approval is not None and tool_context.function_call_id:
        payload = {"approval": stopped.approval}
        tool_context.request_confirmation(hint=stopped.text, payload=payload)
        tool_context.actions.skip_summarization = True
    return {"error": stopped.text}


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put an ``App``, a runner, an agent or a tool under Remit, in place.

    An app or a runner is best: its plugin also sees what agents come to have while they run.
    """
    _AdkAgents(RemitPlugin(guard, session=session)).visit(target)
    return target


class _AdkAgents(Walk):
    def __init__(self, plugin: RemitPlugin) -> None:
        super().__init__("an App, a Runner, an agent or a tool")
        self._plugin = plugin

    def known(self, target: Any) -> bool:
        if hasattr(target, "root_agent") and hasattr(target, "plugins"):
            if not any(isinstance(each, RemitPlugin) for each in target.plugins):
                target.plugins = [*target.plugins, self._plugin]
            self.perhaps(target.root_agent)
        elif hasattr(target, "plugin_manager") and hasattr(target, "agent"):
            if target.plugin_manager.get_plugin("remit") is None:
                target.plugin_manager.register_plugin(self._plugin)
            self.perhaps(target.agent)
        elif hasattr(target, "sub_agents") and hasattr(target, "run_async"):
            self._agent(target)
        elif isinstance(target, _tools.BaseTool):
            self._plugin.wrap(target)
            self.perhaps(getattr(target, "agent", None))
            self.inside(getattr(target, "func", None))
        else:
            # A toolset lists its tools when a run begins; the plugin sees those.
            return hasattr(target, "get_tools")
        return True

    def _agent(self, agent: Any) -> None:
        for each in agent.sub_agents:
            self.perhaps(each)
        if hasattr(agent, "tools"):
            made = [_tools.FunctionTool(t) if inspect.isroutine(t) else t for t in agent.tools]
            agent.tools = made
            for each in made:
                self.perhaps(each)
