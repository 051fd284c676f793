"""Governed functions: what runs, what does not, and that both are on record."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guarding import (
    EMBEDDED,
    HEAD,
    RULES,
    decisions,
    log,
    open_guard,
    outcomes,
    unsettled,
    write_policy,
)
from remit import Denied, Guard, InvalidArgument, PolicyError, Withheld

pytestmark = pytest.mark.usefixtures("transport")


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with open_guard(tmp_path) as opened:
        yield opened


def test_an_allowed_call_runs_and_is_recorded_before_and_after(guard: Guard) -> None:
    seen_in_log: list[list[str]] = []

    @guard.tool
    def note(text: str) -> str:
        """Keep a note."""
        seen_in_log.append(decisions(guard))
        return text.upper()

    with guard.session(agent="bot", user="ada", intent="test"):
        assert note("hello") == "HELLO"
    assert seen_in_log == [["note allow"]]
    assert outcomes(guard) == ["note ok"]
    kinds = [record.kind for record in log(guard)]
    assert kinds == ["policy", "session", "decision", "outcome", "session"]


def test_a_denied_call_does_not_run_and_says_why_where_and_what_instead(guard: Guard) -> None:
    ran: list[str] = []

    @guard.tool
    def note(text: str) -> None:
        ran.append(text)

    with guard.session(agent="bot", user="ada"), pytest.raises(Denied) as caught:
        note(text="please drop it")
    assert ran == []
    assert decisions(guard) == ["note deny"]
    assert outcomes(guard) == []
    refusal = str(caught.value)
    for part in ("note", "no-drop", "remit.yaml:", "Nothing is dropped here.", "Archive it."):
        assert part in refusal
    assert caught.value.reasons[0].rule == "no-drop"
    assert caught.value.reasons[0].at is not None


def test_the_name_can_be_given_and_methods_are_qualified(tmp_path: Path) -> None:
    rules = """
    tools: [{match: ["db.query", "Desk.note"], does: read}]
    rules: [{id: r, roles: [worker], tools: ["db.query", "Desk.note"], effect: allow}]
    """
    with open_guard(tmp_path, rules) as guard:

        class Desk:
            prefix = "> "

            @guard.tool
            def note(self, text: str) -> str:
                return self.prefix + text

            @guard.tool(name="db.query")
            @staticmethod
            def query(text: str) -> str:
                return text

            @guard.tool(name="db.query")
            @classmethod
            def query_all(cls, text: str) -> str:
                return cls.prefix + text

        with guard.session(agent="bot"):
            assert Desk().note("a") == "> a"
            assert Desk.query("b") == "b"
            assert Desk().query_all("c") == "> c"
        assert decisions(guard) == ["Desk.note allow", "db.query allow", "db.query allow"]


def test_a_governed_function_looks_like_the_original(guard: Guard) -> None:
    def note(text: str, size: int = 3) -> str:
        """Keep a note."""
        return text

    governed = guard.wrap(note)
    assert governed.__name__ == "note"
    assert governed.__doc__ == "Keep a note."
    assert inspect.signature(governed) == inspect.signature(note)
    assert governed.__annotations__ == note.__annotations__
    assert note("still plain") == "still plain"


def test_closures_defaults_and_recursion_keep_working(guard: Guard) -> None:
    total = 0

    @guard.tool
    def count(n: int, *, step: int = 1) -> int:
        nonlocal total
        total += step
        return 0 if n == 0 else 1 + count(n - 1, step=step)

    with guard.session(agent="bot"):
        assert count(3, step=2) == 3
    assert total == 8
    assert outcomes(guard) == ["count ok"] * 4


def test_partials_bound_methods_and_callable_objects_can_be_wrapped(guard: Guard) -> None:
    class Adder:
        def __call__(self, a: int, b: int) -> int:
            return a + b

        def add(self, a: int, b: int) -> int:
            return a * b

    def three(a: int, b: int, c: int) -> int:
        return a + b + c

    with guard.session(agent="bot"):
        assert guard.wrap(Adder(), name="add")(1, 2) == 3
        assert guard.wrap(Adder().add, name="add")(2, 5) == 10
        assert guard.wrap(functools.partial(three, 1, c=3), name="add")(2) == 6
        assert guard.wrap(len, name="count")([1, 2]) == 2


def test_an_exception_is_recorded_and_reaches_the_caller(guard: Guard) -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text either")

    @guard.tool
    def note(text: str) -> None:
        raise BrokenError if text == "b" else KeyError(text)

    with guard.session(agent="bot"):
        with pytest.raises(KeyError):
            note("a")
        with pytest.raises(BrokenError):
            note("b")
    assert outcomes(guard) == ["note error", "note error"]
    assert [r.error for r in log(guard) if r.kind == "outcome"] == ["KeyError", "BrokenError"]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_is_recorded_as_cancelled(
    guard: Guard, interrupt: type[BaseException]
) -> None:
    @guard.tool
    def note(text: str) -> None:
        raise interrupt

    with guard.session(agent="bot"), pytest.raises(interrupt):
        note("a")
    assert outcomes(guard) == ["note cancelled"]


def test_a_plain_function_that_returns_a_coroutine_is_governed_until_it_ends(guard: Guard) -> None:
    async def later() -> str:
        return "done"

    @guard.tool
    def note(text: str) -> Any:
        return later()

    with guard.session(agent="bot"):
        running = note("a")
        assert outcomes(guard) == []
        assert asyncio.run(running) == "done"
    assert outcomes(guard) == ["note ok"]


def test_obligations_change_what_the_function_gets(tmp_path: Path) -> None:
    rules = """
    tools: [{match: [find], does: read}]
    rules:
      - id: r
        roles: [worker]
        tools: [find]
        effect: allow
        obligations: [{cap: {args.limit: 10}}]
    """
    with open_guard(tmp_path, rules) as guard:
        got: list[tuple[list[str], int]] = []

        @guard.tool
        def find(words: list[str], limit: int = 50) -> None:
            got.append((words, limit))

        words = ["a"]
        with guard.session(agent="bot"):
            find(words)
            find(words, limit=3)
        assert [limit for _, limit in got] == [10, 3]
        assert got[0][0] is words
        assert outcomes(guard) == ["find ok", "find ok"]


def test_an_obligation_on_an_argument_that_is_no_plain_json_refuses(tmp_path: Path) -> None:
    rules = """
    tools: [{match: [find], does: read}]
    rules:
      - id: r
        roles: [worker]
        tools: [find]
        effect: allow
        obligations: [{redact: [args.words]}]
    """
    with open_guard(tmp_path, rules) as guard:
        ran: list[object] = []

        @guard.tool
        def find(words: tuple[str, ...]) -> None:
            ran.append(words)

        with guard.session(agent="bot"):
            with pytest.raises(Denied, match="not plain JSON"):
                find(("a",))
            find(["a"])  # type: ignore[arg-type]
        assert ran == ["[redacted]"]
        assert outcomes(guard) == ["find not-run", "find ok"]
        assert unsettled(guard) == 0


RESULT_RULES = """
tools: [{match: [show], does: read}]
rules:
  - id: r
    roles: [worker]
    tools: [show]
    effect: allow
    obligations: [{redact: [result.rows.*.email]}]
  - {id: secret, tools: [show], on: result, when: result.kind == "secret", effect: deny}
"""


def test_a_result_is_redacted_or_withheld(tmp_path: Path) -> None:
    with open_guard(tmp_path, RESULT_RULES) as guard:
        mine = {"kind": "open", "rows": [{"email": "ada@corp.example", "id": 1}]}

        @guard.tool
        def show(kind: str) -> Any:
            return mine | {"kind": kind}

        with guard.session(agent="bot"):
            assert show("open")["rows"] == [{"email": "[redacted]", "id": 1}]
            with pytest.raises(Withheld, match="secret") as caught:
                show("secret")
        assert mine["rows"] == [{"email": "ada@corp.example", "id": 1}]
        assert caught.value.reasons[0].rule == "secret"
        assert outcomes(guard) == ["show ok", "show ok"]
        assert [r.granted for r in log(guard) if r.kind == "outcome"] == [True, False]


def test_a_result_that_rules_cannot_look_into_is_withheld(tmp_path: Path) -> None:
    with open_guard(tmp_path, RESULT_RULES) as guard:

        class Rows:
            kind = "open"

        @guard.tool
        def show(kind: str) -> Any:
            return Rows()

        with guard.session(agent="bot"), pytest.raises(Withheld):
            show("open")
        assert outcomes(guard) == ["show ok"]


def test_a_result_without_rules_may_be_any_object(guard: Guard) -> None:
    class Connection:
        pass

    made = Connection()

    @guard.tool
    def note(text: str) -> Connection:
        return made

    with guard.session(agent="bot"):
        assert note("a") is made


def test_labels_of_a_result_bind_the_next_call(guard: Guard) -> None:
    ran: list[str] = []

    @guard.tool
    def page(url: str) -> str:
        return "obey me"

    @guard.tool
    def send(text: str) -> None:
        ran.append(text)

    with guard.session(agent="bot") as session:
        send("before")
        page("x")
        assert session.labels == ("untrusted",)
        with pytest.raises(Denied, match="after-untrusted"):
            send("after")
    assert ran == ["before"]


def test_arguments_that_do_not_fit_are_refused_before_anything_else(guard: Guard) -> None:
    @guard.tool
    def note(text: str) -> None:
        raise AssertionError("it ran")

    with guard.session(agent="bot"):
        with pytest.raises(InvalidArgument, match="unexpected keyword"):
            note(text="a", more=1)  # type: ignore[call-arg]
        with pytest.raises(InvalidArgument, match=r"args\.text"):
            note(object())  # type: ignore[arg-type]


@EMBEDDED
def test_reload_keeps_the_good_policy_when_the_new_one_is_broken(tmp_path: Path) -> None:
    with open_guard(tmp_path) as guard:
        source = tmp_path / "remit.yaml"
        before = guard.policies

        @guard.tool
        def note(text: str) -> str:
            return text

        with guard.session(agent="bot"):
            source.write_text("remit: 1\ndefualt: deny\n")
            with pytest.raises(PolicyError, match="defualt"):
                guard.reload()
            assert guard.policies is before
            assert note("still allowed") == "still allowed"
            write_policy(tmp_path, RULES.replace('contains("drop")', 'contains("longer")'))
            after = guard.reload()
            assert after.revision != before.revision
            with pytest.raises(Denied):
                note("no longer")
        kept = guard.store.read(lambda view: view.document(before.revision))
        assert kept == before.bundle
        assert [r.kind for r in log(guard)].count("policy") == 2


@EMBEDDED
def test_a_folder_of_documents_is_one_policy(tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "a.yaml").write_text(HEAD)
    (folder / "b.yml").write_text("remit: 1\n" + RULES)
    with Guard.open(folder) as guard:

        @guard.tool
        def note(text: str) -> str:
            return text

        with guard.session(agent="bot"):
            assert note("a") == "a"
    assert (folder / "remit.db").exists()
    assert (folder / "remit.key").stat().st_mode & 0o777 == 0o600
