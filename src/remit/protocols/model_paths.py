"""Which path speaks which wire format.

Only what is listed here is known. What a model said can be fetched in other ways too (a stored
response by its id, a batch, a realtime socket); those paths have no format, so that nobody forwards
them by mistake.
"""

from __future__ import annotations

import re

from remit.protocols.anthropic import Messages
from remit.protocols.gemini import Gemini
from remit.protocols.model_api import Operation
from remit.protocols.model_format import ModelFormat, Target
from remit.protocols.openai_chat import ChatCompletions
from remit.protocols.openai_responses import Responses

OPENAI_CHAT: ModelFormat = ChatCompletions()
OPENAI_RESPONSES: ModelFormat = Responses()
ANTHROPIC: ModelFormat = Messages()
GEMINI: ModelFormat = Gemini()

_PATHS = {
    "chat/completions": Target(OPENAI_CHAT, Operation.GENERATE),
    "completions": Target(OPENAI_CHAT, Operation.GENERATE),
    "responses": Target(OPENAI_RESPONSES, Operation.GENERATE),
    "responses/input_tokens": Target(OPENAI_RESPONSES, Operation.COUNT, None, False),
    "messages": Target(ANTHROPIC, Operation.GENERATE),
    "messages/count_tokens": Target(ANTHROPIC, Operation.COUNT, None, False),
    "embeddings": Target(OPENAI_CHAT, Operation.EMBED, None, False),
}
_GEMINI = {
    "generateContent": (Operation.GENERATE, False),
    "streamGenerateContent": (Operation.GENERATE, True),
    "countTokens": (Operation.COUNT, False),
    "embedContent": (Operation.EMBED, False),
    "batchEmbedContents": (Operation.EMBED, False),
}
_MODEL = re.compile(
    r"(?:projects/[^/]+/locations/[^/]+/publishers/google/)?(?:models|tunedModels)/([^/:]+):(\w+)"
)
_VERSION = re.compile(r"^/(?:v\d+(?:alpha|beta)?\d*/)?")


def target_of(method: str, path: str) -> Target | None:
    """What ``path`` (without a query) asks for; None where that is not known."""
    if method != "POST":
        return None
    rest = _VERSION.sub("", path, count=1)
    named = _MODEL.fullmatch(rest)
    if named is None:
        return _PATHS.get(rest)
    operation = _GEMINI.get(named[2])
    return None if operation is None else Target(GEMINI, operation[0], named[1], operation[1])
