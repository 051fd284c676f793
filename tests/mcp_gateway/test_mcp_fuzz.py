"""No input makes the relay crash, hang, or pass on a call that is not decided."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzzed_relay import FROM_SERVER, FuzzedRelay
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages_made_up import lines

from remit.gateway.mcp_calls import OpenCall
from remit.gateway.mcp_gate import McpGate
from remit.protocols.mcp import McpMessage

HERE = Path(__file__).parent
EXAMPLES = int(os.environ.get("REMIT_FUZZ_EXAMPLES", "300"))
ATHERIS_SECONDS = 15
said = st.one_of(lines, lines, lines, lines.map(lambda line: FROM_SERVER + line))


@pytest.fixture(scope="module")
def relay() -> Iterator[FuzzedRelay]:
    made = FuzzedRelay()
    yield made
    made.close()


@given(conversation=st.lists(said, min_size=1, max_size=6))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_is_said_nothing_undecided_passes(relay: FuzzedRelay, conversation: list[bytes]):
    assert relay.feed(conversation) == []


def test_the_fuzzed_relay_notices_a_call_that_nobody_decided(
    relay: FuzzedRelay, monkeypatch: pytest.MonkeyPatch
):
    """The variant without protection: every request passes as if it were a ping."""
    monkeypatch.setattr(McpGate, "request", passed_on)
    call = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"danger"}}'
    assert "reached the server undecided: 'danger'" in relay.feed([call])


async def passed_on(gate: object, message: McpMessage, *more: object) -> object:
    return OpenCall(message, message.raw)


def test_coverage_guided_fuzzing_finds_nothing(tmp_path: Path):
    """A slice of ``make fuzz``."""
    command = [sys.executable, str(HERE / "fuzz_mcp.py"), str(ATHERIS_SECONDS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ATHERIS_SECONDS + 120)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done " in done.stderr
