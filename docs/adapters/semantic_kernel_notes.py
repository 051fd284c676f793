"""An agent of Semantic Kernel that may read notes, under Remit."""

from semantic_kernel import Kernel
from semantic_kernel.agents import ChatCompletionAgent

from remit.adapters.semantic_kernel import govern


def notes_agent(service, plugin, guard):
    """Make the agent. Its functions are known to policy as ``PLUGIN-FUNCTION``."""
    kernel = Kernel()
    kernel.add_service(service)
    kernel.add_plugin(plugin, "notes")
    return govern(ChatCompletionAgent(kernel=kernel, name="notes_bot"), guard)


async def ask(agent, question):
    """Run it; call this in ``async with guard.session(agent="notes-bot", user="ada"):``."""
    return str((await agent.get_response(question)).content)
