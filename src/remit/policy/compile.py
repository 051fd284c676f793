"""From rules to one Python function for each tool and set of rules.

``compile_program`` builds a function as an ``ast``, binds every constant to a name of its
namespace, and compiles it. The function evaluates *every* rule that concerns the tool and the
agents, because all matching rules count, and gives back which of them matched as the bits of one
integer. Decisions are remembered by that integer, so an outcome that was seen before builds
nothing. The code of one rule:

    try:
        if 'untrusted' in labels and <condition>:
            matched |= 4
    except Exception as error:
        problems = (*problems, (2, error))

The tree is built node by node and never parsed from text: ``ast.parse`` keeps a counter that all
threads of a process share, and fails with a ``SystemError`` when two of them meet in it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from remit import canonical
from remit.model import AccessRequest, Decision, Facts, Obligation, Phase
from remit.policy import python as py
from remit.policy import statements as code
from remit.policy.arguments import ArgumentFault, Expected
from remit.policy.catalogue import Tool
from remit.policy.dialects import in_dialect
from remit.policy.evaluate import value_of
from remit.policy.lower import lower
from remit.policy.origins import LABELLED, ORIGINS, controls_of
from remit.policy.python import Bindings
from remit.policy.rules import Condition, Rule
from remit.policy.ruling import FailedRule, Setting
from remit.policy.scope import findings_of, scope_of, tool_facts

MAX_REMEMBERED = 512
"""Most outcomes that one program remembers."""


class Evaluated(Struct, frozen=True):
    """What a program found, where more happened than that rules matched."""

    matched: int
    problems: tuple[tuple[int, Exception], ...] = ()
    values: tuple[tuple[int, int, Any], ...] = ()
    """Rule and obligation by index, and the value that was worked out for it."""


Run: TypeAlias = Callable[[AccessRequest, Facts], "int | Evaluated | ArgumentFault"]


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

    def decide(self, answer: int | Evaluated | ArgumentFault) -> Decision:
        """The decision for an answer. One that only says which rules matched is remembered."""
        if isinstance(answer, ArgumentFault):
            return self._setting.refusal(answer.reason)
        if isinstance(answer, Evaluated):
            return self._decide(answer)
        decision = self._decide(Evaluated(answer))
        if len(self.decisions) < MAX_REMEMBERED:
            self.decisions[answer] = decision
        return decision

    def _decide(self, answer: Evaluated) -> Decision:
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

    def _obligations(self, matched: Mapping[int, Rule], answer: Evaluated) -> Iterator[Obligation]:
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
    writer = _Writer(tool, constants)
    body = writer.arguments() if setting.phase is Phase.CALL else []
    body += writer.facts(links)
    body += writer.matching(links, hops)
    tree = code.define("run", ["request", "facts"], body)
    # The code is made of parsed conditions and of names that this module chose.
    exec(compile(tree, "<policy>", "exec"), writer.namespace)  # noqa: S102
    return Program(links, setting, writer.namespace["run"])


class _Writer:
    """Builds the statements of one function."""

    def __init__(self, tool: Tool, constants: Mapping[str, Any]) -> None:
        self.namespace: dict[str, Any] = {}
        self._tool = tool
        self._constants = constants
        self._bindings = Bindings(self.namespace, constants=constants)
        self._bind = self._bindings.bind

    def arguments(self) -> list[ast.stmt]:
        """Refuse arguments which are not what the tool declares.

        ``if tuple(args) not in clean or not (...):`` ask for the fault, which may be none.
        """
        expected = Expected(self._tool)
        names = py.call(self._bind(tuple), py.name("args"))
        suspicious = py.negate(py.compare(names, "in", self._bind(expected.clean)))
        unfit = [py.negate(test) for test in expected.tests(self._bindings)]
        fault = py.name("fault")
        refuse = [
            code.put("fault", py.call(self._bind(expected.refused), py.name("args"))),
            code.when(py.compare(fault, "is not", py.constant(None)), [code.give(fault)]),
        ]
        return [
            code.put("args", _REQUEST("arguments")),
            code.when(py.either(suspicious, *unfit) if unfit else suspicious, refuse),
        ]

    def facts(self, links: tuple[tuple[Rule, ...], ...]) -> list[ast.stmt]:
        """Put what the conditions look at into the variables of the language."""
        request, facts = py.name("request"), py.name("facts")
        sources = {
            "args": _REQUEST("arguments"),
            "context": _REQUEST("context"),
            "user": _REQUEST("principal", "user"),
            "session": _FACTS("session"),
            "tool": py.call(self._bind(tool_facts), self._bind(self._tool), request),
            "controls": py.call(self._bind(controls_of), self._bind(self._tool), request),
            "provenance": _FACTS("provenance"),
            "budget": _FACTS("remaining"),
            "now": _FACTS("now"),
            "findings": py.call(self._bind(findings_of), request, facts),
            "resolved": _REQUEST("resolved"),
            "outcome": _FACTS("outcome"),
            "result": _FACTS("outcome", "result"),
        }
        needed: set[str] = set()
        rules = [rule for link in links for rule in link]
        for found in (rule.condition.mentions for rule in rules if rule.condition):
            needed |= found.variables
            needed |= {"resolved"} if "path" in found.readers else set()
            needed |= set() if found.readers.isdisjoint(LABELLED) else {"session"}
            needed |= {"tool"} if "asked_for" in found.readers else set()
            needed |= {"provenance"} if not found.readers.isdisjoint(ORIGINS) else set()
        statements = [code.put(name, read) for name, read in sources.items() if name in needed]
        if any(rule.after for rule in rules):
            statements.append(code.put("labels", _FACTS("session", "labels")))
        return statements

    def matching(
        self, links: tuple[tuple[Rule, ...], ...], hops: tuple[int, ...]
    ) -> list[ast.stmt]:
        """Work out which rules match for each agent of the chain, and give that back."""
        certain = 0
        statements: list[ast.stmt] = []
        index = 0
        for rules, hop in zip(links, hops, strict=True):
            agent = _REQUEST("principal", *["on_behalf_of"] * hop)
            statements.append(code.put("agent", agent))
            for rule in rules:
                if rule.is_unconditional and not any(duty.expression for duty in rule.duties):
                    certain |= 1 << index
                else:
                    statements.append(self._rule(rule, index))
                index += 1
        matched, problems, values = py.name("matched"), py.name("problems"), py.name("values")
        answer = py.call(self._bind(Evaluated), matched, problems, values)
        return [
            code.put("matched", py.constant(certain)),
            code.put("problems", py.sequence([])),
            code.put("values", py.sequence([])),
            *statements,
            code.when(py.either(problems, values), [code.give(answer)]),
            code.give(matched),
        ]

    def _rule(self, rule: Rule, index: int) -> ast.stmt:
        tests = [py.compare(py.constant(label), "in", py.name("labels")) for label in rule.after]
        if rule.condition is not None:
            node = in_dialect(rule.condition.node, self._tool)
            tests.append(lower(node, restricts=rule.restricts, bindings=self._bindings))
        hit: list[ast.stmt] = [code.mark("matched", 1 << index)]
        for place, duty in enumerate(rule.duties):
            if duty.expression is not None:
                where = [py.constant(index), py.constant(place)]
                found = py.sequence([*where, self._value(duty.expression)])
                hit.append(code.extend("values", found))
        body = [code.when(py.both(*tests) if len(tests) > 1 else tests[0], hit)] if tests else hit
        note = code.extend("problems", py.sequence([py.constant(index), py.name("error")]))
        return code.attempt(body, "error", [note])

    def _value(self, expression: Condition) -> ast.expr:
        """The value of an obligation. Rare enough for the reference evaluator."""
        known = (py.name("agent"), self._bind(self._tool), self._bind(self._constants))
        scope = py.call(self._bind(scope_of), *known, py.name("request"), py.name("facts"))
        value = py.call(
            self._bind(value_of), self._bind(in_dialect(expression.node, self._tool)), scope
        )
        return py.call(self._bind(canonical.check), value)


def _fields(root: str) -> Callable[..., ast.expr]:
    def read(*names: str) -> ast.expr:
        found = py.name(root)
        for name in names:
            found = py.attribute(found, name)
        return found

    return read


_REQUEST, _FACTS = _fields("request"), _fields("facts")


__all__ = ["Evaluated", "Program", "compile_program"]
