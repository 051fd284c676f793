"""Policy: the documents with their faults, a request to try, a draft's effects, and revisions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from remit import canonical
from remit.api.frame import Call, Problem, Reply, Route
from remit.console import drafts, pages, publishing
from remit.console.pages import EDITORS, PEOPLE, PREFIX
from remit.credentials import Right
from remit.errors import InvalidArgument
from remit.identity.principals import with_policy
from remit.model import AccessRequest, Action, Facts, Session, SessionId
from remit.policy import Explanation, PolicySet, explain
from remit.storage import Snapshot

MAX_DOCUMENT = 1_000_000
"""Characters of a document in the editor."""
_SESSION = SessionId("draft")

Document = Annotated[str, Meta(max_length=MAX_DOCUMENT)]
Word = Annotated[str, Meta(max_length=200)]


class PolicyQuery(Struct, frozen=True, kw_only=True):
    """Which document to edit, as it is or as it once was."""

    file: Word = ""
    revision: Word = ""
    said: Word = ""


class DraftForm(Struct, frozen=True, kw_only=True):
    """A document as somebody has changed it."""

    file: Word
    text: Document
    base: Word = ""
    reason: Annotated[str, Meta(max_length=1000)] = ""
    tool: Word = ""
    agent: Word = ""
    user: Word = ""
    args: Annotated[str, Meta(max_length=100_000)] = "{}"
    labels: Word = ""


class FaultView(Struct, frozen=True, kw_only=True):
    """A fault, as the editor underlines it."""

    file: str
    line: int
    column: int
    width: int
    message: str
    suggestion: str
    warning: bool


async def policy(call: Call) -> Reply:
    """The documents."""
    asked: PolicyQuery = call.query
    there = await asyncio.to_thread(publishing.on_disk, call.parts)
    documents = there
    if asked.revision:
        old = await call.parts.read(lambda view: drafts.documents_of(view, asked.revision))
        if old is None:
            raise Problem(404, "no-such-revision", "The documents of this revision are not kept.")
        documents = old
    file = asked.file if asked.file in documents else min(documents)
    return await _edited(call, documents, file, publishing.base_of(there), asked=asked)


async def check(call: Call) -> Reply:
    """The faults of a draft, for the editor."""
    documents, _ = await _drafted(call)
    policies, faults = await asyncio.to_thread(drafts.checked, documents)
    return Reply(body=_faults(policies, faults))


async def try_out(call: Call) -> Reply:
    """What a draft says of a request."""
    asked: DraftForm = call.body
    documents, _ = await _drafted(call)
    policies, faults = await asyncio.to_thread(drafts.checked, documents)
    problem, said = "", None
    if policies is None:
        problem = f"The draft has {len(faults)} faults; put them right first."
    else:
        try:
            said = _asked(policies, asked, call.parts.clock())
        except InvalidArgument as error:
            problem = f"Arguments: {error}"
    return pages.fragment(call, "tried.html", said=said, problem=problem)


async def effects(call: Call) -> Reply:
    """What a draft would have made of recorded traffic."""
    documents, _ = await _drafted(call)
    policies, faults = await asyncio.to_thread(drafts.checked, documents)
    if policies is None:
        problem = f"The draft has {len(faults)} faults; put them right first."
        return pages.fragment(call, "effects.html", found=None, problem=problem, previews=False)
    draft = policies
    found = await call.parts.read(lambda view: drafts.effects(view, draft))
    previews = pages.may(call, Right.AUDITOR)
    return pages.fragment(call, "effects.html", found=found, problem="", previews=previews)


async def publish(call: Call) -> Reply:
    """Put a draft in force."""
    asked: DraftForm = call.body
    documents, there = await _drafted(call)
    policies, _ = await asyncio.to_thread(drafts.checked, documents)
    problem = ""
    if policies is None:
        problem = "Not published: the draft has faults."
    elif asked.base != publishing.base_of(there):
        problem = (
            "Not published: the documents have changed since you began. Copy your changes, open "
            "the page anew and make them there."
        )
    if policies is None or problem:
        return await _edited(
            call, documents, asked.file, asked.base, asked=PolicyQuery(), problem=problem
        )
    by = with_policy(call.identity.principal, call.parts.policies.current)
    await publishing.put_in_force(
        call.parts, asked.file, asked.text, policies, by, asked.reason.strip()
    )
    return pages.to("policy?said=published")


async def compare(call: Call) -> Reply:
    """A revision against the one in force."""
    wanted = call.params["revision"]
    current = call.parts.policies.current.revision

    def read(view: Snapshot) -> tuple[Mapping[str, str] | None, Mapping[str, str] | None]:
        return drafts.documents_of(view, wanted), drafts.documents_of(view, current)

    old, now = await call.parts.read(read)
    if old is None or now is None:
        raise Problem(404, "no-such-revision", "The documents of this revision are not kept.")
    lines = list(drafts.compared(old, now))
    return await pages.page(call, "compare.html", lines=lines, wanted=wanted, current=current)


async def _edited(
    call: Call,
    documents: Mapping[str, str],
    file: str,
    base: str,
    asked: PolicyQuery,
    problem: str = "",
) -> Reply:
    policies, faults = await asyncio.to_thread(drafts.checked, documents)
    known = await call.parts.read(drafts.revisions)
    return await pages.page(
        call,
        "policy.html",
        422 if problem else 200,
        documents=documents,
        file=file,
        text=documents[file],
        base=base,
        asked=asked,
        problem=problem,
        faults=_faults(policies, faults),
        revisions=known,
        current=call.parts.policies.current,
        names=sorted(call.parts.policies.current.agents),
        editor=pages.may(call, Right.EDITOR),
    )


async def _drafted(call: Call) -> tuple[dict[str, str], Mapping[str, str]]:
    """All documents with the draft among them, and as they are on disk.

    Raises:
        Problem: there is no such document.
    """
    asked: DraftForm = call.body
    there = await asyncio.to_thread(publishing.on_disk, call.parts)
    if asked.file not in there:
        raise Problem(404, "no-such-document", "The policy has no such document.")
    return {**there, asked.file: asked.text}, there


def _faults(policies: PolicySet | None, faults: tuple[Any, ...]) -> list[FaultView]:
    return [
        FaultView(
            file=each.at.file,
            line=each.at.line,
            column=each.at.column,
            width=each.width,
            message=each.message,
            suggestion=each.suggestion or "",
            warning=policies is not None,
        )
        for each in faults
    ]


def _asked(policies: PolicySet, asked: DraftForm, now: int) -> Explanation:
    """What the draft says of the request in the form.

    Raises:
        InvalidArgument: the arguments are no JSON object.
    """
    given = canonical.parse((asked.args or "{}").encode(), "args")
    if not isinstance(given, dict):
        raise InvalidArgument("args", 'write an object, such as {"query": "SELECT 1"}')
    principal = policies.principal(asked.agent.strip(), user=asked.user.strip() or None)
    labels = tuple(sorted(set(filter(None, re.split(r"[,\s]+", asked.labels)))))
    session = Session(id=_SESSION, principal=principal, started_at=now, labels=labels)
    request = AccessRequest(
        principal=principal,
        session=_SESSION,
        action=Action(name=asked.tool.strip()),
        arguments=given,
    )
    return explain(policies, request, Facts(now=now, session=session))


def _form(path: str, handler: Any, rights: frozenset[Right], summary: str) -> Route:
    return Route(
        method="POST",
        path=f"{PREFIX}/policy/{path}",
        handler=handler,
        rights=rights,
        summary=summary,
        body=DraftForm,
    )


ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/policy",
        handler=policy,
        rights=PEOPLE,
        summary="The documents",
        query=PolicyQuery,
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/policy/revisions/{{revision}}",
        handler=compare,
        rights=PEOPLE,
        summary="A revision against the one in force",
    ),
    _form("check", check, PEOPLE, "The faults of a draft"),
    _form("test", try_out, PEOPLE, "What a draft says of a request"),
    _form("effects", effects, EDITORS | pages.READERS, "A draft on recorded traffic"),
    _form("publish", publish, EDITORS, "Put a draft in force"),
)
