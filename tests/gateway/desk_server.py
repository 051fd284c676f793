"""An MCP server with a bit of everything, for the tests of the gateway.

python desk_server.py            over standard input and output
python desk_server.py PORT       over Streamable HTTP, at http://127.0.0.1:PORT/mcp
"""

import asyncio
import os
import sys

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import SamplingMessage, TextContent, ToolAnnotations
from pydantic import BaseModel

server = MCPServer("desk")


class Account(BaseModel):
    name: str
    password: str


class Colour(BaseModel):
    colour: str


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def echo(text: str) -> str:
    return text


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
def pay(amount: int) -> str:
    return f"paid {amount}"


@server.tool()
def account(name: str) -> Account:
    return Account(name=name, password="hunter2")


@server.tool()
def fail(text: str) -> str:
    raise ToolError(text)


@server.tool()
def hidden() -> str:
    return "nobody may see this"


@server.tool()
async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@server.tool()
def variables() -> list[str]:
    return sorted(os.environ)


@server.tool()
def die() -> str:
    print("the desk is on fire", file=sys.stderr, flush=True)
    os._exit(3)


@server.tool()
async def ask_model(question: str, ctx: Context) -> str:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=question))
    result = await ctx.session.create_message(messages=[message], max_tokens=10)
    return str(result.content.text)


@server.tool()
async def ask_user(question: str, ctx: Context) -> str:
    result = await ctx.elicit(question, Colour)
    return str(result.data.colour if result.action == "accept" else result.action)


@server.resource("desk://drawer/{name}")
def drawer(name: str) -> str:
    return f"inside {name}"


@server.resource("desk://note")
def note() -> str:
    return "remember the milk"


@server.prompt()
def greet(name: str) -> str:
    return f"Greet {name}."


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
