from typing import Any

import pytest

from remit.audit.record import Record, RecordedLimit, RecordedPrincipal, RecordedStop
from remit.audit.replay import Discrepancy, Replay


def replay(*records: Record) -> tuple[Replay, list[Discrepancy]]:
    found: list[Discrepancy] = []
    log = Replay(lambda position, code, message: found.append(Discrepancy(position, code, message)))
    for position, record in enumerate(records):
        log.see(position, record)
    log.finish()
    return log, found


def codes(*records: Record) -> list[tuple[int | None, str]]:
    return [(one.position, one.code) for one in replay(*records)[1]]


def decision(action: str | None = "a-1", **fields: Any) -> Record:
    fields = {"at": 1, "effect": "allow", "granted": True, "session": "s", **fields}
    return Record(kind="decision", action=action, **fields)


def outcome(action: str | None = "a-1", **fields: Any) -> Record:
    return Record(
        kind="outcome", action=action, **{"at": 1, "status": "ok", "session": "s", **fields}
    )


def approval(name: str | None = "p-1", status: str | None = "approved", **fields: Any) -> Record:
    return Record(kind="approval", at=1, approval=name, status=status, **fields)


def test_an_honest_log() -> None:
    log, found = replay(
        Record(kind="policy", at=1),
        Record(kind="session", at=1),
        decision(),
        decision("a-2", effect="deny", granted=False),
        decision("a-3", at=2),
        outcome("a-3", at=2),
        outcome(at=3),
    )
    assert found == []
    assert log.open == {}
    assert log.counts == {"policy": 1, "session": 1, "decision": 3, "outcome": 2}
    assert (log.first_at, log.last_at) == (1, 3)


def test_p52_a_granted_action_without_outcome_is_open() -> None:
    log, found = replay(decision(), decision("a-2", digest="d" * 64, lease=9), outcome())
    assert found == []
    (left,) = log.open.values()
    assert (left.position, left.action, left.session, left.lease) == (1, "a-2", "s", 9)


def test_an_outcome_needs_a_granted_decision() -> None:
    assert codes(outcome()) == [(0, "outcome")]
    assert codes(decision(effect="deny", granted=False), outcome()) == [(1, "outcome")]


def test_an_evaluation_is_not_open_and_has_no_outcome() -> None:
    log, found = replay(decision(status="evaluated"), outcome())
    assert [(each.position, each.code) for each in found] == [(1, "outcome")]
    assert log.open == {}
    held = decision(status="evaluated", effect="ask")
    assert codes(held) == [(0, "held-but-granted")]


def test_an_action_has_one_outcome() -> None:
    assert codes(decision(), outcome(), outcome()) == [(2, "outcome")]


def test_a_late_outcome_corrects_unknown_once() -> None:
    unknown = outcome(status="unknown")
    assert codes(decision(), unknown, outcome()) == []
    assert codes(decision(), unknown, outcome(), outcome()) == [(3, "outcome")]


@pytest.mark.parametrize("fields", [{"session": "other"}, {"digest": "e" * 64}])
def test_an_outcome_belongs_to_its_decision(fields: dict[str, str]) -> None:
    assert codes(decision(digest="d" * 64), outcome(**{"digest": "d" * 64, **fields})) == [
        (1, "outcome")
    ]


def test_an_action_id_is_decided_on_once() -> None:
    many = [decision(f"a-{n}", granted=False) for n in range(2000)]
    assert codes(*many, decision("a-7", granted=False), decision("a-9", granted=False)) == [
        (2000, "decided-twice"),
        (2001, "decided-twice"),
    ]


def test_time_does_not_go_back() -> None:
    stops = [Record(kind="policy", at=at) for at in (5, 5, 4, 5, 6)]
    assert codes(*stops) == [(2, "clock")]


@pytest.mark.parametrize(
    "record",
    [
        decision(None),
        decision(granted=None),
        decision(effect=None),
        outcome(None),
        outcome(status=None),
        approval(None),
        approval(status=None),
    ],
)
def test_a_record_without_what_joins_it_to_others_is_incomplete(record: Record) -> None:
    assert codes(record) == [(0, "incomplete")]


def test_nothing_denied_or_held_is_let_through() -> None:
    assert codes(decision(effect="deny")) == [(0, "denied-but-granted")]
    assert codes(decision(effect="ask")) == [(0, "held-but-granted")]
    assert codes(decision(effect="defer")) == [(0, "held-but-granted")]
    assert codes(decision(effect="deny", mode="shadow")) == []


def test_p26_an_approval_is_used_once() -> None:
    use = decision(effect="ask", approval="p-1")
    again = decision("a-2", effect="ask", approval="p-1")
    assert codes(approval(), use) == []
    assert codes(approval(), use, again) == [(2, "approval")]
    assert codes(use) == [(0, "approval")]


@pytest.mark.parametrize("status", ["rejected", "expired", "withdrawn"])
def test_a_closed_approval_is_not_used(status: str) -> None:
    use = decision(effect="ask", approval="p-1")
    assert codes(approval(), approval(status=status), use) == [(2, "approval")]


def test_p27_an_approval_is_for_one_request() -> None:
    use = decision(effect="ask", approval="p-1", digest="e" * 64)
    assert codes(approval(digest="d" * 64), use) == [(1, "approval")]


def test_a_pending_approval_lets_nothing_through() -> None:
    use = decision(effect="ask", approval="p-1")
    assert codes(approval(status="pending"), use) == [(1, "approval")]


def limited(action: int, at: int, key: str = "rate/burst/bot") -> Record:
    limit = RecordedLimit(burst=3, calls=10, key=key, period=1_000_000)
    return decision(f"a-{action}", at=at, limits=(limit,))


def test_rate_limits_are_replayed() -> None:
    first = 1_760_000_000_000_000
    burst = [limited(n, first) for n in range(3)]
    assert codes(*burst) == []
    assert codes(*burst, limited(3, first)) == [(3, "rate-limit")]
    assert codes(*burst, limited(3, first + 99_998)) == [(3, "rate-limit")]
    assert codes(*burst, limited(3, first + 100_000)) == []
    assert codes(*burst, limited(3, first, "rate/burst/other")) == []


def test_rate_limits_of_many_keys_are_forgotten_when_they_are_over() -> None:
    first = 1_760_000_000_000_000
    many = [limited(n, first + n * 1000, f"rate/burst/{n}") for n in range(10_001)]
    burst = [limited(20_000 + n, many[-1].at, "rate/burst/10000") for n in range(3)]
    assert codes(*many, *burst) == [(10_003, "rate-limit")]


def stop(status: str | None, name: str = "st-1", **fields: Any) -> Record:
    told = RecordedStop(**{"id": name, "scope": "agent", "value": "planner-bot", **fields})
    return Record(kind="stop", at=1, status=status, stop=told)


CHAIN = (RecordedPrincipal(id="inventory-bot"), RecordedPrincipal(id="planner-bot"))


def test_nothing_that_is_stopped_is_let_through() -> None:
    let = {"principal": CHAIN, "tool": "db.query", "mode": "shadow"}
    assert codes(
        stop("stopped"),
        decision(granted=False, effect="deny", **let),
        decision("a-2", **let),
        decision("a-3", principal=CHAIN[:1]),
        decision("a-4"),
        stop("resumed"),
        decision("a-5", **let),
        stop("stopped", scope="tool", value="db.*"),
        decision("a-6", status="evaluated", **let),
        stop("stopped", "st-2", scope="session", value="s"),
        decision("a-7"),
        decision("a-8", session=None),
    ) == [
        (2, "stopped-but-granted"),
        (8, "stopped-but-granted"),
        (10, "stopped-but-granted"),
    ]


def test_stop_records_are_whole_and_in_order() -> None:
    assert codes(
        stop("resumed"),
        stop("stopped"),
        stop("resumed"),
        stop("resumed"),
        stop(None),
        Record(kind="stop", at=1, status="stopped"),
    ) == [(0, "stop"), (3, "stop"), (4, "incomplete"), (5, "incomplete")]
