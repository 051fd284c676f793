from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.errors import ObligationError
from remit.model import Obligation
from remit.obligations import MARK, apply, labels, of_result, redact


def rewrite(target: str, value: Any) -> Obligation:
    return Obligation(kind="rewrite", target=target, value=value, rule="r1")


def cap(target: str, value: Any) -> Obligation:
    return Obligation(kind="cap", target=target, value=value, rule="r1")


def hide(target: str) -> Obligation:
    return Obligation(kind="redact", target=target, rule="r1")


def label(value: Any) -> Obligation:
    return Obligation(kind="label", value=value, rule="r1")


def test_no_obligation_leaves_the_very_same_objects() -> None:
    arguments = {"to": "ada"}
    result = [1]
    assert apply(arguments, ()) is arguments
    assert apply(arguments, (label("seen"), hide("result.email"))) is arguments
    assert redact(result, (label("seen"), rewrite("args.to", "x"))) is result


def test_a_rewrite_puts_its_value_in_place_and_leaves_the_original_alone() -> None:
    arguments = {"filter": {"limit": 10, "rows": [1, 2, 3]}, "x": None}
    changed = apply(
        arguments,
        (rewrite("args.filter.limit", 5.0), rewrite("args.filter.rows.1", 9), rewrite("args.x", 1)),
    )
    assert changed == {"filter": {"limit": 5.0, "rows": [1, 9, 3]}, "x": 1}
    assert arguments == {"filter": {"limit": 10, "rows": [1, 2, 3]}, "x": None}


@pytest.mark.parametrize(
    ("old", "new"),
    [("text", 1), (1, "text"), (1, True), (True, 1), ([1], {"a": 1}), ({"a": 1}, [1]), (1, None)],
)
def test_a_rewrite_to_another_type_is_refused(old: Any, new: Any) -> None:
    with pytest.raises(ObligationError, match=r"rewrite args.v of rule r1 .* another type"):
        apply({"v": old}, (rewrite("args.v", new),))


def test_a_rewrite_within_a_type_passes() -> None:
    for old, new in ((1, 2.5), ((1,), [2]), ({"a": 1}, {}), ("a", "b"), (True, False)):
        assert apply({"v": old}, (rewrite("args.v", new),)) == {"v": new}


@pytest.mark.parametrize(
    ("value", "most", "left"),
    [(50, 100, 50), (100, 100, 100), (500, 100.0, 100), (500, 99.5, 99), (1.5, 1, 1), (-3, 1, -3)],
)
def test_a_cap_lowers_a_number(value: float, most: float, left: float) -> None:
    result = apply({"n": value}, (cap("args.n", most),))["n"]
    assert result == left
    assert result <= most
    assert not isinstance(value, int) or isinstance(result, int)


@pytest.mark.parametrize("value", ["500", True, None, [500], {"n": 500}])
def test_only_a_number_can_be_capped(value: Any) -> None:
    with pytest.raises(ObligationError, match="only a number"):
        apply({"n": value}, (cap("args.n", 100),))
    with pytest.raises(ObligationError, match="only a number"):
        apply({"n": 1}, (cap("args.n", value),))


def test_p13_a_number_that_is_absent_does_not_count_as_small() -> None:
    with pytest.raises(ObligationError, match="there is no 'amount'"):
        apply({}, (cap("args.amount", 100),))


def test_redaction_reaches_every_element() -> None:
    result = {"rows": [{"email": "a@x", "id": 1}, {"email": None, "id": 2}], "by": {"a": 1, "b": 2}}
    assert redact(result, (hide("result.rows.*.email"), hide("result.by.*"))) == {
        "rows": [{"email": MARK, "id": 1}, {"email": MARK, "id": 2}],
        "by": {"a": MARK, "b": MARK},
    }
    assert result["rows"][0]["email"] == "a@x"  # type: ignore[index]


def test_redaction_takes_a_whole_result_tuples_and_indexes() -> None:
    assert redact("secret", (hide("result"),)) == MARK
    assert redact(({"e": 1}, {"e": 2}), (hide("result.*.e"),)) == [{"e": MARK}, {"e": MARK}]
    assert redact([1, 2], (hide("result.1"),)) == [1, MARK]
    assert redact({"1": "x"}, (hide("result.1"),)) == {"1": MARK}


def test_redaction_passes_over_rows_without_the_optional_field() -> None:
    rows = [{"id": 1}, {"id": 2, "email": "a@x"}]
    assert redact(rows, (hide("result.*.email"),)) == [{"id": 1}, {"id": 2, "email": MARK}]
    assert redact([], (hide("result.*.email"),)) == []
    assert redact({}, (hide("result.*.email"),)) == {}


@pytest.mark.parametrize(
    "result",
    [
        [{"id": 1}, {"e-mail": "a@x"}],
        [{"email": "a@x"}, "b@x"],
        [{"email": "a@x"}, None],
        {"rows": [{"email": "a@x"}]},
        "a@x",
        None,
    ],
)
def test_a_result_of_another_shape_is_not_taken_for_redacted(result: Any) -> None:
    with pytest.raises(ObligationError, match="cannot be carried out"):
        redact(result, (hide("result.*.email"),))


def test_a_cap_passes_over_nothing() -> None:
    with pytest.raises(ObligationError, match="there is no 'n'"):
        apply({"rows": [{"n": 1}, {}]}, (cap("args.rows.*.n", 1),))


@pytest.mark.parametrize("target", ["args.rows.3", "args.rows.-1", "args.rows.x", "args.rows.²"])
def test_a_place_that_is_not_in_a_list_is_refused(target: str) -> None:
    with pytest.raises(ObligationError, match="there is no"):
        apply({"rows": [1, 2, 3]}, (hide(target),))


@pytest.mark.parametrize(
    ("obligation", "problem"),
    [
        (Obligation(kind="encrypt", target="args.x"), "nobody here knows"),
        (Obligation(kind="encrypt"), "nobody here knows"),
        (hide("context.x"), "must start with args or result"),
        (hide(""), "must start with args or result"),
        (rewrite("args", {}), "must name an argument"),
    ],
)
def test_an_obligation_that_nobody_can_carry_out_is_refused(
    obligation: Obligation, problem: str
) -> None:
    with pytest.raises(ObligationError, match=problem):
        apply({"x": 1}, (obligation,))


def test_labels_are_texts() -> None:
    assert labels((label("untrusted"), hide("result.x"), label("pii"))) == ("untrusted", "pii")
    for value in ("", None, 3):
        with pytest.raises(ObligationError, match="a label is a text"):
            labels((label(value),))


def test_those_that_wait_for_the_result() -> None:
    later = hide("result.rows.*.email")
    assert of_result((rewrite("args.to", "x"), later, label("pii"))) == (later,)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
)


@settings(deadline=None)
@given(
    value=json_values,
    path=st.lists(st.sampled_from(["a", "b", "*", "0", "1"]), max_size=3),
)
def test_redacting_succeeds_fully_or_not_at_all(value: Any, path: list[str]) -> None:
    """After it, whatever the path leads to is the mark."""
    target = ".".join(["result", *path])
    before = repr(value)
    try:
        shown = redact(value, (hide(target),))
    except ObligationError:
        return
    finally:
        assert repr(value) == before
    assert all(found == MARK for found in reached(shown, path))


def reached(value: Any, path: list[str]) -> list[Any]:
    if not path:
        return [value]
    if path[0] == "*":
        inner = list(value.values()) if isinstance(value, dict) else value
        return [found for each in inner for found in reached(each, path[1:])]
    if isinstance(value, list):
        return reached(value[int(path[0])], path[1:])
    return reached(value[path[0]], path[1:]) if path[0] in value else []
