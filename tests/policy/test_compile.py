"""Generated programs: shared, remembered, bounded; and a policy set that cannot be changed."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest
from deciding import ask, facts, policy, reasons, request

from remit.model import Effect, Mode, Principal
from remit.policy import PolicySet, decide, planning
from remit.policy import compile as compiling

RULES = """\
tools:
  - {match: 'db.*', does: write}
rules:
  - {id: base, tools: '*', effect: allow, roles: worker}
  - {id: big, tools: 'db.*', effect: deny, when: args.n > 10}
  - {id: seen, tools: 'x*', effect: ask, after: untrusted}
"""


def planner(policies: PolicySet) -> Any:
    return policies._decider.planner


def program(policies: PolicySet, tool: str) -> Any:
    decide(policies, request(tool, {"n": 1}, policies=policies), facts())
    return planner(policies).calls[policies.principal("bot", user="ada"), tool]


def test_tools_and_agents_with_the_same_rules_share_one_program():
    policies = policy(RULES)
    assert program(policies, "db.query") is program(policies, "db.drop")
    assert program(policies, "one") is program(policies, "other")
    assert program(policies, "one") is not program(policies, "x-ray")
    decide(policies, request("one", policies=policies, agent="bot", user="grace"), facts())
    assert len(planner(policies)._programs) == 3


def test_a_program_is_shared_by_names_but_sees_the_name_of_its_call():
    policies = policy("rules:\n  - {id: a, tools: '*', effect: allow, when: tool.name == 'one'}\n")
    assert program(policies, "one") is program(policies, "two")
    assert ask(policies, "one").effect is Effect.ALLOW
    assert ask(policies, "two").effect is Effect.DENY


def test_a_decision_that_was_given_before_is_not_built_again():
    policies = policy(RULES)
    assert ask(policies, "db.query", {"n": 1}) is ask(policies, "db.query", {"n": 2})
    assert ask(policies, "db.query", {"n": 11}) is not ask(policies, "db.query", {"n": 2})


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(planning, "MAX_PLANS", 8)
    monkeypatch.setattr(compiling, "MAX_REMEMBERED", 1)
    policies = policy(
        RULES
        + "".join(
            f"  - {{id: r{i}, tools: 't{i}*', effect: deny, when: args.n == {i}}}\n"
            for i in range(20)
        )
    )
    for index in range(40):
        assert ask(policies, f"db.{index}", {"n": 1}).effect is Effect.ALLOW
        assert reasons(ask(policies, f"t{index % 20}", {"n": index % 20}))[0] == f"r{index % 20}"
        assert len(planner(policies).calls) <= 8
        assert len(planner(policies)._programs) <= 8
    for number in (1, 11, 1, 11):
        assert (ask(policies, "db.1", {"n": number}).effect is Effect.DENY) is (number == 11)
    assert all(len(each.decisions) <= 1 for each in planner(policies).calls.values())


def test_nothing_is_kept_for_a_long_name():
    policies = policy(RULES)
    assert ask(policies, "y" * 201).effect is Effect.ALLOW
    assert ask(policies, "a" * 1_000_000).effect is Effect.ALLOW
    assert planner(policies).calls == {}


def test_spellings_of_arguments_are_remembered_up_to_a_bound(monkeypatch):
    from remit.policy import arguments

    monkeypatch.setattr(arguments, "MAX_SPELLINGS", 3)
    policies = policy(RULES)
    for index in range(10):
        assert ask(policies, "one", {f"a{index}": 1}).effect is Effect.ALLOW
    known = program(policies, "one").run.__globals__.values()
    spellings = next(each for each in known if isinstance(each, set))
    assert len(spellings) == 3
    assert reasons(ask(policies, "one", {"query": 1, "Query": 2})) == ["look-alike-name"]


def test_a_declared_argument_may_have_any_name():
    text = (
        "tools:\n  - {match: t, arguments: {ос: string, Query: 'string?'}}\n"
        "rules:\n  - {id: a, tools: t, effect: allow}\n"
    )
    policies = policy(text)
    assert ask(policies, "t", {"ос": "x", "Query": "y"}).effect is Effect.ALLOW
    assert reasons(ask(policies, "t", {"ос": "x", "query": "y"})) == ["look-alike-name"]
    assert reasons(ask(policies, "t", {"oc": "x"})) == ["look-alike-name"]


def test_a_tool_may_be_declared_under_a_look_alike_name():
    text = "tools:\n  - {match: ос}\nrules:\n  - {id: a, tools: ос, effect: allow}\n"
    assert ask(policy(text), "ос").effect is Effect.ALLOW
    wild = "tools:\n  - {match: 'о*'}\nrules:\n  - {id: a, tools: 'о*', effect: allow}\n"
    assert reasons(ask(policy(wild), "ос")) == ["look-alike-name"]


def test_conditions_are_bound_to_their_own_constants():
    policies = policy(
        "define: {a: [1, 2], b: [2, 3]}\nrules:\n"
        "  - {id: x, tools: t, effect: allow, when: args.n in a}\n"
        "  - {id: y, tools: t, effect: allow, when: args.n in b}\n"
    )
    assert [reasons(ask(policies, "t", {"n": n})) for n in (1, 2, 3, 4)] == [
        ["x"],
        ["x", "y"],
        ["y"],
        ["default"],
    ]


def test_many_threads_decide_alike():
    policies = policy(RULES)
    wrong = []

    def work(seed: int) -> None:
        for index in range(300):
            number = (seed * 7 + index) % 20
            effect = ask(policies, f"db.t{index % 30}", {"n": number}).effect
            if (effect is Effect.DENY) is not (number > 10):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("written", "when", "effect"),
    [
        ("sql", "sql(args.q).read_only", Effect.DENY),
        ("sql:mysql", "sql(args.q).read_only", Effect.ALLOW),
        ("sql:mysql?", "!has(args.q) || sql(args.q).read_only", Effect.ALLOW),
        ("sql:mysql", "[1].all(x, sql(args['q']).read_only)", Effect.ALLOW),
        ("sql:mysql", "sql(args.q, 'postgres').read_only", Effect.DENY),
        ("sql:mysql", "sql(args.other).read_only", Effect.DENY),
        ("sql:mysql", "sql('select `a` from t').read_only", Effect.DENY),
    ],
)
def test_a_declared_dialect_is_the_one_that_conditions_read_in(written, when, effect):
    from remit.policy import explain

    policies = policy(
        f"tools:\n  - {{match: t, arguments: {{q: '{written}', other: sql}}}}\n"
        f'rules:\n  - {{id: a, tools: t, effect: allow, when: "{when}"}}\n'
    )
    arguments = {"q": "select `a` from t", "other": "select `a` from t"}
    decision = ask(policies, "t", arguments)
    assert decision.effect is effect, decision.reasons
    explanation = explain(policies, request("t", arguments, policies=policies), facts())
    assert explanation.decision == decision


def test_a_rewrite_reads_in_the_declared_dialect_too():
    policies = policy(
        "tools:\n  - {match: t, arguments: {q: 'sql:mysql'}}\n"
        "rules:\n  - {id: a, tools: t, effect: allow,"
        " obligations: [{rewrite: {args.n: sql(args.q).statements}}]}\n"
    )
    assert ask(policies, "t", {"q": "select `a` from t"}).obligations[0].value == 1


# Probe P23: rules emptied at run time through a public object


def public(value: Any) -> list[Any]:
    """Everything that can be reached from a value by public names and by looking inside."""
    if isinstance(value, PolicySet):
        names = [name for name in dir(value) if not name.startswith("_")]
        found = [getattr(value, name) for name in names]
        return [each for each in found if not callable(each)] + [
            value.principal("bot", user="ada"),
            value.tool("db.query"),
            value.tool("nothing"),
        ]
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name) for name in value.__struct_fields__]
    if isinstance(value, (tuple, frozenset)):
        return list(value)
    if hasattr(value, "__dataclass_fields__"):
        return [getattr(value, name) for name in value.__dataclass_fields__]
    if hasattr(value, "items"):
        return [part for item in value.items() for part in item]
    return []


def test_p23_rules_cannot_be_emptied_through_a_public_object():
    policies = policy(
        "define: {a: [1, {b: 2}]}\n"
        "tools:\n  - match: 'db.*'\n    does: write\n    returns: {result.rows: [pii]}\n"
        "    arguments: {n: int}\n    schema: {type: object, properties: {n: {type: integer}}}\n"
        "rules:\n"
        "  - {id: base, tools: '*', effect: ask, approvers: ada,"
        " obligations: [{cap: {args.n: 5}}]}\n"
        "  - {id: big, tools: 'db.*', effect: deny, when: 'args.n > 10 && args.n in [11, 12]'}\n"
        "  - {id: late, tools: 'dbx.*', effect: deny}\n"
        "budgets:\n  - {id: b, by: org, limit: {calls: 1}, per: day}\n"
    )
    pending: list[Any] = [policies]
    seen: set[int] = set()
    kept = []
    while pending:
        value = pending.pop()
        kept.append(value)
        if id(value) in seen:
            continue
        seen.add(id(value))
        assert not isinstance(value, (list, dict, set, bytearray)), value
        if isinstance(value, msgspec.Struct):
            assert type(value).__struct_config__.frozen, type(value)
        elif hasattr(value, "__dataclass_params__"):
            assert value.__dataclass_params__.frozen, type(value)
        pending += public(value)
    assert len(seen) > 50
    for name in ("rules", "mode", "_decider", "other"):
        with pytest.raises(AttributeError, match="cannot be changed"):
            setattr(policies, name, ())
        with pytest.raises(AttributeError, match="cannot be changed"):
            delattr(policies, name)
    policies.__init__(rules=())
    assert len(policies.rules) == 3
    assert ask(policies, "db.query", {"n": 11}).effect is Effect.DENY
    assert repr(policies).startswith("<PolicySet sha256:")


# The other questions that a policy set answers


def test_what_is_visible():
    policies = policy(
        "rules:\n"
        "  - {id: a, tools: [mine, held, cut, some], effect: allow, roles: worker}\n"
        "  - {id: b, tools: held, effect: ask, roles: worker, when: args.n == 1}\n"
        "  - {id: c, tools: 'cut*', effect: deny, teams: warehouse}\n"
        "  - {id: d, tools: some, effect: deny, when: args.n > 1}\n"
        "  - {id: e, tools: asked, effect: ask}\n"
    )
    bot = policies.principal("bot")
    sub = Principal(id="helper", roles=("worker",), known="declared", on_behalf_of=bot)
    other = Principal(id="helper", roles=("assistant",), known="declared", on_behalf_of=bot)
    tools = ["mine", "held", "cut", "some", "asked", "none", "mіne"]
    assert [tool for tool in tools if policies.visible(bot, tool)] == [
        "mine",
        "held",
        "some",
        "asked",
    ]
    assert policies.visible(sub, "mine")
    assert not policies.visible(other, "mine"), "not for all of the chain"
    assert not policies.visible(policies.principal("stranger"), "mine")
    shadow = policy("mode: shadow\nrules:\n  - {id: a, tools: x, effect: deny}\n")
    assert shadow.mode is Mode.SHADOW
    assert shadow.visible(shadow.principal("stranger"), "x")
    open_ = policy(
        "default: allow\naccept-open-default: true\nrules:\n  - {id: a, tools: x, effect: deny}\n"
    )
    assert open_.visible(open_.principal("bot"), "y")
    assert not open_.visible(open_.principal("bot"), "x")


def test_which_tools_need_real_paths(monkeypatch):
    policies = policy(
        "rules:\n"
        "  - {id: a, tools: 'fs.*', effect: allow, when: path(args.p).within('/srv')}\n"
        "  - {id: b, tools: log, on: result, effect: deny, when: path(result.p).hidden}\n"
        "  - {id: c, tools: mv, effect: allow,"
        " obligations: [{rewrite: {args.p: path(args.p).normal}}]}\n"
        "  - {id: d, tools: other, effect: allow, obligations: [{label: pii}],"
        " when: args.p == 'x'}\n"
    )
    tools = ["fs.read", "FS.Write", "log", "mv", "other", "none"]
    for _ in range(2):
        assert [tool for tool in tools if policies.needs_paths(tool)] == tools[:4]
    assert policies.needs_paths("fs." + "x" * 300)
    monkeypatch.setattr(planning, "MAX_PLANS", 2)
    for index in range(5):
        assert policies.needs_paths(f"fs.{index}")
    assert len(planner(policies)._paths) <= 2


def test_the_limits_that_a_call_counts_against():
    budgets = "".join(
        f"  - {{id: {scope}, by: {scope}, limit: {{calls: 1}}, burst: 1, per: day}}\n"
        for scope in ("org", "team", "agent", "user", "session", "tool")
    )
    policies = policy(
        "tools:\n  - {match: a/b%}\nrules:\n  - {id: r, tools: a/b%, effect: allow}\nbudgets:\n"
        + budgets
        + "  - {id: both, by: [agent, tool], tools: 'a*', limit: {calls: 1}, per: minute}\n"
        + "  - {id: never, by: org, tools: 'a/b%*', limit: {calls: 1}, per: minute}\n"
    )

    def keys(tool: str, principal: Principal) -> list[str]:
        return [key for _, key in policies.limits_for(request(tool, principal=principal))]

    bot = policies.principal("bot", user="ada")
    assert keys("A/B%", bot) == [
        "rate/org/org",
        "rate/team/warehouse",
        "rate/agent/bot",
        "rate/user/ada",
        "rate/session/s-1",
        "rate/tool/a%2Fb%25",
        "rate/both/bot/a%2Fb%25",
        "rate/never/org",
    ]
    sub = Principal(id="helper", known="declared", on_behalf_of=policies.principal("bot"))
    assert keys("made-up-1", sub) == [
        "rate/org/org",
        "rate/team/",
        "rate/team/warehouse",
        "rate/agent/helper",
        "rate/agent/bot",
        "rate/user/",
        "rate/session/s-1",
        "rate/tool/",
    ]
    assert policy("rules:\n  - {id: r, tools: x, effect: allow}\n").limits_for(request("x")) == ()


def test_who_is_who():
    policies = policy("rules:\n  - {id: r, tools: x, effect: allow}\n")
    bot = policies.principal("bot", user="ada")
    assert (bot.known, bot.roles, bot.team) == ("declared", ("worker",), "warehouse")
    assert bot.user == policies.person("ada")
    assert policies.principal("bot").on_behalf_of is None
    assert policies.principal("eve", user="mallory").known == "unknown"
    assert policies.principal("eve", user="mallory").user == Principal(id="mallory", kind="person")
    assert policies.principal("eve") == Principal(id="eve")
    assert policies.person("bot").known == "unknown", "an agent is no person"
