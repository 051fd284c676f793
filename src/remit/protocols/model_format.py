"""What every wire format of a model API can do, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from remit.protocols.model_api import (
    CallVerdict,
    ModelReply,
    ModelRequest,
    Operation,
    RequestChanges,
)
from remit.protocols.model_stream import ReplyStream


class ModelFormat(Protocol):
    """One wire format, as pure functions from bytes to words and back."""

    @property
    def name(self) -> str:
        """Short name, such as ``openai-chat``."""
        ...

    def read_request(self, body: bytes, target: Target) -> ModelRequest:
        """What a request asks for.

        Raises:
            InvalidRequest: it cannot be read without doubt.
        """
        ...

    def write_request(self, request: ModelRequest, changes: RequestChanges) -> bytes:
        """The request to send on: the bytes that came, where nothing changes."""
        ...

    def read_reply(self, body: bytes, request: ModelRequest) -> ModelReply:
        """What a whole answer says.

        Raises:
            MalformedReply: it cannot be read without doubt: send none of it on.
        """
        ...

    def write_reply(self, reply: ModelReply, verdicts: Mapping[str, CallVerdict]) -> bytes:
        """The answer to pass on: the bytes that came, where all calls may run as they are.

        Raises:
            KeyError: a call has no verdict.
        """
        ...

    def reply_stream(self, request: ModelRequest, *, hide_usage: bool = False) -> ReplyStream:
        """A machine for the stream that answers ``request``.

        Args:
            request: what was sent.
            hide_usage: whether usage was asked for on our own account, so that the client
                does not expect it.
        """
        ...

    def error_body(self, status: int, message: str, code: str = "remit_refused") -> bytes:
        """An error as JSON, such as this API gives and its SDKs understand."""
        ...


class Target(Struct, frozen=True):
    """What the path of a request says."""

    format: ModelFormat
    operation: Operation
    model: str | None = None
    """Set where the path names it; otherwise the body does."""
    stream: bool | None = None
    """Likewise."""
