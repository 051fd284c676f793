"""Between the bytes of HTTP and the types of a route."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from remit import canonical
from remit.api.frame import Problem, Route
from remit.canonical import JsonLimits
from remit.errors import InvalidArgument

_MAX_FIELDS = 64


def body_of(route: Route, raw: bytes, depth: int) -> Any:
    """The body as a value of the route's type; None where there is none to be.

    Raises:
        Problem: it is missing, not JSON in the strict sense of ``canonical.parse``, or of another
            shape.
    """
    if route.body is None:
        return None
    if not raw:
        if route.body_optional:
            return None
        raise Problem(400, "body-missing", "This takes a JSON body.")
    try:
        value = canonical.parse(raw, "body", JsonLimits(bytes=len(raw), depth=depth))
        return msgspec.convert(value, route.body)
    except InvalidArgument as error:
        raise Problem(400, "invalid-json", str(error)) from None
    except msgspec.ValidationError as error:
        raise Problem(400, "invalid-body", f"body: {error}") from None


def query_of(route: Route, raw: str) -> Any:
    """The query as a value of the route's type; None where it takes none.

    Raises:
        Problem: an unknown or repeated parameter, or one of another type.
    """
    if route.query is None:
        if raw:
            raise Problem(400, "invalid-query", "This takes no query.")
        return None
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise Problem(400, "invalid-query", "The query cannot be read.") from None
    given = dict(pairs)
    if len(given) < len(pairs):
        raise Problem(400, "invalid-query", "A parameter of the query is given twice.")
    unknown = given.keys() - set(route.query.__struct_encode_fields__)
    if unknown:
        known = ", ".join(route.query.__struct_encode_fields__)
        raise Problem(400, "invalid-query", f"An unknown parameter; the query takes: {known}.")
    try:
        asked = msgspec.convert(given, route.query, strict=False)
    except msgspec.ValidationError as error:
        raise Problem(400, "invalid-query", f"query: {error}") from None
    fields = zip(asked.__struct_encode_fields__, asked.__struct_fields__, strict=True)
    for shown, name in fields:
        if shown in given and getattr(asked, name) is None:  # the text null is no absence
            raise Problem(400, "invalid-query", f"query: {shown}: leave it out to leave it open.")
    return asked


def encoded(value: Any) -> bytes:
    """A value as JSON."""
    try:
        return msgspec.json.encode(value)
    except OverflowError:  # an integer of more than 64 bits, which arguments may hold
        return json.dumps(msgspec.to_builtins(value), ensure_ascii=False).encode()
