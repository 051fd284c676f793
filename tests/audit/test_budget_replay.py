"""What an auditor says of a log whose budgets do not add up."""

from typing import Any

import pytest

from remit.audit import spending
from remit.audit.record import (
    Record,
    RecordedBudget,
    RecordedCharge,
    RecordedHold,
    RecordedUsage,
)
from remit.audit.spending import BudgetReplay

DAY = "d/usd/org@day-0"


def hold(amount: int = 5, used: int = 0, cell: str = DAY, **fields: Any) -> RecordedHold:
    return RecordedHold(
        amount=amount, cell=cell, **{"limit": 9, "ends": 99, "used": used, **fields}
    )


def decision(*holds: RecordedHold, action: str | None = "a", at: int = 1, **fields: Any) -> Record:
    return Record(action=action, at=at, granted=True, holds=holds, kind="decision", **fields)


def outcome(*charges: RecordedCharge, action: str = "a", usd: int = 5, **fields: Any) -> Record:
    usage = RecordedUsage(nano_usd=usd)
    found = {"action": action, "at": 2, "kind": "outcome", "status": "ok", "usage": usage}
    return Record(charges=charges, **{**found, **fields})


def charge(spent: int = 5, held: int = 5, cell: str = DAY, **fields: Any) -> RecordedCharge:
    return RecordedCharge(cell=cell, held=held, spent=spent, **fields)


def told(*records: Record) -> list[str]:
    """The codes that come up, in order."""
    replay, found = BudgetReplay(), []
    for record in records:
        if record.kind == "decision":
            replay.decision(record, lambda code, _: found.append(code))
        elif record.kind == "outcome":
            replay.outcome(record, lambda code, _: found.append(code))
        else:
            replay.event(record)
    return found


def test_a_log_that_adds_up() -> None:
    reset = RecordedBudget(cell=DAY, limit=9)
    assert (
        told(
            decision(hold()),
            outcome(charge()),
            decision(hold(4, 5), action="b"),
            outcome(charge(0, 4), action="b", status="not-run"),
            Record(kind="budget", at=2, status="reset", budget=reset),
            Record(kind="budget", at=2, status="raised", budget=reset),
            Record(kind="budget", at=2, status="reset"),
            Record(kind="budget", at=2, status="reset", budget=RecordedBudget(cell="x", limit=1)),
            decision(hold(9, 0), action="c"),
        )
        == []
    )


@pytest.mark.parametrize(
    ("records", "codes"),
    [
        ([decision(hold(10))], ["budget"]),
        ([decision(hold(10), mode="shadow")], []),
        ([decision(hold()), decision(hold(4, 4), action="b")], ["budget-ledger"]),
        ([decision(hold()), decision(hold(4, 6), action="b")], ["budget-ledger", "budget"]),
        ([decision(hold()), outcome()], ["budget-charge"]),
        ([decision(hold()), outcome(charge(), charge())], ["budget-charge"]),
        ([decision(hold()), outcome(charge(4))], ["budget-charge"]),
        ([decision(hold()), outcome(charge(5, 4))], ["budget-charge"]),
        ([decision(hold()), outcome(charge(), usage=None)], ["budget-charge"]),
        ([decision(hold()), outcome(charge(), status="not-run")], ["budget-charge"]),
        ([outcome(charge())], ["budget-charge"]),
        ([decision(hold()), outcome(charge(), charge(0, 0, "x"))], ["budget-charge"]),
        # An overrun blocks, until a person lifts that.
        (
            [
                decision(hold(1)),
                outcome(charge(2, 1), usd=2),
                decision(hold(1, 2), action="b", at=98),
            ],
            ["budget"],
        ),
        (
            [
                decision(hold(1)),
                outcome(charge(2, 1), usd=2),
                decision(hold(1, 2, raised=True), action="b", at=98),
                decision(hold(1, 3), action="c", at=98),
            ],
            [],
        ),
        # What nobody reported is charged whole, and put right once.
        (
            [
                decision(hold()),
                outcome(charge(), status="unknown"),
                outcome(charge(2, 0, back=5), usd=2),
                decision(hold(7, 2), action="b"),
            ],
            [],
        ),
        (
            [
                decision(hold()),
                outcome(charge(), status="unknown"),
                outcome(charge(2, 0), usd=2),
            ],
            ["budget-charge"],
        ),
        ([decision(hold(), status="evaluated", charges=(charge(),))], []),
        ([decision(hold(), status="evaluated")], ["budget-charge"]),
        ([decision(hold(), action=None)], []),
    ],
)
def test_what_does_not_add_up(records: list[Record], codes: list[str]) -> None:
    assert told(*records) == codes


def test_each_measure_is_charged_what_the_record_says() -> None:
    usage = RecordedUsage(nano_usd=1, input_tokens=2, output_tokens=3)
    amounts = {"usd": 1, "input_tokens": 2, "output_tokens": 3, "tokens": 5, "calls": 1}
    amounts["seconds"] = 7
    cells = {f"d/{measure}/org@day-0": amount for measure, amount in amounts.items()}
    holds = [hold(amount, cell=cell) for cell, amount in cells.items()]
    charges = [charge(amount, amount, cell) for cell, amount in cells.items()]
    assert told(decision(*holds), outcome(*charges, usage=usage, duration=7)) == []
    assert told(decision(*holds), outcome(*charges, usage=usage)) == ["budget-charge"]
    plain = hold(cell="no-measure")
    assert told(decision(plain), outcome(charge(0, 5, "no-measure"), usage=None)) == []


def test_rolling_windows_and_time_that_goes_over() -> None:
    cell = "d/seconds/org@60ms"
    rolling = {"cell": cell, "length": 60, "slot": 0, "ends": 61}
    assert (
        told(
            decision(hold(5, **rolling)),
            outcome(charge(9, 5, cell), usage=None, duration=9),
            decision(hold(0, 9, **rolling), action="b", at=60),
            decision(hold(9, 0, **{**rolling, "slot": 61}), action="c", at=61),
        )
        == []
    )
    usd = {**rolling, "cell": "d/usd/org@60ms"}
    assert told(
        decision(hold(5, **usd)),
        outcome(charge(9, 5, usd["cell"]), usd=9),
        decision(hold(0, 9, **usd), action="b", at=60),
    ) == ["budget"]


def test_windows_that_are_over_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "_KEPT", 2)
    replay = BudgetReplay()
    for number in range(5):
        cell = f"d/usd/org@{number}"
        record = decision(hold(cell=cell, ends=number + 1), action=cell, at=number)
        replay.decision(record, lambda code, message: pytest.fail(f"{code}: {message}"))
    assert len(replay.cells) <= 3
    kept = replay.outcome(
        outcome(charge(cell="d/usd/org@0"), action="d/usd/org@0"),
        lambda code, message: pytest.fail(f"{code}: {message}"),
    )
    assert kept is None
