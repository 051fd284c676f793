"""The answers of Gemini: candidates and their parts, which are calls, whose, what they become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from remit.errors import MalformedReply
from remit.protocols.model_api import (
    CallVerdict,
    HostedCall,
    RequestedCall,
    TokenUsage,
    checked_arguments,
    count,
    hosted_name,
    objects,
    part,
    text_of,
)


def answers_in(value: Any) -> Sequence[dict[str, Any]]:
    """The answers in a body: one, or the list that a stream without events is.

    Raises:
        MalformedReply: it is neither.
    """
    return objects(value if isinstance(value, list) else [value], "the answer")


def parts_of(candidate: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """The parts of a candidate.

    Raises:
        MalformedReply: they are no list of objects.
    """
    return objects(part(candidate, "content").get("parts"), "parts")


def candidates_of(answer: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The candidates of an answer with their numbers.

    Raises:
        MalformedReply: they are no list of objects, or a number is none.
    """
    for candidate in objects(answer.get("candidates"), "candidates"):
        number = candidate.get("index") or 0
        if type(number) is not int:
            raise MalformedReply("a candidate whose index is no number")
        yield number, candidate


def calls_in(answer: Mapping[str, Any], counts: dict[int, int]) -> Iterator[RequestedCall]:
    """The calls of an answer; ``counts`` says how many each candidate has had before.

    Raises:
        MalformedReply: one comes in pieces, or has no name.
    """
    for number, candidate in candidates_of(answer):
        for each in parts_of(candidate):
            call = each.get("functionCall")
            if "function_call" in each:
                raise MalformedReply("a call in a spelling that only some read")
            if call is None:
                continue
            if not isinstance(call, Mapping) or call.get("partialArgs") or call.get("willContinue"):
                raise MalformedReply("a call that comes in pieces")
            name = text_of(call.get("name"), "name")
            if not name:
                raise MalformedReply("a call without the name of a tool")
            given = call.get("args")
            arguments, problem = checked_arguments({} if given is None else given)
            yield RequestedCall(
                key=_next(counts, number),
                id=text_of(call.get("id"), "id"),
                name=name,
                arguments=arguments,
                problem=problem,
            )


def decided_parts(
    answer: Mapping[str, Any], counts: dict[int, int], verdicts: Mapping[str, CallVerdict]
) -> None:
    """Carry the verdicts out in an answer; ``counts`` as in ``calls_in``."""
    for number, candidate in candidates_of(answer):
        for each in parts_of(candidate):
            if each.get("functionCall") is None:
                continue
            verdict = verdicts[_next(counts, number)]
            if not verdict.allowed:
                # The signature of a thought is one of the call, and goes with it.
                each.clear()
                each["text"] = verdict.refusal
            elif verdict.arguments is not None:
                each["functionCall"] = {**each["functionCall"], "args": dict(verdict.arguments)}


def hosted_in(answer: Mapping[str, Any], hosted: list[HostedCall]) -> None:
    """Note what the provider has run by itself."""
    for _, candidate in candidates_of(answer):
        for each in parts_of(candidate):
            _hosted_part(each, hosted)
        grounding = part(candidate, "groundingMetadata")
        queries = grounding.get("webSearchQueries")
        if queries:
            _once(hosted, "hosted.web_search", {"queries": queries}, grounding)
        fetched = part(candidate, "urlContextMetadata")
        if fetched:
            _once(hosted, "hosted.web_fetch", {}, fetched)


def _hosted_part(each: Mapping[str, Any], hosted: list[HostedCall]) -> None:
    code, call = each.get("executableCode"), each.get("toolCall")
    done, said = each.get("codeExecutionResult"), each.get("toolResponse")
    if isinstance(code, Mapping):
        hosted.append(HostedCall(id="", name="hosted.code_execution", arguments=code))
    if isinstance(call, Mapping):
        name = hosted_name(str(call.get("toolType")).lower())
        hosted.append(HostedCall(id=str(call.get("id")), name=name, arguments=call.get("args")))
    call_id = "" if done is not None else str(part(each, "toolResponse").get("id"))
    result = done if done is not None else part(each, "toolResponse").get("response")
    if done is None and said is None:
        return
    for position, earlier in enumerate(hosted):
        if earlier.id == call_id and earlier.result is None:
            hosted[position] = replace(earlier, result=result)


def _once(hosted: list[HostedCall], name: str, arguments: Any, result: Any) -> None:
    """Note what every chunk of a stream may repeat."""
    if all(call.name != name for call in hosted):
        hosted.append(HostedCall(id="", name=name, arguments=arguments, result=result))


def _next(counts: dict[int, int], number: int) -> str:
    position = counts.get(number, 0)
    counts[number] = position + 1
    return f"{number}.{position}"


def finish_in(answer: Mapping[str, Any]) -> str | None:
    """Why an answer ended, if it says so."""
    if answer.get("error"):
        return "error"
    blocked = part(answer, "promptFeedback").get("blockReason")
    reasons = [candidate.get("finishReason") for _, candidate in candidates_of(answer)]
    return next((reason for reason in (*reasons, blocked) if isinstance(reason, str)), None)


def usage_in(answers: Sequence[Mapping[str, Any]]) -> TokenUsage | None:
    """The usage of the last answer that has one: each report counts everything before it."""
    reports = [answer["usageMetadata"] for answer in answers if answer.get("usageMetadata")]
    return gemini_usage(reports[-1]) if reports else None


def gemini_usage(report: Any) -> TokenUsage | None:
    """The usage of an answer; None where it says nothing, or nonsense."""
    if not isinstance(report, Mapping):
        return None
    try:
        given = count(report, "promptTokenCount", "toolUsePromptTokenCount")
        said = count(report, "candidatesTokenCount", "thoughtsTokenCount")
        return TokenUsage(
            input=given,
            cache_read=count(report, "cachedContentTokenCount"),
            output=max(said, count(report, "totalTokenCount") - given),
            reasoning=count(report, "thoughtsTokenCount"),
            input_audio=_audio(report.get("promptTokensDetails")),
            output_audio=_audio(report.get("candidatesTokensDetails")),
        )
    except ValueError:
        return None


def _audio(details: Any) -> int:
    """The tokens of audio in a list by modality."""
    return sum(
        count(each, "tokenCount")
        for each in (details if isinstance(details, list) else ())
        if isinstance(each, Mapping) and each.get("modality") == "AUDIO"
    )
