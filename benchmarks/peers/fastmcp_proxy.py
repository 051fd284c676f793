"""FastMCP's proxy with a middleware that sees each call, run in the peer's own environment.

    python fastmcp_proxy.py UPSTREAM_URL PORT each|shared

``each``: as its documentation makes one, with a client for each call; ``shared``: one client.
"""

from __future__ import annotations

import sys

from fastmcp.server import create_proxy
from fastmcp.server.middleware import Middleware
from fastmcp.server.providers.proxy import FastMCPProxy, ProxyClient


class Gate(Middleware):
    """The least that can be called a check."""

    async def on_call_tool(self, context, call_next):
        if context.message.name == "delete_everything":
            raise ValueError("blocked")
        return await call_next(context)


upstream, port, kind = sys.argv[1:]
if kind == "shared":
    client = ProxyClient(upstream).new()
    proxy = FastMCPProxy(client_factory=lambda: client, name="proxy")
else:
    proxy = create_proxy(upstream, name="proxy")
proxy.add_middleware(Gate())
proxy.run(
    transport="http",
    host="127.0.0.1",
    port=int(port),
    path="/mcp",
    show_banner=False,
    log_level="error",
    stateless_http=kind == "shared",
)
