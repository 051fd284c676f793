"""The seam that adapters are written on, its tripwire, and functions that decide by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guarding import EMBEDDED, approve, decisions, log, open_guard, outcomes, settled
from remit import Denied, Guard, RemitError
from remit.guard import Cleared, Shape, Stopped, TextShape, is_tripwired, tripwired
from remit.guard.functions import governed, governed_by_name
from remit.guard.seam import as_text, from_text
from remit.guard.steps import run
from remit.guard.tripwire import clearing, note_error

pytestmark = pytest.mark.usefixtures("transport")

RULES = """
tools:
  - {match: [note, items, card, ask], does: read}
  - {match: [pay], does: pay}
rules:
  - {id: workers, roles: [worker], tools: [note, items, ask], effect: allow}
  - {id: trim, roles: [worker], tools: [note], when: 'args.text == "LOUD"', effect: allow,
     obligations: [{rewrite: {args.text: '"quiet"'}}]}
  - {id: no-drop, tools: [note], when: 'args.text.contains("drop")', effect: deny,
     because: Nothing is dropped here.}
  - {id: cards, roles: [worker], tools: [card], effect: allow,
     obligations: [{redact: [result.number]}]}
  - {id: ask, tools: [ask], effect: ask, approvers: [lead]}
  - {id: no-secrets, tools: [note], on: result, when: 'result == "secret"', effect: deny}
"""
CARD = {"holder": "ada", "number": "4111"}


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    opened = open_guard(tmp_path, RULES)
    yield opened
    with contextlib.suppress(RemitError):
        # Some tests close the store under it.
        opened.close()


def test_a_call_is_decided_run_and_settled(guard: Guard) -> None:
    with guard.session(agent="bot", user="ada"):
        assert guard.seam().around("note", {"text": "a"}, lambda args: args["text"] * 2) == "aa"
    assert decisions(guard) == ["note allow"]
    assert outcomes(guard) == ["note ok"]


def test_a_refusal_is_a_text_and_nothing_runs(guard: Guard) -> None:
    ran: list[Any] = []
    with guard.session(agent="bot", user="ada"):
        came = guard.seam().around("note", {"text": "drop it"}, ran.append)
    assert isinstance(came, Stopped)
    assert "Nothing is dropped here." in str(came)
    assert not came.ran
    assert came.approval is None
    assert ran == []


def test_a_held_call_has_its_approval_and_runs_once_after_it(guard: Guard) -> None:
    ran: list[Any] = []
    seam = guard.seam()
    with guard.session(agent="bot", user="ada"):
        held = seam.around("ask", {"what": "x"}, ran.append)
        assert isinstance(held, Stopped)
        assert held.approval is not None
        approve(guard, held.approval)
        seam.around("ask", {"what": "x"}, ran.append)
        assert isinstance(seam.around("ask", {"what": "x"}, ran.append), Stopped)
    assert ran == [{"what": "x"}]


def test_what_runs_is_what_was_decided_on(guard: Guard) -> None:
    """The arguments are a copy: nobody changes them between the decision and the call."""
    given = {"text": "LOUD"}
    seen: list[Any] = []
    with guard.session(agent="bot", user="ada"):
        guard.seam().around("note", given, lambda args: seen.append(args) or "ok")
        cleared = run(guard.seam().before("items", {"names": (names := ["a"])}))
        names.append("b")
        assert isinstance(cleared, Cleared)
        assert cleared.arguments == {"names": ["a"]}
        assert run(guard.seam().after(cleared, None)) is None
    assert seen == [{"text": "quiet"}]


def test_an_argument_that_is_no_json_is_passed_on_as_it_is_but_not_rewritten(guard: Guard) -> None:
    class Loud(str):
        pass

    with guard.session(agent="bot", user="ada"):
        came = guard.seam().around("items", {"at": {3}}, lambda args: sorted(args["at"]))
        assert came == [3]
        stopped = guard.seam().around("note", {"text": Loud("LOUD")}, lambda args: "ran")
    assert isinstance(stopped, Stopped)
    assert "obligation" in stopped.text


def test_a_call_that_cannot_change_is_refused_when_an_obligation_would(guard: Guard) -> None:
    with guard.session(agent="bot", user="ada"):
        seam = guard.seam()
        assert isinstance(seam.around("note", {"text": "LOUD"}, str, fixed=True), Stopped)
        assert seam.around("note", {"text": "low"}, lambda _: "ran", fixed=True) == "ran"


@pytest.mark.parametrize("arguments", [{"text": float("nan")}, {"text": object()}, {1: "a"}])
def test_what_cannot_be_put_before_policy_does_not_run(guard: Guard, arguments: Any) -> None:
    ran: list[Any] = []
    with guard.session(agent="bot", user="ada"):
        came = guard.seam().around("note", arguments, ran.append)
    assert isinstance(came, Stopped)
    assert "was not run" in came.text
    assert ran == []


@EMBEDDED
def test_a_fault_inside_remit_is_a_refusal(guard: Guard, caplog: pytest.LogCaptureFixture) -> None:
    """Of whatever kind: here its store is closed, and its enforcement is no enforcement."""
    ran: list[Any] = []
    seam, broken = guard.seam(), guard.seam()
    broken.enforcement = None  # type: ignore[assignment]
    with guard.session(agent="bot", user="ada", keep=True):
        came = broken.around("note", {"text": "a"}, ran.append)
        assert isinstance(came, Stopped)
        assert "note was not run: Remit could not decide" in came.text
        guard.store.close()
        came = seam.around("note", {"text": "a"}, ran.append)
    assert isinstance(came, Stopped)
    assert "note was not run" in came.text
    assert ran == []
    assert "Remit failed" in caplog.text


@EMBEDDED
def test_an_outcome_that_cannot_be_recorded_keeps_the_result_back(
    guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    def close(_: Any) -> str:
        guard.store.close()
        return "private"

    with guard.session(agent="bot", user="ada", keep=True):
        came = guard.seam().around("note", {"text": "a"}, close)
    assert isinstance(came, Stopped)
    assert came.ran
    assert "HAS RUN" in came.text
    assert "private" not in came.text
    assert "not on record" in caplog.text


def test_a_withheld_result_is_a_text(guard: Guard) -> None:
    with guard.session(agent="bot", user="ada"):
        came = guard.seam().around("note", {"text": "a"}, lambda _: "secret")
    assert isinstance(came, Stopped)
    assert came.ran
    assert "no-secrets" in came.text


def test_an_exception_settles_and_is_raised(guard: Guard) -> None:
    def fail(_: Any) -> None:
        raise ValueError("no")

    async def afail(_: Any) -> None:
        raise ValueError("no")

    with guard.session(agent="bot", user="ada"):
        with pytest.raises(ValueError, match="no"):
            guard.seam().around("items", {}, fail)
        with pytest.raises(ValueError, match="no"):
            asyncio.run(guard.seam().around_async("items", {}, afail))
    assert outcomes(guard) == ["items error", "items error"]


def test_cancellation_settles(guard: Guard) -> None:
    async def main() -> None:
        began = asyncio.Event()

        async def linger(_: Any) -> None:
            began.set()
            await asyncio.sleep(30)

        task = asyncio.create_task(guard.seam().around_async("items", {}, linger))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with guard.session(agent="bot", user="ada"):
        asyncio.run(main())
    assert outcomes(guard) == ["items cancelled"]


def test_a_decision_that_is_dropped_unused_settles_as_not_run(guard: Guard) -> None:
    with guard.session(agent="bot", user="ada", keep=True):
        cleared = run(guard.seam().before("items", {}))
        assert isinstance(cleared, Cleared)
        del cleared
        gc.collect()
        assert settled(guard, ["items not-run"])


def test_a_coroutine_from_a_plain_function_settles_when_it_has_ended(guard: Guard) -> None:
    async def later() -> str:
        return "secret"

    with guard.session(agent="bot", user="ada"):
        running = guard.seam().around("note", {"text": "a"}, lambda _: later())
        assert outcomes(guard) == []
        assert isinstance(asyncio.run(running), Stopped)
    assert outcomes(guard) == ["note ok"]


def test_a_call_from_a_context_without_a_session_belongs_to_the_given_one(
    guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    with guard.session(agent="bot", user="ada") as session:
        empty = contextvars.Context()
        plain, given = guard.seam(), guard.seam(session)
        assert isinstance(empty.run(plain.around, "items", {}, len), Stopped)
        assert "with guard.session(agent=...)" in caplog.text
        assert empty.run(given.around, "items", {}, len) == 0
        assert not empty.run(lambda: plain.session)
        assert empty.run(lambda: given.session) == session.id
        assert plain.session == session.id


def test_the_session_of_the_context_comes_before_the_given_one(guard: Guard) -> None:
    with guard.session(agent="bot", user="ada", keep=True) as first:
        pass
    with guard.session(agent="bot", user="ada") as second:
        guard.seam(first).around("items", {}, len)
    (decision,) = [record for record in log(guard) if record.kind == "decision"]
    assert decision.session == second.id


class Wrapped(TextShape):
    """A result in an envelope."""

    def text(self, came: Any) -> Any:
        return came["said"]

    def with_text(self, came: Any, text: Any) -> Any:
        return {"said": text}


def test_policy_looks_into_text_that_is_json(guard: Guard) -> None:
    with guard.session(agent="bot", user="ada"):
        for said in (as_text(CARD), str(CARD)):
            came = guard.seam().around("card", {}, lambda _, s=said: {"said": s}, Wrapped())
            assert from_text(came["said"])["holder"] == "ada"
            assert "4111" not in came["said"]


def test_what_is_not_changed_comes_back_as_it_was(guard: Guard) -> None:
    whole = {"said": "plain", "more": object()}
    with guard.session(agent="bot", user="ada"):
        assert guard.seam().around("ask2", {}, lambda _: whole, Wrapped()) is not whole
        came = guard.seam().around("note", {"text": "a"}, lambda _: whole, Wrapped())
    assert came is whole


def test_a_result_whose_shape_cannot_be_read_is_withheld_where_rules_look_at_it(
    guard: Guard,
) -> None:
    class Broken(Shape):
        def value(self, came: Any) -> Any:
            raise KeyError("changed in the new release")

    with guard.session(agent="bot", user="ada"):
        came = guard.seam().around("note", {"text": "a"}, lambda _: object(), Broken())
    assert isinstance(came, Stopped)
    assert came.ran


def test_a_redacted_result_that_cannot_be_put_back_is_kept_back(guard: Guard) -> None:
    class Stuck(Shape):
        def replaced(self, came: Any, shown: Any) -> Any:
            raise TypeError("frozen")

    with guard.session(agent="bot", user="ada"):
        came = guard.seam().around("card", {}, lambda _: CARD, Stuck())
    assert isinstance(came, Stopped)
    assert "4111" not in came.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain", "plain"),
        ('{"a": 1}', {"a": 1}),
        ("{'a': (1, None)}", {"a": (1, None)}),
        ("[1, 2]", [1, 2]),
        ("{not json", "{not json"),
        ("[" * 10_000, "[" * 10_000),
        ("{1, 2}", "{1, 2}"),
    ],
)
def test_text_is_read_as_what_it_says(text: str, said: Any) -> None:
    assert from_text(text) == said


def test_a_tool_under_the_tripwire_runs_once_for_its_decision(guard: Guard) -> None:
    ran: list[str] = []
    wired = tripwired(ran.append, "note")
    assert is_tripwired(wired)
    assert tripwired(wired, "note") is wired
    with guard.session(agent="bot", user="ada"):
        with pytest.raises(Denied, match="without a decision"):
            wired("stray")
        guard.seam().around("note", {"text": "a"}, lambda args: wired(args["text"]))

        def twice(args: Any) -> None:
            wired(args["text"])
            wired(args["text"])

        with pytest.raises(Denied):
            guard.seam().around("note", {"text": "b"}, twice)
        with pytest.raises(Denied):
            guard.seam().around("items", {}, lambda _: wired("other"))
    assert ran == ["a", "b"]


def test_one_way_of_a_tool_may_lead_to_another_but_not_back(guard: Guard) -> None:
    ran: list[str] = []
    blocking = tripwired(ran.append, "items", way="_run", through="_arun")

    async def arun(text: str) -> None:
        blocking(text)

    wired = tripwired(arun, "items", way="_arun")

    async def main() -> None:
        await guard.seam().around_async("items", {}, lambda _: wired("a"))
        for first, second in ((blocking, wired), (blocking, blocking)):

            async def both(_: Any, first: Any = first, second: Any = second) -> None:
                first("b")
                await second("c")

            with pytest.raises(Denied):
                await guard.seam().around_async("items", {}, both)

    with guard.session(agent="bot", user="ada"):
        asyncio.run(main())
    assert ran == ["a", "b", "b"]


def test_a_tripwire_without_a_name_wants_some_decision(guard: Guard) -> None:
    wired = tripwired(lambda: "ran", "")
    with guard.session(agent="bot", user="ada"):
        with pytest.raises(Denied):
            wired()
        assert guard.seam().around("items", {}, lambda _: wired()) == "ran"


def test_without_the_tripwire_a_stray_call_runs() -> None:
    """What the tests above show is the tripwire's doing."""
    ran: list[str] = []
    ran.append("stray")
    assert ran == ["stray"]


def test_an_async_tool_under_the_tripwire(guard: Guard) -> None:
    async def note(text: str) -> str:
        return text

    wired = tripwired(note, "note")

    async def main() -> None:
        with pytest.raises(Denied):
            await wired("stray")
        came = await guard.seam().around_async("note", {"text": "a"}, lambda args: wired(**args))
        assert came == "a"

    with guard.session(agent="bot", user="ada"):
        asyncio.run(main())


def test_an_error_that_a_framework_makes_a_message_of_still_counts_as_one(guard: Guard) -> None:
    def fail() -> None:
        raise ValueError("no")

    wired = tripwired(fail, "items")

    def framework(_: Any) -> str:
        try:
            wired()
        except ValueError as error:
            return f"the tool failed: {error}"
        raise AssertionError

    with guard.session(agent="bot", user="ada"):
        assert guard.seam().around("items", {}, framework) == "the tool failed: no"
    assert outcomes(guard) == ["items error"]


def test_an_error_can_be_noted_of_the_tool_that_is_running_only(guard: Guard) -> None:
    with guard.session(agent="bot", user="ada"):
        cleared = run(guard.seam().before("items", {}))
        assert isinstance(cleared, Cleared)
        with clearing(cleared.clearance):
            note_error("note", ValueError())
            assert cleared.clearance.error is None
            note_error("items", ValueError())
        assert cleared.clearance.error is not None
        run(guard.seam().after(cleared, None))
    note_error("items", ValueError())
    assert outcomes(guard) == ["items error"]


def test_a_governed_function_binds_everything_by_name(guard: Guard) -> None:
    def note(text: str, *more: str, mark: str = "!") -> str:
        """Write."""
        return text + mark

    wrapped = governed(guard.seam(), note, "note")
    assert wrapped.__doc__ == "Write."
    assert governed(guard.seam(), wrapped, "note") is wrapped
    with guard.session(agent="bot", user="ada"):
        assert wrapped("a") == "a!"
        assert "Nothing is dropped" in wrapped("drop")
        assert wrapped("LOUD") == "quiet!"
        assert "missing a required argument" in wrapped()
        assert governed(guard.seam(), note, "note", lambda s: s.ran)("drop") is False


def test_a_governed_async_function(guard: Guard) -> None:
    async def note(text: str) -> str:
        return text

    async def main() -> None:
        wrapped = governed(guard.seam(), note, "note")
        assert await wrapped("a") == "a"
        assert "Nothing is dropped" in await wrapped(text="drop")
        assert "no-secrets" in await wrapped("secret")
        assert "missing" in await wrapped()
        plain = governed(guard.seam(), lambda text: note(text), "note")
        assert "no-secrets" in await plain("secret")

    with guard.session(agent="bot", user="ada"):
        asyncio.run(main())


def test_what_the_host_fills_in_is_kept_from_policy(guard: Guard) -> None:
    def note(text: str, state: Any) -> str:
        return text + state.mark

    async def anote(text: str, state: Any) -> str:
        return note(text, state)

    class State:
        mark = "!"

    with guard.session(agent="bot", user="ada"):
        by_name = governed_by_name(guard.seam(), note, "note", {"state"}.__contains__)
        assert by_name(text="a", state=State()) == "a!"
        assert "Nothing is dropped" in by_name(text="drop", state=State())
        aby_name = governed_by_name(guard.seam(), anote, "note", {"state"}.__contains__)
        assert asyncio.run(aby_name(text="a", state=State())) == "a!"
        assert "Nothing is dropped" in asyncio.run(aby_name(text="drop", state=State()))
        later = governed_by_name(
            guard.seam(), lambda **g: anote(**g), "note", lambda n: n == "state"
        )
        assert asyncio.run(later(text="a", state=State())) == "a!"
        assert governed_by_name(guard.seam(), by_name, "note", bool) is by_name
