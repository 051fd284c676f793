"""What tools do: the declared ones by name pattern, and the worst class for all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import jsonschema_rs
from msgspec import Struct

from remit import text
from remit.model import Does, Fault, Location
from remit.policy import patterns
from remit.policy.document import ControlArguments, ToolEntry, words
from remit.policy.functions import READERS, UnreadableValue
from remit.policy.reading import ReadDocument, closest

ToolSchema: TypeAlias = Mapping[str, Any]
"""JSON Schema of a tool's arguments: an object with ``properties`` and ``required``."""

CONTROLS = ("who", "where", "which", "amount", "when", "access")
"""What control arguments decide."""

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Tool(Struct, frozen=True, kw_only=True):
    """What is known of the tools that fit one pattern."""

    pattern: str
    """As compared: NFKC, case-folded. ``*`` for tools that nobody declared."""
    declared: bool
    does: tuple[Does, ...]
    returns: tuple[str, ...] = ()
    """Every label that its result puts on the session, sorted."""
    returns_at: Mapping[str, tuple[str, ...]] = _NOTHING
    """Labels by field of the result, such as ``result.rows.*.note``, where they are told apart."""
    sends_to: tuple[str, ...] = ()
    """Arguments that name receivers, such as ``args.recipients``."""
    sends_what: tuple[str, ...] = ()
    """Arguments that carry what is sent."""
    controls: Mapping[str, tuple[str, ...]] = _NOTHING
    """Arguments that steer what it does, by what they decide: ``who``, ``where``, ``which``,
    ``amount``, ``when``, ``access``."""
    platform: tuple[str, ...] = ()
    """Names of fields of its result that the platform fills in, as patterns."""
    claims: tuple[str, ...] = ()
    """Names of fields of its result in which others say who they are."""
    resource: tuple[str, ...] = ()
    """Arguments that name what it reads or keeps, such as ``args.key``."""
    arguments: Mapping[str, str] | None = None
    """Declared type by argument, such as ``sql`` or ``string?``; None where nothing is declared."""
    schema: Mapping[str, Any] | None = None
    """Declared JSON Schema of the arguments, deeply read-only."""
    at: Location | None = None

    @property
    def known_arguments(self) -> Mapping[str, str] | None:
        """Type by argument from ``arguments`` and ``schema``; None where neither says anything."""
        if self.arguments is None and self.schema is None:
            return None
        return {**_types_of_schema(self.schema or {}), **(self.arguments or {})}


UNDECLARED = Tool(pattern="*", declared=False, does=(Does.ADMIN,), returns=("untrusted",))
"""A tool that nobody declared: it may do anything, and what it returns is not to be trusted."""


class Catalogue:
    """All tool declarations. The most exact pattern that fits a name counts, never the order."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        declared = sorted(tools, key=lambda tool: patterns.specificity(tool.pattern), reverse=True)
        self.tools = tuple(declared)
        self._exact = MappingProxyType({t.pattern: t for t in declared if "*" not in t.pattern})
        self._wild = tuple(tool for tool in declared if "*" in tool.pattern)

    def tool(self, name: str) -> Tool:
        """The declaration that counts for a normalised tool name."""
        found = self._exact.get(name)
        if found is not None:
            return found
        for tool in self._wild:
            if patterns.matches(tool.pattern, name):
                return tool
        return UNDECLARED

    def names_exactly(self, name: str) -> bool:
        """Whether a declaration names that tool without a wildcard."""
        return name in self._exact


def read_tools(documents: Iterable[ReadDocument], note: Callable[[Fault], None]) -> Catalogue:
    """The catalogue that the documents declare together."""
    documents = tuple(documents)
    platform = tuple(
        text.name(each) for read in documents for each in words(read.document.platform_fields)
    )
    first: dict[str, Location] = {}
    tools = []
    for read in documents:
        for entry in read.document.tools:
            for index, tool in enumerate(_tools(read, entry, platform, note)):
                earlier = first.get(tool.pattern)
                if earlier is not None:
                    message = f"{tool.pattern!r} is declared already at {earlier}"
                    hint = "This declaration would never count; keep one of them."
                    note(read.fault(entry, ("match", index), message, hint))
                    continue
                assert tool.at is not None
                first[tool.pattern] = tool.at
                tools.append(tool)
    return Catalogue(tools)


def _tools(
    read: ReadDocument,
    entry: ToolEntry,
    platform: tuple[str, ...],
    note: Callable[[Fault], None],
) -> Iterator[Tool]:
    """One ``Tool`` for each pattern of an entry."""
    labels, labels_at = _returned(read, entry, note)
    schema = _schema(read, entry, note)
    _check_dialects(read, entry, note)
    sends = entry.sends
    fields: dict[str, Any] = {
        "declared": True,
        "does": tuple(sorted({Does(word) for word in words(entry.does)}, key=lambda d: d.value)),
        "returns": labels,
        "returns_at": labels_at,
        "sends_to": words(sends.to) if sends else (),
        "sends_what": words(sends.what) if sends else (),
        "controls": MappingProxyType(_controls(entry)),
        "platform": tuple(dict.fromkeys((*platform, *map(text.name, words(entry.sets))))),
        "claims": tuple(map(text.name, words(entry.claims))),
        "resource": words(entry.resource),
        "arguments": MappingProxyType(entry.arguments) if entry.arguments is not None else None,
        "schema": schema,
        "at": read.location(entry),
    }
    _check_argument_paths(read, entry, Tool(pattern="*", **fields).known_arguments, note)
    for word in words(entry.match):
        yield Tool(pattern=text.name(word), **fields)


def _controls(entry: ToolEntry) -> dict[str, tuple[str, ...]]:
    """The control arguments by what they decide; receivers decide who, declared or not."""
    written = entry.controls
    if isinstance(written, ControlArguments):
        found = {kind: words(getattr(written, kind)) for kind in CONTROLS}
    else:
        found = {"which": words(written)}
    receivers = words(entry.sends.to) if entry.sends else ()
    found["who"] = tuple(dict.fromkeys((*found.get("who", ()), *receivers)))
    return {kind: arguments for kind, arguments in found.items() if arguments}


def _control_places(entry: ToolEntry) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where each control argument and resource is written."""
    if isinstance(entry.controls, ControlArguments):
        for kind in CONTROLS:
            for i, word in enumerate(words(getattr(entry.controls, kind))):
                yield ("controls", kind, i), word
    else:
        for i, word in enumerate(words(entry.controls)):
            yield ("controls", i), word
    for i, word in enumerate(words(entry.resource)):
        yield ("resource", i), word


def _check_dialects(read: ReadDocument, entry: ToolEntry, note: Callable[[Fault], None]) -> None:
    """A dialect must be one that the reader ``sql()`` knows."""
    for name, written in (entry.arguments or {}).items():
        _, _, dialect = written.removesuffix("?").partition("sql:")
        if dialect:
            try:
                READERS["sql"].load()("select 1", dialect)
            except (ImportError, UnreadableValue) as error:
                note(read.fault(entry, ("arguments", name), f"no such dialect: {error}"))


def _returned(
    read: ReadDocument, entry: ToolEntry, note: Callable[[Fault], None]
) -> tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]]:
    if not isinstance(entry.returns, dict):
        return tuple(sorted(set(words(entry.returns)))), _NOTHING
    for path in entry.returns:
        if path.partition(".")[0] != "result":
            hint = f"Write result.{path}"
            message = "a field of the result starts with 'result'"
            note(read.fault_of_key(entry, ("returns", path), message, hint))
    by_path = {path: words(labels) for path, labels in entry.returns.items()}
    every = {label for labels in by_path.values() for label in labels}
    return tuple(sorted(every)), MappingProxyType(by_path)


def _schema(
    read: ReadDocument, entry: ToolEntry, note: Callable[[Fault], None]
) -> Mapping[str, Any] | None:
    if entry.schema is None:
        return None
    remote = next(_remote_references(entry.schema), None)
    if remote is not None:
        message = f"the schema refers to {remote[:60]!r}, outside this document"
        note(read.fault_of_key(entry, ("schema",), message, "Put it under $defs: '#/$defs/...'"))
        return None
    try:
        validator(entry.schema)
    except ValueError as error:
        problem = str(error).splitlines()[0]
        note(read.fault_of_key(entry, ("schema",), f"not a JSON Schema: {problem}"))
        return None
    frozen: Mapping[str, Any] = freeze(entry.schema)
    return frozen


def validator(schema: Mapping[str, Any]) -> Any:
    """A validator for a JSON Schema that never leaves this document, with linear-time patterns.

    Raises:
        ValueError: it is not a JSON Schema.
    """
    return jsonschema_rs.validator_for(
        thaw(schema), pattern_options=jsonschema_rs.RegexOptions(), offline=True
    )


def _remote_references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef", "$schema") and isinstance(value, str):
                if key != "$schema" and not value.startswith("#"):
                    yield value
            else:
                yield from _remote_references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _remote_references(item)


def _check_argument_paths(
    read: ReadDocument,
    entry: ToolEntry,
    known: Mapping[str, str] | None,
    note: Callable[[Fault], None],
) -> None:
    """``sends`` and ``controls`` must name arguments, and declared ones where any are declared."""
    named: list[tuple[tuple[str | int, ...], str]] = []
    if entry.sends:
        named += [(("sends", "to", i), word) for i, word in enumerate(words(entry.sends.to))]
        named += [(("sends", "what", i), word) for i, word in enumerate(words(entry.sends.what))]
    named += _control_places(entry)
    for path, word in named:
        root, _, rest = word.partition(".")
        argument = rest.partition(".")[0]
        if root != "args" or not argument:
            note(read.fault(entry, path, f"{word!r} names no argument", f"Write args.{word}"))
        elif known is not None and argument not in known:
            hint = closest(argument, known) or "Declare it under arguments."
            note(read.fault(entry, path, f"there is no argument {argument!r}", hint))


_SCHEMA_TYPES = {
    "string": "string",
    "integer": "int",
    "number": "number",
    "boolean": "bool",
    "array": "list",
    "object": "object",
}


def _types_of_schema(schema: ToolSchema) -> dict[str, str]:
    """Declared types by argument as a JSON Schema gives them; ``any`` where it does not."""
    properties = schema.get("properties")
    required = schema.get("required", ())
    if not isinstance(properties, Mapping):
        return {}
    types = {}
    for argument, shape in properties.items():
        kind = shape.get("type") if isinstance(shape, Mapping) else None
        plain = _SCHEMA_TYPES.get(kind, "any") if isinstance(kind, str) else "any"
        types[argument] = plain if argument in required else f"{plain}?"
    return types


def freeze(value: Any) -> Any:
    """A deeply read-only copy of a JSON value."""
    if isinstance(value, dict):
        return MappingProxyType({key: freeze(each) for key, each in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(each) for each in value)
    return value


def thaw(value: Any) -> Any:
    """A deep copy of a JSON value in plain dicts and lists."""
    if isinstance(value, Mapping):
        return {key: thaw(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(each) for each in value]
    return value
