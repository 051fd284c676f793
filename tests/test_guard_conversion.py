"""Arguments and results as policy sees them: one meaning for each type, everything else refused."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid

import msgspec
import pytest

from remit.errors import InvalidArgument
from remit.guard.conversion import is_json_like, is_plain, to_json


@dataclasses.dataclass
class Order:
    item: str
    pieces: int


class Parcel(msgspec.Struct):
    weight: float
    order: Order


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Loud(str):
    def __str__(self) -> str:
        return "harmless"

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


class Pydantic:
    """What pydantic models have in common, without the library."""

    __pydantic_core_schema__ = object()

    def model_dump(self, *, mode: str) -> dict[str, str]:
        return {"mode": mode}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"a": [1, "x", None, True, 1.5]}, {"a": [1, "x", None, True, 1.5]}),
        (Order("lamp", 2), {"item": "lamp", "pieces": 2}),
        (Parcel(1.5, Order("lamp", 2)), {"weight": 1.5, "order": {"item": "lamp", "pieces": 2}}),
        (Pydantic(), {"mode": "json"}),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Loud("drop"), "drop"),
        ((1, (2,)), [1, [2]]),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({2, 10}), [10, 2]),
        (decimal.Decimal("0.1"), 0.1),
        (decimal.Decimal("1E2"), 100),
        (datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC), "2026-05-01T12:00:00+00:00"),
        (datetime.date(2026, 5, 1), "2026-05-01"),
        (datetime.time(9, 30), "09:30:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("/etc/passwd"), "/etc/passwd"),
        (b"drop", "drop"),
        (bytearray(b"drop"), "drop"),
        (b"\xff", {"base64": "/w=="}),
    ],
)
def test_each_type_has_one_meaning(value: object, plain: object) -> None:
    seen = to_json(value, "args.x")
    assert seen == plain
    assert type(seen) is type(plain)


def circle() -> list[object]:
    items: list[object] = []
    items.append(items)
    return items


def doubling() -> object:
    value: object = "x"
    for _ in range(60):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (object(), r"args\.x: an object is not JSON"),
        ({"a": [object()]}, r"args\.x\.a\[0\]"),
        ({1: "a"}, "not a string"),
        ({Loud("a"): 1, "a": 2}, "two keys"),
        (lambda: None, "a function is not JSON"),
        (Order, "a type is not JSON"),
        (float("nan"), "nan"),
        (float("-inf"), "inf"),
        (decimal.Decimal("NaN"), "NaN"),
        (decimal.Decimal("1E400"), "more digits"),
        (decimal.Decimal("100.00000000000000001"), "more digits"),
        ("\ud800", "surrogate"),
        ({"\ud800": 1}, "surrogate"),
        (circle(), "nested"),
        (doubling(), "larger"),
        ("x" * 2_000_000, "larger"),
        (["x"] * 1_100_000, "larger"),
        (datetime.timedelta(1), "timedelta"),
        (1j, "complex"),
    ],
)
def test_everything_else_is_refused_by_name(value: object, complaint: str) -> None:
    with pytest.raises(InvalidArgument, match=complaint) as caught:
        to_json(value, "args.x")
    assert caught.value.where.startswith("args.x")


def test_a_snapshot_shares_nothing_mutable() -> None:
    value = {"rows": [{"a": 1}]}
    seen = to_json(value, "args.x")
    value["rows"][0]["a"] = 2
    value["rows"].append({})
    assert seen == {"rows": [{"a": 1}]}


def test_what_can_be_replaced_by_a_rewritten_value() -> None:
    assert is_plain({"a": [1, None, {"b": "c"}]})
    assert not is_plain({"a": (1,)})
    assert not is_plain({1: "a"})
    assert not is_plain([Loud("a")])
    assert not is_plain(circle())


def test_what_a_redacted_copy_can_stand_for() -> None:
    assert is_json_like([(1, "a"), {"b": ()}])
    assert not is_json_like([Order("lamp", 1)])
    assert not is_json_like({1: "a"})
    assert not is_json_like(circle())
