"""What the server says on standard error: JSON lines, without the values of arguments.

An exception's message may quote what somebody sent, so only its type and the places it passed are
written, unless it is one of those that speak of the server itself.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from remit.errors import AuditError, ConfigError, PolicyError, StoreError

_OF_THE_SERVER = (AuditError, ConfigError, OSError, PolicyError, StoreError)
_MAX_FRAMES = 12
_PLAIN = frozenset(
    vars(logging.LogRecord("", 0, "", 0, "", (), None)).keys() | {"message", "taskName", "failure"}
)


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: ``time``, ``level``, ``event`` and what was added."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for one record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "from": record.name,
        }
        added = record.__dict__
        line.update((key, added[key]) for key in added if key not in _PLAIN)
        failure = added.get("failure") or (record.exc_info or (None, None, None))[1]
        if isinstance(failure, BaseException):
            line["failure"] = _shown(failure)
        return msgspec.json.encode(line, enc_hook=str).decode()


def log_to(stream: TextIO = sys.stderr, level: str = "info") -> None:
    """Send what the server and its libraries log to ``stream``."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("remit").setLevel(level.upper())


def _shown(failure: BaseException) -> dict[str, Any]:
    shown: dict[str, Any] = {"kind": type(failure).__name__}
    if isinstance(failure, _OF_THE_SERVER):
        shown["says"] = str(failure)
    frames = list(_frames(failure))
    if frames:
        shown["at"] = frames[-_MAX_FRAMES:]
    if failure.__cause__ is not None:
        shown["cause"] = _shown(failure.__cause__)
    return shown


def _frames(failure: BaseException) -> Iterator[str]:
    for frame in traceback.extract_tb(failure.__traceback__):
        yield f"{frame.filename}:{frame.lineno} {frame.name}"
