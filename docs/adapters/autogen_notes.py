"""An agent of AutoGen that may read notes, under Remit."""

from autogen_agentchat.agents import AssistantAgent

from remit.adapters.autogen import govern


def notes_agent(client, tools, guard, **options):
    """Make the agent; teams and agents as tools are governed the same way."""
    agent = AssistantAgent("notes_bot", client, tools=tools, max_tool_iterations=10, **options)
    return govern(agent, guard)


async def ask(agent, question):
    """Run it; call this in ``async with guard.session(agent="notes-bot", user="ada"):``."""
    return (await agent.run(task=question)).messages[-1].content
