"""Strategies for policies and requests that load, meet each other and go wrong in many ways."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from remit.model import AccessRequest, Action, Facts, Outcome, Principal, Session, SessionId

TOOLS = ["db.query", "db.drop", "mail.send", "web.get"]
PATTERNS = [*TOOLS, "db.*", "*", "*.send", "w*b.*", "DB.Query"]
CONDITIONS = [
    "args.amount > 10",
    "args.amount <= limit && args.note != 'x'",
    "args.note == 'Secret'",
    "args.note.contains('drop')",
    "has(args.note) && args.note.startsWith('a')",
    "!has(args.amount)",
    "args.to.all(r, r.endsWith('@corp.com'))",
    "args.to.exists(r, r in ['a@corp.com', 'b@evil.com'])",
    "context.ticket == 'T1'",
    "has(context.ticket) || args.amount == 3",
    "'worker' in agent.roles",
    "agent.id == 'bot' || agent.team == 'care'",
    "user.id == 'ada'",
    "session.labels.exists(l, l == 'untrusted')",
    "session.calls('db.query') >= 2",
    "tool.declared && 'read' in tool.does",
    "args.amount / args.divisor > 1",
    "now.hour < 12",
    "true",
    "args.flag",
]
RESULT_CONDITIONS = [
    "result.rows > 3",
    "outcome.status == 'ok'",
    "result == null",
    "args.amount > 2",
]
AGENTS: dict[str, Any] = {
    "bot": {"roles": ["worker"], "team": "warehouse"},
    "helper": {"roles": ["assistant", "worker"], "team": "care"},
    "Loner": {},
}
PEOPLE: dict[str, Any] = {"ada": {"roles": ["clerk"]}, "grace": {"roles": ["security-team"]}}
CLASSES = ["read", "write", "send", "admin"]


def some(words: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(words), min_size=1, max_size=2, unique=True)


OBLIGATIONS = st.sampled_from(
    [
        {"rewrite": {"args.note": "'clean'"}},
        {"rewrite": {"args.note": "args.note.trim()"}},
        {"rewrite": {"args.amount": "args.amount + 1"}},
        {"rewrite": {"args.ticket": "context.ticket"}},
        {"cap": {"args.amount": 5}},
        {"redact": ["args.note", "result.rows"]},
        {"label": ["confidential"]},
    ]
)


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    on = draw(st.sampled_from(["call", "call", "call", "result"]))
    effects = ["allow", "ask", "defer", "deny"] if on == "call" else ["allow", "deny"]
    rule: dict[str, Any] = {
        "tools": draw(some(PATTERNS)),
        "effect": draw(st.sampled_from(effects)),
        "on": on,
    }
    optional = {
        "agents": some([*AGENTS]),
        "roles": some(["worker", "assistant", "clerk"]),
        "teams": some(["warehouse", "care"]),
        "users": some([*PEOPLE]),
        "does": some(CLASSES),
        "after": some(["untrusted", "confidential"]),
    }
    for key, words in optional.items():
        if draw(st.integers(0, 4)) == 0:
            rule[key] = draw(words)
    if draw(st.integers(0, 4)):
        pool = CONDITIONS if on == "call" else RESULT_CONDITIONS
        rule["when"] = draw(st.sampled_from(pool))
    if on == "call" and rule["effect"] != "deny" and draw(st.booleans()):
        rule["obligations"] = draw(st.lists(OBLIGATIONS, min_size=1, max_size=2))
    return rule


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A policy document as data. Some are refused: rules that cannot be reached."""
    written = draw(st.lists(rules(), min_size=1, max_size=6))
    document: dict[str, Any] = {
        "remit": 1,
        "define": {"limit": 20},
        "agents": AGENTS,
        "people": PEOPLE,
        "rules": [{"id": f"rule-{i}", **rule} for i, rule in enumerate(written)],
    }
    if draw(st.booleans()):
        document["tools"] = [
            {"match": ["db.query", "db.drop"], "does": draw(some(CLASSES))},
            {"match": "*.send", "does": "send"},
            {"match": "w*", "does": "read"},
        ]
    if draw(st.integers(0, 3)) == 0:
        document |= {"default": "allow", "accept-open-default": True}
    return document


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 30),
    st.sampled_from([0.5, 10.5]),
    st.sampled_from(["x", "Secret", "sеcret", " secret ", "DROP it", "abc", "a@corp.com", ""]),
    st.lists(st.sampled_from(["a@corp.com", "b@evil.com", 3]), max_size=2),
)
ARGUMENTS = st.dictionaries(
    st.sampled_from(["amount", "note", "to", "divisor", "flag"]), VALUES, max_size=4
)


@st.composite
def principals(draw: st.DrawFn) -> Principal:
    chain = draw(st.lists(st.sampled_from([*AGENTS, "stranger"]), min_size=1, max_size=2))
    principal: Principal | None = None
    person = draw(st.sampled_from([None, "ada", "Grace", "nobody"]))
    if person is not None:
        known = "declared" if person in PEOPLE else "unknown"
        principal = Principal(id=person, kind="person", known=known)
    for agent in chain:
        entry = AGENTS.get(agent)
        principal = Principal(
            id=agent,
            roles=tuple(entry.get("roles", ())) if entry is not None else (),
            team=entry.get("team") if entry is not None else None,
            known="unknown" if entry is None else "declared",
            on_behalf_of=principal,
        )
    assert principal is not None
    return principal


@st.composite
def requests(draw: st.DrawFn) -> tuple[AccessRequest, Facts]:
    principal = draw(principals())
    labels = draw(st.lists(st.sampled_from(["untrusted", "confidential"]), unique=True))
    result = draw(st.sampled_from([None, None, {"rows": 5}, {"rows": "x"}, 7]))
    outcome = Outcome(status="ok", result=result) if draw(st.integers(0, 3)) == 0 else None
    session = Session(
        id=SessionId("s"),
        principal=principal,
        started_at=0,
        labels=tuple(sorted(labels)),
        calls=draw(st.sampled_from([{}, {"db.query": 3}])),
    )
    request = AccessRequest(
        principal=principal,
        session=SessionId("s"),
        action=Action(name=draw(st.sampled_from([*TOOLS, "DB.QUERY", "other"]))),
        arguments=draw(ARGUMENTS),
        context=draw(st.sampled_from([{}, {"ticket": "T1"}, {"ticket": 1}])),
    )
    return request, Facts(now=1_772_000_000_000_000_000, session=session, outcome=outcome)
