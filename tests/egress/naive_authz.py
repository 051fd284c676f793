"""A decision service as many are written: it looks at the path, and trusts what Envoy passes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def naive_authz() -> AsyncIterator[int]:
    """Its port. It stands where Remit does in ``deploy/envoy/http.yaml``."""

    async def answer(request: web.BaseRequest) -> web.Response:
        path = request.raw_path.removeprefix("/envoy/check")
        return web.Response(status=403 if path.startswith("/admin") else 200)

    server = web.Server(answer)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
