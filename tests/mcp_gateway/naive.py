"""What a gateway is that looks at the call it sees, and no further: the tests must catch it.

    python naive.py http UPSTREAM PORT
    python naive.py stdio COMMAND ...

Each parses the message, refuses the forbidden tool by its name, and passes everything else on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import aiohttp
from aiohttp import web

FORBIDDEN = "danger"
_OURS = {"host", "content-length", "transfer-encoding", "connection", "authorization"}


def refused(body: bytes) -> bool:
    """Whether the message is plainly a call of the forbidden tool."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(message, dict) or message.get("method") != "tools/call":
        return False
    params = message.get("params")
    return isinstance(params, dict) and params.get("name") == FORBIDDEN


def application(upstream: str) -> web.Application:
    """The same before an HTTP server."""

    async def relay(request: web.Request) -> web.Response:
        body = await request.read()
        if refused(body):
            return web.Response(status=403)
        headers = [
            (name, value) for name, value in request.headers.items() if name.lower() not in _OURS
        ]
        async with (
            aiohttp.ClientSession() as client,
            client.request(request.method, upstream, data=body, headers=headers) as answer,
        ):
            return web.Response(body=await answer.read(), status=answer.status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", relay)
    return app


def wrap(command: list[str]) -> int:
    """The same around a stdio server."""
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    answers = server.stdout

    def back() -> None:
        for line in answers:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()

    threading.Thread(target=back, daemon=True).start()
    for line in sys.stdin.buffer:
        if not refused(line):
            server.stdin.write(line)
            server.stdin.flush()
    server.stdin.close()
    return server.wait(10)


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        sys.exit(wrap(sys.argv[2:]))
    web.run_app(application(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[3]), print=None)
