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
    """A proxy that reads each request as JSON and passes it on; what is streamed it streams.

    Args:
        upstream: scheme, host and port; requests keep their path.
    """
    session = web.AppKey("session", aiohttp.ClientSession)

    async def relay(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if body:
            json.loads(body)
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        client, url = request.app[session], upstream + request.path
        async with client.request(request.method, url, data=body, headers=headers) as answer:
            said = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
            if answer.content_type != "text/event-stream":
                content = await answer.read()
                return web.Response(body=content, status=answer.status, headers=said)
            response = web.StreamResponse(status=answer.status, headers=said)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

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
