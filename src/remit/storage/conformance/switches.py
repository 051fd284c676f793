"""The part of the suite about what the server keeps: stops, messages, places in the log, pages."""

from __future__ import annotations

from pathlib import Path

import msgspec

from remit.approvals import ApprovalState
from remit.budgets.cells import Cell, Slot
from remit.deliveries import Delivery, DeliveryId
from remit.model import ApprovalId
from remit.stops import Scope, Stop, StopId
from remit.storage import Snapshot, Tally, Transaction
from remit.storage.conformance.samples import Mishap, OpensStore, an_approval, fails, raised


def a_stop(name: str, at: int = 1, scope: Scope = "agent") -> Stop:
    """A stop of one agent."""
    return Stop(
        id=StopId(name), scope=scope, value="inventory-bot", reason="odd \u263a", by="ada", at=at
    )


def a_delivery(name: str, next_at: int) -> Delivery:
    """A message that waits."""
    return Delivery(
        id=DeliveryId(name),
        webhook="chat",
        event="approval.pending",
        subject="p1",
        position=3,
        at=1,
        next_at=next_at,
    )


def a_cell(budget: str, scope: str, ends: int = 100, spent: int = 5) -> Cell:
    """A cell of the budget ledger, with every kind of field filled in."""
    return Cell(
        key=f"{budget}/usd/{scope}@day-0",
        budget=budget,
        measure="usd",
        by=("team",),
        scope=(scope,),
        starts=0,
        ends=ends,
        limit=50_000_000_000,
        slots=(Slot(0, spent, 7),),
        raised=3,
        raised_until=9,
        notified=50,
    )


class SwitchesConformance(OpensStore):
    """Rows that few transactions write, and those of budgets, as tests."""

    def test_cells(self, tmp_path: Path) -> None:
        """Of one budget or all, in the order of their keys; replaced whole, forgotten when over."""
        day, other = a_cell("day", "ada"), a_cell("day", "b\u263a", ends=200)
        month = a_cell("month", "ada", ends=300)
        more = msgspec.structs.replace(month, slots=(Slot(0, 6, 0),))

        def work(t: Transaction) -> None:
            for cell in (month, other, day):
                t.put_cell(cell)
            assert t.cell(month.key) == month
            assert list(t.cells(None, 10)) == [day, other, month]
            t.put_cell(more)
            check(t)

        def check(t: Snapshot) -> None:
            assert t.cell(day.key) == day
            assert t.cell(more.key) == more
            assert t.cell("none") is None
            assert list(t.cells(None, 2)) == [day, other]
            assert list(t.cells(None, 2, other.key)) == [more]
            assert list(t.cells("day", 9)) == [day, other]
            assert list(t.cells("day", 9, day.key)) == [other]
            assert list(t.cells("da", 9)) == []
            assert list(t.live_cells(None, 100, 9)) == [other, more]
            assert list(t.live_cells(None, 100, 1)) == [other]
            assert list(t.live_cells("day", 0, 9, day.key)) == [other]
            assert list(t.live_cells("day", 200, 9)) == []

        def lost(t: Transaction) -> None:
            t.put_cell(a_cell("day", "ada", spent=9))
            assert t.forget_cells(250, 9) == 2
            assert t.cell(day.key) is None
            raise Mishap

        def swept(t: Transaction) -> None:
            assert t.forget_cells(100, 9) == 0
            assert t.forget_cells(301, 2) == 2
            assert list(t.cells(None, 9)) == [more]
            assert t.cell(other.key) is None

        with self.store(tmp_path) as store:
            store.write(work)
            store.read(check)
            store.write(check)
            raised(Mishap, lambda: store.write(lost))
            store.read(check)
            store.write(check)
            store.write(swept)
            assert len(store.read(lambda view: view.cells(None, 9))) == 1

    def test_stops(self, tmp_path: Path) -> None:
        """Seen by the transaction at once, by every other one afterwards, undone with theirs."""
        first, second = a_stop("st1"), a_stop("st2", 2)
        lifted = a_stop("st0", 0)

        def work(t: Transaction) -> None:
            assert list(t.stops()) == []
            for stop in (lifted, first, second):
                t.put_stop(stop)
            assert list(t.stops()) == [lifted, first, second]
            assert t.remove_stop(lifted.id)
            assert not t.remove_stop(lifted.id)
            check(t)

        def check(t: Snapshot) -> None:
            assert list(t.stops()) == [first, second]

        def lost(t: Transaction) -> None:
            assert t.remove_stop(first.id)
            t.put_stop(a_stop("st3", 3))
            t.put_stop(msgspec.structs.replace(second, reason="another"))
            assert [stop.id for stop in t.stops()] == ["st2", "st3"]

        with self.store(tmp_path) as store:
            store.write(work)
            raised(Mishap, lambda: store.write(fails(lost)))
            store.write(check)
            store.read(check)
            if self.durable:
                with self.store(tmp_path) as other:
                    other.write(lambda t: t.put_stop(a_stop("st4", 4)))
                # What another opener of the store stops, the next transaction here sees.
                seen = store.write(lambda t: list(t.stops()))
                assert [stop.id for stop in seen] == ["st1", "st2", "st4"]

    def test_deliveries(self, tmp_path: Path) -> None:
        """The longest due first, none that is not due, replaced in place, removed once."""

        def work(t: Transaction) -> None:
            assert list(t.deliveries(1 << 62, 10)) == []
            for name, next_at in (("d1", 30), ("d2", 10), ("d3", 20), ("d4", 20)):
                t.put_delivery(a_delivery(name, next_at))
            t.put_delivery(msgspec.structs.replace(a_delivery("d2", 25), attempts=1))
            assert t.remove_delivery(DeliveryId("d1"))
            assert not t.remove_delivery(DeliveryId("d1"))
            check(t)

        def check(t: Snapshot) -> None:
            assert [each.id for each in t.deliveries(25, 10)] == ["d3", "d4", "d2"]
            assert [each.id for each in t.deliveries(24, 10)] == ["d3", "d4"]
            assert list(t.deliveries(25, 1)) == [a_delivery("d3", 20)]
            assert list(t.deliveries(19, 10)) == []

        def lost(t: Transaction) -> None:
            t.remove_delivery(DeliveryId("d3"))
            t.put_delivery(a_delivery("d5", 1))

        with self.store(tmp_path) as store:
            store.write(work)
            raised(Mishap, lambda: store.write(fails(lost)))
            store.read(check)
            store.write(check)

    def test_cursors(self, tmp_path: Path) -> None:
        """A place in the log by name; the last one counts."""

        def work(t: Transaction) -> None:
            assert t.cursor("webhooks") is None
            t.put_cursor("webhooks", 0)
            t.put_cursor("webhooks", 7)
            t.put_cursor("other", 1)
            check(t)

        def check(t: Snapshot) -> None:
            assert (t.cursor("webhooks"), t.cursor("other")) == (7, 1)
            assert t.cursor("none") is None

        with self.store(tmp_path) as store:
            store.write(work)
            raised(Mishap, lambda: store.write(fails(lambda t: t.put_cursor("other", 2))))
            store.read(check)
            store.write(check)

    def test_tallies(self, tmp_path: Path) -> None:
        """By book, key and time; replaced in place, the oldest forgotten first."""

        def a_tally(book: str, key: str, at: int, *amounts: int) -> Tally:
            return Tally(book=book, key=key, at=at, amounts=amounts)

        one, two = a_tally("spend", "b/usd", 10, 5), a_tally("spend", "b/usd", 20, 6)
        other, another = a_tally("spend", "a\u263a", 15, 1, 2), a_tally("use", "b/usd", 10, 9)

        def work(t: Transaction) -> None:
            for tally in (two, one, another, other, a_tally("spend", "b/usd", 20, 1)):
                t.put_tally(tally)
            t.put_tally(two)
            check(t)

        def check(t: Snapshot) -> None:
            assert t.tally("spend", "b/usd", 10) == one
            assert t.tally("spend", "b/usd", 20) == two
            assert t.tally("spend", "b/usd", 15) is None
            assert list(t.tallies("spend", 0, 100)) == [other, one, two]
            assert list(t.tallies("spend", 10, 20)) == [other, one]
            assert list(t.tallies("spend", 11, 21, "b/usd")) == [two]
            assert list(t.tallies("none", 0, 100)) == []

        def lost(t: Transaction) -> None:
            t.put_tally(a_tally("spend", "b/usd", 10, 99))
            assert t.forget_tallies(16, 2) == 2

        def swept(t: Transaction) -> None:
            assert t.forget_tallies(10, 9) == 0
            assert t.forget_tallies(16, 9) == 3
            assert list(t.tallies("spend", 0, 100)) == [two]

        with self.store(tmp_path) as store:
            store.write(work)
            raised(Mishap, lambda: store.write(fails(lost)))
            store.read(check)
            store.write(check)
            store.write(swept)

    def test_pages_of_approvals(self, tmp_path: Path) -> None:
        """Each page begins behind the last one of the page before, whatever became of that."""
        pending = (ApprovalState.PENDING,)

        def page(t: Snapshot, after: str | None, limit: int = 2) -> list[str]:
            place = None if after is None else ApprovalId(after)
            return [each.id for each in t.approvals(pending, limit, place)]

        def work(t: Transaction) -> None:
            for name, at in (("c", 2), ("a", 1), ("d", 2), ("b", 1), ("e", 3)):
                t.put_approval(an_approval(name, digest=name, created_at=at))
            check(t)
            used = msgspec.structs.replace(an_approval("b", created_at=1), state=ApprovalState.USED)
            t.put_approval(used)
            assert page(t, "b") == ["c", "d"]

        def check(t: Snapshot) -> None:
            assert page(t, None) == ["a", "b"]
            assert page(t, "b") == ["c", "d"]
            assert page(t, "d") == ["e"]
            assert page(t, "e") == []
            assert page(t, "never") == []

        with self.store(tmp_path) as store:
            store.write(work)
            assert store.read(lambda t: page(t, "a")) == ["c", "d"]
