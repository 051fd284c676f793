import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.credentials import GRANTABLE, Credential, CredentialId, Right, ungrantable
from remit.identity import Identity, Narrowing, may_act_as, may_see, may_use, permits
from remit.identity.principals import with_policy
from remit.model import Effect, Principal, SessionId
from remit.policy import load

S1, S2 = SessionId("s1"), SessionId("s2")
ADA = Principal(id="ada", kind="person")
GRACE = Principal(id="grace", kind="person")


def identity(kind="agent", name="bot", rights=(Right.AGENT,), **more):
    behalf = more.pop("on_behalf_of", None)
    principal = Principal(id=name, kind=kind, known="authenticated", on_behalf_of=behalf)
    return Identity(principal=principal, rights=frozenset(rights), credential="key:x", **more)


# Rights.


def test_an_agent_holds_no_right_but_its_own():
    for right in Right:
        if right is not Right.AGENT:
            with pytest.raises(ValueError, match="cannot hold"):
                identity(rights=[right])
            with pytest.raises(ValueError, match="cannot hold"):
                identity(rights=[Right.AGENT, right])


def test_only_people_review_and_nobody_reviews_and_acts():
    assert [kind for kind in GRANTABLE if Right.REVIEWER in GRANTABLE[kind]] == ["person"]
    assert ungrantable("service", frozenset({Right.REVIEWER})) is not None
    assert ungrantable("service", frozenset({Right.AGENT, Right.ADMIN})) is not None
    assert ungrantable("person", frozenset({Right.AGENT})) is not None
    assert ungrantable("person", GRANTABLE["person"]) is None
    assert ungrantable("service", frozenset({Right.AGENT})) is None


def test_a_credential_is_active_until_its_end():
    credential = Credential(
        id=CredentialId("c"),
        digest=b"",
        principal="bot",
        kind="agent",
        rights=(),
        created_at=0,
        expires_at=10,
    )
    assert credential.active(9)
    assert not credential.active(10)


# Whose data.


def test_an_agent_acts_as_itself_only():
    bot = identity()
    assert may_act_as(bot, "bot")
    assert not may_act_as(bot, "other-bot")
    assert may_see(bot, Principal(id="bot", on_behalf_of=ADA))
    assert not may_see(bot, Principal(id="other-bot"))
    assert not may_see(bot, Principal(id="bot", kind="person"))


def test_a_service_acts_as_the_agents_it_was_given():
    service = identity("service", "orchestrator", agents=("bot",))
    assert may_act_as(service, "bot")
    assert not may_act_as(service, "orchestrator")
    assert not may_act_as(service, "other-bot")
    assert may_use(service, Principal(id="bot"), S1)


@pytest.mark.parametrize("right", [right for right in Right if right is not Right.AGENT])
def test_other_rights_act_as_nobody_and_only_auditors_see(right):
    person = identity("person", "bot", [right])
    assert not may_act_as(person, "bot")
    assert not may_use(person, Principal(id="bot"), S1)
    assert may_see(person, Principal(id="bot"), S1) is (right is Right.AUDITOR)


def test_who_acts_for_ada_sees_nothing_done_for_grace():
    bot = identity(on_behalf_of=ADA)
    assert may_use(bot, Principal(id="bot", on_behalf_of=ADA), S1)
    assert not may_use(bot, Principal(id="bot", on_behalf_of=GRACE), S1)
    assert not may_use(bot, Principal(id="bot"), S1)


def test_a_credential_bound_to_a_session_sees_that_one_and_opens_none():
    bot = identity(narrowed=Narrowing(sessions=frozenset({"s1"})))
    own = Principal(id="bot")
    assert not may_act_as(bot, "bot")
    assert may_use(bot, own, S1)
    assert not may_use(bot, own, S2)
    assert not may_see(bot, own)
    assert may_act_as(identity(narrowed=Narrowing(tools=(("x",),))), "bot")


# Narrowing.


def test_an_objection_is_a_reason_to_deny():
    assert permits(identity(), "anything", None, 0) is None
    bot = identity(
        narrowed=Narrowing(tools=(("db.*", "mail"),), sessions=frozenset({"s1"}), until=100)
    )
    assert permits(bot, "db.query", S1, 99) is None
    assert permits(bot, "ＤＢ.Query", S1, 99) is None
    assert permits(bot, "mail", S1, 99) is None
    for tool, session, now, word in (
        ("db.query", S1, 100, "expired"),
        ("db.query", S2, 1, "session"),
        ("db.query", None, 1, "session"),
        ("mailer", S1, 1, "'mailer'"),
        ("d", S1, 1, "tool"),
    ):
        reason = permits(bot, tool, session, now)
        assert reason is not None
        assert (reason.rule, reason.effect) == ("narrowed", Effect.DENY)
        assert word in reason.because


words = st.text("ab.", min_size=1, max_size=4)
patterns = words | words.map(lambda word: word + "*")
narrowings = st.builds(
    Narrowing,
    tools=st.lists(st.lists(patterns, max_size=3).map(tuple), max_size=2).map(tuple),
    sessions=st.none() | st.frozensets(st.sampled_from(["s1", "s2", "s3"])),
    until=st.none() | st.integers(0, 10),
)
calls = st.tuples(words, st.sampled_from([None, "s1", "s2"]), st.integers(0, 12))


@given(narrowings, narrowings, calls)
def test_two_narrowings_let_through_what_both_do(one, other, call):
    allowed = [each.objection(*call) is None for each in (one, other, one & other)]
    assert allowed[2] == (allowed[0] and allowed[1])
    assert ((other & one).objection(*call) is None) == allowed[2]


# What policy knows of a caller.

POLICIES = load(
    {
        "remit.yaml": "remit: 1\nagents:\n  bot: {roles: [reader], team: warehouse}\n"
        "  loose: {roles: [reader]}\npeople:\n  ada: {roles: [clerk]}\n"
        "rules: [{id: all, tools: [x], effect: allow}]\ntools: [{match: [x], does: read}]\n"
    }
)


def test_policy_adds_roles_and_has_the_word_on_the_team():
    claimed = Principal(
        id="bot", roles=("mapped", "reader"), team="sales", known="authenticated", on_behalf_of=ADA
    )
    joined = with_policy(claimed, POLICIES)
    assert joined.roles == ("reader", "mapped")
    assert joined.team == "warehouse"
    assert joined.known == "authenticated"
    assert joined.on_behalf_of is not None
    assert (joined.on_behalf_of.roles, joined.on_behalf_of.known) == (("clerk",), "declared")
    loose = with_policy(Principal(id="loose", team="sales"), POLICIES)
    assert (loose.team, loose.known) == ("sales", "declared")


def test_what_policy_does_not_declare_stays_as_the_credential_says():
    for principal in (
        Principal(id="stranger", roles=("r",), known="authenticated"),
        Principal(id="bot", kind="service", known="authenticated"),
        Principal(id="bot", kind="person", known="authenticated"),
    ):
        assert with_policy(principal, POLICIES) == principal
