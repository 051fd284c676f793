"""The floor for a gateway in Python: aiohttp on both sides, one pooled client, nothing governed.

python -m benchmarks.passthrough UPSTREAM_URL PORT
"""

from __future__ import annotations

import json
import sys

import aiohttp
import uvloop
from aiohttp import web

PASSED_ON = ("Accept", "Content-Type", "MCP-Protocol-Version", "Mcp-Session-Id")


def application(upstream: str) -> web.Application:
    """A proxy that reads each request as JSON and passes it on."""
    session = web.AppKey("session", aiohttp.ClientSession)

    async def relay(request: web.Request) -> web.Response:
        body = await request.read()
        if body:
            json.loads(body)
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        client = request.app[session]
        async with client.request(request.method, upstream, data=body, headers=headers) as answer:
            said = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
            return web.Response(body=await answer.read(), status=answer.status, headers=said)

    async def start(app: web.Application) -> None:
        app[session] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def stop(app: web.Application) -> None:
        await app[session].close()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", relay)
    app.on_startup.append(start)
    app.on_cleanup.append(stop)
    return app


if __name__ == "__main__":
    uvloop.install()
    web.run_app(
        application(sys.argv[1]),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        access_log=None,
        print=None,
    )
