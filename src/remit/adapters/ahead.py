"""Decisions taken ahead of the call, for frameworks that ask first whether to pause."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, TypeAlias

from remit.guard import Cleared, Stopped

Key: TypeAlias = tuple[str, str, str, str]
MOST = 1024
"""Decisions that are kept for calls that are yet to come; the oldest are given up."""


def key_of(session: str, call: str, tool: str, arguments: Mapping[str, Any]) -> Key:
    """What a call is known by: its id alone is the model's to choose."""
    return session, call, tool, json.dumps(arguments, sort_keys=True, default=str)


class Ahead:
    """Decisions by call. One that is dropped unused settles itself as not run."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, Cleared | Stopped] = OrderedDict()

    def put(self, key: Key, decided: Cleared | Stopped) -> None:
        """Keep a decision for its call."""
        self._kept[key] = decided
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)

    def has(self, key: Key) -> bool:
        """Whether this call has been decided on already."""
        return key in self._kept

    def take(self, key: Key) -> Cleared | Stopped | None:
        """The decision for a call, once."""
        return self._kept.pop(key, None)
