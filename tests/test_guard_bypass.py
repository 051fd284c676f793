"""Going round the guard: no path from a governed function leads to the original."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from guarding import open_guard
from remit import Denied, Guard
from remit.guard.hiding import HiddenFunction
from remit.model import Admission
from walking import reachable, runs_when_called


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with open_guard(tmp_path) as opened:
        yield opened


def test_walk_finds_an_original_that_is_in_reach() -> None:
    import functools

    ran: list[str] = []

    def note(text: str) -> None:
        ran.append(text)

    @functools.wraps(note)
    def careless(text: str) -> None:
        raise Denied("no")

    assert runs_when_called(careless, ran)


def test_nothing_in_reach_of_a_governed_function_runs_it(guard: Guard) -> None:
    ran: list[str] = []

    @guard.tool
    def note(text: str) -> None:
        ran.append(text)

    assert not hasattr(note, "__wrapped__")
    assert inspect.unwrap(note) is note
    assert not runs_when_called(note, ran)


def test_the_other_kinds_of_functions(guard: Guard) -> None:
    async def coroutine(text: str) -> None: ...
    def generator(text: str) -> Iterator[str]:
        yield text

    async def async_generator(text: str) -> AsyncIterator[str]:
        yield text

    for original in (coroutine, generator, async_generator):
        code = original.__code__
        governed = guard.wrap(original, name="note")
        del original
        for found in reachable(governed):
            assert getattr(found, "__code__", None) is not code


def test_attributes_that_lead_to_the_original_are_not_copied(guard: Guard) -> None:
    def note(text: str) -> None: ...

    note.me = note  # type: ignore[attr-defined]
    note.title = "a note"  # type: ignore[attr-defined]
    governed = guard.wrap(note)
    assert governed.title == "a note"  # type: ignore[attr-defined]
    assert not hasattr(governed, "me")


def test_a_hidden_function_needs_a_granted_admission() -> None:
    ran: list[str] = []
    hidden = HiddenFunction(ran.append)
    for forged in (None, object(), True):
        with pytest.raises(Denied, match="only through its guard"):
            hidden.call(forged, ("x",), {})  # type: ignore[arg-type]
    assert ran == []


def test_an_admission_that_was_not_granted_does_not_run_it() -> None:
    from remit.model import ActionId, Decision, Digest, Effect, Revision

    ran: list[str] = []
    refused = Admission(
        id=ActionId("a"),
        granted=False,
        decision=Decision(effect=Effect.DENY, revision=Revision("r"), reasons=()),
        position=0,
        digest=Digest("d"),
    )
    with pytest.raises(Denied):
        HiddenFunction(ran.append).call(refused, ("x",), {})
    assert ran == []


def test_the_policy_in_force_cannot_be_changed_through_the_guard(guard: Guard) -> None:
    with pytest.raises(AttributeError):
        guard.policies = None  # type: ignore[misc, assignment]
    with pytest.raises(AttributeError):
        guard.store = None  # type: ignore[misc, assignment]
