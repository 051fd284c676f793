"""The rule sets that are measured: rules with conditions on arguments, spread over tools.

Every set ends in a rule that does match the measured call, so no run times an empty list: with
``count`` rules over 100 tools (or as many as there are rules), the measured tool has
``count / 100`` deny rules with conditions that are evaluated and do not hold, and one allow rule
that does.
"""

from __future__ import annotations

from remit import policy
from remit.policy import PolicySet

TOOLS = 100


def _deny(number: int, tool: str) -> str:
    conditions = (
        f"args.table == 'forbidden_{number}'",
        f"args.amount > {1_000_000 + number}",
        f"args.table.startsWith('secret_{number}_')",
        f"args.table in ['a_{number}', 'b_{number}', 'c_{number}']",
    )
    condition = conditions[number % len(conditions)]
    return (
        f"  - id: deny-{number}\n    tools: [{tool}]\n    when: {condition!r}\n    effect: deny\n"
        "    because: not here\n"
    )


def text(count: int) -> str:
    """A document of ``count`` rules; ``tool-0`` is the one that is measured."""
    names = [f"tool-{number}" for number in range(min(TOOLS, count))]
    lines = [
        "remit: 1\ndefault: deny\nagents:\n  bot: {roles: [clerk], team: sales}\ntools:\n",
        *(f"  - {{match: [{name}], does: write}}\n" for name in names),
        "rules:\n",
        f"  - id: allow\n    roles: [clerk]\n    tools: [{', '.join(names)}]\n"
        "    when: args.amount >= 0\n    effect: allow\n",
        *(_deny(number, names[number % len(names)]) for number in range(count - 1)),
    ]
    return "".join(lines)


def load(count: int) -> PolicySet:
    """The compiled document of ``count`` rules."""
    return policy.load({"bench.yaml": text(count)})
