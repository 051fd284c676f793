"""From a YAML tree to the structs of ``document.py``: every field, every type, every fault.

The expected shape is read from the structs themselves (``msgspec.inspect``). An entry with a fault
is left out of the result, so that the other entries can be checked further and all faults be
reported at once.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec.inspect as shapes
from msgspec import Struct

from remit.model import Fault, Location
from remit.policy.document import PolicyDocument
from remit.policy.yaml import Source, YamlList, YamlMap, YamlNode, YamlScalar

_FAULTY: Final = object()
"""Stands for a value that could not be read; its fault has been noted."""


class ReadDocument:
    """A document as structs, and where each struct and field of it was written."""

    def __init__(self, source: Source, document: PolicyDocument, nodes: dict[int, YamlMap]) -> None:
        self.source = source
        self.document = document
        self._nodes = nodes

    def location(self, entry: Struct) -> Location:
        """Where an entry starts: at its id, if it has one."""
        node = self._nodes[id(entry)]
        key = node.entries.get("id")
        return self.source.location(key[1].start if key else node.start)

    def node(self, entry: Struct, *path: str | int) -> YamlNode:
        """The node at a path of keys and indexes below an entry.

        An index into a single word that stands for a list gives the word itself.
        """
        node: YamlNode = self._nodes[id(entry)]
        for step in path:
            if isinstance(step, int):
                node = node.items[step] if isinstance(node, YamlList) else node
            else:
                assert isinstance(node, YamlMap)
                node = node.entries[step][1]
        return node

    def key(self, entry: Struct, *path: str | int) -> YamlScalar:
        """The key that ends a path below an entry, as written."""
        *above, last = path
        node = self.node(entry, *above)
        assert isinstance(node, YamlMap)
        return node.entries[str(last)][0]

    def fault(
        self, entry: Struct, path: tuple[str | int, ...], message: str, hint: str | None = None
    ) -> Fault:
        """A fault that underlines the value at a path below an entry."""
        return self.source.fault(self.node(entry, *path), message, hint)

    def fault_of_key(
        self, entry: Struct, path: tuple[str | int, ...], message: str, hint: str | None = None
    ) -> Fault:
        """A fault that underlines the key at a path below an entry."""
        return self.source.fault(self.key(entry, *path), message, hint)


def closest(word: str, known: Iterable[str]) -> str | None:
    """A did-you-mean sentence: the known word most like ``word``, if any is alike."""
    by_form = {_form(each): each for each in known}
    found = difflib.get_close_matches(_form(word), by_form, n=1, cutoff=0.6)
    return f"Did you mean {by_form[found[0]]!r}?" if found else None


def _form(word: str) -> str:
    return word.casefold().replace("_", "-").strip()


def plain(node: YamlNode) -> Any:
    """The plain Python value of a node."""
    if isinstance(node, YamlScalar):
        return node.value
    if isinstance(node, YamlList):
        return [plain(item) for item in node.items]
    return {key: plain(value) for key, (_, value) in node.entries.items()}


def read(source: Source, root: YamlNode | None) -> tuple[ReadDocument | None, list[Fault]]:
    """The document below ``root``, without its faulty entries, and all faults."""
    if root is None or (isinstance(root, YamlScalar) and root.value is None):
        hint = "Start it with the line: remit: 1"
        return None, [source.fault_at(0, 0, 1, "there is no policy in this document", hint)]
    reader = _Reader(source)
    document = reader.struct(root, _shape(PolicyDocument), keep_going=True)
    if document is _FAULTY:
        return None, reader.faults
    return ReadDocument(source, document, reader.nodes), reader.faults


@functools.cache
def _shape(cls: type[Struct]) -> shapes.StructType:
    shape = shapes.type_info(cls)
    assert isinstance(shape, shapes.StructType)
    return shape


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self.faults: list[Fault] = []
        self.nodes: dict[int, YamlMap] = {}

    def struct(self, node: YamlNode, shape: shapes.StructType, keep_going: bool = False) -> Any:
        """The struct that ``node`` describes. ``keep_going``: also without its faulty fields."""
        if not isinstance(node, YamlMap):
            return self._wrong(node, shape)
        fields = {field.encode_name: field for field in shape.fields}
        values: dict[str, Any] = {}
        faulty = False
        for name, (key, child) in node.entries.items():
            field = fields.get(name)
            if field is None:
                self._unknown_key(key, fields)
                faulty = True
                continue
            value = self.value(child, field.type)
            if value is _FAULTY:
                faulty = True
            else:
                values[field.name] = value
        for name, field in fields.items():
            if field.required and name not in node.entries:
                self._missing_key(node, name, shape)
                faulty = True
        if faulty and not keep_going:
            return _FAULTY
        for field in shape.fields:
            if field.required and field.name not in values:
                values[field.name] = None
        entry = shape.cls(**values)
        self.nodes[id(entry)] = node
        return entry

    def value(self, node: YamlNode, shape: shapes.Type) -> Any:
        """The value of ``node`` as ``shape`` wants it, or ``_FAULTY``."""
        while isinstance(shape, shapes.Metadata):
            shape = shape.type
        if isinstance(shape, shapes.AnyType):
            return plain(node)
        if isinstance(shape, shapes.UnionType):
            return self._union(node, shape)
        if isinstance(shape, shapes.StructType):
            return self.struct(node, shape)
        if isinstance(shape, shapes.VarTupleType):
            return self._list(node, shape)
        if isinstance(shape, shapes.DictType):
            return self._map(node, shape)
        return self._scalar(node, shape)

    def _union(self, node: YamlNode, shape: shapes.UnionType) -> Any:
        """Reads by the one member that takes this kind of node; members never overlap."""
        for member in shape.types:
            while isinstance(member, shapes.Metadata):
                member = member.type
            if _takes(member, node):
                return self.value(node, member)
        return self._wrong(node, shape)

    def _list(self, node: YamlNode, shape: shapes.VarTupleType) -> Any:
        if not isinstance(node, YamlList):
            return self._wrong(node, shape)
        if shape.min_length and len(node.items) < shape.min_length:
            hint = "Leave the key out, or name at least one."
            self.faults.append(self._source.fault(node, "an empty list never matches", hint))
            return _FAULTY
        values = [self.value(item, shape.item_type) for item in node.items]
        if isinstance(shape.item_type, shapes.StructType):
            return tuple(value for value in values if value is not _FAULTY)
        return _FAULTY if _FAULTY in values else tuple(values)

    def _map(self, node: YamlNode, shape: shapes.DictType) -> Any:
        if not isinstance(node, YamlMap):
            return self._wrong(node, shape)
        values = {}
        for name, (key, child) in node.entries.items():
            if self._scalar(key, shape.key_type) is _FAULTY:
                continue
            value = self.value(child, shape.value_type)
            if value is not _FAULTY:
                values[name] = value
        whole = len(values) == len(node.entries)
        return values if whole or isinstance(shape.value_type, shapes.StructType) else _FAULTY

    def _scalar(self, node: YamlNode, shape: shapes.Type) -> Any:
        value = node.value if isinstance(node, YamlScalar) else _FAULTY
        if isinstance(shape, shapes.LiteralType):
            if value in shape.values and type(value) is type(shape.values[0]):
                return value
            return self._not_a_word_of(node, shape)
        if isinstance(shape, shapes.StrType) and isinstance(value, str):
            return self._string(node, value, shape)
        if isinstance(shape, shapes.BoolType) and isinstance(value, bool):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            if isinstance(shape, shapes.IntType) and isinstance(value, int):
                return self._number(node, value, shape)
            if isinstance(shape, shapes.FloatType):
                return self._number(node, value, shape)
        return self._wrong(node, shape)

    def _string(self, node: YamlNode, value: str, shape: shapes.StrType) -> Any:
        if shape.min_length and len(value) < shape.min_length:
            return self._note(node, "an empty word")
        if shape.max_length and len(value) > shape.max_length:
            return self._note(node, f"longer than {shape.max_length} characters")
        if shape.pattern and not re.fullmatch(shape.pattern, value):
            return self._note(node, f"{value[:60]!r} has not the right form", _form_hint(shape))
        return value

    def _number(self, node: YamlNode, value: float, shape: Any) -> Any:
        if shape.ge is not None and value < shape.ge:
            return self._note(node, f"{value} is less than {shape.ge}")
        if shape.le is not None and value > shape.le:
            return self._note(node, f"{value} is more than {shape.le}")
        return value

    def _not_a_word_of(self, node: YamlNode, shape: shapes.LiteralType) -> Any:
        words = [str(word) for word in shape.values]
        if not isinstance(node, YamlScalar) or not isinstance(node.value, str):
            return self._wrong(node, shape)
        hint = closest(node.value, words) or f"One of: {', '.join(words)}."
        return self._note(node, f"{node.value[:60]!r} is not {_wanted(shape)}", hint)

    def _wrong(self, node: YamlNode, shape: shapes.Type) -> Any:
        hint = None
        if isinstance(node, YamlScalar):
            if _wanted(shape) == _KINDS[shapes.BoolType]:
                hint = "Write true or false."
            elif node.text and not isinstance(node.value, str) and "text" in _wanted(shape):
                hint = f"Quote it: '{node.text}'"
        return self._note(node, f"expected {_wanted(shape)}, found {_found(node)}", hint)

    def _unknown_key(self, key: YamlScalar, fields: dict[str, shapes.Field]) -> None:
        word = key.text[:60]
        missing = f"The keys here are: {', '.join(fields)}."
        self._note(key, f"unknown key {word!r}", closest(word, fields) or missing)

    def _missing_key(self, node: YamlMap, name: str, shape: shapes.StructType) -> None:
        hint = f"Add the line: {name}: 1" if name == "remit" else f"Add {name}: ..."
        what = shape.cls.__doc__.split(".")[0] if shape.cls.__doc__ else ""
        self._note(node, f"the key {name!r} is missing", f"{hint} ({what})")

    def _note(self, node: YamlNode, message: str, hint: str | None = None) -> object:
        self.faults.append(self._source.fault(node, message, hint))
        return _FAULTY


def _takes(shape: shapes.Type, node: YamlNode) -> bool:
    """Whether a member of a union is the one for this kind of node."""
    if isinstance(node, YamlList):
        return isinstance(shape, shapes.VarTupleType)
    if isinstance(node, YamlMap):
        return isinstance(shape, shapes.DictType | shapes.StructType)
    if isinstance(shape, shapes.LiteralType | shapes.StrType):
        return isinstance(node.value, str)
    if isinstance(shape, shapes.BoolType):
        return isinstance(node.value, bool)
    if isinstance(shape, shapes.FloatType):
        return type(node.value) in (int, float)
    return isinstance(shape, shapes.IntType) and type(node.value) is int


def _wanted(shape: shapes.Type) -> str:
    """What a shape takes, for a message."""
    if isinstance(shape, shapes.UnionType):
        kinds = [_wanted(each) for each in shape.types if not isinstance(each, shapes.NoneType)]
        return " or ".join(dict.fromkeys(kinds))
    if isinstance(shape, shapes.Metadata):
        return _wanted(shape.type)
    if isinstance(shape, shapes.LiteralType):
        return "one of " + ", ".join(map(str, shape.values))
    return _KINDS[type(shape)]


_KINDS: dict[type, str] = {
    shapes.StrType: "text",
    shapes.BoolType: "true or false",
    shapes.IntType: "a whole number",
    shapes.FloatType: "a number",
    shapes.VarTupleType: "a list",
    shapes.DictType: "a map",
    shapes.StructType: "a map",
}


def _found(node: YamlNode) -> str:
    if isinstance(node, YamlList):
        return "a list"
    if isinstance(node, YamlMap):
        return "a map"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, str):
        return "text"
    return node.text[:60] if isinstance(node.value, bool) else f"the number {node.text[:60]}"


def _form_hint(shape: shapes.StrType) -> str:
    pattern = shape.pattern or ""
    if "second" in pattern:
        return (
            "Write second, minute, hour, day, week, month, quarter, year, session, or a number and "
            "a unit such as 90s or 15m."
        )
    if "(ms|s|m|h|d)" in pattern:
        return "Write a number and a unit, such as 30s, 30m, 12h or 7d."
    if "sql" in pattern:
        types = "string int number bool list object sql sql:DIALECT shell url path email json"
        return f"One of: {types}; a trailing ? makes the argument optional."
    return "Use letters, digits, dots, dashes and underscores; at most 100 of them."


__all__ = ["ReadDocument", "closest", "plain", "read"]
