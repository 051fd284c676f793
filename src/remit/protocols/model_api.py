"""The words that all model APIs have in common, whatever their wire format.

A request becomes a ``ModelRequest``: which tools the model is offered, what tools have returned. An
answer becomes calls that somebody has to decide (``RequestedCall``), with a ``CallVerdict`` for
each. Bytes that nothing changes stay the bytes that came.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from remit import canonical
from remit.errors import InvalidArgument, InvalidRequest, MalformedReply

JsonPath: TypeAlias = "tuple[str | int, ...]"
"""Where something is in a JSON document: keys and positions from the top."""

_LIMITS = canonical.JsonLimits(bytes=256 * 1024 * 1024, depth=256)
_ARGUMENTS = canonical.JsonLimits()


class Operation(enum.Enum):
    """What is asked of a model API."""

    GENERATE = "generate"
    """A model answers, and may ask for calls: they are decided."""
    EMBED = "embed"
    """Vectors: passed through, metered."""
    COUNT = "count"
    """Tokens are counted: passed through."""


class OfferedTool(Struct, frozen=True, kw_only=True):
    """A tool that a request lets the model use."""

    name: str
    """As policy sees it. What runs at the provider is called ``hosted.`` and what it is."""
    hosted: bool
    """Whether the provider runs it: no program at this end ever sees its calls."""
    kind: str
    """The word of the wire format, such as ``function`` or ``web_search_20250305``."""
    definition: Any
    """What the request says of it."""
    place: JsonPath
    """Where that is."""


class ObservedResult(Struct, frozen=True, kw_only=True):
    """What a tool returned, as the conversation tells it."""

    call_id: str
    tool: str
    """As policy sees it; empty when the conversation does not hold the call."""
    content: Any
    is_error: bool = False
    place: JsonPath
    """Where the content is."""


class ModelRequest(Struct, frozen=True, kw_only=True):
    """One request to a model API."""

    raw: bytes
    body: Mapping[str, Any]
    """``raw`` as JSON; nobody may change it."""
    operation: Operation
    model: str
    models: tuple[str, ...]
    """Every model that may answer: ``model``, then those to fall back to."""
    stream: bool = False
    tools: tuple[OfferedTool, ...] = ()
    results: tuple[ObservedResult, ...] = ()
    output_limit: int | None = None
    """Most tokens of one answer."""
    choices: int = 1
    """Answers that are asked for: the worst case is this many times the limit."""
    asked_usage: bool = True
    """Whether the answer will say what it took without being asked once more."""
    background: bool = False
    """Whether the answer is to be fetched later by its id, past everybody who decides calls."""
    chained: bool = False
    """Whether the provider keeps the conversation, so that calls refused here are open there."""


class RefusedCall(Struct, frozen=True, kw_only=True):
    """A call that was refused, while the provider, which keeps the conversation, waits for it."""

    id: str
    refusal: str
    free_form: bool = False


class RequestChanges(Struct, frozen=True, kw_only=True):
    """What is to be changed in a request before it is sent on."""

    remove: tuple[OfferedTool, ...] = ()
    output_limit: int | None = None
    """Set as the limit, whatever it was."""
    limit_name: str = ""
    """Chat completions: the name of the limit where the request has none. Servers that do not know
    ``max_completion_tokens`` ignore it."""
    ask_usage: bool = False
    """Have a stream say what it took."""
    results: tuple[tuple[ObservedResult, str], ...] = ()
    """Results that the model may not see, with the text that it sees instead."""
    model: str | None = None
    """Another model, where the body names it."""
    refused: tuple[RefusedCall, ...] = ()
    """Answers to calls that the provider still takes to be open."""

    @property
    def nothing(self) -> bool:
        """Whether the request stays as it is."""
        return self == RequestChanges(limit_name=self.limit_name)


class RequestedCall(Struct, frozen=True, kw_only=True):
    """A call that the model asks for, complete, waiting to be decided."""

    key: str
    """Unique within the answer."""
    id: str
    """The provider's id of the call; empty when it has none."""
    name: str
    """The tool as policy sees it."""
    arguments: Mapping[str, Any]
    """Input that is plain text is ``{"input": text}``."""
    problem: str = ""
    """What is wrong with the arguments. Such a call cannot be decided: it is always refused."""
    free_form: bool = False
    """Whether the input is plain text: other arguments than ``{"input": text}`` do not fit."""

    def settled(self, verdict: CallVerdict) -> CallVerdict:
        """The verdict that can be carried out: a refusal where ``verdict`` cannot."""
        if not verdict.allowed:
            return verdict
        if self.problem:
            return CallVerdict.deny(f"The call of {self.name} was refused: {self.problem}")
        changed = verdict.arguments
        if changed is None or changed == self.arguments:
            return CallVerdict.allow()
        if self.free_form and (len(changed) != 1 or not isinstance(changed.get("input"), str)):
            problem = (
                "policy changes its arguments into ones that a tool with plain text cannot take"
            )
            return CallVerdict.deny(f"The call of {self.name} was refused: {problem}.")
        return verdict


class HostedCall(Struct, frozen=True, kw_only=True):
    """A call that the provider has carried out by itself. It is too late to decide on it."""

    id: str
    name: str
    arguments: Any
    result: Any = None


class CallVerdict(Struct, frozen=True, kw_only=True):
    """What becomes of a requested call."""

    allowed: bool
    refusal: str = ""
    """What the model and its user read in place of the call."""
    arguments: Mapping[str, Any] | None = None
    """What to call the tool with instead; None: as the model asked."""

    @classmethod
    def allow(cls) -> CallVerdict:
        """It may run as it is: its bytes leave unchanged."""
        return cls(allowed=True)

    @classmethod
    def deny(cls, refusal: str) -> CallVerdict:
        """It may not run; ``refusal`` stands in its place."""
        return cls(allowed=False, refusal=refusal)

    @classmethod
    def modify(cls, arguments: Mapping[str, Any]) -> CallVerdict:
        """It may run with other arguments."""
        return cls(allowed=True, arguments=arguments)

    @property
    def unchanged(self) -> bool:
        """Whether the call stays as it came."""
        return self.allowed and self.arguments is None


class TokenUsage(Struct, frozen=True, kw_only=True):
    """What an answer took, in tokens, as the provider counted them."""

    input: int = 0
    """All that went in, whether cached or not."""
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    """All that came out, reasoning included."""
    reasoning: int = 0
    input_audio: int = 0
    output_audio: int = 0


class ModelReply(Struct, frozen=True, kw_only=True):
    """A whole answer."""

    raw: bytes
    id: str = ""
    """Of the answer, where later requests may refer to it."""
    calls: tuple[RequestedCall, ...] = ()
    hosted: tuple[HostedCall, ...] = ()
    usage: TokenUsage | None = None
    finish: str | None = None
    model: str | None = None
    text_bytes: int = 0
    """UTF-8 bytes of text, reasoning and arguments: never less than the tokens they took."""


def read_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a request, read strictly.

    Raises:
        InvalidRequest: it is none.
    """
    value = canonical.parse(body, "body", _LIMITS)
    if not isinstance(value, dict):
        raise InvalidRequest("body: not a JSON object")
    return value


def read_answer(data: bytes) -> Any:
    """The JSON of an answer or of one event, read strictly.

    Raises:
        MalformedReply: it is none.
    """
    try:
        return canonical.parse(data, "reply", _LIMITS)
    except InvalidArgument as error:
        raise MalformedReply(str(error)) from None


def mentions(data: bytes, words: tuple[bytes, ...]) -> bool:
    """Whether one of ``words`` is in ``data``. Searching for each beats one regex many times."""
    for word in words:  # noqa: SIM110, a generator costs more than the search
        if word in data:
            return True
    return False


Decoded = TypeVar("Decoded")


def glanced(decoder: msgspec.json.Decoder[Decoded], data: bytes) -> Decoded | None:
    """What ``decoder`` knows of an event that can hold no call; None: it must be read closely."""
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def write_json(value: Any) -> bytes:
    """JSON without blanks, every character that may stand for itself standing for itself."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def read_arguments(text: str) -> tuple[Mapping[str, Any], str]:
    """The arguments that a model wrote, and what is wrong with them ("" when nothing is).

    Two readers could disagree about text that is no strict JSON (a key twice, say), so nobody can
    decide on it.
    """
    if not text.strip():
        return {}, ""
    try:
        value = canonical.parse(text.encode(), "arguments", _ARGUMENTS)
    except InvalidArgument as error:
        return {}, str(error)
    return checked_arguments(value)


def checked_arguments(value: Any) -> tuple[Mapping[str, Any], str]:
    """Arguments that came as JSON, and what is wrong with them ("" when nothing is)."""
    if not isinstance(value, dict):
        return {}, "arguments: not a JSON object"
    try:
        checked: dict[str, Any] = canonical.check(value, "arguments", _ARGUMENTS)
    except InvalidArgument as error:
        return {}, str(error)
    return checked, ""


def written_arguments(arguments: Mapping[str, Any]) -> str:
    """Arguments as a model would have written them."""
    return write_json(dict(arguments)).decode()


def objects(value: Any, what: str) -> Sequence[dict[str, Any]]:
    """The objects of a list in an answer; none when it is null.

    Raises:
        MalformedReply: it is no list of objects.
    """
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise MalformedReply(f"{what} is not a list of objects")
    return value


def listed(value: Any, what: str) -> Sequence[dict[str, Any]]:
    """The objects of a list in a request; none when it is null.

    Raises:
        InvalidRequest: it is no list of objects.
    """
    try:
        return objects(value, what)
    except MalformedReply as error:
        raise InvalidRequest(str(error)) from None


def text_of(value: Any, what: str) -> str:
    """A string of an answer; "" when it is null.

    Raises:
        MalformedReply: it is something else.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedReply(f"{what} is not a string")
    return value


def size_of(value: Any) -> int:
    """UTF-8 bytes of the strings in a JSON value."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict):
        return sum(map(size_of, value.values()))
    if isinstance(value, list):
        return sum(map(size_of, value))
    return 0


def flag(body: Mapping[str, Any], name: str) -> bool:
    """A switch in a request.

    Raises:
        InvalidRequest: it is neither true nor false.
    """
    found = body.get(name)
    if found is not None and not isinstance(found, bool):
        raise InvalidRequest(f"{name}: neither true nor false")
    return found is True


def name_in(value: Any, key: str, what: str) -> str:
    """A name in a request.

    Raises:
        InvalidRequest: it is missing or no string.
    """
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, str) or not found:
        raise InvalidRequest(f"{what}: {key} is missing, or not a string")
    return found


def model_names(body: Mapping[str, Any], model: str | None) -> tuple[str, ...]:
    """Every model that a request names: ``model`` of the path or the body, and its fall-backs.

    Raises:
        InvalidRequest: there is none, or one is no string.
    """
    names = [model if model is not None else name_in(body, "model", "body")]
    for key in ("models", "fallbacks"):
        others = body.get(key)
        if others is not None and not isinstance(others, list):
            raise InvalidRequest(f"{key}: not a list")
        for item in others or ():
            names.append(item if isinstance(item, str) else name_in(item, "model", key))
    return tuple(dict.fromkeys(names))


def limit_in(body: Any, *names: str) -> int | None:
    """The largest of the limits that ``body`` sets by any of ``names``.

    Raises:
        InvalidRequest: one is no whole number above zero.
    """
    found = [body[name] for name in names if body.get(name) is not None]
    if not all(type(limit) is int and limit > 0 for limit in found):
        raise InvalidRequest(f"{names[0]}: not a whole number above 0")
    return max(found, default=None)


def count(usage: Mapping[str, Any], *names: str) -> int:
    """The sum of counters in a report of usage, absent ones being zero.

    Raises:
        ValueError: one is no whole number, or below zero.
    """
    total = 0
    for name in names:
        value = usage.get(name)
        if value is None:
            continue
        if type(value) is not int or value < 0:
            raise ValueError(name)
        total += value
    return total


def part(value: Any, name: str) -> Mapping[str, Any]:
    """An object within an object; an empty one where there is none."""
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


_DATED = re.compile(r"(?:_preview)?_(?:\d{8}|\d{4}_\d{2}_\d{2})$|_preview$|_bm25|_regex")
_ALIKE = {
    "code_interpreter": "code_execution",
    "google_search": "web_search",
    "google_search_retrieval": "web_search",
    "google_search_web": "web_search",
    "google_search_image": "web_search",
    "enterprise_web_search": "web_search",
    "parallel_ai_search": "web_search",
    "exa_ai_search": "web_search",
    "url_context": "web_fetch",
    "retrieval": "file_search",
    "bash_code_execution": "code_execution",
    "text_editor_code_execution": "code_execution",
    "tool_search_tool": "tool_search",
}


def snake(name: str) -> str:
    """A name ``likeThis`` written ``like_this``."""
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


def hosted_name(kind: str) -> str:
    """The name of what a provider runs by itself, alike for all providers and versions."""
    plain = _DATED.sub("", _DATED.sub("", snake(kind)))
    return "hosted." + _ALIKE.get(plain, plain)


def put_at(body: Any, place: JsonPath, value: Any) -> None:
    """Put ``value`` in the place of what is there."""
    for step in place[:-1]:
        body = body[step]
    body[place[-1]] = value


def remove_places(body: Any, places: Iterable[JsonPath]) -> None:
    """Remove what is at ``places`` from ``body``; lists are emptied from their end."""
    for place in sorted(places, key=_order, reverse=True):
        holder = body
        for step in place[:-1]:
            holder = holder[step]
        del holder[place[-1]]


def _order(place: JsonPath) -> tuple[tuple[str, int], ...]:
    return tuple((step, 0) if isinstance(step, str) else ("", step) for step in place)
