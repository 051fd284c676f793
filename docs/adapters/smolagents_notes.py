"""An agent of smolagents that may read notes, under Remit."""

from smolagents import ToolCallingAgent

from remit.adapters.smolagents import govern


def notes_agent(model, tools, guard, **options):
    """Make the agent. Managed agents (in ``options``) are governed with it."""
    return govern(ToolCallingAgent(tools=tools, model=model, verbosity_level=0, **options), guard)


def ask(agent, question):
    """Run it; call this in ``with guard.session(agent="notes-bot", user="ada"):``."""
    return str(agent.run(question))
