"""An agent of Agno that may read notes, under Remit."""

from agno.agent import Agent

from remit.adapters.agno import govern


def notes_agent(model, tools, guard, **options):
    """Make the agent; a ``Team`` and its members are governed the same way."""
    return govern(Agent(model=model, tools=tools, telemetry=False, **options), guard)


def ask(agent, question):
    """Run it; call this in ``with guard.session(agent="notes-bot", user="ada"):``."""
    return agent.run(question).content
