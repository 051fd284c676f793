"""What a policy set tells of its declarations."""

from __future__ import annotations

from remit.model import Does
from remit.policy import load

DOCUMENT = """
remit: 1
agents:
  inventory-bot: {roles: [reader], team: warehouse}
people:
  ada: {team: warehouse}
tools:
  - {match: ["db.*"], does: write}
  - {match: [db.query], does: read}
rules:
  - {id: reading, tools: [db.query], effect: allow}
"""


def test_everything_that_is_declared_is_listed() -> None:
    policies = load({"remit.yaml": DOCUMENT})
    assert dict(policies.agents) == {"inventory-bot": policies.principal("inventory-bot")}
    assert dict(policies.people) == {"ada": policies.person("ada")}
    assert [(tool.pattern, tool.does) for tool in policies.tools] == [
        ("db.query", (Does.READ,)),
        ("db.*", (Does.WRITE,)),
    ]
