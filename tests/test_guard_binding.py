"""Binding: every argument under its own name, and nothing under two."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from remit.errors import ConfigError, InvalidArgument
from remit.guard.binding import ToolSignature


def seen(fn: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    return ToolSignature(fn, name=None).bind(args, kwargs).arguments


def everything(a: int, /, b: int = 2, *rest: int, c: int, d: int = 4, **more: Any) -> None: ...


class Mailer:
    def send(self, to: str) -> None: ...

    @classmethod
    def shared(cls, to: str) -> None: ...


def test_every_kind_of_parameter_is_bound_by_name() -> None:
    assert seen(everything, 1, c=3) == {"a": 1, "b": 2, "rest": [], "c": 3, "d": 4}
    assert seen(everything, 1, 5, 6, 7, c=3, d=8, e={"f": 9}) == {
        "a": 1,
        "b": 5,
        "rest": [6, 7],
        "c": 3,
        "d": 8,
        "e": {"f": 9},
    }


def test_the_object_of_a_method_is_not_an_argument() -> None:
    mailer = Mailer()
    assert seen(Mailer.send, mailer, "ada") == {"to": "ada"}
    assert seen(mailer.send, "ada") == {"to": "ada"}
    assert seen(Mailer.shared, "ada") == {"to": "ada"}
    assert ToolSignature(Mailer.send, name=None).name == "Mailer.send"


def test_plain_data_in_the_place_of_the_object_is_an_argument() -> None:
    assert seen(Mailer.send, "payload", "ada") == {"self": "payload", "to": "ada"}


def test_a_function_that_calls_its_argument_self_hides_nothing() -> None:
    def local(self: str) -> None: ...

    assert seen(local, "payload") == {"self": "payload"}


def test_preset_arguments_are_bound_too() -> None:
    def query(sql: str, limit: int) -> None: ...

    assert seen(functools.partial(query, limit=5), "x") == {"sql": "x", "limit": 5}


@pytest.mark.parametrize(
    ("args", "kwargs", "complaint"),
    [
        ((), {"c": 3}, "missing a required argument: 'a'"),
        ((1, 2), {}, "missing a required"),
        ((1,), {"c": 3, "a": 9}, "cannot be told from"),
        ((1,), {"c": 3, "rest": 9}, "cannot be told from"),
        ((1,), {"c": 3, "more": 9}, "cannot be told from"),
        ((1,), {"c": 3, "\uff43": 9}, "cannot be told from"),
        ((1,), {"c": 3, "C": 9}, "cannot be told from"),
        ((1,), {"c": 3, "x": 1, "X": 2}, "cannot be told from"),
        ((object(),), {"c": 3}, r"args\.a: an object"),
        ((1,), {"c": 3, "e": object()}, r"args\.e: an object"),
    ],
)
def test_what_cannot_be_put_before_policy_is_refused(
    args: tuple[Any, ...], kwargs: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidArgument, match=complaint):
        seen(everything, *args, **kwargs)


def test_a_default_that_is_no_json_is_absent_until_a_caller_chooses_it() -> None:
    missing = object()

    def find(name: str, after: Any = missing) -> None: ...

    assert seen(find, "x") == {"name": "x"}
    with pytest.raises(InvalidArgument, match=r"args\.after"):
        seen(find, "x", missing)


def test_injected_parameters_are_the_hosts_alone() -> None:
    def query(sql: str, connection: Any = "default") -> None: ...

    tool = ToolSignature(query, name="db.query", injected=["connection"])
    assert tool.bind(("x", object()), {}).arguments == {"sql": "x"}
    assert tool.bind(("x",), {}).arguments == {"sql": "x"}
    with pytest.raises(InvalidArgument, match=r"args\.connection.*injected"):
        tool.bind(("x",), {"connection": "postgres://evil"})
    with pytest.raises(ConfigError, match="no parameter conn"):
        ToolSignature(query, name=None, injected=["conn"])


def test_a_callable_without_a_signature_is_refused_when_it_is_wrapped() -> None:
    with pytest.raises(ConfigError, match="no signature"):
        ToolSignature(type, name=None)


def test_the_schema_digest_follows_the_parameters() -> None:
    def first(a: int) -> None: ...
    def renamed(b: int) -> None: ...
    def retyped(a: str) -> None: ...
    def optional(a: int = 1) -> None: ...

    digests = {ToolSignature(fn, name="t").schema for fn in (first, renamed, retyped, optional)}
    assert len(digests) == 4
    assert ToolSignature(first, name="t").schema in digests


def test_arguments_changed_after_the_decision_are_noticed() -> None:
    def save(rows: list[int], note: str) -> None: ...

    rows = [1]
    call = ToolSignature(save, name=None).bind((rows, "x"), {})
    call.adopt(call.arguments)
    rows.append(2)
    with pytest.raises(InvalidArgument, match="changed after"):
        call.adopt(call.arguments)
    rows[:] = [object()]  # type: ignore[list-item]
    with pytest.raises(InvalidArgument, match="changed after"):
        call.adopt(call.arguments)


def test_rewritten_arguments_reach_every_kind_of_parameter() -> None:
    call = ToolSignature(everything, name=None).bind((1, 2, 3), {"c": 4, "e": "f"})
    call.adopt({"a": 10, "b": 20, "rest": [30, 31], "c": 40, "d": 50, "e": "g"})
    assert call.args == (10, 20, 30, 31)
    assert call.kwargs == {"c": 40, "d": 50, "e": "g"}


def test_what_is_not_rewritten_stays_the_callers_own_object() -> None:
    def save(rows: list[int], limit: int) -> None: ...

    rows = [1]
    call = ToolSignature(save, name=None).bind((rows, 9), {})
    call.adopt({"rows": [1], "limit": 5})
    assert call.args[0] is rows
    assert call.args[1] == 5


def test_a_rewritten_argument_that_was_no_plain_json_is_refused() -> None:
    def save(rows: tuple[int, ...]) -> None: ...

    call = ToolSignature(save, name=None).bind(((1, 2),), {})
    with pytest.raises(InvalidArgument, match="not plain JSON"):
        call.adopt({"rows": [1]})
    with pytest.raises(InvalidArgument, match="adds or removes"):
        call.adopt({"rows": [1, 2], "more": 1})
