"""Rules that can never change an outcome, found before anybody relies on them.

One rule is measured against each other one alone; what several rules cover only together is not
seen. ``default: deny`` makes no deny rule superfluous: it documents, and stays when allows come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from remit.model import Does, Effect, Phase
from remit.policy import patterns
from remit.policy.catalogue import Catalogue
from remit.policy.directory import Directory
from remit.policy.rules import Rule

Found = Callable[[Rule, str, str], None]
"""Takes the rule, what is wrong with it, and what to do."""


def find_unreachable(rules: Sequence[Rule], fault: Found, warning: Found) -> None:
    """Report each rule that another rule makes superfluous.

    A fault where the outcome is the same with or without the rule; a warning where an allow
    stands under an ask or a defer for all its calls, which grants on approval by itself.
    """
    covering = [rule for rule in rules if rule.is_unconditional]
    by_tool: dict[str, list[Rule]] = {}
    wild = []
    for rule in covering:
        if all("*" not in pattern for pattern in rule.tools):
            for pattern in rule.tools:
                by_tool.setdefault(pattern, []).append(rule)
        else:
            wild.append(rule)
    for rule in rules:
        candidates = sorted((*by_tool.get(rule.tools[0], ()), *wild), key=lambda each: each.order)
        for other in candidates:
            if other is rule or other.phase is not rule.phase or not _covers(other, rule):
                continue
            if _makes_superfluous(other, rule):
                hint = f"Remove it, or narrow the rule {other.id!r}."
                fault(
                    rule, f"the rule {other.id!r} at {other.at} already decides all its calls", hint
                )
                break
            if rule.effect is Effect.ALLOW and not rule.duties and other.restricts:
                hint = "The call is granted on approval with or without this rule."
                message = f"the rule {other.id!r} at {other.at} holds all its calls"
                warning(rule, message, hint)
                break


def find_impossible(
    rules: Iterable[Rule], catalogue: Catalogue, directory: Directory, fault: Found, warning: Found
) -> None:
    """Report each rule whose selectors contradict each other, so that nothing fits all of them."""
    for rule in rules:
        if rule.does is not None and not _some_tool_fits(rule, catalogue):
            classes = " ".join(each.value for each in rule.does)
            fault(
                rule,
                f"none of its tools is declared as {classes}, so it would never match",
                "Change does: here or in the declaration of the tool.",
            )
        everybody = (*directory.agents.values(), *directory.people.values())
        issued = directory.issued_roles.intersection(rule.roles or ()) or (
            directory.issued_teams.intersection(rule.teams or ())
        )
        anybody = not issued and (rule.agents, rule.roles, rule.teams) != (None, None, None)
        user = rule.users[0] if rule.users else None
        if anybody and not any(rule.concerns_principal(each, user) for each in everybody):
            warning(
                rule,
                "nobody declared has all that it selects by, so it does not match now",
                "Check the agents: section, or drop a selector.",
            )


def _some_tool_fits(rule: Rule, catalogue: Catalogue) -> bool:
    """Whether some tool could fit, the undeclared ones that a pattern may catch included."""
    for pattern in rule.tools:
        if "*" in pattern:
            return True
        if rule.concerns_tool(pattern, catalogue.tool(pattern)):
            return True
    return False


def _makes_superfluous(other: Rule, rule: Rule) -> bool:
    """Whether the outcome is the same without ``rule``, given that ``other`` covers it."""
    if other.effect is Effect.DENY:
        return rule.effect is not Effect.DENY or not _covers_back(other, rule)
    same = other.effect is rule.effect and other.terms == rule.terms and not rule.duties
    return same and not _covers_back(other, rule)


def _covers_back(other: Rule, rule: Rule) -> bool:
    """Whether the two cover each other and ``rule`` comes first, so that only one is reported."""
    return rule.order < other.order and rule.is_unconditional and _covers(rule, other)


def _covers(wide: Rule, narrow: Rule) -> bool:
    """Whether ``wide`` speaks of every tool and principal that ``narrow`` speaks of."""
    return (
        all(any(patterns.covers(w, n) for w in wide.tools) for n in narrow.tools)
        and _contains(wide.agents, narrow.agents)
        and _contains(wide.roles, narrow.roles)
        and _contains(wide.teams, narrow.teams)
        and _contains(wide.users, narrow.users)
        and _covers_classes(wide.does, narrow.does)
    )


def _contains(wide: tuple[str, ...] | None, narrow: tuple[str, ...] | None) -> bool:
    return wide is None or (narrow is not None and set(narrow) <= set(wide))


def _covers_classes(wide: tuple[Does, ...] | None, narrow: tuple[Does, ...] | None) -> bool:
    return wide is None or (narrow is not None and set(narrow) <= set(wide))


def find_open_duties(rules: Sequence[Rule], warning: Found) -> None:
    """Report each rule that seems to add no more than an obligation, and lets everybody in.

    An allow that names nobody grants its tools to every agent, obligation or not. Where another
    rule does that anyway, only the obligation is new.
    """
    grants = [rule for rule in rules if _grants_to_all(rule)]
    for rule in grants:
        if rule.duties and not any(_grants_anyway(other, rule) for other in grants):
            warning(
                rule,
                "it allows its tools to every agent, whatever its obligation does",
                "Add agents: or roles: of those who may; the obligation then goes with that.",
            )


def _grants_to_all(rule: Rule) -> bool:
    selectors = {rule.agents, rule.roles, rule.teams, rule.users}
    return rule.effect is Effect.ALLOW and rule.phase is Phase.CALL and selectors == {None}


def _grants_anyway(other: Rule, rule: Rule) -> bool:
    """Whether another rule allows what this one does, without an obligation."""
    declared = other.condition is None or other.condition.node.text.strip() == "tool.declared"
    if other.duties or other.after or not declared:
        return False
    wide = other.does is None or set(rule.does or Does) <= set(other.does)
    return wide and all(any(patterns.covers(o, r) for o in other.tools) for r in rule.tools)
