"""Any interleaving of what can happen to reservations, over both stores, against a plain model."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from governed import SECOND, World
from remit.audit.replay import Replay
from remit.budgets.cells import balance
from remit.budgets.periods import window
from remit.errors import SettlementError
from remit.model import (
    AccessRequest,
    Action,
    Admission,
    Estimate,
    Outcome,
    Session,
    Usage,
)
from remit.storage.sqlite import SqliteStore

POLICY = """
remit: 1
agents:
  bot-1: {roles: [r], team: red}
  bot-2: {roles: [r], team: blue}
tools:
  - {match: [chat], does: send}
rules:
  - {id: all, tools: [chat], effect: allow}
budgets:
  - {id: org, by: org, limit: {usd: 0.0000001}, per: hour, notify: [50, 100]}
  - {id: team, by: team, limit: {usd: 0.00000007, calls: 6}, rolling: 30m, notify: []}
  - {id: agent, by: agent, limit: {tokens: 60}, per: day, timezone: Europe/Berlin}
"""
LIMITS = {"org": 100, "team/usd": 70, "team/calls": 6, "agent": 60}
LEASE = 600 * SECOND


class MishapError(Exception):
    """What goes wrong after an admission, so that it never was."""


@dataclass
class Reserved:
    """One granted call, as the model knows it."""

    admission: Admission
    request: AccessRequest
    at: int
    team: str
    held: int
    charged: int | None = None
    settled: bool = False
    void: bool = False


class Ledger(RuleBasedStateMachine):
    """The governor and the model, side by side."""

    reserved = Bundle("reserved")
    done = Bundle("done")

    def __init__(self) -> None:
        super().__init__()
        self.world = World(POLICY)
        self.start()
        self.all: list[Reserved] = []
        self.overrun = False
        self.sessions: list[Session] = [
            self.world.open("bot-1", None),
            self.world.open("bot-2", None),
        ]

    def start(self) -> None:
        """Set the store up."""

    def restart(self) -> None:
        """Lose everything that is not durable."""

    @rule(
        target=reserved,
        who=st.sampled_from([0, 1]),
        amount=st.integers(0, 40),
        breaks=st.sampled_from([False, False, False, True]),
    )
    def admit(self, who: int, amount: int, breaks: bool) -> Reserved | None:
        session = self.sessions[who]
        usage = Usage(nano_usd=amount, input_tokens=amount)
        request = AccessRequest(
            principal=session.principal,
            session=session.id,
            action=Action(name="chat"),
            estimate=Estimate(usage=usage),
        )
        if breaks:
            with pytest.raises(MishapError):
                self.world.do(self.broken, request)
            return None
        admission = self.world.admit(request)
        if not admission.granted:
            assert not self.fits(session, amount)
            return None
        new = Reserved(admission, request, self.time(), session.principal.team or "", amount)
        self.all.append(new)
        now = self.time()
        for hold in admission.reserved:
            stands = self.world.store.read(
                lambda view, key=hold.cell: balance(view.cell(key), now)  # type: ignore
            )
            assert stands.spent + stands.held <= stands.limit
        return new

    def broken(self, t, request: AccessRequest) -> None:  # type: ignore[no-untyped-def]
        self.world.governor.admit(t, request)
        raise MishapError

    @rule(target=done, which=consumes(reserved), used=st.integers(0, 40), absent=st.booleans())
    def settle(self, which: Reserved | None, used: int, absent: bool) -> Reserved | None:
        if which is None:
            return None
        used = min(used, which.held)
        usage = None if absent else Usage(nano_usd=used, input_tokens=used)
        self.world.settle(which.admission, which.request, Outcome(status="ok", usage=usage))
        which.charged = which.held if absent else used
        which.settled = True
        return which

    @rule(target=done, which=consumes(reserved))
    def void(self, which: Reserved | None) -> Reserved | None:
        if which is None:
            return None
        self.world.settle(which.admission, which.request, Outcome(status="not-run"))
        which.charged, which.void, which.settled = 0, True, True
        return which

    @rule(target=done, which=consumes(reserved), more=st.integers(1, 9))
    def overspend(self, which: Reserved | None, more: int) -> Reserved | None:
        if which is None:
            return None
        used = which.held + more
        usage = Usage(nano_usd=used, input_tokens=used)
        self.world.settle(which.admission, which.request, Outcome(status="ok", usage=usage))
        which.charged, which.settled, self.overrun = used, True, True
        return which

    @rule(which=done)
    def settle_twice(self, which: Reserved | None) -> None:
        if which is not None:
            with pytest.raises(SettlementError):
                self.world.settle(which.admission, which.request)

    @rule(seconds=st.sampled_from([1, 30, 299, 601, 1800, 3600, 7200]))
    def wait(self, seconds: int) -> None:
        self.world.now += seconds * SECOND

    @rule(seconds=st.sampled_from([1, 600, 90_000]))
    def set_clock_back(self, seconds: int) -> None:
        self.world.now -= seconds * SECOND

    @rule()
    def expire(self) -> None:
        self.world.do(self.world.governor.expire)

    @rule()
    def crash(self) -> None:
        self.restart()

    def time(self) -> int:
        """The time as the log tells it: never back."""
        return max(self.world.now, self.world.store.read(lambda view: view.latest()))

    def counted(self, budget: str, team: str) -> int:
        """What the model has in the window that is now."""
        total = 0
        for each in self.all:
            amount = each.held if each.charged is None else each.charged
            if budget == "team/calls":
                amount = 0 if each.void else 1
            if self.in_window(budget, each.at) and (budget == "org" or each.team == team):
                total += amount
        return total

    def in_window(self, budget: str, at: int) -> bool:
        now = self.time()
        if budget == "org":
            return window(now, "hour").start <= at
        if budget == "agent":
            return window(now, "day", "Europe/Berlin").start <= at
        slot = at - at % (30 * SECOND)
        return slot + 30 * SECOND > now - 1800 * SECOND

    def fits(self, session: Session, amount: int) -> bool:
        """Whether the model says that a call can be paid; an overrun may stop it all the same."""
        team = session.principal.team or ""
        if self.overrun:
            return False
        return all(
            self.counted(budget, team) + (1 if budget == "team/calls" else amount) <= limit
            for budget, limit in LIMITS.items()
        )

    @invariant()
    def within_limits(self) -> None:
        if not self.overrun:
            for team in ("red", "blue"):
                for budget, limit in LIMITS.items():
                    assert self.counted(budget, team) <= limit

    @invariant()
    def the_ledger_is_the_sum_of_the_log(self) -> None:
        found: list[str] = []
        replay = Replay(lambda _, code, message: found.append(f"{code}: {message}"))
        for position, record in enumerate(self.world.records()):
            replay.see(position, record)
        assert found == []
        now = self.time()
        for cell in self.world.store.read(lambda view: view.cells(None, 1000)):
            stands = balance(cell, now)
            made_again = replay.budgets.cells[cell.key].used(now // 1000)
            assert made_again == stands.spent + stands.held

    def teardown(self) -> None:
        self.world.store.close()


class LedgerInAFile(Ledger):
    """The same over SQLite, which a crash closes and opens again."""

    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.world.store = SqliteStore(Path(self.folder.name) / "remit.db")  # type: ignore

    def restart(self) -> None:
        self.world.store.close()
        self.world.store = SqliteStore(Path(self.folder.name) / "remit.db")  # type: ignore

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


IN_MEMORY = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

TestLedger = Ledger.TestCase
TestLedger.settings = IN_MEMORY
TestLedgerInAFile = LedgerInAFile.TestCase
TestLedgerInAFile.settings = settings(IN_MEMORY, max_examples=15, stateful_step_count=20)
