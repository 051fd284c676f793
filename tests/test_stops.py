"""What a stop covers, however names are spelt, and what a message to a webhook goes through."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from remit import deliveries, stops
from remit.deliveries import Delivery, DeliveryId
from remit.errors import InvalidRequest
from remit.model import Effect, Principal, SessionId
from remit.stops import MAX_STOPS, Scope, Stop, StopId, Subject

ADA = Principal(id="ada", kind="person", known="declared")
GRACE = Principal(id="grace", kind="person", known="declared")
PARENT = Principal(id="planner-bot", on_behalf_of=GRACE)
CHILD = Principal(id="inventory-bot", on_behalf_of=PARENT)
SUBJECT = Subject(
    principal=CHILD, sessions=(SessionId("s-child"), SessionId("s-parent")), tool="db.query"
)
SECOND = 1_000_000_000


def stop(scope: Scope, value: str, reason: str = "it went wild") -> Stop:
    return stops.start(StopId("st-1"), scope, value, by=ADA, now=7, reason=reason)


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        ("all", ""),
        ("agent", "inventory-bot"),
        ("agent", "Inventory-Bot "),
        ("agent", "іnventory-bot"),
        ("agent", "planner-bot"),
        ("agent", "grace"),
        ("session", "s-child"),
        ("session", "s-parent"),
        ("tool", "db.query"),
        ("tool", "DB.Query"),
        ("tool", "db.*"),
        ("tool", "*"),
        ("tool", "*query"),
        ("tool", "dЬ.query"),
    ],
)
def test_a_stop_covers(scope: Scope, value: str) -> None:
    assert stops.covers(stop(scope, value), SUBJECT)


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        ("agent", "inventory"),
        ("agent", "inventory-bot-2"),
        ("agent", "*"),
        ("agent", "s-child"),
        ("session", "s-other"),
        ("session", "s-*"),
        ("tool", "db"),
        ("tool", "db.query.*"),
        ("tool", "inventory-bot"),
    ],
)
def test_a_stop_does_not_cover(scope: Scope, value: str) -> None:
    assert not stops.covers(stop(scope, value), SUBJECT)


def test_a_tool_in_disguise_is_covered() -> None:
    disguised = replace(SUBJECT, tool="ＤＢ.qu\u200bery")
    assert stops.covers(stop("tool", "db.query"), disguised)


def test_the_first_stop_that_covers_is_told() -> None:
    standing = [
        replace(stop("agent", "other-bot"), id=StopId("st-1")),
        replace(stop("tool", "db.*"), id=StopId("st-2")),
        replace(stop("all", ""), id=StopId("st-3")),
    ]
    found = stops.find(standing, SUBJECT)
    assert found is not None
    assert found.id == "st-2"
    assert stops.find(standing[:1], SUBJECT) is None
    assert stops.find([], SUBJECT) is None


def test_a_refusal_names_who_why_and_how_to_go_on() -> None:
    reason = stops.refusal(stop("agent", "inventory-bot"))
    assert (reason.rule, reason.effect, reason.at) == ("stopped", Effect.DENY, None)
    assert reason.because == "ada stopped agent inventory-bot: it went wild."
    assert "remit resume st-1" in reason.instead
    assert stops.refusal(stop("all", "", reason="")).because == "ada stopped everything."


@pytest.mark.parametrize(
    ("scope", "value", "says"),
    [
        ("all", "inventory-bot", "leave the value out"),
        ("agent", "", "name the agent"),
        ("agent", " ", "name the agent"),
        ("tool", "\u200b", "name the tool"),
        ("session", "x" * 201, "200"),
        ("tool", "a\nb", "printable"),
    ],
)
def test_what_would_cover_nothing_is_refused(scope: Scope, value: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        stop(scope, value)


def test_an_agent_is_kept_from_the_switch() -> None:
    with pytest.raises(InvalidRequest, match="ask a person"):
        stops.start(StopId("st-1"), "all", "", by=CHILD, now=7, reason="")
    service = Principal(id="watchdog", kind="service")
    assert stops.start(StopId("st-1"), "all", "", by=service, now=7, reason="").by == "watchdog"


def test_stops_are_bounded_in_number_and_words() -> None:
    standing = [stop("all", "")] * MAX_STOPS
    with pytest.raises(InvalidRequest, match="in force"):
        stops.start(StopId("st"), "all", "", by=ADA, now=7, reason="", standing=standing)
    assert len(stop("all", "", "x" * 5000).reason) == stops.MAX_REASON


def test_stops_by_their_name() -> None:
    standing = [stop("agent", "inventory-bot"), stop("tool", "inventory-bot"), stop("all", "")]
    assert stops.named(standing, "agent", "Inventory-bot") == standing[:1]
    assert stops.named(standing, "all", "") == standing[2:]
    assert stops.named(standing, "session", "inventory-bot") == []


def test_a_message_is_tried_again_ever_more_slowly_and_at_last_given_up() -> None:
    waiting = Delivery(
        id=DeliveryId("chat-3"),
        webhook="chat",
        event="approval.pending",
        subject="ap-1",
        position=3,
        at=0,
        next_at=0,
    )
    now, pauses = 0, []
    while True:
        taken = deliveries.claimed(waiting, now)
        assert taken.next_at == now + deliveries.CLAIM
        left = deliveries.failed(taken, now)
        if left is None:
            break
        waiting = left
        pauses.append(waiting.next_at - now)
        now = waiting.next_at
    assert [pause // SECOND for pause in pauses[:12]] == [
        *(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
        *(600, 600),
    ]
    assert now >= deliveries.PATIENCE
    assert now < deliveries.PATIENCE + deliveries.LONGEST_PAUSE
    assert waiting.attempts == len(pauses)
