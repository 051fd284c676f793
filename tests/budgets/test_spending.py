"""Budgets at the governor: what is held, charged, given back, refused, raised and made smaller."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from governed import HOUR, SECOND, START, World, rules
from remit import allowances, policy
from remit.audit.replay import Replay
from remit.budgets.cells import Cell, balance
from remit.errors import InvalidRequest, PolicyError
from remit.journal import Journal
from remit.model import (
    AccessRequest,
    Action,
    Effect,
    Estimate,
    Facts,
    Hold,
    Outcome,
    Session,
    Usage,
)
from remit.storage import Transaction

HEAD = """
remit: 1
agents:
  inventory-bot: {roles: [reader], team: warehouse}
people:
  ada: {team: warehouse}
  grace: {roles: [finance]}
tools:
  - {match: [act, other], does: write}
  - {match: [priced], does: write, cost: {usd: 0.25}}
  - {match: [counted], does: write, arguments: {n: int}, cost: {usd: args.n * 0.001}}
  - match: [metered]
    does: write
    cost: {usd: {at-most: 2, charge: result.cost}, output_tokens: 7, seconds: 30}
  - {match: [chat], does: send}
rules:
  - {id: all, tools: ['*'], effect: allow}
"""
DOLLAR = 1_000_000_000


def world(budgets: str, head: str = HEAD, **changes: Any) -> World:
    return World(head + "budgets:\n" + budgets, **changes)


def cells(w: World) -> list[Cell]:
    return list(w.store.read(lambda view: view.cells(None, 100)))


def one(w: World) -> tuple[int, int]:
    """What is spent and held in the only cell."""
    (cell,) = cells(w)
    stands = balance(cell, w.now)
    return stands.spent, stands.held


def chat(session: Session, usd: int, tokens: int = 0, **estimate: Any) -> AccessRequest:
    """A model call that takes at most ``usd`` nano-dollars."""
    usage = Usage(nano_usd=usd, input_tokens=10, output_tokens=tokens)
    return AccessRequest(
        principal=session.principal,
        session=session.id,
        action=Action(name="chat", kind="model"),
        arguments={"model": "large", "max_tokens": tokens},
        estimate=Estimate(usage=usage, model="large", **estimate),
    )


def problems(w: World) -> list[str]:
    """What an auditor finds in the log."""
    found: list[str] = []
    replay = Replay(lambda position, code, message: found.append(f"{position} {code}: {message}"))
    for position, record in enumerate(w.records()):
        replay.see(position, record)
    replay.finish()
    for cell in cells(w):
        stands = balance(cell, w.now)
        made_again = replay.budgets.cells[cell.key].used(w.now // 1000)
        assert made_again == stands.spent + stands.held
    return found


def test_the_worst_case_is_held_and_what_was_used_is_charged() -> None:
    w = world("  - {id: day, by: team, limit: {usd: 1}, per: day}\n")
    session = w.open()
    request = chat(session, DOLLAR * 6 // 10)
    first = w.admit(request)
    (hold,) = first.reserved
    assert hold == Hold(cell="day/usd/warehouse@day-1799971200", slot=hold.slot, amount=600_000_000)
    assert one(w) == (0, 600_000_000)
    second = w.admit(request)
    assert rules(second) == ["budget", "all"]
    assert "0.60 USD held" in second.decision.reasons[0].because
    assert second.retry_at == 1_800_057_600 * SECOND
    w.settle(first, request, Outcome(status="ok", usage=Usage(nano_usd=100_000_000)))
    assert one(w) == (100_000_000, 0)
    assert w.session(session.id).cost == 0.1
    assert w.admit(request).granted
    assert problems(w) == []


def test_what_did_not_run_gives_back_what_it_held() -> None:
    w = world("  - {id: day, by: org, limit: {calls: 1, usd: 5}, per: day}\n")
    request = chat(w.open(), DOLLAR)
    w.settle(w.admit(request), request, Outcome(status="not-run", usage=Usage(nano_usd=9)))
    assert [balance(cell, w.now)[1:3] for cell in cells(w)] == [(0, 0), (0, 0)]
    assert problems(w) == []


@pytest.mark.parametrize(
    "usage",
    [
        None,
        Usage(nano_usd=-1),
        Usage(nano_usd=float("nan")),  # type: ignore[arg-type]
        Usage(nano_usd=True),
        Usage(nano_usd=1 << 60),
        Usage(output_tokens=-(10**9)),
    ],
)
@pytest.mark.parametrize("status", ["ok", "error", "cancelled"])
def test_usage_that_is_absent_or_absurd_frees_nothing(usage: Usage | None, status: Any) -> None:
    w = world("  - {id: day, by: org, limit: {usd: 1}, per: day}\n")
    request = chat(w.open(), DOLLAR)
    w.settle(w.admit(request), request, Outcome(status=status, usage=usage))
    assert one(w) == (DOLLAR, 0)
    assert problems(w) == []


@pytest.mark.parametrize(
    "usd", [-1, float("nan"), float("inf"), True, 1 << 60, None, "5"], ids=repr
)
def test_an_absurd_estimate_is_refused(usd: Any) -> None:
    w = world("  - {id: day, by: org, limit: {usd: 1}, per: day}\n")
    admission = w.admit(chat(w.open(), usd))
    assert rules(admission)[0] == "budget"
    assert cells(w) == []


def test_a_model_call_without_an_estimate_is_refused_where_money_counts() -> None:
    w = world("  - {id: day, by: org, limit: {usd: 1}, per: day, models: ['*']}\n")
    request = replace(chat(w.open(), 1), estimate=None)
    assert w.admit(request).granted  # the budget counts calls of models, and none is named
    w.load(HEAD + "budgets:\n  - {id: day, by: org, limit: {usd: 1}, per: day}\n")
    assert "did not say" in w.admit(request).decision.reasons[0].because
    w.load(HEAD + "budgets:\n  - {id: day, by: org, limit: {calls: 1}, per: day}\n")
    assert w.admit(request).granted


def test_a_lease_that_ends_charges_and_a_late_outcome_corrects() -> None:
    w = world("  - {id: day, by: agent, limit: {usd: 1, seconds: 2000}, per: day}\n")
    session = w.open()
    request = chat(session, DOLLAR)
    late = w.admit(request)
    w.now += 601 * SECOND
    assert w.do(w.governor.expire) == 1
    assert [balance(cell, w.now)[1:3] for cell in cells(w)] == [(600 * 10**6, 0), (DOLLAR, 0)]
    assert w.session(session.id).nano_usd == DOLLAR
    assert not w.admit(request).granted
    done = Outcome(status="ok", usage=Usage(nano_usd=7), duration=601 * SECOND)
    assert w.settle(late, request, done).late
    assert [balance(cell, w.now)[1:3] for cell in cells(w)] == [(601 * 10**6, 0), (7, 0)]
    assert w.session(session.id).nano_usd == 7
    assert w.admit(chat(session, DOLLAR - 7)).granted
    assert problems(w) == []


def test_a_late_outcome_that_did_not_run_gives_all_back() -> None:
    w = world("  - {id: day, by: agent, limit: {usd: 1}, per: day}\n")
    request = chat(w.open(), DOLLAR)
    late = w.admit(request)
    w.now += HOUR
    w.do(w.governor.expire)
    w.settle(late, request, Outcome(status="not-run"))
    assert one(w) == (0, 0)
    assert problems(w) == []


def test_an_overrun_blocks_the_rest_of_the_window() -> None:
    w = world("  - {id: day, by: org, limit: {usd: 9}, per: day, notify: []}\n")
    session = w.open()
    request = chat(session, 5)
    w.settle(w.admit(request), request, Outcome(status="ok", usage=Usage(nano_usd=6)))
    blocked = w.admit(request)
    assert "blocked" in blocked.decision.reasons[0].because
    record = w.records()[-2]
    assert (record.kind, record.status) == ("budget", "overrun")
    assert record.budget is not None
    assert record.budget.amount == 1
    w.now += 24 * HOUR
    assert w.admit(request).granted
    assert problems(w) == []


def test_shadow_counts_and_lets_through() -> None:
    w = world("  - {id: day, by: org, limit: {usd: 1}, per: day}\n", "mode: shadow\n" + HEAD)
    request = chat(w.open(), DOLLAR)
    for _ in range(2):
        admission = w.admit(request)
        assert admission.granted
        w.settle(admission, request)
    assert admission.decision.effect is Effect.DENY
    assert one(w) == (2 * DOLLAR, 0)
    assert problems(w) == []


def test_all_levels_or_none() -> None:
    levels = "".join(
        f"  - {{id: {by}, by: {by}, limit: {{usd: {limit}}}, per: month, notify: []}}\n"
        for by, limit in [("org", 9), ("team", 9), ("agent", 1), ("user", 9), ("session", 9)]
    )
    w = world(levels)
    session = w.open()
    first = w.admit(chat(session, DOLLAR))
    assert len(first.reserved) == 5
    assert not w.admit(chat(session, DOLLAR)).granted
    assert {balance(cell, w.now).held for cell in cells(w)} == {DOLLAR}
    assert problems(w) == []


def test_declared_costs() -> None:
    w = world(
        "  - {id: d, by: org, limit: {usd: 10, output_tokens: 100, seconds: 60}, per: day}\n"
        .replace("}, per", "}, notify: [], per")
    )  # fmt: skip
    session = w.open()
    for tool, arguments, result, costs in [
        ("priced", {}, None, (0, 0.25)),
        ("counted", {"n": 3}, None, (0, 0.003)),
        ("metered", {}, {"cost": 0.5}, (7, 0.5)),
        ("metered", {}, {"cost": "free"}, (7, 2)),
        ("metered", {}, {"cost": -3}, (7, 2)),
        ("metered", {}, None, (7, 2)),
        ("act", {}, None, (0, 0)),
    ]:
        before = {cell.measure: balance(cell, w.now).spent for cell in cells(w)}
        request = w.call(session, tool, **arguments)
        admission = w.admit(request)
        w.settle(admission, request, Outcome(status="ok", result=result, duration=2 * SECOND))
        after = {cell.measure: balance(cell, w.now).spent for cell in cells(w)}
        assert after["seconds"] - before.get("seconds", 0) == 2_000_000
        assert after["output_tokens"] - before.get("output_tokens", 0) == costs[0], tool
        assert after["usd"] - before.get("usd", 0) == costs[1] * DOLLAR, tool
    bad = w.admit(w.call(session, "counted", n=-5))
    assert rules(bad)[0] == "budget"
    assert "less than 0" in bad.decision.reasons[0].because
    assert problems(w) == []


def test_seconds_hold_what_is_left_where_nobody_says_how_long_it_takes() -> None:
    w = world("  - {id: d, by: org, limit: {seconds: 60}, per: hour, notify: []}\n")
    session = w.open()
    request = w.call(session, "act")
    first = w.admit(request)
    assert one(w) == (0, 60_000_000)
    assert not w.admit(request).granted
    w.settle(first, request, Outcome(status="ok", duration=40 * SECOND))
    assert not w.admit(w.call(session, "metered")).granted
    second = w.admit(request)
    assert one(w) == (40_000_000, 20_000_000)
    w.settle(second, request, Outcome(status="ok", duration=21 * SECOND))
    assert one(w) == (61_000_000, 0)
    assert cells(w)[0].blocked_until == 0
    assert not w.admit(w.call(session, "metered")).granted
    assert problems(w) == []


def test_people_can_raise_a_limit_for_a_time() -> None:
    w = world(
        "  - {id: d, by: org, limit: {usd: 1}, per: day, notify: [],"
        " on_exceed: {ask: [finance], raise: 50, for: 2h}}\n"
    )
    session = w.open()
    request = chat(session, DOLLAR)
    w.settle(w.admit(request), request)
    held = w.admit(request)
    assert (held.decision.effect, held.granted) == (Effect.ASK, False)
    assert rules(held) == ["budget", "all"]
    w.approve(held.approval, "grace")
    used = w.admit(request)
    assert used.granted
    assert used.approval == held.approval
    (cell,) = cells(w)
    assert (cell.raised, cell.raised_until) == (DOLLAR, w.now + 2 * HOUR)
    raising = next(r for r in w.records() if r.status == "raised")
    assert raising.approval == held.approval
    w.settle(used, request, Outcome(status="ok", usage=Usage(nano_usd=DOLLAR // 2)))
    assert w.admit(chat(session, DOLLAR // 2)).granted
    again = w.admit(chat(session, 1))
    assert again.decision.effect is Effect.ASK
    assert problems(w) == []


def test_asking_lifts_a_block_and_a_deny_beside_it_wins() -> None:
    ask = "  - {id: a, by: org, limit: {usd: 9}, per: day, on_exceed: ask, notify: []}\n"
    w = world(ask)
    session = w.open()
    request = chat(session, 5)
    w.settle(w.admit(request), request, Outcome(status="ok", usage=Usage(nano_usd=6)))
    held = w.admit(request)
    w.approve(held.approval, "grace")
    assert w.admit(request).granted
    assert w.admit(request).granted
    assert problems(w) == []
    w.load(HEAD + "budgets:\n" + ask + "  - {id: b, by: org, limit: {usd: 1}, per: day}\n")
    assert w.admit(chat(session, 10 * DOLLAR)).decision.effect is Effect.DENY


def test_an_answer_is_cut_to_what_the_budget_can_pay() -> None:
    w = world("  - {id: d, by: org, limit: {usd: 0.000001, tokens: 100}, per: day, notify: []}\n")
    session = w.open()
    most = {"output_limit": "args.max_tokens", "output_price": 10}
    request = chat(session, 100 + 10 * 200, 200, **most)
    first = w.admit(request)
    assert first.granted
    assert first.arguments == {"model": "large", "max_tokens": 90}
    (cap,) = first.decision.obligations
    assert (cap.kind, cap.target, cap.value, cap.rule) == ("cap", "args.max_tokens", 90, "d")
    assert [balance(cell, w.now).held for cell in cells(w)] == [100, 1000]
    ran = replace(request, arguments=first.arguments)
    w.settle(first, ran, Outcome(status="ok", usage=Usage(nano_usd=150, input_tokens=9)))
    assert not w.admit(chat(session, 2000, 200)).granted
    assert not w.admit(chat(session, 10_000, 15, output_limit="args.max_tokens")).granted
    assert not w.admit(chat(session, 900, 200, output_limit="args.absent")).granted
    assert problems(w) == []


def test_a_cheaper_model_is_called_instead() -> None:
    w = world(
        "  - {id: d, by: org, limit: {usd: 1}, per: day, on_exceed: {downgrade: small},"
        " notify: []}\n"
    )
    session = w.open()
    assert w.policies.downgrades == ("small",)
    small = Estimate(
        usage=Usage(nano_usd=3000, input_tokens=10, output_tokens=100),
        model="small",
        output_price=10,
    )
    request = chat(session, DOLLAR + 1, 100, instead=(small,))
    first = w.admit(request)
    assert first.arguments == {"model": "small", "max_tokens": 100}
    assert one(w) == (0, 3000)
    assert w.records()[-1].model == "small"
    assert not w.admit(chat(session, DOLLAR + 1, 100)).granted
    w.settle(first, replace(request, arguments=first.arguments))
    rest = chat(session, DOLLAR - 3000 - 2600, 100)
    assert w.admit(rest).granted
    short = replace(request, estimate=replace(request.estimate, output_limit="args.max_tokens"))
    both = w.admit(short)
    assert both.arguments == {"model": "small", "max_tokens": 60}
    assert [each.kind for each in both.decision.obligations] == ["rewrite", "cap"]
    assert problems(w) == []


def test_a_change_that_policy_does_not_allow_is_not_made() -> None:
    head = HEAD + "  - {id: no-small, tools: chat, when: args.model == 'small', effect: deny}\n"
    w = world(
        "  - {id: d, by: org, limit: {usd: 1}, per: day, on_exceed: {downgrade: small}}\n", head
    )
    small = Estimate(usage=Usage(), model="small")
    denied = w.admit(chat(w.open(), DOLLAR + 1, instead=(small,)))
    assert rules(denied) == ["budget", "all"]


def test_thresholds_are_told_once() -> None:
    w = world("  - {id: d, by: org, limit: {calls: 10}, per: day}\n")
    session = w.open()
    for _ in range(10):
        request = w.call(session, "act")
        w.settle(w.admit(request), request)
    told = [r.budget.percent for r in w.records() if r.kind == "budget" and r.budget is not None]
    assert told == [50, 80, 100]
    assert problems(w) == []


def test_rolling_windows_move_on() -> None:
    w = world("  - {id: d, by: org, limit: {calls: 2}, rolling: 1h}\n")
    session = w.open()
    times = []
    for minute in range(0, 200, 10):
        w.now = START + minute * 60 * SECOND
        request = w.call(session, "act")
        admission = w.admit(request)
        if admission.granted:
            times.append(minute)
            w.settle(admission, request)
        else:
            assert admission.retry_at is not None
            assert admission.retry_at > w.now
    assert times == [0, 10, 70, 80, 140, 150]
    assert problems(w) == []


def test_a_hold_stays_in_the_window_it_was_made_in() -> None:
    w = world("  - {id: d, by: org, limit: {usd: 1}, per: minute, notify: []}\n")
    session = w.open()
    request = chat(session, DOLLAR)
    first = w.admit(request)
    w.now += 60 * SECOND
    second = w.admit(request)
    assert second.granted
    w.settle(first, request)
    assert [balance(cell, w.now)[1:3] for cell in cells(w)] == [(DOLLAR, 0), (0, DOLLAR)]
    assert problems(w) == []


def test_sessions_and_tasks() -> None:
    w = world(
        "  - {id: s, by: agent, limit: {calls: 2}, per: session, notify: []}\n"
        "  - {id: t, by: task, limit: {calls: 3}, per: session, notify: []}\n"
    )
    parent = w.open()
    child = w.open(user=None, parent=parent.id)
    grandchild = w.open(user=None, parent=child.id)
    assert (child.task, grandchild.task) == (parent.id, parent.id)
    granted = [
        w.admit(w.call(session, "act")).granted
        for session in (parent, parent, parent, child, grandchild)
    ]
    assert granted == [True, True, False, True, False]
    assert w.admit(w.call(w.open(), "act")).granted
    assert problems(w) == []


def test_evaluations_are_charged_at_once() -> None:
    w = world("  - {id: d, by: org, limit: {usd: 1}, per: day, notify: [100]}\n")
    session = w.open()
    request = chat(session, DOLLAR)
    assert w.do(w.governor.evaluate, request).granted
    assert one(w) == (DOLLAR, 0)
    assert w.session(session.id).nano_usd == DOLLAR
    assert not w.do(w.governor.evaluate, request).granted
    assert w.kinds().count("budget") == 1
    assert problems(w) == []


def test_an_auditor_finds_a_ledger_that_is_not_the_sum_of_the_log() -> None:
    w = world("  - {id: d, by: org, limit: {usd: 9}, per: day, notify: []}\n")
    session = w.open()
    request = chat(session, DOLLAR)
    w.settle(w.admit(request), request)
    (cell,) = cells(w)
    emptied = replace(cell, slots=(replace(cell.slots[0], spent=0),))
    w.store.write(lambda t: t.put_cell(emptied))
    w.admit(request)
    found: list[str] = []
    replay = Replay(lambda _, code, __: found.append(code))
    for position, record in enumerate(w.records()):
        replay.see(position, record)
    assert found == ["budget-ledger"]


def test_a_model_is_counted_by_its_name() -> None:
    w = world("  - {id: m, by: model, limit: {calls: 1}, per: day, models: [large]}\n")
    session = w.open()
    assert w.admit(chat(session, 1)).granted
    assert not w.admit(chat(session, 1)).granted
    other = chat(session, 1)
    estimate = replace(other.estimate, model="huge")
    assert w.admit(replace(other, estimate=estimate)).granted


def asking(condition: str, effect: str = "deny") -> str:
    return HEAD + f"  - {{id: asks, tools: act, when: '{condition}', effect: {effect}}}\n"


def test_conditions_can_ask_what_is_left_and_what_the_session_cost() -> None:
    budgets = (
        "  - {id: d, by: agent, limit: {usd: 1, tokens: 90}, per: day, tools: chat, notify: []}\n"
        "  - {id: n, by: org, limit: {calls: 9}, per: day, notify: []}\n"
        "  - {id: s, by: org, limit: {seconds: 1.5}, per: day, tools: chat, notify: []}\n"
    )
    for condition, holds in {
        'budget.remaining("d", "usd") == 0.75': True,
        'budget.remaining("d", "tokens") == 80': True,
        'budget.remaining("n") == 8': True,
        'budget.remaining("n", "calls") < 8': False,
        'budget.remaining("s") == 1.25': True,
        "session.cost == 0.25": True,
        'session.calls("chat") == 1': True,
    }.items():
        w = world(budgets, asking(condition))
        session = w.open()
        request = chat(session, DOLLAR // 4)
        outcome = Outcome(status="ok", duration=SECOND // 4)
        w.settle(w.admit(request), request, outcome)
        assert w.admit(w.call(session, "act")).granted is not holds, condition
        assert problems(w) == []


def test_only_budgets_that_rules_ask_for_are_looked_up() -> None:
    budgets = "  - {id: d, by: agent, limit: {usd: 1}, per: day, tools: chat}\n"
    w = world(budgets, asking('budget.remaining("d") < 1'))
    assert w.policies.balances_of("act") == ("d",)
    assert w.policies.balances_of("act") == ("d",)
    assert w.policies.balances_of("chat") == ()
    assert world(budgets).policies.balances_of("act") == ()


def test_the_least_that_is_left_in_a_chain_of_delegation_counts() -> None:
    head = asking('budget.remaining("d") == 0.75').replace(
        "agents:\n", "agents:\n  sub-bot: {roles: [reader], team: other}\n"
    )
    w = world("  - {id: d, by: agent, limit: {usd: 1}, per: day, tools: chat}\n", head)
    parent = w.open()
    request = chat(parent, DOLLAR // 4)
    w.settle(w.admit(request), request)
    child = w.open("sub-bot", None, parent=parent.id)
    assert rules(w.admit(w.call(child, "act")))[0] == "asks"


def test_what_is_not_known_defers() -> None:
    w = world(
        "  - {id: d, by: org, limit: {usd: 1}, per: day}\n", asking('budget.remaining("d") < 1')
    )
    session = w.open()
    said = policy.decide(w.policies, w.call(session, "act"), Facts(now=w.now, session=session))
    assert (said.effect, said.reasons[0].rule) == (Effect.DEFER, "missing-fact")


@pytest.mark.parametrize(
    ("condition", "message", "hint"),
    [
        ('budget.remaining("dd") < 1', "no budget `dd`", "Did you mean d?"),
        ('budget.remaining("two") < 1', "counts usd and calls", 'budget.remaining("two", "usd")'),
        ('budget.remaining("two", "call") < 1', "does not count call", "Did you mean calls?"),
        ("budget.remaining(args.x) < 1", "named at load", 'budget.remaining("id")'),
        ("budget.remaining() < 1", "remaining", None),
        ('budget.left("d") < 1', "no method `left`", None),
        ('budget.remaining("d")', "true or false", None),
        ("budget.usd < 1", "usd", None),
    ],
)
def test_wrong_questions_are_faults(condition: str, message: str, hint: str | None) -> None:
    budgets = (
        "  - {id: d, by: org, limit: {usd: 1}, per: day}\n"
        "  - {id: two, by: org, limit: {usd: 1, calls: 2}, per: day}\n"
    )
    with pytest.raises(PolicyError) as caught:
        policy.load({"remit.yaml": asking(condition) + "budgets:\n" + budgets})
    (fault,) = caught.value.faults
    assert message in fault.message
    assert fault.at.line == 18
    if hint is not None:
        assert hint in (fault.suggestion or "")


def test_people_raise_and_reset() -> None:
    w = world("  - {id: d, by: org, limit: {usd: 1}, per: day, notify: []}\n")
    session = w.open()
    request = chat(session, DOLLAR)
    admission = w.admit(request)
    (key,) = (hold.cell for hold in admission.reserved)
    grace = w.person("grace")

    def by_hand(step: Callable[..., Cell], *args: Any) -> Cell:
        def work(t: Transaction) -> Cell:
            return step(Journal.begin(t, w.now, w._entropy), *args)

        return w.store.write(work)

    by_hand(allowances.raise_limit, key, DOLLAR, w.now + HOUR, grace, "a busy day")
    second = w.admit(request)
    assert second.granted
    assert not w.admit(request).granted
    w.settle(second, request, Outcome(status="not-run"))
    w.settle(admission, request, Outcome(status="ok", usage=Usage(nano_usd=2 * DOLLAR)))
    by_hand(allowances.reset, key, grace, "")
    assert one(w) == (0, 0)
    w.now += HOUR
    assert w.admit(request).granted
    told = [(r.status, r.principal[0].id) for r in w.records() if r.kind == "budget" if r.principal]
    assert told == [("raised", "grace"), ("reset", "grace")]
    assert problems(w) == []
    for wrong in (
        lambda: by_hand(allowances.reset, "none", grace, ""),
        lambda: by_hand(allowances.reset, key, session.principal, ""),
        lambda: by_hand(allowances.raise_limit, key, 0, w.now + HOUR, grace, ""),
        lambda: by_hand(allowances.raise_limit, key, 1, w.now, grace, ""),
        lambda: by_hand(allowances.raise_limit, key, 1 << 60, w.now + 1, grace, ""),
    ):
        with pytest.raises(InvalidRequest):
            wrong()


def test_windows_long_over_are_forgotten_and_what_they_held_is_settled_all_the_same() -> None:
    w = world("  - {id: d, by: org, limit: {calls: 1}, per: minute, rolling: 1m}\n".replace(
        "per: minute, ", ""
    ))  # fmt: skip
    session = w.open()
    request = w.call(session, "act")
    admission = w.admit(request)
    w.now += 401 * 24 * HOUR
    w.do(w.governor.expire)
    assert cells(w) == []
    assert w.settle(admission, request).late
    assert cells(w) == []
    assert w.admit(request).granted
    assert problems(w) == []


def test_a_limit_that_policy_changes_counts_on_in_its_window() -> None:
    text = "  - {id: d, by: org, limit: {usd: 1}, per: day, notify: []}\n"
    w = world(text)
    session = w.open()
    assert w.admit(chat(session, DOLLAR)).granted
    w.load(HEAD + "budgets:\n" + text.replace("usd: 1", "usd: 2"))
    assert w.admit(chat(session, DOLLAR)).granted
    assert not w.admit(chat(session, 1)).granted
    assert cells(w)[0].limit == 2 * DOLLAR


@pytest.mark.parametrize(
    ("limit", "runs"), [("output_tokens: 50", 50), ("input_tokens: 9", None), ("calls: 1", 80)]
)
def test_which_limits_can_cut_an_answer(limit: str, runs: int | None) -> None:
    w = world(f"  - {{id: d, by: org, limit: {{{limit}}}, per: day, notify: []}}\n")
    first = w.admit(chat(w.open(), 0, 80, output_limit="args.max_tokens"))
    assert first.granted is (runs is not None)
    if runs == 50:
        assert first.arguments == {"model": "large", "max_tokens": 50}


def test_the_greater_of_what_is_declared_and_what_the_edge_says_counts() -> None:
    w = world("  - {id: d, by: org, limit: {usd: 9}, per: day, notify: []}\n")
    session = w.open()
    request = replace(
        w.call(session, "priced"), estimate=Estimate(usage=Usage(nano_usd=DOLLAR // 2))
    )
    first = w.admit(request)
    assert one(w) == (0, DOLLAR // 2)
    w.settle(first, request, Outcome(status="error", usage=Usage(nano_usd=1)))
    assert one(w) == (DOLLAR // 4, 0)
    w.settle(w.admit(request), request, Outcome(status="error"))
    assert one(w) == (DOLLAR * 3 // 4, 0)
    assert problems(w) == []


def test_what_a_forgotten_window_held_is_charged_in_the_log_alone() -> None:
    w = world("  - {id: d, by: org, limit: {calls: 1}, per: minute, rolling: 1m}\n".replace(
        "per: minute, ", ""
    ))  # fmt: skip
    w.admit(w.call(w.open(), "act"))
    w.store.write(lambda t: t.forget_cells(1 << 62, 9))
    w.now += HOUR
    w.do(w.governor.expire)
    assert cells(w) == []
    assert w.records()[-1].charges[0].spent == 1


def test_memory_of_names_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remit.policy.metering.MAX_KEPT", 2)
    monkeypatch.setattr("remit.policy.planning.MAX_PLANS", 2)
    w = world("  - {id: d, by: org, limit: {calls: 99}, per: day}\n", asking("session.cost > 1"))
    asks = HEAD + "  - {id: asks, tools: '*', when: 'budget.remaining(\"d\") < 0', effect: deny}\n"
    w.load(asks + "budgets:\n  - {id: d, by: org, limit: {calls: 99}, per: day}\n")
    session = w.open()
    for number in range(5):
        assert w.admit(w.call(session, f"tool-{number}")).granted
    assert w.admit(w.call(session, "t" * 201)).granted
    assert len(w.policies.meter._kept) <= 2
    assert len(w.policies._decider.planner._balances) <= 2


def test_a_deny_beside_an_ask_is_not_raised_by_an_approval() -> None:
    head = HEAD + "  - {id: held, tools: act, effect: ask, approvers: [finance]}\n"
    w = world("  - {id: d, by: org, limit: {calls: 1}, per: day, notify: []}\n", head)
    session = w.open()
    request = w.call(session, "act")
    held = w.admit(request)
    w.approve(held.approval, "grace")
    assert w.admit(w.call(session, "other")).granted
    after = w.admit(request)
    assert rules(after)[0] == "budget"
    assert problems(w) == []


def test_a_cut_answer_that_a_rule_would_change_back_is_not_made() -> None:
    head = HEAD + (
        "  - id: longer\n    tools: chat\n    effect: allow\n"
        "    obligations: [{rewrite: {args.max_tokens: '90'}}]\n"
    )
    w = world("  - {id: d, by: org, limit: {output_tokens: 50}, per: day}\n", head)
    assert not w.admit(chat(w.open(), 0, 80, output_limit="args.max_tokens")).granted
    plain = world("  - {id: d, by: org, limit: {output_tokens: 50}, per: day}\n")
    assert plain.admit(chat(plain.open(), 0, 80, output_limit="args.max_tokens")).granted


def test_a_policy_without_budgets_has_nothing_to_count_against() -> None:
    w = World(HEAD)
    session = w.open()
    assert w.policies.meter.lines(chat(session, 1), session) == ()
