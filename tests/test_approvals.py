"""Every transition of an approval, alone and in any order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from remit.approvals import (
    MAX_REASON,
    OPEN,
    Approval,
    ApprovalState,
    answers,
    approve,
    expire,
    hold,
    reject,
    state_at,
    supersede,
    use,
    withdraw,
)
from remit.errors import ApprovalError
from remit.model import (
    ApprovalId,
    ApprovalTerms,
    Decision,
    Digest,
    Effect,
    Principal,
    Reason,
    Revision,
    SessionId,
)

NOW = 1_000
ADA = Principal(id="ada", kind="person", known="declared")
BOT = Principal(id="inventory-bot", known="declared", on_behalf_of=ADA)
GRACE = Principal(
    id="grace", kind="person", known="declared", roles=("security-team",), team="office"
)
ALAN = Principal(id="alan", kind="person", known="authenticated", roles=("security-team",))
EDSGER = Principal(id="edsger", kind="person", known="declared", team="finance")
PEOPLE = [ADA, GRACE, ALAN, EDSGER]
REVISION = Revision("sha256:one")


def decision(*terms: ApprovalTerms, revision: Revision = REVISION) -> Decision:
    return Decision(
        effect=Effect.ASK,
        revision=revision,
        reasons=(
            Reason(rule="refunds", effect=Effect.ASK, because="Over 100."),
            Reason(rule="reader-tools", effect=Effect.ALLOW, because="Not said."),
        ),
        terms=terms,
    )


def pending(*terms: ApprovalTerms) -> Approval:
    return hold(
        ApprovalId("ap-1"),
        decision=decision(*terms),
        digest=Digest("d"),
        session=SessionId("s"),
        requester=BOT,
        tool="refund",
        arguments=b'{"amount":120}',
        now=NOW,
    )


def approved() -> Approval:
    return approve(pending(), GRACE, NOW, REVISION, "fine")


def refused(step: Callable[[], object], problem: str) -> None:
    with pytest.raises(ApprovalError, match=problem):
        step()


def test_a_new_approval_says_what_is_held_and_until_when() -> None:
    short = ApprovalTerms(expires_after=50)
    approval = pending(ApprovalTerms(), short)
    assert approval.state is ApprovalState.PENDING
    assert (approval.rules, approval.because) == (("refunds",), "Over 100.")
    assert (approval.created_at, approval.expires_at) == (NOW, NOW + 50)
    assert pending().terms == (ApprovalTerms(),)


def test_one_yes_approves_and_one_use_uses_up() -> None:
    approval = approved()
    assert approval.state is ApprovalState.APPROVED
    assert [(vote.by.id, vote.at, vote.reason) for vote in approval.votes] == [
        ("grace", NOW, "fine")
    ]
    used = use(approval, NOW + 1, REVISION)
    assert (used.state, used.closed_at, used.closed_by) == (ApprovalState.USED, NOW + 1, None)


def test_p26_an_approval_is_used_once() -> None:
    used = use(approved(), NOW, REVISION)
    refused(lambda: use(used, NOW, REVISION), "is used and cannot be used; make the call again")


def test_p28_an_approval_ends_with_the_policy_that_it_was_given_under() -> None:
    other = Revision("sha256:two")
    refused(lambda: use(approved(), NOW, other), "policy has changed .* make the call again")
    refused(lambda: approve(pending(), GRACE, NOW, other), "policy has changed")
    assert answers(approved(), decision())
    assert not answers(approved(), decision(revision=other))
    assert not answers(approved(), decision(ApprovalTerms(quorum=2)))
    assert not answers(approved(), replace(decision(), reasons=()))


def test_p29_an_approval_ends_with_its_time() -> None:
    for approval in (pending(), approved()):
        end = approval.expires_at
        assert state_at(approval, end - 1) is approval.state
        assert expire(approval, end - 1) is approval
        assert state_at(approval, end) is ApprovalState.EXPIRED
        assert expire(approval, end).state is ApprovalState.EXPIRED
    end = approved().expires_at
    assert use(approved(), end - 1, REVISION).state is ApprovalState.USED
    refused(lambda: use(approved(), end, REVISION), "is expired and cannot be used")
    refused(lambda: approve(pending(), GRACE, end, REVISION), "is expired and cannot be approved")
    refused(lambda: reject(pending(), GRACE, end), "is expired and cannot be rejected")
    refused(lambda: withdraw(approved(), ADA, end), "is expired and cannot be withdrawn")
    refused(lambda: supersede(approved(), end, "x"), "is expired and cannot be withdrawn")


def test_what_is_closed_does_not_expire() -> None:
    used = use(approved(), NOW, REVISION)
    assert expire(used, used.expires_at) is used


@pytest.mark.parametrize("name", ["ada", "ADA", "ａda", "аda", " ada\u200b"])
def test_p30_nobody_approves_their_own_request_however_they_spell_themselves(name: str) -> None:
    me = Principal(id=name, kind="person", known="authenticated")
    refused(lambda: approve(pending(), me, NOW, REVISION), "is part of the request")
    named = pending(ApprovalTerms(approvers=(name,)))
    refused(lambda: approve(named, me, NOW, REVISION), "is part of the request")


def test_a_rule_may_let_the_person_behind_the_agent_approve() -> None:
    own = pending(ApprovalTerms(self_approval=True))
    assert approve(own, ADA, NOW, REVISION).state is ApprovalState.APPROVED


def test_only_people_approve() -> None:
    for other in (
        Principal(id="bot", kind="agent", known="declared"),
        Principal(id="cron", kind="service", known="declared"),
    ):
        refused(lambda by=other: approve(pending(), by, NOW, REVISION), "only a person can approve")
        refused(lambda by=other: reject(pending(), by, NOW), "only a person can reject")
    stranger = Principal(id="grace", kind="person")
    refused(lambda: approve(pending(), stranger, NOW, REVISION), "nobody vouches")
    refused(lambda: reject(pending(), stranger, NOW), "nobody vouches")


@pytest.mark.parametrize("approvers", [("grace",), ("security-team",), ("office",), ("x", "grace")])
def test_approvers_are_people_roles_or_teams(approvers: tuple[str, ...]) -> None:
    approval = pending(ApprovalTerms(approvers=approvers))
    assert approve(approval, GRACE, NOW, REVISION).state is ApprovalState.APPROVED
    refused(lambda: approve(approval, EDSGER, NOW, REVISION), "edsger is none of the approvers")
    refused(lambda: reject(approval, EDSGER, NOW), f"none of the approvers .*{approvers[-1]}")


def test_a_quorum_is_of_different_people() -> None:
    approval = pending(ApprovalTerms(quorum=2))
    once = approve(approval, GRACE, NOW, REVISION)
    assert once.state is ApprovalState.PENDING
    again = replace(GRACE, id="GRACE")
    refused(lambda: approve(once, again, NOW, REVISION), "has approved ap-1 before")
    assert approve(once, ALAN, NOW, REVISION).state is ApprovalState.APPROVED


def test_every_term_has_to_be_met() -> None:
    approval = pending(
        ApprovalTerms(approvers=("security-team",)), ApprovalTerms(approvers=("finance",))
    )
    once = approve(approval, GRACE, NOW, REVISION)
    assert once.state is ApprovalState.PENDING
    assert approve(once, ALAN, NOW, REVISION).state is ApprovalState.PENDING
    assert approve(once, EDSGER, NOW, REVISION).state is ApprovalState.APPROVED


def test_self_approval_of_one_term_is_not_that_of_another() -> None:
    approval = pending(ApprovalTerms(self_approval=True), ApprovalTerms(quorum=1))
    once = approve(approval, ADA, NOW, REVISION)
    assert once.state is ApprovalState.PENDING
    assert approve(once, GRACE, NOW, REVISION).state is ApprovalState.APPROVED


def test_a_quorum_of_none_still_needs_one() -> None:
    assert pending(ApprovalTerms(quorum=0)).state is ApprovalState.PENDING
    refused(
        lambda: use(pending(ApprovalTerms(quorum=0)), NOW, REVISION),
        "is pending and cannot be used; a person must approve it first",
    )


def test_one_no_is_final() -> None:
    no = reject(pending(ApprovalTerms(quorum=3)), GRACE, NOW + 5, "x" * 2_000)
    assert (no.state, no.closed_by, no.closed_at) == (ApprovalState.REJECTED, "grace", NOW + 5)
    assert len(no.reason) == MAX_REASON
    refused(lambda: approve(no, ALAN, NOW, REVISION), "is rejected")
    refused(lambda: reject(approved(), GRACE, NOW), "is approved and cannot be rejected; make the")


def test_it_is_withdrawn_by_the_requesting_side_or_by_an_approver() -> None:
    for approval in (pending(), approved()):
        for by in (BOT, ADA):
            assert withdraw(approval, by, NOW).state is ApprovalState.WITHDRAWN
    assert withdraw(approved(), GRACE, NOW, "a mistake").reason == "a mistake"
    refused(lambda: withdraw(pending(), GRACE, NOW), "can be withdrawn by inventory-bot")
    gone = supersede(approved(), NOW, "other rules")
    assert (gone.state, gone.closed_by, gone.reason) == (
        ApprovalState.WITHDRAWN,
        None,
        "other rules",
    )
    refused(lambda: withdraw(gone, ADA, NOW), "is withdrawn")


class AnyOrder(RuleBasedStateMachine):
    """Any transitions by anyone at any time; a step that is refused changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.revision = REVISION
        self.approval = pending(
            ApprovalTerms(approvers=("security-team",), quorum=2, expires_after=100),
            ApprovalTerms(expires_after=200),
        )
        self.uses: list[int] = []
        self.said_no = False
        self.final: Approval | None = None

    def step(self, transition: Callable[[Approval], Approval]) -> bool:
        before = self.approval
        try:
            self.approval = transition(before)
        except ApprovalError:
            assert self.approval is before
            return False
        if self.approval.state not in OPEN:
            assert self.final is None or self.approval is self.final
            self.final = self.approval
        return True

    @rule(by=st.sampled_from([*PEOPLE, BOT]))
    def approve(self, by: Principal) -> None:
        self.step(lambda approval: approve(approval, by, self.now, self.revision))

    @rule(by=st.sampled_from([*PEOPLE, BOT]))
    def reject(self, by: Principal) -> None:
        self.said_no |= self.step(lambda approval: reject(approval, by, self.now))

    @rule(by=st.sampled_from([*PEOPLE, BOT]))
    def withdraw(self, by: Principal) -> None:
        self.said_no |= self.step(lambda approval: withdraw(approval, by, self.now))

    @rule()
    def supersede(self) -> None:
        self.said_no |= self.step(lambda approval: supersede(approval, self.now, "other rules"))

    @rule()
    def expire(self) -> None:
        assert self.step(lambda approval: expire(approval, self.now))

    @rule()
    def use(self) -> None:
        if self.step(lambda approval: use(approval, self.now, self.revision)):
            self.uses.append(self.now)

    @rule(by=st.integers(-30, 60))
    def time_passes(self, by: int) -> None:
        self.now += by

    @rule(revision=st.sampled_from([REVISION, Revision("sha256:two")]))
    def policy_changes(self, revision: Revision) -> None:
        self.revision = revision

    @invariant()
    def it_is_used_once_at_most_and_only_as_approved(self) -> None:
        assert len(self.uses) <= 1
        if self.uses:
            assert self.uses[0] < self.approval.expires_at
            assert not self.said_no
            voters = [vote.by.id for vote in self.approval.votes]
            assert len(set(voters)) == len(voters) >= 2
            assert {"grace", "alan"} <= set(voters)
            assert "ada" not in voters

    @invariant()
    def final_states_stay(self) -> None:
        assert self.final is None or self.approval is self.final
        assert (self.final is None) == (self.approval.state in OPEN)


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
TestAnyOrder = AnyOrder.TestCase
