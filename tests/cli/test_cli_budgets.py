"""``remit budgets``: how they stand, what people change, back-tests, what finance gets."""

import csv
import io
import json
import secrets
import sys
import time
from decimal import Decimal

import pytest

from remit import Denied, Guard
from remit.audit.record import parse_record
from remit.cli.workspace import load_policy
from remit.governor import Governor
from remit.guard import opening
from remit.model import AccessRequest, Action, Outcome
from remit.storage.sqlite import SqliteStore

POLICY = """\
remit: 1
agents:
  inventory-bot: {roles: [reader], team: warehouse}
people:
  ada: {roles: [clerk]}
tools:
  - {match: [report], does: write, cost: {usd: 0.50}}
  - {match: ["=cmd"], does: read}
rules:
  - {id: all, roles: [reader], tools: [report, "=cmd"], effect: allow}
budgets:
  - {id: month, by: team, limit: {usd: 2, calls: 100}, per: month}
  - {id: burst, by: agent, limit: {usd: 50}, rolling: 7d}
"""


@pytest.fixture
def spent(tmp_path, monkeypatch):
    """A shop in which three reports were made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "remit.yaml").write_text(POLICY)
    with Guard.open(tmp_path / "remit.yaml") as guard:
        make(guard, 3)
        odd = guard.wrap(lambda: 1, name="=cmd")
        with guard.session(agent="inventory-bot", user="ada"):
            odd()
    return tmp_path


def make(guard, reports):
    call = guard.wrap(lambda: "done", name="report")
    with guard.session(agent="inventory-bot", user="ada"):
        for _ in range(reports):
            call()


def test_nothing_has_been_governed(tmp_path, monkeypatch, remit):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "remit.yaml").write_text(POLICY)
    missing = remit("budgets")
    assert missing.code == 2
    assert "there is no store" in missing.err
    Guard.open(tmp_path / "remit.yaml").close()
    assert remit("budgets").out == "No budget is in use.\n"
    assert remit("budgets", "--json").json == []


def test_how_budgets_stand(spent, remit):
    shown = remit("budgets")
    assert shown.code == 0, shown.err
    line = next(
        line
        for line in shown.out.splitlines()
        if (line.startswith("month") and "$" in line)
        or (line.startswith("month") and "USD" in line)
    )
    for part in ("team warehouse", "███████████████·····", "75%", "2.00 USD"):
        assert part in line
    found = {(each["budget"], each["measure"]): each for each in remit("budgets", "--json").json}
    assert set(found) == {("month", "usd"), ("month", "calls"), ("burst", "usd")}
    month = found["month", "usd"]
    assert (month["limit"], month["spent"], month["held"]) == (2_000_000_000, 1_500_000_000, 0)
    assert month["scope"] == {"team": "warehouse"}
    assert month["forecast"]["spent"]["p50"] >= 1_500_000_000
    assert month["forecast"]["basis"] == "pace"


def test_one_budget(spent, remit):
    shown = remit("budgets", "show", "month")
    assert shown.code == 0
    for part in ("team warehouse", "1.50 USD", "0.50 USD", "no past yet", "4 calls"):
        assert part in shown.out
    assert len(remit("budgets", "show", "month", "--json").json) == 2
    missing = remit("budgets", "show", "moon")
    assert missing.code == 2
    assert "'remit budgets' lists those that are" in missing.err


def test_a_limit_is_raised_for_a_time_on_the_record(spent, remit):
    with Guard.open(spent / "remit.yaml") as guard:
        make(guard, 1)
        with pytest.raises(Denied):
            make(guard, 1)
        raised = remit(
            "budgets",
            "set",
            "month",
            "--measure",
            "usd",
            "--limit",
            "2.5",
            "--for",
            "1h",
            "--as",
            "ada",
            "--reason",
            "stocktaking",
        )
        assert raised.code == 0, raised.err
        assert "month of team warehouse: 2.50 USD until" in raised.out
        make(guard, 1)
        with pytest.raises(Denied):
            make(guard, 1)
    view = remit("budgets", "show", "month", "--json").json
    (usd,) = [each for each in view if each["measure"] == "usd"]
    assert (usd["limit"], usd["stated"]) == (2_500_000_000, 2_000_000_000)
    assert "policy says" in remit("budgets", "show", "month").out
    assert ("raised", "ada", "stocktaking") in changes(spent)


def changes(folder):
    """What people did to budgets, from the log."""

    def work(view):
        for kept in view.records(0, view.log_size()):
            record = parse_record(kept.body)
            if record.kind == "budget" and record.principal:
                values = view.values(kept.position)
                reason = json.loads(values.canonical)["reason"] if values else ""
                yield record.status, record.principal[0].id, reason

    with SqliteStore(folder / opening.STORE_FILE) as store:
        return store.read(lambda view: list(work(view)))


def test_a_reset_is_on_the_record(spent, remit):
    given = ("budgets", "reset", "month", "--scope", "team=warehouse", "--measure", "usd")
    done = remit(*given, "--as", "ada", "--json")
    assert done.code == 0, done.err
    assert done.json["spent"] == 0
    assert changes(spent) == [("reset", "ada", "")]
    assert remit(*given, "--as", "mallory").code == 4
    unclear = remit("budgets", "reset", "month", "--as", "ada")
    assert unclear.code == 2
    assert "2 of the windows of month fit" in unclear.err
    assert "usd of team warehouse" in unclear.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--limit", "1", "--for", "1h"), "a limit is only raised by hand"),
        (("--limit", "much", "--for", "1h"), "write a number of usd"),
        (("--limit", "-5", "--for", "1h"), "write a number of usd"),
        (("--limit", "nan", "--for", "1h"), "write a number of usd"),
        (("--limit", "3", "--for", "soon"), "write it such as 90m"),
        (("--limit", "3", "--for", "1h", "--scope", "team=moon"), "None of the windows"),
    ],
)
def test_a_change_that_makes_no_sense_changes_nothing(spent, remit, arguments, says):
    ran = remit("budgets", "set", "month", "--measure", "usd", "--as", "ada", *arguments)
    assert ran.code == 2
    assert says in ran.err
    assert remit("budgets", "show", "month", "--json").json[1]["limit"] == 2_000_000_000


def test_a_back_test_of_a_young_store(spent, remit):
    young = remit("budgets", "backtest")
    assert young.code == 0
    assert "No period of a day or longer is over yet" in young.out
    assert remit("budgets", "backtest", "--json").json["all"]["trials"] == 0


DAY = 86_400_000_000_000


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A shop with eighty days behind it, in each of which two reports were made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "remit.yaml").write_text(
        POLICY.replace("usd: 2,", "usd: 20,").replace("per: month", "per: week")
    )
    policies = load_policy(tmp_path / "remit.yaml")
    now = time.time_ns() - 79 * DAY  # the last of them is today
    governor = Governor(policies=lambda: policies, clock=lambda: now, entropy=secrets.token_bytes)
    with SqliteStore(tmp_path / opening.STORE_FILE) as store:
        agent = policies.principal("inventory-bot", user="ada")
        session = store.write(lambda t: governor.open_session(t, agent))
        request = AccessRequest(
            principal=session.principal, session=session.id, action=Action(name="report")
        )

        def both(t):
            for _ in range(2):
                made = governor.admit(t, request)
                governor.settle(t, made.id, request, Outcome(status="ok"))

        for _ in range(80):
            store.write(both)
            now += DAY
    return tmp_path


def test_a_back_test_of_ones_own_history(old, remit):
    shown = remit("budgets", "backtest")
    assert shown.code == 0, shown.err
    assert "week/usd/warehouse" in shown.out.replace("month/", "week/")
    assert "80% interval holds" in shown.out
    found = remit("budgets", "backtest", "--json").json
    assert {each["series"] for each in found["series"]} == {
        "month/usd/warehouse",
        "month/calls/warehouse",
    }
    assert found["all"]["trials"] >= 2 * 3 * 9
    assert found["all"]["error"] < 0.2
    (usd,) = [
        each
        for each in remit("budgets", "show", "month", "--json").json
        if each["measure"] == "usd"
    ]
    assert usd["forecast"]["basis"] == "history"
    ends = usd["forecast"]["spent"]
    assert usd["spent"] <= ends["p10"] <= ends["p50"] <= ends["p90"]


def test_finance_gets_a_table(spent, remit):
    ran = remit("budgets", "export")
    assert ran.code == 0, ran.err
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert [row["tool"] for row in rows] == ["'=cmd", "report"]
    report = rows[1]
    assert (report["team"], report["agent"], report["calls"]) == ("warehouse", "inventory-bot", "3")
    assert (report["usd"], report["nano_usd"]) == ("1.5", "1500000000")
    (total,) = remit("budgets", "export", "--by", "team", "--per", "month", "--json").json
    assert (total["calls"], total["usd"]) == (4, "1.5")
    assert "agent" not in total
    assert (
        remit("budgets", "export", "--since", "2020-01-01", "--until", "2020-02-01", "--json").json
        == []
    )
    assert remit("budgets", "export", "--by", "moon").code == 2
    assert remit("budgets", "export", "--format", "parquet").code == 2


def test_finance_gets_files(spent, remit):
    from pyarrow import parquet

    ran = remit("budgets", "export", "--output", "use.csv")
    assert "2 rows written to use.csv" in ran.out
    assert (spent / "use.csv").read_text().startswith("period,team,agent,model,tool,calls,")
    ran = remit("budgets", "export", "--format", "parquet", "--output", "use.parquet", "--json")
    assert ran.code == 0, ran.err
    assert len(ran.json) == 2
    table = parquet.read_table(spent / "use.parquet")
    assert table.column("usd").to_pylist() == [Decimal(0), Decimal("1.5")]
    assert table.column("tool").to_pylist() == ["=cmd", "report"]


def test_without_pyarrow_it_says_what_to_install(spent, remit, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ran = remit("budgets", "export", "--format", "parquet", "--output", "use.parquet")
    assert ran.code == 2
    assert "pip install 'remit[parquet]'" in ran.err
    assert not (spent / "use.parquet").exists()


def test_a_key_goes_with_a_server(spent, remit):
    (spent / "key").write_text("x")
    assert remit("budgets", "--key-file", "key").code == 2
    assert opening.STORE_FILE in {path.name for path in spent.iterdir()}
