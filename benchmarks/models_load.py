"""Clients of a model API, as thin as they can be, in a process of their own.

    python -m benchmarks.models_load URL whole|stream CLIENTS SECONDS [NAME:VALUE ...]

Each client has a connection of its own and makes one request after the other. Prints one line of
JSON: requests a second, p50 and p99 in milliseconds, and the p50 until the first text came. An
answer that is not the expected text ends the run: a fast refusal must not look like speed.
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
from benchmarks.models_upstream import CHUNKS

WARM_UP = 0.3
"""Seconds before requests count."""


async def run(
    url: str, mode: str, clients: int, seconds: float, headers: list[str]
) -> dict[str, float]:
    """Load the URL.

    Raises:
        RuntimeError: an answer is not the expected one.
    """
    parts = urlsplit(url)
    asked = {
        "model": "gpt-bench",
        "messages": [{"role": "user", "content": "hello " * 20}],
        "max_tokens": 200,
        "stream": mode == "stream",
    }
    if mode == "stream":
        asked["stream_options"] = {"include_usage": True}
    body = json.dumps(asked).encode()
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    request = "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body
    spent, first = array("d"), array("d")
    counts = [0]
    clock = time.perf_counter
    loop = asyncio.get_running_loop()
    everyone = [Connection(first=b"hello") for _ in range(clients)]
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
            if not head.startswith(b"HTTP/1.1 200") or answer.count(b"hello ") < CHUNKS:
                raise RuntimeError((head + answer[:2000]).decode())
            if (ended := clock()) >= counted:
                spent.append(ended - begun)
                first.append(connection.first - begun)

    await asyncio.gather(*map(work, everyone))
    return {
        "rate": len(spent) / (clock() - counted),
        "p50": percentile(spent, 0.5),
        "p99": percentile(spent, 0.99),
        "first": percentile(first, 0.5),
        "all": counts[0],
    }


if __name__ == "__main__":
    url, mode, clients, seconds, *headers = sys.argv[1:]
    print(json.dumps(run_in_loop(run(url, mode, int(clients), float(seconds), headers))))
