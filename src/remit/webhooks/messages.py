"""What a message says: looked up when it is sent, so that no copy of arguments waits with it."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from remit.audit.record import Record, RecordedStop, parse_record
from remit.deliveries import Delivery, DeliveryId, EventKind
from remit.model import ApprovalId
from remit.protocols.approval_views import ApprovalView, approval_view
from remit.storage import Snapshot
from remit.webhooks.settings import WebhookSettings


class StopNews(Struct, frozen=True, kw_only=True):
    """A stop that was set or lifted."""

    id: str
    scope: str
    value: str
    by: str
    reason: str
    """Empty where none was given, or where it was erased."""


class BudgetNews(Struct, frozen=True, kw_only=True):
    """What happened to a budget. Amounts in the ledger's integers, times in ns since the epoch."""

    cell: str
    """Budget, measure, scope and window."""
    limit: int
    spent: int
    percent: int | None
    """The threshold that was reached."""
    amount: int | None
    """By how much it was raised, or what was over."""
    until: int | None


class RunawayNews(Struct, frozen=True, kw_only=True):
    """What a breaker saw of a session."""

    session: str
    tool: str
    agent: str
    granted: bool
    """Whether the call was let through all the same."""
    saw: tuple[str, ...]
    """The breaker and what it saw, in a few words."""


class Message(Struct, frozen=True, kw_only=True):
    """One message, as it is sent in the format ``json``. Times are ns since the Unix epoch."""

    id: DeliveryId
    """The same in every attempt to deliver this message, and in no other."""
    event: EventKind
    at: int
    """When it happened."""
    position: int
    """Of the record that says so."""
    approval: ApprovalView | None = None
    """As it stands when the message is sent."""
    stop: StopNews | None = None
    budget: BudgetNews | None = None
    runaway: RunawayNews | None = None


def message(
    view: Snapshot, delivery: Delivery, webhook: WebhookSettings, now: int
) -> Message | None:
    """What to send for a message; None when what it was about is gone."""
    told = Message(id=delivery.id, event=delivery.event, at=delivery.at, position=delivery.position)
    if delivery.event in ("stop.set", "stop.lifted"):
        stop = _stop(view, delivery.position)
        return None if stop is None else replace(told, stop=stop)
    if delivery.event.startswith("budget."):
        return _with_budget(told, _record(view, delivery.position))
    if delivery.event == "runaway.seen":
        return _with_runaway(told, _record(view, delivery.position))
    approval = view.approval(ApprovalId(delivery.subject))
    if approval is None:
        return None
    shown = approval_view(approval, now, details=True)
    if not webhook.arguments and shown.details is not None:
        shown = replace(shown, details=replace(shown.details, arguments=None))
    return replace(told, approval=shown)


def _record(view: Snapshot, position: int) -> Record | None:
    kept = next(iter(view.records(position, position + 1)), None)
    return None if kept is None else parse_record(kept.body)


def _with_budget(told: Message, record: Record | None) -> Message | None:
    if record is None or record.budget is None:
        return None
    budget = record.budget
    news = BudgetNews(
        cell=budget.cell,
        limit=budget.limit,
        spent=budget.spent,
        percent=budget.percent,
        amount=budget.amount,
        until=None if budget.until is None else budget.until * 1000,
    )
    return replace(told, budget=news)


def _with_runaway(told: Message, record: Record | None) -> Message | None:
    if record is None:
        return None
    news = RunawayNews(
        session=record.session or "",
        tool=record.tool or "",
        agent=record.principal[0].id if record.principal else "",
        granted=bool(record.granted),
        saw=tuple(each.where for each in record.findings if each.kind == "runaway"),
    )
    return replace(told, runaway=news)


def _stop(view: Snapshot, position: int) -> StopNews | None:
    """What a record says of a stop, with the reason from beside the log."""
    kept = next(iter(view.records(position, position + 1)), None)
    if kept is None:
        return None
    record = parse_record(kept.body)
    values = view.values(position)
    given: Any = {} if values is None else msgspec.json.decode(values.canonical)
    told = record.stop or RecordedStop(id="", scope="all")
    return StopNews(
        id=told.id,
        scope=told.scope,
        value=told.value,
        by=record.principal[0].id if record.principal else "",
        reason=given.get("reason", ""),
    )
