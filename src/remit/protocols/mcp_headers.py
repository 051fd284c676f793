"""What HTTP headers say of an MCP message: they must say what its body says. Pure.

Servers and what stands in between may route, or decide, by ``Mcp-Method`` and ``Mcp-Name``
(revision 2026-07-28); a header that names another tool than the body must not get through.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping

from remit.protocols.mcp import (
    HANDSHAKE_REVISIONS,
    HEADER_MISMATCH,
    INVALID_REQUEST,
    REVISION_KEY,
    McpFault,
    McpMessage,
)

REVISION = "mcp-protocol-version"
METHOD = "mcp-method"
NAME = "mcp-name"
SESSION = "mcp-session-id"
LAST_EVENT = "last-event-id"
PARAM_PREFIX = "mcp-param-"

_ONCE = frozenset({REVISION, METHOD, NAME, SESSION, LAST_EVENT})
_NAMED_BY: Mapping[str, str] = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "resources/subscribe": "uri",
    "resources/unsubscribe": "uri",
}
_WRAPPED = re.compile(r"=\?base64\?(.*)\?=")
_SESSION_ID = re.compile(r"[!-~]{1,512}")


def mcp_headers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The headers that concern MCP, by lower-case name.

    Raises:
        McpFault: one came twice, so that two readers could disagree.
    """
    found: dict[str, str] = {}
    for written, value in pairs:
        name = written.lower()
        if name in _ONCE or name.startswith(PARAM_PREFIX):
            if name in found:
                raise McpFault(HEADER_MISMATCH, f"The header {name} came twice.")
            found[name] = value
    session = found.get(SESSION)
    if session is not None and not _SESSION_ID.fullmatch(session):
        raise McpFault(INVALID_REQUEST, f"The header {SESSION} holds no session id.")
    return found


def is_stateless(headers: Mapping[str, str]) -> bool:
    """Whether the headers are those of the stateless era."""
    revision = headers.get(REVISION)
    return revision is not None and revision not in HANDSHAKE_REVISIONS


def agree(headers: Mapping[str, str], message: McpMessage) -> None:
    """Make sure that no header says other than the body. Missing ones are the server's affair.

    Raises:
        McpFault: one does.
    """
    said = message.meta.get(REVISION_KEY)
    shown = headers.get(REVISION)
    if said is not None and shown is not None and said != shown:
        raise _mismatch(REVISION, "the revision in _meta", message)
    method = headers.get(METHOD)
    if method is not None and method != message.method:
        raise _mismatch(METHOD, "the method", message)
    written = headers.get(NAME)
    if written is None:
        return
    member = _NAMED_BY.get(message.method)
    if member is not None and decoded(written) != message.body.get(member):
        raise _mismatch(NAME, f"{member} in params", message)


def decoded(value: str) -> str | None:
    """The text of a header that may be wrapped as ``=?base64?...?=``; None where it is damaged."""
    wrapped = _WRAPPED.fullmatch(value)
    if wrapped is None:
        return value
    try:
        data = base64.b64decode(wrapped[1], validate=True)
        if base64.b64encode(data).decode() != wrapped[1]:
            return None
        return data.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def encoded(value: str) -> str:
    """The header for a text, wrapped."""
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def _mismatch(header: str, what: str, message: McpMessage) -> McpFault:
    problem = f"The header {header} and {what} do not match; the message was not passed on."
    return McpFault(HEADER_MISMATCH, problem, message.id)
