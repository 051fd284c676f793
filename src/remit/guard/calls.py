"""What a call is on its way through the guard: who calls, what was granted, what came of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from remit.errors import InvalidArgument, RemitError
from remit.identity.model import Narrowing
from remit.model import AccessRequest, Admission, Outcome, Principal, SessionId, TaskRemit

_MAX_PATHS = 1024
_MAX_PATH = 4096


class Caller(Struct, frozen=True, kw_only=True):
    """Who calls: the session, its principal as it was opened, the context that the host adds."""

    session: SessionId = SessionId("")
    principal: Principal = field(default_factory=lambda: Principal(id="nobody"))
    context: Mapping[str, Any] = field(default_factory=dict)
    trace: str | None = None
    narrowed: Narrowing | None = None
    """What the credential that the call came with takes away."""
    remits: tuple[TaskRemit, ...] = ()
    """What the session is narrowed to: for lists of tools."""


class Granted(Struct, frozen=True, kw_only=True):
    """A call that may run: what was asked, what was answered, and when it started."""

    request: AccessRequest
    admission: Admission
    started: int
    """Monotonic nanoseconds."""
    looks_at_result: bool = False
    """Whether the result has to pass policy, or puts labels on the session."""


class PendingOutcome:
    """An outcome on its way to the store. Kept until it is durable."""

    __slots__ = ("granted", "outcome", "stranded")

    def __init__(self, granted: Granted, outcome: Outcome) -> None:
        self.granted = granted
        self.outcome = outcome
        self.stranded = False
        """Whether writing it has failed, so that it has to be tried again."""


def real_paths(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Resolve every string in the arguments as a path, symbolic links followed.

    Raises:
        InvalidArgument: there are more than 1,024 strings, or the file system does not answer.
    """
    try:
        return {path: os.path.realpath(path) for path in possible_paths(arguments)}
    except OSError as error:
        raise InvalidArgument("args", f"a path cannot be resolved: {error}") from error


def possible_paths(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Every string in the arguments that may be a path.

    Raises:
        InvalidArgument: there are more than 1,024.
    """
    found: dict[str, None] = {}
    left: list[Any] = list(arguments.values())
    while left:
        value = left.pop()
        if isinstance(value, str):
            if len(value) > _MAX_PATH or "\0" in value or value in found:
                continue
            if len(found) == _MAX_PATHS:
                raise InvalidArgument("args", f"more than {_MAX_PATHS} strings where paths count")
            found[value] = None
        elif isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
    return tuple(found)


def shortened(error: BaseException) -> str:
    """Type and message of an exception, at most 1,000 characters of valid text."""
    try:
        message = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an exception whose text fails must still be recorded
        message = type(error).__name__
    return message[:1000].encode("utf-8", "replace").decode()


def said(error: BaseException) -> str:
    """What an error of Remit says; of any other, its type too."""
    return str(error) if isinstance(error, RemitError) else shortened(error)
