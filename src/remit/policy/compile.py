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
from remit.policy.evaluate import evaluate
from remit.policy.rules import Condition, Rule
from remit.policy.ruling import Problem, Setting
from remit.policy.scope import scope_of

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
        failed = {index: Problem(self._rules[index], error) for index, error in answer.problems}
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
    writer = _Writer(tool, constants)
    body = writer.arguments(tool) if setting.phase is Phase.CALL else []
    body += writer.matching(links, hops)
    module = ast.parse("\n".join(["def run(request, facts):", *body]))
    tree = _Splicer(writer.spliced).visit(module)
    exec(compile(ast.fix_missing_locations(tree), "<policy>", "exec"), writer.namespace)  # noqa: S102
    return Program(links, setting, writer.namespace["run"])


class _Writer:
    """Writes the lines of one function; conditions are placeholders to be spliced in."""

    def __init__(self, tool: Tool, constants: Mapping[str, Any]) -> None:
        self.namespace: dict[str, Any] = {
            "Answer": Answer,
            "checked": canonical.check,
            "evaluate": evaluate,
            "scope_of": scope_of,
            "tool": tool,
            "constants": constants,
        }
        self.spliced: dict[str, ast.expr] = {}

    def arguments(self, tool: Tool) -> list[str]:
        """Lines that refuse arguments which are not what the tool declares."""
        expected = Expected(tool)
        self.namespace |= {"clean": expected.clean, "refused": expected.refused}
        lines = [" args = request.arguments", " if tuple(args) not in clean:"]
        lines += ["  fault = refused(args)", "  if fault is not None: return fault"]
        test = expected.test(self.namespace)
        if test is not None:
            lines += [f" elif not ({test}): return refused(args)"]
        return lines

    def matching(self, links: tuple[tuple[Rule, ...], ...], hops: tuple[int, ...]) -> list[str]:
        """Lines that work out which rules match for each agent of the chain."""
        certain = 0
        lines: list[str] = []
        index = 0
        for rules, hop in zip(links, hops, strict=True):
            lines.append(" agent = request.principal" + ".on_behalf_of" * hop)
            lines.append(" scope = scope_of(agent, tool, constants, request, facts)")
            for rule in rules:
                if rule.is_unconditional and not any(duty.expression for duty in rule.duties):
                    certain |= 1 << index
                else:
                    lines += self._rule(rule, index)
                index += 1
        return [
            f" matched = {certain}",
            " problems = values = ()",
            " labels = facts.session.labels",
            *lines,
            " if problems or values: return Answer(matched, problems, values)",
            " return matched",
        ]

    def _rule(self, rule: Rule, index: int) -> list[str]:
        tests = [f"{label!r} in labels" for label in rule.after]
        if rule.condition is not None:
            tests.append(self._code(f"condition_{index}", rule.condition, rule.restricts))
        lines = [" try:", f"  if {' and '.join(tests) or 'True'}:", f"   matched |= {1 << index}"]
        for place, duty in enumerate(rule.duties):
            if duty.expression is not None:
                value = self._code(f"value_{index}_{place}", duty.expression, None)
                lines.append(f"   values = (*values, ({index}, {place}, checked({value})))")
        lines += [
            " except Exception as error:",
            f"  problems = (*problems, ({index}, error))",
        ]
        return lines

    def _code(self, name: str, condition: Condition, restricts: bool | None) -> str:
        """The name under which the code of a condition will be spliced in."""
        self.namespace[name] = condition.node
        return f"evaluate({name}, scope, {bool(restricts)})"


class _Splicer(ast.NodeTransformer):
    """Puts the code of the conditions in place of their names."""

    def __init__(self, code: Mapping[str, ast.expr]) -> None:
        self._code = code

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The code that the name stands for, if it is one of ours."""
        return self._code.get(node.id, node)


__all__ = ["Answer", "Program", "compile_program"]
