"""An agent of Haystack that may read notes, under Remit."""

from haystack.components.agents import Agent
from haystack.dataclasses import ChatMessage

from remit.adapters.haystack import govern


def notes_agent(generator, tools, guard, **options):
    """Make the agent; a ``Pipeline`` with agents or tool invokers is governed the same way."""
    return govern(Agent(chat_generator=generator, tools=tools, **options), guard)


def ask(agent, question):
    """Run it; call this in ``with guard.session(agent="notes-bot", user="ada"):``."""
    return agent.run(messages=[ChatMessage.from_user(question)])["last_message"].text
