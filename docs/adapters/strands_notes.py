"""An agent of Strands that may read notes, under Remit."""

from strands import Agent

from remit.adapters.strands import govern


def notes_agent(model, tools, guard, **options):
    """Make the agent. Agents among its tools are governed with it."""
    return govern(Agent(model=model, tools=tools, callback_handler=None, **options), guard)


def ask(agent, question):
    """Run it; call this in ``with guard.session(agent="notes-bot", user="ada"):``."""
    result = agent(question)
    return result.interrupts if result.stop_reason == "interrupt" else str(result)
