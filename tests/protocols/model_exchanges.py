"""The corpus of answers, and a way to play one through a stream."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from remit.protocols.model_api import CallVerdict, ModelRequest, RequestedCall
from remit.protocols.model_format import ModelFormat
from remit.protocols.model_paths import target_of
from remit.protocols.model_stream import Broken, Decide, Forward, Output, ReplyStream

CORPUS = Path(__file__).parents[1] / "data" / "model_api"
STREAMS = sorted(CORPUS.rglob("*.sse"))
BODIES = sorted(CORPUS.rglob("*.json"))

PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/gemini-3.1-flash:generateContent",
}
METERED = {
    "embeddings.json": "/v1/embeddings",
    "input-tokens.json": "/v1/responses/input_tokens",
    "count-tokens.json": "/v1/messages/count_tokens",
    "gemini/count-tokens.json": "/v1beta/models/gemini-3.1-flash:countTokens",
    "embed.json": "/v1beta/models/gemini-embedding-001:embedContent",
}


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def asked(path: Path) -> tuple[ModelFormat, ModelRequest]:
    """The format of a file of the corpus, and a request that it may answer."""
    where = METERED.get(named(path)) or METERED.get(path.name) or PATHS[path.parent.name]
    if path.suffix == ".sse":
        where = where.replace(":generateContent", ":streamGenerateContent")
    target = target_of("POST", where)
    assert target is not None
    body = {"model": "m", "stream": path.suffix == ".sse", "messages": []}
    return target.format, target.format.read_request(json.dumps(body).encode(), target)


def opened(path: Path) -> ReplyStream:
    format_, request = asked(path)
    return format_.reply_stream(request)


Decider = Callable[[RequestedCall], CallVerdict]


def allow(_: RequestedCall) -> CallVerdict:
    return CallVerdict.allow()


def deny(call: RequestedCall) -> CallVerdict:
    return CallVerdict.deny(f"Refused: {call.name} may not be called.")


def deny_deletes(call: RequestedCall) -> CallVerdict:
    return deny(call) if "delete" in call.name else CallVerdict.allow()


@dataclass
class Played:
    """What the client read, and what was asked on the way."""

    data: bytes = b""
    calls: list[RequestedCall] = field(default_factory=list)
    broken: str | None = None


class Player:
    """Plays a stream: ``later`` says which verdicts are kept back until the stream has ended."""

    def __init__(
        self,
        stream: ReplyStream,
        decide: Decider = allow,
        later: Callable[[RequestedCall], bool] = lambda _: False,
    ) -> None:
        self.stream, self.decide, self.later = stream, decide, later
        self.played = Played()
        self.kept: list[RequestedCall] = []

    def take(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            assert self.played.broken is None, "an output after the last one"
            match output:
                case Forward(data):
                    assert data
                    self.played.data += data
                case Decide(call):
                    self.played.calls.append(call)
                    if self.later(call):
                        self.kept.append(call)
                    else:
                        self.take(self.stream.resolve(call.key, self.decide(call)))
                case Broken(reason):
                    self.played.broken = reason

    def play(self, chunks: Iterable[bytes], *, cut: bool = False) -> Played:
        for chunk in chunks:
            self.take(self.stream.feed(chunk))
        self.take(self.stream.finish(cut=cut))
        for call in reversed(self.kept):
            self.take(self.stream.resolve(call.key, self.decide(call)))
        assert self.stream.done
        if self.played.broken is not None:
            self.played.data += self.stream.farewell(self.played.broken)
        return self.played


def play(path: Path, decide: Decider = allow) -> Played:
    return Player(opened(path), decide).play([path.read_bytes()])


def cut_at(data: bytes, places: Iterable[int]) -> list[bytes]:
    """``data`` in chunks, cut at ``places``."""
    marks = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(marks)]
