"""OpenAPI documents: operations by method and path, arguments with their types."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.errors import InvalidArgument
from remit.model import Does
from remit.protocols.http_target import HttpFault
from remit.protocols.openapi import ApiDocument, read_openapi

ITEM = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}


def of(paths: dict[str, Any], **more: Any) -> ApiDocument:
    return read_openapi({"openapi": "3.1.0", "paths": paths, **more}, "crm")


def get(name: str, **more: Any) -> dict[str, Any]:
    return {"get": {"operationId": name, **more}}


def body(schema: Any, media: str = "application/json", **more: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {media: {"schema": schema}}, **more}}


def found(document: ApiDocument, path: str, method: str = "GET") -> Any:
    hit = document.find(method, tuple(path[1:].split("/")))
    return None if hit is None else (hit[0].name, hit[1])


def test_fixed_segments_go_before_named_ones():
    document = of(
        {
            "/items/{id}": get("one"),
            "/items/all": get("all"),
            "/items/{id}/notes": get("notes"),
            "/items/all/{part}": get("part"),
            "/": get("root"),
        }
    )
    assert found(document, "/items/7") == ("crm.one", {"id": "7"})
    assert found(document, "/items/all") == ("crm.all", {})
    assert found(document, "/items/all/notes") == ("crm.part", {"part": "notes"})
    assert found(document, "/items/7/notes") == ("crm.notes", {"id": "7"})
    assert found(document, "/") == ("crm.root", {})
    for nothing in ("/items", "/items/", "/items/7/", "/items/7/x/y", "/Items/7"):
        assert found(document, nothing) is None
    assert found(document, "/items/7", "POST") is None


def test_a_fixed_segment_that_leads_nowhere_gives_way():
    document = of({"/a/b": get("fixed"), "/{x}/c": get("named")})
    assert found(document, "/a/c") == ("crm.named", {"x": "a"})


def test_what_operations_do():
    paths = {
        "/a": {
            "get": {"operationId": "g"},
            "post": {"operationId": "p"},
            "delete": {"operationId": "d"},
            "put": {"operationId": "pay", "x-remit-does": "pay"},
        }
    }
    does = {each.name: each.does for each in of(paths).operations}
    assert does == {
        "crm.g": Does.READ, "crm.p": Does.WRITE, "crm.d": Does.DELETE, "crm.pay": Does.PAY,
    }  # fmt: skip


def test_arguments_come_from_everywhere_with_their_types():
    parameters = [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
        {"$ref": "#/components/parameters/page"},
        {"name": "X-Tenant", "in": "header", "required": True},
        {"name": "Accept", "in": "header"},
    ]
    document = of(
        {
            "/items/{id}": {
                "parameters": parameters,
                "post": {"operationId": "put", **body({"$ref": "#/components/schemas/I~0t~1em"})},
            }
        },
        components={
            "schemas": {"I~t/em": ITEM},
            "parameters": {"page": {"name": "page", "in": "query", "schema": {"type": "integer"}}},
        },
    )
    [operation] = document.operations
    assert set(operation.arguments) == {"id", "page", "X-Tenant"}
    assert operation.members == ITEM
    assert operation.schema["required"] == ["id", "X-Tenant"]
    operation.check({"id": 7, "X-Tenant": "a"})
    for wrong in ({"id": "7", "X-Tenant": "a"}, {"id": 7}, {"id": 7, "X-Tenant": "a", "x": 1}):
        with pytest.raises(HttpFault) as fault:
            operation.check(wrong)
        assert fault.value.status == 422


def test_bodies_that_are_objects_are_flat_unless_names_meet():
    def members(paths: dict[str, Any]) -> tuple[bool, bool]:
        [operation] = of(paths).operations
        return operation.members is not None, operation.whole is not None

    flat = {"/a": {"post": {"operationId": "a", **body(ITEM, required=True)}}}
    assert members(flat) == (True, False)
    assert of(flat).operations[0].schema["required"] == ["name"]
    as_list = {"/a": {"post": {"operationId": "a", **body({"type": "array"}, required=True)}}}
    assert members(as_list) == (False, True)
    assert of(as_list).operations[0].schema["required"] == ["body"]
    clash = {"/a/{name}": {"post": {"operationId": "a", **body(ITEM)}}}
    assert members(clash) == (False, True)
    form = {"/a": {"post": {"operationId": "a", **body(ITEM, "application/x-www-form-urlencoded")}}}
    assert members(form) == (True, False)
    binary = {"/a": {"post": {"operationId": "a", **body({}, "image/png")}}}
    assert members(binary) == (False, True)
    empty = {"/a": {"post": {"operationId": "a", "requestBody": {}}}}
    assert members(empty) == (False, False)
    without = {
        "/a": {
            "post": {
                "operationId": "a",
                "requestBody": {"content": {"application/json": None}},
            }
        }
    }
    assert members(without) == (False, True)


def test_further_members_pass_where_the_document_says_so():
    schema = {**ITEM, "additionalProperties": {"type": "integer"}}
    [operation] = of({"/a": {"post": {"operationId": "a", **body(schema)}}}).operations
    operation.check({"name": "x", "other": 1})
    with pytest.raises(HttpFault):
        operation.check({"name": "x", "other": "y"})


def written(paths: Any, **more: Any) -> dict[str, Any]:
    return {"openapi": "3.0.0", "paths": paths, **more}


def taking(*parameters: dict[str, Any], path: str = "/a", **more: Any) -> dict[str, Any]:
    return written({path: get("x", parameters=list(parameters))}, **more)


def posted(schema: Any, *parameters: dict[str, Any]) -> dict[str, Any]:
    post = {"operationId": "x", "parameters": list(parameters), **body(schema)}
    return written({"/a": {"post": post}})


def named(name: str, place: str) -> dict[str, Any]:
    return {"in": place, "name": name}


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (None, "version 3"),
        ({"swagger": "2.0"}, "version 3"),
        ({"openapi": "3.0.0"}, "there are none"),
        (written({}), "there are none"),
        (written({"a": {}}), "slash"),
        (written({7: {}}), "slash"),
        (written({"/a": {"$ref": "#/x"}}), "no object"),
        (written({"/a": 7}), "no object"),
        (written({"/a": {}}), "none of them"),
        (written({"/a": {"get": 7}}), "no object"),
        (written({"/a": {"get": {}}}), "operationId"),
        (written({"/a": get("a b")}), "operationId"),
        (written({"/a": get("x"), "/b": get("X")}), "twice"),
        (written({"/{a}": get("x"), "/{b}": get("y")}), "same method"),
        (written({"/a{b}": get("x")}), "whole segment"),
        (written({"/a": get("x", **{"x-remit-does": "eat"})}), "x-remit-does"),
        (taking({"in": "query"}), "name"),
        (taking(named("a", "sky")), "lacks"),
        (taking(named("a", "cookie")), "cookies"),
        (taking(named("a", "path")), "is not"),
        (taking(named("a", "query"), path="/{a}"), "elsewhere"),
        (taking(named("a", "query"), named("A", "query")), "same name"),
        (taking({"$ref": "http://x/"}), "outside"),
        (taking({"$ref": "#/none"}), "nowhere"),
        (taking({"$ref": "#/c"}, c={"$ref": "#/c"}), "circle"),
        (posted({"type": "what"}), "schema"),
        (posted(7), "is an object"),
        (posted({"type": "array"}, named("body", "query")), "called body"),
    ],
)
def test_documents_that_cannot_be_used_say_why(document: Any, problem: str):
    with pytest.raises(InvalidArgument, match=problem):
        read_openapi(document, "crm")


def test_schemas_may_be_true_or_false():
    anything = {"in": "query", "name": "a", "schema": True}
    nothing = {"in": "query", "name": "b", "schema": False}
    [operation] = of({"/a": get("x", parameters=[anything, nothing])}).operations
    operation.check({"a": [1]})
    with pytest.raises(HttpFault):
        operation.check({"b": "1"})
    [posts] = of({"/a": {"post": {"operationId": "x", **body(True)}}}).operations
    posts.check({"body": 7})


def test_references_are_bounded():
    deep: Any = {"type": "string"}
    for _ in range(60):
        deep = {"type": "object", "properties": {"a": deep}}
    with pytest.raises(InvalidArgument, match="too deep"):
        of({"/a": {"post": {"operationId": "x", **body(deep)}}})


WHOLE = {
    "openapi": "3.1.0",
    "paths": {
        "/a/{id}": {
            "parameters": [{"name": "id", "in": "path", "schema": {"type": "integer"}}],
            "post": {
                "operationId": "x",
                "x-remit-does": "pay",
                "parameters": [{"$ref": "#/components/parameters/p"}],
                **body({"$ref": "#/components/schemas/s"}, required=True),
            },
        }
    },
    "components": {
        "parameters": {"p": {"name": "p", "in": "query", "required": True}},
        "schemas": {"s": ITEM},
    },
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from places(each, (*path, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from places(each, (*path, number))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    step, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[step] = replaced(value[step], tuple(rest), new)
    return copy


@settings(max_examples=300)
@given(st.sampled_from(list(places(WHOLE))), JSON)
def test_whatever_is_wrong_with_a_document_is_said(path: tuple[Any, ...], new: Any):
    with contextlib.suppress(InvalidArgument):
        assert read_openapi(replaced(WHOLE, path, new), "crm").operations
