"""HTTP requests as actions: names, arguments, what they do, and back into a request."""

from __future__ import annotations

from typing import Any

import pytest

from remit.model import Does
from remit.protocols.http import (
    HttpAction,
    HttpExchange,
    HttpReading,
    action_of,
    read_exchange,
    rewritten,
)
from remit.protocols.http_target import HttpFault, HttpOrigin, read_target
from remit.protocols.openapi import read_openapi

ORIGIN = HttpOrigin("http", "crm.corp", 80)
JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
INTEGERS = {"type": "array", "items": {"type": "integer"}}
ANYTHING = {"type": "array", "items": True}
DOCUMENT = read_openapi(
    {
        "openapi": "3.1.0",
        "paths": {
            "/orders/{id}": {
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
                    {"name": "dry", "in": "query", "schema": {"type": "boolean"}},
                    {"name": "tag", "in": "query", "schema": INTEGERS},
                    {"name": "rate", "in": "query", "schema": {"type": "number"}},
                    {"name": "X-Tenant", "in": "header"},
                    {"name": "any", "in": "query", "schema": ANYTHING},
                ],
                "get": {"operationId": "show"},
                "post": {
                    "operationId": "change",
                    "requestBody": {
                        "required": True,
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "properties": {
                                        "amount": {"type": "integer"},
                                        "note": {"type": "string"},
                                    },
                                    "additionalProperties": True,
                                }
                            }
                        },
                    },
                },
                "put": {
                    "operationId": "replace",
                    "requestBody": {"content": {"application/json": {"schema": {"type": "array"}}}},
                },
            },
            "/graphql": {"post": {"operationId": "gql"}},
        },
    },
    "crm",
)  # fmt: skip


def exchange(
    method: str, target: str, *headers: tuple[str, str], body: bytes = b"", **reading: Any
) -> HttpExchange:
    return read_exchange(method, ORIGIN, read_target(target), headers, body, HttpReading(**reading))


def action(method: str, target: str, *headers: tuple[str, str], body: bytes = b"") -> HttpAction:
    return action_of(exchange(method, target, *headers, body=body), DOCUMENT)


def test_without_a_document_a_request_is_named_by_method_host_and_path():
    sent = (JSON, ("X-Tenant", "t"))
    found = action_of(
        exchange("POST", "/a%20b?x=1", *sent, body=b'{"y": 2}', headers=("x-tenant",))
    )
    assert found.action.name == "http.post crm.corp/a b"
    assert found.action.kind == "http"
    assert found.arguments == {
        "method": "POST", "host": "crm.corp", "path": "/a b", "query": {"x": "1"},
        "headers": {"x-tenant": "t"}, "body": {"y": 2},
    }  # fmt: skip
    assert found.context["http"] == {
        "method": "POST", "host": "crm.corp", "path": "/a b", "template": "", "does": "write",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "does"),
    [("GET", Does.READ), ("HEAD", Does.READ), ("OPTIONS", Does.READ), ("DELETE", Does.DELETE),
     ("PUT", Does.WRITE), ("PATCH", Does.WRITE), ("POST", Does.WRITE)],
)  # fmt: skip
def test_methods_say_what_they_do(method: str, does: Does):
    found = action_of(exchange(method, "/a"))
    assert found.does is does
    assert found.reads is (does is Does.READ)
    assert "body" not in found.arguments


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "PROPFIND", ""])
def test_other_methods_are_refused(method: str):
    with pytest.raises(HttpFault) as fault:
        exchange(method, "/a")
    assert fault.value.status == 405


def test_a_read_has_no_body():
    with pytest.raises(HttpFault, match="no body"):
        exchange("GET", "/a", JSON, body=b"{}")


def test_an_operation_has_typed_arguments():
    found = action(
        "POST", "/orders/7?dry=true&tag=1&tag=2&rate=1.5", JSON, ("x-tenant", "t"),
        body=b'{"amount": 3, "other": null}',
    )  # fmt: skip
    assert found.action.name == "crm.change"
    assert found.action.schema == DOCUMENT.operations[1].digest
    assert found.arguments == {
        "id": 7, "dry": True, "tag": [1, 2], "rate": 1.5, "X-Tenant": "t", "amount": 3,
        "other": None,
    }  # fmt: skip
    assert found.context["http"]["template"] == "/orders/{id}"
    assert action("GET", "/orders/7?tag=1&any=1").arguments == {"id": 7, "tag": [1], "any": ["1"]}
    assert action("PUT", "/orders/7", JSON, body=b"[1]").arguments == {"id": 7, "body": [1]}
    assert action("PUT", "/orders/7").arguments == {"id": 7}
    assert action("GET", "/other").action.name == "http.get crm.corp/other"
    form = action("POST", "/orders/7", FORM, body=b"amount=3&note=x&other=9")
    assert form.arguments == {"id": 7, "amount": 3, "note": "x", "other": "9"}


@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    [
        ("GET", "/orders/seven", (), b""),
        ("GET", "/orders/7?dry=yes", (), b""),
        ("GET", "/orders/7?dry=true&dry=false", (), b""),
        ("GET", "/orders/7?tag=x", (), b""),
        ("GET", "/orders/7?rate=true", (), b""),
        ("GET", "/orders/7?rate=NaN", (), b""),
        ("GET", "/orders/7?id=8", (), b""),
        ("GET", "/orders/7?undeclared=1", (), b""),
        ("POST", "/orders/7", (), b""),
        ("POST", "/orders/7", (JSON,), b"[]"),
        ("POST", "/orders/7", (("Content-Type", "text/plain"),), b"x"),
        ("POST", "/orders/7", (JSON,), b'{"id": 8}'),
        ("POST", "/orders/7", (JSON,), b'{"ID": 8}'),
        ("POST", "/orders/7", (JSON,), b'{"Amount": 8}'),
        ("POST", "/orders/7", (JSON,), b'{"amount": "8"}'),
        ("PUT", "/orders/7", (JSON,), b"{}"),
    ],
)
def test_requests_that_do_not_fit_their_operation_are_refused(
    method: str, target: str, headers: tuple[tuple[str, str], ...], body: bytes
):
    with pytest.raises(HttpFault) as fault:
        action(method, target, *headers, body=body)
    assert fault.value.status in (400, 422)


def test_an_operation_without_a_body_takes_none():
    document = read_openapi(
        {"openapi": "3.1.0", "paths": {"/a": {"post": {"operationId": "ping"}}}}, "crm"
    )
    with pytest.raises(HttpFault, match="takes no body"):
        action_of(exchange("POST", "/a", JSON, body=b"{}"), document)


def test_what_is_too_large_as_arguments_is_refused():
    text = "a" * 500_000
    body = f'{{"query": "{{ a(x: $x, y: $x, z: $x) }}", "variables": {{"x": "{text}"}}}}'.encode()
    found = exchange("POST", "/graphql", JSON, body=body)
    with pytest.raises(HttpFault) as fault:
        action_of(found)
    assert fault.value.status == 413
    large = exchange("POST", "/a", JSON, body=b'"' + b"a" * 100_000 + b'"')
    assert action_of(large).arguments["body"] == "a" * 100_000


# Languages within HTTP


def test_graphql_is_named_by_its_worst_operation():
    hidden = b'[{"query": "{ a }"}, {"query": "mutation { b: drop { id } }"}]'
    found = action("POST", "/graphql", JSON, body=hidden)
    assert found.action.name == "graphql.mutation crm.corp/graphql"
    assert found.does is Does.WRITE
    assert found.arguments["graphql"]["names"] == ["a", "drop"]
    read = action("GET", "/graphql?query=%7B%20a(n:$n)%20%7D&variables=%7B%22n%22:1%7D")
    assert read.action.name == "graphql.query crm.corp/graphql"
    assert read.reads
    assert read.arguments["graphql"]["roots"][0]["arguments"] == {"n": 1}
    assert action("GET", "/graphql").action.name == "http.get crm.corp/graphql"
    assert exchange("POST", "/x", ("Content-Type", "application/graphql"), body=b"{ a }").graphql
    assert exchange("POST", "/api", JSON, body=b'{"query": "{ a }"}', graphql=("/api",)).graphql
    assert exchange("POST", "/api", JSON, body=b'{"query": "{ a }"}').graphql is None


@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    [
        ("POST", "/graphql?query=x", (JSON,), b'{"query": "{ a }"}'),
        ("POST", "/graphql", (FORM,), b"query=x"),
        ("POST", "/graphql", (), b""),
        ("PUT", "/v1/GraphQL/", (JSON,), b'{"query": "{ a }"}'),
        ("GET", "/graphql?query=x", (), b""),
        ("GET", "/graphql?query=%7Ba%7D&variables=x", (), b""),
    ],
)
def test_what_is_no_graphql_is_refused_where_it_is_spoken(
    method: str, target: str, headers: tuple[tuple[str, str], ...], body: bytes
):
    with pytest.raises(HttpFault):
        exchange(method, target, *headers, body=body)


SOAP = (
    b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body>'
    b"<Buy xmlns='urn:shop'><item>7</item></Buy></e:Body></e:Envelope>"
)


def test_soap_is_named_by_its_operation():
    media = ("Content-Type", 'application/soap+xml; action="urn:shop/Buy"')
    found = action("POST", "/soap", media, body=SOAP)
    assert found.action.name == "soap.Buy crm.corp/soap"
    assert found.arguments["soap"] == {
        "action": "Buy", "namespace": "urn:shop", "arguments": {"item": "7"},
    }  # fmt: skip
    header = ("SOAPAction", '"urn:shop/Buy"')
    assert exchange("POST", "/soap", media, header, body=SOAP).soap is not None
    plain = ("Content-Type", "text/xml; charset=utf-8")
    assert exchange("POST", "/x", plain, body=b"<a/>").soap is None
    for other in (("SOAPAction", "urn:shop/Cancel"), ("SOAPAction", '"Buy"')):
        with pytest.raises(HttpFault):
            exchange("POST", "/soap", media, other, body=SOAP)


# Back into a request


def again(found: HttpExchange, **changed: Any) -> tuple[str, list[tuple[str, str]], bytes]:
    was = action_of(found, DOCUMENT)
    return rewritten(found, was, {**was.arguments, **changed})


def test_arguments_of_operations_go_back_to_where_they_came_from():
    found = exchange(
        "POST", "/orders/7?tag=1&tag=2", JSON, ("X-Tenant", "t"), body=b'{ "amount": 3 }'
    )
    assert again(found) == ("/orders/7?tag=1&tag=2", [("X-Tenant", "t")], b'{ "amount": 3 }')
    assert again(found, amount=1, id=8, dry=True, rate=0.5) == (
        "/orders/8?tag=1&tag=2&dry=true&rate=0.5", [("X-Tenant", "t")], b'{"amount":1}',
    )  # fmt: skip
    form = exchange("POST", "/orders/7", FORM, body=b"amount=3&note=a+b")
    assert again(form, amount=2) == ("/orders/7", [], b"amount=2&note=a%20b")
    whole = exchange("PUT", "/orders/7", JSON, body=b"[1]")
    assert again(whole, body=[2]) == ("/orders/7", [], b"[2]")
    assert again(exchange("GET", "/orders/7"), id=9) == ("/orders/9", [], b"")


def test_arguments_of_other_requests_go_back_too():
    found = exchange("POST", "/a?x=1", JSON, body=b'{"y": 1}')
    assert again(found) == ("/a?x=1", [], b'{"y": 1}')
    assert again(found, query={"x": ["2", "3"]}, body={"y": False}, headers={"h": "v"}) == (
        "/a?x=2&x=3", [("h", "v")], b'{"y":false}',
    )  # fmt: skip
    assert again(exchange("GET", "/a"))[0] == "/a"
    text = exchange("POST", "/a", ("Content-Type", "text/plain"), body=b"x")
    assert again(text, body="y")[2] == b"y"


@pytest.mark.parametrize(
    ("found", "changed"),
    [
        (exchange("GET", "/a"), {"path": "/b"}),
        (exchange("GET", "/a"), {"method": "DELETE"}),
        (exchange("GET", "/a?x=1"), {"query": {"x": None}}),
        (exchange("POST", "/a", FORM, body=b"x=1"), {"body": {"x": {"y": 1}}}),
        (exchange("POST", "/a", ("Content-Type", "image/png"), body=b"x"), {"body": {"a": 1}}),
        (exchange("POST", "/a", FORM, body=b"x=1"), {"body": "x"}),
        (exchange("GET", "/orders/7"), {"id": None}),
    ],
)
def test_what_cannot_be_put_back_is_refused(found: HttpExchange, changed: dict[str, Any]):
    with pytest.raises(HttpFault) as fault:
        again(found, **changed)
    assert fault.value.status == 403
