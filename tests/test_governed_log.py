"""Whatever the governor does, the log that it writes verifies (P46: honest logs pass)."""

import io
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from governed import SECOND, World
from remit.audit import merkle
from remit.audit.checkpoint import Checkpoint, sign_checkpoint
from remit.audit.export import export_lines
from remit.audit.verify import VerificationReport, verify_export
from remit.errors import ApprovalError, SettlementError
from remit.model import Admission, Outcome, Revision
from remit.signing import FileSigner
from remit.storage import Snapshot

SIGNER = FileSigner("example.com/log", b"\1" * 32)

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("db.query", {"query": "select 1"}),
    ("db.query", {"query": "drop table t"}),
    ("mail.send", {"to": "ada"}),
    ("refund", {"amount": 7}),
    ("payout", {"amount": 9}),
    ("report", {"format": "csv", "pages": 40}),
    ("unheard.of", {}),
    ("x" * 70_000, {}),
]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.integers(0, len(CALLS) - 1)),
        st.tuples(st.just("settle"), st.integers(0, 9)),
        st.tuples(st.sampled_from(["grace", "alan"]), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.sampled_from([0, 1, 40, 700, 4000])),
        st.tuples(st.just("erase"), st.integers(0, 99)),
    ),
    max_size=25,
)


def export(world: World) -> bytes:
    def read(view: Snapshot) -> bytes:
        def values(position: int) -> tuple[bytes, bytes] | None:
            sealed = view.values(position)
            return None if sealed is None else (sealed.salt, sealed.canonical)

        size = view.log_size()
        root = merkle.root(size, view.hashes)
        note = sign_checkpoint(Checkpoint(SIGNER.vkey.name, size, root), SIGNER.vkey, SIGNER.sign)
        bodies = (each.body for each in view.records(0, size))
        documents = export_lines(
            bodies,
            note,
            values=values,
            document=lambda revision: view.document(Revision(revision)),
        )
        return b"".join(documents)

    return world.store.read(read)


def verify(world: World) -> VerificationReport:
    return verify_export(io.BytesIO(export(world)), [SIGNER.vkey])


class Scenario:
    """A world in which steps are taken as they come; those it refuses change nothing."""

    def __init__(self) -> None:
        self.world = World()
        self.world.do(self.world.governor.adopt)
        self.session = self.world.open(intent="restock report")
        self.granted: list[tuple[Admission, Any]] = []
        self.held: list[Admission] = []

    def take(self, step: str, number: int) -> None:
        world = self.world
        if step == "call":
            tool, arguments = CALLS[number]
            request = world.call(self.session, tool, **arguments)
            admission = world.admit(request)
            if admission.arguments is not None:
                request = replace(request, arguments=admission.arguments)
            if admission.granted:
                self.granted.append((admission, request))
            elif admission.approval is not None:
                self.held.append(admission)
        elif step == "settle" and self.granted:
            with suppress(SettlementError):
                world.settle(
                    *self.granted[number % len(self.granted)], Outcome(status="ok", result=[1])
                )
        elif step in ("grace", "alan") and self.held:
            with suppress(ApprovalError):
                world.approve(self.held[number % len(self.held)].approval, step)
        elif step == "wait":
            world.now += number * SECOND
            world.do(world.governor.expire)
        elif step == "erase":
            self.erase(number)

    def erase(self, number: int) -> None:
        world = self.world
        position = number % len(world.bodies())
        if world.store.read(lambda view: view.values(position)) is not None:
            world.do(world.governor.erase, [position], world.person("ada"), "asked for")


@settings(max_examples=60, deadline=None)
@given(steps)
def test_p46_whatever_the_governor_does_its_log_verifies(taken: list[tuple[str, int]]) -> None:
    scenario = Scenario()
    for step, number in taken:
        scenario.take(step, number)
    report = verify(scenario.world)
    assert report.discrepancies == ()
    assert report.verified
    assert report.size == len(scenario.world.bodies())
    assert report.open_count <= len(scenario.granted)


def test_one_of_each() -> None:
    scenario = Scenario()
    script = [("call", n) for n in range(len(CALLS))]
    script += [("grace", 0), ("call", 3), ("settle", 0), ("erase", 1), ("erase", 3), ("wait", 700)]
    script += [("settle", n) for n in range(9)]
    for step, number in script:
        scenario.take(step, number)
    report = verify(scenario.world)
    assert report.discrepancies == ()
    assert set(report.counts) == {
        "approval",
        "decision",
        "erasure",
        "outcome",
        "policy",
        "session",
    }
    assert report.open_count == 0
