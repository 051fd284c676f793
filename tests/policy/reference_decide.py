"""A second ``decide``, as plain as can be: straight from the YAML data, one rule after another.

It shares with the product only the parser and the tree-walking evaluator of conditions. Whatever
it and ``remit.policy.decide`` disagree about is a bug in one of them.
"""

from __future__ import annotations

import fnmatch
from typing import Any

from remit import text
from remit.model import AccessRequest, Facts, Principal
from remit.policy.comparison import ConditionError, MissingFact
from remit.policy.evaluate import Scope, ToolFacts, evaluate, value_of
from remit.policy.expressions import parse

STRICTNESS = {"allow": 0, "ask": 1, "defer": 2, "deny": 3}


def many(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def reference(
    document: dict[str, Any], request: AccessRequest, facts: Facts
) -> tuple[str, set[tuple[str, str]], set[tuple[str, str, str]]]:
    """Effect, (reason, its effect) pairs, and (kind, target, value) of each obligation."""
    chain = list(request.principal.chain())
    links = [link for link in chain if link.kind != "person"] or chain[:1]
    if any(link.known == "unknown" for link in links):
        return "deny", {("unknown-agent", "deny")}, set()
    phase = "call" if facts.outcome is None else "result"
    found: set[tuple[str, str]] = set()
    duties: set[tuple[str, str, str]] = set()
    for link in links:
        matched = False
        for rule in document["rules"]:
            if rule.get("on", "call") == phase:
                reason = judge(document, rule, link, request, facts, duties)
                matched = matched or reason is not None
                if reason is not None:
                    found.add(reason)
        if not matched:
            default = document.get("default", "deny") if phase == "call" else "allow"
            found.add(("default", default))
    rewrites: dict[str, str] = {}
    for kind, target, value in duties:
        if kind == "rewrite" and rewrites.setdefault(target, value) != value:
            found.add(("rule-error", "deny"))
    effect = max((each for _, each in found), key=STRICTNESS.__getitem__)
    return effect, found, set() if effect == "deny" else duties


def judge(
    document: dict[str, Any],
    rule: dict[str, Any],
    link: Principal,
    request: AccessRequest,
    facts: Facts,
    duties: set[tuple[str, str, str]],
) -> tuple[str, str] | None:
    """The reason that a rule gives for one agent, or None where it does not match."""
    name = text.name(request.action.name)
    if not any(fnmatch.fnmatchcase(name, text.name(each)) for each in many(rule["tools"])):
        return None
    declared = declaration(document, name)
    classes = many(declared.get("does", "admin")) if declared else ["admin"]
    wanted = many(rule.get("does"))
    restricts = rule["effect"] != "allow"
    if wanted and not restricts and not set(classes) <= set(wanted):
        return None
    if wanted and restricts and declared and not set(classes) & set(wanted):
        return None
    user = request.principal.user
    has = {
        "agents": [link.id],
        "roles": list(link.roles),
        "teams": many(link.team),
        "users": [] if user is None else [user.id],
    }
    for key, words in has.items():
        spell = text.fold if restricts else str
        if key in rule and not {spell(w) for w in many(rule[key])} & {spell(w) for w in words}:
            return None
    if not set(many(rule.get("after"))) <= set(facts.session.labels):
        return None
    scope = Scope(
        agent=link,
        user=user,
        session=facts.session,
        tool=ToolFacts(name=name, does=tuple(sorted(classes)), declared=declared is not None),
        now=facts.now,
        args=request.arguments,
        context=request.context,
        outcome=facts.outcome,
        result=facts.outcome.result if facts.outcome else None,
        constants=document.get("define", {}),
    )
    try:
        if "when" in rule and not evaluate(parse(rule["when"]), scope, restricts):
            return None
        mine = {duty for each in rule.get("obligations", ()) for duty in carried(each, scope)}
    except ConditionError:
        return "rule-error", "deny"
    except MissingFact:
        return "missing-fact", "defer" if facts.outcome is None else "deny"
    duties |= mine
    return rule["id"], rule["effect"]


def declaration(document: dict[str, Any], name: str) -> dict[str, Any] | None:
    """The declaration of a tool: by its name, or by the longest pattern that fits."""
    fitting = [
        (text.name(pattern), entry)
        for entry in document.get("tools", ())
        for pattern in many(entry["match"])
        if fnmatch.fnmatchcase(name, text.name(pattern))
    ]
    exact = [entry for pattern, entry in fitting if pattern == name]
    if exact:
        return exact[0]
    return max(fitting, key=lambda each: len(each[0]))[1] if fitting else None


def carried(entry: dict[str, Any], scope: Scope) -> list[tuple[str, str, str]]:
    """(kind, target, value) of each thing that one obligation asks for."""
    rewrites = entry.get("rewrite", {}).items()
    return [
        *(("rewrite", target, repr(value_of(parse(code), scope))) for target, code in rewrites),
        *(("cap", target, repr(number)) for target, number in entry.get("cap", {}).items()),
        *(("redact", target, "None") for target in many(entry.get("redact"))),
        *(("label", "", repr(label)) for label in many(entry.get("label"))),
    ]
