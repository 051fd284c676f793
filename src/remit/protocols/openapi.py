"""OpenAPI documents (3.0, 3.1): which operation a request is, and its arguments with their types.

So that rules on an HTTP API read like rules on tools. Only what a request needs is read: paths,
parameters, bodies in JSON or as a form. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import jsonschema_rs
from msgspec import Struct, field

from remit import canonical, text
from remit.errors import InvalidArgument
from remit.model import Digest, Does
from remit.protocols.http_target import HttpFault

Place: TypeAlias = Literal["path", "query", "header", "body"]

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
_DOES = {"GET": Does.READ, "HEAD": Does.READ, "OPTIONS": Does.READ, "DELETE": Does.DELETE}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_MAX_OPERATIONS = 5000
_MAX_DEPTH = 48
_NOT_PARAMETERS = ("accept", "content-type", "authorization")
"""Headers that OpenAPI says to ignore among parameters."""
_WHOLE = "body"
"""The argument that holds a body which is no object."""


class Argument(Struct, frozen=True):
    """One argument of an operation: where in a request it is, and its JSON Schema."""

    name: str
    place: Place
    required: bool
    schema: Mapping[str, Any]


class ApiOperation(Struct, frozen=True, kw_only=True):
    """One operation of an API."""

    name: str
    """As policy names it, such as ``crm.createPurchaseOrder``."""
    method: str
    template: str
    """Its path, such as ``/customers/{id}``."""
    does: Does
    arguments: Mapping[str, Argument]
    """Parameters by name."""
    members: Mapping[str, Any] | None
    """Schema of the body where that is an object, whose members are arguments too."""
    whole: Mapping[str, Any] | None
    """Schema of the body where that is something else: it is the argument ``body``."""
    body_required: bool = False
    digest: Digest
    """Of its definition; bound into approvals."""
    schema: Mapping[str, Any]
    """JSON Schema of all arguments together."""
    validator: Any

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Hold arguments to their types.

        Raises:
            HttpFault: one is missing, unknown or of another type.
        """
        error = next(self.validator.iter_errors(dict(arguments)), None)
        if error is not None:
            where = ".".join(["args", *map(str, error.instance_path)])
            raise HttpFault(
                "bad-arguments", f"{self.name}: {where}: {str(error.message)[:300]}", 422
            )


class _Segment:
    """One segment of templates: what comes below, by what it is."""

    __slots__ = ("below", "methods", "named")

    def __init__(self) -> None:
        self.below: dict[str, _Segment] = {}
        self.named: _Segment | None = None
        self.methods: dict[str, tuple[ApiOperation, tuple[str, ...]]] = {}


class ApiDocument(Struct, frozen=True):
    """The operations of an API, found by method and path."""

    operations: tuple[ApiOperation, ...]
    _root: _Segment = field(default_factory=_Segment)

    def find(
        self, method: str, segments: tuple[str, ...]
    ) -> tuple[ApiOperation, dict[str, str]] | None:
        """The operation, and the values in its path; None where there is none.

        Fixed segments go before ``{named}`` ones, as OpenAPI has it.
        """
        found = _lookup(self._root, method, segments, 0, ())
        if found is None:
            return None
        operation, names, values = found
        return operation, dict(zip(names, values, strict=True))


def read_openapi(document: Any, prefix: str) -> ApiDocument:
    """Read a document.

    Args:
        document: as JSON or YAML give it.
        prefix: stands in front of its operations' names: the API's name in policy.

    Raises:
        InvalidArgument: says what cannot be used, and where.
    """
    if not isinstance(document, dict) or not str(document.get("openapi", "")).startswith("3."):
        raise InvalidArgument("openapi", "it is no OpenAPI document of version 3")
    root = _Segment()
    operations: list[ApiOperation] = []
    names: set[str] = set()
    for where, template, method, written, shared in _written(document):
        operation = _operation(_Source(document, where), prefix, template, method, written, shared)
        folded = text.name(operation.name)
        if folded in names or len(operations) == _MAX_OPERATIONS:
            raise InvalidArgument(where, f"{operation.name} is there twice, or there are too many")
        names.add(folded)
        operations.append(operation)
        _plant(root, operation, where)
    if not operations:
        raise InvalidArgument("openapi.paths", "none of them has an operation")
    return ApiDocument(tuple(operations), root)


class _Source(Struct, frozen=True):
    """A document, and the place in it that is read; ``$ref`` leads elsewhere in it."""

    document: Mapping[str, Any]
    where: str

    def resolved(self, value: Any, trail: tuple[str, ...] = ()) -> Any:
        """A value with every reference put in.

        Raises:
            InvalidArgument: a reference leads nowhere, outside or round in a circle.
        """
        if len(trail) > _MAX_DEPTH:
            raise InvalidArgument(self.where, "references go round in a circle, or too deep")
        if isinstance(value, list):
            return [self.resolved(each, trail) for each in value]
        if not isinstance(value, dict):
            return value
        target = value.get("$ref")
        if target is None:
            return {str(key): self.resolved(each, (*trail, "")) for key, each in value.items()}
        if not isinstance(target, str) or not target.startswith("#/") or target in trail:
            raise InvalidArgument(self.where, f"$ref {target!r} leads outside, or in a circle")
        found: Any = self.document
        for step in target[2:].split("/"):
            plain = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or plain not in found:
                raise InvalidArgument(self.where, f"$ref {target!r} leads nowhere")
            found = found[plain]
        return self.resolved(found, (*trail, target))


def _written(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any, Any]]:
    """Each operation as it is written, with what its path says for all of them."""
    paths = document.get("paths")
    if not isinstance(paths, dict) or not paths:
        raise InvalidArgument("openapi.paths", "there are none")
    for template, item in paths.items():
        where = f"openapi.paths.{template}"
        if not isinstance(template, str) or not template.startswith("/"):
            raise InvalidArgument(where, "a path begins with a slash")
        if not isinstance(item, dict) or "$ref" in item:
            raise InvalidArgument(where, "it is no object with operations")
        for method in METHODS:
            if method in item:
                yield f"{where}.{method}", template, method, item[method], item.get("parameters")


def _operation(
    source: _Source, prefix: str, template: str, method: str, written: Any, shared: Any
) -> ApiOperation:
    if not isinstance(written, dict):
        raise InvalidArgument(source.where, "it is no object")
    name = written.get("operationId")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidArgument(source.where, "give it an operationId of letters, digits, _ . -")
    given = [*_listed(source, shared), *_listed(source, written.get("parameters"))]
    arguments = _parameters(source, template, given)
    body = _object(source, source.resolved(written.get("requestBody") or {}))
    schema = _body_schema(source, body)
    members = schema if schema is not None and _is_object(schema) else None
    whole = schema if members is None else None
    clash = arguments.keys() & (members or {}).get("properties", {}).keys()
    if clash or (whole is not None and _WHOLE in arguments):
        whole, members = schema, None
        if _WHOLE in arguments:
            raise InvalidArgument(source.where, "a parameter is called body, as its body is")
    required = bool(body.get("required"))
    needed = () if members is None else _listed(source, members.get("required"))
    combined = _combined(arguments, members, whole, needed if required else ())
    if whole is not None and required:
        combined["required"].append(_WHOLE)
    try:
        validator = jsonschema_rs.validator_for(
            combined, pattern_options=jsonschema_rs.RegexOptions(), offline=True
        )
    except ValueError as error:
        problem = str(error).splitlines()[0]
        raise InvalidArgument(source.where, f"a schema in it cannot be used: {problem}") from None
    return ApiOperation(
        name=f"{prefix}.{name}",
        method=method.upper(),
        template=template,
        does=_does(source, method, written),
        arguments=arguments,
        members=members,
        whole=whole,
        body_required=required,
        digest=canonical.digest(method, template, combined),
        schema=combined,
        validator=validator,
    )


def _does(source: _Source, method: str, written: Mapping[str, Any]) -> Does:
    said = written.get("x-remit-does")
    if said is None:
        return _DOES.get(method.upper(), Does.WRITE)
    try:
        return Does(said)
    except ValueError:
        known = ", ".join(each.value for each in Does)
        raise InvalidArgument(source.where, f"x-remit-does is one of {known}") from None


def _parameters(source: _Source, template: str, written: list[Any]) -> dict[str, Argument]:
    found: dict[str, Argument] = {}
    for each in (_object(source, one) for one in source.resolved(written)):
        place, name = each.get("in"), each.get("name")
        if place not in ("path", "query", "header", "cookie") or not isinstance(name, str):
            raise InvalidArgument(source.where, "a parameter lacks its name, or where it is")
        if place == "header" and name.lower() in _NOT_PARAMETERS:
            continue
        if place == "cookie":
            raise InvalidArgument(source.where, f"{name}: cookies do not reach the server")
        schema = _plain(source, each.get("schema", {"type": "string"}))
        found[name] = Argument(name, place, bool(each.get("required")) or place == "path", schema)
    in_path = re.findall(r"\{([^{}/]+)\}", template)
    for name in in_path:
        if name not in found:
            found[name] = Argument(name, "path", True, {"type": "string"})
        elif found[name].place != "path":
            raise InvalidArgument(source.where, f"{name} is in the path and elsewhere")
    if {each.name for each in found.values() if each.place == "path"} - set(in_path):
        raise InvalidArgument(source.where, "a parameter is said to be in the path and is not")
    if len({text.name(name) for name in found}) < len(found):
        raise InvalidArgument(source.where, "two parameters have the same name")
    return found


def _body_schema(source: _Source, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    content = body.get("content")
    if content is None:
        return None
    for media, each in _object(source, content).items():
        plain = str(media).partition(";")[0].strip().lower()
        if plain.endswith(("/json", "+json", "/x-www-form-urlencoded", "/form-data", "/xml")):
            return _plain(source, _object(source, each or {}).get("schema", {}))
    return {}


def _object(source: _Source, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidArgument(source.where, f"{str(value)[:40]!r} stands where an object belongs")
    return value


def _listed(source: _Source, value: Any) -> list[Any]:
    if not isinstance(value, list | None):
        raise InvalidArgument(source.where, f"{str(value)[:40]!r} stands where a list belongs")
    return value or []


def _plain(source: _Source, schema: Any) -> Mapping[str, Any]:
    """A schema as an object; JSON Schema has ``true`` and ``false`` too."""
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    if not isinstance(schema, dict):
        raise InvalidArgument(source.where, "a schema is an object")
    return schema


def _is_object(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "object" and isinstance(schema.get("properties"), dict)


def _combined(
    arguments: Mapping[str, Argument],
    members: Mapping[str, Any] | None,
    whole: Mapping[str, Any] | None,
    needed: Sequence[str],
) -> dict[str, Any]:
    """One schema for all arguments: nothing undeclared but what the body may have."""
    properties = {each.name: dict(each.schema) for each in arguments.values()}
    required = [each.name for each in arguments.values() if each.required]
    combined: dict[str, Any] = {"type": "object", "additionalProperties": False}
    if members is not None:
        properties |= members["properties"]
        combined["additionalProperties"] = members.get("additionalProperties", False)
    elif whole is not None:
        properties[_WHOLE] = dict(whole)
    return {**combined, "properties": properties, "required": [*required, *needed]}


def _plant(root: _Segment, operation: ApiOperation, where: str) -> None:
    node, names = root, []
    for segment in operation.template[1:].split("/"):
        if segment.startswith("{") and segment.endswith("}"):
            names.append(segment[1:-1])
            if node.named is None:
                node.named = _Segment()
            node = node.named
        elif "{" in segment or "}" in segment:
            raise InvalidArgument(where, f"{segment}: a value takes a whole segment of the path")
        else:
            node = node.below.setdefault(segment, _Segment())
    if operation.method in node.methods:
        raise InvalidArgument(where, "another operation has the same method and path")
    node.methods[operation.method] = (operation, tuple(names))


def _lookup(
    node: _Segment, method: str, segments: tuple[str, ...], at: int, values: tuple[str, ...]
) -> tuple[ApiOperation, tuple[str, ...], tuple[str, ...]] | None:
    if at == len(segments):
        found = node.methods.get(method)
        return None if found is None else (*found, values)
    segment = segments[at]
    below = node.below.get(segment)
    if below is not None:
        found_below = _lookup(below, method, segments, at + 1, values)
        if found_below is not None:
            return found_below
    if node.named is None or not segment:
        return None
    return _lookup(node.named, method, segments, at + 1, (*values, segment))
