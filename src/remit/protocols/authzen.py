"""AuthZEN Authorization API 1.0 as data, and between it and the words of Remit. Pure.

The profiles for obligations and for access requests (ARAP) are in here as far as they are bodies
of requests and answers. Unknown members are ignored, as the API asks of receivers; members that
are there must have their type, and ``null`` is no object and no text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from remit import canonical
from remit.errors import InvalidRequest
from remit.model import ActionId, Decision, Effect, Obligation, Principal, Reason

Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Properties: TypeAlias = dict[str, Any]

TOOL = "tool"
"""Resource type of a tool that is named by the resource's id."""
CALLS = ("call", "tools/call")
"""Actions that call such a tool."""
RESERVED = ("approval", "session", "subject")
"""Members of the context that speak to Remit and that rules do not see as they were sent."""


class SubjectEntity(Struct, frozen=True, kw_only=True):
    """Whom an evaluation is about."""

    type: Text
    id: Text
    properties: Properties = field(default_factory=dict)


class ResourceEntity(Struct, frozen=True, kw_only=True):
    """What is to be acted on."""

    type: Text
    id: Text
    properties: Properties = field(default_factory=dict)


class ActionEntity(Struct, frozen=True, kw_only=True):
    """The action of an evaluation."""

    name: Text
    properties: Properties = field(default_factory=dict)


class Sought(Struct, frozen=True, kw_only=True):
    """The entity that a search looks for. An id is ignored."""

    type: Text
    properties: Properties = field(default_factory=dict)


class Evaluation(Struct, frozen=True, kw_only=True):
    """One question: may this subject do that?"""

    subject: SubjectEntity
    action: ActionEntity
    resource: ResourceEntity
    context: Properties = field(default_factory=dict)


Semantic: TypeAlias = Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"]


class Options(Struct, frozen=True, kw_only=True):
    """How several evaluations are to be carried out."""

    evaluations_semantic: Semantic = "execute_all"


class Evaluations(Struct, frozen=True, kw_only=True):
    """Several questions, with defaults for what they leave out.

    The items are read one by one, because a faulty one is answered and refuses no other.
    """

    subject: SubjectEntity | UnsetType = UNSET
    action: ActionEntity | UnsetType = UNSET
    resource: ResourceEntity | UnsetType = UNSET
    context: Properties | UnsetType = UNSET
    evaluations: list[Any] = field(default_factory=list)
    options: Options = field(default_factory=Options)

    def items(self) -> Iterator[dict[str, Any]]:
        """Each question as an object; what it has replaces the default as a whole.

        Raises:
            ValidationError: an item is no object. (Of msgspec; when it is its turn.)
        """
        names = ("subject", "action", "resource", "context")
        defaults = {name: getattr(self, name) for name in names}
        given = {name: value for name, value in defaults.items() if value is not UNSET}
        for item in self.evaluations or [{}]:
            if not isinstance(item, dict):
                yield {"subject": item}
            else:
                yield {**given, **{name: item[name] for name in names if name in item}}


class Page(Struct, frozen=True, kw_only=True):
    """Which part of the results is wanted."""

    token: str = ""
    limit: Annotated[int, Meta(ge=0)] | UnsetType = UNSET


class SubjectSearch(Struct, frozen=True, kw_only=True):
    """Who may do that?"""

    subject: Sought
    action: ActionEntity
    resource: ResourceEntity
    context: Properties = field(default_factory=dict)
    page: Page = field(default_factory=Page)


class ResourceSearch(Struct, frozen=True, kw_only=True):
    """On which resources of a type may they do that?"""

    subject: SubjectEntity
    action: ActionEntity
    resource: Sought
    context: Properties = field(default_factory=dict)
    page: Page = field(default_factory=Page)


class ActionSearch(Struct, frozen=True, kw_only=True):
    """What may they do with it?"""

    subject: SubjectEntity
    resource: ResourceEntity
    context: Properties = field(default_factory=dict)
    page: Page = field(default_factory=Page)


class DecisionReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one question."""

    decision: bool
    context: dict[str, Any] = field(default_factory=dict)


class DecisionsReply(Struct, frozen=True, kw_only=True):
    """The answers to several questions, in their order; or one, where none were listed."""

    evaluations: list[DecisionReply] | UnsetType = UNSET
    decision: bool | UnsetType = UNSET
    context: dict[str, Any] | UnsetType = UNSET


class PageReply(Struct, frozen=True, kw_only=True):
    """Which part of the results this is."""

    next_token: str
    """Empty at the end."""
    count: int


class Entity(Struct, frozen=True, kw_only=True):
    """A subject or a resource that was found."""

    type: str
    id: str


class ActionFound(Struct, frozen=True, kw_only=True):
    """An action that was found."""

    name: str


class EntitiesReply(Struct, frozen=True, kw_only=True):
    """The subjects or resources that were found, or a part of them."""

    page: PageReply
    results: list[Entity]


class ActionsReply(Struct, frozen=True, kw_only=True):
    """The actions that were found, or a part of them."""

    page: PageReply
    results: list[ActionFound]


class Metadata(Struct, frozen=True, kw_only=True):
    """What a decision point can do, and where."""

    policy_decision_point: str
    access_evaluation_endpoint: str
    access_evaluations_endpoint: str
    search_subject_endpoint: str
    search_resource_endpoint: str
    search_action_endpoint: str
    access_request_endpoint: str
    capabilities: list[str]
    supported_obligations: list[str]


class Denial(Struct, frozen=True, kw_only=True):
    """The denial that an access request is about, as far as it is looked at."""

    evaluation_id: Text
    expires_at: Text


class AccessRequestBody(Struct, frozen=True, kw_only=True):
    """A denied evaluation for which approval is asked."""

    subject: SubjectEntity
    action: ActionEntity
    resource: ResourceEntity
    denial: Denial
    context: Properties = field(default_factory=dict)

    def evaluation(self) -> Evaluation:
        """The question that was denied."""
        return Evaluation(
            subject=self.subject, action=self.action, resource=self.resource, context=self.context
        )


class Cancellation(Struct, frozen=True, kw_only=True):
    """Why an access request is cancelled."""

    reason: str = ""
    comment: str = ""


TaskStatus: TypeAlias = Literal["pending", "approved", "denied", "expired", "cancelled"]


class Task(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An access request under way."""

    id: str
    status: TaskStatus
    status_endpoint: str
    expires_at: str
    links: dict[str, str] = field(default_factory=dict)
    display: dict[str, str] = field(default_factory=dict)


class ApprovalResult(Struct, frozen=True, kw_only=True):
    """What to send as ``context.approval`` with the evaluation that uses the approval."""

    id: str
    approved_until: str


class TaskResult(Struct, frozen=True, kw_only=True):
    """How an approved access request goes on."""

    approval: ApprovalResult
    mode: Literal["reevaluate"] = "reevaluate"


class TaskReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task, and its result once it is approved."""

    task: Task
    result: TaskResult | None = None


def tool_of(resource_type: str, resource_id: str, action: str) -> str:
    """The tool that policy decides on: ``<resource type>.<action>``, or the tool that is named."""
    if resource_type == TOOL and action in CALLS:
        return resource_id
    return f"{resource_type}.{action}"


def arguments_of(
    resource: ResourceEntity, action: ActionEntity, known: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The arguments that policy looks at: the resource's id and all properties, by name.

    Args:
        resource: what is acted on.
        action: the action.
        known: what is known of the resource where the request says nothing.

    Raises:
        InvalidRequest: two members say different things under one name.
    """
    named = resource.type == TOOL and action.name in CALLS
    arguments: dict[str, Any] = {} if named else {"id": resource.id}
    places = {} if named else {"id": "resource.id"}
    for where, properties in (
        ("resource.properties", {**(known or {}), **resource.properties}),
        ("action.properties", action.properties),
    ):
        for name, value in properties.items():
            if name in arguments and not _same(arguments[name], value):
                raise InvalidRequest(
                    f"{where}.{name} and {places[name]} say different things, and rules see both "
                    f"as args.{name}; leave one of them out"
                )
            arguments[name] = value
            places[name] = f"{where}.{name}"
    canonical.check(arguments, "properties")
    return arguments


def context_of(context: Mapping[str, Any], subject: Mapping[str, Any]) -> dict[str, Any]:
    """The context that rules see.

    Args:
        context: as it was sent.
        subject: the properties of the subject that are believed.
    """
    seen = {name: value for name, value in context.items() if name not in RESERVED}
    if subject:
        seen["subject"] = dict(subject)
    canonical.check(seen, "context")
    return seen


def presented(context: Mapping[str, Any]) -> str | None:
    """The id of the approval that an evaluation presents, if it does.

    Raises:
        InvalidRequest: ``context.approval`` is not what an access request was answered with.
    """
    if "approval" not in context:
        return None
    approval = context["approval"]
    if not isinstance(approval, dict) or not isinstance(approval.get("id"), str):
        raise InvalidRequest(
            "context.approval must be the object that the access request was answered with"
        )
    return str(approval["id"])


def session_of(context: Mapping[str, Any]) -> str:
    """The session that an evaluation belongs to; empty for none.

    Raises:
        InvalidRequest: ``context.session`` is no text.
    """
    session = context.get("session", "")
    if not isinstance(session, str):
        raise InvalidRequest("context.session must be the id of a session")
    return session


def actors_of(subject: SubjectEntity) -> tuple[str, ...]:
    """The agents that act on behalf of the subject, the immediate one first (RFC 8693 ``act``).

    Raises:
        InvalidRequest: ``properties.act`` is not such a chain, or a long one.
    """
    found: list[str] = []
    act = subject.properties.get("act")
    while act is not None:
        name = act.get("sub", act.get("id")) if isinstance(act, dict) else None
        if not isinstance(name, str) or not name or len(found) == _MOST_ACTORS:
            raise InvalidRequest(
                "subject.properties.act must name who acts: {'sub': '...', 'act': {...}}"
            )
        found.append(name)
        act = act.get("act")
    return tuple(found)


_MOST_ACTORS = 8


def words_of(value: Any) -> tuple[str, ...]:
    """A property that is a word, or a list of words, as words; nothing for anything else."""
    listed = value if isinstance(value, list) else [value]
    return tuple(each for each in listed if isinstance(each, str))


def believed(
    principal: Principal, roles: Sequence[str], team: str | None, *, vouched: bool
) -> Principal:
    """A principal with what an enforcement point says of it and is believed."""
    known = principal.known
    return msgspec.structs.replace(
        principal,
        roles=tuple(dict.fromkeys((*principal.roles, *roles))),
        team=principal.team if team is None else team,
        known="authenticated" if vouched and known == "unknown" else known,
    )


def obligations_of(decision: Decision) -> list[dict[str, Any]]:
    """What the enforcement point must do for a permit to hold (obligations profile).

    Labels are not among them: they are put on the session by the governor.
    """
    duties = [each for each in decision.obligations if each.kind != "label"]
    return [_obligation(f"obligation-{n}", each) for n, each in enumerate(duties, 1)]


def _obligation(name: str, duty: Obligation) -> dict[str, Any]:
    properties = {"vendor": "remit", "action": duty.kind, "target": duty.target, "rule": duty.rule}
    if duty.value is not None:
        properties["value"] = duty.value
    return {"id": name, "type": "custom", "properties": properties}


def reasons_of(decision: Decision) -> dict[str, Any]:
    """Why it is not a plain permit: for administrators the rules, for users their words."""
    counted = [each for each in decision.reasons if each.effect is decision.effect]
    if decision.effect is Effect.ALLOW or not counted:
        return {}
    said = " ".join(filter(None, (part for each in counted for part in _words(each))))
    return {
        "reason_admin": {"403": "; ".join(map(_rule, counted))},
        "reason_user": {"403": said or "This is not allowed."},
    }


def _words(reason: Reason) -> tuple[str, str]:
    return reason.because, reason.instead


def _rule(reason: Reason) -> str:
    return reason.rule if reason.at is None else f"{reason.rule} ({reason.at})"


def evaluation_id(action: ActionId, position: int) -> str:
    """The name of a recorded evaluation, from which its record can be found again."""
    return f"ev-{position}-{action.removeprefix('a-')}"


def recorded_at(name: str) -> tuple[int, ActionId] | None:
    """Position and action id of an evaluation by its name; None when it is no such name."""
    found = _EVALUATION.fullmatch(name)
    return None if found is None else (int(found[1]), ActionId(f"a-{found[2]}"))


_EVALUATION = re.compile(r"ev-([0-9]{1,15})-([0-9a-f]{20})")


def timestamp(nanoseconds: int) -> str:
    """A time of Remit as RFC 3339 text in UTC, to the second, rounded down."""
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Place(Struct, frozen=True, array_like=True):
    """Where a search goes on: what a page token holds. It opens nothing, so nobody signs it."""

    query: str
    start: int
    limit: int


def query_digest(*entities: Any) -> str:
    """What the pages of one search have in common."""
    plain = msgspec.to_builtins(entities)
    return hashlib.sha256(canonical.encode(plain)).hexdigest()[:16]


def page_token(place: Place) -> str:
    """The token of the page that begins at ``place``."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def read_page(page: Page, query: str, most: int) -> Place:
    """Where to begin, and how much is wanted.

    Raises:
        InvalidRequest: the token is none of ours, or belongs to another search.
    """
    limit = most if page.limit is UNSET else min(page.limit, most)
    if not page.token:
        return Place(query, 0, limit)
    try:
        padded = page.token + "=" * (-len(page.token) % 4)
        place = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=Place)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise InvalidRequest("page.token is not one that this server gave") from None
    if place.query != query or place.start < 0 or not 0 <= place.limit <= most:
        raise InvalidRequest("page.token belongs to another search; begin without one")
    if page.limit is not UNSET and limit != place.limit:
        raise InvalidRequest("page.limit must stay the same from page to page")
    return place


def _same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, ``1`` and ``true`` told apart."""
    return canonical.encode(one) == canonical.encode(other)
