"""The floor for a gateway in Python: aiohttp on both sides, one pooled client, nothing governed.

python -m benchmarks.models_passthrough UPSTREAM_URL PORT
"""

from __future__ import annotations

import json
import sys

import aiohttp
import uvloop
from aiohttp import web


def application(upstream: str) -> web.Application:
    """A proxy that reads each request as JSON and passes it on."""
    session = web.AppKey("session", aiohttp.ClientSession)

    async def relay(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        streams = json.loads(body).get("stream")
        headers = {"Content-Type": "application/json"}
        async with request.app[session].post(
            upstream + request.path, data=body, headers=headers
        ) as answer:
            if not streams:
                content = await answer.read()
                return web.Response(
                    body=content, status=answer.status, content_type="application/json"
                )
            said = web.StreamResponse(
                status=answer.status, headers={"Content-Type": "text/event-stream"}
            )
            await said.prepare(request)
            async for chunk in answer.content.iter_any():
                await said.write(chunk)
            await said.write_eof()
            return said

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
