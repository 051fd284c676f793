"""An agent of LlamaIndex that may read notes, under Remit."""

from llama_index.core.agent.workflow import FunctionAgent

from remit.adapters.llama_index import govern


def notes_agent(llm, tools, guard, **options):
    """Make the agent; an ``AgentWorkflow`` of several is governed the same way."""
    return govern(FunctionAgent(tools=tools, llm=llm, **options), guard)


async def ask(agent, question):
    """Run it; call this in ``async with guard.session(agent="notes-bot", user="ada"):``."""
    return str(await agent.run(user_msg=question))
