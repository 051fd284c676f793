"""An agent of PydanticAI that may read notes, under Remit."""

from pydantic_ai import Agent, DeferredToolRequests

from remit.adapters.pydantic_ai import govern


def notes_agent(model, tools, guard):
    """Make the agent. With ``DeferredToolRequests`` among its outputs, held calls end the run."""
    return govern(Agent(model, tools=tools, output_type=[str, DeferredToolRequests]), guard)


def ask(agent, question, **options):
    """Run it; call this in ``with guard.session(agent="notes-bot", user="ada"):``."""
    return agent.run_sync(question, **options).output
