"""One tool read: what it does, what its result may hold, and which arguments steer it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from remit.classify import words as lists
from remit.provenance.lexicon import listed

ORDER = ("read", "write", "send", "execute", "pay", "delete", "admin")

_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_TELLS_OTHERS = re.compile(
    r"\b(?:also |will |and )*(?:sends?|sent|emails?|emailed|mails?|mailed|notif(?:y|ies|ied)|"
    r"invites?|invited|messages?|posts?|posted)\b"
    r"[^.]{0,60}\b(?:to|them|participants?|recipients?|users?|members?|attendees|everyone|email|"
    r"requesters?|customers?|subscribers?|followers?|assignees?|authors?|owners?)\b",
    re.IGNORECASE,
)
_CHANGES = re.compile(
    r"\b(?:marks?|marked|will be (?:marked|updated|removed|deleted)|are (?:marked|removed|deleted)|"
    r"resets?|increments?|consumes?|locks?|reserves?)\b",
    re.IGNORECASE,
)
_RUNS = re.compile(
    r"\bSQL\b|\bshell\b|\b(?:runs?|executes?) (?:an? |the )?(?:arbitrary |given )?"
    r"(?:code|script|command|program|python|javascript)\b",
    re.IGNORECASE,
)
_DESCRIBED = (
    (
        "who",
        re.compile(
            r"\b(?:recipient|e-?mail address|iban|account number|phone number|username|"
            r"user to|person to|payee)",
            re.IGNORECASE,
        ),
    ),
    ("where", re.compile(r"\b(?:url|webhook|link to|web address|hostname)\b", re.IGNORECASE)),
    (
        "which",
        re.compile(
            r"\b(?:ids?|identifier) of\b|\bname of the \w+ to (?:delete|remove|update|"
            r"cancel|modify|change|share)",
            re.IGNORECASE,
        ),
    ),
)


class ToolShape(Struct, frozen=True, kw_only=True):
    """A tool as its server lists it."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] = {}
    annotations: Mapping[str, Any] = {}


class Proposal(Struct, kw_only=True):
    """What is proposed for one tool, and why."""

    name: str
    does: list[str] = field(default_factory=list)
    returns: list[str] = field(default_factory=list)
    claims: tuple[str, ...] = ()
    controls: dict[str, list[str]] = field(default_factory=dict)
    what: list[str] = field(default_factory=list)
    """Arguments that carry what is sent."""
    resource: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    unsure: bool = False
    """Whether a person should look at it first."""


def shape_of(entry: Mapping[str, Any]) -> ToolShape:
    """A tool from an entry of a list such as MCP's ``tools/list`` gives.

    Raises:
        ValueError: the entry is no tool.
    """
    name = entry.get("name")
    schema = entry.get("input_schema") or entry.get("inputSchema") or {}
    if not isinstance(name, str) or not name or not isinstance(schema, Mapping):
        raise ValueError("a tool has a name and an input_schema")
    annotations = entry.get("annotations") or {}
    return ToolShape(
        name=name,
        description=str(entry.get("description") or ""),
        schema=schema,
        annotations=annotations if isinstance(annotations, Mapping) else {},
    )


def propose(tool: ToolShape) -> Proposal:
    """What a tool does and which arguments steer it, as far as its words tell."""
    found = Proposal(name=tool.name)
    parts = _parts(tool.name)
    _classes(tool, parts, found)
    _result(parts, found)
    if not any(map(_class, parts)):
        found.controls = {"who": [f"args.{name}" for name, _ in _arguments(tool.schema)]}
        found.controls = {kind: paths for kind, paths in found.controls.items() if paths}
        return found
    for name, shape in _arguments(tool.schema):
        _argument(name, shape, parts, found)
    _receivers(found)
    found.does = [word for word in ORDER if word in found.does]
    return found


def _parts(name: str) -> list[str]:
    return [part.lower() for part in _TOKEN.findall(name)]


def _classes(tool: ToolShape, parts: Sequence[str], found: Proposal) -> None:
    verb = next((part for part in parts if _class(part)), "")
    nouns = [part for part in parts if part != verb]
    does = _class(verb)
    if not verb:
        found.does = ["admin"]
        found.unsure = True
        found.reasons.append("no verb in its name is known, so it counts as the worst class")
        return
    found.does = [does]
    found.reasons.append(f"{verb!r} is {does}")
    if does != "read":
        _raised_by_nouns(nouns, tool, found)
        if match := _TELLS_OTHERS.search(tool.description):
            _raise(found, "send", f"its description says {match[0].strip()!r}")
    elif match := _CHANGES.search(tool.description):
        _raise(
            found, "write", f"its description says {match[0].strip()!r}, so it changes something"
        )
    if match := _RUNS.search(tool.description):
        _raise(found, "execute", f"its description says {match[0].strip()!r}")
        found.unsure = True
    if tool.annotations.get("readOnlyHint") is False and found.does == ["read"]:
        _raise(found, "write", "its annotations say that it does not only read")
    if tool.annotations.get("destructiveHint") is True and does != "read":
        _raise(found, "delete", "its annotations say that it destroys")
    if tool.annotations.get("readOnlyHint") is True and does != "read":
        found.unsure = True
        found.reasons.append("its annotations say that it only reads, its name says otherwise")


def _class(verb: str) -> str:
    """The class of a verb, the worst where lists share it."""
    for does, known in (
        ("delete", lists.DELETES),
        ("pay", lists.PAYS),
        ("execute", lists.EXECUTES),
        ("send", lists.SENDS),
        ("write", lists.WRITES),
        ("read", lists.READS),
    ):
        if verb in known:
            return does
    return ""


def _raised_by_nouns(nouns: Sequence[str], tool: ToolShape, found: Proposal) -> None:
    if admin := next((noun for noun in nouns if noun in lists.ADMIN_NOUNS), ""):
        _raise(found, "admin", f"{admin!r} decides who may do what")
    money = next((noun for noun in nouns if noun in lists.MONEY_NOUNS), "")
    amounts = [
        name
        for name, _ in _arguments(tool.schema)
        if set(_parts(name)) & {"amount", "price", "payment"}
    ]
    told = next((noun for noun in nouns if noun in lists.TOLD), "")
    if told and found.does == ["write"] and "draft" not in nouns:
        _raise(found, "send", f"others read a {told}")
    if (money or amounts) and found.does != ["delete"]:
        _raise(found, "pay", f"{money or amounts[0]!r} is about money")


def _raise(found: Proposal, does: str, reason: str) -> None:
    if does in ("pay", "admin") and found.does in (["send"], ["write"]):
        found.does = []
    if does not in found.does:
        found.does.append(does)
        found.reasons.append(f"{reason}: {does}")


def _result(parts: Sequence[str], found: Proposal) -> None:
    nouns = {part for part in parts if not _class(part) or part in lists.MESSAGES}
    if found.does == ["read"] and nouns and nouns <= lists.OWN_FACTS:
        found.reasons.append("its result is what the platform itself knows")
    else:
        found.returns.append("untrusted")
    if private := sorted(nouns & lists.PRIVATE):
        found.returns.append("confidential")
        found.reasons.append(f"{private[0]!r} is private")
    if nouns & lists.MESSAGES and "untrusted" in found.returns:
        found.claims = lists.CLAIMS


def _arguments(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        for name, shape in properties.items():
            yield str(name), shape if isinstance(shape, Mapping) else {}


def _argument(name: str, shape: Mapping[str, Any], parts: Sequence[str], found: Proposal) -> None:
    kind, why = _kind(name, shape, parts, found)
    if kind:
        found.controls.setdefault(kind, []).append(f"args.{name}")
        if why:
            found.reasons.append(f"args.{name}: {why}")
    elif found.does != ["read"] and "send" in found.does:
        found.what.append(f"args.{name}")
    if (
        set(parts) & lists.KEPT
        and _parts(name)[-1:]
        and _parts(name)[-1] in ("id", "path", "name", "key", "file", "filename", "title")
    ):
        found.resource.append(f"args.{name}")


def _kind(
    name: str, shape: Mapping[str, Any], parts: Sequence[str], found: Proposal
) -> tuple[str, str]:
    """What an argument decides, and why that is not plain from its name."""
    own = _parts(name)
    last = own[-1] if own else ""
    types = set(_types(shape))
    if found.does == ["read"]:
        egress = last in lists.EGRESS or shape.get("format") in ("uri", "url")
        return ("where", "what is fetched leaves a trace there") if egress else ("", "")
    if last in lists.ACCESS:
        return "access", ""
    if types == {"boolean"}:
        return "", ""
    for kind, known in (("who", lists.WHO), ("where", lists.WHERE)):
        if last in known or (own and own[0] in known and last not in lists.WHICH):
            return kind, ""
    if last in lists.AMOUNT and types & {"number", "integer"}:
        return "amount", ""
    if last in lists.WHEN:
        return "when", ""
    described = str(shape.get("description") or "")
    for kind, pattern in _DESCRIBED:
        if last not in lists.PAYLOAD and pattern.search(described):
            return kind, "so says its description"
    if _chooses(own, last, parts):
        return "which", ""
    worst = {"pay", "delete", "admin", "execute"} & set(found.does)
    carried = last in lists.PAYLOAD and "execute" not in worst
    if worst and not carried and "update" not in parts:
        return "which", "not understood, so it counts"
    return "", ""


def _chooses(own: Sequence[str], last: str, parts: Sequence[str]) -> bool:
    """Whether an argument says which thing is meant. What a new thing is called does not."""
    if last in ("id", "ids", "uuid", "attachments", "attachment") or last in lists.PLACES:
        return True
    makes = {"create", "add", "new", "make", "insert", "draft", "append"} & set(parts)
    makes = set() if {"update", "edit", "overwrite", "replace"} & set(parts) else makes
    if last == "number" and len(own) > 1:
        return own[-2] not in lists.COUNTS
    return (last in lists.WHICH and not makes and last not in ("title", "name", "number")) or (
        last in ("name", "number") and not makes and len(own) == 1
    )


def _types(shape: Mapping[str, Any]) -> Iterator[str]:
    kind = shape.get("type")
    if isinstance(kind, str):
        yield kind
    for each in shape.get("anyOf", ()):
        if isinstance(each, Mapping) and each.get("type") != "null":
            yield from _types(each)


def _receivers(found: Proposal) -> None:
    """A call that others are told of sends."""
    who = found.controls.get("who", [])
    tells = [path for path in who if set(_parts(path)) & _TOLD]
    if tells and set(found.does) == {"write"}:
        _raise(found, "send", f"{tells[0]} are told")


_TOLD = listed(
    "recipient recipients to cc bcc participant participants attendee attendees invitee "
    "invitees guest guests collaborator collaborators"
)
