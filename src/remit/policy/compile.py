"""From rules to one Python function for each tool and set of rules.

``compile_program`` writes a function as an ``ast``, binds every constant to a name of its
namespace, and compiles it. The function evaluates *every* rule that concerns the tool and the
agents, because all matching rules count, and gives back which of them matched as the bits of one
integer. Decisions are remembered by that integer, so an outcome that was seen before builds
nothing. The code of one rule:

    try:
        if 'untrusted' in labels and <condition>:
            matched |= 4
    except Exception as error:
        problems = (*problems, (2, error))
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from remit import canonical
from remit.model import AccessRequest, Decision, Facts, Obligation, Phase
from remit.policy.arguments import ArgumentFault, Expected
from remit.policy.catalogue import Tool
from remit.policy.evaluate import value_of
from remit.policy.lower import lower
from remit.policy.python import Bindings
from remit.policy.rules import Rule
from remit.policy.ruling import FailedRule, Setting
from remit.policy.scope import findings_of, scope_of, tool_facts

MAX_REMEMBERED = 512
"""Most outcomes that one program remembers."""


class Answer(Struct, frozen=True):
    """What a program found, where more happened than that rules matched."""

    matched: int
    problems: tuple[tuple[int, Exception], ...] = ()
    values: tuple[tuple[int, int, Any], ...] = ()
    """Rule and obligation by index, and the value that was worked out for it."""


Run: TypeAlias = Callable[[AccessRequest, Facts], "int | Answer | ArgumentFault"]


class Program:
    """The rules on one tool for one chain of agents, compiled.

    ``links`` holds the rules for each agent of the chain; the bit of a rule in an answer is its
    place in all of them laid end to end.
    """

    __slots__ = ("_links", "_rules", "_setting", "decisions", "run")

    def __init__(self, links: tuple[tuple[Rule, ...], ...], setting: Setting, run: Run) -> None:
        self.run = run
        self.decisions: dict[int, Decision] = {}
        self._links = links
        self._rules = tuple(rule for link in links for rule in link)
        self._setting = setting

    def decide(self, answer: int | Answer | ArgumentFault) -> Decision:
        """The decision for an answer. One that only says which rules matched is remembered."""
        if isinstance(answer, ArgumentFault):
            return self._setting.refusal(answer.reason)
        if isinstance(answer, Answer):
            return self._decide(answer)
        decision = self._decide(Answer(answer))
        if len(self.decisions) < MAX_REMEMBERED:
            self.decisions[answer] = decision
        return decision

    def _decide(self, answer: Answer) -> Decision:
        failed = {index: FailedRule(self._rules[index], error) for index, error in answer.problems}
        matched = {
            index: rule
            for index, rule in enumerate(self._rules)
            if answer.matched >> index & 1 and index not in failed
        }
        return self._setting.decision(
            tuple({rule.order: rule for rule in matched.values()}.values()),
            tuple({problem.rule.order: problem for problem in failed.values()}.values()),
            tuple(self._obligations(matched, answer)),
            uncovered=self._is_uncovered(matched.keys() | failed.keys()),
        )

    def _is_uncovered(self, hit: set[int]) -> bool:
        """Whether for some agent of the chain no rule says anything."""
        start = 0
        for link in self._links:
            stop = start + len(link)
            if hit.isdisjoint(range(start, stop)):
                return True
            start = stop
        return False

    def _obligations(self, matched: Mapping[int, Rule], answer: Answer) -> Iterator[Obligation]:
        for rule in matched.values():
            for duty in rule.duties:
                if duty.expression is None:
                    yield duty.bound(rule.id, duty.value)
        for index, place, value in answer.values:
            if index in matched:
                rule = matched[index]
                yield rule.duties[place].bound(rule.id, value)


def compile_program(
    tool: Tool,
    links: tuple[tuple[Rule, ...], ...],
    hops: tuple[int, ...],
    setting: Setting,
    constants: Mapping[str, Any],
) -> Program:
    """Compile the rules that concern ``tool``.

    Args:
        tool: its declaration.
        links: for each agent of the chain whose rights count, the rules that concern it.
        hops: for each of them, how many steps of ``on_behalf_of`` lead to it.
        setting: what decisions of this policy and phase have in common.
        constants: values from ``define:``.
    """
    writer = _Writer(constants)
    body = writer.arguments(tool) if setting.phase is Phase.CALL else []
    body += writer.facts(tool, links)
    body += writer.matching(links, hops)
    module = ast.parse("\n".join(["def run(request, facts):", *body]))
    tree = _Splicer(writer.code).visit(module)
    # The code is made of parsed conditions and of names that this module chose.
    exec(compile(ast.fix_missing_locations(tree), "<policy>", "exec"), writer.namespace)  # noqa: S102
    return Program(links, setting, writer.namespace["run"])


# What the generated function puts into the variables of the language, when it needs them.
_FACTS = {
    "args": "request.arguments",
    "context": "request.context",
    "user": "request.principal.user",
    "session": "facts.session",
    "tool": "tool_facts(declared, request)",
    "now": "facts.now",
    "findings": "findings_of(request, facts)",
    "resolved": "request.resolved",
    "outcome": "facts.outcome",
    "result": "facts.outcome.result",
}


class _Writer:
    """Writes the lines of one function; conditions are names, in whose place their code comes."""

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self.namespace: dict[str, Any] = {
            "Answer": Answer,
            "checked": canonical.check,
            "constants": constants,
            "findings_of": findings_of,
            "scope_of": scope_of,
            "tool_facts": tool_facts,
            "value_of": value_of,
        }
        self.code: dict[str, ast.expr] = {}
        self._bindings = Bindings(self.namespace, constants=constants)

    def arguments(self, tool: Tool) -> list[str]:
        """Lines that refuse arguments which are not what the tool declares."""
        expected = Expected(tool)
        self.namespace |= {"clean": expected.clean, "refused": expected.refused}
        test = expected.test(self.namespace)
        unfit = "" if test is None else f" or not ({test})"
        return [
            " args = request.arguments",
            f" if tuple(args) not in clean{unfit}:",
            "  fault = refused(args)",
            "  if fault is not None: return fault",
        ]

    def facts(self, tool: Tool, links: tuple[tuple[Rule, ...], ...]) -> list[str]:
        """Lines that load what the conditions look at."""
        self.namespace["declared"] = tool
        rules = [rule for link in links for rule in link]
        needed: set[str] = set()
        for rule in rules:
            if rule.condition is not None:
                found = rule.condition.mentions
                needed |= found.variables & _FACTS.keys()
                needed |= {"resolved"} if "path" in found.readers else set()
                needed |= {"session"} if "flows" in found.readers else set()
        lines = [f" {name} = {code}" for name, code in _FACTS.items() if name in needed]
        if any(rule.after for rule in rules):
            lines.append(" labels = facts.session.labels")
        return lines

    def matching(self, links: tuple[tuple[Rule, ...], ...], hops: tuple[int, ...]) -> list[str]:
        """Lines that work out which rules match for each agent of the chain."""
        certain = 0
        lines: list[str] = []
        index = 0
        for rules, hop in zip(links, hops, strict=True):
            lines.append(" agent = request.principal" + ".on_behalf_of" * hop)
            for rule in rules:
                if rule.is_unconditional and not any(duty.expression for duty in rule.duties):
                    certain |= 1 << index
                else:
                    lines += self._rule(rule, index)
                index += 1
        return [
            f" matched = {certain}",
            " problems = values = ()",
            *lines,
            " if problems or values: return Answer(matched, problems, values)",
            " return matched",
        ]

    def _rule(self, rule: Rule, index: int) -> list[str]:
        tests = [f"{label!r} in labels" for label in rule.after]
        if rule.condition is not None:
            name = f"condition_{index}"
            node, restricts = rule.condition.node, rule.restricts
            self.code[name] = lower(node, restricts=restricts, bindings=self._bindings)
            tests.append(name)
        lines = [" try:", f"  if {' and '.join(tests) or 'True'}:", f"   matched |= {1 << index}"]
        for place, duty in enumerate(rule.duties):
            if duty.expression is not None:
                name = f"value_{index}_{place}"
                self.namespace[name] = duty.expression.node
                scope = "scope_of(agent, declared, constants, request, facts)"
                value = f"checked(value_of({name}, {scope}))"
                lines.append(f"   values = (*values, ({index}, {place}, {value}))")
        lines += [
            " except Exception as error:",
            f"  problems = (*problems, ({index}, error))",
        ]
        return lines


class _Splicer(ast.NodeTransformer):
    """Puts the code of the conditions in place of their names."""

    def __init__(self, code: Mapping[str, ast.expr]) -> None:
        self._code = code

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The code that the name stands for, if it is one of ours."""
        return self._code.get(node.id, node)


__all__ = ["Answer", "Program", "compile_program"]
