"""Made-up requests through the forward proxy: what reaches a server was decided on.

``REMIT_FUZZ_EXAMPLES`` says how many; ``make fuzz`` tries many more than CI.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import Counter
from pathlib import Path
from random import Random
from urllib.parse import unquote

import pytest
from egress_world import World, world
from test_forward_attacks import (
    HOST,
    authorization,
    bytes_of,
    confusing,
    inside,
    port_of,
    raw,
    smuggling,
)

EXAMPLES = int(os.environ.get("REMIT_FUZZ_EXAMPLES", "120"))
AT_ONCE = 20
PIECES = (
    "\r\n", "\n", "\r", "\0", " ", "\t", ":", "/", "\\", "%2f", "%2e", "..", ";", "#", "?", "%",
    "@", "0", "//", " HTTP/1.1", '"', "{", ",", "\xff", "Host: evil.example\r\n",
    "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close, Host\r\n",
    "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n",
)  # fmt: skip


def made_up(random: Random, samples: list[str]) -> str:
    """A request, good or bad, with a few characters of it put in, taken out or repeated."""
    text = random.choice(samples)
    for _ in range(random.randrange(4)):
        at = random.randrange(len(text) + 1)
        change = random.randrange(3)
        if change == 0:
            text = text[:at] + random.choice(PIECES) + text[at:]
        elif change == 1:
            text = text[:at] + text[at + random.randrange(1, 5) :]
        else:
            end = min(len(text), at + random.randrange(40))
            text = text[:end] + text[at:end] + text[end:]
    return text


def good(host: str, line: str) -> list[str]:
    url = f"http://{host}"
    form = "Content-Type: application/x-www-form-urlencoded\r\n"
    return [
        f"GET {url}/stock?a=b HTTP/1.1\r\nHost: {host}\r\n{line}\r\n",
        f"POST {url}/orders HTTP/1.1\r\nHost: {host}\r\n{line}{form}Content-Length: 3\r\n\r\na=b",
        f"POST {url}/orders HTTP/1.1\r\nHost: {host}\r\n{line}{form}"
        "Transfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n\r\n",
    ]


def check(here: World) -> None:
    """Everything that was seen outside was granted, and nothing was that policy refuses."""
    seen: Counter[str] = Counter()
    for each in here.outside.seen:
        method, _, place = each.partition(" ")
        seen[f"http.{method.lower()} {unquote(place.partition('?')[0])}"] += 1
    granted = Counter(str(each.tool) for each in here.records("decision") if each.granted)
    assert seen <= granted, seen - granted
    assert not any("/admin" in each.partition(" ")[2].partition("/")[2] for each in granted)


async def _all(here: World, send: object, samples: list[str], seed: int) -> None:
    random = Random(seed)
    left = EXAMPLES
    while left > 0:
        batch = [made_up(random, samples) for _ in range(min(AT_ONCE, left))]
        await asyncio.gather(*(send(bytes_of(each)) for each in batch))  # type: ignore[operator]
        left -= AT_ONCE


@pytest.mark.parametrize("seed", [1, 2])
async def test_plain_requests(seed: int, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        host, line = f"{HOST}:{here.outside.plain}", authorization(here)
        samples = [*good(host, line) * 8, *smuggling(host, line).values()]
        samples += confusing(host, line).values()
        await _all(here, lambda data: raw(port_of(here), data, 0.3), samples, seed)
        check(here)
        assert here.outside.seen, "nothing good was among them: this would test nothing"


@pytest.mark.parametrize("seed", [3])
async def test_requests_inside_of_tls(seed: int, tmp_path: Path) -> None:
    async with world(tmp_path, inspect='"*"') as here:
        host = f"{HOST}:{here.outside.secure}"
        context = ssl.create_default_context(cafile=str(here.ca))
        samples = [*good(host, "") * 8, *smuggling(host, "").values()]
        samples = [each.replace(f"http://{host}", "") for each in samples]
        samples += confusing(host, "").values()
        await _all(here, lambda data: inside(here, host, data, context), samples, seed)
        check(here)
        assert here.outside.seen, "nothing good was among them: this would test nothing"
