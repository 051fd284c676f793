"""HTTP exchanges as actions: what a request would do, in the words of policy. Pure.

``read_exchange`` takes a request apart strictly; ``action_of`` says what it is: an operation of an
OpenAPI document (``crm.createPurchaseOrder`` with typed arguments), or ``http.post host/path``.
``rewritten`` puts arguments that policy has changed back into the request.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from remit import canonical
from remit.errors import InvalidArgument
from remit.model import Action, Does
from remit.protocols.graphql import GraphqlRequest, read_graphql
from remit.protocols.http_body import HttpBody, check_keys, read_body, read_json
from remit.protocols.http_headers import HttpHeaders, read_headers
from remit.protocols.http_target import (
    HttpFault,
    HttpOrigin,
    HttpTarget,
    encode_pairs,
    encode_text,
)
from remit.protocols.http_xml import SoapCall, soap_call
from remit.protocols.openapi import ApiDocument, ApiOperation

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
"""All that is let through; CONNECT belongs to proxies, TRACE to nobody."""
_SMALL = 65_536
"""Bytes of a body from which on it is measured what becomes of it as arguments."""
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
_DOES = {"GET": Does.READ, "HEAD": Does.READ, "OPTIONS": Does.READ, "DELETE": Does.DELETE}


class HttpReading(Struct, frozen=True, kw_only=True):
    """What is to be looked at in requests, besides method, path, query and body."""

    headers: tuple[str, ...] = ()
    """Names of headers that policy sees, in lower case. They may be there once."""
    graphql: tuple[str, ...] = ()
    """Paths at which a server speaks GraphQL, besides those that end in ``/graphql``."""


class HttpExchange(Struct, frozen=True, kw_only=True):
    """One request, taken apart."""

    method: str
    origin: HttpOrigin
    target: HttpTarget
    headers: HttpHeaders
    named: Mapping[str, str]
    """The headers that policy sees."""
    body: HttpBody
    graphql: GraphqlRequest | None = None
    soap: SoapCall | None = None


class HttpAction(Struct, frozen=True, kw_only=True):
    """What a request would do, as policy sees it."""

    action: Action
    """Its kind is ``http``."""
    arguments: Mapping[str, Any]
    does: Does
    """What the method, the operation or GraphQL say of it; what policy declares goes before."""
    context: Mapping[str, Any]
    """For ``context.http``: method, host, path, template, does."""
    operation: ApiOperation | None = None

    @property
    def reads(self) -> bool:
        """Whether it only reads, as far as anybody can say."""
        return self.does is Does.READ


def read_exchange(
    method: str,
    origin: HttpOrigin,
    target: HttpTarget,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    reading: HttpReading = HttpReading(),  # noqa: B008 - frozen
) -> HttpExchange:
    """Take a request apart.

    Args:
        method: as it was sent; methods are in capitals.
        origin: of the server that it goes to.
        target: path and query, from ``read_target`` or ``read_absolute``.
        headers: names and values, as they were sent.
        body: all of it, without transfer coding; its size is bounded by whoever read it.
        reading: what is to be looked at.

    Raises:
        HttpFault: it is malformed, or two servers could read it differently.
    """
    if method not in METHODS:
        raise HttpFault("bad-method", f"The method {method[:32]!a} is not let through.", 405)
    read = read_headers(headers, reading.headers)
    content_type = read.one("content-type")
    found = read_body(content_type, read.one("content-encoding"), body)
    if body and method in _BODILESS:
        raise HttpFault("unexpected-body", f"Send no body with {method}.")
    graphql = _graphql(method, target, found, reading)
    soap = None
    if found.kind == "xml":
        soap = soap_call(found.value, _soap_action(read, content_type or ""))
    return HttpExchange(
        method=method,
        origin=origin,
        target=target,
        headers=read,
        named=read.named(reading.headers),
        body=found,
        graphql=graphql,
        soap=soap,
    )


def action_of(exchange: HttpExchange, document: ApiDocument | None = None) -> HttpAction:
    """What a request would do.

    With a document that knows the operation: its name and its arguments, all of them on one level,
    with their types. Otherwise:

    * name ``http.post host/path``; of GraphQL ``graphql.mutation host/path``, of SOAP
      ``soap.Operation host/path``. What stands behind a point is in lower case but for SOAP.
    * arguments ``method``, ``host``, ``path``, ``query`` (by name), ``headers`` (named ones), and
      ``body`` where there is one; ``graphql`` or ``soap`` where that was spoken.

    Raises:
        HttpFault: the request does not fit the operation, or is more than policy looks into.
    """
    found = None if document is None else document.find(exchange.method, exchange.target.segments)
    if found is not None and exchange.graphql is None:
        action = _operated(exchange, *found)
    else:
        action = _plain(exchange)
    if len(exchange.body.raw) > _SMALL or exchange.graphql is not None:
        try:
            canonical.check(action.arguments)
        except InvalidArgument as problem:
            raise HttpFault("too-large", f"{problem}.", 413) from None
    return action


def rewritten(
    exchange: HttpExchange, action: HttpAction, arguments: Mapping[str, Any]
) -> tuple[str, list[tuple[str, str]], bytes]:
    """A request with other arguments, where policy changed them: target, named headers, body.

    Raises:
        HttpFault: it cannot be put back exactly.
    """
    if action.operation is not None:
        return _operated_again(exchange, action.operation, arguments)
    same = {
        key: value for key, value in arguments.items() if key not in ("query", "body", "headers")
    }
    if any(action.arguments.get(key) != value for key, value in same.items()):
        raise _cannot("only query, headers and body of a request can be rewritten")
    target = exchange.target.sent.partition("?")[0]
    if arguments.get("query") != action.arguments.get("query"):
        target += f"?{encode_pairs(_pairs(arguments['query']))}"
    elif exchange.target.raw_query:
        target += f"?{exchange.target.raw_query}"
    body = exchange.body.raw
    if arguments.get("body") != action.arguments.get("body"):
        body = _encoded(exchange.body, arguments["body"])
    headers = [(key, str(value)) for key, value in arguments.get("headers", {}).items()]
    return target, headers, body


# Names


def _plain(exchange: HttpExchange) -> HttpAction:
    host, path = exchange.origin.authority, exchange.target.path
    does = _DOES.get(exchange.method, Does.WRITE)
    word = f"http.{exchange.method.lower()}"
    arguments: dict[str, Any] = {
        "method": exchange.method,
        "host": host,
        "path": path,
        "query": dict(exchange.target.query),
        "headers": dict(exchange.named),
    }
    if exchange.body.kind != "none":
        arguments["body"] = exchange.body.value
    if exchange.graphql is not None:
        word = f"graphql.{exchange.graphql.kind}"
        does = Does.WRITE if exchange.graphql.kind == "mutation" else Does.READ
        arguments["graphql"] = exchange.graphql.shown()
    if exchange.soap is not None:
        word = f"soap.{exchange.soap.action}"
        soap = exchange.soap
        arguments["soap"] = {
            "action": soap.action,
            "namespace": soap.namespace,
            "arguments": soap.arguments,
        }
    return HttpAction(
        action=Action(name=f"{word} {host}{path}", kind="http"),
        arguments=arguments,
        does=does,
        context=_context(exchange, does, None),
    )


def _context(exchange: HttpExchange, does: Does, operation: ApiOperation | None) -> dict[str, Any]:
    return {
        "http": {
            "method": exchange.method,
            "host": exchange.origin.authority,
            "path": exchange.target.path,
            "template": "" if operation is None else operation.template,
            "does": does.value,
        }
    }


# Operations of a document


def _operated(
    exchange: HttpExchange, operation: ApiOperation, in_path: Mapping[str, str]
) -> HttpAction:
    written: dict[str, Any] = {}
    for name, value in in_path.items():
        written[name] = _typed(value, operation.arguments[name].schema)
    for name, given in exchange.target.query.items():
        argument = operation.arguments.get(name)
        if argument is None or argument.place != "query":
            raise HttpFault(
                "unknown-argument", f"{operation.name} takes no {name[:64]!a} in its query.", 422
            )
        written[name] = _typed(given, argument.schema)
    for each in operation.arguments.values():
        said = exchange.headers.one(each.name) if each.place == "header" else None
        if said is not None:
            written[each.name] = _typed(said, each.schema)
    arguments = _with_body(exchange, operation, written)
    operation.check(arguments)
    return HttpAction(
        action=Action(name=operation.name, kind="http", schema=operation.digest),
        arguments=arguments,
        does=operation.does,
        context=_context(exchange, operation.does, operation),
        operation=operation,
    )


def _with_body(
    exchange: HttpExchange, operation: ApiOperation, written: dict[str, Any]
) -> dict[str, Any]:
    """The arguments with those of the body beside them."""
    body = exchange.body
    if body.kind == "none":
        if operation.body_required:
            raise HttpFault("no-body", f"{operation.name} needs a body.", 422)
        return written
    if operation.members is None and operation.whole is None:
        raise HttpFault("unexpected-body", f"{operation.name} takes no body.", 422)
    if operation.members is None:
        return {**written, "body": body.value}
    if not isinstance(body.value, dict) or body.kind in ("text", "opaque"):
        raise HttpFault("bad-body", f"The body of {operation.name} is an object.", 422)
    members = dict(body.value)
    if body.kind in ("form", "multipart"):
        properties = operation.members["properties"]
        members = {key: _typed(each, properties.get(key, {})) for key, each in members.items()}
    clash = members.keys() & operation.arguments.keys()
    if clash:
        raise HttpFault(
            "look-alike-names", f"{sorted(clash)[0]!a} is in the body and elsewhere too.", 422
        )
    together = {**written, **members}
    known = {*operation.arguments, *operation.members["properties"]}
    check_keys(dict.fromkeys([*known, *together]), "arguments")
    return together


def _typed(value: Any, schema: Any) -> Any:
    """A text of a path, query, header or form in the type that its schema gives it, if it fits."""
    if not isinstance(schema, Mapping):
        return value
    kind = schema.get("type")
    if isinstance(value, list):
        items = schema.get("items", {})
        return [_typed(each, items) for each in value] if kind == "array" else value
    if kind == "array":
        return [_typed(value, schema.get("items", {}))]
    if kind in ("integer", "number", "boolean") and isinstance(value, str):
        return _number(value, kind)
    return value


def _number(value: str, kind: str) -> Any:
    """``value`` as JSON would write it; as it is where that is not the type it should be."""
    if kind == "boolean":
        return {"true": True, "false": False}.get(value, value)
    try:
        found = read_json(value.encode())
    except HttpFault:
        return value
    wanted: type | tuple[type, ...] = int if kind == "integer" else (int, float)
    return found if isinstance(found, wanted) and not isinstance(found, bool) else value


def _operated_again(
    exchange: HttpExchange, operation: ApiOperation, arguments: Mapping[str, Any]
) -> tuple[str, list[tuple[str, str]], bytes]:
    path = operation.template
    query: list[tuple[str, str]] = []
    headers: list[tuple[str, str]] = []
    members: dict[str, Any] = {}
    for name, value in arguments.items():
        argument = operation.arguments.get(name)
        if argument is None:
            members[name] = value
        elif argument.place == "path":
            path = path.replace(f"{{{name}}}", encode_text(_written(value)))
        elif argument.place == "query":
            query += _pairs({name: value})
        else:
            headers.append((name, _written(value)))
    target = f"{path}?{encode_pairs(query)}" if query else path
    if exchange.body.kind == "none":
        return target, headers, b""
    value = members if operation.members is not None else members.get("body")
    return target, headers, _encoded(exchange.body, value)


def _encoded(body: HttpBody, value: Any) -> bytes:
    if value == body.value:
        return body.raw
    if body.kind == "json":
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    if body.kind == "form" and isinstance(value, dict):
        return encode_pairs(_pairs(value)).encode()
    if body.kind == "text" and isinstance(value, str):
        return value.encode()
    raise _cannot(f"a body of type {body.media} cannot be rewritten")


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, _written(each))
        for name, value in values.items()
        for each in (value if isinstance(value, list) else [value])
    ]


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return json.dumps(value)
    raise _cannot("only texts, numbers and booleans can stand in a path, query, header or form")


def _cannot(what: str) -> HttpFault:
    return HttpFault("not-rewritten", f"Policy changes what this request says, but {what}.", 403)


# Languages within HTTP


def _graphql(
    method: str, target: HttpTarget, body: HttpBody, reading: HttpReading
) -> GraphqlRequest | None:
    spoken = target.path.rstrip("/").lower().endswith("/graphql") or target.path in reading.graphql
    if body.media in ("application/graphql", "application/graphql+json"):
        spoken = True
    if not spoken:
        return None
    if method == "POST" and body.kind in ("json", "text"):
        if target.pairs:
            raise HttpFault("bad-graphql", "Send the GraphQL request in the body alone.")
        return read_graphql(body.value)
    if method == "GET" and target.pairs:
        asked: dict[str, Any] = dict(target.query)
        if isinstance(asked.get("variables"), str):
            asked["variables"] = read_json(asked["variables"].encode())
        return read_graphql(asked)
    if method == "GET":
        return None
    raise HttpFault("bad-graphql", "Send GraphQL as JSON with POST.", 415)


def _soap_action(headers: HttpHeaders, content_type: str) -> str | None:
    """What SOAP 1.1 says in a header and 1.2 in the media type; both must be the same."""
    said = headers.one("soapaction")
    for each in content_type.split(";")[1:]:
        name, _, value = each.strip().partition("=")
        if name.lower() == "action":
            if said is not None and said.strip('" ') != value.strip('" '):
                raise HttpFault("soap-action", "SOAPAction and Content-Type name two actions.")
            said = value
    return said
