"""From the log to tallies, to what budgets will come to, and to who used how much."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from governed import HOUR, SECOND, START, World, rules
from remit import chargeback, outlook, tallying
from remit.audit.replay import Replay
from remit.backtests import score
from remit.forecasts import UNKNOWN
from remit.model import Action, Effect, Estimate, Outcome, Session, Usage
from remit.outlook import BudgetView
from remit.tallying import SPEND, USE, Consumer, Used

DAY = 24 * HOUR
DOLLAR = 1_000_000_000
HEAD = """
remit: 1
agents:
  inventory-bot: {roles: [reader], team: warehouse}
  web-bot: {roles: [reader]}
people:
  ada: {team: warehouse}
  grace: {roles: [finance]}
tools:
  - {match: [act], does: write}
  - {match: [chat], does: send}
rules:
  - {id: all, tools: ['*'], effect: allow}
budgets:
"""
MONTH = "  - {id: month, by: team, limit: {usd: 60}, per: month}\n"


def world(budgets: str = MONTH, tail: str = "") -> World:
    return World(HEAD + budgets + tail)


def chat(w: World, session: Session, usd: int, held: int = 0, **came: object) -> bool:
    """One model call that costs ``usd`` nano-dollars; whether it was let through."""
    request = replace(
        w.call(session, "chat"),
        action=Action(name="chat", kind="model"),
        estimate=Estimate(
            usage=Usage(nano_usd=held or usd, input_tokens=9, output_tokens=9), model="large"
        ),
    )
    admission = w.admit(request)
    if admission.granted:
        used = Usage(nano_usd=usd, input_tokens=5, output_tokens=3)
        outcome = Outcome(status="ok", usage=used, duration=2 * SECOND)
        w.settle(admission, request, replace(outcome, **came))
    return admission.granted


def rolled(w: World, chunk: int = 7) -> World:
    while w.do(tallying.roll_up, w.now, chunk):
        pass
    assert not w.store.read(tallying.behind)
    return w


def views(w: World) -> list[BudgetView]:
    page = w.store.read(lambda view: outlook.standing(view, w.policies.budgets, w.now))
    assert page.next is None
    return list(page.budgets)


def spend(w: World, days: int, usd: int = DOLLAR) -> World:
    """Spend the same every day, at noon of the server's clock."""
    session = w.open()
    for _ in range(days):
        assert chat(w, session, usd)
        w.now += DAY
    return rolled(w)


def test_tallies_are_what_the_ledger_says() -> None:
    w = spend(world(), 20)
    tallies = list(w.store.read(lambda view: list(view.tallies(SPEND, 0, 1 << 62))))
    assert {tally.key for tally in tallies} == {"month/usd/warehouse"}
    assert sum(tally.amounts[0] for tally in tallies) == 20 * DOLLAR
    assert all(tally.at % HOUR == 0 for tally in tallies)
    assert len(tallies) == 20


def test_adding_up_again_adds_nothing() -> None:
    w = rolled(spend(world(), 3), chunk=1000)
    assert w.do(tallying.roll_up, w.now) == 0
    (used,) = chargeback.usage_rows(
        w.store.read(lambda view: list(view.tallies(USE, 0, 1 << 62))), (), "month"
    )[:1]
    assert used.nano_usd == 3 * DOLLAR


def test_what_did_not_run_is_in_no_tally() -> None:
    w = world()
    chat(w, w.open(), DOLLAR, status="not-run")
    rolled(w)
    assert w.store.read(lambda view: list(view.tallies(USE, 0, 1 << 62))) == []
    (tally,) = w.store.read(lambda view: list(view.tallies(SPEND, 0, 1 << 62)))
    assert tally.amounts == (0,)


def test_a_late_outcome_corrects() -> None:
    w = world()
    session = w.open()
    request = replace(
        w.call(session, "chat"),
        action=Action(name="chat", kind="model"),
        estimate=Estimate(usage=Usage(nano_usd=9 * DOLLAR), model="large"),
    )
    admission = w.admit(request)
    w.now += HOUR
    w.do(w.governor.expire)
    rolled(w)
    used = Usage(nano_usd=2 * DOLLAR)
    w.settle(admission, request, Outcome(status="ok", usage=used))
    rolled(w)
    tallies = w.store.read(lambda view: list(view.tallies(SPEND, 0, 1 << 62)))
    assert sum(tally.amounts[0] for tally in tallies) == 2 * DOLLAR
    rows = w.store.read(lambda view: list(view.tallies(USE, 0, 1 << 62)))
    (row,) = chargeback.usage_rows(rows, ("agent", "user", "tool"), "day")
    assert (row.calls, row.nano_usd, row.agent) == (1, 2 * DOLLAR, "inventory-bot")
    assert (row.user, row.tool) == ("ada", "chat")


def test_questions_are_charged_at_once() -> None:
    w = world("  - {id: day, by: agent, limit: {calls: 5}, per: day}\n")
    request = w.call(w.open(), "act")
    w.do(w.governor.evaluate, request)
    rolled(w)
    rows = w.store.read(lambda view: list(view.tallies(USE, 0, 1 << 62)))
    assert [tallying.consumer(each).tool for each in rows] == ["act"]
    assert tallying.used(rows[0]) == Used(calls=1)
    assert w.store.read(lambda view: len(list(view.tallies(SPEND, 0, 1 << 62)))) == 1


def test_no_history_is_kept_of_what_is_soon_over() -> None:
    w = world(
        "  - {id: each, by: session, limit: {usd: 5}, per: day}\n"
        "  - {id: whole, by: team, limit: {usd: 5}, per: session}\n"
    )
    session = w.open()
    chat(w, session, DOLLAR)
    rolled(w)
    assert w.store.read(lambda view: list(view.tallies(SPEND, 0, 1 << 62))) == []
    (whole,) = [each for each in views(w) if each.budget == "whole"]
    assert whole.forecast.basis == "none"
    assert (whole.starts, whole.ends, whole.forecast.exhausted) == (None, None, UNKNOWN)
    chat(w, session, 4 * DOLLAR)
    (whole,) = [each for each in views(w) if each.budget == "whole"]
    assert whole.forecast.exhausted.p50 == w.now


def test_old_tallies_go() -> None:
    w = spend(world(), 1)
    w.now += tallying.KEPT + DAY
    spend(w, 1)
    assert w.store.read(lambda view: len(list(view.tallies(SPEND, 0, 1 << 62)))) == 1


def test_what_is_used_and_what_is_coming() -> None:
    w = spend(world(), 130)
    w.load(HEAD + MONTH.replace("60", "25"))
    (view,) = views(w)
    assert (view.budget, view.measure, view.per) == ("month", "usd", "month")
    assert view.scope == {"team": "warehouse"}
    assert (view.limit, view.stated, view.changed_until) == (25 * DOLLAR, 25 * DOLLAR, None)
    assert view.remaining == view.limit - view.spent
    assert view.forecast.basis == "history"
    end = view.forecast.spent.p50
    assert end is not None
    assert abs(end - 31 * DOLLAR) < 2 * DOLLAR
    reached = view.forecast.exhausted.p50
    assert reached is not None
    assert view.starts is not None
    assert view.ends is not None
    assert view.starts < reached < view.ends


def test_what_is_not_in_the_policy_is_not_shown() -> None:
    w = spend(world(), 1)
    w.load(HEAD.replace("budgets:\n", ""))
    assert views(w) == []


def test_a_rolling_window_says_what_the_next_one_will_hold() -> None:
    w = spend(world("  - {id: week, by: org, limit: {usd: 25}, rolling: 7d}\n"), 60)
    (view,) = views(w)
    assert view.ends is None
    assert view.forecast.spent.p50 == 7 * DOLLAR
    assert view.forecast.exhausted == UNKNOWN


def test_short_periods_go_by_their_pace() -> None:
    w = world("  - {id: hour, by: org, limit: {usd: 25}, per: hour}\n")
    session = w.open()
    w.now += HOUR - w.now % HOUR
    w.now += HOUR // 2
    chat(w, session, DOLLAR)
    (view,) = views(rolled(w))
    assert view.forecast.basis == "pace"
    assert view.forecast.spent.p50 == 2 * DOLLAR
    assert view.forecast.spent.p90 is None


def test_pages_of_budgets() -> None:
    w = world("  - {id: day, by: [team, agent], limit: {usd: 5, calls: 9}, per: day}\n")
    for agent in ("inventory-bot", "web-bot"):
        chat(w, w.open(agent), DOLLAR)
    budgets = w.policies.budgets
    first = w.store.read(lambda view: outlook.standing(view, budgets, w.now, limit=3))
    assert len(first.budgets) == 3
    assert first.next is not None
    rest = w.store.read(
        lambda view: outlook.standing(view, budgets, w.now, limit=3, after=first.next or "")
    )
    assert (len(rest.budgets), rest.next) == (1, None)
    assert first.budgets + rest.budgets == tuple(views(w))
    none = w.store.read(lambda view: outlook.standing(view, budgets, w.now, budget="none"))
    assert none.budgets == ()


def test_a_back_test_of_ones_own_history() -> None:
    w = spend(world(), 150)
    (month,) = w.policies.budgets
    found = dict(w.store.read(lambda view: list(outlook.back_tested(view, month, w.now))))
    result = score(found["month/usd/warehouse"])
    assert result.trials >= 9
    assert result.error is not None
    assert result.error < 0.05
    hour = replace(month, per="hour")
    assert w.store.read(lambda view: list(outlook.back_tested(view, hour, w.now))) == []
    other = replace(month, id="other")
    assert w.store.read(lambda view: list(outlook.back_tested(view, other, w.now))) == []


def test_a_back_test_of_a_young_budget_says_nothing() -> None:
    w = spend(world(), 2)
    (month,) = w.policies.budgets
    assert w.store.read(lambda view: list(outlook.back_tested(view, month, w.now))) == []


def test_who_used_how_much() -> None:
    w = world()
    ours, theirs = w.open(), w.open("web-bot", None)
    chat(w, ours, DOLLAR)
    chat(w, ours, DOLLAR // 2)
    w.now += 40 * DAY
    chat(w, theirs, 1)
    rolled(w)
    tallies = w.store.read(lambda view: list(view.tallies(USE, 0, 1 << 62)))
    assert tallying.consumer(tallies[-1]) == Consumer(
        team="warehouse", agent="inventory-bot", user="ada", model="large", tool="chat"
    )
    first, second = chargeback.usage_rows(tallies, ("team", "agent", "model", "tool"), "day")
    assert (first.period, first.team, first.agent) == ("2027-01-15", "warehouse", "inventory-bot")
    assert (first.calls, first.usd, first.input_tokens, first.output_tokens) == (2, "1.5", 10, 6)
    assert first.seconds == 4.0
    assert first.user is None
    assert (second.period, second.team, second.usd) == ("2027-02-24", "", "0.000000001")
    months = chargeback.usage_rows(tallies, (), "month")
    assert [(row.period, row.calls) for row in months] == [("2027-01", 2), ("2027-02", 1)]
    assert chargeback.columns(("team",)) == [
        "period",
        "team",
        "calls",
        "nano_usd",
        "usd",
        "input_tokens",
        "output_tokens",
        "seconds",
    ]
    assert chargeback.dollars(-1_500_000_000) == "-1.5"


BURN = "breakers:\n  - {id: fast, burn: month, effect: EFFECT}\n"


@pytest.mark.parametrize("effect", ["notify", "deny", "ask", "stop-session"])
def test_a_budget_that_burns_trips_its_breaker(effect: str) -> None:
    w = world(tail=BURN.replace("EFFECT", effect))
    session = w.open()
    request = w.call(session, "act")
    quiet = 0
    while chat(w, session, DOLLAR // 10) and quiet < 60:
        if "fast" in [rule.id for record in w.records()[-2:] for rule in record.rules]:
            break
        quiet += 1
        w.now += 20 * SECOND
    # 2 % of 60 dollars within an hour.
    assert 11 <= quiet <= 15
    record = next(each for each in reversed(w.records()) if each.kind == "decision")
    assert record.rules[0].id == "fast"
    (finding,) = record.findings
    assert finding.kind == "runaway"
    assert finding.where.startswith("fast: 1")
    again = w.admit(request)
    if effect == "notify":
        assert again.granted
    elif effect == "stop-session":
        assert rules(again) == ["stopped"]
    if effect in ("deny", "ask"):
        assert again.granted  # no money, so not of this budget
        assert not chat(w, session, DOLLAR // 10)
        w.now += 10 * HOUR
        assert chat(w, session, DOLLAR // 10)
    problems: list[str] = []
    replay = Replay(lambda _, code, message: problems.append(f"{code}: {message}"))
    for position, each in enumerate(w.records()):
        replay.see(position, each)
    replay.finish()
    assert problems == []


def test_windows_are_scaled_to_the_period() -> None:
    w = world(
        "  - {id: day, by: team, limit: {usd: 60}, per: day}\n",
        "breakers:\n  - {id: fast, burn: day}\n",
    )
    session = w.open()
    assert chat(w, session, 2 * DOLLAR)
    w.now += SECOND
    request = replace(
        w.call(session, "chat"),
        action=Action(name="chat", kind="model"),
        estimate=Estimate(usage=Usage(nano_usd=1), model="large"),
    )
    reason = w.admit(request).decision.reasons[0]
    assert "over the last 2 min, and still over the last 10 s." in reason.because
    assert reason.instead == "Wait, or ask for the limit to be raised."


def test_without_the_breaker_it_burns_on() -> None:
    w = world()
    session = w.open()
    assert all(chat(w, session, DOLLAR // 10) for _ in range(100))


def test_a_burn_breaker_looks_at_its_own_budget_and_tools() -> None:
    other = "  - {id: day, by: org, limit: {usd: 90}, per: day}\n"
    w = world(MONTH + other, "breakers:\n  - {id: fast, burn: month, except: [chat]}\n")
    session = w.open()
    assert all(chat(w, session, DOLLAR // 10) for _ in range(100))
    cells = w.store.read(lambda view: {each.budget: each for each in view.cells(None, 9)})
    assert len(cells["month"].marks) == 6
    assert cells["day"].marks == ()


def test_questions_outside_sessions_burn_too() -> None:
    head = HEAD.replace(
        "{match: [act], does: write}", "{match: [act], does: write, cost: {usd: 2}}"
    )
    w = World(head + MONTH + BURN.replace("EFFECT", "stop-session"))
    request = replace(w.call(w.open(), "act"), session="")
    granted = [w.do(w.governor.evaluate, request).granted for _ in range(3)]
    assert granted == [True, False, False]
    assert w.store.read(lambda view: list(view.stops())) == []
    assert Effect.DENY in [r.effect for r in w.do(w.governor.evaluate, request).decision.reasons]


def test_start() -> None:
    """The clock of these tests is within a day, far from its ends."""
    assert 6 * HOUR < START % DAY < 18 * HOUR


def test_what_usage_is_split_by() -> None:
    assert chargeback.split_words(" team,agent,, team") == ("team", "agent")
    assert chargeback.split_words("") == ()
    with pytest.raises(ValueError, match="not by 'moon'"):
        chargeback.split_words("team,moon")
