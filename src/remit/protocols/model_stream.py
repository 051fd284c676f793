"""An answer that is still coming: text goes through at once, calls are held until decided.

Everything that decides which bytes of a stream may leave, and when, is in this module. Events leave
in the order in which they came. One that belongs to a call waits for the verdict on that call, and
whatever comes after it waits behind it. A wire format says, as a ``ReplyReader``, which calls
an event belongs to, and how it is written once they are decided.

What the client reads depends on the bytes from upstream and on the verdicts, never on how the
bytes were cut or when the verdicts came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from remit.errors import MalformedReply
from remit.protocols.model_api import CallVerdict, HostedCall, RequestedCall, TokenUsage
from remit.protocols.sse import EventReader, ServerEvent

MAX_HELD_BYTES = 64 * 1024 * 1024
"""Most bytes that wait for verdicts before a stream is refused."""


class Forward(Struct, frozen=True):
    """Bytes that leave for the client now: whole events."""

    data: bytes


class Decide(Struct, frozen=True):
    """A call that is complete. Its bytes stay until ``ReplyStream.resolve``."""

    call: RequestedCall


class Broken(Struct, frozen=True):
    """The last output: nothing that came from here on can be read, and none of it leaves."""

    reason: str


Output: TypeAlias = "Forward | Decide | Broken"


class EventReading(Struct, frozen=True):
    """What one event means."""

    event: ServerEvent
    value: Any = None
    """Its JSON, where it may have to be changed."""
    keys: tuple[str, ...] = ()
    """The calls that it belongs to."""
    calls: tuple[RequestedCall, ...] = ()
    """Those that it completes."""


class ReplyReader(Protocol):
    """One wire format's view of one stream."""

    id: str
    usage: TokenUsage | None
    finish: str | None
    model: str | None
    hosted: list[HostedCall]
    text_bytes: int

    def read(self, event: ServerEvent) -> EventReading:
        """What the next event means. Events come in order, each once.

        Raises:
            MalformedReply: nobody can say what it means.
        """
        ...

    def close(self) -> tuple[RequestedCall, ...]:
        """The calls that are complete because the stream ended.

        Raises:
            MalformedReply: it ended in the middle of a call.
        """
        ...

    def write(self, reading: EventReading, verdicts: Mapping[str, CallVerdict]) -> bytes:
        """The bytes of an event whose calls, and all before it, are decided. In order."""
        ...

    def keep_alive(self) -> bytes:
        """What may be sent between events so that nobody gives up."""
        ...

    def farewell(self, reason: str) -> bytes:
        """The event that tells the client's SDK that the stream failed."""
        ...


class ReplyStream:
    """A stream on its way through.

    The outputs of ``feed``, ``finish`` and ``resolve``, in the order in which they are returned,
    are all there is: the client reads every ``Forward``, and the farewell after ``Broken``.
    """

    def __init__(self, reader: ReplyReader) -> None:
        self._reader = reader
        self._events = EventReader()
        self._ready: list[bytes] = []
        """What may leave before anything in the queue."""
        self._queue: deque[EventReading] = deque()
        self._held = 0
        self._open: dict[str, RequestedCall] = {}
        self._verdicts: dict[str, CallVerdict] = {}
        self._broken: str | None = None
        self.ended = False
        """Whether nothing more is read: upstream may be let go."""

    @property
    def waiting(self) -> tuple[RequestedCall, ...]:
        """Calls that nobody has decided yet, in order."""
        return tuple(self._open.values())

    @property
    def done(self) -> bool:
        """Whether everything that may leave has left."""
        return self.ended and not self._queue and not self._open and self._broken is None

    @property
    def id(self) -> str:
        """The id of the answer, where later requests may refer to it."""
        return self._reader.id

    @property
    def usage(self) -> TokenUsage | None:
        """What the answer took, as far as the stream has said."""
        return self._reader.usage

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped, as far as the stream has said."""
        return self._reader.finish

    @property
    def model(self) -> str | None:
        """The model that answers, by its own word."""
        return self._reader.model

    @property
    def hosted(self) -> tuple[HostedCall, ...]:
        """What the provider has run by itself."""
        return tuple(self._reader.hosted)

    @property
    def text_bytes(self) -> int:
        """UTF-8 bytes of text, reasoning and arguments that have come."""
        return self._reader.text_bytes

    @property
    def keep_alive(self) -> bytes:
        """What may be sent between two outputs while the client waits."""
        return self._reader.keep_alive()

    def farewell(self, reason: str) -> bytes:
        """The event that tells the client's SDK that the stream failed, and why."""
        return self._reader.farewell(reason)

    def feed(self, data: bytes) -> list[Output]:
        """Take the next bytes from upstream."""
        if self.ended:
            return []
        asked: list[Output] = []
        try:
            self._take(self._events.feed(data), asked)
        except MalformedReply as error:
            self._break(error, asked)
        return self._release() + asked

    def finish(self, *, cut: bool = False) -> list[Output]:
        """Upstream has ended, or was ``cut``: it failed before its end."""
        if self.ended:
            return []
        asked: list[Output] = []
        try:
            self._take(self._events.close(), asked)
            self._ask(self._reader.close(), asked)
            if cut:
                raise MalformedReply("the connection to the model API failed")
            self.ended = True
        except MalformedReply as error:
            self._break(error, asked)
        return self._release() + asked

    def resolve(self, key: str, verdict: CallVerdict) -> list[Output]:
        """Say what becomes of a call.

        Raises:
            KeyError: no such call is waiting.
        """
        call = self._open.pop(key)
        self._verdicts[key] = call.settled(verdict)
        return self._release()

    def _take(self, events: Iterable[ServerEvent], asked: list[Output]) -> None:
        reader = self._reader
        for event in events:
            reading = reader.read(event)
            if not (self._queue or reading.keys or reading.calls):
                self._ready.append(reader.write(reading, self._verdicts))
                continue
            self._ask(reading.calls, asked)
            self._queue.append(reading)
            self._held += len(event.raw)
            if self._held > MAX_HELD_BYTES:
                raise MalformedReply(f"more than {MAX_HELD_BYTES:,} bytes wait for a decision")

    def _ask(self, calls: tuple[RequestedCall, ...], asked: list[Output]) -> None:
        for call in calls:
            self._open[call.key] = call
            asked.append(Decide(call))

    def _break(self, error: MalformedReply, asked: list[Output]) -> None:
        """Read no further: what came before still counts, calls that are not whole do not."""
        reason = str(error)
        try:
            self._take(error.before, asked)
        except MalformedReply as earlier:
            reason = str(earlier)
        self.ended = True
        self._broken = reason
        known = self._open.keys() | self._verdicts.keys()
        self._queue = deque(item for item in self._queue if known.issuperset(item.keys))

    def _release(self) -> list[Output]:
        """Let everything leave that waits for nothing any more."""
        parts, self._ready = self._ready, []
        while self._queue and all(key in self._verdicts for key in self._queue[0].keys):
            reading = self._queue.popleft()
            self._held -= len(reading.event.raw)
            parts.append(self._reader.write(reading, self._verdicts))
        data = b"".join(parts)
        # Before any question: whoever answers at once must not overtake what came earlier.
        outputs: list[Output] = [Forward(data)] if data else []
        if self._broken is not None and not self._queue and not self._open:
            outputs.append(Broken(self._broken))
            self._broken = None
        return outputs
