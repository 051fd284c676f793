"""Reading results: bounds, records, the largest and the smallest, and forms of single values."""

from __future__ import annotations

import pytest

from remit.provenance import digests, observing
from remit.provenance.derivation import computes, later
from remit.provenance.forms import chunks, decimal, identity
from remit.provenance.grounding import Provenance
from remit.provenance.lexicon import base
from remit.provenance.memory import Memory, say
from remit.provenance.moments import instant
from remit.provenance.observing import MAX_MARKED, MAX_TEXT, Fields, observe

LABELS = Fields(labels=("confidential",), platform=("id", "size", "*_id"))


def seen(result: object, fields: Fields = LABELS, said: str = "What is new?") -> Provenance:
    return Provenance(observe(say(Memory(), said), result, {}, fields))


def test_a_set_of_digests_forgets_its_oldest_run_first():
    runs, forgot = digests.add((), set(range(10)), 12)
    assert not forgot
    runs, forgot = digests.add(runs, set(range(100, 104)), 12)
    assert forgot
    assert digests.split(runs) == set(range(100, 104))


def test_many_questions_are_answered_as_few_are():
    runs, _ = digests.add((), set(range(0, 1000, 2)), 4096)
    for wanted in ({998}, {999}, set(range(1, 999, 2)), set(range(1, 1000))):
        assert digests.meets(runs, wanted) is not wanted.isdisjoint(range(0, 1000, 2))


def test_a_copy_of_what_stands_behind_what_is_read_closely_is_recognised():
    rows = [{"id": f"row-{at:05}", "n": at, "note": "x" * 900} for at in range(80)]
    rows.append({"id": "row-late", "note": "the quick brown fox jumps over the lazy dog again"})
    known = seen(rows)
    assert known.memory.overflown == ("confidential",)
    assert known._carries("quick brown fox jumps over the lazy dog", "confidential")
    assert not known.from_trusted("row-late"), "what is not read closely is trusted by nobody"


def test_what_stands_behind_everything_that_is_read_is_not_recognised():
    known = seen(["x y " * (MAX_TEXT // 4), "z w " * (MAX_MARKED // 4), "mallory@evil.example", 7])
    assert not known._carries("mallory@evil.example", "confidential")
    assert known.flows("mallory@evil.example", "confidential"), "it may have been there"


def test_a_long_result_of_a_trusted_tool_marks_nothing():
    known = seen(["word " * (MAX_TEXT // 5 + 9), ["late", None]], Fields())
    assert known.memory.seen == {}


def test_labels_by_place_count_for_all_that_is_skimmed():
    fields = Fields(labels=("untrusted",), by_path={"result.*.note": ("confidential",)})
    known = seen([{"note": "a " * MAX_TEXT}, {"note": "late mallory@evil.example"}], fields)
    assert known.memory.overflown == ("confidential", "untrusted")
    assert known._carries("mallory@evil.example", "confidential")


def test_deep_values_are_skimmed():
    value: object = "mallory@evil.example"
    for _ in range(40):
        value = [value]
    assert seen(value).memory.overflown == ("confidential",)


def test_numbers_that_are_none_are_no_numbers():
    known = seen([float("inf"), float("nan"), None, True, 5], Fields())
    assert known.memory.numbers == ("5",)
    assert decimal("no number") is None
    pointed = observe(
        say(Memory(), "Go by notes/plan.txt"),
        [float("inf"), 7],
        {"path": "notes/plan.txt"},
        LABELS,
    )
    assert pointed.pointed == ("7",)


SIZES = [{"id": "a-1", "size": 3}, {"id": "b-2", "size": 9}, {"id": "c-3", "size": 5}]


@pytest.mark.parametrize(
    ("listed", "designated"),
    [
        (SIZES, "b-2"),
        ([*SIZES, {"id": "d-4", "size": 9}], None),
        ([*SIZES, {"id": "d-4", "size": "much"}], None),
        ([*SIZES, {"id": "d-4", "size": "2024-05-01"}], None),
        ([*SIZES, {"id": "d-4", "size": True}], None),
        ([*SIZES, "no record"], None),
        (SIZES[1:2], None),
        ([{"size": 1}, {"size": 2}], None),
    ],
)
def test_the_largest_is_one_or_none(listed: list[object], designated: str | None):
    known = seen(listed, said="Delete the largest file")
    assert known.from_user("b-2") is (designated == "b-2")
    assert not known.from_user("c-3")


def test_who_a_record_names_is_found_at_most_two_deep():
    fields = Fields(labels=("untrusted",), platform=("owner", "id"))
    record = {"id": "r-1", "title": "Plan B", "owner": {"a": {"owner": {"owner": "x@y.example"}}}}
    known = seen(record, fields, "Share Plan B")
    assert not known.from_user("x@y.example")
    near = {"id": "r-1", "title": "Plan B", "owner": {"main": {"owner": "x@y.example"}}}
    assert seen(near, fields, "Share Plan B").from_user("x@y.example")


def test_what_claims_to_be_somebody_is_not_what_a_platform_says():
    fields = Fields(labels=("untrusted",), platform=("sender",), claimed=("sender",))
    nested = [{"subject": "Hi", "meta": {"sender": "mallory@evil.example"}}]
    assert not seen(nested, fields, "Reply to Hi").from_user("mallory@evil.example")


def test_dates_and_moments():
    assert instant("2024-05-15T13:00") == ("2024-05-15", "13:00")
    assert instant("2024-05-15 13:00:10") == ("2024-05-15", "13:00")
    assert instant("5 May 2024 10:30") == ("2024-05-05", "10:30")
    assert instant("room 2024") is None
    assert instant("5 May 2024 in room 7") is None
    assert instant("5 May, 7 May") is None
    assert instant("no digits") is None
    assert instant("2024-05-15 " + "x" * 80) is None
    assert later("no day", None, [60]) == []
    assert later("2024-05-15", "10:00", [60, 10**9]) == [("2024-05-15", "09:00")]


def test_what_is_computed_from_what():
    assert computes("no number", ["1"], [], []) is None
    assert computes("7", [], ["7"], []) is None, "nothing of it is the user's"
    assert computes("12", ["5"], ["7"], []) == "5 + 7"
    assert computes("5", ["5"], ["5"], []) == "5"
    assert computes("14", [], ["7", "21"], []) is None


def test_single_values():
    assert list(chunks("ada's (lamp), -")) == ["ada's", "ada", "lamp", "-"]
    assert (base("lamps"), base("sent"), base("stopped")) == ("lamps", "send", "stop")
    assert identity("£1,200.50") == "n:1200.5"
    assert list(observing._flat({"a": [1, None, {"b": "x"}]})) == [1, "x"]
