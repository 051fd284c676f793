"""What the tests of the command line share: a shop with a policy, and a way to run commands."""

import json
from dataclasses import dataclass

import pytest

from remit.cli import rendering
from remit.cli.app import run

POLICY = """\
remit: 1
default: deny
agents:
  inventory-bot: {roles: [reader], team: warehouse}
people:
  ada: {roles: [clerk]}
  grace: {roles: [finance]}
tools:
  - {match: [db.query], does: read, arguments: {sql: sql}}
  - {match: [pay], does: pay}
rules:
  - id: reader-tools
    roles: [reader]
    tools: [db.query, pay]
    effect: allow
  - id: read-only
    tools: [db.query]
    when: '!sql(args.sql).read_only'
    effect: deny
    because: This agent only reads.
    instead: Ask the owner of the table.
  - id: large-payment
    tools: [pay]
    when: args.amount > 100
    effect: ask
    approvers: [finance]
    because: Large payments are seen by finance.
"""


@dataclass
class Ran:
    """A command that was run."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def remit(capsys):
    """Run ``remit`` with arguments in this process."""

    def command(*arguments):
        capsys.readouterr()
        rendering.console.cache_clear()
        code = run([str(each) for each in arguments])
        rendering.console.cache_clear()
        captured = capsys.readouterr()
        return Ran(int(code), captured.out, captured.err)

    return command


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """The current directory, with a policy."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "remit.yaml").write_text(POLICY)
    return tmp_path


@pytest.fixture
def history(shop):
    """A shop in which an allowed query, a denied one and a held payment have happened."""
    from remit import ApprovalRequired, Denied, Guard

    guard = Guard.open(shop / "remit.yaml")
    query = guard.wrap(lambda sql: [["lamp", 4]], name="db.query")
    pay = guard.wrap(lambda order, amount: f"paid {amount}", name="pay")
    with guard.session(agent="inventory-bot", user="ada", intent="restock"):
        query("select item from stock")
        with pytest.raises(Denied):
            query("drop table stock")
        with pytest.raises(Denied):
            guard.wrap(lambda city: city, name="weather")("\x1b[2J\u202e")
        with pytest.raises(ApprovalRequired) as held:
            pay(7, 900)
    guard.close()
    return held.value.approval
