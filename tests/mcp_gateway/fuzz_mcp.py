"""Coverage-guided fuzzing of the relay: ``make fuzz``.

    python tests/mcp_gateway/fuzz_mcp.py SECONDS [CORPUS]

Starts from the attacks; lines of an input are messages, those that begin with ``<`` are the
server's. Ends with 0 when the time is over and nothing was found; otherwise it says what did not
hold, and the input is written beside the corpus.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["remit.protocols", "remit.gateway", "remit.canonical", "remit.text"]
):
    from attacks import ATTACKS, SAFE, text
    from fuzzed_relay import FROM_SERVER, FuzzedRelay

_RENEW = 3000
"""Inputs after which the relay is made anew, so that its log stays small."""
_WORDS = (
    '"jsonrpc":"2.0"', '"method"', '"tools/call"', '"params"', '"name"', '"danger"', '"safe"',
    '"careful"', '"arguments"', '"_meta"', '"id"', '"result"', '"error"', '"inputRequests"',
    '"requestState"', '"inputResponses"', '"notifications/cancelled"', '"requestId"',
    '"tools/list"', '"resources/read"', '"sampling/createMessage"', '"initialize"',
    '"io.modelcontextprotocol/protocolVersion"', '"progressToken"', "\\u0064",
)  # fmt: skip


class Fuzzed:
    """The target: raises when something does not hold."""

    def __init__(self) -> None:
        self._relay = FuzzedRelay()
        self._fed = 0

    def __call__(self, data: bytes) -> None:
        self._fed += 1
        if self._fed % _RENEW == 0:
            self._relay.close()
            self._relay = FuzzedRelay()
        faults = self._relay.feed(data.split(b"\n")[:16])
        if faults:
            raise AssertionError("; ".join(faults))


def seeds() -> list[bytes]:
    """What to start from: the attacks, a conversation, and what a server may say by itself."""
    conversation = [
        text({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}),
        text({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        text({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}),
        text(SAFE),
        text({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}),
    ]
    asks = text({"jsonrpc": "2.0", "id": 3, "method": "sampling/createMessage", "params": {}})
    result = text({"jsonrpc": "2.0", "id": 7, "result": {"content": []}})
    return [
        *(attack.body for attack in ATTACKS if len(attack.body) < 4096),
        b"\n".join(conversation),
        FROM_SERVER + asks,
        text(SAFE) + b"\n" + FROM_SERVER + result,
    ]


def main(seconds: int, corpus: Path) -> None:
    """Fuzz for some seconds."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = corpus.parent / "words"
    quoted = (word.replace("\\", "\\\\").replace('"', '\\"') for word in _WORDS)
    words.write_text("".join(f'"{word}"\n' for word in quoted))
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=30", f"-dict={words}"]
    atheris.Setup(
        [sys.argv[0], *options, f"-artifact_prefix={corpus.parent}/", str(corpus)], Fuzzed()
    )
    atheris.Fuzz()


if __name__ == "__main__":
    place = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp(prefix="fuzz-mcp-"))
    main(int(sys.argv[1]), place / "corpus")
