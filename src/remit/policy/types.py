"""Static types of the condition language: what variables look like before any value is known.

``remit.policy.checking`` works them out for expressions. A type that is not known before run time
is ``DYN``. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from remit.policy.functions import READERS

TypeKind: TypeAlias = Literal[
    "dyn", "null", "bool", "int", "double", "number", "string", "list", "map", "record"
]


class Type(Struct, frozen=True):
    """One static type. ``number`` is an int or a double; ``record`` is a thing with fields."""

    kind: TypeKind
    element: Type | None = None
    """Of a list: the type of its elements."""
    fields: Mapping[str, Field] | None = None
    """Of a map: its fields, None when they are not known. Of a record: always known."""
    methods: Mapping[str, tuple[Type, ...]] | None = None
    """Of a record: types of the parameters, then of what the method returns."""
    nullable: bool = False
    """Whether the value may be null instead."""

    def __str__(self) -> str:
        if self.kind == "list" and self.element is not None:
            return f"list<{self.element}>"
        return self.kind


class Field(Struct, frozen=True):
    """A field of a map: its type, and whether it may be missing."""

    type: Type
    optional: bool = False


DYN = Type("dyn")
NULL = Type("null")
BOOL = Type("bool")
INT = Type("int")
DOUBLE = Type("double")
NUMBER = Type("number")
STRING = Type("string")
LIST = Type("list", DYN)
STRINGS = Type("list", STRING)
MAP = Type("map")
OPTIONAL_STRING = Type("string", nullable=True)

NUMERIC = frozenset({"int", "double", "number"})


def record(methods: Mapping[str, tuple[Type, ...]] | None = None, **fields: Type) -> Type:
    """Return the type of a thing with these fields and methods."""
    named = {name: Field(of) for name, of in fields.items()}
    return Type("record", fields=MappingProxyType(named), methods=methods or {})


_PRINCIPAL = record(id=STRING, roles=STRINGS, team=OPTIONAL_STRING)
_FINDING = Type(
    "map",
    fields=MappingProxyType(
        {
            "kind": Field(STRING),
            "sign": Field(STRING),
            "where": Field(STRING),
            "message": Field(STRING),
        }
    ),
)

VARIABLES: Mapping[str, Type] = MappingProxyType(
    {
        "agent": _PRINCIPAL,
        "user": _PRINCIPAL,
        "session": record(
            {"calls": (STRING, INT)},
            id=STRING,
            intent=OPTIONAL_STRING,
            labels=STRINGS,
            depth=INT,
            cost=DOUBLE,
        ),
        "budget": record({"remaining": (STRING, NUMBER)}),
        "tool": record(name=STRING, does=STRINGS, declared=BOOL),
        "controls": record(
            who=LIST,
            where=LIST,
            which=LIST,
            amount=LIST,
            when=LIST,
            access=LIST,
            links=STRINGS,
            what=LIST,
        ),
        "context": MAP,
        "findings": Type("list", _FINDING),
        "now": record(epoch=INT, year=INT, month=INT, day=INT, hour=INT, minute=INT, weekday=INT),
        "result": DYN,
        "outcome": record(status=STRING, error=OPTIONAL_STRING, duration=INT),
    }
)
"""Every variable but ``args`` and the constants of ``define:``."""

RESULT_VARIABLES = frozenset({"result", "outcome"})
"""Variables that only rules with ``on: result`` have."""


class Environment(Struct, frozen=True, kw_only=True):
    """What an expression may refer to."""

    args: Type = MAP
    """Of the tool's arguments; see ``from_schema`` and ``declared``."""
    constants: Mapping[str, Any] = MappingProxyType({})
    """Values from ``define:`` by name."""
    on_result: bool = False
    """Whether the rule is about a result, so that ``result`` and ``outcome`` exist."""
    labels: frozenset[str] | None = None
    """Labels that exist; None accepts any."""
    tools: frozenset[str] | None = None
    """Names that ``session.calls`` may ask for; None accepts any."""
    budgets: Mapping[str, tuple[str, ...]] | None = None
    """What the budgets count that ``budget.remaining`` may ask for; None accepts any."""


_NAMED = {
    "any": DYN,
    "dyn": DYN,
    "null": NULL,
    "bool": BOOL,
    "boolean": BOOL,
    "int": INT,
    "integer": INT,
    "double": DOUBLE,
    "number": NUMBER,
    "string": STRING,
    "list": LIST,
    "array": LIST,
    "list<string>": STRINGS,
    "map": MAP,
    "object": MAP,
}


def named(name: str) -> Type:
    """Return the type that ``name`` stands for: ours, JSON Schema's, or a reader's (a string).

    Raises:
        KeyError: there is no such type.
    """
    return STRING if name in READERS else _NAMED[name]


def declared(arguments: Mapping[str, str]) -> Type:
    """Return the type of ``args`` for declared arguments, such as ``{"query": "sql"}``.

    A ``?`` behind the name of a type says that the argument may be missing.

    Raises:
        KeyError: there is no such type.
    """
    fields = {
        name: Field(named(of.removesuffix("?")), of.endswith("?")) for name, of in arguments.items()
    }
    return Type("map", fields=MappingProxyType(fields))


_SCHEMA_DEPTH = 16


def from_schema(schema: Any, depth: int = 0) -> Type:
    """Return the type that a JSON Schema describes; what it leaves open is ``DYN``.

    Fields are known where the schema lists ``properties``; those not ``required`` are optional.
    """
    if not isinstance(schema, Mapping) or depth > _SCHEMA_DEPTH:
        return DYN
    # Arguments are an object, whether the schema says so or not.
    kinds = schema.get("type", None if depth else "object")
    if not isinstance(kinds, str | list | tuple):
        return DYN
    names = {kinds} if isinstance(kinds, str) else set(kinds)
    nullable = "null" in names and len(names) > 1
    names -= {"null"} if nullable else set()
    if names == {"integer", "number"}:
        names = {"number"}
    name = names.pop() if len(names) == 1 else "any"
    plain = _schema_type(name, schema, depth)
    return Type(plain.kind, plain.element, plain.fields, nullable=nullable)


def _schema_type(name: str, schema: Mapping[str, Any], depth: int) -> Type:
    properties = schema.get("properties")
    if name == "array":
        return Type("list", from_schema(schema.get("items"), depth + 1))
    if name == "object" and isinstance(properties, Mapping):
        required = schema.get("required", ())
        fields = {
            key: Field(from_schema(shape, depth + 1), key not in required)
            for key, shape in properties.items()
        }
        return Type("map", fields=MappingProxyType(fields))
    # JSON Schema's integer admits 1.0, which arrives here as a double.
    return NUMBER if name == "integer" else _NAMED.get(name, DYN)


def type_of(value: Any) -> Type:
    """Return the type of a JSON value, e.g. of a constant from ``define:``."""
    match value:
        case None:
            return NULL
        case bool():
            return BOOL
        case int():
            return INT
        case float():
            return DOUBLE
        case str():
            return STRING
        case list() | tuple():
            return Type("list", common(type_of(item) for item in value))
        case _:
            fields = {key: Field(type_of(item)) for key, item in value.items()}
            return Type("map", fields=MappingProxyType(fields))


def common(types: Iterable[Type]) -> Type:
    """Return the type of elements of these types: one for all, or ``DYN``."""
    found = None
    for each in types:
        if found is None or found == each:
            found = each
        elif found.kind in NUMERIC and each.kind in NUMERIC:
            found = NUMBER
        else:
            return DYN
    return DYN if found is None else found


def comparable(a: Type, b: Type) -> bool:
    """Whether ``a == b`` can be true or false rather than an error for every pair of values."""
    if "dyn" in (a.kind, b.kind) or "null" in (a.kind, b.kind):
        return True
    if a.kind == "list" == b.kind:
        return a.element is None or b.element is None or comparable(a.element, b.element)
    return same_kind(a, b)


def same_kind(a: Type, b: Type) -> bool:
    """Whether two types are both numeric or of one kind."""
    return a.kind == b.kind or (a.kind in NUMERIC and b.kind in NUMERIC)


__all__ = ["Environment", "Field", "Type", "declared", "from_schema", "named", "type_of"]
