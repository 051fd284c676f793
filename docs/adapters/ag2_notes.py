"""An agent of AG2 that may read notes, under Remit."""

from ag2 import Agent

from remit.adapters.ag2 import govern


def notes_agent(config, tools, guard, **options):
    """Make the agent. Agents among its tools (``as_tool``) are governed with it."""
    return govern(Agent("notes-bot", config=config, tools=tools, **options), guard)


async def ask(agent, question):
    """Run it; call this in ``async with guard.session(agent="notes-bot", user="ada"):``."""
    return (await agent.ask(question)).body
