"""The messages of Envoy's external authorization over gRPC: the part of them that Remit uses.

``envoy.service.auth.v3`` and what it is made of. Fields that are not named here are skipped when a
message is read, as protobuf has it. The names of the messages are Remit's own, so that they live
beside those of an Envoy library in one process; on the wire there are numbers only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

CHECK = "/envoy.service.auth.v3.Authorization/Check"
"""The method that Envoy calls."""
OVERWRITE = 2
"""``append_action`` of a header that replaces what the client sent under its name."""

_PACKAGE = "remit.envoy"
_Field = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
}


class _Part(NamedTuple):
    """One field: its name, its number, its type, and whether there are several."""

    name: str
    number: int
    kind: str
    several: bool = False


_MESSAGES: dict[str, Sequence[_Part]] = {
    "HeaderValue": (
        _Part("key", 1, "string"),
        _Part("value", 2, "string"),
        _Part("raw_value", 3, "bytes"),
    ),
    "HeaderMap": (_Part("headers", 1, "HeaderValue", several=True),),
    # A map is a list of pairs on the wire.
    "HeaderEntry": (_Part("key", 1, "string"), _Part("value", 2, "string")),
    "HttpRequest": (
        _Part("method", 2, "string"),
        _Part("headers", 3, "HeaderEntry", several=True),
        _Part("path", 4, "string"),
        _Part("host", 5, "string"),
        _Part("scheme", 6, "string"),
        _Part("size", 9, "int64"),
        _Part("protocol", 10, "string"),
        _Part("body", 11, "string"),
        _Part("raw_body", 12, "bytes"),
        _Part("header_map", 13, "HeaderMap"),
    ),
    "Request": (_Part("http", 2, "HttpRequest"),),
    "AttributeContext": (_Part("request", 4, "Request"),),
    "CheckRequest": (_Part("attributes", 1, "AttributeContext"),),
    "Status": (_Part("code", 1, "int32"), _Part("message", 2, "string")),
    "HttpStatus": (_Part("code", 1, "int32"),),
    "HeaderValueOption": (
        _Part("header", 1, "HeaderValue"),
        _Part("append_action", 3, "int32"),
    ),
    "DeniedHttpResponse": (
        _Part("status", 1, "HttpStatus"),
        _Part("headers", 2, "HeaderValueOption", several=True),
        _Part("body", 3, "string"),
    ),
    "OkHttpResponse": (
        _Part("headers", 2, "HeaderValueOption", several=True),
        _Part("headers_to_remove", 5, "string", several=True),
    ),
    "CheckResponse": (
        _Part("status", 1, "Status"),
        _Part("denied_response", 2, "DeniedHttpResponse"),
        _Part("ok_response", 3, "OkHttpResponse"),
    ),
}


def _described() -> descriptor_pb2.FileDescriptorProto:
    described = descriptor_pb2.FileDescriptorProto(
        name="remit/envoy.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, parts in _MESSAGES.items():
        message = described.message_type.add(name=name)
        for part in parts:
            label = _Field.LABEL_REPEATED if part.several else _Field.LABEL_OPTIONAL
            field = message.field.add(name=part.name, number=part.number, label=label)
            if part.kind in _KINDS:
                field.type = _KINDS[part.kind]
            else:
                field.type = _Field.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{part.kind}"
    return described


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_described())


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


CheckRequest = _message("CheckRequest")
"""What Envoy asks."""
CheckResponse = _message("CheckResponse")
"""What it is told."""

_FORBIDDEN = 7
"""``PERMISSION_DENIED`` of gRPC."""


def allowed(headers: Iterable[tuple[str, str]], remove: Iterable[str]) -> bytes:
    """The answer that lets a request go on, changed.

    Args:
        headers: to set, whatever the client sent under their names.
        remove: names of headers to take out; none of those that are set.
    """
    answer = CheckResponse()
    answer.status.code = 0
    answer.ok_response.headers_to_remove.extend(remove)
    _set(answer.ok_response.headers, headers)
    return bytes(answer.SerializeToString())


def denied(status: int, headers: Iterable[tuple[str, str]], body: str) -> bytes:
    """The answer that stops a request: what the client gets in its place."""
    answer = CheckResponse()
    answer.status.code = _FORBIDDEN
    answer.denied_response.status.code = status
    answer.denied_response.body = body
    _set(answer.denied_response.headers, headers)
    return bytes(answer.SerializeToString())


def _set(into: Any, headers: Iterable[tuple[str, str]]) -> None:
    for name, value in headers:
        added = into.add()
        added.header.key = name
        added.header.value = value
        added.append_action = OVERWRITE
