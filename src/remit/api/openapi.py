"""The OpenAPI document, generated from the table of routes: what it says is what the server does.

Pure: routes in, a document out. A right that a route takes is listed as a role of its security
requirement (OpenAPI 3.1.1, Security Requirement Object); any one of the requirements is enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from remit import __version__
from remit.api.decoding import encoded
from remit.api.frame import JSON_MEDIA, PUBLIC, Access, Call, ProblemBody, Reply, Route

PROBLEM_MEDIA = "application/problem+json"
_SCHEMAS = "#/components/schemas/"
_PARAMETER = re.compile(r"\{([A-Za-z_]+)(\.\.\.)?\}")
_BODY_PROBLEMS = (400, 408, 413, 415)
_REQUEST_ID = {
    "description": "Names the request in the server's log; yours, if you sent one.",
    "schema": {"type": "string"},
}
_DESCRIPTION = (
    "Times are nanoseconds since the Unix epoch unless their name says otherwise: integers of 64 "
    "bits. What goes wrong is answered as `application/problem+json` (RFC 9457); act on `code`."
)
_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, a delegation token, or a token of a configured issuer.",
    }
}

Schema = dict[str, Any]


def document(routes: Sequence[Route]) -> Schema:
    """The OpenAPI 3.1 document of ``routes``.

    Raises:
        TypeError: a route has a type that has no JSON Schema.
    """
    types = [kind for route in routes for kind in (route.body, route.reply) if _is_json(kind)]
    queries = [route.query for route in routes if route.query is not None]
    given = [*types, *queries, ProblemBody]
    schemas, components = msgspec.json.schema_components(given, ref_template=f"{_SCHEMAS}{{name}}")
    by_type = dict(zip(map(repr, given), schemas, strict=True))
    spell = _Speller(by_type, components)
    paths: dict[str, Schema] = {}
    for route in routes:
        path = _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = spell.operation(route)
    for query in queries:  # they are spelled out as parameters
        components.pop(query.__name__, None)
    whole: Schema = {
        "openapi": "3.1.1",
        "info": {
            "title": "Remit",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes) if tag],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }
    plain: Schema = msgspec.json.decode(encoded(whole))  # defaults are tuples and enums before
    return plain


def documenting(routes: Iterable[Route]) -> tuple[Route, ...]:
    """``routes`` and the route that shows the document of all of them."""
    described: list[Route] = [*routes]
    made: list[bytes] = []

    async def show(call: Call) -> Reply:
        """The OpenAPI document."""
        if not made:  # once, and not before somebody asks: it takes longer than a request
            made.append(encoded(document(described)))
        return Reply(body=made[0])

    described.append(_route(show))
    return tuple(described)


def _route(show: Callable[[Call], Any]) -> Route:
    return Route(
        method="GET",
        path="/openapi.json",
        handler=show,
        rights=PUBLIC,
        summary="This document",
        tag="health",
        reply=dict[str, Any],
    )


class _Speller:
    """Spells routes as operations, with the schemas of their types at hand."""

    def __init__(self, schemas: Mapping[str, Schema], components: Mapping[str, Schema]) -> None:
        self._schemas = schemas
        self._components = components

    def operation(self, route: Route) -> Schema:
        """The Operation Object of a route."""
        spelled: Schema = {
            "operationId": _operation_id(route),
            "summary": route.summary,
            "security": _security(route),
            "responses": self._responses(route),
        }
        if route.description:
            spelled["description"] = route.description
        if route.tag:
            spelled["tags"] = [route.tag]
        parameters = [*self._path_parameters(route), *self._query_parameters(route)]
        if parameters:
            spelled["parameters"] = parameters
        if route.body is not None:
            spelled["requestBody"] = {
                "required": not route.body_optional,
                "content": {JSON_MEDIA: {"schema": self._schemas[repr(route.body)]}},
            }
        return spelled

    def _path_parameters(self, route: Route) -> Iterable[Schema]:
        for name, rest in _PARAMETER.findall(route.path):
            spelled = {"name": name, "in": "path", "required": True}
            spelled["schema"] = {"type": "string", "minLength": 1}
            if rest:
                spelled["description"] = "May go on over several segments, with / between them."
            yield spelled

    def _query_parameters(self, route: Route) -> Iterable[Schema]:
        if route.query is None:
            return
        whole = self._components[route.query.__name__]
        for name, schema in whole["properties"].items():
            spelled: Schema = {"name": name, "in": "query"}
            spelled["required"] = name in whole.get("required", ())
            spelled["schema"] = _without_null(schema)
            yield spelled

    def _responses(self, route: Route) -> Schema:
        statuses = {str(each): self._good(route, each) for each in (route.status, *route.also)}
        for status in _problems(route):
            spelled = statuses.setdefault(
                str(status),
                {"description": HTTPStatus(status).phrase, "headers": _headers(status)},
            )
            problem = {"schema": self._schemas[repr(ProblemBody)]}
            spelled.setdefault("content", {})[PROBLEM_MEDIA] = problem
        return dict(sorted(statuses.items()))

    def _good(self, route: Route, status: int) -> Schema:
        spelled: Schema = {
            "description": HTTPStatus(status).phrase,
            "headers": {"X-Request-ID": _REQUEST_ID},
        }
        if route.reply is not None or route.media != JSON_MEDIA:
            known = self._schemas.get(repr(route.reply), {})
            spelled["content"] = {route.media: {"schema": known} if known else {}}
        return spelled


def _problems(route: Route) -> list[int]:
    """Every status with which a route says what is wrong."""
    found = {400, 431, 503, *route.problems}
    if not isinstance(route.rights, Access):
        found |= {401, 403}
    if "{" in route.path:
        found.add(404)
    if route.body is not None:
        found |= {*_BODY_PROBLEMS, route.wrong_media}
    return sorted(found)


def _headers(status: int) -> Schema:
    headers: Schema = {"X-Request-ID": _REQUEST_ID}
    if status == 401:
        headers["WWW-Authenticate"] = {"schema": {"type": "string"}}
    if status == 503:
        headers["Retry-After"] = {"description": "Seconds.", "schema": {"type": "integer"}}
    return headers


def _security(route: Route) -> list[Schema]:
    if isinstance(route.rights, Access):
        return []
    return [{"bearer": [right]} for right in sorted(each.value for each in route.rights)]


def _operation_id(route: Route) -> str:
    """A name that no other route has: method and path, in words."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", route.path).strip("_") or "root"
    return f"{route.method.lower()}_{words}"


def _is_json(kind: Any) -> bool:
    return kind is not None and kind is not bytes


def _without_null(schema: Schema) -> Schema:
    """The schema of a query parameter: what may be absent is left out, not sent as null."""
    spelled = {key: value for key, value in schema.items() if key != "default"}
    choices = [each for each in spelled.pop("anyOf", ()) if each != {"type": "null"}]
    if len(choices) == 1:
        return {**spelled, **choices[0]}
    return {**spelled, "anyOf": choices} if choices else spelled
