"""Made-up requests over raw sockets: what arrives behind is what was decided on, and nothing else.

``REMIT_FUZZ_EXAMPLES`` says how many; ``make fuzz`` tries many more than CI.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from urllib.parse import unquote

import pytest
from counting_server import CountingServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from legacy_world import LegacyAgent, LegacyWorld, legacy_world
from test_legacy_attacks import CONFIG, CONFUSION, POLICY, SMUGGLING, get, post

EXAMPLES = int(os.environ.get("REMIT_FUZZ_EXAMPLES", "60"))
GOOD = (
    get(b"/legacy/up/items/7?a=b"),
    post(b"Content-Length: 8\r\n", b'{"a": 1}'),
    post(b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
)
PIECES = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"/", b"\\", b"%2f", b"%2e", b"..", b";", b"#",
    b"?", b"%", b"0", b"//", b"HTTP/1.1", b'"', b"{", b",", b"\xff", b"\xe7", b"Host: admin\r\n",
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
    b"GET /admin HTTP/1.1\r\nHost: x\r\n\r\n",
)  # fmt: skip


@st.composite
def requests_made_up(draw: st.DrawFn) -> bytes:
    """A request, good or bad, with a few bytes of it put in, taken out or moved."""
    data = draw(st.sampled_from([*GOOD, *SMUGGLING.values(), *CONFUSION.values()]))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        change = draw(st.integers(0, 2))
        if change == 0:
            data = data[:at] + draw(st.sampled_from(PIECES)) + data[at:]
        elif change == 1:
            data = data[:at] + data[at + draw(st.integers(1, 4)) :]
        else:
            end = draw(st.integers(at, min(len(data), at + 40)))
            data = data[:at] + data[at:end] + data[at:end] + data[end:]
    return data


@pytest.fixture(scope="module")
def behind() -> Iterator[CountingServer]:
    server = CountingServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, behind: CountingServer
) -> Iterator[LegacyWorld]:
    folder = tmp_path_factory.mktemp("fuzz")
    with legacy_world(folder, CONFIG.format(url=behind.url), POLICY) as found:
        yield found


@pytest.fixture(scope="module")
def bot(world: LegacyWorld) -> LegacyAgent:
    return world.agent("inventory-bot", "up")


def decided(world: LegacyWorld, since: int) -> list[str]:
    """Method and path of each request that was allowed."""
    found = []
    for each in world.records()[since:]:
        if each.kind == "decision" and str(each.effect) == "allow":
            word, _, place = (each.tool or "").partition(" ")
            found.append(f"{word.partition('.')[2].upper()} {place.removeprefix('up.corp')}")
    return found


def settled(world: LegacyWorld, since: int) -> None:
    """Wait until each request that was allowed has its outcome."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        found = world.records()[since:]
        if sum(each.kind == "outcome" for each in found) == len(decided(world, since)):
            return
        time.sleep(0.01)


def arrived(behind: CountingServer) -> list[str]:
    return [unquote(line.partition("?")[0]) for line in behind.lines]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=requests_made_up())
def test_what_arrives_was_decided_on(
    world: LegacyWorld, behind: CountingServer, bot: LegacyAgent, data: bytes
):
    behind.lines.clear()
    behind.bytes = b""
    since = len(world.records())
    host, port = world.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=0.15) as opened:
        opened.sendall(data.replace(b"KEY", bot.key.encode()))
        opened.shutdown(socket.SHUT_WR)
        try:
            while opened.recv(65536):
                pass
        except OSError:
            pass
    assert bot("GET", "/items/last").status_code == 200
    settled(world, since)
    assert sorted(arrived(behind)) == sorted(decided(world, since))
    assert bot.key.encode() not in behind.bytes
    assert all(b"/admin" not in line.encode() for line in behind.lines)
