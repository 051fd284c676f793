"""An agent of the Claude Agent SDK that may read notes, under Remit."""

from claude_agent_sdk import ClaudeAgentOptions, ResultMessage, query

from remit.adapters.claude_agent_sdk import govern


def notes_options(servers, guard, **options):
    """Make the options. Built-in tools, MCP servers and sub-agents are governed."""
    return govern(ClaudeAgentOptions(mcp_servers=servers, **options), guard)


async def ask(options, question):
    """Run it; call this in ``async with guard.session(agent="notes-bot", user="ada"):``."""
    said = ""
    async for message in query(prompt=question, options=options):
        if isinstance(message, ResultMessage):
            said = message.result or ""
    return said
