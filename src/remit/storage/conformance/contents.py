"""The part of the suite about one caller: what is put is there, whole or not at all."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from remit.approvals import ApprovalState
from remit.audit import merkle
from remit.credentials import CredentialId
from remit.errors import StoreCorrupt, StoreError
from remit.model import (
    ActionId,
    ActionState,
    ApprovalId,
    Digest,
    SessionId,
)
from remit.storage import KeptReply, Snapshot, Transaction
from remit.storage.conformance.samples import (
    REVISION,
    SEALED,
    Mishap,
    OpensStore,
    a_credential,
    a_session,
    an_action,
    an_approval,
    fails,
    raised,
    verify_log,
)


class ContentsConformance(OpensStore):
    """What a store keeps, as tests."""

    # What is put can be got.

    def test_an_empty_store_answers(self, tmp_path: Path) -> None:
        """Nothing is stored: None, 0, or nothing, never an error."""

        def check(t: Snapshot) -> None:
            assert t.session(SessionId("s")) is None
            assert t.action(ActionId("a")) is None
            assert t.arrival("k") is None
            assert t.memory("k") is None
            assert t.cell("k") is None
            assert list(t.cells(None, 10)) == []
            assert t.approval(ApprovalId("a")) is None
            assert t.approval_for(Digest("d")) is None
            assert t.credential(CredentialId("c")) is None
            assert list(t.credentials()) == []
            assert t.reply("k") is None
            assert t.document(REVISION) is None
            assert t.values(0) is None
            assert t.checkpoint() is None
            assert t.latest() == 0
            assert t.log_size() == 0
            assert list(t.overdue_actions(None, 1 << 62, 10)) == []
            assert list(t.overdue_actions(SessionId("s"), 1 << 62, 10)) == []
            assert list(t.approvals(tuple(ApprovalState), 10)) == []
            assert list(t.approvals((), 10)) == []
            assert list(t.records(0, 10)) == []
            assert list(t.hashes([])) == []

        with self.store(tmp_path) as store:
            store.read(check)
            store.write(check)

    def test_what_is_put_is_there(self, tmp_path: Path) -> None:
        """Inside the transaction at once, for readers and later transactions after it."""
        session, action, approval = a_session(), an_action("a1"), an_approval("p1")

        def check(t: Snapshot) -> None:
            assert t.session(session.id) == session
            assert t.action(action.id) == action
            assert t.arrival("rate/x") == 7
            assert t.memory("session/s") == b"seen"
            assert t.approval(approval.id) == approval
            assert t.approval_for(approval.digest) == approval
            assert t.document(REVISION) == b"{}"
            assert t.values(0) == SEALED
            assert t.checkpoint() == b"note"
            assert t.latest() == 5
            assert t.log_size() == 1
            assert [record.body for record in t.records(0, 1)] == [b"one"]
            assert list(t.hashes([0])) == [merkle.leaf_hash(b"one")]

        def work(t: Transaction) -> None:
            t.put_session(session)
            t.put_action(action)
            t.put_arrival("rate/x", 7)
            t.put_memory("session/s", b"seen")
            t.put_approval(approval)
            t.put_document(REVISION, b"{}")
            assert t.append(b"one", at=5, values=SEALED) == 0
            t.put_checkpoint(b"note")
            check(t)

        with self.store(tmp_path) as store:
            store.write(work)
            store.read(check)
            store.write(check)
            if self.durable:
                store.close()
                with self.store(tmp_path) as again:
                    again.read(check)
                    again.write(check)

    def test_a_second_put_replaces(self, tmp_path: Path) -> None:
        """Except for documents, which never change under their revision."""

        def first(t: Transaction) -> None:
            t.put_session(a_session())
            t.put_action(an_action("a1"))
            t.put_arrival("k", 1)
            t.put_memory("k", b"one")
            t.put_approval(an_approval("p1"))
            t.put_document(REVISION, b"first")
            t.put_checkpoint(b"first")

        used = msgspec.structs.replace(an_approval("p1"), state=ApprovalState.USED)
        settled = msgspec.structs.replace(an_action("a1"), state=ActionState.SETTLED)

        def second(t: Transaction) -> None:
            t.put_session(a_session(labels=("secret",)))
            t.put_action(settled)
            t.put_arrival("k", 2)
            t.put_memory("k", b"two")
            t.put_approval(used)
            t.put_document(REVISION, b"second")
            t.put_checkpoint(b"second")

        def check(t: Snapshot) -> None:
            session = t.session(SessionId("s1"))
            assert session is not None
            assert session.labels == ("secret",)
            assert t.action(settled.id) == settled
            assert t.arrival("k") == 2
            assert t.memory("k") == b"two"
            assert t.approval(used.id) == used
            assert list(t.approvals((ApprovalState.PENDING,), 10)) == []
            assert list(t.approvals((ApprovalState.USED,), 10)) == [used]
            assert t.document(REVISION) == b"first"
            assert t.checkpoint() == b"second"

        with self.store(tmp_path) as store:
            store.write(first)
            store.write(second)
            store.read(check)
            store.write(check)

    def test_overdue_actions(self, tmp_path: Path) -> None:
        """Only admitted ones, the lease's end included, oldest lease first, at most ``limit``."""

        def work(t: Transaction) -> None:
            t.put_action(an_action("late", lease_until=90))
            t.put_action(an_action("other", session="s2", lease_until=50))
            t.put_action(an_action("early", lease_until=10))
            t.put_action(an_action("now", lease_until=100))
            t.put_action(an_action("not yet", lease_until=101))
            t.put_action(
                msgspec.structs.replace(
                    an_action("settled", lease_until=5), state=ActionState.SETTLED
                )
            )
            check(t)

        def check(t: Snapshot) -> None:
            def names(session: str | None, now: int, limit: int) -> list[str]:
                session_id = None if session is None else SessionId(session)
                return [action.id for action in t.overdue_actions(session_id, now, limit)]

            assert names(None, 100, 10) == ["early", "other", "late", "now"]
            assert names(None, 100, 2) == ["early", "other"]
            assert names("s1", 100, 10) == ["early", "late", "now"]
            assert names("s1", 9, 10) == []
            assert names("s1", 10, 10) == ["early"]
            assert names("s2", 100, 10) == ["other"]
            assert names("s3", 100, 10) == []

        with self.store(tmp_path) as store:
            store.write(work)
            store.read(check)
            store.write(check)

    def test_overdue_actions_follow_every_change(self, tmp_path: Path) -> None:
        """Whatever a store remembers of leases, settling, failing and admitting anew show."""
        s1 = SessionId("s1")

        def overdue(t: Snapshot, now: int = 100) -> list[str]:
            return [action.id for action in t.overdue_actions(s1, now, 10)]

        def settle(t: Transaction) -> None:
            t.put_action(
                msgspec.structs.replace(an_action("a1", lease_until=50), state=ActionState.SETTLED)
            )
            assert overdue(t) == []

        with self.store(tmp_path) as store:
            store.write(lambda t: t.put_action(an_action("a1", lease_until=50)))
            assert store.write(lambda t: overdue(t, 49)) == []
            assert store.write(overdue) == ["a1"]
            raised(Mishap, lambda: store.write(fails(settle)))
            assert store.write(overdue) == ["a1"]
            store.write(settle)
            assert store.write(overdue) == []
            store.write(lambda t: t.put_action(an_action("a2", lease_until=60)))
            assert store.write(overdue) == ["a2"]
            assert store.read(overdue) == ["a2"]

    def test_approvals_in_order(self, tmp_path: Path) -> None:
        """Oldest first; the newest one for a digest; the order of writing breaks ties."""

        def work(t: Transaction) -> None:
            for name, digest, created_at in (
                ("c", "d1", 30),
                ("a", "d1", 10),
                ("b", "d2", 20),
                ("e", "d1", 30),
                ("d", "d2", 20),
            ):
                t.put_approval(an_approval(name, digest=digest, created_at=created_at))
            t.put_approval(an_approval("b", digest="d2", created_at=20))

        def check(t: Snapshot) -> None:
            pending = (ApprovalState.PENDING, ApprovalState.PENDING)
            assert [a.id for a in t.approvals(pending, 10)] == ["a", "b", "d", "c", "e"]
            assert [a.id for a in t.approvals(pending, 2)] == ["a", "b"]
            newest = [t.approval_for(Digest(digest)) for digest in ("d1", "d2")]
            assert [a.id for a in newest if a is not None] == ["e", "d"]

        with self.store(tmp_path) as store:
            store.write(work)
            store.read(check)
            store.write(check)

    def test_credentials(self, tmp_path: Path) -> None:
        """Kept in order of arrival, replaced in place, undone with their closure."""
        revoked = a_credential("c1", revoked_at=7, last_used_at=5)

        def work(t: Transaction) -> None:
            for name in ("c2", "c1", "c3"):
                t.put_credential(a_credential(name))
            t.put_credential(revoked)
            check(t)

        def check(t: Snapshot) -> None:
            assert t.credential(revoked.id) == revoked
            expected = [a_credential("c2"), revoked, a_credential("c3")]
            assert list(t.credentials()) == expected

        def lost(t: Transaction) -> None:
            t.put_credential(a_credential("c1"))
            t.put_credential(a_credential("c4"))

        with self.store(tmp_path) as store:
            store.write(work)
            raised(Mishap, lambda: store.write(fails(lost)))
            store.read(check)
            store.write(check)
            if self.durable:
                store.close()
                with self.store(tmp_path) as again:
                    again.read(check)

    def test_replies(self, tmp_path: Path) -> None:
        """They are there until they are forgotten, the first ones first."""

        def reply(number: int) -> KeptReply:
            return KeptReply(key=f"k{number}", at=number, digest=b"d" * 32, body=b"{}")

        def put(t: Transaction) -> None:
            for number in range(5):
                t.put_reply(reply(number))
            assert t.reply("k4") == reply(4)

        def check(t: Snapshot, *kept: int) -> None:
            found = [t.reply(f"k{number}") for number in range(7)]
            assert [each.at for each in found if each is not None] == list(kept)

        def undone(t: Transaction) -> None:
            t.put_reply(reply(5))
            t.forget_replies(9, 9)
            check(t)

        with self.store(tmp_path) as store:
            store.write(put)
            raised(Mishap, partial(store.write, fails(undone)))
            store.read(lambda t: check(t, 0, 1, 2, 3, 4))
            assert store.read(lambda t: t.reply("k1")) == reply(1)
            store.write(lambda t: check(t, 0, 1, 2, 3, 4))
            assert store.write(lambda t: t.forget_replies(3, 2)) == 2
            assert store.write(lambda t: t.forget_replies(3, 9)) == 1
            store.write(lambda t: t.put_reply(reply(6)))
            store.read(lambda t: check(t, 3, 4, 6))
            if self.durable:
                store.close()
                with self.store(tmp_path) as again:
                    again.write(lambda t: check(t, 3, 4, 6))

    def test_the_log(self, tmp_path: Path) -> None:
        """Positions without gaps, exact bytes, a tree that verifies, any part readable."""
        bodies = [bytes([number % 256]) * (number * 37 % 3000) for number in range(300)]

        def check(t: Snapshot) -> None:
            assert verify_log(t) == 300
            assert [record.body for record in t.records(0, 300)] == bodies
            assert [record.position for record in t.records(17, 20)] == [17, 18, 19]
            assert [record.at for record in t.records(298, 400)] == [298, 299]
            assert list(t.records(20, 17)) == []
            assert t.latest() == 299
            merkle.root(300, t.hashes)

        with self.store(tmp_path) as store:
            for number in range(0, 300, 3):

                def work(t: Transaction, first: int = number) -> list[int]:
                    return [t.append(bodies[at], at=at) for at in range(first, first + 3)]

                assert store.write(work) == [number, number + 1, number + 2]
            store.read(check)
            store.write(check)
            if self.durable:
                store.close()
                with self.store(tmp_path) as again:
                    again.read(check)
                    assert again.write(lambda t: t.append(b"after", at=300)) == 300
                    assert again.read(verify_log) == 301

    def test_a_hash_that_is_not_there(self, tmp_path: Path) -> None:
        """A proof must not be built on a guess."""
        with self.store(tmp_path) as store:
            store.write(lambda t: t.append(b"one", at=1))
            for index in (-1, 1, 1000):

                def look(t: Snapshot, index: int = index) -> object:
                    return t.hashes([index])

                raised(StoreCorrupt, partial(store.read, look))
                raised(StoreCorrupt, partial(store.write, look))

    def test_erase(self, tmp_path: Path) -> None:
        """The values go, once; the record and the tree stay."""

        def append(t: Transaction) -> None:
            t.append(b"one", at=1, values=SEALED)
            t.append(b"two", at=2)
            t.append(b"three", at=3, values=SEALED)

        def append_and_erase(t: Transaction) -> None:
            position = t.append(b"four", at=4, values=SEALED)
            assert t.values(position) == SEALED
            assert t.erase(position)
            assert t.values(position) is None

        with self.store(tmp_path) as store:
            store.write(append)
            raised(Mishap, lambda: store.write(fails(lambda t: t.erase(0))))
            assert store.read(lambda t: t.values(0)) == SEALED
            assert store.write(lambda t: t.erase(0)) is True
            assert store.write(lambda t: t.erase(0)) is False
            assert store.write(lambda t: t.erase(1)) is False
            assert store.write(lambda t: t.erase(99)) is False
            store.write(append_and_erase)
            values = store.read(lambda t: [t.values(position) for position in range(4)])
            assert values == [None, None, SEALED, None]
            assert store.read(verify_log) == 4

    # A closure happens whole or not at all.

    def test_a_closure_that_raises_leaves_nothing(self, tmp_path: Path) -> None:
        """Its exception reaches the caller as it is; what was there before is still there."""

        def before(t: Transaction) -> None:
            t.put_session(a_session())
            t.put_action(an_action("a1"))
            t.put_arrival("k", 1)
            t.put_approval(an_approval("p1"))
            t.append(b"one", at=1, values=SEALED)
            t.put_checkpoint(b"first")

        def change(t: Transaction) -> None:
            t.put_session(a_session(labels=()))
            t.put_session(a_session("s2"))
            t.put_action(msgspec.structs.replace(an_action("a1"), state=ActionState.SETTLED))
            t.put_action(an_action("a2"))
            t.put_arrival("k", 2)
            t.put_arrival("k2", 2)
            t.append(b"two", at=2, values=SEALED)

        def change_more(t: Transaction) -> None:
            t.put_approval(msgspec.structs.replace(an_approval("p1"), state=ApprovalState.REJECTED))
            t.put_approval(an_approval("p2"))
            t.put_document(REVISION, b"{}")
            t.put_checkpoint(b"second")
            t.erase(0)
            assert len(list(t.records(0, 9))) == t.log_size()

        def check(t: Snapshot) -> None:
            assert t.session(SessionId("s1")) == a_session()
            assert t.session(SessionId("s2")) is None
            assert t.action(ActionId("a1")) == an_action("a1")
            assert t.action(ActionId("a2")) is None
            assert (t.arrival("k"), t.arrival("k2")) == (1, None)
            assert t.approval(ApprovalId("p1")) == an_approval("p1")
            assert t.approval(ApprovalId("p2")) is None
            assert t.document(REVISION) is None
            assert (t.log_size(), t.latest()) == (1, 1)
            assert t.values(0) == SEALED
            assert t.values(1) is None
            assert t.checkpoint() == b"first"
            assert verify_log(t) == 1

        with self.store(tmp_path) as store:
            store.write(before)
            for works in ((change,), (change_more,), (change, change_more), (change_more, change)):
                raised(Mishap, partial(store.write, fails(*works)))
                store.read(check)
                store.write(check)
            assert store.write(lambda t: t.append(b"two again", at=2)) == 1
            assert store.read(verify_log) == 2

    def test_every_exception_undoes(self, tmp_path: Path) -> None:
        """Also those that are not ``Exception``; the store goes on."""
        with self.store(tmp_path) as store:
            for kind in (KeyboardInterrupt, SystemExit, GeneratorExit, StoreError):

                def work(t: Transaction, kind: type[BaseException] = kind) -> None:
                    t.append(b"lost", at=1)
                    raise kind

                raised(kind, partial(store.write, work))
            assert store.write(lambda t: t.append(b"kept", at=1)) == 0

    def test_a_value_that_cannot_be_kept(self, tmp_path: Path) -> None:
        """It fails its own closure when it is put, not the commit of others."""
        bad = a_session(intent="\ud800")

        with self.store(tmp_path) as store:
            raised(ValueError, lambda: store.write(lambda t: t.put_session(bad)))
            assert store.read(lambda t: t.session(bad.id)) is None
