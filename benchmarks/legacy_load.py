"""Clients of an HTTP API, as thin as they can be, in a process of their own.

    python -m benchmarks.legacy_load URL read|write CLIENTS SECONDS [NAME:VALUE ...]

Each client has a connection of its own and makes one request after the other. Prints one line of
JSON: requests a second, p50 and p99 in milliseconds. An answer that is not the server's ends the
run: a fast refusal must not look like speed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from urllib.parse import urlsplit

from benchmarks.connection import Connection
from benchmarks.load import percentile, run_in_loop

WARM_UP = 0.3
"""Seconds before requests count."""
_ORDER = json.dumps({"product": 7, "quantity": 2, "supplier": "acme", "note": "hello " * 10})


async def run(
    url: str, mode: str, clients: int, seconds: float, headers: list[str], host: str = ""
) -> dict[str, float]:
    """Load the URL.

    Raises:
        RuntimeError: an answer is not the server's.
    """
    parts = urlsplit(url)
    body = _ORDER.encode() if mode == "write" else b""
    method, path = ("POST", "/orders") if mode == "write" else ("GET", "/products/7")
    lines = [
        f"{method} {parts.path.rstrip('/')}{path} HTTP/1.1",
        f"Host: {host or parts.netloc}",
        *headers,
    ]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    request = "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body
    spent, counts, clock = array("d"), [0], time.perf_counter
    loop = asyncio.get_running_loop()
    everyone = [Connection() for _ in range(clients)]
    for connection in everyone:
        await loop.create_connection(
            lambda made=connection: made,  # type: ignore[misc]
            str(parts.hostname),
            int(parts.port or 80),
        )
    counted = clock() + WARM_UP
    end = counted + seconds

    async def work(connection: Connection) -> None:
        while (begun := clock()) < end:
            head, answer = await connection.send(request)
            counts[0] += 1
            if not head.startswith(b"HTTP/1.1 200") or b'"ok": true' not in answer:
                raise RuntimeError((head + answer[:2000]).decode())
            if (ended := clock()) >= counted:
                spent.append(ended - begun)

    await asyncio.gather(*map(work, everyone))
    return {
        "rate": len(spent) / (clock() - counted),
        "p50": percentile(spent, 0.5),
        "p99": percentile(spent, 0.99),
        "all": counts[0],
    }


if __name__ == "__main__":
    url, mode, clients, seconds, *headers = sys.argv[1:]
    print(json.dumps(run_in_loop(run(url, mode, int(clients), float(seconds), headers))))
