"""Which path speaks which wire format.

Only what is listed here is known. What a model said can be fetched in other ways too (a stored
response by its id, a batch, a realtime socket); those paths have no format, so that nobody forwards
them by mistake.
"""

from __future__ import annotations

import re

from remit.protocols.model_api import Operation
from remit.protocols.model_format import ModelFormat, Target
from remit.protocols.openai_chat import ChatCompletions

OPENAI_CHAT: ModelFormat = ChatCompletions()

_PATHS = {
    "chat/completions": Target(OPENAI_CHAT, Operation.GENERATE),
    "completions": Target(OPENAI_CHAT, Operation.GENERATE),
    "embeddings": Target(OPENAI_CHAT, Operation.EMBED, None, False),
}
_VERSION = re.compile(r"^/(?:v\d+(?:alpha|beta)?\d*/)?")


def target_of(method: str, path: str) -> Target | None:
    """What ``path`` (without a query) asks for; None where that is not known."""
    if method != "POST":
        return None
    rest = _VERSION.sub("", path, count=1)
    return _PATHS.get(rest)
