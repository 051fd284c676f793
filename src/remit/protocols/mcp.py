"""MCP messages (JSON-RPC 2.0) as a relay reads and writes them. Pure.

Both eras of the protocol: revisions up to 2025-11-25 begin with ``initialize`` and keep a session;
from 2026-07-28 on each request stands alone and says in ``_meta`` which revision it speaks. A
message keeps the bytes that it came in, so that what nobody changed is passed on as it was.

Reading is strict, since the other end may read leniently: keys that appear twice, or that some
reader takes for one another (``name`` and ``Name``), batches, and messages that are two kinds at
once are refused.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from remit import canonical, text
from remit.canonical import JsonLimits
from remit.errors import InvalidArgument

MessageId: TypeAlias = "int | str"

MAX_MESSAGE = 16 * 1_048_576
"""Bytes of one message, unless somebody says otherwise."""
MAX_DEPTH = 64
_MAX_METHOD = 256
_MAX_ID = 1024
LIMITS = JsonLimits(bytes=MAX_MESSAGE, depth=MAX_DEPTH)

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REFUSED = -32010
"""Ours: policy, or a person, does not let a request through. ``data`` says more."""
UNREACHABLE = -32011
"""Ours: the server did not answer, or not in a way that may be passed on."""
HEADER_MISMATCH = -32020
"""HTTP headers and body do not say the same (revision 2026-07-28)."""

NOTICES = "notifications/"
"""What the methods of notifications begin with."""

HANDSHAKE_REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions that begin with ``initialize``."""
REVISION_KEY = "io.modelcontextprotocol/protocolVersion"
"""In ``_meta`` of a request that stands alone: the revision that it speaks."""

_ENVELOPE = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
_PARAMS = frozenset(
    {
        "_meta",
        "arguments",
        "argument",
        "context",
        "cursor",
        "inputResponses",
        "name",
        "notifications",
        "ref",
        "requestState",
        "uri",
    }
)
_ANSWERS = frozenset(
    {
        "_meta",
        "code",
        "content",
        "data",
        "isError",
        "message",
        "nextCursor",
        "resultType",
        "structuredContent",
        "tools",
    }
)
_FOLDED = {text.fold(key): key for key in _ENVELOPE}
_FOLDED_PARAMS = {text.fold(key): key for key in _PARAMS}


class McpFault(Exception):  # noqa: N818 - the word of the protocol's own error objects
    """A message that cannot be passed on. Raised while reading; never seen outside a relay.

    ``code`` is the JSON-RPC error code, ``id`` that of the request where it could be read.
    """

    def __init__(self, code: int, message: str, message_id: MessageId | None = None) -> None:
        self.code = code
        self.message = message
        self.id = message_id
        super().__init__(message)


class MessageKind(enum.Enum):
    """What a message is."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESULT = "result"
    ERROR = "error"


class McpMessage(Struct, frozen=True):
    """One message, and the bytes that it came in."""

    raw: bytes
    kind: MessageKind
    id: MessageId | None
    """Of the request, or of the one that is answered; None in notifications, and in errors that
    nobody could attribute."""
    method: str
    """Empty in answers."""
    body: Mapping[str, Any]
    """The ``params`` of a request, the ``result`` or the ``error`` of an answer."""
    value: Mapping[str, Any]
    """The whole message."""

    @property
    def answers(self) -> bool:
        """Whether it answers a request."""
        return self.kind is MessageKind.RESULT or self.kind is MessageKind.ERROR

    @property
    def meta(self) -> Mapping[str, Any]:
        """The ``_meta`` of a request."""
        found = self.body.get("_meta")
        return found if isinstance(found, dict) else {}

    @property
    def stands_alone(self) -> bool:
        """Whether it is a request of the stateless era."""
        return REVISION_KEY in self.meta

    @property
    def progress_token(self) -> MessageId | None:
        """What progress of this request is reported under, if its sender wants to hear of it."""
        token = self.meta.get("progressToken")
        return token if isinstance(token, str) or type(token) is int else None


def read_message(data: bytes, limits: JsonLimits = LIMITS) -> McpMessage:
    """Read one message.

    Raises:
        McpFault: it is not one message that every reader understands alike.
    """
    try:
        value = canonical.parse(data, "message", limits)
    except InvalidArgument as problem:
        raise McpFault(PARSE_ERROR, f"The message was not passed on. {problem}") from None
    if type(value) is not dict:
        what = "a batch; send its messages one by one" if type(value) is list else "no object"
        raise McpFault(INVALID_REQUEST, f"The message was not passed on: it is {what}.")
    found = value.get("id")
    message_id = found if _is_id(found) else None
    try:
        return _read(data, value, message_id)
    except McpFault as fault:
        fault.id = message_id if "method" in value else None
        raise


def _read(data: bytes, value: dict[str, Any], message_id: MessageId | None) -> McpMessage:
    if not _ENVELOPE.issuperset(value):
        _distinct(value, _FOLDED, "the message")
    if value.get("jsonrpc") != "2.0":
        raise _not_understood('it does not say "jsonrpc": "2.0"')
    has_result, has_error = "result" in value, "error" in value
    if "method" in value:
        if has_result or has_error:
            raise _not_understood("it is a request and an answer at once")
        return _request(data, value, message_id)
    if has_result is has_error:
        raise _not_understood("it is neither a request nor an answer")
    body = value["result"] if has_result else value["error"]
    if type(body) is not dict:
        raise _not_understood("its result or error is no object")
    if "id" not in value or (message_id is None and (has_result or value["id"] is not None)):
        raise _not_understood("its id is neither a whole number nor text")
    if not _ANSWERS.issuperset(body):
        _distinct(body, {}, "the answer")
    kind = MessageKind.RESULT if has_result else MessageKind.ERROR
    return McpMessage(data, kind, message_id, "", body, value)


def _request(data: bytes, value: dict[str, Any], message_id: MessageId | None) -> McpMessage:
    method = value["method"]
    if type(method) is not str or not 0 < len(method) <= _MAX_METHOD:
        raise _not_understood("its method is no text of 1 to 256 characters")
    if method.strip() != method or not method.isprintable():
        raise _not_understood("its method has blanks at its ends, or holds what cannot be seen")
    if message_id is None and "id" in value:
        raise _not_understood("its id is neither a whole number nor text")
    if message_id is None and not method.startswith(NOTICES):
        # Nobody decides on notifications, and some servers act on whatever has no id.
        raise _not_understood(f"{method[:64]!a} is no notification, and has no id")
    params = value.get("params")
    if params is None:
        params = {}
    if type(params) is not dict:
        raise _not_understood("its params are no object")
    if not _PARAMS.issuperset(params):
        _distinct(params, _FOLDED_PARAMS, "params")
    kind = MessageKind.NOTIFICATION if message_id is None else MessageKind.REQUEST
    return McpMessage(data, kind, message_id, method, params, value)


def _is_id(value: Any) -> bool:
    if type(value) is str:
        return len(value) <= _MAX_ID
    return type(value) is int and value.bit_length() <= 64


def _distinct(value: Mapping[str, Any], known: Mapping[str, str], where: str) -> None:
    """No key may be taken for another by readers that mind no case or control characters.

    Not asked where all keys are ones that are known: those are told apart.
    """
    seen: set[str] = set()
    for key in value:
        form = text.fold(key)
        if form in seen or known.get(form, key) != key:
            meant = known.get(form, form)
            raise _not_understood(f"in {where}, {key[:64]!a} could be read as {meant[:64]!a}")
        seen.add(form)


def _not_understood(what: str) -> McpFault:
    return McpFault(INVALID_REQUEST, f"The message was not passed on: {what}.")


def encode_message(value: Mapping[str, Any]) -> bytes:
    """The bytes of a message that was made or changed here. No line break in it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def error_answer(
    message_id: MessageId | None, code: int, message: str, data: Mapping[str, Any] | None = None
) -> bytes:
    """An answer that says that a request failed."""
    error: dict[str, Any] = {"code": code, "message": message}
    if data:
        error["data"] = data
    return encode_message({"jsonrpc": "2.0", "id": message_id, "error": error})


def result_answer(message_id: MessageId | None, result: Mapping[str, Any]) -> bytes:
    """An answer with a result."""
    return encode_message({"jsonrpc": "2.0", "id": message_id, "result": result})


def fault_answer(fault: McpFault) -> bytes:
    """What to answer to a message that cannot be passed on."""
    return error_answer(fault.id, fault.code, fault.message)


def progress_notice(token: MessageId, progress: int, message: str) -> bytes:
    """A notification that a request is still being worked on."""
    params = {"progressToken": token, "progress": progress, "message": message}
    value = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
    return encode_message(value)


def with_body(message: McpMessage, body: Mapping[str, Any]) -> bytes:
    """The message with other params, another result or another error, and all else as it was."""
    member = {MessageKind.RESULT: "result", MessageKind.ERROR: "error"}.get(message.kind, "params")
    return encode_message({**message.value, member: body})
