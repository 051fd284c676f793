"""What a call takes from budgets, before it may run: all that it may take at most, or nothing.

A call that a budget cannot pay is refused, or waits for a person, or is made smaller: a model call
may get another model or fewer tokens to answer with. A call that was changed is decided on again.
Nothing is written here; ``verdict`` does that together with the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from remit.audit.record import RecordedHold
from remit.budgets import cells
from remit.budgets.cells import Cell, Held, Shortage
from remit.budgets.limits import Line, Takes, line, written
from remit.charging import in_record
from remit.errors import InvalidArgument, ObligationError
from remit.fulfilment import Ruling, adjusted, denied
from remit.journal import Journal
from remit.model import (
    AccessRequest,
    Decision,
    Effect,
    Estimate,
    Facts,
    Mode,
    Obligation,
    Reason,
    Usage,
)
from remit.policy import PolicySet
from remit.policy.amounts import AmountError
from remit.policy.metering import needs_estimate
from remit.storage import Snapshot

SHORTEST = 16
"""Fewest tokens that a model is let answer with when a budget cannot pay more."""


def informed(facts: Facts, view: Snapshot, policies: PolicySet, request: AccessRequest) -> Facts:
    """The facts with what is left of the budgets that rules on the tool ask for.

    Of several scopes that a request falls into the least counts.
    """
    asked_for = policies.balances_of(request.action.name)
    if not asked_for:
        return facts
    found: dict[str, dict[str, int]] = {}
    for budget in policies.budgets:
        if budget.id not in asked_for:
            continue
        left = found.setdefault(budget.id, {})
        for scope in policies.meter.scopes(budget, request, facts.session):
            for limit in budget.limits:
                one = line(budget, limit, scope)
                place = cells.key(one, facts.now)
                cell = cells.opened(one, facts.now, view.cell(place[0]), place)
                rest = cells.balance(cell, facts.now).remaining
                left[limit.measure] = min(rest, left.get(limit.measure, rest))
    return replace(facts, remaining=found)


class Demand(Struct, frozen=True, kw_only=True):
    """What a call counts against, and the most that it takes."""

    lines: tuple[Line, ...] = ()
    takes: Takes = Takes(Usage())


Change: TypeAlias = tuple[AccessRequest, tuple[Obligation, ...]]
"""A call that takes less, and what has to be done to its arguments for that."""


class Bill(Struct, frozen=True, kw_only=True):
    """What is to be held for a call, and what of it cannot be paid."""

    takes: Takes
    held: Sequence[Held] = ()
    short: Sequence[Shortage] = ()


NO_BILL = Bill(takes=Takes(Usage()))


def demand(policies: PolicySet, request: AccessRequest, facts: Facts, lease: int) -> Demand:
    """What a request takes from budgets.

    Raises:
        AmountError: that cannot be known.
    """
    lines = policies.meter.lines(request, facts.session)
    if needs_estimate(lines, request):
        raise AmountError("the edge did not say what the model takes at most")
    return Demand(lines=lines, takes=policies.meter.most(request, facts, lease))


def bill(journal: Journal, wanted: Demand) -> Bill:
    """What is to be held in the ledger for a demand."""
    held, short = cells.take(wanted.lines, journal.t.cell, wanted.takes, journal.now)
    return Bill(takes=wanted.takes, held=held, short=short)


def priced(
    journal: Journal, policies: PolicySet, ruling: Ruling, facts: Facts, lease: int
) -> tuple[Ruling, Bill]:
    """The ruling on a call that its budgets can pay, and the bill for it.

    A call that they cannot pay whole is made smaller where that is provided for; where that does
    not help either it stays as it is, with a bill that is short.
    """
    if policies.meter.is_idle(ruling.ran):
        return ruling, NO_BILL
    try:
        wanted = demand(policies, ruling.ran, facts, lease)
    except AmountError as problem:
        return replace(ruling, decision=denied(ruling.decision, _unknown(problem))), NO_BILL
    first = bill(journal, wanted)
    decision = ruling.decision
    if not first.short or decision.effect is Effect.DENY or decision.mode is Mode.SHADOW:
        return ruling, first
    return _made_smaller(journal, policies, ruling, first, facts, lease) or (ruling, first)


def _made_smaller(
    journal: Journal, policies: PolicySet, ruling: Ruling, found: Bill, facts: Facts, lease: int
) -> tuple[Ruling, Bill] | None:
    """The call with another model or with less to answer, if budgets can pay that."""
    for step in (_downgraded, _shorter):
        change = step(ruling.ran, found.short)
        if change is None:
            continue
        try:
            ruling = adjusted(policies, ruling, *change, facts)
            found = bill(journal, demand(policies, ruling.ran, facts, lease))
        except (ObligationError, InvalidArgument, AmountError):
            return None
        if not found.short:
            return ruling, found
    return None


def _downgraded(request: AccessRequest, short: Sequence[Shortage]) -> Change | None:
    """The call with the model that the first budget which cannot pay names instead."""
    estimate = request.estimate
    for each in short:
        target = each.line.budget.on_exceed.model
        if not target or estimate is None or estimate.model == target:
            continue
        other = next((other for other in estimate.instead if other.model == target), None)
        if other is None:
            return None
        kept = {
            "output_limit": estimate.output_limit,
            "model_argument": estimate.model_argument,
            "instead": estimate.instead,
        }
        rule = each.line.budget.id
        duty = Obligation(kind="rewrite", target=estimate.model_argument, value=target, rule=rule)
        return replace(request, estimate=replace(other, **kept)), (duty,)
    return None


def _shorter(request: AccessRequest, short: Sequence[Shortage]) -> Change | None:
    """The call with as many tokens to answer with as every budget can pay."""
    estimate = request.estimate
    if estimate is None or estimate.output_limit is None:
        return None
    payable = {each.line.budget.id: _payable(each, estimate.usage, estimate) for each in short}
    rule, most = min(payable.items(), key=lambda each: each[1])
    if not SHORTEST <= most < estimate.usage.output_tokens:
        return None
    duty = Obligation(kind="cap", target=estimate.output_limit, value=most, rule=rule)
    return replace(request, estimate=_capped(estimate, most)), (duty,)


def _payable(short: Shortage, usage: Usage, estimate: Estimate) -> int:
    """How many tokens of an answer a line can pay, beside everything else that the call takes."""
    left = short.stands.remaining
    match short.line.limit.measure:
        case "usd" if estimate.output_price:
            rest = usage.nano_usd - usage.output_tokens * estimate.output_price
            return (left - max(0, rest)) // estimate.output_price
        case "tokens":
            return left - usage.input_tokens
        case "output_tokens":
            return left
    return 0


def _capped(estimate: Estimate, tokens: int) -> Estimate:
    fewer = estimate.usage.output_tokens - tokens
    return replace(
        estimate,
        usage=replace(
            estimate.usage,
            nano_usd=estimate.usage.nano_usd - fewer * estimate.output_price,
            output_tokens=tokens,
        ),
    )


def asked(decision: Decision, found: Bill, now: int) -> Decision:
    """The decision, held for people where every budget that cannot pay says to ask them."""
    exceeded = [short.line.budget.on_exceed for short in found.short]
    if not exceeded or any(each.kind != "ask" for each in exceeded):
        return decision
    reasons = tuple(dict.fromkeys(exceeded_reason(each, Effect.ASK, now) for each in found.short))
    terms = tuple(dict.fromkeys(each.terms for each in exceeded if each.terms is not None))
    return replace(
        decision,
        effect=Effect.DEFER if decision.effect is Effect.DEFER else Effect.ASK,
        reasons=(*reasons, *decision.reasons),
        terms=(*decision.terms, *(each for each in terms if each not in decision.terms)),
    )


def raised(found: Bill, now: int) -> Bill:
    """The bill once people have approved it: limits are raised by as much as it takes, or more."""
    lacking = {short.cell.key: short for short in found.short}
    held = []
    for each in found.held:
        short = lacking.get(each.cell.key)
        held.append(each if short is None else each._replace(cell=_raised(each, short, now)))
    return Bill(takes=found.takes, held=held)


def _raised(each: Held, short: Shortage, now: int) -> Cell:
    stands, terms = short.stands, short.line.budget.on_exceed
    limit = short.cell.limit
    needed = stands.spent + stands.held + short.wanted - limit
    return replace(
        each.cell,
        raised=max(needed, limit * terms.percent // 100, stands.limit - limit),
        raised_until=max(each.cell.raised_until, now + terms.lasts),
        blocked_until=0,
    )


def is_raised(each: Held) -> bool:
    """Whether an approval raises the limit of a cell, or lifts its block."""
    before, after = each.before, each.cell
    return (before.raised, before.raised_until, before.blocked_until) != (
        after.raised,
        after.raised_until,
        after.blocked_until,
    )


def recorded_holds(found: Bill, now: int) -> tuple[RecordedHold, ...]:
    """What a bill holds, as a record says it."""
    holds = []
    for each in found.held:
        holds.append(
            RecordedHold(
                amount=each.hold.amount,
                cell=each.hold.cell,
                ends=in_record(each.cell.ends),
                length=each.cell.length // 1000,
                limit=cells.limit_of(each.cell, now),
                raised=is_raised(each),
                slot=each.hold.slot // 1000,
                used=each.stood.spent + each.stood.held,
            )
        )
    return tuple(holds)


def exceeded_reason(short: Shortage, effect: Effect, now: int) -> Reason:
    """Why a call within its rights costs too much."""
    budget, measure, stands = short.line.budget, short.line.limit.measure, short.stands
    if stands.blocked:
        because = f"Budget {budget.id} is blocked: a call took more than was held for it."
    else:
        because = (
            f"Budget {budget.id} cannot pay this call: it may take up to "
            f"{written(measure, short.wanted)}; of {written(measure, stands.limit)}, "
            f"{written(measure, stands.spent)} are spent and {written(measure, stands.held)} held "
            "by calls that run."
        )
    return Reason(
        rule="budget",
        effect=effect,
        at=budget.at,
        because=because,
        instead=_instead(cells.retry_at(short, now), now),
    )


def retry_at(found: Bill, now: int) -> int | None:
    """When all lines could pay, as far as waiting helps."""
    times = [cells.retry_at(short, now) for short in found.short]
    return None if None in times else max(each for each in times if each is not None)


def _instead(due: int | None, now: int) -> str:
    if due is None:
        return "Waiting does not help: make the call smaller, or ask for the limit to be raised."
    return f"Wait {-(-(due - now) // 1_000_000_000)} s, or ask for the limit to be raised."


def _unknown(problem: AmountError) -> Reason:
    return Reason(
        rule="budget",
        effect=Effect.DENY,
        because=f"What the call takes from budgets cannot be known: {problem}.",
        instead="Make the call in the form that its declared cost reads, or ask for that to be "
        "changed.",
    )
