"""What GraphQL requests do, whatever they call it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.protocols.graphql import MAX_OPERATIONS, read_graphql
from remit.protocols.http_target import HttpFault


def shown(query: str, **more: Any) -> dict[str, Any]:
    return read_graphql({"query": query, **more}).shown()


def test_a_query_with_variables():
    found = shown(
        "query Q($n: Int = 3, $m: Int) { p: products(first: $n, after: $m, by: {s: [UP, $n]}) "
        "{ id owner { name } } }",
        variables={"m": 7},
        operationName="Q",
        extensions={},
    )
    assert found == {
        "kind": "query",
        "operations": 1,
        "roots": [
            {
                "kind": "query",
                "name": "products",
                "arguments": {"first": 3, "after": 7, "by": {"s": ["UP", 3]}},
            }
        ],
        "names": ["products"],
        "fields": ["products", "products.id", "products.owner", "products.owner.name"],
    }


def test_a_text_is_a_query_and_a_variable_without_a_value_is_null():
    request = read_graphql("query Q($n: Int) { products(first: $n) { id } }")
    assert request.roots[0].arguments == {"first": None}


def test_variables_that_are_left_out_are_null_wherever_they_stand():
    request = read_graphql(
        {"query": "query Q($n: Int, $m: [Int] = [1]) { a(by: {n: $n, l: [$n, $m]}, m: $m) }"}
    )
    assert request.roots[0].arguments == {"by": {"n": None, "l": [None, [1]]}, "m": [1]}


@pytest.mark.parametrize("value", ["9" * 5000, "1e999", "[$none]", "{a: $none}"])
def test_arguments_that_are_no_json_are_refused(value: str):
    with pytest.raises(HttpFault):
        read_graphql(f"query Q($n: Int) {{ a(x: {value}) }}")


@given(st.text('{}()[]$:!@#. \n"abcmutationqueryfragment on0123456789', max_size=60))
def test_nothing_but_a_fault_comes_of_made_up_queries(text: str):
    with contextlib.suppress(HttpFault):
        read_graphql(text).shown()


@pytest.mark.parametrize(
    ("query", "kind", "names"),
    [
        ("mutation { products: deleteProduct(id: 1) { id } }", "mutation", ["deleteProduct"]),
        ("{ a } mutation B { b }", "mutation", ["a", "b"]),
        ("subscription S { s } query A { a }", "subscription", ["a", "s"]),
        ("mutation B { b } query A { a }", "mutation", ["a", "b"]),
        ("{ ...F } fragment F on Query { ...G x } fragment G on Query { y }", "query", ["x", "y"]),
        ("mutation { ... on Mutation { ... { drop } } }", "mutation", ["drop"]),
        ("{ __schema { types { name } } }", "query", ["__schema"]),
    ],
)
def test_aliases_operations_and_fragments_hide_nothing(query: str, kind: str, names: list[str]):
    found = shown(query)
    assert (found["kind"], found["names"]) == (kind, names)


def test_a_batch_is_as_bad_as_its_worst_request():
    request = read_graphql([{"query": "{ a }"}, {"query": "mutation { b }"}, {"query": "{ c }"}])
    assert (request.kind, request.operations) == ("mutation", 3)
    assert [root.name for root in request.roots] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "value",
    [
        [],
        None,
        7,
        {"query": 7},
        {"id": "stored"},
        {"query": "{ a }", "extensions": {"persistedQuery": {}}},
        {"query": "{ a }", "mutation": "x"},
        {"query": "{ a }", "variables": [1]},
        {"query": ""},
        {"query": "{ a "},
        {"query": "fragment F on Q { a }"},
        {"query": "type Q { a: Int }"},
        {"query": "{ ...F }"},
        {"query": "{ ...F } fragment F on Q { ...F }"},
        {"query": "{ ...F } fragment F on Q { a } fragment F on Q { b }"},
        {"query": "{" + " a" * 300_000 + "}"},
        {"query": "{a" * 130 + "}" * 130},
        {"query": "{a" * 40 + "}" * 40},
        {"query": "{" + " a" * 2001 + "}"},
        [{"query": "{ a }"}] * (MAX_OPERATIONS + 1),
        [{"query": " ".join(f"query A{n} {{ a }}" for n in range(30))}] * 2,
    ],
)
def test_what_cannot_be_looked_into_is_refused(value: Any):
    with pytest.raises(HttpFault) as fault:
        read_graphql(value)
    assert fault.value.code == "bad-graphql"


def test_fragments_that_double_are_given_up():
    fragments = " ".join(f"fragment F{n} on Q {{ ...F{n + 1} ...F{n + 1} }}" for n in range(25))
    with pytest.raises(HttpFault, match="2,000"):
        read_graphql(f"{{ ...F0 }} {fragments} fragment F25 on Q {{ a }}")
    deep = " ".join(f"fragment F{n} on Q {{ ...F{n + 1} }}" for n in range(40))
    with pytest.raises(HttpFault, match="not there"):
        read_graphql(f"{{ ...F0 }} {deep} fragment F40 on Q {{ a }}")
