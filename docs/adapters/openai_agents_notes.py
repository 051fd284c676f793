"""An agent of the OpenAI Agents SDK that may read notes, under Remit."""

from agents import Agent, Runner

from remit.adapters.openai_agents import govern


def notes_agent(model, tools, guard, **options):
    """Make the agent. What it hands over to, and agents among its tools, are governed with it."""
    return govern(Agent("notes-bot", model=model, tools=tools, **options), guard)


async def ask(agent, question, **options):
    """Run it; call this in ``async with guard.session(agent="notes-bot", user="ada"):``."""
    result = await Runner.run(agent, question, **options)
    return result.interruptions or result.final_output
