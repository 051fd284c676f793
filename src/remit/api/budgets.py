"""Budgets over HTTP: how they stand and what is coming, changed by admins; who used how much."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from remit import allowances, outlook
from remit.api.decoding import encoded
from remit.api.frame import Call, Parts, Problem, Reply, Route
from remit.api.repeats import repeatable
from remit.budgets.cells import Cell
from remit.budgets.limits import Budget
from remit.chargeback import SPLITS, Per, UsageRow, split_words, usage_rows
from remit.credentials import Right
from remit.errors import InvalidRequest
from remit.identity.principals import with_policy
from remit.journal import Journal
from remit.model import Measure
from remit.outlook import MOST, BudgetPage, BudgetView
from remit.storage import Snapshot, Transaction
from remit.tallying import CHUNK, DAY, USE, behind, roll_up

MAX_REASON = 1_000
"""Characters of a reason."""
MAX_CELL = 4_000
"""Characters of a key of the ledger."""
LONGEST = 366 * 86_400
"""Seconds for which a limit can be raised at most."""
_LIMIT = 2**53 - 1

CellKey = Annotated[str, Meta(min_length=1, max_length=MAX_CELL)]
Date = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


class BudgetPlace(Struct, frozen=True, kw_only=True):
    """Which budgets to show."""

    after: Annotated[str, Meta(max_length=MAX_CELL)] = ""
    """``next`` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=MOST)] = 50


class StatedLimit(Struct, frozen=True, kw_only=True):
    """How much of a measure policy allows."""

    measure: Measure
    amount: int
    """In the ledger's integers: nano-dollars, tokens, calls, microseconds."""


class StatedBudget(Struct, frozen=True, kw_only=True):
    """A budget as policy states it, and its windows that are in use."""

    id: str
    by: tuple[str, ...]
    limits: tuple[StatedLimit, ...]
    per: str
    length: int
    """Nanoseconds, of a rolling window; else 0."""
    timezone: str
    on_exceed: str
    notify: tuple[int, ...]
    standing: BudgetPage
    """The first of them."""


class BudgetChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit for a time."""

    cell: CellKey
    limit: Annotated[int, Meta(ge=1, le=_LIMIT)]
    """The limit until then, in the ledger's integers; above the one that policy states."""
    seconds: Annotated[int, Meta(ge=1, le=LONGEST)]
    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""


class BudgetReset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A window to start anew."""

    cell: CellKey
    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""


class UsagePlace(Struct, frozen=True, kw_only=True):
    """Which usage, and how it is split."""

    by: Annotated[str, Meta(max_length=100)] = ",".join(SPLITS)
    """Some of ``team,agent,user,model,tool``."""
    per: Per = "day"
    since: Date | None = None
    """First day, of UTC."""
    until: Date | None = None
    """The day after the last one."""


async def list_budgets(call: Call) -> Reply:
    """The windows of budgets that are in use."""
    asked: BudgetPlace = call.query
    budgets = call.parts.policies.current.budgets
    return Reply(body=await _page(call.parts, budgets, None, asked))


async def show_budget(call: Call) -> Reply:
    """One budget."""
    budget = _stated(call)
    page = await _page(call.parts, (budget,), budget.id, BudgetPlace(limit=MOST))
    return Reply(
        body=StatedBudget(
            id=budget.id,
            by=budget.by,
            limits=tuple(StatedLimit(measure=e.measure, amount=e.amount) for e in budget.limits),
            per=budget.per,
            length=budget.length,
            timezone=budget.timezone,
            on_exceed=budget.on_exceed.kind,
            notify=budget.notify,
            standing=page,
        )
    )


async def set_limit(call: Call) -> Reply:
    """Raise the limit of one window for a time."""
    asked: BudgetChange = call.body
    budget, parts = _stated(call), call.parts
    by = with_policy(call.identity.principal, parts.policies.current)

    def change(t: Transaction, cell: Cell) -> Cell:
        stated = outlook.stated_limit(budget, cell) or cell.limit
        amount, until = asked.limit - stated, parts.clock() + asked.seconds * 1_000_000_000
        journal = Journal.begin(t, parts.clock(), parts.entropy)
        return allowances.raise_limit(journal, cell.key, amount, until, by, asked.reason)

    return await _changed(call, asked.cell, change)


async def reset(call: Call) -> Reply:
    """Count what was spent in one window as not spent."""
    asked: BudgetReset = call.body
    parts = call.parts
    by = with_policy(call.identity.principal, parts.policies.current)

    def change(t: Transaction, cell: Cell) -> Cell:
        journal = Journal.begin(t, parts.clock(), parts.entropy)
        return allowances.reset(journal, cell.key, by, asked.reason)

    return await _changed(call, asked.cell, change)


async def show_usage(call: Call) -> Reply:
    """Who used how much."""
    asked: UsagePlace = call.query
    try:
        by = split_words(asked.by)
        since = 0 if asked.since is None else _midnight(asked.since)
        until = 1 << 62 if asked.until is None else _midnight(asked.until)
    except ValueError as problem:
        raise Problem(400, "invalid-query", f"{problem}.") from None
    await caught_up(call.parts)
    rows = await call.parts.read(
        lambda view: usage_rows(view.tallies(USE, since, until), by, asked.per)
    )
    return Reply(body=rows)


async def caught_up(parts: Parts) -> None:
    """Add what is new in the log to the tallies.

    Raises:
        StoreError: the store does not answer.
    """
    if await parts.read(behind):
        while await parts.write(partial(roll_up, now=parts.clock())) >= CHUNK:
            pass


async def _page(
    parts: Parts, budgets: tuple[Budget, ...], budget: str | None, asked: BudgetPlace
) -> BudgetPage:
    await caught_up(parts)
    return await parts.read(
        lambda view: outlook.standing(
            view,
            budgets,
            parts.clock(),
            budget=budget,
            after=asked.after,
            limit=asked.limit,
        )
    )


async def _changed(call: Call, key: str, change: outlook.Change) -> Reply:
    """Change one window of the budget that a call names, once however often it is sent."""
    budget, parts, again = _stated(call), call.parts, repeatable(call)

    def work(t: Transaction) -> bytes:
        answered = again.found(t)
        if answered is None:
            changed = change(t, _cell(t, budget, key))
            answered = encoded(outlook.shown(t, budget, changed, parts.clock()))
            again.keep(t, answered)
        return answered

    try:
        return Reply(body=await parts.write(work))
    except InvalidRequest as problem:
        raise Problem(422, "budget-unchanged", f"{problem}") from None


def _stated(call: Call) -> Budget:
    wanted = call.params["id"]
    for budget in call.parts.policies.current.budgets:
        if budget.id == wanted:
            return budget
    raise Problem(404, "no-such-budget", "The policy in force has no such budget.")


def _cell(view: Snapshot, budget: Budget, key: str) -> Cell:
    cell = view.cell(key)
    if cell is None or cell.budget != budget.id:
        raise Problem(404, "no-such-cell", "The budget has no such window; see the list of those.")
    return cell


def _midnight(day: str) -> int:
    """The first moment of a day of UTC.

    Raises:
        ValueError: there is no such day.
    """
    moment = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    return int(moment.timestamp()) // 86_400 * DAY


_ADMIN = frozenset({Right.ADMIN})
_READERS = frozenset({Right.AUDITOR, Right.ADMIN})
_TAG = "budgets"

ROUTES = (
    Route(
        method="GET",
        path="/v1/budgets",
        handler=list_budgets,
        rights=_READERS,
        summary="What budgets have used, and what is coming",
        tag=_TAG,
        query=BudgetPlace,
        reply=BudgetPage,
    ),
    Route(
        method="GET",
        path="/v1/budgets/{id}",
        handler=show_budget,
        rights=_READERS,
        summary="One budget as policy states it, and how it stands",
        tag=_TAG,
        reply=StatedBudget,
        problems=(404,),
    ),
    Route(
        method="POST",
        path="/v1/budgets/{id}/set",
        handler=set_limit,
        rights=_ADMIN,
        summary="Raise the limit of one window for a time",
        tag=_TAG,
        body=BudgetChange,
        reply=BudgetView,
        problems=(404, 422),
    ),
    Route(
        method="POST",
        path="/v1/budgets/{id}/reset",
        handler=reset,
        rights=_ADMIN,
        summary="Start one window anew",
        tag=_TAG,
        body=BudgetReset,
        reply=BudgetView,
        problems=(404, 422),
    ),
    Route(
        method="GET",
        path="/v1/usage",
        handler=show_usage,
        rights=_READERS,
        summary="Who used how much, by team, agent, user, model and tool",
        tag=_TAG,
        query=UsagePlace,
        reply=list[UsageRow],
    ),
)
