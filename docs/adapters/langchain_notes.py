"""An agent of LangChain that may read notes, under Remit."""

from langchain.agents import create_agent

from remit.adapters.langchain import govern


def notes_agent(model, tools, guard, **options):
    """Make the agent. Held calls interrupt it if it has a checkpointer (in ``options``)."""
    return govern(create_agent(model, tools, **options), guard)


def ask(agent, question, **config):
    """Run it; call this in ``with guard.session(agent="notes-bot", user="ada"):``."""
    state = agent.invoke({"messages": [("user", question)]}, config)
    return state["messages"][-1].content
