"""Under a policy that allows everything, the client reads what the provider wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocols.model_exchanges import (
    BODIES,
    STREAMS,
    Player,
    allow,
    asked,
    named,
    opened,
    play,
)


def test_the_corpus_is_large_enough() -> None:
    assert len(STREAMS) + len(BODIES) >= 40


@pytest.mark.parametrize("path", STREAMS, ids=named)
def test_an_allowed_stream_is_the_same_bytes(path: Path) -> None:
    played = play(path)
    assert played.broken is None
    assert played.data == path.read_bytes()


@pytest.mark.parametrize("path", STREAMS, ids=named)
def test_an_allowed_stream_in_single_bytes_decided_last_is_the_same_bytes(path: Path) -> None:
    data = path.read_bytes()
    player = Player(opened(path), allow, later=lambda _: True)
    played = player.play(bytes([byte]) for byte in data)
    assert (played.data, played.broken) == (data, None)


@pytest.mark.parametrize("path", BODIES, ids=named)
def test_an_allowed_body_is_the_same_bytes(path: Path) -> None:
    format_, request = asked(path)
    reply = format_.read_reply(path.read_bytes(), request)
    verdicts = {call.key: allow(call) for call in reply.calls}
    assert format_.write_reply(reply, verdicts) == path.read_bytes()
