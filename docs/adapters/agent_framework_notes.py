"""An agent of Microsoft Agent Framework that may read notes, under Remit."""

from agent_framework import Agent

from remit.adapters.agent_framework import govern


def notes_agent(client, tools, guard):
    """Make the agent. Agents among its tools (``as_tool``) are governed with it."""
    return govern(Agent(client=client, tools=tools), guard)


async def ask(agent, question, **options):
    """Run it; call this in ``async with guard.session(agent="notes-bot", user="ada"):``."""
    response = await agent.run(question, **options)
    return response.user_input_requests or response.text
