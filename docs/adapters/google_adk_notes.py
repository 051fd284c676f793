"""An agent of Google ADK that may read notes, under Remit."""

from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.runners import InMemoryRunner
from google.genai import types

from remit.adapters.google_adk import govern


def notes_runner(model, tools, guard):
    """Make the agent and what runs it. Sub-agents and agents as tools are governed with it."""
    agent = LlmAgent(name="notes_bot", model=model, tools=tools)
    return InMemoryRunner(app=govern(App(name="notes", root_agent=agent), guard))


async def ask(runner, session_id, *parts, **options):
    """Run it; call this in ``async with guard.session(agent="notes-bot", user="ada"):``."""
    message = types.Content(role="user", parts=list(parts))
    given = {"user_id": "ada", "session_id": session_id, "new_message": message}
    return [event async for event in runner.run_async(**given, **options)]
